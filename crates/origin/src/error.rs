//! What can go wrong with an origin: whose fault it is, and whether another try is safe.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::request::BoxError;
use crate::tls::TlsFailure;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The settings name no server, or one that cannot be used.
    Settings,
    /// The server's name could not be resolved.
    Dns,
    /// The server refused the connection.
    ConnectRefused,
    /// The connection was not established in time.
    ConnectTimeout,
    /// The connection could not be established for another reason.
    Connect,
    /// There is no TLS with the server: its certificate cannot be accepted, it does not accept ours, or it is no TLS.
    Tls,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The response's head did not come in time.
    FirstByteTimeout,
    /// The response's body paused for too long.
    BetweenBytesTimeout,
    /// The server closed the connection before a whole response head.
    Closed,
    /// The connection ended in the middle of the response's body.
    Incomplete,
    /// What the server sent is not HTTP.
    Protocol,
    /// The response's head is larger than allowed.
    TooLarge,
    /// The request's body failed, stalled, or has another length than announced.
    RequestBody,
    /// The request cannot be sent as it is.
    Request,
    /// Every server, or that of the request's session, has as many requests as it may, and there was no place in the queue, or
    /// no room in time.
    Busy,
    /// No server takes requests: all of them are drained, or weigh nothing.
    NoServer,
    /// All of it together took longer than it may.
    TotalTimeout,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Whoever sent the request.
    Client,
    /// The origin, or the network to it.
    Origin,
    /// Whoever configured this proxy.
    Proxy,
}

impl Kind {
    /// The kind as one word, kebab-case.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Settings => "settings",
            Kind::Dns => "dns",
            Kind::ConnectRefused => "connect-refused",
            Kind::ConnectTimeout => "connect-timeout",
            Kind::Connect => "connect",
            Kind::Tls => "tls",
            Kind::TlsTimeout => "tls-timeout",
            Kind::FirstByteTimeout => "first-byte-timeout",
            Kind::BetweenBytesTimeout => "between-bytes-timeout",
            Kind::Closed => "closed",
            Kind::Incomplete => "incomplete",
            Kind::Protocol => "protocol",
            Kind::TooLarge => "too-large",
            Kind::RequestBody => "request-body",
            Kind::Request => "request",
            Kind::Busy => "busy",
            Kind::NoServer => "no-server",
            Kind::TotalTimeout => "total-timeout",
        }
    }

    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Kind::Settings => Fault::Proxy,
            Kind::Request | Kind::RequestBody => Fault::Client,
            _ => Fault::Origin,
        }
    }

    /// Whether nothing of the request reached a server, so that any request may be sent again.
    pub fn nothing_sent(self) -> bool {
        matches!(
            self,
            Kind::Settings
                | Kind::Dns
                | Kind::ConnectRefused
                | Kind::ConnectTimeout
                | Kind::Connect
                | Kind::Tls
                | Kind::TlsTimeout
                | Kind::Request
                | Kind::Busy
                | Kind::NoServer
        )
    }

    /// The proxy error type (RFC 9209 §2.3).
    pub fn proxy_status(self) -> &'static str {
        match self {
            Kind::Settings => "proxy_configuration_error",
            Kind::Dns => "dns_error",
            Kind::ConnectRefused => "connection_refused",
            Kind::ConnectTimeout => "connection_timeout",
            Kind::Connect | Kind::NoServer => "destination_unavailable",
            Kind::Busy => "connection_limit_reached",
            Kind::Tls => "tls_protocol_error",
            Kind::TlsTimeout => "connection_timeout",
            Kind::FirstByteTimeout | Kind::TotalTimeout => "http_response_timeout",
            Kind::BetweenBytesTimeout => "connection_read_timeout",
            Kind::Closed => "connection_terminated",
            Kind::Incomplete => "http_response_incomplete",
            Kind::Protocol => "http_protocol_error",
            Kind::TooLarge => "http_response_header_section_size",
            Kind::RequestBody | Kind::Request => "http_request_error",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Kind::Settings => "the settings of the origin are wrong",
            Kind::Dns => "the name cannot be resolved",
            Kind::ConnectRefused => "the connection was refused",
            Kind::ConnectTimeout => "the connection was not established in time",
            Kind::Connect => "the connection cannot be established",
            Kind::Tls => "there is no TLS with it",
            Kind::TlsTimeout => "the TLS handshake took too long",
            Kind::FirstByteTimeout => "no response head came in time",
            Kind::BetweenBytesTimeout => "the response body paused for too long",
            Kind::Closed => "the connection was closed before a response",
            Kind::Incomplete => "the response body ended early",
            Kind::Protocol => "the response is not valid HTTP",
            Kind::TooLarge => "the response head is too large",
            Kind::RequestBody => "the request body failed",
            Kind::Request => "the request cannot be sent",
            Kind::Busy => "every server has as many requests as it may",
            Kind::NoServer => "no server takes requests",
            Kind::TotalTimeout => "the exchange took longer than it may in all",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A cause in words for the operator: part of what the error says.
#[derive(Debug)]
pub(crate) struct Advice {
    text: String,
    /// What it is about.
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Advice {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Advice {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// An exchange with an origin that failed: what happened, at which server, and why.
#[derive(Clone, Debug)]
pub struct OriginError {
    kind: Kind,
    server: Option<Arc<str>>,
    /// Shared: several requests may have waited for one connection.
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl OriginError {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, server: None, source: None }
    }

    pub(crate) fn because(kind: Kind, source: impl Into<BoxError>) -> Self {
        Self { kind, server: None, source: Some(source.into().into()) }
    }

    pub(crate) fn at(mut self, server: &Arc<str>) -> Self {
        self.server = Some(server.clone());
        self
    }

    /// The same with words for the operator; what is wrong with a response stays beside them, and any other cause behind them.
    pub(crate) fn advised(mut self, advice: &str) -> Self {
        let advice = match self.source {
            Some(what) if self.kind == Kind::Protocol => Advice::new(format!("{what}; {advice}")),
            source => Advice { text: advice.to_owned(), source },
        };
        self.source = Some(Arc::new(advice));
        self
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The kind as one word, kebab-case.
    pub fn as_str(&self) -> &'static str {
        self.kind.as_str()
    }

    /// The server (`host:port`) where it happened.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }

    fn tls_failure(&self) -> Option<&TlsFailure> {
        self.source.as_ref().and_then(|source| source.downcast_ref())
    }

    /// The proxy error type for `Proxy-Status` (RFC 9209 §2.3).
    pub fn proxy_status(&self) -> &'static str {
        let timed_out = self
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        match self.kind {
            Kind::Dns if timed_out => "dns_timeout",
            Kind::Tls => self.tls_failure().map_or(Kind::Tls.proxy_status(), TlsFailure::proxy_status),
            kind => kind.proxy_status(),
        }
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server, self.kind) {
            // It was waited for alone.
            (Some(server), Kind::Busy) => {
                return write!(f, "the session's server {server} has as many requests as it may");
            }
            (Some(server), _) => write!(f, "{server}: ")?,
            (None, _) => {}
        }
        f.write_str(self.kind.says())?;
        match &self.source {
            // Written for the operator, who can do something about it.
            Some(source) if matches!(self.kind, Kind::Settings | Kind::Tls) || source.is::<Advice>() => {
                write!(f, ": {source}")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for OriginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
