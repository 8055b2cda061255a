//! Structured fields as they are written (RFC 9651 §4.1), without an allocation where they are short.

use http::HeaderValue;

use crate::list::is_tchar;

/// The largest integer of a structured field (RFC 9651 §3.3.1).
const LARGEST_INTEGER: u64 = 999_999_999_999_999;

/// Whether `text` is a token of structured fields (RFC 9651 §3.3.4).
pub(crate) fn is_token(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'*')
        && bytes.all(|byte| is_tchar(byte) || byte == b':' || byte == b'/')
}

/// A field value while it is written: a text on the stack that moves to the heap only when it gets long.
pub(crate) struct FieldText {
    short: [u8; Self::SHORT],
    length: usize,
    long: Vec<u8>,
}

impl FieldText {
    const SHORT: usize = 128;

    pub(crate) fn new() -> Self {
        Self { short: [0; Self::SHORT], length: 0, long: Vec::new() }
    }

    fn as_bytes(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.length] } else { &self.long }
    }

    /// What has been written; it holds visible ASCII and spaces only, so this cannot fail.
    pub(crate) fn to_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or(HeaderValue::from_static("copal"))
    }

    /// `bytes` are visible ASCII or spaces.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.short.get_mut(self.length..end) {
            Some(room) if self.long.is_empty() => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            _ => {
                if self.long.is_empty() {
                    self.long.extend_from_slice(&self.short[..self.length]);
                }
                self.long.extend_from_slice(bytes);
            }
        }
    }

    /// As a token where it is one, else as a string (§3.3.4).
    pub(crate) fn push_token_or_string(&mut self, text: &str) {
        if is_token(text) {
            self.push(text.as_bytes());
            return;
        }
        self.push_string(text);
    }

    /// As a string; what a string cannot hold is left out (§3.3.3).
    pub(crate) fn push_string(&mut self, text: &str) {
        self.push(b"\"");
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.push(&[b'\\', byte]),
                b' '..=b'~' => self.push(&[byte]),
                _ => {}
            }
        }
        self.push(b"\"");
    }

    /// In digits; more than an integer can be (§3.3.1) is written as the largest.
    pub(crate) fn push_number(&mut self, number: u64) {
        let mut digits = [0u8; 20];
        let mut first = digits.len();
        let mut rest = number.min(LARGEST_INTEGER);
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }
}
