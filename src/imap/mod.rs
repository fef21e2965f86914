//! A message's way out: login → select → fetch → rewrite.
//!
//! Layer 6. The IMAP proxy (RFC 3501) before the store's own server: a client that logs in through it
//! sees the original messages, the store never does. Nothing is stored unsealed by accident, and no
//! private key comes here: content keys come from the agent, for as long as the lease is held.

pub mod search;
pub mod token;
