//! Accounts whose password nobody knows yet: their mail is sealed at once, and the first login locks
//! their keys.

mod support;

use std::fs;

use support::care::Care;
use support::{Site, opened};

const PASSWORD: &[u8] = b"pw";
const LIST: &[u8] = b"# everybody\nalice@example.org\n\n  Bob@Example.org  \ncarol\n";
const USERS: [&str; 3] = ["alice@example.org", "bob@example.org", "carol"];

#[test]
fn a_list_of_users_takes_mail_at_once() {
    let site = Site::new();
    let list = site.file("users", LIST);
    let enroll = ["enroll", "--provisional", "--from", &list];
    let said = site.run(enroll).good().text();
    assert_eq!(said, "3 users enrolled, 0 had keys already\n");
    let sealed = USERS.map(|user| site.seal(user));
    let listed = site.run(["list"]).good().text();
    assert_eq!(listed.matches("generation 1, provisional, waits for the first login").count(), 3);
    let checked = site.run(["check"]).good().text();
    assert!(checked.contains("ok     first logins: 3 accounts are provisional"), "{checked}");
    // No password opens them yet, not even an empty one.
    for password in [&b""[..], PASSWORD] {
        let ran = site.unseal("carol", password, &sealed[2]);
        ran.fails(77, &["the keys of carol wait for the first login"]);
    }
    // Again: who is there is left alone.
    let before = fs::read(site.private("carol")).unwrap();
    let longer = [LIST, b"dave\n"].concat();
    let said = site.feed(["enroll", "--provisional", "--from", "-"], &longer).good().text();
    assert_eq!(said, "1 users enrolled, 3 had keys already\n");
    assert_eq!(fs::read(site.private("carol")).unwrap(), before);

    // The first logins.
    for (user, early) in USERS.iter().zip(&sealed) {
        let login = Care::of_user(&site, user).login("pw").unwrap();
        assert_eq!(login.problem, None);
        for sealed in [early, &site.seal(user)] {
            assert_eq!(site.unseal(user, PASSWORD, sealed).good().stdout, opened());
        }
    }
    let checked = site.run(["check"]).good().text();
    assert!(checked.contains("ok     first logins: 1 account is provisional"), "{checked}");
    site.enroll("dave", PASSWORD).good();
    let checked = site.run(["check"]).good().text();
    assert!(checked.contains("ok     first logins: no account is provisional"), "{checked}");
}

#[test]
fn a_bad_line_keeps_nobody_else_out() {
    let site = Site::new();
    site.enroll("carol", PASSWORD).good();
    let list = b"alice\n../x\n-rf\ntwo words\ncarol\nbob\n";
    let ran = site.feed(["enroll", "--provisional", "--from", "-"], list);
    let ran = ran.fails(65, &["2 users were not enrolled; 3 were, 1 had keys already"]);
    assert!(ran.stderr.contains("warning: \"../x\": user name \"../x\" contains a slash"));
    assert!(site.public("alice").exists() && site.public("bob").exists());
    assert!(site.unlocks("carol", PASSWORD));
    let missing = site.path().join("none").display().to_string();
    site.run(["enroll", "--provisional", "--from", &missing]).fails(66, &["cannot read", &missing]);
}

/// What the README says of it: the site's key opens the mail until the first login, and none after.
#[test]
fn what_a_provisional_key_is_worth() {
    let site = Site::new();
    site.run(["enroll", "--provisional", "alice"]).good();
    let early = site.seal("alice");
    // A thief with all of the site, provisional key and pepper included, plays the first login.
    let old = fs::read(site.private("alice")).unwrap();
    let thief = Site::not_set_up();
    fs::remove_dir_all(thief.path()).unwrap();
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("-a").args([site.path(), thief.path()]).status().unwrap().success());
    thief.configure("", "");
    thief.enroll("alice", b"thief").good();
    assert_eq!(thief.unseal("alice", b"thief", &early).good().stdout, opened());

    // The owner logs in, and later mail is hers alone.
    Care::of(&site).login("pw").unwrap();
    let late = site.seal("alice");
    thief.unseal("alice", b"thief", &late).fails(77, &["another key"]);
    // Nor does it help to put the old record back into the site.
    let good = fs::read(site.private("alice")).unwrap();
    fs::write(site.private("alice"), old).unwrap();
    let checked = site.run(["check"]).text();
    assert!(checked.contains("is older (generation 1) than the public key"), "{checked}");
    site.enroll("alice", b"thief").fails(65, &["older than the public key in use"]);
    let login = Care::of(&site).login("thief").unwrap();
    assert!(login.problem.unwrap().contains("older than the public key"));
    fs::write(site.private("alice"), good).unwrap();
    assert_eq!(site.unseal("alice", PASSWORD, &late).good().stdout, opened());
}

#[test]
fn without_the_provisional_key() {
    let site = Site::new();
    site.run(["enroll", "--provisional", "alice"]).good();
    let early = site.seal("alice");
    let (key, away) = (site.join("provisional.key"), site.join("away"));
    fs::rename(&key, &away).unwrap();
    // Mail goes on being sealed; nobody new can be enrolled like this, and no first login succeeds.
    site.seal("alice");
    site.run(["enroll", "--provisional", "bob"]).fails(78, &["the site has no provisional key"]);
    let list = ["enroll", "--provisional", "--from", "-"];
    site.feed(list, b"bob\n").fails(78, &["the site has no provisional key"]);
    site.enroll("alice", PASSWORD).fails(78, &["needs provisional key", "there is none"]);
    let ran = site.run(["check"]);
    assert!(ran.text().contains("alice needs provisional key age1"), "{}", ran.text());
    // A new one would not fit, and is not made: neither for a record in use nor for an archived one.
    site.run(["setup"]).fails(73, &["the provisional key", "is missing"]);
    site.run(["remove", "alice"]).good();
    site.run(["setup"]).fails(73, &["the provisional key", "is missing"]);
    fs::rename(&away, &key).unwrap();
    site.run(["enroll", "--provisional", "alice"]).good();
    fs::copy(Site::new().join("provisional.key"), &key).unwrap();
    site.enroll("alice", PASSWORD).fails(78, &["needs provisional key", "and this one is"]);
    fs::write(&key, "garbage").unwrap();
    site.enroll("alice", PASSWORD).fails(78, &[&key.display().to_string(), "no provisional key"]);
    drop(early);
}

/// The postmaster need not wait: `enroll` with the password is a first login.
#[test]
fn enroll_with_a_password_ends_it() {
    let site = Site::new();
    let first = site.run(["enroll", "--provisional", "alice"]).good().text();
    let early = site.seal("alice");
    site.run(["enroll", "--provisional", "alice"]).fails(73, &["has keys already"]);
    let second = site.enroll("alice", PASSWORD).good().text();
    assert_ne!(first, second);
    for sealed in [early, site.seal("alice")] {
        assert_eq!(site.unseal("alice", PASSWORD, &sealed).good().stdout, opened());
    }
    site.enroll("alice", PASSWORD).fails(73, &["has keys already"]);
    site.run(["check"]).good();
}

#[test]
fn arguments_that_go_together() {
    let site = Site::new();
    let wrong: [&[&str]; 6] = [
        &["enroll"],
        &["enroll", "--provisional"],
        &["enroll", "--from", "x"],
        &["enroll", "--provisional", "alice", "--from", "x"],
        &["enroll", "--provisional", "alice", "--password-file", "-"],
        &["enroll", "--provisional", "alice", "--recovery-code"],
    ];
    for arguments in wrong {
        site.run(arguments).fails(64, &[]);
    }
    assert_eq!(site.run(["list"]).good().text(), "");
}
