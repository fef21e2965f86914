//! age's post-quantum hybrid stanza, `mlkem768x25519`, for reading only: HPKE (RFC 9180) in base mode
//! with the KEM X-Wing, HKDF-SHA-256 and ChaCha20-Poly1305.
//!
//! Nothing is sealed to it yet. It must never accept an X25519 share of low order.

use std::fmt;

use encodify::base64::STANDARD_NO_PAD as BASE64;
use hkdf::Hkdf;
use sha2::Sha256;
use x_wing::{DecapsulationKeyRejectNonContrib, TryDecapsulate as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::primitives::expand;
use super::x25519::{BODY_LEN, open_body};
use super::{Error, FileKey, HeaderError, Identity, KeyError, Stanza, bech32};
use crate::secret::Secret;

const SECRET_PREFIX: &str = "AGE-SECRET-KEY-PQ-";
const KIND: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";

/// "HPKE", then the numbers of X-Wing (0x647a), HKDF-SHA-256 (1) and ChaCha20-Poly1305 (3).
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// A hybrid identity: `AGE-SECRET-KEY-PQ-1…`, the seed of an X-Wing key.
pub struct HybridKey(Secret<32>);

impl HybridKey {
    /// The key in `text`, nothing before or after it.
    ///
    /// # Errors
    /// What is wrong with `text`; an X25519 key is [`KeyError::Prefix`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        bech32::decode(SECRET_PREFIX, text).map(Self)
    }
}

impl fmt::Debug for HybridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridKey(..)")
    }
}

impl Identity for HybridKey {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        if stanza.kind != KIND {
            return Ok(None);
        }
        let [share] = stanza.args.as_slice() else {
            return Err(HeaderError::Recipient.into());
        };
        let share = BASE64.decode(share).map_err(|_| HeaderError::Recipient)?;
        let share = share.as_slice().try_into().map_err(|_| HeaderError::Recipient)?;
        // Before the KEM, which costs more than this.
        if stanza.body.len() != BODY_LEN {
            return Err(HeaderError::Recipient.into());
        }
        let mut shared = DecapsulationKeyRejectNonContrib::from(*self.0.expose())
            .try_decapsulate(share)
            .map_err(|_| HeaderError::LowOrder)?;
        let (key, nonce) = schedule(shared.as_slice());
        shared.as_mut_slice().zeroize();
        open_body(&key, &nonce, &stanza.body)
    }
}

/// Key and first nonce of a context in base mode, without a PSK (RFC 9180, section 5.1).
fn schedule(shared: &[u8]) -> (Secret<32>, [u8; 12]) {
    let (psk_id_hash, _) = labeled_extract(b"", b"psk_id_hash", b"");
    let (info_hash, _) = labeled_extract(b"", b"info_hash", INFO);
    let context = [&[0], psk_id_hash.as_slice(), info_hash.as_slice()].concat();
    let (_, secret) = labeled_extract(shared, b"secret", b"");
    let mut nonce = [0; 12];
    labeled_expand(&secret, b"base_nonce", &context, &mut nonce);
    let mut key = Zeroizing::new([0; 32]);
    labeled_expand(&secret, b"key", &context, key.as_mut_slice());
    (Secret::take(&mut key), nonce)
}

/// LabeledExtract (RFC 9180, section 4).
fn labeled_extract(salt: &[u8], label: &[u8], input: &[u8]) -> (Zeroizing<[u8; 32]>, Hkdf<Sha256>) {
    let input = Zeroizing::new([b"HPKE-v1", SUITE, label, input].concat());
    let (extracted, hkdf) = Hkdf::extract(Some(salt), &input);
    (Zeroizing::new(extracted.into()), hkdf)
}

/// LabeledExpand (RFC 9180, section 4), of at most 32 bytes.
fn labeled_expand(secret: &Hkdf<Sha256>, label: &[u8], info: &[u8], out: &mut [u8]) {
    let [.., high, low] = out.len().to_be_bytes();
    let info = [&[high, low], b"HPKE-v1".as_slice(), SUITE, label, info];
    expand(secret, &info, out);
}
