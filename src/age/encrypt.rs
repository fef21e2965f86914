//! Writing an age file: the header first, then the payload as it is pushed in.
//!
//! It must never leave plaintext in `out`, not even between two calls: what cannot be sealed yet waits
//! in a buffer that is wiped.

use super::buffer::Buffer;
use super::header::{self, MAX_STANZAS};
use super::stream::{CHUNK_LEN, Chunks, NONCE_LEN, sealed_len};
use super::{FileKey, PublicKey, Stanza, WrapError, wrap};
use crate::secret::random_bytes;

/// The key of a file to come, wrapped for its recipients: most of the work on a small file, and nothing
/// of it needs to be known for that. It goes into one file, since no key may serve two.
pub struct WrappedKey {
    file_key: FileKey,
    stanzas: Vec<Stanza>,
}

impl WrappedKey {
    /// A new file key, wrapped for `recipients`.
    ///
    /// # Errors
    /// [`WrapError`] when there are none or too many of them, or one is no good.
    pub fn new(recipients: &[PublicKey]) -> Result<Self, WrapError> {
        if recipients.is_empty() {
            return Err(WrapError::NoRecipient);
        }
        if recipients.len() > MAX_STANZAS {
            return Err(WrapError::TooManyRecipients);
        }
        let file_key = FileKey::random();
        let stanzas = recipients.iter().map(|recipient| wrap(&file_key, recipient));
        Ok(Self { stanzas: stanzas.collect::<Result<_, _>>()?, file_key })
    }
}

/// Writes one age file. Without [`finish`](Self::finish) it has no end, and no reader accepts it.
pub struct Encryptor {
    chunks: Chunks,
    /// Up to one chunk, which may turn out to be the last.
    waiting: Buffer,
}

impl Encryptor {
    /// Begins a file for `recipients`, with a new file key: appends the header and the nonce to `out`.
    ///
    /// # Errors
    /// [`WrapError`] when there are none or too many of them, or one is no good; nothing is appended
    /// then.
    pub fn new(recipients: &[PublicKey], out: &mut Vec<u8>) -> Result<Self, WrapError> {
        Ok(Self::begin(WrappedKey::new(recipients)?, out))
    }

    /// Begins a file with a key that was wrapped before: appends the header and the nonce to `out`.
    pub fn begin(key: WrappedKey, out: &mut Vec<u8>) -> Self {
        header::write(&key.stanzas, &key.file_key, out);
        let nonce = random_bytes::<NONCE_LEN>();
        out.extend_from_slice(&nonce);
        Self { chunks: Chunks::new(&key.file_key, &nonce), waiting: Buffer::new(CHUNK_LEN) }
    }

    /// Takes `plaintext` and appends the chunks that it completes.
    pub fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let rest = self.seal_whole_chunks(plaintext, out);
        self.waiting.fill(rest);
    }

    /// Appends the last chunk.
    pub fn finish(self, out: &mut Vec<u8>) {
        self.finish_with(&[], out);
    }

    /// [`push`](Self::push) and [`finish`](Self::finish) in one. Plaintext that was not pushed before is
    /// copied only once, into `out`.
    pub fn finish_with(mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let rest = self.seal_whole_chunks(plaintext, out);
        if self.waiting.is_empty() {
            self.chunks.seal(rest, true, out);
        } else {
            // What still waits was followed by nothing, so there is no rest.
            self.chunks.seal(self.waiting.filled(), true, out);
        }
    }

    /// Seals what cannot be the last chunk, since at least a byte follows. What it gives back, at most
    /// a chunk, fits behind what waits.
    fn seal_whole_chunks<'p>(&mut self, mut plaintext: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        if !self.waiting.is_empty() {
            plaintext = self.waiting.fill(plaintext);
            if plaintext.is_empty() {
                return plaintext;
            }
            self.chunks.seal(self.waiting.filled(), false, out);
            self.waiting.clear();
        }
        while plaintext.len() > CHUNK_LEN {
            let (chunk, rest) = plaintext.split_at(CHUNK_LEN);
            self.chunks.seal(chunk, false, out);
            plaintext = rest;
        }
        plaintext
    }
}

/// Appends to `out` an age file of `plaintext` for `recipients`.
///
/// # Errors
/// As [`Encryptor::new`].
pub fn encrypt(
    recipients: &[PublicKey],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), WrapError> {
    encrypt_with(WrappedKey::new(recipients)?, plaintext, out);
    Ok(())
}

/// Appends to `out` an age file of `plaintext` with a key that was wrapped before.
pub fn encrypt_with(key: WrappedKey, plaintext: &[u8], out: &mut Vec<u8>) {
    // A stanza is 98 bytes; the first and the last line of the header and the nonce are 85.
    let header_len = 100 * key.stanzas.len() + 100;
    out.reserve(header_len + sealed_len(plaintext.len()));
    Encryptor::begin(key, out).finish_with(plaintext, out);
}
