use super::headers;
use crate::cache_groups::{cache_group_invalidation, cache_groups};

#[test]
fn rfc9875_s2_groups_are_a_list_of_strings() {
    for (value, expected) in [
        ("\"eurovision-results\", \"all\"", &["eurovision-results", "all"][..]),
        ("\"a\", \"a\"", &["a"]),
        ("\"A\", \"a\"", &["A", "a"]),
        ("\"a, b\"", &["a, b"]),
        ("\"a\";x=1, \"b\";y", &["a", "b"]),
        ("\"\"", &[""]),
        ("\"a \\\"b\\\"\"", &["a \"b\""]),
        // Tokens and all else are no strings.
        ("a", &[]),
        ("\"a\", b", &[]),
        ("(\"a\")", &[]),
        ("\"a\",", &[]),
        ("\"a", &[]),
        ("", &[]),
    ] {
        let message = headers(&[("cache-groups", value), ("cache-group-invalidation", "\"other\"")]);
        assert_eq!(cache_groups(&message), expected, "{value}");
        let message = headers(&[("cache-groups", "\"other\""), ("cache-group-invalidation", value)]);
        assert_eq!(cache_group_invalidation(&message), expected, "{value}");
    }
    assert!(cache_groups(&headers(&[])).is_empty());
    assert_eq!(cache_groups(&headers(&[("cache-groups", "\"a\""), ("cache-groups", "\"b\"")])), ["a", "b"]);
}

#[test]
fn rfc9875_s2_at_least_32_groups_of_32_characters_and_no_more_than_64() {
    let groups = |count: usize| -> Vec<String> { (0..count).map(|number| format!("{number:0>40}")).collect() };
    let field = |count| groups(count).iter().map(|group| format!("\"{group}\"")).collect::<Vec<_>>().join(", ");
    for (sent, read) in [(32, 32), (64, 64), (65, 64), (500, 64)] {
        let found = cache_groups(&headers(&[("cache-groups", &field(sent))]));
        assert_eq!(found, groups(read), "{sent}");
    }
}
