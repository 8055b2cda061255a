//! Response in, stored or not with the reason out: the rule over RFC 9111 §3 and §4.2.

use std::time::Duration;

use copal_policy::Action;
use copal_semantics::{Freshness, FreshnessState, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::decisions::config;
use crate::decide::{self, Received, Storable};
use crate::reason::Reason;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn stored(cache: &str, status: u16, fields: &[(&str, &str)]) -> Result<Freshness, Reason> {
    storable(cache, status, fields, false, 0).map(|storable| storable.freshness)
}

fn storable(
    cache: &str,
    status: u16,
    fields: &[(&str, &str)],
    authorized: bool,
    random: u64,
) -> Result<Storable, Reason> {
    let config = config(&format!("rules: [{{name: all, cache: {cache}}}]"));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    let Action::Cache(rule) = &config.policy.rules()[0].action else { panic!("not a cache rule") };
    let status = StatusCode::from_u16(status).unwrap();
    let asks = decide::Asks::Get;
    let received = Received {
        asks,
        request: &HeaderMap::new(),
        status,
        headers: &headers,
        request_time: NOW,
        response_time: NOW,
        authorized,
        random,
        must_vary_by: None,
    };
    decide::store(&config, rule, &received)
}

#[test]
fn reasons_against() {
    for (status, fields, reason) in [
        (200, &[("cache-control", "no-store")][..], Reason::NoStore),
        (200, &[("cache-control", "private")], Reason::Private),
        (200, &[("set-cookie", "a=b")], Reason::SetCookie),
        (200, &[("vary", "*")], Reason::VaryStar),
        (206, &[("content-range", "bytes 0-1/2")], Reason::NotStoredPartial),
        (500, &[], Reason::NotStoredStatus),
        (200, &[("content-length", "999999999999")], Reason::TooLarge),
    ] {
        assert_eq!(stored("{ttl: 1h}", status, fields).unwrap_err(), reason, "{status} {fields:?}");
    }
    assert_eq!(stored("{}", 200, &[]).unwrap_err(), Reason::NoLifetime);
}

#[test]
fn a_rules_lifetime_counts_from_arrival_and_the_age_stays_true() {
    let freshness = stored("{ttl: 100s}", 200, &[("age", "40"), ("cache-control", "max-age=1")]).unwrap();
    assert_eq!(freshness.current_age(NOW), Duration::from_secs(40));
    assert_eq!(freshness.ttl(NOW), 100);
    let own = stored("{}", 200, &[("age", "40"), ("cache-control", "max-age=60")]).unwrap();
    assert_eq!(own.ttl(NOW), 20);
}

#[test]
fn grace_is_the_rules_but_must_revalidate_forbids_it() {
    let later = NOW.plus(Duration::from_secs(90));
    let graced = stored("{grace: 1h}", 200, &[("cache-control", "max-age=60")]).unwrap();
    assert_eq!(graced.state(later), FreshnessState::StaleWhileRevalidate);
    let strict = stored("{grace: 1h}", 200, &[("cache-control", "max-age=60, must-revalidate")]).unwrap();
    assert_eq!(strict.state(later), FreshnessState::Expired);
}

#[test]
fn stale_if_error_of_the_rule_is_only_for_errors_and_not_beside_s_maxage() {
    let later = NOW.plus(Duration::from_secs(90));
    let of = |cache, control| stored(cache, 200, &[("cache-control", control)]).unwrap().state(later);
    assert_eq!(of("{stale_if_error: 1h}", "max-age=60"), FreshnessState::StaleIfError);
    assert_eq!(of("{stale_if_error: 1h}", "s-maxage=60"), FreshnessState::Expired);
    assert_eq!(of("{stale_if_error: 1h}", "max-age=60, must-revalidate"), FreshnessState::Expired);
    assert_eq!(of("{stale_if_error: 1h}", "max-age=60, stale-if-error=10"), FreshnessState::Expired, "its own word");
    assert_eq!(of("{grace: 1h}", "s-maxage=60"), FreshnessState::StaleWhileRevalidate, "the operator's explicit word");
    let error = stored("{stale_if_error: 1h, grace: 1h, status_ttl: {503: 1m}}", 503, &[]).unwrap();
    assert_eq!(error.state(later), FreshnessState::Expired, "an error is never served stale");
}

#[test]
fn rfc9111_3_5_authorization_is_stored_with_leave_only() {
    let of = |control| storable("{ttl: 1h}", 200, &[("cache-control", control)], true, 0);
    for control in ["max-age=60", "no-cache=\"x\"", "proxy-revalidate", "immutable", "must-understand"] {
        assert_eq!(of(control).unwrap_err(), Reason::NotStoredAuthorization, "{control}");
    }
    for (control, ttl) in [("public", 3600), ("s-maxage=60", 60), ("max-age=50, must-revalidate", 50)] {
        let stored = of(control).unwrap();
        assert!(stored.shared, "{control}");
        assert_eq!(stored.freshness.ttl(NOW), ttl, "no longer than the leave: {control}");
    }
    assert_eq!(of("must-revalidate").unwrap_err(), Reason::NoLifetime);
    let public = storable("{ttl: 1h}", 200, &[("cache-control", "public")], false, 0).unwrap();
    assert!(public.shared, "what comes without Authorization may have leave too");
    assert!(!storable("{ttl: 1h}", 200, &[], false, 0).unwrap().shared);
}

#[test]
fn rfc9111_5_2_2_fields_that_private_and_no_cache_name_are_not_stored() {
    let of = |control| storable("{ttl: 1h}", 200, &[("cache-control", control), ("set-cookie", "a=b")], false, 0);
    assert_eq!(of("private=\"set-cookie\"").unwrap().unstored, ["set-cookie"]);
    let both = of("no-cache=\"Set-Cookie, x-user\", private=\"x-mail\"").unwrap().unstored;
    assert!(both.len() == 3 && both.contains(&HeaderName::from_static("x-mail")));
    assert_eq!(of("private=\"x-user\"").unwrap_err(), Reason::SetCookie, "the cookie is not among them");
    assert_eq!(of("private=\"x y\"").unwrap_err(), Reason::Private, "a malformed list is the whole response");
}

#[test]
fn cookies_are_stored_on_the_operators_word_only() {
    let cookie = &[("set-cookie", "a=b")][..];
    assert_eq!(stored("{ttl: 1h}", 200, cookie).unwrap_err(), Reason::SetCookie);
    assert!(stored("{ttl: 1h, override: [set-cookie]}", 200, cookie).is_ok());
    assert!(stored("{ttl: 1h, override: [share-set-cookie]}", 200, cookie).is_ok());
}

#[test]
fn the_fields_of_the_rule_state_the_lifetime_before_all_others() {
    let rule = "{ttl_headers: [X-Accel-Expires]}";
    let of = |value| stored(rule, 200, &[("cache-control", "max-age=5"), ("x-accel-expires", value)]);
    assert_eq!(of("60").unwrap().ttl(NOW), 60);
    assert_eq!(of("0").unwrap_err(), Reason::NoStore);
    assert_eq!(of("@1700000030").unwrap().ttl(NOW), 30);
    assert_eq!(stored("{}", 200, &[("cache-control", "max-age=5"), ("x-accel-expires", "60")]).unwrap().ttl(NOW), 5);
}

#[test]
fn jitter_shortens_by_at_most_its_percentage() {
    for random in [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let of = |cache| storable(cache, 200, &[("cache-control", "max-age=1")], false, random).unwrap().freshness;
        let ttl = of("{ttl: 1000s, jitter: 10%}").ttl(NOW);
        assert!((900..=1000).contains(&ttl), "{random}: {ttl}");
        assert_eq!(of("{ttl: 1000s}").ttl(NOW), 1000);
    }
    let of = |random| storable("{ttl: 1000s, jitter: 10%}", 200, &[], false, random).unwrap().freshness.ttl(NOW);
    assert_ne!(of(0), of(u64::MAX), "it depends on the number");
}
