//! Messages through the program: what `deliver` hands to each next hop, `unseal` gives back.

mod seal_support;

use std::path::Path;

use seal_support::mail::{self, to_crlf};
use seal_support::program::{Site, USER, success, text};

/// Messages that line ends, size or bytes make special.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let mut messages: Vec<(&str, Vec<u8>)> = vec![
        ("LF", b"Subject: a\n\nHello\n.\nFrom here\n\n".to_vec()),
        ("CRLF", b"Subject: a\r\n\r\nHello\r\n.\r\nFrom here\r\n\r\n".to_vec()),
        ("mixed", b"Subject: a\n\r\nlone \r CR, two \r\r\n and \n\r end\r".to_vec()),
        ("empty", Vec::new()),
        ("one LF", b"\n".to_vec()),
        ("every byte", (0..=255).collect()),
    ];
    for name in [
        "malformed/bare-cr-everywhere.eml",
        "malformed/bare-lf-everywhere.eml",
        "malformed/nul-only.eml",
        "malformed/lf-dot-lf.eml",
        "html/newsletter-75k.eml",
        "large/line-1m.eml",
    ] {
        messages.push((name, mail::one(name)));
    }
    messages
}

fn deliver(site: &Site, next_hop: &[&str], message: &[u8]) -> String {
    let output = site.run(&[&["deliver", "--recipient", USER], next_hop].concat(), message);
    success(&output);
    text(&output.stdout)
}

fn only_file(folder: &Path) -> Vec<u8> {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1, "{}", folder.display());
    std::fs::read(files[0].path()).unwrap()
}

#[test]
fn standard_output() {
    let site = Site::new();
    for (name, message) in messages() {
        assert!(site.unseal(&site.seal(&message)) == to_crlf(&message), "{name}");
    }
}

#[test]
fn a_command() {
    let site = Site::new();
    let taken = site.join("taken");
    for (name, message) in messages() {
        let command = ["--", "sh", "-c", "cat > \"$0\"", taken.to_str().unwrap()];
        let said = deliver(&site, &command, &message);
        assert!(said.starts_with("2.0.0 sealed as <"), "{said}");
        let stored = std::fs::read(&taken).unwrap();
        assert!(text(&stored).contains(said.trim_end().rsplit_once(' ').unwrap().1), "{said}");
        assert!(site.unseal(&stored) == to_crlf(&message), "{name}");
    }
}

#[test]
fn a_maildir() {
    let site = Site::new();
    for (number, (name, message)) in messages().into_iter().enumerate() {
        let below = site.join(&format!("{number}-{{user}}"));
        deliver(&site, &["--maildir", below.to_str().unwrap()], &message);
        let maildir = site.join(&format!("{number}-{USER}"));
        assert_eq!(std::fs::read_dir(maildir.join("tmp")).unwrap().count(), 0);
        let stored = only_file(&maildir.join("new"));
        assert!(!stored.contains(&b'\r'), "{name}: a file has local line ends");
        assert!(site.unseal(&stored) == to_crlf(&message), "{name}");
    }
}

#[test]
fn the_sender_is_sealed_inside() {
    let site = Site::new();
    let cases: [(&str, &[u8], &[u8]); 4] = [
        (
            "bob@example.com",
            b"Subject: a\n\nx\n",
            b"Return-Path: <bob@example.com>\r\nSubject: a\r\n\r\nx\r\n",
        ),
        ("", b"Subject: a\n\nx\n", b"Return-Path: <>\r\nSubject: a\r\n\r\nx\r\n"),
        (
            "bob@example.com",
            b"Return-Path: <z@example.com>\n\nx\n",
            b"Return-Path: <z@example.com>\r\n\r\nx\r\n",
        ),
        ("-b@example.com", b"", b"Return-Path: <-b@example.com>\r\n"),
    ];
    for (sender, message, original) in cases {
        let arguments = ["deliver", "--sender", sender, "--recipient", USER];
        let output = site.run(&arguments, message);
        success(&output);
        assert!(!text(&output.stdout).contains("example.com"), "the sender is readable");
        assert_eq!(text(&site.unseal(&output.stdout)), text(original));
    }
}

#[test]
fn each_recipient_gets_a_message_of_its_own() {
    let site = Site::new();
    site.enroll("bob@example.org");
    let below = site.join("{user}");
    let maildir = ["--recipient", "Bob+lists@example.org", "--maildir", below.to_str().unwrap()];
    deliver(&site, &maildir, b"Subject: a\n\nx\n");
    let [alice, bob] =
        [USER, "bob@example.org"].map(|user| only_file(&site.join(user).join("new")));
    assert_eq!(text(&site.unseal(&alice)), "Subject: a\r\n\r\nx\r\n");
    assert_eq!(text(&site.unseal(&bob)), "Subject: a\r\n\r\nx\r\n");
    assert!(!text(&bob).contains("alice") && !text(&alice).contains("bob"));
    assert_eq!(site.unseal_with(&["--user", USER], &bob).status.code(), Some(65));
}
