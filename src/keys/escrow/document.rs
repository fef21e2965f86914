//! The JSON files of escrow (RFC 8259). Each names its format, so that one is not taken for another.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::secret::SecretBytes;

use super::error::EscrowError;

/// The largest of them, in octets.
pub const MAX_DOCUMENT_BYTES: u64 = 64 * 1024;

/// A file that was handed in.
#[derive(Debug)]
pub struct Document {
    /// What errors call it.
    pub name: String,
    /// Its content.
    pub bytes: SecretBytes,
}

impl Document {
    /// Reads it as `format`, which is called `what`.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        format: &str,
        what: &'static str,
    ) -> Result<T, EscrowError> {
        #[derive(Deserialize)]
        struct Peek {
            format: String,
        }
        let peek: Peek =
            serde_json::from_slice(self.bytes.expose()).map_err(|_| self.is_no(what))?;
        if peek.format != format {
            let (file, found) = (self.name.clone(), peek.format.chars().take(64).collect());
            return Err(EscrowError::OtherFormat { file, what, found });
        }
        serde_json::from_slice(self.bytes.expose()).map_err(|_| self.is_no(what))
    }

    pub(super) fn is_no(&self, what: &'static str) -> EscrowError {
        EscrowError::Malformed { file: self.name.clone(), what }
    }
}

/// The document as it is written.
pub(super) fn written(document: &impl Serialize) -> SecretBytes {
    // Serialising these plain structs into memory cannot fail.
    let mut bytes = serde_json::to_vec_pretty(document).unwrap_or_default();
    bytes.push(b'\n');
    SecretBytes::from(bytes)
}
