//! The way back when the password is lost: a recovery code, good for one use.

use crate::keys::SlotKind;
use crate::keys::SlotState;
use crate::keys::code::{Code, CodeKind};
use crate::keys::files::KeyDirectory;
use crate::keys::notice::Event;
use crate::keys::site_secrets::SiteSecrets;
use crate::user::User;

use super::error::LoginError;
use super::unlock::{changed_by, find, usable_password};

/// Locks the keys of `user` under `password`, in the place of all passwords before, and rotates. The
/// code that was typed is used up; `next` takes its place, if there is one.
///
/// # Errors
/// When the code is mistyped, used up, or somebody else's; or what was in the way, and then the code is
/// still good.
pub fn use_code(
    keys: &KeyDirectory,
    user: &User,
    typed: &[u8],
    password: &[u8],
    next: Option<&Code>,
    secrets: &SiteSecrets,
    now: u64,
) -> Result<(), LoginError> {
    usable_password(password)?;
    let code = Code::parse(typed).filter(|code| code.kind() == CodeKind::Recovery);
    let code = code.ok_or(LoginError::MistypedCode)?;
    let record = find(keys, user)?;
    let unlocked = record
        .unlock_with_code(&code)
        .map_err(|cause| LoginError::Unlock { user: user.clone(), cause })?;
    let bad = |cause| keys.bad_record(user, cause);
    let mut change = changed_by(keys, user, &record, unlocked.root())?;
    change.keep(|slot| !matches!(slot.kind(), SlotKind::Recovery | SlotKind::Password));
    change.add_password(password, &secrets.pepper, SlotState::Active, now).map_err(bad)?;
    if let Some(next) = next {
        change.add_code(next, None, now).map_err(bad)?;
    }
    change.rotate(now).map_err(bad)?;
    change.notify(Event::RecoveryCodeUsed, now);
    keys.apply(user, change, &record)?;
    Ok(())
}
