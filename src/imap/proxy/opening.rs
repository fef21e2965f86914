//! Sealed messages on their way to be read: what each holds is asked of the agent for all of them together,
//! and what was sealed again inside of them a second time (it was delivered twice, or sent on as it lay).

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::agent::identity::Recovered;
use crate::seal::{Body, Reading, Summary, UnsealError};
use crate::secret::SecretBytes;

use super::batch::panicked;
use super::client::End;
use super::reader::{Reader, is_signed, stanzas_of};

/// So many layers are taken off; what lies deeper is shown as it is.
const MAX_LAYERS: usize = 4;

/// A message's summary and, where it was fetched, the message. Neither where the body has to be fetched.
pub(super) type Found = (Option<Arc<Summary>>, Option<Arc<SecretBytes>>);

/// Messages that are being opened, in the order in which they came.
#[derive(Default)]
pub(super) struct Opening {
    messages: Vec<Option<State>>,
    stanzas: Vec<u8>,
}

enum State {
    /// It is sealed; what was around it is shown where it cannot be opened.
    Sealed(Box<Reading>, Option<Found>),
    Done(Result<Found, UnsealError>),
}

impl Opening {
    /// Takes a message; `None` keeps the place of one that is not to be opened.
    pub(super) fn push(&mut self, reading: Option<Reading>) {
        if let Some(reading) = &reading {
            stanzas_of(reading, &mut self.stanzas);
        }
        self.messages.push(reading.map(|reading| State::Sealed(Box::new(reading), None)));
    }

    /// Opens all of them. Of each message only the size is summed up where `only_message` is wanted.
    ///
    /// # Errors
    /// Where the lease is lost, or a message cannot be opened now that can be later.
    pub(super) async fn open(
        mut self,
        reader: &Arc<Reader>,
        only_message: bool,
    ) -> Result<Vec<Option<Result<Found, UnsealError>>>, End> {
        let mut layer = 1;
        while self.messages.iter().flatten().any(|state| matches!(state, State::Sealed(..))) {
            let recovered = reader.recover(&self.stanzas).await?;
            let (reader, is_last) = (Arc::clone(reader), layer == MAX_LAYERS);
            let opened = spawn_blocking(move || {
                self.peel(&reader, &recovered, only_message, is_last).map(|()| self)
            });
            self = opened.await.map_err(|_| panicked())??;
            layer += 1;
        }
        let done = |state: Option<State>| match state {
            Some(State::Done(found)) => Some(found),
            Some(State::Sealed(..)) | None => None,
        };
        Ok(self.messages.into_iter().map(done).collect())
    }

    /// Takes one layer off each.
    fn peel(
        &mut self,
        reader: &Reader,
        recovered: &Recovered,
        only_message: bool,
        is_last: bool,
    ) -> Result<(), End> {
        self.stanzas.clear();
        for place in &mut self.messages {
            let (mut reading, around) = match place.take() {
                Some(State::Sealed(reading, around)) => (reading, around),
                other => {
                    *place = other;
                    continue;
                }
            };
            let found = match (open(&mut reading, recovered, reader.most, only_message), around) {
                (Err(error), around) => {
                    reader.is_for_good(&error, reading.sealed_at())?;
                    around.ok_or(error)
                }
                // The body has to be fetched, for whatever is inside.
                (Ok(found), _) => Ok(found),
            };
            let inner =
                found.as_ref().ok().filter(|_| !is_last).and_then(|found| inside(found, reader));
            *place = Some(match (inner, found) {
                (Some(inner), Ok(found)) => {
                    stanzas_of(&inner, &mut self.stanzas);
                    State::Sealed(Box::new(inner), Some(found))
                }
                (_, found) => State::Done(found),
            });
        }
        Ok(())
    }
}

/// Opens what is there: the message where its body was fetched, else the summary.
fn open(
    reading: &mut Reading,
    recovered: &Recovered,
    most: u64,
    only_message: bool,
) -> Result<Found, UnsealError> {
    let keys = std::slice::from_ref(recovered);
    let message = reading.take_body(keys, most)?.map(Body::open).transpose()?;
    let summary = match &message {
        // Nobody looks into it.
        Some(message) if only_message => Some(Summary::of_size(message.len())),
        Some(message) => Some(Summary::of_message(message.expose())),
        None => reading.open_summary(keys)?,
    };
    Ok((summary.map(Arc::new), message.map(Arc::new)))
}

/// What this site has sealed for the same user inside of what was opened.
fn inside((summary, message): &Found, reader: &Reader) -> Option<Reading> {
    let (ring, names) = (&reader.ring, &reader.names);
    match (message, summary) {
        (Some(message), _) if is_signed(message.expose()) => {
            Reading::of_stored(message.expose(), ring, names).ok()
        }
        (None, Some(summary)) if summary.is_outer() && is_signed(summary.header()) => {
            Reading::of_header(summary.header(), ring, names).ok()
        }
        _ => None,
    }
}
