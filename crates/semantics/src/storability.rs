//! May a response be stored? (RFC 9111 §3)

use http::header::{HeaderMap, SET_COOKIE};
use http::{Method, StatusCode};

use crate::conditional::has_validator;
use crate::directives::ResponseDirectives;
use crate::lifetime::{Lifetime, LifetimeSource, heuristically_cacheable};
use crate::vary::Vary;

/// What of the origin's wishes a rule sets aside; each one only because the operator wrote so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Store although the response is `private`.
    pub private: bool,
    /// Store although the response says `no-store`.
    pub no_store: bool,
    /// Store although the response carries `Set-Cookie`.
    pub set_cookie: bool,
    /// Reuse without validation although the response says `no-cache`.
    pub no_cache: bool,
    /// Allow stale uses although the response says `must-revalidate` or `proxy-revalidate`.
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
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// Only responses to GET and HEAD are stored.
    Method,
    /// The status is interim, 304, or neither heuristically cacheable nor with explicit freshness (§3).
    Status,
    /// Status 206: parts are not stored (§3.3).
    PartialContent,
    /// `no-store` (§5.2.2.5).
    NoStore,
    /// `private`, with or without field names (§5.2.2.7).
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
    if facts.method != Method::GET && facts.method != Method::HEAD {
        return Err(NotStored::Method);
    }
    status_allows(facts)?;
    origin_allows(facts)?;
    if facts.headers.contains_key(SET_COOKIE) && !facts.overrides.set_cookie {
        return Err(NotStored::SetCookie);
    }
    if Vary::parse(facts.headers).is_star() {
        return Err(NotStored::VaryStar);
    }
    worth_storing(facts)
}

/// §3, second, third and last condition: a final status, understood where that is asked for, cacheable by itself or by explicit freshness.
fn status_allows(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    match facts.status {
        StatusCode::PARTIAL_CONTENT => return Err(NotStored::PartialContent),
        // A 304 answers a condition; a stored response is freshened by it, it is none itself.
        StatusCode::NOT_MODIFIED => return Err(NotStored::Status),
        status if status.is_informational() => return Err(NotStored::Status),
        _ => {}
    }
    if facts.directives.must_understand && !understood(facts.status) {
        return Err(NotStored::MustUnderstand);
    }
    let explicit = facts.directives.public || facts.lifetime.source.is_explicit();
    if heuristically_cacheable(facts.status) || explicit { Ok(()) } else { Err(NotStored::Status) }
}

/// §3, fourth to sixth condition: `no-store`, `private`, `Authorization`.
fn origin_allows(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    let directives = facts.directives;
    // §5.2.2.3: a cache that understands the status ignores no-store beside must-understand; status_allows() saw to the first part.
    if directives.no_store && !directives.must_understand && !facts.overrides.no_store {
        return Err(NotStored::NoStore);
    }
    // private="field" would allow to store the rest. Conservative: a rest that nobody asked for is not worth a leak.
    if directives.private.is_present() && !facts.overrides.private {
        return Err(NotStored::Private);
    }
    let shared = directives.public || directives.s_maxage.is_some() || directives.must_revalidate;
    if facts.authorization && !shared {
        return Err(NotStored::Authorization);
    }
    Ok(())
}

/// A stored response is of use while it is fresh, when it can be validated, or when it may be served stale.
fn worth_storing(facts: &StoreFacts<'_>) -> Result<(), NotStored> {
    if has_validator(facts.headers) {
        return Ok(());
    }
    let directives = facts.directives;
    if directives.no_cache.is_present() && !facts.overrides.no_cache {
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

/// The final status codes whose caching rules this cache knows and keeps: those of RFC 9110 §15.
fn understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}
