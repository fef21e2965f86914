//! What a client asks of a message in FETCH, and what it is shown.
#![no_main]

mod guard;

#[path = "../../answers/mod.rs"]
mod answers;
#[path = "../checks/view.rs"]
mod view;

libfuzzer_sys::fuzz_target!(init: guard::init(), |input: &[u8]| view::check(input));
