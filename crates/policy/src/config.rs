//! The configuration, ready to run: everything read, checked, compiled and filled in with defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::{Context, ErrorPage, Networks, OriginConfig, Policy, PurgeConfig, ResolverConfig};

/// Everything that one server runs by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listen: Vec<SocketAddr>,
    /// Metrics, health and API; `None` = off.
    pub admin: Option<SocketAddr>,
    /// The origins in the order written; the first is the default. At least one.
    pub origins: Vec<OriginConfig>,
    /// Which name servers are asked for the origins' servers.
    pub names: ResolverConfig,
    /// The store's limits.
    pub cache: CacheConfig,
    /// Who may purge.
    pub purge: PurgeConfig,
    /// Peers whose forwarding fields (`X-Forwarded-For` and the like) are believed.
    pub trusted_proxies: Networks,
    /// Limits of ESI.
    pub esi: EsiConfig,
    /// Limits on clients.
    pub limits: Limits,
    /// What visitors see when the site cannot be had.
    pub error_page: Arc<ErrorPage>,
    /// Logs.
    pub log: LogConfig,
    /// Rules and session cookies.
    pub policy: Policy,
    /// How long a stop waits for requests under way.
    pub drain: Duration,
    /// Ways to ask for the group of a visitor: all that rules may name.
    pub contexts: Vec<Arc<Context>>,
    /// Something is stored under more than a URL: slices of it, request bodies or a session with it.
    pub has_sub_keys: bool,
}

/// Limits of the store.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Bytes for bodies, heads, keys and index together.
    pub memory: u64,
    /// The largest response body that is stored, in bytes.
    pub max_body: u64,
    /// Most variants of one cache key.
    pub max_variants: usize,
    /// How long it is remembered that a response could not be stored.
    pub hit_for_miss: Duration,
    /// Whether heuristic freshness applies (RFC 9111 section 4.2.2).
    pub heuristic: bool,
    /// The longest heuristic freshness lifetime.
    pub heuristic_max: Duration,
    /// Targeted fields in the order in which they are asked (RFC 9213 section 2.2).
    pub targeted: Vec<HeaderName>,
    /// Clients whose request directives are honoured under every rule.
    pub revalidate_allow: Networks,
    /// The longest request body that is part of a cache key, in bytes.
    pub max_key_body: u64,
    /// Response fields that carry cache tags.
    pub tag_headers: Vec<HeaderName>,
    /// Response fields of which each value makes a tag.
    pub tag_from: Vec<TagFrom>,
    /// Response fields besides those that are for Copal and not for clients.
    pub hide_headers: Vec<HeaderName>,
}

impl CacheConfig {
    /// Response fields that are for Copal and not for clients, besides `Surrogate-Control`.
    pub fn internal(&self) -> impl Iterator<Item = &HeaderName> {
        let from = self.tag_from.iter().map(|from| &from.header);
        self.tag_headers.iter().chain(from).chain(&self.hide_headers)
    }
}

/// A field whose values make tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFrom {
    /// The field.
    pub header: HeaderName,
    /// The tag, with the field's value between these two.
    pub around: (String, String),
}

/// Limits of ESI.
#[derive(Clone, Debug)]
pub struct EsiConfig {
    /// How deep fragments may include fragments.
    pub max_depth: u32,
    /// Most fragments that one client request may lead to, nested ones counted.
    pub max_includes: usize,
    /// Most fragments of one page fetched at a time.
    pub max_concurrent: usize,
    /// Longest wait for one fragment.
    pub fragment_timeout: Duration,
    /// How long a page from the store waits for what is not at hand before its first bytes leave.
    pub hold: Duration,
    /// Longest wait for all fragments that one client request leads to, from the first that is not at hand.
    pub page_timeout: Duration,
    /// Most bytes of one page's fragments together, nested ones counted.
    pub max_bytes: u64,
    /// Most fragments that are waited for at a time, by all pages together.
    pub max_concurrent_total: usize,
    /// Who may ask for a report on a page's fragments; empty = nobody.
    pub debug_allow: Networks,
}

/// Limits on clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request head, in bytes.
    pub header_bytes: usize,
    /// Most fields of a request head.
    pub headers: usize,
    /// Longest time for a client to send a request head.
    pub header_timeout: Duration,
    /// How long an unused client connection is kept.
    pub keep_alive_timeout: Duration,
    /// Most client connections at a time.
    pub connections: usize,
    /// How long a WebSocket, or an event stream, may be silent.
    pub upgrade_idle: Duration,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Form of the access log.
    pub access: AccessLog,
    /// File of the access log; `None` = standard output.
    pub path: Option<PathBuf>,
    /// How much the server tells about itself on standard error.
    pub level: LogLevel,
}

/// Form of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// The "combined" line that log analysers read, with cache words at its end.
    Combined,
    /// One JSON object a line.
    Json,
}

/// How much the server tells about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// What may need care.
    Warn,
    /// Start, stop, reload.
    Info,
    /// Decisions.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name as written in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
