//! What nightsafe shows of a message is what Cyrus and Dovecot show of it: the fixtures lie plainly in
//! both, and every answer is compared. Where one of them differs, it is named here, with the reason.

mod answers;
mod seal_support;
mod site;

use answers::{Value, ours};
use nightsafe::imap::Manner;
use nightsafe::imap::items;
use nightsafe::seal::Summary;
use seal_support::mail;
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::store::Store;
use site::{Site, password};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// What is asked of each message.
const ITEMS: [&str; 24] = [
    "RFC822.SIZE",
    "ENVELOPE",
    "BODY",
    "BODYSTRUCTURE",
    "BODY.PEEK[]",
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[TEXT]",
    "RFC822.HEADER",
    "BODY.PEEK[HEADER.FIELDS (Subject From Content-Type Received)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (Subject Received)]",
    "BODY.PEEK[1]",
    "BODY.PEEK[1.MIME]",
    "BODY.PEEK[2]",
    "BODY.PEEK[2.MIME]",
    "BODY.PEEK[2.HEADER]",
    "BODY.PEEK[2.TEXT]",
    "BODY.PEEK[1.2]",
    "BODY.PEEK[1.2.MIME]",
    "BODY.PEEK[2.2]",
    "BODY.PEEK[3]",
    "BODY.PEEK[9.9]",
    "BODY.PEEK[TEXT]<5.20>",
    "BODY.PEEK[HEADER]<3.7>",
    "BODY.PEEK[1]<10000000.20>",
];

/// As much of a client as this takes.
struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    fn login(store: &impl Store) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", store.imap_port())).unwrap();
        let mut reader = BufReader::new(writer.try_clone().unwrap());
        reader.read_line(&mut String::new()).unwrap();
        let mut client = Self { reader, writer };
        let login = format!("LOGIN alice \"{}\"", password("alice"));
        assert!(client.command(login.as_bytes()).1.starts_with(b"OK"));
        client
    }

    /// The untagged responses, without `* ` and line end, and what follows the tag of the last.
    fn command(&mut self, command: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        self.writer.write_all(&[b"t ", command, b"\r\n"].concat()).unwrap();
        let mut untagged = Vec::new();
        loop {
            let response = self.response();
            match response.strip_prefix(b"t ") {
                Some(tagged) => return (untagged, tagged.to_vec()),
                None => untagged.push(response[2..].to_vec()),
            }
        }
    }

    fn response(&mut self) -> Vec<u8> {
        let mut response = Vec::new();
        loop {
            let start = response.len();
            let length = self.reader.read_until(b'\n', &mut response).unwrap();
            assert!(length > 0, "the server hung up");
            let line = String::from_utf8_lossy(&response[start..]).into_owned();
            let literal = line.trim_end().strip_suffix('}').and_then(|l| l.rsplit_once('{'));
            let Some(size) = literal.and_then(|(_, digits)| digits.parse::<usize>().ok()) else {
                response.truncate(response.len() - 2);
                return response;
            };
            let start = response.len();
            response.resize(start + size, 0);
            self.reader.read_exact(&mut response[start..]).unwrap();
        }
    }

    /// Whether the server took the message: Cyrus refuses NUL, bare line feeds and odd headers.
    fn append(&mut self, message: &[u8]) -> bool {
        let command = format!("APPEND INBOX {{{}+}}\r\n", message.len());
        self.command(&[command.as_bytes(), message].concat()).1.starts_with(b"OK")
    }

    /// The answer to the one item, label and value.
    fn fetch(&mut self, number: usize, item: &str) -> Vec<u8> {
        let (untagged, tagged) = self.command(format!("FETCH {number} {item}").as_bytes());
        assert!(tagged.starts_with(b"OK"), "{item}: {}", tagged.escape_ascii());
        let start = format!("{number} FETCH (");
        let answer = untagged.iter().find_map(|one| one.strip_prefix(start.as_bytes()));
        answer.and_then(|answer| answer.strip_suffix(b")")).unwrap().to_vec()
    }
}

/// Beginnings of names, items (a star stands for any end), and why the server answers otherwise.
type Differences = &'static [(&'static [&'static str], &'static [&'static str], &'static str)];

/// The differences that are about this answer.
fn known(differences: Differences, name: &str, item: &str) -> Vec<&'static str> {
    let is_item = |known: &&str| match known.strip_suffix('*') {
        Some(start) => item.starts_with(start),
        None => *known == item,
    };
    let found = differences.iter().filter(|(names, items, _)| {
        names.iter().any(|start| name.starts_with(start)) && items.iter().any(is_item)
    });
    found.map(|(_, _, why)| *why).collect()
}

fn compare(store: &impl Store, manner: Manner, differences: Differences, at_least: usize) {
    let mut client = Client::login(store);
    let mails = mail::all();
    let taken: Vec<_> = mails.iter().filter(|mail| client.append(&mail.bytes)).collect();
    assert!(taken.len() >= at_least, "{}", taken.len());
    client.command(b"EXAMINE INBOX");
    let (mut same, mut wrong, mut met) = (0, Vec::new(), Vec::new());
    for (index, mail) in taken.iter().enumerate() {
        let summary = Summary::of_message(&mail.bytes);
        for item in ITEMS {
            let answer = client.fetch(index + 1, item);
            let mut at = nightsafe::imap::token::Cursor::new(&answer);
            let label = items::read_label(&mut at).unwrap();
            assert!(items::parse(item.as_bytes()).unwrap()[0].is_answered_as(label), "{item}");
            let label = String::from_utf8(label.to_vec()).unwrap();
            let theirs = shown(Value::of(&answer, &label), item, manner);
            let own = ours(&summary, Some(&mail.bytes), manner, item).unwrap();
            if shown(own.clone(), item, manner) == theirs {
                same += 1;
                continue;
            }
            let known = known(differences, &mail.name, item);
            met.extend_from_slice(&known);
            if known.is_empty() {
                wrong.push(format!("{}: {item}\n  ours   {own:?}\n  theirs {theirs:?}", mail.name));
            }
        }
    }
    for (_, _, why) in differences {
        assert!(met.contains(why), "differs no more: {why}");
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(same > at_least * ITEMS.len() * 9 / 10, "{same}");
}

/// Without what means the same: case of names, and NIL for the text of a part that is not there.
fn shown(value: Value, item: &str, manner: Manner) -> Value {
    match value {
        Value::Atom(nil)
            if nil == "nil" && item.starts_with("BODY.PEEK") && manner == Manner::Dovecot =>
        {
            Value::Text(Vec::new())
        }
        value if item.starts_with("BODY.PEEK") => value,
        value => value.in_lower_case(),
    }
}

const STRUCTURE: &[&str] = &["BODY", "BODYSTRUCTURE"];
const BROKEN_PARTS: &[&str] =
    &["BODY", "BODYSTRUCTURE", "BODY.PEEK[1*", "BODY.PEEK[2*", "BODY.PEEK[3*", "BODY.PEEK[TEXT]*"];
const NO_PARTS: &[&str] = &[
    "malformed/boundary-missing",
    "malformed/boundary-never-appears",
    "malformed/multipart-in-base64",
    "malformed/multipart-only-preamble",
    "malformed/multipart-without-parts",
    "third-party/cpython-17",
    "third-party/cpython-25",
    "third-party/cpython-31",
    "third-party/cpython-41",
    "third-party/cpython-42",
];
const TEXT_STAYS: &str = "a multipart without parts has an empty one there; here its text is shown";
const EMPTY_BOUNDARY: &str = "a boundary of no characters separates parts there";
const SPACE_IN_BOUNDARY: &str = "a boundary that ends in a space needs it there";
const ENCODED_MESSAGE: &str = "an encoded message is read there as if it were none";
const CUT_BY_BOUNDARY: &str = "the line end before a boundary that cuts a part's header short";
const NONSENSE: &str = "what is no address is shown otherwise";

const CYRUS: Differences = &[
    (
        &[
            "legacy/raw-",
            "malformed/byte-order-mark",
            "malformed/eight-bit-header-names",
            "malformed/invalid-utf8",
            "malformed/message-id-eight-bit",
            "rfc/6532",
            "rfc/6533",
        ],
        &["ENVELOPE", "BODY.PEEK[]", "BODY.PEEK[HEADER*", "RFC822.HEADER", "BODY.PEEK[1.MIME]"],
        "stores an X for each octet of a header that is not ASCII",
    ),
    (NO_PARTS, BROKEN_PARTS, TEXT_STAYS),
    (&["malformed/boundary-empty"], BROKEN_PARTS, EMPTY_BOUNDARY),
    (&["malformed/boundary-with-trailing-space"], BROKEN_PARTS, SPACE_IN_BOUNDARY),
    (
        &[
            "malformed/inner-boundary-is-prefix-of-outer",
            "malformed/nested-same-boundary",
            "third-party/cpython-15",
            "third-party/cpython-38",
            "third-party/cpython-39",
        ],
        BROKEN_PARTS,
        "takes a line that begins with a boundary for it",
    ),
    (&["malformed/duplicate-content-type"], BROKEN_PARTS, "the last of two types counts"),
    (&["malformed/rfc822-in-"], STRUCTURE, ENCODED_MESSAGE),
    (
        &["malformed/part-headers-without-blank-line"],
        &["BODY.PEEK[1.MIME]", "BODY.PEEK[2.MIME]"],
        CUT_BY_BOUNDARY,
    ),
    (
        &["malformed/parameter-continuations-broken", "malformed/unterminated-quoted-string"],
        STRUCTURE,
        "parameters that are none",
    ),
    (
        &["malformed/address-nonsense", "malformed/unterminated-", "legacy/quoted-pairs-folded"],
        &["ENVELOPE"],
        NONSENSE,
    ),
    (
        &["malformed/bare-cr-in-header", "malformed/doubled-cr"],
        &["ENVELOPE", "BODY.PEEK[HEADER.FIELDS*"],
        "a bare CR stays in the values of fields",
    ),
    (
        &["malformed/header-3000-fields"],
        &["BODY.PEEK[HEADER.FIELDS.NOT*"],
        "a header of more than 1,000 lines is cut short",
    ),
];

const DOVECOT: Differences = &[
    (
        &[
            "malformed/all-256-bytes",
            "malformed/bare-",
            "malformed/charset-utf16",
            "malformed/doubled-cr",
            "malformed/ends-in-bare-cr",
            "malformed/header-crlf-body-lf",
            "malformed/header-lf-body-crlf",
            "malformed/lf-dot-lf",
            "malformed/mixed-line-ends",
            "malformed/only-a-line-feed",
            "malformed/random-bytes",
            "rfc/3030-binary-part",
        ],
        &["*"],
        "shows CR LF for a bare LF, and drops a CR before it",
    ),
    (NO_PARTS, BROKEN_PARTS, TEXT_STAYS),
    (&["malformed/boundary-empty"], BROKEN_PARTS, EMPTY_BOUNDARY),
    (&["malformed/boundary-with-trailing-space"], BROKEN_PARTS, SPACE_IN_BOUNDARY),
    (
        &["malformed/boundary-of-", "malformed/boundary-inside-base64-and-text"],
        BROKEN_PARTS,
        "of a boundary only the first characters count, and of its lines only the beginning",
    ),
    (
        &["third-party/cpython-33"],
        BROKEN_PARTS,
        "does not understand a boundary with a charset (RFC 2231)",
    ),
    (&["malformed/rfc822-in-"], &["BODY", "BODYSTRUCTURE", "BODY.PEEK[1]"], ENCODED_MESSAGE),
    (
        &[
            "malformed/multipart-empty-parts",
            "malformed/part-headers-without-blank-line",
            "malformed/rfc822-empty",
            "sealed-looking/sealed-part-empty",
            "third-party/cpython-38",
        ],
        &["BODY.PEEK[1.MIME]", "BODY.PEEK[2.MIME]", "BODY.PEEK[1.2.MIME]"],
        CUT_BY_BOUNDARY,
    ),
    (
        &[
            "legacy/rfc1049-content-type",
            "legacy/sun-attachment",
            "malformed/content-type-",
            "malformed/empty-fields",
            "malformed/unterminated-comment",
            "third-party/cpython-14",
        ],
        STRUCTURE,
        "a type that is none is shown as empty strings, and some parameters are dropped",
    ),
    (
        &[
            "malformed/filename-hostile",
            "malformed/parameter-continuations-broken",
            "rfc/2231-parameters",
            "third-party/cpython-29",
        ],
        STRUCTURE,
        "pieces of a long parameter (RFC 2231) come last, and lose their encoding",
    ),
    (
        &[
            "legacy/comments-in-addresses",
            "legacy/route-and-gateway-addresses",
            "malformed/address-nonsense",
            "malformed/nul-in-header",
            "malformed/unterminated-",
            "rfc/5322-a6-1",
        ],
        &["ENVELOPE"],
        "an empty place in a list is shown as an address that is missing",
    ),
    (&["rfc/5965-feedback-report"], STRUCTURE, NONSENSE),
    (
        &[
            "malformed/header-without-line-end",
            "malformed/no-blank-line",
            "malformed/nul-only",
            "malformed/one-byte",
            "malformed/only-text",
            "third-party/cpython-35",
        ],
        &["BODY.PEEK[HEADER.FIELDS.NOT*"],
        "a header without an empty line has none in its fields",
    ),
];

#[test]
fn as_cyrus_shows_it() {
    let site = Site::new("");
    let cyrus = Cyrus::start(&site, &["alice"]);
    compare(&cyrus, Manner::Cyrus, CYRUS, 225);
}

#[test]
fn as_dovecot_shows_it() {
    let site = Site::new("");
    let dovecot = Dovecot::start(&site, &["alice"]);
    compare(&dovecot, Manner::Dovecot, DOVECOT, 250);
}
