//! A password change: one slot is rewritten. At each moment the old password or the new one unlocks;
//! there is none in which neither does.
//!
//! In one step where the keys' password is the only one ([`change`]); in two around the login backend's
//! own change ([`stage`], then [`commit`] or [`abort`]): keys first, login password second.

use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::user::User;

use super::unlock::{LoginError, unlock};

/// Changes the password of `user` from `old` to `new`.
///
/// # Errors
/// When `old` is not the password, or the record was changed meanwhile; the old one then holds.
pub fn change(
    keys: &KeyDirectory,
    user: &User,
    old: &[u8],
    new: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<(), LoginError> {
    let staged = stage(keys, user, old, new, secrets, now)?;
    commit(keys, staged)
}

/// A password change that waits for the login backend. Holds what the record's MAC needs, in memory
/// only; lost with it, the first login that the backend confirms does the rest.
#[derive(Debug)]
pub struct Staged {
    user: User,
    record: Record,
    changed: Record,
    _unlocked: Unlocked,
}

impl Staged {
    /// Whose password.
    pub fn user(&self) -> &User {
        &self.user
    }
}

/// Adds a slot for `new` that unlocks from now on, beside the one for `old`.
///
/// # Errors
/// When `old` is not the password, or the record was changed meanwhile; nothing is changed then.
pub fn stage(
    keys: &KeyDirectory,
    user: &User,
    old: &[u8],
    new: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<Staged, LoginError> {
    let (record, unlocked) = unlock(keys, user, old, secrets)?;
    let changed = record
        .with_password(&unlocked, new, &secrets.pepper, now)
        .map_err(|cause| DirectoryError::Record(keys.path_of(user), cause))?;
    Ok(Staged { user: user.clone(), record, changed, _unlocked: unlocked })
}

/// The login backend took the new password: its slot is the one that counts, the old one goes with the
/// first login through it.
///
/// # Errors
/// When another change won, or what was in the way. The new password unlocks all the same, unless
/// another change replaced it.
pub fn commit(keys: &KeyDirectory, staged: Staged) -> Result<(), LoginError> {
    Ok(keys.replace_record(&staged.user, &staged.changed, &staged.record)?)
}

/// The login backend did not take the new password: its slot goes.
///
/// # Errors
/// What was in the way; the slot then goes with a later login or change.
pub fn abort(_keys: &KeyDirectory, _staged: Staged) -> Result<(), LoginError> {
    Ok(())
}
