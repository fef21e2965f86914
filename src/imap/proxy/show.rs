//! What a client sees of a batch, once the agent has answered.

use std::sync::Arc;

use crate::agent::identity::Recovered;
use crate::imap::Manner;
use crate::imap::fetch::{Answer, Depth, Fetch};
use crate::imap::view::View;
use crate::seal::{Reading, Summary, UnsealError};
use crate::secret::SecretBytes;

use super::batch::{Again, Entry, Held, Looked, without_line_end};
use super::cache::{Known, Opened};
use super::client::End;
use super::metrics::Shown;
use super::reader::Reader;

/// What came of a batch.
#[derive(Default)]
pub(super) struct Done {
    /// What the client is told.
    pub(super) shown: Vec<u8>,
    /// Messages of which more is needed, by sequence number or UID as the command has it.
    pub(super) held: Vec<(u32, Held)>,
    /// Messages that are shown as they are stored, by the same: what the store has of them was not asked
    /// for.
    pub(super) stored: Vec<u32>,
}

/// A message's summary and, where it was fetched, the message. Neither where the body has to be fetched.
type Found = (Option<Arc<Summary>>, Option<Arc<SecretBytes>>);

/// A batch that is being shown.
pub(super) struct Showing<'a> {
    fetch: &'a Fetch,
    reader: Option<&'a Reader>,
    depth: Depth,
    recovered: &'a Recovered,
    again: &'a Again,
    done: Done,
    learned: Vec<(u32, Known)>,
    read: Vec<(u32, Opened)>,
    counts: [u64; 3],
}

impl<'a> Showing<'a> {
    pub(super) fn new(
        fetch: &'a Fetch,
        reader: Option<&'a Reader>,
        depth: Depth,
        recovered: &'a Recovered,
        again: &'a Again,
    ) -> Self {
        let (learned, read) = (Vec::new(), Vec::new());
        let (done, counts) = (Done::default(), [0; 3]);
        Self { fetch, reader, depth, recovered, again, done, learned, read, counts }
    }

    /// Shows all of them, and keeps what was found out.
    ///
    /// # Errors
    /// Where a message cannot be opened now that can be later.
    pub(super) fn all(mut self, entries: &[Entry], looked: Vec<Looked>) -> Result<Done, End> {
        for (entry, looked) in entries.iter().zip(looked) {
            match entry {
                Entry::Passed(bytes) => self.done.shown.extend_from_slice(bytes),
                Entry::Fetched(response) => self.one(response, looked)?,
            }
        }
        if let Some(reader) = self.reader {
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
        Ok(self.done)
    }

    fn one(&mut self, response: &[u8], looked: Looked) -> Result<(), End> {
        let Some(mut answer) = self.fetch.read(without_line_end(response), self.depth) else {
            self.done.shown.extend_from_slice(response);
            return Ok(());
        };
        let before = self.again.get(&self.fetch.number(&answer));
        if let Some(held) = before {
            // It was a list when it was written.
            let _ = answer.with_metadata(&held.metadata);
        }
        let is_again = before.is_some();
        let found = match looked {
            Looked::Sealed(mut reading) => {
                let most = self.reader.map_or(0, |reader| reader.most);
                let found = open(&mut reading, self.recovered, most);
                if let (Err(error), Some(reader)) = (&found, self.reader) {
                    reader.is_for_good(error, reading.sealed_at())?;
                }
                found
            }
            Looked::Known(Known::Sealed(summary)) => Ok((Some(summary), None)),
            Looked::Opened(Opened { summary, message }) => Ok((Some(summary), Some(message))),
            Looked::Unknown => {
                self.hold(&answer, self.fetch.depth());
                return Ok(());
            }
            Looked::Stored | Looked::Known(Known::Stored) => {
                self.as_stored(&answer, is_again, Shown::Plain);
                return Ok(());
            }
        };
        match found.map(|found| self.opened(&answer, found)) {
            Ok(Some(())) => self.count(Shown::Opened),
            // The body was not asked for, and is needed.
            Ok(None) if self.depth < Depth::Body => self.hold(&answer, Depth::Body),
            Ok(None) | Err(_) => self.as_stored(&answer, is_again, Shown::AsStored),
        }
        Ok(())
    }

    /// Shows a message that was opened; `None` where what was opened of it does not do.
    fn opened(&mut self, answer: &Answer<'_>, (summary, message): Found) -> Option<()> {
        let summary = summary?;
        let octets = message.as_deref().map(SecretBytes::expose);
        let manner = self.reader.map_or(Manner::Dovecot, |reader| reader.manner);
        let view = View::new(&summary, octets, manner);
        let written = self.fetch.write_opened(answer, &view, &mut self.done.shown);
        drop(view);
        match message {
            Some(message) if self.depth != Depth::Known => {
                self.read.push((answer.uid, Opened { summary, message }));
            }
            None if self.depth == Depth::Head => {
                self.learned.push((answer.uid, Known::Sealed(summary)));
            }
            _ => {}
        }
        written.ok()
    }

    fn as_stored(&mut self, answer: &Answer<'_>, is_again: bool, form: Shown) {
        self.count(form);
        if self.depth != Depth::Known {
            self.learned.push((answer.uid, Known::Stored));
        }
        if is_again {
            self.done.stored.push(self.fetch.number(answer));
        } else {
            self.fetch.write_stored(answer, self.depth, &mut self.done.shown);
        }
    }

    fn hold(&mut self, answer: &Answer<'_>, depth: Depth) {
        let held = Held { metadata: answer.metadata_list(), depth };
        self.done.held.push((self.fetch.number(answer), held));
    }

    fn count(&mut self, form: Shown) {
        if let Some(count) = self.counts.get_mut(form as usize) {
            *count += 1;
        }
    }
}

/// Opens what is there: the message where its body was fetched, else the summary.
fn open(reading: &mut Reading, recovered: &Recovered, most: u64) -> Result<Found, UnsealError> {
    let keys = std::slice::from_ref(recovered);
    let message = reading.open_message(keys, most)?;
    let summary = match &message {
        Some(message) => Some(Summary::of_message(message.expose())),
        None => reading.open_summary(keys)?,
    };
    Ok((summary.map(Arc::new), message.map(Arc::new)))
}
