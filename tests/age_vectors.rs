//! The CCTV age vectors: for every file the kind of the outcome, and exactly the plaintext that may
//! come out, however the file is cut into pieces.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use nightsafe::age::{Decryptor, Error, Identity, SecretKey};
use nightsafe::secret::SecretBytes;
use sha2::{Digest as _, Sha256};

const VECTORS: usize = if cfg!(feature = "hybrid") { 85 } else { 67 };
const HYBRID_PREFIX: &str = "AGE-SECRET-KEY-PQ-1";

struct Vector {
    name: String,
    expect: String,
    /// SHA-256 in hex of what may come out; of nothing, where the file does not say.
    payload: String,
    identities: Vec<String>,
    file: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let mut vector = Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            expect: String::new(),
            payload: hex_sha256(b""),
            identities: Vec::new(),
            file: bytes[end + 2..].to_vec(),
        };
        for line in std::str::from_utf8(&bytes[..end]).unwrap().lines() {
            match line.split_once(": ").unwrap() {
                ("expect", value) => value.clone_into(&mut vector.expect),
                ("payload", value) => value.clone_into(&mut vector.payload),
                ("identity", value) => vector.identities.push(value.to_owned()),
                ("compressed", "zlib") => {
                    let mut file = Vec::new();
                    flate2::read::ZlibDecoder::new(&bytes[end + 2..])
                        .read_to_end(&mut file)
                        .unwrap();
                    vector.file = file;
                }
                ("comment" | "file key", _) => {}
                (key, value) => panic!("{}: unknown line {key}: {value}", vector.name),
            }
        }
        vector
    }

    /// Whether it needs no feature that is off.
    fn is_for_us(&self) -> bool {
        let is_hybrid = |text: &String| text.starts_with(HYBRID_PREFIX);
        cfg!(feature = "hybrid") || !self.identities.iter().any(is_hybrid)
    }

    fn check(&self, piece_len: usize) {
        let identities: Vec<_> = self.identities.iter().map(|text| identity(text)).collect();
        let identities: Vec<&dyn Identity> = identities.iter().map(AsRef::as_ref).collect();
        let mut released = SecretBytes::default();
        let mut decryptor = Decryptor::new(&identities);
        let outcome = self
            .file
            .chunks(piece_len)
            .try_for_each(|piece| decryptor.push(piece, &mut released))
            .and_then(|()| decryptor.finish(&mut released));
        let context = format!("{} in pieces of {piece_len}: {outcome:?}", self.name);
        assert_eq!(kind(outcome), self.expect, "{context}");
        assert_eq!(hex_sha256(released.expose()), self.payload, "{context}");
    }
}

fn identity(text: &str) -> Box<dyn Identity> {
    #[cfg(feature = "hybrid")]
    if text.starts_with(HYBRID_PREFIX) {
        return Box::new(nightsafe::age::HybridKey::parse(text).unwrap());
    }
    Box::new(SecretKey::parse(text).unwrap())
}

fn kind(outcome: Result<(), Error>) -> &'static str {
    match outcome {
        Ok(()) => "success",
        Err(Error::Header(_)) => "header failure",
        Err(Error::NoMatch) => "no match",
        Err(Error::HeaderMac) => "HMAC failure",
        Err(Error::Payload(_)) => "payload failure",
        Err(Error::OutOfMemory) => panic!("out of memory"),
    }
}

fn hex_sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/age");
    let mut vectors: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| Vector::read(&entry.unwrap().path()))
        .filter(Vector::is_for_us)
        .collect();
    vectors.sort_by(|one, other| one.name.cmp(&other.name));
    vectors
}

fn check_all(piece_len: usize) {
    let vectors = vectors();
    vectors.iter().for_each(|vector| vector.check(piece_len));
    assert_eq!(vectors.len(), VECTORS);
}

#[test]
fn whole() {
    check_all(usize::MAX);
}

#[test]
fn byte_by_byte() {
    check_all(1);
}

#[test]
fn in_odd_pieces() {
    // Around a line, a header, a chunk with its tag, and more than one chunk.
    for piece_len in [7, 199, 65_535, 65_551, 65_552, 65_553, 200_001] {
        check_all(piece_len);
    }
}
