//! Response in, stored or not with the reason out: the rule over RFC 9111 §3 and §4.2.

use std::time::Duration;

use copal_policy::Action;
use copal_semantics::{Freshness, FreshnessState, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::decisions::config;
use crate::decide::{self, Received};
use crate::reason::Reason;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn stored(cache: &str, status: u16, fields: &[(&str, &str)]) -> Result<Freshness, Reason> {
    let config = config(&format!("rules: [{{name: all, cache: {cache}}}]"));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    let Action::Cache(rule) = &config.policy.rules()[0].action else { panic!("not a cache rule") };
    let status = StatusCode::from_u16(status).unwrap();
    decide::store(&config, rule, &Received { status, headers: &headers, request_time: NOW, response_time: NOW })
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
