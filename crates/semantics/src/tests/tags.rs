//! Tags in the fields of the CMSs.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::tags::{split_tags, tags};

fn of(name: &'static str, values: &[&[u8]]) -> Vec<String> {
    let name = HeaderName::from_static(name);
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(&name, HeaderValue::from_bytes(value).unwrap());
    }
    tags(&headers, &[name])
}

#[test]
fn separators_of_all_dialects() {
    for (name, values, expected) in [
        ("cache-tags", &["node:1 node_list  rendered"] as &[&str], &["node:1", "node_list", "rendered"] as &[&str]),
        ("x-magento-tags", &["cat_p_1,cat_p_2, cms_b"], &["cat_p_1", "cat_p_2", "cms_b"]),
        ("cache-tags", &["a|b||c|"], &["a", "b", "c"]),
        ("cache-tags", &["a\tb,\t|c"], &["a", "b", "c"]),
        ("surrogate-key", &["a b", "b c"], &["a", "b", "c"]),
        ("x-ids-involved", &["#6a1f#77b0#", "#77b0#x"], &["6a1f", "77b0", "x"]),
        ("cache-tags", &["#6a1f#77b0#"], &["#6a1f#77b0#"]),
        ("cache-tags", &["", " ", ", |"], &[]),
        ("cache-tags", &[], &[]),
        ("cache-tags", &["z a z A"], &["z", "a", "A"]),
    ] {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(of(name, &values), expected, "{name}: {values:?}");
    }
}

#[test]
fn text_beyond_ascii_is_a_tag_too_and_spoils_no_other() {
    assert_eq!(of("xkey", &["straße news".as_bytes()]), ["straße", "news"]);
    assert_eq!(of("xkey", &[b"caf\xe9 news"]), ["caf\u{fffd}", "news"]);
}

#[test]
fn several_fields_together_name_each_tag_once() {
    let names = ["xkey", "cache-tag", "surrogate-key"].map(HeaderName::from_static);
    let mut headers = HeaderMap::new();
    headers.insert("cache-tag", HeaderValue::from_static("a,b"));
    headers.insert("xkey", HeaderValue::from_static("b c"));
    headers.insert("other", HeaderValue::from_static("d"));
    assert_eq!(tags(&headers, &names), ["b", "c", "a"]);
}

#[test]
fn ten_thousand_tags() {
    let all: Vec<String> = (0..10_000).map(|number| format!("taxonomy_term:{number:010}")).collect();
    let text = all.join(" ");
    assert!(text.len() > 240 << 10);
    assert_eq!(of("cache-tags", &[text.as_bytes(), text.as_bytes()]), all);
    assert_eq!(split_tags(&text).count(), 10_000);
}
