//! Expressions on tags: a list means what the expression finds, and reads the same when it is written as CMSs write lists.
//!
//! Input: an expression, and after the first line break a tag.

#![no_main]

use copal_proxy::purge::TagExpression;
use libfuzzer_sys::fuzz_target;

fn quoted(tag: &str) -> String {
    tag.chars().flat_map(|c| c.is_ascii_punctuation().then_some('\\').into_iter().chain([c])).collect()
}

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (text, tag) = input.split_once('\n').unwrap_or((input, ""));
    let Ok(expression) = TagExpression::parse(text) else { return };
    let matches = expression.matches(tag);
    let TagExpression::Exact(tags) = &expression else { return };
    assert!(!tags.is_empty() && tags.is_sorted(), "a list has tags, each once");
    assert!(tags.iter().all(|tag| !tag.is_empty() && !tag.contains(char::is_control)));
    assert_eq!(matches, tags.iter().any(|other| other == tag));
    let again: Vec<String> = tags.iter().map(|tag| quoted(tag)).collect();
    match TagExpression::parse(&format!("(^|,)({})(,|$)", again.join("|"))) {
        Ok(TagExpression::Exact(same)) => assert_eq!(&same, tags),
        // Quoting makes it longer, and so perhaps too long.
        other => assert!(other.is_err(), "{other:?}"),
    }
});
