//! Exchanges with an origin: request out, response head in, with the times of both (invariant 12).

use std::borrow::Cow;
use std::sync::Arc;

use copal_origin::{Call, OriginBody, ReadyRequest, RequestBody, Upgrading};
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
    pub(crate) path_and_query: Cow<'a, str>,
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
    let id = proxy.ids.of_fill(&asked.exchange);
    let outgoing = |body| {
        let mut headers = forward::fill_head(asked, &id);
        headers.extend(conditions.iter().cloned());
        let (path_and_query, interim) = (Cow::Borrowed(asked.path_and_query()), interim.clone());
        Outgoing { method: method.clone(), path_and_query, headers, body, interim, terms: Terms::of_fill(asked) }
    };
    let mut ready = ready(proxy, &asked.runtime, &asked.rule, outgoing(asked.body()))?;
    let mut fetched = ready.readable(|| outgoing(RequestBody::Empty)).await?;
    // An origin that gives it back speaks of this request, not of those that get the response later.
    if fetched.headers.get(request_id::FIELD).is_some_and(|given_back| *given_back == id.to_value()) {
        fetched.headers.remove(request_id::FIELD);
    }
    Ok(fetched)
}

/// A request that is ready to be sent to the rule's origin. What is made before anything is waited for is made outside of the
/// futures that wait: they would carry the room for making it.
pub(crate) struct Ready<'a> {
    proxy: &'a Proxy,
    runtime: &'a Arc<Runtime>,
    rule: &'a Arc<Rule>,
    origin: &'a Arc<str>,
    request: ReadyRequest<'a>,
    request_time: Timestamp,
    began: Instant,
    /// It may be asked once more for the plain text.
    twice: bool,
}

/// Makes a request ready to be sent to the rule's origin.
///
/// # Errors
/// The [`Fault`] of one that cannot be sent.
pub(crate) fn ready<'a>(
    proxy: &'a Proxy,
    runtime: &'a Arc<Runtime>,
    rule: &'a Arc<Rule>,
    outgoing: Outgoing<'_>,
) -> Result<Ready<'a>, Fault> {
    let (Some(origin), Some(config)) = (runtime.origin(rule), runtime.config.origins.get(rule.origin)) else {
        return Err(Fault::internal("the rule's origin is not there"));
    };
    let twice =
        rule.esi == EsiMode::Auto && outgoing.method == Method::GET && matches!(outgoing.body, RequestBody::Empty);
    let uri = match outgoing.path_and_query {
        Cow::Borrowed(text) => text.parse(),
        Cow::Owned(text) => Uri::try_from(text),
    };
    let uri = uri.map_err(|error| Fault::bad_request(format!("the request-target cannot be forwarded: {error}")))?;
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = outgoing.headers;
    let (request_time, began) = (proxy.clock.now(), Instant::now());
    let on_interim = outgoing.interim.map(|interim| interim.relay(runtime, rule));
    let Terms { hash, client } = outgoing.terms;
    let call = Call { on_interim, hash, client, timeouts: terms::timeouts(rule, origin) };
    let origin_name = &config.name;
    match origin.ready(request, call) {
        Ok(request) => Ok(Ready { proxy, runtime, rule, origin: origin_name, request, request_time, began, twice }),
        Err(error) => {
            proxy.observer.origin(origin_name, None, began.elapsed());
            Err(Fault::of_origin(&error))
        }
    }
}

impl Ready<'_> {
    /// Sends it, and where the origin turns out to have compressed a template (it was not known to be one), asks once more for
    /// the plain text: what is spliced has to be seen. `again` makes the request once more.
    pub(crate) async fn readable<'b>(&mut self, again: impl FnOnce() -> Outgoing<'b>) -> Result<Fetched, Fault> {
        let fetched = self.send().await?;
        if !(self.twice && media::is_encoded(&fetched.headers) && media::is_template(self.rule, &fetched.headers)) {
            return Ok(fetched);
        }
        let mut again = again();
        if again.headers.insert(header::ACCEPT_ENCODING, forward::IDENTITY) == Some(forward::IDENTITY) {
            // It was asked for the plain text.
            return Ok(fetched);
        }
        drop(fetched);
        // Boxed: it is the rare way, and every request would carry its size.
        let mut again = Box::new(ready(self.proxy, self.runtime, self.rule, again)?);
        Box::pin(again.send()).await
    }

    /// Sends it.
    ///
    /// # Errors
    /// The [`Fault`] of the exchange: whose it is, and the status for the client.
    async fn send(&mut self) -> Result<Fetched, Fault> {
        let result = self.request.send().await;
        let (response_time, elapsed) = (self.proxy.clock.now(), self.began.elapsed());
        let status = result.as_ref().ok().map(|response| response.status);
        self.proxy.observer.origin(self.origin, status, elapsed);
        let response = result.map_err(|error| Fault::of_origin(&error))?;
        Ok(Fetched {
            status: response.status,
            headers: response.headers,
            body: response.body,
            upgrade: response.upgrade,
            request_time: self.request_time,
            response_time,
        })
    }
}
