//! What a client says, read by the parts that read it.
#![no_main]

mod guard;

#[path = "../checks/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(init: guard::init(), |said: &[u8]| reader::check(said));
