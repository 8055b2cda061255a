//! Keys that are more than a URL: `URL`, a line break, and what else picks the response. The origin sees the URL; a purge
//! of the URL finds all of them by a tag that no origin can give, since no field has a line break in it.

use bytes::Bytes;
use copal_semantics::{ByteRange, Span};
use http::{HeaderValue, Method};

/// What picks a stored response besides its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubKey {
    /// A run of bytes of it.
    Slice(Slice),
    /// A request's method and body.
    Body(KeyBody),
    /// Whose session it is, by a hash: the answer says the group of that visitor.
    Session,
}

/// A run of bytes of a representation, one of many of equal size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Bytes of each slice but the last.
    pub(crate) size: u64,
    /// Counted from zero.
    pub(crate) number: u64,
}

/// A body that is in the key: what the origin is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyBody {
    pub(crate) method: Method,
    pub(crate) body: Bytes,
}

impl Slice {
    /// What follows the URL in the key.
    pub(crate) fn suffix(self) -> String {
        format!("slice {} {}", self.size, self.number)
    }

    fn first(self) -> u64 {
        self.number.saturating_mul(self.size)
    }

    /// Its bytes in a representation that goes on behind it.
    fn span(self) -> Span {
        let first = self.first();
        Span { first, last: first.saturating_add(self.size.saturating_sub(1)) }
    }

    /// Its bytes in a representation of so many bytes; none where that ends before it.
    pub(crate) fn within(self, complete: u64) -> Option<Span> {
        let Span { first, last } = self.span();
        (first < complete).then(|| Span { first, last: last.min(complete - 1) })
    }

    /// What of these bytes of the whole, which begin in it, is in it; counted from its own first.
    pub(crate) fn window(self, wanted: Span) -> Span {
        let start = self.first();
        Span { first: wanted.first.saturating_sub(start), last: (wanted.last - start).min(self.size - 1) }
    }

    /// The `Range` that asks for it.
    pub(crate) fn range(self) -> Option<HeaderValue> {
        let Span { first, last } = self.span();
        HeaderValue::from_str(&format!("bytes={}", ByteRange::Between(first, last))).ok()
    }
}

/// The tag that every response under a sub-key of `url` (a URL as keyed) carries.
pub(crate) fn tag(url: &str) -> String {
    format!("\nof {url}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However a whole is cut, the windows of its slices make every span of it, in order.
        #[test]
        fn the_windows_of_slices_make_the_span(size in 1_u64..20, first in 0_u64..200, more in 0_u64..200) {
            let last = first + more;
            let (mut next, mut made) = (first, Vec::new());
            while next <= last {
                let slice = Slice { size, number: next / size };
                let window = slice.window(Span { first: next, last });
                prop_assert!(window.last < size);
                made.extend((window.first..=window.last).map(|at| slice.first() + at));
                next += window.length();
            }
            prop_assert_eq!(made, (first..=last).collect::<Vec<_>>());
        }
    }

    #[test]
    fn slices_lie_side_by_side_and_the_last_is_cut() {
        let of = |number| Slice { size: 10, number };
        assert_eq!(of(0).range().unwrap(), "bytes=0-9");
        assert_eq!(of(3).range().unwrap(), "bytes=30-39");
        assert_eq!(of(3).suffix(), "slice 10 3");
        for (number, complete, span) in [
            (0, 25, Some((0, 9))),
            (2, 25, Some((20, 24))),
            (2, 30, Some((20, 29))),
            (2, 20, None),
            (0, 0, None),
            (u64::MAX, 25, None),
            (u64::MAX, u64::MAX, None),
        ] {
            let expected = span.map(|(first, last)| Span { first, last });
            assert_eq!(of(number).within(complete), expected, "{number} of {complete}");
        }
    }
}
