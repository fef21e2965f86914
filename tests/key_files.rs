//! Key files that are damaged, swapped, or not files at all: a clear error, mail deferred, no hang.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use support::{Site, finish, program};

const PASSWORD: &[u8] = b"pw";

fn site() -> Site {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site
}

/// Defers, and says nothing local to the sender.
#[track_caller]
fn defers(site: &Site, recipient: &str) {
    let ran = site.deliver(&["--recipient", recipient]);
    assert_eq!(ran.status, Some(75), "{}", ran.stderr);
    assert_eq!(ran.text(), "", "something was handed on");
    assert!(ran.stderr.starts_with("4.") && !ran.stderr.contains('/'), "{}", ran.stderr);
}

/// Puts something else in the place of a file.
fn put(path: &Path, content: &[u8]) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    fs::write(path, content).unwrap();
}

/// What `good` can be damaged to, and what an error says about it.
fn damaged(good: &[u8]) -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        good[..good.len() / 2].to_vec(),
        (0..=255).collect(),
        b"{}".to_vec(),
        b"\0".repeat(good.len()),
        good.to_ascii_uppercase(),
        [good, good].concat(),
        b"[".repeat(100_000),
        vec![b' '; 2 << 20],
    ]
}

#[test]
fn a_damaged_record_is_named() {
    let site = site();
    let (path, sealed) = (site.private("alice"), site.seal("alice"));
    let name = path.display().to_string();
    let good = fs::read(&path).unwrap();
    for bad in damaged(&good) {
        put(&path, &bad);
        let status = if bad.len() > 1 << 20 { 74 } else { 65 };
        site.identity("alice", PASSWORD).fails(status, &[&name]);
        site.unseal("alice", PASSWORD, &sealed).fails(status, &[&name]);
        site.passwd("alice", PASSWORD, b"new").fails(status, &[&name]);
        assert_eq!(fs::read(&path).unwrap(), bad, "a damaged record was touched");
        let listed = site.run(["list"]).good().text();
        assert!(listed.contains("problem: ") && listed.contains(&name), "{listed}");
        let checked = site.run(["check"]);
        assert_eq!(checked.status, Some(78));
        assert!(checked.text().contains("ERROR  user alice: "), "{}", checked.text());
    }
    let newer = String::from_utf8(good.clone()).unwrap().replace("-record/1", "-record/2");
    put(&path, newer.as_bytes());
    let says = [name.as_str(), "has format \"nightsafe-record/2\"; this version reads"];
    site.identity("alice", PASSWORD).fails(65, &says);
    put(&path, &good);
    site.identity("alice", PASSWORD).good();
}

#[test]
fn a_record_altered_behind_its_mac_does_not_unlock() {
    let site = site();
    let path = site.private("alice");
    let good = fs::read_to_string(&path).unwrap();
    let altered = [
        good.replace("\"version\": 1", "\"version\": 2"),
        good.replace("\"generation\": 1", "\"generation\": 2"),
        good.replacen("\"created\": ", "\"created\": 1", 1),
    ];
    for bad in altered {
        assert_ne!(bad, good);
        put(&path, bad.as_bytes());
        site.identity("alice", PASSWORD).fails(65, &["altered or is damaged"]);
    }
    // Work without end is refused before it begins.
    put(&path, good.replace("65536", "4000000000").as_bytes());
    site.identity("alice", PASSWORD).fails(65, &["is no key record, or was altered"]);
}

#[test]
fn a_damaged_public_key_defers() {
    let site = site();
    let path = site.public("alice");
    let name = path.display().to_string();
    let good = fs::read(&path).unwrap();
    for bad in damaged(&good) {
        put(&path, &bad);
        defers(&site, "alice");
        let says = if bad.len() > 4096 { "larger than it can be" } else { "is not the public key" };
        let checked = site.run(["check"]).text();
        let line = checked.lines().find(|line| line.contains("ERROR  user alice: ")).unwrap();
        assert!(line.contains(&name) && line.contains(says), "{line}");
        // The owner's login is not locked out by it.
        site.identity("alice", PASSWORD).good();
    }
}

#[test]
fn what_is_no_file_is_refused_without_a_hang() {
    let site = site();
    for path in [site.private("alice"), site.public("alice")] {
        let good = fs::read(&path).unwrap();
        let (is_public, name) = (path == site.public("alice"), path.display().to_string());
        let says = |problem: &str| {
            if is_public {
                defers(&site, "alice");
            } else {
                site.identity("alice", PASSWORD).fails(74, &[&name, problem]);
            }
            let checked = site.run(["check"]).text();
            assert!(checked.contains(&name) && checked.contains(problem), "{checked}");
        };
        let elsewhere = site.file("elsewhere", &good);
        fs::remove_file(&path).unwrap();
        symlink(&elsewhere, &path).unwrap();
        says("a symbolic link, which is refused");
        fs::remove_file(&path).unwrap();
        symlink("/nonexistent", &path).unwrap();
        says("a symbolic link, which is refused");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        says("not a regular file");
        fs::remove_dir(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        says("not a regular file");
        put(&path, &good);
    }
    site.identity("alice", PASSWORD).good();
}

/// Runs the program as somebody whom modes stop, which root is not.
fn without_privileges(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", "--"]);
    if !rustix::process::geteuid().is_root() {
        return site.command(arguments);
    }
    command.arg(program()).arg("--config").arg(site.config()).args(arguments);
    command
}

#[test]
fn an_unreadable_file_is_named() {
    let site = site();
    let close = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let identity = ["identity", "alice", "--password-file", "-"];
    for path in [site.private("alice"), site.join("pepper"), site.join("keys/private")] {
        let mode = support::mode(&path);
        close(&path, 0);
        let name = path.display().to_string();
        let ran = finish(&mut without_privileges(&site, &identity), PASSWORD);
        let ran = ran.fails(77, &[&name, "Permission denied"]);
        assert!(ran.stderr.contains("nightsafe: hint: "), "{}", ran.stderr);
        close(&path, mode);
    }
    for path in [site.public("alice"), site.join("keys/public"), site.join("sealing.key")] {
        let mode = support::mode(&path);
        close(&path, 0);
        let mut command = without_privileges(&site, &["deliver", "--recipient", "alice"]);
        let ran = finish(&mut command, support::MESSAGE);
        assert_eq!((ran.status, ran.text()), (Some(75), String::new()), "{}", path.display());
        close(&path, mode);
    }
    finish(&mut without_privileges(&site, &identity), PASSWORD).good();
}

#[test]
fn somebody_elses_files_are_refused() {
    let site = site();
    site.enroll("bob", b"his").good();
    let (bob, public) = (site.private("bob"), site.public("bob"));
    let good = (fs::read(&bob).unwrap(), fs::read(&public).unwrap());
    fs::copy(site.private("alice"), &bob).unwrap();
    let name = bob.display().to_string();
    site.identity("bob", PASSWORD).fails(65, &[&name, "is another user's key record"]);
    put(&bob, &good.0);
    fs::copy(site.public("alice"), &public).unwrap();
    defers(&site, "bob");
    // With the comment mended it is a public key of bob's, but not the one of his record.
    let forged = String::from_utf8(fs::read(&public).unwrap()).unwrap().replace("alice", "bob");
    put(&public, forged.as_bytes());
    let problem = "the public key of bob is not the one in the key record";
    assert!(site.run(["check"]).text().contains(problem));
    assert!(site.run(["list"]).good().text().contains(problem));
    put(&public, &good.1);
    site.unseal("bob", b"his", &site.seal("bob")).good();
}

#[test]
fn a_rolled_back_half_is_named_everywhere() {
    let site = site();
    let public = site.public("alice");
    let good = fs::read_to_string(&public).unwrap();
    let sealed = site.seal("alice");
    let cases = [
        (
            "generation 7",
            "the key record of alice is older (generation 1) than the public key (generation 7)",
        ),
        (
            "generation 0",
            "the public key of alice is older (generation 0) than the key record (generation 1)",
        ),
    ];
    for (generation, problem) in cases {
        put(&public, good.replace("generation 1", generation).as_bytes());
        let checked = site.run(["check"]);
        assert!(checked.text().contains(problem), "{}", checked.text());
        assert_eq!(checked.status, Some(78));
        assert!(site.run(["list"]).good().text().contains(problem));
        let ran = site.unseal("alice", PASSWORD, &sealed).good();
        assert!(
            ran.stderr.starts_with(&format!("nightsafe: warning: {problem}")),
            "{}",
            ran.stderr
        );
    }
    fs::remove_file(&public).unwrap();
    let listed = site.run(["list"]).good().text();
    assert!(listed.contains("alice has a key record but no public key"), "{listed}");
    put(&public, good.as_bytes());
    fs::remove_file(site.private("alice")).unwrap();
    let listed = site.run(["list"]).good().text();
    assert!(listed.contains("alice has a public key but no key record"), "{listed}");
    site.identity("alice", PASSWORD).fails(67, &["user alice is not enrolled"]);
    site.enroll("alice", PASSWORD).fails(73, &["user alice has keys already"]);
}

/// Both on a command line and as a recipient.
#[test]
fn names_that_are_paths_are_refused() {
    let site = site();
    let long = "x".repeat(300);
    let names = [
        ("../x", "contains a slash"),
        ("a/b", "contains a slash"),
        ("/etc/passwd", "contains a slash"),
        ("a\nb", "contains a control character"),
        ("a\x1b[2J", "contains a control character"),
        ("a\u{85}b", "contains a control character"),
        (".", "begins with a dot or a hyphen"),
        ("..", "begins with a dot or a hyphen"),
        (".hidden", "begins with a dot or a hyphen"),
        (".nightsafe-site", "begins with a dot or a hyphen"),
        ("-rf", "begins with a dot or a hyphen"),
        ("", "is empty"),
        (&long, "is longer than 254 octets"),
    ];
    let before = support::files_below(&site.path());
    for (name, problem) in names {
        site.enroll(name, PASSWORD).fails(64, &["user name \"", problem]);
        site.identity(name, PASSWORD).fails(64, &[problem]);
        site.run(["remove", "--", name]).fails(64, &[problem]);
        site.run(["rename", "--", "alice", name]).fails(64, &[problem]);
        defers(&site, name);
        site.configure("", "[delivery]\nunenrolled = \"reject\"");
        let ran = site.deliver(&["--recipient", name]);
        assert_eq!((ran.status, ran.text()), (Some(69), String::new()), "{name:?}");
        site.configure("", "");
    }
    assert_eq!(support::files_below(&site.path()), before);
    assert!(nightsafe::user::User::parse("a\0b").is_err(), "no argument can hold a NUL");
}
