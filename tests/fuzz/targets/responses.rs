//! What the store says, up to what the client is told of it.
#![no_main]

mod guard;

#[path = "../checks/responses.rs"]
mod responses;

libfuzzer_sys::fuzz_target!(init: guard::init(), |input: &[u8]| {
    responses::check(input);
});
