use http::{Method, StatusCode};

use super::{NOVEMBER_1994, date, headers, lines, secs};
use crate::conditional::{
    Precondition, etag_names, evaluate, freshen, not_applicable_to_cache, not_modified_head, strip_conditionals,
    validators, validators_of,
};

const LAST_MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn not_modified(request: &[(&str, &str)], stored: &[(&str, &str)]) -> bool {
    let answer = evaluate(&Method::GET, &headers(request), StatusCode::OK, &headers(stored));
    answer == Precondition::NotModified
}

#[test]
fn rfc9110_s13_1_2_if_none_match_compares_weakly_in_lists() {
    for (field, etag, expected) in [
        ("\"a\"", "\"a\"", true),
        ("\"b\"", "\"a\"", false),
        ("W/\"a\"", "\"a\"", true),
        ("\"a\"", "W/\"a\"", true),
        ("W/\"a\"", "W/\"a\"", true),
        // The weakness mark is case-sensitive.
        ("w/\"a\"", "\"a\"", false),
        ("\"A\"", "\"a\"", false),
        ("\"x\", \"a\"", "\"a\"", true),
        ("\"x\",W/\"a\" , \"y\"", "\"a\"", true),
        (",, \"a\",", "\"a\"", true),
        ("\"x, y\", \"a\"", "\"a\"", true),
        ("\"x, a\"", "\"a\"", false),
        ("\"x,\"a\",y\"", "\"a\"", false),
        ("\"a, b\"", "\"a, b\"", true),
        ("\"a\\\", \"b\"", "\"b\"", true),
        ("\"\"", "\"\"", true),
        ("*", "\"a\"", true),
        (" * ", "\"a\"", true),
        ("\"*\"", "\"a\"", false),
        ("\"x\", *", "\"a\"", false),
        ("", "\"a\"", false),
        ("\"a", "\"a\"", false),
        ("W/", "\"a\"", false),
        ("\"a\u{fc}\"", "\"a\u{fc}\"", true),
        ("\"a\u{fc}\"", "\"a\u{fb}\"", false),
        // Wrong forms equal the same bytes.
        ("w/\"a\"", "w/\"a\"", true),
        ("W\\\"a\"", "W\\\"a\"", true),
        ("W\"a\"", "W\"a\"", true),
        ("w/\"a\"", "W/\"a\"", false),
        // A tag without quotes is the same tag in quotes where it is a plain token.
        ("a", "a", true),
        ("x, a", "a", true),
        ("\"a\"", "a", true),
        ("a", "\"a\"", true),
        ("a", "W/\"a\"", true),
        ("\"x\", a , \"y\"", "\"a\"", true),
        ("W/a", "\"a\"", false),
        ("\"a\"", "W/a", false),
        ("w/a", "\"w/a\"", false),
        ("a b", "\"a b\"", false),
        ("a,b", "\"a,b\"", false),
        ("\"*\"", "*", false),
        ("'a'", "\"'a'\"", true),
        ("\"a", "\"\"a\"", false),
        ("A", "\"a\"", false),
    ] {
        let result = not_modified(&[("if-none-match", field)], &[("etag", etag)]);
        assert_eq!(result, expected, "{field} {etag}");
    }
}

#[test]
fn rfc9110_s13_1_2_several_lines_and_no_tag() {
    let request = [("if-none-match", "\"x\""), ("if-none-match", "\"a\"")];
    assert!(not_modified(&request, &[("etag", "\"a\"")]));
    assert!(not_modified(&[("if-none-match", "*")], &[]));
    // `*` stands alone or it is nothing.
    let request = [("if-none-match", "\"x\""), ("if-none-match", "*")];
    assert!(!not_modified(&request, &[("etag", "\"a\"")]));
    // Nobody knows which of two tags is the tag.
    let request = [("if-none-match", "\"a\", \"b\"")];
    assert!(!not_modified(&request, &[("etag", "\"a\""), ("etag", "\"b\"")]));
    assert!(not_modified(&request, &[("etag", "\"a\""), ("etag", "\"a\"")]));
    assert!(!not_modified(&[("if-none-match", "\"a\"")], &[]));
}

#[test]
fn rfc9110_s13_1_3_if_none_match_beats_if_modified_since() {
    let stored = [("etag", "\"a\""), ("last-modified", LAST_MODIFIED)];
    let request = [("if-none-match", "\"b\""), ("if-modified-since", LAST_MODIFIED)];
    assert!(!not_modified(&request, &stored));
    let request = [("if-none-match", "\"a\""), ("if-modified-since", "Sun, 06 Nov 1988 08:49:37 GMT")];
    assert!(not_modified(&request, &stored));
}

#[test]
fn rfc9110_s13_1_3_if_modified_since() {
    let before = date(crate::Timestamp::from_secs(NOVEMBER_1994.as_secs() - 1));
    let later = date(NOVEMBER_1994.plus(secs(1)));
    for (field, expected) in [
        (LAST_MODIFIED, true),
        (&later, true),
        (&before, false),
        ("Sunday, 06-Nov-94 08:49:37 GMT", true),
        ("Sun Nov  6 08:49:37 1994", true),
        ("garbage", false),
        ("0", false),
        ("", false),
    ] {
        let request = [("if-modified-since", field)];
        let stored = [("last-modified", LAST_MODIFIED)];
        assert_eq!(not_modified(&request, &stored), expected, "{field}");
        // §4.3.2 of RFC 9111: without Last-Modified the stored Date.
        let dated = [("date", LAST_MODIFIED)];
        assert_eq!(not_modified(&request, &dated), expected, "{field}");
        assert!(!not_modified(&request, &[]), "{field}");
    }
    let twice = [("if-modified-since", LAST_MODIFIED), ("if-modified-since", LAST_MODIFIED)];
    assert!(!not_modified(&twice, &[("last-modified", LAST_MODIFIED)]));
}

#[test]
fn rfc9110_s13_2_1_only_get_and_head_of_a_200() {
    let (request, stored) = (headers(&[("if-none-match", "*")]), headers(&[("etag", "\"a\"")]));
    for (method, status, expected) in [
        (Method::GET, 200, Precondition::NotModified),
        (Method::HEAD, 200, Precondition::NotModified),
        (Method::POST, 200, Precondition::Proceed),
        (Method::GET, 404, Precondition::Proceed),
        (Method::GET, 301, Precondition::Proceed),
        (Method::GET, 204, Precondition::Proceed),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(evaluate(&method, &request, status, &stored), expected);
    }
}

#[test]
fn rfc9111_s4_3_2_some_preconditions_are_the_origins() {
    assert!(not_applicable_to_cache(&headers(&[("if-match", "*")])));
    assert!(not_applicable_to_cache(&headers(&[("if-unmodified-since", "x")])));
    assert!(!not_applicable_to_cache(&headers(&[("if-none-match", "*")])));
}

#[test]
fn rfc9111_s4_3_1_validators_to_send() {
    let sent = |stored: &[(&str, &str)]| {
        validators(&headers(stored)).map(|fields| {
            let fields = fields.iter();
            let texts = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            texts.collect::<Vec<_>>().join(" | ")
        })
    };
    for (stored, expected) in [
        (&[("etag", "W/\"a\"")][..], Some("if-none-match: W/\"a\"")),
        (&[("last-modified", LAST_MODIFIED)], Some("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT")),
        (
            &[("last-modified", LAST_MODIFIED), ("etag", "\"a\"")],
            Some("if-none-match: \"a\" | if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"),
        ),
        (&[("last-modified", "garbage"), ("etag", "")], None),
        (&[("etag", "\"a\""), ("etag", "\"b\"")], None),
        (&[("etag", "a")], Some("if-none-match: a")),
        (&[], None),
    ] {
        assert_eq!(sent(stored).as_deref(), expected);
    }
}

#[test]
fn rfc9111_s3_2_a_304_updates_fields_but_not_what_describes_the_stored_content() {
    let stored = headers(&[
        ("cache-control", "max-age=1"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-type", "text/html"),
        ("x-many", "1"),
        ("x-many", "2"),
        ("x-old", "kept"),
        ("age", "100"),
    ]);
    let not_modified = headers(&[
        ("cache-control", "max-age=60"),
        ("content-length", "0"),
        ("content-encoding", "br"),
        ("content-range", "bytes 0-1/2"),
        ("content-type", "text/plain"),
        ("x-many", "3"),
        ("x-many", "4"),
        ("set-cookie", "secret=1"),
        ("connection", "X-Hop, cache-control"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
    ]);
    let fresh = freshen(&stored, &not_modified, false);
    for (name, expected) in [
        ("cache-control", "max-age=60"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-range", ""),
        ("content-type", "text/plain"),
        ("x-many", "3 | 4"),
        ("x-old", "kept"),
        ("age", ""),
        ("set-cookie", ""),
        ("connection", ""),
        ("x-hop", ""),
        ("keep-alive", ""),
        ("transfer-encoding", ""),
    ] {
        assert_eq!(lines(&fresh, name), expected, "{name}");
    }
    let aged = freshen(&stored, &headers(&[("age", "3")]), false);
    assert_eq!(lines(&aged, "age"), "3");
}

#[test]
fn rfc9111_s3_2_what_describes_the_stored_content_is_kept() {
    let names = [
        "etag",
        "content-length",
        "content-encoding",
        "content-range",
        "content-md5",
        "content-digest",
        "repr-digest",
        "digest",
        "set-cookie",
    ];
    let update = headers(&names.map(|name| (name, "new")));
    let stored = headers(&names.map(|name| (name, "old")));
    assert_eq!(freshen(&stored, &update, false), stored);
    assert_eq!(freshen(&headers(&[]), &update, false), headers(&[]));
    // The operator shares cookies: then RFC 9111 §7.3 holds for them as it stands.
    let shared = freshen(&stored, &update, true);
    assert_eq!((lines(&shared, "set-cookie").as_str(), lines(&shared, "etag").as_str()), ("new", "old"));
}

#[test]
fn rfc9111_s4_3_4_a_304_names_a_response_by_its_strong_tag() {
    for (named, stored, expected) in [
        (Some("\"a\""), Some("\"a\""), true),
        (Some("\"a\""), Some("\"b\""), false),
        (Some("W/\"a\""), Some("\"a\""), false),
        (Some("\"a\""), Some("W/\"a\""), false),
        (Some("W/\"a\""), Some("W/\"a\""), false),
        (Some("a"), Some("a"), false),
        (Some("a"), Some("\"a\""), false),
        (Some("w/\"a\""), Some("w/\"a\""), false),
        (None, Some("\"a\""), false),
        (Some("\"a\""), None, false),
        (None, None, false),
    ] {
        let message = |tag: Option<&str>| headers(&tag.map(|tag| ("etag", tag)).into_iter().collect::<Vec<_>>());
        assert_eq!(etag_names(&message(named), &message(stored)), expected, "{named:?} {stored:?}");
    }
}

#[test]
fn rfc9111_s4_3_1_the_tags_of_all_variants() {
    let list = |tags: &[&str]| {
        let stored: Vec<_> = tags.iter().map(|tag| headers(&[("etag", tag)])).collect();
        validators_of(stored.iter()).map(|value| String::from_utf8(value.as_bytes().to_owned()).unwrap())
    };
    for (tags, expected) in [
        (&["\"a\"", "\"b, c\"", "\"a\""][..], Some("\"a\", \"b, c\"")),
        // Variants in different codings may share a weak tag.
        (&["W/\"a\"", "\"b\""], Some("\"b\"")),
        (&["W/\"a\"", "b", "", "w/\"c\"", "\"d"], None),
        (&["\"\u{fc}\""], Some("\"\u{fc}\"")),
        (&[], None),
    ] {
        assert_eq!(list(tags).as_deref(), expected, "{tags:?}");
    }
    let many: Vec<_> = (0..40).map(|number| format!("\"{number:02}\"")).collect();
    let shown = list(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!(shown, many[..16].join(", "));
    let long = format!("\"{}\"", "x".repeat(3000));
    assert_eq!(list(&[&long, "\"a\""]).as_deref(), Some("\"a\""));
}

#[test]
fn rfc9110_s15_4_5_fields_of_a_304() {
    let mut stored = headers(&[
        ("cache-control", "max-age=1"),
        ("cache-control", "public"),
        ("content-location", "/x"),
        ("date", LAST_MODIFIED),
        ("etag", "\"a\""),
        ("expires", LAST_MODIFIED),
        ("vary", "accept"),
        ("last-modified", LAST_MODIFIED),
        ("content-type", "text/html"),
        ("content-length", "5"),
        ("set-cookie", "a=b"),
    ]);
    let head = not_modified_head(&stored);
    assert_eq!(head.len(), 7);
    assert_eq!(lines(&head, "cache-control"), "max-age=1 | public");
    for name in ["last-modified", "content-type", "content-length", "set-cookie"] {
        assert!(!head.contains_key(name), "{name}");
    }
    stored.remove("etag");
    assert_eq!(lines(&not_modified_head(&stored), "last-modified"), LAST_MODIFIED);
}

#[test]
fn a_fill_carries_no_condition() {
    let mut request = headers(&[
        ("if-match", "*"),
        ("if-none-match", "\"a\""),
        ("if-none-match", "\"b\""),
        ("if-modified-since", LAST_MODIFIED),
        ("if-unmodified-since", LAST_MODIFIED),
        ("if-range", "\"a\""),
        ("range", "bytes=0-1"),
        ("accept", "*/*"),
    ]);
    strip_conditionals(&mut request);
    assert_eq!(request, headers(&[("accept", "*/*")]));
}
