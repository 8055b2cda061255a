//! `Link` for early hints, `TE` and `Trailer`: what is given out reads the same again, and is part of what came.
//!
//! Input: lines in turn for `Link`, `Trailer` and `TE`.

#![no_main]

use copal_fuzz::fields;
use copal_semantics::{announce_trailers, early_links, takes_trailers};
use http::header::{HeaderMap, HeaderName, LINK, TE, TRAILER};
use libfuzzer_sys::fuzz_target;

fn links(headers: &HeaderMap) {
    let Some(links) = early_links(headers) else { return };
    assert!(links.as_bytes().starts_with(b"<") && links.len() <= 4096);
    let again = HeaderMap::from_iter([(LINK, links.clone())]);
    assert_eq!(early_links(&again), Some(links), "what is given out reads otherwise");
}

fn trailers(headers: &HeaderMap) {
    takes_trailers(headers);
    let withheld = HeaderName::from_static("x-forwarded-host");
    let mut once = headers.clone();
    announce_trailers(&mut once, |name| *name != withheld);
    let mut again = once.clone();
    announce_trailers(&mut again, |_| true);
    assert_eq!(once, again);
    for line in once.get_all(TRAILER) {
        for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let name = HeaderName::from_bytes(name).expect("only names are announced");
            assert!(name != withheld && name != TE && name != http::header::CONNECTION);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let headers = fields(input, &[LINK, TRAILER, TE]);
    links(&headers);
    trailers(&headers);
});
