//! The time of day, for people; everything else counts in [`tokio::time::Instant`]s.

use std::time::SystemTime;

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time of day")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
