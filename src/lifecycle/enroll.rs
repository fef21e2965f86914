//! Enrolment: a new user's key pair. From then on all of his mail is sealed.

use crate::keys::error::UnlockError;
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::public::PublicHalf;
use crate::keys::record::Record;
use crate::keys::site_secrets::SiteSecrets;
use crate::user::User;

use super::unlock::LoginError;

/// Makes the keys of `user` and publishes the public half. An enrolment that was interrupted is
/// finished by the same password.
///
/// # Errors
/// When the user is enrolled already; or what was in the way.
pub fn enroll(
    keys: &KeyDirectory,
    user: &User,
    password: &[u8],
    secrets: &SiteSecrets,
    now: u64,
) -> Result<PublicHalf, LoginError> {
    if keys.public(user)?.is_some() {
        return Err(DirectoryError::Exists(user.clone()).into());
    }
    if let Some(interrupted) = keys.record(user)? {
        interrupted.unlock(password, secrets).map_err(|cause| match cause {
            UnlockError::WrongPassword => LoginError::Begun(user.clone()),
            cause => LoginError::Unlock { user: user.clone(), cause },
        })?;
        keys.publish(user)?;
        return public_of(keys, user, &interrupted);
    }
    let record = Record::create(user, password, &secrets.pepper, now)
        .map_err(|cause| DirectoryError::Record(keys.path_of(user), cause))?;
    keys.create_record(user, &record)?;
    public_of(keys, user, &record)
}

fn public_of(keys: &KeyDirectory, user: &User, record: &Record) -> Result<PublicHalf, LoginError> {
    let public = record.public();
    Ok(public.map_err(|cause| DirectoryError::Record(keys.path_of(user), cause))?)
}
