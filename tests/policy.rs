//! Whose mail is sealed, passed, deferred or rejected, and the next hops that need no server.

mod support;

use std::fs;
use std::path::Path;

use support::{MESSAGE, Ran, Site, files_below, opened};

const PASSWORD: &[u8] = b"pw";

fn site() -> Site {
    let site = Site::new();
    site.enroll("alice@example.org", PASSWORD).good();
    site
}

fn set(site: &Site, delivery: &str) {
    site.configure("", &format!("[delivery]\n{delivery}"));
}

/// Delivers into a Maildir a user: the outcome, and how many letters arrived sealed and as they came.
fn into_maildirs(site: &Site, recipients: &[&str]) -> (i32, String, usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let maildir = format!("{}/{{user}}", folder.path().display());
    let mut arguments = vec!["--sender", "carol@elsewhere.test", "--maildir", &maildir];
    recipients.iter().for_each(|recipient| arguments.extend(["--recipient", recipient]));
    let ran = site.deliver(&arguments);
    let letters = files_below(folder.path());
    let plain = letters.iter().filter(|(_, letter)| letter.ends_with(MESSAGE)).count();
    for (path, letter) in &letters {
        assert_eq!(path.parent().unwrap().file_name().unwrap(), "new");
        let text = String::from_utf8_lossy(letter);
        assert!(letter.ends_with(MESSAGE) || !text.contains("walnut") && !text.contains("carol"));
    }
    assert!(!ran.text().contains('/') && ran.stderr.is_empty(), "{ran:?}");
    (ran.status.unwrap(), ran.text()[..5].to_owned(), letters.len() - plain, plain)
}

#[test]
fn the_unenrolled() {
    let site = site();
    for (policy, status, code, plain) in
        [("defer", 75, "4.2.1", 0), ("pass", 0, "2.0.0", 1), ("reject", 69, "5.7.1", 0)]
    {
        set(&site, &format!("unenrolled = \"{policy}\""));
        let bob = into_maildirs(&site, &["bob@example.org"]);
        assert_eq!(bob, (status, code.to_owned(), 0, plain), "{policy}");
        let alice = into_maildirs(&site, &["alice@example.org"]);
        assert_eq!(alice, (0, "2.0.0".to_owned(), 1, 0), "{policy}");
    }
}

#[test]
fn lists_make_a_pilot() {
    let site = site();
    site.enroll("dora@example.org", PASSWORD).good();
    let alice = &["ALICE+x@example.org"][..];
    let (dora, bob) = (&["dora@example.org"][..], &["bob@example.org"][..]);
    let goes = |recipients| {
        let (status, _, sealed, plain) = into_maildirs(&site, recipients);
        (status, sealed, plain)
    };
    set(&site, "pass = [\"Alice@Example.org\"]");
    assert_eq!((goes(alice), goes(dora), goes(bob)), ((0, 0, 1), (0, 1, 0), (75, 0, 0)));
    set(&site, "seal_only = [\"alice@example.org\"]\nunenrolled = \"reject\"");
    assert_eq!((goes(alice), goes(dora), goes(bob)), ((0, 1, 0), (0, 0, 1), (0, 0, 1)));
    // Who is on the list and not enrolled is not passed by accident.
    set(&site, "seal_only = [\"bob@example.org\"]");
    assert_eq!((goes(alice), goes(bob)), ((0, 0, 1), (75, 0, 0)));
    set(&site, "pass = [\"alice@example.org\"]\nseal_only = [\"alice@example.org\"]");
    // In both lists: sealed, since that can be undone.
    assert_eq!((goes(alice), goes(dora)), ((0, 1, 0), (0, 0, 1)));
}

#[test]
fn of_several_recipients_the_worst_counts() {
    let site = site();
    let (alice, bob) = ("alice@example.org", "bob@example.org");
    set(&site, "unenrolled = \"reject\"\npass = [\"passed@example.org\"]");
    for (recipients, wanted) in [
        (&[alice, "passed@example.org"][..], (0, 1, 1)),
        (&[alice, alice], (0, 2, 0)),
        (&[alice, bob, "passed@example.org"], (69, 1, 1)),
    ] {
        let (status, code, sealed, plain) = into_maildirs(&site, recipients);
        assert_eq!((status, sealed, plain), wanted, "{recipients:?} {code}");
    }
    set(&site, "unenrolled = \"defer\"");
    fs::write(site.public("broken@example.org"), "damaged").unwrap();
    for other in [bob, "broken@example.org"] {
        let (status, code, sealed, plain) = into_maildirs(&site, &[other, alice]);
        assert_eq!((status, &code[..2], sealed, plain), (75, "4.", 1, 0));
    }
    // The broken one is certainly not "unenrolled".
    for policy in ["pass", "reject"] {
        set(&site, &format!("unenrolled = \"{policy}\""));
        let broken = into_maildirs(&site, &["broken@example.org"]);
        assert_eq!((broken.0, broken.2, broken.3), (75, 0, 0), "{policy}");
    }
}

#[test]
fn a_message_too_large_is_rejected() {
    let site = site();
    set(&site, "max_message_bytes = 100");
    assert_eq!(into_maildirs(&site, &["alice@example.org"]).0, 69);
    assert_eq!(into_maildirs(&site, &["alice@example.org"]).1, "5.3.4");
    set(&site, "max_message_bytes = 1000");
    assert_eq!(into_maildirs(&site, &["alice@example.org"]).0, 0);
}

#[test]
fn maildirs() {
    let site = site();
    let at = site.join("mail");
    let names = |path: &Path| files_below(path).len();
    let maildir = format!("{}/box", at.display());
    let arguments = ["--recipient", "alice@example.org", "--maildir", &maildir];
    let ran = site.deliver(&arguments);
    assert_eq!(ran.status, Some(75), "the folder above is not ours to make");
    fs::create_dir(&at).unwrap();
    for _ in 0..3 {
        site.deliver(&arguments).good();
    }
    assert_eq!((names(&at.join("box/new")), names(&at.join("box/tmp"))), (3, 0));
    for name in ["box", "box/new", "box/tmp", "box/cur"] {
        assert_eq!(support::mode(&at.join(name)), 0o700, "{name}");
    }
    let (letter, stored) = files_below(&at.join("box/new")).remove(0);
    assert_eq!(support::mode(&letter), 0o600);
    assert!(!stored.contains(&b'\r'), "local line ends in a file");
    assert_eq!(site.unseal("alice@example.org", PASSWORD, &stored).good().stdout, opened());
    // An address that can be no user has no Maildir of its own.
    set(&site, "unenrolled = \"pass\"");
    let own = format!("{}/{{user}}", at.display());
    let ran = site.deliver(&["--recipient", "../x@example.org", "--maildir", &own]);
    assert_eq!((ran.status, ran.text().starts_with("5.1.3 ")), (Some(67), true), "{}", ran.text());
    fs::write(at.join("file"), "").unwrap();
    let file = format!("{}/file", at.display());
    let ran = site.deliver(&["--recipient", "alice@example.org", "--maildir", &file]);
    assert_eq!(ran.status, Some(75));
}

fn to_command(site: &Site, recipient: &str, words: &[&str]) -> Ran {
    let arguments = ["--sender", "carol@elsewhere.test", "--recipient", recipient, "--"];
    site.deliver(&[&arguments[..], words].concat())
}

#[test]
fn commands_get_the_letter_and_the_names() {
    let site = site();
    set(&site, "unenrolled = \"pass\"");
    let out = site.join("out").display().to_string();
    // Never through a shell: what is filled in stays one argument.
    let script = "cat > \"$0\"; shift; printf '%s\\n' \"$@\" > \"$0.names\"";
    let names = ["-", "{user}", "<{recipient}>", "{sender}", "{user}{user}", "{other}", "{"];
    let words = [&["sh", "-c", script, &out][..], &names].concat();
    let told = |recipient: &str| {
        to_command(&site, recipient, &words).good();
        let names = fs::read_to_string(format!("{out}.names")).unwrap();
        (fs::read(&out).unwrap(), names.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let (letter, names) = told("Alice+x@example.org");
    let user = "alice@example.org";
    assert_eq!(names[..3], [user, "<Alice+x@example.org>", ""], "a sealed message is from nobody");
    assert_eq!(names[3..], [&format!("{user}{user}"), "{other}", "{"]);
    let original = site.unseal(user, PASSWORD, &letter).good().stdout;
    assert!(original.ends_with(&opened()));
    let (letter, names) = told("$(touch x);{user}@example.org");
    assert_eq!(names[1..3], ["<$(touch x);{user}@example.org>", "carol@elsewhere.test"]);
    assert_eq!(letter, [b"Return-Path: <carol@elsewhere.test>\n", MESSAGE].concat());
}

#[test]
fn statuses_of_commands() {
    let site = site();
    for (script, status, code) in [
        ("cat >/dev/null", 0, "2.0.0 "),
        ("cat >/dev/null; exit 65", 69, "5.6.0 "),
        ("cat >/dev/null; exit 67", 67, "5.1.1 "),
        ("cat >/dev/null; exit 68", 67, "5.1.2 "),
        ("cat >/dev/null; exit 69", 69, "5.3.0 "),
        ("cat >/dev/null; exit 77", 69, "5.7.0 "),
        ("cat >/dev/null; exit 75", 75, "4.3.0 "),
        ("cat >/dev/null; exit 1", 75, "4.3.0 "),
        ("cat >/dev/null; exit 73", 75, "4.3.0 "),
        ("cat >/dev/null; exit 127", 75, "4.3.0 "),
        ("kill -9 $$", 75, "4.3.0 "),
        ("echo walnut /var/spool alice; cat >/dev/null; exit 69", 69, "5.3.0 "),
    ] {
        let ran = to_command(&site, "alice@example.org", &["sh", "-c", script]);
        assert_eq!(ran.status, Some(status), "{script}");
        let told = ran.text();
        assert!(told.starts_with(code) && told.lines().count() == 1, "{script}: {told}");
        let shown = told.split(" as <").next().unwrap();
        assert!(!["/", "walnut", "alice"].iter().any(|word| shown.contains(word)), "{shown}");
    }
    let ran = to_command(&site, "alice@example.org", &["/nonexistent/command"]);
    assert_eq!((ran.status, ran.text().contains('/')), (Some(75), false));
    // Arguments that make no sense must not bounce mail.
    let lmtp = ["--lmtp", "inet:127.0.0.1:1", "--maildir", "x"];
    for wrong in [&[][..], &["--recipient"], &["--recipient", "a", "--what"], &lmtp] {
        let ran = site.deliver(wrong);
        assert_eq!(ran.status, Some(75), "{wrong:?}");
        assert!(ran.text().starts_with("4.3.5 "), "{}", ran.text());
    }
}

#[test]
fn standard_output_and_its_end() {
    let site = site();
    let ran = site.deliver(&["--recipient", "alice@example.org"]).good();
    assert!(ran.stderr.starts_with("2.0.0 sealed as <") && !ran.stdout.contains(&b'\r'));
    assert_eq!(site.unseal("alice@example.org", PASSWORD, &ran.stdout).good().stdout, opened());
    let mut full = std::process::Command::new("sh");
    full.args(["-c", "exec \"$@\" > /dev/full", "sh"]).arg(support::program());
    full.arg("--config").arg(site.config()).args(["deliver", "--recipient", "alice@example.org"]);
    let ran = support::finish(&mut full, MESSAGE);
    assert_eq!(ran.status, Some(75));
    assert!(ran.stderr.starts_with("4.3.1 "), "{}", ran.stderr);
}
