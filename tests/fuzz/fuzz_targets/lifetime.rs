//! `Age`, `Expires`, `Date`, `Last-Modified` and TTL headers beside `Cache-Control`: what a response is fresh for, how old it is, and
//! what a request may have of it.
//!
//! Input: the first line is a request's `Cache-Control`, the others go to these fields in turn.

#![no_main]

use std::time::Duration;

use copal_fuzz::{fields, first_line};
use copal_semantics::{
    DEFAULT_ORDER, Freshness, FreshnessState, LifetimeRules, Overrides, RequestDirectives, ResponseDirectives,
    StaleRules, StoreFacts, Timestamp, effective_directives, initial_age, jittered, lifetime, storable,
};
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED};
use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);
const SENT: Timestamp = Timestamp::from_secs(1_749_999_990);

static TTL_HEADERS: [HeaderName; 1] = [HeaderName::from_static("x-accel-expires")];

fn names() -> [HeaderName; 7] {
    [CACHE_CONTROL, AGE, EXPIRES, DATE, LAST_MODIFIED, TTL_HEADERS[0].clone(), DEFAULT_ORDER[1].clone()]
}

/// The less may be done with a stored response, the higher.
fn rank(state: FreshnessState) -> u8 {
    match state {
        FreshnessState::Fresh => 0,
        FreshnessState::StaleWhileRevalidate => 1,
        FreshnessState::StaleAccepted => 2,
        FreshnessState::StaleIfError => 3,
        FreshnessState::Expired => 4,
    }
}

fn freshness(headers: &HeaderMap, directives: &ResponseDirectives) -> Freshness {
    let bound = Duration::from_secs(86_400);
    let rules =
        LifetimeRules { max_ttl: Some(bound), heuristic: true, ttl_headers: &TTL_HEADERS, ..LifetimeRules::default() };
    let found = lifetime(StatusCode::OK, headers, directives, NOW, &rules);
    assert!(found.duration <= bound && (!found.forbidden || found.duration.is_zero()));
    assert!(jittered(found.duration, 10, u64::MAX) <= found.duration);
    let age = initial_age(headers, SENT, NOW);
    assert!(age >= NOW.since(SENT), "younger than its way here");
    let stored = storable(&StoreFacts {
        method: &Method::GET,
        authorization: false,
        status: StatusCode::OK,
        headers,
        directives,
        overrides: Overrides::default(),
        lifetime: found,
        partial: false,
        content_location_matches: false,
        body_key: false,
    });
    assert!(!found.forbidden || stored.is_err(), "0 forbids");
    let stale = StaleRules { grace: Duration::ZERO, stale_if_error: bound };
    Freshness::new(NOW, age, found, directives, Overrides::default(), stale)
}

fuzz_target!(|input: &[u8]| {
    let (request, response) = first_line(input);
    let asked = RequestDirectives::parse(&fields(request, &[CACHE_CONTROL]));
    let headers = fields(response, &names());
    let directives = effective_directives(&headers, &DEFAULT_ORDER).0;
    let freshness = freshness(&headers, &directives);
    let mut before = None;
    for later in [0, 1, 60, 86_400, 1 << 40] {
        let now = NOW.plus(Duration::from_secs(later));
        let state = freshness.state(now);
        assert_eq!(freshness.state_for(now, &RequestDirectives::default()), state);
        let for_it = rank(freshness.state_for(now, &asked));
        assert!(before <= Some(for_it), "an older response satisfies no more");
        before = Some(for_it);
        if freshness.no_cache || freshness.must_revalidate || freshness.s_maxage {
            assert!(for_it >= rank(state), "what must be validated is not had by asking");
        }
        assert!(rank(freshness.state_for(now, &asked.clone().harmless())) <= rank(state), "harmless");
    }
});
