//! A password unlocks a user's keys, in memory, for one command; nothing is written.

use crate::keys::change::Change;
use crate::keys::code::Code;
use crate::keys::error::UnlockError;
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{RootKey, SlotKind};
use crate::user::User;

use super::error::LoginError;

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
    let record = find(keys, user)?;
    match record.unlock(password, secrets) {
        Ok(unlocked) => Ok((record, unlocked)),
        Err(UnlockError::NoPassword) if record.has(SlotKind::Provisional) => {
            Err(LoginError::Provisional(user.clone()))
        }
        Err(cause) => Err(LoginError::Unlock { user: user.clone(), cause }),
    }
}

/// The same for whoever is going to change something: an app password will not do.
pub(super) fn unlock_for_care(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
) -> Result<(Record, Unlocked), LoginError> {
    if Code::parse(password).is_some() {
        return Err(LoginError::NotTheLoginPassword(user.clone()));
    }
    unlock(keys, user, password, secrets)
}

pub(super) fn find(keys: &KeyDirectory, user: &User) -> Result<Record, LoginError> {
    Ok(keys.record(user)?.ok_or_else(|| DirectoryError::Unknown(user.clone()))?)
}

/// A change of `record`, which `root` unlocked.
pub(super) fn changed_by(
    keys: &KeyDirectory,
    user: &User,
    record: &Record,
    root: &RootKey,
) -> Result<Change, DirectoryError> {
    Change::of(record, root).map_err(|cause| keys.bad_record(user, cause))
}

/// Whether `password` can be a login password: one that looks like a printed code would be tried as one.
pub(super) fn usable_password(password: &[u8]) -> Result<(), LoginError> {
    if Code::parse(password).is_some() { Err(LoginError::PrintedCode) } else { Ok(()) }
}

/// Whether record and public half agree: a sentence for the postmaster where one of them was restored
/// from an older copy. Mail may then be sealed to a key that logins do not find.
///
/// # Errors
/// When one of the two cannot be read.
pub fn disagreement(
    keys: &KeyDirectory,
    user: &User,
    record: &Record,
) -> Result<Option<String>, DirectoryError> {
    let private = record.public().map_err(|cause| keys.bad_record(user, cause))?;
    let Some(public) = keys.public(user)? else {
        return Ok(Some(format!(
            "user {user} has a key record but no public key: no mail is sealed"
        )));
    };
    Ok(if public.generation > private.generation {
        Some(format!(
            "the key record of {user} is older (generation {}) than the public key (generation {}): \
             new mail cannot be opened",
            private.generation, public.generation
        ))
    } else if public.generation < private.generation {
        Some(format!(
            "the public key of {user} is older (generation {}) than the key record (generation {})",
            public.generation, private.generation
        ))
    } else if public.key != private.key {
        Some(format!("the public key of {user} is not the one in the key record"))
    } else if private.is_older_than(&public) {
        Some(format!(
            "the key record of {user} is an older copy (write {} of at least {}): passwords are those \
             of then",
            private.record, public.record
        ))
    } else {
        // A public half with an older count is what a crash between the two writes leaves.
        None
    })
}
