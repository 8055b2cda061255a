//! `multipart/byteranges` on its way to a client (RFC 9110 §14.6): frames around slices of a body, which is not copied.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use bytes::Bytes;
use copal_semantics::{ByteRanges, Span};
use copal_store::{FillReader, StoredResponse, slices};
use http::{HeaderMap, header};

use crate::body::{Body, Window};
use crate::sliced::Layout;

/// Several parts of a representation, with what stands around them.
pub(crate) struct Multipart {
    frame: ByteRanges,
    spans: Vec<Span>,
}

impl Multipart {
    /// These parts of a representation of `complete` bytes with these fields.
    pub(crate) fn new(spans: &[Span], complete: u64, representation: &HeaderMap) -> Self {
        let media_type = representation.get(header::CONTENT_TYPE);
        Self { frame: ByteRanges::new(&boundary(), spans, complete, media_type), spans: spans.to_vec() }
    }

    /// Says so in a head.
    pub(crate) fn announce(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, self.frame.content_type.clone());
    }

    /// Of a body that is put together from slices.
    pub(crate) fn layout(self) -> Layout {
        let parts = self.frame.heads.into_iter().map(Bytes::from).zip(self.spans).collect();
        Layout { parts, tail: Bytes::from(self.frame.tail), length: self.frame.length }
    }

    /// Of a whole stored body.
    pub(crate) fn stored(self, response: &StoredResponse) -> Body {
        let mut parts = VecDeque::new();
        for (head, span) in self.frame.heads.into_iter().zip(self.spans) {
            parts.push_back(Bytes::from(head));
            parts.extend(slices(&response.body.pieces, span.first, span.length()));
        }
        parts.push_back(Bytes::from(self.frame.tail));
        Body::parts(parts)
    }

    /// Of a body that is being filled; the parts ascend.
    pub(crate) fn growing(self, reader: FillReader) -> Body {
        let heads = self.frame.heads.into_iter().map(Bytes::from);
        let windows = heads.zip(self.spans).map(|(lead, span)| Window::new(lead, span)).collect();
        Body::growing_parts(reader, windows, Bytes::from(self.frame.tail), self.frame.length)
    }
}

/// Text that stands in no body but by a chance of one in 2^128 at each place: nobody who makes a body can foresee it, as
/// the hashes are keyed with secrets of this process and no two alike.
fn boundary() -> String {
    let secret = || RandomState::new().build_hasher().finish();
    format!("copal{:016x}{:016x}", secret(), secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_long_and_never_the_same() {
        let many: std::collections::HashSet<_> = (0..1000).map(|_| boundary()).collect();
        assert_eq!(many.len(), 1000);
        assert!(many.iter().all(|it| it.len() == 37 && it.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }
}
