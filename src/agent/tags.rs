//! Passwords that were seen before, as tags: a MAC under a key that lives as long as the agent. Who
//! gives the right one again is let in for the price of a hash, and a wrong one costs no Argon2 run
//! twice.

use std::fmt;
use std::io;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::secret;
use crate::sys::memory::Locked;
use crate::user::User;

const KEY_BYTES: usize = 32;

/// HMAC-SHA-256 (RFC 2104) of a login attempt. Compared in constant time, wiped on drop.
#[derive(Clone)]
pub(super) struct Tag([u8; 32]);

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Tag {}

impl Drop for Tag {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// The key of all tags, from one start of the agent to the next.
#[derive(Debug)]
pub(super) struct BootKey(Locked);

impl BootKey {
    /// A new one.
    ///
    /// # Errors
    /// Where no memory can be locked.
    pub(super) fn generate() -> io::Result<Self> {
        let mut memory = Locked::new(KEY_BYTES)?;
        secret::fill_random(memory.expose_mut().get_mut(..KEY_BYTES).unwrap_or_default());
        Ok(Self(memory))
    }

    /// The tag of `password` for the user's record of this version; and for one slot of it where it is
    /// known to open that.
    pub(super) fn tag(&self, user: &User, version: u64, slot: &str, password: &[u8]) -> Tag {
        let key = self.0.expose().get(..KEY_BYTES).unwrap_or_default();
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key will do");
        for piece in [user.as_str().as_bytes(), &version.to_be_bytes(), slot.as_bytes(), password] {
            // The length, so that no two attempts are the same octets.
            mac.update(&(piece.len() as u64).to_be_bytes());
            mac.update(piece);
        }
        Tag(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_attempt_and_one_start() {
        let [alice, bob] = ["alice", "bob"].map(|name| User::parse(name).unwrap());
        let key = BootKey::generate().unwrap();
        let tag = key.tag(&alice, 1, "s", b"pw");
        assert_eq!(tag, key.tag(&alice, 1, "s", b"pw"));
        for other in [
            key.tag(&bob, 1, "s", b"pw"),
            key.tag(&alice, 2, "s", b"pw"),
            key.tag(&alice, 1, "", b"spw"),
            key.tag(&alice, 1, "sp", b"w"),
            BootKey::generate().unwrap().tag(&alice, 1, "s", b"pw"),
        ] {
            assert_ne!(tag, other);
        }
        assert_eq!(format!("{tag:?}"), "Tag(..)");
    }
}
