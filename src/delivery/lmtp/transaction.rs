//! One message from MAIL to the end of the data: each recipient asked about, the data received.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::Decision;
use crate::delivery::next_hop::Refusal;
use crate::delivery::next_hop::lmtp::{Lease, Problem, Recipient};
use crate::delivery::outcome::Outcome;
use crate::keys::public::PublicHalf;
use crate::log;
use crate::seal::ContentKeys;
use crate::user::User;

use super::Current;
use super::delivering::Delivering;
use super::incoming::Incoming;
use super::metrics::Metrics;
use super::reply::Reply;

/// How old a decision may be when it is carried out.
const DECISION_LIFETIME: Duration = Duration::from_millis(500);

/// From MAIL to the end of the data.
pub(super) struct Transaction {
    shared: Shared,
    sender: String,
    recipients: VecDeque<(Recipient, Decision)>,
    pub(super) incoming: Incoming,
    readied: Option<Readied>,
}

/// Content keys that were wrapped ahead.
pub(super) struct Readied {
    /// For which public half.
    pub(super) half: PublicHalf,
    pub(super) keys: ContentKeys,
    /// How long that took.
    pub(super) took: Duration,
}

/// What receiving and delivering have in common.
pub(super) struct Shared {
    pub(super) current: Arc<Current>,
    pub(super) metrics: Arc<Metrics>,
    /// Who the client is, for the log.
    client: String,
    /// The connection to the store.
    pub(super) lease: Option<Lease>,
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
            let begun = Instant::now();
            let keys = ContentKeys::wrap(&half.key).ok();
            self.readied =
                keys.map(|keys| Readied { half: half.clone(), keys, took: begun.elapsed() });
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
        Delivering::new(self.shared, self.sender, self.recipients, self.incoming, self.readied)
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
    pub(super) fn refusal(&self, problem: &Problem) -> Refusal {
        problem.refusal(&self.current.pool.server().address)
    }

    pub(super) async fn lease(&mut self) -> Result<&mut Lease, Problem> {
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

    pub(super) fn report(
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
