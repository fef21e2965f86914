//! What can be wrong with a key record, and with a login.

use std::fmt;

use super::sealed::FORMAT;

/// A record that is of no use, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// It is not a key record.
    Malformed,
    /// It is of another version of the format.
    OtherFormat(String),
    /// It is another user's.
    OtherUser,
    /// Argon2 did not run.
    Kdf,
    /// A slot's public key is of no use.
    BadSlotKey,
    /// It cannot hold more of these.
    Full(&'static str),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("is no key record, or was altered"),
            Self::OtherFormat(format) => {
                write!(f, "has format {format:?}; this version reads {FORMAT}")
            }
            Self::OtherUser => f.write_str("is another user's key record"),
            Self::Kdf => f.write_str("not enough memory for argon2id"),
            Self::BadSlotKey => f.write_str("has a slot with a key of no use"),
            Self::Full(what) => write!(f, "can hold no more {what}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Why a record did not unlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnlockError {
    /// The password is another.
    WrongPassword,
    /// No slot takes a password.
    NoPassword,
    /// The record was made with another pepper.
    OtherPepper {
        /// The pepper's id in the record.
        wanted: String,
        /// The id of the one that was given.
        found: String,
    },
    /// No slot takes this code: it is used up, replaced, or somebody else's.
    WrongCode,
    /// The provisional key is another.
    OtherProvisionalKey {
        /// The public half of the one in the record.
        wanted: String,
        /// The public half of the site's, if it has one.
        found: Option<String>,
    },
    /// The password is right, and the record was altered.
    Damaged,
    /// There is no memory for Argon2.
    OutOfMemory,
}

impl UnlockError {
    /// The same of somebody who gave a code.
    pub(super) fn of_code(self) -> Self {
        if self == Self::WrongPassword { Self::WrongCode } else { self }
    }
}

impl fmt::Display for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword => f.write_str("wrong password"),
            Self::NoPassword => f.write_str("no slot takes a password"),
            Self::OtherPepper { wanted, found } => {
                write!(f, "the key record needs pepper {wanted}, and this one is {found}")
            }
            Self::WrongCode => f.write_str("the code is used up, replaced, or somebody else's"),
            Self::OtherProvisionalKey { wanted, found: Some(found) } => {
                write!(f, "the key record needs provisional key {wanted}, and this one is {found}")
            }
            Self::OtherProvisionalKey { wanted, found: None } => {
                write!(f, "the key record needs provisional key {wanted}, and there is none")
            }
            Self::Damaged => f.write_str("the key record was altered or is damaged"),
            Self::OutOfMemory => f.write_str("not enough memory for argon2id"),
        }
    }
}

impl std::error::Error for UnlockError {}
