//! Some answers of the store's, opened in one go: one question to the agent for all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::imap::fetch::{Depth, Fetch};
use crate::seal::{Reading, UnsealError};
use crate::service::turn::Hold;

use super::cache::{Known, Opened};
use super::client::End;
use super::opening::{Found, Opening, Wanted};
use super::reader::Reader;
use super::room::{Full, Room};
use super::show::{Done, Showing};

/// Of a sealed message whose answer is longer, nothing is kept but what was sealed.
const LONG_BYTES: usize = 256 * 1024;

/// Responses in the order in which they came.
pub(super) struct Batch {
    entries: Vec<Entry>,
    room: Room,
}

/// One response.
pub(super) enum Entry {
    /// Passed on as it is, its line end with it.
    Passed(Vec<u8>),
    /// A FETCH response.
    Fetched(Vec<u8>),
    /// A FETCH response without what was sealed in it.
    Cut(Vec<u8>),
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

/// What a batch is opened for.
#[derive(Clone)]
pub(super) struct Purpose {
    pub(super) fetch: Arc<Fetch>,
    pub(super) reader: Option<Arc<Reader>>,
    pub(super) depth: Depth,
    pub(super) again: Arc<Again>,
}

/// A batch that is being opened: its parts in their order. Nobody opens what nobody waits for.
pub(super) struct Parts {
    parts: mpsc::Receiver<Done>,
    is_first: watch::Sender<bool>,
    opening: JoinHandle<Result<(), End>>,
}

impl Batch {
    /// None yet.
    pub(super) fn new(room: Room) -> Self {
        Self { entries: Vec::new(), room }
    }

    /// Takes the responses out, and is empty again.
    pub(super) fn take(&mut self) -> Self {
        let next = Self::new(self.room.another());
        std::mem::replace(self, next)
    }

    pub(super) fn pass_on(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.room.count(bytes.len());
            self.entries.push(Entry::Passed(bytes.to_vec()));
        }
    }

    /// Takes a response, and the memory that it has.
    pub(super) fn add(&mut self, response: Vec<u8>, hold: Option<Hold>) {
        self.room.count_message(response.len(), hold);
        self.entries.push(Entry::Fetched(response));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it is to be opened before more is read.
    pub(super) fn is_full(&mut self) -> Option<Full> {
        self.room.is_full()
    }

    /// Begins to open all of it, in threads that may take their time.
    pub(super) fn open(mut self, purpose: Purpose) -> Parts {
        let (sender, parts) = mpsc::channel(1);
        let (is_first, told) = watch::channel(false);
        self.room.wait_for(told);
        Parts { parts, is_first, opening: tokio::spawn(self.opened(purpose, sender)) }
    }

    async fn opened(self, purpose: Purpose, parts: mpsc::Sender<Done>) -> Result<(), End> {
        let (mut room, mut entries) = (self.room, self.entries);
        let (looking, wanted) = (purpose.clone(), purpose.wanted());
        let looked = spawn_blocking(move || {
            let (mut looked, mut opening) = (VecDeque::new(), Opening::default());
            for entry in &mut entries {
                let (seen, reading) = look(entry, &looking);
                looked.push_back(seen);
                opening.push(reading);
            }
            (entries, looked, opening)
        });
        let (mut entries, mut looked, mut opening) = looked.await.map_err(|_| panicked())?;
        // What may still be on its way to the client.
        let mut before = 0;
        while !entries.is_empty() {
            let results;
            (results, opening) = match &purpose.reader {
                Some(reader) => opening.some(reader, wanted, &mut room).await?,
                None => (entries.iter().map(|_| None).collect(), opening),
            };
            let later = entries.split_off(results.len().min(entries.len()));
            let these = std::mem::replace(&mut entries, later);
            let seen = looked.drain(..these.len().min(looked.len())).zip(results);
            let seen = seen.map(|(seen, result)| result.map_or(seen, Looked::Sealed)).collect();
            let showing = purpose.clone();
            let shown = spawn_blocking(move || Showing::new(&showing).all(&these, seen));
            let mut done = shown.await.map_err(|_| panicked())?;
            // All but the last part was sent by then.
            let Ok(place) = parts.reserve().await else { break };
            let octets = done.octets();
            if entries.is_empty() {
                room.settle(octets + before);
                done.room = Some(room);
                place.send(done);
                break;
            }
            before = octets;
            place.send(done);
        }
        Ok(())
    }
}

impl Purpose {
    fn wanted(&self) -> Wanted {
        if self.fetch.is_only_whole() { Wanted::Whole } else { Wanted::Listed }
    }
}

impl Parts {
    /// The next part; `None` behind the last. Nothing that is older waits to be shown.
    ///
    /// # Errors
    /// Where the lease is lost, or a message cannot be opened now that can be later.
    pub(super) async fn next(&mut self) -> Result<Option<Done>, End> {
        self.is_first.send_replace(true);
        match self.parts.recv().await {
            Some(done) => Ok(Some(done)),
            None => (&mut self.opening).await.unwrap_or_else(|_| Err(panicked())).map(|()| None),
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.opening.abort();
    }
}

/// What a response is, and what is to be opened of it.
fn look(entry: &mut Entry, purpose: &Purpose) -> (Looked, Option<Reading>) {
    let (Entry::Fetched(response), Some(reader)) = (&*entry, purpose.reader.as_deref()) else {
        return (Looked::Stored, None);
    };
    let depth = purpose.depth;
    let Some(answer) = purpose.fetch.read(without_line_end(response), depth) else {
        return (Looked::Stored, None);
    };
    if depth <= Depth::Listed {
        return (remembered(reader, answer.uid), None);
    }
    match reader.look(&answer) {
        Some(Ok(reading)) => {
            if response.len() > LONG_BYTES {
                let cut = answer.without_content(depth);
                *entry = Entry::Cut(cut);
            }
            (Looked::Stored, Some(reading))
        }
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
