//! One corpus in two mailboxes, one script run in both, and every answer compared: directly at the
//! store as one user, and through the proxy as another.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod allowed;
pub mod compare;
pub mod corpus;
pub mod made;
pub mod normal;
pub mod odd;
pub mod parts;
pub mod script;
pub mod searches;
