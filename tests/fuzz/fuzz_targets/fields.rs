//! Fields of the path and of framing: `Via`, `CDN-Loop`, `Content-Length`, `Connection`, `Age`, `Trailer`, `Content-Location`.
//!
//! Input: lines in turn for those fields.

#![no_main]

use std::time::Duration;

use copal_fuzz::fields;
use copal_semantics::{
    Timestamp, announce_trailers, append_cdn_loop, append_via, cdn_loop, content_length, initial_age, normalise,
    remove_hop_by_hop, resolve, via_loop,
};
use http::header::{AGE, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, HeaderMap, HeaderName, TRAILER, VIA};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);

fuzz_target!(|data: &[u8]| {
    let names = [VIA, HeaderName::from_static("cdn-loop"), CONTENT_LENGTH, CONNECTION, AGE, TRAILER, CONTENT_LOCATION];
    let headers: HeaderMap = fields(data, &names);

    // What we append is found again, whatever stands before it.
    let mut forwarded = headers.clone();
    append_via(&mut forwarded, "1.1", "copal-1a2b");
    append_cdn_loop(&mut forwarded, "1a2b");
    assert!(via_loop(&forwarded, "copal-1a2b") && cdn_loop(&forwarded, "1a2b"));

    // A length is one number, and every line says it.
    if let Some(length) = content_length(&headers) {
        for line in headers.get_all(CONTENT_LENGTH) {
            let members = line.to_str().unwrap_or_default().split(',');
            assert!(members.map(str::trim).all(|member| member.parse() == Ok(length)));
        }
    }

    // An age is never negative, and never younger than the exchange took.
    let sent = Timestamp::from_secs(NOW.as_secs() - 2);
    assert!(initial_age(&headers, sent, NOW) >= Duration::from_secs(2));

    let mut kept = headers.clone();
    remove_hop_by_hop(&mut kept);
    assert!(!kept.contains_key(CONNECTION));
    announce_trailers(&mut kept, |_| false);
    assert!(!kept.contains_key(TRAILER));

    if let Some(reference) = headers.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok())
        && let Ok(base) = normalise(false, "example.org", "/a/b?c")
        && let Ok(target) = resolve(&base, reference)
    {
        assert_eq!(resolve(&base, &target.url()).as_ref(), Ok(&target), "the normal form is its own");
    }
});
