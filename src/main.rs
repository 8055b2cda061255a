//! Copal: a caching reverse proxy with ESI assembly.
fn main() {}
