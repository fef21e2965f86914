//! Reading an age file that is all there, a chunk at a time: its plaintext need never be.
//!
//! As everywhere here, no plaintext is given out that is not authentic; that nothing is missing is known
//! at the end.

use super::buffer::Buffer;
use super::decrypt;
use super::header::HeaderReader;
use super::stream::{Chunks, NONCE_LEN, SEALED_CHUNK_LEN};
use super::{Error, FileKey, HeaderError, Identity};
use crate::secret::SecretBytes;

/// The key of a whole file, where one of some identities has it.
///
/// # Errors
/// Where the header is none, or is for nobody of them.
pub fn file_key<I: Identity>(identities: &[I], file: &[u8]) -> Result<FileKey, Error> {
    let (_, header) = HeaderReader::new().push(file)?;
    decrypt::file_key(&header.ok_or(HeaderError::Truncated)?, identities)
}

/// A whole file that is being read.
pub struct Opened<'f> {
    chunks: Chunks,
    sealed: &'f [u8],
    chunk: Buffer,
    end: Option<Result<(), Error>>,
}

impl<'f> Opened<'f> {
    /// Begins to read `file`, whose key is known.
    ///
    /// # Errors
    /// Where the header is none, or this is not its key.
    pub fn new(key: &FileKey, file: &'f [u8]) -> Result<Self, Error> {
        let (rest, header) = HeaderReader::new().push(file)?;
        if !header.ok_or(HeaderError::Truncated)?.is_authentic(key) {
            return Err(Error::HeaderMac);
        }
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(HeaderError::Truncated)?;
        // Most files are one short chunk, and all of a buffer is wiped in the end.
        let chunk = Buffer::new(sealed.len().min(SEALED_CHUNK_LEN));
        let chunks = Chunks::new(key, nonce);
        Ok(Self { chunks, sealed, chunk, end: None })
    }

    /// Appends the next chunk to `out`. Whether there was one; if not, nothing of the file is missing.
    ///
    /// # Errors
    /// [`Error`] where the chunk is not authentic, and the same at every further call.
    pub fn read(&mut self, out: &mut SecretBytes) -> Result<bool, Error> {
        if let Some(end) = self.end {
            return end.map(|()| false);
        }
        self.chunk.clear();
        self.sealed = self.chunk.fill(self.sealed);
        let is_last = self.sealed.is_empty();
        let opened = self.chunks.open(self.chunk.filled(), is_last);
        let pushed = opened.map_err(Error::from).and_then(|text| Ok(out.try_push(text)?));
        if is_last || pushed.is_err() {
            self.end = Some(pushed);
        }
        pushed.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::{CHUNK_LEN, SecretKey, decrypt, encrypt};

    fn read(key: &FileKey, file: &[u8]) -> Result<Vec<u8>, Error> {
        let mut opened = Opened::new(key, file)?;
        let (mut all, mut piece) = (Vec::new(), SecretBytes::default());
        while opened.read(&mut piece)? {
            all.extend_from_slice(piece.expose());
            piece.truncate(0);
        }
        assert!(!opened.read(&mut piece)?);
        Ok(all)
    }

    #[test]
    fn it_reads_what_decrypt_does_and_refuses_what_decrypt_does() {
        let keys = [SecretKey::generate()];
        let to = [keys[0].public_key()];
        for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN, 200_000] {
            let plain: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let mut file = Vec::new();
            encrypt(&to, &plain, &mut file).unwrap();
            let key = file_key(&keys, &file).unwrap();
            assert_eq!(read(&key, &file).unwrap(), plain);
            for cut in [1, 16, 17, file.len() / 2, file.len() - 10] {
                let cut = &file[..file.len().saturating_sub(cut)];
                assert!(read(&key, cut).is_err(), "{len}: {} of {}", cut.len(), file.len());
            }
            let longer = [&file[..], b"x"].concat();
            assert!(read(&key, &longer).is_err() && decrypt(&keys, &longer).is_err());
            let mut altered = file.clone();
            let last = altered.len() - 1;
            altered[last] ^= 1;
            assert_eq!(read(&key, &altered).unwrap_err(), decrypt(&keys, &altered).unwrap_err());
        }
        let others = [SecretKey::generate()];
        let mut file = Vec::new();
        encrypt(&to, b"x", &mut file).unwrap();
        assert_eq!(file_key(&others, &file).unwrap_err(), Error::NoMatch);
        assert_eq!(Opened::new(&FileKey::random(), &file).err(), Some(Error::HeaderMac));
    }
}
