//! The head of a request to an origin: what is forwarded, what is withheld, what is added.

use copal_policy::{EsiMode, OriginConfig, Rule};
use copal_semantics::{announce_trailers, conditional, fields, vary};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::address::AddressText;
use crate::asked::Asked;
use crate::exchange::Exchange;
use crate::forwarded;
use crate::names::Marks;
use crate::proxy::Runtime;
use crate::request_id::{self, RequestId};
use crate::sub_key::Slice;

/// No content coding: without the field an origin might choose one (RFC 9110 §12.5.3).
pub(crate) const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Fields by which a client could make an origin answer for another URL, host or visitor than the cache key says.
/// Withheld from every origin unless the peer is a trusted proxy; on requests whose response may be stored, always.
static REWRITING: Names = Names::new(&[
    "client-ip",
    "cf-connecting-ip",
    "cf-visitor",
    "cloudfront-forwarded-proto",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "http2-settings",
    "remote-user",
    "surrogate-capability",
    "surrogate-control",
    "true-client-ip",
    "x-accel-mapping",
    "x-arr-ssl",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-original-path",
    "x-forwarded",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-proto",
    "x-real-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-sendfile-type",
    "x-url-scheme",
]);

/// Fields that change the method behind the cache's back: withheld where the response may be stored.
static METHOD_OVERRIDES: Names = Names::new(&["x-http-method-override", "x-http-method", "x-method-override"]);

/// The field by which proxies tell whom they are asked by.
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");
/// For CGI it would be the variable `HTTP_PROXY`.
static PROXY: HeaderName = HeaderName::from_static("proxy");
/// How many fields are added to a request, about.
const ADDED: usize = 6;
/// So many fields are copied one by one into room for those that are added; of more, the copy of them all is made larger.
const FEW: usize = 4;

/// Names of fields, to be looked for in every request.
struct Names {
    names: &'static [&'static str],
    marks: Marks,
}

impl Names {
    const fn new(names: &'static [&'static str]) -> Self {
        Self { names, marks: Marks::of(names) }
    }

    fn contains(&self, name: &str) -> bool {
        self.marks.may_have(name) && self.names.contains(&name)
    }
}

/// The field never reaches an origin on a request whose response may be stored; `Authorization` only by the terms of
/// RFC 9111 §3.5, or where the rule keys it.
pub(crate) fn is_withheld(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "proxy" | "authorization")
        || is_disguised(name)
        || REWRITING.contains(name)
        || METHOD_OVERRIDES.contains(name)
}

/// Origins that speak CGI or WSGI take `X_Forwarded_Host` for `X-Forwarded-Host`.
fn is_disguised(name: &str) -> bool {
    name.contains('_')
}

fn withhold(headers: &mut HeaderMap, names: &Names) {
    // Few of the many names are there, if any.
    let is_withheld = |name: &&HeaderName| names.contains(name.as_str()) || is_disguised(name.as_str());
    let withheld: Vec<HeaderName> = headers.keys().filter(is_withheld).cloned().collect();
    for name in withheld {
        headers.remove(name);
    }
}

/// The head of a fill: nothing of the visitor but what the key holds and the range, and none of its preconditions.
pub(crate) fn fill_head(asked: &Asked, id: &RequestId) -> HeaderMap {
    let exchange = &asked.exchange;
    let mut headers = common(&asked.runtime, &asked.rule, exchange);
    withhold(&mut headers, &REWRITING);
    withhold(&mut headers, &METHOD_OVERRIDES);
    conditional::strip_conditionals(&mut headers);
    headers.remove(header::CACHE_CONTROL);
    headers.remove(header::PRAGMA);
    if let Some(wishes) = asked.plan.directed.as_ref().and_then(|directed| directed.forwarded()) {
        headers.insert(header::CACHE_CONTROL, wishes);
    }
    headers.remove(header::COOKIE);
    if let Some(cookie) = &asked.plan.cookie {
        headers.insert(header::COOKIE, cookie.clone());
    }
    if let Some(member) = &asked.plan.member {
        member.tell(&mut headers);
    }
    let readable = exchange.depth > 0 || asked.rule.esi == EsiMode::On;
    let codings = vary::accept_encoding(&exchange.headers).filter(|_| !readable);
    headers.insert(header::ACCEPT_ENCODING, codings.unwrap_or(IDENTITY));
    // Variants are picked by its comparable form, so the origin sees no more than that.
    if let Some(languages) = vary::accept_language(&headers) {
        headers.insert(header::ACCEPT_LANGUAGE, languages);
    }
    advertise(&mut headers, &asked.runtime, &asked.rule);
    forwarded_for(&mut headers, exchange, &asked.runtime, &asked.rule);
    headers.insert(request_id::FIELD, id.to_value());
    if asked.runtime.wants_forwarded(&asked.rule) {
        forwarded::of_fill(&mut headers, &exchange.target);
    }
    asked.rule.request.apply(&mut headers);
    asked.wanted.ask(&mut headers);
    if let Some(range) = asked.slice().and_then(Slice::range) {
        headers.insert(header::RANGE, range);
    }
    headers
}

/// The head of a passed request that is known by `id`: everything end-to-end, less what an untrusted client could deceive the origin
/// with.
pub(crate) fn pass_head(runtime: &Runtime, rule: &Rule, exchange: &Exchange, id: HeaderValue) -> HeaderMap {
    let mut headers = common(runtime, rule, exchange);
    if !exchange.trusted {
        withhold(&mut headers, &REWRITING);
    }
    if rule.esi == EsiMode::On || exchange.depth > 0 {
        headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    }
    if rule.esi == EsiMode::On {
        // A part of a template cannot be assembled (RFC 9110 §14.2: a Range may be ignored).
        headers.remove(header::RANGE);
        headers.remove(header::IF_RANGE);
    }
    advertise(&mut headers, runtime, rule);
    forwarded_for(&mut headers, exchange, runtime, rule);
    headers.insert(request_id::FIELD, id);
    if runtime.wants_forwarded(rule) {
        forwarded::of_pass(&mut headers, exchange);
    }
    rule.request.apply(&mut headers);
    trailers(&mut headers, rule, exchange);
    if exchange.upgrades {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    headers
}

/// The head of a request to a fallback: what is asked for and in what form, and nothing of who asks.
pub(crate) fn fallback_head(runtime: &Runtime, origin: &OriginConfig, exchange: &Exchange) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT] {
        for value in exchange.headers.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    let host = origin.host.as_deref().unwrap_or(&exchange.target.host);
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    }
    runtime.trace.leave(&mut headers);
    headers.insert("x-forwarded-proto", HeaderValue::from_static(exchange.target.scheme));
    if origin.host.is_some()
        && let Ok(host) = HeaderValue::from_str(&exchange.target.host)
    {
        headers.insert("x-forwarded-host", host);
    }
    headers
}

/// Says that trailer fields of the response reach the client, where they do (RFC 9110 §10.1.4), and announces those of the request
/// that may reach the origin: what is withheld from the head does not come in behind the body.
fn trailers(headers: &mut HeaderMap, rule: &Rule, exchange: &Exchange) {
    if headers.contains_key(header::TRAILER) {
        announce_trailers(headers, |name| *name != header::COOKIE && (exchange.trusted || !is_withheld(name)));
    }
    if exchange.takes_trailers() && rule.esi != EsiMode::On && !exchange.upgrades {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

fn common(runtime: &Runtime, rule: &Rule, exchange: &Exchange) -> HeaderMap {
    let mut headers = roomy(&exchange.headers);
    fields::remove_hop_by_hop(&mut headers);
    if headers.keys().any(|name| *name == header::EXPECT || *name == PROXY) {
        headers.remove(header::EXPECT);
        headers.remove(&PROXY);
    }
    let host = runtime.host_for(rule).unwrap_or(&exchange.target.host);
    if headers.get(header::HOST).is_none_or(|said| said.as_bytes() != host.as_bytes()) {
        match HeaderValue::from_str(host) {
            Ok(host) => headers.insert(header::HOST, host),
            Err(_) => headers.remove(header::HOST),
        };
    }
    runtime.trace.leave(&mut headers);
    headers
}

/// A copy with room for the fields that are added: at once and not bit by bit.
fn roomy(headers: &HeaderMap) -> HeaderMap {
    if headers.len() > FEW {
        let mut copy = headers.clone();
        copy.reserve(ADDED);
        return copy;
    }
    let mut copy = HeaderMap::with_capacity(headers.len() + ADDED);
    for (name, value) in headers {
        copy.append(name, value.clone());
    }
    copy
}

/// What the origin may rely on (Edge Architecture Specification): ESI, and that responses are purged by their tags;
/// beside what a trusted proxy in front says that it can do itself.
fn advertise(headers: &mut HeaderMap, runtime: &Runtime, rule: &Rule) {
    let capabilities = match (rule.esi != EsiMode::Off, !runtime.config.cache.tag_headers.is_empty()) {
        (true, true) => const { HeaderValue::from_static("copal=\"ESI/1.0 tags/1\"") },
        (true, false) => const { HeaderValue::from_static("copal=\"ESI/1.0\"") },
        (false, true) => const { HeaderValue::from_static("copal=\"tags/1\"") },
        (false, false) => return,
    };
    headers.append(&SURROGATE_CAPABILITY, capabilities);
}

/// `X-Forwarded-For`, `-Proto` and, where the origin sees another host, `-Host`.
fn forwarded_for(headers: &mut HeaderMap, exchange: &Exchange, runtime: &Runtime, rule: &Rule) {
    let chain = match exchange.trusted {
        true => HeaderValue::try_from(chain(exchange)),
        false => HeaderValue::from_bytes(AddressText::new(exchange.peer).as_bytes()),
    };
    if let Ok(chain) = chain {
        headers.insert(&X_FORWARDED_FOR, chain);
    }
    headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(exchange.target.scheme));
    if runtime.host_for(rule).is_some()
        && let Ok(host) = HeaderValue::from_str(&exchange.target.host)
    {
        headers.insert(&X_FORWARDED_HOST, host);
    }
}

/// `X-Forwarded-For` as the origin sees it: what a trusted proxy says, and the peer's own address.
pub(crate) fn chain(exchange: &Exchange) -> String {
    let mut chain = String::new();
    if exchange.trusted {
        for value in exchange.headers.get_all(&X_FORWARDED_FOR) {
            if let Ok(value) = value.to_str() {
                chain.push_str(value);
                chain.push_str(", ");
            }
        }
    }
    chain.push_str(AddressText::new(exchange.peer).as_str());
    chain
}

/// The head of a fragment's request, made from the head of the request that asked for the page: who asks and what they
/// understand, not what they asked of the page.
pub(crate) fn fragment_head(page: &HeaderMap) -> HeaderMap {
    let mut headers = page.clone();
    fields::remove_hop_by_hop(&mut headers);
    conditional::strip_conditionals(&mut headers);
    for name in [header::ACCEPT_ENCODING, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::EXPECT, header::RANGE] {
        headers.remove(name);
    }
    headers
}
