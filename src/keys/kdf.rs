//! A secret to a key: a password by Argon2id (RFC 9106) with the site's pepper, a printed code by HKDF
//! (RFC 5869).

use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::secret::Secret;

use super::pepper::Pepper;

/// What a record may ask for at most, so that a tampered one cannot exhaust the machine.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 8;
/// The longest password in octets.
pub const MAX_PASSWORD_BYTES: usize = 4096;

/// How much work one guess at a password costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// 64 MiB, three passes, one lane: about an eighth of a second of one core.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl Cost {
    /// Whether a record may ask for this.
    pub(super) fn is_bearable(self) -> bool {
        let Self { memory_kib, passes, lanes } = self;
        memory_kib <= MAX_MEMORY_KIB && passes <= MAX_PASSES && lanes <= MAX_LANES
    }
}

/// Derives 32 octets from `password`.
///
/// # Errors
/// When Argon2 does not take the parameters, or has no memory.
pub(super) fn argon2id(
    password: &[u8],
    salt: &[u8],
    pepper: &Pepper,
    cost: Cost,
) -> Result<Secret<32>, argon2::Error> {
    with_secret(password, salt, pepper.expose(), cost)
}

/// The same without a pepper, for what is opened far from the site.
///
/// # Errors
/// When Argon2 does not take the parameters, or has no memory.
pub(super) fn argon2id_alone(
    password: &[u8],
    salt: &[u8],
    cost: Cost,
) -> Result<Secret<32>, argon2::Error> {
    with_secret(password, salt, &[], cost)
}

/// An empty secret is none (RFC 9106 §3.1).
fn with_secret(
    password: &[u8],
    salt: &[u8],
    secret: &[u8],
    cost: Cost,
) -> Result<Secret<32>, argon2::Error> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)?;
    let argon = Argon2::new_with_secret(secret, Algorithm::Argon2id, Version::V0x13, params)?;
    Secret::fill_with(|out| argon.hash_password_into(password, salt, out))
}

/// Derives 32 octets from the random bits of a printed code.
pub(super) fn hkdf(code: &[u8], salt: &[u8]) -> Secret<32> {
    let (mut derived, _) = Hkdf::<Sha256>::extract(Some(salt), code);
    Secret::take(derived.as_mut())
}
