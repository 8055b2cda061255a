//! How long a request waits for the first byte, and who says meanwhile that it is in vain.

use std::time::Duration;

use tokio::time::Instant;

use crate::link::after;

/// How often a request that waits is asked whether it goes on. Nothing is asked of those that are answered before: most are.
const LOOK: Duration = Duration::from_secs(1);

/// The longest time in which nothing moves: neither a byte of the request out, nor a head in.
#[derive(Clone, Copy)]
pub(crate) struct Silence<'a> {
    limit: Duration,
    /// Whether to wait no longer.
    in_vain: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl From<Duration> for Silence<'_> {
    fn from(limit: Duration) -> Self {
        Self { limit, in_vain: None }
    }
}

impl<'a> Silence<'a> {
    /// Ends also when `in_vain` says so, which is asked once a second.
    pub(crate) fn unless(limit: Duration, in_vain: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { limit, in_vain: Some(in_vain) }
    }

    /// When to look up after something moved.
    pub(crate) fn first_look(&self, moved: Instant) -> Instant {
        after(moved, self.wait(self.limit))
    }

    /// When to look up next, at a look; `None` when it is over. `moved` is when something moved.
    pub(crate) fn next_look(&self, moved: Instant) -> Option<Instant> {
        let now = Instant::now();
        let left = self.limit.checked_sub(now - moved).filter(|left| !left.is_zero())?;
        match self.in_vain {
            Some(in_vain) if in_vain() => None,
            _ => Some(after(now, self.wait(left))),
        }
    }

    fn wait(&self, left: Duration) -> Duration {
        if self.in_vain.is_some() { left.min(LOOK) } else { left }
    }
}
