//! Setting a site up: the folders, the pepper, the provisional key and the sealing key. Never overwrites, and makes no new
//! secret where records exist that need the old one.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::config;
use crate::keys::files::{ARCHIVE, KeyDirectory, MAX_RECORD_BYTES};
use crate::keys::pepper::{Pepper, PepperError};
use crate::keys::public::PublicFolder;
use crate::keys::record::Record;
use crate::keys::site_secrets::{SecretsError, make_provisional};
use crate::keys::{MARKER, SiteError, SlotKind, new_site};
use crate::seal::{Ring, SealingKey, SiteKeyError};
use crate::sys::file::{self, FileError, Folder};
use crate::sys::process;
use crate::user::User;

/// What a set-up found or made: the path, and whether it is new.
pub type Made = Vec<(PathBuf, bool)>;

/// Whom a set-up gives what it makes, beside who runs it. Only root can give files away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owners {
    /// The group that delivery runs as.
    pub delivery_group: Option<u32>,
    /// The user whom the agent runs as.
    pub agent: Option<u32>,
}

/// Makes what is missing of a site that is configured as `keys`. The sealing key comes last: where there
/// is one, the site was once complete, and folders without markers are folders that are not mounted.
///
/// # Errors
/// When a secret or a marker is missing that existing keys need; or what was in the way.
pub fn setup(site: &config::Keys, owners: Owners) -> Result<Made, SetupError> {
    let config::Keys { directory: keys, pepper, provisional_key, sealing_key, .. } = site;
    let public = PublicFolder::path_below(keys);
    let private = KeyDirectory::private_below(keys);
    let marked = public.join(MARKER).exists() && private.join(MARKER).exists();
    let in_use = has_files(&public) || has_files(&private);
    if in_use && !marked {
        return Err(SetupError::NoMarker(keys.to_owned()));
    }
    if !marked && (sealing_key.exists() || Ring::path_beside(sealing_key).exists()) {
        let (keys, sealing_key) = (keys.to_owned(), sealing_key.to_owned());
        return Err(SetupError::NotMounted { keys, sealing_key });
    }
    let waiting = in_use && !provisional_key.exists() && somebody_waits(&private);
    for (secret, what, needed) in [
        (pepper, "pepper", in_use),
        (sealing_key, "sealing key", in_use),
        (provisional_key, "provisional key", waiting),
    ] {
        if needed && !secret.exists() {
            let (path, keys) = (secret.to_owned(), keys.to_owned());
            return Err(SetupError::Missing { what, path, keys });
        }
    }
    let secrets = [pepper, provisional_key, sealing_key];
    let made = secrets.map(|secret| (secret.to_owned(), !secret.exists()));
    let made = made.into_iter().chain([(keys.to_owned(), !marked)]).collect();

    for folder in secrets.into_iter().filter_map(|secret| secret.parent()) {
        file::make_folder(folder, REACHABLE)?;
    }
    if !pepper.exists() {
        Pepper::generate().store_new(pepper)?;
    }
    if !provisional_key.exists() {
        make_provisional(provisional_key)?;
    }
    file::make_folder(keys, REACHABLE)?;
    file::make_folder(&private, 0o700)?;
    file::make_folder(&public, REACHABLE)?;
    if let Some(group) = owners.delivery_group {
        give(&public, group)?;
    }
    let site = match KeyDirectory::marked_site(keys)? {
        Some(site) => site,
        None => new_site(),
    };
    KeyDirectory::mark(keys, &site)?;
    if !sealing_key.exists() {
        SealingKey::generate(&site).store_new(sealing_key)?;
    }
    if let Some(group) = owners.delivery_group {
        own_group(sealing_key, group)?;
    }
    if let Some(agent) = owners.agent.filter(|_| process::is_root()) {
        // Where a link leads is the site's own affair; `check` says what the agent cannot reach.
        let paths = [&private, &public, pepper, provisional_key].into_iter();
        for path in paths.filter(|path| !path.is_symlink()) {
            file::give_from_root(path, agent)?;
        }
    }
    Ok(made)
}

/// Whether there are keys, archived ones included, that nothing but the provisional key unlocks.
fn somebody_waits(private: &Path) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let archived = entries(&private.join(ARCHIVE)).map(|kept| kept.path().join("private"));
    let mut folders = archived.chain([private.to_owned()]);
    folders.any(|folder| entries(&folder).any(|entry| waits(&entry.path())))
}

fn waits(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    let Some(Ok(user)) = name.map(User::parse) else { return false };
    let bytes = file::read(path, MAX_RECORD_BYTES);
    let record = bytes.ok().and_then(|bytes| Record::parse(&user, bytes.expose()).ok());
    record.is_some_and(|record| record.has(SlotKind::Provisional))
}

/// Everybody may pass and look, only the owner writes: delivery is a user of its own.
const REACHABLE: u32 = 0o755;

/// Gives the public half to the group that delivery runs as, and to nobody else. The setgid bit hands
/// the group on to every public key made later.
fn give(public: &Path, group: u32) -> Result<(), FileError> {
    Folder::open(public)?.give_files(group, 0o640)?;
    own_group(public, group)?;
    set_mode(public, 0o2750)
}

/// Whether there are key files in it, or archived ones. A marker by itself is what an interrupted set-up leaves.
fn has_files(folder: &Path) -> bool {
    let is_key = |name: &OsStr| name == ARCHIVE || !name.as_encoded_bytes().starts_with(b".");
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
    /// The provisional key could not.
    Secrets(SecretsError),
    /// The sealing key could not.
    SiteKey(SiteKeyError),
    /// A key folder is another site's.
    Site(SiteError),
    /// There are key files but no site marker.
    NoMarker(PathBuf),
    /// There was a site, and its key folders are not there.
    NotMounted {
        /// Where they should be.
        keys: PathBuf,
        /// What tells that there was one.
        sealing_key: PathBuf,
    },
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

impl From<SecretsError> for SetupError {
    fn from(error: SecretsError) -> Self {
        Self::Secrets(error)
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
            Self::Secrets(error) => error.fmt(f),
            Self::SiteKey(error) => error.fmt(f),
            Self::Site(error) => error.fmt(f),
            Self::NoMarker(keys) => {
                write!(f, "{} holds files but no site marker {MARKER}", keys.display())
            }
            Self::NotMounted { keys, sealing_key } => {
                let (keys, sealing_key) = (keys.display(), sealing_key.display());
                write!(f, "{keys} has no site marker {MARKER}, but {sealing_key} is of a site")
            }
            Self::Missing { what, path, keys } => {
                let (path, keys) = (path.display(), keys.display());
                write!(f, "the {what} {path} is missing, and the keys in {keys} need it")
            }
        }
    }
}

impl std::error::Error for SetupError {}
