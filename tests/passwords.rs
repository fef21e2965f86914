//! Passwords through the program: which ones work, what a wrong one gets, and two changes at once.

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, Site, finish, opened};

const PASSWORD: &[u8] = b"correct horse";

fn site() -> Site {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site
}

#[test]
fn a_wrong_password_is_one_error() {
    let site = site();
    let sealed = site.file("message", &site.seal("alice"));
    let new = site.file("new", b"new");
    let before = fs::read(site.private("alice")).unwrap();
    let commands: [&[&str]; 3] = [
        &["unseal", &sealed, "--password-file", "-"],
        &["identity", "alice", "--password-file", "-"],
        &["passwd", "alice", "--password-file", "-", "--new-password-file", &new],
    ];
    for command in commands {
        for wrong in [&b"wrong"[..], b"", b"correct horse ", b"Correct horse", b"correct horse\n\n"]
        {
            let ran = site.feed(command, wrong);
            ran.fails(77, &["cannot unlock the keys of alice: wrong password"]);
        }
    }
    assert_eq!(fs::read(site.private("alice")).unwrap(), before);
    site.enroll("alice", PASSWORD).fails(73, &["user alice has keys already"]);
    site.identity("bob", PASSWORD).fails(67, &["user bob is not enrolled"]);
    assert_eq!(site.unseal("alice", PASSWORD, &site.seal("alice")).good().stdout, opened());
}

/// Each unlocks; what is left after a trim, a fold or a cut at the first NUL does not.
#[test]
fn every_password_is_taken_as_it_is() {
    let longest = vec![b'x'; 4096];
    let kib = [&[b'y'; 1023][..], b"z"].concat();
    let cases: [(&[u8], &[u8]); 9] = [
        (b"", b" "),
        (&kib, &kib[..1023]),
        (&longest, &longest[..4095]),
        ("pässwörd 密码 🔑".as_bytes(), b"passwort"),
        ("e\u{301}".as_bytes(), "\u{e9}".as_bytes()),
        (b"latin-1 \xe9\xff", "latin-1 \u{fffd}\u{fffd}".as_bytes()),
        (b"  spaces  \t", b"  spaces"),
        (b"nul\0inside\0", b"nul"),
        (b"two\nlines", b"two"),
    ];
    let site = site();
    let sealed = site.seal("alice");
    let mut old = PASSWORD.to_vec();
    for (password, near) in cases {
        site.passwd("alice", &old, &[password, b"\n"].concat()).good();
        assert!(!site.unlocks("alice", near), "{near:?} for {password:?}");
        let file = site.file("password", &[password, b"\r\n"].concat());
        let arguments = ["unseal", "--password-file", &file];
        assert_eq!(site.feed(arguments, &sealed).good().stdout, opened(), "{password:?}");
        old = password.to_vec();
    }
}

#[test]
fn any_of_them_enrols() {
    let site = Site::new();
    let kib = [b'k'; 1024];
    for (user, password) in [
        ("empty", &b""[..]),
        ("long", &kib),
        ("nul", b"\0"),
        ("spaces", b"a  "),
        ("bytes", b"\xff"),
    ] {
        let file = site.file("password", password);
        let key = site.run(["enroll", user, "--password-file", &file]).good().text();
        let identity = site.identity(user, password).good().text();
        assert!(identity.contains(&format!("# public key: {key}")), "{identity}");
    }
}

#[test]
fn too_long_is_said_and_changes_nothing() {
    let site = site();
    let long = vec![b'x'; 4097];
    let file = site.file("long", &long);
    let says = ["the password is longer than 4096 octets"];
    site.enroll("bob", &long).fails(66, &says);
    site.run(["enroll", "bob", "--password-file", &file]).fails(66, &says);
    site.run(["enroll", "bob", "--password-file", "/dev/zero"]).fails(66, &says);
    site.identity("alice", &long).fails(66, &says);
    site.passwd("alice", PASSWORD, &long).fails(66, &says);
    assert!(!site.private("bob").exists());
    assert!(site.unlocks("alice", PASSWORD));
}

#[test]
fn a_password_that_cannot_be_had() {
    let site = site();
    let missing = ["identity", "alice", "--password-file", "/nonexistent/password"];
    site.run(missing).fails(66, &["/nonexistent/password", "No such file"]);
    let folder = site.path().display().to_string();
    let ran = site.run(["identity", "alice", "--password-file", &folder]);
    ran.fails(66, &[&folder, "Is a directory"]);
    let both = ["passwd", "alice", "--password-file", "-", "--new-password-file", "-"];
    site.feed(both, PASSWORD).fails(64, &["standard input cannot be both"]);
    for command in [&["enroll", "bob"][..], &["passwd", "alice"], &["identity", "alice"]] {
        // A session of its own has no terminal.
        let mut alone = Command::new("setsid");
        alone.arg("--wait").arg(support::program()).arg("--config").arg(site.config());
        let ran = finish(alone.args(command), b"");
        let ran = ran.fails(66, &["there is no terminal to ask for the password"]);
        assert!(ran.stderr.contains("nightsafe: hint: --password-file FILE"), "{}", ran.stderr);
    }
}

#[test]
fn after_a_change_only_the_new_one_unlocks_the_same_keys() {
    let site = site();
    let (identity, public) = (site.identity("alice", PASSWORD).good(), site.public("alice"));
    let key = || fs::read_to_string(&public).unwrap().lines().last().unwrap().to_owned();
    let (sealed, before) = (site.seal("alice"), key());
    site.passwd("alice", PASSWORD, b"new").good();
    assert!(!site.unlocks("alice", PASSWORD));
    assert_eq!(site.identity("alice", b"new").good().stdout, identity.stdout);
    assert_eq!(key(), before);
    assert_eq!(site.unseal("alice", b"new", &sealed).good().stdout, opened());
    // To the same one is a change too, and back to an earlier one.
    site.passwd("alice", b"new", b"new").good();
    site.passwd("alice", b"new", PASSWORD).good();
    assert!(site.unlocks("alice", PASSWORD) && !site.unlocks("alice", b"new"));
}

/// Holds the lock until each of the changes has read the record and waits for it.
#[test]
fn of_changes_at_once_one_wins() {
    let site = site();
    let lock = fs::File::open(site.private("")).unwrap();
    lock.lock().unwrap();
    let old = site.file("old", PASSWORD);
    let news: [&[u8]; 3] = [b"first", b"second", b"third"];
    let changes: Vec<Child> = news
        .iter()
        .map(|new| {
            let file = site.file(std::str::from_utf8(new).unwrap(), new);
            let words = ["passwd", "alice", "--password-file", &old, "--new-password-file", &file];
            let mut command = site.command(words);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    wait_for_waiters(&changes);
    lock.unlock().unwrap();
    let mut winners = Vec::new();
    for (child, new) in changes.into_iter().zip(news) {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let ran = Ran { status: output.status.code(), stdout: output.stdout, stderr };
        if ran.status == Some(0) {
            winners.push(new);
        } else {
            ran.fails(75, &["the key record of alice was changed by somebody else meanwhile"]);
        }
    }
    assert_eq!(winners.len(), 1);
    for password in news.iter().chain([&PASSWORD]) {
        assert_eq!(site.unlocks("alice", password), winners.contains(password), "{password:?}");
    }
}

/// Waits until each of them stands in the kernel's queue for a lock (proc_locks(5)).
fn wait_for_waiters(children: &[Child]) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let waits = |child: &Child| {
            let id = child.id().to_string();
            let waiters = locks.lines().filter(|line| line.contains(" -> "));
            waiters.map(str::split_whitespace).any(|mut words| words.any(|word| word == id))
        };
        if children.iter().all(waits) {
            return;
        }
        assert!(Instant::now() < end, "nobody waits for the lock:\n{locks}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As a panel gives it: PostfixAdmin writes both to its hook, each with a NUL behind it.
#[test]
fn both_passwords_from_standard_input() {
    let site = site();
    let passwd = ["passwd", "alice", "--stdin"];
    site.feed(passwd, b"correct horse\0new\0").good();
    assert!(site.unlocks("alice", b"new") && !site.unlocks("alice", PASSWORD));
    // They are octets, a line end included.
    site.feed(passwd, b"new\0with a line\n\0").good();
    assert!(site.unlocks("alice", b"with a line\n\n"));
    site.feed(passwd, b"with a line\n\0n\xe9w").good();
    assert!(site.unlocks("alice", b"n\xe9w"));
    let before = fs::read(site.private("alice")).unwrap();
    for wrong in [&b""[..], b"n\xe9w", b"n\xe9w\0", b"n\xe9w\0a\0b\0"] {
        site.feed(passwd, wrong).fails(66, &["is not an old password, a NUL, a new password"]);
    }
    let long = [&b"n\xe9w\0"[..], &[b'x'; 4097], b"\0"].concat();
    site.feed(passwd, &long).fails(66, &["longer than 4096 octets"]);
    site.feed(passwd, b"wrong\0new\0").fails(77, &["wrong password"]);
    site.run(["passwd", "alice", "--stdin", "--password-file", "x"]).fails(64, &["--stdin"]);
    assert_eq!(fs::read(site.private("alice")).unwrap(), before);
}
