//! A message's way in: accept → parse → map recipient to user → look up public key → seal → hand on
//! → report.
//!
//! Layer 4. Never plaintext by accident, never lost: nothing is reported as delivered before the next
//! hop has it, and whatever is not known is deferred. Delivery can name no secret key and no key
//! record.

pub mod next_hop;
pub mod outcome;
pub mod pipe;
pub mod policy;
pub mod site;
mod smtp;

use std::fmt::Display;

use crate::fault;
use crate::keys::directory::PublicDirectory;
use crate::keys::public::PublicHalf;
use crate::seal::{Draft, Fixed, SealError, SealingKey};
use crate::secret::SecretBytes;
use crate::user::{Canonical, User};

use next_hop::{Letter, NextHop};
use outcome::Outcome;
use policy::{Policy, Treatment, Unenrolled};

/// The SMTP envelope (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM; empty for the null sender.
    pub sender: String,
    /// Each RCPT TO.
    pub recipients: Vec<String>,
}

/// Everything that a delivery needs to know of the site.
pub struct Delivery<'a> {
    /// What makes a user of an address.
    pub users: &'a Canonical,
    /// Whose mail is sealed.
    pub policy: &'a Policy,
    /// The public keys.
    pub keys: &'a dyn PublicDirectory,
    /// What signs.
    pub site: &'a SealingKey,
    /// The outer message's fixed text.
    pub fixed: &'a Fixed,
}

/// What is to be done for one recipient.
enum Decision {
    Seal(User, PublicHalf),
    Pass(Option<User>),
    Refuse(Outcome),
}

impl Delivery<'_> {
    /// Delivers `message` to every recipient by itself, `now` seconds after 1970. One outcome for
    /// each recipient, in their order.
    pub fn deliver(
        &self,
        envelope: &Envelope,
        message: SecretBytes,
        hop: &mut dyn NextHop,
        now: u64,
    ) -> Vec<Outcome> {
        let recipients = envelope.recipients.iter();
        let decisions: Vec<Decision> = recipients.map(|address| self.decide(address)).collect();
        let draft = if decisions.iter().any(|decision| matches!(decision, Decision::Seal(..))) {
            Some(Draft::new(message.expose(), &self.fixed.clear_headers, now))
        } else {
            None
        };
        fault::point("seal");
        // The message itself is wiped as soon as nobody needs it in the clear.
        let passed = decisions.iter().any(|decision| matches!(decision, Decision::Pass(_)));
        let message = passed.then_some(message);
        let hand_on = |(address, decision): (&String, Decision)| match (decision, &draft, &message)
        {
            (Decision::Refuse(outcome), ..) => outcome,
            (Decision::Seal(user, half), Some(Ok(draft)), _) => {
                self.hand_on_sealed(address, &user, &half, draft, hop)
            }
            (Decision::Pass(user), _, Some(message)) => {
                let letter = Letter::Plain { sender: &envelope.sender, message: message.expose() };
                match hop.hand_on(address, user.as_ref(), &letter) {
                    Ok(()) => Outcome::passed(),
                    Err(refusal) => Outcome::from_next_hop(refusal),
                }
            }
            (Decision::Seal(..) | Decision::Pass(_), ..) => Outcome::out_of_memory(),
        };
        envelope.recipients.iter().zip(decisions).map(hand_on).collect()
    }

    /// Who is meant and whether there is a key, then the lists, then the policy.
    fn decide(&self, address: &str) -> Decision {
        let candidates = match self.users.candidates(address) {
            Ok(candidates) => candidates,
            Err(error) => return self.without_key(None, &error),
        };
        for (index, candidate) in candidates.iter().enumerate() {
            match self.keys.find(&candidate.user) {
                Ok(Some(half)) => {
                    let readings = candidates.get(..=index).unwrap_or_default();
                    let user = candidate.user.clone();
                    return match self.policy.treatment(readings) {
                        Treatment::Seal => Decision::Seal(user, half),
                        Treatment::Pass => Decision::Pass(Some(user)),
                    };
                }
                Ok(None) => {}
                Err(error) => return Decision::Refuse(Outcome::look_up_failed(&error)),
            }
        }
        let likeliest = candidates.last().map(|candidate| candidate.user.clone());
        match self.policy.treatment(&candidates) {
            Treatment::Pass => Decision::Pass(likeliest),
            Treatment::Seal => self.without_key(likeliest, &"not enrolled"),
        }
    }

    fn without_key(&self, user: Option<User>, why: &dyn Display) -> Decision {
        match self.policy.unenrolled {
            Unenrolled::Pass => Decision::Pass(user),
            Unenrolled::Defer => Decision::Refuse(Outcome::no_key(false, why)),
            Unenrolled::Reject => Decision::Refuse(Outcome::no_key(true, why)),
        }
    }

    fn hand_on_sealed(
        &self,
        address: &str,
        user: &User,
        half: &PublicHalf,
        draft: &Draft,
        hop: &mut dyn NextHop,
    ) -> Outcome {
        let sealed = match draft.seal_for(user, &half.key, self.site, self.fixed) {
            Ok(sealed) => sealed,
            Err(SealError::OutOfMemory) => return Outcome::out_of_memory(),
            Err(SealError::BadKey) => {
                return Outcome::look_up_failed(&format!("the public key of {user} is of no use"));
            }
        };
        match hop.hand_on(address, Some(user), &Letter::Sealed(&sealed)) {
            Ok(()) => Outcome::sealed(sealed.message_id()),
            Err(refusal) => Outcome::from_next_hop(refusal),
        }
    }
}
