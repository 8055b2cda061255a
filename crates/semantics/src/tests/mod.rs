//! Table tests named by clause, and property tests for every parser.

mod accept_language;
mod age;
mod cache_groups;
mod cache_status;
mod conditional;
mod directives;
mod fields;
mod freshness;
mod head_says;
mod lifetime;
mod link;
mod no_vary_search;
mod partial;
mod properties;
mod proxy_status;
mod range;
mod reuse_properties;
mod storability;
mod structured;
mod tags;
mod target;
mod targeted;
mod time;
mod trailer;
mod vary;

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::Timestamp;

/// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7.
const NOVEMBER_1994: Timestamp = Timestamp::from_secs(784_111_777);

/// A moment in 2025, for tests that need a present.
const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);

/// A header section; several lines of one name are kept apart.
fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// All lines of a field, joined for comparison.
fn lines(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    values.join(" | ")
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A moment so many seconds after `NOW`.
fn after(seconds: u64) -> Timestamp {
    NOW.plus(secs(seconds))
}

/// The HTTP-date of a moment as text.
fn date(time: Timestamp) -> String {
    time.http_date().to_str().unwrap().to_owned()
}
