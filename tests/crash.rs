//! The program killed at every file operation, and every file operation failing: the old password or
//! the new one unlocks, and no mail is sealed to a key that can vanish.

mod support;

use std::fs;
use std::path::Path;

use support::trace::{Call, calls, on_two_sites};
use support::{Site, files_below, opened};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn has_leftovers(site: &Site) -> bool {
    let mut all = names(&site.private(""));
    all.extend(names(&site.public("")));
    all.iter().any(|name| name.starts_with(".tmp-"))
}

fn passwd(site: &Site, old: &str, new: &str) -> [String; 6] {
    let files = [old, new].map(|word| site.file(word, word.as_bytes()));
    let [old, new] = files;
    ["passwd", "alice", "--password-file", &old, "--new-password-file", &new].map(str::to_owned)
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// From the lock on: before it, nothing is written.
fn split_at_lock(calls: Vec<Call>) -> (Vec<Call>, Vec<Call>) {
    let lock = calls.iter().position(|call| call.name == "flock").unwrap();
    let mut before = calls;
    let after = before.split_off(lock);
    assert!(after.iter().any(|call| call.name == "fsync"), "{after:?}");
    (before, after)
}

fn calls_of_passwd() -> (Vec<Call>, Vec<Call>) {
    let site = Site::new();
    site.enroll("alice", b"old").good();
    split_at_lock(calls(&site, &words(&passwd(&site, "old", "new")), b""))
}

/// Which of the two passwords unlocks: exactly one does.
#[track_caller]
fn the_one<'a>(site: &Site, old: &'a str, new: &'a str, call: &Call) -> &'a str {
    match (site.unlocks("alice", old.as_bytes()), site.unlocks("alice", new.as_bytes())) {
        (true, false) => old,
        (false, true) => new,
        both => panic!("old and new unlock: {both:?} after {call:?}"),
    }
}

/// A site with alice, whose password is in a file of the test, since it changes from case to case.
fn current(site: &Site) -> String {
    let file = site.join("../test/current");
    fs::read_to_string(&file).unwrap_or_else(|_| {
        site.enroll("alice", b"first").good();
        fs::write(file, "first").unwrap();
        "first".to_owned()
    })
}

#[test]
fn passwd_killed_anywhere() {
    let (before, after) = calls_of_passwd();
    let site = Site::new();
    site.enroll("alice", b"old").good();
    let state = files_below(&site.path());
    for call in &before {
        call.killed(&site, &words(&passwd(&site, "old", "new")), b"");
        assert_eq!(files_below(&site.path()), state, "{call:?}");
    }
    let left = std::sync::atomic::AtomicUsize::new(0);
    on_two_sites(&after, |site, number, call| {
        let old = current(site);
        let (new, next) = (format!("new {number}"), format!("next {number}"));
        call.killed(site, &words(&passwd(site, &old, &new)), b"");
        if has_leftovers(site) {
            left.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        let one = the_one(site, &old, &new, call);
        site.run(["check"]).good();
        site.passwd("alice", one.as_bytes(), next.as_bytes()).good();
        assert!(!has_leftovers(site), "not swept after {call:?}");
        site.file("current", next.as_bytes());
    });
    assert!(left.into_inner() > 2, "no kill left a temporary file: were they where it matters?");
}

#[test]
fn passwd_with_every_operation_failing() {
    let (_, after) = calls_of_passwd();
    let of_keys: Vec<_> = after.into_iter().filter(Call::is_of_keys).collect();
    on_two_sites(&of_keys, |site, number, call| {
        let old = current(site);
        let new = format!("new {number}");
        let error = if call.name == "write" { "ENOSPC" } else { "EIO" };
        let ran = call.failed(error, site, &words(&passwd(site, &old, &new)), b"");
        let lists = call.name == "getdents64" || call.line.contains(", \".\"");
        if call.line.contains("/keys/public") && !lists {
            // The key is the same; its file says no more than which write of the record it knows.
            ran.good();
            assert_eq!(the_one(site, &old, &new, call), new, "{call:?}");
            site.file("current", new.as_bytes());
            return;
        }
        let keys = site.join("keys").display().to_string();
        let says = if error == "EIO" { "Input/output error" } else { "No space left" };
        ran.fails(74, &["cannot ", &keys, says]);
        assert!(!has_leftovers(site), "{call:?}");
        let one = the_one(site, &old, &new, call);
        let renamed = call.name == "fsync" && !call.line.contains(".tmp-");
        assert_eq!(one == new, renamed, "{call:?}");
        site.file("current", one.as_bytes());
    });
}

fn enroll(user: &str) -> [&str; 4] {
    ["enroll", user, "--password-file", "-"]
}

#[test]
fn enroll_killed_anywhere() {
    let (before, after) = split_at_lock(calls(&Site::new(), &enroll("alice"), b"pw"));
    let site = Site::new();
    let state = files_below(&site.path());
    for call in &before {
        call.killed(&site, &enroll("alice"), b"pw");
        assert_eq!(files_below(&site.path()), state, "{call:?}");
    }
    on_two_sites(&after, |site, number, call| {
        let user = format!("user{number}");
        call.killed(site, &enroll(&user), b"pw");
        let (record, public) = (site.private(&user).exists(), site.public(&user).exists());
        assert!(record || !public, "a public key without its record: {call:?}");
        if public {
            site.enroll(&user, b"pw").fails(73, &["has keys already"]);
        } else {
            assert_eq!(site.deliver(&["--recipient", &user]).status, Some(75));
            if record {
                site.enroll(&user, b"other").fails(77, &[&user, "no public key"]);
            }
            site.enroll(&user, b"pw").good();
        }
        assert!(public || !has_leftovers(site), "not swept after {call:?}");
        assert_eq!(site.unseal(&user, b"pw", &site.seal(&user)).good().stdout, opened());
        site.run(["check"]).good();
    });
}

#[test]
fn enroll_with_every_operation_failing() {
    let (_, after) = split_at_lock(calls(&Site::new(), &enroll("alice"), b"pw"));
    let of_keys: Vec<_> = after.into_iter().filter(Call::is_of_keys).collect();
    on_two_sites(&of_keys, |site, number, call| {
        let user = format!("user{number}");
        let error = if call.name == "write" { "ENOSPC" } else { "EIO" };
        let ran = call.failed(error, site, &enroll(&user), b"pw");
        let (record, public) = (site.private(&user).exists(), site.public(&user).exists());
        if call.name == "unlinkat" {
            // What counts is done; the temporary name goes with the next command.
            ran.good();
            assert!(record && public);
        } else {
            ran.fails(74, &["cannot ", &site.join("keys").display().to_string()]);
            assert!(record || !public, "{call:?}");
        }
        if !public {
            site.enroll(&user, b"pw").good();
        }
        assert_eq!(site.unseal(&user, b"pw", &site.seal(&user)).good().stdout, opened());
    });
}

/// A kill does not show whether what was written is on the disk: the order of the calls does.
#[test]
fn the_record_is_durable_before_the_public_half() {
    let site = Site::new();
    let calls = calls(&site, &enroll("alice"), b"pw");
    let steps = [
        ("write", "/keys/private/.tmp-"),
        ("fsync", "/keys/private/.tmp-"),
        ("linkat", "/keys/private>, \"alice\""),
        ("fsync", "/keys/private>"),
        ("openat", "/keys/public>, \".tmp-"),
        ("fsync", "/keys/public/.tmp-"),
        ("renameat", "/keys/public>, \"alice\""),
        ("fsync", "/keys/public>"),
        ("write", "write(1"),
    ];
    let mut rest = calls.iter();
    for (name, words) in steps {
        let found = rest.any(|call| call.name.starts_with(name) && call.line.contains(words));
        assert!(found, "no {name} of {words} in its place: {calls:#?}");
    }
}

#[test]
fn setup_killed_anywhere_can_be_run_again() {
    let fresh = Site::not_set_up();
    for call in calls(&fresh, &["setup"], b"") {
        // Before there is anything to begin with.
        if call.line.contains("/lib") || call.line.contains("/proc") {
            continue;
        }
        let site = Site::not_set_up();
        call.killed(&site, &["setup"], b"");
        site.run(["setup"]).good();
        let checked = site.run(["check"]);
        assert_eq!(checked.status, Some(0), "{call:?}: {}", checked.text());
        assert_eq!(support::mode(&site.public("")), 0o755, "{call:?}");
    }
}

#[test]
fn rename_and_remove_killed_anywhere_can_be_repeated() {
    for arguments in [&["rename", "alice", "anna"][..], &["remove", "alice"]] {
        let site = Site::new();
        site.enroll("alice", b"pw").good();
        let keys = files_below(&site.join("keys"));
        let pepper = fs::read(site.join("pepper")).unwrap();
        let (_, after) = split_at_lock(calls(&site, arguments, b""));
        for call in after {
            let site = Site::new();
            // The same keys, without the work of making them.
            for name in ["private/alice", "public/alice"] {
                let content = keys.iter().find(|(path, _)| path.ends_with(name));
                fs::write(site.join(&format!("keys/{name}")), &content.unwrap().1).unwrap();
            }
            fs::write(site.join("pepper"), &pepper).unwrap();
            call.killed(&site, arguments, b"");
            let again = site.run(arguments);
            let done = again.status == Some(67);
            assert!(done || again.status == Some(0), "{call:?}: {}", again.stderr);
            assert!(!site.private("alice").exists() && !site.public("alice").exists(), "{call:?}");
            if arguments[0] == "rename" {
                assert!(site.private("anna").exists() && site.public("anna").exists(), "{call:?}");
                site.run(["check"]).good();
            } else {
                let kept = files_below(&site.join("keys/private/.archive"));
                assert_eq!(kept.len(), 2, "{call:?}");
            }
        }
    }
}
