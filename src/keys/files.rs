//! The key directory in files: `private/USER`, `public/USER`, `private/.archive` for what was removed, and
//! `private/.recovery` for recoveries under way ([`super::escrow`]).
//!
//! The order of writes is the point: the private record is durable, and `after_write` has succeeded,
//! before the public half appears. No mail is ever sealed to a key that can vanish.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::secret;
use crate::sys::file::{FileError, Folder, Lock, Ownership, Version};
use crate::user::User;

use super::after_write::{AfterWrite, SiteCommand};
use super::change::Change;
use super::error::RecordError;
use super::public::{PublicError, PublicFolder, PublicHalf};
use super::record::Record;
use super::root::RootKey;
use super::site::{self, SiteError};

/// The largest record, in octets.
pub const MAX_RECORD_BYTES: u64 = 1024 * 1024;
/// Where removed keys are kept, below the private folder. A dot: no user has such a name.
pub const ARCHIVE: &str = ".archive";

/// Both halves of a site's keys. For logins and key care; delivery has no use for it.
#[derive(Debug)]
pub struct KeyDirectory {
    pub(super) private: Folder,
    public: PublicFolder,
    after_write: Box<dyn AfterWrite>,
}

impl KeyDirectory {
    /// Where the records lie below the key directory.
    pub fn private_below(keys: &Path) -> PathBuf {
        keys.join("private")
    }

    /// Opens the key directory `keys`, which must belong to `site` if one is named.
    ///
    /// # Errors
    /// When one of its folders cannot be entered or has not the site's marker.
    pub fn open(
        keys: &Path,
        site: Option<&str>,
        after_write: &[String],
    ) -> Result<Self, SiteError> {
        let private = site::open(&Self::private_below(keys), site)?;
        let site = site::site_of(&private)?;
        let public = PublicFolder::open(keys, Some(&site))?;
        let after_write = Box::new(SiteCommand(after_write.to_vec()));
        Ok(Self { private, public, after_write })
    }

    /// The same, with something else to do after each write.
    pub fn with_after_write(self, after_write: Box<dyn AfterWrite>) -> Self {
        Self { after_write, ..self }
    }

    /// Which site the folders below `keys` are marked as; `None` where neither is.
    ///
    /// # Errors
    /// When a marker is of no use.
    pub fn marked_site(keys: &Path) -> Result<Option<String>, SiteError> {
        for path in [Self::private_below(keys), PublicFolder::path_below(keys)] {
            let folder = Folder::open(&path)?;
            if folder.has(site::MARKER)? {
                return site::site_of(&folder).map(Some);
            }
        }
        Ok(None)
    }

    /// Marks the two folders below `keys` as those of `site`: from now on they are used.
    ///
    /// # Errors
    /// What was in the way, or the marker of another site.
    pub fn mark(keys: &Path, site: &str) -> Result<(), SiteError> {
        for path in [Self::private_below(keys), PublicFolder::path_below(keys)] {
            let folder = Folder::open(&path)?;
            if !folder.has(site::MARKER)? {
                // Whoever may look into the folder may read it.
                let mode = 0o644 & (folder.ownership()?.mode | 0o600);
                folder.create(site::MARKER, site::marker(site).as_bytes(), mode)?;
            }
        }
        Self::open(keys, Some(site), &[]).map(drop)
    }

    /// The user's record; `None` for a user who has none.
    ///
    /// # Errors
    /// When it cannot be read or is of no use.
    pub fn record(&self, user: &User) -> Result<Option<Record>, DirectoryError> {
        let Some(bytes) = self.private.read(user.as_str(), MAX_RECORD_BYTES)? else {
            return Ok(None);
        };
        let record = Record::parse(user, bytes.expose());
        record.map(Some).map_err(|cause| self.bad_record(user, cause))
    }

    /// Which version of the user's record is there; `None` for a user who has none. Costs one system
    /// call.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn version(&self, user: &User) -> Result<Option<Version>, DirectoryError> {
        Ok(self.private.version(user.as_str())?)
    }

    /// The user's public half; `None` where none was published.
    ///
    /// # Errors
    /// When it cannot be read or is of no use.
    pub fn public(&self, user: &User) -> Result<Option<PublicHalf>, DirectoryError> {
        Ok(self.public.find(user)?)
    }

    /// Enrols: writes a new record and publishes its public half.
    ///
    /// # Errors
    /// [`DirectoryError::Exists`] where the user has one; or what was in the way.
    pub fn create_record(&self, user: &User, change: Change) -> Result<Record, DirectoryError> {
        let (record, _) = change.finish().map_err(|cause| self.bad_record(user, cause))?;
        let _lock = self.lock()?;
        if self.private.has(user.as_str())? || self.public.folder().has(user.as_str())? {
            return Err(DirectoryError::Exists(user.clone()));
        }
        self.private.create(user.as_str(), &record.to_file(), 0o600)?;
        self.after_write(user)?;
        self.put_public(user, &record)?;
        Ok(record)
    }

    /// Puts what `change` made of `expected` in its place and publishes its public half: the record as it
    /// is now, and its root key.
    ///
    /// # Errors
    /// [`DirectoryError::Changed`] where somebody else wrote it meanwhile; the record is then as he
    /// left it. [`DirectoryError::RolledBack`] where the change rotates and a newer key than this record
    /// knows is in use. Where `after_write` fails, `expected` is put back.
    pub fn apply(
        &self,
        user: &User,
        change: Change,
        expected: &Record,
    ) -> Result<(Record, RootKey), DirectoryError> {
        let (record, root) = change.finish().map_err(|cause| self.bad_record(user, cause))?;
        self.replace_record(user, &record, expected)?;
        Ok((record, root))
    }

    fn replace_record(
        &self,
        user: &User,
        record: &Record,
        expected: &Record,
    ) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        if self.record(user)?.as_ref() != Some(expected) {
            return Err(DirectoryError::Changed(user.clone()));
        }
        let half = |record: &Record| record.public().map_err(|cause| self.bad_record(user, cause));
        let (old, new) = (half(expected)?, half(record)?);
        let rotates = new.generation != old.generation;
        // A public half that cannot be read is replaced by one that can.
        let published = self.public(user).ok().flatten();
        let rolled_back = published.is_some_and(|published| old.is_older_than(&published));
        if rotates && rolled_back {
            return Err(DirectoryError::RolledBack(user.clone()));
        }
        self.private.replace(user.as_str(), &record.to_file(), 0o600)?;
        if let Err(error) = self.after_write(user) {
            self.private.replace(user.as_str(), &expected.to_file(), 0o600)?;
            return Err(error);
        }
        if rolled_back {
            return Ok(());
        }
        match self.put_public(user, record) {
            // The same key, and an older count of writes, which the next write mends.
            Err(_) if !rotates => Ok(()),
            put => put,
        }
    }

    /// Publishes the public half of a record that an interrupted enrolment left without.
    ///
    /// # Errors
    /// What was in the way.
    pub fn publish(&self, user: &User) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        let record = self.record(user)?.ok_or_else(|| DirectoryError::Unknown(user.clone()))?;
        self.after_write(user)?;
        self.put_public(user, &record)
    }

    /// Takes the user's keys out of use, the public half first, and gives the folder they are kept
    /// in. They are never deleted: nobody can tell that no mail or backup needs them any more.
    ///
    /// # Errors
    /// [`DirectoryError::Unknown`] where there are none; or what was in the way.
    pub fn archive(&self, user: &User, now: u64) -> Result<PathBuf, DirectoryError> {
        let _lock = self.lock()?;
        let name = user.as_str();
        if !self.private.has(name)? && !self.public.folder().has(name)? {
            return Err(DirectoryError::Unknown(user.clone()));
        }
        self.forget_recovery(user)?;
        let unique = u32::from_ne_bytes(secret::random_bytes());
        let kept = self.private.folder(ARCHIVE, 0o700)?;
        let kept = kept.folder(&format!("{now}-{unique:08x}"), 0o700)?;
        self.public.folder().move_to(name, &kept.folder("public", 0o700)?)?;
        self.private.move_to(name, &kept.folder("private", 0o700)?)?;
        Ok(kept.path().to_owned())
    }

    /// Calls the user `old` `new` from now on. Interrupted, it can be repeated.
    ///
    /// # Errors
    /// When there is no `old`, or somebody else is `new` already; or what was in the way.
    pub fn rename(&self, old: &User, new: &User) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        let record = self.record(old)?.ok_or_else(|| DirectoryError::Unknown(old.clone()))?;
        let renamed = record.renamed_to(new);
        match self.record(new)? {
            None if self.public.folder().has(new.as_str())? => {
                return Err(DirectoryError::Exists(new.clone()));
            }
            None => self.private.create(new.as_str(), &renamed.to_file(), 0o600)?,
            Some(there) if there == renamed => {}
            Some(_) => return Err(DirectoryError::Exists(new.clone())),
        }
        self.after_write(new)?;
        self.put_public(new, &renamed)?;
        self.public.folder().remove(old.as_str())?;
        self.private.remove(old.as_str())?;
        Ok(())
    }

    /// Everybody who has a record or a public half.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let mut names = self.private.list()?;
        names.extend(self.public.folder().list()?);
        names.sort();
        names.dedup();
        Ok(names.iter().filter_map(|name| User::parse(name).ok()).collect())
    }

    /// Who may do what in the private and in the public folder.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ownership(&self) -> Result<(Ownership, Ownership), FileError> {
        Ok((self.private.ownership()?, self.public.folder().ownership()?))
    }

    /// The path of the user's record.
    pub fn path_of(&self, user: &User) -> PathBuf {
        self.private.path().join(user.as_str())
    }

    /// A record that is of no use, with its path.
    pub fn bad_record(&self, user: &User, cause: RecordError) -> DirectoryError {
        DirectoryError::Record(self.path_of(user), cause)
    }

    fn put_public(&self, user: &User, record: &Record) -> Result<(), DirectoryError> {
        let half = record.public().map_err(|cause| self.bad_record(user, cause))?;
        let folder = self.public.folder();
        // Whoever may look into the folder may read what is in it, and nobody else.
        let mode = 0o644 & (folder.ownership()?.mode | 0o600);
        Ok(folder.replace(user.as_str(), half.to_file(user).as_bytes(), mode)?)
    }

    pub(super) fn lock(&self) -> Result<Lock, DirectoryError> {
        let lock = self.private.lock()?;
        self.private.sweep()?;
        self.public.folder().sweep()?;
        Ok(lock)
    }

    fn after_write(&self, user: &User) -> Result<(), DirectoryError> {
        let path = self.path_of(user);
        self.after_write.run(&path).map_err(|problem| DirectoryError::AfterWrite {
            program: self.after_write.name().to_owned(),
            path,
            problem,
        })
    }
}

/// What went wrong in the key directory.
#[derive(Debug)]
pub enum DirectoryError {
    /// A file could not be read or written.
    File(FileError),
    /// A public half is of no use.
    Public(PublicError),
    /// A record is of no use.
    Record(PathBuf, RecordError),
    /// The user has keys already.
    Exists(User),
    /// The user has no keys.
    Unknown(User),
    /// The record was written by somebody else meanwhile.
    Changed(User),
    /// The record is older than the public half in use: a new key pair would not be a newer one.
    RolledBack(User),
    /// The site's command did not succeed: nothing new holds.
    AfterWrite {
        /// The command.
        program: String,
        /// The record.
        path: PathBuf,
        /// What it answered.
        problem: String,
    },
}

impl From<FileError> for DirectoryError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<PublicError> for DirectoryError {
    fn from(error: PublicError) -> Self {
        Self::Public(error)
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Public(error) => error.fmt(f),
            Self::Record(path, error) => write!(f, "{} {error}", path.display()),
            Self::Exists(user) => write!(f, "user {user} has keys already"),
            Self::Unknown(user) => write!(f, "user {user} is not enrolled"),
            Self::Changed(user) => {
                write!(f, "the key record of {user} was changed by somebody else meanwhile")
            }
            Self::RolledBack(user) => {
                write!(f, "the key record of {user} is older than the public key in use")
            }
            Self::AfterWrite { program, path, problem } => {
                let path = path.display();
                write!(f, "[keys] after_write ({program}) failed for {path}: {problem}")
            }
        }
    }
}

impl std::error::Error for DirectoryError {}
