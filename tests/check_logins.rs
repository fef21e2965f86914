//! What `check` says of the places where a site keeps its login passwords: in a file system of its own, so
//! that nothing of the machine shows.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Ran, finish, program};

/// The program in the file system at `root`.
fn run(root: &Path, user: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new("chroot");
    command.args(["--userspec", user]).arg(root).arg("/nightsafe").args(arguments);
    finish(&mut command, b"")
}

#[test]
fn weak_login_passwords_are_warned_of() {
    assert!(rustix::process::geteuid().is_root(), "only root can have another root");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::copy(program(), root.join("nightsafe")).unwrap();
    for name in ["etc/nightsafe", "etc/default", "etc/dovecot"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("etc/nightsafe/nightsafe.toml"), "[seal]\ndomain = \"example.org\"\n")
        .unwrap();
    run(root, "0:0", &["setup"]).good();
    let said = run(root, "0:0", &["check"]).good().text();
    assert!(said.contains("ok     login passwords: nothing weaker than the key records"), "{said}");
    assert!(!said.contains("WARN"), "{said}");

    fs::write(root.join("etc/sasldb2"), "x").unwrap();
    fs::write(root.join("etc/default/saslauthd"), "OPTIONS=\"-c -m /run/saslauthd\"\n").unwrap();
    fs::write(root.join("etc/dovecot/users"), "alice:{SHA256}x::::::\n").unwrap();
    // They are the site's to judge: it is in order all the same.
    let said = run(root, "0:0", &["check"]).good().text();
    for wanted in [
        "WARN   login passwords: /etc/sasldb2 keeps passwords in the clear\n       have saslauthd",
        "WARN   login passwords: saslauthd -c keeps unsalted hashes of passwords",
        "WARN   login passwords: Dovecot's passwords are in the clear or without salt (SHA256 in",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
    }
    assert!(!said.contains("ok     login passwords"), "{said}");
    // Who is not root is told that he sees nothing.
    let said = run(root, "64741:64741", &["check"]).text();
    assert!(said.contains("ok     login passwords: only root can see"), "{said}");
}
