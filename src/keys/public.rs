//! Public halves: one small file for each user, usable as it is with `age -R`. This is all of the
//! keys that delivery ever sees.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::age::PublicKey;
use crate::sys::file::{FileError, Folder, Version};
use crate::user::User;

use super::site::{self, SiteError};

const MAX_PUBLIC_FILE_BYTES: u64 = 4096;
/// The comment that carries the generation.
const COMMENT: &str = "# nightsafe public key";

/// A user's public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicHalf {
    /// What mail is sealed to.
    pub key: PublicKey,
    /// Which of the user's key pairs it is, counted from 1.
    pub generation: u64,
    /// Which write of the key record it was published with; 0 where that was not noted.
    pub record: u64,
}

impl PublicHalf {
    pub(super) fn to_file(&self, user: &User) -> String {
        let Self { key, generation, record } = self;
        format!("{COMMENT} of {user}, generation {generation}, record {record}\n{key}\n")
    }

    /// Whether `other` was published later.
    pub fn is_older_than(&self, other: &Self) -> bool {
        (self.generation, self.record) < (other.generation, other.record)
    }

    fn parse(user: &User, bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let comment = format!("{COMMENT} of {user}, generation ");
        let counted = text.lines().find_map(|line| line.strip_prefix(comment.as_str()))?;
        let (generation, record) = counted.split_once(", record ").unwrap_or((counted, "0"));
        let mut keys = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let key = keys.next()?.parse().ok()?;
        let only = keys.next().is_none();
        let (generation, record) = (generation.parse().ok()?, record.parse().ok()?);
        only.then_some(Self { key, generation, record })
    }
}

/// The folder of public halves, held open for one delivery.
#[derive(Debug)]
pub struct PublicFolder(Folder);

impl PublicFolder {
    /// Where the public halves lie below the key directory.
    pub fn path_below(keys: &Path) -> PathBuf {
        keys.join("public")
    }

    /// Opens the folder below the key directory `keys`, which must belong to `site`.
    ///
    /// # Errors
    /// When it cannot be entered or has not the site's marker.
    pub fn open(keys: &Path, site: Option<&str>) -> Result<Self, SiteError> {
        site::open(&Self::path_below(keys), site).map(Self)
    }

    /// The user's public half; `None` for a user who is not enrolled.
    ///
    /// # Errors
    /// When the file is there and is no public half of this user.
    pub fn find(&self, user: &User) -> Result<Option<PublicHalf>, PublicError> {
        let Some(bytes) = self.0.read(user.as_str(), MAX_PUBLIC_FILE_BYTES)? else {
            return Ok(None);
        };
        let half = PublicHalf::parse(user, bytes.expose());
        half.map(Some).ok_or_else(|| PublicError::Malformed(self.0.path().join(user.as_str())))
    }

    /// Which version of the user's file is there; `None` where there is none.
    pub(super) fn version(&self, user: &User) -> Result<Option<Version>, FileError> {
        self.0.version(user.as_str())
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.0
    }
}

/// A public half that is of no use.
#[derive(Debug)]
pub enum PublicError {
    /// It cannot be read.
    File(FileError),
    /// It is not one.
    Malformed(PathBuf),
}

impl From<FileError> for PublicError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for PublicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Malformed(path) => {
                write!(f, "{} is not the public key of that user", path.display())
            }
        }
    }
}

impl std::error::Error for PublicError {}
