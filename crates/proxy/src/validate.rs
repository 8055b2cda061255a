//! Stored responses that the origin is asked to confirm, and its 304 (RFC 9111 §4.3.1, §4.3.3, §4.3.4).

use std::sync::Arc;
use std::time::Duration;

use copal_policy::CacheRule;
use copal_semantics::{self as semantics, Freshness, Timestamp, conditional, etag_names, strong_tag};
use copal_store::{FillPermit, Freshened, Freshening, Sequence, StoredResponse, TagChange};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::sync::oneshot;

use crate::asked::Asked;
use crate::decide::{self, Received};
use crate::fault::Fault;
use crate::fill::Led;
use crate::interim::Interim;
use crate::proxy::{NAME, Proxy};
use crate::reason::Reason;
use crate::send::{self, Fetched};

/// What the origin is asked to confirm.
pub(crate) enum Candidates {
    /// Nothing: it is asked for the response.
    None,
    /// The response for the request, which is stale.
    Stale(Arc<StoredResponse>),
    /// Responses for other requests of this URL, one of which may be as good for this one.
    Variants(Vec<Arc<StoredResponse>>),
}

/// What the origin answered.
pub(crate) enum Heard {
    /// 304: this stored response is current.
    Confirmed(Fetched, Arc<StoredResponse>),
    /// A response of its own.
    Response(Fetched),
}

impl Candidates {
    /// What is stored for this request, or else for others under rules that read the page alike.
    pub(crate) fn of(proxy: &Proxy, asked: &Asked, stale: Option<&Arc<StoredResponse>>) -> Self {
        // What is to be completed is there for this request, and has its condition with the range.
        if asked.wanted.completes() {
            return Self::None;
        }
        // A POST under a condition is refused, not confirmed (RFC 9110 §13.1.2).
        if asked.method() == Method::POST {
            return Self::None;
        }
        if let Some(stale) = stale {
            let can = conditional::has_validator(&stale.headers);
            return if can { Self::Stale(Arc::clone(stale)) } else { Self::None };
        }
        // With Authorization the origin may have another page for everybody.
        if asked.plan.authorized {
            return Self::None;
        }
        let mut variants = proxy.store.variants(&asked.key, asked);
        variants.retain(|variant| variant.is_readable_by(asked));
        if variants.is_empty() { Self::None } else { Self::Variants(variants) }
    }

    /// The fields of the request that ask for it.
    fn fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::None => Vec::new(),
            Self::Stale(stale) => conditional::validators(&stale.headers).unwrap_or_default(),
            Self::Variants(variants) => {
                let tags = conditional::validators_of(variants.iter().map(|variant| &variant.headers));
                tags.map(|tags| (header::IF_NONE_MATCH, tags)).into_iter().collect()
            }
        }
    }

    /// The response that a 304 is about. Where one was asked about, it is that one, whatever tag the 304 has.
    fn named_by(self, not_modified: &HeaderMap) -> Option<Arc<StoredResponse>> {
        match self {
            Self::None => None,
            Self::Stale(stale) => Some(stale),
            Self::Variants(variants) => {
                let named = variants.iter().find(|variant| etag_names(not_modified, &variant.headers));
                named.or_else(|| only_one_asked_about(&variants, not_modified)).map(Arc::clone)
            }
        }
    }
}

/// A 304 should have the tag that it is about (RFC 9110 §15.4.5); where it has none, it can only be the one that was asked about.
fn only_one_asked_about<'v>(
    variants: &'v [Arc<StoredResponse>],
    not_modified: &HeaderMap,
) -> Option<&'v Arc<StoredResponse>> {
    let mut tagged = variants.iter().filter_map(|variant| Some((variant, strong_tag(&variant.headers)?)));
    let (first, tag) = tagged.next()?;
    (!not_modified.contains_key(header::ETAG) && tagged.all(|(_, other)| other == tag)).then_some(first)
}

/// Asks the origin, for what is stored to be confirmed where it can be. A 304 that confirms nothing of it is of no use to
/// anybody: the response is asked for then, once.
///
/// # Errors
/// The [`Fault`] of the exchange.
pub(crate) async fn ask(
    proxy: &Proxy,
    asked: &Asked,
    method: Method,
    candidates: Candidates,
    interim: Option<Interim>,
) -> Result<Heard, Fault> {
    let conditions = candidates.fields();
    let fetched = send::fill(proxy, asked, method.clone(), conditions, interim.clone()).await?;
    if fetched.status != StatusCode::NOT_MODIFIED {
        return Ok(Heard::Response(fetched));
    }
    if let Some(named) = candidates.named_by(&fetched.headers) {
        return Ok(Heard::Confirmed(fetched, named));
    }
    if asked.wanted.completes() {
        // To a request for what is missing: the whole is asked for then.
        return Ok(Heard::Response(fetched));
    }
    tracing::debug!(
        key = asked.key.as_str(),
        "a 304 that names nothing that is stored; asked again without conditions"
    );
    drop(fetched);
    let fetched = send::fill(proxy, asked, method, Vec::new(), interim).await?;
    if fetched.status == StatusCode::NOT_MODIFIED {
        let detail = "304 to a request without conditions".to_owned();
        return Err(Fault::new(Reason::OriginProtocol, StatusCode::BAD_GATEWAY, detail).sent());
    }
    Ok(Heard::Response(fetched))
}

/// Freshens what the origin confirmed and gives it to all who wait.
pub(crate) fn confirmed(
    proxy: &Proxy,
    asked: &Asked,
    named: &Arc<StoredResponse>,
    fetched: &Fetched,
    permit: FillPermit,
    tell: oneshot::Sender<Led>,
) {
    match freshen(proxy, asked, named, fetched, permit.began()) {
        Ok(Freshening { response, stored }) => {
            if stored {
                permit.ready(Arc::clone(&response));
            } else {
                // Purged while it was being validated: this client may have what was current when it asked, nobody else.
                drop(permit);
            }
            let _ = tell.send(Led::Ready(response, Reason::Validated));
        }
        // The origin confirmed the content, and says now that it is not to be kept: this client's answer, nobody else's.
        Err(unkept) => {
            let response = unkept.once(proxy, asked, named, fetched, permit.began());
            let for_others = !asked.plan.authorized;
            let remember = for_others.then_some(asked.runtime.config.cache.hit_for_miss);
            permit.not_stored(remember, fetched.response_time);
            let _ = tell.send(Led::Ready(response, Reason::Validated));
        }
    }
}

/// Why a confirmed response is not to be kept, and its fields for the one client that asked.
pub(crate) struct Unkept {
    reason: Reason,
    headers: HeaderMap,
}

impl Unkept {
    /// The response for this client. What is said to a request with `Authorization` is said to it alone, and what is stored
    /// stays as it is for others, as does what is stored for other requests; else it goes.
    pub(crate) fn once(
        self,
        proxy: &Proxy,
        asked: &Asked,
        named: &Arc<StoredResponse>,
        fetched: &Fetched,
        began: Sequence,
    ) -> Arc<StoredResponse> {
        tracing::debug!(key = asked.key.as_str(), reason = self.reason.as_str(), "confirmed, but not to be kept");
        if !asked.plan.authorized && named.is_for(asked) {
            proxy.store.forget(&asked.key, named);
        }
        let freshness = Freshness {
            no_cache: true,
            lifetime: Duration::ZERO,
            response_time: fetched.response_time,
            initial_age: semantics::initial_age(&fetched.headers, fetched.request_time, fetched.response_time),
            ..named.freshness
        };
        let (old, tags) = (Arc::clone(named), TagChange::default());
        let once = Freshened { old, headers: self.headers, freshness, shared: false, tags, vary: None };
        proxy.store.freshened(asked, &once, began)
    }
}

/// Freshens a stored response with the fields of a 304, or of a 200 to HEAD that agrees with it; and with it every stored response
/// that could have been chosen for this request and has the same strong entity tag (RFC 9111 §4.3.4). What is stored for others
/// stays: the fields are of this request (`Access-Control-Allow-Origin`), however equal the content.
///
/// # Errors
/// By its fields as updated it is not to be kept.
pub(crate) fn freshen(
    proxy: &Proxy,
    asked: &Asked,
    named: &Arc<StoredResponse>,
    fetched: &Fetched,
    began: Sequence,
) -> Result<Freshening, Unkept> {
    let Some(cache) = asked.cache_rule() else {
        return Err(Unkept { reason: Reason::Internal, headers: named.headers.clone() });
    };
    let update = Update::of(proxy, asked, cache, fetched);
    let confirmed = update.apply(named)?;
    let mut others = proxy.store.variants(&asked.key, asked);
    others.retain(|other| {
        !Arc::ptr_eq(other, named) && other.is_for(asked) && etag_names(&named.headers, &other.headers)
    });
    let others = others.iter().filter_map(|other| update.apply(other).ok()).collect();
    let freshened = proxy.store.freshen_all(&asked.key, asked, confirmed, others, began);
    let _ = proxy.searching.hear(asked, &freshened.response.headers);
    Ok(freshened)
}

/// What a 304 brings to the stored responses that it is about.
struct Update<'a> {
    asked: &'a Asked,
    cache: &'a CacheRule,
    fetched: &'a Fetched,
    /// The fields that update those of the same name.
    fields: HeaderMap,
    random: u64,
}

impl<'a> Update<'a> {
    fn of(proxy: &Proxy, asked: &'a Asked, cache: &'a CacheRule, fetched: &'a Fetched) -> Self {
        let mut fields = fetched.headers.clone();
        // Without a Date of its own a 304 was made now, not when the stored response was (RFC 9110 §6.6.1).
        fields.entry(header::DATE).or_insert_with(|| fetched.response_time.http_date());
        decide::internal_fields_out(&mut fields, &asked.runtime.config, &asked.rule);
        Self { asked, cache, fetched, fields, random: proxy.random() }
    }

    fn now(&self) -> Timestamp {
        self.fetched.response_time
    }

    fn apply(&self, old: &Arc<StoredResponse>) -> Result<Freshened, Unkept> {
        // What decides on freshness is the merged head: the 304 may say nothing of it.
        let mut headers = conditional::freshen(&old.headers, &self.fields, self.cache.overrides.share_set_cookie);
        let judged = self.judge(old, &headers);
        headers.remove(header::VIA);
        match judged {
            Ok(decide::Storable { freshness, shared, unstored }) => {
                decide::clean_stored(&mut headers, &unstored, self.now(), NAME);
                let vary = self.fields.contains_key(header::VARY).then(|| decide::vary(&headers));
                let tags = self.tags(&old.headers, &headers);
                Ok(Freshened { old: Arc::clone(old), headers, freshness, shared, tags, vary })
            }
            Err(reason) => {
                decide::clean_stored(&mut headers, &[], self.now(), NAME);
                Err(Unkept { reason, headers })
            }
        }
    }

    fn judge(&self, old: &StoredResponse, merged: &HeaderMap) -> Result<decide::Storable, Reason> {
        let mut judged = merged.clone();
        // What a stored head does not hold, and the 304 has.
        for name in self.fetched.headers.keys() {
            if name == "surrogate-control" || name == header::AGE || self.cache.ttl_headers.contains(name) {
                judged.remove(name);
                for value in self.fetched.headers.get_all(name) {
                    judged.append(name.clone(), value.clone());
                }
            }
        }
        let received = Received {
            asks: self.asked.asks(),
            status: self.asked.judged(old),
            request: &self.asked.exchange.headers,
            headers: &judged,
            request_time: self.fetched.request_time,
            response_time: self.now(),
            authorized: self.asked.plan.authorized,
            random: self.random,
            must_vary_by: self.asked.plan.must_vary_by(),
        };
        decide::store(&self.asked.runtime.config, self.cache, &received)
    }

    /// Tags of the 304 take the place of the stored ones, where it has any; so do its groups.
    fn tags(&self, before: &HeaderMap, after: &HeaderMap) -> TagChange {
        let own = decide::tags(&self.fetched.headers, &self.asked.runtime.config.cache);
        let implied = |headers| self.asked.implied_tags(headers);
        if own.is_empty() {
            TagChange { out: Some(implied(before)), into: implied(after) }
        } else {
            TagChange { out: None, into: own.into_iter().chain(implied(after)).collect() }
        }
    }
}
