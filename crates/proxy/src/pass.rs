//! Requests that are let through, and responses that are one client's alone.

use std::sync::Arc;

use copal_origin::Upgrading;
use copal_policy::Rule;
use copal_semantics::conditional::{self, Precondition};
use copal_semantics::{Target, announce_trailers, fields, resolve};
use copal_store::{FillReader, Hardness, Invalidation};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::answer::Answer;
use crate::asked::Asked;
use crate::body::Body;
use crate::exchange::{Exchange, Once};
use crate::posted;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::send::{self, Fetched, Outgoing};
use crate::terms::Terms;
use crate::{assemble, decide, deliver, fallback, forward, groups, media, page_head, purge, request_id};

/// Sends a request to the origin and its response to the client; nothing is looked up, nothing stored.
pub(crate) async fn pass(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    mut exchange: Exchange,
    once: Once,
    reason: Reason,
) -> Answer {
    let id = proxy.ids.of(&exchange);
    exchange.request_id = Some(id.clone());
    let page = exchange.depth == 0;
    let mut answer = passed(proxy, runtime, rule, exchange, once, reason).await;
    if page {
        answer.response.headers_mut().entry(request_id::FIELD).or_insert_with(|| id.to_value());
    }
    answer.known_as(id)
}

async fn passed(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    exchange: Exchange,
    once: Once,
    reason: Reason,
) -> Answer {
    let path_and_query = exchange.target.path_and_query();
    let outgoing = Outgoing {
        method: exchange.method.clone(),
        path_and_query: &path_and_query,
        headers: forward::pass_head(runtime, rule, &exchange),
        body: once.body,
        interim: exchange.interim.clone(),
        terms: Terms::of_pass(runtime, rule, &exchange),
    };
    let before = (exchange.method == Method::POST).then(|| proxy.store.begin());
    let mut fetched =
        match send::readable(proxy, runtime, rule, outgoing, || forward::pass_head(runtime, rule, &exchange)).await {
            Ok(fetched) => fetched,
            Err(fault) => {
                let why = exchange.told(reason);
                let fault = fault.forwarded(why);
                return Box::pin(fallback::answer(proxy, runtime, rule, &exchange, fault, why)).await;
            }
        };
    if let Some(fault) = fallback::takes_over(runtime, rule, &exchange, fetched.status)
        && let Some(answer) =
            Box::pin(fallback::ask(proxy, runtime, rule, &exchange, &fault, exchange.told(reason))).await
    {
        return answer;
    }
    if fetched.status == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade(proxy, runtime, once.upgrade, fetched, reason).under(rule);
    }
    let own = invalidates(proxy, runtime, rule, &exchange, &fetched);
    let posted = before.and_then(|before| posted::candidate(proxy, runtime, rule, &exchange, &fetched, before));
    if let Some(candidate) = posted {
        fetched = match posted::store(proxy, candidate, fetched, &own) {
            Ok((mut headers, reader)) => {
                clean(&mut headers, runtime, rule);
                return being_stored(&exchange, headers, reader, reason).under(rule);
            }
            Err(fetched) => *fetched,
        };
    } else if !own.is_empty() {
        proxy.store.invalidate_all(&own, Hardness::Hard);
    }
    if is_assembled(rule, &exchange, &fetched) {
        return assemble::passed(proxy, runtime, rule, exchange, fetched, reason);
    }
    head_of(&exchange, runtime, rule, &mut fetched.headers);
    to_client(&exchange, runtime, rule, fetched, reason).under(rule)
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
    deliver::respond_with(status, headers, body, reason)
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
    decide::internal_fields_out(headers, &runtime.config, rule);
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
