//! A clock that moves only when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Wall-clock time under the test's control. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    micros: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at `unix_secs` seconds after the Unix epoch.
    pub fn at(unix_secs: u64) -> Self {
        Self { micros: Arc::new(AtomicU64::new(unix_secs.saturating_mul(1_000_000))) }
    }

    /// The time it shows.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }

    /// The time it shows in whole seconds since the Unix epoch.
    pub fn unix_secs(&self) -> u64 {
        self.micros.load(Ordering::SeqCst) / 1_000_000
    }

    /// The clock as the function that the code under test reads.
    pub fn source(&self) -> Arc<dyn Fn() -> SystemTime + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Puts it at `unix_secs` seconds after the Unix epoch, also backwards.
    pub fn set(&self, unix_secs: u64) {
        self.micros.store(unix_secs.saturating_mul(1_000_000), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_and_sources_show_the_same_time() {
        let clock = ManualClock::at(10);
        let source = clock.clone().source();
        clock.advance(Duration::from_millis(1500));
        assert_eq!(source(), UNIX_EPOCH + Duration::from_millis(11_500));
        assert_eq!(clock.unix_secs(), 11);
        clock.set(3);
        assert_eq!(source(), UNIX_EPOCH + Duration::from_secs(3));
    }
}
