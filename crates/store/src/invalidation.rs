//! What an invalidation names.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName};
use regex::{Regex, RegexBuilder};

use crate::key::{AsHashed, CacheKey};
use crate::tags::{Dictionary, Tags};

/// What an invalidation names.
///
/// Expressions are searched for anywhere, unless they are anchored. Their flags belong into their text (`(?i)…`): two with one
/// text are taken for one.
#[derive(Clone, Debug)]
pub enum Invalidation {
    /// All variants of one cache key.
    Key(CacheKey),
    /// Everything of a host, as [`CacheKey::host`] gives it (with a port that is not the scheme's own), in lower case.
    Host(String),
    /// Everything whose path and query begin with `path`, on one host or on all.
    Prefix {
        /// The host as in [`Invalidation::Host`]; none for all hosts.
        host: Option<String>,
        /// The beginning of path and query, compared byte by byte.
        path: String,
    },
    /// One path with whatever query, and all that is kept under further keys for it (slices, answers to request bodies).
    Path {
        /// The host as in [`Invalidation::Host`]; none for all hosts.
        host: Option<String>,
        /// The path without a query, as [`CacheKey::path`] gives it.
        path: String,
    },
    /// Everything that the origin gave this tag.
    Tag(String),
    /// Everything whose URL as keyed the expression matches.
    Pattern(Regex),
    /// Everything for which all holds that is given.
    Match(Box<Match>),
    /// Everything.
    All,
}

/// Bytes that a compiled expression may take, and as many again while it is searched for.
const EXPRESSION: usize = 1 << 20;

/// An expression for an invalidation: searched for in linear time, and bounded in size.
///
/// # Errors
/// What is wrong with the text, or that it is too large when compiled (1 MiB).
pub fn expression(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(EXPRESSION).dfa_size_limit(EXPRESSION).build()
}

/// Conditions that must all hold; without any, everything is named.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// On the host, as [`CacheKey::host`] gives it.
    pub host: Option<Regex>,
    /// The host itself, as in [`Invalidation::Host`].
    pub exact_host: Option<String>,
    /// On path and query as keyed.
    pub url: Option<Regex>,
    /// On fields of the stored response: each is present, and one of its values matches.
    pub fields: Vec<(HeaderName, Regex)>,
    /// On its tags.
    pub tags: Option<TagMatch>,
}

/// A condition on the tags of a response.
#[derive(Clone, Debug)]
pub enum TagMatch {
    /// It has one of these.
    AnyOf(Vec<String>),
    /// The expression matches the text of one of them.
    Pattern(Regex),
}

/// What an invalidation is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a CacheKey,
    pub(crate) tags: &'a Tags,
    /// None: not known, so that whatever is asked of them may be so.
    pub(crate) fields: Option<&'a HeaderMap>,
    /// Whether it lies in the store, or is being put there under a permit: then an invalidation of its key takes it out of there, and
    /// its tags know what has named them, so that the log need not.
    pub(crate) stored: bool,
}

/// An invalidation made ready to be compared.
#[derive(Debug)]
pub(crate) enum Naming {
    All,
    Key(CacheKey),
    Host(Box<str>),
    Prefix {
        host: Option<Box<str>>,
        path: Box<str>,
    },
    Path {
        host: Option<Box<str>>,
        path: Box<str>,
    },
    /// By the hashes of their texts.
    Tags(HashSet<u64, AsHashed>),
    TagPattern(Regex),
    Url(Regex),
    Match(Box<Conditions>),
}

/// As [`Match`].
#[derive(Debug)]
pub(crate) struct Conditions {
    host: Option<Regex>,
    exact_host: Option<Box<str>>,
    url: Option<Regex>,
    fields: Vec<(HeaderName, Regex)>,
    /// One of the tag kinds of [`Naming`].
    tags: Option<Naming>,
}

impl Naming {
    pub(crate) fn of(what: &Invalidation, dictionary: &Dictionary) -> Self {
        let boxed = |host: &Option<String>| host.as_deref().map(Box::from);
        match what {
            Invalidation::Key(key) => Self::Key(key.clone()),
            Invalidation::Host(host) => Self::Host(host.as_str().into()),
            Invalidation::Prefix { host, path } => Self::Prefix { host: boxed(host), path: path.as_str().into() },
            Invalidation::Path { host, path } => Self::Path { host: boxed(host), path: path.as_str().into() },
            Invalidation::Tag(tag) => Self::Tags(HashSet::from_iter([dictionary.hash(tag)])),
            Invalidation::Pattern(regex) => Self::Url(regex.clone()),
            Invalidation::Match(conditions) => Self::of_match(conditions, dictionary),
            Invalidation::All => Self::All,
        }
    }

    fn of_match(what: &Match, dictionary: &Dictionary) -> Self {
        let tags = what.tags.as_ref().map(|tags| match tags {
            TagMatch::AnyOf(tags) => Self::Tags(tags.iter().map(|tag| dictionary.hash(tag)).collect()),
            TagMatch::Pattern(regex) => Self::TagPattern(regex.clone()),
        });
        if !what.is_of_url() && what.fields.is_empty() {
            return tags.unwrap_or(Self::All);
        }
        if let (Match { host: None, exact_host: Some(host), url: None, .. }, None, true) =
            (what, &tags, what.fields.is_empty())
        {
            return Self::Host(host.as_str().into());
        }
        Self::Match(Box::new(Conditions {
            host: what.host.clone(),
            exact_host: what.exact_host.as_deref().map(Box::from),
            url: what.url.clone(),
            fields: what.fields.clone(),
            tags,
        }))
    }

    /// Whether it names this.
    pub(crate) fn names(&self, subject: Subject<'_>) -> bool {
        let key = subject.key;
        let on = |host: &Option<Box<str>>| host.as_deref().is_none_or(|host| host == key.host());
        match self {
            Self::All => true,
            Self::Key(other) => other == key,
            Self::Host(host) => **host == *key.host(),
            Self::Prefix { host, path } => on(host) && key.path_and_query().starts_with(&**path),
            Self::Path { host, path } => on(host) && key.path() == &**path,
            Self::Tags(hashes) => match hashes.len() {
                1 => hashes.iter().any(|hash| subject.tags.contains(*hash)),
                _ => subject.tags.iter().any(|tag| hashes.contains(&tag.hash())),
            },
            Self::TagPattern(regex) => subject.tags.iter().any(|tag| regex.is_match(tag.text())),
            Self::Url(regex) => regex.is_match(key.url()),
            Self::Match(conditions) => conditions.hold(subject),
        }
    }
}

/// What it names, such that equal ones name the same.
impl Naming {
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        self.spell(&mut text);
        text.0
    }

    fn spell(&self, text: &mut Text) {
        match self {
            Self::All => text.add("all"),
            Self::Key(key) => text.add("key").add(key.as_str()),
            Self::Host(host) => text.add("host").add(host),
            Self::Prefix { host, path } => text.add("prefix").given(host.as_deref()).add(path),
            Self::Path { host, path } => text.add("path").given(host.as_deref()).add(path),
            Self::Tags(hashes) => {
                let mut hashes: Vec<u64> = hashes.iter().copied().collect();
                hashes.sort_unstable();
                text.add("tags");
                hashes.iter().fold(text, |text, hash| text.add(&hash.to_string()))
            }
            Self::TagPattern(regex) => text.add("tag pattern").add(regex.as_str()),
            Self::Url(regex) => text.add("url").add(regex.as_str()),
            Self::Match(conditions) => {
                text.add("match").given(conditions.host.as_ref().map(Regex::as_str));
                text.given(conditions.exact_host.as_deref()).given(conditions.url.as_ref().map(Regex::as_str));
                for (name, regex) in &conditions.fields {
                    text.add(name.as_str()).add(regex.as_str());
                }
                text.add("and");
                if let Some(tags) = &conditions.tags {
                    tags.spell(text);
                }
                text
            }
        };
    }
}

/// Texts one after the other, each with its length before it.
#[derive(Default)]
struct Text(String);

impl Text {
    fn add(&mut self, part: &str) -> &mut Self {
        self.0.push_str(&part.len().to_string());
        self.0.push(':');
        self.0.push_str(part);
        self
    }

    fn given(&mut self, part: Option<&str>) -> &mut Self {
        match part {
            Some(part) => self.add("is").add(part),
            None => self.add("any"),
        }
    }
}

impl Invalidation {
    /// The key, where it names one.
    pub(crate) fn key(&self) -> Option<&CacheKey> {
        match self {
            Self::Key(key) => Some(key),
            _ => None,
        }
    }

    /// The tags, where it names nothing but some.
    pub(crate) fn tags(&self) -> &[String] {
        match self {
            Self::Tag(tag) => std::slice::from_ref(tag),
            Self::Match(what) => match &what.tags {
                Some(TagMatch::AnyOf(tags)) => tags,
                _ => &[],
            },
            _ => &[],
        }
    }
}

impl Match {
    /// Whether the host, the path or the query count.
    pub(crate) fn is_of_url(&self) -> bool {
        self.host.is_some() || self.exact_host.is_some() || self.url.is_some()
    }
}

impl Conditions {
    /// The host without which nothing of it holds.
    pub(crate) fn exact_host(&self) -> Option<&str> {
        self.exact_host.as_deref()
    }

    fn hold(&self, subject: Subject<'_>) -> bool {
        let key = subject.key;
        self.exact_host.as_deref().is_none_or(|host| host == key.host())
            && self.host.as_ref().is_none_or(|host| host.is_match(key.host()))
            && self.url.as_ref().is_none_or(|url| url.is_match(key.path_and_query()))
            && subject.fields.is_none_or(|fields| self.fields.iter().all(|field| is_in(fields, field)))
            && self.tags.as_ref().is_none_or(|tags| tags.names(subject))
    }
}

fn is_in(fields: &HeaderMap, (name, regex): &(HeaderName, Regex)) -> bool {
    fields.get_all(name).iter().any(|value| regex.is_match(&String::from_utf8_lossy(value.as_bytes())))
}
