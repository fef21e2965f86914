//! Some answers of the store's, opened in one go: one question to the agent for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::imap::fetch::{Depth, Fetch};
use crate::seal::{Reading, UnsealError};

use super::cache::{Known, Opened};
use super::client::End;
use super::opening::{Found, Opening};
use super::reader::Reader;
use super::show::{Done, Showing};

/// Responses in the order in which they came.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<Entry>,
    messages: usize,
    octets: usize,
}

/// One response.
pub(super) enum Entry {
    /// Passed on as it is, its line end with it.
    Passed(Vec<u8>),
    /// A FETCH response.
    Fetched(Vec<u8>),
}

/// What was said of a message that has to be asked for again.
pub(super) struct Held {
    /// What the store said beside the content, as a list.
    pub(super) metadata: Vec<u8>,
    /// What has to be asked for.
    pub(super) depth: Depth,
}

/// Messages that are asked for again, by sequence number or UID as the command has it.
pub(super) type Again = BTreeMap<u32, Held>;

/// What is known of one response before the agent is asked.
pub(super) enum Looked {
    /// Nothing is to be opened.
    Stored,
    /// It is sealed: what was opened of it, or why it was not.
    Sealed(Result<Found, UnsealError>),
    /// It was opened before.
    Known(Known),
    /// The same, the message with it.
    Opened(Opened),
    /// Whether it is sealed has to be asked for.
    Unknown,
}

impl Batch {
    pub(super) fn pass_on(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.octets += bytes.len();
            self.entries.push(Entry::Passed(bytes.to_vec()));
        }
    }

    pub(super) fn add(&mut self, response: Vec<u8>) {
        self.messages += 1;
        self.octets += response.len();
        self.entries.push(Entry::Fetched(response));
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Opens all of it, in threads that may take their time.
    ///
    /// # Errors
    /// Where the lease is lost, or a message cannot be opened now that can be later.
    pub(super) async fn open(
        self,
        fetch: Arc<Fetch>,
        reader: Option<Arc<Reader>>,
        depth: Depth,
        again: Arc<Again>,
    ) -> Result<Done, End> {
        let looking = {
            let (fetch, reader) = (Arc::clone(&fetch), reader.clone());
            spawn_blocking(move || {
                let (mut looked, mut opening) = (Vec::new(), Opening::default());
                for entry in &self.entries {
                    let (seen, reading) = look(entry, &fetch, reader.as_deref(), depth);
                    looked.push(seen);
                    opening.push(reading);
                }
                (self.entries, looked, opening)
            })
        };
        let (entries, mut looked, opening) = looking.await.map_err(|_| panicked())?;
        if let Some(reader) = &reader {
            let opened = opening.open(reader, fetch.is_only_whole()).await?;
            for (looked, opened) in looked.iter_mut().zip(opened) {
                if let Some(found) = opened {
                    *looked = Looked::Sealed(found);
                }
            }
        }
        let showing = spawn_blocking(move || {
            Showing::new(&fetch, reader.as_deref(), depth, &again).all(&entries, looked)
        });
        showing.await.map_err(|_| panicked())
    }
}

/// What a response is, and what is to be opened of it.
fn look(
    entry: &Entry,
    fetch: &Fetch,
    reader: Option<&Reader>,
    depth: Depth,
) -> (Looked, Option<Reading>) {
    let (Entry::Fetched(response), Some(reader)) = (entry, reader) else {
        return (Looked::Stored, None);
    };
    let Some(answer) = fetch.read(without_line_end(response), depth) else {
        return (Looked::Stored, None);
    };
    if depth <= Depth::Listed {
        return (remembered(reader, answer.uid), None);
    }
    match reader.look(&answer) {
        Some(Ok(reading)) => (Looked::Stored, Some(reading)),
        Some(Err(error)) => (Looked::Sealed(Err(error)), None),
        None => (Looked::Stored, None),
    }
}

fn remembered(reader: &Reader, uid: u32) -> Looked {
    let Some(place) = &reader.place else { return Looked::Unknown };
    match place.opened(uid) {
        Some(opened) => Looked::Opened(opened),
        None => place.known(uid).map_or(Looked::Unknown, Looked::Known),
    }
}

pub(super) fn without_line_end(response: &[u8]) -> &[u8] {
    response.strip_suffix(b"\r\n").unwrap_or(response)
}

pub(super) fn panicked() -> End {
    End::Bye("internal error")
}
