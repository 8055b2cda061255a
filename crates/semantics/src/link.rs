//! `Link` (RFC 8288): the links that are of use to a client before the response is there (RFC 8297).

use http::header::{HeaderMap, HeaderValue, LINK};

use crate::list::quoted_length;

/// Relations that a browser acts on by itself, and that cost nothing but a fetch when they are wrong.
const EARLY: [&[u8]; 4] = [b"preload", b"preconnect", b"modulepreload", b"dns-prefetch"];

/// Longest value that is made, in bytes; links beyond it are left out.
const LIMIT: usize = 4096;

/// The links of a response with a relation of `preload`, `preconnect`, `modulepreload` or `dns-prefetch`, as one `Link` value,
/// each byte for byte as it came. None when there is none, and none of another context (`anchor`, RFC 8288 §3.2).
pub fn early_links(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept = Vec::new();
    for line in headers.get_all(LINK) {
        let mut rest = line.as_bytes();
        let mut quotes = Quotes::default();
        while let Some((link, after)) = next(rest, &mut quotes) {
            rest = after;
            if is_early(link) && kept.len() + 2 + link.len() <= LIMIT {
                if !kept.is_empty() {
                    kept.extend_from_slice(b", ");
                }
                kept.extend_from_slice(link);
            }
        }
    }
    match kept.is_empty() {
        true => None,
        false => HeaderValue::from_bytes(&kept).ok(),
    }
}

/// Quoted strings of one line. A quote without its end is an ordinary byte, and so are all after it: it is looked for once.
struct Quotes(bool);

impl Default for Quotes {
    fn default() -> Self {
        Self(true)
    }
}

impl Quotes {
    /// How many bytes to go on by from a quote.
    fn step(&mut self, text: &[u8]) -> usize {
        let length = if self.0 { quoted_length(text) } else { None };
        self.0 = length.is_some();
        length.unwrap_or(1)
    }
}

/// The first link of `line`, trimmed, and what follows its comma; commas inside `<…>` and quoted strings do not separate. None at the
/// end of the line.
fn next<'a>(line: &'a [u8], quotes: &mut Quotes) -> Option<(&'a [u8], &'a [u8])> {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
    let line = &line[start..];
    let mut at = match line[0] {
        b'<' => line.iter().position(|&byte| byte == b'>').unwrap_or(line.len()),
        _ => 0,
    };
    while let Some(&byte) = line.get(at) {
        match byte {
            b',' => break,
            b'"' => at += quotes.step(&line[at..]),
            _ => at += 1,
        }
    }
    Some((line[..at].trim_ascii(), &line[at..]))
}

/// Whether a link-value has one of the relations, and the response itself for its context.
fn is_early(link: &[u8]) -> bool {
    let Some(link) = link.strip_prefix(b"<") else { return false };
    let Some(end) = link.iter().position(|&byte| byte == b'>') else { return false };
    let (target, rest) = link.split_at(end);
    // No URI has any other byte, nor these two (RFC 3986 §2).
    if target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'"')) {
        return false;
    }
    let mut relations = None;
    for (name, value) in parameters(&rest[1..]) {
        if name.eq_ignore_ascii_case(b"anchor") {
            return false;
        }
        // RFC 8288 §3.3: what comes after the first is ignored.
        if name.eq_ignore_ascii_case(b"rel") && relations.is_none() {
            relations = Some(value);
        }
    }
    let mut relations = relations.unwrap_or_default().split(|byte| matches!(byte, b' ' | b'\t'));
    relations.any(|relation| EARLY.iter().any(|early| relation.eq_ignore_ascii_case(early)))
}

/// The parameters after a link's target: name and value, the value without its quotes (escapes in it are left as they are).
fn parameters(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut quotes = Quotes::default();
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b';'))?;
        rest = &rest[start..];
        let mut end = 0;
        while let Some(&byte) = rest.get(end) {
            match byte {
                b';' => break,
                b'"' => end += quotes.step(&rest[end..]),
                _ => end += 1,
            }
        }
        let (parameter, after) = rest.split_at(end);
        rest = after;
        let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
        let value = parameter.get(equals + 1..).unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        Some((parameter[..equals].trim_ascii(), value))
    })
}
