//! Dictionaries of structured fields (RFC 9651 §3.2, §4.2.2), as far as targeted cache control needs them.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName};

/// A member's value; parameters and inner lists are checked and then left out, because no cache directive has any.
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
    /// Any other valid value: decimal, date, byte sequence, display string, inner list.
    Other,
}

/// The members of a dictionary field over all its lines, in order, each key once with its last value. `None` when the field is absent,
/// empty or not a dictionary: such a field is ignored as a whole (RFC 9651 §4.2).
pub(crate) fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<(String, Item)>> {
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
    let members = Input { rest: &text }.dictionary()?;
    (!members.is_empty()).then_some(members)
}

/// As many members as a parser must be able to take (RFC 9651 §3.2); a bound on the search for duplicate keys.
const MOST_MEMBERS: usize = 1024;

/// What is still to be parsed; every method takes something off its front, or returns `None` when that is not there.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn dictionary(mut self) -> Option<Vec<(String, Item)>> {
        let mut members: Vec<(String, Item)> = Vec::new();
        self.skip(b" ");
        while !self.rest.is_empty() {
            let key = self.key()?;
            let item = self.value()?;
            if members.len() == MOST_MEMBERS {
                return None;
            }
            match members.iter_mut().find(|(known, _)| *known == key) {
                Some((_, value)) => *value = item,
                None => members.push((key, item)),
            }
            self.skip(b" \t");
            if self.rest.is_empty() {
                break;
            }
            self.take(b',')?;
            self.skip(b" \t");
            // A comma at the end promises a member.
            self.rest.first()?;
        }
        Some(members)
    }

    /// What follows a key: `=` and an item or inner list, or nothing; then parameters.
    fn value(&mut self) -> Option<Item> {
        let item = match self.take(b'=') {
            None => Item::Boolean(true),
            Some(()) if self.rest.first() == Some(&b'(') => self.inner_list()?,
            Some(()) => self.bare_item()?,
        };
        self.parameters()?;
        Some(item)
    }

    fn inner_list(&mut self) -> Option<Item> {
        self.take(b'(')?;
        loop {
            self.skip(b" ");
            if self.take(b')').is_some() {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.rest.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';').is_some() {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=').is_some() {
                self.bare_item()?;
            }
        }
        Some(())
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

    fn byte_sequence(&mut self) -> Option<Item> {
        self.take(b':')?;
        self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.take(b':')?;
        Some(Item::Other)
    }

    fn display_string(&mut self) -> Option<Item> {
        self.take(b'%')?;
        self.take(b'"')?;
        self.take_while(|byte| matches!(byte, b' '..=b'~') && byte != b'"');
        self.take(b'"')?;
        Some(Item::Other)
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

/// ASCII by construction.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
