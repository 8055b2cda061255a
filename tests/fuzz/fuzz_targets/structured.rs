//! Lists of structured fields: groups are read as they are written, and what Copal appends to a list does not depend on what stands there.
//!
//! Input: lines in turn for `Cache-Groups`, `Cache-Group-Invalidation` and `CDN-Loop`; each is also a name and a detail of our own.

#![no_main]

use copal_fuzz::fields;
use copal_semantics::{
    CacheStatus, ProxyError, ProxyStatus, append_cdn_loop, cache_group_invalidation, cache_groups, cdn_loop,
};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn groups(groups: &[String]) {
    assert!(groups.len() <= 64);
    assert!(groups.iter().all(|group| group.bytes().all(|byte| matches!(byte, b' '..=b'~'))), "{groups:?}");
    let mut written = HeaderMap::new();
    for group in groups {
        written.append(CACHE_GROUPS, HeaderValue::from_str(&quoted(group)).expect("visible ASCII"));
    }
    assert_eq!(cache_groups(&written), groups, "each once, in their order");
}

/// Written as a list of one string, a name is read as that name, less what a string cannot hold.
fn own(line: &str) {
    let held: String = line.chars().filter(|character| matches!(character, ' '..='~')).collect();
    let status = CacheStatus { hit: true, detail: Some(line), fwd: Some(line), ..CacheStatus::default() };
    let error = ProxyStatus { error: Some(ProxyError::DnsError), details: Some(line), ..ProxyStatus::default() };
    let name = format!("{line} a");
    for value in [status.to_value(&name), error.to_value(&name)] {
        // Its name is no token, so it is a list of one string with parameters, which are ignored.
        let message: HeaderMap = [(CACHE_GROUPS, value)].into_iter().collect();
        assert_eq!(cache_groups(&message), [format!("{held} a")], "{message:?}");
    }
}

fuzz_target!(|input: &[u8]| {
    let headers = fields(input, &[CACHE_GROUPS, CACHE_GROUP_INVALIDATION, CDN_LOOP]);
    groups(&cache_groups(&headers));
    groups(&cache_group_invalidation(&headers));
    for line in String::from_utf8_lossy(input).lines() {
        own(line);
        let held: String = line.chars().filter(|character| matches!(character, ' '..='~')).collect();
        let mut passed = headers.clone();
        append_cdn_loop(&mut passed, line);
        assert!(cdn_loop(&passed, &held), "an instance finds itself");
        assert!(!cdn_loop(&HeaderMap::new(), line));
    }
});
