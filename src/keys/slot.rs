//! A slot: one way to unlock a user's root key. Each is an X25519 key pair derived from its secret (or
//! one of the site's), and the root key is sealed to its public half, so that a slot can be sealed anew
//! without its secret.

use std::fmt;

use encodify::base64::STANDARD;
use serde::{Deserialize, Serialize};

use crate::age::{self, PublicKey, SecretKey, Stanza};
use crate::secret::{self, Secret, SecretBytes};
use crate::user::User;

use super::code::{Code, CodeKind};
use super::error::{RecordError, UnlockError};
use super::kdf::{self, Cost};
use super::pepper::Pepper;
use super::root::RootKey;
use super::sealed::{self, Place};

/// The longest name of a slot, in characters.
pub const MAX_SLOT_NAME_CHARS: usize = 64;
const SALT_BYTES: usize = 16;

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
        f.pad(match self {
            Self::Password => "password",
            Self::App => "app password",
            Self::Recovery => "recovery code",
            Self::Escrow => "recovery key",
            Self::Provisional => "provisional key",
        })
    }
}

/// What a slot is good for at the moment. Only a password's slot is ever anything but active.
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

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Retiring => "retiring",
        })
    }
}

/// One slot of a record, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Sixteen hexadecimal digits.
    id: String,
    kind: SlotKind,
    state: SlotState,
    /// Seconds since 1970.
    created: u64,
    /// What the user calls an app password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    kdf: Kdf,
    /// The age recipient that belongs to the secret.
    public: String,
    /// The age stanza that wraps this slot's content key.
    stanza: String,
    /// The root key under that content key; for escrow the user's name follows it.
    root: String,
}

/// How the secret becomes a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Kdf {
    /// A password.
    Argon2id {
        #[serde(flatten)]
        cost: Cost,
        salt: String,
        pepper: String,
    },
    /// A printed code.
    Hkdf { salt: String },
    /// It is a key already, one of the site's.
    SiteKey,
}

impl Slot {
    /// A slot for a password.
    pub(super) fn for_password(
        user: &User,
        password: &[u8],
        pepper: &Pepper,
        state: SlotState,
        root: &RootKey,
        now: u64,
    ) -> Result<Self, RecordError> {
        let id = new_id();
        let salt = secret::random_bytes::<SALT_BYTES>();
        let cost = Cost::default();
        let derived = kdf::argon2id(password, &salt, pepper, cost).map_err(|_| RecordError::Kdf)?;
        let public = slot_key(user, &id, &derived).public_key();
        let kdf = Kdf::Argon2id { cost, salt: STANDARD.encode(salt), pepper: pepper.id() };
        let made = Self::unsealed(id, SlotKind::Password, kdf, &public, now);
        Self { state, ..made }.sealed_anew(user, root)
    }

    /// A slot for a printed code; an app password has a name.
    pub(super) fn for_code(
        user: &User,
        code: &Code,
        name: Option<&str>,
        root: &RootKey,
        now: u64,
    ) -> Result<Self, RecordError> {
        let id = code.slot_id();
        let salt = secret::random_bytes::<SALT_BYTES>();
        let public = slot_key(user, &id, &kdf::hkdf(code.expose(), &salt)).public_key();
        let kind = match code.kind() {
            CodeKind::App => SlotKind::App,
            CodeKind::Recovery => SlotKind::Recovery,
        };
        let kdf = Kdf::Hkdf { salt: STANDARD.encode(salt) };
        let made = Self::unsealed(id, kind, kdf, &public, now);
        Self { name: name.map(str::to_owned), ..made }.sealed_anew(user, root)
    }

    /// A slot for one of the site's keys, by its public half.
    pub(super) fn for_site_key(
        user: &User,
        kind: SlotKind,
        public: &PublicKey,
        root: &RootKey,
        now: u64,
    ) -> Result<Self, RecordError> {
        Self::unsealed(new_id(), kind, Kdf::SiteKey, public, now).sealed_anew(user, root)
    }

    fn unsealed(id: String, kind: SlotKind, kdf: Kdf, public: &PublicKey, created: u64) -> Self {
        let (stanza, root) = (String::new(), String::new());
        let public = public.to_string();
        Self { id, kind, state: SlotState::Active, created, name: None, kdf, public, stanza, root }
    }

    /// The same slot with `root` sealed to it.
    pub(super) fn sealed_anew(self, user: &User, root: &RootKey) -> Result<Self, RecordError> {
        let public = self.public.parse().map_err(|_| RecordError::BadSlotKey)?;
        let content = Secret::<16>::random();
        let stanza = age::wrap(&content, &public).map_err(|_| RecordError::BadSlotKey)?;
        let name = self.name_inside(user);
        let mut payload = SecretBytes::with_capacity(32 + name.len());
        // There is room for both.
        let _ = payload.try_push(root.expose()).and_then(|()| payload.try_push(name.as_bytes()));
        let place = Place { user, item: &self.id, public: &public };
        let sealed = sealed::seal(&wrapping(&content), &place, payload.expose());
        Ok(Self { stanza: stanza.encode(), root: sealed, ..self })
    }

    /// What follows the root key. Whoever opens an escrow slot far from the server sees whose it is.
    fn name_inside<'a>(&self, user: &'a User) -> &'a str {
        if self.kind == SlotKind::Escrow { user.as_str() } else { "" }
    }

    /// The id: sixteen hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What unlocks it.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// What it is good for.
    pub fn state(&self) -> SlotState {
        self.state
    }

    /// When it was made, in seconds since 1970.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// What the user calls it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What tells it from others of its kind: what the user calls it, or which of the site's keys it is
    /// for.
    pub fn label(&self) -> Option<String> {
        match self.kind {
            SlotKind::Escrow | SlotKind::Provisional => Some(self.public.clone()),
            _ => self.name().map(|name| format!("\"{name}\"")),
        }
    }

    /// The public half of its key, an age recipient; of a site's key it is the key's name.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The id of the pepper that it needs; `None` where it needs none.
    pub fn pepper(&self) -> Option<&str> {
        match &self.kdf {
            Kdf::Argon2id { pepper, .. } => Some(pepper),
            Kdf::Hkdf { .. } | Kdf::SiteKey => None,
        }
    }

    pub(super) fn set_state(&mut self, state: SlotState) {
        self.state = state;
    }

    /// The memory that its KDF takes, in KiB.
    pub(super) fn memory_kib(&self) -> u32 {
        match &self.kdf {
            Kdf::Argon2id { cost, .. } => cost.memory_kib,
            Kdf::Hkdf { .. } | Kdf::SiteKey => 0,
        }
    }

    /// Checks what can be checked without the secret.
    pub(super) fn is_well_formed(&self) -> bool {
        let id = self.id.len() == 16 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let salted = |salt: &str| STANDARD.decode(salt).is_ok_and(|salt| salt.len() == SALT_BYTES);
        let kdf = match (self.kind, &self.kdf) {
            (SlotKind::Password, Kdf::Argon2id { cost, salt, .. }) => {
                cost.is_bearable() && salted(salt)
            }
            (SlotKind::App | SlotKind::Recovery, Kdf::Hkdf { salt }) => salted(salt),
            (SlotKind::Escrow | SlotKind::Provisional, Kdf::SiteKey) => true,
            _ => false,
        };
        let state = self.kind == SlotKind::Password || self.state == SlotState::Active;
        let named = self.kind == SlotKind::App;
        let name = self.name.as_deref().map_or(!named, |name| named && is_slot_name(name));
        id && kdf && state && name && self.public.parse::<PublicKey>().is_ok()
    }

    /// Tries a password.
    pub(super) fn unlock(
        &self,
        user: &User,
        password: &[u8],
        pepper: &Pepper,
    ) -> Result<RootKey, UnlockError> {
        let Kdf::Argon2id { cost, salt, pepper: pepper_id } = &self.kdf else {
            return Err(UnlockError::WrongPassword);
        };
        if *pepper_id != pepper.id() {
            let (wanted, found) = (pepper_id.clone(), pepper.id());
            return Err(UnlockError::OtherPepper { wanted, found });
        }
        let salt = STANDARD.decode(salt).map_err(|_| UnlockError::Damaged)?;
        let derived = kdf::argon2id(password, &salt, pepper, *cost);
        let derived = derived.map_err(|_| UnlockError::OutOfMemory)?;
        self.open(user, &slot_key(user, &self.id, &derived))
    }

    /// Tries a printed code.
    pub(super) fn unlock_with_code(
        &self,
        user: &User,
        code: &Code,
    ) -> Result<RootKey, UnlockError> {
        let Kdf::Hkdf { salt } = &self.kdf else { return Err(UnlockError::WrongPassword) };
        let salt = STANDARD.decode(salt).map_err(|_| UnlockError::Damaged)?;
        self.open(user, &slot_key(user, &self.id, &kdf::hkdf(code.expose(), &salt)))
    }

    /// Opens it with its key.
    pub(super) fn open(&self, user: &User, key: &SecretKey) -> Result<RootKey, UnlockError> {
        let content = self.content_key(key)?;
        let place = Place { user, item: &self.id, public: &key.public_key() };
        let payload = sealed::open(&wrapping(&content), &place, &self.root);
        let payload = payload.ok_or(UnlockError::Damaged)?;
        let (root, name) = payload.expose().split_at_checked(32).ok_or(UnlockError::Damaged)?;
        if name != self.name_inside(user).as_bytes() {
            return Err(UnlockError::Damaged);
        }
        Secret::copy_of(root).map(RootKey::from).ok_or(UnlockError::Damaged)
    }

    /// Opens an escrow slot with the recovery key, knowing nothing of its record: whose it is, by the
    /// name sealed inside, and the root key.
    pub(super) fn open_escrow(&self, key: &SecretKey) -> Result<(User, RootKey), UnlockError> {
        let content = self.content_key(key)?;
        let payload = sealed::unverified(&wrapping(&content), &self.root);
        let payload = payload.ok_or(UnlockError::Damaged)?;
        let name = payload.expose().get(32..).and_then(|name| std::str::from_utf8(name).ok());
        let user = name.and_then(|name| User::parse(name).ok()).ok_or(UnlockError::Damaged)?;
        // It is bound to that name: another one that somebody put there does not open.
        let root = self.open(&user, key)?;
        Ok((user, root))
    }

    fn content_key(&self, key: &SecretKey) -> Result<Secret<16>, UnlockError> {
        let public: PublicKey = self.public.parse().map_err(|_| UnlockError::Damaged)?;
        if key.public_key() != public {
            return Err(UnlockError::WrongPassword);
        }
        let stanza = Stanza::parse(&self.stanza).map_err(|_| UnlockError::Damaged)?;
        key.unwrap_stanza(&stanza).ok().flatten().ok_or(UnlockError::Damaged)
    }
}

/// Whether a slot can be called that.
pub fn is_slot_name(name: &str) -> bool {
    let chars = name.chars().count();
    (1..=MAX_SLOT_NAME_CHARS).contains(&chars)
        && !name.chars().any(char::is_control)
        && name.trim() == name
}

fn new_id() -> String {
    format!("{:016x}", u64::from_ne_bytes(secret::random_bytes()))
}

fn wrapping(content: &Secret<16>) -> Secret<32> {
    sealed::derive(content.expose(), "root key")
}

/// Bound to user and slot: the same secret never makes the same key twice.
fn slot_key(user: &User, id: &str, derived: &Secret<32>) -> SecretKey {
    let scalar = sealed::derive(derived.expose(), &format!("slot key\n{user}\n{id}"));
    SecretKey::from_scalar_bytes(scalar)
}
