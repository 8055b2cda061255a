//! What a request's own `Cache-Control` asks of the cache, as far as it counts here (RFC 9111 §5.2.1).

use std::time::Duration;

use copal_policy::{CacheRule, Config, RequestDirectivesMode};
use copal_semantics::{FreshnessState, RequestDirectives, ResponseDirectives, Timestamp};
use copal_store::StoredResponse;
use http::{HeaderValue, Method};

use crate::decide;
use crate::exchange::Exchange;
use crate::reason::Reason;

/// The directives of one request that count under its rule. There is none for most requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directed {
    directives: RequestDirectives,
    /// All of them count; else those only that cost the origin nothing.
    pub(crate) honoured: bool,
}

impl Directed {
    /// What counts of a request's directives: by the rule's `request_directives`, or all where the client is in
    /// `cache.revalidate_allow`.
    pub(crate) fn of(config: &Config, cache: &CacheRule, exchange: &Exchange) -> Option<Box<Self>> {
        if let Some(wishes) = &exchange.wishes {
            return Some(Box::new(Self { directives: wishes.clone(), honoured: false }));
        }
        if !RequestDirectives::is_asked(&exchange.headers) {
            return None;
        }
        let allowed = || exchange.anew || exchange.is_from(&config.cache.revalidate_allow);
        let directives = match cache.request_directives {
            RequestDirectivesMode::Honour => RequestDirectives::parse(&exchange.headers),
            _ if allowed() => RequestDirectives::parse(&exchange.headers),
            RequestDirectivesMode::Harmless => RequestDirectives::parse(&exchange.headers).harmless(),
            RequestDirectivesMode::Ignore => return None,
        };
        let honoured = cache.request_directives == RequestDirectivesMode::Honour || allowed();
        (!directives.is_default()).then(|| Box::new(Self { directives, honoured }))
    }

    /// §5.2.1.5: neither looked up nor stored.
    pub(crate) fn no_store(&self) -> bool {
        self.directives.no_store
    }

    /// §5.2.1.7: from the store or not at all. Methods that are never answered from it are let through.
    pub(crate) fn only_if_cached(&self, method: &Method) -> bool {
        self.directives.only_if_cached && decide::looked_up(method)
    }

    /// What a stored response may be used for by this request, and why it is forwarded if it may not be used.
    pub(crate) fn reuse(&self, response: &StoredResponse, soft: bool, now: Timestamp) -> (FreshnessState, Reason) {
        let freshness = decide::freshness(response, soft, now);
        let by_itself = freshness.state(now);
        let asked = freshness.state_for(now, &self.directives);
        if by_itself != FreshnessState::Fresh || asked == FreshnessState::Fresh {
            return (asked, Reason::Expired);
        }
        if self.is_reload() && ResponseDirectives::parse(&response.headers).immutable {
            return (FreshnessState::Fresh, Reason::Hit);
        }
        (asked, Reason::RequestDirective)
    }

    /// What caches on the origin's side are told (§5.2): the wishes that are honoured, in words of our own, as nothing that
    /// is not in the key reaches the origin as a visitor wrote it.
    pub(crate) fn forwarded(&self) -> Option<HeaderValue> {
        if !self.honoured {
            return None;
        }
        let seconds = |name, asked: Option<Duration>| asked.map(|asked| format!("{name}={}", asked.as_secs()));
        let wishes = [
            self.directives.no_cache.then(|| "no-cache".to_owned()),
            seconds("max-age", self.directives.max_age),
            seconds("min-fresh", self.directives.min_fresh),
        ];
        let wishes: Vec<String> = wishes.into_iter().flatten().collect();
        if wishes.is_empty() { None } else { HeaderValue::try_from(wishes.join(", ")).ok() }
    }

    /// A plain reload (`max-age`, without `no-cache`): what is immutable need not be asked for again (RFC 8246 §2.1).
    fn is_reload(&self) -> bool {
        self.directives.max_age.is_some() && !self.directives.no_cache && self.directives.min_fresh.is_none()
    }

    /// Whether the client takes a stored response when the origin fails, where nothing else allows it (`stale-if-error`,
    /// `max-stale`).
    pub(crate) fn takes_on_error(&self, response: &StoredResponse, now: Timestamp) -> bool {
        response.freshness.state_for(now, &self.directives.clone().harmless()) != FreshnessState::Expired
    }
}
