//! From text to expressions, by recursive descent. Precedence as in section 5.1 of the specification, from high to low:
//! comparison, `!`, `&`, `|`; so `!$(a)=='x'` is `!($(a)=='x')`. Arithmetic of the Akamai dialect binds tighter than all.

use std::sync::Arc;

use super::{Calculation, Comparison, Dialect, Expression, Function, Variable};
use crate::Value;

/// Parentheses, keys and calls within each other; more is refused, so that no template can exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Text that is being read.
#[derive(Clone, Debug)]
struct Reading<'a> {
    rest: &'a str,
    dialect: Dialect,
    depth: usize,
    /// How much was left where [`MAX_DEPTH`] was first exceeded.
    too_deep_at: Option<usize>,
}

/// What cannot be read is not an expression; the caller warns.
type Read<T> = Option<T>;

/// A whole expression: the value of a `test` attribute.
pub(crate) fn expression(text: &str, dialect: Dialect) -> Option<Expression> {
    let mut reading = Reading::new(text, dialect);
    let expression = reading.disjunction()?;
    reading.skip();
    reading.rest.is_empty().then_some(expression)
}

/// A variable, or in the Akamai dialect a call, at the front of `text`, which begins with `$`; and its length.
///
/// # Errors
/// How many bytes there are to be left as text: one, or all down to where things stand too deeply within each other, so that each of the many
/// beginnings in there is not tried again.
pub(crate) fn substitution(text: &str, dialect: Dialect) -> Result<(Expression, usize), usize> {
    let mut reading = Reading::new(text, dialect);
    match reading.dollar() {
        Some(expression) => Ok((expression, text.len() - reading.rest.len())),
        None => Err(reading.too_deep_at.map_or(1, |rest| (text.len() - rest).max(1))),
    }
}

impl<'a> Reading<'a> {
    fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { rest: text, dialect, depth: 0, too_deep_at: None }
    }

    fn akamai(&self) -> bool {
        self.dialect == Dialect::Akamai
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Takes `token` after whitespace.
    fn take(&mut self, token: &str) -> bool {
        self.skip();
        self.take_here(token)
    }

    fn take_here(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a word that is not the beginning of a longer one.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(is_name) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.depth += 1;
        let result = if self.depth > MAX_DEPTH {
            self.too_deep_at.get_or_insert(self.rest.len());
            None
        } else {
            read(self)
        };
        self.depth -= 1;
        result
    }

    fn disjunction(&mut self) -> Read<Expression> {
        let mut parts = vec![self.conjunction()?];
        while self.take("|") {
            if self.akamai() {
                self.take_here("|");
            }
            parts.push(self.conjunction()?);
        }
        Some(one_or(parts, Expression::Or))
    }

    fn conjunction(&mut self) -> Read<Expression> {
        let mut parts = vec![self.negation()?];
        while self.take("&") {
            if self.akamai() {
                self.take_here("&");
            }
            parts.push(self.negation()?);
        }
        Some(one_or(parts, Expression::And))
    }

    fn negation(&mut self) -> Read<Expression> {
        self.skip();
        if self.rest.starts_with('!') && !self.rest.starts_with("!=") {
            self.take_here("!");
            let inner = self.deeper(Self::negation)?;
            return Some(Expression::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Read<Expression> {
        let mut left = self.sum()?;
        while let Some(comparison) = self.comparison_operator() {
            let right = self.sum()?;
            left = Expression::Compare(comparison, Box::new(left), Box::new(right));
        }
        Some(left)
    }

    fn comparison_operator(&mut self) -> Option<Comparison> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Has, Less, LessOrEqual, Matches, NotEqual};
        let signs =
            [("==", Equal), ("!=", NotEqual), ("<=", LessOrEqual), (">=", GreaterOrEqual), ("<", Less), (">", Greater)];
        if let Some((_, comparison)) = signs.into_iter().find(|(sign, _)| self.take(sign)) {
            return Some(comparison);
        }
        if !self.akamai() {
            return None;
        }
        let words = [
            ("has_i", Has { ignoring_case: true }),
            ("has", Has { ignoring_case: false }),
            ("matches_i", Matches { ignoring_case: true }),
            ("matches", Matches { ignoring_case: false }),
        ];
        words.into_iter().find(|(word, _)| self.take_word(word)).map(|(_, comparison)| comparison)
    }

    fn sum(&mut self) -> Read<Expression> {
        let mut left = self.product()?;
        while self.akamai() {
            let calculation = if self.take("+") {
                Calculation::Add
            } else if self.take("-") {
                Calculation::Subtract
            } else {
                break;
            };
            let right = self.product()?;
            left = Expression::Calculate(calculation, Box::new(left), Box::new(right));
        }
        Some(left)
    }

    fn product(&mut self) -> Read<Expression> {
        let mut left = self.operand()?;
        while self.akamai() {
            let calculation = if self.take("*") {
                Calculation::Multiply
            } else if self.take("/") {
                Calculation::Divide
            } else if self.take("%") {
                Calculation::Remainder
            } else {
                break;
            };
            let right = self.operand()?;
            left = Expression::Calculate(calculation, Box::new(left), Box::new(right));
        }
        Some(left)
    }

    fn operand(&mut self) -> Read<Expression> {
        self.skip();
        match self.rest.bytes().next()? {
            b'(' => self.deeper(|reading| {
                reading.take_here("(");
                let inner = reading.disjunction()?;
                reading.take(")").then_some(inner)
            }),
            b'$' => self.dollar(),
            b'\'' => self.quoted().map(literal),
            b'"' if self.akamai() => self.quoted().map(literal),
            b'[' if self.akamai() => self.deeper(Self::list),
            b'{' if self.akamai() => self.deeper(Self::dictionary),
            _ => self.number(),
        }
    }

    /// A number: digits, with a sign and a point. One that is no whole number stays text and compares as a number.
    fn number(&mut self) -> Read<Expression> {
        let sign = usize::from(self.rest.starts_with('-'));
        let mut length = sign + count(&self.rest[sign..], |byte| byte.is_ascii_digit());
        // `1..5` is a range.
        let after = &self.rest[length..];
        if after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit()) {
            length += 1 + count(&after[1..], |byte| byte.is_ascii_digit());
        }
        let (digits, rest) = self.rest.split_at(length);
        if length == sign || rest.starts_with(is_name) {
            return None;
        }
        self.rest = rest;
        Some(Expression::Literal(match digits.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::text(digits),
        }))
    }

    /// `'text'`; in the Akamai dialect also `"text"` and `'''text'''`, and a backslash escapes.
    fn quoted(&mut self) -> Read<String> {
        if self.akamai() && self.take_here("'''") {
            let (text, rest) = self.rest.split_once("'''")?;
            self.rest = rest;
            return Some(text.to_owned());
        }
        let quote = self.rest.chars().next()?;
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = &self.rest[at + 1..];
                return Some(text);
            }
            if character == '\\' && self.akamai() {
                text.push(characters.next()?.1);
            } else {
                text.push(character);
            }
        }
        None
    }

    fn list(&mut self) -> Read<Expression> {
        self.take_here("[");
        let mut items = Vec::new();
        if self.take("]") {
            return Some(Expression::List(items));
        }
        loop {
            items.push(self.disjunction()?);
            if items.len() == 1 && self.take("..") {
                let (first, last) = (items.pop()?, self.disjunction()?);
                return self.take("]").then_some(Expression::Range(Box::new(first), Box::new(last)));
            }
            if self.take("]") {
                return Some(Expression::List(items));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn dictionary(&mut self) -> Read<Expression> {
        self.take_here("{");
        let mut entries = Vec::new();
        if self.take("}") {
            return Some(Expression::Dictionary(entries));
        }
        loop {
            let key = self.disjunction()?;
            if !self.take(":") {
                return None;
            }
            entries.push((key, self.disjunction()?));
            if self.take("}") {
                return Some(Expression::Dictionary(entries));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    /// `$(NAME…)` or, in the Akamai dialect, `$name(…)`.
    fn dollar(&mut self) -> Read<Expression> {
        if self.rest.starts_with("$(") {
            return self.deeper(Self::variable);
        }
        if !self.akamai() {
            return None;
        }
        let name = self.rest.strip_prefix('$')?;
        let length = count(name, |byte| is_name(char::from(byte)));
        let (name, rest) = name.split_at(length);
        if name.is_empty() || !rest.starts_with('(') {
            return None;
        }
        self.rest = &rest[1..];
        let arguments = self.deeper(Self::arguments)?;
        Some(match Function::named(name) {
            Some(function) => Expression::Call(function, arguments),
            None => Expression::OwnCall(name.into(), arguments),
        })
    }

    /// Arguments up to and with `)`.
    fn arguments(&mut self) -> Read<Vec<Expression>> {
        let mut arguments = Vec::new();
        if self.take(")") {
            return Some(arguments);
        }
        loop {
            arguments.push(self.disjunction()?);
            if self.take(")") {
                return Some(arguments);
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn variable(&mut self) -> Read<Expression> {
        self.take_here("$(");
        let length = count(self.rest, |byte| is_name(char::from(byte)));
        let (name, rest) = self.rest.split_at(length);
        if name.is_empty() {
            return None;
        }
        self.rest = rest;
        let key = if self.take_here("{") { Some(Box::new(self.key()?)) } else { None };
        let default = if self.take_here("|") { Some(Box::new(self.default()?)) } else { None };
        self.take_here(")").then(|| Expression::Variable(Variable { name: Arc::from(name), key, default }))
    }

    /// What stands between the braces. In the specification's language it is text as it stands; the Akamai dialect has
    /// quoted keys and expressions too.
    fn key(&mut self) -> Read<Expression> {
        let plain = count(self.rest, |byte| !matches!(byte, b'}' | b'$' | b'\'' | b'"' | b'<' | b'\n'));
        if self.rest[plain..].starts_with('}') {
            let (key, rest) = self.rest.split_at(plain);
            self.rest = &rest[1..];
            return (!key.trim().is_empty()).then(|| literal(key.trim().to_owned()));
        }
        if !self.akamai() {
            return None;
        }
        let key = self.deeper(Self::disjunction)?;
        self.take("}").then_some(key)
    }

    /// What stands after `|` up to the parenthesis: quoted, or a word.
    fn default(&mut self) -> Read<Expression> {
        if self.rest.starts_with('\'') || (self.akamai() && self.rest.starts_with('"')) {
            return self.quoted().map(literal);
        }
        if self.akamai() && self.rest.starts_with('$') {
            return self.dollar();
        }
        // Section 4.2: a default with whitespace stands in quotes.
        let length =
            count(self.rest, |byte| !matches!(byte, b')' | b'<' | b'$' | b'\'' | b'"') && !byte.is_ascii_whitespace());
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(literal(text.to_owned()))
    }
}

fn literal(text: String) -> Expression {
    Expression::Literal(Value::text(text))
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// How many bytes at the front are of that kind. They are ASCII, or whole characters are taken with them.
fn count(text: &str, is: impl Fn(u8) -> bool) -> usize {
    let mut length = text.bytes().take_while(|byte| is(*byte)).count();
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    length
}
