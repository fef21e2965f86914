//! Rotation: a new root key, sealed to the slots that remain, and a new key pair for later mail. An old
//! password or a removed app password opens, with any old copy of the record, only the mail up to it.

use crate::keys::change::Change;
use crate::keys::files::KeyDirectory;
use crate::keys::public::PublicHalf;
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{Slot, SlotState};
use crate::user::User;

use super::error::LoginError;
use super::passwd::is_password;
use super::unlock::{changed_by, unlock_for_care};

/// Rotates the keys of `user`.
///
/// # Errors
/// When the password is wrong; or what was in the way.
pub fn rotate(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<PublicHalf, LoginError> {
    let (record, unlocked) = unlock_for_care(keys, user, password, secrets)?;
    let change = rotation(keys, user, &record, &unlocked, |_| true, now)?;
    let (record, _) = keys.apply(user, change, &record)?;
    Ok(record.public().map_err(|cause| keys.bad_record(user, cause))?)
}

/// A rotation to the slots that `keep` wants. A password that was replaced goes with it, where it is the
/// one after it that unlocked; one that waits for the login backend stays.
pub(super) fn rotation(
    keys: &KeyDirectory,
    user: &User,
    record: &Record,
    unlocked: &Unlocked,
    keep: impl Fn(&Slot) -> bool,
    now: u64,
) -> Result<Change, LoginError> {
    let mut change = changed_by(keys, user, record, unlocked.root())?;
    let by_active = unlocked.state() == SlotState::Active;
    change.keep(|slot| keep(slot) && !(by_active && is_password(slot, SlotState::Retiring)));
    change.rotate(now).map_err(|cause| keys.bad_record(user, cause))?;
    Ok(change)
}
