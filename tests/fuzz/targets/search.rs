//! A search of a client, and a message that somebody has sent.
#![no_main]

mod guard;

#[path = "../checks/search.rs"]
mod search;

libfuzzer_sys::fuzz_target!(init: guard::init(), |octets: &[u8]| {
    search::check(octets);
});
