//! What an expression comes to, for one request. Nothing fails: what cannot be computed is undefined.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::{Calculation, Comparison, Dialect, Expression, Variable};
use crate::block::FunctionBody;
use crate::value::{Value, Variables};

/// Most steps of evaluation for one page, and most bytes that its values may take together: beyond both everything is
/// undefined, and loops end.
const MAX_STEPS: usize = 200_000;
const MAX_BYTES: usize = 4 << 20;
/// Longest list that a range or a split may make.
pub(crate) const MAX_ITEMS: usize = 1_000;
/// Functions that call functions (the Akamai dialect allows 5).
pub(crate) const MAX_CALLS: usize = 5;
/// Size of a compiled regular expression, in bytes.
const MAX_REGEX: usize = 256 << 10;

/// What a page has assigned so far, and what its evaluation may still cost.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    assigned: HashMap<Arc<str>, Value>,
    functions: HashMap<Box<str>, Arc<FunctionBody>>,
    /// Of the functions under way; the innermost last.
    arguments: Vec<Value>,
    regexes: HashMap<(Box<str>, bool), Option<Regex>>,
    steps: usize,
    bytes: usize,
    pub(crate) last_random: i64,
}

impl Scope {
    /// Assigns a variable, or one member of a dictionary or list.
    pub(crate) fn assign(&mut self, name: &Arc<str>, key: Option<&Value>, value: Value) {
        if !self.pay(value.weight()) {
            return;
        }
        let Some(key) = key else {
            self.assigned.insert(Arc::clone(name), value);
            return;
        };
        let old = self.assigned.get(name).cloned().unwrap_or_default();
        if !self.pay(old.weight()) {
            return;
        }
        self.assigned.insert(Arc::clone(name), with_member(&old, key, value));
    }

    /// Whether the template has assigned this variable.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.assigned.contains_key(name)
    }

    pub(crate) fn define(&mut self, name: &str, body: &Arc<FunctionBody>) {
        self.functions.insert(name.into(), Arc::clone(body));
    }

    pub(crate) fn function(&self, name: &str) -> Option<Arc<FunctionBody>> {
        self.functions.get(name).cloned()
    }

    /// Enters a function, unless too many are under way.
    pub(crate) fn enter(&mut self, arguments: Vec<Value>) -> bool {
        let may = self.arguments.len() < MAX_CALLS;
        if may {
            self.arguments.push(Value::List(arguments.into()));
        }
        may
    }

    pub(crate) fn leave(&mut self) {
        self.arguments.pop();
    }

    /// One more step; false when there have been too many.
    pub(crate) fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps <= MAX_STEPS
    }

    /// Whether evaluation has cost more than it may.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps > MAX_STEPS || self.bytes > MAX_BYTES
    }

    /// Takes bytes off what values may still cost.
    pub(crate) fn pay(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_BYTES
    }

    fn regex(&mut self, pattern: &str, ignoring_case: bool) -> Option<Regex> {
        let key = (Box::from(pattern), ignoring_case);
        if let Some(known) = self.regexes.get(&key) {
            return known.clone();
        }
        // Compiling is the dear part; a page has few expressions.
        if self.regexes.len() >= 64 || !self.pay(pattern.len() * 64) {
            return None;
        }
        let regex = RegexBuilder::new(pattern).case_insensitive(ignoring_case).size_limit(MAX_REGEX).build().ok();
        self.regexes.insert(key, regex.clone());
        regex
    }
}

fn with_member(old: &Value, key: &Value, value: Value) -> Value {
    if let Value::List(items) = old
        && let Some(index) = key.integer().and_then(|index| usize::try_from(index).ok())
        && index < items.len()
    {
        let mut items = items.to_vec();
        items[index] = value;
        return Value::List(items.into());
    }
    let mut entries = match old {
        Value::Dictionary(entries) => entries.to_vec(),
        _ => Vec::new(),
    };
    let key: Arc<str> = key.to_string().into();
    match entries.iter_mut().find(|(name, _)| *name == key) {
        Some((_, old)) => *old = value,
        None => entries.push((key, value)),
    }
    Value::Dictionary(entries.into())
}

/// What an evaluation works with.
pub(crate) struct Context<'a> {
    pub(crate) variables: &'a dyn Variables,
    pub(crate) scope: &'a mut Scope,
    pub(crate) dialect: Dialect,
    /// Where the groups of the last match go.
    pub(crate) match_name: Option<Arc<str>>,
}

impl Context<'_> {
    /// What an expression comes to.
    pub(crate) fn evaluate(&mut self, expression: &Expression) -> Value {
        if !self.scope.step() {
            return Value::Undefined;
        }
        match expression {
            Expression::Literal(value) => value.clone(),
            Expression::Variable(variable) => self.variable(variable),
            Expression::Call(function, arguments) => {
                let arguments = self.all(arguments);
                function.call(&arguments, self)
            }
            Expression::OwnCall(name, arguments) => {
                let arguments = self.all(arguments);
                crate::run::call(name, arguments, self)
            }
            Expression::List(items) => Value::List(self.all(items).into()),
            Expression::Dictionary(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| (Arc::from(self.evaluate(key).to_string()), self.evaluate(value)))
                    .collect();
                Value::Dictionary(entries.into())
            }
            Expression::Range(first, last) => self.range(first, last),
            Expression::Compare(comparison, left, right) => {
                let (left, right) = (self.evaluate(left), self.evaluate(right));
                Value::Boolean(self.compare(*comparison, &left, &right))
            }
            Expression::Calculate(calculation, left, right) => {
                calculate(*calculation, &self.evaluate(left), &self.evaluate(right))
            }
            Expression::Not(inner) => {
                let value = self.evaluate(inner);
                self.truth(&value).map_or(Value::Undefined, |truth| Value::Boolean(!truth))
            }
            Expression::And(parts) => self.logic(parts, true),
            Expression::Or(parts) => self.logic(parts, false),
        }
    }

    /// Whether a `test` holds.
    pub(crate) fn holds(&mut self, expression: &Expression) -> bool {
        let value = self.evaluate(expression);
        self.truth(&value) == Some(true)
    }

    fn all(&mut self, expressions: &[Expression]) -> Vec<Value> {
        expressions.iter().map(|expression| self.evaluate(expression)).collect()
    }

    /// Section 5.1: `&`, `|` and `!` take expressions only, so `(1 & 4)` has no value. The Akamai dialect takes any value.
    fn truth(&self, value: &Value) -> Option<bool> {
        match (value, self.dialect) {
            (Value::Boolean(value), _) => Some(*value),
            (value, Dialect::Akamai) => Some(value.is_true()),
            (_, Dialect::Esi10) => None,
        }
    }

    /// Every part is evaluated, because a part of a wrong type makes the whole undefined.
    fn logic(&mut self, parts: &[Expression], all: bool) -> Value {
        let mut result = all;
        for part in parts {
            let value = self.evaluate(part);
            match self.truth(&value) {
                Some(truth) if all => result &= truth,
                Some(truth) => result |= truth,
                None => return Value::Undefined,
            }
        }
        Value::Boolean(result)
    }

    fn variable(&mut self, variable: &Variable) -> Value {
        let key = variable.key.as_ref().map(|key| self.evaluate(key));
        let value = self.look_up(&variable.name, key.as_ref());
        match &variable.default {
            Some(default) if value.is_empty() => self.evaluate(default),
            _ => value,
        }
    }

    fn look_up(&mut self, name: &Arc<str>, key: Option<&Value>) -> Value {
        let own = match &**name {
            "ARGS" if self.dialect == Dialect::Akamai => self.scope.arguments.last().cloned(),
            _ => self.scope.assigned.get(name).cloned(),
        };
        match (own, key) {
            (Some(own), Some(key)) => own.member(key),
            (Some(own), None) => own,
            (None, Some(key)) => self.variables.get(name, Some(&key.to_string())),
            (None, None) => self.variables.get(name, None),
        }
    }

    fn range(&mut self, first: &Expression, last: &Expression) -> Value {
        let (first, last) = (self.evaluate(first), self.evaluate(last));
        let (Some(first), Some(last)) = (first.integer(), last.integer()) else { return Value::Undefined };
        let limit = MAX_ITEMS;
        let items: Vec<Value> = if first <= last {
            (first..=last).take(limit).map(Value::Integer).collect()
        } else {
            (last..=first).rev().take(limit).map(Value::Integer).collect()
        };
        if self.scope.pay(items.len() * size_of::<Value>()) { Value::List(items.into()) } else { Value::Undefined }
    }

    fn compare(&mut self, comparison: Comparison, left: &Value, right: &Value) -> bool {
        use Comparison::{Equal, Greater, GreaterOrEqual, Has, Less, LessOrEqual, Matches, NotEqual};
        // Section 5.1: with an empty or undefined operand, a comparison is false, `!=` too.
        if left.is_empty() || right.is_empty() {
            return false;
        }
        let order = || left.numeric_order(right).unwrap_or_else(|| left.to_string().cmp(&right.to_string()));
        match comparison {
            Equal => order() == Ordering::Equal,
            NotEqual => order() != Ordering::Equal,
            Less => order() == Ordering::Less,
            Greater => order() == Ordering::Greater,
            LessOrEqual => order() != Ordering::Greater,
            GreaterOrEqual => order() != Ordering::Less,
            Has { ignoring_case } => has(left, right, ignoring_case),
            Matches { ignoring_case } => self.matches(left, right, ignoring_case),
        }
    }

    fn matches(&mut self, text: &Value, pattern: &Value, ignoring_case: bool) -> bool {
        let (text, pattern) = (text.to_string(), pattern.to_string());
        let Some(regex) = self.scope.regex(&pattern, ignoring_case) else { return false };
        let Some(groups) = regex.captures(&text) else { return false };
        let groups: Vec<Value> =
            groups.iter().map(|group| group.map_or(Value::Undefined, |group| Value::text(group.as_str()))).collect();
        let name = self.match_name.clone().unwrap_or_else(|| Arc::from("MATCHES"));
        self.scope.assign(&name, None, Value::List(groups.into()));
        true
    }
}

fn has(whole: &Value, part: &Value, ignoring_case: bool) -> bool {
    let fold = |value: &Value| {
        let text = value.to_string();
        if ignoring_case { text.to_lowercase() } else { text }
    };
    let part = fold(part);
    match whole {
        Value::List(items) => items.iter().any(|item| fold(item) == part),
        other => fold(other).contains(&part),
    }
}

/// Whole numbers; `+` joins texts and lists, and `*` repeats neither. Overflow and division by zero are undefined.
fn calculate(calculation: Calculation, left: &Value, right: &Value) -> Value {
    let numbers = match (left.integer(), right.integer()) {
        (Some(left), Some(right)) => Some((left, right)),
        _ => None,
    };
    let result = match (calculation, numbers) {
        (Calculation::Add, Some((left, right))) => left.checked_add(right),
        (Calculation::Subtract, Some((left, right))) => left.checked_sub(right),
        (Calculation::Multiply, Some((left, right))) => left.checked_mul(right),
        (Calculation::Divide, Some((left, right))) => left.checked_div(right),
        (Calculation::Remainder, Some((left, right))) => left.checked_rem(right),
        (Calculation::Add, None) => return join(left, right),
        (_, None) => None,
    };
    result.map_or(Value::Undefined, Value::Integer)
}

fn join(left: &Value, right: &Value) -> Value {
    match (left, right) {
        (Value::List(left), Value::List(right)) if left.len() + right.len() <= MAX_ITEMS => {
            Value::List(left.iter().chain(right.iter()).cloned().collect())
        }
        (Value::Text(_), _) | (_, Value::Text(_)) => {
            let joined = format!("{left}{right}");
            if joined.len() > MAX_BYTES { Value::Undefined } else { Value::text(joined) }
        }
        _ => Value::Undefined,
    }
}
