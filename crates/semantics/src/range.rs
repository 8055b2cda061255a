//! Range requests: what is asked, and what of a whole stored response answers it (RFC 9110 §13.1.5, §14).

use std::fmt;
use std::time::Duration;

use http::header::{DATE, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{Method, StatusCode};

use crate::conditional::{ANY_NOW, entity_tag};
pub use crate::content_range::{content_range, unsatisfied_range};
use crate::entity_tag::EntityTag;
use crate::lifetime::field_date;
use crate::list::number;

/// Range specs in one field beyond which it is ignored: that many are no honest request (§17.15).
const MOST_ASKED: usize = 64;

/// Parts of one answer beyond which the whole is given, which then is no more to send.
const MOST_PARTS: usize = 16;

/// A run of bytes of a representation, from `first` to `last`, both counted from zero and included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub first: u64,
    /// The last byte; never before the first.
    pub last: u64,
}

impl Span {
    /// How many bytes; `u64::MAX` stands for one more as well.
    pub fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether the two overlap, or follow each other without a gap.
    pub fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }

    /// The least that holds both.
    pub fn union(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// What of a representation answers a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// Two to sixteen parts that do not touch, in the order asked, with 206 and `multipart/byteranges` (§15.3.7.2).
    Parts(Vec<Span>),
    /// None, with 416.
    Unsatisfiable,
}

/// Applies `Range` and `If-Range` to a stored response of `length` bytes (RFC 9110 §14.2).
///
/// Ranges that overlap or touch are made one (§15.3.7.2). Other units, malformed ones, and more ranges than any honest
/// request has get the whole, as a server may. `If-Range` compares strongly.
pub fn range(method: &Method, request: &HeaderMap, status: StatusCode, stored: &HeaderMap, length: u64) -> RangeAnswer {
    // §14.2: Range is defined for GET only.
    if method != Method::GET || status != StatusCode::OK {
        return RangeAnswer::Whole;
    }
    match byte_ranges(request) {
        Some(ranges) if if_range_holds(request, stored) => within(&ranges, length),
        _ => RangeAnswer::Whole,
    }
}

/// A range-spec of the unit `bytes` (§14.1.2); as text without the unit (`0-499`, `500-`, `-500`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteRange {
    /// From this byte to the end.
    From(u64),
    /// From the first to the last byte, both included; the first is not beyond the last.
    Between(u64, u64),
    /// This many bytes at the end.
    Suffix(u64),
}

/// The ranges of `bytes=…`, in the order asked and at least one; `None` without `Range` and where it is to be ignored: malformed,
/// of another unit, in several lines, or of too many ranges (§14.2).
pub fn byte_ranges(request: &HeaderMap) -> Option<Vec<ByteRange>> {
    let mut lines = request.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let value = line.as_bytes().trim_ascii();
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = value.split_at(equals);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut ranges = Vec::new();
    for spec in set[1..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()) {
        if ranges.len() == MOST_ASKED {
            return None;
        }
        ranges.push(ByteRange::parse(spec)?);
    }
    (!ranges.is_empty()).then_some(ranges)
}

impl ByteRange {
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, _) => number(last).map(Self::Suffix),
            (false, true) => number(first).map(Self::From),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                // §14.1.1: a last position before the first makes the range invalid, and an invalid Range is ignored.
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// §14.1.2: cut to a representation of `length` bytes; none when nothing is left.
    pub fn within(self, length: u64) -> Option<Span> {
        let (first, last) = match self {
            Self::Suffix(0) => return None,
            Self::Suffix(suffix) => (length.saturating_sub(suffix), u64::MAX),
            Self::From(first) => (first, u64::MAX),
            Self::Between(first, last) => (first, last),
        };
        (first < length).then(|| Span { first, last: last.min(length - 1) })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first) => write!(f, "{first}-"),
            Self::Between(first, last) => write!(f, "{first}-{last}"),
            Self::Suffix(suffix) => write!(f, "-{suffix}"),
        }
    }
}

/// What of `length` bytes answers these ranges.
fn within(ranges: &[ByteRange], length: u64) -> RangeAnswer {
    // A suffix of nothing is satisfiable, but no Content-Range can say so.
    if length == 0 && ranges.iter().any(|range| matches!(range, ByteRange::Suffix(suffix) if *suffix > 0)) {
        return RangeAnswer::Whole;
    }
    let spans = coalesced(ranges.iter().filter_map(|range| range.within(length)));
    match *spans {
        [] => RangeAnswer::Unsatisfiable,
        [Span { first, last }] => RangeAnswer::Part { first, last },
        _ if spans.len() > MOST_PARTS => RangeAnswer::Whole,
        _ => RangeAnswer::Parts(spans),
    }
}

/// The spans with those that touch made one, each at the place of its first.
fn coalesced(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut apart: Vec<Span> = Vec::new();
    for mut span in spans {
        let mut place = apart.len();
        while let Some(at) = apart.iter().position(|other| other.touches(span)) {
            span = span.union(apart.remove(at));
            place = place.min(at);
        }
        apart.insert(place, span);
    }
    apart
}

/// §13.1.5: without `If-Range`, or when the stored response is what the client has part of: the same strong tag, or exactly the
/// same strong date.
pub fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
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
