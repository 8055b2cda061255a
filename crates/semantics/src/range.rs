//! Range requests answered from a whole stored response (RFC 9110 §13.1.5, §14).

use std::time::Duration;

use http::header::{DATE, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{Method, StatusCode};

use crate::conditional::{ANY_NOW, entity_tag};
use crate::entity_tag::EntityTag;
use crate::lifetime::field_date;
use crate::list::number;

/// What of a representation answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeAnswer {
    /// All of it, with 200.
    Whole,
    /// The bytes from `first` to `last`, both counted from zero and included, with 206.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// None, with 416.
    Unsatisfiable,
}

/// Applies `Range` and `If-Range` to a stored response of `length` bytes (RFC 9110 §14.2).
///
/// One byte range only: several, other units and malformed ones get the whole, as a server may. `If-Range` compares strongly.
pub fn range(method: &Method, request: &HeaderMap, status: StatusCode, stored: &HeaderMap, length: u64) -> RangeAnswer {
    let mut lines = request.get_all(RANGE).iter();
    // §14.2: Range is defined for GET only.
    let (Some(line), None, true, true) = (lines.next(), lines.next(), method == Method::GET, status == StatusCode::OK)
    else {
        return RangeAnswer::Whole;
    };
    match byte_range(line.as_bytes()) {
        Some(range) if if_range_holds(request, stored) => range.within(length),
        _ => RangeAnswer::Whole,
    }
}

/// A range-spec of the unit `bytes` (§14.1.2).
enum ByteRange {
    From(u64),
    Between(u64, u64),
    Suffix(u64),
}

/// The one range of `bytes=…`; `None` when malformed, of another unit, or of several.
fn byte_range(value: &[u8]) -> Option<ByteRange> {
    let value = value.trim_ascii();
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = value.split_at(equals);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = set[1..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty());
    let (Some(spec), None) = (specs.next(), specs.next()) else {
        return None;
    };
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, _) => number(last).map(ByteRange::Suffix),
        (false, true) => number(first).map(ByteRange::From),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            // §14.1.1: a last position before the first makes the range invalid, and an invalid Range is ignored.
            (first <= last).then_some(ByteRange::Between(first, last))
        }
    }
}

impl ByteRange {
    /// §14.1.2: cut to the representation, unsatisfiable when nothing is left.
    fn within(self, length: u64) -> RangeAnswer {
        let (first, last) = match self {
            ByteRange::Suffix(0) => return RangeAnswer::Unsatisfiable,
            // A suffix of nothing is satisfiable, but no Content-Range can say so.
            ByteRange::Suffix(_) if length == 0 => return RangeAnswer::Whole,
            ByteRange::Suffix(suffix) => (length.saturating_sub(suffix), u64::MAX),
            ByteRange::From(first) => (first, u64::MAX),
            ByteRange::Between(first, last) => (first, last),
        };
        if first >= length {
            return RangeAnswer::Unsatisfiable;
        }
        RangeAnswer::Part { first, last: last.min(length - 1) }
    }
}

/// §13.1.5: the representation is the one the client has part of: the same strong tag, or exactly the same strong date.
fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(condition) = request.get(IF_RANGE) else {
        return true;
    };
    match EntityTag::parse(condition.as_bytes()).filter(EntityTag::is_well_formed) {
        Some(tag) => entity_tag(stored).is_some_and(|current| current.strong_eq(&tag)),
        None => same_strong_date(request, stored),
    }
}

/// §8.8.2.2: `Last-Modified` is strong when the response was made at least a second later.
fn same_strong_date(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let condition = field_date(request, &IF_RANGE, ANY_NOW);
    let modified = field_date(stored, &LAST_MODIFIED, ANY_NOW);
    let (Some(condition), Some(modified)) = (condition, modified) else {
        return false;
    };
    let strong = field_date(stored, &DATE, ANY_NOW).is_some_and(|date| date.since(modified) >= Duration::from_secs(1));
    strong && condition == modified
}

/// `Content-Range` of a 206 (RFC 9110 §14.4): `bytes first-last/length`.
pub fn content_range(first: u64, last: u64, length: u64) -> HeaderValue {
    value(&format!("bytes {first}-{last}/{length}"))
}

/// `Content-Range` of a 416 (RFC 9110 §14.4): `bytes */length`.
pub fn unsatisfied_range(length: u64) -> HeaderValue {
    value(&format!("bytes */{length}"))
}

fn value(text: &str) -> HeaderValue {
    // Digits and ASCII punctuation are always a field value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("bytes */*"))
}
