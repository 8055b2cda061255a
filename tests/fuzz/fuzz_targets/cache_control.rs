//! `Cache-Control` of both sides, targeted fields and `Surrogate-Control`: one more line never loosens what the others forbid.
//!
//! Input: each line is a line of all of these fields.

#![no_main]

use std::time::Duration;

use copal_fuzz::fields;
use copal_semantics::{
    DEFAULT_ORDER, FieldList, RequestDirectives, ResponseDirectives, Source, SurrogateControl, effective_directives,
};
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, PRAGMA};
use libfuzzer_sys::fuzz_target;

/// RFC 9111 §1.2.2: no delta-seconds is read as more.
const LONGEST: Duration = Duration::from_secs(1 << 31);

fn copies(input: &[u8], name: &HeaderName) -> HeaderMap {
    fields(input, std::slice::from_ref(name))
}

/// Whether `lifetime` is not longer than `other`, where both are given, and given where that is.
fn not_longer(lifetime: Option<Duration>, other: Option<Duration>) -> bool {
    other.is_none_or(|other| lifetime.is_some_and(|lifetime| lifetime <= other))
}

fn check(directives: &ResponseDirectives) {
    let durations =
        [directives.max_age, directives.s_maxage, directives.stale_while_revalidate, directives.stale_if_error];
    assert!(durations.into_iter().flatten().all(|duration| duration <= LONGEST));
    for list in [&directives.no_cache, &directives.private] {
        if let FieldList::Fields(names) = list {
            assert!(!names.is_empty() && names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()), "{names:?}");
        }
    }
}

fn response(input: &[u8], shorter: &[u8]) {
    let all = ResponseDirectives::parse(&copies(input, &CACHE_CONTROL));
    let fewer = ResponseDirectives::parse(&copies(shorter, &CACHE_CONTROL));
    check(&all);
    assert!(not_longer(all.max_age, fewer.max_age) && not_longer(all.s_maxage, fewer.s_maxage));
    for (all, fewer) in [
        (all.no_store, fewer.no_store),
        (all.must_revalidate, fewer.must_revalidate),
        (all.proxy_revalidate, fewer.proxy_revalidate),
        (all.no_cache.is_present(), fewer.no_cache.is_present()),
        (all.private.is_present(), fewer.private.is_present()),
        (all.no_cache == FieldList::All, fewer.no_cache == FieldList::All),
        (all.private == FieldList::All, fewer.private == FieldList::All),
    ] {
        assert!(all || !fewer, "a line more takes a directive away");
    }
}

fn request(input: &[u8], shorter: &[u8]) {
    let all = RequestDirectives::parse(&copies(input, &CACHE_CONTROL));
    let fewer = RequestDirectives::parse(&copies(shorter, &CACHE_CONTROL));
    assert!(not_longer(all.max_age, fewer.max_age) && all.min_fresh >= fewer.min_fresh);
    assert!(all.no_cache >= fewer.no_cache && all.no_store >= fewer.no_store);
    assert!(all.only_if_cached >= fewer.only_if_cached);
    let pragma = RequestDirectives::parse(&copies(input, &PRAGMA));
    assert_eq!(pragma, RequestDirectives { no_cache: pragma.no_cache, ..RequestDirectives::default() });
}

fn targeted(input: &[u8]) {
    let plain = copies(input, &CACHE_CONTROL);
    assert_eq!(effective_directives(&plain, &DEFAULT_ORDER), (ResponseDirectives::parse(&plain), Source::CacheControl));
    for name in &DEFAULT_ORDER {
        let mut headers = copies(input, name);
        let (directives, source) = effective_directives(&headers, &DEFAULT_ORDER);
        check(&directives);
        assert_eq!(directives.targeted, source != Source::CacheControl);
        if source != Source::CacheControl {
            headers.extend(plain.clone());
            assert_eq!(effective_directives(&headers, &DEFAULT_ORDER), (directives, source), "Cache-Control is void");
        }
        assert_eq!(effective_directives(&headers, &[]).1, Source::CacheControl);
        if let Some(control) = SurrogateControl::parse(&headers) {
            let durations = [control.max_age, control.stale, control.stale_if_error];
            assert!(durations.into_iter().flatten().all(|duration| duration <= LONGEST));
            assert!(control.content.iter().all(|token| !token.is_empty() && !token.contains(' ')));
            assert!(!control.wants_esi() || !control.content.is_empty());
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let shorter = input.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |at| &input[..at]);
    response(input, shorter);
    request(input, shorter);
    targeted(input);
});
