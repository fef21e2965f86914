//! `[keys] after_write`: no mail is sealed to a key before the site's own copy of it is safe.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::{Site, opened};

/// A site whose command is this script: `$1` is "given", `$2` the record.
fn site(script: &str) -> Site {
    let site = Site::new();
    write(&site, script);
    let command = site.join("copy").display().to_string();
    site.configure(&format!("after_write = [\"sh\", {command:?}, \"given\"]"), "");
    site
}

fn write(site: &Site, script: &str) {
    fs::write(site.join("copy"), script).unwrap();
}

/// Notes its arguments and the state of both halves.
fn noting(site: &Site) -> String {
    let (notes, public) = (site.join("notes"), site.public(""));
    format!(
        "test -s \"$2\" && record=whole\ntest -e {}/\"$(basename \"$2\")\" && public=there\n\
         echo \"$# $1 $2 $record $public\" >> {}\n",
        public.display(),
        notes.display()
    )
}

#[test]
fn it_runs_between_the_two_halves() {
    let site = site("");
    write(&site, &noting(&site));
    site.enroll("alice", b"pw").good();
    site.passwd("alice", b"pw", b"new").good();
    site.run(["rename", "alice", "anna"]).good();
    let (alice, anna) = (site.private("alice"), site.private("anna"));
    let wanted = format!(
        "2 given {alice} whole \n2 given {alice} whole there\n2 given {anna} whole \n",
        alice = alice.display(),
        anna = anna.display()
    );
    assert_eq!(fs::read_to_string(site.join("notes")).unwrap(), wanted);
    // A command that fails before anything is written is not reached at all.
    site.passwd("anna", b"wrong", b"x").fails(77, &[]);
    assert_eq!(fs::read_to_string(site.join("notes")).unwrap(), wanted);
}

#[test]
fn until_it_succeeds_nobody_is_enrolled() {
    let site = site("exit 3");
    let record = site.private("alice").display().to_string();
    let says = [&record, "[keys] after_write (sh) failed", "exit status: 3"];
    let ran = site.enroll("alice", b"pw").fails(75, &says);
    assert!(ran.stderr.contains("mend the command, then run this again"), "{}", ran.stderr);
    assert!(site.private("alice").exists() && !site.public("alice").exists());
    assert_eq!(site.deliver(&["--recipient", "alice"]).status, Some(75));
    site.enroll("alice", b"pw").fails(75, &says);
    write(&site, "kill -9 $$");
    site.enroll("alice", b"pw").fails(75, &["signal: 9"]);
    assert!(!site.public("alice").exists());
    // Mended: the same password finishes it, another does not.
    write(&site, "");
    site.enroll("alice", b"other").fails(77, &["no public key"]);
    assert!(!site.public("alice").exists());
    site.enroll("alice", b"pw").good();
    assert_eq!(site.unseal("alice", b"pw", &site.seal("alice")).good().stdout, opened());
    site.run(["check"]).good();
}

#[test]
fn a_change_it_did_not_copy_is_taken_back() {
    let site = site("");
    site.enroll("alice", b"pw").good();
    write(&site, "exit 1");
    let before = fs::read(site.private("alice")).unwrap();
    site.passwd("alice", b"pw", b"new").fails(75, &["[keys] after_write", "exit status: 1"]);
    assert_eq!(fs::read(site.private("alice")).unwrap(), before);
    assert!(site.unlocks("alice", b"pw") && !site.unlocks("alice", b"new"));
}

#[test]
fn a_command_that_is_none() {
    let site = Site::with("after_write = [\"/nonexistent/copy\"]", "");
    site.enroll("alice", b"pw").fails(75, &["/nonexistent/copy", "No such file"]);
    let plain = site.file("plain", b"");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    site.configure(&format!("after_write = [{plain:?}]"), "");
    site.enroll("alice", b"pw").fails(75, &[&plain, "Permission denied"]);
    assert!(!site.public("alice").exists());
}

/// A new key pair appears to delivery when the record that opens it was copied, and not before.
#[test]
fn a_rotation_waits_for_it() {
    let site = site("");
    let password = ["--password-file", "-"];
    let enroll = ["enroll", "alice", "--recovery-code", "--password-file", "-"];
    let code = site.feed(enroll, b"pw").good().text().lines().last().unwrap().to_owned();
    site.feed(["slot", "add", "alice", "--app", "phone"].iter().chain(&password), b"pw").good();
    site.run(["enroll", "--provisional", "bob"]).good();
    let new = site.file("new", b"new");
    let rotations: [(&str, Vec<&str>, &[u8]); 4] = [
        ("alice", [&["rotate", "alice"][..], &password].concat(), b"pw"),
        ("alice", [&["slot", "remove", "alice", "phone"][..], &password].concat(), b"pw"),
        (
            "alice",
            vec!["recovery", "use", "alice", "--code-file", "-", "--new-password-file", &new],
            code.as_bytes(),
        ),
        ("bob", [&["enroll", "bob"][..], &password].concat(), b"pw"),
    ];
    for (user, arguments, input) in rotations {
        let halves = || [site.private(user), site.public(user)].map(|path| fs::read(path).unwrap());
        let before = halves();
        write(&site, "exit 3");
        site.feed(&arguments, input).fails(75, &["[keys] after_write (sh) failed"]);
        assert_eq!(halves(), before, "{arguments:?}");
        // What it is given is the new record, and the public half of that moment is the old one.
        let kept = site.join("kept").display().to_string();
        let public = site.public(user).display().to_string();
        write(&site, &format!("cp \"$2\" {kept}.record; cp {public} {kept}.public"));
        site.feed(&arguments, input).good();
        let [record, public] = halves();
        assert_eq!(fs::read(site.join("kept.record")).unwrap(), record, "{arguments:?}");
        assert_eq!(fs::read(site.join("kept.public")).unwrap(), before[1], "{arguments:?}");
        assert_ne!(public, before[1], "{arguments:?}");
    }
    for (user, password) in [("alice", &b"new"[..]), ("bob", b"pw")] {
        assert_eq!(site.unseal(user, password, &site.seal(user)).good().stdout, opened());
    }
    site.run(["check"]).good();
}
