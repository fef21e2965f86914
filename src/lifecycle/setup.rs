//! Setting a site up: the folders, the pepper and the sealing key. Never overwrites, and makes no new
//! secret where records exist that need the old one.

use std::ffi::OsStr;
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::keys::files::KeyDirectory;
use crate::keys::pepper::{Pepper, PepperError};
use crate::keys::public::PublicFolder;
use crate::keys::{MARKER, SiteError, new_site};
use crate::seal::{SealingKey, SiteKeyError};
use crate::sys::file::FileError;

/// What a set-up found or made: the path, and whether it is new.
pub type Made = Vec<(PathBuf, bool)>;

/// Makes what is missing of a site.
///
/// # Errors
/// When a secret is missing that existing keys need; or what was in the way.
pub fn setup(
    keys: &Path,
    pepper: &Path,
    sealing_key: &Path,
    delivery_group: Option<u32>,
) -> Result<Made, SetupError> {
    let public = PublicFolder::path_below(keys);
    let private = KeyDirectory::private_below(keys);
    let marked = public.join(MARKER).exists() && private.join(MARKER).exists();
    if !marked && (has_files(&public) || has_files(&private)) {
        return Err(SetupError::NoMarker(keys.to_owned()));
    }
    for (secret, what) in [(pepper, "pepper"), (sealing_key, "sealing key")] {
        if marked && !secret.exists() {
            return Err(SetupError::Missing {
                what,
                path: secret.to_owned(),
                keys: keys.to_owned(),
            });
        }
    }
    for folder in [pepper, sealing_key].into_iter().filter_map(Path::parent) {
        make_reachable(folder)?;
    }
    // Delivery must reach public/ through it.
    make_reachable(keys)?;
    let mut made = Made::new();
    made.push((pepper.to_owned(), !pepper.exists()));
    if !pepper.exists() {
        Pepper::generate().store_new(pepper)?;
    }
    made.push((sealing_key.to_owned(), !sealing_key.exists()));
    let site = if sealing_key.exists() {
        SealingKey::load(sealing_key)?.site().to_owned()
    } else {
        let site = new_site();
        SealingKey::generate(&site).store_new(sealing_key)?;
        site
    };
    if let Some(group) = delivery_group {
        own_group(sealing_key, group)?;
    }
    made.push((keys.to_owned(), !marked));
    if !marked {
        // With a group of its own, the setgid bit hands it on to every public half made later.
        let mode = if delivery_group.is_some() { 0o2750 } else { 0o755 };
        KeyDirectory::create(keys, mode)?;
        if let Some(group) = delivery_group {
            own_group(&public, group)?;
        }
        // Again: a change of group takes the setgid bit off, and an interrupted set-up may have
        // left other modes.
        set_mode(&public, mode)?;
        set_mode(keys, 0o755)?;
        // The markers last: with them the site is complete.
        KeyDirectory::mark(keys, &site)?;
    }
    Ok(made)
}

/// Makes the folder where it is missing, and those above it: everybody may pass, only the owner
/// writes, whatever the umask says.
fn make_reachable(folder: &Path) -> Result<(), FileError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_reachable(above)?;
    }
    let made = DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|cause| FileError::new("create folder", folder, cause))?;
    set_mode(folder, 0o755)
}

/// Whether there are key files in it. A marker by itself is what an interrupted set-up leaves.
fn has_files(folder: &Path) -> bool {
    let is_key = |name: &OsStr| !name.as_encoded_bytes().starts_with(b".");
    std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().any(|entry| is_key(&entry.file_name())))
}

fn own_group(path: &Path, group: u32) -> Result<(), FileError> {
    std::os::unix::fs::chown(path, None, Some(group))
        .map_err(|cause| FileError::new("change the group of", path, cause))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|cause| FileError::new("change the mode of", path, cause))
}

/// Why a site was not set up.
#[derive(Debug)]
pub enum SetupError {
    /// A file could not be made.
    File(FileError),
    /// The pepper could not.
    Pepper(PepperError),
    /// The sealing key could not.
    SiteKey(SiteKeyError),
    /// A key folder is another site's.
    Site(SiteError),
    /// There are key files but no site marker.
    NoMarker(PathBuf),
    /// The site exists and lacks a secret.
    Missing {
        /// Which one.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// The key directory that needs it.
        keys: PathBuf,
    },
}

impl From<FileError> for SetupError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<PepperError> for SetupError {
    fn from(error: PepperError) -> Self {
        Self::Pepper(error)
    }
}

impl From<SiteKeyError> for SetupError {
    fn from(error: SiteKeyError) -> Self {
        Self::SiteKey(error)
    }
}

impl From<SiteError> for SetupError {
    fn from(error: SiteError) -> Self {
        Self::Site(error)
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Pepper(error) => error.fmt(f),
            Self::SiteKey(error) => error.fmt(f),
            Self::Site(error) => error.fmt(f),
            Self::NoMarker(keys) => {
                write!(f, "{} holds files but no site marker {MARKER}", keys.display())
            }
            Self::Missing { what, path, keys } => {
                let (path, keys) = (path.display(), keys.display());
                write!(f, "the {what} {path} is missing, and the keys in {keys} need it")
            }
        }
    }
}

impl std::error::Error for SetupError {}
