//! The compiled `match` of a rule. All that is given must hold; in a list one of the values must. Nothing here allocates.

use http::{HeaderMap, HeaderName, Method};

use crate::facts::parameters;
use crate::glob::{NameGlob, PathGlob};
use crate::{RequestFacts, Rule};

/// One condition per key of `match`; an empty list means that the key was not given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matcher {
    pub(crate) methods: Vec<Method>,
    pub(crate) scheme: Option<Box<str>>,
    pub(crate) hosts: Vec<HostGlob>,
    pub(crate) paths: Vec<PathGlob>,
    pub(crate) query: Option<Conditions<NameGlob>>,
    pub(crate) headers: Option<Conditions<HeaderName>>,
    pub(crate) cookies: Vec<NameGlob>,
}

/// A list (`[a, b]`: one of them is present) or a mapping (`{a: x, b: y}`: all of them hold).
#[derive(Clone, Debug)]
pub(crate) enum Conditions<N> {
    OneOf(Vec<N>),
    All(Vec<(N, Vec<NameGlob>)>),
}

/// A host glob; a pattern without a port fits every port.
#[derive(Clone, Debug)]
pub(crate) struct HostGlob {
    glob: NameGlob,
    with_port: bool,
}

impl HostGlob {
    pub(crate) fn new(text: &str) -> Self {
        Self { glob: NameGlob::ignoring_case(text), with_port: split_port(text).1.is_some() }
    }

    pub(crate) fn matches(&self, host: &str) -> bool {
        self.glob.matches(if self.with_port { host } else { split_port(host).0 })
    }
}

impl HostGlob {
    /// Whether some host fits both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let name = |glob: &Self| NameGlob::ignoring_case(split_port(glob.glob.as_str()).0);
        name(self).overlaps(&name(other))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.glob.as_str()
    }
}

/// Host and port (RFC 3986 section 3.2.3); colons inside the brackets of an IPv6 address are none.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

impl Matcher {
    /// Whether the request fits every condition. The cheap ones come first.
    pub(crate) fn fits(&self, facts: &RequestFacts<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(facts.method))
            && self.scheme.as_deref().is_none_or(|scheme| scheme == facts.scheme)
            && (self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(facts.path)))
            && (self.hosts.is_empty() || self.hosts.iter().any(|glob| glob.matches(facts.host)))
            && self.query.as_ref().is_none_or(|conditions| query_fits(conditions, facts.query))
            && self.headers.as_ref().is_none_or(|conditions| conditions.hold(facts.headers))
            && (self.cookies.is_empty() || cookies_fit(&self.cookies, facts))
    }

    /// The request fields that it looks at, and the cookies. Whatever it looks at beside them and the target must be told here: two
    /// requests that are one to all rules may be given one answer.
    pub(crate) fn reads(&self) -> (impl Iterator<Item = &HeaderName>, &[NameGlob]) {
        // Named one by one, so that what comes new is not forgotten. The target and the method are always compared.
        let Self { methods: _, scheme: _, hosts: _, paths: _, query: _, headers, cookies } = self;
        let (one_of, all) = match headers {
            Some(Conditions::OneOf(names)) => (names.as_slice(), &[][..]),
            Some(Conditions::All(pairs)) => (&[][..], pairs.as_slice()),
            None => (&[][..], &[][..]),
        };
        (one_of.iter().chain(all.iter().map(|(name, _)| name)), cookies)
    }

    fn reads_fields(&self) -> bool {
        let (mut headers, cookies) = self.reads();
        headers.next().is_some() || !cookies.is_empty()
    }

    /// Whether every request fits, so that no later rule is ever reached.
    pub(crate) fn is_catch_all(&self) -> bool {
        self.methods.is_empty()
            && self.scheme.is_none()
            && (self.paths.is_empty() || self.paths.iter().any(PathGlob::is_any))
            && self.hosts.is_empty()
            && self.query.is_none()
            && self.headers.is_none()
            && self.cookies.is_empty()
    }
}

/// Notes at each rule, in the order in which they are tried, whether it depends on more than method and target that it is reached.
pub(crate) fn mark(rules: &mut [Rule]) {
    let mut by_fields = false;
    for rule in rules {
        by_fields |= rule.matcher.reads_fields();
        rule.by_fields = by_fields;
    }
}

fn query_fits(conditions: &Conditions<NameGlob>, query: Option<&str>) -> bool {
    let Some(query) = query else { return false };
    let present = |name: &NameGlob| parameters(query).any(|(found, ..)| name.matches(found));
    match conditions {
        Conditions::OneOf(names) => names.iter().any(present),
        Conditions::All(pairs) => pairs.iter().all(|(name, values)| {
            let mut found = parameters(query).filter(|(found, ..)| name.matches(found));
            found.any(|(_, value, _)| values.iter().any(|glob| glob.matches(value)))
        }),
    }
}

impl Conditions<HeaderName> {
    /// Whether they hold for these fields.
    pub(crate) fn hold(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::OneOf(names) => names.iter().any(|name| headers.contains_key(name)),
            Self::All(pairs) => pairs.iter().all(|(name, globs)| {
                let mut values = headers.get_all(name).iter();
                values.any(|value| globs.iter().any(|glob| glob.matches_bytes(value.as_bytes())))
            }),
        }
    }

    /// In words: `X-A or X-B`, `X-A: 1 and X-B: 2`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::OneOf(names) => names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(" or "),
            Self::All(pairs) => {
                let pair = |(name, globs): &(HeaderName, Vec<NameGlob>)| {
                    format!("{name}: {}", globs.iter().map(NameGlob::as_str).collect::<Vec<_>>().join(" or "))
                };
                pairs.iter().map(pair).collect::<Vec<_>>().join(" and ")
            }
        }
    }
}

fn cookies_fit(globs: &[NameGlob], facts: &RequestFacts<'_>) -> bool {
    facts.cookies.iter().any(|cookie| globs.iter().any(|glob| glob.matches(cookie.name)))
}
