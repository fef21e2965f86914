//! The site's secrets, as the configuration names them.

use std::path::Path;

use crate::age::PublicKey;
use crate::config;
use crate::keys::site_secrets::{SecretsError, SiteSecrets, load_recovery};

/// Reads the pepper, the provisional key if there is one, and the public recovery key if one is named.
///
/// # Errors
/// When one cannot be read or is not what it should be.
pub fn load(keys: &config::Keys) -> Result<SiteSecrets, SecretsError> {
    SiteSecrets::load(&keys.pepper, &keys.provisional_key, recovery_path(keys))
}

/// Reads the public recovery key alone, if one is named: whoever asks the officers needs no pepper.
///
/// # Errors
/// When it cannot be read or is none.
pub fn recovery(keys: &config::Keys) -> Result<Option<PublicKey>, SecretsError> {
    recovery_path(keys).map(load_recovery).transpose()
}

/// The file of the public recovery key, if one is named.
pub fn recovery_path(keys: &config::Keys) -> Option<&Path> {
    let path = &keys.recovery_key;
    (!path.as_os_str().is_empty()).then_some(path)
}
