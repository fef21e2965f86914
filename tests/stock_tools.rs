//! Nobody needs nightsafe to read what it sealed: text tools, `base64`, `age` and `zstd` open it with
//! an exported identity. This must hold for ever.

mod seal_support;

use std::process::Command;

use seal_support::mail::{self, to_crlf, to_lf};
use seal_support::program::{Site, USER, run, success, text};
use seal_support::sealer::Sealer;
use seal_support::stock;

/// What is sealed and opened with a process for each step.
const MAX_BYTES: usize = 200_000;

#[test]
fn the_exported_identity_opens_what_was_delivered() {
    stock::require_programs();
    let site = Site::new();
    site.identity_file();
    let mut opened = 0;
    for mail in mail::all().iter().filter(|mail| mail.bytes.len() <= MAX_BYTES) {
        let stored = site.seal(&mail.bytes);
        let plain = stock::open(site.path(), &stored)
            .unwrap_or_else(|error| panic!("{}: {error}", mail.name));
        assert!(plain == to_crlf(&mail.bytes), "{}: other bytes", mail.name);
        opened += 1;
    }
    assert!(opened >= 240, "only {opened} messages were opened");
}

#[test]
fn every_stored_form_and_many_chunks() {
    stock::require_programs();
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new();
    std::fs::write(folder.path().join("identity.txt"), sealer.key.to_bech32().expose()).unwrap();
    // The library changes no line ends, so neither must the tools.
    let large = mail::mixed(3 << 20);
    let bytes: Vec<u8> = (0..=255).collect();
    for message in [&large[..], &bytes, b"", b"a\nb\rc\r\n"] {
        let stored = sealer.seal(message);
        for stored in [to_lf(&stored), [b"Return-Path: <>\r\n", &stored[..]].concat(), stored] {
            let plain = stock::open(folder.path(), &stored).unwrap();
            assert!(plain == message, "other bytes of {}", message.len());
        }
    }
}

#[test]
fn another_identity_opens_nothing() {
    stock::require_programs();
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new();
    let identity = folder.path().join("identity.txt");
    std::fs::write(&identity, sealer.key.to_bech32().expose()).unwrap();
    let stored = sealer.seal(b"Subject: a\r\n\r\nHello\r\n");
    assert!(stock::open(folder.path(), &stored).is_ok());
    std::fs::write(&identity, Sealer::new().key.to_bech32().expose()).unwrap();
    let refused = stock::open(folder.path(), &stored).unwrap_err();
    assert!(refused.contains("age"), "{refused}");
}

#[test]
fn age_seals_to_the_public_file() {
    stock::require_programs();
    let site = Site::new();
    let identity = site.identity_file();
    let public = site.join("keys/public").join(USER);
    let mut age = Command::new("age");
    let sealed = run(age.arg("-R").arg(&public), b"by hand");
    success(&sealed);
    let mut age = Command::new("age");
    let opened = run(age.arg("-d").arg("-i").arg(&identity), &sealed.stdout);
    success(&opened);
    assert_eq!(text(&opened.stdout), "by hand");
}
