//! The agent: one daemon that holds unlocked keys and gives out content keys, never a private key.
//!
//! Layer 4. [`protocol`] is what is said on its socket, [`client`] who asks.

pub mod client;
pub mod protocol;
