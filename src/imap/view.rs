//! A sealed message as a client sees it: the answers to what it asks, from the summary and, where that
//! does not suffice, from the opened message.
//!
//! All answers are of the original's octets as they are, bare line feeds too: so sizes, sections and
//! partials agree with each other, whatever was sealed. Only a NUL is shown as 0x80.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;

use super::envelope;
use super::items::{Content, Item};
use super::manner::Manner;
use super::parts::Parts;
use super::section::{Section, Text};
use super::structure::{self, Form};
use super::write;
use crate::message::header;
use crate::seal::Summary;

/// An item was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The summary does not hold it: it needs the opened message.
    NeedsMessage,
    /// It is the backend that answers it.
    Metadata,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedsMessage => "the message has to be opened for that",
            Self::Metadata => "the backend answers that",
        })
    }
}

impl std::error::Error for Unanswered {}

/// Makes a piece of a message such that a client can be told it.
pub fn show_nuls(octets: &mut [u8]) {
    write::show_nuls(octets);
}

/// One message.
pub struct View<'a> {
    summary: &'a Summary,
    message: Option<&'a [u8]>,
    manner: Manner,
    parts: OnceCell<Parts<'a>>,
}

impl fmt::Debug for View<'_> {
    /// Nothing of the message but its size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} octets)", self.summary.size)
    }
}

impl<'a> View<'a> {
    /// The message of this summary; `message` is the original where it was opened.
    pub fn new(summary: &'a Summary, message: Option<&'a [u8]>, manner: Manner) -> Self {
        Self { summary, message, manner, parts: OnceCell::new() }
    }

    /// Appends the item's label, a space and its value to `out`.
    ///
    /// # Errors
    /// Where the item is not answered from here; nothing is appended then.
    pub fn answer(&self, item: &Item, out: &mut Vec<u8>) -> Result<(), Unanswered> {
        let start = out.len();
        out.extend_from_slice(&item.label());
        out.push(b' ');
        let answered = self.value(item, out);
        if answered.is_err() {
            out.truncate(start);
        }
        answered
    }

    fn value(&self, item: &Item, out: &mut Vec<u8>) -> Result<(), Unanswered> {
        let manner = self.manner;
        match item {
            Item::Size => write::number(self.summary.size, out),
            Item::Envelope => envelope::write(self.summary.header(), manner, out),
            Item::Body | Item::BodyStructure => {
                let form = Form { is_extended: *item == Item::BodyStructure, manner };
                let parts = self.parts();
                structure::write(parts, parts.root(), form, out);
            }
            Item::Section(content) => return self.content(item, content, out),
            Item::Flags | Item::InternalDate | Item::Uid | Item::ModSeq | Item::SaveDate => {
                return Err(Unanswered::Metadata);
            }
        }
        Ok(())
    }

    fn parts(&self) -> &Parts<'a> {
        self.parts.get_or_init(|| Parts::of(self.summary))
    }

    fn content(&self, item: &Item, content: &Content, out: &mut Vec<u8>) -> Result<(), Unanswered> {
        if self.message.is_none() && item.needs_message(self.summary) {
            return Err(Unanswered::NeedsMessage);
        }
        let Some(octets) = self.section(&content.section) else {
            write::nil(out);
            return Ok(());
        };
        match content.partial.map(|partial| partial.of(octets.as_slice())) {
            Some([]) => write::string(b"", out),
            Some(piece) => write::literal(piece, out),
            None => write::literal(octets.as_slice(), out),
        }
        Ok(())
    }

    /// The octets of a section; `None` where the message has none like it.
    fn section(&self, section: &Section) -> Option<Octets<'a>> {
        let Section { part, text } = section;
        if part.is_empty() {
            return match text {
                Text::Whole => self.message.map(Octets::Lent),
                Text::Text => self.cut(&self.parts().get(0)?.body),
                _ => chosen(self.header_of(0)?, text),
            };
        }
        let place = self.parts().numbered(part)?;
        match text {
            Text::Whole => self.cut(&self.parts().get(place)?.body),
            Text::Mime => self.header_of(place).map(Octets::Lent),
            Text::Text => self.cut(&self.parts().get(self.parts().message_in(place)?)?.body),
            _ => chosen(self.header_of(self.parts().message_in(place)?)?, text),
        }
    }

    /// The header block of a part: from the message where that is open, since of a summary's own header
    /// fields may be left out.
    fn header_of(&self, place: usize) -> Option<&'a [u8]> {
        let node = self.parts().get(place)?;
        let opened = self.message.and_then(|message| message.get(within(&node.header_range)?));
        Some(opened.unwrap_or(node.header))
    }

    fn cut(&self, range: &Range<u64>) -> Option<Octets<'a>> {
        let octets = self.message?.get(within(range)?)?;
        Some(Octets::Lent(octets))
    }
}

fn within(range: &Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// What a section consists of: as it stands in the message, or put together.
enum Octets<'a> {
    Lent(&'a [u8]),
    Made(Vec<u8>),
}

impl Octets<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Lent(octets) => octets,
            Self::Made(octets) => octets,
        }
    }
}

/// The header `block`, or those fields of it that are wanted, in their order and as they stand, and the
/// empty line.
fn chosen<'a>(block: &'a [u8], text: &Text) -> Option<Octets<'a>> {
    let (names, wanted) = match text {
        Text::Header => return Some(Octets::Lent(block)),
        Text::Fields(names) => (names, true),
        Text::FieldsNot(names) => (names, false),
        Text::Whole | Text::Text | Text::Mime => return None,
    };
    let mut made = Vec::new();
    let mut seen = 0;
    for field in header::fields(block) {
        seen += field.raw.len();
        if names.iter().any(|name| field.name.eq_ignore_ascii_case(name)) == wanted {
            made.extend_from_slice(field.raw);
        }
    }
    // A header that was cut short has no empty line.
    let end = block.get(seen..).filter(|end| !end.is_empty()).unwrap_or(b"\r\n");
    made.extend_from_slice(end);
    Some(Octets::Made(made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::items;

    const MESSAGE: &[u8] = b"Subject: hi\r\nDKIM-Signature: v=1;\r\n b=x\r\nFrom: A <a@b>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\nl1\r\nl2\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n\0x\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3Vi\r\n--b--\r\n";

    fn answer(message: &[u8], open: bool, item: &str) -> Result<String, Unanswered> {
        let summary = Summary::of_message(message);
        let view = View::new(&summary, open.then_some(message), Manner::Cyrus);
        let [item] = &items::parse(item.as_bytes()).unwrap()[..] else { panic!() };
        let mut out = b"before ".to_vec();
        let answered = view.answer(item, &mut out);
        if answered.is_err() {
            assert_eq!(out, b"before ");
        }
        let text = out[7..].iter().map(|byte| char::from(*byte)).collect();
        answered.map(|()| text)
    }

    fn opened(item: &str) -> String {
        answer(MESSAGE, true, item).unwrap()
    }

    #[test]
    fn sections() {
        assert_eq!(opened("RFC822.SIZE"), format!("RFC822.SIZE {}", MESSAGE.len()));
        let whole = opened("RFC822.PEEK");
        assert!(whole.starts_with(&format!("RFC822 {{{}}}\r\nSubject: hi", MESSAGE.len())));
        assert!(whole.contains("\u{80}x") && !whole.contains('\0'));
        for (item, value) in [
            ("BODY[1]", "BODY[1] {6}\r\nl1\r\nl2"),
            ("BODY[1.MIME]", "BODY[1.MIME] {27}\r\nContent-Type: text/html\r\n\r\n"),
            ("BODY[1.HEADER]", "BODY[1.HEADER] NIL"),
            ("BODY[1.1]", "BODY[1.1] NIL"),
            ("BODY[2.HEADER]", "BODY[2.HEADER] {15}\r\nSubject: in\r\n\r\n"),
            ("BODY[2.TEXT]", "BODY[2.TEXT] {2}\r\n\u{80}x"),
            ("BODY[2.1]", "BODY[2.1] {2}\r\n\u{80}x"),
            ("BODY[2.1.1]", "BODY[2.1.1] NIL"),
            ("BODY[3]", "BODY[3] {4}\r\nU3Vi"),
            ("BODY[3.1]", "BODY[3.1] {4}\r\nU3Vi"),
            ("BODY[3.HEADER]", "BODY[3.HEADER] {0}\r\n"),
            ("BODY[4]", "BODY[4] NIL"),
            ("BODY[0]", "BODY[0] NIL"),
            ("BODY[4]<0.9>", "BODY[4]<0> NIL"),
            ("BODY[1]<1.3>", "BODY[1]<1> {3}\r\n1\r\n"),
            ("BODY[1]<4.99>", "BODY[1]<4> {2}\r\nl2"),
            ("BODY[1]<6.1>", "BODY[1]<6> \"\""),
            ("BODY[1]<4000000000.1>", "BODY[1]<4000000000> \"\""),
            (
                "BODY[HEADER.FIELDS (from SUBJECT x)]",
                "BODY[HEADER.FIELDS (from SUBJECT x)] {30}\r\nSubject: hi\r\nFrom: A <a@b>\r\n\r\n",
            ),
            (
                "BODY.PEEK[HEADER.FIELDS.NOT (Subject From Content-Type)]",
                "BODY[HEADER.FIELDS.NOT (Subject From Content-Type)] {30}\r\nDKIM-Signature: v=1;\r\n b=x\r\n\r\n",
            ),
        ] {
            assert_eq!(opened(item), value);
        }
    }

    #[test]
    fn structure_and_sections_are_of_one_tree() {
        let inner = "(NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL)";
        let nothing = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
        let text = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit""#;
        assert_eq!(
            opened("BODY"),
            format!(
                r#"BODY (("text" "html" NIL NIL NIL "7bit" 6 1)("message" "rfc822" NIL NIL NIL "7bit" 17 {inner} {text} 2 0) 2)("message" "rfc822" NIL NIL NIL "base64" 4 {nothing} {text} 4 0) 0) "mixed")"#
            )
        );
        assert!(opened("BODYSTRUCTURE").ends_with(r#""mixed" ("boundary" "b") NIL NIL NIL)"#));
        // A multipart without parts is a text that can be read.
        let broken = b"Content-Type: multipart/mixed; boundary=x\r\n\r\nwords\r\n";
        assert_eq!(answer(broken, true, "BODY").unwrap(), format!("BODY {text} 7 1)"));
        assert_eq!(answer(broken, true, "BODY[1]").unwrap(), "BODY[1] {7}\r\nwords\r\n");
        assert_eq!(answer(b"", true, "BODY").unwrap(), format!("BODY {text} 0 0)"));
        assert_eq!(answer(b"", true, "BODY[]").unwrap(), "BODY[] {0}\r\n");
    }

    #[test]
    fn what_the_summary_holds_needs_no_message() {
        for item in [
            "RFC822.SIZE",
            "ENVELOPE",
            "BODY",
            "BODYSTRUCTURE",
            "RFC822.HEADER",
            "BODY[HEADER]",
            "BODY[HEADER.FIELDS (Subject)]",
            "BODY[2.HEADER]",
            "BODY[3.MIME]",
            "BODY[9.MIME]",
        ] {
            assert_eq!(answer(MESSAGE, false, item).unwrap(), opened(item));
        }
        for item in ["BODY[]", "BODY[TEXT]", "RFC822.TEXT", "BODY[1]", "BODY[2.TEXT]<0.5>"] {
            assert_eq!(answer(MESSAGE, false, item), Err(Unanswered::NeedsMessage), "{item}");
        }
        assert_eq!(answer(MESSAGE, true, "FLAGS"), Err(Unanswered::Metadata));
    }

    #[test]
    fn what_it_leaves_out_needs_the_message() {
        let mut summary = Summary::of_message(MESSAGE);
        summary.omitted = vec!["dkim-signature".to_owned()];
        for (item, needs) in [
            ("BODY[HEADER]", true),
            ("RFC822.HEADER", true),
            ("BODY[1.MIME]", true),
            ("BODY[2.HEADER]", false),
            ("BODY[HEADER.FIELDS (Subject)]", false),
            ("BODY[HEADER.FIELDS (Subject DKIM-Signature)]", true),
            ("BODY[HEADER.FIELDS.NOT (Subject)]", true),
            ("BODY[HEADER.FIELDS.NOT (dkim-signature)]", false),
            ("ENVELOPE", false),
        ] {
            let item = &items::parse(item.as_bytes()).unwrap()[0];
            assert_eq!(item.needs_message(&summary), needs, "{item:?}");
            let answered = View::new(&summary, None, Manner::Cyrus).answer(item, &mut Vec::new());
            assert_eq!(answered.is_err(), needs, "{item:?}");
        }
    }

    #[test]
    fn a_lying_summary_shows_nonsense_and_ends() {
        let items =
            b"(ENVELOPE BODY BODYSTRUCTURE BODY[] BODY[1] BODY[1.1] BODY[TEXT] BODY[2.1.HEADER])";
        let items = items::parse(items).unwrap();
        for depths in [[9, 0, 0, 0, 0, 0], [0, 9, 8, 9, 65_535, 1], [0; 6], [0, 1, 1, 1, 2, 3]] {
            let mut summary = Summary::of_message(MESSAGE);
            for (part, depth) in summary.parts.iter_mut().zip(depths) {
                part.depth = depth;
            }
            for message in [None, Some(MESSAGE), Some(&b"short"[..]), Some(b"")] {
                let view = View::new(&summary, message, Manner::Dovecot);
                for item in &items {
                    let _ = view.answer(item, &mut Vec::new());
                }
            }
        }
        let mut bare = Summary::of_message(MESSAGE);
        bare.parts.clear();
        let mut out = Vec::new();
        View::new(&bare, Some(MESSAGE), Manner::Cyrus).answer(&Item::Body, &mut out).unwrap();
        assert!(out.starts_with(b"BODY (\"text\" \"plain\" "));
    }

    #[test]
    fn deep_and_wide_messages_are_bounded() {
        let level = "Content-Type: message/rfc822\r\n\r\n";
        let deep = answer(level.repeat(1000).as_bytes(), true, "BODYSTRUCTURE").unwrap();
        assert!(deep.matches("rfc822").count() <= 64);
        let mut wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
        wide.extend(b"--b\r\n\r\nx\r\n".repeat(10_000));
        let structure = answer(&wide, true, "BODY").unwrap();
        assert_eq!(structure.matches("\"text\"").count(), 4095);
        let last = answer(&wide, true, "BODY[4095]").unwrap();
        assert!(last.len() > 5_900 * 10, "what was not told apart is in the last part");
    }

    #[test]
    fn manners() {
        let message = b"Subject: a \t b \r\nTo: root\r\nContent-Type: text/html\r\n\r\n";
        let summary = Summary::of_message(message);
        let shown = |manner, item| {
            let mut out = Vec::new();
            View::new(&summary, None, manner).answer(&item, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(shown(Manner::Cyrus, Item::Envelope).contains("\"a \t b \""));
        assert!(shown(Manner::Dovecot, Item::Envelope).contains("\"a b\""));
        assert!(shown(Manner::Cyrus, Item::Body).contains("\"html\" NIL"));
        assert!(shown(Manner::Dovecot, Item::Body).contains("\"html\" (\"charset\" \"us-ascii\")"));
    }

    #[test]
    fn debug_shows_nothing_of_the_message() {
        let summary = Summary::of_message(MESSAGE);
        let view = View::new(&summary, Some(MESSAGE), Manner::Cyrus);
        assert_eq!(format!("{view:?}"), format!("View({} octets)", MESSAGE.len()));
    }
}
