//! `POST /purge`: what to forget, as JSON.

use copal_proxy::Proxy;
use copal_store::{Hardness, Invalidated, Invalidation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The body of a request; `copal purge` sends the same.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PurgeRequest {
    /// Whole URLs: every variant of each.
    pub(crate) urls: Vec<String>,
    /// Tags that the origin gave.
    pub(crate) tags: Vec<String>,
    /// Everything below: `/blog/` on all hosts, `http://www.example.com/blog/` on one.
    pub(crate) prefix: Option<String>,
    /// Everything.
    pub(crate) all: bool,
    /// Make it stale only.
    pub(crate) soft: bool,
}

/// Does what is asked, in order. What comes after an error is not done; doing all of it again does no harm.
///
/// # Errors
/// What is wrong with the request.
pub(super) fn purge(proxy: &Proxy, asked: &PurgeRequest) -> Result<Value, String> {
    if asked.urls.is_empty() && asked.tags.is_empty() && asked.prefix.is_none() && !asked.all {
        return Err("nothing to purge: give urls, tags, prefix or all".to_owned());
    }
    let prefix = asked.prefix.as_deref().map(prefix).transpose()?;
    let hardness = if asked.soft { Hardness::Soft } else { Hardness::Hard };
    let mut done = Invalidated { sequence: 0, removed: 0 };
    let mut add = |one: Invalidated| {
        done.sequence = done.sequence.max(one.sequence);
        done.removed += one.removed;
    };
    for url in &asked.urls {
        add(proxy.purge_url(url, hardness)?);
    }
    let store = proxy.store();
    for tag in &asked.tags {
        add(store.invalidate(&Invalidation::Tag(tag.clone()), hardness));
    }
    if let Some(prefix) = prefix {
        add(store.invalidate(&prefix, hardness));
    }
    if asked.all {
        add(store.invalidate(&Invalidation::All, hardness));
    }
    let (urls, tags, soft) = (asked.urls.len(), asked.tags.len(), asked.soft);
    let (sequence, removed) = (done.sequence, done.removed);
    tracing::info!(
        urls,
        tags,
        prefix = asked.prefix,
        all = asked.all,
        soft,
        sequence,
        removed,
        "purged by the admin API"
    );
    Ok(json!({ "sequence": sequence, "removed": removed }))
}

/// `/path` or `http://host[:port]/path`, the host and port as in a cache key: in lower case, without the scheme's own
/// port.
fn prefix(text: &str) -> Result<Invalidation, String> {
    if text.starts_with('/') {
        return Ok(Invalidation::Prefix { host: None, path: text.to_owned() });
    }
    let wrong = || format!("the prefix {text} is neither a path (/blog/) nor a URL (http://www.example.com/blog/)");
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let own_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(wrong()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let authority = authority.to_ascii_lowercase();
    let host = authority.strip_suffix(own_port).unwrap_or(&authority);
    if host.is_empty() || host.contains('@') {
        return Err(wrong());
    }
    Ok(Invalidation::Prefix { host: Some(host.to_owned()), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (text, expected_host, expected_path) in [
            ("/blog/", None, "/blog/"),
            ("http://www.Example.com/blog/", Some("www.example.com"), "/blog/"),
            ("https://www.example.com", Some("www.example.com"), "/"),
            ("http://example.com:80/a?b", Some("example.com"), "/a?b"),
            ("https://example.com:80/", Some("example.com:80"), "/"),
            ("HTTPS://example.com:443/", Some("example.com"), "/"),
            ("http://[::1]:8080/x", Some("[::1]:8080"), "/x"),
        ] {
            match prefix(text) {
                Ok(Invalidation::Prefix { host, path }) => {
                    assert_eq!((host.as_deref(), path.as_str()), (expected_host, expected_path), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["", "blog/", "ftp://a/", "http:///x", "http://user@host/"] {
            assert!(prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_words_are_refused_and_missing_ones_are_not() {
        let asked: PurgeRequest = serde_json::from_str(r#"{"tags": ["a"], "soft": true}"#).unwrap();
        assert!(asked.soft && !asked.all && asked.urls.is_empty() && asked.tags == ["a"]);
        assert!(serde_json::from_str::<PurgeRequest>(r#"{"url": "http://a/"}"#).is_err());
    }
}
