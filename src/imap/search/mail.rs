//! What is known of one sealed message, and what of it a key looks at.

use std::cell::OnceCell;
use std::fmt;

use crate::message::header::{end_of_header, fields};
use crate::seal::Summary;

use super::date::Day;
use super::key::{Content, When};
use super::needle::{Needle, fold};
use super::scan::{self, Wanted};
use super::words;

/// One sealed message, as far as it is open.
pub struct Mail<'a> {
    header: &'a [u8],
    /// Fields that are not in `header` though the message has them, in lower case.
    omitted: &'a [String],
    size: u64,
    message: Option<&'a [u8]>,
    /// Of each text that is looked for in bodies, whether it is there.
    found: OnceCell<Vec<bool>>,
}

impl fmt::Debug for Mail<'_> {
    /// Nothing of the message but its size: the rest was sealed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({} octets)", self.size)
    }
}

impl<'a> Mail<'a> {
    /// A message of which only the summary is open.
    pub fn listed(summary: &'a Summary) -> Self {
        Self {
            header: summary.header(),
            omitted: &summary.omitted,
            size: summary.size,
            message: None,
            found: OnceCell::new(),
        }
    }

    /// A message that is open.
    pub fn opened(message: &'a [u8]) -> Self {
        Self {
            header: message.get(..end_of_header(message, 0)).unwrap_or_default(),
            omitted: &[],
            size: message.len() as u64,
            message: Some(message),
            found: OnceCell::new(),
        }
    }

    /// Whether what `content` asks about holds; `None` until the message is opened.
    pub(super) fn holds(&self, content: &Content) -> Option<bool> {
        match content {
            Content::Header(named, needle) => self.field_holds(named.field(), needle),
            Content::Sent(when, day) => {
                let sent = Day::sent(self.header);
                Some(match when {
                    When::Before => sent < *day,
                    When::On => sent == *day,
                    When::Since => sent >= *day,
                })
            }
            Content::Larger(octets) => Some(self.size > u64::from(*octets)),
            Content::Smaller(octets) => Some(self.size < u64::from(*octets)),
            // These are looked for together: see `body_holds`.
            Content::Body(_) | Content::Text(_) => None,
        }
    }

    fn field_holds(&self, name: &str, needle: &Needle) -> Option<bool> {
        let mut folded = Vec::new();
        let mut named = fields(self.header).filter(|field| field.is(name));
        let is_found = named.any(|field| {
            folded.clear();
            let text = words::text(field.value.trim_ascii());
            fold(&text, needle.manner(), true, &mut folded);
            needle.is_in(&folded)
        });
        let is_omitted = || self.omitted.iter().any(|omitted| name.eq_ignore_ascii_case(omitted));
        match is_found {
            false if is_omitted() => needle.is_empty().then_some(true),
            found => Some(found),
        }
    }

    /// Whether the text `wanted[at]` is there; `None` until the message is opened, unless it is in what is
    /// open already.
    pub(super) fn body_holds(&self, wanted: &[Wanted], at: usize) -> Option<bool> {
        let asked = wanted.get(at)?;
        if asked.needle.is_empty() {
            return Some(true);
        }
        let Some(message) = self.message else {
            return scan::header_holds(self.header, asked).then_some(true);
        };
        self.found.get_or_init(|| scan::message(message, wanted)).get(at).copied()
    }
}
