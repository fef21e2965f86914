//! The body of a sealed message, with its key: opened in one go, or given out piece by piece without ever
//! being in memory as a whole.

use std::fmt;

use crate::age::{self, FileKey, Identity};
use crate::secret::SecretBytes;

use super::open::UnsealError;
use super::payload::{UnpackError, Unpacker};

/// A large message is given out in pieces of at most so many octets.
const PIECE_BYTES: usize = 64 * 1024;

/// A body that is the one which was signed, sealed as it is.
pub struct Body {
    file: Vec<u8>,
    key: FileKey,
    size: u64,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} octets)", self.size)
    }
}

impl Body {
    /// Finds the key of `file`, an age file with an original of exactly `size` octets.
    ///
    /// # Errors
    /// Where none of the identities has it, or the file is none.
    pub(super) fn new<I: Identity>(
        keys: &[I],
        file: Vec<u8>,
        size: u64,
    ) -> Result<Self, UnsealError> {
        let key = age::file_key(keys, &file)?;
        Ok(Self { file, key, size })
    }

    /// The size of the original, in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size of the sealed form, in octets: what this takes in memory.
    pub fn sealed_size(&self) -> u64 {
        self.file.len() as u64
    }

    /// Its sealed form.
    pub(super) fn into_file(self) -> Vec<u8> {
        self.file
    }

    /// The original, in memory.
    ///
    /// # Errors
    /// Where it is not what was sealed, or there is no memory.
    pub fn open(self) -> Result<SecretBytes, UnsealError> {
        let mut pieces = self.pieces()?;
        let size = usize::try_from(self.size).map_err(|_| UnsealError::TooLarge)?;
        let mut message = Vec::new();
        message.try_reserve_exact(size).map_err(|_| UnsealError::OutOfMemory)?;
        message.resize(size, 0);
        let mut message = SecretBytes::from(message);
        let mut at = 0;
        while let Some(place) = message.expose_mut().get_mut(at..).filter(|place| !place.is_empty())
        {
            match pieces.fill(place)? {
                0 => return Err(UnsealError::Damaged),
                written => at += written,
            }
        }
        pieces.end()?;
        Ok(message)
    }

    /// The original piece by piece, from its beginning.
    ///
    /// # Errors
    /// Where it is not what was sealed.
    pub fn pieces(&self) -> Result<Pieces<'_>, UnsealError> {
        Ok(Pieces {
            opened: age::Opened::new(&self.key, &self.file)?,
            unpacker: Unpacker::new()?,
            packed: SecretBytes::default(),
            at: 0,
            left: self.size,
            piece: SecretBytes::default(),
        })
    }

    /// Reads all of it and keeps nothing but its first piece: whoever has done so can give it out.
    ///
    /// # Errors
    /// Where it is not what was sealed.
    pub fn check(&self) -> Result<SecretBytes, UnsealError> {
        let mut pieces = self.pieces()?;
        let first = SecretBytes::from(pieces.read()?.unwrap_or_default().to_vec());
        while pieces.read()?.is_some() {}
        Ok(first)
    }
}

/// A body on its way out.
pub struct Pieces<'b> {
    opened: age::Opened<'b>,
    unpacker: Unpacker,
    /// A chunk of the age file, opened, and how much of it was unpacked.
    packed: SecretBytes,
    at: usize,
    /// How much has still to come.
    left: u64,
    piece: SecretBytes,
}

impl Pieces<'_> {
    /// The next octets, `None` behind the last of them.
    ///
    /// # Errors
    /// Where it is not what was sealed: not authentic, or of another size than was signed.
    pub fn read(&mut self) -> Result<Option<&mut [u8]>, UnsealError> {
        let mut piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            piece = SecretBytes::from(vec![0; PIECE_BYTES]);
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        let written = match piece.expose_mut().get_mut(..room) {
            Some(place) if room > 0 => self.fill(place)?,
            _ => 0,
        };
        self.piece = piece;
        if written == 0 {
            self.end()?;
            return Ok(None);
        }
        Ok(self.piece.expose_mut().get_mut(..written))
    }

    /// Writes what comes next to `out`; 0 at the end.
    fn fill(&mut self, out: &mut [u8]) -> Result<usize, UnsealError> {
        loop {
            let packed = self.packed.expose().get(self.at..).unwrap_or_default();
            let (taken, written) = self.unpacker.step(packed, out)?;
            self.at += taken;
            if written > 0 {
                self.left = self.left.checked_sub(written as u64).ok_or(UnsealError::TooLarge)?;
                return Ok(written);
            }
            if taken == 0 {
                self.packed.truncate(0);
                self.at = 0;
                if !self.opened.read(&mut self.packed)? {
                    return Ok(0);
                }
            }
        }
    }

    /// Sees to it that nothing is missing, and nothing too much.
    fn end(&mut self) -> Result<(), UnsealError> {
        if self.left > 0 || self.fill(&mut [0])? > 0 || !self.unpacker.is_whole() {
            return Err(UnpackError::Corrupt.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::{SecretKey, encrypt};
    use crate::seal::payload::Packer;

    fn body(packed: &[u8], size: usize) -> Body {
        let keys = [SecretKey::generate()];
        let mut file = Vec::new();
        encrypt(&[keys[0].public_key()], packed, &mut file).unwrap();
        Body::new(&keys, file, size as u64).unwrap()
    }

    fn in_pieces(body: &Body) -> Result<Vec<u8>, UnsealError> {
        let (mut all, mut pieces) = (Vec::new(), body.pieces()?);
        while let Some(piece) = pieces.read()? {
            assert!(piece.len() <= PIECE_BYTES);
            all.extend_from_slice(piece);
        }
        Ok(all)
    }

    #[test]
    fn in_one_go_and_in_pieces() {
        let mut noise = vec![0; 300_000];
        crate::secret::fill_random(&mut noise);
        for plain in [&b""[..], b"x", &vec![b'x'; 1_000_000], &noise, &noise[..PIECE_BYTES]] {
            let packed = Packer::new().unwrap().pack(plain).unwrap();
            let body = body(packed.expose(), plain.len());
            assert_eq!(in_pieces(&body).unwrap(), plain);
            let first = body.check().unwrap();
            assert!(plain.starts_with(first.expose()) && (!first.is_empty() || plain.is_empty()));
            assert_eq!(body.open().unwrap().expose(), plain);
        }
    }

    #[test]
    fn what_is_not_as_it_was_signed_is_not_given_out_to_its_end() {
        let plain = vec![b'x'; 100_000];
        let packed = Packer::new().unwrap().pack(&plain).unwrap();
        let packed = packed.expose();
        for (packed, size) in [
            (packed, plain.len() - 1),
            (packed, plain.len() + 1),
            (packed, 0),
            (&packed[..packed.len() / 2], plain.len()),
            (b"no zstd at all", 14),
            (b"", 1),
        ] {
            let body = body(packed, size);
            assert!(in_pieces(&body).is_err() && body.check().is_err(), "{size}");
            assert!(body.open().is_err(), "{size}");
        }
    }
}
