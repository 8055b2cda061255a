//! May a response be stored? (RFC 9111 §3)

use http::header::{EXPIRES, HeaderMap, HeaderName, SET_COOKIE};
use http::{Method, StatusCode};

use crate::conditional::has_validator;
use crate::directives::{FieldList, ResponseDirectives};
use crate::lifetime::{Lifetime, LifetimeSource, heuristically_cacheable};
use crate::vary::Vary;

/// What of the origin's wishes a rule sets aside; each one only because the operator wrote so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Store although the response is `private`.
    pub private: bool,
    /// Store although the response says `no-store`.
    pub no_store: bool,
    /// Store although the response carries `Set-Cookie`; the caller leaves that field out.
    pub set_cookie: bool,
    /// Store with `Set-Cookie` and give it to everybody, as RFC 9111 §7.3 says by itself.
    pub share_set_cookie: bool,
    /// Reuse without validation although the response says `no-cache`.
    pub no_cache: bool,
    /// Allow stale uses although the response says `must-revalidate`, `proxy-revalidate` or `s-maxage`.
    pub must_revalidate: bool,
}

/// The facts that decide whether a response may be stored.
#[derive(Debug, Clone, Copy)]
pub struct StoreFacts<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request carried `Authorization`.
    pub authorization: bool,
    /// The response's status code.
    pub status: StatusCode,
    /// The response's fields.
    pub headers: &'a HeaderMap,
    /// The directives in force, from [`crate::effective_directives`].
    pub directives: &'a ResponseDirectives,
    /// What the rule sets aside.
    pub overrides: Overrides,
    /// The freshness lifetime, from [`crate::lifetime()`].
    pub lifetime: Lifetime,
    /// The caller can store a part, and this is one that it can read: then a 206 is stored (§3.3).
    pub partial: bool,
    /// The response to a POST names the request's own URI in `Content-Location` (RFC 9110 §9.3.3).
    pub content_location_matches: bool,
    /// The request's content is part of the cache key, because a rule names its method (QUERY, POST).
    pub body_key: bool,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// Only responses to GET and HEAD are stored, and to POST where they say that a GET would get them too.
    Method,
    /// The status is interim, 304, or neither heuristically cacheable nor with explicit freshness (§3).
    Status,
    /// Status 206, and the caller cannot store this part (§3.3).
    PartialContent,
    /// `no-store` (§5.2.2.5), or a field of the rule's `ttl_headers` that says as much.
    NoStore,
    /// `private` for the whole response (§5.2.2.7).
    Private,
    /// `Set-Cookie`: it was made for one visitor.
    SetCookie,
    /// The request carried `Authorization` and nothing allows to share the answer (§3.5).
    Authorization,
    /// `Vary: *` never matches (§4.1).
    VaryStar,
    /// No freshness and no validator: nothing to gain.
    NoLifetime,
    /// `must-understand` and a status code that is not understood (§5.2.2.3).
    MustUnderstand,
    /// `no-cache` and no validator: it could never be reused.
    NoCache,
}

impl NotStored {
    /// The word for `Cache-Status`, the log and the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            NotStored::Method => "method",
            NotStored::Status => "status",
            NotStored::PartialContent => "partial-content",
            NotStored::NoStore => "no-store",
            NotStored::Private => "private",
            NotStored::SetCookie => "set-cookie",
            NotStored::Authorization => "authorization",
            NotStored::VaryStar => "vary-star",
            NotStored::NoLifetime => "no-lifetime",
            NotStored::MustUnderstand => "must-understand",
            NotStored::NoCache => "no-cache",
        }
    }
}

/// Whether a response may be stored (RFC 9111 §3).
///
/// `no-store` of the request (§5.2.1.5) is the caller's to decide, because a shared cache's operator may not want visitors to.
///
/// # Errors
///
/// The first reason against, in the order of [`NotStored`]'s weight: method, status, the origin's wishes, usefulness.
pub fn storable(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    method_allows(facts)?;
    status_allows(facts)?;
    origin_allows(facts)?;
    if facts.headers.contains_key(SET_COOKIE) && !cookies_allowed(facts) {
        return Err(NotStored::SetCookie);
    }
    if Vary::parse(facts.headers).is_star() {
        return Err(NotStored::VaryStar);
    }
    worth_storing(facts)
}

/// The fields of a response that are not stored with it: those that `private` or `no-cache` name (§5.2.2.4, §5.2.2.7).
///
/// The client whose request brought the response gets them; followers and hits do not. That is a stricter reading of `no-cache` than
/// "not without validation", which §5.2.2.4 leaves to a cache.
pub fn unstored_fields(directives: &ResponseDirectives) -> impl Iterator<Item = &HeaderName> {
    directives.private.fields().iter().chain(directives.no_cache.fields())
}

/// Whether a response to a request with `Authorization` may be stored and answer others (§3.5). What forbids to store it at all takes
/// the leave back, also where a rule stores it nevertheless.
pub fn has_leave(directives: &ResponseDirectives) -> bool {
    let forbidden = directives.private == FieldList::All || (directives.no_store && !directives.must_understand);
    !forbidden && (directives.public || directives.s_maxage.is_some() || directives.must_revalidate)
}

/// §3, first condition: the method is understood. A POST's response is stored for later GETs when it says that it is what a GET gets,
/// and for how long (RFC 9110 §9.3.3).
fn method_allows(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    if facts.body_key || facts.method == Method::GET || facts.method == Method::HEAD {
        return Ok(());
    }
    let for_get = facts.method == Method::POST && facts.status == StatusCode::OK && facts.content_location_matches;
    if !for_get {
        return Err(NotStored::Method);
    }
    if states_freshness(facts) && !facts.lifetime.duration.is_zero() { Ok(()) } else { Err(NotStored::NoLifetime) }
}

/// Whether the response itself has explicit freshness, whatever the rule made of it.
fn states_freshness(facts: &StoreFacts<'_>) -> bool {
    let directives = facts.directives;
    facts.lifetime.source == LifetimeSource::TtlHeader
        || directives.max_age.is_some()
        || directives.s_maxage.is_some()
        || (!directives.targeted && facts.headers.contains_key(EXPIRES))
}

/// §3, second, third and last condition: a final status, understood where that is asked for, cacheable by itself or by explicit freshness.
fn status_allows(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    match facts.status {
        StatusCode::PARTIAL_CONTENT if !facts.partial => return Err(NotStored::PartialContent),
        // A 304 answers a condition; a stored response is freshened by it, it is none itself.
        StatusCode::NOT_MODIFIED => return Err(NotStored::Status),
        status if status.is_informational() => return Err(NotStored::Status),
        // The operator may name even these.
        status if speaks_of_one_client(status) && facts.lifetime.source != LifetimeSource::StatusTtl => {
            return Err(NotStored::Status);
        }
        _ => {}
    }
    if facts.directives.must_understand && !understood(facts.status) {
        return Err(NotStored::MustUnderstand);
    }
    let explicit = facts.directives.public || facts.lifetime.source.is_explicit();
    if heuristically_cacheable(facts.status) || explicit { Ok(()) } else { Err(NotStored::Status) }
}

/// RFC 6585 §3–§6: responses with these status codes must not be stored by a cache.
fn speaks_of_one_client(status: StatusCode) -> bool {
    matches!(status.as_u16(), 428 | 429 | 431 | 511)
}

/// §3, fourth to sixth condition: `no-store`, `private`, `Authorization`.
fn origin_allows(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    let directives = facts.directives;
    // §5.2.2.3: a cache that understands the status ignores no-store beside must-understand; status_allows() saw to the first part.
    let no_store = facts.lifetime.forbidden || (directives.no_store && !directives.must_understand);
    if no_store && !facts.overrides.no_store {
        return Err(NotStored::NoStore);
    }
    if directives.private == FieldList::All && !facts.overrides.private {
        return Err(NotStored::Private);
    }
    if facts.authorization && !has_leave(directives) {
        return Err(NotStored::Authorization);
    }
    Ok(())
}

/// `Set-Cookie` is left out on the rule's word or the response's own, or shared on the rule's word.
fn cookies_allowed(facts: &StoreFacts<'_>) -> bool {
    let overrides = facts.overrides;
    overrides.set_cookie
        || overrides.share_set_cookie
        || unstored_fields(facts.directives).any(|name| *name == SET_COOKIE)
}

/// A stored response is of use while it is fresh, when it can be validated, or when it may be served stale.
fn worth_storing(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    if has_validator(facts.headers) {
        return Ok(());
    }
    let directives = facts.directives;
    if directives.no_cache == FieldList::All && !facts.overrides.no_cache {
        return Err(NotStored::NoCache);
    }
    let stale_use =
        directives.stale_while_revalidate.max(directives.stale_if_error).is_some_and(|window| !window.is_zero());
    match facts.lifetime.source {
        LifetimeSource::None => Err(NotStored::NoLifetime),
        _ if facts.lifetime.duration.is_zero() && !stale_use => Err(NotStored::NoLifetime),
        _ => Ok(()),
    }
}

/// The final status codes whose caching rules this cache knows and keeps: those of RFC 9110 §15, and 451 (RFC 7725).
fn understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 451 | 500..=505
    )
}
