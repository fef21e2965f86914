//! age's native keys: an X25519 public key to seal to, and the secret key that reads.
//!
//! A secret key must never be copied or printed without a call that says so.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
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
#[derive(Clone, Copy)]
pub struct PublicKey {
    bytes: [u8; 32],
    /// The same point on the Edwards curve (RFC 7748 §4.1), on which a multiplication takes half the
    /// time; `None` when it lies on the twist, as no key does that somebody made from a scalar.
    point: Option<EdwardsPoint>,
}

impl PublicKey {
    /// The key with these bytes. Every 32 bytes are one; those of low order are refused by
    /// [`wrap`](super::wrap).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        // Of the two points with this u-coordinate either will do: products have the same, too.
        Self { bytes, point: MontgomeryPoint(bytes).to_edwards(0) }
    }

    /// The u-coordinate (RFC 7748).
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// X25519 of `scalar` and this key (RFC 7748 §5), clamped as there.
    pub(super) fn multiply(&self, scalar: &[u8; 32]) -> Secret<32> {
        let mut product = match &self.point {
            Some(point) => point.mul_clamped(*scalar).to_montgomery().0,
            None => MontgomeryPoint(self.bytes).mul_clamped(*scalar).0,
        };
        Secret::take(&mut product)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(*bech32::decode(PUBLIC_PREFIX, text)?.expose()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&bech32::encode(PUBLIC_PREFIX, &self.bytes))
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
        Self { public: PublicKey::from_bytes(public.to_bytes()), scalar }
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
    fn a_product_is_that_of_x25519() {
        let mut on_the_twist = 0;
        for _ in 0..50 {
            let scalar = Secret::<32>::random();
            // Half of all bytes are a point of the twist.
            for bytes in
                [*Secret::<32>::random().expose(), *SecretKey::generate().public_key().as_bytes()]
            {
                let key = PublicKey::from_bytes(bytes);
                let known = StaticSecret::from(*scalar.expose()).diffie_hellman(&bytes.into());
                assert_eq!(key.multiply(scalar.expose()).expose(), known.as_bytes());
                on_the_twist += usize::from(key.point.is_none());
            }
        }
        assert!((5..95).contains(&on_the_twist), "{on_the_twist}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SecretKey::generate();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }
}
