//! Who opens what is sealed: which signatures count, the lease, and what was opened before.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::age::Wrapped;
use crate::agent::identity::Recovered;
use crate::imap::Manner;
use crate::imap::answer::Answer;
use crate::message::header;
use crate::seal::{Reading, Ring, SIGNATURE_FIELD, UnsealError};
use crate::user::User;

use super::Service;
use super::cache::Place;
use super::client::End;
use super::lease::Lease;
use super::session::{CHANGED, LOCKED};

/// A user whose keys are there.
pub(super) struct Reader {
    pub(super) ring: Arc<Ring>,
    pub(super) names: Arc<[User]>,
    pub(super) lease: Arc<Mutex<Lease>>,
    /// When the agent gave the keys, in seconds since 1970.
    pub(super) since: u64,
    /// The largest original that is opened, in octets.
    pub(super) most: u64,
    pub(super) manner: Manner,
    pub(super) service: Arc<Service>,
    /// What is kept of the mailbox.
    pub(super) place: Option<Place>,
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
        let keys = self.lease.lock().await.recover(stanzas).await;
        Ok(Recovered::new(stanzas, &keys.map_err(|_| End::Bye(LOCKED))?))
    }

    /// Whether what could not be opened never will be, so that it is shown as it is stored: a client keeps
    /// that for ever.
    ///
    /// # Errors
    /// Where it was sealed after the agent gave the keys, and to others: those of the next login. Where there
    /// is no memory.
    pub(super) fn is_for_good(&self, error: &UnsealError, sealed_at: u64) -> Result<(), End> {
        match error {
            UnsealError::OtherKey if sealed_at >= self.since => Err(End::Bye(CHANGED)),
            UnsealError::OutOfMemory => Err(End::Bye("out of memory")),
            _ => Ok(()),
        }
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
pub(super) fn is_signed(block: &[u8]) -> bool {
    let block = block.get(..header::end_of_header(block, 0)).unwrap_or(block);
    header::fields(block).any(|field| field.is(SIGNATURE_FIELD))
}

/// The stanzas of one message: of its body where that was fetched, else of its summary.
pub(super) fn stanzas_of(reading: &Reading, stanzas: &mut Vec<u8>) {
    let keys = if reading.has_body() { reading.body_keys() } else { reading.summary_keys() };
    for Wrapped(octets) in keys {
        stanzas.extend_from_slice(&octets);
    }
}
