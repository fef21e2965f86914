//! What can be wrong with what the officers hold or get. Each error names the file.

use std::fmt;

use crate::user::User;

/// Why the private recovery key, or a user's slot, did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EscrowError {
    /// It is not the document that it should be.
    Malformed {
        /// The file.
        file: String,
        /// What it should be.
        what: &'static str,
    },
    /// It is another document, or one of another version.
    OtherFormat {
        /// The file.
        file: String,
        /// What it should be.
        what: &'static str,
        /// What it says that it is.
        found: String,
    },
    /// The master password is another, or the file was altered: no one can tell which.
    WrongPassword(String),
    /// There is no memory for Argon2.
    OutOfMemory,
    /// A share is not as it was written.
    AlteredShare(String),
    /// A share is of another recovery key, or of another splitting of the same one.
    OtherSet {
        /// The share's file.
        file: String,
        /// The first share's file.
        first: String,
    },
    /// One share twice.
    Twice {
        /// The file.
        file: String,
        /// The one that it repeats.
        first: String,
    },
    /// So few shares open nothing.
    TooFew {
        /// How many there are.
        given: usize,
        /// How many it takes.
        needed: usize,
    },
    /// The shares are of one set and make another key: somebody made one up.
    ForgedShare,
    /// A splitting that makes no sense.
    BadNumbers,
    /// The slot is for another recovery key.
    OtherKey {
        /// The blob's file.
        file: String,
        /// The key that it needs.
        wanted: String,
        /// The one that was given.
        found: String,
    },
    /// Somebody put another user's slot there.
    OtherUser {
        /// The blob's file.
        file: String,
        /// Whose keys it says that it is about.
        claimed: User,
        /// Whose they are.
        user: User,
    },
    /// The slot was altered.
    AlteredSlot(String),
}

impl fmt::Display for EscrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { file, what } => write!(f, "{file} is no {what}, or was altered"),
            Self::OtherFormat { file, what, found } => {
                write!(f, "{file} is no {what} of this version: it has format {found:?}")
            }
            Self::WrongPassword(file) => {
                write!(f, "cannot unlock {file}: wrong master password, or it was altered")
            }
            Self::OutOfMemory => f.write_str("not enough memory for argon2id"),
            Self::AlteredShare(file) => write!(f, "{file} was altered"),
            Self::OtherSet { file, first } => write!(f, "{file} is not of the same set as {first}"),
            Self::Twice { file, first } => write!(f, "{file} is the same share as {first}"),
            Self::TooFew { given: 1, needed } => {
                write!(f, "1 share opens nothing: it takes {needed}")
            }
            Self::TooFew { given, needed } => {
                write!(f, "{given} shares open nothing: it takes {needed}")
            }
            Self::ForgedShare => f.write_str(
                "these shares do not make the recovery key they name: one of them was made up",
            ),
            Self::BadNumbers => f.write_str(
                "a threshold is at least 2 and at most the number of shares, of which there are up to 255",
            ),
            Self::OtherKey { file, wanted, found } => {
                write!(f, "{file} needs recovery key {wanted}, and this one is {found}")
            }
            Self::OtherUser { file, claimed, user } => {
                write!(f, "{file} says that it is about {claimed}, and has the keys of {user}")
            }
            Self::AlteredSlot(file) => write!(f, "the slot in {file} was altered"),
        }
    }
}

impl std::error::Error for EscrowError {}
