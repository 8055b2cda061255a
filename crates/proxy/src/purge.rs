//! `PURGE` of a URL, from clients that may.

use bytes::Bytes;
use copal_policy::{Action, Config};
use copal_semantics::{Target, target};
use copal_store::{Hardness, Invalidated, Invalidation};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::answer::Answer;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::sub_key;
use crate::{deliver, fault};

pub(crate) fn is_purge(method: &Method) -> bool {
    method.as_str() == "PURGE"
}

/// The cache keys under which a URL may be stored: both schemes, and the query as each cache rule keys it.
pub(crate) fn keys(config: &Config, target: &Target) -> Vec<String> {
    let mut queries = vec![target.query.clone()];
    for rule in config.policy.rules() {
        if let Action::Cache(cache) = &rule.action {
            let query = cache.key.query(target.query.as_deref()).map(std::borrow::Cow::into_owned);
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
    }
    let mut keys = Vec::with_capacity(queries.len() * 2);
    for query in queries {
        for scheme in ["http", "https"] {
            let url = Target { scheme, query: query.clone(), ..target.clone() }.url();
            keys.push(url);
        }
    }
    keys
}

/// Answers a `PURGE`: 403 unless the peer's own address is allowed, else what went.
pub(crate) fn answer(proxy: &Proxy, runtime: &Runtime, exchange: &Exchange) -> Answer {
    if !exchange.is_from(&runtime.config.purge.allow) {
        tracing::warn!(peer = %exchange.peer, path = %exchange.target.path, "PURGE refused: not in purge.allow");
        let body = r#"{"status":"denied","hint":"add the client's address to purge.allow"}"#;
        return json(StatusCode::FORBIDDEN, body.to_owned(), Reason::PurgeDenied);
    }
    let done = purge(proxy, &runtime.config, &exchange.target, Hardness::Hard);
    let url = exchange.target.url();
    tracing::info!(peer = %exchange.peer, url, removed = done.removed, sequence = done.sequence, "purged");
    let body = format!(
        r#"{{"status":"purged","url":"{}","removed":{},"sequence":{}}}"#,
        escape(&url),
        done.removed,
        done.sequence
    );
    json(StatusCode::OK, body, Reason::Purged)
}

impl Proxy {
    /// Removes every variant of an absolute URL, or makes it stale ([`Hardness::Soft`]).
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn purge_url(&self, url: &str, hardness: Hardness) -> Result<Invalidated, String> {
        let anywhere = Target { scheme: "http", host: String::new(), path: "/".to_owned(), query: None };
        let target = target::resolve(&anywhere, url).map_err(|error| format!("{url}: {error}"))?;
        if target.host.is_empty() {
            return Err(format!("{url}: give the whole URL, as in http://www.example.com/page"));
        }
        let done = purge(self, &self.config(), &target, hardness);
        Ok(Invalidated { sequence: done.sequence, removed: done.removed })
    }
}

/// What purging a URL came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Purged {
    /// The number of the last invalidation that it took.
    pub(crate) sequence: u64,
    /// How many invalidations it took.
    pub(crate) invalidations: u64,
    /// How many stored responses of the URL itself went.
    pub(crate) removed: u64,
}

/// Invalidates everything that is stored for a URL, under whatever key.
pub(crate) fn purge(proxy: &Proxy, config: &Config, target: &Target, hardness: Hardness) -> Purged {
    let mut total = Purged::default();
    let mut invalidate = |what: Invalidation| {
        let done = proxy.store.invalidate(&what, hardness);
        total.removed += done.removed;
        total.sequence = total.sequence.max(done.sequence);
        total.invalidations += 1;
    };
    for key in keys(config, target) {
        if config.has_sub_keys {
            invalidate(Invalidation::Tag(sub_key::tag(&key)));
        }
        invalidate(Invalidation::Key(proxy.store.key(key)));
    }
    let (keys, tags) = proxy.searching.of(config, target);
    keys.into_iter().for_each(|key| invalidate(Invalidation::Key(proxy.store.key(key))));
    tags.into_iter().for_each(|tag| invalidate(Invalidation::Tag(tag)));
    total
}

/// A normalised URL has no control characters; only these two could end a JSON string.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn json(status: StatusCode, body: String, reason: Reason) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    deliver::cache_status(&mut headers, reason, None);
    fault::refused(reason, &mut headers);
    deliver::respond_with(status, headers, Body::bytes(Bytes::from(body + "\n")), reason)
}
