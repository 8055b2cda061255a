//! Is a stored response fresh, and what may be done with it when it is not? (RFC 9111 §4.2, RFC 5861)

use std::time::Duration;

use crate::directives::{FieldList, RequestDirectives, ResponseDirectives};
use crate::lifetime::Lifetime;
use crate::storability::Overrides;
use crate::time::Timestamp;

/// How long a rule lets a response be served stale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StaleRules {
    /// The operator's explicit word: both stale uses for this long, also beside `s-maxage`.
    pub grace: Duration,
    /// When the origin fails, where the response neither states a `stale-if-error` of its own nor forbids stale uses
    /// (`must-revalidate`, `proxy-revalidate`, `no-cache`, `s-maxage`).
    pub stale_if_error: Duration,
}

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
    /// RFC 5861 §4: stale may be served for this long when the origin fails; the response's word or the rule's.
    pub stale_if_error: Duration,
    /// Validated each time, never served stale.
    pub no_cache: bool,
    /// Never served stale.
    pub must_revalidate: bool,
    /// `s-maxage` implies `proxy-revalidate` (§5.2.2.10): stale only as the response itself or the rule's grace says, never because a
    /// request asks for it.
    pub s_maxage: bool,
}

/// What may be done with a stored response now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FreshnessState {
    /// May be served.
    Fresh,
    /// May be served while one refresh runs (grace or stale-while-revalidate).
    StaleWhileRevalidate,
    /// Stale, and the client takes it as it is (`max-stale`): no refresh is due.
    StaleAccepted,
    /// May be served only when the origin fails.
    StaleIfError,
    /// Must be validated or fetched.
    Expired,
}

impl Freshness {
    /// Brings together what the response says, what the rule adds (`stale`) and what it sets aside (`overrides`).
    ///
    /// `no-cache` with field names is no matter of freshness: the response is stored without these fields
    /// ([`crate::unstored_fields`]). `must-revalidate` and `proxy-revalidate` forbid every stale use. `s-maxage` implies
    /// `proxy-revalidate` (§5.2.2.10), so no default makes such a response stale; what it says itself beside it (RFC 5861) and the
    /// rule's `grace` count nevertheless.
    pub fn new(
        response_time: Timestamp,
        initial_age: Duration,
        lifetime: Lifetime,
        directives: &ResponseDirectives,
        overrides: Overrides,
        stale: StaleRules,
    ) -> Self {
        let revalidate = directives.must_revalidate || directives.proxy_revalidate;
        let s_maxage = directives.s_maxage.is_some() && !overrides.must_revalidate;
        let of_the_rule = if s_maxage { Duration::ZERO } else { stale.stale_if_error };
        Self {
            response_time,
            initial_age,
            lifetime: lifetime.duration,
            grace: stale.grace,
            stale_while_revalidate: directives.stale_while_revalidate.unwrap_or_default(),
            stale_if_error: directives.stale_if_error.unwrap_or(of_the_rule),
            no_cache: directives.no_cache == FieldList::All && !overrides.no_cache,
            must_revalidate: revalidate && !overrides.must_revalidate,
            s_maxage,
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
        let stale_for = self.stale_for(now);
        if stale_for < self.grace.max(self.stale_while_revalidate) {
            FreshnessState::StaleWhileRevalidate
        } else if stale_for < self.stale_if_error {
            FreshnessState::StaleIfError
        } else {
            FreshnessState::Expired
        }
    }

    /// What may be done with the response now for a request that asks for more or for less (RFC 9111 §5.2.1).
    ///
    /// A request that wants a fresher response gets the stored one only when the origin fails: stored responses that the origin lets
    /// us use are not withheld for a wish. `only-if-cached` and `no-store` are the caller's to see to. What asks for nothing gives
    /// [`Self::state`].
    pub fn state_for(&self, now: Timestamp, asked: &RequestDirectives) -> FreshnessState {
        let state = self.extended(now, asked);
        if self.satisfies(now, asked, state) {
            return state;
        }
        match state {
            FreshnessState::Expired => FreshnessState::Expired,
            _ => FreshnessState::StaleIfError,
        }
    }

    /// The state with what the request adds: §5.2.1.2 `max-stale`, RFC 5861 §4 `stale-if-error`. Nothing adds to what must be
    /// validated (§4.2.4).
    fn extended(&self, now: Timestamp, asked: &RequestDirectives) -> FreshnessState {
        let state = self.state(now);
        if !matches!(state, FreshnessState::StaleIfError | FreshnessState::Expired)
            || self.no_cache
            || self.must_revalidate
            || self.s_maxage
        {
            return state;
        }
        let stale_for = self.stale_for(now);
        if asked.max_stale.is_some_and(|limit| limit.is_none_or(|limit| stale_for <= limit)) {
            return FreshnessState::StaleAccepted;
        }
        if asked.stale_if_error.is_some_and(|limit| stale_for < limit) {
            return FreshnessState::StaleIfError;
        }
        state
    }

    /// Whether the response is as fresh as the request wants it: §5.2.1.1 `max-age`, §5.2.1.3 `min-fresh`, §5.2.1.4 `no-cache`.
    fn satisfies(&self, now: Timestamp, asked: &RequestDirectives, state: FreshnessState) -> bool {
        if asked.no_cache {
            return false;
        }
        let age = self.current_age(now);
        if let Some(limit) = asked.max_age {
            // max-age=0 is a reload: the stored response is not meant, even if it came in this very millisecond.
            let stale = state != FreshnessState::Fresh && asked.max_stale.is_none();
            if age > limit || limit.is_zero() || stale {
                return false;
            }
        }
        asked.min_fresh.is_none_or(|margin| self.lifetime >= age.saturating_add(margin))
    }

    /// For how long the response is stale.
    fn stale_for(&self, now: Timestamp) -> Duration {
        self.current_age(now).saturating_sub(self.lifetime)
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
