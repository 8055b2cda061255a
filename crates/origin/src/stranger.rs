//! What to say of a server that has never answered in HTTP: it may speak something else, or expect to be told something first.

use crate::error::{Kind, OriginError};

/// The error of an exchange with it, with advice for the operator. `input` is what came and could not be read; `question` is what to
/// ask where that tells nothing.
pub(crate) fn advised(error: OriginError, input: &[u8], question: Option<&str>) -> OriginError {
    let question =
        question.filter(|_| matches!(error.kind(), Kind::Closed | Kind::Protocol) && !input.starts_with(b"HTTP"));
    match looks_like(input).or(question) {
        Some(advice) => error.advised(advice),
        None => error,
    }
}

/// What bytes are that are no HTTP/1.1.
fn looks_like(input: &[u8]) -> Option<&'static str> {
    match input {
        // A record: its type, and the first half of a version that never changes (RFC 8446 §5.1).
        [0x14..=0x17, 3, ..] => Some("what came is TLS; write `https://`"),
        // A frame of settings, on stream 0: the first of a server (RFC 9113 §3.4, §4.1).
        [_, _, _, 4, _, 0, 0, 0, 0, ..] => Some("what came is HTTP/2; write `protocol: http2`"),
        _ => None,
    }
}
