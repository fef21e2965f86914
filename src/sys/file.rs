//! Files that are read within bounds, and writes that happen whole or not at all: temporary file, fsync,
//! rename or link, fsync of the folder.

use std::fmt;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::secret::{self, SecretBytes};

/// The beginning of the names of temporary files. A dot: no user has such a name.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// A file that could not be read or written.
#[derive(Debug)]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    cause: io::Error,
}

impl FileError {
    /// `action` as in "cannot read", and what stood in its way.
    pub fn new(action: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self { action, path: path.to_owned(), cause: cause.into() }
    }

    /// The kind of the cause.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.cause)
    }
}

impl std::error::Error for FileError {}

/// Reads a file of at most `max_bytes`, which must be a regular one; a link is followed.
///
/// # Errors
/// Whatever is in the way, with the file's name.
pub fn read(path: &Path, max_bytes: u64) -> Result<SecretBytes, FileError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let opened = opened.map_err(|cause| FileError::new("read", path, cause))?;
    read_opened(opened, max_bytes).map_err(|cause| FileError::new("read", path, cause))
}

fn read_opened(opened: OwnedFd, max_bytes: u64) -> io::Result<SecretBytes> {
    let stat = rustix::fs::fstat(&opened)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than it can be"));
    }
    // Exact, so that reading moves the bytes to no second place.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    File::from(opened).take(max_bytes).read_to_end(&mut bytes)?;
    Ok(SecretBytes::from(bytes))
}

/// Makes the folder `path` with permission bits `mode` where it is missing, whatever the umask, and
/// those above it so that everybody may pass. What is there is left as it is.
///
/// # Errors
/// What was in the way.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    make_folder(above, 0o755)?;
    let failed = |cause| FileError::new("create folder", path, cause);
    DirBuilder::new().mode(mode).create(path).map_err(failed)?;
    // Again, for what the umask took off.
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Folder::open(above)?.sync()
}

/// Gives `path`, and in a folder all that is below it, to `user` where it is root's. What is another's already
/// is left alone with all below it: whoever can write there could have put something else in its place.
///
/// # Errors
/// What was in the way.
pub fn give_from_root(path: &Path, user: u32) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |cause| FileError::new("change the owner of", path, cause);
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    if metadata.uid() != 0 {
        return Ok(());
    }
    if metadata.is_dir() {
        if metadata.mode() & 0o022 != 0 {
            return Err(failed(io::Error::other("others may write there")));
        }
        // The folder itself last: until then nobody but root can change what is in it.
        for entry in std::fs::read_dir(path).map_err(failed)? {
            give_from_root(&entry.map_err(failed)?.path(), user)?;
        }
    } else if !metadata.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    std::os::unix::fs::lchown(path, Some(user), None).map_err(failed)
}

/// One state of a file. Two that are equal are of the same content, unless somebody set clocks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    file: (u64, u64),
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// A folder held open: what happens to its path meanwhile (an unmount, another mount) does not
/// change what is looked at.
#[derive(Debug)]
pub struct Folder {
    opened: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder `path`.
    ///
    /// # Errors
    /// When it is not there or may not be entered.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Entering is enough for look-ups; a folder that may be entered but not listed will do.
        let opened = rustix::fs::open(path, flags, Mode::empty()).or_else(|cause| match cause {
            Errno::ACCESS => rustix::fs::open(path, flags | OFlags::PATH, Mode::empty()),
            other => Err(other),
        });
        let opened = opened.map_err(|cause| FileError::new("open folder", path, cause))?;
        Ok(Self { opened, path: path.to_owned() })
    }

    /// Its path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file `name` of at most `max_bytes`; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, is a link or no regular file, or is larger.
    pub fn read(&self, name: &str, max_bytes: u64) -> Result<Option<SecretBytes>, FileError> {
        let failed = |cause: io::Error| FileError::new("read", &self.path.join(name), cause);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.opened, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(failed(io::Error::other("a symbolic link, which is refused"))),
            Err(cause) => Err(failed(cause.into())),
            Ok(opened) => read_opened(opened, max_bytes).map(Some).map_err(failed),
        }
    }

    /// Whether there is anything called `name`.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has(&self, name: &str) -> Result<bool, FileError> {
        self.version(name).map(|version| version.is_some())
    }

    /// Which version of the file `name` is there; `None` where there is none.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn version(&self, name: &str) -> Result<Option<Version>, FileError> {
        match rustix::fs::statat(&self.opened, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Version {
                file: (stat.st_dev, stat.st_ino),
                size: stat.st_size,
                modified: (stat.st_mtime, stat.st_mtime_nsec),
                changed: (stat.st_ctime, stat.st_ctime_nsec),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(FileError::new("look at", &self.path.join(name), cause)),
        }
    }

    /// Makes the file `name`, whole and durable; of two makers only one succeeds.
    ///
    /// # Errors
    /// `AlreadyExists` where there is one, or what else was in the way; nothing is left then.
    pub fn create(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        let temporary = self.write_temporary(bytes, mode)?;
        let linked =
            rustix::fs::linkat(&self.opened, &temporary, &self.opened, name, AtFlags::empty());
        // The link is what counts; a temporary name left over is swept later.
        let _ = rustix::fs::unlinkat(&self.opened, &temporary, AtFlags::empty());
        linked.map_err(|cause| FileError::new("create", &self.path.join(name), cause))?;
        self.sync()
    }

    /// Puts `bytes` in the place of the file `name`, whole and durable.
    ///
    /// # Errors
    /// What was in the way; the old file is then as it was.
    pub fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        let temporary = self.write_temporary(bytes, mode)?;
        rustix::fs::renameat(&self.opened, &temporary, &self.opened, name).map_err(|cause| {
            let _ = rustix::fs::unlinkat(&self.opened, &temporary, AtFlags::empty());
            FileError::new("write", &self.path.join(name), cause)
        })?;
        self.sync()
    }

    /// Moves the file `name` to `into`; `false` where there is none.
    ///
    /// # Errors
    /// What was in the way.
    pub fn move_to(&self, name: &str, into: &Folder) -> Result<bool, FileError> {
        match rustix::fs::renameat(&self.opened, name, &into.opened, name) {
            Ok(()) => {
                into.sync()?;
                self.sync()?;
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(cause) => Err(FileError::new("move", &self.path.join(name), cause)),
        }
    }

    /// Removes the file `name`; it is no error when there is none.
    ///
    /// # Errors
    /// What was in the way.
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        match rustix::fs::unlinkat(&self.opened, name, AtFlags::empty()) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(cause) => Err(FileError::new("remove", &self.path.join(name), cause)),
        }
    }

    /// The names of its files in order, without those that begin with a dot.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn list(&self) -> Result<Vec<String>, FileError> {
        let failed = |cause: Errno| FileError::new("list", &self.path, cause);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.opened).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Gives every file in it to `group`, with permission bits `mode`. Never through a link, and no file
    /// that has another name elsewhere: the folder may belong to somebody who is not to be trusted with
    /// what root can reach.
    ///
    /// # Errors
    /// What was in the way, or is no such file.
    pub fn give_files(&self, group: u32, mode: u32) -> Result<(), FileError> {
        let failed = |cause: Errno| FileError::new("list", &self.path, cause);
        for entry in rustix::fs::Dir::read_from(&self.opened).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if matches!(name.as_str(), "." | "..") || name.starts_with(TEMPORARY_PREFIX) {
                continue;
            }
            self.give_file(&name, group, mode).map_err(|cause| {
                FileError::new("change the group of", &self.path.join(name), cause)
            })?;
        }
        Ok(())
    }

    fn give_file(&self, name: &str, group: u32, mode: u32) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(&self.opened, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&opened)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_nlink != 1 {
            return Err(io::Error::other("not a regular file with one name"));
        }
        rustix::fs::fchown(&opened, None, Some(Gid::from_raw(group)))?;
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode))?;
        Ok(())
    }

    /// Removes temporary files that a killed writer left. Only for who holds the lock: nobody else
    /// is writing then.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn sweep(&self) -> Result<(), FileError> {
        let failed = |cause: Errno| FileError::new("list", &self.path, cause);
        for entry in rustix::fs::Dir::read_from(&self.opened).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
                let _ = rustix::fs::unlinkat(&self.opened, entry.file_name(), AtFlags::empty());
            }
        }
        Ok(())
    }

    /// Waits until nobody else holds the folder's lock, and holds it until the value is dropped. The
    /// folder itself is locked: a lock file would belong to whoever came first.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn lock(&self) -> Result<Lock, FileError> {
        let failed = |cause: Errno| FileError::new("lock", &self.path, cause);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Opened anew: a lock belongs to what was opened, and must end with the value.
        let opened = rustix::fs::openat(&self.opened, ".", flags, Mode::empty()).map_err(failed)?;
        rustix::fs::flock(&opened, FlockOperation::LockExclusive).map_err(failed)?;
        Ok(Lock { _opened: opened })
    }

    /// Makes the folder `name` in this one where it is missing, durably, and opens it. Root makes it
    /// for whoever this folder belongs to.
    ///
    /// # Errors
    /// What was in the way.
    pub fn folder(&self, name: &str, mode: u32) -> Result<Self, FileError> {
        let path = self.path.join(name);
        let failed = |cause: Errno| FileError::new("create folder", &path, cause);
        match rustix::fs::mkdirat(&self.opened, name, Mode::from_raw_mode(mode)) {
            Err(Errno::EXIST) => {}
            Err(cause) => return Err(failed(cause)),
            Ok(()) => self.sync()?,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened =
            rustix::fs::openat(&self.opened, name, flags, Mode::empty()).map_err(failed)?;
        if rustix::process::geteuid().is_root() {
            let own = rustix::fs::fstat(&self.opened).map_err(failed)?;
            let (user, group) = (Uid::from_raw(own.st_uid), Gid::from_raw(own.st_gid));
            rustix::fs::fchown(&opened, Some(user), Some(group)).map_err(failed)?;
        }
        Ok(Self { opened, path })
    }

    /// The permission bits of the folder and the numbers of its owner and group.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ownership(&self) -> Result<Ownership, FileError> {
        let stat = rustix::fs::fstat(&self.opened)
            .map_err(|cause| FileError::new("look at", &self.path, cause))?;
        Ok(Ownership { mode: stat.st_mode & 0o7777, user: stat.st_uid, group: stat.st_gid })
    }

    fn write_temporary(&self, bytes: &[u8], mode: u32) -> Result<String, FileError> {
        let name = format!("{TEMPORARY_PREFIX}{:016x}", u64::from_ne_bytes(secret::random_bytes()));
        let path = self.path.join(&name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.opened, &name, flags, Mode::from_raw_mode(0o600))
            .map_err(|cause| FileError::new("create", &path, cause))?;
        let written = self.fill(File::from(opened), bytes, mode);
        written.map_err(|cause| {
            let _ = rustix::fs::unlinkat(&self.opened, &name, AtFlags::empty());
            FileError::new("write", &path, cause)
        })?;
        Ok(name)
    }

    /// Root writes for whoever the folder belongs to, since that is who has to read it.
    fn fill(&self, mut file: File, bytes: &[u8], mode: u32) -> io::Result<()> {
        let folder = rustix::fs::fstat(&self.opened)?;
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::fchown(&file, Some(folder.st_uid), Some(folder.st_gid))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync(&self) -> Result<(), FileError> {
        rustix::fs::fsync(&self.opened)
            .map_err(|cause| FileError::new("make durable", &self.path, cause))
    }
}

/// Who may do what in a folder.
#[derive(Debug, Clone, Copy)]
pub struct Ownership {
    /// The permission bits.
    pub mode: u32,
    /// The owner's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

/// A lock that is held as long as the value lives; a killed process holds none.
#[derive(Debug)]
pub struct Lock {
    _opened: OwnedFd,
}
