//! What a search finds in opened messages is what the servers find in the same messages stored plain:
//! the files of `fixtures/mail`, and words out of them.

mod site;

use nightsafe::imap::search::{Mail, Manner, Piece, Program, Set, Truth};
use site::Site;
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::store::Store as _;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;

/// A connection with an open mailbox.
struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Wire {
    fn open(port: u16, user: &str) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut wire = Self { reader: BufReader::new(writer.try_clone().unwrap()), writer };
        wire.line();
        wire.run(format!("LOGIN {user} \"{}\"", site::password(user)).as_bytes());
        wire
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        assert!(self.reader.read_until(b'\n', &mut line).unwrap() > 0, "the server hung up");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// The lines of the answer, the tagged one last.
    fn run(&mut self, command: &[u8]) -> Vec<String> {
        self.writer.write_all(&[b"t ", command, b"\r\n"].concat()).unwrap();
        let mut lines = vec![self.line()];
        while !lines.last().unwrap().starts_with("t ") {
            lines.push(self.line());
        }
        lines
    }

    /// Whether the server takes the message.
    fn append(&mut self, message: &[u8]) -> bool {
        let head = format!("APPEND INBOX {{{}+}}\r\n", message.len());
        self.run(&[head.as_bytes(), message].concat()).pop().unwrap().starts_with("t OK")
    }

    /// The numbers of the messages that match.
    fn search(&mut self, program: &str) -> BTreeSet<u32> {
        let lines = self.run(format!("SEARCH {program}").as_bytes());
        assert!(lines.last().unwrap().starts_with("t OK"), "{program}: {lines:?}");
        let found = lines.iter().find_map(|line| line.strip_prefix("* SEARCH")).unwrap();
        // The highest mod-sequence may stand behind them.
        let numbers = found.split(" (").next().unwrap().split_whitespace();
        numbers.map(|number| number.parse().unwrap()).collect()
    }
}

struct Fixture {
    name: String,
    message: Vec<u8>,
}

/// What `fixtures/mail` holds, in the order of names.
fn fixtures() -> Vec<Fixture> {
    fn walk(folder: &Path, into: &mut Vec<Fixture>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|ending| ending == "eml") {
                let name = path.strip_prefix("fixtures/mail").unwrap().display().to_string();
                into.push(Fixture { name, message: fs::read(&path).unwrap() });
            }
        }
    }
    let mut all = Vec::new();
    walk(Path::new("fixtures/mail"), &mut all);
    // Photographs take long to look through and show nothing new.
    all.retain(|fixture| fixture.message.len() < 200_000);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn quoted(text: &str) -> String {
    if text.is_ascii() {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("{{{}+}}\r\n{text}", text.len())
    }
}

/// Words out of the files under every key that looks for one, sizes, and days.
fn programs(fixtures: &[Fixture]) -> Vec<String> {
    let mut programs: BTreeSet<String> = BTreeSet::new();
    for (at, fixture) in fixtures.iter().enumerate() {
        let text = String::from_utf8_lossy(&fixture.message);
        let words: Vec<&str> = text
            .split(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '@'))
            .filter(|word| (4..20).contains(&word.chars().count()) && !word.contains('\u{fffd}'))
            .take(5000)
            .collect();
        programs.insert(format!("LARGER {}", fixture.message.len()));
        programs.insert(format!("SMALLER {}", fixture.message.len()));
        // Every second file gives words: the servers look through all of them for each.
        if at % 2 == 1 {
            continue;
        }
        for (key, step) in [("BODY", 3), ("TEXT", 5), ("SUBJECT", 7), ("FROM", 11), ("TO", 13)] {
            let word = words.get((at * step) % words.len().max(1));
            programs.extend(word.map(|word| format!("CHARSET UTF-8 {key} {}", quoted(word))));
        }
    }
    programs.extend(["TO dear", "TO body", "TO mail", "BODY from", "BODY part"].map(str::to_owned));
    for day in ["1-Jan-1970", "1-Jan-1998", "3-Nov-2026", "4-Nov-2026"] {
        programs.extend(["SENTBEFORE", "SENTON", "SENTSINCE"].map(|key| format!("{key} {day}")));
    }
    programs.into_iter().collect()
}

/// Differences that stay: how the server matches, the keys, the files, and why.
type Known = (Manner, &'static [&'static str], &'static [&'static str]);

const KNOWN: [(&str, &[Known]); 6] = [
    (
        "Cyrus takes the day of arrival where there is no date that it understands",
        &[(
            Manner::Cyrus,
            SENT,
            &["legacy/date-three-digit-year", "legacy/obs-date-two-digit-year", "third-party/"],
        )],
    ),
    (
        "both take a date before 1970 for something else",
        &[
            (Manner::Cyrus, SENT, &["rfc/5322-a1-3-group", "rfc/5322-a5-comments-and-folding"]),
            (Manner::Dovecot, SENT, &["rfc/5322-a1-3-group", "rfc/5322-a5-comments-and-folding"]),
        ],
    ),
    (
        "Cyrus finds nothing in other charsets than UTF-8 and in the last line of some parts",
        &[(
            Manner::Cyrus,
            &["BODY", "TEXT"],
            &[
                "attachment/forwarded-scan",
                "attachment/voice-message",
                "html/social-notification",
                "legacy/winmail-dat",
                "rfc/2045-quoted-printable",
                "rfc/2387-related-start",
                "rfc/3156-pgp-signed",
                "text/swedish-latin1-forward",
                "third-party/",
            ],
        )],
    ),
    (
        "neither looks at comments in addresses, and each has its own words for what is missing there",
        &[
            (
                Manner::Cyrus,
                ADDRESSES,
                &["legacy/", "rfc/5322-a5-comments-and-folding", "third-party/"],
            ),
            (
                Manner::Dovecot,
                ADDRESSES,
                &[
                    "legacy/comments-in-addresses",
                    "rfc/5322-a5-comments-and-folding",
                    "rfc/5322-a6-1-obsolete-addressing",
                    "third-party/",
                ],
            ),
        ],
    ),
    (
        "message/global is no message to either (RFC 6532)",
        &[
            (Manner::Cyrus, &["BODY"], &["rfc/6532-utf8-headers"]),
            (Manner::Dovecot, &["BODY"], &["rfc/6532-utf8-headers"]),
        ],
    ),
    (
        "Dovecot counts an LF alone as two octets, and knows no charset in a boundary",
        &[
            (Manner::Dovecot, &["LARGER", "SMALLER"], &["rfc/3030-binary-part"]),
            (Manner::Dovecot, &["BODY", "TEXT"], &["third-party/cpython-33"]),
        ],
    ),
];
const SENT: &[&str] = &["SENTBEFORE", "SENTON", "SENTSINCE"];
const ADDRESSES: &[&str] = &["FROM", "TO"];

/// Why it may be that this search finds this file in the store alone, or in the open message alone.
fn reason(manner: Manner, program: &str, name: &str) -> Option<&'static str> {
    let key = program.trim_start_matches("CHARSET UTF-8 ").split(' ').next().unwrap();
    let is_known = |(by, keys, names): &Known| {
        *by == manner && keys.contains(&key) && names.iter().any(|known| name.starts_with(known))
    };
    KNOWN.iter().find(|(_, known)| known.iter().any(is_known)).map(|(reason, _)| *reason)
}

fn truth(program: &Program, number: u32, leaves: &[Set], fixture: &Fixture) -> bool {
    let truth = program.evaluate(number, leaves, &Mail::opened(&fixture.message));
    assert_ne!(truth, Truth::Unknown, "{}", fixture.name);
    truth == Truth::Yes
}

/// Appends what the server takes of the fixtures, and opens the mailbox.
fn store(wire: &mut Wire) -> Vec<Fixture> {
    let stored = fixtures().into_iter().filter(|fixture| wire.append(&fixture.message)).collect();
    wire.run(b"SELECT INBOX");
    stored
}

fn open_mail_is_found_as_stored_mail_is(manner: Manner, port: u16) {
    let mut wire = Wire::open(port, "alice");
    assert_eq!(Manner::of_server(&wire.run(b"CAPABILITY")[0]), manner);
    let stored = store(&mut wire);
    assert!(stored.len() > 200, "{}", stored.len());
    let mut reasons = BTreeSet::new();
    let mut unknown = Vec::new();
    let mut found = 0;
    for text in programs(&stored) {
        let program = Program::parse(text.as_bytes(), manner).unwrap();
        let theirs = wire.search(&text);
        for (fixture, number) in stored.iter().zip(1..) {
            let is_found = theirs.contains(&number);
            found += usize::from(is_found);
            let differs = truth(&program, 0, &[], fixture) != is_found;
            // How a message is read that is no message is everybody's own affair.
            if differs && !fixture.name.starts_with("malformed/") {
                let reason = reason(manner, &text, &fixture.name);
                let theirs = if is_found { "is found" } else { "is not found" };
                match reason {
                    Some(reason) => drop(reasons.insert(reason)),
                    None => unknown.push(format!("{text}: {} {theirs}", fixture.name)),
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{manner:?}\n{}", unknown.join("\n"));
    assert!(found > 10_000, "the searches find something: {found}");
    let by_this = |(_, known): &&(&str, &[Known])| known.iter().any(|(by, ..)| *by == manner);
    assert_eq!(reasons.len(), KNOWN.iter().filter(by_this).count(), "{reasons:?}");
    a_mixed_mailbox_is_searched_as_a_plain_one(manner, &mut wire, &stored);
}

const MIXED: [&str; 14] = [
    "SUBJECT re",
    "UNSEEN SUBJECT re",
    "OR SEEN SUBJECT re",
    "NOT (SEEN SUBJECT re)",
    "OR (FLAGGED BODY the) (NOT SEEN BODY and)",
    "NOT OR FLAGGED TEXT message",
    "1:50 NOT TEXT the OR SEEN 100:*",
    "OR UID 1:20 OR (LARGER 2000 SMALLER 9000) (SEEN SUBJECT a)",
    "SINCE 1-Jan-2000 BODY the OLDER 1 NOT BODY zzzz",
    "CHARSET UTF-8 OR SUBJECT {7+}\r\nGrüße BODY {4+}\r\nför",
    "CHARSET ISO-8859-1 NOT FROM \"anna\" UNSEEN TEXT \"a\"",
    "HEADER Message-ID example SEEN",
    "MODSEQ 1 BODY message",
    "OR HEADER X-Mailer \"\" HEADER User-Agent \"\" NOT SEEN",
];

/// Every second message as if it were sealed, the others left to the server: together what the server
/// says of all.
fn a_mixed_mailbox_is_searched_as_a_plain_one(manner: Manner, wire: &mut Wire, stored: &[Fixture]) {
    let multiples = |of: usize| -> Set {
        (1..).zip(stored).map(|(number, _)| number).filter(|n| n % of as u32 == 0).collect()
    };
    wire.run(format!("STORE {} +FLAGS (\\Seen)", multiples(3).to_text()).as_bytes());
    wire.run(format!("STORE {} +FLAGS (\\Flagged)", multiples(5).to_text()).as_bytes());
    for text in MIXED {
        let program = Program::parse(text.as_bytes(), manner).unwrap();
        assert!(!program.is_native());
        let candidates = wire.search(&program.narrowing());
        let leaves: Vec<Set> =
            program.leaves().map(|leaf| wire.search(&leaf).into_iter().collect()).collect();
        let (sealed, plain): (Vec<u32>, Vec<u32>) =
            candidates.iter().partition(|number| *number % 2 == 0);
        let asked =
            program.for_plain(&plain.into_iter().collect(), false).into_iter().map(|piece| {
                match piece {
                    Piece::Plain(text) => text,
                    Piece::Literal(octets) => {
                        format!("{{{}+}}\r\n{}", octets.len(), String::from_utf8(octets).unwrap())
                    }
                }
            });
        let mut ours = wire.search(&asked.collect::<String>());
        ours.extend(
            sealed
                .into_iter()
                .filter(|number| truth(&program, *number, &leaves, &stored[*number as usize - 1])),
        );
        let theirs = wire.search(text);
        let differ = ours.symmetric_difference(&theirs).map(|at| &stored[*at as usize - 1].name);
        let differ: Vec<_> = differ.filter(|name| !name.starts_with("malformed/")).collect();
        let is_known = |name: &&&String| {
            ["BODY", "TEXT", "FROM"].iter().any(|key| reason(manner, key, name).is_some())
        };
        let unknown: Vec<_> = differ.iter().filter(|name| !is_known(name)).collect();
        assert!(unknown.is_empty(), "{manner:?} {text}: {unknown:?}");
        assert!(!theirs.is_empty(), "{text} finds nothing");
    }
}

#[test]
fn as_cyrus_finds_them() {
    let site = Site::new("");
    let cyrus = Cyrus::start(&site, &["alice"]);
    open_mail_is_found_as_stored_mail_is(Manner::Cyrus, cyrus.imap_port());
}

#[test]
fn as_dovecot_finds_them() {
    let site = Site::new("");
    let dovecot = Dovecot::start(&site, &["alice"]);
    open_mail_is_found_as_stored_mail_is(Manner::Dovecot, dovecot.imap_port());
}
