//! The keys of the site's users: two halves, two folders, two users of the operating system.
//!
//! Layer 2. The public half is all that delivery sees ([`public`]); the key record with the locked
//! private half is for logins and key care only ([`record`], [`files`]). No private key is ever
//! written unlocked.

pub mod after_write;
mod body;
pub mod cached;
pub mod change;
pub mod code;
pub mod directory;
pub mod error;
pub mod escrow;
pub mod files;
pub mod kdf;
pub mod notice;
pub mod pepper;
pub mod public;
pub mod record;
mod root;
mod sealed;
mod site;
pub mod site_secrets;
mod slot;

pub use root::RootKey;
pub use site::{MARKER, SiteError, new_site};
pub use slot::{MAX_SLOT_NAME_CHARS, Slot, SlotKind, SlotState, is_slot_name};
