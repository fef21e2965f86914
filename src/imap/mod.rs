//! A message's way out: login → select → fetch → rewrite.
//!
//! Layer 6. The IMAP proxy (RFC 3501) before the store's own server: a client that logs in through it
//! sees the original messages, the store never does. Nothing is stored unsealed by accident, and no
//! private key comes here: content keys come from the agent, for as long as the lease is held.

mod address;
pub mod answer;
pub mod append;
pub mod capability;
pub mod command;
mod envelope;
pub mod fetch;
pub mod fetched;
pub mod forward;
pub mod frame;
pub mod items;
pub mod login;
mod manner;
pub mod namespace;
mod parameters;
mod parts;
pub mod proxy;
pub mod refusal;
pub mod response;
pub mod search;
pub mod section;
mod structure;
pub mod token;
pub mod view;
mod write;

pub use manner::Manner;
