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
use super::parts::Parts;
use super::section::{Section, Text};
use super::structure::{self, Form};
use super::write;
use crate::message::header;
use crate::seal::Summary;

/// Whose answers ours are like, in the few places where the servers differ for well-formed mail: a mailbox
/// of sealed and plain messages is then told of in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// Cyrus: what stands in the message, and nothing else.
    #[default]
    Cyrus,
    /// Dovecot: it names the charset that a text has by default, and tidies the white space of subjects.
    Dovecot,
}

impl Manner {
    pub(super) fn names_default_charset(self) -> bool {
        self == Self::Dovecot
    }

    /// The place of an address that has no local part.
    pub(super) fn missing_local(self) -> &'static [u8] {
        match self {
            Self::Cyrus => b"",
            Self::Dovecot => b"MISSING_MAILBOX",
        }
    }

    /// The place of an address that has no domain.
    pub(super) fn missing_domain(self) -> &'static [u8] {
        match self {
            Self::Cyrus => b"unspecified-domain",
            Self::Dovecot => b"MISSING_DOMAIN",
        }
    }

    pub(super) fn subject(self, subject: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Cyrus => subject,
            Self::Dovecot => {
                let words = subject.split(|byte| matches!(byte, b' ' | b'\t'));
                let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
                words.join(&b' ')
            }
        }
    }
}

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
