//! `Vary` and the fields it names: comparable forms are final, the readings of `Accept-Encoding` agree, and one language at most is preferred.
//!
//! Input: lines in turn for `Vary`, `Accept-Encoding`, `Accept-Language` and `Content-Encoding`.

#![no_main]

use copal_fuzz::fields;
use copal_semantics::{
    Vary, accept_encoding, accept_language, coding_acceptable, coding_preference, language_preferred, normalise_field,
};
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, VARY};
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
        // What is chosen from the store can be read by the client.
        assert!(acceptable || coding_preference(Some(content), headers).is_none(), "{content:?}");
    }
}

/// The form of a single line is its own form; without quoted strings, only the white space around its commas goes.
fn comparable(headers: &HeaderMap) {
    const ANY: HeaderName = HeaderName::from_static("x-any");
    for value in headers.get_all(ACCEPT_LANGUAGE) {
        let once = normalise_field(&ANY, std::iter::once(value));
        let bytes: Option<Vec<u8>> = once.chars().map(|character| u8::try_from(character).ok()).collect();
        let Some(Ok(again)) = bytes.as_deref().map(HeaderValue::from_bytes) else {
            assert_eq!(once, "\0", "only an empty field is no field value");
            continue;
        };
        assert_eq!(normalise_field(&ANY, std::iter::once(&again)), once);
        if !value.as_bytes().contains(&b'"') {
            let members: Vec<_> = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
            assert_eq!(again.as_bytes(), members.join(&b','));
        }
    }
    normalise_field(&ANY, headers.get_all(ACCEPT_LANGUAGE).iter());
}

/// What the origin sees is what picks the variant, and it is final.
fn languages(headers: &HeaderMap) {
    let lines = || headers.get_all(ACCEPT_LANGUAGE).iter();
    let once = normalise_field(&ACCEPT_LANGUAGE, lines());
    if let Some(sent) = accept_language(headers) {
        assert_eq!(sent, once.as_str());
        assert_eq!(normalise_field(&ACCEPT_LANGUAGE, std::iter::once(&sent)), once);
        let ranges = once.split(',').map(|range| range.split(';').next().unwrap_or_default());
        let preferred: Vec<_> = ranges.filter(|range| language_preferred(range, headers)).collect();
        assert!(
            preferred.len() <= 1 && preferred.iter().all(|range| once.starts_with(range)),
            "{preferred:?} of {once}"
        );
    }
}

fuzz_target!(|input: &[u8]| {
    let headers = fields(input, &[VARY, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING]);
    names(&headers);
    encodings(&headers);
    comparable(&headers);
    languages(&headers);
});
