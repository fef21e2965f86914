//! What a mail client says, up to what the store is sent of it.
#![no_main]

#[path = "../checks/commands.rs"]
mod commands;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    commands::check(input);
});
