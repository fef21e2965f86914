//! The key record of one user: a random root key seals the private keys, slots unlock the root key,
//! and a MAC under the root key covers all of it.

use std::collections::HashSet;
use std::fmt;

use encodify::base64::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::age::{PublicKey, SecretKey};
use crate::secret::Secret;
use crate::user::User;

use super::error::{RecordError, UnlockError};
use super::kdf::Cost;
use super::pepper::Pepper;
use super::public::PublicHalf;
use super::sealed::{self, FORMAT, Place};
use super::site_secrets::SiteSecrets;
use super::slot::{Slot, SlotKind, SlotState};

/// How many slots a record may have.
const MAX_SLOTS: usize = 64;
/// How many of them may cost an Argon2 run at a login: the active, a pending and a retiring one.
const MAX_PASSWORD_SLOTS: usize = 3;
/// How many key pairs a user may have had.
const MAX_KEYS: usize = 1024;

/// A record as it is written: JSON, what the MAC covers apart from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    record: Body,
    /// The names the user bore later, the present one last. Outside the MAC: a postmaster renames
    /// accounts without knowing their passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    renamed: Vec<String>,
    mac: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    format: String,
    /// The name at enrolment, to which everything sealed is bound.
    user: String,
    /// Counts the writes of this record.
    version: u64,
    /// Newest first; older ones stay, for older mail.
    keys: Vec<PrivateKey>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateKey {
    /// Counts the user's key pairs from 1.
    generation: u64,
    /// Seconds since 1970.
    created: u64,
    public: String,
    /// The X25519 scalar under the root key.
    sealed: String,
}

impl PrivateKey {
    fn item(&self) -> String {
        format!("key {}", self.generation)
    }
}

/// A user's keys, unlocked. The copies are wiped with it.
pub struct Unlocked {
    root: Secret<32>,
    slot: String,
    kind: SlotKind,
    state: SlotState,
    /// The private keys, newest first.
    pub keys: Vec<SecretKey>,
}

impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unlocked(slot {}, {} keys)", self.slot, self.keys.len())
    }
}

impl Unlocked {
    /// The id of the slot that it came through.
    pub fn slot(&self) -> &str {
        &self.slot
    }

    /// The kind of that slot.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// The state of that slot.
    pub fn state(&self) -> SlotState {
        self.state
    }
}

impl Record {
    /// A new user's record with one password slot, at `now` seconds after 1970.
    ///
    /// # Errors
    /// When Argon2 has no memory.
    pub fn create(
        user: &User,
        password: &[u8],
        pepper: &Pepper,
        now: u64,
    ) -> Result<Self, RecordError> {
        let root = Secret::random();
        let slot = Slot::for_password(user, password, pepper, &root, now)?;
        let key = SecretKey::generate();
        let public = key.public_key();
        let mut made = PrivateKey {
            generation: 1,
            created: now,
            public: public.to_string(),
            sealed: String::new(),
        };
        let place = Place { user, item: &made.item(), public: &public };
        made.sealed = sealed::seal(&private_keys(&root), &place, key.expose());
        let body = Body {
            format: FORMAT.to_owned(),
            user: user.to_string(),
            version: 1,
            keys: vec![made],
            slots: vec![slot],
        };
        Ok(Self { mac: mac(&root, &body), record: body, renamed: Vec::new() })
    }

    /// Reads the record of `user`.
    ///
    /// # Errors
    /// When it is of another version, another user's, or not well formed.
    pub fn parse(user: &User, bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Peek {
            record: PeekBody,
        }
        #[derive(Deserialize)]
        struct PeekBody {
            format: String,
        }
        let peek: Peek = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
        if peek.record.format != FORMAT {
            return Err(RecordError::OtherFormat(peek.record.format.chars().take(64).collect()));
        }
        let parsed: Self = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
        let keys = parsed.record.keys.iter();
        let slots = &parsed.record.slots;
        let passwords = slots.iter().filter(|slot| slot.kind == SlotKind::Password);
        let ids: HashSet<&str> = slots.iter().map(|slot| slot.id.as_str()).collect();
        let well_formed = parsed.names().is_some()
            && slots.len() <= MAX_SLOTS
            && ids.len() == slots.len()
            && passwords.count() <= MAX_PASSWORD_SLOTS
            && keys.len() <= MAX_KEYS
            && keys.clone().all(|key| key.public.parse::<PublicKey>().is_ok())
            && keys
                .zip(parsed.record.keys.iter().skip(1))
                .all(|(a, b)| a.generation > b.generation)
            && parsed.public_half().is_some()
            && parsed.record.slots.iter().all(Slot::is_well_formed);
        if !well_formed {
            return Err(RecordError::Malformed);
        }
        if parsed.names().as_ref().and_then(|names| names.last()) != Some(user) {
            return Err(RecordError::OtherUser);
        }
        Ok(parsed)
    }

    /// The record as it is written to its file.
    pub fn to_file(&self) -> Vec<u8> {
        // Serialising these plain structs into memory cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Every name the user has had, the present one last; `None` in a malformed record.
    fn names(&self) -> Option<Vec<User>> {
        let names = std::iter::once(&self.record.user).chain(&self.renamed);
        names.map(|name| User::parse(name).ok()).collect()
    }

    /// Every name the user has had, the present one last. Mail may be signed for any of them.
    pub fn all_names(&self) -> Vec<User> {
        self.names().unwrap_or_default()
    }

    /// Counts the writes of this record.
    pub fn version(&self) -> u64 {
        self.record.version
    }

    /// How many key pairs the user has had.
    pub fn key_count(&self) -> usize {
        self.record.keys.len()
    }

    /// The memory of the dearest Argon2 run that a login may cost, in KiB.
    pub fn memory_kib(&self) -> u32 {
        let slots = self.record.slots.iter().map(Slot::memory_kib);
        slots.max().unwrap_or(0).max(Cost::default().memory_kib)
    }

    /// Which peppers the password slots need, by their ids.
    pub fn peppers(&self) -> impl Iterator<Item = &str> {
        self.record.slots.iter().map(Slot::pepper)
    }

    /// The slots: id, kind, and when each was made, in seconds since 1970.
    pub fn slots(&self) -> impl Iterator<Item = (&str, SlotKind, u64)> {
        self.record.slots.iter().map(|slot| (slot.id.as_str(), slot.kind, slot.created))
    }

    /// The public half of the newest key; `None` in a malformed record.
    fn public_half(&self) -> Option<PublicHalf> {
        let newest = self.record.keys.first()?;
        Some(PublicHalf { key: newest.public.parse().ok()?, generation: newest.generation })
    }

    /// The public half of the newest key.
    ///
    /// # Errors
    /// In a record without keys, which [`Record::parse`] refuses.
    pub fn public(&self) -> Result<PublicHalf, RecordError> {
        self.public_half().ok_or(RecordError::Malformed)
    }

    /// Unlocks the record with a password.
    ///
    /// # Errors
    /// When the password or the pepper is another, or the record was altered.
    pub fn unlock(&self, password: &[u8], secrets: &SiteSecrets) -> Result<Unlocked, UnlockError> {
        let user = self.sealed_for()?;
        let mut problem = UnlockError::NoPassword;
        for slot in self.record.slots.iter().filter(|slot| slot.kind == SlotKind::Password) {
            match slot.unlock(&user, password, &secrets.pepper) {
                Ok(root) => return self.open_keys(&user, root, slot),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    fn open_keys(
        &self,
        user: &User,
        root: Secret<32>,
        slot: &Slot,
    ) -> Result<Unlocked, UnlockError> {
        if !mac_is_right(&root, &self.record, &self.mac) {
            return Err(UnlockError::Damaged);
        }
        let sealing = private_keys(&root);
        let keys = self.record.keys.iter().map(|key| {
            let public = key.public.parse().ok()?;
            let place = Place { user, item: &key.item(), public: &public };
            let scalar = sealed::open(&sealing, &place, &key.sealed)?;
            let secret = SecretKey::from_scalar_bytes(Secret::copy_of(scalar.expose())?);
            (secret.public_key() == public).then_some(secret)
        });
        let keys: Option<Vec<SecretKey>> = keys.collect();
        let keys = keys.ok_or(UnlockError::Damaged)?;
        Ok(Unlocked { root, slot: slot.id.clone(), kind: slot.kind, state: slot.state, keys })
    }

    /// The record with another password in the slot that `unlocked` came through. Nothing else
    /// changes but the version.
    ///
    /// # Errors
    /// When Argon2 has no memory.
    pub fn with_password(
        &self,
        unlocked: &Unlocked,
        password: &[u8],
        pepper: &Pepper,
        now: u64,
    ) -> Result<Self, RecordError> {
        let user = self.sealed_for().map_err(|_| RecordError::Malformed)?;
        let fresh = Slot::for_password(&user, password, pepper, &unlocked.root, now)?;
        let mut body = self.record.clone();
        body.version += 1;
        for slot in &mut body.slots {
            if slot.id == unlocked.slot {
                slot.clone_from(&fresh);
            }
        }
        Ok(Self { mac: mac(&unlocked.root, &body), record: body, renamed: self.renamed.clone() })
    }

    /// The same record for a user who is called `name` from now on.
    pub fn renamed_to(&self, name: &User) -> Self {
        let mut renamed = self.clone();
        renamed.renamed.push(name.to_string());
        renamed
    }

    fn sealed_for(&self) -> Result<User, UnlockError> {
        User::parse(&self.record.user).map_err(|_| UnlockError::Damaged)
    }
}

/// What the private keys are sealed under. The root key itself is for deriving only.
fn private_keys(root: &Secret<32>) -> Secret<32> {
    sealed::derive(root.expose(), "private keys")
}

fn keyed(root: &Secret<32>, body: &Body) -> Option<Hmac<Sha256>> {
    let key = sealed::derive(root.expose(), "record mac");
    let mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
    Some(mac.chain_update(serde_json::to_vec(body).ok()?))
}

fn mac(root: &Secret<32>, body: &Body) -> String {
    let tag = keyed(root, body).map(|mac| mac.finalize().into_bytes());
    STANDARD.encode(tag.unwrap_or_default())
}

fn mac_is_right(root: &Secret<32>, body: &Body, tag: &str) -> bool {
    let tag = STANDARD.decode(tag).unwrap_or_default();
    keyed(root, body).is_some_and(|mac| mac.verify_slice(&tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User::parse(name).unwrap()
    }

    #[test]
    fn life_of_a_record() {
        let (alice, pepper) = (user("alice"), Pepper::generate());
        let record = Record::create(&alice, b"old", &pepper, 1).unwrap();
        let read = Record::parse(&alice, &record.to_file()).unwrap();
        assert_eq!(read, record);
        let unlocked = read.unlock(b"old", &pepper).unwrap();
        assert_eq!(unlocked.keys[0].public_key(), record.public().unwrap().key);
        assert_eq!(read.unlock(b"new", &pepper).unwrap_err(), UnlockError::WrongPassword);

        let changed = read.with_password(&unlocked, b"new", &pepper, 2).unwrap();
        assert_eq!((changed.version(), changed.public()), (2, record.public()));
        assert_eq!(changed.unlock(b"old", &pepper).unwrap_err(), UnlockError::WrongPassword);
        let renamed = changed.renamed_to(&user("alice2"));
        let read = Record::parse(&user("alice2"), &renamed.to_file()).unwrap();
        assert_eq!(read.unlock(b"new", &pepper).unwrap().keys.len(), 1);
        assert_eq!(read.all_names(), [user("alice"), user("alice2")]);
        assert_eq!(Record::parse(&alice, &renamed.to_file()), Err(RecordError::OtherUser));

        let other = Pepper::generate();
        assert!(matches!(read.unlock(b"new", &other), Err(UnlockError::OtherPepper { .. })));
        assert!(!format!("{unlocked:?}{record:?}").contains("SECRET"));
    }

    #[test]
    fn nothing_can_be_changed_behind_the_mac() {
        let (alice, pepper) = (user("alice"), Pepper::generate());
        let record = Record::create(&alice, b"pw", &pepper, 1).unwrap();
        let mut later = record.clone();
        later.record.version = 7;
        assert_eq!(later.unlock(b"pw", &pepper).unwrap_err(), UnlockError::Damaged);
        let mut swapped = record.clone();
        swapped.record.keys[0].sealed =
            Record::create(&alice, b"pw", &pepper, 1).unwrap().record.keys[0].sealed.clone();
        assert_eq!(swapped.unlock(b"pw", &pepper).unwrap_err(), UnlockError::Damaged);
    }

    #[test]
    fn bad_files_are_told_apart() {
        let alice = user("alice");
        let record = Record::create(&alice, b"pw", &Pepper::generate(), 1).unwrap();
        let text = String::from_utf8(record.to_file()).unwrap();
        let parse = |text: &str| Record::parse(&alice, text.as_bytes()).unwrap_err();
        assert_eq!(parse(""), RecordError::Malformed);
        assert_eq!(
            parse(&text.replace("record/1", "record/2")),
            RecordError::OtherFormat("nightsafe-record/2".into())
        );
        assert_eq!(parse(&text.replace("\"version\"", "\"verse\"")), RecordError::Malformed);
        assert_eq!(parse(&text.replace("65536", "999999999")), RecordError::Malformed);
        let mut doubled = record.clone();
        doubled.record.slots.push(record.record.slots[0].clone());
        let doubled = doubled.to_file();
        assert_eq!(parse(std::str::from_utf8(&doubled).unwrap()), RecordError::Malformed);
        assert_eq!(parse(&text.replace("alice", "../al")), RecordError::Malformed);
        assert_eq!(parse(&text.replace("alice", "bob")), RecordError::OtherUser);
    }
}
