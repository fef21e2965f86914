//! age's native keys: an X25519 public key to seal to, and the secret key that reads.
//!
//! A secret key must never be copied or printed without a call that says so.

use std::fmt;
use std::str::FromStr;

use x25519_dalek::StaticSecret;

use super::{Error, FileKey, KeyError, Stanza, bech32};
use crate::secret::{Secret, SecretBytes};

const PUBLIC_PREFIX: &str = "age";
const SECRET_PREFIX: &str = "AGE-SECRET-KEY-";

/// What can open a stanza.
pub trait Identity {
    /// The file key in `stanza`; `None` when it is for somebody else.
    ///
    /// # Errors
    /// [`Error::Header`] when the stanza is of this identity's type and malformed.
    fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error>;
}

impl<I: Identity + ?Sized> Identity for &I {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        (**self).unwrap_stanza(stanza)
    }
}

/// An X25519 public key, what age calls a recipient: `age1…`. Who has it can seal and cannot read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes. Every 32 bytes are one; those of low order are refused by
    /// [`wrap`](super::wrap).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The u-coordinate (RFC 7748).
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self(*bech32::decode(PUBLIC_PREFIX, text)?.expose()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&bech32::encode(PUBLIC_PREFIX, &self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// An X25519 secret key, what age calls an identity: `AGE-SECRET-KEY-1…`.
pub struct SecretKey {
    scalar: Secret<32>,
    /// Kept because every stanza that is tried needs it, and it costs a multiplication.
    public: PublicKey,
}

impl SecretKey {
    /// A new key from the kernel's generator.
    pub fn generate() -> Self {
        Self::from_scalar_bytes(Secret::random())
    }

    /// The key with this scalar (RFC 7748; clamped when it is used, so every 32 bytes are one).
    pub fn from_scalar_bytes(scalar: Secret<32>) -> Self {
        let public = x25519_dalek::PublicKey::from(&StaticSecret::from(*scalar.expose()));
        Self { public: PublicKey(public.to_bytes()), scalar }
    }

    /// The key in `text`: `AGE-SECRET-KEY-1…`, nothing before or after it.
    ///
    /// # Errors
    /// What is wrong with `text`; a hybrid key is [`KeyError::Prefix`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        bech32::decode(SECRET_PREFIX, text).map(Self::from_scalar_bytes)
    }

    /// The text that stock `age` reads, in ASCII, without a line end.
    pub fn to_bech32(&self) -> SecretBytes {
        bech32::encode(SECRET_PREFIX, self.expose()).into_bytes().into()
    }

    /// The key to seal to.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The scalar, to be used and not kept.
    pub fn expose(&self) -> &[u8; 32] {
        self.scalar.expose()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Both lines of one file that `age-keygen` 1.1.1 wrote.
    const SECRET: &str =
        "AGE-SECRET-KEY-1CZMZ95F8LE0HZ6K8HYR2AP9UGL72AC0E669Z238ZRR4GLYRNMR5SHYSJW7";
    const PUBLIC: &str = "age17trx293xrl659nf0c57wx8px5tu5pspup46ytz7cuk0yaxwzv52qnty7pq";

    #[test]
    fn the_public_key_is_that_of_age_keygen() {
        let key = SecretKey::parse(SECRET).unwrap();
        assert_eq!(key.public_key().to_string(), PUBLIC);
        assert_eq!(PUBLIC.parse(), Ok(key.public_key()));
        assert_eq!(key.to_bech32().expose(), SECRET.as_bytes());
    }

    #[test]
    fn one_type_of_key_is_not_another() {
        assert_eq!(SecretKey::parse(PUBLIC).err(), Some(KeyError::Prefix));
        assert_eq!(SECRET.parse::<PublicKey>(), Err(KeyError::Prefix));
        let upper = PUBLIC.to_uppercase();
        assert_eq!(upper.parse::<PublicKey>(), Err(KeyError::Prefix));
        let padded = format!("{PUBLIC}\n");
        assert_eq!(padded.parse::<PublicKey>(), Err(KeyError::Length));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SecretKey::generate();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }
}
