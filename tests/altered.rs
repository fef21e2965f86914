//! What was altered opens as what it was, or not at all: every octet, every length, every order.

mod seal_support;

use nightsafe::age::{CHUNK_LEN, decrypt};
use nightsafe::seal::{SignatureError, UnsealError};
use seal_support::mail;
use seal_support::sealer::Sealer;
use seal_support::stored::{Stored, header_block};

const MESSAGE: &[u8] = b"From: Bob <bob@example.com>\r\nSubject: a\r\nDate: Tue, 3 Nov 2026 10:00:30 +0100\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n";

/// How many alterations made no difference, and how many were refused.
#[derive(Default)]
struct Tally {
    harmless: usize,
    refused: usize,
}

/// Fails if anything but the original comes out of `altered`, by any way in.
fn same_or_refused(sealer: &Sealer, altered: &[u8], what: &str, tally: &mut Tally) {
    match sealer.unseal(altered) {
        Ok(opened) => {
            assert!(opened == MESSAGE, "{what}: another message came out");
            tally.harmless += 1;
        }
        Err(_) => tally.refused += 1,
    }
    // Without a signature the key alone vouches for the body, and still for all of it.
    if let Ok(opened) = sealer.unseal_anything(altered) {
        assert!(opened.message.expose() == MESSAGE, "{what}: another message, unsigned");
    }
}

fn same_summary_or_refused(sealer: &Sealer, block: &[u8], what: &str) {
    if let Ok(Some(summary)) = sealer.summary(block) {
        assert_eq!(summary.size, MESSAGE.len() as u64, "{what}");
        assert!(MESSAGE.starts_with(summary.header()), "{what}: another header");
        assert_eq!(summary.preview, "Hello", "{what}");
    }
}

#[test]
fn every_octet() {
    let sealer = Sealer::new();
    let stored = sealer.seal(MESSAGE);
    let block = header_block(&stored).len();
    let mut tally = Tally::default();
    for at in 0..stored.len() {
        for pattern in [0x01, 0x20, 0x40, 0x80, 0xff] {
            let mut altered = stored.clone();
            altered[at] ^= pattern;
            let what = format!("octet {at} ^ {pattern:#x}");
            same_or_refused(&sealer, &altered, &what, &mut tally);
            if at < block {
                same_summary_or_refused(&sealer, &altered[..block], &what);
            }
        }
        for octet in [b'\r', b'\n', b' ', b'=', b'-'] {
            let mut altered = stored.clone();
            altered.insert(at, octet);
            same_or_refused(
                &sealer,
                &altered,
                &format!("{octet:#x} before octet {at}"),
                &mut tally,
            );
            altered.remove(at + 1);
            same_or_refused(&sealer, &altered, &format!("octet {at} = {octet:#x}"), &mut tally);
        }
    }
    // Fixed text and white space do not matter; signature, summary and body do, and are the most.
    assert!(
        tally.refused > 8 * stored.len() && tally.harmless > stored.len(),
        "too few of one kind"
    );
}

#[test]
fn every_octet_of_what_is_signed_matters() {
    let sealer = Sealer::new();
    let stored = Stored::parse(&sealer.seal(MESSAGE));
    let digit = |byte: u8| if byte == b'B' { b'C' } else { b'B' };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let altered = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = digit(bytes[at]);
        String::from_utf8(bytes).unwrap()
    };
    // The last digit of a group that "=" fills up holds bits that mean nothing.
    let body_digits = stored.body.trim_end_matches('=').len() - 1;
    for at in (0..body_digits).filter(|at| is_digit(stored.body.as_bytes()[*at])) {
        let other = stored.with(|stored| stored.body = altered(&stored.body, at));
        assert_eq!(sealer.unseal(&other), Err(SignatureError::OtherBody.into()), "digit {at}");
    }
    let value = stored.summary.find(' ').unwrap() + 1;
    let summary_digits = stored.summary.trim_end().trim_end_matches('=').len() - 1;
    for at in (value..summary_digits).filter(|at| is_digit(stored.summary.as_bytes()[*at])) {
        let other = stored.with(|stored| stored.summary = altered(&stored.summary, at));
        let expected = UnsealError::from(SignatureError::OtherSummary);
        assert_eq!(sealer.unseal(&other), Err(expected.clone()), "digit {at}");
        assert_eq!(sealer.summary(header_block(&other)), Err(expected), "digit {at}");
    }
}

#[test]
fn every_length() {
    let sealer = Sealer::new();
    let stored = sealer.seal(MESSAGE);
    let mut tally = Tally::default();
    for len in 0..stored.len() {
        same_or_refused(&sealer, &stored[..len], &format!("{len} octets"), &mut tally);
        same_or_refused(&sealer, &stored[len..], &format!("without {len} octets"), &mut tally);
    }
    for len in 0..header_block(&stored).len() {
        same_summary_or_refused(&sealer, &stored[..len], &format!("{len} octets"));
    }
    // What may be missing is the closing boundary, and the fields before ours.
    let pieces = Stored::parse(&stored);
    let needless = pieces.after_body.len() + pieces.other_fields.len();
    assert!(tally.harmless <= needless + 2, "{} cuts made no difference", tally.harmless);
}

#[test]
fn chunks_in_another_order() {
    const NONCE_LEN: usize = 16;
    let sealer = Sealer::new();
    let message = mail::noise(3 * CHUNK_LEN, 3);
    let stored = Stored::parse(&sealer.seal(&message));
    let file = stored.age_file();
    let mac = file.windows(5).position(|five| five == b"\n--- ").unwrap() + 1;
    let payload = mac + file[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + NONCE_LEN;
    let (header, sealed) = file.split_at(payload);
    let chunks: Vec<&[u8]> = sealed.chunks(CHUNK_LEN + 16).collect();
    let [a, b, c, rest @ ..] = &chunks[..] else { panic!("{} chunks", chunks.len()) };
    let rest = rest.concat();
    let of = |chunks: &[&[u8]]| stored.with_age_file(&[header, &chunks.concat(), &rest].concat());
    assert!(sealer.unseal(&of(&[a, b, c])).unwrap() == message);
    let orders: [&[&[u8]]; 6] =
        [&[b, a, c], &[a, c, b], &[c, b, a], &[a, c], &[a, a, b, c], &[b, c]];
    for (number, order) in orders.into_iter().enumerate() {
        let altered = of(order);
        let error = sealer.unseal(&altered).unwrap_err();
        assert_eq!(error, SignatureError::OtherBody.into(), "order {number}");
        let unsigned = sealer.unseal_anything(&altered).map(|_| ()).unwrap_err();
        assert_eq!(unsigned, UnsealError::Damaged, "order {number}");
    }
    for chunks in [&[][..], &[*a], &[*a, *b], &[*a, *b, *c]] {
        let cut = [header, &chunks.concat()].concat();
        // By itself, before the decompression has a say: it gives nothing out of half a file.
        assert!(decrypt(sealer.keys(), &cut).is_err(), "only {} chunks", chunks.len());
        let unsigned = sealer.unseal_anything(&stored.with_age_file(&cut)).map(|_| ()).unwrap_err();
        assert_eq!(unsigned, UnsealError::Damaged, "only {} chunks", chunks.len());
    }
}

#[test]
fn lines_of_base64_in_another_order() {
    let sealer = Sealer::new();
    let stored = Stored::parse(&sealer.seal(MESSAGE));
    let lines: Vec<&str> = stored.body.split("\r\n").collect();
    assert!(lines.len() >= 3);
    let other: Result<Vec<u8>, _> = Err(SignatureError::OtherBody.into());
    for at in 0..lines.len() - 2 {
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        let altered = stored.with(|stored| stored.body = swapped.join("\r\n"));
        assert_eq!(sealer.unseal(&altered), other, "lines {at} and {}", at + 1);
        let mut without = lines.clone();
        without.remove(at);
        let altered = stored.with(|stored| stored.body = without.join("\r\n"));
        assert_eq!(sealer.unseal(&altered), other, "without {at}");
    }
    // How the lines are cut is nobody's concern.
    let joined = lines.concat();
    for width in [1, 60, 77, 100_000] {
        let cut: Vec<&str> =
            joined.as_bytes().chunks(width).map(|l| std::str::from_utf8(l).unwrap()).collect();
        let altered = stored.with(|stored| stored.body = cut.join("\r\n"));
        assert_eq!(sealer.unseal(&altered).unwrap(), MESSAGE, "lines of {width}");
    }
}
