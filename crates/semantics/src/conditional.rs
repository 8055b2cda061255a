//! Conditional requests: evaluating the client's, making our own, and freshening with the answer (RFC 9110 §13; RFC 9111 §3.2, §4.3).

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE, ETAG, EXPIRES,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE, SET_COOKIE, VARY,
};
use http::{Method, StatusCode};

use crate::entity_tag::{EntityTag, tags};
use crate::fields::{is_hop_by_hop, nominated};
use crate::lifetime::field_date;
use crate::time::Timestamp;

/// The reading of two-digit years where two fields are compared with each other and not with the present.
pub(crate) const ANY_NOW: Timestamp = Timestamp::from_secs(1_750_000_000);

/// What a request's preconditions come to for a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// Answer as without them.
    Proceed,
    /// Answer 304: the client has it already.
    NotModified,
}

/// Evaluates `If-None-Match`, else `If-Modified-Since`, against a stored response (RFC 9110 §13.2.2, RFC 9111 §4.3.2).
///
/// Only for GET, HEAD and QUERY (RFC 10008: as for GET) and a stored 200. Without `Last-Modified` the stored `Date` takes its place. What is not a date, or comes in
/// several lines, is ignored.
pub fn evaluate(method: &Method, request: &HeaderMap, status: StatusCode, stored: &HeaderMap) -> Precondition {
    let reads = [Method::GET, Method::HEAD, Method::QUERY].contains(method);
    let applies = reads && status == StatusCode::OK;
    if applies && client_has_it(request, stored) { Precondition::NotModified } else { Precondition::Proceed }
}

fn client_has_it(request: &HeaderMap, stored: &HeaderMap) -> bool {
    // §13.1.3: If-None-Match, when there, is the only one that counts.
    if request.contains_key(IF_NONE_MATCH) {
        return none_match_fails(request, stored);
    }
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    let (Some(_), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let modified = field_date(stored, &LAST_MODIFIED, ANY_NOW).or_else(|| field_date(stored, &DATE, ANY_NOW));
    match (field_date(request, &IF_MODIFIED_SINCE, ANY_NOW), modified) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// §13.1.2: `*` or a tag that matches weakly.
fn none_match_fails(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let current = entity_tag(stored);
    request.get_all(IF_NONE_MATCH).iter().any(|line| {
        let line = line.as_bytes();
        line.trim_ascii() == b"*" || current.is_some_and(|current| tags(line).any(|tag| tag.weak_eq(&current)))
    })
}

/// The entity tag in `ETag`.
pub(crate) fn entity_tag(headers: &HeaderMap) -> Option<EntityTag<'_>> {
    EntityTag::parse(headers.get(ETAG)?.as_bytes())
}

/// Whether a request has a precondition that only the origin evaluates: `If-Match`, `If-Unmodified-Since` (RFC 9111 §4.3.2).
pub fn not_applicable_to_cache(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// Whether a stored response can be validated: it has an entity tag or a date of last modification (RFC 9111 §4.3.1).
pub fn has_validator(stored: &HeaderMap) -> bool {
    entity_tag(stored).is_some() || field_date(stored, &LAST_MODIFIED, ANY_NOW).is_some()
}

/// The fields that validate a stored response at the origin (RFC 9111 §4.3.1); `None` when it has no validator.
pub fn validators(stored: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let tag = entity_tag(stored).and_then(|_| stored.get(ETAG)).map(|tag| (IF_NONE_MATCH, tag.clone()));
    let date = field_date(stored, &LAST_MODIFIED, ANY_NOW)
        .and_then(|_| stored.get(LAST_MODIFIED))
        .map(|date| (IF_MODIFIED_SINCE, date.clone()));
    let fields: Vec<_> = tag.into_iter().chain(date).collect();
    (!fields.is_empty()).then_some(fields)
}

/// The fields of a stored response after a 304 confirmed it (RFC 9111 §3.2, §4.3.4): those of the 304 replace those of the same name.
///
/// Not taken over: fields of the connection; those that describe the content that is stored (`Content-Length`, `Content-Encoding`,
/// `Content-Range`, digests; `ETag` where there is one); and `Set-Cookie`, which was made for the one visitor whose request validated.
/// The stored `Age` goes in any case: the response is as old as the 304 says.
pub fn freshen(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    let mut fresh = stored.clone();
    fresh.remove(AGE);
    let nominated = nominated(not_modified);
    for name in not_modified.keys() {
        let tagged = *name == ETAG && stored.contains_key(ETAG);
        if tagged || is_kept(name) || is_hop_by_hop(name) || nominated.contains(name) {
            continue;
        }
        fresh.remove(name);
        for value in not_modified.get_all(name) {
            fresh.append(name.clone(), value.clone());
        }
    }
    fresh
}

/// Fields that a 304 does not update.
fn is_kept(name: &HeaderName) -> bool {
    static DIGESTS: [&str; 4] = ["content-md5", "content-digest", "digest", "repr-digest"];
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, SET_COOKIE].contains(name) || DIGESTS.contains(&name.as_str())
}

/// The stored fields that a 304 to the client carries (RFC 9110 §15.4.5). `Last-Modified` only where there is no `ETag`.
pub fn not_modified_head(stored: &HeaderMap) -> HeaderMap {
    static NAMES: [HeaderName; 6] = [CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, VARY];
    let mut head = HeaderMap::with_capacity(8);
    let last = (!stored.contains_key(ETAG)).then_some(&LAST_MODIFIED);
    for name in NAMES.iter().chain(last) {
        for value in stored.get_all(name) {
            head.append(name.clone(), value.clone());
        }
    }
    head
}

/// Removes every condition from a request, so that its answer is the whole and can be stored: `If-*`, `Range`.
pub fn strip_conditionals(headers: &mut HeaderMap) {
    static NAMES: [HeaderName; 6] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE];
    for name in &NAMES {
        headers.remove(name);
    }
}
