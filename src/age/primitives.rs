//! The primitives as age uses them: HKDF-SHA-256 to 32 bytes, HMAC-SHA-256, ChaCha20-Poly1305 without
//! associated data and in place.
//!
//! No algorithm is chosen here and no key kept. The libraries report lengths that cannot occur with
//! age's fixed sizes; those reports are closed off here, and nowhere else.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};
use hkdf::Hkdf;
use hmac::Hmac;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret::Secret;

/// The length in bytes of an authentication tag.
pub(super) const TAG_LEN: usize = 16;

/// The nonce where a key is used only once.
pub(super) const ZERO_NONCE: [u8; 12] = [0; 12];

/// HKDF-SHA-256 (RFC 5869) of `secret`, 32 bytes long.
pub(super) fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Secret<32> {
    let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(Some(salt), secret);
    extracted.as_mut_slice().zeroize();
    let mut key = Zeroizing::new([0; 32]);
    expand(&hkdf, &[info], key.as_mut_slice());
    Secret::take(&mut key)
}

/// HKDF-Expand (RFC 5869, section 2.3) with the concatenation of `info` into `out`, at most 32 bytes.
pub(super) fn expand(hkdf: &Hkdf<Sha256>, info: &[&[u8]], out: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "the limit is 8160 bytes")]
    hkdf.expand_multi_info(info, out).expect("32 bytes are not too many");
}

/// HMAC-SHA-256 (RFC 2104) under `key`, ready for the message.
pub(super) fn hmac(key: &Secret<32>) -> Hmac<Sha256> {
    // A key shorter than a block is one with zeros after it; given as a block, no length is wrong.
    let mut block = Zeroizing::new([0; 64]);
    for (place, byte) in block.iter_mut().zip(key.expose()) {
        *place = *byte;
    }
    Hmac::new((&*block).into())
}

/// Encrypts `text` in place and returns the tag. `text` is at most one chunk.
pub(super) fn seal(key: &Secret<32>, nonce: &[u8; 12], text: &mut [u8]) -> [u8; TAG_LEN] {
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    #[expect(clippy::expect_used, reason = "a chunk is 64 KiB, the limit 256 GiB")]
    cipher
        .encrypt_inout_detached(nonce.into(), &[], InOutBuf::from(text))
        .expect("a chunk is not too long")
        .into()
}

/// Decrypts `text` in place once `tag` is checked; `false`, and `text` as it was, where that fails.
#[must_use]
pub(super) fn open(
    key: &Secret<32>,
    nonce: &[u8; 12],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> bool {
    ChaCha20Poly1305::new(key.expose().into())
        .decrypt_inout_detached(nonce.into(), &[], InOutBuf::from(text), tag.into())
        .is_ok()
}
