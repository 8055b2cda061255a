//! Origins: pools, timeouts, retries, connections.
