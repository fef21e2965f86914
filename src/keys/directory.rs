//! What delivery asks of the key directory. Files answer it today; a database can tomorrow.

use std::fmt;

use crate::sys::file::FileError;
use crate::user::User;

use super::public::{PublicError, PublicFolder, PublicHalf};
use super::site::SiteError;

/// The public side of a key directory.
pub trait PublicDirectory: fmt::Debug + Send + Sync {
    /// The user's public half; `None` only where it is certain that the user is not enrolled.
    ///
    /// # Errors
    /// Whenever it is not certain.
    fn find(&self, user: &User) -> Result<Option<PublicHalf>, LookUpError>;

    /// Whether [`Self::find`] finds it without a look at a file, which may take as long as its disk does.
    fn has_at_hand(&self, _user: &User) -> bool {
        false
    }
}

impl PublicDirectory for PublicFolder {
    fn find(&self, user: &User) -> Result<Option<PublicHalf>, LookUpError> {
        PublicFolder::find(self, user).map_err(LookUpError::from)
    }
}

/// A look-up that gave no answer; delivery defers.
#[derive(Debug)]
pub struct LookUpError(String);

impl From<PublicError> for LookUpError {
    fn from(error: PublicError) -> Self {
        Self(error.to_string())
    }
}

impl From<SiteError> for LookUpError {
    fn from(error: SiteError) -> Self {
        Self(error.to_string())
    }
}

impl From<FileError> for LookUpError {
    fn from(error: FileError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for LookUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LookUpError {}
