//! What stands in the brackets of a body item: `BODY[1.2.HEADER.FIELDS (From)]<0.100>`
//! (RFC 3501 §6.4.5).

use std::fmt;

use super::items::BadItem;
use super::token::Cursor;
use super::write;

/// Numbers of one part are read so many: far more than a message has levels.
const MAX_LEVELS: usize = 256;
/// So many names of header fields are read in one list.
const MAX_NAMES: usize = 512;

/// One section of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The numbers of the part; empty for the message itself.
    pub part: Vec<u32>,
    /// What of it.
    pub text: Text,
}

/// What of a part, or of a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Text {
    /// All of it: of a part its body, of the message everything.
    Whole,
    /// The header of a message, its empty line included.
    Header,
    /// The fields with these names, in the message's order, and an empty line.
    Fields(Vec<Vec<u8>>),
    /// The fields without these names.
    FieldsNot(Vec<Vec<u8>>),
    /// What stands behind the header of a message.
    Text,
    /// The header of a part, its empty line included.
    Mime,
}

impl fmt::Debug for Text {
    /// Which it is, and of names how many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("Whole"),
            Self::Header => f.write_str("Header"),
            Self::Fields(names) => write!(f, "Fields({})", names.len()),
            Self::FieldsNot(names) => write!(f, "FieldsNot({})", names.len()),
            Self::Text => f.write_str("Text"),
            Self::Mime => f.write_str("Mime"),
        }
    }
}

/// A piece of a section: `<origin.length>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first octet wanted.
    pub origin: u32,
    /// How many at most.
    pub length: u32,
}

impl Section {
    /// The whole message.
    pub const MESSAGE: Self = Self { part: Vec::new(), text: Text::Whole };

    /// A section of the message itself.
    pub fn of_message(text: Text) -> Self {
        Self { part: Vec::new(), text }
    }

    /// Reads a section with its brackets.
    ///
    /// # Errors
    /// Where it is none of RFC 3501.
    pub(super) fn read(at: &mut Cursor<'_>) -> Result<Self, BadItem> {
        at.expect(b'[').map_err(|_| BadItem::Section)?;
        if at.eat(b']') {
            return Ok(Self::MESSAGE);
        }
        let word = at.keyword().map_err(|_| BadItem::Section)?;
        let (part, name) = split(&word)?;
        let text = match name {
            "" => Text::Whole,
            "HEADER" => Text::Header,
            "HEADER.FIELDS" => Text::Fields(read_names(at)?),
            "HEADER.FIELDS.NOT" => Text::FieldsNot(read_names(at)?),
            "TEXT" => Text::Text,
            "MIME" if !part.is_empty() => Text::Mime,
            _ => return Err(BadItem::Section),
        };
        at.expect(b']').map_err(|_| BadItem::Section)?;
        Ok(Self { part, text })
    }

    /// Writes the section with its brackets.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, number) in self.part.iter().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            write::number(u64::from(*number), out);
        }
        let name = self.text.name();
        if !self.part.is_empty() && !name.is_empty() {
            out.push(b'.');
        }
        out.extend_from_slice(name.as_bytes());
        if let Text::Fields(names) | Text::FieldsNot(names) = &self.text {
            out.extend_from_slice(b" (");
            out.extend_from_slice(&names.join(&b' '));
            out.push(b')');
        }
        out.push(b']');
    }
}

impl Text {
    fn name(&self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Header => "HEADER",
            Self::Fields(_) => "HEADER.FIELDS",
            Self::FieldsNot(_) => "HEADER.FIELDS.NOT",
            Self::Text => "TEXT",
            Self::Mime => "MIME",
        }
    }
}

impl Partial {
    /// Reads a piece with its angle brackets, if one is next.
    ///
    /// # Errors
    /// Where it is not written as RFC 3501 has it, or its length is zero.
    pub(super) fn read(at: &mut Cursor<'_>) -> Result<Option<Self>, BadItem> {
        if !at.eat(b'<') {
            return Ok(None);
        }
        let mut number = || at.number().ok().and_then(|number| u32::try_from(number).ok());
        let origin = number().ok_or(BadItem::Partial)?;
        at.expect(b'.').map_err(|_| BadItem::Partial)?;
        let mut number = || at.number().ok().and_then(|number| u32::try_from(number).ok());
        let length = number().filter(|length| *length > 0).ok_or(BadItem::Partial)?;
        at.expect(b'>').map_err(|_| BadItem::Partial)?;
        Ok(Some(Self { origin, length }))
    }

    /// What of `octets` is in the piece: nothing behind their end.
    pub(super) fn of<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        let start = octets.len().min(self.origin as usize);
        let end = octets.len().min(start.saturating_add(self.length as usize));
        octets.get(start..end).unwrap_or_default()
    }
}

/// The numbers of the part, and the name behind them. There is no part 0, which is nothing wrong: no
/// message has one.
fn split(word: &str) -> Result<(Vec<u32>, &str), BadItem> {
    let mut part = Vec::new();
    let mut rest = word;
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let (digits, more) = rest.split_once('.').map_or((rest, None), |(d, more)| (d, Some(more)));
        let leads = digits.len() > 1 && digits.starts_with('0');
        let number = digits.parse().ok().filter(|_| !leads).ok_or(BadItem::Section)?;
        part.push(number);
        if part.len() > MAX_LEVELS || more == Some("") {
            return Err(BadItem::Section);
        }
        rest = more.unwrap_or_default();
    }
    Ok((part, rest))
}

/// Names of fields (RFC 3501 §9 `header-list`), as they were sent.
fn read_names(at: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, BadItem> {
    at.space().and_then(|()| at.expect(b'(')).map_err(|_| BadItem::Section)?;
    let mut names = Vec::new();
    loop {
        let name = at.astring().map_err(|_| BadItem::FieldName)?;
        if !is_field_name(&name) || names.len() >= MAX_NAMES {
            return Err(BadItem::FieldName);
        }
        names.push(name.into_owned());
        if at.eat(b')') {
            return Ok(names);
        }
        at.space().map_err(|_| BadItem::Section)?;
    }
}

/// RFC 5322 §3.6.8, without what would have to be quoted in the answer's label: no field has it.
fn is_field_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_graphic() && !b":(){}[]<>%*\"\\".contains(byte);
    !name.is_empty() && name.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Section, BadItem> {
        Section::read(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn every_form_comes_back() {
        for text in [
            "[]",
            "[HEADER]",
            "[HEADER.FIELDS (From date)]",
            "[HEADER.FIELDS.NOT (X-a)]",
            "[TEXT]",
            "[1]",
            "[0]",
            "[4294967295.2.3]",
            "[1.MIME]",
            "[1.2.HEADER]",
            "[1.2.HEADER.FIELDS (Subject)]",
            "[3.HEADER.FIELDS.NOT (a b c)]",
            "[1.TEXT]",
        ] {
            let mut out = Vec::new();
            read(text).unwrap().write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        assert_eq!(read("[1.text]").unwrap(), Section { part: vec![1], text: Text::Text });
        let quoted = read("[header.fields (\"From\" {4}\r\nDate)]").unwrap();
        assert_eq!(quoted.text, Text::Fields(vec![b"From".to_vec(), b"Date".to_vec()]));
    }

    #[test]
    fn what_is_no_section() {
        for text in [
            "",
            "[",
            "[1",
            "[1.]",
            "[01]",
            "[1..2]",
            "[MIME]",
            "[BODY]",
            "[HEADER.FIELDS]",
            "[HEADER.FIELDS ()]",
            "[HEADER.FIELDS (a]",
            "[4294967296]",
            "[1.2.FOO]",
            "[TEXT.1]",
            "[ ]",
            "[HEADER.FIELDS (a:b)]",
            "[HEADER.FIELDS (\"a b\")]",
            "[HEADER.FIELDS (\"\")]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&format!("[{}1]", "1.".repeat(300))).is_err());
        assert!(read(&format!("[HEADER.FIELDS ({}a)]", "a ".repeat(600))).is_err());
    }

    #[test]
    fn pieces() {
        let read = |text: &str| Partial::read(&mut Cursor::new(text.as_bytes()));
        let piece = read("<2.3>").unwrap().unwrap();
        assert_eq!(piece.of(b"abcdef"), b"cde");
        assert_eq!(piece.of(b"abcd"), b"cd");
        assert_eq!(piece.of(b"a"), b"");
        let last = read("<4294967295.4294967295>").unwrap().unwrap();
        assert_eq!(last.of(b"abc"), b"");
        assert_eq!(read("").unwrap(), None);
        for text in ["<1>", "<1.0>", "<.1>", "<1.2", "<4294967296.1>", "<-1.2>"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
