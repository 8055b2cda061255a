//! The last resorts of a page that its origin cannot give, and that is not stored: what the origin's `fallback` says, else
//! the error page.
//!
//! A fallback is asked as nobody: without cookies, credentials and conditions. What it says is for this one client and this
//! one moment, so that no browser and no cache takes a maintenance page for the page.

use std::sync::Arc;

use copal_origin::{Call, RequestBody};
use copal_policy::Rule;
use copal_semantics::{CacheStatus, targeted};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::body::Body;
use crate::deliver;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::{Reason, Told};
use crate::{forward, pass, request_id};

/// A fallback's own fallback is asked too; beyond that nobody is.
const DEEPEST: usize = 2;

/// The answer to a client whose request failed at the origin; `why` it was forwarded, or would have been.
pub(crate) async fn answer(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    exchange: &Exchange,
    fault: Fault,
    why: Told,
) -> Answer {
    match ask(proxy, runtime, rule, exchange, &fault, why).await {
        Some(answer) => answer,
        None => fault.page(proxy, runtime, exchange).under(rule),
    }
}

/// What an origin's answer means where there is a fallback: it is down, says whoever stands before it.
pub(crate) fn takes_over(runtime: &Runtime, rule: &Rule, exchange: &Exchange, status: StatusCode) -> Option<Fault> {
    let down =
        matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
    (down && applies(runtime, rule, exchange)).then(|| Fault::of_status(status))
}

/// Only pages have a fallback: a fragment that fails has its `alt`, and who sends something wants it done.
fn applies(runtime: &Runtime, rule: &Rule, exchange: &Exchange) -> bool {
    let reads = exchange.method == Method::GET || exchange.method == Method::HEAD;
    runtime.config.origins.get(rule.origin).is_some_and(|origin| origin.fallback.is_some())
        && exchange.depth == 0
        && reads
        && !exchange.has_body
        && !exchange.upgrades
}

/// The fallback's answer; none where there is no fallback for this, or it fails too.
pub(crate) async fn ask(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    exchange: &Exchange,
    because: &Fault,
    why: Told,
) -> Option<Answer> {
    if !because.is_of_origin() || !applies(runtime, rule, exchange) {
        return None;
    }
    let mut asked = vec![rule.origin];
    while asked.len() <= DEEPEST {
        let last = *asked.last()?;
        let next = runtime.config.origins.get(last)?.fallback.filter(|next| !asked.contains(next))?;
        match send(proxy, runtime, next, exchange).await {
            Ok(response) => return Some(deliver(proxy, runtime, rule, exchange, (because, why), response)),
            Err(why) => {
                let origin = runtime.config.origins.get(next).map_or("?", |origin| &*origin.name);
                tracing::warn!(origin, why, "the fallback failed too");
            }
        }
        asked.push(next);
    }
    None
}

/// A fallback's response.
struct Fetched {
    status: StatusCode,
    headers: HeaderMap,
    body: copal_origin::OriginBody,
}

/// Asks one. A page that says 503 is a maintenance page; 502 and 504 say that it is down itself.
async fn send(proxy: &Proxy, runtime: &Runtime, origin: usize, exchange: &Exchange) -> Result<Fetched, String> {
    let (Some(config), Some(origin)) = (runtime.config.origins.get(origin), runtime.origins.get(origin)) else {
        return Err("it is not there".to_owned());
    };
    let uri: Uri = exchange.target.path_and_query().parse().map_err(|error| format!("its request: {error}"))?;
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = exchange.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = forward::fallback_head(runtime, config, exchange);
    request.headers_mut().insert(request_id::FIELD, proxy.ids.of(exchange).to_value());
    let began = Instant::now();
    let result = origin.send_with(request, Call::default()).await;
    let status = result.as_ref().ok().map(|response| response.status);
    proxy.observer.origin(&config.name, status, began.elapsed());
    let response = result.map_err(|error| Fault::of_origin(&error).to_string())?;
    match response.status {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Err(format!("it answered {}", response.status)),
        // The client's conditions were not sent; what it has of the page it has from elsewhere.
        StatusCode::NOT_MODIFIED => Err("it answered 304 to a request without a condition".to_owned()),
        status => Ok(Fetched { status, headers: response.headers, body: response.body }),
    }
}

/// Its answer on the way to the client: not to be kept by anybody, and nothing of it stays with the visitor.
fn deliver(
    proxy: &Proxy,
    runtime: &Runtime,
    rule: &Arc<Rule>,
    exchange: &Exchange,
    (because, why): (&Fault, Told),
    response: Fetched,
) -> Answer {
    let Fetched { status, mut headers, body } = response;
    pass::clean(&mut headers, runtime, rule);
    let own = [header::EXPIRES, header::PRAGMA, header::ETAG, header::LAST_MODIFIED, header::SET_COOKIE];
    for name in own.iter().chain(&targeted::DEFAULT_ORDER).chain(&runtime.config.cache.targeted) {
        headers.remove(name);
    }
    for name in [header::AGE, header::TRAILER, header::HeaderName::from_static("clear-site-data")] {
        headers.remove(name);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let cache_status = CacheStatus {
        fwd: why.fwd.or(Reason::Fallback.fwd()),
        fwd_status: Some(status.as_u16()),
        detail: Some(Reason::Fallback.as_str()),
        ..CacheStatus::default()
    };
    cache_status.append_to(NAME, &mut headers);
    because.tell(&mut headers);
    let id = proxy.ids.of(exchange);
    headers.insert(request_id::FIELD, id.to_value());
    let body = if exchange.method == Method::HEAD { Body::empty() } else { Body::origin(body) };
    deliver::respond_with(status, headers, body, Reason::Fallback).under(rule).known_as(id)
}
