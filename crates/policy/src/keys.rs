//! What kinds of value the files have, and how to find a key in the table. Hints, the JSON Schema and the reference
//! page are all made from here.

use crate::case_table::CASE_KEYS;
use crate::table::KEYS;

/// One key of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Where it stands: `cache.memory`; `rules[].name` in a list; `origins.NAME.host` below a name of the operator's.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// What it does; Markdown.
    pub(crate) doc: &'static str,
    /// A right value, as YAML.
    pub(crate) example: &'static str,
}

/// What holds when the key is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    /// It must be given.
    Required,
    /// Nothing, and what that means.
    Absent(&'static str),
    /// As if this YAML stood there.
    Is(&'static str),
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A mapping with known keys.
    Section,
    /// A mapping with known keys, or a short form.
    SectionOr(&'static Kind),
    /// A list of mappings with known keys; a short form may stand for an item, and one item for the list.
    Sections(Option<&'static Kind>),
    /// A mapping from names of the operator's; the table has them as `NAME`.
    Named,
    /// A mapping from one kind to another.
    Pairs(&'static Kind, &'static Kind),
    /// A list of names (one must be there), or a mapping from names to values (all must hold).
    Conditions(&'static Kind),
    /// One value or a list of them.
    List(&'static Kind),
    Text,
    /// `[A-Za-z0-9_.-]`, at most 64.
    Name,
    Bool,
    /// Only `true` makes sense.
    True,
    Word(&'static [&'static str]),
    Count(u64, u64),
    Duration,
    /// A share with its sign: `10%`; the least and the most.
    Percent(u16, u16),
    Size,
    Address,
    /// An IP address, with a port if it is not 53.
    NameServer,
    /// `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:/PATH`.
    Url,
    /// A request-target that begins with `/`.
    Target,
    /// A request-target, or `tcp`; only as a short form.
    Check,
    Network,
    Status,
    /// A status code, `200-399`, or `5xx`.
    StatusRange,
    /// A status code, or `5xx`.
    StatusGlob,
    Method,
    HeaderName,
    HeaderValue,
    HostGlob,
    PathGlob,
    NameGlob,
}

impl Kind {
    /// With its article, for messages: "must be a duration".
    pub(crate) fn phrase(self) -> String {
        match self {
            Self::Section | Self::Named => "a mapping".to_owned(),
            Self::SectionOr(short) => format!("{} or a mapping", short.phrase()),
            Self::Sections(_) => "a list of mappings".to_owned(),
            Self::Pairs(key, value) => {
                format!("a mapping from {} to {}", key.phrase(), value.phrase())
            }
            Self::Conditions(_) => "a name, a list of names, or a mapping from names to values".to_owned(),
            Self::List(item) => format!("{} or a list of such", item.phrase()),
            Self::Text => "a text".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::True => "`true`".to_owned(),
            Self::Word(words) => one_of(words),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration => "a duration".to_owned(),
            Self::Percent(least, most) => format!("a percentage from {least}% to {most}%"),
            Self::Size => "a size".to_owned(),
            Self::Address => "an IP address with a port".to_owned(),
            Self::NameServer => "an IP address, with a port or without".to_owned(),
            Self::Url => "the URL of a server".to_owned(),
            Self::Target => "a path".to_owned(),
            Self::Check => "a path, `tcp`".to_owned(),
            Self::Network => "an address range".to_owned(),
            Self::Status => "a status code".to_owned(),
            Self::StatusRange => {
                "a status code, a range of them such as `200-399`, or a class such as `5xx`".to_owned()
            }
            Self::StatusGlob => "a status code or a class of them such as `5xx`".to_owned(),
            Self::Method => "a method".to_owned(),
            Self::HeaderName => "a field name".to_owned(),
            Self::HeaderValue => "a field value".to_owned(),
            Self::HostGlob => "a host glob".to_owned(),
            Self::PathGlob => "a path glob".to_owned(),
            Self::NameGlob => "a glob".to_owned(),
        }
    }
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

impl Key {
    /// The last word of the path.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// How the keys below are found: the path, with `[]` if it is a list.
    pub(crate) fn inside(&self) -> String {
        match self.kind {
            Kind::Sections(_) => format!("{}[]", self.path),
            _ => self.path.to_owned(),
        }
    }
}

/// The key at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().chain(CASE_KEYS).find(|key| key.path == path)
}

/// Stands before the keys of a cases file, which is no configuration.
pub(crate) const CASES: &str = "@cases";

/// The keys directly below `parent` (empty = of a configuration itself, [`CASES`] = of a cases file).
pub(crate) fn below<'p>(parent: &'p str) -> impl Iterator<Item = &'static Key> + use<'p> {
    KEYS.iter().chain(CASE_KEYS).filter(move |key| parent_of(key.path) == parent)
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// The known word that `word` was probably meant to be.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let folded = word.to_ascii_lowercase().replace('-', "_");
    let scored = known.into_iter().map(|candidate| {
        let other = candidate.to_ascii_lowercase().replace('-', "_");
        (strsim::damerau_levenshtein(&folded, &other), candidate)
    });
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    let near = distance <= 1 + candidate.len() / 4;
    let begins = folded.len() >= 3 && (candidate.starts_with(&folded) || folded.starts_with(candidate));
    (near || begins).then_some(candidate)
}

/// The known word of which `word` is a misspelling: at most two letters away. For places where other words are right too.
pub(crate) fn misspelt<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    if known.contains(&word) {
        return None;
    }
    let folded = word.to_ascii_lowercase();
    known.iter().copied().find(|known| strsim::damerau_levenshtein(&folded, known) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_near_and_not_the_word() {
        for (word, expected) in [
            ("marketing", None),
            ("marketng", Some("marketing")),
            ("Marketing", Some("marketing")),
            ("market", None),
            ("marketing_id", None),
            ("", None),
        ] {
            assert_eq!(misspelt(word, &["marketing"]), expected, "{word}");
        }
    }

    #[test]
    fn nearest_word() {
        let known = ["cache", "sessions", "trusted_proxies", "ttl", "default_ttl"];
        for (word, expected) in [
            ("cach", Some("cache")),
            ("Cache", Some("cache")),
            ("session", Some("sessions")),
            ("trusted-proxies", Some("trusted_proxies")),
            ("tll", Some("ttl")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(parent_of("a"), "");
        assert_eq!(parent_of("rules[].cache.ttl"), "rules[].cache");
        assert_eq!(find("rules").map(Key::inside).as_deref(), Some("rules[]"));
        assert_eq!(find("rules[].cache.ttl").map(Key::name), Some("ttl"));
    }

    #[test]
    fn every_key_stands_below_a_known_one_and_once() {
        let all: Vec<&Key> = KEYS.iter().chain(CASE_KEYS).collect();
        for (index, key) in all.iter().enumerate() {
            let parent = parent_of(key.path);
            let top = parent.is_empty() || parent == CASES;
            let known = top || all[..index].iter().any(|other| other.inside() == parent);
            assert!(known, "{} stands below nothing", key.path);
            assert_eq!(all.iter().filter(|other| other.path == key.path).count(), 1, "{}", key.path);
            assert!(!key.doc.is_empty() && key.doc.ends_with('.'), "{} needs a sentence", key.path);
            assert!(!key.example.is_empty(), "{} needs an example", key.path);
        }
    }
}
