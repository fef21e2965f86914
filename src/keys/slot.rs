//! A slot: one way to unlock a user's root key. Each is an X25519 key pair derived from its secret,
//! and the root key is sealed to its public half, so that a slot can be sealed anew without its
//! secret.

use std::fmt;

use encodify::base64::STANDARD;
use serde::{Deserialize, Serialize};

use crate::age::{self, PublicKey, SecretKey, Stanza};
use crate::secret::{self, Secret};
use crate::user::User;

use super::error::{RecordError, UnlockError};
use super::kdf::{self, Cost};
use super::pepper::Pepper;
use super::sealed::{self, Place};

/// What unlocks a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    /// The login password.
    Password,
    /// A generated password for one program or device.
    App,
    /// A printed code, good for one use.
    Recovery,
    /// The site's recovery key.
    Escrow,
    /// The site's provisional key, until the first login.
    Provisional,
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "password",
            Self::App => "app password",
            Self::Recovery => "recovery code",
            Self::Escrow => "recovery key",
            Self::Provisional => "provisional key",
        })
    }
}

/// What a slot is good for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotState {
    /// It unlocks.
    Active,
    /// It unlocks, and waits for the login backend to take the same password.
    Pending,
    /// It unlocks until the first login with the password that replaced it.
    Retiring,
}

/// One slot of a record, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slot {
    /// Sixteen hexadecimal digits.
    pub(super) id: String,
    pub(super) kind: SlotKind,
    pub(super) state: SlotState,
    /// Seconds since 1970.
    pub(super) created: u64,
    kdf: Kdf,
    /// The age recipient that belongs to the secret.
    public: String,
    /// The age stanza that wraps this slot's content key.
    stanza: String,
    /// The root key under that content key.
    root: String,
}

/// How the secret becomes a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Kdf {
    Argon2id {
        #[serde(flatten)]
        cost: Cost,
        salt: String,
        pepper: String,
    },
}

impl Slot {
    /// A new password slot that unlocks `root`.
    pub(super) fn for_password(
        user: &User,
        password: &[u8],
        pepper: &Pepper,
        root: &Secret<32>,
        now: u64,
    ) -> Result<Self, RecordError> {
        let id = format!("{:016x}", u64::from_ne_bytes(secret::random_bytes()));
        let salt = secret::random_bytes::<16>();
        let cost = Cost::default();
        let key = slot_key(user, &id, password, &salt, pepper, cost)?;
        let (stanza, root) = seal_root(user, &id, &key.public_key(), root)?;
        Ok(Self {
            kind: SlotKind::Password,
            state: SlotState::Active,
            created: now,
            kdf: Kdf::Argon2id { cost, salt: STANDARD.encode(salt), pepper: pepper.id() },
            public: key.public_key().to_string(),
            stanza,
            root,
            id,
        })
    }

    /// The id of the pepper that it needs.
    pub(super) fn pepper(&self) -> &str {
        let Kdf::Argon2id { pepper, .. } = &self.kdf;
        pepper
    }

    /// The memory that its KDF takes, in KiB.
    pub(super) fn memory_kib(&self) -> u32 {
        let Kdf::Argon2id { cost, .. } = &self.kdf;
        cost.memory_kib
    }

    /// Checks what can be checked without the secret.
    pub(super) fn is_well_formed(&self) -> bool {
        let Kdf::Argon2id { cost, salt, .. } = &self.kdf;
        let id = self.id.len() == 16 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        id && cost.is_bearable()
            && STANDARD.decode(salt).is_ok()
            && self.public.parse::<PublicKey>().is_ok()
    }

    /// Tries `password`.
    pub(super) fn unlock(
        &self,
        user: &User,
        password: &[u8],
        pepper: &Pepper,
    ) -> Result<Secret<32>, UnlockError> {
        let Kdf::Argon2id { cost, salt, pepper: pepper_id } = &self.kdf;
        if *pepper_id != pepper.id() {
            let (wanted, found) = (pepper_id.clone(), pepper.id());
            return Err(UnlockError::OtherPepper { wanted, found });
        }
        let public: PublicKey = self.public.parse().map_err(|_| UnlockError::Damaged)?;
        let salt = STANDARD.decode(salt).map_err(|_| UnlockError::Damaged)?;
        let key = slot_key(user, &self.id, password, &salt, pepper, *cost)
            .map_err(|_| UnlockError::OutOfMemory)?;
        if key.public_key() != public {
            return Err(UnlockError::WrongPassword);
        }
        let stanza = Stanza::parse(&self.stanza).map_err(|_| UnlockError::Damaged)?;
        let content = key.unwrap_stanza(&stanza).ok().flatten().ok_or(UnlockError::Damaged)?;
        let place = Place { user, item: &self.id, public: &public };
        let wrapping = sealed::derive(content.expose(), "root key");
        let root = sealed::open(&wrapping, &place, &self.root).ok_or(UnlockError::Damaged)?;
        Secret::copy_of(root.expose()).ok_or(UnlockError::Damaged)
    }
}

/// Seals `root` to a slot's public half: the stanza, and the root key under its content key.
fn seal_root(
    user: &User,
    id: &str,
    public: &PublicKey,
    root: &Secret<32>,
) -> Result<(String, String), RecordError> {
    let content = Secret::<16>::random();
    let stanza = age::wrap(&content, public).map_err(|_| RecordError::BadSlotKey)?;
    let wrapping = sealed::derive(content.expose(), "root key");
    let place = Place { user, item: id, public };
    Ok((stanza.encode(), sealed::seal(&wrapping, &place, root.expose())))
}

fn slot_key(
    user: &User,
    id: &str,
    password: &[u8],
    salt: &[u8],
    pepper: &Pepper,
    cost: Cost,
) -> Result<SecretKey, RecordError> {
    let derived = kdf::argon2id(password, salt, pepper, cost).map_err(|_| RecordError::Kdf)?;
    // Bound to user and slot: the same password never makes the same key twice.
    let scalar = sealed::derive(derived.expose(), &format!("slot key\n{user}\n{id}"));
    Ok(SecretKey::from_scalar_bytes(scalar))
}
