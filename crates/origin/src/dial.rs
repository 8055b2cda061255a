//! A new connection to a server: the socket, the PROXY protocol's header, TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use crate::connect::{Place, kind_of, timed_out};
use crate::error::{Advice, Kind, OriginError};
use crate::proxy_header;
use crate::settings::{ProxyProtocol, Timeouts};
use crate::stream::Stream;
use crate::tls::{Offer, Tls};

/// How a server is reached.
pub(crate) struct Dial {
    socket: Target,
    proxy_protocol: Option<ProxyProtocol>,
    tls: Option<Tls>,
}

/// Where its socket is.
pub(crate) enum Target {
    /// At a host and a port.
    Tcp(Place),
    /// In the file system.
    Unix(PathBuf),
}

impl Dial {
    pub(crate) fn new(socket: Target, proxy_protocol: Option<ProxyProtocol>, tls: Option<Tls>) -> Self {
        Self { socket, proxy_protocol, tls }
    }

    /// Whether a connection is told whose it is, so that it may serve nobody else.
    pub(crate) fn is_told(&self) -> bool {
        self.proxy_protocol.is_some()
    }

    /// Whether a connection opens as that of the same server in other settings.
    pub(crate) fn opens_like(&self, other: &Self) -> bool {
        self.proxy_protocol == other.proxy_protocol && self.is_tls() == other.is_tls()
    }

    /// Begins with the addresses of the same server in other settings; only before the first connection.
    pub(crate) fn adopt(&self, before: &Self) {
        if let (Target::Tcp(place), Target::Tcp(before)) = (&self.socket, &before.socket) {
            place.adopt(before);
        }
    }

    /// The addresses of its name as last resolved.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        match &self.socket {
            Target::Tcp(place) => place.addresses(),
            Target::Unix(_) => Vec::new(),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What to ask about a server that takes connections and does not answer: whether it is spoken to as it expects. A TLS server
    /// has shown that by its handshake.
    pub(crate) fn question(&self) -> Option<&'static str> {
        match (self.proxy_protocol, &self.socket) {
            _ if self.is_tls() => None,
            (Some(_), _) => Some("it was sent the PROXY protocol's header (`proxy_protocol`): does it expect that?"),
            (None, Target::Tcp(_)) => {
                Some("does it expect the PROXY protocol (`proxy_protocol`), or TLS (`https://`)?")
            }
            (None, Target::Unix(_)) => Some("does it expect the PROXY protocol (`proxy_protocol`)?"),
        }
    }

    /// Whether the server is still where a connection leads to.
    pub(crate) fn leads_to(&self, peer: Option<SocketAddr>) -> bool {
        match (&self.socket, peer) {
            (Target::Tcp(place), Some(peer)) => place.leads_to(peer),
            _ => true,
        }
    }

    /// A connection, on behalf of this client where there is one, and whether HTTP/2 was agreed on. Without TLS nothing is.
    ///
    /// # Errors
    /// `Dns`, `Connect…`, `Tls…`: nothing of a request was sent.
    pub(crate) async fn dial(
        &self,
        client: Option<(SocketAddr, SocketAddr)>,
        offer: Offer,
        timeouts: &Timeouts,
    ) -> Result<(Stream, bool), OriginError> {
        let began = Instant::now();
        let mut stream = match &self.socket {
            Target::Tcp(place) => Stream::Tcp(place.connect(timeouts.connect).await?),
            Target::Unix(path) => Stream::Unix(connect_unix(path, timeouts.connect).await?),
        };
        if let Some(version) = self.proxy_protocol {
            // Alone and before anything else; a server reads it in one piece (section 2 of the specification).
            let header = proxy_header::header(version, client);
            within(timeouts.connect.saturating_sub(began.elapsed()), stream.write_all(&header)).await?;
        }
        match (&self.tls, stream) {
            (Some(tls), Stream::Tcp(stream)) => {
                let (stream, http2) = tls.handshake(stream, offer, timeouts.tls).await?;
                Ok((Stream::Tls(Box::new(stream)), http2))
            }
            (_, stream) => Ok((stream, false)),
        }
    }
}

async fn connect_unix(path: &Path, limit: Duration) -> Result<UnixStream, OriginError> {
    match timeout(limit, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Ok(stream),
        // Not there, or not for us: that is the operator's to know.
        Ok(Err(error)) => Err(OriginError::because(kind_of(&error), Advice::new(error.to_string()))),
        Err(_) => Err(OriginError::because(Kind::ConnectTimeout, timed_out())),
    }
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> Result<T, OriginError> {
    match timeout(limit, connecting).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(OriginError::because(kind_of(&error), error)),
        Err(_) => Err(OriginError::because(Kind::ConnectTimeout, timed_out())),
    }
}
