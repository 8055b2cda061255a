//! The `Cache-Status` field (RFC 9211), written by hand because every response carries one.

use http::header::{CACHE_STATUS, HeaderMap, HeaderValue};

use crate::list::is_tchar;

/// One cache's member of `Cache-Status`: how it handled the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// §2.1: the response came from the cache without going forward.
    pub hit: bool,
    /// §2.2: why the request went forward: `bypass`, `method`, `uri-miss`, `vary-miss`, `miss`, `request`, `stale`, `partial`.
    pub fwd: Option<&'a str>,
    /// §2.3: the status code the next server answered with.
    pub fwd_status: Option<u16>,
    /// §2.4: the seconds of freshness left; negative when stale.
    pub ttl: Option<i64>,
    /// §2.5: the response was stored.
    pub stored: bool,
    /// §2.6: the request was collapsed with others.
    pub collapsed: bool,
    /// §2.8: more, in this cache's own words.
    pub detail: Option<&'a str>,
}

impl CacheStatus<'_> {
    /// Appends this member under the cache's `name`; what caches nearer to the origin said stays before it (§2). One small allocation.
    pub fn append_to(&self, name: &str, headers: &mut HeaderMap) {
        headers.append(CACHE_STATUS, self.to_value(name));
    }

    /// This member as a field value.
    pub fn to_value(&self, name: &str) -> HeaderValue {
        let mut text = Text::new();
        self.write(name, &mut text);
        // Text holds visible ASCII and spaces only, so this cannot fail.
        HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static("copal"))
    }

    fn write(&self, name: &str, text: &mut Text) {
        text.push_token_or_string(name);
        if self.hit {
            text.push(b"; hit");
        }
        // fwd is a token and nothing else (§2.2).
        if let Some(fwd) = self.fwd.filter(|fwd| is_sf_token(fwd)) {
            text.push(b"; fwd=");
            text.push(fwd.as_bytes());
        }
        if let Some(status) = self.fwd_status {
            text.push(b"; fwd-status=");
            text.push_number(u64::from(status));
        }
        if let Some(ttl) = self.ttl {
            text.push(if ttl < 0 { b"; ttl=-" } else { b"; ttl=" });
            text.push_number(ttl.unsigned_abs().min(LARGEST_INTEGER));
        }
        if self.stored {
            text.push(b"; stored");
        }
        if self.collapsed {
            text.push(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            text.push(b"; detail=");
            text.push_token_or_string(detail);
        }
    }
}

/// The largest integer of a structured field (RFC 9651 §3.3.1).
const LARGEST_INTEGER: u64 = 999_999_999_999_999;

/// Whether `text` is a token of structured fields (RFC 9651 §3.3.4).
fn is_sf_token(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'*')
        && bytes.all(|byte| is_tchar(byte) || byte == b':' || byte == b'/')
}

/// A text on the stack that moves to the heap only when it gets long.
struct Text {
    short: [u8; Self::SHORT],
    length: usize,
    long: Vec<u8>,
}

impl Text {
    const SHORT: usize = 128;

    fn new() -> Self {
        Self { short: [0; Self::SHORT], length: 0, long: Vec::new() }
    }

    fn as_bytes(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.length] } else { &self.long }
    }

    fn push(&mut self, bytes: &[u8]) {
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

    /// As a token where it is one, else as a string; what a string cannot hold is left out (RFC 9651 §3.3.3).
    fn push_token_or_string(&mut self, text: &str) {
        if is_sf_token(text) {
            self.push(text.as_bytes());
            return;
        }
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

    fn push_number(&mut self, number: u64) {
        let mut digits = [0u8; 20];
        let mut first = digits.len();
        let mut rest = number;
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
