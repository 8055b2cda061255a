//! Cache directives for this cache in particular (RFC 9213; Edge Architecture Specification 1.0, W3C Note 2001).

use std::borrow::Cow;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName};

use crate::directives::{ResponseDirectives, shorten};
use crate::list::{Argument, delta_seconds, directive, elements};
use crate::structured::{Item, dictionary};

/// `Surrogate-Control` of the Edge Architecture Specification.
static SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Which fields are asked, in this order, before `Cache-Control`.
pub static DEFAULT_ORDER: [HeaderName; 3] = [
    HeaderName::from_static("copal-cdn-cache-control"),
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
];

/// The name under which `Surrogate-Control` may address this surrogate (`;copal`).
const SURROGATE_NAME: &str = "copal";

/// Which kind of field the directives in force came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `Cache-Control` and `Expires`; also when there is neither.
    CacheControl,
    /// A targeted field of RFC 9213.
    Targeted,
    /// `Surrogate-Control`.
    SurrogateControl,
}

/// The directives in force: those of the first field of `order` that is there and valid, else of `Cache-Control` (RFC 9213 §2.2).
///
/// From a targeted field they have [`ResponseDirectives::targeted`] set: then `Cache-Control` and `Expires` are void. A
/// `Surrogate-Control` that says nothing about storing (`content=` alone) leaves `Cache-Control` in force. `max-age=N+M` gives M as
/// stale-while-revalidate.
pub fn effective_directives(headers: &HeaderMap, order: &[HeaderName]) -> (ResponseDirectives, Source) {
    for name in order {
        // Mostly there is none of them.
        if !headers.contains_key(name) {
            continue;
        }
        if *name == SURROGATE_CONTROL {
            let control = SurrogateControl::parse(headers);
            if let Some(directives) = control.and_then(|control| control.directives()) {
                return (directives, Source::SurrogateControl);
            }
        } else if let Some(directives) = targeted(headers, name) {
            return (directives, Source::Targeted);
        }
    }
    (ResponseDirectives::parse(headers), Source::CacheControl)
}

/// The directives of a targeted field; `None` when it is empty or not a dictionary (RFC 9213 §2.1).
///
/// A value of another type than the directive has is not consumed. Where that is the lifetime, the field is ignored as a whole, as a
/// field in error is: the origin's other word on the response is then the better one. Only what forbids something is never lost: such
/// a field counts, with a lifetime of zero.
fn targeted(headers: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    let mut directives = ResponseDirectives { targeted: true, ..ResponseDirectives::default() };
    let mut unreadable = false;
    for (key, item) in dictionary(headers, name)? {
        match key.as_str() {
            "max-age" | "s-maxage" => match item {
                Item::Integer(seconds) => directives.apply(key.as_bytes(), &digits(seconds)),
                _ => unreadable = true,
            },
            "stale-while-revalidate" | "stale-if-error" => match item {
                Item::Integer(seconds) => directives.apply(key.as_bytes(), &digits(seconds)),
                _ => directives.apply(key.as_bytes(), &Argument::Malformed),
            },
            _ => other(&mut directives, &key, item),
        }
    }
    if unreadable {
        let forbids = directives.no_store || directives.private.is_present() || directives.no_cache.is_present();
        directives.max_age = Some(Duration::ZERO);
        return forbids.then_some(directives);
    }
    Some(directives)
}

/// A directive that is no number: true, or for `private` and `no-cache` a string of field names. One that forbids something counts with
/// any value but false, one that allows something only when it is true.
fn other(directives: &mut ResponseDirectives, key: &str, item: Item) {
    let (name, argument) = match (key, item) {
        (_, Item::Boolean(false)) => return,
        (_, Item::Boolean(true)) => (key, Argument::None),
        ("public" | "must-understand" | "immutable", _) => return,
        // It also gives leave to share (RFC 9111 §3.5); this one only forbids.
        ("must-revalidate", _) => ("proxy-revalidate", Argument::None),
        (_, Item::String(text)) => (key, Argument::Text(Cow::Owned(text.into_bytes()))),
        (_, _) => (key, Argument::None),
    };
    directives.apply(name.as_bytes(), &argument);
}

/// A negative number is none of seconds: invalid, so zero.
fn digits(seconds: i64) -> Argument<'static> {
    Argument::Text(Cow::Owned(seconds.to_string().into_bytes()))
}

/// What `Surrogate-Control` says to this surrogate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SurrogateControl {
    /// `no-store`. Not `no-store-remote`, which is for surrogates far from the origin; this one stands in front of it. Also `private`
    /// and `no-cache`, which the specification does not know here, yet some origins send.
    pub no_store: bool,
    /// N of `max-age=N+M`: the freshness lifetime. An invalid one is zero.
    pub max_age: Option<Duration>,
    /// M of `max-age=N+M`, or `stale-while-revalidate`: how long stale may be served beyond that.
    pub stale: Option<Duration>,
    /// `stale-if-error`, which some origins send.
    pub stale_if_error: Option<Duration>,
    /// The capabilities that `content="ESI/1.0 …"` asks for.
    pub content: Vec<String>,
}

impl SurrogateControl {
    /// Reads all `Surrogate-Control` lines; `None` when there is none. Directives with a target (`;name`) count only for that
    /// surrogate, and there before the general ones.
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        // Asked of every response: a walk over its few fields costs less than to look for a name that is not there.
        if !headers.keys().any(|name| *name == SURROGATE_CONTROL) {
            return None;
        }
        let mut general = Self::default();
        let mut own = Self::default();
        for line in headers.get_all(&SURROGATE_CONTROL) {
            for element in elements(line.as_bytes()) {
                let (element, target) = split_target(element);
                match target {
                    None => general.add(element),
                    Some(name) if name.eq_ignore_ascii_case(SURROGATE_NAME.as_bytes()) => {
                        own.add(element);
                    }
                    Some(_) => {}
                }
            }
        }
        if own.max_age.is_none() {
            own.max_age = general.max_age;
            own.stale = own.stale.or(general.stale);
        }
        own.stale_if_error = own.stale_if_error.or(general.stale_if_error);
        if own.content.is_empty() {
            own.content = general.content;
        }
        own.no_store |= general.no_store;
        Some(own)
    }

    /// Whether the origin asks for ESI: a content token `ESI/…`.
    pub fn wants_esi(&self) -> bool {
        self.content.iter().any(|token| token.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("ESI/")))
    }

    fn add(&mut self, element: &[u8]) {
        let (name, argument) = directive(element);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-store") || is("private") || is("no-cache") {
            self.no_store = true;
        } else if is("stale-while-revalidate") {
            shorten(&mut self.stale, &argument);
        } else if is("stale-if-error") {
            shorten(&mut self.stale_if_error, &argument);
        } else if is("max-age") {
            let (fresh, stale) = match &argument {
                Argument::Text(text) => fresh_and_stale(text),
                Argument::None | Argument::Malformed => None,
            }
            .unwrap_or_default();
            // Of two the shorter counts, as for Cache-Control.
            self.max_age = Some(self.max_age.map_or(fresh, |old| old.min(fresh)));
            self.stale = self.stale.min(stale).or(self.stale).or(stale);
        } else if is("content")
            && let Argument::Text(text) = &argument
        {
            let text = String::from_utf8_lossy(text);
            self.content.extend(text.split_ascii_whitespace().map(str::to_owned));
        }
    }

    /// As directives; `None` when it says nothing about storing.
    fn directives(&self) -> Option<ResponseDirectives> {
        (self.no_store || self.max_age.is_some()).then(|| ResponseDirectives {
            no_store: self.no_store,
            max_age: self.max_age,
            stale_while_revalidate: self.stale,
            stale_if_error: self.stale_if_error,
            targeted: true,
            ..ResponseDirectives::default()
        })
    }
}

/// `N` or `N+M`.
fn fresh_and_stale(text: &[u8]) -> Option<(Duration, Option<Duration>)> {
    match text.iter().position(|&byte| byte == b'+') {
        None => Some((delta_seconds(text)?, None)),
        Some(plus) => {
            let (fresh, stale) = (&text[..plus], &text[plus + 1..]);
            Some((delta_seconds(fresh)?, Some(delta_seconds(stale)?)))
        }
    }
}

/// Splits `directive;target`; a semicolon inside a quoted string separates nothing.
fn split_target(element: &[u8]) -> (&[u8], Option<&[u8]>) {
    let quotes_end = element.iter().rposition(|&byte| byte == b'"').map_or(0, |at| at + 1);
    match element[quotes_end..].iter().position(|&byte| byte == b';') {
        None => (element, None),
        Some(at) => {
            let (directive, target) = element.split_at(quotes_end + at);
            (directive.trim_ascii_end(), Some(target[1..].trim_ascii()))
        }
    }
}
