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

/// What Cyrus refuses to store directly: a line in the header that is no field, or white space before the
/// colon (obsolete, RFC 5322 section 4.5).
const NO_FIELD: [&str; 3] = [
    "rfc/5322-a6-3-obsolete-white-space.eml",
    "third-party/cpython-19-text-without-header.eml",
    "third-party/cpython-35-no-blank-line.eml",
];

fn is_well_formed(name: &str, bytes: &[u8]) -> bool {
    !name.starts_with("malformed/")
        && !NO_FIELD.contains(&name)
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
