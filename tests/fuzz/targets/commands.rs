//! What a mail client says, up to what the store is sent of it.
#![no_main]

mod guard;

#[path = "../checks/commands.rs"]
mod commands;

libfuzzer_sys::fuzz_target!(init: guard::init(), |input: &[u8]| {
    commands::check(input);
});
