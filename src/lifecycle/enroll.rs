//! Enrolment: a new user's key pair. From then on all of his mail is sealed.
//!
//! With a password, or without knowing one: then the site's provisional key holds the place of the
//! password until the first login.

use crate::keys::change::Change;
use crate::keys::code::Code;
use crate::keys::error::{RecordError, UnlockError};
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::public::PublicHalf;
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{SlotKind, SlotState};
use crate::user::User;

use super::error::LoginError;
use super::unlock::{changed_by, usable_password};

/// Makes the keys of `user` and publishes the public half. With `code` they have a recovery code, too.
/// An enrolment that was interrupted is finished by the same password; a provisional one ends: mail
/// from now on is sealed to a key that the provisional key does not open.
///
/// The password must be the user's own: typed by him, or taken by the login backend just now.
///
/// # Errors
/// When the user is enrolled already; or what was in the way.
pub fn enroll(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    code: Option<&Code>,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<PublicHalf, LoginError> {
    usable_password(password)?;
    let record = keys.record(user)?;
    if let Some(record) = record.as_ref().filter(|record| record.has(SlotKind::Provisional)) {
        let (record, _) = end_provisional(keys, user, record, password, code, secrets, now)?;
        return public_of(keys, user, &record);
    }
    if keys.public(user)?.is_some() {
        return Err(DirectoryError::Exists(user.clone()).into());
    }
    match record {
        Some(interrupted) => finish(keys, user, &interrupted, password, code, secrets, now),
        None => {
            let bad = |cause| keys.bad_record(user, cause);
            let mut change = Change::enrolment(user, now);
            let state = SlotState::Active;
            change.add_password(password, &secrets.pepper, state, now).map_err(bad)?;
            add_others(&mut change, code, secrets, now).map_err(bad)?;
            let record = keys.create_record(user, change)?;
            public_of(keys, user, &record)
        }
    }
}

/// Makes the keys of a user whose password nobody knows. An interrupted enrolment is finished.
///
/// # Errors
/// When the user is enrolled already; or what was in the way.
pub fn enroll_provisional(
    keys: &KeyDirectory,
    user: &User,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<PublicHalf, LoginError> {
    let provisional = secrets.provisional.as_ref().ok_or(LoginError::NoProvisionalKey)?;
    match keys.record(user)? {
        Some(begun) if begun.has(SlotKind::Provisional) && keys.public(user)?.is_none() => {
            keys.publish(user)?;
            public_of(keys, user, &begun)
        }
        Some(_) => Err(DirectoryError::Exists(user.clone()).into()),
        None => {
            let bad = |cause| keys.bad_record(user, cause);
            let mut change = Change::enrolment(user, now);
            change.add_provisional(&provisional.public_key(), now).map_err(bad)?;
            add_others(&mut change, None, secrets, now).map_err(bad)?;
            let record = keys.create_record(user, change)?;
            public_of(keys, user, &record)
        }
    }
}

/// Puts a slot for `password` in the place of the provisional one and rotates.
pub(super) fn end_provisional(
    keys: &KeyDirectory,
    user: &User,
    record: &Record,
    password: &[u8],
    code: Option<&Code>,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<(Record, Unlocked), LoginError> {
    let failed = |cause| LoginError::Unlock { user: user.clone(), cause };
    let bad = |cause| keys.bad_record(user, cause);
    let unlocked = record.unlock_provisional(secrets).map_err(failed)?;
    let mut change = changed_by(keys, user, record, unlocked.root())?;
    change.keep(|slot| slot.kind() != SlotKind::Provisional);
    let state = SlotState::Active;
    let slot = change.add_password(password, &secrets.pepper, state, now).map_err(bad)?;
    add_others(&mut change, code, secrets, now).map_err(bad)?;
    change.rotate(now).map_err(bad)?;
    let (record, root) = keys.apply(user, change, record)?;
    let unlocked = record.unlocked_by(root, &slot).map_err(failed)?;
    Ok((record, unlocked))
}

/// A record without a public half: nothing was ever sealed to its key.
fn finish(
    keys: &KeyDirectory,
    user: &User,
    interrupted: &Record,
    password: &[u8],
    code: Option<&Code>,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<PublicHalf, LoginError> {
    let unlocked = interrupted.unlock(password, secrets).map_err(|cause| match cause {
        UnlockError::WrongPassword => LoginError::Begun(user.clone()),
        cause => LoginError::Unlock { user: user.clone(), cause },
    })?;
    if code.is_none() {
        keys.publish(user)?;
        return public_of(keys, user, interrupted);
    }
    let mut change = changed_by(keys, user, interrupted, unlocked.root())?;
    // Nobody saw the code of the interrupted one.
    change.keep(|slot| slot.kind() != SlotKind::Recovery);
    add_others(&mut change, code, secrets, now).map_err(|cause| keys.bad_record(user, cause))?;
    let (record, _) = keys.apply(user, change, interrupted)?;
    public_of(keys, user, &record)
}

fn add_others(
    change: &mut Change,
    code: Option<&Code>,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<(), RecordError> {
    if let Some(code) = code {
        change.add_code(code, None, now)?;
    }
    change.add_escrow(secrets, now)
}

fn public_of(keys: &KeyDirectory, user: &User, record: &Record) -> Result<PublicHalf, LoginError> {
    Ok(record.public().map_err(|cause| keys.bad_record(user, cause))?)
}
