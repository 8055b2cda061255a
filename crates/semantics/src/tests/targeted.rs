use std::time::Duration;

use super::{headers, secs};
use crate::ResponseDirectives;
use crate::directives::FieldList;
use crate::targeted::{DEFAULT_ORDER, Source, SurrogateControl, effective_directives};

fn effective(lines: &[(&str, &str)]) -> (ResponseDirectives, Source) {
    effective_directives(&headers(lines), &DEFAULT_ORDER)
}

#[test]
fn rfc9213_s2_2_the_first_valid_field_decides_alone() {
    let all = [
        ("cache-control", "no-store, max-age=1"),
        ("surrogate-control", "max-age=2"),
        ("cdn-cache-control", "max-age=3"),
        ("copal-cdn-cache-control", "max-age=4"),
    ];
    for (count, seconds, source) in [
        (1, 1, Source::CacheControl),
        (2, 2, Source::SurrogateControl),
        (3, 3, Source::Targeted),
        (4, 4, Source::Targeted),
    ] {
        let (directives, from) = effective(&all[..count]);
        assert_eq!(directives.max_age, Some(secs(seconds)), "{count}");
        assert_eq!(from, source);
        assert_eq!(directives.no_store, count == 1);
        assert_eq!(directives.targeted, count > 1);
    }
    assert_eq!(effective(&[]).1, Source::CacheControl);
}

#[test]
fn rfc9213_s2_1_a_field_that_is_no_dictionary_is_ignored() {
    for value in [
        "",
        "max-age=10000, &&&&&",
        "max-age=\"10000\"",
        "max-age=1.5",
        "max-age",
        "max-age =100",
        "max-age= 100",
        "MaX-aGe=3600",
        "max-age=10,",
        "max-age=10;=1",
        "max-age=10 no-store",
        "max-age=-",
        "max-age=1234567890123456",
        "a=\"open",
        "a=\"\\x\"",
        "a=?2",
        "a=(1 2",
        "a=(1,2)",
        "a=:&:",
        "a=@1.5",
        "a=%\"open",
        "a=1.2345",
    ] {
        let lines = [("cdn-cache-control", value), ("cache-control", "no-store")];
        let (directives, source) = effective(&lines);
        assert_eq!(source, Source::CacheControl, "{value}");
        assert!(directives.no_store, "{value}");
    }
}

#[test]
fn rfc9651_s4_2_2_valid_dictionaries_with_every_type() {
    for value in [
        "max-age=5",
        "foobar, max-age=5",
        "max-age=5;a;b=2;c=\"x\"",
        "a=1.5, b=\"q\\\"\\\\, no-store\", c=tok/en:x, max-age=5, d=:aGVsbG8=:, e=?0, f=(1 \"two\" three);p, g=@1659578233",
        "h=%\"f%c3%bc\",\t max-age=5",
        "max-age=9, max-age=5",
        "  max-age=5",
    ] {
        let (directives, source) = effective(&[("cdn-cache-control", value)]);
        assert_eq!(source, Source::Targeted, "{value}");
        assert_eq!(directives.max_age, Some(secs(5)), "{value}");
        assert!(!directives.no_store, "{value}");
    }
}

#[test]
fn rfc9651_s4_2_lines_of_a_dictionary_are_joined() {
    let lines =
        [("cdn-cache-control", "max-age=5"), ("cdn-cache-control", ""), ("cdn-cache-control", "must-revalidate")];
    let (directives, _) = effective(&lines);
    assert_eq!(directives.max_age, Some(secs(5)));
    assert!(directives.must_revalidate);
}

#[test]
fn rfc9213_s2_1_directives_of_a_targeted_field() {
    let of = |value: &str| effective(&[("cdn-cache-control", value)]).0;
    assert!(of("no-store").no_store);
    assert!(of("no-store=?1").no_store);
    assert!(!of("no-store=?0, max-age=1").no_store);
    assert_eq!(of("private").private, FieldList::All);
    assert_eq!(of("private=(\"a\")").private, FieldList::All);
    assert!(matches!(of("no-cache=\"set-cookie\"").no_cache, FieldList::Fields(_)));
    assert_eq!(of("max-age=-5").max_age, Some(secs(0)));
    assert_eq!(of("max-age=99999999999").max_age, Some(secs(1 << 31)));
    assert_eq!(of("stale-while-revalidate=7").stale_while_revalidate, Some(secs(7)));
}

#[test]
fn rfc9213_s2_1_a_lifetime_of_another_type_voids_the_field_unless_it_forbids_something() {
    let of = |value: &str| effective(&[("cdn-cache-control", value), ("cache-control", "public, max-age=60")]);
    for value in ["max-age=\"10\"", "max-age=1.0", "max-age", "max-age=?1", "max-age=10, s-maxage=x", "max-age=(1)"] {
        assert_eq!(of(value).0.max_age, Some(secs(60)), "{value}");
        assert_eq!(of(value).1, Source::CacheControl, "{value}");
    }
    for value in ["max-age=\"10\", no-store", "private=\"a\", max-age=x", "no-cache, s-maxage=1.5, max-age=9"] {
        let (directives, source) = of(value);
        assert_eq!(source, Source::Targeted, "{value}");
        assert!(!directives.public && directives.max_age == Some(Duration::ZERO), "{value}");
    }
}

#[test]
fn rfc9213_s2_1_a_window_of_another_type_is_none() {
    let of = |value: &str| effective(&[("cdn-cache-control", value)]).0;
    let directives = of("max-age=5, stale-while-revalidate=\"9\", stale-if-error=1.5");
    assert_eq!(directives.max_age, Some(secs(5)));
    assert_eq!(directives.stale_while_revalidate, Some(Duration::ZERO));
    assert_eq!(directives.stale_if_error, Some(Duration::ZERO));
}

#[test]
fn rfc9213_s2_1_what_forbids_counts_with_any_value_and_what_allows_only_when_true() {
    let of = |value: &str| effective(&[("cdn-cache-control", value)]).0;
    let strict = of("no-store=5, private=tok, no-cache=(\"a\"), must-revalidate=\"x\", proxy-revalidate=1.5");
    assert!(strict.no_store && strict.proxy_revalidate);
    assert_eq!((&strict.private, &strict.no_cache), (&FieldList::All, &FieldList::All));
    // It would give leave to share (RFC 9111 §3.5).
    assert!(!strict.must_revalidate && !crate::has_leave(&strict));
    let lax = of("public=\"yes\", must-understand=1, immutable=x, no-store=?0, private=?0, no-cache=?0");
    assert_eq!(lax, ResponseDirectives { targeted: true, ..ResponseDirectives::default() });
    assert!(of("must-revalidate;x=1, public;y").must_revalidate);
}

#[test]
fn rfc9213_s3_1_a_field_with_no_directive_that_anybody_knows_still_voids_cache_control() {
    let (directives, source) = effective(&[("cdn-cache-control", "none"), ("cache-control", "no-store")]);
    assert_eq!(source, Source::Targeted);
    assert_eq!(directives, ResponseDirectives { targeted: true, ..ResponseDirectives::default() });
}

#[test]
fn rfc9213_s2_2_the_order_is_the_operators() {
    let lines = headers(&[("x-mine", "max-age=1"), ("cdn-cache-control", "max-age=2"), ("cache-control", "max-age=3")]);
    let mine = "x-mine".parse().unwrap();
    let of = |order: &[http::HeaderName]| effective_directives(&lines, order).0.max_age;
    assert_eq!(of(&[mine]), Some(secs(1)));
    assert_eq!(of(&[]), Some(secs(3)));
}

#[test]
fn a_dictionary_beyond_the_limit_is_ignored() {
    let long: Vec<_> = (0..2000).map(|number| format!("k{number}")).collect();
    let (_, source) = effective(&[("cdn-cache-control", &long.join(","))]);
    assert_eq!(source, Source::CacheControl);
}

#[test]
fn edge_architecture_surrogate_control_directives() {
    let parse = |value: &str| SurrogateControl::parse(&headers(&[("surrogate-control", value)]));
    let control = parse("max-age=3600+600, content=\"ESI/1.0 ESI-Inline/1.0\", no-store-remote");
    assert_eq!(
        control,
        Some(SurrogateControl {
            no_store: false,
            max_age: Some(secs(3600)),
            stale: Some(secs(600)),
            stale_if_error: None,
            content: vec!["ESI/1.0".into(), "ESI-Inline/1.0".into()],
        })
    );
    assert_eq!(SurrogateControl::parse(&headers(&[])), None);
    let other = parse("private, max-age=9").unwrap();
    assert!(other.no_store);
    assert!(parse("no-cache").unwrap().no_store);
    let windows = parse("stale-if-error=9, stale-while-revalidate=7, max-age=5+8").unwrap();
    assert_eq!((windows.stale, windows.stale_if_error), (Some(secs(7)), Some(secs(9))));
    for (value, max_age) in [
        ("max-age=60", Some(60)),
        ("Max-Age=60, max-age=30+5", Some(30)),
        ("max-age=x", Some(0)),
        ("max-age=5+", Some(0)),
        ("max-age=5+x", Some(0)),
        ("max-age", Some(0)),
        ("content=\"ESI/1.0\"", None),
        ("", None),
    ] {
        let control = parse(value).unwrap();
        assert_eq!(control.max_age, max_age.map(secs), "{value}");
    }
}

#[test]
fn edge_architecture_a_target_beats_the_general_directive_and_others_are_ignored() {
    let parse = |value: &str| SurrogateControl::parse(&headers(&[("surrogate-control", value)])).unwrap();
    let control = parse("max-age=60, max-age=5+1;Copal, max-age=1;other, no-store;other");
    assert_eq!((control.max_age, control.stale), (Some(secs(5)), Some(secs(1))));
    assert!(!control.no_store);
    let control = parse("content=\"ESI/1.0;x\" ; copal, content=\"a;b\"");
    assert_eq!(control.content, ["ESI/1.0;x"]);
    assert!(parse("no-store ;copal").no_store);
}

#[test]
fn edge_architecture_content_asks_for_esi() {
    let wants = |value: &str| {
        SurrogateControl::parse(&headers(&[("surrogate-control", value)])).is_some_and(|control| control.wants_esi())
    };
    assert!(wants("content=\"ESI/1.0\""));
    assert!(wants("content=\"esi/1.0\""));
    assert!(wants("content=ESI/1.0"));
    assert!(wants("max-age=5, content=\"BigPipe/1.0 ESI/1.0\""));
    assert!(!wants("content=\"BigPipe/1.0\""));
    assert!(!wants("content=\"ES\u{f6}\""));
    assert!(!wants("max-age=5"));
}

#[test]
fn surrogate_control_without_a_word_on_storing_leaves_cache_control_in_force() {
    let lines = [("surrogate-control", "content=\"ESI/1.0\""), ("cache-control", "private, max-age=7")];
    let (directives, source) = effective(&lines);
    assert_eq!(source, Source::CacheControl);
    assert!(directives.private.is_present());
}

#[test]
fn surrogate_control_max_age_with_extension_becomes_stale_while_revalidate() {
    let (directives, _) = effective(&[("surrogate-control", "max-age=10+5")]);
    assert_eq!(directives.max_age, Some(secs(10)));
    assert_eq!(directives.stale_while_revalidate, Some(secs(5)));
}
