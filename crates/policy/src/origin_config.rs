//! What is known of one origin, ready to run.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::uri::Authority;

/// One origin: servers that stand in for each other.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// The name that rules, logs and metrics use.
    pub name: Arc<str>,
    /// At least one.
    pub servers: Vec<ServerConfig>,
    /// How a server is picked.
    pub balance: Balance,
    /// Cookies of sessions that live on one server, by name; a `*` at the end stands for any rest.
    pub sticky: Vec<String>,
    /// The origin that answers where this one cannot: its place in [`Config::origins`](crate::Config::origins). Never leads
    /// back to this one.
    pub fallback: Option<usize>,
    /// How servers are asked whether they are well; `None` = they are not asked.
    pub health: Option<HealthConfig>,
    /// When a server that fails is left out; `None` = never.
    pub eject: Option<EjectConfig>,
    /// How long a server that came back works its way up to its share; 0 = it has it at once.
    pub slow_start: Duration,
    /// How requests wait where every server has as many as it may.
    pub queue: QueueConfig,
    /// When a request is sent once more.
    pub retries: RetryConfig,
    /// The limits of time of one exchange.
    pub timeouts: TimeoutConfig,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// The version of HTTP that is spoken.
    pub protocol: OriginProtocol,
    /// How `https` servers are spoken to.
    pub tls: TlsConfig,
    /// The version of the PROXY protocol whose header opens a connection, if one does.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Largest head of a response, in bytes.
    pub header_bytes: u64,
    /// `Host` sent to the servers; `None` = the client's.
    pub host: Option<String>,
    /// Whether the servers are told of the client by `Forwarded` too (RFC 7239).
    pub forwarded: bool,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it is.
    pub url: ServerUrl,
    /// Its share of the requests beside the others'; 0 = only what is bound to it.
    pub weight: u32,
    /// It gets requests only while the others cannot take them.
    pub backup: bool,
    /// The most requests at a time; 0 = no limit.
    pub max_connections: usize,
}

/// Where a server is, and whether it is spoken to through TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerUrl {
    /// `http://HOST[:PORT]`.
    Http(Authority),
    /// `https://HOST[:PORT]`.
    Https(Authority),
    /// `unix:/PATH`.
    Unix(PathBuf),
}

impl ServerUrl {
    /// Host and port, where it has them.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        match self {
            Self::Http(authority) | Self::Https(authority) => Some(authority),
            Self::Unix(_) => None,
        }
    }

    /// The port that is connected to, where there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let usual = if self.is_tls() { 443 } else { 80 };
        Some(self.authority()?.port_u16().unwrap_or(usual))
    }

    /// Whether it is spoken to through TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Https(_))
    }

    /// The server in logs, metrics and calls: `host[:port]`, or `unix:/path`.
    #[must_use]
    pub fn name(&self) -> String {
        self.authority().map_or_else(|| self.to_string(), ToString::to_string)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How a server is picked among those that can take a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turns, by weight.
    #[default]
    RoundRobin,
    /// The one with fewer requests under way, of two picked at random.
    LeastRequests,
    /// The same server for the same hash, as long as it can take the request.
    Hash {
        /// What is hashed.
        by: HashBy,
        /// The most requests under way, in percent of a fair share, above which the next server gets the request; at least 100.
        bound: u32,
    },
    /// The first in the order written that can take it.
    First,
}

/// What a server is picked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The cache key.
    Key,
    /// The client's address.
    Client,
    /// The value of the cookie of this name.
    Cookie(String),
}

/// How servers are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// The request-target; `None` = a connection is enough.
    pub path: Option<String>,
    /// `Host`; `None` = the server's own name.
    pub host: Option<String>,
    /// The statuses that mean that it is well, as ranges, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// What the body has to contain.
    pub body: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// The longest wait for the answer.
    pub timeout: Duration,
    /// What makes up a change of mind.
    pub verdict: Verdict,
}

/// When checks change a server's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This many good ones in a row bring it in, this many bad ones take it out.
    InARow {
        /// Good ones that bring it in.
        rise: u32,
        /// Bad ones that take it out.
        fall: u32,
    },
    /// It is well while at least `threshold` of the last `window` checks were good.
    Window {
        /// How many are looked at.
        window: u32,
        /// How many of them have to be good.
        threshold: u32,
    },
}

/// When a server that fails requests is left out for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EjectConfig {
    /// This many failed requests in a row.
    pub failures: u32,
    /// Or this share of the requests of a window, in percent; 0 = no share is enough.
    pub rate: u8,
    /// The length of the window.
    pub window: Duration,
    /// How long it is left out the first time.
    pub base: Duration,
    /// The longest time.
    pub longest: Duration,
    /// Statuses that count as failures.
    pub statuses: Vec<StatusCode>,
}

/// How requests wait where every server has as many as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The most that wait, for each server.
    pub size: usize,
    /// The longest wait.
    pub timeout: Duration,
}

/// When a request is sent once more, to another server where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// How many times.
    pub tries: usize,
    /// The share of requests that may be sent again, in percent.
    pub budget: u8,
    /// Statuses after which an idempotent request goes to another server.
    pub statuses: Vec<StatusCode>,
    /// The longest response body that is awaited in whole before its head is given out, in bytes; 0 = none.
    pub hold: u64,
    /// The longest request body that is kept so that it can be sent again, in bytes.
    pub replay: u64,
}

/// The limits of time of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutConfig {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest time for the TLS handshake on it.
    pub tls: Duration,
    /// Longest wait for the response head once the request is sent.
    pub first_byte: Duration,
    /// Longest pause within a response body.
    pub between_bytes: Duration,
    /// Longest time for all of it; `None` = no limit.
    pub total: Option<Duration>,
}

/// The version of HTTP that is spoken to servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 where a TLS server takes it, else HTTP/1.1.
    Auto,
}

/// A file of certificates or with a key, as text (RFC 7468).
pub type Pem = Arc<[u8]>;

/// How `https` servers are spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The name asked for and verified; `None` = the server's host.
    pub server_name: Option<String>,
    /// Certificates to trust in place of the system's, in PEM.
    pub ca: Option<Pem>,
    /// A client certificate with its chain, and its key, in PEM.
    pub identity: Option<(Pem, Pem)>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { server_name: None, ca: None, identity: None, verify: true }
    }
}

/// The key is never shown.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("server_name", &self.server_name)
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("verify", &self.verify)
            .finish()
    }
}

/// Something in what a [`TlsConfig`] holds that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// The key of `tls` that has to change: `server_name`, `ca`, `certificate` or `key`.
    pub key: &'static str,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Finds out what of a [`TlsConfig`] cannot be used. Here only the form of its files is known; what is in them, whoever speaks TLS knows.
pub type TlsCheck<'a> = &'a dyn Fn(&TlsConfig) -> Vec<TlsFault>;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The text form.
    V1,
    /// The binary form.
    V2,
}

/// Which name servers are asked, and how long an answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// Name servers; empty = the system's.
    pub servers: Vec<SocketAddr>,
    /// A shorter lifetime of an answer is raised to this.
    pub min_ttl: Duration,
    /// A longer one is cut to this.
    pub max_ttl: Duration,
}
