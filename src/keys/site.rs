//! The site marker: a file in each key folder that says whose folder it is. An unmounted disk looks
//! like an empty folder; without the marker nothing is looked up, and everything is deferred.

use std::fmt;
use std::path::PathBuf;

use crate::secret;
use crate::sys::file::{FileError, Folder};

/// The marker's name. A dot: no user has such a name.
pub const MARKER: &str = ".nightsafe-site";
const FIRST_WORD: &str = "nightsafe-site";
const MAX_MARKER_BYTES: u64 = 256;

/// A new site's name: 16 hexadecimal digits.
pub fn new_site() -> String {
    format!("{:016x}", u64::from_ne_bytes(secret::random_bytes()))
}

/// The marker's content.
pub(super) fn marker(site: &str) -> String {
    format!("{FIRST_WORD} {site}\n")
}

/// Which site `folder` belongs to.
///
/// # Errors
/// When the marker is missing or of no use.
pub(super) fn site_of(folder: &Folder) -> Result<String, SiteError> {
    let bytes = folder.read(MARKER, MAX_MARKER_BYTES)?;
    let bytes = bytes.ok_or_else(|| SiteError::NoMarker(folder.path().to_owned()))?;
    let text = std::str::from_utf8(bytes.expose()).unwrap_or_default();
    match text.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
        [FIRST_WORD, site] => Ok((*site).to_owned()),
        _ => Err(SiteError::NoMarker(folder.path().to_owned())),
    }
}

/// Opens `path`, which must be a key folder of the site called `site`, if one is named.
pub(super) fn open(path: &std::path::Path, site: Option<&str>) -> Result<Folder, SiteError> {
    let folder = Folder::open(path)?;
    let found = site_of(&folder)?;
    match site {
        Some(site) if site != found => {
            Err(SiteError::OtherSite { path: path.to_owned(), found, wanted: site.to_owned() })
        }
        _ => Ok(folder),
    }
}

/// A key folder that must not be used.
#[derive(Debug)]
pub enum SiteError {
    /// It cannot be entered.
    File(FileError),
    /// It has no marker: nothing was set up, or a disk is not mounted.
    NoMarker(PathBuf),
    /// It belongs to another site than the sealing key.
    OtherSite {
        /// The folder.
        path: PathBuf,
        /// The site of its marker.
        found: String,
        /// The site of the sealing key.
        wanted: String,
    },
}

impl From<FileError> for SiteError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NoMarker(path) => {
                write!(f, "{} has no site marker {MARKER}", path.display())
            }
            Self::OtherSite { path, found, wanted } => {
                write!(f, "{} belongs to site {found}, not to {wanted}", path.display())
            }
        }
    }
}

impl std::error::Error for SiteError {}
