//! `Vary` and the fields it names: comparable forms are final, and the two readings of `Accept-Encoding` agree.
//!
//! Input: lines in turn for `Vary`, `Accept-Encoding`, `Accept-Language` and `Content-Encoding`.

#![no_main]

use copal_fuzz::fields;
use copal_semantics::{Vary, accept_encoding, coding_acceptable, normalise_field};
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, HeaderMap, VARY};
use libfuzzer_sys::fuzz_target;

fn names(headers: &HeaderMap) {
    let vary = Vary::parse(headers);
    let with = vary.clone().with(ACCEPT_ENCODING);
    assert!(with.names().contains(&ACCEPT_ENCODING) && with.is_star() == vary.is_star());
    assert_eq!(with.clone().with(ACCEPT_ENCODING), with);
    for vary in [&vary, &with] {
        assert!(vary.names().windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()), "{vary:?}");
    }
}

fn encodings(headers: &HeaderMap) {
    let canonical = accept_encoding(headers);
    let text = canonical.as_ref().map_or("", |value| value.to_str().unwrap_or("not text"));
    assert_eq!(normalise_field(&ACCEPT_ENCODING, headers.get_all(ACCEPT_ENCODING).iter()), text);
    assert_eq!(normalise_field(&ACCEPT_ENCODING, canonical.iter()), text, "the origin would see another variant");
    if headers.contains_key(ACCEPT_ENCODING) {
        for coding in ["br", "deflate", "gzip", "zstd"] {
            let asked_for = text.split(", ").any(|word| word == coding);
            assert_eq!(coding_acceptable(&HeaderValue::from_static(coding), headers), asked_for, "{coding}");
        }
    }
    for content in headers.get_all(CONTENT_ENCODING) {
        let acceptable = coding_acceptable(content, headers);
        assert!(acceptable || headers.contains_key(ACCEPT_ENCODING));
    }
}

/// The form of a single line is its own form; without quoted strings, only the white space around its commas goes.
fn comparable(headers: &HeaderMap) {
    for value in headers.get_all(ACCEPT_LANGUAGE) {
        let once = normalise_field(&ACCEPT_LANGUAGE, std::iter::once(value));
        let bytes: Option<Vec<u8>> = once.chars().map(|character| u8::try_from(character).ok()).collect();
        let Some(Ok(again)) = bytes.as_deref().map(HeaderValue::from_bytes) else {
            assert_eq!(once, "\0", "only an empty field is no field value");
            continue;
        };
        assert_eq!(normalise_field(&ACCEPT_LANGUAGE, std::iter::once(&again)), once);
        if !value.as_bytes().contains(&b'"') {
            let members: Vec<_> = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
            assert_eq!(again.as_bytes(), members.join(&b','));
        }
    }
    normalise_field(&ACCEPT_LANGUAGE, headers.get_all(ACCEPT_LANGUAGE).iter());
}

fuzz_target!(|input: &[u8]| {
    let headers = fields(input, &[VARY, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING]);
    names(&headers);
    encodings(&headers);
    comparable(&headers);
});
