//! Early hints (RFC 8297): the links of the last response, sent ahead while the next one is fetched.

use std::num::NonZeroUsize;
use std::sync::Arc;

use copal_semantics::early_links;
use copal_store::{CacheKey, HeadInfo, Provenance, Selector, Sequence, Store};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::asked::Asked;
use crate::exchange::Exchange;
use crate::proxy::Proxy;
use crate::recent::Recent;

/// Keys whose links are remembered; with [`LONGEST_KEY`] and the limit of [`early_links`] at most 12 MiB.
const KEYS: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

/// A key that is longer is not remembered, in bytes.
const LONGEST_KEY: usize = 2048;

/// The links of the last 200 of each key, of the keys used last.
pub(crate) struct Hints(Recent<CacheKey, Hint>);

struct Hint {
    links: HeaderValue,
    of: Provenance,
}

impl Hints {
    pub(crate) fn new() -> Self {
        Self(Recent::new(KEYS))
    }

    /// Learns from a response that is being stored; its fetch began at `began`. Nothing of one that came for a request with
    /// `Authorization`: the origin may refuse the page to the next one, after the hint.
    pub(crate) fn learn(&self, key: &CacheKey, head: &HeadInfo, began: Sequence) {
        if head.authorized || head.status != StatusCode::OK || key.as_str().len() > LONGEST_KEY {
            return;
        }
        let links = early_links(&head.headers);
        match links {
            Some(links) => self.0.put(key.clone(), Hint { links, of: Provenance::of(head, began) }),
            None => self.0.remove(key),
        }
    }

    /// The links for a request: of a response that it could have been answered with, and that nothing has named since.
    fn links(&self, store: &Store, key: &CacheKey, by: &dyn Selector) -> Option<HeaderValue> {
        let look = |hint: &mut Hint| {
            store.still_holds(key, &mut hint.of).then(|| hint.of.goes_for(by).then(|| hint.links.clone()))
        };
        self.0.look(key, look).flatten()
    }

    /// Forgets what has been invalidated, before the log of the store forgets what it was.
    pub(crate) fn sweep(&self, store: &Store) {
        self.0.retain(|key, hint| store.still_holds(key, &mut hint.of));
    }
}

/// Sends a 103 to a client that navigates and has to wait for its page, if the rule wants that.
pub(crate) fn send(proxy: &Proxy, asked: &Arc<Asked>) {
    let Some(interim) = &asked.exchange.interim else { return };
    if !asked.cache_rule().is_some_and(|cache| cache.early_hints) || !navigates(&asked.exchange) {
        return;
    }
    if let Some(links) = proxy.hints.links(&proxy.store, &asked.key, &**asked) {
        interim.put(StatusCode::EARLY_HINTS, &HeaderMap::from_iter([(header::LINK, links)]));
    }
}

/// Only what browsers ask for as a page is of use with hints, and other clients may not expect them (RFC 8297 §3).
fn navigates(exchange: &Exchange) -> bool {
    exchange.method == Method::GET
        && exchange.headers.get("sec-fetch-mode").is_some_and(|mode| mode.as_bytes() == b"navigate")
}
