//! What a peer says to the agent, who answers in the same process.
#![no_main]

#[path = "../checks/agent.rs"]
mod agent;

libfuzzer_sys::fuzz_target!(|said: &[u8]| agent::check(said));
