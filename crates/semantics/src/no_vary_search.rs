//! `No-Vary-Search`: which parts of the query a response does not depend on (draft-ietf-httpbis-no-vary-search).

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName};

use crate::encoding::{encoded_byte, is_unreserved, push_encoded};
use crate::structured::{Item, dictionary};

static NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// How the query counts; always less than to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoVarySearch {
    any_order: bool,
    parameters: Parameters,
}

/// Which parameters count; names are decoded and sorted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Parameters {
    /// All but these.
    Except(Vec<Vec<u8>>),
    /// None but these.
    Only(Vec<Vec<u8>>),
}

/// A parameter of a query, decoded.
type Pair<'q> = (Cow<'q, [u8]>, Cow<'q, [u8]>);

impl NoVarySearch {
    /// Reads the field of a response. `None` when it is absent or says that the whole query counts, and as well when anything in it is not
    /// as it should be: a response is then reused less often, never wrongly. Unknown keys are ignored.
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(&NO_VARY_SEARCH) {
            return None;
        }
        let members = dictionary(headers, &NO_VARY_SEARCH)?;
        let value = |wanted: &str| members.iter().find(|(key, _)| key == wanted).map(|(_, item)| item);
        let any_order = match value("key-order") {
            None => false,
            Some(Item::Boolean(any_order)) => *any_order,
            Some(_) => return None,
        };
        let parameters = match (value("params"), value("except")) {
            (Some(Item::Boolean(true)), None) => Parameters::Only(Vec::new()),
            (Some(Item::Boolean(true)), Some(except)) => Parameters::Only(names(except)?),
            // Exceptions from a list, or from nothing, mean nothing.
            (_, Some(_)) => return None,
            (None | Some(Item::Boolean(false)), None) => Parameters::Except(Vec::new()),
            (Some(list), None) => Parameters::Except(names(list)?),
        };
        let whole = !any_order && parameters == Parameters::Except(Vec::new());
        (!whole).then_some(Self { any_order, parameters })
    }

    /// What of a query counts, in a form that is the same for two queries exactly when they are equivalent; `None` when nothing does.
    ///
    /// Queries are compared as `application/x-www-form-urlencoded`: percent-encodings and `+` decoded, empty parameters dropped, `a` as `a=`.
    /// Other than in the draft, octets that are no UTF-8 are not all the same: `%E4` and `%F6` are two letters where the origin
    /// reads Latin-1.
    pub fn normalise<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let query = query?;
        let mut pairs: Vec<Pair<'q>> = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                (decode(name), decode(value))
            })
            .filter(|(name, _)| self.counts(name))
            .collect();
        if self.any_order {
            // Stable: the order of parameters of one name counts always.
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
        }
        if pairs.is_empty() {
            return None;
        }
        let normal = encode(&pairs, query.len());
        Some(if normal == query { Cow::Borrowed(query) } else { Cow::Owned(normal) })
    }

    fn counts(&self, name: &[u8]) -> bool {
        let is_in = |names: &[Vec<u8>]| names.binary_search_by(|known| known.as_slice().cmp(name)).is_ok();
        match &self.parameters {
            Parameters::Except(names) => !is_in(names),
            Parameters::Only(names) => is_in(names),
        }
    }
}

/// The names of an inner list of strings, which may be percent-encoded; `None` when it is anything else.
fn names(item: &Item) -> Option<Vec<Vec<u8>>> {
    let Item::InnerList(items) = item else {
        return None;
    };
    let name = |item: &Item| match item {
        Item::String(name) => Some(decode(name).into_owned()),
        _ => None,
    };
    let mut names: Vec<_> = items.iter().map(name).collect::<Option<_>>()?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// Percent-encodings and `+` resolved; what is no encoding stays as it is.
fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(decoded) = encoded_byte(rest) {
            plain.push(decoded);
            rest = &rest[3..];
        } else {
            plain.push(if byte == b'+' { b' ' } else { byte });
            rest = after;
        }
    }
    Cow::Owned(plain)
}

/// Parameters in their one form: what needs no encoding has none, a space is `+`, an empty value has no `=`.
fn encode(pairs: &[Pair<'_>], room: usize) -> String {
    let mut text = String::with_capacity(room);
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        push_component(&mut text, name, false);
        // Without a name the `=` stays: nothing at all is no parameter.
        if !value.is_empty() || name.is_empty() {
            text.push('=');
            push_component(&mut text, value, true);
        }
    }
    text
}

fn push_component(text: &mut String, component: &[u8], is_value: bool) {
    for &byte in component {
        match byte {
            b' ' => text.push('+'),
            b'=' if is_value => text.push('='),
            b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b',' | b';' | b':' | b'@' | b'/' | b'?' => {
                text.push(char::from(byte))
            }
            _ if is_unreserved(byte) => text.push(char::from(byte)),
            _ => push_encoded(text, byte),
        }
    }
}
