//! Which representation a slice is of: slices go together only where they are of the same (RFC 9110 §15.3.7.3).

use copal_semantics::{ContentRange, fields, strong_date, strong_tag};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::sub_key::Slice;

/// What all slices of a representation say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Representation {
    /// Bytes of the whole.
    pub(crate) complete: u64,
    validator: Option<Validator>,
    coding: Option<HeaderValue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Validator {
    /// A strong entity tag.
    Tag(HeaderValue),
    /// No strong tag: the date of the last modification, and a weak tag where there is one.
    Date(HeaderValue, Option<HeaderValue>),
}

impl Representation {
    /// The representation that a response is the `slice` of. None where it is not just this slice, or where nothing tells
    /// whether another slice goes with it.
    pub(crate) fn of(slice: Slice, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if status != StatusCode::PARTIAL_CONTENT {
            return None;
        }
        let range = ContentRange::of(headers)?;
        let complete = range.complete?;
        let fits = slice.within(complete) == Some(range.span);
        let announced = fields::content_length(headers);
        if !fits || announced.is_some_and(|length| length != range.span.length()) {
            return None;
        }
        let validator = Validator::of(headers);
        if validator.is_none() && complete > slice.size {
            return None;
        }
        Some(Self { complete, validator, coding: headers.get(header::CONTENT_ENCODING).cloned() })
    }

    /// The tag of all slices of this representation of `url`, so that they can be invalidated and no others.
    pub(crate) fn tag(&self, url: &str) -> String {
        format!("\nslice of {url}\n{self:?}")
    }
}

impl Validator {
    fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(tag) = strong_tag(headers) {
            return Some(Self::Tag(tag.clone()));
        }
        strong_date(headers).map(|modified| Self::Date(modified.clone(), headers.get(header::ETAG).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64, fields: &[(&'static str, &str)]) -> Option<Representation> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Representation::of(Slice { size: 10, number }, StatusCode::PARTIAL_CONTENT, &headers)
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn a_slice_is_what_was_asked_for_and_says_of_what() {
        for (number, range, length, is) in [
            (0, "bytes 0-9/25", None, true),
            (0, "bytes 0-9/25", Some("10"), true),
            (2, "bytes 20-24/25", Some("5"), true),
            (0, "bytes 0-4/5", None, true),
            (0, "bytes 0-9/25", Some("9"), false),
            (0, "bytes 0-8/25", None, false),
            (1, "bytes 0-9/25", None, false),
            (0, "bytes 0-24/25", None, false),
            (0, "bytes 0-9/*", None, false),
            (0, "bytes */25", None, false),
            (0, "lines 0-9/25", None, false),
            (0, "0-9", None, false),
        ] {
            let mut fields = vec![("content-range", range), ("etag", "\"1\"")];
            fields.extend(length.map(|length| ("content-length", length)));
            let complete = of(number, &fields).map(|found| found.complete);
            assert_eq!(complete.is_some(), is, "{number} {range} {length:?}");
        }
        let whole = HeaderMap::from_iter([(header::CONTENT_RANGE, HeaderValue::from_static("bytes 0-9/25"))]);
        assert_eq!(Representation::of(Slice { size: 10, number: 0 }, StatusCode::OK, &whole), None);
    }

    #[test]
    fn slices_go_together_by_a_strong_tag_or_else_by_date_and_length_rfc9110_15_3_7_3() {
        let slices = |one: &[(&'static str, &str)], two: &[(&'static str, &str)]| {
            let mut first = vec![("content-range", "bytes 0-9/25"), ("date", "Sun, 06 Nov 1994 08:50:00 GMT")];
            first.extend(one);
            let mut second = vec![("date", "Sun, 06 Nov 1994 08:51:00 GMT")];
            second.extend(two);
            if !two.iter().any(|(name, _)| *name == "content-range") {
                second.push(("content-range", "bytes 10-19/25"));
            }
            let (first, second) = (of(0, &first), of(1, &second));
            first.is_some() && first == second
        };
        assert!(slices(&[("etag", "\"1\"")], &[("etag", "\"1\"")]));
        assert!(slices(&[("etag", "\"1\""), ("last-modified", DATE)], &[("etag", "\"1\"")]));
        assert!(!slices(&[("etag", "\"1\"")], &[("etag", "\"2\"")]));
        assert!(!slices(&[("etag", "\"1\"")], &[]));
        assert!(!slices(&[("etag", "\"1\"")], &[("etag", "\"1\""), ("content-range", "bytes 10-19/26")]));
        assert!(!slices(&[("etag", "\"1\"")], &[("etag", "\"1\""), ("content-encoding", "gzip")]));
        assert!(slices(&[("last-modified", DATE)], &[("last-modified", DATE)]));
        assert!(!slices(&[("last-modified", DATE)], &[("last-modified", LATER)]));
        let as_it_was_made = [("last-modified", "Sun, 06 Nov 1994 08:50:00 GMT")];
        assert!(!slices(&as_it_was_made, &as_it_was_made), "it may change within that second (RFC 9110 §8.8.2.2)");
        assert!(!slices(&[("last-modified", DATE)], &[("last-modified", DATE), ("etag", "W/\"1\"")]));
        assert!(!slices(&[("etag", "W/\"1\"")], &[("etag", "W/\"1\"")]), "a weak tag alone is none");
        assert!(!slices(&[], &[]), "nothing to go by");
        assert!(of(0, &[("content-range", "bytes 0-9/10")]).is_some(), "one slice is whole by itself");
    }
}
