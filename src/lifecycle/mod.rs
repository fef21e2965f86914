//! A key's way: set-up, enrolment, logins, password changes, slots, rotation, recovery, escrow,
//! accounts.
//!
//! Layer 3. Whoever calls these may read the key records and the site's secrets; delivery never does.

pub mod accounts;
pub mod enroll;
pub mod error;
pub mod escrow;
pub mod login;
pub mod passwd;
pub mod recovery;
pub mod recovery_key;
pub mod rotate;
pub mod secrets;
pub mod setup;
pub mod slots;
pub mod unlock;
