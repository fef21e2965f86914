//! One answer of the store's to FETCH (RFC 3501 §7.4.2), taken apart: what it says by itself, and what tells
//! a sealed message from a plain one.

use std::borrow::Cow;
use std::fmt;

use super::fetch::Depth;
use super::fetched::{self, Pair};
use super::items::Item;
use super::token::Malformed;
use crate::seal::{SIGNATURE_FIELD, SUMMARY_FIELD};

/// One answer of the store's.
pub struct Answer<'a> {
    /// The message sequence number.
    pub number: u32,
    /// The UID.
    pub uid: u32,
    pub(super) pairs: Vec<Pair<'a>>,
    /// The two fields of the outer header, and the line that ends it.
    pub head: Option<Cow<'a, [u8]>>,
    /// The sealed body in base64.
    pub body: Option<Cow<'a, [u8]>>,
    /// The whole message as it is stored.
    pub whole: Option<Cow<'a, [u8]>>,
}

impl fmt::Debug for Answer<'_> {
    /// Whose it is: the rest may be a letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, UID {})", self.number, self.uid)
    }
}

impl<'a> Answer<'a> {
    pub(super) fn has(&self, item: &Item) -> bool {
        self.pairs.iter().any(|pair| item.is_answered_as(pair.name))
    }

    pub(super) fn metadata(&self) -> impl Iterator<Item = &Pair<'a>> {
        self.pairs.iter().filter(|pair| is_metadata(pair.name))
    }

    /// The mod-sequence (RFC 7162 §3.1.4.2), where it was asked for.
    pub fn modseq(&self) -> Option<u64> {
        let pair = self.pairs.iter().find(|pair| pair.name.eq_ignore_ascii_case(b"MODSEQ"))?;
        let number = pair.value.strip_prefix(b"(")?.strip_suffix(b")")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    /// What the store says of a message beside its content, as a list for [`Answer::with_metadata`].
    pub fn metadata_list(&self) -> Vec<u8> {
        let mut list = b"(".to_vec();
        for pair in self.metadata() {
            separate(1, &mut list);
            write_pair(pair.name, pair.value, &mut list);
        }
        list.push(b')');
        list
    }

    /// The same answer as a response whose content is left out: what is sealed in it is not needed any
    /// more, and may be large. It is read as one of the same depth.
    pub fn without_content(&self, depth: Depth) -> Vec<u8> {
        let mut line = Vec::new();
        begin(self.number, &mut line);
        let open = line.len();
        for pair in self.metadata() {
            separate(open, &mut line);
            write_pair(pair.name, pair.value, &mut line);
        }
        separate(open, &mut line);
        match depth {
            Depth::Whole => write_pair(b"BODY[]", b"\"\"", &mut line),
            _ => {
                let name = format!("BODY[HEADER.FIELDS ({SIGNATURE_FIELD} {SUMMARY_FIELD})]");
                write_pair(name.as_bytes(), b"\"\"", &mut line);
            }
        }
        line.push(b')');
        line
    }

    /// The same answer with what was said before.
    ///
    /// # Errors
    /// Where it is no list.
    pub fn with_metadata(&mut self, list: &'a [u8]) -> Result<(), Malformed> {
        let before = fetched::pairs(list)?;
        self.pairs.retain(|pair| !is_metadata(pair.name));
        self.pairs.extend(before);
        Ok(())
    }
}

fn is_metadata(name: &[u8]) -> bool {
    ["UID", "FLAGS", "MODSEQ", "INTERNALDATE", "SAVEDATE"]
        .iter()
        .any(|metadata| name.eq_ignore_ascii_case(metadata.as_bytes()))
}

pub(super) fn begin(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("* {number} FETCH (").as_bytes());
}

pub(super) fn separate(open: usize, out: &mut Vec<u8>) {
    if out.len() > open {
        out.push(b' ');
    }
}

pub(super) fn write_pair(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.push(b' ');
    out.extend_from_slice(value);
}
