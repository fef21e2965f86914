//! The site's sealing key: it signs what delivery sealed and keys the outer Message-IDs. And the
//! ring of verification keys, in which old ones stay.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use encodify::base64::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::secret::{self, Secret, SecretBytes};
use crate::sys::file::{self, FileError, Folder};

use super::labels;

const FIRST_LINE: &str = "nightsafe-sealing-key 1";
const RING_COMMENT: &str = "# nightsafe: keys that verify what this site sealed; old ones stay\n";
/// What a keyed hash reaches down on the stack, in octets, and more.
const SCRUBBED_BYTES: usize = 8 * 1024;
const MAX_KEY_FILE_BYTES: u64 = 4096;
const MAX_RING_FILE_BYTES: u64 = 1024 * 1024;

/// The id of a sealing key: the first eight octets of the SHA-256 of its public half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

impl KeyId {
    fn of(key: &VerifyingKey) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let first = digest.first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex { u64::from_str_radix(text, 16).map(Self).map_err(|_| ()) } else { Err(()) }
    }
}

/// What delivery holds: it can sign and name messages, and read none.
pub struct SealingKey {
    /// Which site this is; the marker in the key folders says the same.
    site: String,
    signing: SigningKey,
    message_ids: Secret<32>,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id())
    }
}

impl SealingKey {
    /// A new key for the site called `site`.
    pub fn generate(site: &str) -> Self {
        let seed = Secret::<32>::random();
        Self {
            site: site.to_owned(),
            signing: SigningKey::from_bytes(seed.expose()),
            message_ids: Secret::random(),
        }
    }

    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is no sealing key.
    pub fn load(path: &Path) -> Result<Self, SiteKeyError> {
        let bytes = file::read(path, MAX_KEY_FILE_BYTES)?;
        Self::parse(bytes.expose()).ok_or_else(|| SiteKeyError::Malformed(path.to_owned()))
    }

    /// Writes the key file where there is none yet, and adds the key to the ring beside it.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn store_new(&self, path: &Path) -> Result<(), SiteKeyError> {
        let (folder, name) = folder_and_name(path)?;
        let ring = Ring::path_beside(path);
        let (_, ring_name) = folder_and_name(&ring)?;
        // The ring first: a key whose messages nobody could verify must not come into use.
        let line = ring_line(&self.signing.verifying_key());
        if folder.has(&ring_name)? {
            // Of an earlier key, or of a set-up that came no further. Old keys stay.
            Self::add_to(&folder, &ring, &ring_name, &line)?;
        } else {
            folder.create(&ring_name, format!("{RING_COMMENT}{line}\n").as_bytes(), 0o644)?;
        }
        folder.create(&name, self.to_file().expose(), 0o640)?;
        Ok(())
    }

    fn add_to(folder: &Folder, ring: &Path, name: &str, line: &str) -> Result<(), SiteKeyError> {
        let malformed = || SiteKeyError::Malformed(ring.to_owned());
        let bytes = folder.read(name, MAX_RING_FILE_BYTES)?.ok_or_else(malformed)?;
        Ring::parse(bytes.expose()).ok_or_else(malformed)?;
        let mut longer = bytes.expose().to_vec();
        if !longer.ends_with(b"\n") {
            longer.push(b'\n');
        }
        longer.extend_from_slice(format!("{line}\n").as_bytes());
        Ok(folder.replace(name, &longer, 0o644)?)
    }

    /// Which site this key belongs to.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The id that signatures name.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.signing.verifying_key())
    }

    /// A ring with nothing but this key.
    pub fn ring(&self) -> Ring {
        Ring(vec![(self.id(), self.signing.verifying_key())])
    }

    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        self.signing.sign(&[labels::SIGNATURE, text.as_bytes()].concat()).to_bytes()
    }

    /// The keyed hash that an outer Message-ID is made of.
    pub(super) fn message_id(&self, pieces: &[&[u8]]) -> [u8; 16] {
        let id = self.keyed(pieces);
        // The hash's last block, with what it holds of the original Message-ID.
        secret::scrub_stack::<SCRUBBED_BYTES>();
        id
    }

    #[inline(never)]
    fn keyed(&self, pieces: &[&[u8]]) -> [u8; 16] {
        // HMAC takes a key of any length (RFC 2104 §2).
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.message_ids.expose()) else {
            return [0; 16];
        };
        mac.update(labels::MESSAGE_ID);
        for piece in pieces {
            mac.update(piece);
        }
        mac.finalize().into_bytes().first_chunk().copied().unwrap_or_default()
    }

    fn to_file(&self) -> SecretBytes {
        let mut text = SecretBytes::with_capacity(256);
        let signing = SecretBytes::from(STANDARD.encode(self.signing.as_bytes()).into_bytes());
        let message_ids =
            SecretBytes::from(STANDARD.encode(self.message_ids.expose()).into_bytes());
        let pieces: [&[u8]; 8] = [
            FIRST_LINE.as_bytes(),
            b"\nsite ",
            self.site.as_bytes(),
            b"\nsigning ",
            signing.expose(),
            b"\nmessage-id ",
            message_ids.expose(),
            b"\n",
        ];
        for piece in pieces {
            // 256 octets are reserved above and hold it all.
            let _ = text.try_push(piece);
        }
        text
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let site = lines.next()?.strip_prefix("site ")?.to_owned();
        let signing = secret_line(lines.next()?, "signing ")?;
        let message_ids = secret_line(lines.next()?, "message-id ")?;
        Some(Self { site, signing: SigningKey::from_bytes(signing.expose()), message_ids })
    }
}

fn secret_line(line: &str, name: &str) -> Option<Secret<32>> {
    let decoded = SecretBytes::from(STANDARD.decode(line.strip_prefix(name)?).ok()?);
    Secret::copy_of(decoded.expose())
}

fn folder_and_name(path: &Path) -> Result<(Folder, String), SiteKeyError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match name {
        Some(name) => Ok((Folder::open(parent.unwrap_or(Path::new(".")))?, name.to_owned())),
        None => Err(SiteKeyError::Malformed(path.to_owned())),
    }
}

fn ring_line(key: &VerifyingKey) -> String {
    format!("{} {}", KeyId::of(key), STANDARD.encode(key.as_bytes()))
}

/// The keys that verify what this site sealed.
#[derive(Debug, Clone, Default)]
pub struct Ring(Vec<(KeyId, VerifyingKey)>);

impl Ring {
    /// Where the ring of the sealing key at `path` lies: `sealing.key` → `sealing.ring`.
    pub fn path_beside(path: &Path) -> PathBuf {
        path.with_extension("ring")
    }

    /// Reads the ring beside the sealing key at `path`. The key itself is not needed.
    ///
    /// # Errors
    /// When it cannot be read or a line of it is no key.
    pub fn load(path: &Path) -> Result<Self, SiteKeyError> {
        let ring = Self::path_beside(path);
        let bytes = file::read(&ring, MAX_RING_FILE_BYTES)?;
        Self::parse(bytes.expose()).ok_or(SiteKeyError::Malformed(ring))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (id, key) = line.split_once(' ')?;
            let key: [u8; 32] = STANDARD.decode(key).ok()?.try_into().ok()?;
            let key = VerifyingKey::from_bytes(&key).ok()?;
            (id.parse() == Ok(KeyId::of(&key))).then(|| (KeyId::of(&key), key))
        });
        keys.collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether the key `id` is in it.
    pub fn has(&self, id: KeyId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&VerifyingKey> {
        self.0.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }
}

/// A sealing key or ring that is of no use.
#[derive(Debug)]
pub enum SiteKeyError {
    /// It could not be read or written.
    File(FileError),
    /// It is not what it should be.
    Malformed(PathBuf),
}

impl From<FileError> for SiteKeyError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for SiteKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Malformed(path) => {
                write!(f, "{} is no sealing key or ring of this version", path.display())
            }
        }
    }
}

impl std::error::Error for SiteKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_comes_back() {
        let key = SealingKey::generate("0123456789abcdef");
        let again = SealingKey::parse(key.to_file().expose()).unwrap();
        assert_eq!(again.id(), key.id());
        assert_eq!(again.message_id(&[b"x"]), key.message_id(&[b"x"]));
        assert_eq!(again.site(), "0123456789abcdef");
        assert!(SealingKey::parse(b"nightsafe-sealing-key 2\n").is_none());
        assert_eq!(format!("{key:?}"), format!("SealingKey({})", key.id()));
    }

    #[test]
    fn ring_refuses_a_wrong_id() {
        let key = SealingKey::generate("x");
        let line = ring_line(&key.signing.verifying_key());
        assert!(Ring::parse(format!("# c\n{line}\n").as_bytes()).unwrap().has(key.id()));
        assert!(Ring::parse(line.replacen(line.get(..1).unwrap(), "g", 1).as_bytes()).is_none());
        assert!(Ring::parse(b"garbage").is_none());
    }
}
