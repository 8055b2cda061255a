//! Preconditions, ranges and their dates and entity tags: answers stay within the stored response.
//!
//! Input: lines in turn for `If-None-Match`, `If-Modified-Since`, `Range`, `If-Range` of the request, and `ETag`, `Last-Modified`, `Date`
//! of the stored response.

#![no_main]

use copal_fuzz::fields;
use copal_semantics::{
    ContentRange, Precondition, RangeAnswer, Timestamp, content_range, evaluate, has_validator, parse_http_date, range,
    strip_conditionals, validators,
};
use http::header::{DATE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);

fn preconditions(request: &HeaderMap, stored: &HeaderMap) {
    let answer = evaluate(&Method::GET, request, StatusCode::OK, stored);
    assert_eq!(answer, evaluate(&Method::HEAD, request, StatusCode::OK, stored));
    assert_eq!(evaluate(&Method::POST, request, StatusCode::OK, stored), Precondition::Proceed);
    assert_eq!(evaluate(&Method::GET, request, StatusCode::NOT_FOUND, stored), Precondition::Proceed);

    let fields = validators(stored);
    assert_eq!(fields.is_some(), has_validator(stored));
    let own: HeaderMap = fields.into_iter().flatten().collect();
    // A tag that is none by its form may not be found in a list again.
    if own.contains_key(IF_MODIFIED_SINCE) && !own.contains_key(IF_NONE_MATCH) {
        assert_eq!(evaluate(&Method::GET, &own, StatusCode::OK, stored), Precondition::NotModified, "its own date");
    }
    if let Some([b'"', inside @ .., b'"']) = own.get(IF_NONE_MATCH).map(|tag| tag.as_bytes())
        && !inside.contains(&b'"')
    {
        assert_eq!(evaluate(&Method::GET, &own, StatusCode::OK, stored), Precondition::NotModified, "its own tag");
    }
}

fn ranges(request: &HeaderMap, stored: &HeaderMap) {
    for length in [0, 1, 1000, u64::MAX] {
        match range(&Method::GET, request, StatusCode::OK, stored, length) {
            RangeAnswer::Whole => {}
            RangeAnswer::Unsatisfiable => assert!(request.contains_key(RANGE)),
            RangeAnswer::Part { first, last } => {
                assert!(first <= last && last < length, "{first}-{last} of {length}");
                assert_eq!(content_range(first, last, length), format!("bytes {first}-{last}/{length}"));
            }
            RangeAnswer::Parts(parts) => {
                assert!((2..=16).contains(&parts.len()));
                for (at, part) in parts.iter().enumerate() {
                    assert!(part.first <= part.last && part.last < length);
                    assert!(parts[..at].iter().all(|other| !other.touches(*part)), "{parts:?}");
                }
            }
        }
        assert_eq!(range(&Method::HEAD, request, StatusCode::OK, stored, length), RangeAnswer::Whole);
        assert_eq!(range(&Method::GET, request, StatusCode::NOT_FOUND, stored, length), RangeAnswer::Whole);
    }
    // A condition that fails must not give a part that would be appended to something else.
    let other = HeaderMap::new();
    if request.contains_key(IF_RANGE) {
        assert_eq!(range(&Method::GET, request, StatusCode::OK, &other, 1000), RangeAnswer::Whole);
    }
}

fuzz_target!(|input: &[u8]| {
    let names = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE, ETAG, LAST_MODIFIED, DATE];
    let mut request = fields(input, &names);
    let mut stored = HeaderMap::new();
    for name in [ETAG, LAST_MODIFIED, DATE] {
        stored.extend(request.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        request.remove(&name);
    }
    preconditions(&request, &stored);
    ranges(&request, &stored);

    if let Some(range) = ContentRange::parse(input) {
        assert!(range.span.first <= range.span.last && range.complete.is_none_or(|complete| range.span.last < complete));
        assert_eq!(ContentRange::parse(range.to_value().as_bytes()), Some(range));
    }
    for line in input.split(|byte| *byte == b'\n') {
        if let Some(date) = parse_http_date(line, NOW) {
            assert_eq!(parse_http_date(date.http_date().as_bytes(), NOW), Some(date), "the date it names is another");
        }
    }

    strip_conditionals(&mut request);
    assert_eq!(evaluate(&Method::GET, &request, StatusCode::OK, &stored), Precondition::Proceed);
    assert_eq!(range(&Method::GET, &request, StatusCode::OK, &stored, 1000), RangeAnswer::Whole);
});
