//! The functions of the Akamai dialect that need nothing but their arguments, the time and chance.

use std::sync::Arc;

use super::evaluate::{Context, MAX_ITEMS};
use super::library;
use crate::escape::Escape;
use crate::value::Value;

/// Longest text that a function may make, in bytes.
const MAX_TEXT: usize = 1 << 20;

macro_rules! functions {
    ($($name:ident = $word:literal,)+) => {
        /// A function that is built in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($name,)+ }

        impl Function {
            /// The function of that name.
            pub(crate) fn named(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

functions! {
    Lower = "lower", Upper = "upper", LeftStrip = "lstrip", RightStrip = "rstrip", Strip = "strip", Substring = "substr",
    Replace = "replace", Text = "str", Join = "join", Split = "string_split", HtmlEncode = "html_encode",
    HtmlDecode = "html_decode", UrlEncode = "url_encode", UrlDecode = "url_decode", Base64Encode = "base64_encode",
    Base64Decode = "base64_decode", Dollar = "dollar", DoubleQuote = "dquote", SingleQuote = "squote", Integer = "int",
    Exists = "exists", IsEmpty = "is_empty", Length = "len", DeleteItem = "list_delitem", Index = "index",
    LastIndex = "rindex", BinaryInteger = "bin_int", Time = "time", HttpTime = "http_time", Random = "rand",
    LastRandom = "last_rand", FormatTime = "strftime", Md5 = "digest_md5", Md5Hex = "digest_md5_hex",
    ToUnicode = "convert_to_unicode", FromUnicode = "convert_from_unicode", AddHeader = "add_header", SetResponseCode = "set_response_code", SetRedirect = "set_redirect",
}

impl Function {
    /// What it comes to.
    pub(crate) fn call(self, arguments: &[Value], context: &mut Context<'_>) -> Value {
        let first = arguments.first().cloned().unwrap_or_default();
        let second = arguments.get(1).cloned().unwrap_or_default();
        let third = arguments.get(2);
        let value = match self {
            Self::Time => Value::Integer(i64::try_from(context.variables.now()).unwrap_or(i64::MAX)),
            Self::HttpTime => {
                let at = first.integer().and_then(|at| u64::try_from(at).ok());
                Value::text(http_date(at.unwrap_or_else(|| context.variables.now())))
            }
            Self::FormatTime => {
                let at = first.integer().unwrap_or_else(|| i64::try_from(context.variables.now()).unwrap_or(i64::MAX));
                library::strftime(at, &second.to_string()).map(Value::text).unwrap_or_default()
            }
            Self::Random => {
                let limit = first.integer().filter(|limit| *limit > 0).unwrap_or(100_000_000);
                let random = i64::try_from(context.variables.random() >> 1).unwrap_or_default() % limit;
                context.scope.last_random = random;
                Value::Integer(random)
            }
            Self::LastRandom => Value::Integer(context.scope.last_random),
            _ => self.pure(&first, &second, third).unwrap_or_default(),
        };
        if value.weight() > MAX_TEXT || !context.scope.pay(value.weight()) { Value::Undefined } else { value }
    }

    fn pure(self, first: &Value, second: &Value, third: Option<&Value>) -> Option<Value> {
        let text = first.to_string();
        Some(match self {
            Self::Lower => Value::text(text.to_lowercase()),
            Self::Upper => Value::text(text.to_uppercase()),
            Self::LeftStrip => Value::text(text.trim_start()),
            Self::RightStrip => Value::text(text.trim_end()),
            Self::Strip => Value::text(text.trim()),
            Self::Substring => substring(&text, second.integer()?, third.and_then(Value::integer)),
            Self::Replace => replace(&text, &second.to_string(), &third?.to_string())?,
            Self::Text => Value::text(text),
            Self::Join => join(first, &second.to_string())?,
            Self::Split => split(&text, &second.to_string()),
            Self::HtmlEncode => Value::text(Escape::Markup.apply(&text)),
            Self::HtmlDecode => Value::text(crate::tag::decode(&text).into_owned()),
            Self::UrlEncode => Value::text(Escape::Url.apply(&text)),
            Self::UrlDecode => Value::text(url_decode(&text)),
            Self::Base64Encode => Value::text(base64_encode(text.as_bytes())),
            Self::Base64Decode => Value::text(base64_decode(&text)?),
            Self::Dollar => Value::text("$"),
            Self::DoubleQuote => Value::text("\""),
            Self::SingleQuote => Value::text("'"),
            Self::Integer => Value::Integer(first.integer().unwrap_or_default()),
            Self::Exists => Value::Boolean(*first != Value::Undefined),
            Self::IsEmpty => Value::Boolean(first.is_empty()),
            Self::Length => Value::Integer(i64::try_from(length(first)).ok()?),
            Self::DeleteItem => delete_item(first, second.integer()?)?,
            Self::Index => position(text.find(&second.to_string())),
            Self::LastIndex => position(text.rfind(&second.to_string())),
            Self::BinaryInteger => Value::Integer(i64::from_str_radix(text.trim(), 2).ok()?),
            Self::Md5 => Value::List(library::md5_numbers(&text).into_iter().map(Value::Integer).collect()),
            Self::Md5Hex => Value::text(library::md5_hex(&text)),
            // All text is in UTF-8 here.
            Self::ToUnicode | Self::FromUnicode => Value::text(text),
            // The head has gone before the page is put together.
            Self::AddHeader | Self::SetResponseCode | Self::SetRedirect => Value::Undefined,
            Self::Time | Self::HttpTime | Self::FormatTime | Self::Random | Self::LastRandom => return None,
        })
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::List(items) => items.len(),
        Value::Dictionary(entries) => entries.len(),
        other => other.to_string().chars().count(),
    }
}

fn position(found: Option<usize>) -> Value {
    Value::Integer(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

/// `count` characters from `start`, which counts from the end when it is negative.
fn substring(text: &str, start: i64, count: Option<i64>) -> Value {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let start = if start < 0 { length.saturating_add(start).max(0) } else { start };
    // A negative count leaves off so many characters at the end.
    let count =
        count.map_or(
            length,
            |count| {
                if count < 0 { length.saturating_sub(start).saturating_add(count).max(0) } else { count }
            },
        );
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    let take = usize::try_from(count).unwrap_or(usize::MAX);
    Value::text(text.chars().skip(skip).take(take).collect::<String>())
}

fn replace(text: &str, from: &str, to: &str) -> Option<Value> {
    if from.is_empty() {
        return Some(Value::text(text));
    }
    let times = text.matches(from).count();
    let grown = text.len().saturating_add(times.saturating_mul(to.len()));
    (grown <= MAX_TEXT).then(|| Value::text(text.replace(from, to)))
}

fn join(list: &Value, separator: &str) -> Option<Value> {
    let Value::List(items) = list else { return Some(list.clone()) };
    let weight = list.weight().saturating_add(items.len().saturating_mul(separator.len()));
    (weight <= MAX_TEXT).then(|| {
        let texts: Vec<String> = items.iter().map(Value::to_string).collect();
        Value::text(texts.join(separator))
    })
}

fn split(text: &str, separator: &str) -> Value {
    let part = |part: &str| Value::text(part);
    let parts: Vec<Value> = if separator.is_empty() {
        text.split_ascii_whitespace().take(MAX_ITEMS).map(part).collect()
    } else {
        text.split(separator).take(MAX_ITEMS).map(part).collect()
    };
    Value::List(parts.into())
}

fn delete_item(list: &Value, index: i64) -> Option<Value> {
    let Value::List(items) = list else { return None };
    let index = usize::try_from(index).ok()?;
    let kept = items.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, item)| item.clone());
    Some(Value::List(kept.collect()))
}

/// `%XX` and `+`; bytes that are no UTF-8 become U+FFFD.
fn url_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = &after[2..];
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4.
fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                out.push(char::from(BASE64[(group >> (18 - 6 * place)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn base64_decode(text: &str) -> Option<Arc<str>> {
    let digits: Vec<u32> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
        .map(|byte| BASE64.iter().position(|known| *known == byte).and_then(|at| u32::try_from(at).ok()))
        .collect::<Option<_>>()?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let group = chunk.iter().fold(0_u32, |group, digit| group << 6 | digit) << (6 * (4 - chunk.len()));
        bytes.extend_from_slice(&group.to_be_bytes()[1..chunk.len()]);
    }
    Some(String::from_utf8_lossy(&bytes).into())
}

/// A date in the form of RFC 9110, section 5.6.7. Days since 1970 to a civil date, as the Gregorian calendar has it.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = seconds.min(253_402_300_799);
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let (mut year, mut day) = (1970, days);
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while month < 11 && day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1, MONTHS[month])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_both_ways() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64_encode(text.as_bytes()), encoded);
            assert_eq!(base64_decode(encoded).as_deref(), Some(text));
        }
        assert_eq!(base64_decode("A"), None);
        assert_eq!(base64_decode("*"), None);
    }

    #[test]
    fn dates_of_rfc_9110() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn parts_of_texts() {
        for (start, count, expected) in [
            (0, None, "hällo"),
            (1, Some(3), "äll"),
            (-2, None, "lo"),
            (-9, Some(1), "h"),
            (2, Some(-1), "ll"),
            (9, None, ""),
            (i64::MIN, Some(i64::MIN), ""),
        ] {
            assert_eq!(substring("hällo", start, count), Value::text(expected), "{start} {count:?}");
        }
        assert_eq!(url_decode("a%20b+c%2"), "a b c%2");
        assert_eq!(url_decode("%e9"), "\u{fffd}");
    }
}
