//! A password change: one slot is rewritten, in one step. Before it the old password unlocks, after it
//! the new one; there is no moment in which none does.

use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::pepper::Pepper;
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
    pepper: &Pepper,
    now: u64,
) -> Result<(), LoginError> {
    let (record, unlocked) = unlock(keys, user, old, pepper)?;
    let changed = record
        .with_password(&unlocked, new, pepper, now)
        .map_err(|cause| DirectoryError::Record(keys.path_of(user), cause))?;
    Ok(keys.replace_record(user, &changed, &record)?)
}
