//! The private half of the recovery key under a master password: Argon2id (RFC 9106) without the site's
//! pepper, since it is opened where the site's secrets are not.

use encodify::base64::STANDARD;
use serde::{Deserialize, Serialize};

use crate::age::{PublicKey, SecretKey};
use crate::secret::{self, Secret, SecretBytes};

use super::super::kdf::{self, Cost};
use super::super::sealed;
use super::document::{Document, written};
use super::error::EscrowError;

const FORMAT: &str = "nightsafe-recovery-key/1";
const WHAT: &str = "recovery key";
const SALT_BYTES: usize = 16;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locked {
    format: String,
    /// The age recipient.
    public: String,
    argon2id: Cost,
    salt: String,
    /// The X25519 scalar.
    sealed: String,
}

/// The file of `key` under `password`.
///
/// # Errors
/// When there is no memory for Argon2.
pub fn lock(key: &SecretKey, password: &[u8]) -> Result<SecretBytes, EscrowError> {
    let (cost, salt) = (Cost::default(), secret::random_bytes::<SALT_BYTES>());
    let derived = kdf::argon2id_alone(password, &salt, cost);
    let derived = derived.map_err(|_| EscrowError::OutOfMemory)?;
    let public = key.public_key();
    Ok(written(&Locked {
        format: FORMAT.to_owned(),
        public: public.to_string(),
        argon2id: cost,
        salt: STANDARD.encode(salt),
        sealed: sealed::seal_bound(&derived, &bound_to(&public), key.expose()),
    }))
}

/// The key in what [`lock`] made.
///
/// # Errors
/// When it is something else, or the password is another.
pub fn unlock(file: &Document, password: &[u8]) -> Result<SecretKey, EscrowError> {
    let locked: Locked = file.read(FORMAT, WHAT)?;
    let public: PublicKey = locked.public.parse().map_err(|_| file.is_no(WHAT))?;
    let salt = STANDARD.decode(&locked.salt).map_err(|_| file.is_no(WHAT))?;
    if !locked.argon2id.is_bearable() || salt.len() != SALT_BYTES {
        return Err(file.is_no(WHAT));
    }
    let derived = kdf::argon2id_alone(password, &salt, locked.argon2id);
    let derived = derived.map_err(|_| EscrowError::OutOfMemory)?;
    let scalar = sealed::open_bound(&derived, &bound_to(&public), &locked.sealed);
    let scalar = scalar.and_then(|scalar| Secret::copy_of(scalar.expose()));
    let key = scalar.map(SecretKey::from_scalar_bytes).filter(|key| key.public_key() == public);
    key.ok_or_else(|| EscrowError::WrongPassword(file.name.clone()))
}

fn bound_to(public: &PublicKey) -> String {
    format!("{FORMAT}\n{public}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { name: "recovery.key".into(), bytes: text.as_bytes().to_vec().into() }
    }

    #[test]
    fn only_the_password_unlocks_and_only_the_whole_file() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate().public_key());
        let text = lock(&key, b"master password").unwrap();
        let text = std::str::from_utf8(text.expose()).unwrap();
        let unlock = |text: &str, password: &[u8]| unlock(&document(text), password);
        assert_eq!(unlock(text, b"master password").unwrap().expose(), key.expose());
        let wrong = EscrowError::WrongPassword("recovery.key".into());
        assert_eq!(unlock(text, b"Master password").unwrap_err(), wrong);
        let public = key.public_key().to_string();
        let renamed = text.replace(&public, &other.to_string());
        assert_eq!(unlock(&renamed, b"master password").unwrap_err(), wrong);
        let no_key = EscrowError::Malformed { file: "recovery.key".into(), what: WHAT };
        for (good, bad) in [
            ("65536", "999999999"),
            ("\"passes\": 3", "\"passes\": 17"),
            (public.as_str(), "age1"),
            ("\"salt\": \"", "\"salt\": \"AAAA"),
            ("\"salt\"", "\"sold\""),
        ] {
            assert!(text.contains(good), "{good}");
            let error = unlock(&text.replace(good, bad), b"master password").unwrap_err();
            assert_eq!(error, no_key, "{bad}");
        }
        let error = unlock(&text.replace("key/1", "key/2"), b"master password").unwrap_err();
        assert!(matches!(error, EscrowError::OtherFormat { found, .. } if found.ends_with("/2")));
        assert_eq!(unlock("", b"").unwrap_err(), no_key);
    }
}
