//! Some answers of the store's, opened in one go: one question to the agent for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::agent::identity::Recovered;
use crate::imap::fetch::{Depth, Fetch};
use crate::seal::Reading;

use super::cache::{Known, Opened};
use super::client::End;
use super::reader::{Reader, stanzas_of};
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
#[derive(Debug)]
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
    /// It is sealed.
    Sealed(Box<Reading>),
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
                let looked = look(&self.entries, &fetch, reader.as_deref(), depth);
                let mut stanzas = Vec::new();
                for looked in &looked {
                    if let Looked::Sealed(reading) = looked {
                        stanzas_of(reading, &mut stanzas);
                    }
                }
                (self.entries, looked, stanzas)
            })
        };
        let (entries, looked, stanzas) = looking.await.map_err(|_| panicked())?;
        let recovered = match &reader {
            Some(reader) => reader.recover(&stanzas).await?,
            None => Recovered::default(),
        };
        let showing = spawn_blocking(move || {
            Showing::new(&fetch, reader.as_deref(), depth, &recovered, &again).all(&entries, looked)
        });
        showing.await.map_err(|_| panicked())?
    }
}

fn look(entries: &[Entry], fetch: &Fetch, reader: Option<&Reader>, depth: Depth) -> Vec<Looked> {
    let look_at = |entry: &Entry| {
        let (Entry::Fetched(response), Some(reader)) = (entry, reader) else {
            return Looked::Stored;
        };
        let Some(answer) = fetch.read(without_line_end(response), depth) else {
            return Looked::Stored;
        };
        if depth <= Depth::Listed {
            return remembered(reader, answer.uid);
        }
        match reader.look(&answer) {
            Some(Ok(reading)) => Looked::Sealed(Box::new(reading)),
            Some(Err(_)) | None => Looked::Stored,
        }
    };
    entries.iter().map(look_at).collect()
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
