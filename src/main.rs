//! The `nightsafe` program: everything is in the library.
#![forbid(unsafe_code)]

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// Whatever is freed is wiped: parts of a message and of a password pass through many hands, and not
/// each of them can be asked to clean up behind itself.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    nightsafe::cli::main()
}
