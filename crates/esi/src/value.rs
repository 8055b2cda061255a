//! What an expression can come to.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// A value of an ESI expression (ESI 1.0, sections 4 and 5; lists and dictionaries of the Akamai dialect).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Not there, or of incompatible types.
    #[default]
    Undefined,
    /// The outcome of a comparison, or whether a list variable has a member.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Arc<[Value]>),
    /// A dictionary in the order in which it was written.
    Dictionary(Arc<[(Arc<str>, Value)]>),
}

impl Value {
    /// Text as a value.
    #[must_use]
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Undefined, or an empty text, list or dictionary (section 5.1: such an operand makes a comparison false).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Undefined => true,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Dictionary(entries) => entries.is_empty(),
            Self::Boolean(_) | Self::Integer(_) => false,
        }
    }

    /// Whether a bare value counts as true in the Akamai dialect: neither empty, nor `false`, nor zero.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Boolean(value) => *value,
            Self::Integer(number) => *number != 0,
            Self::Text(text) => !text.is_empty() && &**text != "false" && &**text != "0",
            other => !other.is_empty(),
        }
    }

    /// How it compares to another as a number, where both are one: section 5.1 compares `3.01.23` and `1.05a` as texts.
    /// Exact, so that no two identifiers are taken for the same, however long.
    pub(crate) fn numeric_order(&self, other: &Value) -> Option<Ordering> {
        if let (Self::Integer(left), Self::Integer(right)) = (self, other) {
            return Some(left.cmp(right));
        }
        let (left, right) = (self.digits()?, other.digits()?);
        Decimal::read(&left).zip(Decimal::read(&right)).map(|(left, right)| left.order(&right))
    }

    fn digits(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Integer(number) => Some(Cow::Owned(number.to_string())),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    /// As a whole number.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The member under a key: of a dictionary by name, of a list by number.
    pub(crate) fn member(&self, key: &Value) -> Value {
        match self {
            Self::Dictionary(entries) => {
                let key = key.to_string();
                entries.iter().find(|(name, _)| **name == key).map(|(_, value)| value.clone()).unwrap_or_default()
            }
            Self::List(items) => {
                let index = key.integer().and_then(|index| usize::try_from(index).ok());
                index.and_then(|index| items.get(index)).cloned().unwrap_or_default()
            }
            _ => Self::Undefined,
        }
    }

    /// Bytes that it may put out or hold, roughly; for budgets.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Undefined | Self::Boolean(_) | Self::Integer(_) => 8,
            Self::Text(text) => text.len(),
            Self::List(items) => items.iter().map(Self::weight).fold(8, usize::saturating_add),
            Self::Dictionary(entries) => entries
                .iter()
                .map(|(name, value)| name.len().saturating_add(value.weight()))
                .fold(8, usize::saturating_add),
        }
    }
}

/// A decimal number, without the zeros that mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Digits with at most one point between, before or after them, and a sign.
    fn read(text: &'a str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: digits.len() < text.len() && !is_zero, whole, fraction })
    }

    fn order(&self, other: &Self) -> Ordering {
        let size = || {
            let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
            whole.then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, false) => size(),
            (true, true) => size().reverse(),
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl fmt::Display for Value {
    /// As it is put out: nothing for what is undefined.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => Ok(()),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    write!(f, "{item}")?;
                }
                Ok(())
            }
            Self::Dictionary(entries) => {
                for (index, (name, value)) in entries.iter().enumerate() {
                    let separator = if index > 0 { "&" } else { "" };
                    write!(f, "{separator}{name}={value}")?;
                }
                Ok(())
            }
        }
    }
}

/// What the processor knows of the request (ESI 1.0, section 4.1), and what is secret of it.
///
/// Which cookies, fields and parameters can be seen is the implementor's to decide: a template is written by the
/// origin, and what it puts out can end up on a page.
pub trait Variables {
    /// The value of a variable, or of the member `key` of one: `HTTP_COOKIE` with `user`, `QUERY_STRING` without a key.
    /// `HTTP_ACCEPT_LANGUAGE` with a key gives a boolean.
    fn get(&self, name: &str, key: Option<&str>) -> Value;

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        0
    }

    /// A number that nobody can tell before.
    fn random(&self) -> u64 {
        0
    }
}

/// No variables at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str, _: Option<&str>) -> Value {
        Value::Undefined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_5_1_what_is_a_number() {
        for text in ["1", "-1", "3.01", ".5", "1.", "007", "-0"] {
            assert_eq!(Value::text(text).numeric_order(&Value::text(text)), Some(Ordering::Equal), "{text}");
        }
        for text in ["3.01.23", "1.05a", "", "-", ".", "1e5", "inf", "NaN", "+1", " 1", "--1", "1,5"] {
            assert_eq!(Value::text(text).numeric_order(&Value::Integer(1)), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let ascending = [
            "-12345678901234567890124",
            "-12345678901234567890123",
            "-1.5",
            "-1.25",
            "-0.1",
            "0",
            "0.09",
            "0.1",
            "0.1000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "12345678901234567890123",
        ];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                let order = Value::text(*left).numeric_order(&Value::text(*right));
                assert_eq!(order, Some(index.cmp(&other)), "{left} {right}");
            }
        }
        for (one, other) in [("-0", "0"), ("1.50", "1.5"), ("007", "7"), ("1.", "1"), (".5", "0.5"), ("-.0", "0.")] {
            assert_eq!(Value::text(one).numeric_order(&Value::text(other)), Some(Ordering::Equal), "{one} {other}");
        }
        assert_eq!(Value::Integer(i64::MIN).numeric_order(&Value::text("-9223372036854775808")), Some(Ordering::Equal));
    }

    #[test]
    fn members_of_lists_and_dictionaries() {
        let list = Value::List(Arc::from([Value::text("a"), Value::Integer(2)]));
        assert_eq!(list.member(&Value::Integer(1)), Value::Integer(2));
        assert_eq!(list.member(&Value::text("0")), Value::text("a"));
        assert_eq!(list.member(&Value::Integer(-1)), Value::Undefined);
        let dictionary = Value::Dictionary(Arc::from([(Arc::from("k"), list.clone())]));
        assert_eq!(dictionary.member(&Value::text("k")), list);
        assert_eq!(dictionary.member(&Value::text("K")), Value::Undefined, "keys are case-sensitive (section 4.1)");
        assert_eq!((list.to_string(), dictionary.to_string()), ("a,2".to_owned(), "k=a,2".to_owned()));
    }
}
