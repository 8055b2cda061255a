//! The cache key: the text of a target URI as keyed, with its hash computed once.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// The primary cache key (RFC 9111 §2): `http://host/path?query` as normalised and as the rule keys it.
///
/// Where more than the URL picks what is stored (a slice of it, a request body), a line break and the rest follow. No URL
/// has a line break in it.
///
/// Made by [`Store::key`](crate::Store::key), because the 64-bit hash in it is keyed with a secret of that store, so
/// that nobody can choose URLs that collide. Equality compares the full text. A clone is one reference count.
#[derive(Clone)]
pub struct CacheKey {
    text: Arc<str>,
    hash: u64,
    host_start: usize,
    host_end: usize,
}

impl CacheKey {
    /// A key whose hash is made with `hasher`, the secret of one store.
    pub(crate) fn new(text: Arc<str>, hasher: &impl BuildHasher) -> Self {
        // By single bytes: a search for a text has to be prepared first, which costs more than it saves in a scheme's name.
        let scheme_end = text.bytes().position(|byte| byte == b':').filter(|&at| text[at..].starts_with("://"));
        let host_start = scheme_end.map_or(0, |at| at + 3);
        let is_end = |byte: &u8| matches!(byte, b'/' | b'?');
        let host_end = text.as_bytes()[host_start..].iter().position(is_end).map_or(text.len(), |at| host_start + at);
        let hash = hasher.hash_one(&*text);
        Self { text, hash, host_start, host_end }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and, where it is not the scheme's own, port (the authority of RFC 3986 §3.2, which has no userinfo here).
    pub fn host(&self) -> &str {
        &self.text[self.host_start..self.host_end]
    }

    /// The path without the query (RFC 3986 §3.3).
    pub fn path(&self) -> &str {
        let rest = self.path_and_query();
        rest.split_once('?').map_or(rest, |(path, _)| path)
    }

    /// All that follows the host: path, and `?` with the query where there is one.
    pub fn path_and_query(&self) -> &str {
        self.url().get(self.host_end..).unwrap_or_default()
    }

    /// The URL: what stands before a line break, where there is one.
    pub fn url(&self) -> &str {
        self.text.split_once('\n').map_or(&*self.text, |(url, _)| url)
    }

    /// The hash of the text under the store's secret.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Bytes of text, for the weight.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Hands on the hash that a key already carries, for maps of keys and of hashes.
#[derive(Clone, Copy, Default)]
pub(crate) struct AsHashed;

impl BuildHasher for AsHashed {
    type Hasher = Given;

    fn build_hasher(&self) -> Given {
        Given(0)
    }
}

/// The hasher of [`AsHashed`].
pub(crate) struct Given(u64);

impl Hasher for Given {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Not reached by the types of this crate; folds, so that it is right for any other.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    #[test]
    fn parts_of_a_key() {
        let cases = [
            ("http://example.org/a/b?c=d", "example.org", "/a/b", "/a/b?c=d"),
            ("https://example.org:8443/", "example.org:8443", "/", "/"),
            ("http://[::1]:80/x?/y", "[::1]:80", "/x", "/x?/y"),
            ("http://example.org", "example.org", "", ""),
            ("http://example.org/a?b\nslice 65536 3", "example.org", "/a", "/a?b"),
            ("http://example.org/\nQUERY 00ff", "example.org", "/", "/"),
            ("", "", "", ""),
        ];
        for (text, host, path, path_and_query) in cases {
            let key = CacheKey::new(Arc::from(text), &RandomState::new());
            assert_eq!(
                (key.as_str(), key.host(), key.path(), key.path_and_query()),
                (text, host, path, path_and_query)
            );
        }
    }

    #[test]
    fn equality_is_by_text_and_the_hash_is_secret() {
        let state = RandomState::new();
        let key = |text: &str| CacheKey::new(Arc::from(text), &state);
        assert_eq!(key("http://a/"), key("http://a/"));
        assert_ne!(key("http://a/"), key("http://b/"));
        let elsewhere = CacheKey::new(Arc::from("http://a/"), &RandomState::new());
        assert_ne!(key("http://a/").hash(), elsewhere.hash());
    }
}
