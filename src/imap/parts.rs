//! The parts of a message as an IMAP server numbers them (RFC 3501 §6.4.5), from its summary.
//!
//! A part whose own parts were not told apart, or has none, is a leaf, so that a client can read it: the
//! structure that is shown and the sections that can be asked for come from the same tree, and agree.

use std::ops::Range;

use super::parameters::{self, ContentType};
use crate::message::header;
use crate::message::mime::{Kind, MAX_DEPTH};
use crate::seal::{Summary, SummaryPart};

/// What is inside a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Parts, at least one.
    Multipart,
    /// One message, whose header and body it is.
    Message,
    /// Octets.
    Leaf,
}

/// One part, or a message. Ranges are of the original.
pub(super) struct Node<'a> {
    pub(super) shape: Shape,
    /// Its header block, but for what a summary leaves out.
    pub(super) header: &'a [u8],
    pub(super) header_range: Range<u64>,
    pub(super) body: Range<u64>,
    pub(super) lines: u64,
    pub(super) children: Vec<usize>,
    kind: Kind,
}

impl Node<'_> {
    /// How long its body is, in octets.
    pub(super) fn size(&self) -> u64 {
        self.body.end.saturating_sub(self.body.start)
    }

    /// The value of the first field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        header::fields(self.header).find(|field| field.is(name)).map(|field| field.value)
    }

    /// Its type; `None` where it has none that fits what it is: `text/plain` (RFC 2045 §5.2).
    pub(super) fn content_type(&self) -> Option<ContentType> {
        let found = self.field("Content-Type").and_then(parameters::content_type)?;
        let fits = match self.shape {
            Shape::Multipart => found.is("multipart"),
            Shape::Message => found.is_message(),
            Shape::Leaf => !found.is("multipart") && (found.is("text") || self.kind != Kind::Text),
        };
        fits.then_some(found)
    }
}

/// All parts of a message, the message itself first.
pub(super) struct Parts<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Parts<'a> {
    /// Makes the tree. Whatever the summary says, it has a root, is no deeper than
    /// [`MAX_DEPTH`] and a message within, and no part is its own ancestor.
    pub(super) fn of(summary: &'a Summary) -> Self {
        let mut parts = Self { nodes: Vec::with_capacity(summary.parts.len().max(1)) };
        // The parts that what comes next may lie in, with their depth.
        let mut open: Vec<(u16, usize)> = Vec::new();
        for part in &summary.parts {
            while open.last().is_some_and(|(depth, _)| *depth >= part.depth) {
                open.pop();
            }
            let parent = open.last().map(|(_, parent)| *parent);
            if usize::from(part.depth) >= MAX_DEPTH || !parts.can_hold(parent) {
                continue;
            }
            let header = if parent.is_none() { summary.header() } else { part.header() };
            let own = parts.push(node(part, header), parent);
            open.push((part.depth, own));
        }
        if parts.nodes.is_empty() {
            let header = summary.header();
            let end = (header.len() as u64).min(summary.size);
            parts.push(leaf(header, 0..end, end..summary.size, 0, Kind::Text), None);
        }
        parts.settle();
        parts
    }

    /// The message itself.
    pub(super) fn root(&self) -> usize {
        0
    }

    /// A part by its place in the tree.
    pub(super) fn get(&self, place: usize) -> Option<&Node<'a>> {
        self.nodes.get(place)
    }

    /// The message inside a part.
    pub(super) fn message_in(&self, place: usize) -> Option<usize> {
        let node = self.get(place).filter(|node| node.shape == Shape::Message)?;
        node.children.first().copied()
    }

    /// The part with these numbers: at least one.
    pub(super) fn numbered(&self, numbers: &[u32]) -> Option<usize> {
        let (first, rest) = numbers.split_first()?;
        let first = self.part_of_message(self.root(), *first)?;
        rest.iter().try_fold(first, |place, number| match self.get(place)?.shape {
            Shape::Multipart => self.child(place, *number),
            Shape::Message => self.part_of_message(self.message_in(place)?, *number),
            Shape::Leaf => None,
        })
    }

    /// A message that is no multipart has one part, itself.
    fn part_of_message(&self, message: usize, number: u32) -> Option<usize> {
        match self.get(message)?.shape {
            Shape::Multipart => self.child(message, number),
            _ => (number == 1).then_some(message),
        }
    }

    fn child(&self, place: usize, number: u32) -> Option<usize> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.get(place)?.children.get(index).copied()
    }

    fn can_hold(&self, parent: Option<usize>) -> bool {
        match parent.map(|parent| self.get(parent)) {
            None => self.nodes.is_empty(),
            Some(Some(node)) => match node.kind {
                Kind::Multipart => true,
                Kind::Message => node.children.is_empty(),
                Kind::Text | Kind::Other => false,
            },
            Some(None) => false,
        }
    }

    fn push(&mut self, node: Node<'a>, parent: Option<usize>) -> usize {
        let place = self.nodes.len();
        self.nodes.push(node);
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
            parent.children.push(place);
        }
        place
    }

    /// Finds the shape of each part, now that it has its children.
    fn settle(&mut self) {
        for place in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(place) else { return };
            let is_message = || {
                let value = node.field("Content-Type");
                // A part of a digest has no type (RFC 2046 §5.1.5).
                value.map_or(node.kind == Kind::Message, |value| {
                    parameters::content_type(value).is_some_and(|found| found.is_message())
                })
            };
            node.shape = match node.kind {
                Kind::Multipart if !node.children.is_empty() => Shape::Multipart,
                Kind::Message | Kind::Other if is_message() => Shape::Message,
                _ => Shape::Leaf,
            };
            if node.shape == Shape::Message && node.children.is_empty() {
                // It is encoded, or lies too deep: its text is all of it.
                let (body, lines) = (node.body.clone(), node.lines);
                let header = body.start..body.start;
                self.push(leaf(b"", header, body, lines, Kind::Text), Some(place));
            }
        }
    }
}

fn node<'a>(part: &SummaryPart, header: &'a [u8]) -> Node<'a> {
    leaf(header, part.header_range(), part.body_range(), part.lines, part.kind())
}

fn leaf(
    header: &[u8],
    header_range: Range<u64>,
    body: Range<u64>,
    lines: u64,
    kind: Kind,
) -> Node<'_> {
    Node { shape: Shape::Leaf, header, header_range, body, lines, children: Vec::new(), kind }
}
