//! `docs/CONFIGURATION.md`, made from the table of keys and an introduction.

use crate::keys::{Default, Key, Kind};
use crate::table::KEYS;

const INTRODUCTION: &str = include_str!("reference.md");

/// The text of `docs/CONFIGURATION.md`: every key of the configuration with its kind, its default, what it does, and an
/// example.
#[must_use]
pub fn reference_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in KEYS {
        page.push_str(&paragraph(key));
    }
    page
}

fn paragraph(key: &Key) -> String {
    let level = if key.path.contains('.') { "####" } else { "###" };
    let default = match key.default {
        Default::Required if key.path == "origins" => "**required**, unless `--origin` is given".to_owned(),
        Default::Required => "**required**".to_owned(),
        Default::Absent(meaning) => format!("default: {meaning}"),
        Default::Is(text) => format!("default: `{text}`"),
    };
    let (path, phrase, doc) = (key.path, phrase(key.kind), key.doc);
    format!("{level} `{path}`\n\n{phrase}; {default}.\n\n{doc}\n\n```yaml\n{}\n```\n\n", example(key))
}

/// The kind at the beginning of a sentence.
fn phrase(kind: Kind) -> String {
    let phrase = kind.phrase();
    let mut chars = phrase.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn example(key: &Key) -> String {
    format!("{}: {}", key.name().replace("NAME", "cms"), key.example)
}
