use http::StatusCode;

use super::{NOW, after, date, headers, secs};
use crate::lifetime::{Lifetime, LifetimeRules, LifetimeSource, lifetime};
use crate::targeted::{DEFAULT_ORDER, effective_directives};
use crate::time::Timestamp;

fn of(status: u16, lines: &[(&str, &str)], rules: &LifetimeRules<'_>) -> (u64, LifetimeSource) {
    let headers = headers(lines);
    let (directives, _) = effective_directives(&headers, &DEFAULT_ORDER);
    let status = StatusCode::from_u16(status).unwrap();
    let found = lifetime(status, &headers, &directives, NOW, rules);
    (found.duration.as_secs(), found.source)
}

fn plain(lines: &[(&str, &str)]) -> (u64, LifetimeSource) {
    of(200, lines, &LifetimeRules::default())
}

#[test]
fn rfc9111_s4_2_1_order_of_sources() {
    let expires = date(after(30));
    let now = date(NOW);
    let lines = [
        ("date", now.as_str()),
        ("expires", expires.as_str()),
        ("cache-control", "max-age=20"),
        ("cache-control", "s-maxage=10"),
        ("cdn-cache-control", "max-age=5"),
    ];
    for (count, expected) in [
        (1, (0, LifetimeSource::None)),
        (2, (30, LifetimeSource::Expires)),
        (3, (20, LifetimeSource::MaxAge)),
        (4, (10, LifetimeSource::SMaxage)),
        (5, (5, LifetimeSource::TargetedMaxAge)),
    ] {
        assert_eq!(plain(&lines[..count]), expected);
    }
}

#[test]
fn rfc9213_s2_2_a_targeted_field_voids_expires() {
    let expires = date(after(30));
    let lines = [("expires", expires.as_str()), ("cdn-cache-control", "public")];
    assert_eq!(plain(&lines), (0, LifetimeSource::None));
}

#[test]
fn rfc9111_s5_3_expires_less_date() {
    let (now, later, earlier) = (date(NOW), date(after(100)), date(Timestamp::from_secs(9)));
    let far = "Fri, 31 Dec 9999 23:59:59 GMT";
    for (expires, with_date, expected) in [
        (later.as_str(), Some(now.as_str()), 100),
        (&later, None, 100),
        (&later, Some("garbage"), 100),
        (&later, Some(&later), 0),
        (&later, Some(&earlier), 1_750_000_100 - 9),
        (&now, Some(&later), 0),
        ("0", Some(&now), 0),
        ("-1", Some(&now), 0),
        ("", Some(&now), 0),
        ("garbage", Some(&now), 0),
        (far, Some(&now), 253_402_300_799 - 1_750_000_000),
    ] {
        let mut lines = vec![("expires", expires)];
        lines.extend(with_date.map(|date| ("date", date)));
        let expected = (expected, LifetimeSource::Expires);
        assert_eq!(plain(&lines), expected, "{lines:?}");
    }
}

#[test]
fn rfc9111_s4_2_1_expires_lines_that_differ_are_stale() {
    let (one, two) = (date(after(10)), date(after(20)));
    let twice = |a, b| plain(&[("expires", a), ("expires", b)]).0;
    assert_eq!(twice(one.as_str(), two.as_str()), 0);
    assert_eq!(twice(one.as_str(), one.as_str()), 10);
}

#[test]
fn rfc9111_s5_3_max_age_beats_expires_even_when_invalid() {
    let later = date(after(100));
    let lines = [("expires", later.as_str()), ("cache-control", "max-age=x")];
    assert_eq!(plain(&lines), (0, LifetimeSource::MaxAge));
}

#[test]
fn rfc9111_s4_2_2_heuristic_is_a_tenth_and_at_most_a_day() {
    let rules = LifetimeRules { heuristic: true, ..LifetimeRules::default() };
    let ago = |seconds| date(Timestamp::from_secs(NOW.as_secs() - seconds));
    let now = date(NOW);
    for (modified, expected) in [
        (ago(1000), (100, LifetimeSource::Heuristic)),
        (ago(864_000), (86_400, LifetimeSource::Heuristic)),
        (ago(1_000_000_000), (86_400, LifetimeSource::Heuristic)),
        (date(after(50)), (0, LifetimeSource::Heuristic)),
        ("garbage".into(), (0, LifetimeSource::None)),
    ] {
        let lines = [("last-modified", modified.as_str()), ("date", &now)];
        assert_eq!(of(200, &lines, &rules), expected, "{modified}");
    }
    let hour = ago(1000);
    let lines = [("last-modified", hour.as_str())];
    assert_eq!(of(200, &lines, &rules), (100, LifetimeSource::Heuristic));
    assert_eq!(of(404, &lines, &rules), (100, LifetimeSource::Heuristic));
    assert_eq!(of(403, &lines, &rules), (0, LifetimeSource::None));
    assert_eq!(plain(&lines), (0, LifetimeSource::None));
    let public = [("last-modified", hour.as_str()), ("cache-control", "public")];
    assert_eq!(of(403, &public, &rules), (100, LifetimeSource::Heuristic));
    let explicit = [("last-modified", hour.as_str()), ("cache-control", "max-age=7")];
    assert_eq!(of(200, &explicit, &rules), (7, LifetimeSource::MaxAge));
}

#[test]
fn rules_beat_the_origin_in_their_order() {
    let stated = [("cache-control", "max-age=20")];
    let mut rules = LifetimeRules { default_ttl: Some(secs(1)), ..LifetimeRules::default() };
    assert_eq!(of(200, &[], &rules), (1, LifetimeSource::RuleDefault));
    assert_eq!(of(200, &stated, &rules), (20, LifetimeSource::MaxAge));
    rules.ttl = Some(secs(2));
    assert_eq!(of(200, &stated, &rules), (2, LifetimeSource::RuleTtl));
    assert_eq!(of(404, &[], &rules), (2, LifetimeSource::RuleTtl));
    rules.status_ttl = Some(secs(3));
    assert_eq!(of(404, &stated, &rules), (3, LifetimeSource::StatusTtl));
    assert_eq!(of(503, &[], &rules), (3, LifetimeSource::StatusTtl));
}

#[test]
fn a_default_ttl_beats_the_heuristic() {
    let rules = LifetimeRules { default_ttl: Some(secs(1)), heuristic: true, ..LifetimeRules::default() };
    let lines = [("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    assert_eq!(of(200, &lines, &rules), (1, LifetimeSource::RuleDefault));
}

#[test]
fn a_rule_holds_no_unusual_status_longer_than_the_origin_says() {
    let rules = LifetimeRules {
        ttl: Some(secs(3600)),
        default_ttl: Some(secs(3600)),
        min_ttl: Some(secs(3600)),
        ..LifetimeRules::default()
    };
    let stated = [("cache-control", "max-age=5")];
    for status in [302, 403, 500, 503] {
        let expected = (5, LifetimeSource::MaxAge);
        assert_eq!(of(status, &stated, &rules), expected, "{status}");
        let none = (0, LifetimeSource::None);
        assert_eq!(of(status, &[], &rules), none, "{status}");
    }
}

#[test]
fn min_ttl_raises_and_max_ttl_cuts_what_the_origin_states() {
    let rules = LifetimeRules { min_ttl: Some(secs(10)), max_ttl: Some(secs(100)), ..LifetimeRules::default() };
    for (value, expected) in [
        ("max-age=0", (10, LifetimeSource::MaxAge)),
        ("max-age=50", (50, LifetimeSource::MaxAge)),
        ("max-age=500", (100, LifetimeSource::MaxAge)),
        ("public", (0, LifetimeSource::None)),
    ] {
        assert_eq!(of(200, &[("cache-control", value)], &rules), expected);
    }
    let unusual = of(503, &[("cache-control", "max-age=500")], &rules);
    assert_eq!(unusual, (100, LifetimeSource::MaxAge));
    assert_eq!(Lifetime::default().source, LifetimeSource::None);
}
