//! A compiled rule: when it applies and what it decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::contexts::Context;
use crate::esi::EsiOptions;
use crate::matcher::Matcher;
use crate::{FieldEdits, KeyRule, ResponseEdits, RuleTimeouts, StoreRule};

/// Where a rule was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// The configuration file.
    Config,
    /// A policy, by its name.
    Policy(Arc<str>),
    /// The built-in default policy.
    Default,
}

/// What a session cookie does under a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionMode {
    /// A request that carries one goes to the origin and its response is not stored.
    #[default]
    Bypass,
    /// The page is the same for everybody: session cookies are not sent to its origin, only to its fragments' origins.
    Ignore,
}

/// Whether a response is parsed for ESI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EsiMode {
    /// Always.
    On,
    /// Never.
    Off,
    /// When the origin asks for it: `Surrogate-Control: content="ESI/1.0"` (Edge Architecture Specification).
    #[default]
    Auto,
}

/// What a rule decides.
#[derive(Clone, Debug)]
pub enum Action {
    /// The response may be stored and reused.
    Cache(Box<CacheRule>),
    /// Every request goes to the origin, with everything the client sent.
    Pass,
    /// Copal answers by itself.
    Respond(RespondRule),
}

impl Action {
    /// `cache`, `pass` or `respond`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Cache(_) => "cache",
            Self::Pass => "pass",
            Self::Respond(_) => "respond",
        }
    }
}

/// The compiled `cache` of a rule. `ttl` speaks of freshness lifetimes (RFC 9111 section 4.2).
#[derive(Clone, Debug, Default)]
pub struct CacheRule {
    /// Freshness lifetime, whatever the origin states.
    pub ttl: Option<Duration>,
    /// Freshness lifetime where the origin states none.
    pub default_ttl: Option<Duration>,
    /// A shorter freshness lifetime of the origin is raised to this.
    pub min_ttl: Option<Duration>,
    /// A longer freshness lifetime of the origin is cut to this.
    pub max_ttl: Option<Duration>,
    /// How long a stale response may be served while it is refreshed or the origin fails.
    pub grace: Duration,
    /// The cache key.
    pub key: KeyRule,
    /// `Cache-Control` for clients in place of the origin's.
    pub client_cache_control: Option<HeaderValue>,
    /// What of the origin's word the operator overrides.
    pub overrides: Overrides,
    /// How long a stale response may be served when the origin fails and states nothing of it (RFC 5861 section 4).
    pub stale_if_error: Duration,
    /// How long it is remembered that a response could not be fetched, so that the origin is not asked again at once.
    pub failure_ttl: Duration,
    /// By how many percent at most a lifetime is shortened at random.
    pub jitter: u8,
    /// Which directives of requests count.
    pub request_directives: RequestDirectivesMode,
    /// Response fields that state the lifetime before all others.
    pub ttl_headers: Vec<HeaderName>,
    /// Bytes of a slice, where responses are fetched and stored in slices.
    pub slice: Option<u64>,
    /// Whether `No-Vary-Search` of responses decides on the key.
    pub no_vary_search: bool,
    /// Whether a 103 with the last response's `Link` goes before a fetch (RFC 8297).
    pub early_hints: bool,
    /// `QUERY` and `POST` where the rule's `match.method` names them: stored under URL and body.
    pub body_methods: Vec<Method>,
    /// Which responses are stored, beyond what their own fields say.
    pub storing: StoreRule,
    pub(crate) status_ttl: Vec<(u16, Duration)>,
}

/// Which directives of a request's `Cache-Control` count (RFC 9111 section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestDirectivesMode {
    /// None.
    Ignore,
    /// Those that cost the origin nothing: `only-if-cached`, `max-stale`, `stale-if-error`.
    #[default]
    Harmless,
    /// All.
    Honour,
}

impl RequestDirectivesMode {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Harmless => "harmless",
            Self::Honour => "honour",
        }
    }
}

impl CacheRule {
    /// Whether responses are stored under more than a URL.
    #[must_use]
    pub fn has_sub_keys(&self) -> bool {
        self.slice.is_some() || !self.body_methods.is_empty()
    }

    /// The freshness lifetime that the rule sets for this status; it beats `ttl`.
    #[must_use]
    pub fn status_ttl(&self, status: StatusCode) -> Option<Duration> {
        self.status_ttl.iter().find(|(code, _)| *code == status.as_u16()).map(|(_, ttl)| *ttl)
    }
}

/// What a rule lets be stored against the origin's word. All `false` unless the rule says `override`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Six independent words of one list.
pub struct Overrides {
    /// `Cache-Control: private` (RFC 9111 section 5.2.2.7).
    pub private: bool,
    /// `Cache-Control: no-store` (RFC 9111 section 5.2.2.5).
    pub no_store: bool,
    /// `Set-Cookie` in the response; the stored response does not keep it.
    pub set_cookie: bool,
    /// `Set-Cookie` in the response; the stored response keeps it and everybody gets it (RFC 9111 section 7.3).
    pub share_set_cookie: bool,
    /// `Cache-Control: no-cache` (RFC 9111 section 5.2.2.4).
    pub no_cache: bool,
    /// `must-revalidate` and `proxy-revalidate` (RFC 9111 sections 5.2.2.2 and 5.2.2.8).
    pub must_revalidate: bool,
}

/// A response that Copal gives by itself.
#[derive(Clone, Debug)]
pub struct RespondRule {
    /// The status code.
    pub status: StatusCode,
    /// The fields, `Location` of a redirect included; `Content-Length` is not among them.
    pub headers: HeaderMap,
    /// The body; may be empty.
    pub body: Bytes,
}

/// One compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name that logs, metrics and `explain` print: as written in the configuration file, with the policy's name
    /// before it otherwise (`wagtail/admin`, `default/pages`), so that it is unique.
    pub name: Arc<str>,
    /// Where it was written.
    pub source: RuleSource,
    /// The file's name as the user gave it.
    pub file: Arc<str>,
    /// The line of its name in that file, from 1.
    pub line: u32,
    /// What it decides.
    pub action: Action,
    /// What a session cookie does.
    pub sessions: SessionMode,
    /// By which its pages are stored once for each group of visitors.
    pub context: Option<Arc<Context>>,
    /// Whether responses are parsed for ESI.
    pub esi: EsiMode,
    /// How pages are put together.
    pub esi_options: Arc<EsiOptions>,
    /// Index of the origin in [`Config::origins`](crate::Config::origins).
    pub origin: usize,
    /// Limits of time in place of the origin's; mostly there are none.
    pub timeouts: Option<Box<RuleTimeouts>>,
    /// Fields set and removed on the way to the origin.
    pub request: FieldEdits,
    /// Fields set and removed on the way to the client.
    pub response: ResponseEdits,
    /// Whether it, or a rule before it, looks at request fields or cookies: requests for one URL may come to other rules.
    pub by_fields: bool,
    pub(crate) matcher: Matcher,
}

impl Rule {
    /// The `cache` part if the rule caches.
    #[must_use]
    pub fn cache(&self) -> Option<&CacheRule> {
        match &self.action {
            Action::Cache(rule) => Some(rule),
            Action::Pass | Action::Respond(_) => None,
        }
    }

    /// Whether the rule keys by this cookie.
    #[must_use]
    pub fn keys_cookie(&self, name: &str) -> bool {
        self.cache().is_some_and(|cache| cache.key.keys_cookie(name))
    }
}
