//! Sealed messages that are kept for ever: what this version sealed, every later version opens, and
//! the stock tools too. `fixtures/vectors/README.md` tells what is in the files.

mod seal_support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nightsafe::age::SecretKey;
use nightsafe::message::header;
use nightsafe::seal::{Ring, SignatureError, Summary, Trust, UnsealError, open_summary, unseal};
use nightsafe::user::User;
use seal_support::{stock, vector_maker};
use sha2::{Digest as _, Sha256};

/// How many there are at least, so that none gets lost.
const VECTORS: usize = 27;
/// Whose message it must be.
const USER: &str = "alice@example.org";
/// Set, it lets the test make those of its vectors that are missing.
const MAKE: &str = "NIGHTSAFE_MAKE_VECTORS";

struct Vector {
    name: String,
    expect: String,
    /// SHA-256 in hex of the original, where it opens.
    original: Option<String>,
    /// What opening the summary gives, where it is not the same as for the message.
    summary: Option<String>,
    stored: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/sealed")
}

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn vectors() -> Vec<Vector> {
    if std::env::var_os(MAKE).is_some() {
        vector_maker::make_missing(&folder());
    }
    let mut paths: Vec<_> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_none());
    paths.sort();
    assert!(paths.len() >= VECTORS, "only {} vectors", paths.len());
    paths.iter().map(|path| Vector::read(path)).collect()
}

impl Vector {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let mut vector = Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            expect: String::new(),
            original: None,
            summary: None,
            stored: bytes[end + 2..].to_vec(),
        };
        for line in std::str::from_utf8(&bytes[..end]).unwrap().lines() {
            match line.split_once(": ").unwrap() {
                ("expect", value) => value.clone_into(&mut vector.expect),
                ("original", value) => vector.original = Some(value.to_owned()),
                ("summary", value) => vector.summary = Some(value.to_owned()),
                ("comment", _) => {}
                (key, value) => panic!("{}: unknown line {key}: {value}", vector.name),
            }
        }
        assert_eq!(vector.expect == "ok", vector.original.is_some(), "{}", vector.name);
        vector
    }
}

fn kind(error: &UnsealError) -> &'static str {
    match error {
        UnsealError::NotSealed => "not sealed",
        UnsealError::Signature(SignatureError::Missing) => "unsigned",
        UnsealError::Signature(SignatureError::Doubled) => "doubled",
        UnsealError::Signature(SignatureError::Malformed) => "malformed signature",
        UnsealError::Signature(SignatureError::UnknownKey(_)) => "unknown key",
        UnsealError::Signature(SignatureError::Wrong) => "wrong signature",
        UnsealError::Signature(SignatureError::OtherBody) => "other body",
        UnsealError::Signature(SignatureError::OtherSummary) => "other summary",
        UnsealError::Signature(SignatureError::OtherUser(_)) => "other user",
        UnsealError::OtherKey => "other key",
        UnsealError::Damaged => "damaged",
        UnsealError::TooLarge => "too large",
        UnsealError::OutOfMemory => "out of memory",
    }
}

fn keys() -> Vec<SecretKey> {
    let text = std::fs::read_to_string(folder().join("identity.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| SecretKey::parse(line).unwrap()).collect()
}

#[test]
fn every_vector_is_what_it_was() {
    let keys = keys();
    let ring = Ring::load(&folder().join("sealing.key")).unwrap();
    let names = [User::parse(USER).unwrap()];
    for vector in vectors() {
        let name = &vector.name;
        let opened =
            unseal(&vector.stored, &keys, Trust::Signed { ring: &ring, user: Some(&names) });
        let found = opened.as_ref().map_or_else(kind, |_| "ok");
        assert_eq!(found, vector.expect, "{name}");
        let original = opened.map(|unsealed| unsealed.message.expose().to_vec()).ok();
        assert_eq!(original.as_deref().map(hex_sha256), vector.original, "{name}");

        let block = &vector.stored[..header::end_of_header(&vector.stored, 0)];
        let summary = open_summary(block, &keys, &ring, Some(&names));
        let found = match &summary {
            Ok(Some(_)) => "ok",
            Ok(None) => "none",
            Err(error) => kind(error),
        };
        assert_eq!(found, vector.summary.as_ref().unwrap_or(&vector.expect), "{name}: summary");
        if let (Ok(Some(summary)), Some(original)) = (summary, original) {
            same(name, &summary, &original);
        }
    }
}

fn same(name: &str, summary: &Summary, original: &[u8]) {
    assert_eq!(summary.size, original.len() as u64, "{name}");
    let block = &original[..header::end_of_header(original, 0)];
    assert!(!summary.omitted.is_empty() || summary.header() == block, "{name}: another header");
    assert!(!summary.parts.is_empty(), "{name}");
}

#[test]
fn stock_tools_open_those_that_are_ok() {
    stock::require_programs();
    let opened: Vec<_> = vectors().into_iter().filter(|vector| vector.expect == "ok").collect();
    assert!(opened.len() >= 12, "only {} vectors open", opened.len());
    for vector in opened {
        let plain = stock::open(&folder(), &vector.stored);
        let plain = plain.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(Some(hex_sha256(&plain)), vector.original, "{}", vector.name);
    }
}

#[test]
fn every_kind_has_a_vector() {
    let vectors = vectors();
    for kind in [
        "ok",
        "not sealed",
        "unsigned",
        "malformed signature",
        "unknown key",
        "wrong signature",
        "other body",
        "other summary",
        "other user",
        "other key",
        "doubled",
    ] {
        assert!(vectors.iter().any(|vector| vector.expect == kind), "no vector is {kind}");
    }
    assert!(vectors.iter().any(|vector| vector.summary.as_deref() == Some("none")));
}
