//! Which request fields pick a stored response, and their values in comparable form (RFC 9111 §4.1; RFC 9110 §12.5.3, §12.5.5).

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, VARY};

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
/// only. For other fields "" means absent; a field that is there but empty is a NUL, which no field value contains. Bytes above 127
/// become the character of the same number, so that different bytes stay different.
pub fn normalise_field<'a>(name: &HeaderName, values: impl Iterator<Item = &'a HeaderValue>) -> String {
    if *name == ACCEPT_ENCODING {
        return CANONICAL[Codings::parse(values).accepted()].to_owned();
    }
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

const BR: usize = 1;
const DEFLATE: usize = 2;
const GZIP: usize = 4;
const ZSTD: usize = 8;
const ALL: usize = BR | DEFLATE | GZIP | ZSTD;

/// The canonical `Accept-Encoding` of each set of codings.
static CANONICAL: [&str; 16] = [
    "",
    "br",
    "deflate",
    "br, deflate",
    "gzip",
    "br, gzip",
    "deflate, gzip",
    "br, deflate, gzip",
    "zstd",
    "br, zstd",
    "deflate, zstd",
    "br, deflate, zstd",
    "gzip, zstd",
    "br, gzip, zstd",
    "deflate, gzip, zstd",
    "br, deflate, gzip, zstd",
];

/// What `Accept-Encoding` says of the codings an origin is asked for, as bit sets.
#[derive(Default)]
struct Codings {
    named: usize,
    refused: usize,
    star: Option<bool>,
}

impl Codings {
    fn parse<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Self {
        let mut codings = Self::default();
        for value in values {
            // What browsers send, word for word.
            match value.as_bytes() {
                b"gzip, deflate, br, zstd" => codings.named |= ALL,
                b"gzip, deflate, br" => codings.named |= GZIP | DEFLATE | BR,
                b"gzip, deflate" => codings.named |= GZIP | DEFLATE,
                b"gzip" => codings.named |= GZIP,
                line => line.split(|&byte| byte == b',').for_each(|member| codings.add(member)),
            }
        }
        codings
    }

    fn add(&mut self, member: &[u8]) {
        let (coding, acceptable) = weighted(member);
        if coding == b"*" {
            self.star = Some(acceptable && self.star.unwrap_or(true));
        }
        let bit = bit(coding);
        self.named |= bit;
        if !acceptable {
            self.refused |= bit;
        }
    }

    fn accepted(&self) -> usize {
        let rest = if self.star == Some(true) { ALL & !self.named } else { 0 };
        (self.named | rest) & !self.refused & ALL
    }
}

fn bit(coding: &[u8]) -> usize {
    let is = |known: &[u8]| coding.eq_ignore_ascii_case(known);
    if is(b"gzip") || is(b"x-gzip") {
        GZIP
    } else if is(b"br") {
        BR
    } else if is(b"zstd") {
        ZSTD
    } else if is(b"deflate") {
        DEFLATE
    } else {
        0
    }
}

/// A member of `Accept-Encoding` and whether its weight is above zero (RFC 9110 §12.4.2); a weight that is none counts as zero.
fn weighted(member: &[u8]) -> (&[u8], bool) {
    let mut parts = member.split(|&byte| byte == b';');
    let coding = parts.next().unwrap_or_default().trim_ascii();
    let acceptable = parts.all(|parameter| match parameter.trim_ascii() {
        [b'q' | b'Q', b'=', weight @ ..] => is_positive(weight),
        _ => true,
    });
    (coding, acceptable)
}

fn is_positive(weight: &[u8]) -> bool {
    let (whole, fraction) = match weight {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] => (*whole, fraction),
        _ => return false,
    };
    fraction.iter().all(u8::is_ascii_digit) && (whole == b'1' || fraction.iter().any(|&digit| digit != b'0'))
}

/// The `Accept-Encoding` to send to the origin in place of the client's: sorted, only br, deflate, gzip and zstd, without weights, so
/// that few variants arise. `None` when the client accepts none of them; then none is sent. Never allocates.
pub fn accept_encoding(request: &HeaderMap) -> Option<HeaderValue> {
    match Codings::parse(request.get_all(ACCEPT_ENCODING).iter()).accepted() {
        0 => None,
        accepted => Some(HeaderValue::from_static(CANONICAL[accepted])),
    }
}

/// Whether the client accepts content in this coding (RFC 9110 §12.5.3); of several codings, all must be acceptable. A request without
/// `Accept-Encoding` accepts any. Never allocates.
pub fn coding_acceptable(content_encoding: &HeaderValue, request: &HeaderMap) -> bool {
    if !request.contains_key(ACCEPT_ENCODING) {
        return true;
    }
    content_encoding
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty())
        .all(|coding| is_accepted(coding, request))
}

fn is_accepted(coding: &[u8], request: &HeaderMap) -> bool {
    let wanted = plain_name(coding);
    let mut named = None;
    let mut star = None;
    let lines = request.get_all(ACCEPT_ENCODING).iter();
    for member in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
        let (coding, acceptable) = weighted(member);
        if plain_name(coding).eq_ignore_ascii_case(wanted) {
            named = Some(acceptable && named.unwrap_or(true));
        } else if coding == b"*" {
            star = Some(acceptable && star.unwrap_or(true));
        }
    }
    // Identity is acceptable unless it is refused, any other coding only when it is named.
    let unnamed = wanted.eq_ignore_ascii_case(b"identity");
    named.or(star).unwrap_or(unnamed)
}

/// RFC 9110 §8.4.1.3: `x-gzip` is `gzip` (and §8.4.1.1: `x-compress` is `compress`).
fn plain_name(coding: &[u8]) -> &[u8] {
    if coding.eq_ignore_ascii_case(b"x-gzip") {
        b"gzip"
    } else if coding.eq_ignore_ascii_case(b"x-compress") {
        b"compress"
    } else {
        coding
    }
}
