//! What a record holds sealed: XChaCha20-Poly1305 with a random nonce, bound to the user and the
//! item, so that nothing can be moved to another place or another user.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use encodify::base64::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::age::PublicKey;
use crate::secret::{self, Secret, SecretBytes};
use crate::user::User;

/// The record's format, part of everything that is sealed in it.
pub(super) const FORMAT: &str = "nightsafe-record/1";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Where a sealed thing belongs.
pub(super) struct Place<'a> {
    pub(super) user: &'a User,
    pub(super) item: &'a str,
    pub(super) public: &'a PublicKey,
}

impl Place<'_> {
    fn associated_data(&self) -> String {
        // No part can contain a line end, so the parts cannot run into each other.
        format!("{FORMAT}\n{}\n{}\n{}", self.user, self.item, self.public)
    }
}

/// One key for one purpose, from a longer-lived one.
pub(super) fn derive(key: &[u8], purpose: &str) -> Secret<32> {
    let hkdf = Hkdf::<Sha256>::new(None, key);
    let info = format!("{FORMAT} {purpose}");
    Secret::fill_with(|out| hkdf.expand(info.as_bytes(), out)).unwrap_or_else(|_| {
        // HKDF refuses only outputs past 255 blocks (RFC 5869 §2.3); this is one block.
        unreachable!("32 octets are less than 255 blocks")
    })
}

/// Seals `plain` under `key` for `place`: nonce and ciphertext in base64.
pub(super) fn seal(key: &Secret<32>, place: &Place<'_>, plain: &[u8]) -> String {
    seal_bound(key, &place.associated_data(), plain)
}

/// Opens what [`seal`] made; `None` for anything else.
pub(super) fn open(key: &Secret<32>, place: &Place<'_>, sealed: &str) -> Option<SecretBytes> {
    open_bound(key, &place.associated_data(), sealed)
}

/// Seals what is bound to something else than a place in a record.
pub(super) fn seal_bound(key: &Secret<32>, bound_to: &str, plain: &[u8]) -> String {
    let nonce = secret::random_bytes::<NONCE_BYTES>();
    let payload = Payload { msg: plain, aad: bound_to.as_bytes() };
    let sealed = XChaCha20Poly1305::new(key.expose().into()).encrypt(&XNonce::from(nonce), payload);
    // XChaCha20-Poly1305 refuses only messages past 256 GiB; this is a key.
    STANDARD.encode([nonce.as_slice(), &sealed.unwrap_or_default()].concat())
}

/// Opens what [`seal_bound`] made; `None` for anything else.
pub(super) fn open_bound(key: &Secret<32>, bound_to: &str, sealed: &str) -> Option<SecretBytes> {
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg: ciphertext, aad: bound_to.as_bytes() };
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(SecretBytes::from)
}

/// What is in there if nobody altered it: to read what it says it is bound to, with which it must then
/// be opened.
pub(super) fn unverified(key: &Secret<32>, sealed: &str) -> Option<SecretBytes> {
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (ciphertext, _) = ciphertext.split_last_chunk::<TAG_BYTES>()?;
    // A stream cipher is its own inverse (RFC 8439 §2.4).
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let mut plain = SecretBytes::from(cipher.encrypt(&XNonce::from(*nonce), ciphertext).ok()?);
    plain.truncate(ciphertext.len());
    Some(plain)
}
