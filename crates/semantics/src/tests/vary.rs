use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};

use super::headers;
use crate::vary::{Vary, accept_encoding, coding_acceptable, coding_preference, normalise_field};

fn names(vary: &Vary) -> Vec<&str> {
    vary.names().iter().map(HeaderName::as_str).collect()
}

#[test]
fn rfc9110_s12_5_5_vary_is_a_list_of_names_in_any_case() {
    for (lines, expected) in [
        (&[][..], &[][..]),
        (&[("vary", "")], &[]),
        (&[("vary", "Accept-Encoding")], &["accept-encoding"]),
        (&[("vary", " cookie ,\tAccept,, COOKIE")], &["accept", "cookie"]),
        (&[("vary", "b"), ("vary", "a, b")], &["a", "b"]),
    ] {
        let vary = Vary::parse(&headers(lines));
        assert_eq!(names(&vary), expected);
        assert!(!vary.is_star());
    }
}

#[test]
fn rfc9111_s4_1_star_anywhere_matches_nothing() {
    for value in ["*", "accept, *", "*, accept", ", *", "bad name", "\"accept\"", "a\u{e9}"] {
        assert!(Vary::parse(&headers(&[("vary", value)])).is_star(), "{value}");
    }
    assert!(Vary::parse(&headers(&[("vary", "accept"), ("vary", "*")])).is_star());
}

#[test]
fn with_adds_a_name_once_and_keeps_the_order() {
    let vary = Vary::parse(&headers(&[("vary", "cookie")]))
        .with(ACCEPT_ENCODING)
        .with(ACCEPT_ENCODING)
        .with(HeaderName::from_static("x-a"));
    assert_eq!(names(&vary), ["accept-encoding", "cookie", "x-a"]);
    assert_eq!(vary, Vary::parse(&headers(&[("vary", "X-A, Cookie, Accept-Encoding")])));
}

fn normal(lines: &[&[u8]]) -> String {
    let values: Vec<_> = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap()).collect();
    normalise_field(&HeaderName::from_static("foo"), values.iter())
}

#[test]
fn rfc9111_s4_1_lines_are_joined_and_whitespace_at_commas_is_folded() {
    for lines in [&[&b"1,2"[..]][..], &[b"1, 2"], &[b" 1 \t,\t 2 "], &[b"1", b"2"]] {
        assert_eq!(normal(lines), "1,2");
    }
    assert_eq!(normal(&[b"a  b"]), "a  b");
    assert_eq!(normal(&[b"En-us, FR"]), "En-us,FR");
    assert_eq!(normal(&[b"fr, en"]), "fr,en");
    assert_eq!(normal(&[b"\"a ,b\" ,c"]), "\"a ,b\",c");
    assert_eq!(normal(&[b"a\" ,b,\"c ,d"]), "a\" ,b,\"c,d");
    assert_eq!(normal(&[b"it's 5\" ,b"]), "it's 5\",b");
    assert_eq!(normal(&[b"\"a\\\" ,b\",c"]), "\"a\\\" ,b\",c");
}

#[test]
fn rfc9111_s4_1_absent_matches_only_absent() {
    assert_eq!(normal(&[]), "");
    assert_ne!(normal(&[b""]), "");
    assert_ne!(normal(&[b""]), normal(&[b"", b""]));
    assert_ne!(normal(&[b""]), normal(&[b","]));
}

#[test]
fn different_bytes_stay_different() {
    assert_ne!(normal(&[b"\xe9"]), normal(&[b"\xe8"]));
    assert_eq!(normal(&[b"caf\xe9,x"]), "caf\u{e9},x");
    assert_eq!(normal(&["\u{e9}".as_bytes()]), "\u{c3}\u{a9}");
}

#[test]
fn rfc9110_s12_5_3_accept_encoding_in_canonical_form() {
    for (value, expected) in [
        ("gzip, deflate, br, zstd", "br, deflate, gzip, zstd"),
        ("gzip, deflate, br", "br, deflate, gzip"),
        ("gzip, deflate", "deflate, gzip"),
        ("gzip", "gzip"),
        ("GZip;q=0.5 , BR", "br, gzip"),
        ("x-gzip", "gzip"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "br, deflate, gzip, zstd"),
        ("br, gzip;q=0", "br"),
        ("gzip;q=0.000", ""),
        ("gzip;Q=0", ""),
        ("gzip;q=0.001", "gzip"),
        ("gzip; q=1", "gzip"),
        ("gzip;q=x", ""),
        ("gzip;q=2", ""),
        ("gzip;q=", ""),
        ("gzip;q=0.5.5", ""),
        ("gzip, gzip;q=0", ""),
        ("*", "br, deflate, gzip, zstd"),
        ("*, gzip;q=0", "br, deflate, zstd"),
        ("*;q=0", ""),
        ("*;q=0, br", "br"),
        ("*;q=0, *", ""),
        ("identity", ""),
        ("identity;q=0, gzip", "gzip"),
        ("compress, dcb, dcz", ""),
        ("", ""),
        (",;,;q=0,", ""),
    ] {
        let request = headers(&[("accept-encoding", value)]);
        let text = normalise_field(&ACCEPT_ENCODING, request.get_all(ACCEPT_ENCODING).iter());
        assert_eq!(text, expected, "{value}");
        let sent = accept_encoding(&request);
        assert_eq!(sent.is_none(), expected.is_empty(), "{value}");
        assert_eq!(sent.unwrap_or(HeaderValue::from_static("")), expected);
    }
    assert_eq!(accept_encoding(&headers(&[])), None);
    let lines = headers(&[("accept-encoding", "gzip"), ("accept-encoding", "br")]);
    assert_eq!(accept_encoding(&lines).unwrap(), "br, gzip");
}

#[test]
fn rfc9110_s12_5_3_acceptable_codings() {
    for (coding, accepted, expected) in [
        ("gzip", "gzip, br", true),
        ("GZIP", "gzip", true),
        ("x-gzip", "gzip", true),
        ("gzip", "x-gzip", true),
        ("br", "gzip", false),
        ("br", "*", true),
        ("br", "*;q=0", false),
        ("br", "br;q=0, *", false),
        ("br", "*;q=0, br;q=0.1", true),
        ("br", "br, br;q=0", false),
        ("br", "", false),
        ("dcb", "gzip, dcb", true),
        ("gzip, br", "gzip, br", true),
        ("gzip, br", "gzip", false),
        ("identity", "gzip", true),
        ("identity", "identity;q=0", false),
        ("identity", "*;q=0", false),
        ("", "gzip", true),
    ] {
        let request = headers(&[("accept-encoding", accepted)]);
        let coding = HeaderValue::from_str(coding).unwrap();
        let result = coding_acceptable(&coding, &request);
        assert_eq!(result, expected, "{coding:?} {accepted}");
    }
    let coding = HeaderValue::from_static("br");
    assert!(coding_acceptable(&coding, &headers(&[])));
}

#[test]
fn rfc9111_s4_1_what_is_stored_is_wanted_by_its_weight() {
    for (coding, accepted, expected) in [
        (Some("gzip"), "gzip", Some(1000)),
        (Some("gzip"), "br, gzip;q=0.5", Some(500)),
        (Some("GZIP"), "x-gzip;q=0.25", Some(250)),
        (Some("br"), "gzip, *;q=0.1", Some(100)),
        (Some("br"), "gzip, *;q=0", None),
        (Some("br"), "gzip", None),
        (Some("br"), "br;q=0, *", None),
        (Some("br"), "br;q=0.5, br;q=0.2", Some(200)),
        (Some("br"), "br;q=0.0001", Some(1)),
        (Some("br"), "br;q=nonsense", None),
        (Some("dcb"), "dcb, gzip", Some(1000)),
        (Some("gzip, br"), "gzip, br;q=0.3", Some(300)),
        (Some("gzip, br"), "gzip", None),
        (Some("gzip"), "", None),
        // Identity only for those who take nothing else.
        (None, "gzip", None),
        (None, "*", None),
        (None, "", Some(1000)),
        (None, "identity", Some(1000)),
        (None, "identity;q=0.2", Some(200)),
        (None, "gzip;q=0", Some(1000)),
        (None, "identity;q=0", None),
        (None, "*;q=0", None),
        (Some("identity"), "gzip", None),
        (Some("identity"), "identity", Some(1000)),
        (Some(""), "identity", Some(1000)),
    ] {
        let request = headers(&[("accept-encoding", accepted)]);
        let value = coding.map(HeaderValue::from_static);
        assert_eq!(coding_preference(value.as_ref(), &request), expected, "{coding:?} {accepted}");
    }
    // Who says nothing may be unable to decode anything.
    let coding = HeaderValue::from_static("gzip");
    assert_eq!(coding_preference(Some(&coding), &headers(&[])), None);
    assert_eq!(coding_preference(None, &headers(&[])), Some(1000));
}
