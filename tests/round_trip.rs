//! Every message comes back byte for byte from the library, however a store kept it, and its summary
//! agrees with it.

mod seal_support;

use std::ops::Range;

use nightsafe::message::mime::Kind;
use nightsafe::seal::Summary;
use seal_support::mail::{self, to_lf};
use seal_support::sealer::Sealer;
use seal_support::stored::header_block;

/// What a store puts on top of a message.
const STORE_FIELDS: &[u8] = b"Return-Path: <>\r\nReceived: from mail.example.org (mail.example.org [192.0.2.1])\r\n\tby store.example.org (Cyrus) with LMTPA;\r\n\tTue, 03 Nov 2026 10:00:31 +0100\r\nX-Sieve: CMU Sieve 3.0\r\n";

/// Messages with more in their header and structure than fits a header field of 48 KiB.
const WITHOUT_SUMMARY: [&str; 2] =
    ["malformed/header-100k-one-line.eml", "sealed-looking/summary-huge.eml"];

fn comes_back(sealer: &Sealer) {
    for mail in mail::all() {
        let stored = sealer.seal(&mail.bytes);
        let same = |stored: &[u8], how: &str| {
            let opened = sealer.unseal(stored);
            let opened = opened.unwrap_or_else(|error| panic!("{} {how}: {error}", mail.name));
            assert!(opened == mail.bytes, "{} {how}: other bytes", mail.name);
        };
        same(&stored, "as it was sealed");
        same(&to_lf(&stored), "with local line ends");
        let topped = [STORE_FIELDS, &stored].concat();
        same(&topped, "with the store's fields");
        same(&to_lf(&topped), "with the store's fields and local line ends");
    }
}

#[test]
fn every_message_comes_back() {
    comes_back(&Sealer::new());
}

#[test]
fn every_message_comes_back_where_fields_stay_clear() {
    comes_back(&Sealer::with_clear(&["Subject", "From"]));
}

#[test]
fn nothing_but_the_clear_fields_is_readable() {
    let message = b"From: Bob <bob@example.com>\r\nSubject: plans\r\nTo: Carol <carol@example.com>\r\nX-Note: secret\r\n\r\nsecret\r\n";
    let stored = String::from_utf8(Sealer::with_clear(&["Subject", "From"]).seal(message)).unwrap();
    for (word, readable) in
        [("plans", true), ("bob@example.com", true), ("carol", false), ("secret", false)]
    {
        assert_eq!(stored.contains(word), readable, "{word} in {stored}");
    }
    assert_eq!(stored.matches("\r\nSubject: ").count(), 1);
    assert_eq!(stored.lines().filter(|line| line.starts_with("From: ")).count(), 1);
}

#[test]
fn the_stored_form_is_mail_that_any_server_takes() {
    for mail in mail::all() {
        let stored = Sealer::new().seal(&mail.bytes);
        assert!(stored.is_ascii() && stored.ends_with(b"\r\n"), "{}", mail.name);
        for line in stored.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\r\n");
            let text = text.unwrap_or_else(|| panic!("{}: a line without CRLF", mail.name));
            assert!(text.len() <= 998, "{}: a line of {}", mail.name, text.len());
            let control = text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
            assert!(!control, "{}: a control character in {text:?}", mail.name);
        }
    }
}

#[test]
fn every_summary_agrees_with_its_message() {
    let sealer = Sealer::new();
    let mut none = Vec::new();
    for mail in mail::all() {
        let stored = sealer.seal(&mail.bytes);
        let opened = sealer.summary(header_block(&stored));
        let opened = opened.unwrap_or_else(|error| panic!("{}: {error}", mail.name));
        let local = to_lf(header_block(&stored));
        assert_eq!(sealer.summary(&local).unwrap(), opened, "{}", mail.name);
        match opened {
            Some(summary) => agrees(&mail.name, &mail.bytes, &summary),
            None => none.push(mail.name),
        }
    }
    // Only what is too large for a header field goes without.
    assert_eq!(none, WITHOUT_SUMMARY);
}

fn agrees(name: &str, message: &[u8], summary: &Summary) {
    let cut = |range: Range<u64>| {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        message.get(range).unwrap_or_else(|| panic!("{name}: a part lies outside the message"))
    };
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;

    assert_eq!(summary.size, message.len() as u64, "{name}");
    let [root, parts @ ..] = &summary.parts[..] else { panic!("{name}: no parts") };
    assert_eq!(root.depth, 0, "{name}");
    assert!(root.header().is_empty(), "{name}: the header is in it twice");
    assert_eq!(root.header_range().start, 0, "{name}");
    assert_eq!(root.body_range().end, message.len() as u64, "{name}");
    let omitted = |field: &str| summary.omitted.iter().any(|name| field.eq_ignore_ascii_case(name));
    let expected = without(cut(root.header_range()), omitted);
    assert!(summary.header() == expected, "{name}: the header block is another");
    assert_eq!(root.lines, lines(cut(root.body_range())), "{name}");

    let mut path = vec![root];
    for part in parts {
        let depth = usize::from(part.depth);
        assert!((1..=path.len()).contains(&depth), "{name}: a part of depth {depth}");
        path.truncate(depth);
        let parent = path[depth - 1];
        assert!(matches!(parent.kind(), Kind::Multipart | Kind::Message), "{name}");
        assert!(cut(part.header_range()) == part.header(), "{name}: another part header");
        assert_eq!(part.lines, lines(cut(part.body_range())), "{name}");
        let (inside, around) =
            (part.header_range().start..part.body_range().end, parent.body_range());
        assert!(
            around.start <= inside.start && inside.end <= around.end,
            "{name}: {inside:?} is not inside {around:?}"
        );
        path.push(part);
    }
    assert!(summary.preview.chars().count() <= 200, "{name}");
    assert!(!summary.preview.chars().any(char::is_control), "{name}: {:?}", summary.preview);
}

/// The header block without some fields, line by line: a line that begins with white space belongs to
/// the field before it.
fn without(block: &[u8], omitted: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut keep = true;
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let empty = matches!(line, b"\r\n" | b"\n");
        if empty || !matches!(line.first(), Some(b' ' | b'\t')) || kept.is_empty() && keep {
            let name = line.split(|byte| *byte == b':').next().unwrap();
            let is_field = line.contains(&b':');
            keep = !(is_field && omitted(String::from_utf8_lossy(name).trim_end()));
        }
        if keep || empty {
            kept.extend_from_slice(line);
        }
    }
    kept
}

#[test]
fn previews_are_of_the_text() {
    let sealer = Sealer::new();
    let preview = |message: &[u8]| {
        let stored = sealer.seal(message);
        sealer.summary(header_block(&stored)).unwrap().unwrap().preview
    };
    assert_eq!(preview(b"Subject: a\r\n\r\nHello,\r\n\r\n  dear  Bob\r\n"), "Hello, dear Bob");
    assert_eq!(preview(b""), "");
    let long = preview(format!("Subject: a\r\n\r\n{}\r\n", "word ".repeat(500)).as_bytes());
    assert_eq!(long.chars().count(), 200);
    let text = preview(&mail::one("text/german-quoted-printable.eml"));
    assert!(!text.is_empty() && !text.contains("=C3"), "{text}");
}
