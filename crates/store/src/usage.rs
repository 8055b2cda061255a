//! What the store holds, counted by plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of a store at one moment, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Stored responses: all variants of all cache keys.
    pub stored_responses: u64,
    /// Bytes that they cost.
    pub stored_bytes: u64,
    /// Bytes of text of bodies that are growing, or are still read without having been stored.
    pub filling_bytes: u64,
    /// Fills under way.
    pub fills: u64,
    /// Invalidations in the log, equal ones merged.
    pub log_length: u64,
    /// Different tags of what is stored, and those that the log must remember.
    pub tags: u64,
    /// Responses ever stored, freshened ones included.
    pub stored: u64,
    /// Stored responses that left because of the memory limit, or because they were of no use any more.
    pub evicted: u64,
    /// Stored responses that left because an invalidation named them.
    pub invalidated: u64,
}

/// The counters behind [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) stored_responses: AtomicU64,
    pub(crate) stored_bytes: AtomicU64,
    /// As `stored_bytes`, with what has left but is not freed yet.
    pub(crate) unfreed_bytes: AtomicU64,
    pub(crate) fills: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) invalidated: AtomicU64,
}

/// Adds to a counter that nobody synchronises by.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Takes from a counter to which at least as much was added.
pub(crate) fn take(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
