//! A message that has arrived: sealed for each recipient, handed over, answered for.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::delivery::Decision;
use crate::delivery::next_hop::Letter;
use crate::delivery::next_hop::lmtp::Recipient;
use crate::delivery::outcome::Outcome;
use crate::keys::public::PublicHalf;
use crate::seal::{Draft, SealedMessage};
use crate::sys::clock;
use crate::user::User;

use super::incoming::Incoming;
use super::metrics::Step;
use super::transaction::{Readied, Sender};
use super::way::Way;

/// Work on a message from this size on is left to a thread that may be busy for a while.
const LARGE_BYTES: usize = 128 * 1024;

/// A message on its way to each recipient.
pub(super) struct Delivering {
    pub(super) way: Way,
    sender: Sender,
    recipients: VecDeque<(Recipient, Decision)>,
    incoming: Incoming,
    readied: Option<Readied>,
    /// For how many it is still to be sealed.
    seals: usize,
    draft: Option<Result<Draft, Outcome>>,
    /// What became of it for those who share the message as it came, with the octets that the store has
    /// of it; `None` as long as it is there in the clear.
    passed: Option<VecDeque<(Outcome, u64)>>,
}

impl Delivering {
    pub(super) fn new(
        way: Way,
        sender: Sender,
        recipients: VecDeque<(Recipient, Decision)>,
        incoming: Incoming,
        readied: Option<Readied>,
    ) -> Self {
        let seals = recipients.iter().filter(|(_, decision)| decision.seals()).count();
        let (draft, passed) = (None, None);
        Self { way, sender, recipients, incoming, readied, seals, draft, passed }
    }

    /// Whether everybody was answered for.
    pub(super) fn is_done(&self) -> bool {
        self.recipients.is_empty()
    }

    /// Delivers to the next recipient; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        if self.passed.is_none() && self.incoming.problem().is_none() {
            self.use_up().await;
        }
        let (recipient, mut decision) = self.recipients.pop_front()?;
        let (outcome, octets) = match self.incoming.problem() {
            Some(problem) => (problem.clone(), 0),
            None => {
                if decision.seals() {
                    self.seals -= 1;
                    decision = self.still(&recipient, decision);
                }
                self.deliver(&recipient, &decision).await
            }
        };
        self.way.report(&recipient, decision.user(), &outcome, self.incoming.size(), octets);
        Some(outcome)
    }

    /// Everything for which the message is needed in the clear: it is parsed and compressed for those
    /// it is sealed for, handed over once for all whose mail is passed as it came, and wiped.
    async fn use_up(&mut self) {
        let passed: Vec<Recipient> = self
            .recipients
            .iter()
            .filter(|(_, decision)| decision.passes())
            .map(|(recipient, _)| recipient.clone())
            .collect();
        match self.recipients.front() {
            Some((first, Decision::Seal(..))) if passed.is_empty() => self.way.foresee(first).await,
            _ => {}
        }
        self.draft();
        let mut outcomes = VecDeque::new();
        if !passed.is_empty() {
            let message = self.incoming.as_it_came();
            let Sender { path: sender, utf8 } = &self.sender;
            let still = self.way.still_passes(&passed);
            let letter = Letter::Plain { sender, utf8: *utf8, message, still: &still };
            let handed = self.way.hand_over(&passed, &letter).await;
            // The store has one for all of them.
            let mut octets = handed.octets;
            outcomes.extend(handed.answers.into_iter().map(|answer| match answer {
                Ok(()) => (Outcome::passed(), std::mem::take(&mut octets)),
                Err(refusal) => (Outcome::from_next_hop(refusal.without(sender)), 0),
            }));
        }
        self.passed = Some(outcomes);
        self.incoming.wipe();
    }

    /// The decision to seal as it is now, where the one that was made is too old: the key may be
    /// another one.
    fn still(&self, recipient: &Recipient, decision: Decision) -> Decision {
        if !self.way.is_outdated() {
            return decision;
        }
        match self.way.decide(&recipient.address) {
            Decision::Pass(_) => Decision::Refuse(Outcome::decided_otherwise()),
            decision => decision,
        }
    }

    /// What became of it for one recipient, and how many octets the store has of it.
    async fn deliver(&mut self, recipient: &Recipient, decision: &Decision) -> (Outcome, u64) {
        match decision {
            Decision::Refuse(outcome) => (outcome.clone(), 0),
            Decision::Pass(_) => {
                let next = self.passed.as_mut().and_then(VecDeque::pop_front);
                next.unwrap_or_else(|| (Outcome::panicked(), 0))
            }
            Decision::Seal(user, half) => match self.seal(user, half) {
                Ok(sealed) => self.hand_over(recipient, &sealed).await,
                Err(outcome) => (outcome, 0),
            },
        }
    }

    async fn hand_over(&mut self, recipient: &Recipient, sealed: &SealedMessage) -> (Outcome, u64) {
        let recipients = std::slice::from_ref(recipient);
        let mut handed = self.way.hand_over(recipients, &Letter::Sealed(sealed)).await;
        match handed.answers.pop() {
            Some(Ok(())) => (Outcome::sealed(sealed.message_id()), handed.octets),
            Some(Err(refusal)) => (Outcome::from_next_hop(refusal), 0),
            None => (Outcome::panicked(), 0),
        }
    }

    /// Seals the message for one user.
    fn seal(&mut self, user: &User, half: &PublicHalf) -> Result<SealedMessage, Outcome> {
        let begun = Instant::now();
        let current = Arc::clone(self.way.current());
        let delivery = current.site.delivery();
        let draft = match &self.draft {
            Some(Ok(draft)) => draft,
            Some(Err(outcome)) => return Err(outcome.clone()),
            None => return Err(Outcome::panicked()),
        };
        let readied = self.readied.take().filter(|readied| readied.half == *half);
        // What was done of it ahead counts, too.
        let ahead = readied.as_ref().map_or(Duration::ZERO, |readied| readied.took);
        let sealed = self.guarded(|| match readied {
            Some(Readied { keys, .. }) => delivery.seal_with(user, keys, draft),
            None => delivery.seal(user, half, draft),
        });
        if self.seals == 0 {
            // The letter on its way needs memory of its own.
            self.draft = None;
        }
        self.way.metrics().step(Step::Seal, ahead + begun.elapsed());
        sealed
    }

    /// Parses and compresses the message, once.
    fn draft(&mut self) {
        if self.seals == 0 {
            return;
        }
        let begun = Instant::now();
        let current = Arc::clone(self.way.current());
        let delivery = current.site.delivery();
        let draft = self.guarded(|| delivery.draft(self.incoming.with_return_path(), clock::now()));
        self.draft = Some(draft);
        self.way.metrics().step(Step::Prepare, begun.elapsed());
    }

    /// Does work on the message that may take a while, or panic.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Outcome>) -> Result<T, Outcome> {
        let guarded = || panic::catch_unwind(AssertUnwindSafe(work));
        let is_small = self.incoming.size() < LARGE_BYTES;
        let done = if is_small { guarded() } else { block_in_place(guarded) };
        done.unwrap_or_else(|_| {
            self.way.metrics().panics.inc();
            Err(Outcome::panicked())
        })
    }

    /// Everybody was answered for, or nobody listens any more: the connection to the store is the next
    /// one's.
    pub(super) async fn finish(mut self) {
        self.way.clear().await;
    }
}
