//! The head of a request to an origin: what is forwarded, what is withheld, what is added.

use std::fmt::Write as _;

use copal_policy::{EsiMode, Rule};
use copal_semantics::{conditional, fields, vary};
use copal_store::StoredResponse;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::asked::Asked;
use crate::exchange::Exchange;
use crate::proxy::Runtime;

/// Fields by which a client could make an origin answer for another URL, host or visitor than the cache key says.
/// Withheld from every origin unless the peer is a trusted proxy; on requests whose response may be stored, always.
const REWRITING: [&str; 24] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    "x-override-url",
    "x-host",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "client-ip",
    "front-end-https",
    "surrogate-capability",
    "surrogate-control",
];

/// Fields that change the method behind the cache's back: withheld where the response may be stored.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// The field never reaches an origin on a request whose response may be stored.
pub(crate) fn is_withheld(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "proxy" || name == "authorization" || REWRITING.contains(&name) || METHOD_OVERRIDES.contains(&name)
}

/// The head of a fill: nothing of the visitor but what the key holds, no precondition but our own validators.
pub(crate) fn fill_head(asked: &Asked, stale: Option<&StoredResponse>) -> HeaderMap {
    let exchange = &asked.exchange;
    let mut headers = common(&asked.runtime, &asked.rule, exchange);
    for name in REWRITING.iter().chain(&METHOD_OVERRIDES) {
        headers.remove(*name);
    }
    conditional::strip_conditionals(&mut headers);
    headers.remove(header::CACHE_CONTROL);
    headers.remove(header::PRAGMA);
    headers.remove(header::COOKIE);
    if let Some(cookie) = &asked.plan.cookie {
        headers.insert(header::COOKIE, cookie.clone());
    }
    headers.remove(header::ACCEPT_ENCODING);
    if exchange.depth == 0
        && asked.rule.esi != EsiMode::On
        && let Some(codings) = vary::accept_encoding(&exchange.headers)
    {
        headers.insert(header::ACCEPT_ENCODING, codings);
    }
    advertise_esi(&mut headers, &asked.rule);
    forwarded_for(&mut headers, exchange, &asked.runtime, &asked.rule);
    if let Some(validators) = stale.and_then(|stale| conditional::validators(&stale.headers)) {
        headers.extend(validators);
    }
    headers
}

/// The head of a passed request: everything end-to-end, less what an untrusted client could deceive the origin with.
pub(crate) fn pass_head(runtime: &Runtime, rule: &Rule, exchange: &Exchange) -> HeaderMap {
    let mut headers = common(runtime, rule, exchange);
    if !exchange.trusted {
        for name in REWRITING {
            headers.remove(name);
        }
    }
    if rule.esi == EsiMode::On || exchange.depth > 0 {
        headers.remove(header::ACCEPT_ENCODING);
    }
    advertise_esi(&mut headers, rule);
    forwarded_for(&mut headers, exchange, runtime, rule);
    if exchange.upgrades
        && let Some(upgrade) = exchange.headers.get(header::UPGRADE)
    {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
    headers
}

fn common(runtime: &Runtime, rule: &Rule, exchange: &Exchange) -> HeaderMap {
    let mut headers = exchange.headers.clone();
    fields::remove_hop_by_hop(&mut headers);
    headers.remove(header::EXPECT);
    headers.remove("proxy");
    let host = runtime.host_for(rule).unwrap_or(&exchange.target.host);
    match HeaderValue::from_str(host) {
        Ok(host) => headers.insert(header::HOST, host),
        Err(_) => headers.remove(header::HOST),
    };
    fields::append_via(&mut headers, "1.1", &runtime.via);
    headers
}

fn advertise_esi(headers: &mut HeaderMap, rule: &Rule) {
    if rule.esi != EsiMode::Off {
        headers.insert("surrogate-capability", HeaderValue::from_static("copal=\"ESI/1.0\""));
    }
}

/// `X-Forwarded-For`, `-Proto` and, where the origin sees another host, `-Host`.
fn forwarded_for(headers: &mut HeaderMap, exchange: &Exchange, runtime: &Runtime, rule: &Rule) {
    let mut chain = String::new();
    if exchange.trusted {
        for value in exchange.headers.get_all("x-forwarded-for") {
            if let Ok(value) = value.to_str() {
                chain.push_str(value);
                chain.push_str(", ");
            }
        }
    }
    let _ = write!(chain, "{}", exchange.peer.to_canonical());
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert("x-forwarded-for", chain);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static(exchange.target.scheme));
    if runtime.host_for(rule).is_some()
        && let Ok(host) = HeaderValue::from_str(&exchange.target.host)
    {
        headers.insert("x-forwarded-host", host);
    }
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
