//! The `nightsafe` program.
#![forbid(unsafe_code)]

fn main() {}
