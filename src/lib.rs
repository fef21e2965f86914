//! Mail sealed for its owner the moment it is delivered, readable only after the owner logs in.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, rust_2018_idioms)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::dbg_macro,
    clippy::todo
)]

pub mod cli;

pub mod delivery;
pub mod lifecycle;

pub mod config;
pub mod keys;
pub mod seal;

pub mod age;
pub mod message;
pub mod user;

pub mod fault;
pub mod log;
pub mod secret;
pub mod sys;
