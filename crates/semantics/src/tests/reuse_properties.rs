//! What holds of every lifetime, age and request: nothing that restricts ever loosens, nothing that asks for nothing changes anything.

use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::NOW;
use super::properties::{duration, freshness, message, rank, status, timestamp, value};
use crate::freshness::{Freshness, StaleRules};
use crate::lifetime::{Lifetime, LifetimeRules};
use crate::storability::{NotStored, Overrides, StoreFacts};
use crate::{RequestDirectives, ResponseDirectives, Timestamp};

/// Directives of responses, valid, odd and broken; no lone quote, which would join what is joined to it.
const DIRECTIVES: &str = "(max-age|s-maxage|stale-while-revalidate|stale-if-error)(=[0-9]{1,12}|=\"[0-9]{1,12}\"|=|=x)?|\
                          (no-store|no-cache|private|public|must-revalidate|proxy-revalidate|must-understand)|\
                          (no-cache|private)=\"(set-cookie|x-a|x-a, x-b|vary|x y)\"|[a-z]{1,4}(=[!#-\\[\\]-~]{0,4})?";

/// What only ever restricts, each alone as a line.
const RESTRICTIONS: [&str; 8] = [
    "no-store",
    "private",
    "no-cache",
    "must-revalidate",
    "proxy-revalidate",
    "private=\"x-a\"",
    "no-cache=\"vary\"",
    "proxy-revalidate, no-store",
];

fn cache_control(lines: &[String]) -> HeaderMap {
    let values = lines.iter().filter_map(|line| HeaderValue::from_str(line).ok());
    values.map(|value| (CACHE_CONTROL, value)).collect()
}

fn request() -> impl Strategy<Value = RequestDirectives> {
    let maybe = || prop::option::of(duration());
    (any::<[bool; 4]>(), maybe(), maybe(), prop::option::of(maybe()), maybe()).prop_map(
        |([no_cache, no_store, no_transform, only_if_cached], max_age, min_fresh, max_stale, stale_if_error)| {
            RequestDirectives {
                no_cache,
                no_store,
                no_transform,
                only_if_cached,
                max_age,
                min_fresh,
                max_stale,
                stale_if_error,
            }
        },
    )
}

/// How a response is judged: whether it is stored, for how long it is fresh, and what then.
fn judged(status: StatusCode, headers: &HeaderMap) -> (Result<(), NotStored>, Lifetime, Freshness) {
    let directives = ResponseDirectives::parse(headers);
    let rules = LifetimeRules { heuristic: true, ..LifetimeRules::default() };
    let lifetime = crate::lifetime(status, headers, &directives, NOW, &rules);
    let stored = crate::storable(&StoreFacts {
        method: &Method::GET,
        authorization: false,
        status,
        headers,
        directives: &directives,
        overrides: Overrides::default(),
        lifetime,
        partial: true,
        content_location_matches: false,
        body_key: false,
    });
    let stale = StaleRules { grace: Duration::ZERO, stale_if_error: Duration::from_secs(3600) };
    let initial_age = crate::initial_age(headers, NOW, NOW);
    (stored, lifetime, Freshness::new(NOW, initial_age, lifetime, &directives, Overrides::default(), stale))
}

proptest! {
    #[test]
    fn rfc9111_s4_2_1_the_order_of_directives_does_not_matter(mut lines in vec(DIRECTIVES, 0..8)) {
        let one = ResponseDirectives::parse(&cache_control(&lines));
        lines.reverse();
        prop_assert_eq!(&ResponseDirectives::parse(&cache_control(&lines)), &one);
        prop_assert_eq!(ResponseDirectives::parse(&cache_control(&[lines.join(",")])), one);
    }

    #[test]
    fn rfc9111_s4_2_1_a_restriction_more_never_loosens(
        mut headers in message(),
        lines in vec(DIRECTIVES, 0..6),
        restriction in prop::sample::select(&RESTRICTIONS[..]),
        status in status(),
        later in duration(),
    ) {
        headers.extend(cache_control(&lines));
        let (stored, lifetime, before) = judged(status, &headers);
        headers.append(CACHE_CONTROL, HeaderValue::from_static(restriction));
        let (stored_then, lifetime_then, after) = judged(status, &headers);
        prop_assert!(stored.is_ok() || stored_then.is_err());
        prop_assert_eq!(lifetime.duration, lifetime_then.duration);
        let now = NOW.plus(later);
        prop_assert!(rank(before.state(now)) <= rank(after.state(now)));
    }

    #[test]
    fn rfc9111_s4_2_1_a_second_lifetime_never_lengthens_the_first(
        lines in vec(DIRECTIVES, 0..6),
        name in prop::sample::select(&["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"][..]),
        one in "[0-9x]{0,12}",
        other in "[0-9x]{0,12}",
        later in duration(),
    ) {
        let mut headers = cache_control(&lines);
        headers.append(CACHE_CONTROL, HeaderValue::from_str(&format!("{name}={one}")).unwrap());
        let (_, lifetime, before) = judged(StatusCode::OK, &headers);
        headers.append(CACHE_CONTROL, HeaderValue::from_str(&format!("{name}={other}")).unwrap());
        let (_, lifetime_then, after) = judged(StatusCode::OK, &headers);
        prop_assert!(lifetime_then.duration <= lifetime.duration);
        let now = NOW.plus(later);
        prop_assert!(rank(before.state(now)) <= rank(after.state(now)));
    }

    #[test]
    fn rfc9111_s4_2_3_no_response_is_younger_than_its_way_and_its_stay(
        headers in message(),
        ages in vec(value(), 0..3),
        request_time in timestamp(),
        response_time in timestamp(),
        now in timestamp(),
        more in duration(),
    ) {
        let mut headers = headers;
        headers.extend(ages.into_iter().map(|age| (HeaderName::from_static("age"), age)));
        let initial_age = crate::initial_age(&headers, request_time, response_time);
        prop_assert!(initial_age >= response_time.since(request_time));
        let freshness = Freshness { response_time, initial_age, ..judged(StatusCode::OK, &headers).2 };
        let age = freshness.current_age(now);
        prop_assert!(age >= initial_age && age >= now.since(response_time));
        prop_assert!(freshness.current_age(now.plus(more)) >= age);
    }

    #[test]
    fn rfc9111_s5_1_an_age_more_never_makes_fresher(headers in message(), age in value(), later in duration()) {
        let mut older = headers.clone();
        older.append("age", age);
        let now = NOW.plus(later);
        let (before, after) = (judged(StatusCode::OK, &headers).2, judged(StatusCode::OK, &older).2);
        prop_assert!(rank(before.state(now)) <= rank(after.state(now)));
    }

    #[test]
    fn rfc9111_s5_2_1_a_request_that_asks_for_nothing_changes_nothing(
        freshness in freshness(),
        now in timestamp(),
        flags in any::<[bool; 3]>(),
    ) {
        let state = freshness.state(now);
        prop_assert_eq!(freshness.state_for(now, &RequestDirectives::default()), state);
        let [no_store, no_transform, only_if_cached] = flags;
        let elsewhere = RequestDirectives { no_store, no_transform, only_if_cached, ..RequestDirectives::default() };
        prop_assert_eq!(freshness.state_for(now, &elsewhere), state);
    }

    #[test]
    fn rfc9111_s5_2_1_requests_loosen_only_by_what_they_accept_and_never_what_must_be_validated(
        freshness in freshness(),
        now in timestamp(),
        asked in request(),
    ) {
        let state = freshness.state(now);
        let for_it = freshness.state_for(now, &asked);
        if asked.max_stale.is_none() && asked.stale_if_error.is_none() {
            prop_assert!(rank(for_it) >= rank(state));
        }
        if freshness.no_cache || freshness.must_revalidate || freshness.s_maxage {
            prop_assert!(rank(for_it) >= rank(state));
        }
        // The harmless half costs the origin no request.
        let harmless = asked.clone().harmless();
        prop_assert!(rank(freshness.state_for(now, &harmless)) <= rank(state));
        prop_assert_eq!(harmless.clone().harmless(), harmless);
    }

    #[test]
    fn rfc9111_s5_2_1_an_older_response_satisfies_no_more_requests(
        freshness in freshness(),
        now in timestamp(),
        later in duration(),
        asked in request(),
    ) {
        let then = now.plus(later);
        prop_assert!(rank(freshness.state_for(now, &asked)) <= rank(freshness.state_for(then, &asked)));
    }

    #[test]
    fn jitter_stays_within_its_share(lifetime in duration(), percent in any::<u8>(), random in any::<u64>()) {
        let shortened = crate::jittered(lifetime, percent, random);
        let kept = u128::from(100 - percent.min(100));
        prop_assert!(shortened <= lifetime);
        prop_assert!(shortened.as_nanos() >= lifetime.as_nanos() * kept / 100);
    }

    #[test]
    fn ttl_headers_and_bounds_hold_whatever_the_fields_say(
        mut headers in message(),
        values in vec(prop_oneof![value(), "@?[0-9]{0,20}".prop_map(|text| HeaderValue::from_str(&text).unwrap())], 0..3),
        bounds in (duration(), duration()),
        status in status(),
        now in timestamp(),
    ) {
        let names = [HeaderName::from_static("x-accel-expires")];
        headers.extend(values.into_iter().map(|value| (names[0].clone(), value)));
        let rules = LifetimeRules {
            min_ttl: Some(bounds.0),
            max_ttl: Some(bounds.1),
            heuristic: true,
            ttl_headers: &names,
            ..LifetimeRules::default()
        };
        let directives = ResponseDirectives::parse(&headers);
        let found = crate::lifetime(status, &headers, &directives, now, &rules);
        prop_assert!(found.duration <= bounds.1);
        if found.forbidden {
            prop_assert_eq!(found.duration, Duration::ZERO);
        }
        let unbounded = crate::lifetime(status, &headers, &directives, Timestamp::default(), &LifetimeRules {
            ttl_headers: &names,
            ..LifetimeRules::default()
        });
        prop_assert!(unbounded.duration <= Duration::from_secs(253_402_300_800));
    }
}
