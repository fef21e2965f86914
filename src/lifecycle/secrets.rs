//! The site's secrets, as the configuration names them.

use std::path::Path;

use crate::config;
use crate::keys::site_secrets::{SecretsError, SiteSecrets};

/// Reads the pepper, the provisional key if there is one, and the public recovery key if one is named.
///
/// # Errors
/// When one cannot be read or is not what it should be.
pub fn load(keys: &config::Keys) -> Result<SiteSecrets, SecretsError> {
    let recovery = &keys.recovery_key;
    let recovery: Option<&Path> = (!recovery.as_os_str().is_empty()).then_some(recovery);
    SiteSecrets::load(&keys.pepper, &keys.provisional_key, recovery)
}
