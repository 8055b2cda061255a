//! How many requests there were in the last while, and how many of them failed: a sliding window of ten slots.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SLOTS: u64 = 10;
/// A slot is one word: which slot of time it is for, requests, and failed ones.
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const SLOT: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// Requests of the last while. Anybody may count at any time.
#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; SLOTS as usize]);

impl Window {
    /// Counts a request that ended at `at` (since some start), in a window of this length.
    pub(super) fn count(&self, at: Duration, length: Duration, failed: bool) {
        let slot = slot(at, length);
        if let Some(word) = self.0.get((slot % SLOTS) as usize) {
            // Fails never: it always has a next value.
            _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(counted(word, slot, failed)));
        }
    }

    /// Requests in the window that ends at `at`, and how many of them failed.
    pub(super) fn sums(&self, at: Duration, length: Duration) -> (u64, u64) {
        let now = slot(at, length);
        let words = self.0.iter().map(|word| word.load(Ordering::Relaxed));
        let current = words.filter(|word| (now & SLOT).wrapping_sub(word >> (2 * COUNT_BITS)) & SLOT < SLOTS);
        current.fold((0, 0), |(all, failed), word| (all + (word >> COUNT_BITS & COUNT), failed + (word & COUNT)))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

fn slot(at: Duration, length: Duration) -> u64 {
    let length = (length.as_nanos() / u128::from(SLOTS)).max(1);
    // From one on: an empty word is nobody's.
    u64::try_from(at.as_nanos() / length).unwrap_or(u64::MAX).saturating_add(1)
}

fn counted(word: u64, slot: u64, failed: bool) -> u64 {
    let slot = slot & SLOT;
    let (mut all, mut bad) = match word >> (2 * COUNT_BITS) == slot {
        true => (word >> COUNT_BITS & COUNT, word & COUNT),
        false => (0, 0),
    };
    if all == COUNT {
        // The share stays, which is what is asked for.
        (all, bad) = (all / 2, bad / 2);
    }
    slot << (2 * COUNT_BITS) | (all + 1) << COUNT_BITS | (bad + u64::from(failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_slot_by_slot() {
        let window = Window::default();
        for second in 0..10 {
            window.count(at(1_000 * second), TEN, second % 2 == 0);
        }
        assert_eq!(window.sums(at(9_999), TEN), (10, 5));
        assert_eq!(window.sums(at(10_000), TEN), (9, 4));
        assert_eq!(window.sums(at(11_000), TEN), (8, 4));
        window.count(at(12_000), TEN, true);
        assert_eq!(window.sums(at(12_000), TEN), (8, 4));
        assert_eq!(window.sums(at(60_000), TEN), (0, 0));
        window.count(at(60_000), TEN, true);
        assert_eq!(window.sums(at(60_500), TEN), (1, 1));
        window.clear();
        assert_eq!(window.sums(at(60_500), TEN), (0, 0));
    }

    #[test]
    fn a_count_never_runs_over_and_keeps_the_share() {
        let mut word = 0;
        for request in 0..3 * COUNT {
            word = counted(word, 7, request % 4 == 0);
        }
        let (all, failed) = (word >> COUNT_BITS & COUNT, word & COUNT);
        assert_eq!(word >> (2 * COUNT_BITS), 7);
        assert!(all > COUNT / 2 && failed.abs_diff(all / 4) < all / 100, "{failed} of {all}");
    }

    #[test]
    fn no_length_and_no_time_are_too_long_or_too_short() {
        let window = Window::default();
        for length in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            window.count(Duration::MAX, length, true);
            assert_eq!(window.sums(Duration::MAX, length).1, 1, "{length:?}");
            window.clear();
        }
    }
}
