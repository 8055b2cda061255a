//! Dictionaries and lists of structured fields (RFC 9651 §3.1, §3.2, §4.2), read by the exact grammar.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName};

/// The value of a member, of a parameter, or inside an inner list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A boolean; a key without a value is true.
    Boolean(bool),
    /// An integer of at most 15 digits.
    Integer(i64),
    /// A string, unescaped.
    String(String),
    /// A token.
    Token(String),
    /// An inner list (§3.1.1), without the parameters of its items; only as the value of a member.
    InnerList(Vec<Item>),
    /// Any other valid value: decimal, date, byte sequence, display string.
    Other,
}

/// A member of a list with its parameters, each key once with its last value (§3.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The item or inner list.
    pub(crate) item: Item,
    /// What follows it after semicolons.
    pub(crate) parameters: Vec<(String, Item)>,
}

/// The members of a dictionary field over all its lines, in order, each key once with its last value; parameters are checked and left out.
/// `None` when the field is absent, empty or not a dictionary: such a field is ignored as a whole (RFC 9651 §4.2).
pub(crate) fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<(String, Item)>> {
    let members = Input { rest: &combined(headers, name) }.dictionary()?;
    (!members.is_empty()).then_some(members)
}

/// The members of a list field over all its lines, in order. `None` when the field is absent, empty or not a list.
pub(crate) fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<Member>> {
    let members = Input { rest: &combined(headers, name) }.list()?;
    (!members.is_empty()).then_some(members)
}

/// All lines as one (RFC 9110 §5.3), without empty ones.
fn combined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, [u8]> {
    let mut text = Cow::Borrowed(&b""[..]);
    for line in headers.get_all(name) {
        if line.is_empty() {
            continue;
        }
        if text.is_empty() {
            text = Cow::Borrowed(line.as_bytes());
        } else {
            let joined = text.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line.as_bytes());
        }
    }
    text
}

/// As many members as a parser must be able to take (RFC 9651 §3.2, §3.1.1, §3.1.2 ask for less); a bound on the search for duplicate keys.
const MOST_MEMBERS: usize = 1024;

/// What is still to be parsed; every method takes something off its front, or returns `None` when that is not there.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// §4.2.2.
    fn dictionary(mut self) -> Option<Vec<(String, Item)>> {
        let mut members = Vec::new();
        self.skip(b" ");
        while !self.rest.is_empty() {
            let key = self.key()?;
            let item = match self.take(b'=') {
                None => Item::Boolean(true),
                Some(()) => self.item_or_inner_list()?,
            };
            self.parameters()?;
            put(&mut members, key, item)?;
            self.separator()?;
        }
        Some(members)
    }

    /// §4.2.1.
    fn list(mut self) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        self.skip(b" ");
        while !self.rest.is_empty() {
            let item = self.item_or_inner_list()?;
            let parameters = self.parameters()?;
            if members.len() == MOST_MEMBERS {
                return None;
            }
            members.push(Member { item, parameters });
            self.separator()?;
        }
        Some(members)
    }

    /// The end, or a comma and a member after it.
    fn separator(&mut self) -> Option<()> {
        self.skip(b" \t");
        if self.rest.is_empty() {
            return Some(());
        }
        self.take(b',')?;
        self.skip(b" \t");
        // A comma at the end promises a member.
        self.rest.first().map(|_| ())
    }

    fn item_or_inner_list(&mut self) -> Option<Item> {
        if self.rest.first() == Some(&b'(') { self.inner_list() } else { self.bare_item() }
    }

    /// §4.2.1.2.
    fn inner_list(&mut self) -> Option<Item> {
        let mut items = Vec::new();
        self.take(b'(')?;
        loop {
            self.skip(b" ");
            if self.take(b')').is_some() {
                return Some(Item::InnerList(items));
            }
            if items.len() == MOST_MEMBERS {
                return None;
            }
            items.push(self.bare_item()?);
            self.parameters()?;
            if !matches!(self.rest.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    /// §4.2.3.2.
    fn parameters(&mut self) -> Option<Vec<(String, Item)>> {
        let mut parameters = Vec::new();
        while self.take(b';').is_some() {
            self.skip(b" ");
            let key = self.key()?;
            let value = match self.take(b'=') {
                None => Item::Boolean(true),
                Some(()) => self.bare_item()?,
            };
            put(&mut parameters, key, value)?;
        }
        Some(parameters)
    }

    fn bare_item(&mut self) -> Option<Item> {
        match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Item::String),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                let token = self.take_while(|byte| crate::list::is_tchar(byte) || matches!(byte, b':' | b'/'));
                Some(Item::Token(text(token)))
            }
            b':' => self.byte_sequence(),
            b'?' => {
                self.take(b'?')?;
                match self.next()? {
                    b'0' => Some(Item::Boolean(false)),
                    b'1' => Some(Item::Boolean(true)),
                    _ => None,
                }
            }
            b'@' => {
                self.take(b'@')?;
                match self.number()? {
                    Item::Integer(_) => Some(Item::Other),
                    _ => None,
                }
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// §4.2.4: at most 15 digits, or 12 and a fraction of 1 to 3.
    fn number(&mut self) -> Option<Item> {
        let negative = self.take(b'-').is_some();
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if self.take(b'.').is_some() {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return fits.then_some(Item::Other);
        }
        if whole.len() > 15 {
            return None;
        }
        let magnitude = i64::try_from(crate::list::number(whole)?).ok()?;
        Some(Item::Integer(if negative { -magnitude } else { magnitude }))
    }

    /// §4.2.5: visible ASCII and spaces; only `"` and `\` are escaped.
    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut content = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(content),
                b'\\' => match self.next()? {
                    escaped @ (b'"' | b'\\') => content.push(char::from(escaped)),
                    _ => return None,
                },
                byte @ b' '..=b'~' => content.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    /// §4.2.7: padding may be left out; nothing that cannot be decoded.
    fn byte_sequence(&mut self) -> Option<Item> {
        self.take(b':')?;
        let digits = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        let padding = self.take_while(|byte| byte == b'=');
        self.take(b':')?;
        let decodes = digits.len() % 4 != 1 && (padding.is_empty() || (digits.len() + padding.len()).is_multiple_of(4));
        (decodes && padding.len() <= 2).then_some(Item::Other)
    }

    /// §4.2.10: visible ASCII and spaces, `%` and two hexadecimal digits in lower case for the rest; UTF-8.
    fn display_string(&mut self) -> Option<Item> {
        self.take(b'%')?;
        self.take(b'"')?;
        let mut content = Vec::new();
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&content).is_ok().then_some(Item::Other),
                b'%' => content.push(lower_hex(self.next()?)? << 4 | lower_hex(self.next()?)?),
                byte @ b' '..=b'~' => content.push(byte),
                _ => return None,
            }
        }
    }

    /// §4.2.3.3: lower case only.
    fn key(&mut self) -> Option<String> {
        if !matches!(self.rest.first()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let key = self.take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        Some(text(key))
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !wanted(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, spaces: &[u8]) {
        self.take_while(|byte| spaces.contains(&byte));
    }
}

/// Gives `key` its value, in the place of an earlier one; `None` when there are too many.
fn put(to: &mut Vec<(String, Item)>, key: String, item: Item) -> Option<()> {
    match to.iter().position(|(known, _)| *known == key) {
        Some(at) => to[at].1 = item,
        None if to.len() == MOST_MEMBERS => return None,
        None => to.push((key, item)),
    }
    Some(())
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// ASCII by construction.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
