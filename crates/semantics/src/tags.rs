//! The tags that an origin gives its responses, to have them dropped by later (not of any RFC: each CMS has a field of its own).

use std::collections::HashSet;

use http::header::{HeaderMap, HeaderName};

/// Plone's `#uuid#uuid#`; in the fields of others `#` is part of a tag.
static X_IDS_INVOLVED: HeaderName = HeaderName::from_static("x-ids-involved");

/// The tags of a response, each once, in the order in which they stand in the fields of these names. What is not UTF-8 is read
/// with U+FFFD in its place; a name for it that comes in a purge is so as well.
pub fn tags(headers: &HeaderMap, names: &[HeaderName]) -> Vec<String> {
    let mut tags = Vec::new();
    for name in names {
        let by_hash = *name == X_IDS_INVOLVED;
        for value in headers.get_all(name) {
            let text = String::from_utf8_lossy(value.as_bytes());
            tags.extend(split(&text, by_hash).map(str::to_owned));
        }
    }
    let mut seen: HashSet<&str> = HashSet::with_capacity(tags.len());
    let first: Vec<bool> = tags.iter().map(|tag| seen.insert(tag.as_str())).collect();
    let mut first = first.into_iter();
    tags.retain(|_| first.next().unwrap_or_default());
    tags
}

/// The tags in a list of them: separated by spaces, commas, pipes or tabs, any number of them.
pub fn split_tags(list: &str) -> impl Iterator<Item = &str> {
    split(list, false)
}

fn split(list: &str, by_hash: bool) -> impl Iterator<Item = &str> {
    let separates = move |c: char| matches!(c, ' ' | ',' | '|' | '\t') || (by_hash && c == '#');
    list.split(separates).filter(|tag| !tag.is_empty())
}
