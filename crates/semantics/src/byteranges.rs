//! `multipart/byteranges`: several parts of a representation in one response (RFC 9110 §14.6, §15.3.7.2).

use http::header::HeaderValue;

use crate::content_range::content_range;
use crate::range::Span;

/// The frame of a `multipart/byteranges` body: what stands before each part, and what after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteRanges {
    /// The response's `Content-Type`, which names the boundary.
    pub content_type: HeaderValue,
    /// What goes before the bytes of each part, in the order of the parts.
    pub heads: Vec<Vec<u8>>,
    /// What goes after the bytes of the last.
    pub tail: Vec<u8>,
    /// Bytes of the whole body, parts included.
    pub length: u64,
}

impl ByteRanges {
    /// The frame for these parts of a representation of `complete` bytes. `boundary` is of letters and digits, at most 70, and such
    /// that nobody who makes a representation can foresee it.
    pub fn new(boundary: &str, parts: &[Span], complete: u64, media_type: Option<&HeaderValue>) -> Self {
        let heads: Vec<Vec<u8>> = parts
            .iter()
            .enumerate()
            .map(|(number, part)| {
                let mut head = Vec::with_capacity(160);
                // The line break before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
                head.extend_from_slice(if number == 0 { b"--" } else { b"\r\n--" });
                head.extend_from_slice(boundary.as_bytes());
                if let Some(media_type) = media_type {
                    head.extend_from_slice(b"\r\nContent-Type: ");
                    head.extend_from_slice(media_type.as_bytes());
                }
                head.extend_from_slice(b"\r\nContent-Range: ");
                head.extend_from_slice(content_range(part.first, part.last, complete).as_bytes());
                head.extend_from_slice(b"\r\n\r\n");
                head
            })
            .collect();
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        let frame = heads.iter().map(Vec::len).sum::<usize>() + tail.len();
        let length = parts.iter().fold(frame as u64, |sum, part| sum.saturating_add(part.length()));
        let content_type = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}"))
            .unwrap_or(HeaderValue::from_static("multipart/byteranges"));
        Self { content_type, heads, tail, length }
    }
}
