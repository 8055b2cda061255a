//! Parts of a representation: what a 206 says, what may be put together, and how several are sent.

use http::header::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{headers, lines};
use crate::byteranges::ByteRanges;
use crate::combine::{combined_fields, if_range, may_combine, part_fields_out, strong_date};
use crate::content_range::{Brought, ContentRange};
use crate::range::{ByteRange, RangeAnswer, Span};

fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

#[test]
fn rfc9110_s14_4_content_range_is_read() {
    let range = |first, last, complete| Some(ContentRange { span: span(first, last), complete });
    for (value, expected) in [
        ("bytes 0-499/1234", range(0, 499, Some(1234))),
        ("bytes 4-8/*", range(4, 8, None)),
        ("Bytes  0-0/1", range(0, 0, Some(1))),
        ("bytes 0-9/10", range(0, 9, Some(10))),
        ("bytes 0-10/10", None),
        ("bytes 5-4/10", None),
        ("bytes */10", None),
        ("bytes 0-4", None),
        ("bytes 0-4/", None),
        ("bytes 0-/10", None),
        ("bytes -4/10", None),
        ("bytes 0-4/x", None),
        ("bytes 0/4-10", None),
        ("bytes=0-4/10", None),
        ("lines 0-4/10", None),
        ("bytes 0-18446744073709551615/*", None),
        ("bytes 0-4/99999999999999999999", None),
        ("", None),
    ] {
        assert_eq!(ContentRange::of(&headers(&[("content-range", value)])), expected, "{value}");
    }
    assert_eq!(ContentRange::of(&headers(&[])), None);
    let twice = headers(&[("content-range", "bytes 0-4/10"), ("content-range", "bytes 0-4/10")]);
    assert_eq!(ContentRange::of(&twice), None);
    let of_several = [("content-range", "bytes 0-4/10"), ("content-type", "Multipart/ByteRanges; boundary=x")];
    assert_eq!(ContentRange::of(&headers(&of_several)), None);
}

#[test]
fn rfc9111_s3_3_what_a_206_has_brought() {
    let says = |first, last, complete| ContentRange { span: span(first, last), complete };
    let (between, open, suffix) = (ByteRange::Between(4, 9), ByteRange::From(4), ByteRange::Suffix(6));
    let brought = |first, last, complete, consistent| Some(Brought { span: span(first, last), complete, consistent });
    for (range, length, asked, expected) in [
        (says(4, 9, Some(10)), 6, between, brought(4, 9, Some(10), true)),
        (says(4, 9, None), 6, between, brought(4, 9, None, true)),
        // Shorter than said: it begins where it says, and ends where the range was to end.
        (says(4, 9, Some(10)), 5, suffix, brought(4, 8, Some(9), false)),
        (says(4, 9, None), 5, open, brought(4, 8, Some(9), false)),
        (says(4, 9, Some(10)), 5, between, brought(4, 8, None, false)),
        (says(4, 9, Some(10)), 0, between, None),
        (says(4, 9, Some(10)), 7, between, None),
    ] {
        assert_eq!(range.brought(length, asked), expected, "{range:?} {length}");
    }
}

#[test]
fn rfc9111_s3_4_only_the_same_strong_tag_puts_parts_together() {
    let tag = |value| headers(&[("etag", value)]);
    for (one, other, expected) in [
        ("\"a\"", "\"a\"", true),
        ("\"a\"", "\"b\"", false),
        ("W/\"a\"", "W/\"a\"", false),
        ("W/\"a\"", "\"a\"", false),
        ("a", "a", false),
        ("\"a", "\"a", false),
        ("\"\"", "\"\"", true),
    ] {
        assert_eq!(may_combine(&tag(one), &tag(other)), expected, "{one} {other}");
        assert_eq!(may_combine(&tag(other), &tag(one)), expected, "{other} {one}");
    }
    assert!(!may_combine(&headers(&[]), &headers(&[])));
    assert!(!may_combine(&headers(&[("etag", "\"a\""), ("etag", "\"a\"")]), &tag("\"a\"")));
    let coded = |coding| headers(&[("etag", "\"a\""), ("content-encoding", coding)]);
    assert!(may_combine(&coded("gzip"), &tag("\"a\"")));
    assert!(may_combine(&coded("gzip"), &coded("gzip")));
    assert!(!may_combine(&coded("gzip"), &coded("br")));
}

#[test]
fn rfc9111_s3_4_the_newer_fields_replace_the_older() {
    let older = headers(&[
        ("etag", "\"a\""),
        ("content-type", "video/mp4"),
        ("cache-control", "max-age=1"),
        ("x-list", "1"),
        ("x-list", "2"),
        ("age", "7"),
        ("content-range", "bytes 0-4/10"),
        ("content-digest", "sha-256=:x:"),
    ]);
    let newer = headers(&[
        ("etag", "\"a\""),
        ("cache-control", "max-age=9"),
        ("x-list", "3"),
        ("content-range", "bytes 5-9/10"),
        ("content-length", "5"),
        ("content-md5", "y"),
    ]);
    let fields = combined_fields(&older, &newer);
    for (name, expected) in [
        ("etag", "\"a\""),
        ("content-type", "video/mp4"),
        ("cache-control", "max-age=9"),
        ("x-list", "3"),
        ("age", ""),
        ("content-range", ""),
        ("content-length", ""),
        ("content-digest", ""),
        ("content-md5", ""),
    ] {
        assert_eq!(lines(&fields, name), expected, "{name}");
    }
    let mut part = older;
    part_fields_out(&mut part);
    assert_eq!((lines(&part, "content-range"), lines(&part, "age")), (String::new(), "7".to_owned()));
}

#[test]
fn rfc9110_s13_1_5_if_range_never_carries_a_weak_tag() {
    let made = |tag: &str| if_range(&headers(&[("etag", tag)])).map(|(_, value)| value);
    assert_eq!(made("\"a\""), Some(HeaderValue::from_static("\"a\"")));
    assert_eq!(made("W/\"a\""), None);
    assert_eq!(if_range(&headers(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")])), None);
}

#[test]
fn rfc9110_s14_6_multipart_byteranges() {
    let media = HeaderValue::from_static("text/plain");
    let frame = ByteRanges::new("BOUNDARY", &[span(0, 1), span(8, 9)], 10, Some(&media));
    assert_eq!(frame.content_type, "multipart/byteranges; boundary=BOUNDARY");
    let body = [&frame.heads[0][..], b"01", &frame.heads[1], b"89", &frame.tail].concat();
    let expected = "--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
                    --BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--BOUNDARY--\r\n";
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    assert_eq!(frame.length, expected.len() as u64);
    let bare = ByteRanges::new("B", &[span(3, 3)], 10, None);
    assert_eq!(bare.heads[0], b"--B\r\nContent-Range: bytes 3-3/10\r\n\r\n");
}

/// A range-spec as it may be asked of 40 bytes.
fn spec() -> impl Strategy<Value = ByteRange> {
    prop_oneof![
        (0..50_u64).prop_map(ByteRange::From),
        (0..50_u64, 0..9_u64).prop_map(|(first, more)| ByteRange::Between(first, first + more)),
        (0..50_u64).prop_map(ByteRange::Suffix),
    ]
}

proptest! {
    /// However ranges are made one, together they are the bytes that were asked for, each once.
    #[test]
    fn several_ranges_are_the_bytes_asked_for(specs in prop::collection::vec(spec(), 1..12)) {
        let text: Vec<_> = specs.iter().map(ByteRange::to_string).collect();
        let request = headers(&[("range", &format!("bytes={}", text.join(", ")))]);
        let wanted = |byte: u64| specs.iter().any(|spec| match *spec {
            ByteRange::From(first) => byte >= first,
            ByteRange::Between(first, last) => (first..=last).contains(&byte),
            ByteRange::Suffix(suffix) => byte + suffix >= 40,
        });
        let answer = crate::range(&http::Method::GET, &request, http::StatusCode::OK, &headers(&[]), 40);
        let spans = match answer {
            RangeAnswer::Parts(spans) => spans,
            RangeAnswer::Part { first, last } => vec![span(first, last)],
            RangeAnswer::Unsatisfiable => Vec::new(),
            RangeAnswer::Whole => return Err(TestCaseError::fail("whole")),
        };
        for byte in 0..40 {
            let given = spans.iter().filter(|span| span.first <= byte && byte <= span.last).count();
            prop_assert_eq!(given, usize::from(wanted(byte)), "{} {:?}", byte, &spans);
        }
        for (at, one) in spans.iter().enumerate() {
            prop_assert!(spans[..at].iter().all(|other| !other.touches(*one)));
        }
    }

    #[test]
    fn a_content_range_round_trips(first in any::<u64>(), more in any::<u64>(), beyond in prop::option::of(any::<u64>())) {
        let last = first.saturating_add(more).min(u64::MAX - 2);
        let first = first.min(last);
        let complete = beyond.map(|beyond| last.saturating_add(1).saturating_add(beyond).min(u64::MAX - 1));
        let range = ContentRange { span: span(first, last), complete };
        prop_assert_eq!(ContentRange::parse(range.to_value().as_bytes()), Some(range));
    }

    #[test]
    fn no_content_range_is_too_odd(value in "(bytes|BYTES|x)?[ =]{0,2}[0-9*/ -]{0,30}", length in any::<u64>()) {
        if let Some(range) = ContentRange::parse(value.as_bytes()) {
            prop_assert!(range.span.first <= range.span.last);
            prop_assert!(range.complete.is_none_or(|complete| range.span.last < complete));
            if let Some(brought) = range.brought(length, ByteRange::From(range.span.first)) {
                prop_assert_eq!(brought.span.length(), length);
                prop_assert!(range.span.contains(brought.span));
            }
        }
    }
}

#[test]
fn rfc9110_8_8_2_2_a_date_of_last_modification_is_strong_a_second_later() {
    let of = |modified: &[&str], date: &[&str]| {
        let mut headers = HeaderMap::new();
        for (name, lines) in [("last-modified", modified), ("date", date)] {
            for line in lines {
                headers.append(name, line.parse().unwrap());
            }
        }
        strong_date(&headers).is_some()
    };
    let (then, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
    assert!(of(&[then], &[later]));
    assert!(!of(&[then], &[then]));
    assert!(!of(&[later], &[then]));
    assert!(!of(&[then], &[]));
    assert!(!of(&[], &[later]));
    assert!(!of(&["then"], &[later]));
    assert!(!of(&[then, then], &[later]));
}
