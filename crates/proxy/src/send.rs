//! Exchanges with an origin: request out, response head in, with the times of both (invariant 12).

use std::sync::Arc;

use copal_origin::{Call, OriginBody, RequestBody, Upgrading};
use copal_policy::{EsiMode, Rule};
use copal_semantics::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use tokio::time::Instant;

use crate::asked::Asked;
use crate::fault::Fault;
use crate::forward;
use crate::interim::Interim;
use crate::media;
use crate::proxy::{Proxy, Runtime};
use crate::request_id;
use crate::terms::{self, Terms};

/// An origin's response: the head is here, the body comes.
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: OriginBody,
    pub(crate) upgrade: Option<Upgrading>,
    pub(crate) request_time: Timestamp,
    pub(crate) response_time: Timestamp,
}

/// What is asked of an origin.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// Where the origin's interim responses go, if they go anywhere.
    pub(crate) interim: Option<Interim>,
    pub(crate) terms: Terms,
}

/// The request of a fill: a whole GET (or what the key holds of another method; or its HEAD), under these conditions where
/// something stored can be confirmed. Interim responses go to the one client that waits for it, if one does.
pub(crate) async fn fill(
    proxy: &Proxy,
    asked: &Asked,
    method: Method,
    conditions: Vec<(HeaderName, HeaderValue)>,
    interim: Option<Interim>,
) -> Result<Fetched, Fault> {
    let body = asked.body();
    let id = proxy.ids.of_fill(&asked.exchange);
    let mut headers = forward::fill_head(asked, &id);
    headers.extend(conditions.iter().cloned());
    let outgoing = Outgoing {
        method,
        path_and_query: asked.path_and_query(),
        headers,
        body,
        interim,
        terms: Terms::of_fill(asked),
    };
    let again = || {
        let mut headers = forward::fill_head(asked, &id);
        headers.extend(conditions);
        headers
    };
    let mut fetched = readable(proxy, &asked.runtime, &asked.rule, outgoing, again).await?;
    // An origin that gives it back speaks of this request, not of those that get the response later.
    if fetched.headers.get(request_id::FIELD).is_some_and(|given_back| *given_back == id.to_value()) {
        fetched.headers.remove(request_id::FIELD);
    }
    Ok(fetched)
}

/// Sends, and where the origin turns out to have compressed a template (it was not known to be one), asks once more for
/// the plain text: what is spliced has to be seen. `head` makes the request's head once more.
pub(crate) async fn readable(
    proxy: &Proxy,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    outgoing: Outgoing<'_>,
    head: impl FnOnce() -> HeaderMap,
) -> Result<Fetched, Fault> {
    let may_ask_again = rule.esi == EsiMode::Auto
        && outgoing.method == Method::GET
        && matches!(outgoing.body, RequestBody::Empty)
        && outgoing.headers.get(header::ACCEPT_ENCODING) != Some(&forward::IDENTITY);
    let (path_and_query, interim, terms) = (outgoing.path_and_query, outgoing.interim.clone(), outgoing.terms);
    let fetched = send(proxy, runtime, rule, outgoing).await?;
    if !(may_ask_again && media::is_encoded(&fetched.headers) && media::is_template(rule, &fetched.headers)) {
        return Ok(fetched);
    }
    let mut headers = head();
    headers.insert(header::ACCEPT_ENCODING, forward::IDENTITY);
    let again = Outgoing { method: Method::GET, path_and_query, headers, body: RequestBody::Empty, interim, terms };
    // Boxed: it is the rare way, and every request would carry its size.
    Box::pin(send(proxy, runtime, rule, again)).await
}

/// Sends one request to the rule's origin.
///
/// # Errors
/// The [`Fault`] of the exchange: whose it is, and the status for the client.
pub(crate) async fn send(
    proxy: &Proxy,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    outgoing: Outgoing<'_>,
) -> Result<Fetched, Fault> {
    let (Some(origin), Some(config)) = (runtime.origin(rule), runtime.config.origins.get(rule.origin)) else {
        return Err(Fault::internal("the rule's origin is not there"));
    };
    let uri: Uri = outgoing
        .path_and_query
        .parse()
        .map_err(|error| Fault::bad_request(format!("the request-target cannot be forwarded: {error}")))?;
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = outgoing.headers;
    let request_time = proxy.clock.now();
    let began = Instant::now();
    let on_interim = outgoing.interim.map(|interim| interim.relay(runtime, rule));
    let Terms { hash, client } = outgoing.terms;
    let call = Call { on_interim, hash, client, timeouts: terms::timeouts(rule, origin) };
    let result = origin.send_with(request, call).await;
    let (response_time, elapsed) = (proxy.clock.now(), began.elapsed());
    let status = result.as_ref().ok().map(|response| response.status);
    proxy.observer.origin(&config.name, status, elapsed);
    let response = result.map_err(|error| Fault::of_origin(&error))?;
    Ok(Fetched {
        status: response.status,
        headers: response.headers,
        body: response.body,
        upgrade: response.upgrade,
        request_time,
        response_time,
    })
}
