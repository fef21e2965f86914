//! The way back when a password and the recovery code are lost and the site has a recovery key. The server's
//! half of it: what the officers are asked, and what is done with their answer. Each use is logged, and
//! told to the user at the next login.

use std::fmt;

use crate::age::PublicKey;
use crate::keys::escrow::{Answer, Blob, GOOD_FOR, OneTime};
use crate::keys::files::KeyDirectory;
use crate::keys::notice::Event;
use crate::keys::record::Record;
use crate::keys::site_secrets::SiteSecrets;
use crate::keys::{RootKey, Slot, SlotKind, SlotState};
use crate::log;
use crate::user::User;

use super::error::LoginError;
use super::unlock::{changed_by, find, usable_password};

/// The escrow slot of `user` for the officers, at `now` seconds since 1970: the one for the site's recovery
/// key, or else for the one before. The answer is good for 48 hours, and until the next export.
///
/// # Errors
/// When the record has no such slot; or what was in the way.
pub fn export(
    keys: &KeyDirectory,
    user: &User,
    recovery: Option<&PublicKey>,
    now: u64,
) -> Result<Blob, RecoveryError> {
    let record = find(keys, user)?;
    let no_slot = || RecoveryError::NoSlot { user: user.clone(), on: recovery.is_some() };
    let slot = escrow_slot(&record, recovery).ok_or_else(no_slot)?;
    let bad = |cause| LoginError::from(keys.bad_record(user, cause));
    let recovery_key: PublicKey = slot.public().parse().map_err(|_| no_slot())?;
    let one_time = OneTime::generate(recovery_key, now);
    let blob = Blob::of(&record, slot, &one_time.key.public_key(), now).map_err(bad)?;
    keys.begin_recovery(user, &one_time).map_err(LoginError::from)?;
    log::recovery_exported(user, &recovery_key);
    Ok(blob)
}

fn escrow_slot<'a>(record: &'a Record, recovery: Option<&PublicKey>) -> Option<&'a Slot> {
    let wanted = recovery.map(PublicKey::to_string);
    let slots = || record.slots().iter().filter(|slot| slot.kind() == SlotKind::Escrow);
    slots().find(|slot| Some(slot.public()) == wanted.as_deref()).or_else(|| slots().next_back())
}

/// Locks the keys of `user` under `password`, in the place of all passwords before, and rotates. App
/// passwords and the recovery code stay: they are the user's own, and each can be removed by itself. Gives
/// the public half of the recovery key that was used.
///
/// # Errors
/// When the answer is not the one to the last export, or came too late; or what was in the way, and then
/// the answer is still good.
pub fn finish(
    keys: &KeyDirectory,
    user: &User,
    answer: &Answer,
    password: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<PublicKey, RecoveryError> {
    usable_password(password)?;
    let one_time = keys.recovery_under_way(user).map_err(LoginError::from)?;
    let one_time = one_time.ok_or_else(|| RecoveryError::NotBegun(user.clone()))?;
    if one_time.is_over(now) {
        keys.end_recovery(user).map_err(LoginError::from)?;
        return Err(RecoveryError::TooLate(user.clone()));
    }
    let record = find(keys, user)?;
    let root = root_key(user, &record, answer, &one_time)?;
    log::recovery_key_used(user, &one_time.recovery_key);
    let bad = |cause| LoginError::from(keys.bad_record(user, cause));
    let mut change = changed_by(keys, user, &record, &root).map_err(LoginError::from)?;
    change.keep(|slot| !matches!(slot.kind(), SlotKind::Password | SlotKind::Provisional));
    change.add_password(password, &secrets.pepper, SlotState::Active, now).map_err(bad)?;
    change.rotate(now).map_err(bad)?;
    change.notify(Event::RecoveryKeyUsed, now);
    keys.apply(user, change, &record).map_err(LoginError::from)?;
    // Left over by a crash, it opens an answer that fits no record any more.
    keys.end_recovery(user).map_err(LoginError::from)?;
    Ok(one_time.recovery_key)
}

/// The root key in the answer, which must be that of the record as it is now.
fn root_key(
    user: &User,
    record: &Record,
    answer: &Answer,
    one_time: &OneTime,
) -> Result<RootKey, RecoveryError> {
    let opened = answer.open(&one_time.key);
    let (name, root) = opened.map_err(|_| RecoveryError::OtherAnswer(user.clone()))?;
    if record.all_names().first() != Some(&name) {
        return Err(RecoveryError::OtherUser { user: user.clone(), found: name });
    }
    if record.is_under(&root) { Ok(root) } else { Err(RecoveryError::Stale(user.clone())) }
}

/// Why the officers were not asked, or their answer was of no use.
#[derive(Debug)]
pub enum RecoveryError {
    /// What can also be wrong with a login.
    Login(LoginError),
    /// The record has no slot for a recovery key.
    NoSlot {
        /// Whose.
        user: User,
        /// Whether the site has a recovery key by now.
        on: bool,
    },
    /// There was no export, or its answer was used.
    NotBegun(User),
    /// The export is too old.
    TooLate(User),
    /// The answer is to another export, or was altered.
    OtherAnswer(User),
    /// The answer has the keys of somebody else.
    OtherUser {
        /// Who was to be recovered.
        user: User,
        /// Whose keys they are.
        found: User,
    },
    /// The root key is not that of the record: it was changed since the export.
    Stale(User),
}

impl From<LoginError> for RecoveryError {
    fn from(error: LoginError) -> Self {
        Self::Login(error)
    }
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(error) => error.fmt(f),
            Self::NoSlot { user, .. } => {
                write!(f, "the key record of {user} has no slot for a recovery key")
            }
            Self::NotBegun(user) => write!(f, "no recovery of {user} is under way"),
            Self::TooLate(user) => {
                write!(
                    f,
                    "the recovery of {user} was begun more than {} hours ago",
                    GOOD_FOR / 3600
                )
            }
            Self::OtherAnswer(user) => {
                write!(f, "this is not the answer to the last export of {user}, or it was altered")
            }
            Self::OtherUser { user, found } => {
                write!(f, "this answer has the keys of {found}, not those of {user}")
            }
            Self::Stale(user) => {
                write!(
                    f,
                    "the answer does not fit the keys of {user}, which were changed since the export"
                )
            }
        }
    }
}

impl std::error::Error for RecoveryError {}
