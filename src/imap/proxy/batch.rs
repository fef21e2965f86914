//! Some answers of the store's, opened in one go: one question to the agent for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::age::Wrapped;
use crate::agent::identity::Recovered;
use crate::imap::Manner;
use crate::imap::fetch::{Answer, Depth, Fetch};
use crate::imap::view::View;
use crate::seal::{Reading, Ring, SIGNATURE_FIELD, Summary, UnsealError};
use crate::secret::SecretBytes;
use crate::user::User;

use super::Service;
use super::client::End;
use super::fetch::locked;
use super::lease::Lease;
use super::metrics::Shown;

/// Who opens what is sealed.
pub(super) struct Reader {
    pub(super) ring: Arc<Ring>,
    pub(super) names: Arc<[User]>,
    pub(super) lease: Arc<Mutex<Lease>>,
    pub(super) manner: Manner,
    pub(super) service: Arc<Service>,
}

/// Responses in the order in which they came.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<Entry>,
    messages: usize,
    octets: usize,
}

enum Entry {
    /// Passed on as it is, its line end with it.
    Passed(Vec<u8>),
    /// A FETCH response.
    Fetched(Vec<u8>),
}

/// What was said of a message that has to be asked for again.
#[derive(Debug)]
pub(super) struct Held {
    /// What the store said beside the content, as a list.
    metadata: Vec<u8>,
}

/// What came of a batch.
pub(super) struct Done {
    /// What the client is told.
    pub(super) shown: Vec<u8>,
    /// Messages whose body is needed, by sequence number or UID as the command has it.
    pub(super) held: Vec<(u32, Held)>,
    /// Messages that can never be opened, by the same: what the store has of them was not asked for.
    pub(super) damaged: Vec<u32>,
}

/// What became of one response before the agent is asked.
enum Looked {
    /// Nothing to open.
    Shown,
    Sealed(Box<Reading>),
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
    /// Where the lease is lost.
    pub(super) async fn open(
        self,
        fetch: Arc<Fetch>,
        reader: Option<Arc<Reader>>,
        depth: Depth,
        again: Arc<BTreeMap<u32, Held>>,
    ) -> Result<Done, End> {
        let looker = reader.clone();
        let asked = Arc::clone(&fetch);
        let looking = spawn_blocking(move || {
            let looked = look(&self.entries, &asked, looker.as_deref(), depth);
            let stanzas = wanted(&looked);
            (self.entries, looked, stanzas)
        });
        let (entries, looked, stanzas) = looking.await.map_err(|_| panicked())?;
        let recovered = match &reader {
            Some(reader) => reader.recover(&stanzas).await?,
            None => Recovered::default(),
        };
        let showing = spawn_blocking(move || {
            show(&entries, looked, &fetch, reader.as_deref(), depth, &recovered, &again)
        });
        showing.await.map_err(|_| panicked())
    }
}

impl Reader {
    /// Asks the agent for what all these stanzas hold.
    ///
    /// # Errors
    /// Where the lease is lost.
    pub(super) async fn recover(&self, stanzas: &[u8]) -> Result<Recovered, End> {
        if stanzas.is_empty() {
            return Ok(Recovered::default());
        }
        let keys = self.lease.lock().await.recover(stanzas).await.map_err(|_| locked())?;
        Ok(Recovered::new(stanzas, &keys))
    }

    /// Reads the fields of a stored message; `None` where it is not sealed, and an error where it is and can
    /// never be opened.
    pub(super) fn look(&self, answer: &Answer<'_>) -> Option<Result<Reading, UnsealError>> {
        let (ring, names) = (&self.ring, &self.names);
        let head = answer.head.as_deref().or(answer.whole.as_deref())?;
        if !is_signed(head) {
            return None;
        }
        if let Some(stored) = &answer.whole {
            return match Reading::of_stored(stored, ring, names) {
                Err(UnsealError::NotSealed) => None,
                reading => Some(reading),
            };
        }
        let reading = Reading::of_header(head, ring, names);
        Some(match &answer.body {
            Some(body) => reading.and_then(|reading| reading.with_body(body)),
            None => reading,
        })
    }
}

/// Whether there is a field of ours at all: most of the mail of a site that has just begun is plain.
fn is_signed(block: &[u8]) -> bool {
    let end = crate::message::header::end_of_header(block, 0);
    let block = block.get(..end).unwrap_or(block);
    crate::message::header::fields(block).any(|field| field.is(SIGNATURE_FIELD))
}

fn look(entries: &[Entry], fetch: &Fetch, reader: Option<&Reader>, depth: Depth) -> Vec<Looked> {
    let look_at = |entry: &Entry| {
        let (Entry::Fetched(response), Some(reader)) = (entry, reader) else {
            return Looked::Shown;
        };
        let Some(answer) = fetch.read(without_line_end(response), depth) else {
            return Looked::Shown;
        };
        match reader.look(&answer) {
            Some(Ok(reading)) => Looked::Sealed(Box::new(reading)),
            Some(Err(_)) | None => Looked::Shown,
        }
    };
    entries.iter().map(look_at).collect()
}

/// The stanzas that have to be opened, one behind the other.
fn wanted(looked: &[Looked]) -> Vec<u8> {
    let mut stanzas = Vec::new();
    for looked in looked {
        let Looked::Sealed(reading) = looked else { continue };
        stanzas_of(reading, &mut stanzas);
    }
    stanzas
}

/// The stanzas of one message: of its body where that was fetched, else of its summary.
pub(super) fn stanzas_of(reading: &Reading, stanzas: &mut Vec<u8>) {
    let keys = if reading.has_body() { reading.body_keys() } else { reading.summary_keys() };
    for Wrapped(octets) in keys {
        stanzas.extend_from_slice(&octets);
    }
}

#[expect(clippy::too_many_arguments, reason = "what all the answers of a batch share")]
fn show(
    entries: &[Entry],
    looked: Vec<Looked>,
    fetch: &Fetch,
    reader: Option<&Reader>,
    depth: Depth,
    recovered: &Recovered,
    again: &BTreeMap<u32, Held>,
) -> Done {
    let mut done = Done { shown: Vec::new(), held: Vec::new(), damaged: Vec::new() };
    let (mut plain, mut opened, mut as_stored) = (0, 0, 0);
    for (entry, looked) in entries.iter().zip(looked) {
        let response = match entry {
            Entry::Passed(bytes) => {
                done.shown.extend_from_slice(bytes);
                continue;
            }
            Entry::Fetched(response) => response,
        };
        let Some(mut answer) = fetch.read(without_line_end(response), depth) else {
            done.shown.extend_from_slice(response);
            continue;
        };
        let number = fetch.number(&answer);
        let before = again.get(&number);
        if let Some(held) = before {
            // It was a list when it was written.
            let _ = answer.with_metadata(&held.metadata);
        }
        let (Looked::Sealed(mut reading), Some(reader)) = (looked, reader) else {
            if before.is_some() {
                done.damaged.push(number);
            } else {
                plain += 1;
                fetch.write_stored(&answer, depth, &mut done.shown);
            }
            continue;
        };
        let written = open(&mut reading, recovered).map(|Opened { summary, message }| {
            let message = message.as_ref().map(SecretBytes::expose);
            let view = View::new(summary.as_ref()?, message, reader.manner);
            fetch.write_opened(&answer, &view, &mut done.shown).ok()
        });
        match written {
            Ok(Some(())) => opened += 1,
            // The body was not asked for, and is needed.
            Ok(None) if depth < Depth::Body => {
                done.held.push((number, Held { metadata: answer.metadata_list() }));
            }
            _ if before.is_some() => done.damaged.push(number),
            _ => {
                as_stored += 1;
                fetch.write_stored(&answer, depth, &mut done.shown);
            }
        }
    }
    if let Some(reader) = reader {
        let metrics = &reader.service.metrics;
        metrics.shown(Shown::Plain, plain);
        metrics.shown(Shown::Opened, opened);
        metrics.shown(Shown::AsStored, as_stored);
    }
    done
}

struct Opened {
    summary: Option<Summary>,
    message: Option<SecretBytes>,
}

/// Opens what is there: the message where its body was fetched, else the summary. `None` of both where the body has to be fetched first.
fn open(reading: &mut Reading, recovered: &Recovered) -> Result<Opened, UnsealError> {
    let keys = std::slice::from_ref(recovered);
    let message = reading.open_message(keys)?;
    let summary = match &message {
        Some(message) => Some(Summary::of_message(message.expose())),
        None => reading.open_summary(keys)?,
    };
    Ok(Opened { summary, message })
}

fn without_line_end(response: &[u8]) -> &[u8] {
    response.strip_suffix(b"\r\n").unwrap_or(response)
}

fn panicked() -> End {
    End::Bye("internal error")
}
