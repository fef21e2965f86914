//! How the site's recovery key is made and its master password changed, by the officers and far from the
//! server.

use std::fmt;
use std::path::Path;

use rustix::io::Errno;

use crate::age::{PublicKey, SecretKey};
use crate::keys::escrow::{
    Document, EscrowError, MAX_DOCUMENT_BYTES, combine, lock, split, unlock,
};
use crate::secret::SecretBytes;
use crate::sys::file::{self, FileError, Folder};

/// The public half, for the server.
pub const PUBLIC: &str = "recovery.pub";
/// The private half under the master password.
pub const PRIVATE: &str = "recovery.key";
/// How the file of each share begins; its number follows.
pub const SHARE: &str = "share-";
/// The shortest master password, in octets: it opens everybody's mail.
pub const MIN_PASSWORD_BYTES: usize = 12;

/// What keeps the private half from being used by one alone.
#[derive(Debug)]
pub enum Kept<'a> {
    /// A master password.
    Password(&'a SecretBytes),
    /// Shares.
    Shares {
        /// How many are made.
        shares: u8,
        /// How many make the key again.
        threshold: u8,
    },
}

/// Makes a recovery key in `folder`, which is made if need be: the files of the private half, and when they
/// are durable and open again, that of the public half.
///
/// # Errors
/// When there is one already or a file cannot be written; without a public half nothing was made.
pub fn make(folder: &Path, kept: &Kept<'_>) -> Result<PublicKey, RecoveryKeyError> {
    let key = SecretKey::generate();
    let public = key.public_key();
    let files = private_files(&key, kept)?;
    file::make_folder(folder, 0o700)?;
    let folder = Folder::open(folder)?;
    for name in files.iter().map(|(name, _)| name.as_str()).chain([PUBLIC]) {
        if folder.has(name)? {
            let path = folder.path().join(name);
            return Err(FileError::new("create", &path, Errno::EXIST).into());
        }
    }
    for (name, content) in &files {
        folder.create(name, content.expose(), 0o600)?;
    }
    if reread(&folder, &files, kept)?.public_key() != public {
        return Err(EscrowError::ForgedShare.into());
    }
    let text = format!(
        "# nightsafe: the public half of the site's recovery key, for [keys] recovery_key on the server.\n\
         # Its private half opens the mail of everybody, and is kept elsewhere.\n{public}\n"
    );
    folder.create(PUBLIC, text.as_bytes(), 0o644)?;
    Ok(public)
}

/// Puts the recovery key in the file `path` under the master password `new` in the place of `old`; gives its
/// public half. Copies of the file stay under the password that they have.
///
/// # Errors
/// When `old` does not open it, or what was in the way; the file is as it was then.
pub fn change_password(
    path: &Path,
    old: &SecretBytes,
    new: &SecretBytes,
) -> Result<PublicKey, RecoveryKeyError> {
    let name = path.display().to_string();
    let no_file = || FileError::new("write", path, Errno::INVAL);
    let file = path.file_name().and_then(|file| file.to_str()).ok_or_else(no_file)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = Folder::open(parent.unwrap_or(Path::new(".")))?;
    let no_entry = || FileError::new("read", path, Errno::NOENT);
    let bytes = folder.read(file, MAX_DOCUMENT_BYTES)?.ok_or_else(no_entry)?;
    let key = unlock(&Document { name: name.clone(), bytes }, old.expose())?;
    // Nothing takes the place of a file that opens but one that was seen to open.
    let changed = Document { name, bytes: locked(&key, new)? };
    let public = unlock(&changed, new.expose())?.public_key();
    folder.replace(file, changed.bytes.expose(), 0o600)?;
    Ok(public)
}

fn locked(key: &SecretKey, password: &SecretBytes) -> Result<SecretBytes, RecoveryKeyError> {
    if password.len() < MIN_PASSWORD_BYTES {
        return Err(RecoveryKeyError::ShortPassword);
    }
    Ok(lock(key, password.expose())?)
}

fn private_files(
    key: &SecretKey,
    kept: &Kept<'_>,
) -> Result<Vec<(String, SecretBytes)>, RecoveryKeyError> {
    match kept {
        Kept::Password(password) => Ok(vec![(PRIVATE.to_owned(), locked(key, password)?)]),
        Kept::Shares { shares, threshold } => {
            let files = split(key, *shares, *threshold)?.into_iter().zip(1..);
            Ok(files.map(|(file, number)| (format!("{SHARE}{number}"), file)).collect())
        }
    }
}

/// The key as the officers will have it one day.
fn reread(
    folder: &Folder,
    files: &[(String, SecretBytes)],
    kept: &Kept<'_>,
) -> Result<SecretKey, RecoveryKeyError> {
    let mut documents = Vec::new();
    for (name, _) in files {
        let bytes = folder.read(name, MAX_DOCUMENT_BYTES)?.unwrap_or_default();
        documents.push(Document { name: folder.path().join(name).display().to_string(), bytes });
    }
    match (kept, documents.as_slice()) {
        (Kept::Password(password), [document]) => Ok(unlock(document, password.expose())?),
        _ => Ok(combine(&documents)?),
    }
}

/// Why no recovery key was made, or its password not changed.
#[derive(Debug)]
pub enum RecoveryKeyError {
    /// A file could not be written, or is there already.
    File(FileError),
    /// What was written is of no use, or would be.
    Escrow(EscrowError),
    /// The master password is too short.
    ShortPassword,
}

impl From<FileError> for RecoveryKeyError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<EscrowError> for RecoveryKeyError {
    fn from(error: EscrowError) -> Self {
        Self::Escrow(error)
    }
}

impl fmt::Display for RecoveryKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Escrow(error) => error.fmt(f),
            Self::ShortPassword => {
                write!(f, "the master password has less than {MIN_PASSWORD_BYTES} octets")
            }
        }
    }
}

impl std::error::Error for RecoveryKeyError {}
