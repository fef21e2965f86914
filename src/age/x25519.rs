//! The X25519 stanza: a file key under a shared secret of an ephemeral key and the recipient.
//!
//! The stanza must never say whom it is for, and a share of low order is never used, on either side.

use encodify::base64::STANDARD_NO_PAD as BASE64;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::primitives::{TAG_LEN, ZERO_NONCE, derive, open, seal};
use super::{Error, FileKey, HeaderError, Identity, PublicKey, SecretKey, Stanza, WrapError};
use crate::secret::Secret;

const KIND: &str = "X25519";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";

/// A file key and its tag.
pub(super) const BODY_LEN: usize = 16 + TAG_LEN;

/// Wraps `file_key` so that the secret key of `to` opens it. Every call gives another stanza.
///
/// # Errors
/// [`WrapError::LowOrder`] when `to` is a point of low order.
pub fn wrap(file_key: &FileKey, to: &PublicKey) -> Result<Stanza, WrapError> {
    let ephemeral = Secret::random();
    let share = x25519_dalek::PublicKey::from(&StaticSecret::from(*ephemeral.expose()));
    let shared = to.multiply(ephemeral.expose());
    let key = wrap_key(&shared, share.as_bytes(), to).ok_or(WrapError::LowOrder)?;

    let mut body = Zeroizing::new(*file_key.expose());
    let tag = seal(&key, &ZERO_NONCE, body.as_mut_slice());
    Ok(Stanza {
        kind: KIND.to_owned(),
        args: vec![BASE64.encode(share)],
        body: [*body, tag].concat(),
    })
}

impl SecretKey {
    /// The file key in `stanza`; `None` when it is of another type or for another key.
    ///
    /// # Errors
    /// [`Error::Header`] when it is an X25519 stanza and malformed, or its share is of low order.
    pub fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        if stanza.kind != KIND {
            return Ok(None);
        }
        let share = share(stanza)?;
        open_share(self.expose(), &self.public_key(), &share, &stanza.body)
    }
}

/// The file key in the X25519 stanza with this share and body; `None` when it is for another key than
/// the one with this scalar and public half.
fn open_share(
    scalar: &[u8; 32],
    public: &PublicKey,
    share: &[u8; 32],
    body: &[u8],
) -> Result<Option<FileKey>, Error> {
    let shared = PublicKey::from_bytes(*share).multiply(scalar);
    let key = wrap_key(&shared, share, public).ok_or(HeaderError::LowOrder)?;
    open_body(&key, &ZERO_NONCE, body)
}

/// An X25519 stanza without its text: the share, then the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapped(pub [u8; Wrapped::LEN]);

impl Wrapped {
    /// How many octets it is.
    pub const LEN: usize = 32 + BODY_LEN;

    /// What of `stanza` is not the same in all; `None` when it is of another type.
    ///
    /// # Errors
    /// As [`SecretKey::unwrap_stanza`].
    pub fn of(stanza: &Stanza) -> Result<Option<Self>, Error> {
        if stanza.kind != KIND {
            return Ok(None);
        }
        let share = share(stanza)?;
        let octets = [&share[..], &stanza.body].concat();
        let octets = octets.try_into().map_err(|_| HeaderError::Recipient)?;
        Ok(Some(Self(octets)))
    }

    /// The file key in it, for the secret key with this scalar and public half; `None` when it is for
    /// another one, or its share is of low order.
    pub fn open(&self, scalar: &[u8; 32], public: &PublicKey) -> Option<FileKey> {
        let (share, body) = self.0.split_first_chunk()?;
        open_share(scalar, public, share, body).ok().flatten()
    }
}

fn share(stanza: &Stanza) -> Result<[u8; 32], HeaderError> {
    let [share] = stanza.args.as_slice() else { return Err(HeaderError::Recipient) };
    let share = BASE64.decode(share).ok().and_then(|share| share.try_into().ok());
    share.ok_or(HeaderError::Recipient)
}

impl Identity for SecretKey {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        Self::unwrap_stanza(self, stanza)
    }
}

/// The key that wraps; `None` when either side's point is of low order, so that the secret is none.
fn wrap_key(shared: &Secret<32>, share: &[u8; 32], to: &PublicKey) -> Option<Secret<32>> {
    let salt = [*share, *to.as_bytes()].concat();
    (*shared != Secret::zero()).then(|| derive(shared.expose(), &salt, INFO))
}

/// The file key in the body of a stanza; `None` when `key` is not the one that sealed it.
pub(super) fn open_body(
    key: &Secret<32>,
    nonce: &[u8; 12],
    body: &[u8],
) -> Result<Option<FileKey>, Error> {
    // Before decrypting: a longer body could be made to open under several keys, and so tell them
    // apart (a partitioning oracle).
    if body.len() != BODY_LEN {
        return Err(HeaderError::Recipient.into());
    }
    let (text, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(HeaderError::Recipient)?;
    let opened = FileKey::fill_with(|place| {
        place.copy_from_slice(text);
        open(key, nonce, place, tag).then_some(()).ok_or(())
    });
    Ok(opened.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens_a_stanza() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        let file_key = FileKey::random();
        let stanza = wrap(&file_key, &key.public_key()).unwrap();
        assert_eq!(key.unwrap_stanza(&stanza), Ok(Some(file_key)));
        assert_eq!(other.unwrap_stanza(&stanza), Ok(None));
        let wrapped = Wrapped::of(&stanza).unwrap().unwrap();
        let opened = wrapped.open(key.expose(), &key.public_key());
        assert_eq!(opened, key.unwrap_stanza(&stanza).unwrap());
        assert_eq!(wrapped.open(other.expose(), &other.public_key()), None);
        let stored = Stanza::parse(&stanza.encode()).unwrap();
        assert_eq!(stored, stanza);
    }

    #[test]
    fn a_stanza_is_never_made_twice() {
        let key = SecretKey::generate().public_key();
        let file_key = FileKey::random();
        assert_ne!(wrap(&file_key, &key), wrap(&file_key, &key));
    }

    #[test]
    fn points_of_low_order_are_refused() {
        let file_key = FileKey::random();
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            let to = PublicKey::from_bytes(point);
            assert_eq!(wrap(&file_key, &to), Err(WrapError::LowOrder));
            let mut stanza = wrap(&file_key, &SecretKey::generate().public_key()).unwrap();
            stanza.args = vec![BASE64.encode(point)];
            let opened = SecretKey::generate().unwrap_stanza(&stanza);
            assert_eq!(opened, Err(HeaderError::LowOrder.into()));
        }
    }

    #[test]
    fn other_lengths_are_refused_before_decrypting() {
        let key = SecretKey::generate();
        let good = wrap(&FileKey::random(), &key.public_key()).unwrap();
        let mut long_body = good.clone();
        long_body.body.push(0);
        let mut more_arguments = good.clone();
        more_arguments.args.push("a".to_owned());
        let mut short_share = good.clone();
        short_share.args = vec![BASE64.encode([9; 31])];
        for stanza in [long_body, more_arguments, short_share] {
            assert_eq!(key.unwrap_stanza(&stanza), Err(HeaderError::Recipient.into()));
            assert_eq!(Wrapped::of(&stanza), Err(HeaderError::Recipient.into()));
        }
        let mut other_type = good;
        other_type.kind = "x25519".to_owned();
        assert_eq!(key.unwrap_stanza(&other_type), Ok(None));
        assert_eq!(Wrapped::of(&other_type), Ok(None));
    }
}
