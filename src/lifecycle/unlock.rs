//! A login by hand: a password unlocks a user's keys, in memory, for one command.

use std::fmt;

use crate::keys::error::UnlockError;
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::pepper::Pepper;
use crate::keys::record::{Record, Unlocked};
use crate::user::User;

/// Unlocks the keys of `user`.
///
/// # Errors
/// When there is no such user, or the password or the pepper is another.
pub fn unlock(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    pepper: &Pepper,
) -> Result<(Record, Unlocked), LoginError> {
    let record = keys.record(user)?.ok_or_else(|| DirectoryError::Unknown(user.clone()))?;
    let unlocked = record
        .unlock(password, pepper)
        .map_err(|cause| LoginError::Unlock { user: user.clone(), cause })?;
    Ok((record, unlocked))
}

/// Whether record and public half are the same key: a sentence for the postmaster where one of them
/// was restored from an older copy. Mail is then sealed to a key that logins may not find.
///
/// # Errors
/// When one of the two cannot be read.
pub fn disagreement(
    keys: &KeyDirectory,
    user: &User,
    record: &Record,
) -> Result<Option<String>, DirectoryError> {
    let private =
        record.public().map_err(|cause| DirectoryError::Record(keys.path_of(user), cause))?;
    Ok(match keys.public(user)? {
        None => Some(format!("user {user} has a key record but no public key: no mail is sealed")),
        Some(public) if public == private => None,
        Some(public) if public.generation > private.generation => Some(format!(
            "the key record of {user} is older (generation {}) than the public key (generation {}): \
             new mail cannot be opened",
            private.generation, public.generation
        )),
        Some(public) if public.generation < private.generation => Some(format!(
            "the public key of {user} is older (generation {}) than the key record (generation {})",
            public.generation, private.generation
        )),
        Some(_) => Some(format!("the public key of {user} is not the one in the key record")),
    })
}

/// Why a login did not unlock.
#[derive(Debug)]
pub enum LoginError {
    /// The key directory did not give the record.
    Directory(DirectoryError),
    /// There is a record without a public half, and this is not its password.
    Begun(User),
    /// The record did not unlock.
    Unlock {
        /// Whose.
        user: User,
        /// Why.
        cause: UnlockError,
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
            Self::Unlock { user, cause } => write!(f, "cannot unlock the keys of {user}: {cause}"),
        }
    }
}

impl std::error::Error for LoginError {}
