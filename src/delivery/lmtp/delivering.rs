//! A message that has arrived: sealed for each recipient, handed over, answered for.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::delivery::Decision;
use crate::delivery::next_hop::lmtp::{Problem, Recipient};
use crate::delivery::next_hop::{Letter, Refusal};
use crate::delivery::outcome::Outcome;
use crate::keys::public::PublicHalf;
use crate::seal::{Draft, SealedMessage};
use crate::sys::clock;
use crate::user::User;

use super::incoming::Incoming;
use super::metrics::Step;
use super::transaction::{Readied, Shared};

/// Work on a message from this size on is left to a thread that may be busy for a while.
const LARGE_BYTES: usize = 128 * 1024;

/// A message on its way to each recipient.
pub(super) struct Delivering {
    shared: Shared,
    sender: String,
    recipients: VecDeque<(Recipient, Decision)>,
    incoming: Incoming,
    readied: Option<Readied>,
    /// For how many it is still to be sealed.
    seals: usize,
    draft: Option<Result<Draft, Outcome>>,
    /// What became of it for those who share the message as it came.
    passed: Option<VecDeque<Outcome>>,
}

impl Delivering {
    pub(super) fn new(
        shared: Shared,
        sender: String,
        recipients: VecDeque<(Recipient, Decision)>,
        incoming: Incoming,
        readied: Option<Readied>,
    ) -> Self {
        let seals = recipients.iter().filter(|(_, decision)| decision.seals()).count();
        let (draft, passed) = (None, None);
        Self { shared, sender, recipients, incoming, readied, seals, draft, passed }
    }

    /// Whether everybody was answered for.
    pub(super) fn is_done(&self) -> bool {
        self.recipients.is_empty()
    }

    /// Delivers to the next recipient; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        let (recipient, decision) = self.recipients.pop_front()?;
        if let Some(problem) = self.incoming.problem() {
            let outcome = problem.clone();
            self.shared.report(&recipient, decision.user(), &outcome, 0, 0);
            return Some(outcome);
        }
        let size = self.incoming.size();
        let (outcome, octets) = match &decision {
            Decision::Refuse(outcome) => (outcome.clone(), 0),
            Decision::Pass(_) => self.pass(&recipient).await,
            Decision::Seal(user, half) => {
                if let Some(lease) = &mut self.shared.lease {
                    lease.foresee(std::slice::from_ref(&recipient)).await;
                }
                match self.seal(user, half) {
                    Ok(sealed) => self.hand_over(&recipient, &sealed).await,
                    Err(outcome) => (outcome, 0),
                }
            }
        };
        self.shared.metrics.octets_stored.inc_by(octets);
        self.shared.report(&recipient, decision.user(), &outcome, size, octets);
        Some(outcome)
    }

    async fn hand_over(&mut self, recipient: &Recipient, sealed: &SealedMessage) -> (Outcome, u64) {
        let recipients = std::slice::from_ref(recipient);
        let mut handed = self.shared.hand_over(recipients, &Letter::Sealed(sealed)).await;
        match handed.answers.pop() {
            Some(Ok(())) => (Outcome::sealed(sealed.message_id()), handed.octets),
            Some(Err(refusal)) => (Outcome::from_next_hop(refusal), 0),
            None => (Outcome::panicked(), 0),
        }
    }

    /// One hand-over for everybody whose mail is passed as it came, when the first of them is due.
    async fn pass(&mut self, first: &Recipient) -> (Outcome, u64) {
        let mut octets = 0;
        if self.passed.is_none() {
            let others = self.recipients.iter().filter(|(_, decision)| decision.passes());
            let mut recipients = vec![first.clone()];
            recipients.extend(others.map(|(recipient, _)| recipient.clone()));
            self.draft();
            let letter =
                Letter::Plain { sender: &self.sender, message: self.incoming.as_it_came() };
            let handed = self.shared.hand_over(&recipients, &letter).await;
            let outcomes = handed.answers.into_iter().map(|answer| match answer {
                Ok(()) => Outcome::passed(),
                Err(refusal) => Outcome::from_next_hop(refusal.without(&self.sender)),
            });
            self.passed = Some(outcomes.collect());
            // Nobody needs it in the clear any more.
            self.incoming.wipe();
            octets = handed.octets;
        }
        let next = self.passed.as_mut().and_then(VecDeque::pop_front);
        (next.unwrap_or_else(Outcome::panicked), octets)
    }

    /// Seals the message for one user.
    fn seal(&mut self, user: &User, half: &PublicHalf) -> Result<SealedMessage, Outcome> {
        self.draft();
        let passes = |(_, decision): &(Recipient, Decision)| decision.passes();
        if self.passed.is_none() && !self.recipients.iter().any(passes) {
            // Nobody needs it in the clear any more.
            self.incoming.wipe();
        }
        self.seals -= 1;
        let begun = Instant::now();
        let current = Arc::clone(&self.shared.current);
        let delivery = current.site.delivery();
        let draft = match &self.draft {
            Some(Ok(draft)) => draft,
            Some(Err(outcome)) => return Err(outcome.clone()),
            None => return Err(Outcome::panicked()),
        };
        let readied = self.readied.take().filter(|readied| readied.half == *half);
        // What was done of it ahead counts, too.
        let ahead = readied.as_ref().map_or(Duration::ZERO, |readied| readied.took);
        let sealed = self.shared.guarded(self.incoming.size(), || match readied {
            Some(Readied { keys, .. }) => delivery.seal_with(user, keys, draft),
            None => delivery.seal(user, half, draft),
        });
        if self.seals == 0 {
            // The letter on its way needs memory of its own.
            self.draft = None;
        }
        self.shared.metrics.step(Step::Seal, ahead + begun.elapsed());
        sealed
    }

    /// Parses and compresses the message, once, and before it is wiped.
    fn draft(&mut self) {
        if self.draft.is_some() || self.seals == 0 {
            return;
        }
        let begun = Instant::now();
        let current = Arc::clone(&self.shared.current);
        let delivery = current.site.delivery();
        let draft = self.shared.guarded(self.incoming.size(), || {
            delivery.draft(self.incoming.with_return_path(), clock::now())
        });
        self.draft = Some(draft);
        self.shared.metrics.step(Step::Prepare, begun.elapsed());
    }
}

impl Shared {
    /// Hands a letter over, over another connection if this one fails before the letter is on its way.
    async fn hand_over(&mut self, recipients: &[Recipient], letter: &Letter<'_>) -> HandOver {
        let begun = Instant::now();
        let mut handed = self.try_to_hand_over(recipients, letter).await;
        if handed.as_ref().is_err_and(|problem| !problem.is_timeout()) {
            handed = self.try_to_hand_over(recipients, letter).await;
        }
        self.metrics.step(Step::HandOver, begun.elapsed());
        match handed {
            Ok(handed) => handed,
            Err(problem) => {
                let refusal = self.refusal(&problem);
                let answers = recipients.iter().map(|_| Err(refusal.clone())).collect();
                HandOver { answers, octets: 0 }
            }
        }
    }

    async fn try_to_hand_over(
        &mut self,
        recipients: &[Recipient],
        letter: &Letter<'_>,
    ) -> Result<HandOver, Problem> {
        let lease = self.lease().await?;
        let session = lease.session_for(recipients).await?;
        let answers = session.hand_over(recipients, letter).await;
        let octets = session.letter_octets();
        match answers {
            Ok(answers) => Ok(HandOver { answers, octets }),
            Err(problem) => {
                lease.give_up();
                Err(problem)
            }
        }
    }

    /// Does work on a message of `size` octets that may take a while, or panic.
    fn guarded<T>(
        &self,
        size: usize,
        work: impl FnOnce() -> Result<T, Outcome>,
    ) -> Result<T, Outcome> {
        let guarded = || panic::catch_unwind(AssertUnwindSafe(work));
        let done = if size < LARGE_BYTES { guarded() } else { block_in_place(guarded) };
        done.unwrap_or_else(|_| {
            self.metrics.panics.inc();
            Err(Outcome::panicked())
        })
    }
}

/// What the store said to a letter, and how large it was on the wire.
struct HandOver {
    answers: Vec<Result<(), Refusal>>,
    octets: u64,
}
