//! The way of one transaction to the store: its connection there, what the store says to each recipient
//! and to each letter, and the report of what became of it.

use std::sync::Arc;
use std::time::Instant;

use crate::delivery::next_hop::lmtp::{HandOver, Lease, Problem, Recipient};
use crate::delivery::next_hop::{Letter, Refusal};
use crate::delivery::outcome::Outcome;
use crate::delivery::{self, Decision};
use crate::log;
use crate::user::User;

use super::metrics::{Metrics, Step};
use super::{Current, Service};

/// From MAIL to the answer for the last recipient.
pub(super) struct Way {
    service: Arc<Service>,
    current: Arc<Current>,
    /// Who the client is, for the log.
    client: String,
    lease: Option<Lease>,
    /// What is said to all others once the store stood still for one.
    standstill: Option<Refusal>,
    begun: Instant,
    /// Since when what was decided stands.
    decided: Instant,
}

impl Way {
    /// Nobody is connected to yet.
    pub(super) fn new(service: Arc<Service>, current: Arc<Current>, client: String) -> Self {
        let (lease, standstill, begun) = (None, None, Instant::now());
        Self { service, current, client, lease, standstill, begun, decided: begun }
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.service.metrics
    }

    /// The configuration that holds for it.
    pub(super) fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// Goes on by the configuration of now, perhaps to another store.
    pub(super) async fn catch_up(&mut self) {
        let now = self.service.current();
        if !Arc::ptr_eq(&self.current, &now) {
            self.clear().await;
            self.current = now;
        }
    }

    /// What is to be done for a recipient.
    pub(super) fn decide(&self, address: &str) -> Decision {
        self.current.decide(address)
    }

    /// Whether what was decided is too old to be carried out.
    pub(super) fn is_outdated(&self) -> bool {
        delivery::is_outdated(self.decided)
    }

    /// Says, when it is asked, whether mail for all of `recipients` still passes as it came, by the
    /// configuration of then.
    pub(super) fn still_passes<'a>(
        &self,
        recipients: &'a [Recipient],
    ) -> impl Fn() -> bool + Sync + use<'a> {
        let (service, current) = (Arc::clone(&self.service), Arc::clone(&self.current));
        let decided = self.decided;
        move || {
            let now = service.current();
            let mut recipients = recipients.iter();
            (Arc::ptr_eq(&now, &current) && !delivery::is_outdated(decided))
                || recipients.all(|recipient| now.decide(&recipient.address).passes())
        }
    }

    /// Everything was decided again.
    pub(super) fn was_decided(&mut self) {
        self.decided = Instant::now();
    }

    /// What the store did not answer to the recipients says nothing of the message: it is tried again.
    pub(super) fn is_tried_again(&mut self) {
        self.standstill = None;
    }

    /// Asks the store about a recipient, over another connection if this one is of no use any more.
    pub(super) async fn ask(&mut self, recipient: &Recipient) -> Result<(), Refusal> {
        if let Some(refusal) = &self.standstill {
            return Err(refusal.clone());
        }
        self.try_to_ask(recipient).await.map_err(|problem| self.refusal(&problem))
    }

    async fn try_to_ask(&mut self, recipient: &Recipient) -> Result<(), Problem> {
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

    /// Tells the store that a letter for this recipient comes next, if it was asked about him last.
    pub(super) async fn foresee(&mut self, recipient: &Recipient) {
        if let Some(lease) = &mut self.lease {
            lease.foresee(std::slice::from_ref(recipient)).await;
        }
    }

    /// Hands a letter over, over another connection if this one fails before the letter is on its way.
    pub(super) async fn hand_over(
        &mut self,
        recipients: &[Recipient],
        letter: &Letter<'_>,
    ) -> HandOver {
        let nobody = |refusal: &Refusal| {
            let answers = recipients.iter().map(|_| Err(refusal.clone())).collect();
            HandOver { answers, octets: 0 }
        };
        if let Some(refusal) = &self.standstill {
            return nobody(refusal);
        }
        let begun = Instant::now();
        let mut handed = self.try_to_hand_over(recipients, letter).await;
        if handed.as_ref().is_err_and(|problem| !problem.is_timeout()) {
            handed = self.try_to_hand_over(recipients, letter).await;
        }
        self.metrics().step(Step::HandOver, begun.elapsed());
        match handed {
            Ok(handed) => {
                self.metrics().octets_stored.inc_by(handed.octets);
                handed
            }
            Err(problem) => nobody(&self.refusal(&problem)),
        }
    }

    async fn try_to_hand_over(
        &mut self,
        recipients: &[Recipient],
        letter: &Letter<'_>,
    ) -> Result<HandOver, Problem> {
        let lease = self.lease().await?;
        let handed = lease.session_for(recipients).await?.hand_over(recipients, letter).await;
        if handed.is_err() {
            lease.give_up();
        }
        handed
    }

    async fn lease(&mut self) -> Result<&mut Lease, Problem> {
        let lease = match self.lease.take() {
            Some(lease) => lease,
            None => self.current.pool.take().await?,
        };
        Ok(self.lease.insert(lease))
    }

    fn refusal(&mut self, problem: &Problem) -> Refusal {
        let refusal = problem.refusal(&self.current.pool.server().address);
        if problem.is_standstill() {
            // Everybody else would wait as long, one after the other.
            self.standstill = Some(refusal.clone());
        }
        refusal
    }

    /// Waits until somebody else needs the connection to the store, while the client says nothing; for
    /// ever when there is none.
    pub(super) async fn is_wanted(&self) {
        match self.lease {
            Some(_) => self.current.pool.wanted().await,
            None => std::future::pending().await,
        }
    }

    /// Gives the connection to the store back, ready for the next one. Whoever needs one again gets
    /// another one.
    pub(super) async fn clear(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            lease.reset().await;
        }
    }

    /// Counts and logs what became of a message of `size` octets for one recipient, of which the store
    /// has `stored`.
    pub(super) fn report(
        &self,
        recipient: &Recipient,
        user: Option<&User>,
        outcome: &Outcome,
        size: usize,
        stored: u64,
    ) {
        self.metrics().outcome(outcome.verdict);
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
