//! Other ways to a user's keys: app passwords and recovery codes, through the program.

mod support;

use std::fs;

use support::care::Care;
use support::{Ran, Site, opened};

const PASSWORD: &[u8] = b"pw";

fn site() -> Site {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site
}

fn add(site: &Site, what: &[&str]) -> Ran {
    let arguments = ["slot", "add", "alice", "--password-file", "-"];
    site.feed(arguments.iter().chain(what), PASSWORD)
}

/// What was printed: one line, nothing else.
#[track_caller]
fn printed(ran: Ran) -> String {
    let text = ran.good().text();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n') && line.is_ascii(), "{text:?}");
    line.to_owned()
}

fn app(site: &Site, name: &str) -> String {
    printed(add(site, &["--app", name]))
}

fn remove(site: &Site, slot: &str) -> Ran {
    site.feed(["slot", "remove", "alice", slot, "--password-file", "-"], PASSWORD)
}

fn listed(site: &Site) -> Vec<String> {
    let text = site.run(["slot", "list", "alice"]).good().text();
    text.lines().map(str::to_owned).collect()
}

fn use_code(site: &Site, code: &str, new: &[u8], more: &[&str]) -> Ran {
    let new = site.file("new", new);
    let arguments = ["recovery", "use", "alice", "--code-file", "-", "--new-password-file", &new];
    site.feed(arguments.iter().chain(more), code.as_bytes())
}

#[test]
fn an_app_password_opens_until_it_is_removed() {
    let site = site();
    let phone = app(&site, "phone");
    let tablet = app(&site, "my tablet (2)");
    assert!(phone.starts_with("app-") && phone.len() == 43 && phone != tablet, "{phone}");
    let sealed = site.seal("alice");
    for typed in [&phone, &phone.replace('-', ""), &phone.to_uppercase(), &tablet] {
        assert_eq!(site.unseal("alice", typed.as_bytes(), &sealed).good().stdout, opened());
    }
    let lines = listed(&site);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("  password         active    20"), "{lines:?}");
    assert!(lines[1].contains("  app password     active    20"), "{lines:?}");
    assert!(lines[1].ends_with("  \"phone\"") && lines[2].ends_with("  \"my tablet (2)\""));

    let said = remove(&site, "phone").good().text();
    assert!(said.starts_with("app password ") && said.contains("keys rotated"), "{said}");
    assert!(!site.unlocks("alice", phone.as_bytes()));
    for secret in [PASSWORD, tablet.as_bytes()] {
        for sealed in [&sealed, &site.seal("alice")] {
            assert_eq!(site.unseal("alice", secret, sealed).good().stdout, opened());
        }
    }
    // By its id, too.
    let id = listed(&site)[1].split(' ').next().unwrap().to_owned();
    remove(&site, &id).good();
    assert_eq!(listed(&site).len(), 1);
    site.run(["check"]).good();
}

#[test]
fn what_cannot_be_done_to_slots() {
    let site = site();
    let phone = app(&site, "phone");
    let before = fs::read(site.private("alice")).unwrap();
    add(&site, &["--app", "phone"]).fails(73, &["called \"phone\" already"]);
    for name in ["", " x", "x\n", &"x".repeat(65), "a\u{7}"] {
        add(&site, &["--app", name]).fails(64, &["a slot's name has 1 to 64 characters"]);
    }
    add(&site, &[]).fails(64, &["required"]);
    add(&site, &["--app", "x", "--recovery-code"]).fails(64, &["cannot be used with"]);
    let ran = remove(&site, "tablet").fails(64, &["user alice has no slot \"tablet\""]);
    assert!(ran.stderr.contains("hint: nightsafe slot list alice"), "{}", ran.stderr);
    let password = listed(&site)[0].split(' ').next().unwrap().to_owned();
    remove(&site, &password).fails(64, &[&password, "is a password and cannot be removed"]);
    // An app password cares for no keys: neither for its own slot nor for the password.
    let new = site.file("new", b"new");
    let care: [&[&str]; 4] = [
        &["slot", "add", "alice", "--app", "x", "--password-file", "-"],
        &["slot", "remove", "alice", "phone", "--password-file", "-"],
        &["rotate", "alice", "--password-file", "-"],
        &["passwd", "alice", "--password-file", "-", "--new-password-file", &new],
    ];
    for arguments in care {
        site.feed(arguments, phone.as_bytes()).fails(77, &["takes the login password of alice"]);
        site.feed(arguments, b"wrong").fails(77, &["wrong password"]);
    }
    assert_eq!(fs::read(site.private("alice")).unwrap(), before);
    for arguments in [&["slot", "list", "bob"][..], &["recovery", "use", "bob"]] {
        let ran = site.run(arguments);
        assert_ne!(ran.status, Some(0));
    }
    site.run(["slot", "list", "bob"]).fails(67, &["user bob is not enrolled"]);
}

/// Nobody is let in, or out, by a password that looks like a printed code.
#[test]
fn a_code_is_no_password() {
    let site = site();
    let phone = app(&site, "phone");
    let code = printed(add(&site, &["--recovery-code"]));
    for printed in [&phone, &code] {
        let words = "must not have the form";
        site.passwd("alice", PASSWORD, printed.as_bytes()).fails(66, &[words]);
        site.enroll("bob", printed.as_bytes()).fails(66, &[words]);
        use_code(&site, &code, printed.as_bytes(), &[]).fails(66, &[words]);
    }
    assert!(!site.private("bob").exists());
    // And a recovery code is not one either.
    assert!(!site.unlocks("alice", code.as_bytes()));
}

#[test]
fn a_recovery_code_is_good_for_one_use() {
    let site = site();
    let enrolled = site
        .feed(["enroll", "bob", "--recovery-code", "--password-file", "-"], PASSWORD)
        .good()
        .text();
    let [key, of_bob] = enrolled.lines().collect::<Vec<_>>()[..] else { panic!("{enrolled}") };
    assert!(key.starts_with("age1") && of_bob.starts_with("recovery-"), "{enrolled}");

    let phone = app(&site, "phone");
    let code = printed(add(&site, &["--recovery-code"]));
    assert!(code.starts_with("recovery-") && code.len() == 58, "{code}");
    let sealed = site.seal("alice");
    let before = fs::read(site.private("alice")).unwrap();
    let mistyped = format!("{}0", &code[..code.len() - 1]);
    let mistyped =
        if mistyped == code { format!("{}1", &code[..code.len() - 1]) } else { mistyped };
    for (typed, status, words) in [
        (mistyped.as_str(), 66, "no recovery code, or a mistyped one"),
        (&phone, 66, "no recovery code, or a mistyped one"),
        ("pw", 66, "no recovery code, or a mistyped one"),
        (of_bob, 77, "somebody else's"),
    ] {
        use_code(&site, typed, b"new", &[]).fails(status, &[words]);
    }
    assert_eq!(fs::read(site.private("alice")).unwrap(), before);

    let used = use_code(&site, &code.to_lowercase().replace('-', " "), b"new", &[]).good();
    assert!(used.text().starts_with("password of alice set"), "{used:?}");
    assert!(used.stderr.contains("hint: the code is used up"), "{used:?}");
    assert!(used.stderr.contains("in the login backend"), "{used:?}");
    assert!(!site.unlocks("alice", PASSWORD));
    for secret in [&b"new"[..], phone.as_bytes()] {
        for sealed in [&sealed, &site.seal("alice")] {
            assert_eq!(site.unseal("alice", secret, sealed).good().stdout, opened());
        }
    }
    let ran = use_code(&site, &code, b"newer", &[]).fails(77, &["used up"]);
    assert!(ran.stderr.contains("hint: each recovery code is good for one use"));
    // The user is told.
    let notices = Care::of(&site).login("new").unwrap().notices;
    assert!(
        notices.iter().any(|notice| notice.event.to_string().contains("recovery code unlocked"))
    );

    // A code that replaces itself.
    let arguments = ["slot", "add", "alice", "--recovery-code", "--password-file", "-"];
    let first = printed(site.feed(arguments, b"new"));
    let second = printed(use_code(&site, &first, b"newer", &["--recovery-code"]));
    use_code(&site, &first, b"x", &[]).fails(77, &["used up"]);
    use_code(&site, &second, b"newest", &[]).good();
    assert!(site.unlocks("alice", b"newest"));
}

/// A new code takes the old one's place, and the old one opens no later mail.
#[test]
fn there_is_one_recovery_code() {
    let site = site();
    let first = printed(add(&site, &["--recovery-code"]));
    let old = fs::read(site.private("alice")).unwrap();
    let second = printed(add(&site, &["--recovery-code"]));
    assert_eq!(listed(&site).len(), 2);
    use_code(&site, &first, b"x", &[]).fails(77, &["replaced"]);
    let sealed = site.seal("alice");
    let public = fs::read(site.public("alice")).unwrap();
    // With an old copy of the record the old code unlocks, and its keys are those of then.
    let new = fs::read(site.private("alice")).unwrap();
    let away = site.join("away");
    fs::rename(site.public("alice"), &away).unwrap();
    fs::write(site.private("alice"), old).unwrap();
    use_code(&site, &first, b"thief", &[]).good();
    site.unseal("alice", b"thief", &sealed).fails(77, &["another key"]);
    fs::write(site.private("alice"), new).unwrap();
    fs::write(site.public("alice"), public).unwrap();
    use_code(&site, &second, b"new", &[]).good();
    assert_eq!(site.unseal("alice", b"new", &sealed).good().stdout, opened());
}

#[test]
fn without_the_pepper_a_recovery_code_opens() {
    let site = site();
    let code = printed(add(&site, &["--recovery-code"]));
    let phone = app(&site, "phone");
    let sealed = site.seal("alice");
    fs::copy(Site::new().join("pepper"), site.join("pepper")).unwrap();
    site.identity("alice", PASSWORD).fails(78, &["needs pepper"]);
    site.unseal("alice", phone.as_bytes(), &sealed).good();
    use_code(&site, &code, b"new", &[]).good();
    assert_eq!(site.unseal("alice", b"new", &sealed).good().stdout, opened());
    site.run(["check"]).good();
}

/// Many programs at once: each has done all of what it says, and nothing of what it does not.
#[test]
fn changes_at_once() {
    let site = site();
    let phone = app(&site, "phone");
    let sealed = site.seal("alice");
    let care = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().chain(&["--password-file", "-"]).collect();
        let ran = site.feed(arguments, PASSWORD);
        if ran.status != Some(0) {
            // The record was another by the time of writing, or the slot was gone already.
            assert!(matches!(ran.status, Some(75 | 64)), "{ran:?}");
        }
        ran.status == Some(0)
    };
    let names: Vec<_> = (0..4).map(|number| format!("app {number}")).collect();
    let (mut added, mut rotated, mut removed) = (0, 0, 0);
    std::thread::scope(|scope| {
        let care = &care;
        let adds: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || care(&["slot", "add", "alice", "--app", name])))
            .collect();
        let rotations: Vec<_> =
            (0..3).map(|_| scope.spawn(move || care(&["rotate", "alice"]))).collect();
        let removals: Vec<_> = (0..2)
            .map(|_| scope.spawn(move || care(&["slot", "remove", "alice", "phone"])))
            .collect();
        let done = |threads: Vec<std::thread::ScopedJoinHandle<'_, bool>>| {
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|done| *done).count()
        };
        (added, rotated, removed) = (done(adds), done(rotations), done(removals));
    });
    assert!(added + rotated + removed >= 1 && removed <= 1);
    let names: Vec<_> = listed(&site).into_iter().filter(|line| line.contains("\"app ")).collect();
    assert_eq!(names.len(), added);
    let record = Care::of(&site).record();
    assert_eq!(record.public().unwrap().generation, 1 + (rotated + removed) as u64);
    assert_eq!(record.version(), 2 + (added + rotated + removed) as u64);
    assert_eq!(site.unlocks("alice", phone.as_bytes()), removed == 0);
    for sealed in [&sealed, &site.seal("alice")] {
        assert_eq!(site.unseal("alice", PASSWORD, sealed).good().stdout, opened());
    }
    site.run(["check"]).good();
}

#[test]
fn there_is_an_end_to_slots() {
    let site = site();
    let care = Care::of(&site);
    let record = care.record();
    let unlocked = record.unlock(PASSWORD, &care.secrets).unwrap();
    let mut change = nightsafe::keys::change::Change::of(&record, unlocked.root()).unwrap();
    for number in 1..64 {
        let code = nightsafe::keys::code::Code::generate(nightsafe::keys::code::CodeKind::App);
        change.add_code(&code, Some(&format!("app {number}")), 1).unwrap();
    }
    care.keys.apply(&care.user, change, &record).unwrap();
    let ran = add(&site, &["--app", "one more"]).fails(73, &["can hold no more slots"]);
    assert!(ran.stderr.contains("hint: remove some slots first"), "{}", ran.stderr);
    remove(&site, "app 7").good();
    app(&site, "one more");
}
