//! How old a response is on arrival (RFC 9111 §4.2.3, §5.1).

use std::time::Duration;

use http::header::{AGE, DATE, HeaderMap, HeaderValue};

use crate::lifetime::field_date;
use crate::list::delta_seconds;
use crate::time::Timestamp;

/// The age of a response at the moment it was received: `corrected_initial_age` of RFC 9111 §4.2.3.
///
/// `request_time` is when the request was sent, `response_time` when the response head came. The apparent age is counted in whole
/// seconds because `Date` has no finer ones: else every response would be up to a second old on arrival. Of an `Age` that cannot
/// be believed the largest number counts; [`crate::lifetime()`] makes such a response stale.
pub fn initial_age(headers: &HeaderMap, request_time: Timestamp, response_time: Timestamp) -> Duration {
    let received = Timestamp::from_secs(response_time.as_secs());
    let apparent_age = field_date(headers, &DATE, response_time).map_or(Duration::ZERO, |date| received.since(date));
    let response_delay = response_time.since(request_time);
    let corrected_age = stated_age(headers).value.saturating_add(response_delay);
    apparent_age.max(corrected_age)
}

/// The `Age` of a response as it states it, and whether that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatedAge {
    /// Zero where there is none; where it cannot be believed, the largest number in it.
    pub(crate) value: Duration,
    pub(crate) believed: bool,
}

/// §5.1 lets a cache take the first member of a list and ignore what is no number. Yet two `Age` lines, or two that somebody on the
/// way made one line of (RFC 9110 §5.3: comma and space), are the work of two caches that do not know of each other, and a number that
/// cannot be read may stand for any age: such a response is not reused, which a cache is always free to do.
pub(crate) fn stated_age(headers: &HeaderMap) -> StatedAge {
    let mut lines = headers.get_all(AGE).iter().map(HeaderValue::as_bytes);
    let Some(line) = lines.next() else {
        return StatedAge { value: Duration::ZERO, believed: true };
    };
    let first = line.split(|&byte| byte == b',').next().unwrap_or_default();
    match delta_seconds(first.trim_ascii()) {
        Some(value) if lines.next().is_none() && !is_combined(line) => StatedAge { value, believed: true },
        _ => StatedAge { value: largest(headers), believed: false },
    }
}

/// Whether some comma has whitespace after it: the mark of lines that were combined.
fn is_combined(line: &[u8]) -> bool {
    line.windows(2).any(|pair| pair[0] == b',' && pair[1].is_ascii_whitespace())
}

fn largest(headers: &HeaderMap) -> Duration {
    let members = headers.get_all(AGE).iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    members.filter_map(|member| delta_seconds(member.trim_ascii())).max().unwrap_or_default()
}
