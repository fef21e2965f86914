//! Why a login or a change of a user's keys did not happen.

use std::fmt;

use crate::keys::error::UnlockError;
use crate::keys::files::DirectoryError;
use crate::keys::{MAX_SLOT_NAME_CHARS, SlotKind};
use crate::user::User;

/// Why a login did not unlock, or a change was not made.
#[derive(Debug)]
pub enum LoginError {
    /// The key directory did not give or take the record.
    Directory(DirectoryError),
    /// There is a record without a public half, and this is not its password.
    Begun(User),
    /// The login backend took this password, and no slot does: it was changed without the keys.
    Diverged(User),
    /// The user never logged in: nothing but the first confirmed login unlocks, and there is no
    /// password to change.
    Provisional(User),
    /// The site has no provisional key.
    NoProvisionalKey,
    /// An app password or a recovery code where the login password is needed.
    NotTheLoginPassword(User),
    /// A new password of the form of a printed code, which would be taken for one.
    PrintedCode,
    /// What was typed as a recovery code is none.
    MistypedCode,
    /// The record did not unlock.
    Unlock {
        /// Whose.
        user: User,
        /// Why.
        cause: UnlockError,
    },
    /// A name that no slot can have.
    BadName,
    /// There is a slot of that name.
    NameTaken {
        /// Whose.
        user: User,
        /// The name.
        name: String,
    },
    /// There is no slot of that id or name.
    NoSlot {
        /// Whose.
        user: User,
        /// The id or name.
        wanted: String,
    },
    /// A slot that cannot be removed by itself.
    Kept {
        /// Its id.
        id: String,
        /// Its kind.
        kind: SlotKind,
    },
}

impl From<DirectoryError> for LoginError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Begun(user) => {
                write!(f, "wrong password for the key record of {user}, which has no public key")
            }
            Self::Diverged(user) => {
                write!(f, "the login password of {user} was changed without the keys")
            }
            Self::Provisional(user) => write!(f, "the keys of {user} wait for the first login"),
            Self::NoProvisionalKey => f.write_str("the site has no provisional key"),
            Self::NotTheLoginPassword(user) => {
                write!(f, "this takes the login password of {user}, not a printed code")
            }
            Self::PrintedCode => {
                f.write_str("a password must not have the form of an app password or recovery code")
            }
            Self::MistypedCode => f.write_str("this is no recovery code, or a mistyped one"),
            Self::Unlock { user, cause } => write!(f, "cannot unlock the keys of {user}: {cause}"),
            Self::BadName => write!(
                f,
                "a slot's name has 1 to {MAX_SLOT_NAME_CHARS} characters, no control character, and no \
                 space around it"
            ),
            Self::NameTaken { user, name } => {
                write!(f, "user {user} has an app password called \"{name}\" already")
            }
            Self::NoSlot { user, wanted } => write!(f, "user {user} has no slot \"{wanted}\""),
            Self::Kept { id, kind } => write!(f, "slot {id} is a {kind} and cannot be removed"),
        }
    }
}

impl std::error::Error for LoginError {}
