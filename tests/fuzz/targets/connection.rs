//! What a client says, to the whole service before a store in the same process.
#![no_main]

#[path = "../checks/connection.rs"]
mod connection;

libfuzzer_sys::fuzz_target!(|said: &[u8]| connection::check(said));
