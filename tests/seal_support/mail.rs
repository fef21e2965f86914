//! The messages of `fixtures/mail`, and messages made up.

use std::path::Path;

/// One message, called by its path below `fixtures/mail`.
pub struct Mail {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Every message of `fixtures/mail`.
pub fn all() -> Vec<Mail> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mail");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()) {
        for file in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Mail { name, bytes: std::fs::read(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() >= 250, "only {} messages below {}", found.len(), root.display());
    found
}

/// One message of `fixtures/mail`.
pub fn one(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mail").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `deliver` makes of it: a CR before every LF that has none.
pub fn to_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut converted = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for &byte in bytes {
        if byte == b'\n' && converted.last() != Some(&b'\r') {
            converted.push(b'\r');
        }
        converted.push(byte);
    }
    converted
}

/// What a store that keeps local line ends makes of it.
pub fn to_lf(bytes: &[u8]) -> Vec<u8> {
    let mut converted = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == b'\n' && converted.last() == Some(&b'\r') {
            converted.pop();
        }
        converted.push(byte);
    }
    converted
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A message of `len` octets with CRLF line ends: text that compresses and lines that do not, in turn.
pub fn mixed(len: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut message = b"Subject: large\r\nDate: Tue, 3 Nov 2026 10:00:30 +0100\r\n\r\n".to_vec();
    let random = noise(1 << 20, 1);
    for block in 0.. {
        if message.len() >= len {
            break;
        }
        if block % 2 == 0 {
            for line in 0..6_000 {
                let text =
                    format!("line {line} of block {block}: the quick brown fox jumps on\r\n");
                message.extend_from_slice(text.as_bytes());
            }
        } else {
            // A different start each time: zstd would find a repeated block.
            let salt = noise(76, block);
            for line in random.chunks(76).take(6_000) {
                let digit = |(a, b): (&u8, &u8)| DIGITS[usize::from((a ^ b) & 63)];
                message.extend(line.iter().zip(&salt).map(digit));
                message.extend_from_slice(b"\r\n");
            }
        }
    }
    message.truncate(len);
    message
}
