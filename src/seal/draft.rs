//! Sealing: a message is parsed and compressed once, then sealed for each of its users by itself, so
//! that nobody can alter another's copy and no copy tells how many there are.

use std::fmt;
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::age::{self, PublicKey, WrappedKey};
use crate::message::header::Header;
use crate::message::mime;
use crate::secret::{self, OutOfMemory, SecretBytes};
use crate::user::User;

use super::labels;
use super::outer::{ClearHeaders, OuterMessage};
use super::payload::Packer;
use super::signature::Signature;
use super::site_key::SealingKey;
use super::summary::{self, Summary};

/// What is the same in every sealed message of a site.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The domain of the outer From, and below `sealed.` of the Message-ID.
    pub domain: String,
    /// The display name of the outer From.
    pub from: String,
    /// The outer Subject.
    pub subject: String,
    /// The text that a reader without a key sees, with CRLF line ends.
    pub notice: String,
    /// The fields that stay readable.
    pub clear_headers: ClearHeaders,
}

/// A message ready to be sealed. The original itself is not needed any more.
pub struct Draft {
    size: u64,
    date: i64,
    sealed_at: u64,
    /// What stands for the message in its outer Message-ID.
    identity: Vec<u8>,
    has_own_id: bool,
    clear: Vec<(String, String)>,
    packed: SecretBytes,
    packed_summary: Option<SecretBytes>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} octets)", self.size)
    }
}

impl Draft {
    /// Parses and compresses `message`, any sequence of bytes, `now` seconds after 1970.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(message: &[u8], clear: &ClearHeaders, now: u64) -> Result<Self, OutOfMemory> {
        let skeleton = mime::skeleton(message);
        let block = message.get(skeleton.root.header.clone()).unwrap_or_default();
        let header = Header::parse(block);
        let own_id = header.message_id();
        let mut packer = Packer::new()?;
        // The larger one first: its tables do for the other.
        let packed = packer.pack(message)?;
        let summary = Summary::of(message, &skeleton, &header);
        let summary = summary.and_then(|summary| summary.encode()).map(SecretBytes::from);
        let packed_summary = match summary {
            Some(encoded) if encoded.len() as u64 <= summary::MAX_PLAIN_BYTES => {
                Some(packer.pack(encoded.expose())?)
            }
            _ => None,
        };
        Ok(Self {
            size: message.len() as u64,
            date: minute(header.date(), now),
            sealed_at: now,
            has_own_id: own_id.is_some(),
            identity: own_id.unwrap_or_else(|| Sha256::digest(message).to_vec()),
            clear: clear.pick(&header),
            packed,
            packed_summary,
        })
    }

    /// The same message with an outer Message-ID that no other has.
    pub fn with_random_id(mut self) -> Self {
        self.has_own_id = false;
        self.identity = secret::random_bytes::<32>().to_vec();
        self
    }

    /// Seals the message for `user`, who holds `key`, in the name of the site.
    ///
    /// # Errors
    /// When the key is of no use or there is no memory.
    pub fn seal_for(
        &self,
        user: &User,
        key: &PublicKey,
        site: &SealingKey,
        fixed: &Fixed,
    ) -> Result<SealedMessage, SealError> {
        self.seal_with(user, ContentKeys::wrap(key)?, site, fixed)
    }

    /// The same with content keys that were wrapped for the user before.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn seal_with(
        &self,
        user: &User,
        keys: ContentKeys,
        site: &SealingKey,
        fixed: &Fixed,
    ) -> Result<SealedMessage, SealError> {
        let body = encrypt(keys.body, self.packed.expose())?;
        let summary = self.packed_summary.as_ref();
        let summary = summary.map(|packed| encrypt(keys.summary, packed.expose())).transpose()?;
        let field = summary.as_deref().and_then(summary::to_field);
        let signed_summary = summary.as_deref().filter(|_| field.is_some());
        let signature =
            Signature::make(site, user, self.sealed_at, self.size, signed_summary, &body);
        Ok(SealedMessage {
            from: fixed.from.clone(),
            from_address: format!("sealed@{}", fixed.domain),
            subject: fixed.subject.clone(),
            notice: fixed.notice.clone(),
            date: self.date,
            message_id: self.message_id(user, site, &fixed.domain),
            clear: self.clear.clone(),
            signature: signature.to_field(),
            summary: field.unwrap_or_else(|| summary::NONE.to_owned()),
            body,
        })
    }

    /// The same for the same message and user, so that a store recognises a redelivery.
    fn message_id(&self, user: &User, site: &SealingKey, domain: &str) -> String {
        let kind = if self.has_own_id { labels::OWN_ID } else { labels::NO_ID };
        let hash = site.message_id(&[user.as_str().as_bytes(), b"\0", kind, &self.identity]);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("<{hex}@sealed.{domain}>")
    }
}

/// The content keys of one sealed message to come, wrapped for its user: the part of sealing that needs
/// nothing of the message, and can be done while it is still on its way.
pub struct ContentKeys {
    body: WrappedKey,
    summary: WrappedKey,
}

impl ContentKeys {
    /// New ones for the user who holds `key`.
    ///
    /// # Errors
    /// When the key is of no use.
    pub fn wrap(key: &PublicKey) -> Result<Self, SealError> {
        let wrap = || WrappedKey::new(std::slice::from_ref(key)).map_err(|_| SealError::BadKey);
        Ok(Self { body: wrap()?, summary: wrap()? })
    }
}

fn encrypt(key: WrappedKey, packed: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut file = Vec::new();
    // The header and sixteen octets a chunk, generously: `encrypt` must not meet a full memory.
    file.try_reserve_exact(packed.len() + packed.len() / 1024 + 1024).map_err(|_| OutOfMemory)?;
    age::encrypt_with(key, packed, &mut file);
    Ok(file)
}

/// The message's date, else the time of sealing, in whole minutes.
fn minute(date: Option<i64>, now: u64) -> i64 {
    let date = date.unwrap_or_else(|| i64::try_from(now).unwrap_or(0));
    date - date.rem_euclid(60)
}

/// A sealed message, ready to be handed on.
#[derive(Clone)]
pub struct SealedMessage {
    from: String,
    from_address: String,
    subject: String,
    notice: String,
    date: i64,
    message_id: String,
    clear: Vec<(String, String)>,
    signature: String,
    summary: String,
    body: Vec<u8>,
}

impl fmt::Debug for SealedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedMessage({})", self.message_id)
    }
}

impl SealedMessage {
    /// Its outer Message-ID with brackets, which joins the logs of MTA and store.
    pub fn message_id(&self) -> &str {
        let clear = self.clear.iter().find(|(name, _)| name.eq_ignore_ascii_case("Message-ID"));
        let clear = clear.map(|(_, value)| value.as_str());
        clear.filter(|id| is_plain_id(id)).unwrap_or(&self.message_id)
    }

    /// About how many octets [`SealedMessage::write_to`] writes, rather too many than too few.
    pub fn size_hint(&self) -> u64 {
        /// The outer header but for what is counted here, and the frame of the parts.
        const REST_BYTES: usize = 2048;
        let clear: usize =
            self.clear.iter().map(|(name, value)| name.len() + 2 * value.len()).sum();
        let fixed = self.subject.len() + self.from.len() + self.notice.len() + clear;
        // Four octets of base64 for three, and a line end after 76.
        let body = self.body.len() + self.body.len() * 2 / 5;
        (REST_BYTES + fixed + self.signature.len() + self.summary.len() + body) as u64
    }

    /// Writes it with CRLF line ends.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_to(&self, out: impl Write) -> io::Result<()> {
        let outer = OuterMessage {
            from: &self.from,
            from_address: &self.from_address,
            subject: &self.subject,
            date: self.date,
            message_id: &self.message_id,
            clear: &self.clear,
            notice: &self.notice,
            signature: &self.signature,
            summary: &self.summary,
            body: &self.body,
        };
        outer.build().write_to(out)
    }
}

/// Whether a sender's Message-ID is one that a log can show.
fn is_plain_id(id: &str) -> bool {
    const MAX_SHOWN_BYTES: usize = 256;
    let inside = id.strip_prefix('<').and_then(|id| id.strip_suffix('>'));
    id.len() <= MAX_SHOWN_BYTES && inside.is_some_and(|id| id.bytes().all(|b| b.is_ascii_graphic()))
}

/// Why a message could not be sealed. Nothing was handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// The public key is one that nobody can hold the private half of.
    BadKey,
    /// There is no memory for it.
    OutOfMemory,
}

impl From<OutOfMemory> for SealError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadKey => f.write_str("the public key is of no use"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl std::error::Error for SealError {}
