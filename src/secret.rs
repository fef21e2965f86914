//! Bytes that must not outlive their use: wiped on drop, never printed, compared in constant time.
//!
//! Layer 0. Nothing here is `Clone`: a copy of a secret is always a visible call.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// `N` secret bytes in a place of their own on the heap, so that moving the value copies a pointer
/// and leaves nothing behind on the stack.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes `bytes` over and wipes the caller's copy.
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self(Box::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// Copies `bytes`; `None` when there are not exactly `N`.
    pub fn copy_of(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self(Box::new([0; N]));
        if bytes.len() != N {
            return None;
        }
        secret.0.copy_from_slice(bytes);
        Some(secret)
    }

    /// `N` zero bytes, to compare with.
    pub fn zero() -> Self {
        Self(Box::new([0; N]))
    }

    /// `N` bytes from the kernel's generator.
    pub fn random() -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill_random(secret.0.as_mut_slice());
        secret
    }

    /// Lets `fill` write the bytes in place.
    pub fn fill_with<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; N]));
        fill(secret.0.as_mut_slice())?;
        Ok(secret)
    }

    /// The bytes, to be used and not kept.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Secret bytes of any length: a password, a message in the clear. Growing moves the bytes to a
/// larger place and wipes the old one.
#[derive(Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Nothing yet, with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// When the memory for them cannot be had; what was there before stays.
    pub fn try_push(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        if bytes.len() > self.room() {
            self.try_reserve(bytes.len().max(self.0.capacity()))?;
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes room for `additional` bytes, and for no more.
    ///
    /// # Errors
    /// When the memory for them cannot be had.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        let wanted = self.0.len().checked_add(additional).ok_or(OutOfMemory)?;
        if wanted > self.0.capacity() { self.grow(wanted) } else { Ok(()) }
    }

    fn grow(&mut self, capacity: usize) -> Result<(), OutOfMemory> {
        let mut larger = Vec::new();
        larger.try_reserve_exact(capacity).map_err(|_| OutOfMemory)?;
        larger.extend_from_slice(&self.0);
        wipe(&mut self.0);
        self.0 = larger;
        Ok(())
    }

    /// How many bytes can be added before it grows.
    pub fn room(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    /// Shortens to `len` bytes and wipes what is cut off.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.0.get_mut(len..) {
            rest.zeroize();
            self.0.truncate(len);
        }
    }

    /// The bytes, to be used and not kept.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be filled in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes(..)")
    }
}

/// The memory for a message or another secret could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl std::error::Error for OutOfMemory {}

/// Wipes what was written, not the whole capacity: pages never touched are left alone.
fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

/// Overwrites what calls that have returned left in the `BYTES` below this one on the stack. Ciphers wipe
/// what they know of; what a compiler spills into a frame, and what is moved out of one, they do not.
#[inline(never)]
pub fn scrub_stack<const BYTES: usize>() {
    let mut below = [0_u8; BYTES];
    below.zeroize();
    std::hint::black_box(&mut below);
}

/// Fills `bytes` from the kernel's generator.
///
/// # Panics
/// When the kernel has no random numbers to give. There is nothing safe to go on with, and a panic
/// ends a delivery as "deferred".
pub fn fill_random(bytes: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "nothing safe can be done without random numbers")]
    getrandom::fill(bytes).expect("the kernel gives random numbers");
}

/// `N` random bytes that are not secret: a salt, a nonce, an id.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::<4>::take(&mut b"abcd".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret<4>(..)");
        let bytes = SecretBytes::from(b"abcd".to_vec());
        assert_eq!(format!("{bytes:?}"), "SecretBytes(..)");
    }

    #[test]
    fn grows_and_shrinks() {
        let mut bytes = SecretBytes::with_capacity(1);
        for _ in 0..1000 {
            bytes.try_push(b"0123456789").unwrap();
        }
        assert_eq!(bytes.len(), 10_000);
        bytes.truncate(3);
        assert_eq!(bytes.expose(), b"012");
    }
}
