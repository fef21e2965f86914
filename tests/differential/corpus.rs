//! The messages of the test, in the order they are appended.

use super::made;
use crate::seal_support::mail;
use crate::support::imap::Client;

/// One message with what a client says when it appends it.
pub struct Letter {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Flags and INTERNALDATE as they stand in APPEND.
    pub before: String,
}

/// What is compared between direct and through the proxy: mail as the standards have it.
pub fn well_formed() -> Vec<Letter> {
    let fixtures = mail::all().into_iter().map(|mail| (mail.name, mail.bytes));
    let kept = fixtures.filter(|(name, bytes)| is_well_formed(name, bytes));
    let all = kept.chain(made::all());
    all.enumerate().map(|(index, (name, bytes))| letter(index, name, bytes)).collect()
}

/// What is compared with itself: everything else.
pub fn malformed() -> Vec<Letter> {
    let fixtures = mail::all().into_iter().map(|mail| (mail.name, mail.bytes));
    let kept = fixtures.filter(|(name, bytes)| !is_well_formed(name, bytes));
    kept.enumerate().map(|(index, (name, bytes))| letter(index, name, bytes)).collect()
}

/// Malformed mail outside of that folder.
const OTHERS: [&str; 15] = [
    // A line in the header that is no field, or white space before the colon: Cyrus refuses it.
    "rfc/5322-a6-3-obsolete-white-space.eml",
    "third-party/cpython-19-text-without-header.eml",
    "third-party/cpython-35-no-blank-line.eml",
    // No subtype, or no type of MIME at all.
    "legacy/rfc1049-content-type.eml",
    "legacy/sun-attachment.eml",
    "third-party/cpython-14-content-type-without-subtype.eml",
    // A multipart without its boundary, or without a part.
    "third-party/cpython-17-multipart-without-boundaries.eml",
    "third-party/cpython-25-bounce-with-envelope-line.eml",
    "third-party/cpython-31-boundary-differs-by-a-character.eml",
    "third-party/cpython-33-signed-parameters-with-charset.eml",
    "third-party/cpython-41-alternative-without-boundary.eml",
    "third-party/cpython-42-empty-multipart-in-rfc822.eml",
    // An inner boundary that is, or begins with, the outer one.
    "third-party/cpython-15-alternative-with-outer-boundary.eml",
    "third-party/cpython-39-nested-alternatives.eml",
    // A boundary in the midst of text.
    "third-party/cpython-38-boundaries-inside-text.eml",
];

fn is_well_formed(name: &str, bytes: &[u8]) -> bool {
    !name.starts_with("malformed/")
        && !OTHERS.contains(&name)
        && !bytes.is_empty()
        && has_its_line_ends(bytes)
}

/// Stores change bare line ends and NULs (RFC 3501 section 4.3 has neither), and nightsafe does not.
fn has_its_line_ends(bytes: &[u8]) -> bool {
    let pairs = memchr::memmem::find_iter(bytes, b"\r\n").count();
    let [cr, lf, nul] = [b'\r', b'\n', 0].map(|wanted| memchr::memchr_iter(wanted, bytes).count());
    (cr, lf, nul) == (pairs, pairs, 0)
}

/// Every flag in some messages, days and zones from all over.
fn letter(index: usize, name: String, bytes: Vec<u8>) -> Letter {
    const FLAGS: [&str; 8] = [
        "()",
        "(\\Seen)",
        "(\\Flagged)",
        "(\\Answered \\Seen)",
        "(\\Draft)",
        "($Forwarded)",
        "(\\Deleted)",
        "(\\Seen Work)",
    ];
    const MONTHS: [&str; 4] = ["Jan", "Apr", "Sep", "Dec"];
    const ZONES: [&str; 4] = ["+0000", "+0200", "-0730", "+1245"];
    let flags = FLAGS[index % FLAGS.len()];
    let date = format!(
        "\"{:2}-{}-{} {:02}:{:02}:{:02} {}\"",
        1 + index % 28,
        MONTHS[index % 4],
        2019 + index % 7,
        index % 24,
        index % 60,
        (index * 7) % 60,
        ZONES[index % 3]
    );
    let before = format!("{flags} {date}");
    Letter { name, bytes, before }
}

/// Appends all of them to a mailbox; those that the store refuses come back by name, with its answer.
pub fn append(client: &mut Client, mailbox: &str, letters: &[Letter]) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    for letter in letters {
        let answer = client.append(mailbox, &letter.before, &letter.bytes);
        if answer.status() != "OK" {
            refused.push((letter.name.clone(), answer.to_string()));
        }
    }
    refused
}
