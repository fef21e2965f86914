//! What a user puts into his mailboxes himself: it is sealed as what is delivered to him.

use crate::keys::public::PublicHalf;
use crate::seal::{Draft, SealedMessage};
use crate::user::{Candidate, User};

use super::outcome::Outcome;
use super::policy::{Treatment, Unenrolled};
use super::{Delivery, not_sealed};

/// How what a user stores is treated.
#[derive(Debug)]
pub enum Own {
    /// It is sealed for him.
    Sealed(Box<Owner>),
    /// Policy says that his mail is not sealed.
    Passed,
}

/// A user with a public key.
#[derive(Debug)]
pub struct Owner {
    user: User,
    half: PublicHalf,
}

impl Delivery<'_> {
    /// How what the user of a login name stores is treated. No detail is taken off a login name: that
    /// would be another user.
    ///
    /// # Errors
    /// Where there is no key and policy does not let mail pass, or where that is not certain. Nothing may be
    /// stored then.
    pub fn own(&self, login: &str) -> Result<Own, Outcome> {
        let user = self.users.login(login).map_err(|error| Outcome::no_key(true, &error))?;
        let half = self.keys.find(&user).map_err(|error| Outcome::look_up_failed(&error))?;
        let name = self.users.name(login);
        match (self.policy.treatment(&[Candidate { user: user.clone(), name }]), half) {
            (Treatment::Pass, _) => Ok(Own::Passed),
            (Treatment::Seal, Some(half)) => Ok(Own::Sealed(Box::new(Owner { user, half }))),
            (Treatment::Seal, None) => match self.policy.unenrolled {
                Unenrolled::Pass => Ok(Own::Passed),
                Unenrolled::Defer => Err(Outcome::no_key(false, &"not enrolled")),
                Unenrolled::Reject => Err(Outcome::no_key(true, &"not enrolled")),
            },
        }
    }

    /// Seals `message` for its owner, `now` seconds after 1970. Its outer Message-ID is random: a message
    /// that is stored twice is two.
    ///
    /// # Errors
    /// Where it cannot be sealed.
    pub fn seal_own(
        &self,
        owner: &Owner,
        message: &[u8],
        now: u64,
    ) -> Result<SealedMessage, Outcome> {
        let draft = Draft::new(message, &self.fixed.clear_headers, now);
        let draft = draft.map_err(|_| Outcome::out_of_memory())?.with_random_id();
        let sealed = draft.seal_for(&owner.user, &owner.half.key, self.site, self.fixed);
        sealed.map_err(|error| not_sealed(&owner.user, &error))
    }
}
