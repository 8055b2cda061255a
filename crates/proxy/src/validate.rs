//! A stale response that the origin confirmed: 304 (RFC 9111 §4.3.3, §4.3.4).

use std::sync::Arc;
use std::time::Duration;

use copal_semantics::{self as semantics, Freshness, conditional};
use copal_store::{FillPermit, Hardness, Invalidation, StoredResponse};
use tokio::sync::oneshot;

use crate::asked::Asked;
use crate::decide::{self, Received};
use crate::fill::Led;
use crate::proxy::{NAME, Proxy};
use crate::reason::Reason;
use crate::send::Fetched;

/// Freshens the stored response with the fields of the 304 and gives it to all who wait.
pub(crate) fn confirmed(
    proxy: &Proxy,
    asked: &Asked,
    stale: Option<Arc<StoredResponse>>,
    fetched: &Fetched,
    permit: FillPermit,
    tell: oneshot::Sender<Led>,
) {
    let (Some(stale), Some(cache)) = (stale, asked.cache_rule()) else { return };
    let config = &asked.runtime.config;
    let mut update = fetched.headers.clone();
    // Without a Date of its own a 304 was made now, not when the stored response was (RFC 9110 §6.6.1).
    update.entry(http::header::DATE).or_insert_with(|| fetched.response_time.http_date());
    decide::internal_fields_out(&mut update, config, &asked.rule);
    // What decides on freshness is the merged head: the 304 may say nothing of it.
    let mut merged = conditional::freshen(&stale.headers, &update, cache.overrides.share_set_cookie);
    let mut judged = merged.clone();
    for (name, value) in &fetched.headers {
        if name == "surrogate-control" || name == http::header::AGE || cache.ttl_headers.contains(name) {
            judged.insert(name, value.clone());
        }
    }
    let received = Received {
        status: stale.status_of_whole(),
        headers: &judged,
        request_time: fetched.request_time,
        response_time: fetched.response_time,
        authorized: asked.plan.authorized,
        random: proxy.random(),
    };
    match decide::store(config, cache, &received) {
        Ok(decide::Storable { freshness, shared, unstored }) => {
            merged.remove(http::header::VIA);
            decide::clean_stored(&mut merged, &unstored, fetched.response_time, NAME);
            match proxy.store.freshen(&asked.key, &stale, merged, freshness, shared, permit.began()) {
                Some(response) => {
                    permit.ready(Arc::clone(&response));
                    let _ = tell.send(Led::Ready(response, Reason::Validated));
                }
                // Purged while it was being validated: this client may have what was current when it asked, nobody else.
                None => {
                    drop(permit);
                    let _ = tell.send(Led::Ready(stale, Reason::Validated));
                }
            }
        }
        // Said to this client alone: what is stored stays as it is for others.
        Err(_) if asked.plan.authorized => {
            permit.not_stored(None, fetched.response_time);
            let _ = tell.send(Led::Ready(stale, Reason::Validated));
        }
        // The origin confirmed the content, and says now that it is not to be kept: this client's answer, nobody else's.
        Err(reason) => {
            tracing::debug!(key = asked.key.as_str(), reason = reason.as_str(), "confirmed, but not to be kept");
            merged.remove(http::header::VIA);
            decide::clean_stored(&mut merged, &[], fetched.response_time, NAME);
            let never = Freshness {
                no_cache: true,
                lifetime: Duration::ZERO,
                response_time: fetched.response_time,
                initial_age: semantics::initial_age(&judged, fetched.request_time, fetched.response_time),
                ..stale.freshness
            };
            let now = proxy.store.freshen(&asked.key, &stale, merged, never, false, permit.began()).unwrap_or(stale);
            proxy.store.invalidate(&Invalidation::Key(asked.key.clone()), Hardness::Hard);
            permit.not_stored(Some(config.cache.hit_for_miss), fetched.response_time);
            let _ = tell.send(Led::Ready(now, Reason::Validated));
        }
    }
}
