//! What lies inside an age file: zstd frames (RFC 8878) and one skippable frame that pads the whole
//! to a Padmé size, so that stock `zstd -d` gives the bytes back and the length tells only a class.

use zstd::stream::raw::{Decoder, Operation as _};
use zstd::zstd_safe::{self, CCtx, CParameter};

use crate::secret::{OutOfMemory, SecretBytes};

/// The level where more effort stops paying for mail.
const LEVEL: i32 = 1;
/// RFC 8878 §3.1.2: the first of the sixteen magic numbers of a skippable frame, little-endian.
const SKIPPABLE_MAGIC: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
/// Magic number and length of a skippable frame, in octets.
const SKIPPABLE_HEADER_BYTES: usize = 8;
/// Decompression goes in steps of this many octets.
const STEP_BYTES: usize = 64 * 1024;

/// Packs payloads, one after the other, with one set of tables.
pub struct Packer(CCtx<'static>);

impl Packer {
    /// Ready to pack.
    ///
    /// # Errors
    /// When there is no memory for the tables.
    pub fn new() -> Result<Self, OutOfMemory> {
        let mut context = CCtx::try_create().ok_or(OutOfMemory)?;
        context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(|_| OutOfMemory)?;
        Ok(Self(context))
    }

    /// Compresses `plain` and pads it.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn pack(&mut self, plain: &[u8]) -> Result<SecretBytes, OutOfMemory> {
        let bound = zstd_safe::compress_bound(plain.len());
        let room = bound.checked_add(bound / 8 + 2 * SKIPPABLE_HEADER_BYTES).ok_or(OutOfMemory)?;
        let mut packed = Vec::new();
        packed.try_reserve_exact(room).map_err(|_| OutOfMemory)?;
        // All of it is there, so zstd sizes its tables for it: cheap for a small message.
        self.0.compress2(&mut packed, plain).map_err(|_| OutOfMemory)?;
        let unpadded = packed.len() + SKIPPABLE_HEADER_BYTES;
        let padding = padme(unpadded) - unpadded;
        let length = u32::try_from(padding).map_err(|_| OutOfMemory)?;
        packed.extend_from_slice(&SKIPPABLE_MAGIC);
        packed.extend_from_slice(&length.to_le_bytes());
        packed.resize(packed.len() + padding, 0);
        Ok(SecretBytes::from(packed))
    }
}

/// The Padmé size of `len` octets: at most 12 % more, and it gives away O(log log len) bits (Nikitin
/// and others, Reducing Metadata Leakage from Encrypted Files, 2019, §4).
fn padme(len: usize) -> usize {
    let Some(exponent) = len.checked_ilog2().filter(|exponent| *exponent > 0) else { return len };
    let kept = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept.min(exponent))) - 1;
    (len + mask) & !mask
}

/// Why a payload could not be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnpackError {
    /// It holds more octets than it may.
    TooLarge,
    /// It is no sequence of zstd frames.
    Corrupt,
    /// There is no memory for it.
    OutOfMemory,
}

/// Decompresses a payload that comes in pieces.
pub struct Unpacker {
    decoder: Decoder<'static>,
    /// Whether a frame has begun that has not ended.
    is_inside: bool,
}

impl Unpacker {
    /// Ready for the first piece.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self, UnpackError> {
        let decoder = Decoder::new().map_err(|_| UnpackError::OutOfMemory)?;
        Ok(Self { decoder, is_inside: false })
    }

    /// Takes some of `packed` and writes to `out`: how many octets of each. Where `out` was filled, more may
    /// come out of what was taken.
    ///
    /// # Errors
    /// When it is not what [`Packer::pack`] makes.
    pub fn step(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(usize, usize), UnpackError> {
        if packed.is_empty() && !self.is_inside {
            return Ok((0, 0));
        }
        if !self.is_inside {
            self.decoder.reinit().map_err(|_| UnpackError::OutOfMemory)?;
        }
        let status = self.decoder.run_on_buffers(packed, out).map_err(|_| UnpackError::Corrupt)?;
        self.is_inside = status.remaining > 0;
        Ok((status.bytes_read, status.bytes_written))
    }

    /// Whether nothing is missing at the end of what came.
    pub fn is_whole(&self) -> bool {
        !self.is_inside
    }
}

/// Decompresses `packed`, which may hold at most `limit` octets.
///
/// # Errors
/// When it holds more, or is not what [`Packer::pack`] makes.
pub fn unpack(packed: &[u8], limit: u64) -> Result<SecretBytes, UnpackError> {
    let mut unpacker = Unpacker::new()?;
    let mut plain = SecretBytes::default();
    let mut step = SecretBytes::from(vec![0; STEP_BYTES]);
    let mut left = packed;
    loop {
        let (taken, written) = unpacker.step(left, step.expose_mut())?;
        left = left.get(taken..).unwrap_or_default();
        let piece = step.expose().get(..written).unwrap_or_default();
        if plain.len() as u64 + piece.len() as u64 > limit {
            return Err(UnpackError::TooLarge);
        }
        plain.try_push(piece).map_err(|_| UnpackError::OutOfMemory)?;
        if taken == 0 && written == 0 {
            break;
        }
    }
    if unpacker.is_whole() { Ok(plain) } else { Err(UnpackError::Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padme_sizes() {
        // Values of the paper's definition, worked out by hand.
        for (len, padded) in
            [(0, 0), (1, 1), (2, 2), (9, 10), (100, 104), (1000, 1024), (1025, 1088)]
        {
            assert_eq!(padme(len), padded, "{len}");
        }
        for len in (1..100_000).step_by(7) {
            assert!(padme(len) >= len && (padme(len) - len) * 100 <= len * 12);
        }
    }

    #[test]
    fn comes_back_and_is_bounded() {
        let mut packer = Packer::new().unwrap();
        for len in [0, 1, 1000, 200_000] {
            let plain = vec![b'x'; len];
            let packed = packer.pack(&plain).unwrap();
            assert_eq!(packed.len(), padme(packed.len()));
            assert_eq!(unpack(packed.expose(), len as u64).unwrap().expose(), plain);
            if len > 0 {
                assert_eq!(
                    unpack(packed.expose(), len as u64 - 1).unwrap_err(),
                    UnpackError::TooLarge
                );
            }
        }
        assert_eq!(unpack(b"no zstd at all", 100).unwrap_err(), UnpackError::Corrupt);
        let packed = packer.pack(b"some text to cut").unwrap();
        assert_eq!(unpack(&packed.expose()[..12], 100).unwrap_err(), UnpackError::Corrupt);
    }
}
