//! Keys that are more than a URL: `URL`, a line break, and what else picks the response. The origin sees the URL; a purge
//! of the URL finds all of them by a tag that no origin can give, since no field has a line break in it.

use bytes::Bytes;
use http::Method;

/// What picks a stored response besides its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubKey {
    /// A request's method and body.
    Body(KeyBody),
}

/// A body that is in the key: what the origin is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyBody {
    pub(crate) method: Method,
    pub(crate) body: Bytes,
}

/// The tag that every response under a sub-key of `url` (a URL as keyed) carries.
pub(crate) fn tag(url: &str) -> String {
    format!("\nof {url}")
}
