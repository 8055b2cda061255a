//! Whether a response's head waits for its body, so that a body that breaks off can be asked for at another server.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::SizeHint;

/// How long a body of unknown length is awaited. One that is generated as it is read takes longer, and is not to be held up by
/// more than nobody notices.
const MOMENT: Duration = Duration::from_millis(20);
/// How many pieces a body of unknown length may come in: a piece of one byte takes as much room as one of a thousand.
const PIECES: usize = 256;

/// What of a body is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing.
    Nothing,
    /// All of it.
    Whole,
    /// All of it, if it comes at once.
    Moment(Ahead),
}

/// How far a body of unknown length is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
    pub(crate) pieces: usize,
}

impl Hold {
    /// What is awaited of a response with this head and a body of this length, where up to `limit` bytes may be.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, length: &SizeHint, limit: usize) -> Self {
        if limit == 0 || status.is_informational() || is_a_stream(headers) {
            return Self::Nothing;
        }
        match length.exact() {
            Some(0) => Self::Nothing,
            Some(length) if length <= limit as u64 => Self::Whole,
            Some(_) => Self::Nothing,
            None => Self::Moment(Ahead { time: MOMENT, bytes: limit, pieces: PIECES }),
        }
    }
}

/// Whether the response says that each piece of it counts as it comes: server-sent events, and what nginx's
/// `X-Accel-Buffering: no` has come to mean.
fn is_a_stream(headers: &HeaderMap) -> bool {
    let says = |name: &str, wanted: &str| {
        headers.get_all(name).iter().any(|value| {
            let value = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
            value.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
        })
    };
    says(CONTENT_TYPE.as_str(), "text/event-stream") || says("x-accel-buffering", "no")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn what_is_awaited() {
        let moment = Hold::Moment(Ahead { time: MOMENT, bytes: 100, pieces: PIECES });
        let none: &[(&str, &str)] = &[];
        for (status, lines, length, wanted) in [
            (200, none, Some(100), Hold::Whole),
            (200, none, Some(101), Hold::Nothing),
            (200, none, Some(0), Hold::Nothing),
            (200, none, None, moment),
            (404, none, Some(9), Hold::Whole),
            (206, none, Some(9), Hold::Whole),
            (101, none, None, Hold::Nothing),
            (200, &[("content-type", "text/html; charset=utf-8")], None, moment),
            (200, &[("content-type", "Text/Event-Stream")], None, Hold::Nothing),
            (200, &[("content-type", "text/event-stream;charset=utf-8")], None, Hold::Nothing),
            (200, &[("content-type", "text/event-stream")], Some(9), Hold::Nothing),
            (200, &[("content-type", "text/event-streams")], None, moment),
            (200, &[("x-accel-buffering", " No")], Some(9), Hold::Nothing),
            (200, &[("x-accel-buffering", "yes")], Some(9), Hold::Whole),
        ] {
            let headers =
                lines.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let length_known = length.map_or_else(SizeHint::new, SizeHint::with_exact);
            let held = |limit| {
                Hold::of(StatusCode::from_u16(status).unwrap(), &headers.clone().collect(), &length_known, limit)
            };
            assert_eq!(held(100), wanted, "{status} {lines:?} {length:?}");
            assert_eq!(held(0), Hold::Nothing);
        }
    }
}
