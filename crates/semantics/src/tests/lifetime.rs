use std::time::Duration;

use http::StatusCode;

use super::{NOW, after, date, headers, secs};
use crate::lifetime::{Lifetime, LifetimeRules, LifetimeSource, jittered, lifetime};
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

fn under_ttl_headers(lines: &[(&str, &str)], rules: &LifetimeRules<'_>) -> (u64, LifetimeSource, bool) {
    let names = ["x-accel-expires".parse().unwrap(), "x-ttl".parse().unwrap()];
    let headers = headers(lines);
    let (directives, _) = effective_directives(&headers, &DEFAULT_ORDER);
    let rules = LifetimeRules { ttl_headers: &names, ..*rules };
    let found = lifetime(StatusCode::OK, &headers, &directives, NOW, &rules);
    (found.duration.as_secs(), found.source, found.forbidden)
}

#[test]
fn ttl_headers_come_before_all_other_sources() {
    let ahead = format!("@{}", NOW.as_secs() + 25);
    let behind = format!("@{}", NOW.as_secs() - 25);
    let field = |seconds| (seconds, LifetimeSource::TtlHeader, false);
    for (lines, expected) in [
        (&[("x-accel-expires", "30")][..], field(30)),
        (&[("x-accel-expires", " 30 ")], field(30)),
        (&[("x-accel-expires", "99999999999999999999")], field(1 << 31)),
        (&[("x-accel-expires", &ahead)], field(25)),
        (&[("x-accel-expires", &behind)], field(0)),
        (&[("x-accel-expires", "@0")], field(0)),
        (&[("x-accel-expires", "@99999999999999999999")], field(1 << 31)),
        (&[("x-accel-expires", "0")], (0, LifetimeSource::TtlHeader, true)),
        (&[("x-accel-expires", "30"), ("x-accel-expires", "20")], field(20)),
        (&[("x-accel-expires", "30"), ("x-accel-expires", "0")], (0, LifetimeSource::TtlHeader, true)),
        (&[("x-accel-expires", "0"), ("x-accel-expires", "30")], (0, LifetimeSource::TtlHeader, true)),
        // The first field of the list that can be read decides.
        (&[("x-ttl", "40"), ("x-accel-expires", "30")], field(30)),
        (&[("x-ttl", "40"), ("x-accel-expires", "soon")], field(40)),
    ] {
        let mut lines = lines.to_vec();
        lines.extend([("cache-control", "max-age=5, s-maxage=6"), ("cdn-cache-control", "max-age=7")]);
        // It counts from arrival, so an Age of no meaning does not matter to it.
        lines.push(("age", "x"));
        let rules = LifetimeRules { ttl: Some(secs(1)), status_ttl: Some(secs(2)), ..LifetimeRules::default() };
        assert_eq!(under_ttl_headers(&lines, &rules), expected, "{lines:?}");
    }
    for value in ["soon", "", "-1", "1.5", "@", "@x", "10s", "@-5", "1, 2"] {
        let lines = [("x-accel-expires", value), ("cache-control", "max-age=5")];
        let expected = (5, LifetimeSource::MaxAge, false);
        assert_eq!(under_ttl_headers(&lines, &LifetimeRules::default()), expected, "{value}");
    }
    // Not named by the rule, it is a field like any other.
    assert_eq!(plain(&[("x-accel-expires", "30")]), (0, LifetimeSource::None));
}

#[test]
fn ttl_headers_are_bounded_by_the_rule_and_hold_for_every_status() {
    let rules = LifetimeRules { min_ttl: Some(secs(10)), max_ttl: Some(secs(20)), ..LifetimeRules::default() };
    for (value, expected) in [("5", 10), ("15", 15), ("25", 20)] {
        assert_eq!(under_ttl_headers(&[("x-ttl", value)], &rules).0, expected);
    }
    assert_eq!(under_ttl_headers(&[("x-ttl", "0")], &rules), (0, LifetimeSource::TtlHeader, true));
    let names = ["x-ttl".parse().unwrap()];
    let rules = LifetimeRules { ttl_headers: &names, ..rules };
    assert_eq!(of(503, &[("x-ttl", "5")], &rules), (5, LifetimeSource::TtlHeader));
}

#[test]
fn lifetimes_of_the_operators_making_count_from_arrival() {
    use LifetimeSource as Source;
    for source in [Source::TtlHeader, Source::RuleTtl, Source::StatusTtl, Source::RuleDefault] {
        assert!(source.counts_from_arrival(), "{source:?}");
    }
    for source in
        [Source::SMaxage, Source::MaxAge, Source::Expires, Source::TargetedMaxAge, Source::Heuristic, Source::None]
    {
        assert!(!source.counts_from_arrival(), "{source:?}");
    }
}

#[test]
fn rfc9111_s4_2_2_the_longest_heuristic_is_the_operators() {
    let modified = date(Timestamp::from_secs(NOW.as_secs() - 10_000));
    let lines = [("last-modified", modified.as_str())];
    for (longest, expected) in [(10, 10), (1000, 1000), (5000, 1000), (0, 0)] {
        let rules = LifetimeRules { heuristic: true, heuristic_max: secs(longest), ..LifetimeRules::default() };
        assert_eq!(of(200, &lines, &rules), (expected, LifetimeSource::Heuristic));
        // A part is heuristically cacheable too (RFC 9110 §15.1), and so is a 451 (RFC 7725).
        assert_eq!(of(206, &lines, &rules), (expected, LifetimeSource::Heuristic));
        assert_eq!(of(451, &lines, &rules), (expected, LifetimeSource::Heuristic));
    }
}

#[test]
fn rfc9111_s4_2_2_no_heuristic_beside_an_explicit_expiry_even_an_invalid_one() {
    let rules = LifetimeRules { heuristic: true, ..LifetimeRules::default() };
    for (name, value, source) in [
        ("cache-control", "max-age=x", LifetimeSource::MaxAge),
        ("cache-control", "s-maxage", LifetimeSource::SMaxage),
        ("expires", "0", LifetimeSource::Expires),
        ("cdn-cache-control", "max-age=-1", LifetimeSource::TargetedMaxAge),
    ] {
        let lines = [("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), (name, value)];
        assert_eq!(of(200, &lines, &rules), (0, source), "{value}");
    }
}

#[test]
fn rfc9111_s5_3_odd_expires_are_in_the_past() {
    let now = date(NOW);
    for expires in [
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "\"Thu, 18 Aug 2050 02:01:18 GMT\"",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        "4000000000",
        "max-age=60",
    ] {
        assert_eq!(plain(&[("expires", expires), ("date", &now)]), (0, LifetimeSource::Expires), "{expires}");
    }
    for expires in [
        "Thu, 18 Aug 2050 02:01:18 GMT",
        "THU, 18 AUG 2050 02:01:18 gmt",
        "Thursday, 18-Aug-50 02:01:18 GMT",
        "Thu Aug 18 02:01:18 2050",
    ] {
        let expected = (2_544_400_878 - NOW.as_secs(), LifetimeSource::Expires);
        assert_eq!(plain(&[("expires", expires), ("date", &now)]), expected, "{expires}");
    }
}

#[test]
fn jitter_shortens_by_up_to_its_share_and_never_lengthens() {
    let hour = secs(3600);
    assert_eq!(jittered(hour, 10, 0), hour);
    assert_eq!(jittered(hour, 0, u64::MAX), hour);
    assert_eq!(jittered(hour, 10, 1 << 63), secs(3600 - 180));
    let most = jittered(hour, 10, u64::MAX);
    assert!(most >= secs(3240) && most < secs(3241), "{most:?}");
    assert!(jittered(hour, 255, u64::MAX) < secs(1));
    assert_eq!(jittered(Duration::ZERO, 50, u64::MAX), Duration::ZERO);
    assert!(jittered(Duration::MAX, 100, u64::MAX) < Duration::MAX / 2);
}
