//! Copal: a caching reverse proxy with ESI assembly.

use std::process::ExitCode;

/// Less memory and less time than the system's allocator under a mixed load of many small and some large pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    copal::main()
}
