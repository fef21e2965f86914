//! Sealed messages on their way to be read: what each holds is asked of the agent for all of them together,
//! and what was sealed again inside of them a second time (it was delivered twice, or sent on as it lay).
//! They are opened some at a time, as memory allows.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::agent::identity::Recovered;
use crate::seal::{Body, Reading, Summary, UnsealError};
use crate::secret::SecretBytes;

use super::batch::panicked;
use super::client::End;
use super::reader::{Reader, is_signed, stanzas_of};
use super::room::Room;

/// So many layers are taken off; what lies deeper is shown as it is.
const MAX_LAYERS: usize = 4;
/// Messages of more octets than this are not opened together with others.
const GROUP_BYTES: u64 = 4 * 1024 * 1024;
/// A message of more octets is given out as it is opened, where that will do.
const LARGE_BYTES: u64 = 1024 * 1024;

/// What was opened of a message. Nothing, where its body has to be fetched.
#[derive(Default)]
pub(super) struct Found {
    pub(super) summary: Option<Arc<Summary>>,
    pub(super) message: Option<Arc<SecretBytes>>,
    /// Instead of the message: all of it was read once, so that it can be given out.
    pub(super) large: Option<Body>,
}

/// What is wanted of messages whose bodies were fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Their octets in memory.
    Message,
    /// The same, and what a listing shows of them.
    Listed,
    /// Their octets from the first to the last, in memory or not.
    Whole,
}

/// What came of each message: `None` where it was not to be opened.
pub(super) type Results = Vec<Option<Result<Found, UnsealError>>>;

/// Messages that are being opened, in the order in which they came.
#[derive(Default)]
pub(super) struct Opening {
    messages: VecDeque<Option<State>>,
    stanzas: Vec<u8>,
    recovered: Recovered,
}

enum State {
    Sealed(Box<Sealed>),
    Done(Result<Found, UnsealError>),
}

/// It is sealed.
struct Sealed {
    reading: Reading,
    /// What was around it is shown where it cannot be opened.
    around: Option<Found>,
    /// Whether it has to be opened in memory, although it is large.
    is_whole: bool,
    /// How many layers there are with this one.
    layer: usize,
}

impl Opening {
    /// Takes a message; `None` keeps the place of one that is not to be opened.
    pub(super) fn push(&mut self, reading: Option<Reading>) {
        if let Some(reading) = &reading {
            stanzas_of(reading, &mut self.stanzas);
        }
        let sealed = |reading| Sealed { reading, around: None, is_whole: false, layer: 1 };
        self.messages.push_back(reading.map(|reading| State::Sealed(Box::new(sealed(reading)))));
    }

    /// Whether all were opened.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Asks the agent for what all of them hold.
    ///
    /// # Errors
    /// Where the lease is lost.
    async fn ask(&mut self, reader: &Reader) -> Result<(), End> {
        self.recovered.join(reader.recover(&self.stanzas).await?);
        self.stanzas.clear();
        Ok(())
    }

    /// Opens some of the first that are left, as many as go together. None, where the first is found to need
    /// memory that it has to wait for: the next time it has it.
    ///
    /// # Errors
    /// Where the lease is lost, or a message cannot be opened now that can be later.
    pub(super) async fn some(
        mut self,
        reader: &Arc<Reader>,
        wanted: Wanted,
        room: &mut Room,
    ) -> Result<(Results, Self), End> {
        let (count, octets) = self.together(wanted);
        room.have(octets).await?;
        let mut group: Vec<Option<State>> = self.messages.drain(..count).collect();
        while group.iter().flatten().any(|state| matches!(state, State::Sealed(_))) {
            self.ask(reader).await?;
            let reader = Arc::clone(reader);
            let opened = spawn_blocking(move || {
                let reached = self.peel(&mut group, &reader, wanted);
                reached.map(|reached| (reached, group, self))
            });
            let reached;
            (reached, group, self) = opened.await.map_err(|_| panicked())??;
            for left in group.drain(reached..).rev() {
                self.messages.push_front(left);
            }
        }
        let done = |state: Option<State>| match state {
            Some(State::Done(found)) => Some(found),
            Some(State::Sealed(_)) | None => None,
        };
        Ok((group.into_iter().map(done).collect(), self))
    }

    /// How many of the first messages are opened together, and how many octets they are then.
    fn together(&self, wanted: Wanted) -> (usize, u64) {
        let mut octets: u64 = 0;
        for (count, state) in self.messages.iter().enumerate() {
            let more = match state {
                Some(State::Sealed(sealed)) => sealed.octets(wanted),
                Some(State::Done(_)) | None => 0,
            };
            if count > 0 && octets.saturating_add(more) > GROUP_BYTES {
                return (count, octets);
            }
            octets = octets.saturating_add(more);
        }
        (self.messages.len(), octets)
    }

    /// Takes one layer off each, up to one that has to wait; how many these are.
    fn peel(
        &mut self,
        group: &mut [Option<State>],
        reader: &Reader,
        wanted: Wanted,
    ) -> Result<usize, End> {
        let mut octets = 0;
        for (reached, place) in group.iter_mut().enumerate() {
            let mut sealed = match place.take() {
                Some(State::Sealed(sealed)) => sealed,
                other => {
                    *place = other;
                    continue;
                }
            };
            // Nobody knows before how large a summary is.
            let found = match octets > 2 * GROUP_BYTES {
                true => Ok(None),
                false => open(&mut sealed, &self.recovered, reader.most, wanted),
            };
            let found = match found {
                Ok(None) => {
                    *place = Some(State::Sealed(sealed));
                    return Ok(reached);
                }
                // The body may have to be fetched, for whatever is inside.
                Ok(Some(found)) => Ok(found),
                Err(error) => {
                    reader.is_for_good(&error, sealed.reading.sealed_at())?;
                    sealed.around.ok_or(error)
                }
            };
            octets += found.as_ref().map_or(0, Found::octets);
            let layer = sealed.layer + 1;
            let opened = found.as_ref().ok().filter(|_| layer <= MAX_LAYERS);
            let inner = opened.and_then(|found| inside(found, reader));
            *place = Some(match (inner, found) {
                (Some(reading), Ok(found)) => {
                    stanzas_of(&reading, &mut self.stanzas);
                    let around = Some(found);
                    State::Sealed(Box::new(Sealed { reading, around, is_whole: true, layer }))
                }
                (_, found) => State::Done(found),
            });
        }
        Ok(group.len())
    }
}

impl Sealed {
    fn is_given_out(&self, wanted: Wanted) -> bool {
        wanted == Wanted::Whole && !self.is_whole && self.reading.size() > LARGE_BYTES
    }

    /// How many octets it is in memory, as far as that is known.
    fn octets(&self, wanted: Wanted) -> u64 {
        let is_in_memory = self.reading.has_body() && !self.is_given_out(wanted);
        if is_in_memory { self.reading.size() } else { 0 }
    }
}

impl Found {
    fn octets(&self) -> u64 {
        let message = self.message.as_ref().map_or(0, |message| message.len());
        let summary = self.summary.as_ref().map_or(0, |summary| summary.octets());
        (message + summary) as u64
    }
}

/// Opens what is there: the message where its body was fetched, else the summary. `None` where it has to be
/// opened in memory after all, for which there may be no room.
fn open(
    sealed: &mut Sealed,
    recovered: &Recovered,
    most: u64,
    wanted: Wanted,
) -> Result<Option<Found>, UnsealError> {
    let keys = std::slice::from_ref(recovered);
    let is_given_out = sealed.is_given_out(wanted);
    let Some(body) = sealed.reading.take_body(keys, most)? else {
        let summary = sealed.reading.open_summary(keys)?.map(Arc::new);
        return Ok(Some(Found { summary, ..Found::default() }));
    };
    if is_given_out {
        if is_signed(body.check()?.expose()) {
            sealed.reading.put_back(body);
            sealed.is_whole = true;
            return Ok(None);
        }
        let summary = Some(Arc::new(Summary::of_size(body.size())));
        return Ok(Some(Found { summary, message: None, large: Some(body) }));
    }
    let message = body.open()?;
    let summary = match wanted {
        Wanted::Listed => Summary::of_message(message.expose()),
        // Nobody looks into it.
        Wanted::Message | Wanted::Whole => Summary::of_size(message.len() as u64),
    };
    let (summary, message) = (Some(Arc::new(summary)), Some(Arc::new(message)));
    Ok(Some(Found { summary, message, large: None }))
}

/// What this site has sealed for the same user inside of what was opened.
fn inside(found: &Found, reader: &Reader) -> Option<Reading> {
    let (ring, names) = (&reader.ring, &reader.names);
    match (&found.message, &found.summary) {
        (Some(message), _) if is_signed(message.expose()) => {
            Reading::of_stored(message.expose(), ring, names).ok()
        }
        (None, Some(summary)) if summary.is_outer() && is_signed(summary.header()) => {
            Reading::of_header(summary.header(), ring, names).ok()
        }
        _ => None,
    }
}
