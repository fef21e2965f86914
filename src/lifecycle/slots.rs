//! The ways to a user's keys beside the login password: app passwords and a recovery code.
//!
//! To add one takes the login password, and so does to remove one: that rotates, so what was removed
//! opens no later mail even with an old copy of the record.

use crate::keys::code::{Code, CodeKind};
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::notice::Event;
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{Slot, SlotKind, is_slot_name};
use crate::user::User;

use super::error::LoginError;
use super::rotate::rotation;
use super::unlock::{changed_by, find, unlock_for_care};

/// The user's slots, oldest first.
///
/// # Errors
/// When there is no such user.
pub fn list(keys: &KeyDirectory, user: &User) -> Result<Vec<Slot>, LoginError> {
    Ok(find(keys, user)?.slots().to_vec())
}

/// Makes an app password called `name`. It is shown once, by whoever calls this.
///
/// # Errors
/// When the password is wrong, or the name is taken or none.
pub fn add_app(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    name: &str,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<Code, LoginError> {
    if !is_slot_name(name) {
        return Err(LoginError::BadName);
    }
    let (record, unlocked) = unlock_for_care(keys, user, password, secrets)?;
    if record.slots().iter().any(|slot| slot.name() == Some(name)) {
        return Err(LoginError::NameTaken { user: user.clone(), name: name.to_owned() });
    }
    let code = Code::generate(CodeKind::App);
    let mut change = changed_by(keys, user, &record, unlocked.root())?;
    change.add_code(&code, Some(name), now).map_err(|cause| keys.bad_record(user, cause))?;
    let event = Event::SlotAdded { kind: SlotKind::App, name: Some(name.to_owned()) };
    change.notify(event, now);
    keys.apply(user, change, &record)?;
    Ok(code)
}

/// Makes a recovery code, in the place of the one before. It is shown once, by whoever calls this.
///
/// # Errors
/// When the password is wrong; or what was in the way.
pub fn add_recovery(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<Code, LoginError> {
    let (record, unlocked) = unlock_for_care(keys, user, password, secrets)?;
    let bad = |cause| keys.bad_record(user, cause);
    let mut change = if record.has(SlotKind::Recovery) {
        let kept = |slot: &Slot| slot.kind() != SlotKind::Recovery;
        rotation(keys, user, &record, &unlocked, kept, now)?
    } else {
        changed_by(keys, user, &record, unlocked.root())?
    };
    let code = Code::generate(CodeKind::Recovery);
    change.add_code(&code, None, now).map_err(bad)?;
    change.notify(Event::SlotAdded { kind: SlotKind::Recovery, name: None }, now);
    keys.apply(user, change, &record)?;
    Ok(code)
}

/// Removes the slot with the id or name `wanted` and rotates.
///
/// # Errors
/// When the password is wrong, there is no such slot, or it is not one that can be removed.
pub fn remove(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    wanted: &str,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<Slot, LoginError> {
    let is_wanted = |slot: &&Slot| slot.id() == wanted || slot.name() == Some(wanted);
    let chosen = |slots: &[Slot]| slots.iter().find(is_wanted).cloned();
    let none = || LoginError::NoSlot { user: user.clone(), wanted: wanted.to_owned() };
    // Whoever misspells it is told so before he is asked to wait for Argon2.
    let slot = chosen(&list(keys, user)?).ok_or_else(none)?;
    if !matches!(slot.kind(), SlotKind::App | SlotKind::Recovery) {
        return Err(LoginError::Kept { id: slot.id().to_owned(), kind: slot.kind() });
    }
    let (record, unlocked) = unlock_for_care(keys, user, password, secrets)?;
    if !record.slots().contains(&slot) {
        return Err(DirectoryError::Changed(user.clone()).into());
    }
    let kept = |other: &Slot| other.id() != slot.id();
    let mut change = rotation(keys, user, &record, &unlocked, kept, now)?;
    let name = slot.name().map(str::to_owned);
    change.notify(Event::SlotRemoved { kind: slot.kind(), name }, now);
    keys.apply(user, change, &record)?;
    Ok(slot)
}
