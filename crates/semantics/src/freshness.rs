//! Is a stored response fresh, and what may be done with it when it is not? (RFC 9111 §4.2, RFC 5861)

use std::time::Duration;

pub use crate::lifetime::{Lifetime, LifetimeRules, LifetimeSource, heuristically_cacheable, initial_age, lifetime};

use crate::directives::ResponseDirectives;
use crate::storability::Overrides;
use crate::time::Timestamp;

/// Everything a hit needs to know of freshness, so that a hit only does arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// When the response (or the 304 that freshened it last) was received.
    pub response_time: Timestamp,
    /// How old it was then (RFC 9111 §4.2.3).
    pub initial_age: Duration,
    /// How long it is fresh, counted from its age zero.
    pub lifetime: Duration,
    /// A rule's grace: stale uses of both kinds for this long.
    pub grace: Duration,
    /// RFC 5861 §3: stale may be served for this long while it is refreshed.
    pub stale_while_revalidate: Duration,
    /// RFC 5861 §4: stale may be served for this long when the origin fails.
    pub stale_if_error: Duration,
    /// Validated each time, never served stale.
    pub no_cache: bool,
    /// Never served stale.
    pub must_revalidate: bool,
}

/// What may be done with a stored response now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FreshnessState {
    /// May be served.
    Fresh,
    /// May be served while one refresh runs (grace or stale-while-revalidate).
    StaleWhileRevalidate,
    /// May be served only when the origin fails.
    StaleIfError,
    /// Must be validated or fetched.
    Expired,
}

impl Freshness {
    /// Brings together what the response says, what the rule adds (`grace`) and what it sets aside (`overrides`).
    ///
    /// `no-cache` with field names counts for the whole response (RFC 9111 §5.2.2.4 allows it). `must-revalidate` and
    /// `proxy-revalidate` forbid stale uses. `s-maxage` implies `proxy-revalidate` (§5.2.2.10), yet here it alone does not forbid
    /// them: stale is only ever served because the response itself (RFC 5861) or the operator (grace) asks for it.
    pub fn new(
        response_time: Timestamp,
        initial_age: Duration,
        lifetime: Lifetime,
        directives: &ResponseDirectives,
        overrides: Overrides,
        grace: Duration,
    ) -> Self {
        let revalidate = directives.must_revalidate || directives.proxy_revalidate;
        Self {
            response_time,
            initial_age,
            lifetime: lifetime.duration,
            grace,
            stale_while_revalidate: directives.stale_while_revalidate.unwrap_or_default(),
            stale_if_error: directives.stale_if_error.unwrap_or_default(),
            no_cache: directives.no_cache.is_present() && !overrides.no_cache,
            must_revalidate: revalidate && !overrides.must_revalidate,
        }
    }

    /// The `current_age` of RFC 9111 §4.2.3: for the `Age` field its whole seconds count.
    pub fn current_age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(now.since(self.response_time))
    }

    /// The seconds of freshness left for `Cache-Status` (RFC 9211 §2.4): at least 1 while fresh, negative when stale, 0 only in the
    /// very moment between.
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let age = self.current_age(now);
        match self.lifetime.checked_sub(age) {
            Some(left) => seconds_up(left),
            None => -seconds_up(age.saturating_sub(self.lifetime)),
        }
    }

    /// What may be done with the response now.
    pub fn state(&self, now: Timestamp) -> FreshnessState {
        if self.no_cache {
            return FreshnessState::Expired;
        }
        // §4.2: fresh while the lifetime is greater than the age.
        let age = self.current_age(now);
        if self.lifetime > age {
            return FreshnessState::Fresh;
        }
        if self.must_revalidate {
            return FreshnessState::Expired;
        }
        let stale_for = age.saturating_sub(self.lifetime);
        if stale_for < self.grace.max(self.stale_while_revalidate) {
            FreshnessState::StaleWhileRevalidate
        } else if stale_for < self.stale_if_error {
            FreshnessState::StaleIfError
        } else {
            FreshnessState::Expired
        }
    }

    /// How long the response is worth keeping, counted from [`Self::response_time`]: until it is no longer fresh nor of any stale
    /// use. A caller that can validate it adds what it likes.
    pub fn retention(&self) -> Duration {
        if self.no_cache {
            return Duration::ZERO;
        }
        let stale_use = if self.must_revalidate {
            Duration::ZERO
        } else {
            self.grace.max(self.stale_while_revalidate).max(self.stale_if_error)
        };
        self.lifetime.saturating_add(stale_use).saturating_sub(self.initial_age)
    }

    /// A soft purge: stale from `now` on, its stale uses counted from `now`. What is stale already stays as stale as it is.
    pub fn expire(&mut self, now: Timestamp) {
        self.lifetime = self.lifetime.min(self.current_age(now));
    }
}

/// Whole seconds, rounded up.
fn seconds_up(duration: Duration) -> i64 {
    let up = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(up).unwrap_or(i64::MAX)
}
