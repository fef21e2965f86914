//! A recovery by the officers killed at every file operation on the server: the old or the new password
//! unlocks, all sealed mail can be read, and the recovery can be brought to its end.

mod officers;
mod support;

use std::fs;
use std::sync::Mutex;

use officers::{Officers, confirmed_login, export, finish_with};
use support::trace::{Call, calls, on_two_sites};
use support::{Site, opened};

/// From the first lock on: before it, nothing is written.
fn from_lock(calls: Vec<Call>) -> Vec<Call> {
    let lock = calls.iter().position(|call| call.name == "flock").unwrap();
    let last = calls.iter().rposition(Call::is_of_keys).unwrap();
    assert!(calls[lock..=last].iter().filter(|call| call.name == "fsync").count() >= 2);
    calls[lock..=last].to_vec()
}

/// Alice at a site with these officers' key. Her password is in a file of the test, since it changes from
/// case to case.
fn current(officers: &Officers, site: &Site) -> String {
    let file = site.join("../test/current");
    fs::read_to_string(&file).unwrap_or_else(|_| {
        officers.give_public_half_to(site);
        site.enroll("alice", b"first").good();
        fs::write(file, "first").unwrap();
        fs::write(site.join("../test/sealed"), site.seal("alice")).unwrap();
        "first".to_owned()
    })
}

/// The mail of the beginning, and what is sealed now, open with this password; a login puts right what is
/// left to do.
#[track_caller]
fn all_is_well(site: &Site, password: &str, call: &Call) {
    let first = fs::read(site.join("../test/sealed")).unwrap();
    for sealed in [first, site.seal("alice")] {
        let ran = site.unseal("alice", password.as_bytes(), &sealed);
        assert_eq!(ran.status, Some(0), "{call:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, opened());
    }
    let login = confirmed_login(site, "alice", password.as_bytes());
    assert_eq!(login.problem, None, "{call:?}");
    let checked = site.run(["check"]);
    assert_eq!(checked.status, Some(0), "{call:?}: {}", checked.text());
    site.file("current", password.as_bytes());
}

fn has_temporary(site: &Site) -> bool {
    let entries = fs::read_dir(site.private(".recovery")).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.any(|name| name.starts_with(".tmp-"))
}

#[test]
fn export_killed_anywhere() {
    let officers = Officers::with_shares();
    let site = Site::new();
    let words = ["recovery", "export", "alice"];
    current(&officers, &site);
    // The first one makes the folder.
    let mut cases = from_lock(calls(&site, &words, b""));
    let without_folder = cases.len();
    cases.extend(from_lock(calls(&site, &words, b"")));
    let seen = Mutex::new([0, 0]);
    on_two_sites(&cases, |site, number, call| {
        let old = current(&officers, site);
        let (folder, new) = (site.private(".recovery"), format!("new {number}"));
        let first = number < without_folder;
        if first {
            let _ = fs::remove_dir_all(&folder);
        }
        let answer = (!first).then(|| officers.answer(&export(site, "alice")));
        let state = fs::read(site.private("alice")).unwrap();
        call.killed(site, &words, b"");
        assert_eq!(fs::read(site.private("alice")).unwrap(), state, "{call:?}");
        assert!(site.unlocks("alice", old.as_bytes()), "{call:?}");
        // The answer of before is good, or was replaced; another export always does it.
        let before = answer.map(|answer| finish_with(site, "alice", &answer, new.as_bytes()));
        let good = before.as_ref().is_some_and(|ran| ran.status == Some(0));
        seen.lock().unwrap()[usize::from(good)] += 1;
        if let Some(ran) = before.filter(|_| !good) {
            ran.fails(65, &["not the answer to the last export"]);
        }
        if !good {
            let answer = officers.answer(&export(site, "alice"));
            finish_with(site, "alice", &answer, new.as_bytes()).good();
        }
        assert!(!has_temporary(site), "{call:?}");
        assert!(!site.unlocks("alice", old.as_bytes()), "{call:?}");
        all_is_well(site, &new, call);
    });
    let [replaced, kept] = seen.into_inner().unwrap();
    assert!(replaced >= 2 && kept >= 4, "{replaced} replaced, {kept} kept");
}

fn finish_words(site: &Site, answer: &[u8]) -> [String; 7] {
    let answer = site.file("answer", answer);
    ["recovery", "finish", "alice", "--answer", &answer, "--new-password-file", "-"]
        .map(str::to_owned)
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn calls_of_finish(officers: &Officers) -> Vec<Call> {
    let site = Site::new();
    current(officers, &site);
    let answer = officers.answer(&export(&site, "alice"));
    from_lock(calls(&site, &words(&finish_words(&site, &answer)), b"new"))
}

/// Which of the two passwords unlocks: exactly one does.
#[track_caller]
fn is_new(site: &Site, old: &str, new: &str, call: &Call) -> bool {
    match (site.unlocks("alice", old.as_bytes()), site.unlocks("alice", new.as_bytes())) {
        (true, false) => false,
        (false, true) => true,
        both => panic!("old and new unlock: {both:?} after {call:?}"),
    }
}

#[test]
fn finish_killed_anywhere() {
    let officers = Officers::with_shares();
    let seen = Mutex::new([0, 0]);
    on_two_sites(&calls_of_finish(&officers), |site, number, call| {
        let (old, new) = (current(&officers, site), format!("new {number}"));
        let answer = officers.answer(&export(site, "alice"));
        call.killed(site, &words(&finish_words(site, &answer)), new.as_bytes());
        let done = is_new(site, &old, &new, call);
        seen.lock().unwrap()[usize::from(done)] += 1;
        let again = finish_with(site, "alice", &answer, new.as_bytes());
        if done {
            // Used up, whether or not its key is still there.
            let left = site.private(".recovery/alice").exists();
            again.fails(65, &[if left { "does not fit the keys" } else { "is under way" }]);
        } else {
            again.good();
        }
        all_is_well(site, &new, call);
    });
    let [before, after] = seen.into_inner().unwrap();
    assert!(before >= 4 && after >= 4, "killed {before} times before it, {after} after it");
}

#[test]
fn finish_with_every_operation_failing() {
    let officers = Officers::with_shares();
    let of_keys: Vec<_> = calls_of_finish(&officers).into_iter().filter(Call::is_of_keys).collect();
    on_two_sites(&of_keys, |site, number, call| {
        let (old, new) = (current(&officers, site), format!("new {number}"));
        let answer = officers.answer(&export(site, "alice"));
        let error = if call.name == "write" { "ENOSPC" } else { "EIO" };
        let ran = call.failed(error, site, &words(&finish_words(site, &answer)), new.as_bytes());
        if call.line.contains("/keys/public>, \"alice\", O_RDONLY") {
            // A public half that cannot be read is replaced by one that can.
            ran.good();
        } else {
            assert_eq!(ran.status, Some(74), "{call:?}: {}", ran.stderr);
            ran.fails(74, &["cannot ", &site.join("keys").display().to_string()]);
        }
        let done = is_new(site, &old, &new, call);
        if !done {
            finish_with(site, "alice", &answer, new.as_bytes()).good();
        }
        all_is_well(site, &new, call);
    });
}
