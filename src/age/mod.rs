//! The age v1 file format (age-encryption.org/v1; C2SP `age.md`): X25519 recipients, written and read.
//!
//! Layer 1, above `secret` only. Sans-I/O: bytes are pushed in and come out appended to a buffer. It
//! must never open a file, read a clock, print a key, or give out a byte of plaintext whose tag it
//! has not checked.
//!
//! * A file is a [`Stanza`] for each recipient, which wraps the file key ([`wrap`]), a MAC over those,
//!   and the payload in chunks of 64 KiB.
//! * [`Encryptor`] writes one and [`Decryptor`] reads one, piece by piece; [`encrypt`] and [`decrypt`]
//!   do it in one call; [`Opened`] reads one that is all there, a chunk at a time.
//! * Not here: passphrases (scrypt) and ASCII armour. A file with those is read as one without a
//!   stanza for us, or as no age file.

mod bech32;
mod buffer;
mod decrypt;
mod encrypt;
mod error;
mod header;
#[cfg(feature = "hybrid")]
mod hybrid;
mod keys;
mod primitives;
mod stanza;
mod stream;
mod whole;
mod x25519;

pub use decrypt::{Decryptor, decrypt, wrapped};
pub use encrypt::{Encryptor, WrappedKey, encrypt, encrypt_with};
pub use error::{Error, HeaderError, KeyError, PayloadError, StanzaError, WrapError};
pub use header::{MAX_HEADER_LEN, MAX_STANZAS};
#[cfg(feature = "hybrid")]
pub use hybrid::HybridKey;
pub use keys::{Identity, PublicKey, SecretKey};
pub use stanza::Stanza;
pub use stream::CHUNK_LEN;
pub use whole::{Opened, file_key};
pub use x25519::{Wrapped, wrap};

/// The key of one file, 16 bytes. Every recipient's stanza wraps this same key.
pub type FileKey = crate::secret::Secret<16>;
