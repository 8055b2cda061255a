//! How long to wait before the origin is asked again for what it could not refresh.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use copal_semantics::Timestamp;

/// After the first failure.
const SHORTEST: Duration = Duration::from_secs(1);

/// However often it failed.
const LONGEST: Duration = Duration::from_secs(30);

/// Failed refreshes of one stored response. What is fetched or confirmed is another stored response, with none.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: AtomicU32,
    /// In milliseconds since the Unix epoch.
    until: AtomicU64,
}

impl Backoff {
    /// Notes a failure: twice as long is waited as after the one before.
    pub(crate) fn failed(&self, now: Timestamp) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let wait = SHORTEST.saturating_mul(1 << failures).min(LONGEST);
        self.until.store(now.plus(wait).as_millis(), Ordering::Release);
    }

    /// Whether it may be tried again.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until.load(Ordering::Acquire) <= now.as_millis()
    }

    /// An invalidation came: what failed before says nothing of now.
    pub(crate) fn forget(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.until.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_are_forgotten() {
        let (backoff, mut now) = (Backoff::default(), Timestamp::from_secs(1_000));
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert!(backoff.is_over(now));
            backoff.failed(now);
            assert!(!backoff.is_over(now.plus(Duration::from_secs(seconds) - Duration::from_millis(1))));
            now = now.plus(Duration::from_secs(seconds));
            assert!(backoff.is_over(now), "after {seconds} s");
        }
        backoff.failed(now);
        backoff.forget();
        assert!(backoff.is_over(now));
        backoff.failed(now);
        assert!(backoff.is_over(now.plus(SHORTEST)));
        (0..100).for_each(|_| backoff.failed(now));
        assert!(backoff.is_over(now.plus(LONGEST)));
    }
}
