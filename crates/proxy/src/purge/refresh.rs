//! Fetching again what was purged: in the background, as a visitor without cookies would ask for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use copal_semantics::Target;
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::sync::Semaphore;

use crate::exchange::{Exchange, Once};
use crate::proxy::Proxy;
use crate::purge::order::{Order, What};
use crate::request;

/// Fetches at a time: a purge of many URLs must not be a burst on the origin.
const AT_ONCE: usize = 8;

/// URLs that wait for their turn; what comes beyond is left to its first visitor.
const WAITING: usize = 1_024;

/// The fetches that wait or are under way.
pub(crate) struct Refreshing {
    turns: Semaphore,
    waiting: AtomicUsize,
}

impl Refreshing {
    pub(crate) fn new() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0) }
    }
}

/// Begins to fetch the URLs that the order names exactly; gives how many.
pub(super) fn begin(proxy: &Arc<Proxy>, order: &Order) -> u64 {
    let mut begun = 0;
    for what in &order.what {
        let What::Url(url) = what else { continue };
        // Of a URL on any host, or with any query, nobody knows which there are.
        if url.any_host {
            continue;
        }
        let waiting = &proxy.refreshing.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::debug!(%url, "not fetched again: {WAITING} others wait");
            continue;
        }
        begun += 1;
        let (proxy, target) = (Arc::clone(proxy), url.target.clone());
        tokio::spawn(async move {
            // Never closed.
            if let Ok(_turn) = proxy.refreshing.turns.acquire().await {
                fetch(&proxy, target).await;
            }
            proxy.refreshing.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }
    begun
}

/// One request through the whole story. What comes in is stored by its own task, so that nothing is read here.
async fn fetch(proxy: &Arc<Proxy>, target: Target) {
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(&target.host) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static("copal-refresh"));
    let exchange = Exchange::of_copal(Method::GET, target, headers, proxy.clock.now());
    let runtime = proxy.runtime();
    let answer = request::begin(proxy, &runtime, exchange, Once::nothing()).finish().await;
    tracing::debug!(reason = answer.reason.as_str(), status = answer.response.status().as_u16(), "fetched again");
}
