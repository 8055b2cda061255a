//! Requests that are let through, and responses that are one client's alone.

use std::sync::Arc;

use copal_origin::{RequestBody, Upgrading};
use copal_policy::Rule;
use copal_semantics::conditional::{self, Precondition};
use copal_semantics::{Target, announce_trailers, fields, resolve};
use copal_store::{FillReader, Hardness, Invalidation, Sequence};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::answer::Answer;
use crate::asked::Asked;
use crate::body::Body;
use crate::exchange::{Exchange, Once};
use crate::fault::Fault;
use crate::posted;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::request::Later;
use crate::send::{self, Fetched, Outgoing};
use crate::terms::Terms;
use crate::{assemble, decide, deliver, fallback, forward, groups, media, page_head, purge, request_id};

/// Sends a request to the origin and its response to the client; nothing is looked up, nothing stored.
pub(crate) fn pass(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    mut exchange: Exchange,
    once: Once,
    reason: Reason,
) -> Later {
    let id = proxy.ids.of(&exchange);
    let field = id.to_value();
    exchange.request_id = Some(id.clone());
    let before = (exchange.method == Method::POST).then(|| proxy.store.begin());
    let (proxy, runtime, rule) = (Arc::clone(proxy), Arc::clone(runtime), Arc::clone(rule));
    let passing = Passing { proxy, runtime, rule, exchange, reason, before };
    // All of it is lent to the futures in this one: each that had it would carry it twice.
    Box::pin(async move {
        let page = passing.exchange.depth == 0;
        let mut answer = match passing.fetch(once.body, &field).await {
            Ok(fetched) => match passing.fallback(fetched.status).await {
                Some(answer) => answer,
                None => match passing.answer(fetched, once.upgrade) {
                    Ok(answer) => answer,
                    Err(template) => {
                        let Passing { proxy, runtime, rule, exchange, reason, .. } = passing;
                        assemble::passed(&proxy, &runtime, &rule, exchange, *template, reason)
                    }
                },
            },
            Err(fault) => passing.failed(fault).await,
        };
        if page {
            answer.response.headers_mut().entry(request_id::FIELD).or_insert(field);
        }
        answer.known_as(id)
    })
}

/// A request that is let through, and what its answer is made with.
struct Passing {
    proxy: Arc<Proxy>,
    runtime: Arc<Runtime>,
    rule: Arc<Rule>,
    exchange: Exchange,
    reason: Reason,
    /// When it was sent, of a POST.
    before: Option<Sequence>,
}

impl Passing {
    async fn fetch(&self, body: RequestBody, id: &HeaderValue) -> Result<Fetched, Fault> {
        let mut ready = send::ready(&self.proxy, &self.runtime, &self.rule, self.outgoing(body, id))?;
        ready.readable(|| self.outgoing(RequestBody::Empty, id)).await
    }

    fn outgoing(&self, body: RequestBody, id: &HeaderValue) -> Outgoing<'static> {
        let exchange = &self.exchange;
        Outgoing {
            method: exchange.method.clone(),
            path_and_query: exchange.target.path_and_query().into(),
            headers: forward::pass_head(&self.runtime, &self.rule, exchange, id.clone()),
            body,
            interim: exchange.interim.clone(),
            terms: Terms::of_pass(&self.runtime, &self.rule, exchange),
        }
    }

    async fn failed(&self, fault: Fault) -> Answer {
        let why = self.exchange.told(self.reason);
        let fault = fault.forwarded(why);
        Box::pin(fallback::answer(&self.proxy, &self.runtime, &self.rule, &self.exchange, fault, why)).await
    }

    /// The answer of whoever stands in for an origin that answers so.
    async fn fallback(&self, status: StatusCode) -> Option<Answer> {
        let fault = fallback::takes_over(&self.runtime, &self.rule, &self.exchange, status)?;
        let why = self.exchange.told(self.reason);
        Box::pin(fallback::ask(&self.proxy, &self.runtime, &self.rule, &self.exchange, &fault, why)).await
    }

    /// The answer with what came from the origin.
    ///
    /// # Errors
    /// What came, where it is a template that is to be assembled.
    fn answer(&self, mut fetched: Fetched, client: Option<Upgrading>) -> Result<Answer, Box<Fetched>> {
        let Self { proxy, runtime, rule, exchange, before, .. } = self;
        let reason = self.reason;
        if fetched.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(upgrade(proxy, runtime, client, fetched, reason).under(rule));
        }
        let own = invalidates(proxy, runtime, rule, exchange, &fetched);
        let posted = before.and_then(|before| posted::candidate(proxy, runtime, rule, exchange, &fetched, before));
        if let Some(candidate) = posted {
            fetched = match posted::store(proxy, candidate, fetched, &own) {
                Ok((mut headers, reader)) => {
                    clean(&mut headers, runtime, rule);
                    return Ok(being_stored(exchange, headers, reader, reason).under(rule));
                }
                Err(fetched) => *fetched,
            };
        } else if !own.is_empty() {
            proxy.store.invalidate_all(&own, Hardness::Hard);
        }
        if is_assembled(rule, exchange, &fetched) {
            return Err(Box::new(fetched));
        }
        head_of(exchange, runtime, rule, &mut fetched.headers);
        Ok(to_client(exchange, runtime, rule, fetched, reason).under(rule))
    }
}

/// A response to a fill that may not be stored: the origin was asked for the whole, the client for what it asked.
pub(crate) fn private(proxy: &Arc<Proxy>, asked: &Arc<Asked>, mut fetched: Fetched, reason: Reason) -> Answer {
    let exchange = &asked.exchange;
    if asked.asks_again() {
        // A session that was begun for somebody unknown would take the place of this client's own.
        fetched.headers.remove(header::SET_COOKIE);
    }
    if is_assembled(&asked.rule, exchange, &fetched) {
        return assemble::passed(proxy, &asked.runtime, &asked.rule, exchange.clone(), fetched, reason);
    }
    head_of(exchange, &asked.runtime, &asked.rule, &mut fetched.headers);
    // A 304 has no place for a cookie, and only a stated validator was the client's to compare with.
    let comparable = conditional::has_validator(&fetched.headers) && !fetched.headers.contains_key(header::SET_COOKIE);
    let unchanged = conditional::evaluate(&exchange.method, &exchange.headers, fetched.status, &fetched.headers);
    if comparable && unchanged == Precondition::NotModified && exchange.depth == 0 {
        let mut headers = conditional::not_modified_head(&fetched.headers);
        deliver::fetched_status(&mut headers, exchange.told(reason), fetched.status, false);
        return deliver::respond_with(StatusCode::NOT_MODIFIED, headers, Body::empty(), reason).under(&asked.rule);
    }
    to_client(exchange, &asked.runtime, &asked.rule, fetched, reason).under(&asked.rule)
}

/// The response to a request that was let through, while it is stored for others: this client's is as it came.
fn being_stored(exchange: &Exchange, mut headers: HeaderMap, reader: FillReader, reason: Reason) -> Answer {
    headers.remove(header::TRAILER);
    let (status, length) = (reader.head().status, reader.head().length);
    deliver::fetched_status(&mut headers, exchange.told(reason), status, true);
    deliver::respond_with(status, headers, Body::growing(reader, length), reason)
}

/// The fields for the client; to HEAD, those that its GET would have (RFC 9110 §9.3.2).
fn head_of(exchange: &Exchange, runtime: &Runtime, rule: &Rule, headers: &mut HeaderMap) {
    let template = exchange.method == Method::HEAD && media::is_template(rule, headers);
    clean(headers, runtime, rule);
    if template {
        *headers = page_head::page_head(headers, &runtime.config, rule, false);
    }
}

/// The response to the client, whose fields [`head_of`] has made: `Via` is among them.
fn to_client(exchange: &Exchange, runtime: &Runtime, rule: &Rule, fetched: Fetched, reason: Reason) -> Answer {
    let Fetched { status, mut headers, mut body, .. } = fetched;
    if media::is_event_stream(&headers) && rule.timeouts.as_ref().is_none_or(|own| own.between_bytes.is_none()) {
        body.be_patient(runtime.config.limits.upgrade_idle);
    }
    let trailers = exchange.takes_trailers();
    if trailers {
        announce_trailers(&mut headers, |name| !decide::is_internal(name, &runtime.config.cache));
    } else {
        headers.remove(header::TRAILER);
    }
    let body = match exchange.method {
        Method::HEAD => Body::empty(),
        _ if trailers => Body::origin_with_trailers(body),
        _ => Body::origin(body),
    };
    if exchange.depth > 0 {
        return deliver::fragment(status, &headers, body, reason);
    }
    deliver::fetched_status(&mut headers, exchange.told(reason), status, false);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Answer::new(response, reason)
}

fn is_assembled(rule: &Rule, exchange: &Exchange, fetched: &Fetched) -> bool {
    exchange.method != Method::HEAD
        && !matches!(fetched.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED)
        && media::is_template(rule, &fetched.headers)
        && !media::is_encoded(&fetched.headers)
}

/// End-to-end fields only (RFC 9110 §7.6.1), without those between the origin and Copal.
pub(crate) fn clean(headers: &mut HeaderMap, runtime: &Runtime, rule: &Rule) {
    fields::remove_hop_by_hop(headers);
    decide::marked_fields_out(headers, runtime.internal, &runtime.config, rule);
    headers.append(header::VIA, deliver::VIA);
}

/// RFC 9111 §4.4: a successful unsafe request makes what is stored for its target invalid, and for what `Location` and
/// `Content-Location` name of the same origin; and the groups that the response names (RFC 9875 §3). A POST whose responses the
/// rule stores under its body is a question, by the operator's word.
fn invalidates(
    proxy: &Proxy,
    runtime: &Runtime,
    rule: &Rule,
    exchange: &Exchange,
    fetched: &Fetched,
) -> Vec<Invalidation> {
    let mut all = Vec::new();
    let done = fetched.status.is_success() || fetched.status.is_redirection();
    let asks =
        is_safe(&exchange.method) || rule.cache().is_some_and(|cache| cache.body_methods.contains(&exchange.method));
    if asks || !done {
        return all;
    }
    let target = &exchange.target;
    purge::of_target(proxy, &runtime.config, target, &mut all);
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        for reference in fetched.headers.get_all(name) {
            if let Some(named) = same_origin(target, reference).filter(|named| named != target) {
                purge::of_target(proxy, &runtime.config, &named, &mut all);
            }
        }
    }
    all.extend(groups::invalidations(target, &fetched.headers));
    all
}

/// Safe by RFC 9110 §9.2.1 or by the registry of methods; one that is not known may change anything (RFC 9111 §4.4).
pub(crate) fn is_safe(method: &Method) -> bool {
    method.is_safe() || matches!(method.as_str(), "QUERY" | "PROPFIND" | "REPORT" | "SEARCH")
}

/// What a reference in a response names, where that is of the same scheme, host and port.
fn same_origin(target: &Target, reference: &HeaderValue) -> Option<Target> {
    let named = resolve(target, reference.to_str().ok()?).ok()?;
    (named.scheme == target.scheme && named.host == target.host).then_some(named)
}

/// 101: from now on the two connections are one; bytes are copied both ways until either side closes.
fn upgrade(
    proxy: &Proxy,
    runtime: &Runtime,
    client: Option<Upgrading>,
    mut fetched: Fetched,
    reason: Reason,
) -> Answer {
    let protocol = fetched.headers.get(header::UPGRADE).cloned();
    fields::remove_hop_by_hop(&mut fetched.headers);
    fetched.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        fetched.headers.insert(header::UPGRADE, protocol);
    }
    if let (Some(client), Some(origin)) = (client, fetched.upgrade) {
        proxy.tunnels.open(client, origin, runtime.config.limits.upgrade_idle);
    }
    deliver::fetched_status(&mut fetched.headers, reason, fetched.status, false);
    deliver::respond_with(fetched.status, fetched.headers, Body::empty(), reason)
}
