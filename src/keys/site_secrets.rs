//! What a site keeps apart from the key records and needs to unlock them: the pepper, the provisional
//! key, and the public half of the recovery key.
//!
//! The two keys are age files: an identity (`AGE-SECRET-KEY-1…`) and a recipient (`age1…`), each in a
//! line of its own among comments.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::age::{PublicKey, SecretKey};
use crate::secret::SecretBytes;
use crate::sys::file::{self, FileError, Folder};

use super::pepper::{Pepper, PepperError};

const MAX_KEY_FILE_BYTES: u64 = 4096;
/// The largest file of a public recovery key, in octets.
pub const MAX_RECOVERY_BYTES: u64 = MAX_KEY_FILE_BYTES;
const PROVISIONAL_COMMENT: &str = "# nightsafe provisional key of this site; public half:";

/// For logins and key care; delivery has no use for it. A clone shares the secrets.
#[derive(Debug, Clone)]
pub struct SiteSecrets {
    /// Goes into every password's key.
    pub pepper: Arc<Pepper>,
    /// Unlocks the keys of users who never logged in; `None` where the site has none.
    pub provisional: Option<Arc<SecretKey>>,
    /// What the root keys of all users are sealed to as well; `None` where escrow is off.
    pub recovery: Option<PublicKey>,
}

impl SiteSecrets {
    /// Reads the files at these paths. There need be no provisional key; a recovery key that is named
    /// must be there.
    ///
    /// # Errors
    /// When one cannot be read or is not what it should be.
    pub fn load(
        pepper: &Path,
        provisional: &Path,
        recovery: Option<&Path>,
    ) -> Result<Self, SecretsError> {
        Ok(Self {
            pepper: Arc::new(Pepper::load(pepper)?),
            provisional: load_provisional(provisional)?.map(Arc::new),
            recovery: recovery.map(load_recovery).transpose()?,
        })
    }
}

/// The provisional key at `path`; `None` where there is no file.
///
/// # Errors
/// When it cannot be read or is none.
pub fn load_provisional(path: &Path) -> Result<Option<SecretKey>, SecretsError> {
    let bytes = match file::read(path, MAX_KEY_FILE_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let key = only_line(bytes.expose()).and_then(|line| SecretKey::parse(line).ok());
    let wrong = || SecretsError::Malformed { what: "provisional key", path: path.to_owned() };
    key.map(Some).ok_or_else(wrong)
}

/// The public half of the recovery key at `path`.
///
/// # Errors
/// When it cannot be read or is none.
pub fn load_recovery(path: &Path) -> Result<PublicKey, SecretsError> {
    parse_recovery(path, file::read(path, MAX_RECOVERY_BYTES)?.expose())
}

/// The same of a file that was read already.
///
/// # Errors
/// When it is none.
pub fn parse_recovery(path: &Path, bytes: &[u8]) -> Result<PublicKey, SecretsError> {
    let key = only_line(bytes).and_then(|line| line.parse().ok());
    let wrong = || SecretsError::Malformed { what: "public recovery key", path: path.to_owned() };
    key.ok_or_else(wrong)
}

/// Makes a provisional key where there is none yet, readable by its owner only.
///
/// # Errors
/// When there is one already or it cannot be written.
pub fn make_provisional(path: &Path) -> Result<(), SecretsError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let wrong = || SecretsError::Malformed { what: "path of a provisional key", path: path.into() };
    let name = name.ok_or_else(wrong)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = Folder::open(parent.unwrap_or(Path::new(".")))?;
    let key = SecretKey::generate();
    let comment = format!("{PROVISIONAL_COMMENT} {}\n", key.public_key());
    let mut content = SecretBytes::with_capacity(512);
    for piece in [comment.as_bytes(), key.to_bech32().expose(), b"\n"] {
        // 512 octets are reserved above and hold it all.
        let _ = content.try_push(piece);
    }
    Ok(folder.create(name, content.expose(), 0o600)?)
}

/// The one line that is no comment.
fn only_line(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().filter(|_| lines.next().is_none())
}

/// A secret of the site that is of no use.
#[derive(Debug)]
pub enum SecretsError {
    /// It cannot be read or written.
    File(FileError),
    /// The pepper is none.
    Pepper(PepperError),
    /// A key is none.
    Malformed {
        /// What it should be.
        what: &'static str,
        /// Its file.
        path: PathBuf,
    },
}

impl From<FileError> for SecretsError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<PepperError> for SecretsError {
    fn from(error: PepperError) -> Self {
        Self::Pepper(error)
    }
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Pepper(error) => error.fmt(f),
            Self::Malformed { what, path } => write!(f, "{} is no {what}", path.display()),
        }
    }
}

impl std::error::Error for SecretsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_other_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("provisional.key");
        assert!(load_provisional(&path).unwrap().is_none());
        make_provisional(&path).unwrap();
        let key = load_provisional(&path).unwrap().unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.contains(&key.public_key().to_string()));
        assert!(matches!(make_provisional(&path), Err(SecretsError::File(_))));

        let recovery = folder.path().join("recovery.pub");
        std::fs::write(&recovery, format!("# ours\n\n{}\n", key.public_key())).unwrap();
        assert_eq!(load_recovery(&recovery).unwrap(), key.public_key());
        // The private half is not taken for the public one, nor two for one, nor nothing.
        let two = written.lines().last().unwrap().repeat(2).replace("AGE", "\nAGE");
        for wrong in [written.as_str(), &two, "", "# only\n"] {
            std::fs::write(&recovery, wrong).unwrap();
            let error = load_recovery(&recovery).unwrap_err().to_string();
            assert_eq!(error, format!("{} is no public recovery key", recovery.display()));
        }
        std::fs::write(&path, two).unwrap();
        assert!(load_provisional(&path).unwrap_err().to_string().ends_with("no provisional key"));
    }
}
