//! What a client asks of a message in FETCH, and what it is shown.
#![no_main]

#[path = "../../answers/mod.rs"]
mod answers;
#[path = "../checks/view.rs"]
mod view;

libfuzzer_sys::fuzz_target!(|input: &[u8]| view::check(input));
