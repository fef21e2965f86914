//! A login: everything that it does to a user's key record.
//!
//! Only a login that the login backend has confirmed, for this very password and this very user,
//! changes anything: it is the only one that shows which of two passwords is the one in force.

use crate::keys::change::Change;
use crate::keys::error::UnlockError;
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::notice::Notice;
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{Slot, SlotKind, SlotState};
use crate::user::User;

use super::enroll::end_provisional;
use super::error::LoginError;
use super::passwd::is_password;
use super::unlock::{changed_by, disagreement, find, unlock, usable_password};

/// How long, in seconds, a password stays that was staged and that no login has used; and one that was
/// replaced, where the login backend took it again after all.
const DOUBT: u64 = 24 * 60 * 60;

/// What a login gives.
#[derive(Debug)]
pub struct Login {
    /// The record as it is now.
    pub record: Record,
    /// The keys.
    pub unlocked: Unlocked,
    /// What the user is to be told, once.
    pub notices: Vec<Notice>,
    /// What is wrong with the account, for the postmaster; the login is good all the same.
    pub problem: Option<String>,
}

/// Unlocks the keys of `user` with `password` at `now`, in seconds since 1970. With `confirmed` (the
/// login backend took this password of this user just now) the record is settled as well:
///
/// * a pending password becomes the only one, a retiring one goes or comes back;
/// * keys that waited for the first login are locked under this password, and rotated;
/// * the site's recovery key gets its slot, where there is one; one that the site has no more loses it;
/// * a public half that is missing or older than the record is published;
/// * notices are handed over and forgotten, unless it is an app password.
///
/// # Errors
/// When nothing unlocks. What is in the way of settling is no error but a `problem`.
pub fn login(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
    confirmed: bool,
    now: u64,
) -> Result<Login, LoginError> {
    let found = match unlock(keys, user, password, secrets) {
        Err(LoginError::Provisional(_)) if confirmed => {
            return first_login(keys, user, password, secrets, now);
        }
        other => other,
    };
    let (record, unlocked) = found.map_err(|error| told(error, password, confirmed))?;
    if confirmed {
        return Ok(settled(keys, user, record, unlocked, secrets, now));
    }
    let problem = wrong_with(keys, user, &record);
    Ok(Login { record, unlocked, notices: Vec::new(), problem })
}

/// A wrong password that the backend took is another one since the keys were locked. That does not go
/// for app passwords: those are checked here.
fn told(error: LoginError, password: &[u8], confirmed: bool) -> LoginError {
    match error {
        LoginError::Unlock { user, cause: UnlockError::WrongPassword }
            if confirmed && usable_password(password).is_ok() =>
        {
            LoginError::Diverged(user)
        }
        other => other,
    }
}

fn wrong_with(keys: &KeyDirectory, user: &User, record: &Record) -> Option<String> {
    disagreement(keys, user, record).unwrap_or_else(|error| Some(error.to_string()))
}

/// The provisional key gives way to the password. Where that cannot be written, it opens once more.
fn first_login(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<Login, LoginError> {
    usable_password(password)?;
    let record = find(keys, user)?;
    match end_provisional(keys, user, &record, password, None, secrets, now) {
        Ok((record, unlocked)) => Ok(settled(keys, user, record, unlocked, secrets, now)),
        // Another first login was faster; what it left is like any other record.
        Err(LoginError::Directory(DirectoryError::Changed(_))) => {
            let (record, unlocked) = unlock(keys, user, password, secrets)
                .map_err(|error| told(error, password, true))?;
            Ok(settled(keys, user, record, unlocked, secrets, now))
        }
        Err(LoginError::Directory(error)) => {
            let failed = |cause| LoginError::Unlock { user: user.clone(), cause };
            let unlocked = record.unlock_provisional(secrets).map_err(failed)?;
            let problem = Some(error.to_string());
            Ok(Login { record, unlocked, notices: Vec::new(), problem })
        }
        Err(error) => Err(error),
    }
}

/// Does what a confirmed login does to a record.
fn settled(
    keys: &KeyDirectory,
    user: &User,
    record: Record,
    unlocked: Unlocked,
    secrets: &SiteSecrets,
    now: u64,
) -> Login {
    let mut login = Login { record, unlocked, notices: Vec::new(), problem: None };
    login.problem = match settle(keys, user, &mut login, secrets, now) {
        Ok(()) => wrong_with(keys, user, &login.record),
        // Somebody else is at it; the next login does what is left.
        Err(DirectoryError::Changed(_)) => None,
        Err(error) => Some(error.to_string()),
    };
    login
}

fn settle(
    keys: &KeyDirectory,
    user: &User,
    login: &mut Login,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<(), DirectoryError> {
    let mut change = changed_by(keys, user, &login.record, login.unlocked.root())?;
    let bad = |cause| keys.bad_record(user, cause);
    let (mut notices, mut rotated) = (Vec::new(), false);
    if login.unlocked.kind() == SlotKind::Password {
        settle_passwords(&mut change, &login.unlocked, now);
        rotated = change.drop_other_escrow(secrets, now);
        change.add_escrow(secrets, now).map_err(bad)?;
        notices = change.take_notices();
    }
    if rotated {
        change.rotate(now).map_err(bad)?;
    }
    if change.differs_from(&login.record) {
        // Told all the same when they cannot be forgotten: rather twice than never.
        login.notices = notices;
        let (record, root) = keys.apply(user, change, &login.record)?;
        login.record = record;
        if rotated && let Ok(unlocked) = login.record.unlocked_by(root, login.unlocked.slot()) {
            login.unlocked = unlocked;
        }
    } else if is_behind(keys, user, &login.record)? {
        keys.publish(user)?;
    }
    Ok(())
}

/// The backend has shown which password is in force: the one of the slot that `unlocked` came through.
fn settle_passwords(change: &mut Change, unlocked: &Unlocked, now: u64) {
    let through = unlocked.slot();
    match unlocked.state() {
        SlotState::Pending => {
            change.keep(|slot| slot.kind() != SlotKind::Password || slot.id() == through);
            change.set_state(through, SlotState::Active);
        }
        SlotState::Active => {
            // A retiring one that was made later was committed, and the backend took the older one
            // again: a replica that lags behind does so, too.
            let later = change.slots().iter().skip_while(|slot| slot.id() != through);
            let later: Vec<String> = later.map(|slot| slot.id().to_owned()).collect();
            let is_over = |slot: &Slot| now.saturating_sub(slot.created()) > DOUBT;
            change.keep(|slot| {
                let replaced = !later.iter().any(|id| id == slot.id());
                !(is_password(slot, SlotState::Pending) && is_over(slot)
                    || is_password(slot, SlotState::Retiring) && (replaced || is_over(slot)))
            });
        }
        SlotState::Retiring => {
            let slots = change.slots().iter();
            let active: Vec<String> = slots
                .filter(|slot| is_password(slot, SlotState::Active))
                .map(|slot| slot.id().to_owned())
                .collect();
            active.iter().for_each(|id| change.set_state(id, SlotState::Retiring));
            change.set_state(through, SlotState::Active);
        }
    }
}

/// Whether the public half is missing, or of an older key than the record's.
fn is_behind(keys: &KeyDirectory, user: &User, record: &Record) -> Result<bool, DirectoryError> {
    let private = record.public().map_err(|cause| keys.bad_record(user, cause))?;
    let public = keys.public(user)?;
    Ok(public.is_none_or(|public| public.generation < private.generation))
}
