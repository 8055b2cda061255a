//! Which request fields pick a stored response, and their values in comparable form (RFC 9111 §4.1; RFC 9110 §12.5.5).

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderMap, HeaderName, HeaderValue, VARY};

pub use crate::accept_encoding::{accept_encoding, coding_acceptable, coding_preference, is_negotiated};
pub use crate::accept_language::{accept_language, language_preferred, single_language};
use crate::list::{elements, quoted_length};

/// The fields a response's `Vary` names: lower-case, sorted, each once; or `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Vary {
    star: bool,
    names: Vec<HeaderName>,
}

impl Vary {
    /// Reads all `Vary` lines. A member that cannot be a field name counts as `*`: nobody knows what the response depends on.
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut vary = Self::default();
        let lines = headers.get_all(VARY);
        for member in lines.iter().flat_map(|line| elements(line.as_bytes())) {
            // "*" is also a valid token, so it must be asked for too.
            match HeaderName::from_bytes(member) {
                Ok(name) if member != b"*" => vary.names.push(name),
                _ => vary.star = true,
            }
        }
        vary.names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        vary.names.dedup();
        vary
    }

    /// Whether nothing matches this response (RFC 9111 §4.1).
    pub fn is_star(&self) -> bool {
        self.star
    }

    /// The names, sorted; empty when the response serves every request.
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// The same without these names, for what the key has of a request already.
    #[must_use]
    pub fn without(mut self, names: &[HeaderName]) -> Self {
        self.names.retain(|name| !names.contains(name));
        self
    }

    /// The same with one more name, for what a response depends on without saying so.
    #[must_use]
    pub fn with(mut self, name: HeaderName) -> Self {
        let place = self.names.binary_search_by(|known| known.as_str().cmp(name.as_str()));
        if let Err(at) = place {
            self.names.insert(at, name);
        }
        self
    }
}

/// The value of a field in comparable form: two requests match when these are equal (RFC 9111 §4.1).
///
/// Lines are joined with commas and the whitespace around commas outside quoted strings goes; nothing else, because only that is known to change
/// no meaning. `Accept-Encoding` becomes the sorted list of the codings it accepts, of those an origin is asked for; "" is identity
/// only. `Accept-Language` becomes lower case, ordered by weight. For other fields "" means absent; a field that is there but empty is a NUL, which no field value contains. Bytes above 127
/// become the character of the same number, so that different bytes stay different.
pub fn normalise_field<'a>(name: &HeaderName, values: impl Iterator<Item = &'a HeaderValue>) -> String {
    if *name == ACCEPT_ENCODING {
        return crate::accept_encoding::canonical(values).to_owned();
    }
    if *name == ACCEPT_LANGUAGE {
        let lines: Vec<_> = values.collect();
        let canonical = crate::accept_language::canonical(lines.iter().copied());
        return canonical.unwrap_or_else(|| joined(lines.into_iter()));
    }
    joined(values)
}

fn joined<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> String {
    let mut joined = String::new();
    let mut lines = 0;
    for value in values {
        if lines > 0 {
            joined.push(',');
        }
        lines += 1;
        push_folded(&mut joined, value.as_bytes().trim_ascii());
    }
    if lines > 0 && joined.is_empty() {
        joined.push('\0');
    }
    joined
}

/// Appends `line` without the whitespace around commas, except those in quoted strings.
fn push_folded(joined: &mut String, line: &[u8]) {
    let mut rest = line;
    let mut quotes = true;
    while !rest.is_empty() {
        let run = rest.iter().position(|&byte| byte == b',' || (quotes && byte == b'"')).unwrap_or(rest.len());
        push_bytes(joined, &rest[..run]);
        rest = &rest[run..];
        if rest.starts_with(b",") {
            let kept = joined.trim_end_matches([' ', '\t']).len();
            joined.truncate(kept);
            joined.push(',');
            rest = &rest[1 + whitespace(&rest[1..])..];
        } else if let Some(length) = quoted_length(rest) {
            push_bytes(joined, &rest[..length]);
            rest = &rest[length..];
        } else {
            // A lone quote or the end: from here on no quote opens anything.
            quotes = false;
        }
    }
}

/// Each byte as the character of the same number.
fn push_bytes(joined: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => joined.push_str(text),
        _ => joined.extend(bytes.iter().map(|&byte| char::from(byte))),
    }
}

fn whitespace(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}
