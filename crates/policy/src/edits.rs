//! Fields that a rule sets and removes: on the way to the origin (`request`) and to the client (`response`).

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    COOKIE, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, SET_COOKIE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName};

use crate::actions::for_pairs;
use crate::reader::{Read, Reader, Section, Wrong};
use crate::settings::plain;
use crate::table::COMPAT;
use crate::values;

/// Fields that are set and removed. The values are the same for everybody, so nothing comes to depend on a visitor.
#[derive(Clone, Debug, Default)]
pub struct FieldEdits {
    /// In the place of what was there.
    pub set: HeaderMap,
    /// Taken off; a field that is set besides has its set value.
    pub remove: Vec<HeaderName>,
}

impl FieldEdits {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Does it.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for name in self.set.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.append(name, value.clone());
        }
    }

    /// Whether the field is set or removed.
    #[must_use]
    pub fn touches(&self, name: &HeaderName) -> bool {
        self.set.contains_key(name) || self.remove.contains(name)
    }

    /// In words: `sets X-Frame-Options, removes Link`; none where there is nothing to do.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let list = |verb: &str, names: Vec<&str>| (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")));
        let set = list("sets", self.set.keys().map(HeaderName::as_str).collect());
        let removed = list("removes", self.remove.iter().map(HeaderName::as_str).collect());
        let all: Vec<String> = [set, removed].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// What a rule does to the fields on the way to the client.
#[derive(Clone, Debug, Default)]
pub struct ResponseEdits {
    /// Fields that are set and removed.
    pub fields: FieldEdits,
    /// Whether `X-Varnish` and `X-Cacheable` say what plug-ins made for Varnish look for.
    pub varnish: bool,
}

impl ResponseEdits {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.varnish && self.fields.is_empty()
    }

    /// In words, as [`FieldEdits::describe`].
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let compat = self.varnish.then(|| "adds x-varnish, x-cacheable".to_owned());
        let all: Vec<String> = [compat, self.fields.describe()].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// `request` of a rule.
pub(crate) fn request(reader: &mut Reader, rule: &Section<'_>) -> FieldEdits {
    reader
        .subsection(rule, "request")
        .map_or_else(FieldEdits::default, |section| edits(reader, &section, "rules[].request.set", of_the_request))
}

/// `response` of a rule.
pub(crate) fn response(reader: &mut Reader, rule: &Section<'_>) -> ResponseEdits {
    let Some(section) = reader.subsection(rule, "response") else { return ResponseEdits::default() };
    let fields = edits(reader, &section, "rules[].response.set", of_the_response);
    let compat = reader.list(&section, "compat", values::word(COMPAT, &[()]));
    ResponseEdits { fields, varnish: !compat.is_empty() }
}

fn edits(
    reader: &mut Reader,
    section: &Section<'_>,
    path: &str,
    allowed: fn(HeaderName) -> Read<HeaderName>,
) -> FieldEdits {
    let mut set = HeaderMap::new();
    for_pairs(reader, section, "set", path, |reader, key, text, at, node| {
        let name = values::header_name(text).and_then(allowed).map_err(|wrong| reader.wrong_name(key, at, text, wrong));
        let values = reader.items(key, node, &values::header_value);
        if let Ok(name) = name {
            for (value, _) in values {
                set.append(name.clone(), value);
            }
        }
    });
    let remove = plain(reader.list(section, "remove", |text| match values::header_name(text)? {
        // A client's conditions may be kept from the origin; a fill has none of them anyway.
        name if CONDITIONS.contains(&name) => Ok(name),
        name => allowed(name),
    }));
    FieldEdits { set, remove }
}

/// Conditions on a representation (RFC 9110 section 13.1.2, 13.1.3).
const CONDITIONS: [HeaderName; 2] = [IF_NONE_MATCH, IF_MODIFIED_SINCE];

/// Framing, hop-by-hop fields, and what Copal itself reads and writes.
fn of_both(name: HeaderName) -> Read<HeaderName> {
    let own = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, TRAILER, UPGRADE, VIA, CONTENT_RANGE];
    let more = ["keep-alive", "proxy-connection", "cache-status", "cdn-loop"];
    if own.contains(&name) || more.contains(&name.as_str()) {
        return Err(Wrong::because("is Copal's own to set").hint("leave it out"));
    }
    Ok(name)
}

fn of_the_request(name: HeaderName) -> Read<HeaderName> {
    let own =
        [ACCEPT_ENCODING, EXPECT, RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
    match of_both(name)? {
        name if name == COOKIE => Err(Wrong::because("has keys of its own")
            .hint("`sessions` and `cache: { key: { cookies } }` say what becomes of cookies")),
        name if name == HOST => Err(Wrong::because("has a key of its own").hint("use `host` of the origin")),
        name if own.contains(&name) => Err(Wrong::because("is Copal's own to set").hint("leave it out")),
        name => Ok(name),
    }
}

fn of_the_response(name: HeaderName) -> Read<HeaderName> {
    match of_both(name)? {
        name if name == SET_COOKIE => {
            Err(Wrong::because("has a key of its own").hint("use `cache: { strip_cookies: [NAME] }`"))
        }
        name if name == CACHE_CONTROL => {
            Err(Wrong::because("has a key of its own").hint("use `cache: { client_cache_control: ... }`"))
        }
        name if [CONTENT_ENCODING, ACCEPT_RANGES, AGE].contains(&name) => {
            Err(Wrong::because("is Copal's own to set").hint("leave it out"))
        }
        name => Ok(name),
    }
}
