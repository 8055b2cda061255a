//! What an expression can come to.

use std::fmt::{self, Write as _};
use std::sync::Arc;

/// A value of an ESI expression (ESI 1.0, section 4; lists and dictionaries of the Akamai dialect).
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

    /// Undefined, or an empty text, list or dictionary (section 4.4: such an operand makes a comparison false).
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

    /// As a number, where it is one: section 4.4 compares `3.01.23` and `1.05a` as texts.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Text(text) => decimal(text),
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

/// Digits with at most one point between or before them, and a sign.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let has_digit = digits.bytes().any(|byte| byte.is_ascii_digit());
    (plain && has_digit && digits.bytes().filter(|byte| *byte == b'.').count() <= 1).then(|| text.parse().ok())?
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
    fn section_4_4_what_is_a_number() {
        for (text, number) in [
            ("1", Some(1.0)),
            ("-1", Some(-1.0)),
            ("3.01", Some(3.01)),
            (".5", Some(0.5)),
            ("3.01.23", None),
            ("1.05a", None),
            ("", None),
            ("-", None),
            (".", None),
            ("1e5", None),
            ("inf", None),
            ("+1", None),
        ] {
            assert_eq!(Value::text(text).number(), number, "{text}");
        }
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
