//! `No-Vary-Search`: the normal form of a query is final, and what makes no difference in a query makes none in it.
//!
//! Input: the field, a line break, then a query on each line.

#![no_main]

use copal_fuzz::first_line;
use copal_semantics::NoVarySearch;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

fn query(rule: &NoVarySearch, any_order: bool, query: &str) {
    let normal = rule.normalise(Some(query));
    let again = rule.normalise(normal.as_deref());
    assert_eq!(again, normal, "the normal form has a normal form");
    assert!(normal.as_deref() != Some(""));
    let padded = format!("&{query}&&");
    assert_eq!(rule.normalise(Some(&padded)), normal, "empty parameters count");
    let spaces = query.replace('+', "%20");
    assert_eq!(rule.normalise(Some(&spaces)), normal, "a space is a space");
    // With nothing in common, two parameters may come in any order.
    let twice = [format!("{query}&\u{1}a=1&\u{1}b=2"), format!("\u{1}b=2&{query}&\u{1}a=1")];
    if any_order && !query.contains(['\u{1}', '%']) {
        assert_eq!(rule.normalise(Some(&twice[0])), rule.normalise(Some(&twice[1])), "the order counts");
    }
}

fuzz_target!(|input: &[u8]| {
    let (field, queries) = first_line(input);
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers: HeaderMap = [(NO_VARY_SEARCH, value)].into_iter().collect();
    let Some(rule) = NoVarySearch::parse(&headers) else { return };
    assert_eq!(rule.normalise(None), None);
    let any_order = rule.normalise(Some("b&a")) == rule.normalise(Some("a&b"));
    for line in String::from_utf8_lossy(queries).lines() {
        query(&rule, any_order && rule.normalise(Some("\u{1}a&\u{1}b")) == rule.normalise(Some("\u{1}b&\u{1}a")), line);
    }
});
