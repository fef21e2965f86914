//! What a client sees of a batch, once the agent has answered.

use std::sync::Arc;

use crate::imap::Manner;
use crate::imap::answer::Answer;
use crate::imap::fetch::Depth;
use crate::imap::view::View;
use crate::seal::Body;
use crate::secret::SecretBytes;

use super::batch::{Entry, Held, Looked, Purpose, without_line_end};
use super::cache::{Known, Opened};
use super::metrics::Shown;
use super::opening::Found;
use super::room::Room;

/// What came of some of a batch.
#[derive(Default)]
pub(super) struct Done {
    /// What the client is told.
    pub(super) shown: Vec<u8>,
    /// Large messages, and before which octet of that each belongs.
    pub(super) large: Vec<(usize, Arc<Body>)>,
    /// Messages of which more is needed, by sequence number or UID as the command has it.
    pub(super) held: Vec<(u32, Held)>,
    /// Messages that are shown as they are stored, by the same: what the store has of them was not asked
    /// for.
    pub(super) stored: Vec<u32>,
    /// The memory for it.
    pub(super) room: Option<Room>,
}

impl Done {
    /// What it takes in memory.
    pub(super) fn octets(&self) -> u64 {
        let large: u64 = self.large.iter().map(|(_, body)| body.sealed_size()).sum();
        self.shown.len() as u64 + large
    }
}

/// Some of a batch that is being shown.
pub(super) struct Showing<'a> {
    purpose: &'a Purpose,
    done: Done,
    learned: Vec<(u32, Known)>,
    read: Vec<(u32, Opened)>,
    counts: [u64; 3],
}

impl<'a> Showing<'a> {
    pub(super) fn new(purpose: &'a Purpose) -> Self {
        let (learned, read) = (Vec::new(), Vec::new());
        let (done, counts) = (Done::default(), [0; 3]);
        Self { purpose, done, learned, read, counts }
    }

    /// Shows all of them, and keeps what was found out.
    pub(super) fn all(mut self, entries: &[Entry], looked: Vec<Looked>) -> Done {
        for (entry, looked) in entries.iter().zip(looked) {
            match entry {
                Entry::Passed(bytes) => self.done.shown.extend_from_slice(bytes),
                Entry::Fetched(response) => self.one(response, looked, false),
                Entry::Cut(response) => self.one(response, looked, true),
            }
        }
        if let Some(reader) = &self.purpose.reader {
            for (form, count) in Shown::ALL.into_iter().zip(self.counts) {
                reader.service.metrics.shown(form, count);
            }
            if let Some(place) = &reader.place {
                place.learn(self.learned);
                // Many at once are a client that fetches everything, and nobody who reads.
                if let (1, Some((uid, opened))) = (self.read.len(), self.read.pop()) {
                    place.keep(uid, opened);
                }
            }
        }
        self.done
    }

    fn one(&mut self, response: &[u8], looked: Looked, is_cut: bool) {
        let Purpose { fetch, depth, again, .. } = self.purpose;
        let Some(mut answer) = fetch.read(without_line_end(response), *depth) else {
            return self.done.shown.extend_from_slice(response);
        };
        let before = again.get(&fetch.number(&answer));
        if let Some(held) = before {
            // It was a list when it was written.
            let _ = answer.with_metadata(&held.metadata);
        }
        let is_lacking = is_cut || before.is_some();
        let found = match looked {
            Looked::Sealed(found) => found,
            Looked::Known(Known::Sealed(summary)) => {
                Ok(Found { summary: Some(summary), ..Found::default() })
            }
            Looked::Opened(Opened { summary, message }) => {
                Ok(Found { summary: Some(summary), message: Some(message), large: None })
            }
            Looked::Unknown => return self.hold(&answer, fetch.depth()),
            Looked::Stored | Looked::Known(Known::Stored) => {
                return self.as_stored(&answer, is_lacking, Shown::Plain);
            }
        };
        match found.map(|found| self.opened(&answer, found)) {
            Ok(Some(())) => self.count(Shown::Opened),
            // The body was not asked for, and is needed.
            Ok(None) if *depth < Depth::Body => self.hold(&answer, Depth::Body),
            Ok(None) | Err(_) => self.as_stored(&answer, is_lacking, Shown::AsStored),
        }
    }

    /// Shows a message that was opened; `None` where what was opened of it does not do.
    fn opened(&mut self, answer: &Answer<'_>, found: Found) -> Option<()> {
        let Purpose { fetch, reader, depth, .. } = self.purpose;
        let out = &mut self.done.shown;
        if let Some(body) = found.large {
            let places = fetch.write_around(answer, body.size(), out);
            let body = Arc::new(body);
            self.done.large.extend(places.into_iter().map(|place| (place, Arc::clone(&body))));
            return Some(());
        }
        let summary = found.summary?;
        let octets = found.message.as_deref().map(SecretBytes::expose);
        let manner = reader.as_ref().map_or(Manner::Dovecot, |reader| reader.manner);
        let view = View::new(&summary, octets, manner);
        let written = fetch.write_opened(answer, &view, out);
        drop(view);
        match found.message {
            Some(message) if *depth >= Depth::Head && !fetch.is_only_whole() => {
                self.read.push((answer.uid, Opened { summary, message }));
            }
            None if *depth == Depth::Head => {
                self.learned.push((answer.uid, Known::Sealed(summary)));
            }
            _ => {}
        }
        written.ok()
    }

    /// Shows it as it is stored, later where what the store has of it is lacking.
    fn as_stored(&mut self, answer: &Answer<'_>, is_lacking: bool, form: Shown) {
        let Purpose { fetch, depth, .. } = self.purpose;
        self.count(form);
        if *depth >= Depth::Head {
            self.learned.push((answer.uid, Known::Stored));
        }
        if is_lacking || *depth == Depth::Listed {
            self.done.stored.push(fetch.number(answer));
        } else {
            fetch.write_stored(answer, *depth, &mut self.done.shown);
        }
    }

    fn hold(&mut self, answer: &Answer<'_>, depth: Depth) {
        let held = Held { metadata: answer.metadata_list(), depth };
        self.done.held.push((self.purpose.fetch.number(answer), held));
    }

    fn count(&mut self, form: Shown) {
        if let Some(count) = self.counts.get_mut(form as usize) {
            *count += 1;
        }
    }
}
