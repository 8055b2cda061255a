//! Stored and growing responses on their way to a client: preconditions, `HEAD`, ranges, `Age`, `Cache-Status`.

use std::sync::Arc;

use copal_policy::{Action, Rule};
use copal_semantics::conditional::{self, Precondition};
use copal_semantics::range::{self, RangeAnswer};
use copal_semantics::{CacheStatus, Timestamp};
use copal_store::{FillReader, HeadInfo, StoredResponse};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::answer::Answer;
use crate::body::{self, Body};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::proxy::NAME;
use crate::reason::{Outcome, Reason, Told};

/// A stored response without includes.
pub(crate) fn stored(exchange: &Exchange, rule: &Arc<Rule>, response: &Arc<StoredResponse>, reason: Reason) -> Answer {
    let selected = Selected { status: response.status, headers: &response.headers, length: Some(response.body.length) };
    let shape = selected.shape(exchange);
    let body = match shape {
        Shape::Whole if exchange.method == Method::HEAD => Body::empty(),
        Shape::Whole => Body::stored(response),
        Shape::Part { first, last, .. } => Body::parts(body::part_of(&response.body.pieces, first, last)),
        Shape::NotModified | Shape::Unsatisfiable { .. } => Body::empty(),
    };
    if exchange.depth > 0 {
        return fragment(response.status, &response.headers, body, reason).under(rule);
    }
    let mut headers = selected.head(shape, exchange);
    let freshness = &response.freshness;
    age(&mut headers, freshness.current_age(exchange.now).as_secs());
    client_cache_control(&mut headers, rule);
    cache_status(&mut headers, exchange.told(reason), Some(freshness.ttl(exchange.now)));
    respond_with(shape.status(response.status), headers, body, reason).under(rule)
}

/// A response that is being filled, to the leader's client and to followers alike.
pub(crate) fn growing(exchange: &Exchange, rule: &Arc<Rule>, reader: FillReader, reason: Reason) -> Answer {
    let head = Arc::clone(reader.head());
    let selected = Selected { status: head.status, headers: &head.headers, length: head.length };
    let shape = selected.shape(exchange);
    let body = match shape {
        Shape::Whole if exchange.method == Method::HEAD => Body::empty(),
        Shape::Whole => Body::growing(reader, head.length),
        Shape::Part { first, last, .. } => Body::growing_part(reader, first, last),
        Shape::NotModified | Shape::Unsatisfiable { .. } => Body::empty(),
    };
    if exchange.depth > 0 {
        return fragment(head.status, &head.headers, body, reason).under(rule);
    }
    let mut headers = selected.head(shape, exchange);
    age_of_growing(&mut headers, &head, reason, exchange.now);
    client_cache_control(&mut headers, rule);
    fetched_status(&mut headers, exchange.told(reason), head.status, true);
    respond_with(shape.status(head.status), headers, body, reason).under(rule)
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
pub(crate) fn loop_detected() -> Answer {
    let detail = "the request came through this server already: an origin points back to it".to_owned();
    Fault::new(Reason::Loop, StatusCode::LOOP_DETECTED, detail).answer(NAME)
}

/// What of a selected response goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    NotModified,
    Part { first: u64, last: u64, length: u64 },
    Unsatisfiable { length: u64 },
}

impl Shape {
    fn status(self, whole: StatusCode) -> StatusCode {
        match self {
            Self::Whole => whole,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Part { .. } => StatusCode::PARTIAL_CONTENT,
            Self::Unsatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
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
        let asked = &exchange.headers;
        if exchange.depth > 0 {
            return Shape::Whole;
        }
        let conditional = asked.contains_key(header::IF_NONE_MATCH) || asked.contains_key(header::IF_MODIFIED_SINCE);
        if conditional
            && conditional::evaluate(&exchange.method, asked, self.status, self.headers) == Precondition::NotModified
        {
            return Shape::NotModified;
        }
        let Some(length) = self.length.filter(|_| asked.contains_key(header::RANGE)) else {
            return Shape::Whole;
        };
        match range::range(&exchange.method, asked, self.status, self.headers, length) {
            RangeAnswer::Whole => Shape::Whole,
            RangeAnswer::Part { first, last } => Shape::Part { first, last, length },
            RangeAnswer::Parts(_) => Shape::Whole,
            RangeAnswer::Unsatisfiable => Shape::Unsatisfiable { length },
        }
    }

    fn head(&self, shape: Shape, exchange: &Exchange) -> HeaderMap {
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
            Shape::Part { first, last, length } => {
                let mut headers = self.headers.clone();
                headers.insert(header::CONTENT_RANGE, range::content_range(first, last, length));
                headers
            }
            Shape::Unsatisfiable { length } => {
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_RANGE, range::unsatisfied_range(length));
                headers
            }
        }
    }
}

/// The answer to a fragment's request. Its head goes nowhere: only what the assembly looks at is kept.
pub(crate) fn fragment(status: StatusCode, headers: &HeaderMap, body: Body, reason: Reason) -> Answer {
    let mut kept = HeaderMap::new();
    if let Some(coding) = headers.get(header::CONTENT_ENCODING) {
        kept.insert(header::CONTENT_ENCODING, coding.clone());
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
    let seconds = head.freshness.current_age(now).as_secs();
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
