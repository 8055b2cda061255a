use std::time::Duration;

use http::StatusCode;

use super::{NOW, after, date, headers, secs};
use crate::lifetime::{LifetimeRules, LifetimeSource, lifetime};
use crate::{ResponseDirectives, Timestamp, initial_age};

#[test]
fn rfc9111_s4_2_3_age_includes_response_delay() {
    let sent = NOW;
    let received = NOW.plus(Duration::from_millis(2500));
    assert_eq!(initial_age(&headers(&[("age", "10")]), sent, received), Duration::from_millis(12_500));
    assert_eq!(initial_age(&headers(&[]), sent, received), Duration::from_millis(2500));
    // A clock that jumped back between the two.
    assert_eq!(initial_age(&headers(&[]), received, sent), secs(0));
}

#[test]
fn rfc9111_s4_2_3_the_larger_of_apparent_and_corrected_age_counts() {
    let age = |age: &str, made: Timestamp| {
        let made = date(made);
        initial_age(&headers(&[("age", age), ("date", &made)]), NOW, NOW).as_secs()
    };
    let ago = |seconds| Timestamp::from_secs(NOW.as_secs() - seconds);
    assert_eq!(age("10", ago(50)), 50);
    assert_eq!(age("50", ago(10)), 50);
    // A Date ahead of us says nothing about age.
    assert_eq!(age("5", after(1000)), 5);
}

#[test]
fn rfc9111_s4_2_3_a_date_of_this_second_adds_no_age() {
    let received = NOW.plus(Duration::from_millis(900));
    let made = date(NOW);
    assert_eq!(initial_age(&headers(&[("date", &made)]), received, received), Duration::ZERO);
}

/// The lifetime of a response with these `Age` lines that is fresh for an hour by itself.
fn lifetime_beside(ages: &[&str], rules: &LifetimeRules<'_>) -> u64 {
    let mut lines = vec![("cache-control", "max-age=3600")];
    lines.extend(ages.iter().map(|age| ("age", *age)));
    let headers = headers(&lines);
    let directives = ResponseDirectives::parse(&headers);
    lifetime(StatusCode::OK, &headers, &directives, NOW, rules).duration.as_secs()
}

#[test]
fn rfc9111_s5_1_an_age_that_is_a_number_is_believed() {
    for (value, expected) in [
        ("7200", 7200),
        (" 7200 ", 7200),
        ("007200", 7200),
        // A list without a space is somebody's single line: its first member counts.
        ("7200,0", 7200),
        ("0,7200", 0),
        ("0 ,7200", 0),
        ("2147483647", 2_147_483_647),
        // §1.2.2: more than can be represented is 2^31.
        ("2147483649", 2_147_483_648),
        ("99999999999999999999999", 2_147_483_648),
    ] {
        assert_eq!(initial_age(&headers(&[("age", value)]), NOW, NOW).as_secs(), expected, "{value}");
        assert_eq!(lifetime_beside(&[value], &LifetimeRules::default()), 3600, "{value}");
    }
    assert_eq!(lifetime_beside(&[], &LifetimeRules::default()), 3600);
}

#[test]
fn rfc9111_s5_1_a_response_whose_age_cannot_be_believed_is_stale() {
    for (ages, largest) in [
        (&["abc"][..], 0),
        (&[""], 0),
        (&[","], 0),
        (&["-7200"], 0),
        (&["+7200"], 0),
        (&["7200.0"], 0),
        (&["7200a"], 0),
        (&["7200;foo=bar"], 0),
        (&["abc,7200"], 7200),
        // Two lines, as they came or as somebody combined them (RFC 9110 §5.3).
        (&["7200", "0"], 7200),
        (&["0", "7200"], 7200),
        (&["0", "0"], 0),
        (&["0, 0"], 0),
        (&["0, 7200"], 7200),
        (&["7200, 0"], 7200),
        (&["1,2, 3"], 3),
        (&["1,\t2"], 2),
    ] {
        assert_eq!(lifetime_beside(ages, &LifetimeRules::default()), 0, "{ages:?}");
        let lines: Vec<_> = ages.iter().map(|age| ("age", *age)).collect();
        assert_eq!(initial_age(&headers(&lines), NOW, NOW).as_secs(), largest, "{ages:?}");
    }
}

#[test]
fn rfc9111_s5_1_an_age_that_cannot_be_believed_ends_the_heuristic_too_but_no_rule() {
    let lines = [("age", "x"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let rules = LifetimeRules { heuristic: true, ..LifetimeRules::default() };
    let headers = headers(&lines);
    let found = lifetime(StatusCode::OK, &headers, &ResponseDirectives::default(), NOW, &rules);
    assert_eq!((found.duration, found.source), (Duration::ZERO, LifetimeSource::Heuristic));
    let ttl = LifetimeRules { ttl: Some(secs(5)), ..LifetimeRules::default() };
    assert_eq!(lifetime_beside(&["x"], &ttl), 5);
    let min_ttl = LifetimeRules { min_ttl: Some(secs(6)), ..LifetimeRules::default() };
    assert_eq!(lifetime_beside(&["x"], &min_ttl), 6);
}

#[test]
fn rfc9111_s4_2_3_ages_of_any_size_add_up_without_overflow() {
    let huge = headers(&[("age", "99999999999999999999"), ("date", "Thu, 01 Jan 1970 00:00:00 GMT")]);
    let last = Timestamp::from_millis(u64::MAX);
    let whole = Duration::from_millis(u64::MAX);
    assert_eq!(initial_age(&huge, Timestamp::default(), last), whole.saturating_add(secs(1 << 31)));
}
