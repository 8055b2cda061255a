//! Walks a tree of nodes along the table of keys, and collects everything that is wrong with it on the way. A value
//! that cannot be read gives one error and `None`; the reading goes on.

use std::borrow::Cow;

use crate::diagnostic::{At, Diagnostic, Severity, Source};
use crate::keys::{self, Default, Key, Kind};
use crate::yaml::{self, Entry, Node, Value};

/// Reads one file.
pub(crate) struct Reader {
    pub(crate) source: Source,
    found: Vec<Diagnostic>,
}

/// A mapping with known keys.
#[derive(Clone, Debug)]
pub(crate) struct Section<'n> {
    path: String,
    entries: &'n [Entry],
    pub(crate) at: At,
}

impl<'n> Section<'n> {
    /// A section without any key.
    pub(crate) fn empty(path: &str, at: At) -> Self {
        Self { path: path.to_owned(), entries: &[], at }
    }

    /// The entry as written, if it is there.
    pub(crate) fn entry(&self, name: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// Where the key stands, or the section if it does not.
    pub(crate) fn at_of(&self, name: &str) -> At {
        self.entry(name).map_or(self.at, |entry| entry.key_at)
    }

    /// Whether a key that is not known here was probably meant to be `name`; then `name` is not missing besides.
    pub(crate) fn misspells(&self, name: &str) -> bool {
        let known = || keys::below(&self.path).map(Key::name);
        let unknown = |entry: &&Entry| !known().any(|known| known == entry.key);
        self.entries.iter().filter(unknown).any(|entry| keys::nearest(&entry.key, known()) == Some(name))
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        if self.path.is_empty() { keys::find(name) } else { keys::find(&format!("{}.{name}", self.path)) }
    }
}

/// Why a text cannot be what it should: what to say after it ("has an unknown unit"), and a better hint than the
/// table's example if there is one.
pub(crate) struct Wrong {
    pub(crate) reason: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    /// It just is something else.
    pub(crate) const PLAIN: Self = Self { reason: None, hint: None };

    pub(crate) fn because(reason: impl ToString) -> Self {
        Self { reason: Some(reason.to_string()), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

pub(crate) type Read<T> = Result<T, Wrong>;

impl Reader {
    pub(crate) fn new(file: &str, text: &str) -> (Self, Option<Node>) {
        let mut reader = Self::for_source(Source::new(file, text));
        let (root, problems) = yaml::parse(text);
        for problem in problems {
            reader.add(Severity::Error, problem.at, problem.message, problem.hint);
        }
        (reader, root)
    }

    pub(crate) fn for_source(source: Source) -> Self {
        Self { source, found: Vec::new() }
    }

    /// Everything found, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.found
    }

    pub(crate) fn error(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Error, at, message.into(), Some(hint.into()));
    }

    pub(crate) fn warning(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, at, message.into(), Some(hint.into()));
    }

    fn add(&mut self, severity: Severity, at: At, message: String, hint: Option<String>) {
        self.found.push(self.source.diagnostic(severity, at, message, hint));
    }

    /// Whether an error was found so far.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors were found so far.
    pub(crate) fn errors(&self) -> usize {
        self.found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// `node` as a mapping whose keys must be known below `path`; an empty value is an empty mapping.
    pub(crate) fn section<'n>(&mut self, node: &'n Node, path: &str) -> Option<Section<'n>> {
        let entries = self.entries(node, path)?;
        for entry in entries {
            let key = entry.key.as_str();
            if !keys::below(path).any(|known| known.name() == key) {
                let hint = unknown_hint(key, path);
                self.error(entry.key_at, format!("unknown key {}{}", yaml::quoted(key), within(path)), hint);
            }
        }
        Some(Section { path: path.to_owned(), entries, at: node.at })
    }

    /// The mapping that a file is, if only `allowed` of the configuration's keys may stand in it.
    pub(crate) fn part_of_config<'n>(&mut self, node: &'n Node, what: &str, allowed: &[&str]) -> Option<Section<'n>> {
        let entries = self.entries(node, "")?;
        for entry in entries.iter().filter(|entry| !allowed.contains(&entry.key.as_str())) {
            let key = entry.key.as_str();
            if keys::find(key).is_some() {
                let hint = format!("{what} has {}; this belongs to the configuration file", keys::one_of(allowed));
                self.error(entry.key_at, format!("`{key}` is not allowed in {what}"), hint);
            } else {
                let hint = match keys::nearest(key, allowed.iter().copied()) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!("{what} has {}", keys::one_of(allowed)),
                };
                self.error(entry.key_at, format!("unknown key {}", yaml::quoted(key)), hint);
            }
        }
        Some(Section { path: String::new(), entries, at: node.at })
    }

    /// `node` as a mapping with whatever keys.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            Value::Scalar(_) | Value::List(_) => {
                let top = path.is_empty() || path == keys::CASES;
                let what = if top { "the file".to_owned() } else { format!("`{}`", last_word(path)) };
                let hint = keys::find(path).map_or_else(|| "write `key: value`".to_owned(), example);
                self.error(node.at, format!("{what} must be a mapping, not {}", node.describe()), hint);
                None
            }
        }
    }

    /// The section below the key `name` of `section`, if it is there.
    pub(crate) fn subsection<'n>(&mut self, section: &Section<'n>, name: &str) -> Option<Section<'n>> {
        let entry = section.entry(name)?;
        let path = section.key(name).map(Key::inside)?;
        self.section(&entry.node, &path)
    }

    /// The same, empty if it is not there or no mapping: its keys then have their defaults.
    pub(crate) fn part<'n>(&mut self, section: &Section<'n>, name: &str) -> Section<'n> {
        let inside = section.key(name).map(Key::inside).unwrap_or_default();
        self.subsection(section, name).unwrap_or_else(|| Section::empty(&inside, section.at))
    }

    /// What is written for a key that has a short form: the scalar that it is, or else nothing, with the section that it is,
    /// whose keys have their defaults in the short form. Nothing where the key is not there, or has no value.
    pub(crate) fn short_or_part<'n>(
        &mut self,
        section: &Section<'n>,
        name: &str,
    ) -> Option<(Option<&'n Node>, Section<'n>)> {
        let (key, entry) = (section.key(name)?, section.entry(name)?);
        match &entry.node.value {
            Value::Null => {
                self.error(entry.key_at, format!("`{name}` has no value"), example(key));
                None
            }
            Value::Scalar(_) => Some((Some(&entry.node), Section::empty(&key.inside(), entry.node.at))),
            Value::List(_) | Value::Map(_) => Some((None, self.subsection(section, name)?)),
        }
    }

    /// One scalar, or its default from the table.
    pub(crate) fn value<T>(&mut self, section: &Section<'_>, name: &str, read: impl Fn(&str) -> Read<T>) -> Option<T> {
        let (key, node) = self.node(section, name)?;
        self.scalar(key, &node, &read)
    }

    /// A list of scalars or one scalar, or the default from the table, each with its place. Wrong items are left out.
    pub(crate) fn list<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        read: impl Fn(&str) -> Read<T>,
    ) -> Vec<(T, At)> {
        let Some((key, node)) = self.node(section, name) else {
            return Vec::new();
        };
        self.items(key, &node, &read)
    }

    /// The same for a node that is at hand.
    pub(crate) fn items<T>(&mut self, key: &Key, node: &Node, read: &impl Fn(&str) -> Read<T>) -> Vec<(T, At)> {
        self.items_as(key.name(), key, node, read)
    }

    /// The same where the file has another name for the key.
    pub(crate) fn items_as<T>(
        &mut self,
        name: &str,
        key: &Key,
        node: &Node,
        read: &impl Fn(&str) -> Read<T>,
    ) -> Vec<(T, At)> {
        let one =
            |reader: &mut Self, node: &Node| reader.scalar_as(name, key, node, read).map(|value| (value, node.at));
        match &node.value {
            Value::List(items) => items.iter().filter_map(|item| one(self, item)).collect(),
            Value::Null | Value::Scalar(_) | Value::Map(_) => one(self, node).into_iter().collect(),
        }
    }

    /// One scalar node as a value of `key`.
    pub(crate) fn scalar<T>(&mut self, key: &Key, node: &Node, read: &impl Fn(&str) -> Read<T>) -> Option<T> {
        self.scalar_as(key.name(), key, node, read)
    }

    fn scalar_as<T>(&mut self, name: &str, key: &Key, node: &Node, read: &impl Fn(&str) -> Read<T>) -> Option<T> {
        let phrase = item_phrase(key);
        let Value::Scalar(text) = &node.value else {
            let message = format!("`{name}` must be {phrase}, not {}", node.describe());
            self.error(node.at, message, example_as(name, key));
            return None;
        };
        read(text).map_err(|wrong| self.wrong_as(name, key, &phrase, node.at, text, wrong)).ok()
    }

    /// Says that `text` is no value of `key`.
    pub(crate) fn wrong(&mut self, key: &Key, at: At, text: &str, wrong: Wrong) {
        self.wrong_as(key.name(), key, &item_phrase(key), at, text, wrong);
    }

    /// Says that `text` is no name in the mapping that `key` is.
    pub(crate) fn wrong_name(&mut self, key: &Key, at: At, text: &str, wrong: Wrong) {
        let phrase = match key.kind {
            Kind::Pairs(name, _) => name.phrase(),
            _ => item_phrase(key),
        };
        self.wrong_as(key.name(), key, &phrase, at, text, wrong);
    }

    fn wrong_as(&mut self, name: &str, key: &Key, phrase: &str, at: At, text: &str, wrong: Wrong) {
        let message = match wrong.reason {
            Some(reason) => format!("`{name}` must be {phrase}, but {} {reason}", yaml::quoted(text)),
            None => format!("`{name}` must be {phrase}, not {}", yaml::quoted(text)),
        };
        self.error(at, message, wrong.hint.unwrap_or_else(|| example_as(name, key)));
    }

    /// The written value of a key, else its default; an error if it is required.
    fn node<'n>(&mut self, section: &Section<'n>, name: &str) -> Option<(&'static Key, Cow<'n, Node>)> {
        let key = section.key(name)?;
        if let Some(entry) = section.entry(name) {
            if matches!(entry.node.value, Value::Null) {
                self.error(entry.key_at, format!("`{name}` has no value"), example(key));
                return None;
            }
            return Some((key, Cow::Borrowed(&entry.node)));
        }
        match key.default {
            Default::Is(text) => yaml::parse(text).0.map(|node| (key, Cow::Owned(node))),
            Default::Absent(_) => None,
            Default::Required if section.misspells(name) => None,
            Default::Required => {
                self.error(section.at, format!("`{name}` is missing{}", within(&section.path)), example(key));
                None
            }
        }
    }
}

/// "for example `ttl: 1h`".
pub(crate) fn example(key: &Key) -> String {
    example_as(key.name(), key)
}

fn example_as(name: &str, key: &Key) -> String {
    format!("for example `{name}: {}`", key.example)
}

fn item_phrase(key: &Key) -> String {
    match key.kind {
        Kind::List(item) | Kind::Conditions(item) | Kind::Pairs(_, item) | Kind::Sections(Some(item)) => item.phrase(),
        kind => kind.phrase(),
    }
}

fn within(path: &str) -> String {
    let top = path.is_empty() || path == keys::CASES;
    if top { String::new() } else { format!(" in `{}`", last_word(path)) }
}

fn last_word(path: &str) -> &str {
    match path.trim_end_matches("[]").rsplit_once('.') {
        Some((named, "NAME")) => named,
        Some((_, name)) => name,
        None => path.trim_end_matches("[]"),
    }
}

/// Near words first; then the same word elsewhere in the file; else what there is.
fn unknown_hint(key: &str, path: &str) -> String {
    if let Some(nearest) = keys::nearest(key, keys::below(path).map(Key::name)) {
        return format!("did you mean `{nearest}`?");
    }
    if let Some(elsewhere) = crate::table::KEYS.iter().find(|known| known.name() == key) {
        return format!("`{key}` belongs to `{}`", elsewhere.path);
    }
    let known: Vec<&str> = keys::below(path).map(Key::name).collect();
    format!("known here: {}", keys::one_of(&known).replace(" or ", ", "))
}
