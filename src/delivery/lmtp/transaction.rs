//! One message from MAIL to the end of the data: each recipient asked about, the data received.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::delivery::Decision;
use crate::delivery::next_hop::lmtp::Recipient;
use crate::delivery::outcome::Outcome;
use crate::keys::public::PublicHalf;
use crate::seal::ContentKeys;

use super::delivering::Delivering;
use super::incoming::Incoming;
use super::reply::Reply;
use super::way::Way;

/// From MAIL to the end of the data.
pub(super) struct Transaction {
    pub(super) way: Way,
    sender: Sender,
    recipients: VecDeque<(Recipient, Decision)>,
    pub(super) incoming: Incoming,
    readied: Option<Readied>,
}

/// What MAIL says of whoever sends the message.
pub(super) struct Sender {
    /// The reverse path; empty for the null sender.
    pub(super) path: String,
    /// Whether the message's header may have UTF-8 in it (RFC 6531 §3.4).
    pub(super) utf8: bool,
}

/// Content keys that were wrapped ahead.
pub(super) struct Readied {
    /// For which public half.
    pub(super) half: PublicHalf,
    pub(super) keys: ContentKeys,
    /// How long that took.
    pub(super) took: Duration,
}

impl Transaction {
    pub(super) fn new(way: Way, sender: Sender, incoming: Incoming) -> Self {
        Self { way, sender, recipients: VecDeque::new(), incoming, readied: None }
    }

    /// Whether somebody is there to deliver to.
    pub(super) fn has_recipients(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Asks the store about a recipient, whose refusal wins, and then the policy.
    pub(super) async fn rcpt(&mut self, address: String, ignore_quota: bool) -> Reply {
        if self.recipients.len() >= self.way.current().settings.recipients {
            return Reply::too_many_recipients();
        }
        let recipient = Recipient { address, ignore_quota };
        let decision = self.way.decide(&recipient.address);
        let refused = if !self.remember(&recipient.address).await {
            Outcome::no_room()
        } else {
            match (self.way.ask(&recipient).await, decision) {
                (Err(refusal), _) => Outcome::from_next_hop(refusal),
                (Ok(()), Decision::Refuse(outcome)) => outcome,
                (Ok(()), decision) => {
                    self.recipients.push_back((recipient, decision));
                    return Reply::good("2.1.5 recipient taken");
                }
            }
        };
        self.incoming.forget(&recipient.address);
        self.way.report(&recipient, None, &refused, 0, 0);
        Reply::of(&refused)
    }

    /// Makes room in memory for one more recipient; whether there is. Whoever waits for that keeps no
    /// connection to the store, either.
    async fn remember(&mut self, address: &str) -> bool {
        if self.incoming.try_remember(address) {
            return true;
        }
        self.way.clear().await;
        self.incoming.wait_to_remember(self.way.metrics()).await
    }

    /// Does what can be done for the first of those it is sealed for while the client is still sending.
    /// What is in the way comes out when the message is sealed.
    pub(super) fn get_ready(&mut self) {
        if let Some(half) = self.recipients.iter().find_map(|(_, decision)| decision.half()) {
            let begun = Instant::now();
            let keys = ContentKeys::wrap(&half.key).ok();
            self.readied =
                keys.map(|keys| Readied { half: half.clone(), keys, took: begun.elapsed() });
        }
    }

    /// The message has arrived: what follows is its way to each recipient, as it is decided now, when
    /// somebody may have been enrolled who was not when the store was asked.
    pub(super) async fn deliver(mut self) -> Delivering {
        self.way.is_tried_again();
        if self.way.is_outdated() {
            self.way.catch_up().await;
            let delivery = self.way.current().site.delivery();
            block_in_place(|| {
                for (recipient, decision) in &mut self.recipients {
                    *decision = delivery.decide(&recipient.address);
                }
            });
            self.way.was_decided();
        }
        Delivering::new(self.way, self.sender, self.recipients, self.incoming, self.readied)
    }

    /// Makes room in memory for `more` octets of the message. Whoever waits for that keeps no connection
    /// to the store from those who have what they need.
    pub(super) async fn make_room(&mut self, more: usize) {
        if !self.incoming.try_make_room(more) {
            self.way.clear().await;
            self.incoming.make_room(more, self.way.metrics()).await;
        }
    }

    /// Nothing comes of it.
    pub(super) async fn abandon(mut self) {
        self.way.clear().await;
    }
}
