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
/// Only for GET, HEAD and QUERY (RFC 10008: as for GET) and a stored 200. Without `Last-Modified` the stored `Date` takes its
/// place. What is not a date, or comes in several lines, is ignored.
pub fn evaluate(method: &Method, request: &HeaderMap, status: StatusCode, stored: &HeaderMap) -> Precondition {
    let applies = [Method::GET, Method::HEAD, Method::QUERY].contains(method) && status == StatusCode::OK;
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

/// §13.1.2: `*` alone, or a tag that matches weakly.
fn none_match_fails(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_NONE_MATCH).iter();
    if let (Some(line), None) = (lines.next(), lines.next())
        && line.as_bytes().trim_ascii() == b"*"
    {
        return true;
    }
    let Some(current) = entity_tag(stored) else {
        return false;
    };
    let mut lines = request.get_all(IF_NONE_MATCH).iter();
    lines.any(|line| tags(line.as_bytes()).any(|tag| tag.weak_eq(&current)))
}

/// The entity tag in `ETag`; none where several lines differ, because nobody knows which of them is meant.
pub(crate) fn entity_tag(headers: &HeaderMap) -> Option<EntityTag<'_>> {
    let mut lines = headers.get_all(ETAG).iter();
    let first = lines.next()?;
    if lines.any(|line| line != first) {
        return None;
    }
    EntityTag::parse(first.as_bytes())
}

/// Whether a 304 names this stored response by its entity tag: both have one, and they are equal in strong comparison (RFC 9110
/// §8.8.3.2, RFC 9111 §4.3.4). A weak tag names no bytes, so it names no variant.
pub fn etag_names(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    match (entity_tag(not_modified), entity_tag(stored)) {
        (Some(named), Some(current)) => named.strong_eq(&current),
        _ => false,
    }
}

/// Whether a request has a precondition that only the origin evaluates: `If-Match`, `If-Unmodified-Since` (RFC 9111 §4.3.2). A cache must
/// not answer 412 by what it has stored, so such a request is passed on.
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

/// As many tags are asked about at once.
const MOST_TAGS: usize = 16;

/// As many bytes of tags are sent, less than what any server refuses.
const MOST_TAG_BYTES: usize = 2048;

/// `If-None-Match` for a request that no stored variant of its key fits (RFC 9111 §4.1, §4.3.1): the strong entity tags of these
/// variants, at most 16; a 304 then says which of them to use ([`etag_names`]). `None` when there are none.
///
/// Weak tags are left out: variants in different codings may share one, and its 304 would not tell which of them the client can read.
pub fn validators_of<'a>(stored: impl Iterator<Item = &'a HeaderMap>) -> Option<HeaderValue> {
    let mut names: Vec<&[u8]> = Vec::new();
    let mut length = 0;
    for tag in stored.filter_map(entity_tag).filter(EntityTag::is_strong) {
        let tag = tag.as_bytes();
        if names.len() < MOST_TAGS && length + tag.len() <= MOST_TAG_BYTES && !names.contains(&tag) {
            names.push(tag);
            length += tag.len();
        }
    }
    if names.is_empty() { None } else { HeaderValue::from_bytes(&names.join(&b", "[..])).ok() }
}

/// The fields of a stored response after a 304 confirmed it (RFC 9111 §3.2, §4.3.4): those of the 304 replace those of the same name.
///
/// Not taken over: fields of the connection; what describes the content that is stored (`ETag`, `Content-Length`, `Content-Encoding`,
/// `Content-Range`, `Content-MD5` and the digests of RFC 9530); and `Set-Cookie`, which was made for the one visitor whose request validated,
/// unless `share_set_cookie`. The stored `Age` goes in any case: the response is as old as the 304 says.
pub fn freshen(stored: &HeaderMap, not_modified: &HeaderMap, share_set_cookie: bool) -> HeaderMap {
    let mut fresh = stored.clone();
    fresh.remove(AGE);
    let nominated = nominated(not_modified);
    for name in not_modified.keys() {
        let kept = DESCRIBES_CONTENT.contains(name) || (*name == SET_COOKIE && !share_set_cookie);
        if kept || is_hop_by_hop(name) || nominated.contains(name) {
            continue;
        }
        fresh.remove(name);
        for value in not_modified.get_all(name) {
            fresh.append(name.clone(), value.clone());
        }
    }
    fresh
}

/// Fields of the stored content, which a 304 does not update: not the one that it was sent about, perhaps, but the one that is here.
static DESCRIBES_CONTENT: [HeaderName; 8] = [
    ETAG,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

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
