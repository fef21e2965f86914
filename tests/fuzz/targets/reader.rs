//! What a client says, read by the parts that read it.
#![no_main]

#[path = "../checks/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|said: &[u8]| reader::check(said));
