//! Every change of a user's keys killed at each of its file operations: what unlocked before or what
//! unlocks after it does, no slot is lost, all sealed mail can be opened, and the change can be made
//! again. (`passwd`, `enroll`, `setup`, `rename` and `remove`: tests/crash.rs.)

mod support;

use std::fs;
use std::process::Command;

use nightsafe::keys::SlotKind;
use nightsafe::keys::SlotState::{Active, Pending, Retiring};
use nightsafe::keys::record::{Record, Unlocked};
use support::Site;
use support::care::Care;
use support::trace::{Call, calls_of, on_two_sites};

const PASSWORD: &str = "pw";
/// What makes a user's keys, and the secrets of the site that they need.
const FILES: [&str; 4] = ["keys/private/alice", "keys/public/alice", "pepper", "provisional.key"];

/// A change under test: how it begins, how it is made, and what must hold when it was killed.
struct Change {
    /// Files as they are before it.
    before: Vec<Option<Vec<u8>>>,
    /// The operations of it from the last lock on; the lock is what comes before any write.
    calls: Vec<Call>,
    make: fn(&Site) -> Command,
    input: Vec<u8>,
}

impl Change {
    /// The `locks`th lock is the one of the change.
    fn new(site: &Site, make: fn(&Site) -> Command, input: &[u8], locks: usize) -> Self {
        let before = FILES.map(|name| fs::read(site.join(name)).ok()).to_vec();
        let calls = calls_of(site, &make(site), input);
        let is_lock = |call: &Call| call.name == "flock";
        let at: Vec<_> = calls.iter().enumerate().filter(|(_, call)| is_lock(call)).collect();
        assert_eq!(at.len(), locks, "{calls:#?}");
        let from = at.last().unwrap().0;
        let last = calls.iter().rposition(Call::is_of_keys).unwrap();
        let calls = calls[from..=last].to_vec();
        assert!(calls.iter().filter(|call| call.name == "fsync").count() >= 2, "{calls:#?}");
        Self { before, calls, make, input: input.to_vec() }
    }

    /// Kills it at every operation and has each outcome judged: whether the record is the one of
    /// before. Both must have been seen at the end.
    fn killed_everywhere(&self, judge: impl Fn(&Site, &Call, bool) + Sync) {
        let seen = std::sync::Mutex::new([0, 0]);
        on_two_sites(&self.calls, |site, _, call| {
            self.restore(site);
            call.killed_in(&(self.make)(site), &self.input);
            let record = fs::read(site.join(FILES[0])).ok();
            let is_before = record == self.before[0];
            seen.lock().unwrap()[usize::from(is_before)] += 1;
            judge(site, call, is_before);
        });
        let [after, before] = *seen.lock().unwrap();
        assert!(after >= 2 && before >= 4, "killed {before} times before it, {after} after it");
    }

    fn restore(&self, site: &Site) {
        for (name, content) in FILES.iter().zip(&self.before) {
            match content {
                Some(content) => fs::write(site.join(name), content).unwrap(),
                None => drop(fs::remove_file(site.join(name))),
            }
        }
    }

    /// Makes it once more, to its end.
    #[track_caller]
    fn again(&self, site: &Site) -> support::Ran {
        support::finish(&mut (self.make)(site), &self.input)
    }
}

fn unlocked(record: &Record, care: &Care, secret: &[u8]) -> Option<Unlocked> {
    record.unlock(secret, &care.secrets).ok()
}

/// Whatever is sealed now, and whatever was sealed at the beginning, opens with these keys.
#[track_caller]
fn opens_all(care: &Care, first: &Unlocked, unlocked: &Unlocked, call: &Call) {
    let sealed_to = care.keys.public(&care.user).unwrap().unwrap().key;
    let has = |key| unlocked.keys.iter().any(|own| own.public_key() == key);
    assert!(has(sealed_to), "mail is sealed to a key that nobody has: {call:?}");
    assert!(first.keys.iter().all(|key| has(key.public_key())), "an old key is lost: {call:?}");
}

/// A confirmed login puts right whatever a crash left.
#[track_caller]
fn is_in_order_after_login(site: &Site, password: &str, call: &Call) {
    let login = Care::of(site).login(password).unwrap();
    assert_eq!(login.problem, None, "{call:?}");
    let checked = site.run(["check"]);
    assert_eq!(checked.status, Some(0), "{call:?}: {}", checked.text());
}

fn with_password(arguments: &[&str], site: &Site) -> Command {
    site.command(arguments.iter().chain(&["--password-file", "-"]))
}

fn text(code: &nightsafe::keys::code::Code) -> String {
    String::from_utf8(code.to_text().expose().to_vec()).unwrap()
}

/// Alice with two app passwords and a recovery code: the secrets.
fn furnished(site: &Site) -> [String; 3] {
    let care = Care::of(site);
    care.enroll(PASSWORD);
    let (keys, user, secrets) = (&care.keys, &care.user, &care.secrets);
    let app = |name| {
        let pw = PASSWORD.as_bytes();
        nightsafe::lifecycle::slots::add_app(keys, user, pw, name, secrets, 1).unwrap()
    };
    let (phone, tablet) = (app("phone"), app("tablet"));
    let code =
        nightsafe::lifecycle::slots::add_recovery(keys, user, PASSWORD.as_bytes(), secrets, 1);
    [text(&phone), text(&tablet), text(&code.unwrap())]
}

fn first_keys(site: &Site) -> Unlocked {
    let care = Care::of(site);
    unlocked(&care.record(), &care, PASSWORD.as_bytes()).unwrap()
}

#[test]
fn slot_add_killed_anywhere() {
    let site = Site::new();
    let [phone, ..] = furnished(&site);
    let first = first_keys(&site);
    let add = |site: &Site| with_password(&["slot", "add", "alice", "--app", "new"], site);
    let change = Change::new(&site, add, PASSWORD.as_bytes(), 1);
    change.killed_everywhere(|site, call, is_before| {
        let care = Care::of(site);
        let record = care.record();
        assert_eq!(record.slots().len(), if is_before { 4 } else { 5 });
        for secret in [PASSWORD, &phone] {
            opens_all(&care, &first, &unlocked(&record, &care, secret.as_bytes()).unwrap(), call);
        }
        let again = change.again(site);
        assert_eq!(again.status, Some(if is_before { 0 } else { 73 }), "{again:?}");
        is_in_order_after_login(site, PASSWORD, call);
    });
}

#[test]
fn slot_remove_killed_anywhere() {
    let site = Site::new();
    let [phone, tablet, _] = furnished(&site);
    let first = first_keys(&site);
    let remove = |site: &Site| with_password(&["slot", "remove", "alice", "phone"], site);
    let change = Change::new(&site, remove, PASSWORD.as_bytes(), 1);
    change.killed_everywhere(|site, call, is_before| {
        let care = Care::of(site);
        let record = care.record();
        for secret in [PASSWORD, &tablet] {
            opens_all(&care, &first, &unlocked(&record, &care, secret.as_bytes()).unwrap(), call);
        }
        assert_eq!(unlocked(&record, &care, phone.as_bytes()).is_some(), is_before, "{call:?}");
        let again = change.again(site);
        assert_eq!(again.status, Some(if is_before { 0 } else { 64 }), "{again:?}");
        is_in_order_after_login(site, PASSWORD, call);
        assert_eq!(care.record().slots().len(), 3);
    });
}

#[test]
fn rotate_killed_anywhere() {
    let site = Site::new();
    let [phone, ..] = furnished(&site);
    let first = first_keys(&site);
    let rotate = |site: &Site| with_password(&["rotate", "alice"], site);
    let change = Change::new(&site, rotate, PASSWORD.as_bytes(), 1);
    change.killed_everywhere(|site, call, is_before| {
        let care = Care::of(site);
        let record = care.record();
        for secret in [PASSWORD, &phone] {
            opens_all(&care, &first, &unlocked(&record, &care, secret.as_bytes()).unwrap(), call);
        }
        let generation = record.public().unwrap().generation;
        assert_eq!(generation, if is_before { 1 } else { 2 }, "{call:?}");
        if call.nth.is_multiple_of(2) {
            change.again(site).good();
            assert_eq!(care.record().public().unwrap().generation, generation + 1);
            site.run(["check"]).good();
        }
        is_in_order_after_login(site, PASSWORD, call);
    });
}

#[test]
fn recovery_use_killed_anywhere() {
    let site = Site::new();
    let [phone, _, code] = furnished(&site);
    let first = first_keys(&site);
    let use_code = |site: &Site| {
        let new = site.file("new", b"new");
        let files = ["--code-file", "-", "--new-password-file", &new];
        site.command(["recovery", "use", "alice"].iter().chain(&files))
    };
    let change = Change::new(&site, use_code, code.as_bytes(), 1);
    let code = nightsafe::keys::code::Code::parse(code.as_bytes()).unwrap();
    change.killed_everywhere(|site, call, is_before| {
        let care = Care::of(site);
        let record = care.record();
        let opens = |secret: &str| unlocked(&record, &care, secret.as_bytes());
        // Before: the old password and the code. After: the new password.
        assert_eq!(opens(PASSWORD).is_some(), is_before, "{call:?}");
        assert_eq!(record.unlock_with_code(&code).is_ok(), is_before, "{call:?}");
        assert_eq!(opens("new").is_some(), !is_before, "{call:?}");
        let one = opens(if is_before { PASSWORD } else { "new" }).unwrap();
        for unlocked in [one, opens(&phone).unwrap()] {
            opens_all(&care, &first, &unlocked, call);
        }
        let again = change.again(site);
        assert_eq!(again.status, Some(if is_before { 0 } else { 77 }), "{again:?}");
        is_in_order_after_login(site, "new", call);
    });
}

#[test]
fn provisional_enrolment_killed_anywhere() {
    let site = Site::new();
    let enroll = |site: &Site| site.command(["enroll", "--provisional", "alice"]);
    let change = Change::new(&site, enroll, b"", 1);
    let provisional = Care::of(&site).secrets.provisional.unwrap().public_key();
    fs::remove_file(site.private("alice")).unwrap();
    fs::remove_file(site.public("alice")).unwrap();
    change.killed_everywhere(|site, call, is_before| {
        let (record, public) = (site.private("alice").exists(), site.public("alice").exists());
        assert!(record != is_before && (record || !public), "{call:?}");
        let again = change.again(site);
        assert_eq!(again.status, Some(if public { 73 } else { 0 }), "{call:?}: {}", again.stderr);
        let care = Care::of(site);
        assert_eq!(care.secrets.provisional.as_ref().unwrap().public_key(), provisional);
        let unlocked = care.record().unlock_provisional(&care.secrets).unwrap();
        opens_all(&care, &unlocked, &unlocked, call);
        site.run(["check"]).good();
    });
}

/// A first login: at no moment both keys open, and never neither.
#[test]
fn the_end_of_provisional_killed_anywhere() {
    let site = Site::new();
    Care::of(&site).enroll_provisional();
    let care = Care::of(&site);
    let first = care.record().unlock_provisional(&care.secrets).unwrap();
    // By the postmaster and by a login: the same change.
    let by_hand = |site: &Site| with_password(&["enroll", "alice"], site);
    let by_login = |site: &Site| step(site, "login", &["pw"]);
    for (make, input) in [(by_hand as fn(&Site) -> Command, PASSWORD), (by_login, "")] {
        let begin = FILES.map(|name| fs::read(site.join(name)).unwrap());
        let change = Change::new(&site, make, input.as_bytes(), 1);
        FILES.iter().zip(&begin).for_each(|(name, file)| fs::write(site.join(name), file).unwrap());
        change.killed_everywhere(|site, call, is_before| {
            let care = Care::of(site);
            let record = care.record();
            let by_site = record.unlock_provisional(&care.secrets);
            let by_password = unlocked(&record, &care, PASSWORD.as_bytes());
            assert_eq!((by_site.is_ok(), by_password.is_some()), (is_before, !is_before));
            opens_all(&care, &first, &by_site.ok().or(by_password).unwrap(), call);
            is_in_order_after_login(site, PASSWORD, call);
            let record = care.record();
            assert_eq!((record.slots().len(), record.public().unwrap().generation), (1, 2));
        });
    }
}

/// The three steps around the backend's own change, as the agent makes them.
#[test]
fn a_staged_change_killed_anywhere() {
    let site = Site::new();
    let [phone, ..] = furnished(&site);
    let first = first_keys(&site);
    let stage = |site: &Site| step(site, "stage", &["pw", "new"]);
    let commit = |site: &Site| step(site, "commit", &["pw", "new"]);
    let abort = |site: &Site| step(site, "abort", &["pw", "new"]);
    for (name, make, locks) in
        [("stage", stage as fn(&Site) -> Command, 1), ("commit", commit, 2), ("abort", abort, 2)]
    {
        let begin = FILES.map(|name| fs::read(site.join(name)).unwrap());
        let change = Change::new(&site, make, b"", locks);
        FILES.iter().zip(&begin).for_each(|(name, file)| fs::write(site.join(name), file).unwrap());
        let ended = std::sync::Mutex::new(0);
        let judge = |site: &Site, call: &Call| {
            let care = Care::of(site);
            let record = care.record();
            for secret in [PASSWORD, &phone] {
                let unlocked = unlocked(&record, &care, secret.as_bytes()).unwrap();
                opens_all(&care, &first, &unlocked, call);
            }
            let states = care.passwords();
            let new = unlocked(&record, &care, b"new").is_some();
            match (name, states.as_slice()) {
                (_, [Active, Pending]) => assert!(new, "{call:?}"),
                ("commit", [Retiring, Active]) => assert!(new, "{call:?}"),
                ("stage" | "abort", [Active]) => assert!(!new, "{call:?}"),
                other => panic!("{other:?} after {call:?}"),
            }
            if states != [Active, Pending] {
                *ended.lock().unwrap() += 1;
            }
            // The backend has one of the two; a login with it settles it.
            let one = if new && call.nth.is_multiple_of(2) { "new" } else { PASSWORD };
            is_in_order_after_login(site, one, call);
            assert_eq!(care.unlocking(&[one]), [one]);
        };
        on_two_sites(&change.calls, |site, _, call| {
            change.restore(site);
            call.killed_in(&make(site), b"");
            judge(site, call);
        });
        let ended = ended.into_inner().unwrap();
        assert!(ended >= 2 && ended + 2 <= change.calls.len(), "{name}: {ended}");
    }
}

/// The login that settles what a lost commit left.
#[test]
fn a_settling_login_killed_anywhere() {
    let site = Site::new();
    let [phone, ..] = furnished(&site);
    let first = first_keys(&site);
    drop(Care::of(&site).stage(PASSWORD, "new").unwrap());
    let login = |site: &Site| step(site, "login", &["new"]);
    let begin = FILES.map(|name| fs::read(site.join(name)).unwrap());
    let change = Change::new(&site, login, b"", 1);
    FILES.iter().zip(&begin).for_each(|(name, file)| fs::write(site.join(name), file).unwrap());
    change.killed_everywhere(|site, call, is_before| {
        let care = Care::of(site);
        let record = care.record();
        for secret in ["new", &phone] {
            opens_all(&care, &first, &unlocked(&record, &care, secret.as_bytes()).unwrap(), call);
        }
        assert_eq!(unlocked(&record, &care, PASSWORD.as_bytes()).is_some(), is_before);
        is_in_order_after_login(site, "new", call);
        assert_eq!(care.passwords(), [Active]);
        let app = care.record().slots().iter().filter(|slot| slot.kind() == SlotKind::App).count();
        assert_eq!(app, 2);
    });
}

/// A program that makes one of the agent's changes: this one.
fn step(site: &Site, what: &str, passwords: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "each_step_by_itself", "--test-threads=1"]);
    let file = site.file("step", format!("{what}\n{}", passwords.join("\n")).as_bytes());
    command.env("NIGHTSAFE_TEST_STEP", file).env("NIGHTSAFE_CONFIG", site.config());
    command
}

/// Run by the others with one step to make, it makes it and is killed there.
#[test]
fn each_step_by_itself() {
    if let Ok(plan) = std::env::var("NIGHTSAFE_TEST_STEP") {
        let config = std::env::var("NIGHTSAFE_CONFIG").unwrap();
        let care = Care::at(std::path::Path::new(&config), "alice");
        return make(&care, &fs::read_to_string(plan).unwrap());
    }
    let site = Site::new();
    let care = Care::of(&site);
    care.enroll(PASSWORD);
    for (plan, states) in [
        ("stage\npw\nnew", &[Active, Pending][..]),
        ("login\npw", &[Active, Pending]),
        ("abort\npw\nnew", &[Active]),
        ("commit\npw\nnew", &[Retiring, Active]),
        ("login\nnew", &[Active]),
    ] {
        make(&care, plan);
        assert_eq!(care.passwords(), states, "{plan:?}");
    }
}

fn make(care: &Care, plan: &str) {
    match plan.lines().collect::<Vec<_>>()[..] {
        ["login", password] => drop(care.login(password).unwrap()),
        ["stage", old, new] => drop(care.stage(old, new).unwrap()),
        ["commit", old, new] => care.commit(care.stage(old, new).unwrap()).unwrap(),
        ["abort", old, new] => care.abort(care.stage(old, new).unwrap()).unwrap(),
        _ => panic!("no step: {plan}"),
    }
}
