//! A search program as a tree of keys (RFC 3501 §6.4.4), and how a backend is told of it.

use std::fmt;

use super::date::Day;
use super::needle::Needle;

/// One key, or several in a relation.
#[derive(Clone, PartialEq)]
pub(super) enum Key {
    /// About numbers, flags, arrival, mod-sequences: told by any server, sealed or not. As it is written.
    Native(String),
    /// About the message itself, of which the store knows nothing where it is sealed.
    Content(Content),
    Not(Box<Key>),
    /// At least one.
    And(Vec<Key>),
    /// At least one.
    Or(Vec<Key>),
}

impl fmt::Debug for Key {
    /// Which kinds there are: what somebody looks for is his own affair.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(_) => f.write_str("Native"),
            Self::Content(content) => content.fmt(f),
            Self::Not(key) => f.debug_tuple("Not").field(key).finish(),
            Self::And(keys) => f.debug_tuple("And").field(keys).finish(),
            Self::Or(keys) => f.debug_tuple("Or").field(keys).finish(),
        }
    }
}

/// A key about the message itself.
#[derive(Clone, PartialEq)]
pub(super) enum Content {
    /// A header field of this name holds the text; an empty one is in every field.
    Header(Named, Needle),
    Sent(When, Day),
    /// Octets.
    Larger(u32),
    Smaller(u32),
    Body(Needle),
    Text(Needle),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header(..) => "Header",
            Self::Sent(..) => "Sent",
            Self::Larger(_) => "Larger",
            Self::Smaller(_) => "Smaller",
            Self::Body(_) => "Body",
            Self::Text(_) => "Text",
        })
    }
}

/// Which header field, and by which key it was asked for.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A key of its own: `FROM`, `SUBJECT`, …
    Key(&'static str),
    /// `HEADER` and the field's name.
    Field(String),
}

impl Named {
    /// The field's name.
    pub(super) fn field(&self) -> &str {
        match self {
            Self::Key(name) => name,
            Self::Field(name) => name,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Before,
    On,
    Since,
}

impl Key {
    pub(super) fn native(text: &str) -> Self {
        Self::Native(text.to_owned())
    }

    /// All of these; what is nested without need is not.
    pub(super) fn all(keys: Vec<Self>) -> Self {
        let flat = keys.into_iter().flat_map(|key| match key {
            Self::And(keys) => keys,
            other => vec![other],
        });
        one_or(distinct(flat.collect()), Self::And)
    }

    /// Any of these.
    pub(super) fn any(keys: Vec<Self>) -> Self {
        let flat = keys.into_iter().flat_map(|key| match key {
            Self::Or(keys) => keys,
            other => vec![other],
        });
        one_or(distinct(flat.collect()), Self::Or)
    }

    pub(super) fn is_native(&self) -> bool {
        match self {
            Self::Native(_) => true,
            Self::Content(_) => false,
            Self::Not(key) => key.is_native(),
            Self::And(keys) | Self::Or(keys) => keys.iter().all(Self::is_native),
        }
    }
}

fn one_or(mut keys: Vec<Key>, group: fn(Vec<Key>) -> Key) -> Key {
    match keys.pop() {
        Some(key) if keys.is_empty() => key,
        Some(key) => {
            keys.push(key);
            group(keys)
        }
        None => Key::native("ALL"),
    }
}

/// Each once. Bounded work: programs have few keys that are alike.
fn distinct(keys: Vec<Key>) -> Vec<Key> {
    if keys.len() > 64 {
        return keys;
    }
    let mut kept: Vec<Key> = Vec::with_capacity(keys.len());
    for key in keys {
        if !kept.contains(&key) {
            kept.push(key);
        }
    }
    kept
}

/// What stands behind `SEARCH` or `UID SEARCH` in a command to the backend.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Plain(String),
    /// A literal: its size, a line end and, where the server has asked for it, these octets.
    Literal(Vec<u8>),
}

impl fmt::Debug for Piece {
    /// Which it is, and how long: it holds what somebody looks for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "Plain({} octets)", text.len()),
            Self::Literal(octets) => write!(f, "Literal({} octets)", octets.len()),
        }
    }
}

/// Longer strings are literals, in octets: some servers bound the length of a line.
const MAX_QUOTED_BYTES: usize = 512;

/// A command's arguments in the making.
#[derive(Default)]
pub(super) struct Writer {
    pieces: Vec<Piece>,
}

impl Writer {
    /// The arguments that ask for `key`.
    pub(super) fn write(key: &Key) -> Vec<Piece> {
        let mut writer = Self::default();
        if !is_ascii(key) {
            writer.plain("CHARSET UTF-8 ");
        }
        writer.key(key, false);
        writer.pieces
    }

    fn plain(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Plain(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Plain(text.to_owned())),
        }
    }

    /// `is_operand` has several keys in parentheses.
    fn key(&mut self, key: &Key, is_operand: bool) {
        match key {
            Key::Native(text) => self.plain(text),
            Key::Content(content) => self.content(content),
            Key::Not(key) => {
                self.plain("NOT ");
                self.key(key, true);
            }
            Key::And(keys) => {
                self.plain(if is_operand { "(" } else { "" });
                for (at, key) in keys.iter().enumerate() {
                    self.plain(if at == 0 { "" } else { " " });
                    self.key(key, true);
                }
                self.plain(if is_operand { ")" } else { "" });
            }
            Key::Or(keys) => {
                for (at, key) in keys.iter().enumerate() {
                    let is_last = at + 1 == keys.len();
                    self.plain(if at == 0 { "" } else { " " });
                    self.plain(if is_last { "" } else { "OR " });
                    self.key(key, true);
                }
            }
        }
    }

    fn content(&mut self, content: &Content) {
        match content {
            Content::Header(named, needle) => {
                match named {
                    Named::Key(name) => self.plain(&name.to_ascii_uppercase()),
                    Named::Field(name) => {
                        self.plain("HEADER ");
                        self.string(name);
                    }
                }
                self.plain(" ");
                self.string(needle.text());
            }
            Content::Sent(when, day) => {
                let key = match when {
                    When::Before => "SENTBEFORE",
                    When::On => "SENTON",
                    When::Since => "SENTSINCE",
                };
                self.plain(&format!("{key} {day}"));
            }
            Content::Larger(octets) => self.plain(&format!("LARGER {octets}")),
            Content::Smaller(octets) => self.plain(&format!("SMALLER {octets}")),
            Content::Body(needle) => {
                self.plain("BODY ");
                self.string(needle.text());
            }
            Content::Text(needle) => {
                self.plain("TEXT ");
                self.string(needle.text());
            }
        }
    }

    fn string(&mut self, text: &str) {
        let is_quotable = text.len() <= MAX_QUOTED_BYTES
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        if is_quotable {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            self.plain(&format!("\"{escaped}\""));
        } else {
            self.pieces.push(Piece::Literal(text.as_bytes().to_vec()));
        }
    }
}

fn is_ascii(key: &Key) -> bool {
    match key {
        Key::Native(_) => true,
        Key::Content(
            Content::Header(_, needle) | Content::Body(needle) | Content::Text(needle),
        ) => needle.text().is_ascii(),
        Key::Content(_) => true,
        Key::Not(key) => is_ascii(key),
        Key::And(keys) | Key::Or(keys) => keys.iter().all(is_ascii),
    }
}
