//! Text with variables in it: the content of `<esi:vars>`, and attributes (ESI 1.0, section 4.2).

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use crate::escape::Escape;
use crate::expression::{Context, Dialect, Expression, substitution};
use crate::template::SHARED_BUFFER;

/// The longest `$(…)` that is read, in bytes.
const MAX_SUBSTITUTION: usize = 4096;
/// Bytes that `$(` which cannot be read may cost in one text, and for each byte of it; what follows then is text. Without this a
/// text of nothing else would be read as often as a substitution may be long.
const BROKEN: usize = 1 << 20;
const BROKEN_A_BYTE: usize = 16;

/// Text and substitutions in turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpolation {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Bytes),
    Value(Expression),
}

/// What becomes of a text that has no substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// None: there is nothing to substitute.
    pub(crate) interpolation: Option<Interpolation>,
    /// How many `$(` cannot be read; they stay as they are.
    pub(crate) broken: usize,
}

impl Interpolation {
    /// Reads text of any encoding; a substitution itself is ASCII or UTF-8.
    pub(crate) fn read(text: &Bytes, dialect: Dialect) -> Read {
        let (mut parts, mut broken) = (Vec::new(), 0);
        // `from` begins what is not in a part yet, `at` what is not looked at yet.
        let (mut from, mut at) = (0, 0);
        let mut left = BROKEN.saturating_add(text.len().saturating_mul(BROKEN_A_BYTE));
        // What is known to be UTF-8, and where it begins.
        let (mut known, mut begin) = ("", 0);
        while let Some(dollar) = memchr(b'$', text.get(at..).unwrap_or_default()).map(|found| at + found) {
            if dollar >= begin + known.len() {
                (known, begin) = (valid(&text[dollar..]), dollar);
            }
            let window = known.get(dollar - begin..).unwrap_or_default();
            let window = &window[..window.floor_char_boundary(MAX_SUBSTITUTION)];
            match substitution(window, dialect) {
                Ok((expression, length)) => {
                    if from < dollar {
                        parts.push(Part::Text(text.slice(from..dollar)));
                    }
                    parts.push(Part::Value(expression));
                    (from, at) = (dollar + length, dollar + length);
                }
                Err(length) => {
                    broken += usize::from(window.starts_with("$("));
                    at = dollar + length;
                    // Before a name nothing is read.
                    let named = window[1..]
                        .trim_start_matches('(')
                        .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                    left = left.saturating_sub(if named { window.len() } else { 1 });
                    if left == 0 {
                        break;
                    }
                }
            }
        }
        if parts.is_empty() {
            return Read { interpolation: None, broken };
        }
        if from < text.len() {
            parts.push(Part::Text(text.slice(from..)));
        }
        Read { interpolation: Some(Self { parts }), broken }
    }

    /// Puts it out: the text as it stands, the values made safe.
    pub(crate) fn put(&self, context: &mut Context<'_>, escape: Escape, mut out: impl FnMut(Bytes)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out(text.clone()),
                Part::Value(expression) => {
                    let value = context.evaluate(expression).to_string();
                    if !value.is_empty() && context.scope.pay(value.len()) {
                        out(Bytes::from(escape.apply(&value)));
                    }
                }
            }
        }
    }

    /// As a URI reference. A request's variable becomes one component of it: whoever sends it cannot choose another path
    /// or host. `$(QUERY_STRING)` as a whole keeps its structure where a query stands, and what the template itself has
    /// assigned or computed everywhere. Where a value would lead elsewhere all the same, the reference leads nowhere
    /// ([`UNSOUND`]).
    pub(crate) fn reference(&self, context: &mut Context<'_>) -> String {
        let (mut reference, mut values) = (String::new(), Vec::new());
        for part in &self.parts {
            match part {
                Part::Text(text) => reference.push_str(&String::from_utf8_lossy(text)),
                Part::Value(expression) => {
                    let value = context.evaluate(expression).to_string();
                    let start = reference.len();
                    let origin = origin(expression, context);
                    match origin {
                        Origin::Query if !reference.contains('?') => Escape::Url.push(&value, &mut reference),
                        Origin::Request => Escape::Url.push(&value, &mut reference),
                        Origin::Query | Origin::Host | Origin::Template => keep_structure(&value, &mut reference),
                    }
                    if origin != Origin::Template {
                        values.push(start..reference.len());
                    }
                }
            }
        }
        if is_sound(&reference, &values) { reference } else { format!("{UNSOUND}{reference}") }
    }

    /// The text between the values, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Value(_) => None,
        })
    }

    /// The same with each text replaced.
    pub(crate) fn with_text(&self, text: &mut dyn FnMut(&Bytes) -> Bytes) -> Self {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(part) => Part::Text(text(part)),
            Part::Value(value) => Part::Value(value.clone()),
        });
        Self { parts: parts.collect() }
    }

    /// Heap bytes beyond the text.
    pub(crate) fn weight(&self) -> usize {
        let inside = |part: &Part| match part {
            Part::Text(_) => SHARED_BUFFER,
            Part::Value(expression) => expression.weight(),
        };
        self.parts.iter().map(|part| size_of::<Part>() + inside(part)).sum()
    }
}

/// Begins a reference that a visitor's value would have led elsewhere: a scheme by which nothing can be fetched, so that such an include fails.
const UNSOUND: &str = "invalid:";

/// Whose words a value is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Request,
    /// The page's own host, which was checked when the request came.
    Host,
    /// The whole query.
    Query,
    Template,
}

fn origin(expression: &Expression, context: &Context<'_>) -> Origin {
    match expression {
        Expression::Variable(variable) if !context.scope.has(&variable.name) => {
            match (&*variable.name, &variable.key) {
                ("QUERY_STRING", None) => Origin::Query,
                ("HTTP_HOST", None) => Origin::Host,
                _ => Origin::Request,
            }
        }
        _ => Origin::Template,
    }
}

/// Whether no value, or its absence, made a dot segment, which escaping cannot take the meaning of (RFC 3986, section 6.2.2.2), and no empty one made
/// two slashes the beginning of an authority.
fn is_sound(reference: &str, values: &[Range<usize>]) -> bool {
    let makes_authority = |value: &Range<usize>| {
        let before = reference[..value.start].strip_suffix('/');
        value.is_empty()
            && reference[value.end..].starts_with('/')
            && before.is_some_and(|before| before.is_empty() || (before.ends_with(':') && !before.contains('/')))
    };
    if values.iter().any(makes_authority) {
        return false;
    }
    let (path, mut start) = (reference.split(['?', '#']).next().unwrap_or_default(), 0);
    for segment in path.split('/') {
        let end = start + segment.len();
        let touched = values.iter().any(|value| start <= value.start && value.end <= end);
        if touched && matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..") {
            return false;
        }
        start = end + 1;
    }
    true
}

/// Leaves what a URI reference may have; anything else becomes `%XX`.
fn keep_structure(value: &str, reference: &mut String) {
    for character in value.chars() {
        if character.is_ascii_alphanumeric() || "-._~:/?#[]@!&()*+,;=%".contains(character) {
            reference.push(character);
        } else {
            Escape::Url.push(character.encode_utf8(&mut [0; 4]), reference);
        }
    }
}

/// As much of the bytes as is UTF-8.
fn valid(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}
