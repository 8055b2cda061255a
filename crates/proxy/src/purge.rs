//! Purging: who asks for what (`order`), what the store does about it (`execute`), and how clients ask over HTTP.

mod again;
mod execute;
mod expression;
mod order;
mod refresh;

pub use execute::Purged;
pub use expression::{LONGEST as LONGEST_EXPRESSION, TagExpression};
pub use order::{By, MOST_NAMED, MatchText, Matching, Order, Url, What, WrongOrder};

pub(crate) use again::Again;
pub(crate) use refresh::Refreshing;

use bytes::Bytes;
use copal_policy::Config;
use copal_semantics::Target;
use copal_store::{Hardness, Invalidated};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use std::sync::Arc;

use crate::answer::Answer;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::{deliver, fault};

pub(crate) fn is_purge(method: &Method) -> bool {
    method.as_str() == "PURGE"
}

/// Answers a `PURGE`: 403 unless the peer's own address is allowed, else what went.
pub(crate) fn answer(proxy: &Arc<Proxy>, runtime: &Runtime, exchange: &Exchange) -> Answer {
    if !exchange.is_from(&runtime.config.purge.allow) {
        tracing::warn!(peer = %exchange.peer, path = %exchange.target.path, "PURGE refused: not in purge.allow");
        let body = r#"{"status":"denied","hint":"add the client's address to purge.allow"}"#;
        return json(StatusCode::FORBIDDEN, body.to_owned(), Reason::PurgeDenied);
    }
    let by = By { dialect: "url", peer: Some(exchange.peer) };
    let done = proxy.purge(&Order::new(vec![What::Url(Url::of(exchange.target.clone()))], by));
    let url = exchange.target.url();
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
        let what = What::url(url).map_err(|wrong| wrong.to_string())?;
        let What::Url(url) = &what else { return Err(format!("{url}: no URL")) };
        let mut all = Vec::new();
        execute::of_target(self, &self.config(), &url.target, &mut all);
        let done = self.invalidate(&all, hardness);
        Ok(Invalidated { sequence: done.sequence, removed: done.removed })
    }
}

/// Invalidates everything that is stored for a URL; gives how many invalidations it took.
pub(crate) fn of_target(proxy: &Proxy, config: &Config, target: &Target) -> u64 {
    let mut all = Vec::new();
    execute::of_target(proxy, config, target, &mut all);
    proxy.invalidate(&all, Hardness::Hard).invalidations
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
