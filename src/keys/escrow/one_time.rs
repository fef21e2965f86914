//! The one-time key of a recovery that is under way, in `private/.recovery/USER` on the server: what the
//! officers' answer is sealed to. It is replaced by the next export and goes when it was used or is too
//! old, so that an answer that somebody kept opens nothing.

use std::fmt;

use crate::age::{PublicKey, SecretKey};
use crate::secret::SecretBytes;
use crate::sys::file::Folder;
use crate::user::User;

use super::super::files::{DirectoryError, KeyDirectory};

/// How long, in seconds, an export is good for.
pub const GOOD_FOR: u64 = 48 * 60 * 60;
/// A dot: no user has such a name.
const FOLDER: &str = ".recovery";
const FIRST_WORD: &str = "nightsafe-recovery-1";
const MAX_BYTES: u64 = 1024;

/// A one-time key. Wiped with the value.
pub struct OneTime {
    /// When it was made, in seconds since 1970.
    pub time: u64,
    /// The public half of the recovery key that was asked for help.
    pub recovery_key: PublicKey,
    /// The key itself.
    pub key: SecretKey,
}

impl fmt::Debug for OneTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneTime({}, {})", self.time, self.key.public_key())
    }
}

impl OneTime {
    /// A new one.
    pub fn generate(recovery_key: PublicKey, now: u64) -> Self {
        Self { time: now, recovery_key, key: SecretKey::generate() }
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.time) > GOOD_FOR
    }

    fn to_file(&self) -> SecretBytes {
        let mut line = SecretBytes::with_capacity(512);
        let head = format!("{FIRST_WORD} {} {} ", self.time, self.recovery_key);
        for piece in [head.as_bytes(), self.key.to_bech32().expose(), b"\n"] {
            // 512 octets are reserved above and hold it all.
            let _ = line.try_push(piece);
        }
        line
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace();
        let (FIRST_WORD, time, recovery_key, key, None) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next())
        else {
            return None;
        };
        let (time, recovery_key) = (time.parse().ok()?, recovery_key.parse().ok()?);
        Some(Self { time, recovery_key, key: SecretKey::parse(key).ok()? })
    }
}

impl KeyDirectory {
    /// Keeps the one-time key of a recovery of `user`, in the place of one before; those of others that
    /// are too old go.
    ///
    /// # Errors
    /// What was in the way.
    pub fn begin_recovery(&self, user: &User, one_time: &OneTime) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        let folder = self.private.folder(FOLDER, 0o700)?;
        sweep(&folder, one_time.time)?;
        Ok(folder.replace(user.as_str(), one_time.to_file().expose(), 0o600)?)
    }

    /// Removes the one-time keys that are too old at `now`, in seconds since 1970: the answers to them
    /// open nothing from then on.
    ///
    /// # Errors
    /// What was in the way.
    pub fn sweep_recoveries(&self, now: u64) -> Result<(), DirectoryError> {
        if !self.private.has(FOLDER)? {
            return Ok(());
        }
        let _lock = self.lock()?;
        sweep(&self.private.folder(FOLDER, 0o700)?, now)
    }

    /// The one-time key of the recovery of `user` that is under way, if there is one.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn recovery_under_way(&self, user: &User) -> Result<Option<OneTime>, DirectoryError> {
        if !self.private.has(FOLDER)? {
            return Ok(None);
        }
        kept(&self.private.folder(FOLDER, 0o700)?, user.as_str())
    }

    /// Forgets the one-time key of `user`.
    ///
    /// # Errors
    /// What was in the way.
    pub fn end_recovery(&self, user: &User) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        self.forget_recovery(user)
    }

    /// The same for who holds the lock.
    pub(in super::super) fn forget_recovery(&self, user: &User) -> Result<(), DirectoryError> {
        if !self.private.has(FOLDER)? {
            return Ok(());
        }
        let folder = self.private.folder(FOLDER, 0o700)?;
        folder.sweep()?;
        Ok(folder.remove(user.as_str())?)
    }
}

/// Removes what is too old, and what a killed writer left. Only for who holds the lock.
fn sweep(folder: &Folder, now: u64) -> Result<(), DirectoryError> {
    folder.sweep()?;
    for name in folder.list()? {
        if kept(folder, &name)?.is_none_or(|one_time| one_time.is_over(now)) {
            folder.remove(&name)?;
        }
    }
    Ok(())
}

/// One that is of no use counts as none: the next export replaces it.
fn kept(folder: &Folder, name: &str) -> Result<Option<OneTime>, DirectoryError> {
    let bytes = folder.read(name, MAX_BYTES)?;
    Ok(bytes.and_then(|bytes| OneTime::parse(bytes.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_grows_old() {
        let key = SecretKey::generate().public_key();
        let one_time = OneTime::generate(key, 1000);
        let read = OneTime::parse(one_time.to_file().expose()).unwrap();
        assert_eq!((read.time, read.recovery_key), (1000, key));
        assert_eq!(read.key.expose(), one_time.key.expose());
        assert!(!read.is_over(999) && !read.is_over(1000 + GOOD_FOR));
        assert!(read.is_over(1001 + GOOD_FOR));
        assert!(!format!("{read:?}").contains("SECRET"));
        let text = String::from_utf8(one_time.to_file().expose().to_vec()).unwrap();
        for bad in ["", "x", &text.repeat(2), &text.replace("1000", "-1"), &text.replace('1', "2")]
        {
            assert!(OneTime::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
