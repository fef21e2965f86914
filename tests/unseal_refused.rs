//! What the program says, and how it ends, when it does not open a message; and that nothing of the
//! message comes out then.

mod seal_support;

use std::process::Output;

use seal_support::mail::{self, to_lf};
use seal_support::program::{Site, USER, success, text};
use seal_support::stored::Stored;

const MESSAGE: &[u8] = b"Subject: a\r\n\r\nsecret words\r\n";

/// A stored message with CRLF line ends, to be altered.
fn sealed(site: &Site, message: &[u8]) -> Stored {
    Stored::parse(&mail::to_crlf(&site.seal(message)))
}

/// The status, an error with these words, and not an octet on standard output.
fn refused(output: &Output, status: i32, words: &str) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(text(&output.stdout), "", "something came out: {said}");
    let error = said.lines().find(|line| line.starts_with("nightsafe: error: "));
    assert!(error.is_some_and(|error| error.contains(words)), "{words:?} is not in {said}");
    assert!(!said.contains("secret"), "{said}");
    said
}

#[test]
fn not_sealed() {
    let site = Site::new();
    let cases = [MESSAGE, b"", &mail::one("sealed-looking/extra-plaintext-parts.eml")];
    for stored in cases {
        for arguments in [&[][..], &["--allow-unsigned"], &["--user", USER]] {
            refused(&site.unseal_with(arguments, stored), 65, "not a sealed message");
        }
        refused(&site.run(&["inspect"], stored), 65, "not a sealed message");
    }
}

#[test]
fn not_signed_by_this_site() {
    let site = Site::new();
    let other = Site::new();
    let mine = sealed(&site, MESSAGE);
    let another = sealed(&site, b"Subject: b\r\n\r\nother secret\r\n");
    let cases: [(&str, Vec<u8>); 7] = [
        ("two signatures", mine.with(|m| m.summary.push_str(&mine.signature))),
        ("it is not signed", mine.with(|m| m.signature.clear())),
        (
            "its signature is malformed",
            mine.with(|m| m.signature = m.signature.replace("t=", "x=")),
        ),
        ("its signature is wrong", mine.with(|m| m.signature = m.signature.replace("n=", "n=1"))),
        ("no key of this site signed it", other.seal(MESSAGE)),
        ("belongs to another body", mine.with(|m| m.body.clone_from(&another.body))),
        ("belongs to another summary", mine.with(|m| m.summary.clone_from(&another.summary))),
    ];
    let identity = site.identity_file();
    let identity = ["unseal", "--identity", identity.to_str().unwrap()];
    for (words, stored) in &cases {
        for stored in [stored, &to_lf(stored)] {
            for output in [site.unseal_with(&[], stored), site.run(&identity, stored)] {
                let said = refused(&output, 65, words);
                let hint = said.lines().find(|line| line.starts_with("nightsafe: hint: "));
                assert!(hint.is_some_and(|hint| hint.contains("--allow-unsigned")), "{said}");
            }
        }
        let inspected = site.run(&["inspect"], stored);
        success(&inspected);
        let shown = text(&inspected.stdout);
        let verdict = shown.lines().find(|line| line.starts_with("signature ")).unwrap();
        assert!(verdict.contains("bad: ") && verdict.contains(words), "{verdict}");
    }
}

#[test]
fn allow_unsigned_opens_and_warns() {
    let site = Site::new();
    let mine = sealed(&site, MESSAGE);
    let unsigned = mine.with(|m| m.signature.clear());
    let output = site.unseal_with(&["--allow-unsigned", "--user", USER], &unsigned);
    success(&output);
    assert_eq!(output.stdout, MESSAGE);
    let said = text(&output.stderr);
    assert!(said.starts_with("nightsafe: warning: ") && said.contains("not signed"), "{said}");
    refused(&site.unseal_with(&["--allow-unsigned"], &unsigned), 64, "whose it is");

    let output = site.unseal_with(&["--allow-unsigned"], &mine.join());
    success(&output);
    assert_eq!((output.stdout, text(&output.stderr)), (MESSAGE.to_vec(), String::new()));
}

#[test]
fn another_key_or_user() {
    let site = Site::new();
    site.enroll("bob@example.org");
    let arguments = ["deliver", "--recipient", "bob@example.org"];
    let for_bob = site.run(&arguments, MESSAGE).stdout;
    let said = refused(&site.unseal_with(&["--user", USER], &for_bob), 65, "sealed for bob@");
    assert!(said.contains("nightsafe: hint: nightsafe unseal --user bob@example.org"), "{said}");

    let identity = site.identity_file();
    let identity = ["unseal", "--identity", identity.to_str().unwrap()];
    refused(&site.run(&identity, &for_bob), 77, "sealed to another key");
    let anyway = [&identity[..], &["--allow-unsigned"]].concat();
    refused(&site.run(&anyway, &for_bob), 77, "sealed to another key");
}

#[test]
fn a_wrong_password_or_identity() {
    let site = Site::new();
    let stored = site.seal(MESSAGE);
    std::fs::write(site.join("password"), "something else\n").unwrap();
    refused(&site.unseal_with(&[], &stored), 77, "password");
    let file = site.join("no-identity");
    let arguments = ["unseal", "--identity", file.to_str().unwrap()];
    refused(&site.run(&arguments, &stored), 66, "no-identity");
    for content in ["", "# a comment\n", "AGE-SECRET-KEY-1QQQQ\n"] {
        std::fs::write(&file, content).unwrap();
        refused(&site.run(&arguments, &stored), 65, "no-identity");
    }
}

#[test]
fn damaged_and_cut_short() {
    let site = Site::new();
    let message = mail::one("attachment/photo-300k.eml");
    let mine = sealed(&site, &message);
    let stored = mine.join();
    let other_body = "belongs to another body";
    refused(&site.unseal_with(&[], &stored[..stored.len() / 2]), 65, other_body);
    // Unsigned, the first chunks are authentic and the end is missing: still nothing comes out.
    let file = mine.age_file();
    for len in [file.len() / 2, file.len() - 1] {
        let cut = mine.with_age_file(&file[..len]);
        let output = site.unseal_with(&["--allow-unsigned"], &cut);
        refused(&output, 65, "the sealed message is damaged");
    }
    let mut last_tag = file;
    *last_tag.last_mut().unwrap() ^= 1;
    let output = site.unseal_with(&["--allow-unsigned"], &mine.with_age_file(&last_tag));
    refused(&output, 65, "the sealed message is damaged");
}
