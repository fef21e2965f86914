//! The payload of an age file: chunks of 64 KiB, each sealed with its number and whether it is the last
//! (the STREAM construction).
//!
//! It must never give out a chunk whose tag it has not checked, or seal two chunks under one number.

use super::primitives::{TAG_LEN, derive, open, seal};
use super::{FileKey, PayloadError};
use crate::secret::Secret;

/// The plaintext of every chunk but the last, in bytes.
pub const CHUNK_LEN: usize = 64 * 1024;

/// A chunk with its tag.
pub(super) const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;

/// The length in bytes of what stands between header and first chunk.
pub(super) const NONCE_LEN: usize = 16;

/// How many bytes `plaintext_len` bytes are when sealed, without the nonce.
pub(super) const fn sealed_len(plaintext_len: usize) -> usize {
    let chunks = match plaintext_len.div_ceil(CHUNK_LEN) {
        0 => 1,
        chunks => chunks,
    };
    plaintext_len.saturating_add(chunks.saturating_mul(TAG_LEN))
}

/// The key and the number of the next chunk.
pub(super) struct Chunks {
    key: Secret<32>,
    /// Eight of the eleven bytes that the format has: more than can ever be written.
    number: u64,
}

impl Chunks {
    /// The chunks of the file with this key and nonce.
    pub(super) fn new(file_key: &FileKey, nonce: &[u8]) -> Self {
        Self { key: derive(file_key.expose(), nonce, b"payload"), number: 0 }
    }

    /// Appends `plaintext`, sealed. It is copied once and encrypted where it then stands.
    pub(super) fn seal(&mut self, plaintext: &[u8], last: bool, out: &mut Vec<u8>) {
        // With room for the tag too, the plaintext is never moved in memory.
        out.reserve(plaintext.len() + TAG_LEN);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let (_, place) = out.split_at_mut(start);
        let tag = seal(&self.key, &self.nonce(last), place);
        out.extend_from_slice(&tag);
        self.number += 1;
    }

    /// Opens `sealed` where it stands and gives back the plaintext. After an error all is as before.
    pub(super) fn open<'c>(
        &mut self,
        sealed: &'c mut [u8],
        last: bool,
    ) -> Result<&'c [u8], PayloadError> {
        let (text, tag) =
            sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(PayloadError::Truncated)?;
        if text.is_empty() && self.number > 0 {
            return Err(PayloadError::EmptyLastChunk);
        }
        if !open(&self.key, &self.nonce(last), text, tag) {
            return Err(PayloadError::Altered);
        }
        self.number += 1;
        Ok(text)
    }

    fn nonce(&self, last: bool) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h] = self.number.to_be_bytes();
        [0, 0, 0, a, b, c, d, e, f, g, h, u8::from(last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> (Chunks, Chunks) {
        let key = FileKey::random();
        (Chunks::new(&key, b"nonce"), Chunks::new(&key, b"nonce"))
    }

    #[test]
    fn the_nonce_is_number_and_mark_of_the_last() {
        let (mut chunks, _) = both();
        chunks.number = 0x0102;
        assert_eq!(chunks.nonce(false), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!(chunks.nonce(true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1]);
    }

    #[test]
    fn a_chunk_opens_only_in_its_place() {
        let (mut sealer, mut opener) = both();
        let mut first = b"before".to_vec();
        sealer.seal(b"one", false, &mut first);
        assert!(first.starts_with(b"before") && !first.ends_with(b"one"));
        let mut first = first.split_off(6);
        let mut second = Vec::new();
        sealer.seal(b"two", true, &mut second);
        assert_eq!(opener.open(&mut second, true), Err(PayloadError::Altered));
        assert_eq!(opener.open(&mut first, true), Err(PayloadError::Altered));
        assert_eq!(opener.open(&mut first, false), Ok(b"one".as_slice()));
        assert_eq!(opener.open(&mut second, true), Ok(b"two".as_slice()));
    }

    #[test]
    fn the_last_chunk_is_empty_only_alone() {
        let (mut sealer, mut opener) = both();
        let mut chunk = Vec::new();
        sealer.seal(b"", true, &mut chunk);
        assert_eq!(opener.open(&mut chunk, true), Ok(b"".as_slice()));
        let mut chunk = Vec::new();
        sealer.seal(b"", true, &mut chunk);
        assert_eq!(opener.open(&mut chunk, true), Err(PayloadError::EmptyLastChunk));
        assert_eq!(opener.open(&mut [0; 15], true), Err(PayloadError::Truncated));
    }

    #[test]
    fn sealed_len_is_the_length() {
        for (plain, sealed) in
            [(0, 16), (1, 17), (CHUNK_LEN, CHUNK_LEN + 16), (CHUNK_LEN + 1, CHUNK_LEN + 33)]
        {
            assert_eq!(sealed_len(plain), sealed);
        }
    }
}
