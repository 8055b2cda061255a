//! Stored and growing responses on their way to a client: preconditions, `HEAD`, ranges, `Age`, `Cache-Status`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use copal_policy::{Action, Rule};
use copal_semantics::conditional::{self, Precondition};
use copal_semantics::range::{self, RangeAnswer};
use copal_semantics::{CacheStatus, ContentRange, Freshness, Span, Timestamp, part_fields_out};
use copal_store::{FillReader, HeadInfo, StoredResponse, slices};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::answer::Answer;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::made::Made;
use crate::multipart::Multipart;
use crate::page_head;
use crate::partial;
use crate::proxy::NAME;
use crate::reason::{Outcome, Reason, Told};
use crate::sliced::Layout;

/// A stored response without includes.
pub(crate) fn stored(exchange: &Exchange, rule: &Arc<Rule>, response: &Arc<StoredResponse>, reason: Reason) -> Answer {
    let status = response.status_of_whole();
    let selected = Selected { status, headers: &response.headers, length: Some(response.body.length) };
    let shape = match &response.parts {
        None => selected.shape(exchange),
        Some(_) => match selected.shape_of_part(exchange, response) {
            Some(shape) => shape,
            None => return Fault::internal("a part that does not have what is asked for").answer(NAME).under(rule),
        },
    };
    let mut headers = selected.head(&shape, exchange);
    let body = match &shape {
        Shape::Whole if exchange.method == Method::HEAD => Body::empty(),
        Shape::Whole => Body::stored(response),
        Shape::Part(part) => Body::parts(part_of(response, part.span)),
        Shape::Parts { spans, length } => {
            let multipart = Multipart::new(spans, *length, &response.headers);
            multipart.announce(&mut headers);
            multipart.stored(response)
        }
        Shape::NotModified | Shape::Unsatisfiable { .. } => Body::empty(),
    };
    if exchange.depth > 0 {
        exchange.saw(&response.freshness);
        let made = Made::of(response, rule, reason, exchange.now);
        return fragment(response.status, &response.headers, body, reason).under(rule).made(made);
    }
    let freshness = &response.freshness;
    age(&mut headers, freshness.current_age(exchange.now).as_secs());
    client_cache_control(&mut headers, rule);
    cache_status(&mut headers, exchange.told(reason), Some(freshness.ttl(exchange.now)));
    respond_with(shape.status(status), headers, body, reason).under(rule)
}

/// These bytes of a representation that is stored, whole or in part.
fn part_of(response: &StoredResponse, span: Span) -> VecDeque<Bytes> {
    let place = response.parts.as_ref().map_or(Some(span.first), |parts| parts.place(span));
    place.into_iter().flat_map(|place| slices(&response.body.pieces, place, span.length())).collect()
}

/// A response that is being filled, to the leader's client and to followers alike.
pub(crate) fn growing(exchange: &Exchange, rule: &Arc<Rule>, reader: FillReader, reason: Reason) -> Answer {
    let head = Arc::clone(reader.head());
    let selected = Selected { status: head.status, headers: &head.headers, length: head.length };
    let shape = match head.part {
        // Asked for by all who read it: sent as the origin sends it.
        Some(part) => Shape::Part(part.range),
        None => selected.shape(exchange).ascending(),
    };
    let mut headers = selected.head(&shape, exchange);
    let body = match &shape {
        Shape::Part(_) if head.part.is_some() => Body::growing(reader, head.length),
        Shape::Whole if exchange.method == Method::HEAD => Body::empty(),
        Shape::Whole => Body::growing(reader, head.length),
        Shape::Part(part) => Body::growing_part(reader, part.span.first, part.span.last),
        Shape::Parts { spans, length } => {
            let multipart = Multipart::new(spans, *length, &head.headers);
            multipart.announce(&mut headers);
            multipart.growing(reader)
        }
        Shape::NotModified | Shape::Unsatisfiable { .. } => Body::empty(),
    };
    if exchange.depth > 0 {
        exchange.saw(&head.freshness);
        return fragment(head.status, &head.headers, body, reason).under(rule);
    }
    age_of_growing(&mut headers, &head, reason, exchange.now);
    client_cache_control(&mut headers, rule);
    let answered = if head.completed { StatusCode::PARTIAL_CONTENT } else { head.status };
    fetched_status(&mut headers, exchange.told(reason), answered, true);
    respond_with(shape.status(head.status), headers, body, reason).under(rule)
}

/// A response that is put together from slices: what is known of the whole.
pub(crate) struct Whole {
    /// The fields of a slice.
    pub(crate) headers: HeaderMap,
    pub(crate) length: u64,
    pub(crate) freshness: Freshness,
    /// The slice was fetched for this request, or for another at the same time.
    pub(crate) fetched: bool,
}

/// A response from slices; `body` makes one of any spans of the whole.
pub(crate) fn sliced(
    exchange: &Exchange,
    rule: &Arc<Rule>,
    whole: Whole,
    reason: Reason,
    body: impl FnOnce(Layout) -> Body,
) -> Answer {
    let Whole { headers, length, freshness, fetched } = whole;
    let mut whole = headers;
    part_fields_out(&mut whole);
    whole.entry(header::ACCEPT_RANGES).or_insert(HeaderValue::from_static("bytes"));
    let selected = Selected { status: StatusCode::OK, headers: &whole, length: Some(length) };
    let shape = selected.shape(exchange);
    let mut headers = selected.head(&shape, exchange);
    let body = match &shape {
        Shape::Whole if exchange.method == Method::HEAD || length == 0 => Body::empty(),
        Shape::Whole => body(Layout::of(Span { first: 0, last: length - 1 })),
        Shape::Part(part) => body(Layout::of(part.span)),
        Shape::Parts { spans, length } => {
            let multipart = Multipart::new(spans, *length, &whole);
            multipart.announce(&mut headers);
            body(multipart.layout())
        }
        Shape::NotModified | Shape::Unsatisfiable { .. } => Body::empty(),
    };
    client_cache_control(&mut headers, rule);
    if fetched {
        age_if_any(&mut headers, &freshness, reason, exchange.now);
        fetched_status(&mut headers, exchange.told(reason), StatusCode::PARTIAL_CONTENT, true);
    } else {
        age(&mut headers, freshness.current_age(exchange.now).as_secs());
        cache_status(&mut headers, exchange.told(reason), Some(freshness.ttl(exchange.now)));
    }
    respond_with(shape.status(StatusCode::OK), headers, body, reason).under(rule)
}

/// The answer of a `respond` rule.
pub(crate) fn respond(rule: &Arc<Rule>) -> Answer {
    let Action::Respond(respond) = &rule.action else {
        return Fault::internal("a respond rule without a response").answer(NAME);
    };
    let mut headers = respond.headers.clone();
    cache_status(&mut headers, Reason::Respond, None);
    respond_with(respond.status, headers, Body::bytes(respond.body.clone()), Reason::Respond).under(rule)
}

/// 508: the request came through this server already.
pub(crate) fn loop_detected() -> Fault {
    let detail = "the request came through this server already: an origin points back to it".to_owned();
    Fault::new(Reason::Loop, StatusCode::LOOP_DETECTED, detail)
}

/// What of a selected response goes out.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    NotModified,
    Part(ContentRange),
    Parts { spans: Vec<Span>, length: u64 },
    Unsatisfiable { length: u64 },
}

impl Shape {
    fn status(&self, whole: StatusCode) -> StatusCode {
        match self {
            Self::Whole => whole,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Part(_) | Self::Parts { .. } => StatusCode::PARTIAL_CONTENT,
            Self::Unsatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    /// What a body that comes in from its beginning can be given as: of parts in another order the whole.
    fn ascending(self) -> Self {
        match self {
            Self::Parts { spans, .. } if !spans.is_sorted() => Self::Whole,
            shape => shape,
        }
    }
}

/// The response that a request selected, before its preconditions and ranges.
struct Selected<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    length: Option<u64>,
}

impl Selected<'_> {
    /// Preconditions first, then the range (RFC 9110 §13.2.2). A fragment is always whole.
    fn shape(&self, exchange: &Exchange) -> Shape {
        if exchange.depth > 0 {
            return Shape::Whole;
        }
        if self.is_unchanged(exchange) {
            return Shape::NotModified;
        }
        let asked = &exchange.headers;
        let Some(length) = self.length.filter(|_| asked.contains_key(header::RANGE)) else {
            return Shape::Whole;
        };
        match range::range(&exchange.method, asked, self.status, self.headers, length) {
            RangeAnswer::Whole => Shape::Whole,
            RangeAnswer::Part { first, last } => {
                Shape::Part(ContentRange { span: Span { first, last }, complete: Some(length) })
            }
            RangeAnswer::Parts(spans) => Shape::Parts { spans, length },
            RangeAnswer::Unsatisfiable => Shape::Unsatisfiable { length },
        }
    }

    /// As [`Selected::shape`], of a partial stored response; none where it does not have what is asked for.
    fn shape_of_part(&self, exchange: &Exchange, response: &StoredResponse) -> Option<Shape> {
        let answer = partial::answer(exchange, response)?;
        if self.is_unchanged(exchange) {
            return Some(Shape::NotModified);
        }
        Some(match answer {
            partial::Answer::Part(span, complete) => Shape::Part(ContentRange { span, complete }),
            partial::Answer::Unsatisfiable(length) => Shape::Unsatisfiable { length },
        })
    }

    fn is_unchanged(&self, exchange: &Exchange) -> bool {
        let asked = &exchange.headers;
        let conditional = asked.contains_key(header::IF_NONE_MATCH) || asked.contains_key(header::IF_MODIFIED_SINCE);
        conditional
            && conditional::evaluate(&exchange.method, asked, self.status, self.headers) == Precondition::NotModified
    }

    fn head(&self, shape: &Shape, exchange: &Exchange) -> HeaderMap {
        match shape {
            Shape::Whole => {
                let mut headers = self.headers.clone();
                if exchange.method == Method::HEAD
                    && let Some(length) = self.length
                {
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                }
                headers
            }
            Shape::NotModified => conditional::not_modified_head(self.headers),
            Shape::Part(part) => {
                let mut headers = self.headers.clone();
                part_fields_out(&mut headers);
                headers.insert(header::CONTENT_RANGE, part.to_value());
                headers
            }
            // Each part says itself which it is (RFC 9110 §15.3.7.2).
            Shape::Parts { .. } => {
                let mut headers = self.headers.clone();
                part_fields_out(&mut headers);
                headers
            }
            Shape::Unsatisfiable { length } => {
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_RANGE, range::unsatisfied_range(*length));
                headers
            }
        }
    }
}

/// The answer to a fragment's request. Its head goes nowhere: only what the assembly looks at is kept.
pub(crate) fn fragment(status: StatusCode, headers: &HeaderMap, body: Body, reason: Reason) -> Answer {
    let mut kept = HeaderMap::new();
    for name in [header::CONTENT_ENCODING, header::LOCATION] {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    respond_with(status, kept, body, reason)
}

pub(crate) fn respond_with(status: StatusCode, mut headers: HeaderMap, body: Body, reason: Reason) -> Answer {
    via(&mut headers);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Answer::new(response, reason)
}

/// `Age` in seconds (RFC 9111 §5.1).
pub(crate) fn age(headers: &mut HeaderMap, seconds: u64) {
    headers.insert(header::AGE, HeaderValue::from(seconds));
}

/// `Age` of a response that is being filled: it came with one, or another request had begun to fetch it.
pub(crate) fn age_of_growing(headers: &mut HeaderMap, head: &HeadInfo, reason: Reason, now: Timestamp) {
    age_if_any(headers, &head.freshness, reason, now);
}

fn age_if_any(headers: &mut HeaderMap, freshness: &Freshness, reason: Reason, now: Timestamp) {
    let seconds = freshness.current_age(now).as_secs();
    if seconds > 0 || reason == Reason::Collapsed {
        age(headers, seconds);
    }
}

/// Every response that passes here says so (RFC 9110 §7.6.3), also one that was made here.
pub(crate) fn via(headers: &mut HeaderMap) {
    headers.entry(header::VIA).or_insert(HeaderValue::from_static("1.1 copal"));
}

/// What browsers are told, where the rule says so.
pub(crate) fn client_cache_control(headers: &mut HeaderMap, rule: &Rule) {
    if let Action::Cache(cache) = &rule.action
        && let Some(told) = &cache.client_cache_control
    {
        headers.insert(header::CACHE_CONTROL, told.clone());
        headers.remove(header::EXPIRES);
    }
}

/// What the rule does to the fields of every answer. A connection that was handed over is no response any more.
pub(crate) fn edited(response: &mut Response<Body>, rule: &Rule, reason: Reason) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let headers = response.headers_mut();
    if rule.response.varnish {
        varnish(headers, reason);
    }
    rule.response.fields.apply(headers);
}

/// What plug-ins made for Varnish look for: a transaction number, two of them on a hit, and whether the page is kept.
fn varnish(headers: &mut HeaderMap, reason: Reason) {
    use Reason::{Collapsed, Expired, Miss, NotShared, Partial, RequestDirective, VariantMiss};
    let hit = matches!(reason.outcome(), Outcome::Hit | Outcome::Stale);
    let stored = matches!(reason, Miss | VariantMiss | Expired | Partial | RequestDirective | NotShared | Collapsed);
    headers.insert("x-varnish", HeaderValue::from_static(if hit { "2 1" } else { "1" }));
    let cacheable = match hit || stored {
        true => Ok(HeaderValue::from_static("YES")),
        false => HeaderValue::try_from(format!("NO:{}", reason.as_str())),
    };
    if let Ok(cacheable) = cacheable {
        headers.insert("x-cacheable", cacheable);
    }
}

/// Adds the fields that are for this client alone. What was made here stays as it is, and so does a page that was put together from
/// a template. Caches on the way must not take the rule's word to browsers for leave to keep them.
pub(crate) fn own(headers: &mut HeaderMap, own: &HeaderMap, rule: &Rule, page: bool) {
    let of_copal = |name: &HeaderName| headers.contains_key(name) || (page && page_head::is_of_the_template(name));
    let names: Vec<&HeaderName> = own.keys().filter(|name| !of_copal(name)).collect();
    for name in names {
        for value in own.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if rule.cache().is_some_and(|cache| cache.client_cache_control.is_some()) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

/// `Cache-Status` of a response from the store (RFC 9211).
pub(crate) fn cache_status(headers: &mut HeaderMap, told: impl Into<Told>, ttl: Option<i64>) {
    let Told { reason, fwd } = told.into();
    let hit = matches!(reason.outcome(), Outcome::Hit | Outcome::Stale) && reason != Reason::Validated;
    let status = CacheStatus {
        hit: hit && fwd.is_none(),
        fwd,
        fwd_status: (reason == Reason::Validated).then_some(304),
        ttl,
        stored: reason == Reason::Validated,
        collapsed: false,
        detail: Some(reason.as_str()),
    };
    status.append_to(NAME, headers);
}

/// `Cache-Status` of a response that was fetched (RFC 9211).
pub(crate) fn fetched_status(headers: &mut HeaderMap, told: impl Into<Told>, status: StatusCode, stored: bool) {
    let Told { reason, fwd } = told.into();
    let status = CacheStatus {
        hit: false,
        fwd,
        fwd_status: Some(status.as_u16()),
        ttl: None,
        stored: stored && reason != Reason::Collapsed,
        collapsed: reason == Reason::Collapsed,
        detail: Some(reason.as_str()),
    };
    status.append_to(NAME, headers);
}
