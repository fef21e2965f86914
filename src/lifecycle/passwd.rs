//! A password change: a new slot, then the old one goes. At each moment the old password or the new one
//! unlocks; there is none in which neither does.
//!
//! In one step where nobody else has to agree ([`change`]). In two around the login backend's own change
//! ([`stage`], then [`commit`] or [`abort`]), keys first and login password second: whatever is lost on
//! the way, both passwords unlock until a login shows which one the backend took ([`super::login`]).

use crate::keys::change::Change;
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::record::Record;
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{RootKey, Slot, SlotKind, SlotState};
use crate::secret::Secret;
use crate::user::User;

use super::error::LoginError;
use super::unlock::{changed_by, find, unlock_for_care, usable_password};

/// Changes the password of `user` from `old` to `new`, which is the only one from then on. The site's
/// recovery key gets its slot as at a login: nobody may ever log in through anything else.
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
    usable_password(new)?;
    let (record, unlocked) = unlock_for_care(keys, user, old, secrets)?;
    let bad = |cause| keys.bad_record(user, cause);
    let mut change = changed_by(keys, user, &record, unlocked.root())?;
    change.keep(|slot| slot.kind() != SlotKind::Password);
    change.add_password(new, &secrets.pepper, SlotState::Active, now).map_err(bad)?;
    let rotated = change.drop_other_escrow(secrets, now);
    change.add_escrow(secrets, now).map_err(bad)?;
    if rotated {
        change.rotate(now).map_err(bad)?;
    }
    keys.apply(user, change, &record)?;
    Ok(())
}

/// A password change that waits for the login backend. Holds what the record's MAC needs, in memory
/// only; lost with it, the first login that the backend confirms does the rest.
#[derive(Debug)]
pub struct Staged {
    user: User,
    root: RootKey,
    /// The slot of the new password.
    slot: String,
    /// The slot that the old password unlocked.
    through: String,
}

impl Staged {
    /// Whose password.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Puts the root key away to `place`, for who has memory that is safer. Without it nothing can be
    /// committed or aborted.
    pub fn put_away(&mut self, place: &mut [u8; RootKey::LEN]) {
        self.root.copy_into(place);
        self.root = RootKey::from(Secret::zero());
    }

    /// Takes it back from there.
    pub fn take_back(&mut self, place: &[u8; RootKey::LEN]) {
        if let Some(root) = Secret::copy_of(place) {
            self.root = RootKey::from(root);
        }
    }
}

/// Adds a slot for `new` that unlocks from now on, beside the one for `old`. A change that was staged
/// before and never committed gives way, unless `old` is its new password.
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
    usable_password(new)?;
    let (record, unlocked) = unlock_for_care(keys, user, old, secrets)?;
    let mut change = changed_by(keys, user, &record, unlocked.root())?;
    let through = unlocked.slot().to_owned();
    if unlocked.state() == SlotState::Pending {
        // The commit was lost, it seems; if not, the backend refuses the old password in a moment, and
        // the one that it does know must go on unlocking.
        promote(&mut change, &through);
    } else {
        change.keep(|slot| !is_password(slot, SlotState::Pending));
    }
    let slot = change
        .add_password(new, &secrets.pepper, SlotState::Pending, now)
        .map_err(|cause| keys.bad_record(user, cause))?;
    let (_, root) = keys.apply(user, change, &record)?;
    Ok(Staged { user: user.clone(), root, slot, through })
}

/// The login backend took the new password: its slot is the one that counts. The old one goes with the
/// first login through the new one.
///
/// # Errors
/// When another change won, or what was in the way. The new password unlocks all the same, unless
/// another change replaced it.
pub fn commit(keys: &KeyDirectory, staged: Staged) -> Result<(), LoginError> {
    let (record, state) = staged_in(keys, &staged)?;
    match state {
        None => Err(DirectoryError::Changed(staged.user).into()),
        // A login was faster.
        Some(SlotState::Active | SlotState::Retiring) => Ok(()),
        Some(SlotState::Pending) => {
            let mut change = changed_by(keys, &staged.user, &record, &staged.root)?;
            change.keep(|slot| {
                slot.kind() != SlotKind::Password
                    || [&staged.slot, &staged.through].iter().any(|id| *id == slot.id())
            });
            change.set_state(&staged.through, SlotState::Retiring);
            change.set_state(&staged.slot, SlotState::Active);
            keys.apply(&staged.user, change, &record)?;
            Ok(())
        }
    }
}

/// The login backend did not take the new password: its slot goes, unless a login has shown otherwise.
///
/// # Errors
/// What was in the way; the slot then goes with a later login or change.
pub fn abort(keys: &KeyDirectory, staged: Staged) -> Result<(), LoginError> {
    let (record, state) = staged_in(keys, &staged)?;
    if state == Some(SlotState::Pending) {
        let mut change = changed_by(keys, &staged.user, &record, &staged.root)?;
        change.keep(|slot| slot.id() != staged.slot);
        keys.apply(&staged.user, change, &record)?;
    }
    Ok(())
}

/// The record as it is now, and what became of the new password's slot in it.
fn staged_in(
    keys: &KeyDirectory,
    staged: &Staged,
) -> Result<(Record, Option<SlotState>), LoginError> {
    let record = find(keys, &staged.user)?;
    if !record.is_under(&staged.root) {
        return Err(DirectoryError::Changed(staged.user.clone()).into());
    }
    let slot = record.slots().iter().find(|slot| slot.id() == staged.slot);
    let state = slot.map(Slot::state);
    Ok((record, state))
}

/// Makes the pending slot `id` the active one, and the active one the retiring one.
pub(super) fn promote(change: &mut Change, id: &str) {
    change.keep(|slot| !is_password(slot, SlotState::Retiring));
    let active = change.slots().iter().find(|slot| is_password(slot, SlotState::Active));
    if let Some(active) = active.map(|slot| slot.id().to_owned()) {
        change.set_state(&active, SlotState::Retiring);
    }
    change.set_state(id, SlotState::Active);
}

pub(super) fn is_password(slot: &Slot, state: SlotState) -> bool {
    slot.kind() == SlotKind::Password && slot.state() == state
}
