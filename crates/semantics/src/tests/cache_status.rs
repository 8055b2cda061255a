use super::{headers, lines};
use crate::cache_status::CacheStatus;

fn text(status: &CacheStatus<'_>) -> String {
    status.to_value("copal").to_str().unwrap().to_owned()
}

#[test]
fn rfc9211_s2_parameters_in_their_order() {
    let none = CacheStatus::default();
    for (status, expected) in [
        (none, "copal"),
        (CacheStatus { hit: true, ttl: Some(376), ..none }, "copal; hit; ttl=376"),
        (CacheStatus { hit: true, ttl: Some(-412), ..none }, "copal; hit; ttl=-412"),
        (CacheStatus { hit: true, ttl: Some(0), ..none }, "copal; hit; ttl=0"),
        (
            CacheStatus {
                fwd: Some("uri-miss"),
                fwd_status: Some(200),
                ttl: Some(60),
                stored: true,
                collapsed: true,
                detail: Some("set-cookie"),
                ..none
            },
            "copal; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed; detail=set-cookie",
        ),
    ] {
        assert_eq!(text(&status), expected);
    }
}

#[test]
fn rfc9651_s3_3_names_and_details_are_tokens_or_strings() {
    let status = CacheStatus { detail: Some("a \"b\" \\ c\u{e9}\n"), ..CacheStatus::default() };
    assert_eq!(text(&status), "copal; detail=\"a \\\"b\\\" \\\\ c\"");
    let value = CacheStatus::default().to_value("my cache");
    assert_eq!(value, "\"my cache\"");
    assert_eq!(CacheStatus::default().to_value("1cache"), "\"1cache\"");
    assert_eq!(CacheStatus::default().to_value(""), "\"\"");
    assert_eq!(CacheStatus::default().to_value("cache.example:80/x"), "cache.example:80/x");
    // fwd is a token or nothing.
    let status = CacheStatus { fwd: Some("not a token"), ..CacheStatus::default() };
    assert_eq!(text(&status), "copal");
}

#[test]
fn rfc9651_s3_3_1_integers_have_at_most_fifteen_digits() {
    for (ttl, expected) in [(i64::MAX, "copal; ttl=999999999999999"), (i64::MIN, "copal; ttl=-999999999999999")] {
        let status = CacheStatus { ttl: Some(ttl), ..CacheStatus::default() };
        assert_eq!(text(&status), expected);
    }
}

#[test]
fn rfc9211_s2_a_member_is_appended_after_those_of_other_caches() {
    let mut message = headers(&[("cache-status", "origin-cache; hit")]);
    let status = CacheStatus { fwd: Some("miss"), ..CacheStatus::default() };
    status.append_to("copal", &mut message);
    assert_eq!(lines(&message, "cache-status"), "origin-cache; hit | copal; fwd=miss");
}

#[test]
fn a_field_without_members_gives_up_its_place() {
    let status = CacheStatus { hit: true, ..CacheStatus::default() };
    for (before, after) in [
        (&[][..], "copal; hit"),
        (&[("cache-status", "")], "copal; hit"),
        (&[("cache-status", ""), ("cache-status", "other; hit")], " | other; hit | copal; hit"),
    ] {
        let mut message = headers(before);
        status.append_to("copal", &mut message);
        assert_eq!(lines(&message, "cache-status"), after);
    }
}

#[test]
fn a_long_detail_is_written_whole() {
    for length in [90, 100, 110, 118, 119, 120, 127, 128, 129, 1000] {
        let detail = "x".repeat(length);
        let status = CacheStatus { detail: Some(&detail), ..CacheStatus::default() };
        assert_eq!(text(&status), format!("copal; detail={detail}"));
        let spaced = format!("{detail} y");
        let status = CacheStatus { detail: Some(&spaced), ..CacheStatus::default() };
        assert_eq!(text(&status), format!("copal; detail=\"{spaced}\""));
    }
}
