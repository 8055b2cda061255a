//! Comma-separated lists with quoted strings (RFC 9110 §5.6.1, §5.6.4), the ground that several parsers stand on.

use std::borrow::Cow;
use std::time::Duration;

/// The value for every delta-seconds that is larger (RFC 9111 §1.2.2): 2^31 seconds.
pub(crate) const LONGEST: Duration = Duration::from_secs(1 << 31);

/// The elements of one field line, trimmed, empty ones skipped; commas inside quoted strings do not separate.
///
/// A quote without its end is an ordinary byte, so that a broken value hides none of the directives after it.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    separator: u8,
    quotes: bool,
}

/// The elements of `line`.
pub(crate) fn elements(line: &[u8]) -> Elements<'_> {
    Elements { rest: line, separator: b',', quotes: true }
}

/// An element and its parameters (RFC 9110 §5.6.6): what stands between semicolons.
pub(crate) fn parts(element: &[u8]) -> Elements<'_> {
    Elements { rest: element, separator: b';', quotes: true }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = self.element_end();
            let (element, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

impl Elements<'_> {
    fn element_end(&mut self) -> usize {
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                _ if byte == self.separator => return at,
                b'"' if self.quotes => match quoted_length(&self.rest[at..]) {
                    Some(length) => at += length,
                    None => {
                        // Remembered, or a line of lone quotes would be searched once per quote.
                        self.quotes = false;
                        at += 1;
                    }
                },
                _ => at += 1,
            }
        }
        self.rest.len()
    }
}

/// The length of the quoted string at the start of `text` with both quotes, if it has its end.
pub(crate) fn quoted_length(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The argument of a directive or parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// There is none.
    None,
    /// A token, or the content of a quoted string without its quotes and escapes.
    Text(Cow<'a, [u8]>),
    /// There is one, but not in a form the grammar knows.
    Malformed,
}

impl Argument<'_> {
    /// As delta-seconds (RFC 9111 §1.2.2); `None` when it is none.
    pub(crate) fn seconds(&self) -> Option<Duration> {
        match self {
            Argument::Text(text) => delta_seconds(text),
            Argument::None | Argument::Malformed => None,
        }
    }
}

/// Splits `name`, `name=token` or `name="quoted"`. Whitespace around `=` is not in the grammar: the argument is malformed.
pub(crate) fn directive(element: &[u8]) -> (&[u8], Argument<'_>) {
    let Some(equals) = element.iter().position(|&byte| byte == b'=') else {
        return (element, Argument::None);
    };
    let (name, value) = element.split_at(equals);
    let value = value.get(1..).unwrap_or_default();
    let trimmed = name.trim_ascii_end();
    if trimmed.len() != name.len() {
        return (trimmed, Argument::Malformed);
    }
    (name, argument(value))
}

fn argument(value: &[u8]) -> Argument<'_> {
    if value.first() == Some(&b'"') {
        return match quoted_length(value) {
            Some(length) if length == value.len() => Argument::Text(unescape(&value[1..length - 1])),
            _ => Argument::Malformed,
        };
    }
    if value.is_empty() || value.iter().any(|byte| b" \t\"".contains(byte)) {
        return Argument::Malformed;
    }
    Argument::Text(Cow::Borrowed(value))
}

/// Resolves the quoted pairs of a quoted string's content (RFC 9110 §5.6.4).
fn unescape(content: &[u8]) -> Cow<'_, [u8]> {
    if !content.contains(&b'\\') {
        return Cow::Borrowed(content);
    }
    let mut plain = Vec::with_capacity(content.len());
    let mut bytes = content.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    Cow::Owned(plain)
}

/// A non-negative number of seconds; more than 2^31 counts as 2^31 (RFC 9111 §1.2.2). `None` when it is anything but digits.
pub(crate) fn delta_seconds(text: &[u8]) -> Option<Duration> {
    number(text).map(|seconds| Duration::from_secs(seconds).min(LONGEST))
}

/// One or more decimal digits; saturates at `u64::MAX`.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// A weight in thousandths (RFC 9110 §12.4.2): 0 to 1 with at most three decimals. More decimals, which some send, are cut off, but what is
/// above zero stays so.
pub(crate) fn quality(weight: &[u8]) -> Option<u16> {
    let (whole, fraction) = match weight {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] => (*whole, fraction),
        _ => return None,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if whole == b'1' {
        return Some(1000);
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let positive = fraction.iter().any(|&digit| digit != b'0');
    Some(thousandths.max(u16::from(positive)))
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_tchar(byte: u8) -> bool {
    TCHAR[byte as usize]
}

/// For each byte whether it may stand in a token: asked for every byte of what every response says of the cache.
static TCHAR: [bool; 256] = {
    const MARKS: &[u8] = b"!#$%&'*+-.^_`|~";
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < MARKS.len() {
        table[MARKS[mark] as usize] = true;
        mark += 1;
    }
    table
};
