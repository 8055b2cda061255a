//! Fields such as `X-Accel-Expires`, in which an application tells the cache in front of it a lifetime.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName};

use crate::list::{LONGEST, delta_seconds, number};
use crate::time::Timestamp;

/// What such a field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TtlHeader {
    /// `0`: the response must not be stored.
    Forbidden,
    /// Fresh for this long from its arrival.
    For(Duration),
}

/// What the first of these fields that can be read says: a number of seconds from arrival, `@` and seconds since 1970, or `0`.
///
/// Of several lines the shortest counts. What is neither form is ignored.
pub(crate) fn ttl_header(headers: &HeaderMap, names: &[HeaderName], response_time: Timestamp) -> Option<TtlHeader> {
    names.iter().find_map(|name| {
        let lines = headers.get_all(name).iter().filter_map(|line| one(line.as_bytes(), response_time));
        lines.reduce(shorter)
    })
}

fn one(value: &[u8], response_time: Timestamp) -> Option<TtlHeader> {
    let value = value.trim_ascii();
    if let Some(moment) = value.strip_prefix(b"@") {
        let until = Timestamp::from_secs(number(moment)?);
        return Some(TtlHeader::For(until.since(response_time).min(LONGEST)));
    }
    let seconds = delta_seconds(value)?;
    Some(if seconds.is_zero() { TtlHeader::Forbidden } else { TtlHeader::For(seconds) })
}

fn shorter(one: TtlHeader, other: TtlHeader) -> TtlHeader {
    match (one, other) {
        (TtlHeader::For(one), TtlHeader::For(other)) => TtlHeader::For(one.min(other)),
        _ => TtlHeader::Forbidden,
    }
}
