use http::{Method, StatusCode};

use super::headers;
use crate::range::RangeAnswer::{self, Part, Unsatisfiable, Whole};
use crate::range::{ByteRange, Span, byte_ranges, content_range, range, unsatisfied_range};

fn answer(value: &str, length: u64) -> RangeAnswer {
    let request = headers(&[("range", value)]);
    range(&Method::GET, &request, StatusCode::OK, &headers(&[]), length)
}

const fn part(first: u64, last: u64) -> RangeAnswer {
    Part { first, last }
}

#[test]
fn rfc9110_s14_1_2_byte_ranges() {
    for (value, expected) in [
        ("bytes=0-499", part(0, 499)),
        ("bytes=500-999", part(500, 999)),
        ("bytes=500-", part(500, 999)),
        ("bytes=0-", part(0, 999)),
        ("bytes=999-999", part(999, 999)),
        ("bytes=500-5000", part(500, 999)),
        ("bytes=-1", part(999, 999)),
        ("bytes=-500", part(500, 999)),
        ("bytes=-1000", part(0, 999)),
        ("bytes=-5000", part(0, 999)),
        ("BYTES=0-0", part(0, 0)),
        ("bytes= 0-0", part(0, 0)),
        ("bytes=,0-0,", part(0, 0)),
        ("bytes=00-007", part(0, 7)),
        ("bytes=0-99999999999999999999999999", part(0, 999)),
        ("bytes=-99999999999999999999999999", part(0, 999)),
        ("bytes=1000-", Unsatisfiable),
        ("bytes=1000-2000", Unsatisfiable),
        ("bytes=99999999999999999999999999-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
    ] {
        assert_eq!(answer(value, 1000), expected, "{value}");
    }
}

#[test]
fn rfc9110_s14_2_what_is_not_one_byte_range_gets_the_whole() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0x1-5",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=--1",
        "bytes=0-1,3-4,x",
        "bytes=0-1,5-4",
        "bytes=0-1;3-4",
        "lines=0-1",
        "bytes =0-1",
        "0-1",
    ] {
        assert_eq!(answer(value, 1000), Whole, "{value}");
    }
    let twice = headers(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]);
    let none = headers(&[]);
    assert_eq!(range(&Method::GET, &twice, StatusCode::OK, &none, 9), Whole);
}

#[test]
fn rfc9110_s14_1_2_nothing_has_no_part() {
    assert_eq!(answer("bytes=0-", 0), Unsatisfiable);
    assert_eq!(answer("bytes=0-0", 0), Unsatisfiable);
    assert_eq!(answer("bytes=-0", 0), Unsatisfiable);
    assert_eq!(answer("bytes=-5", 0), Whole);
}

#[test]
fn rfc9110_s14_2_only_get_of_a_200() {
    let (request, stored) = (headers(&[("range", "bytes=0-1")]), headers(&[]));
    for (method, status) in [
        (Method::HEAD, StatusCode::OK),
        (Method::POST, StatusCode::OK),
        (Method::GET, StatusCode::NOT_FOUND),
        (Method::GET, StatusCode::NO_CONTENT),
    ] {
        assert_eq!(range(&method, &request, status, &stored, 9), Whole);
    }
}

#[test]
fn rfc9110_s13_1_5_if_range_compares_strongly() {
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    for (condition, stored, holds) in [
        ("\"a\"", &[("etag", "\"a\"")][..], true),
        ("\"b\"", &[("etag", "\"a\"")], false),
        ("W/\"a\"", &[("etag", "\"a\"")], false),
        ("\"a\"", &[("etag", "W/\"a\"")], false),
        ("W/\"a\"", &[("etag", "W/\"a\"")], false),
        ("\"a\"", &[], false),
        (MODIFIED, &[("last-modified", MODIFIED), ("date", LATER)], true),
        ("Sunday, 06-Nov-94 08:49:37 GMT", &[("last-modified", MODIFIED), ("date", LATER)], true),
        (LATER, &[("last-modified", MODIFIED), ("date", LATER)], false),
        // Not a strong date (§8.8.2.2): made in the very second, or nobody knows when.
        (MODIFIED, &[("last-modified", MODIFIED), ("date", MODIFIED)], false),
        (MODIFIED, &[("last-modified", MODIFIED)], false),
        ("garbage", &[("etag", "garbage")], false),
        ("", &[("etag", "\"a\"")], false),
    ] {
        let request = headers(&[("range", "bytes=0-1"), ("if-range", condition)]);
        let expected = if holds { part(0, 1) } else { Whole };
        let result = range(&Method::GET, &request, StatusCode::OK, &headers(stored), 9);
        assert_eq!(result, expected, "{condition} {stored:?}");
    }
}

#[test]
fn rfc9110_s14_4_content_range() {
    assert_eq!(content_range(0, 499, 1234), "bytes 0-499/1234");
    assert_eq!(unsatisfied_range(1234), "bytes */1234");
    assert_eq!(unsatisfied_range(u64::MAX), "bytes */18446744073709551615");
}

fn parts(spans: &[(u64, u64)]) -> RangeAnswer {
    RangeAnswer::Parts(spans.iter().map(|&(first, last)| Span { first, last }).collect())
}

#[test]
fn rfc9110_s15_3_7_2_several_ranges_in_the_order_asked() {
    for (value, expected) in [
        ("bytes=0-0,5-6", parts(&[(0, 0), (5, 6)])),
        ("bytes=5-6, 0-0", parts(&[(5, 6), (0, 0)])),
        ("bytes=0-0,-1", parts(&[(0, 0), (9, 9)])),
        ("bytes=8-,0-1", parts(&[(8, 9), (0, 1)])),
        // What overlaps or touches is one, at the place of its first.
        ("bytes=0-4,2-6", part(0, 6)),
        ("bytes=0-4,5-6", part(0, 6)),
        ("bytes=5-6,0-4", part(0, 6)),
        ("bytes=0-1,8-9,2-3", parts(&[(0, 3), (8, 9)])),
        ("bytes=8-9,0-1,2-3", parts(&[(8, 9), (0, 3)])),
        ("bytes=0-1,4-5,2-3", part(0, 5)),
        ("bytes=4-5,0-0,8-9,1-3", parts(&[(0, 5), (8, 9)])),
        ("bytes=0-,-3,4-5", part(0, 9)),
        // §14.1.2: those that cannot be satisfied are left out, as long as one can.
        ("bytes=0-1,10-", part(0, 1)),
        ("bytes=20-30,0-1,-0,5-5", parts(&[(0, 1), (5, 5)])),
        ("bytes=10-,-0,11-12", Unsatisfiable),
    ] {
        assert_eq!(answer(value, 10), expected, "{value}");
    }
    assert_eq!(answer("bytes=-1,-2", 0), Whole);
    assert_eq!(answer("bytes=0-,1-", 0), Unsatisfiable);
}

#[test]
fn rfc9110_s17_15_many_small_ranges_get_the_whole() {
    let ranges = |count: u64, step: u64| {
        let specs: Vec<_> = (0..count).map(|at| format!("{}-{}", at * step, at * step)).collect();
        answer(&format!("bytes={}", specs.join(",")), 1000)
    };
    assert!(matches!(ranges(16, 2), RangeAnswer::Parts(parts) if parts.len() == 16));
    assert_eq!(ranges(17, 2), Whole);
    assert_eq!(ranges(64, 1), part(0, 63));
    assert_eq!(ranges(65, 1), Whole);
    assert_eq!(ranges(10_000, 2), Whole);
}

#[test]
fn rfc9110_s14_1_1_a_range_spec_reads_as_it_is_written() {
    for (value, expected) in [
        ("bytes=0-4", "0-4"),
        ("Bytes= 007-", "7-"),
        ("bytes=-5,", "-5"),
        ("bytes=1-2,3-", "1-2 3-"),
        ("bytes=99999999999999999999-", "18446744073709551615-"),
    ] {
        let ranges = byte_ranges(&headers(&[("range", value)])).unwrap();
        assert_eq!(ranges.iter().map(ByteRange::to_string).collect::<Vec<_>>().join(" "), expected);
    }
    assert_eq!(byte_ranges(&headers(&[])), None);
}
