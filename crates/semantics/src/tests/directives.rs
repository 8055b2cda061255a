use std::time::Duration;

use http::header::HeaderName;

use super::{headers, secs};
use crate::directives::{FieldList, RequestDirectives, ResponseDirectives};

fn response(value: &str) -> ResponseDirectives {
    ResponseDirectives::parse(&headers(&[("cache-control", value)]))
}

fn request(value: &str) -> RequestDirectives {
    RequestDirectives::parse(&headers(&[("cache-control", value)]))
}

#[test]
fn rfc9111_s5_2_2_every_directive_is_known_in_any_case() {
    let directives = response(
        "No-Store, PUBLIC, must-Revalidate, proxy-revalidate, Must-Understand, immutable, no-transform, \
         Max-Age=1, S-MaxAge=2, stale-while-revalidate=3, Stale-If-Error=4, no-cache, private",
    );
    assert_eq!(
        directives,
        ResponseDirectives {
            no_store: true,
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            immutable: true,
            no_transform: true,
            no_cache: FieldList::All,
            private: FieldList::All,
            max_age: Some(secs(1)),
            s_maxage: Some(secs(2)),
            stale_while_revalidate: Some(secs(3)),
            stale_if_error: Some(secs(4)),
            targeted: false,
        }
    );
}

#[test]
fn rfc9111_s5_2_max_age_in_all_its_spellings() {
    let largest = Duration::from_secs(2_147_483_648);
    for (value, expected) in [
        ("max-age=3600", secs(3600)),
        ("max-age=\"3600\"", secs(3600)),
        ("max-age=\"36\\00\"", secs(3600)),
        ("max-age=003600", secs(3600)),
        (",, ,max-age=3600,,", secs(3600)),
        // Invalid is stale (§4.2.1).
        ("max-age='3600'", secs(0)),
        ("max-age=3600.0", secs(0)),
        ("max-age=-1", secs(0)),
        ("max-age=+1", secs(0)),
        ("max-age=a3600", secs(0)),
        ("max-age=3600a", secs(0)),
        ("max-age =3600", secs(0)),
        ("max-age= 3600", secs(0)),
        ("max-age=36 00", secs(0)),
        ("max-age=", secs(0)),
        ("max-age", secs(0)),
        ("max-age=\"3600", secs(0)),
        ("max-age=\"3600\"5", secs(0)),
        // Overflow is 2^31 (§1.2.2).
        ("max-age=2147483647", secs(2_147_483_647)),
        ("max-age=2147483648", largest),
        ("max-age=2147483649", largest),
        ("max-age=99999999999999999999999999", largest),
        // Duplicates: the smallest (§4.2.1).
        ("max-age=1800, max-age=1", secs(1)),
        ("max-age=1, max-age=1800", secs(1)),
        ("max-age=1800, max-age=x", secs(0)),
        // In another directive's quoted string.
        ("extension=\"max-age=1\", max-age=3600", secs(3600)),
        ("extension=\"\\\"max-age=1\", max-age=3600", secs(3600)),
        ("max-age=3600, extension=\"a, max-age=1\"", secs(3600)),
    ] {
        assert_eq!(response(value).max_age, Some(expected), "{value}");
    }
    assert_eq!(response("extension=\"max-age=3600\"").max_age, None);
    assert_eq!(response("x-max-age=3600").max_age, None);
    assert_eq!(response("").max_age, None);
}

#[test]
fn rfc9111_s4_2_1_several_lines_are_one_list() {
    let directives = ResponseDirectives::parse(&headers(&[
        ("cache-control", "max-age=10"),
        ("cache-control", "no-store, max-age=5"),
    ]));
    assert_eq!(directives.max_age, Some(secs(5)));
    assert!(directives.no_store);
}

#[test]
fn a_lone_quote_hides_no_directive_after_it() {
    let directives = response("ext=\"oops, private, no-store");
    assert!(directives.no_store && directives.private.is_present());
}

#[test]
fn bytes_that_are_no_text_are_ignored() {
    let directives = response("no-st\u{f6}re, max-age=\u{b2}, public");
    assert!(directives.public && !directives.no_store);
    assert_eq!(directives.max_age, Some(Duration::ZERO));
}

#[test]
fn rfc9111_s5_2_2_4_field_names_of_no_cache_and_private() {
    let fields = |names: &[&str]| {
        FieldList::Fields(names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap()).collect())
    };
    for (value, expected) in [
        ("max-age=1", FieldList::Absent),
        ("no-cache", FieldList::All),
        ("no-cache=\"Set-Cookie\"", fields(&["set-cookie"])),
        ("no-cache=Set-Cookie", fields(&["set-cookie"])),
        ("no-cache=\"x-b, X-A,,x-b\"", fields(&["x-a", "x-b"])),
        ("no-cache=\"x-b\", no-cache=\"x-a\"", fields(&["x-a", "x-b"])),
        // What cannot be read counts for the whole response.
        ("no-cache=\"\"", FieldList::All),
        ("no-cache=\"x y\"", FieldList::All),
        ("no-cache=\"x-a", FieldList::All),
        ("no-cache =\"x-a\"", FieldList::All),
        ("no-cache, no-cache=\"x-a\"", FieldList::All),
        ("no-cache=\"x-a\", no-cache", FieldList::All),
    ] {
        assert_eq!(response(value).no_cache, expected, "{value}");
        let private = value.replace("no-cache", "private");
        assert_eq!(response(&private).private, expected, "{private}");
    }
}

#[test]
fn rfc9111_s5_2_1_request_directives() {
    let directives = request(
        "No-Cache, no-store, no-transform, only-if-cached, max-age=1, min-fresh=2, max-stale=3, stale-if-error=4",
    );
    assert_eq!(
        directives,
        RequestDirectives {
            no_cache: true,
            no_store: true,
            no_transform: true,
            only_if_cached: true,
            max_age: Some(secs(1)),
            min_fresh: Some(secs(2)),
            max_stale: Some(Some(secs(3))),
            stale_if_error: Some(secs(4)),
        }
    );
}

#[test]
fn rfc9111_s5_2_1_invalid_request_numbers_never_widen_what_is_accepted() {
    for (value, max_age, min_fresh, max_stale) in [
        ("max-stale", None, None, Some(None)),
        ("max-stale=x", None, None, None),
        ("max-stale=\"5\"", None, None, Some(Some(secs(5)))),
        ("max-stale, max-stale=5", None, None, Some(Some(secs(5)))),
        ("max-stale=9, max-stale=5", None, None, Some(Some(secs(5)))),
        ("max-age=x", Some(secs(0)), None, None),
        ("min-fresh=x, min-fresh=1, min-fresh=7", None, Some(secs(7)), None),
    ] {
        let directives = request(value);
        assert_eq!(directives.max_age, max_age, "{value}");
        assert_eq!(directives.min_fresh, min_fresh, "{value}");
        assert_eq!(directives.max_stale, max_stale, "{value}");
    }
    assert_eq!(request("stale-if-error=x").stale_if_error, None);
}

#[test]
fn rfc9111_s5_4_pragma_counts_only_without_cache_control() {
    let parse = |lines: &[(&str, &str)]| RequestDirectives::parse(&headers(lines)).no_cache;
    assert!(parse(&[("pragma", "foo, No-Cache")]));
    assert!(!parse(&[("pragma", "foo=no-cache")]));
    assert!(!parse(&[("pragma", "no-cache"), ("cache-control", "max-age=5")]));
    assert!(!parse(&[]));
    // In a response Pragma means nothing.
    let directives = ResponseDirectives::parse(&headers(&[("pragma", "no-cache")]));
    assert_eq!(directives, ResponseDirectives::default());
}
