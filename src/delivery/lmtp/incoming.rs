//! A message as it arrives: within its limit, within the memory budget, wiped when it is done with.

use std::any::Any;
use std::sync::Arc;

use crate::delivery::outcome::Outcome;
use crate::delivery::smtp;
use crate::secret::SecretBytes;

use super::memory::Reserved;
use super::metrics::Metrics;

/// Room for the first octets when nobody said how many there will be.
const FIRST_BYTES: u64 = 16 * 1024;
/// As much room as is believed at first; more when the octets are really there.
const BELIEVED_BYTES: u64 = 4 * 1024 * 1024;
const RETURN_PATH: &[u8] = b"Return-Path:";

/// The octets so far.
#[derive(Debug)]
pub(super) struct Incoming {
    reserved: Reserved,
    /// Begins with a `Return-Path` of ours, used unless the message has one on top.
    octets: SecretBytes,
    own_path: usize,
    received: u64,
    /// What the client said there would be; 0 for nothing.
    declared: u64,
    limit: u64,
    has_chunks: bool,
    problem: Option<Outcome>,
}

impl Incoming {
    /// Nothing yet of a message of at most `limit` octets, for which `declared` were announced.
    pub(super) fn new(reserved: Reserved, sender: &str, declared: u64, limit: u64) -> Self {
        let path = smtp::path(sender).unwrap_or_default();
        let octets = SecretBytes::from(format!("Return-Path: <{path}>\r\n").into_bytes());
        let own_path = octets.len();
        Self {
            reserved,
            octets,
            own_path,
            received: 0,
            declared,
            limit,
            has_chunks: false,
            problem: None,
        }
    }

    /// How many octets may still come.
    pub(super) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.received)
    }

    /// Reserves memory for `more` octets; the client waits as long as that takes.
    pub(super) async fn make_room(&mut self, more: usize, metrics: &Arc<Metrics>) {
        if self.problem.is_some() {
            return;
        }
        // Never more than the largest message needs: what there is beyond is not kept.
        let most = self.limit + self.own_path as u64;
        let wanted = (self.octets.len() as u64 + more as u64).min(most);
        let free = self.octets.room() as u64;
        if self.reserved.is_enough_for(wanted) && free >= wanted - self.octets.len() as u64 {
            return;
        }
        let announced = self.declared + self.own_path as u64 + 2;
        let mut room = match self.received {
            0 => announced.clamp(FIRST_BYTES, BELIEVED_BYTES),
            _ => self.octets.len() as u64 * 2,
        };
        if announced >= wanted {
            room = room.min(announced);
        }
        self.make_exact_room(room.min(most).max(wanted), metrics).await;
    }

    async fn make_exact_room(&mut self, room: u64, metrics: &Arc<Metrics>) {
        let waiting = || -> Box<dyn Any + Send> { Box::new(metrics.waits()) };
        let reserved = self.reserved.grow_to(room, waiting).await;
        let more = room.saturating_sub(self.octets.len() as u64);
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        if reserved.is_err() || self.octets.try_reserve(more).is_err() {
            self.fail(Outcome::out_of_memory());
        }
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

    /// The message came by BDAT.
    pub(super) fn began_with_chunks(&mut self) {
        self.has_chunks = true;
    }

    /// Whether it does.
    pub(super) fn has_chunks(&self) -> bool {
        self.has_chunks
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
    pub(super) fn with_return_path(&self) -> &[u8] {
        let message = self.as_it_came();
        let first = message.get(..RETURN_PATH.len()).unwrap_or_default();
        if first.eq_ignore_ascii_case(RETURN_PATH) { message } else { self.octets.expose() }
    }

    /// Wipes it: nobody needs it in the clear any more.
    pub(super) fn wipe(&mut self) {
        self.octets = SecretBytes::default();
    }
}
