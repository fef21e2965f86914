//! A message as it arrives: within its limit, within the memory budget, wiped when it is done with.

use std::sync::Arc;
use std::time::Instant;

use crate::delivery::outcome::Outcome;
use crate::delivery::smtp;
use crate::secret::SecretBytes;
use crate::service::memory::{NoMemory, Reserved};

use super::metrics::Metrics;

/// Room for the first octets when nobody said how many there will be.
const FIRST_BYTES: u64 = 16 * 1024;
/// More than is read at once.
const READ_BYTES: u64 = 16 * 1024;
/// What a recipient takes beside its address, in octets.
const RECIPIENT_BYTES: u64 = 512;
/// Recipients for whom nothing is reserved before the message begins.
const FEW_RECIPIENTS: usize = 8;

/// The octets so far.
#[derive(Debug)]
pub(super) struct Incoming {
    reserved: Reserved,
    /// Begins with a `Return-Path` of ours, used unless the message has the same on top.
    octets: SecretBytes,
    own_path: usize,
    received: u64,
    /// What the client said there would be at least; 0 for nothing.
    declared: u64,
    limit: u64,
    /// When the first chunk began to come.
    chunks_since: Option<Instant>,
    recipients: usize,
    problem: Option<Outcome>,
}

impl Incoming {
    /// Nothing yet of a message of at most `limit` octets, for which `declared` were announced.
    pub(super) fn new(reserved: Reserved, sender: &str, declared: u64, limit: u64) -> Self {
        let octets = SecretBytes::from(smtp::return_path(sender).into_bytes());
        let own_path = octets.len();
        Self {
            reserved,
            octets,
            own_path,
            received: 0,
            declared,
            limit,
            chunks_since: None,
            recipients: 0,
            problem: None,
        }
    }

    /// So many octets come next.
    pub(super) fn announce(&mut self, octets: u64) {
        self.declared = self.declared.max(self.received.saturating_add(octets).min(self.limit));
    }

    /// How many octets may still come.
    pub(super) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.received)
    }

    /// Makes room for `more` octets, if there is memory at hand.
    pub(super) fn try_make_room(&mut self, more: usize) -> bool {
        let Some(room) = self.wanted_room(more) else { return true };
        let reserved = self.reserved.try_grow_to(room);
        if reserved {
            self.enlarge(room);
        }
        reserved
    }

    /// The same, and the client waits for it. When it cannot be had in time, the message is deferred.
    pub(super) async fn make_room(&mut self, more: usize, metrics: &Arc<Metrics>) {
        let Some(room) = self.wanted_room(more) else { return };
        let _waiting = metrics.waits();
        match self.reserved.grow_to(room).await {
            Ok(()) => self.enlarge(room),
            Err(NoMemory) => self.fail(Outcome::no_room()),
        }
    }

    /// How many octets there should be room for; `None` when there is enough, or nothing is kept.
    fn wanted_room(&self, more: usize) -> Option<u64> {
        if self.problem.is_some() {
            return None;
        }
        // Never more than the largest message needs: what there is beyond is not kept.
        let most = self.limit + self.own_path as u64;
        let length = self.octets.len() as u64;
        let wanted = (length + more as u64).min(most);
        let has_room = self.octets.room() as u64 >= wanted.saturating_sub(length);
        if self.reserved.is_enough_for(wanted) && has_room {
            return None;
        }
        // What was announced is taken at once: two that hold a half each and wait for the other would
        // wait for each other. So is the end of the data, and what else is read with it at most.
        let announced = self.declared + self.own_path as u64 + READ_BYTES;
        let room = if announced >= wanted { announced } else { length * 2 };
        Some(room.max(FIRST_BYTES).min(most).max(wanted))
    }

    fn enlarge(&mut self, room: u64) {
        let more = room.saturating_sub(self.octets.len() as u64);
        if self.octets.try_reserve(usize::try_from(more).unwrap_or(usize::MAX)).is_err() {
            self.fail(Outcome::out_of_memory());
        }
    }

    /// Makes room for one more recipient, beside the message, if there is memory at hand.
    pub(super) fn try_remember(&mut self, address: &str) -> bool {
        self.recipients += 1;
        self.reserved.keep(beside(address));
        // A few are at home in what every connection takes.
        self.recipients < FEW_RECIPIENTS || self.reserved.try_grow_to(0)
    }

    /// Waits for the room that [`Self::try_remember`] did not find; whether there is any in the end.
    pub(super) async fn wait_to_remember(&mut self, metrics: &Arc<Metrics>) -> bool {
        let _waiting = metrics.waits();
        self.reserved.grow_to(0).await.is_ok()
    }

    /// A recipient was not accepted: his room is the next one's.
    pub(super) fn forget(&mut self, address: &str) {
        self.recipients -= 1;
        self.reserved.keep_no_more(beside(address));
    }

    /// Takes octets for which there is room.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.received = self.received.saturating_add(octets.len() as u64);
        if self.problem.is_some() {
            return;
        }
        if self.received > self.limit {
            self.fail(Outcome::too_large(self.limit));
        } else if self.octets.try_push(octets).is_err() {
            self.fail(Outcome::out_of_memory());
        }
    }

    fn fail(&mut self, outcome: Outcome) {
        self.problem = Some(outcome);
        self.wipe();
        // Others may need it while the rest is read.
        self.reserved.give_back();
    }

    /// A chunk of it came by BDAT that `began` then; gives back when the first one did.
    pub(super) fn chunk_began(&mut self, began: Instant) -> Instant {
        *self.chunks_since.get_or_insert(began)
    }

    /// Whether it comes by BDAT.
    pub(super) fn has_chunks(&self) -> bool {
        self.chunks_since.is_some()
    }

    /// Why it cannot be delivered to anybody.
    pub(super) fn problem(&self) -> Option<&Outcome> {
        self.problem.as_ref()
    }

    /// How many octets came.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.received).unwrap_or(usize::MAX)
    }

    /// The message as it came.
    pub(super) fn as_it_came(&self) -> &[u8] {
        self.octets.expose().get(self.own_path..).unwrap_or_default()
    }

    /// The message with its `Return-Path`, which the store must not learn and its owner wants to know.
    /// What its author put there is no proof of where it came from.
    pub(super) fn with_return_path(&self) -> &[u8] {
        let message = self.as_it_came();
        let own = self.octets.expose().get(..self.own_path).unwrap_or_default();
        let first = message.get(..self.own_path).unwrap_or_default();
        if first.eq_ignore_ascii_case(own) { message } else { self.octets.expose() }
    }

    /// Wipes it: nobody needs it in the clear any more.
    pub(super) fn wipe(&mut self) {
        self.octets = SecretBytes::default();
    }
}

/// What a recipient takes beside the message, in octets.
fn beside(address: &str) -> u64 {
    RECIPIENT_BYTES + 2 * address.len() as u64
}
