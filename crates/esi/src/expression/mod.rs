//! Expressions of `test` attributes and of the Akamai dialect's values (ESI 1.0, section 5), compiled once.

mod evaluate;
mod functions;
mod library;
mod parse;

use std::sync::Arc;

pub(crate) use evaluate::{Context, Scope};
pub(crate) use functions::Function;
pub(crate) use parse::{expression, substitution};

/// Which language a template is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// ESI Language Specification 1.0 (W3C Note, 2001) and nothing else.
    #[default]
    Esi10,
    /// With the additions that sites written for Akamai use: assignments, loops, functions, lists, arithmetic.
    Akamai,
}

/// A compiled expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Literal(crate::Value),
    Variable(Variable),
    Call(Function, Vec<Expression>),
    /// A function that the template defines.
    OwnCall(Box<str>, Vec<Expression>),
    List(Vec<Expression>),
    Dictionary(Vec<(Expression, Expression)>),
    /// `[1..5]`
    Range(Box<Expression>, Box<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Calculate(Calculation, Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

/// `$(NAME{key}|default)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: Arc<str>,
    pub(crate) key: Option<Box<Expression>>,
    pub(crate) default: Option<Box<Expression>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Has { ignoring_case: bool },
    Matches { ignoring_case: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Expression {
    /// Heap bytes that it costs, roughly.
    pub(crate) fn weight(&self) -> usize {
        let inside = match self {
            Self::Literal(value) => value.weight(),
            Self::Variable(variable) => {
                let part = |part: &Option<Box<Expression>>| part.as_ref().map_or(0, |part| part.weight());
                variable.name.len() + 16 + part(&variable.key) + part(&variable.default)
            }
            Self::OwnCall(name, arguments) => name.len() + sum(arguments),
            Self::Call(_, parts) | Self::List(parts) | Self::And(parts) | Self::Or(parts) => sum(parts),
            Self::Dictionary(entries) => entries.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
            Self::Range(one, other) | Self::Compare(_, one, other) | Self::Calculate(_, one, other) => {
                one.weight() + other.weight()
            }
            Self::Not(inner) => inner.weight(),
        };
        size_of::<Self>() + inside
    }
}

fn sum(parts: &[Expression]) -> usize {
    parts.iter().map(Expression::weight).sum()
}
