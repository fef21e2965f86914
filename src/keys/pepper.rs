//! The pepper: a site secret that goes into every password's key, kept apart from the key records.
//! Who steals the records alone has nothing to test a guess against.

use std::fmt;
use std::path::{Path, PathBuf};

use encodify::base64::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::secret::{Secret, SecretBytes};
use crate::sys::file::{self, FileError, Folder};

const FIRST_WORD: &str = "nightsafe-pepper-1";
const MAX_PEPPER_FILE_BYTES: u64 = 256;

/// The site's 32 random octets for Argon2id (RFC 9106 §3.1, the secret value K).
pub struct Pepper(Secret<32>);

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({})", self.id())
    }
}

impl Pepper {
    /// A new one.
    pub fn generate() -> Self {
        Self(Secret::random())
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is no pepper, or is not the one its own id names.
    pub fn load(path: &Path) -> Result<Self, PepperError> {
        let bytes = file::read(path, MAX_PEPPER_FILE_BYTES)?;
        Self::parse(bytes.expose()).ok_or_else(|| PepperError::Malformed(path.to_owned()))
    }

    /// Writes it where there is none yet, readable by its owner only.
    ///
    /// # Errors
    /// When there is one already or it cannot be written.
    pub fn store_new(&self, path: &Path) -> Result<(), PepperError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| PepperError::Malformed(path.to_owned()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = Folder::open(parent.unwrap_or(Path::new(".")))?;
        let encoded = SecretBytes::from(STANDARD.encode(self.0.expose()).into_bytes());
        let mut line = SecretBytes::with_capacity(128);
        for piece in [format!("{FIRST_WORD} {} ", self.id()).as_bytes(), encoded.expose(), b"\n"] {
            // 128 octets are reserved above and hold it all.
            let _ = line.try_push(piece);
        }
        Ok(folder.create(name, line.expose(), 0o600)?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_ascii_whitespace();
        if words.next()? != FIRST_WORD {
            return None;
        }
        let id = words.next()?;
        let decoded = SecretBytes::from(STANDARD.decode(words.next()?).ok()?);
        let pepper = Self(Secret::copy_of(decoded.expose())?);
        (pepper.id() == id && words.next().is_none()).then_some(pepper)
    }

    /// Its id, which slots name: it shows a wrong pepper before anybody is told that his password
    /// is wrong.
    pub fn id(&self) -> String {
        let digest = Sha256::new().chain_update(b"nightsafe/v1 pepper id\n");
        let digest = digest.chain_update(self.0.expose()).finalize();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// A pepper that is of no use.
#[derive(Debug)]
pub enum PepperError {
    /// It cannot be read or written.
    File(FileError),
    /// It is none, or was altered.
    Malformed(PathBuf),
}

impl From<FileError> for PepperError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for PepperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Malformed(path) => write!(f, "{} is no pepper, or was altered", path.display()),
        }
    }
}

impl std::error::Error for PepperError {}
