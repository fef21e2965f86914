//! What a login does to a key record, and what a password change leaves for it to do. The login backend
//! is whoever says `confirmed`.

mod support;

use std::fs;
use std::thread;

use nightsafe::age::SecretKey;
use nightsafe::keys::SlotKind;
use nightsafe::keys::SlotState::{Active, Pending, Retiring};
use nightsafe::keys::code::{Code, CodeKind};
use nightsafe::keys::error::UnlockError;
use nightsafe::keys::files::DirectoryError;
use nightsafe::keys::notice::Event;
use nightsafe::keys::site_secrets::SiteSecrets;
use nightsafe::lifecycle::error::LoginError;
use nightsafe::lifecycle::{rotate, slots};
use support::Site;
use support::care::Care;

const DAY: u64 = 24 * 60 * 60;

fn enrolled() -> (Site, Care) {
    let site = Site::new();
    let care = Care::of(&site);
    care.enroll("old");
    (site, care)
}

#[test]
fn a_change_in_two_steps() {
    let (_site, care) = enrolled();
    let staged = care.stage("old", "new").unwrap();
    assert_eq!(care.passwords(), [Active, Pending]);
    assert_eq!(care.unlocking(&["old", "new", "other"]), ["old", "new"]);
    care.commit(staged).unwrap();
    assert_eq!(care.passwords(), [Retiring, Active]);
    assert_eq!(care.unlocking(&["old", "new"]), ["old", "new"]);
    // The backend has shown that it knows the new one.
    assert_eq!(care.login("new").unwrap().problem, None);
    assert_eq!(care.passwords(), [Active]);
    assert_eq!(care.unlocking(&["old", "new"]), ["new"]);
    let version = care.record().version();
    assert_eq!(version, 4);
    care.login("new").unwrap();
    assert_eq!(care.record().version(), version, "a login with nothing to do wrote");
}

#[test]
fn an_aborted_change_leaves_the_old_password() {
    let (_site, care) = enrolled();
    let staged = care.stage("old", "new").unwrap();
    care.abort(staged).unwrap();
    assert_eq!(care.passwords(), [Active]);
    assert_eq!(care.unlocking(&["old", "new"]), ["old"]);
    // A change that was replaced before it was aborted is gone already.
    let first = care.stage("old", "new").unwrap();
    let second = care.stage("old", "newer").unwrap();
    care.abort(first).unwrap();
    assert_eq!(care.unlocking(&["old", "new", "newer"]), ["old", "newer"]);
    care.commit(second).unwrap();
    assert_eq!(care.passwords(), [Retiring, Active]);
}

/// The agent forgot what was staged, or the machine went down.
#[test]
fn a_lost_commit_is_mended_by_the_first_login() {
    let (_site, care) = enrolled();
    drop(care.stage("old", "new").unwrap());
    assert_eq!(care.try_login("new").unwrap().unlocked.state(), Pending);
    assert_eq!(care.passwords(), [Active, Pending], "nobody confirmed that");
    care.login("new").unwrap();
    assert_eq!(care.passwords(), [Active]);
    assert_eq!(care.unlocking(&["old", "new"]), ["new"]);
}

#[test]
fn a_lost_abort_is_forgotten_after_a_day() {
    let (_site, care) = enrolled();
    drop(care.stage("old", "new").unwrap());
    care.login("old").unwrap();
    assert_eq!(care.passwords(), [Active, Pending], "the backend may take it in a moment");
    let care = care.later(DAY + 1);
    care.login("old").unwrap();
    assert_eq!(care.unlocking(&["old", "new"]), ["old"]);
}

/// The commit was lost, and the user changes the password again.
#[test]
fn a_change_after_a_lost_commit() {
    let (_site, care) = enrolled();
    drop(care.stage("old", "new").unwrap());
    let staged = care.stage("new", "newest").unwrap();
    assert_eq!(care.passwords(), [Retiring, Active, Pending]);
    // Whichever the backend knows.
    assert_eq!(care.unlocking(&["old", "new", "newest"]), ["old", "new", "newest"]);
    care.commit(staged).unwrap();
    assert_eq!(care.unlocking(&["old", "new", "newest"]), ["new", "newest"]);
    care.login("newest").unwrap();
    assert_eq!(care.unlocking(&["new", "newest"]), ["newest"]);
}

/// The backend took the new password and then gave the old one back, or a replica of it lags behind.
#[test]
fn a_retired_password_that_the_backend_takes_comes_back() {
    let (_site, care) = enrolled();
    let staged = care.stage("old", "new").unwrap();
    let care = care.later(1);
    care.commit(staged).unwrap();
    care.login("old").unwrap();
    assert_eq!(care.passwords(), [Active, Retiring]);
    // Not even by a second login: the other replica knows the new one only.
    care.login("old").unwrap();
    assert_eq!(care.unlocking(&["old", "new"]), ["old", "new"]);
    care.login("new").unwrap();
    assert_eq!(care.passwords(), [Retiring, Active]);
    care.login("old").unwrap();
    let care = care.later(DAY + 1);
    care.login("old").unwrap();
    assert_eq!(care.unlocking(&["old", "new"]), ["old"]);
}

#[test]
fn a_password_changed_elsewhere_is_diverged() {
    let (_site, care) = enrolled();
    let before = care.record();
    assert!(matches!(care.login("reset").unwrap_err(), LoginError::Diverged(_)));
    // Unless nobody says that it is the right one.
    let error = care.try_login("reset").unwrap_err();
    let wrong = UnlockError::WrongPassword;
    assert!(matches!(error, LoginError::Unlock { cause, .. } if cause == wrong));
    assert_eq!(care.record(), before);
    // The old password mends it, in one step.
    let (keys, user, secrets) = (&care.keys, &care.user, &care.secrets);
    nightsafe::lifecycle::passwd::change(keys, user, b"old", b"reset", secrets, 1).unwrap();
    care.login("reset").unwrap();
    assert_eq!(care.unlocking(&["old", "reset"]), ["reset"]);
}

#[test]
fn of_two_changes_one_wins() {
    let (_site, care) = enrolled();
    let first = care.stage("old", "first").unwrap();
    let second = care.stage("old", "second").unwrap();
    let lost = care.commit(first).unwrap_err();
    assert!(matches!(lost, LoginError::Directory(DirectoryError::Changed(_))), "{lost}");
    assert_eq!(care.unlocking(&["old", "first", "second"]), ["old", "second"]);
    // A login was faster than the commit.
    care.login("second").unwrap();
    care.commit(second).unwrap();
    assert_eq!(care.passwords(), [Active]);
    // A rotation in between: the commit is lost, the password is not.
    let staged = care.stage("second", "third").unwrap();
    rotate::rotate(&care.keys, &care.user, b"second", &care.secrets, care.now).unwrap();
    let lost = care.commit(staged).unwrap_err();
    assert!(matches!(lost, LoginError::Directory(DirectoryError::Changed(_))), "{lost}");
    assert_eq!(care.passwords(), [Active, Pending]);
    care.login("third").unwrap();
    assert_eq!(care.unlocking(&["second", "third"]), ["third"]);
}

/// Many at once: each either did all of it or nothing, and somebody did.
#[test]
fn racing_changes() {
    let (site, _) = enrolled();
    let passwords: Vec<String> = (0..8).map(|number| format!("new {number}")).collect();
    let committed: Vec<_> = thread::scope(|scope| {
        let start = |new: &'_ String| {
            let (site, new) = (&site, new.clone());
            scope.spawn(move || {
                let care = Care::of(site);
                let done = care.stage("old", &new).and_then(|staged| care.commit(staged));
                if let Err(error) = &done {
                    // By then "old" may be no password any more, or the record another.
                    let wrong = UnlockError::WrongPassword;
                    let lost = match error {
                        LoginError::Directory(DirectoryError::Changed(_)) => true,
                        LoginError::Unlock { cause, .. } => *cause == wrong,
                        _ => false,
                    };
                    assert!(lost, "{error}");
                }
                done.is_ok()
            })
        };
        let running: Vec<_> = passwords.iter().map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(committed.iter().any(|done| *done));
    let care = Care::of(&site);
    let record = care.record();
    let active = record.slots().iter().filter(|slot| slot.state() == Active).count();
    assert_eq!(active, 1);
    let new: Vec<_> = passwords.iter().map(String::as_str).collect();
    let unlocking = care.unlocking(&new);
    assert!(!unlocking.is_empty() && unlocking.len() <= 2, "{unlocking:?}");
    assert_eq!(care.keys.public(&care.user).unwrap().unwrap().key, record.public().unwrap().key);
}

#[test]
fn the_first_login_ends_provisional() {
    let site = Site::new();
    let care = Care::of(&site);
    care.enroll_provisional();
    let before = care.record();
    let early = site.seal("alice");
    for error in [care.try_login("pw").unwrap_err(), care.stage("pw", "new").unwrap_err()] {
        assert!(matches!(error, LoginError::Provisional(_)), "{error}");
    }
    assert_eq!(care.record(), before);

    let login = care.login("pw").unwrap();
    assert_eq!((login.problem, login.unlocked.keys.len()), (None, 2));
    assert_eq!(care.record(), login.record);
    let kinds: Vec<_> = login.record.slots().iter().map(nightsafe::keys::Slot::kind).collect();
    assert_eq!(kinds, [SlotKind::Password]);
    assert_eq!(login.record.public().unwrap().generation, 2);
    // What was sealed before and what comes now is hers; the provisional key opens what was before.
    for sealed in [early, site.seal("alice")] {
        site.unseal("alice", b"pw", &sealed).good();
    }
    assert_eq!(
        login.record.unlock_provisional(&care.secrets).unwrap_err(),
        UnlockError::NoPassword
    );
    assert!(matches!(care.login("other").unwrap_err(), LoginError::Diverged(_)));
}

#[test]
fn two_first_logins_at_once_are_one_enrolment() {
    for _ in 0..4 {
        let site = Site::new();
        Care::of(&site).enroll_provisional();
        let logins: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> =
                (0..3).map(|_| scope.spawn(|| Care::of(&site).login("pw"))).collect();
            running.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        let record = Care::of(&site).record();
        assert_eq!((record.public().unwrap().generation, record.slots().len()), (2, 1));
        let public = record.public().unwrap().key;
        assert!(logins.iter().all(|login| login.unlocked.keys[0].public_key() == public));
    }
}

/// The site cannot write, and everybody still reads.
#[test]
fn a_login_is_good_where_nothing_can_be_written() {
    let site = Site::with("after_write = [\"/bin/false\"]", "");
    let care = Care::of(&site);
    // Not published, since it was not replicated.
    let error = nightsafe::lifecycle::enroll::enroll_provisional(
        &care.keys,
        &care.user,
        &care.secrets,
        care.now,
    );
    assert!(matches!(error.unwrap_err(), LoginError::Directory(DirectoryError::AfterWrite { .. })));
    let login = care.login("pw").unwrap();
    assert!(login.problem.unwrap().contains("/bin/false"));
    assert_eq!(login.unlocked.kind(), SlotKind::Provisional);

    site.configure("", "");
    let care = Care::of(&site);
    care.login("pw").unwrap();
    drop(care.stage("pw", "new").unwrap());
    let before = care.record();
    site.configure("after_write = [\"/bin/false\"]", "");
    let failing = Care::of(&site);
    let login = failing.login("new").unwrap();
    assert!(login.problem.unwrap().contains("/bin/false"));
    assert_eq!((login.record.clone(), care.record()), (before.clone(), before));
    assert_eq!(care.login("new").unwrap().problem, None);
    assert_eq!(care.passwords(), [Active]);
}

#[test]
fn notices_are_told_once_and_not_to_a_phone() {
    let (_site, care) = enrolled();
    let (keys, user, secrets, now) = (&care.keys, &care.user, &care.secrets, care.now);
    let phone = slots::add_app(keys, user, b"old", "phone", secrets, now).unwrap();
    let phone = String::from_utf8(phone.to_text().expose().to_vec()).unwrap();
    let tablet = slots::add_app(keys, user, b"old", "tablet", secrets, now).unwrap();
    slots::remove(keys, user, b"old", "tablet", secrets, now).unwrap();

    let by_phone = care.login(&phone).unwrap();
    assert_eq!((by_phone.unlocked.kind(), by_phone.notices), (SlotKind::App, Vec::new()));
    assert!(care.try_login("old").unwrap().notices.is_empty());
    let kind = SlotKind::App;
    let [phone_name, tablet_name] = ["phone", "tablet"].map(|name| Some(name.to_owned()));
    let told = [
        Event::SlotAdded { kind, name: phone_name },
        Event::SlotAdded { kind, name: tablet_name.clone() },
        Event::SlotRemoved { kind, name: tablet_name },
    ];
    let notices = care.login("old").unwrap().notices;
    assert_eq!(notices.iter().map(|notice| notice.event.clone()).collect::<Vec<_>>(), told);
    assert!(notices.iter().all(|notice| notice.at == now));
    assert_eq!(notices[2].event.to_string(), "the app password \"tablet\" was removed");
    assert!(care.login("old").unwrap().notices.is_empty());

    // What was removed is a wrong password, and no sign of a password changed elsewhere.
    let tablet = String::from_utf8(tablet.to_text().expose().to_vec()).unwrap();
    for error in [care.login(&tablet).unwrap_err(), care.try_login(&tablet).unwrap_err()] {
        let wrong = UnlockError::WrongPassword;
        assert!(matches!(&error, LoginError::Unlock { cause, .. } if *cause == wrong), "{error}");
    }
    // A phone changes nothing.
    let error = care.stage(&phone, "new").unwrap_err();
    assert!(matches!(error, LoginError::NotTheLoginPassword(_)));
    let error = slots::add_app(keys, user, phone.as_bytes(), "x", secrets, now).unwrap_err();
    assert!(matches!(error, LoginError::NotTheLoginPassword(_)));
}

#[test]
fn a_password_of_the_form_of_a_code_is_refused() {
    let (_site, care) = enrolled();
    for kind in [CodeKind::App, CodeKind::Recovery] {
        let code = Code::generate(kind).to_text();
        let code = std::str::from_utf8(code.expose()).unwrap();
        assert!(matches!(care.stage("old", code).unwrap_err(), LoginError::PrintedCode));
        assert!(care.login(code).is_err());
    }
    assert_eq!(care.passwords(), [Active]);
}

#[test]
fn escrow_comes_with_the_first_login_that_finds_it() {
    let (_site, care) = enrolled();
    let recovery = SecretKey::generate();
    let secrets = SiteSecrets { recovery: Some(recovery.public_key()), ..care.secrets };
    let care = Care { secrets, ..care };
    assert!(!care.try_login("old").unwrap().record.has(SlotKind::Escrow));
    let login = care.login("old").unwrap();
    let key = recovery.public_key().to_string();
    let events: Vec<_> = login.notices.iter().map(|notice| notice.event.clone()).collect();
    assert_eq!(events, [Event::RecoveryKeyAdded { key: key.clone() }]);
    let slot = login.record.slots().iter().find(|slot| slot.kind() == SlotKind::Escrow).unwrap();
    assert_eq!(slot.public(), key);
    // It is sealed anew at a rotation, without its private half.
    let old = slot.clone();
    rotate::rotate(&care.keys, &care.user, b"old", &care.secrets, care.now).unwrap();
    let record = care.record();
    let slot = record.slots().iter().find(|slot| slot.kind() == SlotKind::Escrow).unwrap();
    assert!(slot.id() == old.id() && *slot != old);
    let version = record.version();
    care.login("old").unwrap();
    assert_eq!(care.record().version(), version);
}

#[test]
fn a_public_half_that_is_missing_or_older_is_published() {
    let (site, care) = enrolled();
    let older = fs::read(site.public("alice")).unwrap();
    rotate::rotate(&care.keys, &care.user, b"old", &care.secrets, care.now).unwrap();
    let good = fs::read(site.public("alice")).unwrap();
    assert_ne!(older, good);
    for bad in [None, Some(&older)] {
        match bad {
            None => fs::remove_file(site.public("alice")).unwrap(),
            Some(older) => fs::write(site.public("alice"), older).unwrap(),
        }
        assert!(care.try_login("old").unwrap().problem.is_some());
        assert_eq!(care.login("old").unwrap().problem, None);
        assert_eq!(fs::read(site.public("alice")).unwrap(), good);
    }
}
