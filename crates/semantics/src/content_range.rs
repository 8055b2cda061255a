//! `Content-Range`: which bytes a 206 brings (RFC 9110 §14.4, §15.3.7).

use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::list::number;
use crate::range::{ByteRange, Span};

/// What the `Content-Range` of a 206 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentRange {
    /// The bytes that are enclosed.
    pub span: Span,
    /// The length of the whole representation; none where it is not known (`*`).
    pub complete: Option<u64>,
}

/// Which bytes of a representation a 206 has brought, once all of its content is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Brought {
    /// The bytes.
    pub span: Span,
    /// The length of the whole representation, where it is known.
    pub complete: Option<u64>,
    /// Whether the content was as long as `Content-Range` said. When not, nothing may be put together with it.
    pub consistent: bool,
}

impl ContentRange {
    /// The range of the one part that a 206 encloses. None where there is none that can be relied on: no `Content-Range`, several,
    /// another unit, a malformed one; and `multipart/byteranges`.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        if is_multipart(headers) { None } else { Self::parse(line.as_bytes()) }
    }

    /// `bytes first-last/complete`, or `bytes first-last/*` (§14.4).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (unit, rest) = value.split_at(space);
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let (dash, slash) = (rest.iter().position(|byte| *byte == b'-')?, rest.iter().position(|byte| *byte == b'/')?);
        let (first, last) = (position(&rest[..dash])?, position(rest.get(dash + 1..slash)?)?);
        let complete = match &rest[slash + 1..] {
            b"*" => None,
            complete => Some(position(complete)?),
        };
        // §14.4: such a Content-Range is invalid, and its recipient must not combine the content with anything.
        if first > last || complete.is_some_and(|complete| complete <= last) {
            return None;
        }
        Some(Self { span: Span { first, last }, complete })
    }

    /// What a 206 has brought whose content turned out to be `length` bytes, where `asked` was the range of the request.
    ///
    /// None when it is empty or longer than said. When it is shorter although its framing is whole, it is believed to begin where it
    /// says, and where the range was to reach the end, to end there.
    pub fn brought(&self, length: u64, asked: ByteRange) -> Option<Brought> {
        let first = self.span.first;
        if length == self.span.length() {
            return Some(Brought { span: self.span, complete: self.complete, consistent: true });
        }
        if length == 0 || length > self.span.length() {
            return None;
        }
        let last = first + (length - 1);
        let to_the_end = matches!(asked, ByteRange::From(_) | ByteRange::Suffix(_));
        Some(Brought { span: Span { first, last }, complete: to_the_end.then_some(last + 1), consistent: false })
    }

    /// As a field value.
    pub fn to_value(&self) -> HeaderValue {
        let Span { first, last } = self.span;
        match self.complete {
            Some(complete) => content_range(first, last, complete),
            None => value(&format!("bytes {first}-{last}/*")),
        }
    }
}

/// A position that is exact: `number` saturates.
fn position(text: &[u8]) -> Option<u64> {
    number(text).filter(|position| *position != u64::MAX)
}

fn is_multipart(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|media| {
        let media = media.as_bytes().trim_ascii_start();
        media.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
    })
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
