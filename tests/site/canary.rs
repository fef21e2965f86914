//! Words that stand nowhere else, put into every place of a message; and the search for them.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The canaries of one message, one for each place.
pub struct Canaries {
    run: String,
}

/// Where a canary was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub place: &'static str,
    pub file: PathBuf,
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} in {}", self.place, self.file.display())
    }
}

const PLACES: [&str; 16] = [
    "Subject",
    "From",
    "FromAddress",
    "To",
    "Cc",
    "MessageId",
    "Unknown",
    "Received",
    "Boundary",
    "Preamble",
    "Body",
    "Html",
    "FileName",
    "Attachment",
    "Nested",
    "Epilogue",
];

impl Canaries {
    /// Canaries of this name: messages of different names share none.
    pub fn new(name: &str) -> Self {
        Self { run: format!("{name}{}", std::process::id()) }
    }

    /// What the words of all canaries of every name begin with: one search for them all.
    pub fn all() -> Self {
        Self { run: String::new() }
    }

    /// The word for a place: letters and digits, so no encoding but base64 alters it.
    pub fn word(&self, place: &str) -> String {
        format!("Canary{place}{}", self.run)
    }

    /// A message with all of them, CRLF line ends, ready to be submitted.
    pub fn message(&self) -> Vec<u8> {
        let word = |place| self.word(place);
        let attachment = format!("An attachment with {} in it.\r\n", word("Attachment")).repeat(9);
        let text = [
            format!(
                "Received: from {}.example.com by mx.example.net; Mon, 2 Nov 2026 10:00:00 +0100",
                word("Received")
            ),
            "Date: Mon, 2 Nov 2026 10:00:07 +0100".to_owned(),
            format!("From: {} <{}@example.net>", word("From"), word("FromAddress")),
            format!("To: {} <alice@example.org>", word("To")),
            format!("Cc: {} <somebody@example.com>", word("Cc")),
            format!("Subject: {}", word("Subject")),
            format!("Message-ID: <{}@example.net>", word("MessageId")),
            format!("X-Unknown-Field: {}", word("Unknown")),
            "MIME-Version: 1.0".to_owned(),
            format!("Content-Type: multipart/mixed; boundary=\"{}\"", word("Boundary")),
            String::new(),
            format!("This is the preamble: {}", word("Preamble")),
            format!("--{}", word("Boundary")),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            String::new(),
            format!("Dear Alice, {}.", word("Body")),
            ".".to_owned(),
            "From here on nothing is an mbox, and the line above is no end.".to_owned(),
            format!("--{}", word("Boundary")),
            "Content-Type: text/html; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: quoted-printable".to_owned(),
            String::new(),
            format!("<p title=3D\"{}\">f=C3=BCr dich</p>", word("Html")),
            format!("--{}", word("Boundary")),
            "Content-Type: application/octet-stream".to_owned(),
            format!("Content-Disposition: attachment; filename=\"{}.pdf\"", word("FileName")),
            "Content-Transfer-Encoding: base64".to_owned(),
            String::new(),
            wrapped(&base64(attachment.as_bytes())),
            format!("--{}", word("Boundary")),
            "Content-Type: message/rfc822".to_owned(),
            String::new(),
            "From: nested@example.com".to_owned(),
            format!("Subject: {}", word("Nested")),
            String::new(),
            "Nested.".to_owned(),
            format!("--{}--", word("Boundary")),
            format!("This is the epilogue: {}", word("Epilogue")),
            String::new(),
        ];
        text.join("\r\n").into_bytes()
    }

    /// The same with a big part of text that does not compress, `size` bytes in all or a little more.
    pub fn large_message(&self, size: usize) -> Vec<u8> {
        let mut message = self.message();
        message.reserve(size);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        while message.len() < size {
            let mut noise = [0_u8; 57];
            for byte in &mut noise {
                // Marsaglia's xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[0];
            }
            message.extend_from_slice(base64(&noise).as_bytes());
            message.extend_from_slice(b"\r\n");
        }
        message
    }

    /// Searches everything below a folder except what is below `without`, in file names and contents.
    pub fn search(&self, folder: &Path, without: &[PathBuf]) -> Vec<Found> {
        let patterns = self.patterns();
        let mut found = Vec::new();
        walk(folder, &mut |path| {
            if without.iter().any(|folder| path.starts_with(folder)) {
                return false;
            }
            look_into(path, &patterns, &mut found);
            true
        });
        found
    }

    /// The same for what belongs to one of these users, directly in a folder or below one of theirs.
    pub fn search_owned(&self, folder: &Path, owners: &[u32]) -> Vec<Found> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.metadata().is_ok_and(|about| owners.contains(&about.uid())) {
                found.extend(self.search(&entry.path(), &[]));
            }
        }
        found
    }

    /// Each word as it is, and what base64 makes of it at each of the three alignments.
    fn patterns(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut patterns = Vec::new();
        for place in PLACES {
            let word = self.word(place);
            for shift in 0..3 {
                patterns.push((place, base64_inside(word.as_bytes(), shift)));
            }
            patterns.push((place, word.into_bytes()));
        }
        patterns
    }
}

/// Searches a file as it is and without white space, which may stand anywhere inside of base64.
fn look_into(path: &Path, patterns: &[(&'static str, Vec<u8>)], found: &mut Vec<Found>) {
    let mut content = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    content.push(b'\n');
    if path.is_file() {
        // A file that goes away while we look is no leak.
        content.extend(fs::read(path).unwrap_or_default());
    }
    let dense: Vec<u8> =
        content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut places = HashSet::new();
    for (place, pattern) in patterns {
        let inside = |text| memchr::memmem::find(text, pattern).is_some();
        // The MTA logs the Message-ID of what it takes in; that is its log's, not ours to hide.
        let logged = *place == "MessageId"
            && (path.ends_with("postfix/log/mail.log") || path.ends_with("exim/log/mainlog"));
        if !logged && (inside(&content) || inside(&dense)) && places.insert(*place) {
            found.push(Found { place, file: path.to_owned() });
        }
    }
}

/// Visits a path and, when `visit` wants it, what is below.
fn walk(path: &Path, visit: &mut impl FnMut(&Path) -> bool) {
    let is_folder = path.symlink_metadata().is_ok_and(|about| about.is_dir());
    if visit(path) && is_folder {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            walk(&entry.path(), visit);
        }
    }
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, index| bits << 8 | usize::from(*group.get(index).unwrap_or(&0)));
        for digit in 0..4 {
            let sign = DIGITS[bits >> (18 - 6 * digit) & 63];
            text.push(if digit <= group.len() { char::from(sign) } else { '=' });
        }
    }
    text
}

/// The digits that depend on nothing but `word` when `shift` bytes of a group precede it.
fn base64_inside(word: &[u8], shift: usize) -> Vec<u8> {
    let padded = [&b"   "[..shift], word].concat();
    let whole = (padded.len() * 8).div_euclid(6);
    let first = (shift * 8).div_ceil(6);
    base64(&padded).as_bytes()[first..whole].to_vec()
}

fn wrapped(text: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\r\n")
}
