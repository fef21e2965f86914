//! Memory for messages that are being opened: what a batch of them has, and what it may wait for.

use tokio::sync::watch;

use crate::service::turn::Hold;

use super::backend::{Backend, FREE_BYTES};
use super::client::{End, NO_MEMORY};

/// Messages that are opened while the next ones are read, at most, and octets of what the store says of them.
const MAX_MESSAGES: usize = 200;
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// What is read of the store is counted in steps of so many octets.
const STEP_BYTES: u64 = 512 * 1024;
/// Octets that are opened are there as often: as a message and as what the client is told, of what is sent
/// and of what is opened meanwhile.
const COPIES: u64 = 4;

/// Why no more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// It is worth while to open what there is.
    Enough,
    /// There is no memory for more.
    Short,
}

/// What one batch has of the memory.
pub(super) struct Room {
    hold: Hold,
    messages: usize,
    octets: u64,
    /// What these answers of the store's take.
    read: u64,
    /// Whether nothing that is older waits to be shown: it might never be, while this waits.
    is_first: Option<watch::Receiver<bool>>,
}

impl Room {
    /// Nothing yet.
    pub(super) fn new(hold: Hold) -> Self {
        Self { hold, messages: 0, octets: 0, read: 0, is_first: None }
    }

    /// Nothing yet, for the same reader.
    pub(super) fn another(&self) -> Self {
        Self::new(self.hold.another())
    }

    /// Counts octets that the store has said.
    pub(super) fn count(&mut self, octets: usize) {
        self.octets += octets as u64;
        self.read += Backend::needed(octets);
    }

    /// Counts a message, and takes over the memory that the answer has.
    pub(super) fn count_message(&mut self, octets: usize, hold: Option<Hold>) {
        self.messages += 1;
        self.count(octets);
        if let Some(hold) = hold {
            self.hold.join(hold);
        }
    }

    /// Whether what was read is to be opened before more is.
    pub(super) fn is_full(&mut self) -> Option<Full> {
        let needed = self.read.next_multiple_of(STEP_BYTES);
        if self.hold.has_turn() || self.read > FREE_BYTES as u64 && !self.hold.try_have(needed) {
            return Some(Full::Short);
        }
        let is_enough = self.messages >= MAX_MESSAGES || self.octets >= MAX_BYTES;
        is_enough.then_some(Full::Enough)
    }

    /// Does not wait for memory before it is told that nothing older waits.
    pub(super) fn wait_for(&mut self, is_first: watch::Receiver<bool>) {
        self.is_first = Some(is_first);
    }

    /// Sees to it that there is room for so many octets to be opened.
    ///
    /// # Errors
    /// Where there is none for too long.
    pub(super) async fn have(&mut self, octets: u64) -> Result<(), End> {
        let needed = self.read.saturating_add(octets.saturating_mul(COPIES));
        if needed <= FREE_BYTES as u64 || self.hold.try_have(needed) {
            return Ok(());
        }
        if let Some(is_first) = &mut self.is_first {
            is_first.wait_for(|is_first| *is_first).await.map_err(|_| End::Gone)?;
        }
        self.hold.have(needed).await.map_err(|_| End::Bye(NO_MEMORY))
    }

    /// Keeps no more than `octets`, while they are sent.
    pub(super) fn settle(&mut self, octets: u64) {
        self.read = octets;
        self.hold.settle(octets);
    }
}
