//! What a peer asks the agent for.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::keys::kdf::MAX_PASSWORD_BYTES;
use crate::secret::SecretBytes;

use super::{
    ChangeId, MAX_NAME_BYTES, MAX_REQUEST_BYTES, MAX_SMALL_BYTES, MAX_STANZAS, ProtocolError,
    STANZA_BYTES, body, frame,
};

/// A password on its way: never shown.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Password<'b>(#[cbor(b(0), with = "minicbor::bytes")] pub &'b [u8]);

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a peer asks for. `user` is a login name as it was typed: the agent makes it canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Request<'b> {
    /// Unlock the user's keys with a password: [`Reply::Unlocked`](super::Reply::Unlocked), `Wrong`, `Diverged`, `NoKeys`,
    /// `Busy` or `Unavailable`.
    #[n(0)]
    Unlock {
        /// Whose.
        #[b(0)]
        user: &'b str,
        /// With what.
        #[b(1)]
        password: Password<'b>,
        /// Whether the site's login has accepted this very password for this very user.
        #[n(2)]
        confirmed: bool,
        /// Whether this connection becomes a lease: the keys stay for as long as it is open.
        #[n(3)]
        hold: bool,
        /// Who else may read with these keys: the uid of a local user who is being logged in. Only
        /// peers that may read for everybody can say so.
        #[n(4)]
        reader: Option<u32>,
    },
    /// Make this connection a lease of a user who is unlocked: `Unlocked` or `Locked`.
    #[n(1)]
    Lease {
        /// Whose.
        #[b(0)]
        user: &'b str,
        /// As in `Unlock`.
        #[n(1)]
        reader: Option<u32>,
    },
    /// Recover content keys: `Keys` or `Locked`.
    #[n(2)]
    Recover {
        /// Whose.
        #[b(0)]
        user: &'b str,
        /// [`STANZA_BYTES`] each, at most [`MAX_STANZAS`].
        #[cbor(b(1), with = "minicbor::bytes")]
        stanzas: &'b [u8],
    },
    /// Wipe the keys of one user, or of all: `Done` or `Locked`.
    #[n(3)]
    Lock {
        /// Whose; everybody's when there is none.
        #[b(0)]
        user: Option<&'b str>,
    },
    /// Who is unlocked: `Status`.
    #[n(4)]
    Status {
        /// Only this user, with what there is to tell of his key record.
        #[b(0)]
        user: Option<&'b str>,
        /// Only users after this one in the order of names, for lists in pieces; empty for all.
        #[b(1)]
        after: &'b str,
    },
    /// Prepare a password change before the login password is changed: `Staged` or as `Unlock`.
    #[n(5)]
    Stage {
        /// Whose.
        #[b(0)]
        user: &'b str,
        /// The password so far.
        #[b(1)]
        old: Password<'b>,
        /// The password to be.
        #[b(2)]
        new: Password<'b>,
    },
    /// The login password was changed: `Done`.
    #[n(6)]
    Commit {
        /// Which change.
        #[cbor(n(0), with = "minicbor::bytes")]
        id: ChangeId,
    },
    /// The login password was not changed: `Done`.
    #[n(7)]
    Abort {
        /// Which change.
        #[cbor(n(0), with = "minicbor::bytes")]
        id: ChangeId,
    },
    /// Whether this is an app password of the user; unlocks nothing: `Done`, `Wrong`, `NoKeys`.
    #[n(8)]
    App {
        /// Whose.
        #[b(0)]
        user: &'b str,
        /// What was typed.
        #[b(1)]
        password: Password<'b>,
    },
    /// Make keys for a user who has none. Only after the site's login has accepted this very password
    /// for this very user: `Unlocked`, or `Refused` where the site does not want it.
    #[n(9)]
    Enroll {
        /// Whose.
        #[b(0)]
        user: &'b str,
        /// The login password.
        #[b(1)]
        password: Password<'b>,
    },
}

impl<'b> Request<'b> {
    /// The frame, its length included.
    ///
    /// # Errors
    /// Where something in it is longer than it may be, or there is no memory.
    pub fn to_frame(&self) -> Result<SecretBytes, ProtocolError> {
        self.check()?;
        frame(self, MAX_REQUEST_BYTES)
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// Where it is of another version, not a request, or more than may be asked for.
    pub fn parse(frame: &'b [u8]) -> Result<Self, ProtocolError> {
        let request: Self = body(frame)?;
        request.check()?;
        let is_batch = matches!(request, Self::Recover { .. });
        if !is_batch && frame.len() > MAX_SMALL_BYTES {
            return Err(ProtocolError::TooLong);
        }
        Ok(request)
    }

    /// Whether everything is as short as it has to be.
    fn check(&self) -> Result<(), ProtocolError> {
        let is_short = |name: &str| name.len() <= MAX_NAME_BYTES;
        let none = Password(&[]);
        let (name, passwords) = match *self {
            Self::Unlock { user, password, .. }
            | Self::App { user, password }
            | Self::Enroll { user, password } => (user, [password, none]),
            Self::Stage { user, old, new } => (user, [old, new]),
            Self::Lease { user, .. } => (user, [none; 2]),
            Self::Recover { user, stanzas } => {
                if stanzas.len() % STANZA_BYTES != 0 {
                    return Err(ProtocolError::Malformed);
                }
                if stanzas.len() > MAX_STANZAS * STANZA_BYTES {
                    return Err(ProtocolError::TooLong);
                }
                (user, [none; 2])
            }
            Self::Lock { user } => (user.unwrap_or_default(), [none; 2]),
            Self::Status { user, after } => {
                if !is_short(after) {
                    return Err(ProtocolError::TooLong);
                }
                (user.unwrap_or_default(), [none; 2])
            }
            Self::Commit { .. } | Self::Abort { .. } => ("", [none; 2]),
        };
        let fits = is_short(name) && passwords.iter().all(|p| p.0.len() <= MAX_PASSWORD_BYTES);
        if fits { Ok(()) } else { Err(ProtocolError::TooLong) }
    }
}
