//! A login by hand: a password unlocks a user's keys, in memory, for one command.

use std::fmt;

use crate::keys::error::UnlockError;
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::user::User;

/// Unlocks the keys of `user`.
///
/// # Errors
/// When there is no such user, or the password or the pepper is another.
pub fn unlock(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
) -> Result<(Record, Unlocked), LoginError> {
    let record = keys.record(user)?.ok_or_else(|| DirectoryError::Unknown(user.clone()))?;
    let unlocked = record
        .unlock(password, secrets)
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
    /// The login backend took this password, and no slot does: it was changed without the keys.
    Diverged(User),
    /// The user never logged in: nothing but the first confirmed login unlocks, and there is no
    /// password to change.
    Provisional(User),
    /// An app password or a recovery code where the login password is needed.
    NotTheLoginPassword(User),
    /// A new password of the form of a printed code, which would be taken for one.
    PrintedCode,
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
            Self::Diverged(user) => {
                write!(f, "the login password of {user} was changed without the keys")
            }
            Self::Provisional(user) => write!(f, "the keys of {user} wait for the first login"),
            Self::NotTheLoginPassword(user) => {
                write!(f, "this takes the login password of {user}, not an app password")
            }
            Self::PrintedCode => {
                f.write_str("a password must not have the form of an app password or recovery code")
            }
            Self::Unlock { user, cause } => write!(f, "cannot unlock the keys of {user}: {cause}"),
        }
    }
}

impl std::error::Error for LoginError {}
