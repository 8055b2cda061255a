//! Every octet of a `Cookie` field that may belong to a cookie does, and what is sent on reads the same again.
//!
//! Input: each line is a `Cookie` field line.

#![no_main]

use copal_fuzz::fields;
use copal_policy::Cookies;
use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};
use libfuzzer_sys::fuzz_target;

/// The octets that are not around or between cookies.
fn octets<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    texts.flatten().copied().filter(|byte| *byte != b';' && !byte.is_ascii_whitespace()).collect()
}

fuzz_target!(|input: &[u8]| {
    let headers = fields(input, &[COOKIE]);
    let cookies = Cookies::parse(&headers);
    assert_eq!(cookies.iter().count(), cookies.len());
    assert_eq!(cookies.is_empty(), cookies.iter().next().is_none());
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    assert_eq!(octets(cookies.iter().map(|cookie| cookie.pair)), octets(lines), "an octet is lost");
    for cookie in cookies.iter() {
        assert!(!cookie.pair.is_empty() && !cookie.pair.contains(&b';'));
        assert!(cookie.pair.ends_with(cookie.value) && !cookie.name.contains('='));
        let first = cookies.iter().find(|other| other.name == cookie.name);
        assert_eq!(cookies.get(cookie.name), first, "the first of a name counts");
    }

    let pairs: Vec<&[u8]> = cookies.iter().map(|cookie| cookie.pair).collect();
    if let Ok(value) = HeaderValue::from_bytes(&pairs.join(&b"; "[..])) {
        let headers = HeaderMap::from_iter([(COOKIE, value)]);
        assert!(Cookies::parse(&headers).iter().eq(cookies.iter()), "sent on, they are other cookies");
    } else {
        panic!("what came in as a field value cannot go out as one");
    }
});
