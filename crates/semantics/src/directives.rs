//! `Cache-Control` of responses and requests, parsed once into types (RFC 9111 §5.2).

use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, PRAGMA,
    VARY,
};

use crate::field_text::FieldText;
use crate::list::{Argument, directive, elements};

/// `Cache-Control` that says no more than how long a response is fresh, in whole seconds (RFC 9111 §5.2.2.1).
pub fn max_age(limit: Duration) -> HeaderValue {
    let mut text = FieldText::new();
    text.push(b"max-age=");
    text.push_number(limit.as_secs());
    text.to_value()
}

/// A directive that may name fields: `no-cache` and `private` (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FieldList {
    /// The directive is not there.
    #[default]
    Absent,
    /// The directive speaks of the whole response (also when its field names cannot be read, or one of them is a field that the rest
    /// cannot do without).
    All,
    /// The directive speaks of these fields only; sorted, each once.
    Fields(Vec<HeaderName>),
}

impl FieldList {
    /// Whether the directive is there in either form.
    pub fn is_present(&self) -> bool {
        !matches!(self, FieldList::Absent)
    }

    /// The fields it speaks of; none when it is absent or speaks of the whole response.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            FieldList::Fields(names) => names,
            FieldList::Absent | FieldList::All => &[],
        }
    }

    /// Takes in one more occurrence: the whole response beats fields, fields add up.
    fn add(&mut self, argument: &Argument<'_>) {
        let named = match argument {
            Argument::Text(text) => field_names(text),
            Argument::None | Argument::Malformed => None,
        };
        *self = match (std::mem::take(self), named) {
            (FieldList::All, _) | (_, None) => FieldList::All,
            (FieldList::Absent, Some(names)) => FieldList::Fields(sorted(names)),
            (FieldList::Fields(mut old), Some(names)) => {
                old.extend(names);
                FieldList::Fields(sorted(old))
            }
        };
    }
}

fn sorted(mut names: Vec<HeaderName>) -> Vec<HeaderName> {
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

/// Fields without which the rest of a response is another response, or none.
static LOAD_BEARING: [HeaderName; 5] = [CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, LOCATION, VARY];

/// `None` when there is no name, one that cannot be a field's, or one that the response cannot do without: then the directive counts
/// for the whole response.
fn field_names(text: &[u8]) -> Option<Vec<HeaderName>> {
    let names: Vec<_> = elements(text).map(HeaderName::from_bytes).collect::<Result<_, _>>().ok()?;
    let whole = names.is_empty() || names.iter().any(|name| LOAD_BEARING.contains(name));
    (!whole).then_some(names)
}

/// What a response's `Cache-Control` (or the targeted field in its place) says (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// §5.2.2.5: must not be stored.
    pub no_store: bool,
    /// §5.2.2.9: may be stored although `Authorization` was sent or the status is not heuristically cacheable.
    pub public: bool,
    /// §5.2.2.2: never reused stale.
    pub must_revalidate: bool,
    /// §5.2.2.8: never reused stale by a shared cache.
    pub proxy_revalidate: bool,
    /// §5.2.2.3: stored only when the status code is understood; then `no-store` is void.
    pub must_understand: bool,
    /// RFC 8246: the representation does not change while it is fresh.
    pub immutable: bool,
    /// §5.2.2.6: the content must not be transformed.
    pub no_transform: bool,
    /// §5.2.2.4: not reused without validation; with field names, these fields are not.
    pub no_cache: FieldList,
    /// §5.2.2.7: not stored by a shared cache; with field names, these fields are not.
    pub private: FieldList,
    /// §5.2.2.1: the freshness lifetime. Invalid counts as zero, above 2^31 seconds as 2^31.
    pub max_age: Option<Duration>,
    /// §5.2.2.10: the freshness lifetime for shared caches.
    pub s_maxage: Option<Duration>,
    /// RFC 5861 §3: how long stale may be served while it is validated.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4: how long stale may be served when the origin fails.
    pub stale_if_error: Option<Duration>,
    /// These came from a targeted field: `Cache-Control` and `Expires` are void (RFC 9213 §2.2).
    pub targeted: bool,
}

impl ResponseDirectives {
    /// Reads all `Cache-Control` lines. Names are case-insensitive, values may be quoted, an invalid number counts as zero (stale),
    /// too large a one as 2^31 seconds; of duplicates the most restrictive counts (RFC 9111 §4.2.1). Never fails.
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            for element in elements(line.as_bytes()) {
                let (name, argument) = directive(element);
                directives.apply(name, &argument);
            }
        }
        directives
    }

    /// Takes in one directive; unknown ones are ignored (RFC 9111 §5.2.3).
    pub(crate) fn apply(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            shorten(&mut self.max_age, argument);
        } else if is("s-maxage") {
            shorten(&mut self.s_maxage, argument);
        } else if is("no-cache") {
            self.no_cache.add(argument);
        } else if is("private") {
            self.private.add(argument);
        } else if is("stale-while-revalidate") {
            shorten(&mut self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            shorten(&mut self.stale_if_error, argument);
        } else if let Some(flag) = self.flag(name) {
            *flag = true;
        }
    }

    fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        let flags = [
            ("no-store", &mut self.no_store),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("proxy-revalidate", &mut self.proxy_revalidate),
            ("must-understand", &mut self.must_understand),
            ("immutable", &mut self.immutable),
            ("no-transform", &mut self.no_transform),
        ];
        flags.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, flag)| flag)
    }
}

/// Of several values the smallest counts; an invalid one is zero, the most restrictive (RFC 9111 §4.2.1).
pub(crate) fn shorten(slot: &mut Option<Duration>, argument: &Argument<'_>) {
    let value = argument.seconds().unwrap_or_default();
    *slot = Some(slot.map_or(value, |old| old.min(value)));
}

/// What a request's `Cache-Control` asks for (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// §5.2.1.4: no stored response without validation. Also `Pragma: no-cache` when there is no `Cache-Control` (§5.4).
    pub no_cache: bool,
    /// §5.2.1.5: neither the request nor its response may be stored.
    pub no_store: bool,
    /// §5.2.1.6: the content must not be transformed.
    pub no_transform: bool,
    /// §5.2.1.7: a stored response or a 504.
    pub only_if_cached: bool,
    /// §5.2.1.1: no response older than this; invalid counts as zero.
    pub max_age: Option<Duration>,
    /// §5.2.1.3: a response that stays fresh at least this long; invalid is ignored.
    pub min_fresh: Option<Duration>,
    /// §5.2.1.2: stale is welcome, for this long or (`Some(None)`) however long; invalid is ignored.
    pub max_stale: Option<Option<Duration>>,
    /// RFC 5861 §4: stale is welcome for this long when the origin fails; invalid is ignored.
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// Reads all `Cache-Control` lines, or `Pragma` when there are none (RFC 9111 §5.4). Never fails.
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        if headers.contains_key(CACHE_CONTROL) {
            for line in headers.get_all(CACHE_CONTROL) {
                for element in elements(line.as_bytes()) {
                    let (name, argument) = directive(element);
                    directives.apply(name, &argument);
                }
            }
        } else {
            directives.no_cache = headers
                .get_all(PRAGMA)
                .iter()
                .flat_map(|line| elements(line.as_bytes()))
                .any(|element| element.eq_ignore_ascii_case(b"no-cache"));
        }
        directives
    }

    /// Whether the request has a field that may hold directives; cheap, so that most requests are not parsed at all.
    pub fn is_asked(headers: &HeaderMap) -> bool {
        headers.contains_key(CACHE_CONTROL) || headers.contains_key(PRAGMA)
    }

    /// Whether it asks for nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Only what costs the origin nothing: `only-if-cached`, `max-stale` and `stale-if-error`.
    #[must_use]
    pub fn harmless(self) -> Self {
        Self {
            only_if_cached: self.only_if_cached,
            max_stale: self.max_stale,
            stale_if_error: self.stale_if_error,
            ..Self::default()
        }
    }

    fn apply(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-transform") {
            self.no_transform = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            shorten(&mut self.max_age, argument);
        } else if is("min-fresh") {
            self.min_fresh = argument.seconds().max(self.min_fresh);
        } else if is("max-stale") {
            self.max_stale = stale_limit(self.max_stale, argument);
        } else if is("stale-if-error") && argument.seconds().is_some() {
            shorten(&mut self.stale_if_error, argument);
        }
    }
}

/// The smaller of two `max-stale`; one without a number has no limit.
fn stale_limit(old: Option<Option<Duration>>, argument: &Argument<'_>) -> Option<Option<Duration>> {
    let new = match (argument, argument.seconds()) {
        (Argument::None, _) => None,
        (_, Some(limit)) => Some(limit),
        (_, None) => return old,
    };
    Some(match (old.flatten(), new) {
        (Some(old), Some(new)) => Some(old.min(new)),
        (old, new) => old.or(new),
    })
}
