//! A record for the tests of this folder.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use copal_proxy::{Clock, Reason, Record, RequestText};
use http::{Method, StatusCode, Version};

/// A hit of 1994, the year of RFC 9110's example dates.
pub(crate) fn record() -> Record {
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_123);
    Record {
        started: Clock::manual(Arc::new(move || started)).now(),
        duration: Duration::from_micros(1_500),
        peer: ([192, 0, 2, 7], 40_000).into(),
        method: Method::GET,
        text: RequestText::new(&["/news?page=2"], [Some(b"example.org"), None, Some(b"curl/8")]),
        version: Version::HTTP_11,
        status: StatusCode::OK,
        bytes: 5_120,
        reason: Reason::Hit,
        rule: "pages".into(),
        fragments: 2,
        complete: true,
        request_id: None,
    }
}
