//! Escrow: the site's recovery key pair, and what goes to and fro between the server, which knows the
//! public half only, and the officers, who keep the private half far from it.
//!
//! ```text
//! officers                       server
//!   recovery.pub        ──────→    every record gets an escrow slot
//!   recovery.key, or share-1 …     (never here)
//!   Blob                ←──────    one user's slot, and the public half of a one-time key
//!   Answer              ──────→    that user's root key, sealed to the one-time key
//! ```

mod blob;
mod document;
mod error;
mod master;
mod one_time;
mod shares;

pub use blob::{Answer, Blob, Opened};
pub use document::{Document, MAX_DOCUMENT_BYTES};
pub use error::EscrowError;
pub use master::{lock, unlock};
pub use one_time::{GOOD_FOR, OneTime};
pub use shares::{combine, split};
