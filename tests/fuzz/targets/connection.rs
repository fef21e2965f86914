//! What a client says, to the whole service before a store in the same process.
#![no_main]

mod guard;

#[path = "../checks/connection.rs"]
mod connection;

libfuzzer_sys::fuzz_target!(init: guard::init(), |said: &[u8]| connection::check(said));
