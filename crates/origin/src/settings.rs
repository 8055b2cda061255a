//! What an origin is told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{StatusCode, Uri};

use crate::error::{Kind, OriginError};

/// The servers of an origin, how one of them is picked, and the limits of an exchange with them.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginSettings {
    /// The origin's name, for logs.
    pub name: String,
    /// The servers, at least one.
    pub servers: Vec<ServerSettings>,
    /// How a server is picked.
    pub balance: Balance,
    /// Cookies of sessions that live on one server: the requests of one session go to the same one.
    pub sticky: Vec<String>,
    /// The name of the origin that answers where this one cannot, for its log.
    pub fallback: Option<String>,
    /// How servers are asked whether they are well; `None` = they are not.
    pub health: Option<HealthCheck>,
    /// When a server that fails is left out.
    pub ejection: Option<Ejection>,
    /// How long a server that came back works its way up to its share.
    pub slow_start: Duration,
    /// How many requests may wait for a server with room, and for how long.
    pub queue: Queue,
    /// The limits of time.
    pub timeouts: Timeouts,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// How many connections without a request are kept for each server.
    pub max_idle: usize,
    /// The size limit of a response's head, in bytes.
    pub max_header_bytes: usize,
    /// When a request is sent once more.
    pub retry: Retry,
    /// The version of HTTP that is spoken.
    pub protocol: Protocol,
    /// How `https` servers are spoken to.
    pub tls: TlsSettings,
    /// The PROXY protocol's header that opens a connection, if one does.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Which name servers are asked, and how long an answer counts.
    pub names: NameSettings,
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self {
            name: "origin".to_owned(),
            servers: Vec::new(),
            balance: Balance::RoundRobin,
            sticky: Vec::new(),
            fallback: None,
            health: None,
            ejection: None,
            slow_start: Duration::ZERO,
            queue: Queue::default(),
            timeouts: Timeouts::default(),
            idle_timeout: Duration::from_secs(60),
            max_idle: 256,
            max_header_bytes: 512 << 10,
            retry: Retry::default(),
            protocol: Protocol::Http1,
            tls: TlsSettings::default(),
            proxy_protocol: None,
            names: NameSettings::default(),
        }
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it is.
    pub address: ServerAddress,
    /// Its share of the requests beside the others', 1 to 1,000,000; 0 = only what is bound to it.
    pub weight: u32,
    /// It gets requests only while no server that is no backup can take one: all are out, were tried, or are full.
    pub backup: bool,
    /// The most requests at a time; 0 = no limit.
    pub max_connections: usize,
}

impl From<ServerAddress> for ServerSettings {
    fn from(address: ServerAddress) -> Self {
        Self { address, weight: 1, backup: false, max_connections: 0 }
    }
}

/// Where a server is, and whether it is spoken to through TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// `http://HOST[:PORT]`.
    Http(Authority),
    /// `https://HOST[:PORT]`.
    Https(Authority),
    /// `unix:/PATH`: plain HTTP over a stream socket.
    Unix(PathBuf),
}

impl ServerAddress {
    /// The server in logs, metrics and calls: `host[:port]`, or `unix:/path`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Http(authority) | Self::Https(authority) => authority.to_string(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = OriginError;

    /// # Errors
    /// [`Kind::Settings`] for another scheme, a path, user information, or no host.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = |what: &str| OriginError::because(Kind::Settings, format!("{text}: {what}"));
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(wrong("a socket's path is absolute")),
            };
        }
        let uri: Uri = text.parse().map_err(|_| wrong("is no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("a server has a host"))?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("a server's URL has no path"));
        }
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong("a server's URL has a host and no user"));
        }
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => Ok(Self::Http(authority.clone())),
            Some(scheme) if *scheme == Scheme::HTTPS => Ok(Self::Https(authority.clone())),
            _ => Err(wrong("a server's URL begins with http://, https:// or unix:")),
        }
    }
}

/// How a server is picked among those that can take a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turns, by weight.
    #[default]
    RoundRobin,
    /// The one with fewer requests under way, of two picked at random by weight (power of two choices).
    LeastRequests,
    /// The same server for the same [`Call::hash`](crate::Call::hash), as long as it can take it (consistent hashing with bounded loads). None given: in turns.
    Hash {
        /// The most requests under way, in percent of its fair share, above which the next server gets the request; at least 100.
        bound: u32,
    },
    /// The first in the order written that can take it.
    First,
}

/// How servers are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The request-target; `None` = a connection is enough (for `https` with its handshake).
    pub path: Option<String>,
    /// `Host`; `None` = the server's own name.
    pub host: Option<String>,
    /// The statuses that mean that it is well, as ranges, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// What the body has to contain, within its first 64 KiB.
    pub body: Option<String>,
    /// From one check to the next, give or take a tenth so that checks do not march in step.
    pub interval: Duration,
    /// The longest wait for the whole answer.
    pub timeout: Duration,
    /// What makes up a change of mind.
    pub verdict: Verdict,
}

impl HealthCheck {
    /// Whether another one asks for the same and takes the same for good, however often it does and whatever follows from it.
    pub(crate) fn finds_the_same(&self, other: &Self) -> bool {
        let Self { interval, verdict, .. } = *self;
        *self == Self { interval, verdict, ..other.clone() }
    }
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
        /// How many are looked at, 1 to 64.
        window: u32,
        /// How many of them have to be good.
        threshold: u32,
    },
}

/// When a server that fails requests is left out for a while. Never the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// This many failed requests in a row.
    pub failures: u32,
    /// Or this share of the requests of a window, in percent, where there were at least ten; 0 = no share is enough.
    pub rate: u8,
    /// The length of the window.
    pub window: Duration,
    /// How long it is left out the first time; doubled each time up to [`longest`](Self::longest).
    pub base: Duration,
    /// The longest time.
    pub longest: Duration,
    /// Statuses that count as failures, beside broken exchanges and timeouts.
    pub statuses: Vec<StatusCode>,
}

/// How requests wait where every server has as many as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The most that wait, for each server of the origin.
    pub size: usize,
    /// The longest wait.
    pub timeout: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 64, timeout: Duration::from_secs(5) }
    }
}

/// The limits of time of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a connection may take to be established, name resolution included.
    pub connect: Duration,
    /// How long TLS may take on it.
    pub tls: Duration,
    /// How long the origin may be silent between the last byte of the request and the response's head.
    pub first_byte: Duration,
    /// How long the origin may be silent in the middle of a response's body, while somebody waits for it.
    pub between_bytes: Duration,
    /// How long all of it may take, tries on other servers, waiting for a turn and the body included; `None` = no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            total: None,
        }
    }
}

/// When a request is sent once more, to another server where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many times what may have arrived is sent again. Servers of which no connection can be had cost none of it: up to three more
    /// are asked, none twice. 0 = no other server is asked.
    pub tries: usize,
    /// The share of requests that may be sent again, in percent of those of the last ten seconds. A few a second always may.
    pub budget: u8,
    /// Statuses after which an idempotent request goes to another server.
    pub statuses: Vec<StatusCode>,
    /// The longest response body, in bytes, that is awaited in whole before its head is given out, so that one that breaks off
    /// can be asked for elsewhere; 0 = none.
    pub hold: usize,
    /// The longest request body, in bytes, that is kept so that it can be sent again.
    pub replay: usize,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 2, budget: 20, statuses: Vec::new(), hold: 0, replay: 64 << 10 }
    }
}

/// The version of HTTP that is spoken to servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 §3.3).
    Http2,
    /// HTTP/2 where a TLS server takes it (ALPN, RFC 7301), else HTTP/1.1.
    Auto,
}

/// A file in PEM (RFC 7468), as read.
pub type Pem = Arc<[u8]>;

/// How `https` servers are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The name asked for and verified; `None` = the server's host.
    pub server_name: Option<String>,
    /// Certificates to trust in place of the system's, in PEM.
    pub ca: Option<Pem>,
    /// A client certificate with its chain and its key, in PEM.
    pub identity: Option<(Pem, Pem)>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { server_name: None, ca: None, identity: None, verify: true }
    }
}

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
pub struct NameSettings {
    /// Name servers; empty = the system's (`/etc/resolv.conf`, with `/etc/hosts` before them).
    pub servers: Vec<SocketAddr>,
    /// A shorter lifetime of an answer is raised to this.
    pub min_ttl: Duration,
    /// A longer one is cut to this.
    pub max_ttl: Duration,
}

impl Default for NameSettings {
    fn default() -> Self {
        Self { servers: Vec::new(), min_ttl: Duration::from_secs(1), max_ttl: Duration::from_secs(60) }
    }
}
