//! How far a response's leave to be shared reaches that has to do with `Authorization` (RFC 9111 §3.5).

use copal_policy::CacheRule;
use copal_semantics::{Lifetime, LifetimeRules, Overrides, ResponseDirectives, StaleRules, has_leave};

/// The leave of one response. `public` is one for good. `s-maxage` and `must-revalidate` are one because the origin is asked again
/// after the time that it states (§5.2.2.2, §5.2.2.10): of a rule that keeps the response for longer they know nothing.
pub(crate) struct Leave {
    given: bool,
    public: bool,
    /// The lifetime under the rule.
    pub(crate) ruled: Lifetime,
    /// The lifetime as the response states it; the ruled one where it does not matter.
    stated: Lifetime,
}

impl Leave {
    /// `stated` is asked for only where it matters.
    pub(crate) fn of(directives: &ResponseDirectives, ruled: Lifetime, stated: impl FnOnce() -> Lifetime) -> Self {
        let given = has_leave(directives);
        let stated = if given && !directives.public { stated() } else { ruled };
        Self { given, public: directives.public, ruled, stated }
    }

    /// Whether requests with `Authorization` may be answered with the response, which came for one without.
    pub(crate) fn for_guests(&self) -> bool {
        self.given && self.ruled.duration <= self.stated.duration
    }

    /// By what a response that came for a request with `Authorization` is judged: the rule sets nothing of it aside, and makes it
    /// last no longer than the leave does.
    pub(crate) fn for_authorized(&self, cache: &CacheRule) -> (Lifetime, Overrides, StaleRules) {
        let stale = match self.public {
            true => StaleRules { grace: cache.grace, stale_if_error: cache.stale_if_error },
            false => StaleRules::default(),
        };
        (self.stated, Overrides::default(), stale)
    }
}

/// A rule without what makes a lifetime longer than the response states it.
pub(crate) fn stated_only<'a>(rules: &LifetimeRules<'a>) -> LifetimeRules<'a> {
    LifetimeRules { ttl: None, default_ttl: None, min_ttl: None, status_ttl: None, heuristic: false, ..*rules }
}
