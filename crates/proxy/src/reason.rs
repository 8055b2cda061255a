//! Why a request was answered as it was: one vocabulary for `Cache-Status`, the log, the metrics and `explain`.

/// What kind of answer a [`Reason`] stands for: the coarse label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From a stored, fresh (or just validated) response.
    Hit,
    /// From a stored, stale response, on purpose (grace).
    Stale,
    /// Fetched from the origin under a cache rule.
    Miss,
    /// Let through: never looked up, never stored.
    Pass,
    /// Made by a `respond` rule.
    Respond,
    /// A `PURGE`, done or refused.
    Purge,
    /// Copal's own error response.
    Error,
}

impl Outcome {
    /// The word in the log and in the metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Respond => "respond",
            Self::Purge => "purge",
            Self::Error => "error",
        }
    }
}

/// A reason, and why the request that it is told of went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) reason: Reason,
    pub(crate) fwd: Option<&'static str>,
}

impl From<Reason> for Told {
    fn from(reason: Reason) -> Self {
        Self { reason, fwd: reason.fwd() }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $word:literal, $outcome:ident, $fwd:expr;)+) => {
        /// Why a request was answered as it was.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in the order of declaration: `reason as usize` is its index.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word in `Cache-Status` (`detail`), in the log and in the metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $word,)+ } }

            /// The coarse kind of answer.
            #[must_use]
            pub const fn outcome(self) -> Outcome { match self { $(Self::$name => Outcome::$outcome,)+ } }

            /// The `fwd` parameter of `Cache-Status` (RFC 9211 §2.2), where the request itself gives no other; none when
            /// nothing was forwarded.
            #[must_use]
            pub const fn fwd(self) -> Option<&'static str> { match self { $(Self::$name => $fwd,)+ } }
        }
    };
}

reasons! {
    /// A fresh stored response.
    Hit = "hit", Hit, None;
    /// A stored response that the origin just confirmed (304).
    Validated = "validated", Hit, Some("stale");
    /// Stale, within grace, while one refresh runs.
    StaleRefreshing = "stale-refreshing", Stale, None;
    /// Stale, because the origin failed.
    StaleError = "stale-error", Stale, Some("stale");
    /// Stale, which the client says it takes (`max-stale`).
    MaxStale = "max-stale", Stale, None;

    /// Nothing stored for this key; fetched and stored.
    Miss = "miss", Miss, Some("uri-miss");
    /// Stored, but no variant fits this request; fetched and stored.
    VariantMiss = "variant-miss", Miss, Some("vary-miss");
    /// Stored, but no longer fresh and not to be had stale; fetched anew and stored.
    Expired = "expired", Miss, Some("stale");
    /// Stored in part; what was asked for beyond it was fetched, and stored with it.
    Partial = "partial", Miss, Some("partial");
    /// Stored and fresh, but this request's own directives want the origin asked; fetched anew and stored.
    RequestDirective = "request-directive", Miss, Some("request");
    /// Stored and fresh, but not to be given to a request with `Authorization`; fetched for it alone, and stored.
    NotShared = "not-shared", Miss, Some("request");
    /// Followed a fill that another request had begun.
    Collapsed = "collapsed", Miss, Some("uri-miss");
    /// Fetched alone, because the last response for this key could not be stored.
    HitForMiss = "hit-for-miss", Miss, Some("uri-miss");
    /// Fetched, not stored: the status code, without explicit freshness.
    NotStoredStatus = "not-stored-status", Miss, Some("uri-miss");
    /// Fetched, not stored: `store_if` or `store_unless` of the rule.
    NotStoredRule = "not-stored-rule", Miss, Some("uri-miss");
    /// Fetched, not stored: a partial response.
    NotStoredPartial = "not-stored-partial", Miss, Some("uri-miss");
    /// Fetched, not stored: `no-store`.
    NoStore = "no-store", Miss, Some("uri-miss");
    /// Fetched, not stored: `private`.
    Private = "private", Miss, Some("uri-miss");
    /// Fetched, not stored: the response sets a cookie.
    SetCookie = "set-cookie", Miss, Some("uri-miss");
    /// Fetched, not stored: `Authorization` without leave.
    NotStoredAuthorization = "not-stored-authorization", Miss, Some("uri-miss");
    /// Fetched, not stored: `Vary: *`.
    VaryStar = "vary-star", Miss, Some("uri-miss");
    /// Fetched, not stored: neither a freshness lifetime nor a validator.
    NoLifetime = "no-lifetime", Miss, Some("uri-miss");
    /// Fetched, not stored: `must-understand` with a status that is not understood.
    MustUnderstand = "must-understand", Miss, Some("uri-miss");
    /// Fetched, not stored: `no-cache`, and nothing to validate with.
    NoCache = "no-cache", Miss, Some("uri-miss");
    /// Fetched with a visitor's session under a context, not stored: `Vary` does not name the context's field.
    NotOfTheContext = "not-of-the-context", Miss, Some("uri-miss");
    /// Fetched, not stored: larger than `cache.max_body`.
    TooLarge = "too-large", Miss, Some("uri-miss");

    /// A `pass` rule.
    PassRule = "pass-rule", Pass, Some("bypass");
    /// The request method is neither GET nor HEAD.
    PassMethod = "method", Pass, Some("method");
    /// The request carries a session cookie.
    SessionCookie = "session-cookie", Pass, Some("bypass");
    /// The request carries a cookie on neither list, and `sessions.unknown` is `bypass`.
    UnknownCookie = "unknown-cookie", Pass, Some("bypass");
    /// The group of a visitor with a session could not be had.
    ContextFailed = "context-failed", Pass, Some("bypass");
    /// The request carries credentials in a field such as `X-Auth-Token`.
    Authorization = "authorization", Pass, Some("bypass");
    /// The request says `no-store`, and this client's directives are honoured.
    RequestNoStore = "request-no-store", Pass, Some("request");
    /// `If-Match` or `If-Unmodified-Since`: for the origin to evaluate (RFC 9111 §4.3.2).
    Precondition = "precondition", Pass, Some("bypass");
    /// A GET or HEAD with a body.
    RequestBody = "request-body", Pass, Some("bypass");
    /// A body that would be in the cache key, and is longer than `cache.max_key_body`.
    LongKeyBody = "long-key-body", Pass, Some("bypass");
    /// A protocol upgrade (WebSocket).
    Upgrade = "upgrade", Pass, Some("bypass");
    /// The origin failed, nothing stored may be given, and its fallback answered.
    Fallback = "fallback", Pass, Some("miss");

    /// A `respond` rule.
    Respond = "respond", Respond, None;
    /// A purge that was done.
    Purged = "purged", Purge, None;
    /// A purge from a client that may not.
    PurgeDenied = "purge-denied", Purge, None;
    /// A purge that cannot be understood.
    PurgeWrong = "purge-wrong", Purge, None;

    /// The request cannot be understood.
    BadRequest = "bad-request", Error, None;
    /// The method is not served (`TRACE`, `CONNECT`).
    MethodNotAllowed = "method-not-allowed", Error, None;
    /// The client wants a stored response only (`only-if-cached`), and there is none that it may have.
    OnlyIfCached = "only-if-cached", Error, None;
    /// The request came through this server already.
    Loop = "loop", Error, None;
    /// The origin's name does not resolve.
    OriginDns = "origin-dns", Error, Some("miss");
    /// The origin refused the connection.
    OriginRefused = "origin-refused", Error, Some("miss");
    /// The connection to the origin failed.
    OriginConnect = "origin-connect", Error, Some("miss");
    /// The origin did not accept the connection in time.
    OriginConnectTimeout = "origin-connect-timeout", Error, Some("miss");
    /// There is no TLS with the origin.
    OriginTls = "origin-tls", Error, Some("miss");
    /// The origin did not answer in time.
    OriginTimeout = "origin-timeout", Error, Some("miss");
    /// The origin closed the connection before its response was whole.
    OriginClosed = "origin-closed", Error, Some("miss");
    /// The origin's answer is not HTTP, or larger than allowed.
    OriginProtocol = "origin-protocol", Error, Some("miss");
    /// Every server of the origin has as many requests as it may, and the queue is full or took too long.
    OriginBusy = "origin-busy", Error, Some("miss");
    /// No server of the origin takes requests: all of them are drained.
    OriginDrained = "origin-drained", Error, Some("miss");
    /// The origin failed to give this a moment ago; it was not asked again.
    OriginFailedRecently = "origin-failed-recently", Error, None;
    /// The client's request body broke off.
    ClientBody = "client-body", Error, None;
    /// The origin answered with a server error where a stored response was to be validated, or where it has a fallback.
    OriginStatus = "origin-status", Error, Some("miss");
    /// A page whose fragment could not be had, under a rule that says that it fails then.
    FragmentFailed = "fragment-failed", Error, None;
    /// A fragment of another site, of a depth beyond the limit, or otherwise not allowed.
    FragmentRefused = "fragment-refused", Error, None;
    /// A fragment that is one of the pages that it is in.
    FragmentCycle = "fragment-cycle", Error, None;
    /// A fragment that was answered with a status other than 2xx, or encoded.
    FragmentStatus = "fragment-status", Error, None;
    /// A fragment that did not answer in time.
    FragmentTimeout = "fragment-timeout", Error, None;
    /// A fragment that does not fit into what the fragments of its page may have together.
    FragmentTooLarge = "fragment-too-large", Error, None;
    /// Copal's own fault.
    Internal = "internal", Error, None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_tokens() {
        let mut seen = std::collections::HashSet::new();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            let word = reason.as_str();
            assert!(seen.insert(word), "{word} stands for two reasons");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{word} is not a token");
        }
    }
}
