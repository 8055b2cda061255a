//! What is counted of one server, by every thread that has to do with it.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Counts of one server. They are on cache lines of their own: each request writes them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Load {
    /// Requests under way, bodies and upgraded connections included.
    active: AtomicUsize,
    /// Requests that it was sent.
    requests: AtomicU64,
    /// Failed ones since the last good one.
    in_a_row: AtomicU32,
    /// Failed ones.
    failures: AtomicU64,
}

impl Load {
    /// Requests under way.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Takes a place where fewer than `limit` are taken; says how many are taken then.
    pub(crate) fn claim(&self, limit: usize) -> Option<usize> {
        let taken = match limit {
            usize::MAX => self.active.fetch_add(1, Ordering::SeqCst),
            _ => {
                let one_more = |active| (active < limit).then_some(active + 1);
                self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?
            }
        };
        Some(taken + 1)
    }

    /// Gives a place back.
    pub(crate) fn release(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
    }

    /// A request is sent.
    pub(crate) fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was good.
    pub(crate) fn good(&self) {
        // Reading is cheaper than writing, and there is mostly nothing to forget.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed; the number of failed ones in a row.
    pub(crate) fn bad(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Requests since the start, and failed ones.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }
}
