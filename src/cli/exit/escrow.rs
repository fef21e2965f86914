//! How the commands of escrow end.

use std::io::ErrorKind;

use crate::keys::escrow::EscrowError;
use crate::lifecycle::escrow::RecoveryError;
use crate::lifecycle::recovery_key::RecoveryKeyError;

use super::{Failure, status};

impl From<EscrowError> for Failure {
    fn from(error: EscrowError) -> Self {
        let failure = Self::data(&error);
        match error {
            EscrowError::WrongPassword(_) => Self { status: status::NO_PERMISSION, ..failure },
            EscrowError::OutOfMemory => Self { status: status::TEMPORARY_FAILURE, ..failure },
            EscrowError::BadNumbers => Self { status: status::USAGE, ..failure },
            EscrowError::AlteredShare(_) => failure.hint("take another officer's share"),
            EscrowError::OtherSet { .. } => {
                failure.hint("take shares that `recovery init` made at the same time")
            }
            EscrowError::OtherKey { .. } => {
                failure.hint("the site has had several recovery keys; each user's slot is for one")
            }
            EscrowError::OtherUser { .. } | EscrowError::AlteredSlot(_) => {
                failure.hint("give no answer before you know who made this blob, and how")
            }
            EscrowError::Malformed { .. }
            | EscrowError::OtherFormat { .. }
            | EscrowError::Twice { .. }
            | EscrowError::TooFew { .. }
            | EscrowError::ForgedShare => failure,
        }
    }
}

impl From<RecoveryKeyError> for Failure {
    fn from(error: RecoveryKeyError) -> Self {
        match error {
            RecoveryKeyError::File(error) if error.kind() == ErrorKind::AlreadyExists => {
                Self::from(error).hint("name a new folder: nothing is ever overwritten")
            }
            RecoveryKeyError::File(error) => error.into(),
            RecoveryKeyError::Escrow(error) => error.into(),
            RecoveryKeyError::ShortPassword => Self::no_input(error),
        }
    }
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        let failure = Self::data(&error);
        match error {
            RecoveryError::Login(error) => error.into(),
            RecoveryError::NoSlot { on: true, .. } => failure
                .hint("the user has not logged in since escrow was turned on: it takes a recovery code or the old password"),
            RecoveryError::NoSlot { on: false, .. } => failure.hint(
                "escrow is off ([keys] recovery_key): it takes a recovery code or the old password",
            ),
            RecoveryError::NotBegun(user)
            | RecoveryError::TooLate(user)
            | RecoveryError::OtherAnswer(user)
            | RecoveryError::OtherUser { user, .. }
            | RecoveryError::Stale(user) => failure.hint(format!(
                "nightsafe recovery export {user}, and ask the officers again"
            )),
        }
    }
}
