//! What a user is to be told at the next login, kept in the record until then.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::slot::SlotKind;

/// Something that happened to a user's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub event: Event,
}

/// What can happen to a user's keys that he should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A recovery code unlocked them, and is used up.
    RecoveryCodeUsed,
    /// The site's recovery key unlocked them.
    RecoveryKeyUsed,
    /// The site's recovery key can unlock them from now on.
    RecoveryKeyAdded {
        /// Which one: its public half.
        key: String,
    },
    /// A slot was added.
    SlotAdded {
        /// Its kind.
        kind: SlotKind,
        /// What it is called.
        name: Option<String>,
    },
    /// A slot was removed, and the keys were rotated.
    SlotRemoved {
        /// Its kind.
        kind: SlotKind,
        /// What it was called.
        name: Option<String>,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, kind, name) = match self {
            Self::RecoveryCodeUsed => return f.write_str("a recovery code unlocked your keys"),
            Self::RecoveryKeyUsed => {
                return f.write_str("the site's recovery key unlocked your keys");
            }
            Self::RecoveryKeyAdded { key } => {
                return write!(f, "the site's recovery key {key} can unlock your keys");
            }
            Self::SlotAdded { kind, name } => ("added", kind, name),
            Self::SlotRemoved { kind, name } => ("removed", kind, name),
        };
        match name {
            Some(name) => write!(f, "the {kind} \"{name}\" was {done}"),
            None => write!(f, "a {kind} was {done}"),
        }
    }
}
