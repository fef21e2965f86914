//! The operating system, as far as std does not reach.
//!
//! Layer 0. Everything unsafe there is lives in `rustix`; this crate has none but
//! what calls libpam ([`crate::pam::ffi`]).

pub mod accounts;
pub mod clock;
pub mod file;
pub mod local;
pub mod memory;
pub mod process;
pub mod socket;
