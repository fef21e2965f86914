//! What the tests of sealing have in common: mail to seal, a site inside the process, and a site that
//! the program itself set up in a temporary folder. Nobody has to be root for any of it.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod forge;
pub mod mail;
pub mod program;
pub mod sealer;
pub mod stock;
pub mod stored;
pub mod vector_maker;
