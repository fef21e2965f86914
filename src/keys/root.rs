//! The root key of one user: it seals the private keys and makes the record's MAC. The key itself is
//! for deriving only.

use std::fmt;

use encodify::base64::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::age::SecretKey;
use crate::secret::Secret;

use super::sealed::{self, Place};

/// Thirty-two secret octets. What the slots are sealed around.
pub struct RootKey(Secret<32>);

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

impl From<Secret<32>> for RootKey {
    fn from(secret: Secret<32>) -> Self {
        Self(secret)
    }
}

impl RootKey {
    pub(super) fn random() -> Self {
        Self(Secret::random())
    }

    /// A copy; each is wiped by itself.
    pub(super) fn duplicate(&self) -> Self {
        let copied = Secret::fill_with(|bytes| {
            bytes.copy_from_slice(self.0.expose());
            Ok::<_, std::convert::Infallible>(())
        });
        let Ok(copied) = copied;
        Self(copied)
    }

    /// How many octets it has.
    pub const LEN: usize = 32;

    /// Copies it to a place that is wiped by whoever gives it: memory that is locked.
    pub fn copy_into(&self, place: &mut [u8; Self::LEN]) {
        place.copy_from_slice(self.0.expose());
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn for_private_keys(&self) -> Secret<32> {
        sealed::derive(self.0.expose(), "private keys")
    }

    /// Seals a private key for its place in the record.
    pub(super) fn seal_key(&self, place: &Place<'_>, key: &SecretKey) -> String {
        sealed::seal(&self.for_private_keys(), place, key.expose())
    }

    /// Opens what [`RootKey::seal_key`] made, which must belong to the place's public half.
    pub(super) fn open_key(&self, place: &Place<'_>, sealed: &str) -> Option<SecretKey> {
        let scalar = sealed::open(&self.for_private_keys(), place, sealed)?;
        let key = SecretKey::from_scalar_bytes(Secret::copy_of(scalar.expose())?);
        (key.public_key() == *place.public).then_some(key)
    }

    fn keyed(&self, text: &[u8]) -> Option<Hmac<Sha256>> {
        let key = sealed::derive(self.0.expose(), "record mac");
        Some(Hmac::<Sha256>::new_from_slice(key.expose()).ok()?.chain_update(text))
    }

    /// The record's MAC: HMAC-SHA-256 (RFC 2104) of its text, in base64.
    pub(super) fn mac(&self, text: &[u8]) -> String {
        let tag = self.keyed(text).map(|mac| mac.finalize().into_bytes());
        // HMAC takes keys of any length.
        STANDARD.encode(tag.unwrap_or_default())
    }

    /// Whether `tag` is the MAC of `text`.
    pub(super) fn has_made(&self, tag: &str, text: &[u8]) -> bool {
        let tag = STANDARD.decode(tag).unwrap_or_default();
        self.keyed(text).is_some_and(|mac| mac.verify_slice(&tag).is_ok())
    }
}
