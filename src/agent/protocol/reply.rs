//! What the agent answers.

use minicbor::{Decode, Encode};

use crate::secret::SecretBytes;

use super::{ChangeId, MAX_REPLY_BYTES, ProtocolError, body, frame};

/// What the agent answers.
#[derive(Debug, PartialEq, Encode, Decode)]
pub enum Reply {
    /// The user's keys are there.
    #[n(0)]
    Unlocked {
        /// Every name the user has had, the present one last: mail may be signed for any of them.
        #[n(0)]
        names: Vec<String>,
        /// What the user is to be told, a sentence each.
        #[n(1)]
        notices: Vec<String>,
    },
    /// The password unlocks nothing.
    #[n(1)]
    Wrong,
    /// The password unlocks nothing, although it is the login password: it was changed without
    /// nightsafe. The old password or a recovery code mends it.
    #[n(2)]
    Diverged,
    /// The user has no keys.
    #[n(3)]
    NoKeys,
    /// Too many logins or too many wrong guesses at the moment.
    #[n(4)]
    Busy {
        /// When to come again.
        #[n(0)]
        seconds: u32,
    },
    /// It cannot be done, for the reason given; the user's keys are as they were.
    #[n(5)]
    Unavailable {
        /// Why, for the log.
        #[n(0)]
        reason: String,
    },
    /// This peer may not ask for that.
    #[n(6)]
    Denied,
    /// The request makes no sense, for the reason given.
    #[n(7)]
    Refused {
        /// Why.
        #[n(0)]
        reason: String,
    },
    /// The user is not unlocked.
    #[n(8)]
    Locked,
    /// Content keys in the order of the stanzas, [`ANSWER_BYTES`](super::ANSWER_BYTES) each.
    #[n(9)]
    Keys(#[cbor(n(0), with = "secret_bytes")] SecretBytes),
    /// A password change is staged.
    #[n(10)]
    Staged {
        /// Its name, for commit or abort.
        #[cbor(n(0), with = "minicbor::bytes")]
        id: ChangeId,
    },
    /// It is done.
    #[n(11)]
    Done,
    /// Who is unlocked.
    #[n(12)]
    Status {
        /// In the order of names, at most [`MAX_STATUS_USERS`](super::MAX_STATUS_USERS).
        #[n(0)]
        users: Vec<UserStatus>,
        /// Whether there are more after the last one.
        #[n(1)]
        more: bool,
    },
}

/// What there is to tell of one user. Times are in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct UserStatus {
    /// The canonical name.
    #[n(0)]
    pub user: String,
    /// Since when the keys are unlocked; `None` where they are not.
    #[n(1)]
    pub unlocked: Option<u64>,
    /// When they are wiped, unless something happens before.
    #[n(2)]
    pub until: Option<u64>,
    /// How many connections hold them.
    #[n(3)]
    pub leases: u32,
    /// What is wrong with the user's keys, a sentence each.
    #[n(4)]
    pub problems: Vec<String>,
    /// The slots that unlock, a line each; told of one user only.
    #[n(5)]
    pub slots: Vec<String>,
}

impl Reply {
    /// The frame, its length included.
    ///
    /// # Errors
    /// Where it is longer than it may be, or there is no memory.
    pub fn to_frame(&self) -> Result<SecretBytes, ProtocolError> {
        frame(self, MAX_REPLY_BYTES)
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// Where it is of another version or not a reply.
    pub fn parse(frame: &[u8]) -> Result<Self, ProtocolError> {
        body(frame)
    }
}

/// Secret bytes as a CBOR byte string.
mod secret_bytes {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    use crate::secret::SecretBytes;

    pub(super) fn encode<C, W: Write>(
        bytes: &SecretBytes,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(bytes.expose())?.ok()
    }

    pub(super) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<SecretBytes, decode::Error> {
        decoder.bytes().map(|bytes| bytes.to_vec().into())
    }
}
