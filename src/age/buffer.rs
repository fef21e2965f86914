//! The place where one chunk is collected: allocated once, wiped when it goes.
//!
//! It must never grow by moving, which would leave plaintext behind in freed memory.

use zeroize::Zeroize as _;

/// Up to `limit` bytes.
pub(super) struct Buffer {
    /// As long as the most that ever was filled, so that exactly the touched memory is wiped.
    bytes: Vec<u8>,
    filled: usize,
    limit: usize,
}

impl Buffer {
    /// Empty, and without memory until the first byte comes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), filled: 0, limit }
    }

    /// Takes as much of `input` as fits and gives back the rest.
    pub(super) fn fill<'i>(&mut self, input: &'i [u8]) -> &'i [u8] {
        if self.bytes.capacity() == 0 && !input.is_empty() {
            self.bytes.reserve_exact(self.limit);
        }
        let room = self.limit.saturating_sub(self.filled);
        let (taken, rest) = input.split_at(room.min(input.len()));
        let over = self.bytes.len().saturating_sub(self.filled);
        let (inside, after) = taken.split_at(over.min(taken.len()));
        let end = self.filled + inside.len();
        if let Some(place) = self.bytes.get_mut(self.filled..end) {
            place.copy_from_slice(inside);
        }
        self.bytes.extend_from_slice(after);
        self.filled += taken.len();
        rest
    }

    /// Whether no further byte fits.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.limit
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// What is in it.
    pub(super) fn filled(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.filled).unwrap_or_default()
    }

    /// Forgets what is in it; the bytes are overwritten by the next ones, or wiped at the end.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.bytes.as_mut_slice().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_clears_and_fills_again_in_one_place() {
        let mut buffer = Buffer::new(5);
        assert!(buffer.is_empty());
        assert_eq!(buffer.fill(b"abc"), b"");
        let place = buffer.filled().as_ptr();
        assert_eq!(buffer.fill(b"defg"), b"fg");
        assert!(buffer.is_full());
        assert_eq!(buffer.filled(), b"abcde");
        buffer.clear();
        assert_eq!(buffer.fill(b"12"), b"");
        assert_eq!(buffer.filled(), b"12");
        assert_eq!(buffer.fill(b"34567"), b"67");
        assert_eq!(buffer.filled(), b"12345");
        assert_eq!(buffer.filled().as_ptr(), place);
    }
}
