//! A login: everything that it does to a user's key record.
//!
//! Only a login that the login backend has confirmed, for this very password and this very user,
//! changes anything.

use crate::keys::error::UnlockError;
use crate::keys::files::KeyDirectory;
use crate::keys::notice::Notice;
use crate::keys::record::{Record, Unlocked};
use crate::keys::site_secrets::SiteSecrets;
use crate::user::User;

use super::unlock::{LoginError, disagreement, unlock};

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
/// login backend took this password of this user just now) the record is settled as well.
///
/// # Errors
/// When nothing unlocks. What is in the way of settling is no error but a `problem`.
pub fn login(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
    confirmed: bool,
    _now: u64,
) -> Result<Login, LoginError> {
    let (record, unlocked) =
        unlock(keys, user, password, secrets).map_err(|error| match error {
            LoginError::Unlock { user, cause: UnlockError::WrongPassword } if confirmed => {
                LoginError::Diverged(user)
            }
            other => other,
        })?;
    let problem = disagreement(keys, user, &record)?;
    Ok(Login { record, unlocked, notices: Vec::new(), problem })
}
