//! The only place that reads the clock (invariant 12).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use copal_semantics::Timestamp;

/// A source of the present time; the system's, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// A clock that a test moves.
    #[must_use]
    pub fn manual(source: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        Self(source)
    }

    /// The present time, to the millisecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_system((self.0)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
