//! Looks for texts in a whole message: every text that its parts hold, decoded, and header fields.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use crate::message::header::{Header, fields};
use crate::message::mime::{self, Kind, Part};

use super::Manner;
use super::needle::{Needle, fold};
use super::{decode, words};

/// So much of a text is folded at once, in octets.
const CHUNK_BYTES: usize = 64 * 1024;
/// A longer Content-Type has no charset, in octets.
const MAX_TYPE_BYTES: usize = 4096;

/// A text that is looked for, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) needle: Needle,
    /// TEXT rather than BODY: also in header fields.
    pub(super) in_headers: bool,
}

impl Wanted {
    /// Whether it is looked for in the header of a part.
    fn is_in_parts(&self) -> bool {
        self.in_headers || self.needle.manner() == Manner::Cyrus
    }
}

/// Whether a field of `block` holds it, for what is looked for in header fields.
pub(super) fn header_holds(block: &[u8], wanted: &Wanted) -> bool {
    let mut scan = Scan::new(std::slice::from_ref(wanted));
    scan.header(block, |wanted| wanted.in_headers);
    scan.left == 0
}

/// Of each of `wanted`, whether `message` holds it.
pub(super) fn message(message: &[u8], wanted: &[Wanted]) -> Vec<bool> {
    let mut scan = Scan::new(wanted);
    let root = mime::skeleton(message).root;
    let header = message.get(root.header.clone()).unwrap_or_default();
    scan.header(header, |wanted| wanted.in_headers);
    scan.body(message, &root, header);
    scan.found
}

struct Scan<'a> {
    wanted: &'a [Wanted],
    found: Vec<bool>,
    /// How many are not found yet.
    left: usize,
    /// How many octets of the longest may lie in the chunk before.
    overlap: usize,
    folded: Vec<u8>,
}

impl<'a> Scan<'a> {
    fn new(wanted: &'a [Wanted]) -> Self {
        let longest = wanted.iter().map(|wanted| wanted.needle.folded_bytes()).max();
        Self {
            wanted,
            found: vec![false; wanted.len()],
            left: wanted.len(),
            overlap: longest.unwrap_or(0).max(1),
            folded: Vec::new(),
        }
    }

    fn manner(&self) -> Manner {
        self.wanted.first().map_or(Manner::Dovecot, |wanted| wanted.needle.manner())
    }

    /// Looks for those that are looked for here in what was folded.
    fn look(&mut self, is_here: impl Fn(&Wanted) -> bool) {
        for (wanted, found) in self.wanted.iter().zip(&mut self.found) {
            if !*found && is_here(wanted) && wanted.needle.is_in(&self.folded) {
                *found = true;
                self.left -= 1;
            }
        }
    }

    fn header(&mut self, block: &[u8], is_here: impl Fn(&Wanted) -> bool) {
        if !self.wanted.iter().any(&is_here) {
            return;
        }
        for field in fields(block) {
            self.folded.clear();
            let manner = self.manner();
            fold(&String::from_utf8_lossy(field.name), manner, true, &mut self.folded);
            self.folded.extend_from_slice(b": ");
            fold(&words::text(field.value.trim_ascii()), manner, true, &mut self.folded);
            self.look(&is_here);
            if self.left == 0 {
                return;
            }
        }
    }

    /// The text of a part or of those in it; how deep they lie is bounded by the skeleton.
    fn body(&mut self, message: &[u8], part: &Part, header: &[u8]) {
        for child in &part.children {
            let header = message.get(child.header.clone()).unwrap_or_default();
            self.header(header, Wanted::is_in_parts);
            self.body(message, child, header);
        }
        let is_leaf = matches!(part.kind, Kind::Text | Kind::Other);
        if self.left == 0 || !is_leaf {
            return;
        }
        let header = Header::parse(header);
        let Some(charset) = charset(&header, part.kind, self.manner()) else { return };
        let body = message.get(part.body.clone()).unwrap_or_default();
        match header.transfer_encoding().as_str() {
            "base64" => self.text(&decode::text(&decode::base64(body), &charset)),
            "quoted-printable" => {
                self.text(&decode::text(&decode::quoted_printable(body), &charset));
            }
            _ => self.text(&decode::text(body, &charset)),
        }
    }

    fn text(&mut self, text: &str) {
        self.folded.clear();
        let manner = self.manner();
        let mut rest = text;
        while !rest.is_empty() && self.left > 0 {
            let (chunk, more) = rest.split_at(rest.floor_char_boundary(CHUNK_BYTES));
            rest = more;
            self.folded.drain(..self.folded.len().saturating_sub(self.overlap));
            fold(chunk, manner, manner == Manner::Cyrus, &mut self.folded);
            self.look(|_| true);
        }
    }
}

/// The charset of a part that is text to the server, empty where none is named; `None` for other parts.
fn charset(header: &Header<'_>, kind: Kind, manner: Manner) -> Option<Vec<u8>> {
    let is_text = kind == Kind::Text;
    let Some(field) = header.first("Content-Type") else { return is_text.then(Vec::new) };
    // What cannot be understood is text to MIME (RFC 2045 §5.2) and to Cyrus.
    let unknown = || (is_text && manner == Manner::Cyrus).then(Vec::new);
    if field.value.len() > MAX_TYPE_BYTES {
        return unknown();
    }
    let value = [field.value, b"\r\n"].concat();
    let parsed = MessageStream::new(&value).parse_content_type();
    let HeaderValue::ContentType(parsed) = parsed else { return unknown() };
    if parsed.subtype().is_none() {
        return unknown();
    }
    // A report on a delivery is text to Dovecot, as all of `message/*`.
    let is_report = parsed.ctype().eq_ignore_ascii_case("message") && manner == Manner::Dovecot;
    let is_here = is_text || is_report;
    is_here.then(|| parsed.attribute("charset").unwrap_or_default().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(text: &str, manner: Manner) -> Wanted {
        Wanted { needle: Needle::new(text.to_owned(), manner), in_headers: true }
    }

    #[test]
    fn found_across_chunks() {
        for (before, manner) in [
            ("x", Manner::Dovecot),
            ("ü", Manner::Dovecot),
            (" \r\n", Manner::Cyrus),
            ("\u{301}", Manner::Cyrus),
        ] {
            for shift in 0..20 {
                let filling = before.repeat(CHUNK_BYTES / before.len() - 10) + &"y".repeat(shift);
                let message = format!("\r\n{filling}the needle in it");
                let all = ["The Needle", "nowhere", "in it"].map(|text| wanted(text, manner));
                assert_eq!(
                    super::message(message.as_bytes(), &all),
                    [true, false, true],
                    "{shift}"
                );
            }
        }
    }

    #[test]
    fn hostile_messages_end() {
        let deep = (0..1000)
            .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"));
        let deep: String = deep.collect();
        let wide = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
            "--b\r\n\r\nx\r\n".repeat(10_000)
        );
        let nothing = [wanted("nowhere", Manner::Cyrus)];
        for text in [deep, wide] {
            assert_eq!(super::message(text.as_bytes(), &nothing), [false]);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_looked_through(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let all = [wanted("a", Manner::Cyrus)];
            let _ = super::message(&octets, &all);
        }

        #[test]
        fn a_plain_body_holds_what_it_holds(body in "[a-cA-C \r\n]{0,60}", text in "[a-c]{1,3}") {
            let message = format!("Subject: -\r\n\r\n{body}");
            let all = [wanted(&text, Manner::Dovecot)];
            let expected = body.to_ascii_lowercase().contains(&text)
                || "subject".contains(&text);
            prop_assert_eq!(super::message(message.as_bytes(), &all), [expected]);
        }
    }
}
