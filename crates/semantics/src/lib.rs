//! RFC 9111, 9110, 9211, 9213 and 5861 as pure functions: no async, no clock, no log, no I/O.
