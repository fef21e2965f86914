//! A key's way: set-up, enrolment, password changes, accounts.
//!
//! Layer 3. Whoever calls these may read the key records and the pepper; delivery never does.

pub mod accounts;
pub mod enroll;
pub mod login;
pub mod passwd;
pub mod secrets;
pub mod setup;
pub mod unlock;
