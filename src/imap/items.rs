//! What a client asks of each message: the items of a FETCH command (RFC 3501 §6.4.5, RFC 7162 §3.1.4,
//! RFC 8514), and what has to be there for an answer.

use std::fmt;

use super::section::{Partial, Section, Text};
use super::token::{Cursor, Malformed};
use crate::seal::Summary;

/// So many items are read in one command: more than any client asks for.
const MAX_ITEMS: usize = 256;
/// So much of an item that is not known is named in the answer, in characters.
const MAX_NAMED: usize = 40;

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `UID`
    Uid,
    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    ModSeq,
    /// `SAVEDATE` (RFC 8514 §4.2)
    SaveDate,
    /// The size of the message in octets
    Size,
    /// `ENVELOPE`
    Envelope,
    /// `BODY`: the structure without extension data
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY[…]`, or one of its older names
    Section(Content),
}

/// A piece of the message's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Which.
    pub section: Section,
    /// Which octets of it.
    pub partial: Option<Partial>,
    /// Whether the message stays unseen.
    pub peek: bool,
    name: Name,
}

/// The name that a client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Body,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
    /// Outlook sends it, and Dovecot does not know it.
    Rfc822Peek,
}

/// Why an item is not answered. It says what is wrong, for a BAD response.
#[derive(Clone, PartialEq, Eq)]
pub enum BadItem {
    /// There is no item with this name.
    Unknown(String),
    /// A section is none.
    Section,
    /// A name of a header field is none, or there are too many.
    FieldName,
    /// `<origin.length>` is not written like that, or its length is zero.
    Partial,
    /// More items than are read.
    TooMany,
    /// It is no list of items.
    Malformed,
}

impl fmt::Debug for BadItem {
    /// What is wrong, and not with what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown(_) => "Unknown",
            Self::Section => "Section",
            Self::FieldName => "FieldName",
            Self::Partial => "Partial",
            Self::TooMany => "TooMany",
            Self::Malformed => "Malformed",
        })
    }
}

impl fmt::Display for BadItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "no FETCH item is called {name}"),
            Self::Section => f.write_str("no section of a message is written like that"),
            Self::FieldName => f.write_str("a list of header fields has a name that is none"),
            Self::Partial => f.write_str("a partial FETCH is written <first.length>"),
            Self::TooMany => write!(f, "more than {MAX_ITEMS} FETCH items"),
            Self::Malformed => f.write_str("FETCH items are one name, or names in parentheses"),
        }
    }
}

impl std::error::Error for BadItem {}

/// Reads all of `text`: a macro, one item, or several in parentheses. Each item comes once, as the
/// servers answer it.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &[u8]) -> Result<Vec<Item>, BadItem> {
    let mut at = Cursor::new(text);
    let items = read(&mut at)?;
    at.end().map_err(|_| BadItem::Malformed)?;
    Ok(items)
}

/// The same, and leaves what stands behind it.
///
/// # Errors
/// What is wrong with it.
pub fn read(at: &mut Cursor<'_>) -> Result<Vec<Item>, BadItem> {
    if !at.eat(b'(') {
        let mut after = *at;
        if let Some(items) = after.keyword().ok().and_then(|name| named_macro(&name)) {
            *at = after;
            return Ok(items);
        }
        return Ok(vec![Item::read(at)?]);
    }
    let mut items: Vec<Item> = Vec::new();
    loop {
        let item = Item::read(at)?;
        if !items.iter_mut().any(|other| other.takes_in(&item)) {
            items.push(item);
        }
        if items.len() > MAX_ITEMS {
            return Err(BadItem::TooMany);
        }
        if at.eat(b')') {
            return Ok(items);
        }
        at.space().map_err(|_| BadItem::Malformed)?;
        // Some clients leave a space before the end.
        if at.eat(b')') {
            return Ok(items);
        }
    }
}

/// RFC 3501 §6.4.5: a macro stands alone.
fn named_macro(name: &str) -> Option<Vec<Item>> {
    let fast = [Item::Flags, Item::InternalDate, Item::Size];
    let more: &[Item] = match name {
        "FAST" => &[],
        "ALL" => &[Item::Envelope],
        "FULL" => &[Item::Envelope, Item::Body],
        _ => return None,
    };
    Some([&fast, more].concat())
}

/// Reads the name of an item as a server's answer has it: `BODY[HEADER.FIELDS (From)]<0>`. For
/// [`Item::is_answered_as`].
///
/// # Errors
/// Where none is next.
pub fn read_label<'a>(at: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let start = at.rest();
    at.keyword()?;
    if at.eat(b'[') {
        while !at.eat(b']') {
            match at.peek() {
                Some(b'"' | b'{') => drop(at.string()?),
                _ => drop(at.word(|byte| !matches!(byte, b'"' | b'{' | b']'))?),
            }
        }
    }
    if at.eat(b'<') {
        at.number()?;
        at.expect(b'>')?;
    }
    start.get(..start.len() - at.rest().len()).ok_or(Malformed)
}

impl Item {
    fn read(at: &mut Cursor<'_>) -> Result<Self, BadItem> {
        let name = at.keyword().map_err(|_| BadItem::Malformed)?;
        let content =
            |name, peek, section| Self::Section(Content { section, partial: None, peek, name });
        Ok(match name.as_str() {
            "FLAGS" => Self::Flags,
            "INTERNALDATE" => Self::InternalDate,
            "UID" => Self::Uid,
            "MODSEQ" => Self::ModSeq,
            "SAVEDATE" => Self::SaveDate,
            "RFC822.SIZE" => Self::Size,
            "ENVELOPE" => Self::Envelope,
            "BODYSTRUCTURE" => Self::BodyStructure,
            "RFC822" => content(Name::Rfc822, false, Section::MESSAGE),
            "RFC822.PEEK" => content(Name::Rfc822Peek, true, Section::MESSAGE),
            "RFC822.HEADER" => content(Name::Rfc822Header, true, Section::of_message(Text::Header)),
            "RFC822.TEXT" => content(Name::Rfc822Text, false, Section::of_message(Text::Text)),
            "BODY" if at.peek() != Some(b'[') => Self::Body,
            "BODY" | "BODY.PEEK" => Self::Section(Content {
                section: Section::read(at)?,
                partial: Partial::read(at)?,
                peek: name == "BODY.PEEK",
                name: Name::Body,
            }),
            _ => return Err(BadItem::Unknown(name.chars().take(MAX_NAMED).collect())),
        })
    }

    /// Whether `other` asks for the same; where that sets `\\Seen`, this does from now on.
    fn takes_in(&mut self, other: &Self) -> bool {
        let (Self::Section(own), Self::Section(content)) = (&mut *self, other) else {
            return self == other;
        };
        let is_same = (own.name, own.partial) == (content.name, content.partial)
            && own.section == content.section;
        own.peek &= !is_same || content.peek;
        is_same
    }

    /// Whether the backend answers it for sealed mail too: it tells nothing of what was sealed.
    pub fn is_metadata(&self) -> bool {
        matches!(self, Self::Flags | Self::InternalDate | Self::Uid | Self::ModSeq | Self::SaveDate)
    }

    /// Whether the message is seen afterwards.
    pub fn sets_seen(&self) -> bool {
        matches!(self, Self::Section(content) if !content.peek)
    }

    /// Whether it needs the opened message whatever a summary holds.
    pub fn always_needs_message(&self) -> bool {
        matches!(self, Self::Section(content)
            if matches!(content.section.text, Text::Whole | Text::Text))
    }

    /// Whether it needs the opened message: where the summary does not hold what it asks for.
    pub fn needs_message(&self, summary: &Summary) -> bool {
        let Self::Section(content) = self else { return false };
        let is_omitted = |name: &Vec<u8>| {
            summary.omitted.iter().any(|omitted| omitted.as_bytes().eq_ignore_ascii_case(name))
        };
        let is_named = |names: &[Vec<u8>], omitted: &String| {
            names.iter().any(|name| name.eq_ignore_ascii_case(omitted.as_bytes()))
        };
        match (&content.section.text, content.section.part.as_slice()) {
            (Text::Whole | Text::Text, _) => true,
            (Text::Header, []) | (Text::Mime, [1]) => !summary.omitted.is_empty(),
            (Text::Fields(names), []) => names.iter().any(is_omitted),
            (Text::FieldsNot(names), []) => {
                !summary.omitted.iter().all(|omitted| is_named(names, omitted))
            }
            // Of the parts' headers nothing is left out.
            _ => false,
        }
    }

    /// The name that its answer has: the client's own, in upper case but for names of fields.
    pub fn label(&self) -> Vec<u8> {
        let Self::Section(content) = self else { return self.name().into() };
        match content.name {
            Name::Rfc822Peek => b"RFC822".to_vec(),
            _ => content.named(self.name()),
        }
    }

    /// How it is asked of a backend.
    pub fn native(&self) -> Vec<u8> {
        let Self::Section(content) = self else { return self.name().into() };
        let mut text = match content.name {
            Name::Rfc822Peek => return b"BODY.PEEK[]".to_vec(),
            Name::Body if content.peek => b"BODY.PEEK".to_vec(),
            _ => self.name().into(),
        };
        if content.name == Name::Body {
            content.section.write(&mut text);
        }
        if let Some(Partial { origin, length }) = content.partial {
            text.extend_from_slice(format!("<{origin}.{length}>").as_bytes());
        }
        text
    }

    /// Whether a backend that was asked for [`Item::native`] answers it under this name, as
    /// [`read_label`] gives it: servers change the case of names and the quotes around them.
    pub fn is_answered_as(&self, label: &[u8]) -> bool {
        let own = match self {
            Self::Section(Content { name: Name::Rfc822Peek, .. }) => b"BODY[]".to_vec(),
            _ => self.label(),
        };
        let plain = label.iter().filter(|byte| **byte != b'"');
        plain.map(u8::to_ascii_uppercase).eq(own.iter().map(u8::to_ascii_uppercase))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Flags => "FLAGS",
            Self::InternalDate => "INTERNALDATE",
            Self::Uid => "UID",
            Self::ModSeq => "MODSEQ",
            Self::SaveDate => "SAVEDATE",
            Self::Size => "RFC822.SIZE",
            Self::Envelope => "ENVELOPE",
            Self::Body => "BODY",
            Self::BodyStructure => "BODYSTRUCTURE",
            Self::Section(content) => match content.name {
                Name::Body => "BODY",
                Name::Rfc822 | Name::Rfc822Peek => "RFC822",
                Name::Rfc822Header => "RFC822.HEADER",
                Name::Rfc822Text => "RFC822.TEXT",
            },
        }
    }
}

impl Content {
    fn named(&self, name: &str) -> Vec<u8> {
        let mut label = name.as_bytes().to_vec();
        if self.name == Name::Body {
            self.section.write(&mut label);
        }
        if let Some(Partial { origin, .. }) = self.partial {
            label.extend_from_slice(format!("<{origin}>").as_bytes());
        }
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        let items = parse(text.as_bytes()).unwrap();
        items.iter().map(|item| String::from_utf8(item.label()).unwrap()).collect()
    }

    fn one(text: &str) -> Item {
        let [item] = &parse(text.as_bytes()).unwrap()[..] else { panic!("{text}") };
        item.clone()
    }

    #[test]
    fn macros_and_lists() {
        assert_eq!(labels("fast"), ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]);
        assert_eq!(labels("ALL"), ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"]);
        assert_eq!(labels("FULL"), [&labels("ALL")[..], &["BODY".to_owned()]].concat());
        assert_eq!(
            labels("(uid rfc822.size flags modseq savedate body.peek[1.mime]<5.10> )"),
            ["UID", "RFC822.SIZE", "FLAGS", "MODSEQ", "SAVEDATE", "BODY[1.MIME]<5>"]
        );
        assert_eq!(labels("(BODY BODYSTRUCTURE BODY[])"), ["BODY", "BODYSTRUCTURE", "BODY[]"]);
        let (mut at, rest) = (Cursor::new(b"(FLAGS) (CHANGEDSINCE 7)"), b" (CHANGEDSINCE 7)");
        assert_eq!(read(&mut at).unwrap(), [Item::Flags]);
        assert_eq!(at.rest(), rest);
    }

    #[test]
    fn each_item_comes_once() {
        assert_eq!(labels("(UID FLAGS UID)"), ["UID", "FLAGS"]);
        let [whole] = &parse(b"(BODY.PEEK[] BODY[])").unwrap()[..] else { panic!() };
        assert!(whole.sets_seen());
        assert!(!one("(BODY.PEEK[] BODY.PEEK[])").sets_seen());
        assert_eq!(labels("(BODY[1]<0.5> BODY[1]<5.5>)"), ["BODY[1]<0>", "BODY[1]<5>"]);
    }

    #[test]
    fn names_seen_and_native_forms() {
        for (asked, label, native, seen) in [
            ("RFC822", "RFC822", "RFC822", true),
            ("RFC822.PEEK", "RFC822", "BODY.PEEK[]", false),
            ("RFC822.HEADER", "RFC822.HEADER", "RFC822.HEADER", false),
            ("RFC822.TEXT", "RFC822.TEXT", "RFC822.TEXT", true),
            ("body[text]<0.9>", "BODY[TEXT]<0>", "BODY[TEXT]<0.9>", true),
            ("ENVELOPE", "ENVELOPE", "ENVELOPE", false),
            (
                "BODY.PEEK[HEADER.FIELDS (from \"To\")]",
                "BODY[HEADER.FIELDS (from To)]",
                "BODY.PEEK[HEADER.FIELDS (from To)]",
                false,
            ),
        ] {
            let item = one(asked);
            assert_eq!(item.label(), label.as_bytes());
            assert_eq!(item.native(), native.as_bytes());
            assert_eq!((item.sets_seen(), item.is_metadata()), (seen, false), "{asked}");
        }
        assert!(one("SAVEDATE").is_metadata() && !one("RFC822.SIZE").is_metadata());
    }

    #[test]
    fn answers_are_found_by_their_labels() {
        let answer = b"BODY[HEADER.FIELDS (FROM \"TO\")]<0> {1}\r\na";
        let mut at = Cursor::new(answer);
        let label = read_label(&mut at).unwrap();
        assert_eq!(at.rest(), b" {1}\r\na");
        assert!(one("BODY.PEEK[HEADER.FIELDS (From To)]<0.1>").is_answered_as(label));
        assert!(!one("BODY.PEEK[HEADER.FIELDS (From)]<0.1>").is_answered_as(label));
        assert!(one("RFC822.PEEK").is_answered_as(b"BODY[]"));
        assert!(!one("RFC822").is_answered_as(b"BODY[]"));
        for cut in ["", "BODY[", "BODY[HEADER.FIELDS (\"]", "BODY[]<", "BODY[]<a>", " "] {
            assert!(read_label(&mut Cursor::new(cut.as_bytes())).is_err(), "{cut}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let said = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said("(UID x-foo)"), "no FETCH item is called X-FOO");
        assert!(said("(ALL UID)").contains("ALL"));
        assert!(said("BINARY[1]").contains("BINARY"));
        assert!(said("BODY[FOO]").contains("section"));
        assert!(said("BODY[]<1>").contains("partial"));
        assert!(said("BODY[HEADER.FIELDS (a:)]").contains("header fields"));
        for text in
            ["", "()", "(UID", "UID FLAGS", "(UID)x", "(UID FLAGS", "(UID(FLAGS))", "\"UID\""]
        {
            assert!(said(text).contains("parentheses"), "{text}");
        }
        let many: Vec<String> = (0..300).map(|part| format!("BODY[{part}]")).collect();
        assert!(said(&format!("({})", many.join(" "))).contains("256"));
    }
}
