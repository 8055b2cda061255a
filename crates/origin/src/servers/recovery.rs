//! Whether a server whose requests fail, and that is not left out, answers again: so many good requests in a row.

use std::sync::atomic::{AtomicU32, Ordering};

/// Good requests in a row, counted only while they are waited for.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// How many it takes; 0 = none are waited for.
    wanted: AtomicU32,
    good: AtomicU32,
}

impl Recovery {
    /// Waits for this many; 0 = no longer.
    pub(super) fn expect(&self, wanted: u32) {
        self.good.store(0, Ordering::Relaxed);
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Whether good requests are waited for.
    pub(super) fn is_awaited(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// A request was good; says whether that is enough.
    pub(super) fn good(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        wanted != 0 && self.good.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= wanted
    }

    /// A request failed.
    pub(super) fn bad(&self) {
        if self.is_awaited() {
            self.good.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_ones_in_a_row_count_and_only_while_they_are_waited_for() {
        let recovery = Recovery::default();
        assert!(!recovery.good());
        recovery.expect(3);
        let good = |count: u32| (0..count).map(|_| recovery.good()).collect::<Vec<_>>();
        assert_eq!(good(2), [false, false]);
        recovery.bad();
        assert_eq!(good(3), [false, false, true]);
        recovery.expect(0);
        assert_eq!(good(4), [false; 4]);
    }
}
