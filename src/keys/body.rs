//! What the MAC of a record covers: the user, the private keys, the slots, the notices.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::age::{PublicKey, SecretKey};
use crate::user::User;

use super::notice::Notice;
use super::public::PublicHalf;
use super::root::RootKey;
use super::sealed::Place;
use super::slot::{Slot, SlotKind, SlotState};

/// How many slots a record may have.
pub(super) const MAX_SLOTS: usize = 64;
/// How many key pairs a user may have had.
pub(super) const MAX_KEYS: usize = 1024;
/// How many notices wait for the next login; older ones give way.
pub(super) const MAX_NOTICES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) format: String,
    /// The name at enrolment, to which everything sealed is bound.
    pub(super) user: String,
    /// Counts the writes of this record.
    pub(super) version: u64,
    /// Newest first; older ones stay, for older mail.
    pub(super) keys: Vec<PrivateKey>,
    pub(super) slots: Vec<Slot>,
    /// What the user is to be told at the next login, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notices: Vec<Notice>,
}

impl Body {
    /// As the MAC covers it.
    pub(super) fn text(&self) -> Vec<u8> {
        // Serialising these plain structs into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The public half of the newest key; `None` in a malformed record.
    pub(super) fn public_half(&self) -> Option<PublicHalf> {
        let newest = self.keys.first()?;
        let key = newest.public.parse().ok()?;
        Some(PublicHalf { key, generation: newest.generation, record: self.version })
    }

    /// Checks what can be checked without a secret. What it bounds is bounded before any work is done.
    pub(super) fn is_well_formed(&self) -> bool {
        let ids: HashSet<&str> = self.slots.iter().map(Slot::id).collect();
        self.slots.len() <= MAX_SLOTS
            && ids.len() == self.slots.len()
            && self.slots.iter().all(Slot::is_well_formed)
            // Each of them may cost an Argon2 run at a login.
            && [SlotState::Active, SlotState::Pending, SlotState::Retiring]
                .iter()
                .all(|state| self.passwords(*state).count() <= 1)
            && (1..=MAX_KEYS).contains(&self.keys.len())
            && self.keys.iter().all(|key| key.public.parse::<PublicKey>().is_ok())
            && self.keys.is_sorted_by(|newer, older| newer.generation > older.generation)
            && self.notices.len() <= MAX_NOTICES
    }

    /// The password slots in this state; there is at most one.
    pub(super) fn passwords(&self, state: SlotState) -> impl Iterator<Item = &Slot> {
        let slots = self.slots.iter();
        slots.filter(move |slot| slot.kind() == SlotKind::Password && slot.state() == state)
    }
}

/// One private key, locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateKey {
    /// Counts the user's key pairs from 1.
    pub(super) generation: u64,
    /// Seconds since 1970.
    created: u64,
    public: String,
    /// The X25519 scalar under the root key.
    sealed: String,
}

impl PrivateKey {
    /// A new one under `root`.
    pub(super) fn generate(user: &User, generation: u64, root: &RootKey, now: u64) -> Self {
        let key = SecretKey::generate();
        let public = key.public_key();
        let sealed = root.seal_key(&Place { user, item: &item(generation), public: &public }, &key);
        Self { generation, created: now, public: public.to_string(), sealed }
    }

    /// The key itself; `None` when this is not what `root` sealed.
    pub(super) fn open(&self, user: &User, root: &RootKey) -> Option<SecretKey> {
        let public = self.public.parse().ok()?;
        let place = Place { user, item: &item(self.generation), public: &public };
        root.open_key(&place, &self.sealed)
    }

    /// The same key under another root key.
    pub(super) fn moved(&self, user: &User, from: &RootKey, to: &RootKey) -> Option<Self> {
        let key = self.open(user, from)?;
        let place = Place { user, item: &item(self.generation), public: &key.public_key() };
        Some(Self { sealed: to.seal_key(&place, &key), ..self.clone() })
    }
}

fn item(generation: u64) -> String {
    format!("key {generation}")
}
