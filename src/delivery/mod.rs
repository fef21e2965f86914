//! A message's way in: accept → parse → map recipient to user → look up public key → seal → hand on
//! → report.
//!
//! Layer 5. Never plaintext by accident, never lost: nothing is reported as delivered before the next
//! hop has it, and whatever is not known is deferred. Delivery can name no secret key and no key
//! record.

pub mod lmtp;
pub mod next_hop;
pub mod outcome;
pub mod own;
pub mod pipe;
pub mod policy;
pub mod site;
mod smtp;

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::fault;
use crate::keys::directory::PublicDirectory;
use crate::keys::public::PublicHalf;
use crate::seal::{ContentKeys, Draft, Fixed, SealError, SealedMessage, SealingKey};
use crate::secret::SecretBytes;
use crate::user::{Canonical, User};

use next_hop::{Letter, NextHop};
use outcome::Outcome;
use policy::{Policy, Treatment, Unenrolled};

/// How old a decision may be when it is carried out.
const DECISION_LIFETIME: Duration = Duration::from_millis(500);

/// The SMTP envelope (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM, unquoted; empty for the null sender.
    pub sender: String,
    /// Each RCPT TO, unquoted.
    pub recipients: Vec<String>,
}

impl Envelope {
    /// The envelope of a command line, whose addresses may have a quoted local part or none.
    pub fn new(sender: &str, recipients: &[String]) -> Self {
        let recipients = recipients.iter().map(|address| smtp::unquoted(address)).collect();
        Self { sender: smtp::unquoted(sender), recipients }
    }
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
#[derive(Debug)]
enum Decision {
    Seal(User, PublicHalf),
    Pass(Option<User>),
    Refuse(Outcome),
}

impl Decision {
    fn seals(&self) -> bool {
        matches!(self, Self::Seal(..))
    }

    fn passes(&self) -> bool {
        matches!(self, Self::Pass(_))
    }

    fn half(&self) -> Option<&PublicHalf> {
        match self {
            Self::Seal(_, half) => Some(half),
            Self::Pass(_) | Self::Refuse(_) => None,
        }
    }

    fn user(&self) -> Option<&User> {
        match self {
            Self::Seal(user, _) => Some(user),
            Self::Pass(user) => user.as_ref(),
            Self::Refuse(_) => None,
        }
    }
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
        let decided = Instant::now();
        let recipients = envelope.recipients.iter();
        let decisions: Vec<Decision> = recipients.map(|address| self.decide(address)).collect();
        let last = decisions.iter().rposition(Decision::seals);
        let mut draft = last.map(|_| self.draft(message.expose(), now));
        // The message itself is wiped as soon as nobody needs it in the clear.
        let last_passed = decisions.iter().rposition(Decision::passes);
        let mut message = last_passed.map(|_| message);
        let mut outcomes = Vec::with_capacity(decisions.len());
        for (index, (address, decision)) in envelope.recipients.iter().zip(decisions).enumerate() {
            let (user, sealed) = match decision {
                Decision::Refuse(outcome) => {
                    outcomes.push(outcome);
                    continue;
                }
                Decision::Pass(user) => (user, None),
                Decision::Seal(user, half) => {
                    let sealed = match &draft {
                        Some(Ok(draft)) => self.seal(&user, &half, draft),
                        Some(Err(outcome)) => Err(outcome.clone()),
                        None => Err(Outcome::out_of_memory()),
                    };
                    (Some(user), Some(sealed))
                }
            };
            if last == Some(index) {
                // A next hop may want memory of its own.
                draft = None;
            }
            let outcome = match (sealed, &message) {
                (Some(Ok(sealed)), _) => {
                    match hop.hand_on(address, user.as_ref(), &Letter::Sealed(&sealed)) {
                        Ok(()) => Outcome::sealed(sealed.message_id()),
                        Err(refusal) => Outcome::from_next_hop(refusal),
                    }
                }
                (Some(Err(outcome)), _) => outcome,
                (None, Some(message)) => {
                    let (sender, message) = (envelope.sender.as_str(), message.expose());
                    let still = || !is_outdated(decided) || self.decide(address).passes();
                    let letter = Letter::Plain { sender, utf8: false, message, still: &still };
                    match hop.hand_on(address, user.as_ref(), &letter) {
                        Ok(()) => Outcome::passed(),
                        Err(refusal) => Outcome::from_next_hop(refusal.without(sender)),
                    }
                }
                (None, None) => Outcome::panicked(),
            };
            if last_passed == Some(index) {
                message = None;
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Whether [`Self::decide`] can do without a look at a file.
    fn has_at_hand(&self, address: &str) -> bool {
        let candidates = self.users.candidates(address);
        let first = candidates.as_ref().ok().and_then(|candidates| candidates.first());
        first.is_some_and(|candidate| self.keys.has_at_hand(&candidate.user))
    }

    /// Who is meant and whether there is a key, then the lists, then the policy.
    fn decide(&self, address: &str) -> Decision {
        let candidates = match self.users.candidates(address) {
            Ok(candidates) => candidates,
            Err(error) => {
                return match self.policy.treatment_of(&self.users.name(address)) {
                    Treatment::Pass => Decision::Pass(None),
                    Treatment::Seal => self.without_key(None, &error),
                };
            }
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

    /// Parses and compresses the message, once for all its users.
    fn draft(&self, message: &[u8], now: u64) -> Result<Draft, Outcome> {
        let draft = Draft::new(message, &self.fixed.clear_headers, now);
        fault::point("seal");
        draft.map_err(|_| Outcome::out_of_memory())
    }

    fn seal(
        &self,
        user: &User,
        half: &PublicHalf,
        draft: &Draft,
    ) -> Result<SealedMessage, Outcome> {
        let sealed = draft.seal_for(user, &half.key, self.site, self.fixed);
        sealed.map_err(|error| not_sealed(user, &error))
    }

    /// The same with content keys that were wrapped for the user's public half before.
    fn seal_with(
        &self,
        user: &User,
        keys: ContentKeys,
        draft: &Draft,
    ) -> Result<SealedMessage, Outcome> {
        let sealed = draft.seal_with(user, keys, self.site, self.fixed);
        sealed.map_err(|error| not_sealed(user, &error))
    }
}

/// Whether a decision of that time is too old to be carried out.
fn is_outdated(decided: Instant) -> bool {
    decided.elapsed() > DECISION_LIFETIME
}

fn not_sealed(user: &User, error: &SealError) -> Outcome {
    match error {
        SealError::OutOfMemory => Outcome::out_of_memory(),
        SealError::BadKey => {
            Outcome::look_up_failed(&format!("the public key of {user} is of no use"))
        }
    }
}
