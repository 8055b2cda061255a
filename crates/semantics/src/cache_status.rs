//! The `Cache-Status` field (RFC 9211), written by hand because every response carries one.

use http::header::{CACHE_STATUS, Entry, HeaderMap, HeaderValue};

use crate::field_text::{FieldText, is_token};

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
    /// Appends this member under the cache's `name`; what caches nearer to the origin said stays before it (§2). A field without
    /// members says nothing and gives up its place. One small allocation.
    pub fn append_to(&self, name: &str, headers: &mut HeaderMap) {
        let value = self.to_value(name);
        match headers.entry(CACHE_STATUS) {
            Entry::Occupied(mut said) if said.get().is_empty() && said.iter().nth(1).is_none() => {
                said.insert(value);
            }
            Entry::Occupied(mut said) => said.append(value),
            Entry::Vacant(place) => {
                place.insert(value);
            }
        }
    }

    /// This member as a field value.
    pub fn to_value(&self, name: &str) -> HeaderValue {
        let mut text = FieldText::new();
        self.write(name, &mut text);
        text.to_value()
    }

    fn write(&self, name: &str, text: &mut FieldText) {
        text.push_token_or_string(name);
        if self.hit {
            text.push(b"; hit");
        }
        // fwd is a token and nothing else (§2.2).
        if let Some(fwd) = self.fwd.filter(|fwd| is_token(fwd)) {
            text.push(b"; fwd=");
            text.push(fwd.as_bytes());
        }
        if let Some(status) = self.fwd_status {
            text.push(b"; fwd-status=");
            text.push_number(u64::from(status));
        }
        if let Some(ttl) = self.ttl {
            text.push(if ttl < 0 { b"; ttl=-" } else { b"; ttl=" });
            text.push_number(ttl.unsigned_abs());
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
