//! One message: asked about, received, sealed for each recipient, handed over, answered for.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::delivery::Decision;
use crate::delivery::next_hop::lmtp::{Lease, Problem, Recipient};
use crate::delivery::next_hop::{Letter, Refusal};
use crate::delivery::outcome::Outcome;
use crate::keys::public::PublicHalf;
use crate::log;
use crate::seal::{ContentKeys, Draft, SealedMessage};
use crate::sys::clock;
use crate::user::User;

use super::Current;
use super::incoming::Incoming;
use super::metrics::{Metrics, Step};
use super::reply::Reply;

/// How old a decision may be when it is carried out.
const DECISION_LIFETIME: Duration = Duration::from_millis(500);
/// Work on a message from this size on is left to a thread that may be busy for a while.
const LARGE_BYTES: usize = 128 * 1024;

/// From MAIL to the end of the data.
pub(super) struct Transaction {
    shared: Shared,
    sender: String,
    recipients: VecDeque<(Recipient, Decision)>,
    pub(super) incoming: Incoming,
    readied: Option<Readied>,
}

/// Content keys that were wrapped ahead, and for which public half.
type Readied = (PublicHalf, ContentKeys);

/// What receiving and delivering have in common.
struct Shared {
    current: Arc<Current>,
    metrics: Arc<Metrics>,
    /// Who the client is, for the log.
    client: String,
    /// The connection to the store.
    lease: Option<Lease>,
    begun: Instant,
}

impl Transaction {
    pub(super) fn new(
        current: Arc<Current>,
        metrics: Arc<Metrics>,
        client: String,
        sender: String,
        incoming: Incoming,
    ) -> Self {
        let shared = Shared { current, metrics, client, lease: None, begun: Instant::now() };
        Self { shared, sender, recipients: VecDeque::new(), incoming, readied: None }
    }

    /// Whether somebody is there to deliver to.
    pub(super) fn has_recipients(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Asks the store about a recipient, whose refusal wins, and then the policy.
    pub(super) async fn rcpt(&mut self, address: String, ignore_quota: bool) -> Reply {
        if self.recipients.len() >= self.shared.current.settings.recipients {
            return Reply::too_many_recipients();
        }
        let decision = self.shared.current.site.delivery().decide(&address);
        if !self.remember(&address).await {
            self.incoming.forget(&address);
            return Reply::of(&Outcome::out_of_memory());
        }
        let recipient = Recipient { address, ignore_quota };
        let refused = match (self.shared.ask(&recipient).await, decision) {
            (Err(problem), _) => Outcome::from_next_hop(self.shared.refusal(&problem)),
            (Ok(()), Decision::Refuse(outcome)) => outcome,
            (Ok(()), decision) => {
                self.recipients.push_back((recipient, decision));
                return Reply::good("2.1.5 recipient taken");
            }
        };
        self.incoming.forget(&recipient.address);
        self.shared.report(&recipient, None, &refused, 0, 0);
        Reply::of(&refused)
    }

    /// Makes room in memory for one more recipient; whether there is. Whoever waits for that keeps no
    /// connection to the store, either.
    async fn remember(&mut self, address: &str) -> bool {
        if self.incoming.try_remember(address) {
            return true;
        }
        self.make_way().await;
        self.incoming.wait_to_remember(&self.shared.metrics).await
    }

    /// Does what can be done for the first recipient while the client is still sending. What is in the
    /// way comes out when the message is sealed.
    pub(super) fn get_ready(&mut self) {
        if let Some(half) = self.recipients.iter().find_map(|(_, decision)| decision.half()) {
            self.readied = ContentKeys::wrap(&half.key).ok().map(|keys| (half.clone(), keys));
        }
    }

    /// The message has arrived: what follows is its way to each recipient, as it is decided `now`, when
    /// somebody may have been enrolled who was not when the store was asked.
    pub(super) fn deliver(mut self, now: Arc<Current>) -> Delivering {
        if self.shared.begun.elapsed() > DECISION_LIFETIME {
            for (recipient, decision) in &mut self.recipients {
                *decision = now.site.delivery().decide(&recipient.address);
            }
            self.shared.current = now;
        }
        let seals = self.recipients.iter().filter(|(_, decision)| decision.seals()).count();
        Delivering {
            shared: self.shared,
            sender: self.sender,
            recipients: self.recipients,
            incoming: self.incoming,
            readied: self.readied,
            seals,
            draft: None,
            passed: None,
        }
    }

    /// Makes room in memory for `more` octets of the message. Whoever waits for that keeps no connection
    /// to the store from those who have what they need.
    pub(super) async fn make_room(&mut self, more: usize) {
        if !self.incoming.try_make_room(more) {
            self.make_way().await;
            self.incoming.make_room(more, &self.shared.metrics).await;
        }
    }

    /// Waits until somebody else needs the connection to the store, while the client says nothing; for
    /// ever when there is none.
    pub(super) async fn is_in_the_way(&self) {
        match self.shared.lease {
            Some(_) => self.shared.current.pool.wanted().await,
            None => std::future::pending().await,
        }
    }

    /// Gives the connection to the store back. The hand-over asks again.
    pub(super) async fn make_way(&mut self) {
        if let Some(mut lease) = self.shared.lease.take() {
            lease.reset().await;
        }
    }

    /// Nothing comes of it.
    pub(super) async fn abandon(mut self) {
        self.make_way().await;
    }
}

impl Shared {
    fn refusal(&self, problem: &Problem) -> Refusal {
        problem.refusal(&self.current.pool.server().address)
    }

    async fn lease(&mut self) -> Result<&mut Lease, Problem> {
        let lease = match self.lease.take() {
            Some(lease) => lease,
            None => self.current.pool.take().await?,
        };
        Ok(self.lease.insert(lease))
    }

    /// Asks the store about a recipient, over another connection if this one is of no use any more.
    async fn ask(&mut self, recipient: &Recipient) -> Result<(), Problem> {
        let lease = self.lease().await?;
        match lease.session().await?.ask(recipient).await {
            Err(problem) if problem.is_of_the_connection() => {
                lease.give_up();
                if problem.is_timeout() {
                    return Err(problem);
                }
                lease.session().await?.ask(recipient).await
            }
            answer => answer,
        }
    }

    /// Hands a letter over, over another connection if this one fails before the letter is on its way.
    async fn hand_over(&mut self, recipients: &[Recipient], letter: &Letter<'_>) -> HandOver {
        let begun = Instant::now();
        let mut handed = self.try_to_hand_over(recipients, letter).await;
        if handed.as_ref().is_err_and(|problem| !problem.is_timeout()) {
            handed = self.try_to_hand_over(recipients, letter).await;
        }
        self.metrics.step(Step::HandOver, begun);
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

    fn report(
        &self,
        recipient: &Recipient,
        user: Option<&User>,
        outcome: &Outcome,
        size: usize,
        stored: u64,
    ) {
        self.metrics.outcome(outcome.verdict);
        log::recipient(&log::Recipient {
            to: &recipient.address,
            user: user.map(User::as_str),
            status: outcome.verdict.name(),
            outcome,
            detail: outcome.detail(),
            client: &self.client,
            size,
            stored,
            seconds: self.begun.elapsed(),
        });
    }
}

/// What the store said to a letter, and how large it was on the wire.
struct HandOver {
    answers: Vec<Result<(), Refusal>>,
    octets: u64,
}

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
                Err(refusal) => Outcome::from_next_hop(refusal),
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
        let readied = self.readied.take().filter(|(readied_for, _)| readied_for == half);
        let sealed = self.shared.guarded(self.incoming.size(), || match readied {
            Some((_, keys)) => delivery.seal_with(user, keys, draft),
            None => delivery.seal(user, half, draft),
        });
        if self.seals == 0 {
            // The letter on its way needs memory of its own.
            self.draft = None;
        }
        self.shared.metrics.step(Step::Seal, begun);
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
        self.shared.metrics.step(Step::Prepare, begun);
    }
}
