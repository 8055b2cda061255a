//! One server of an origin: where it is, and its kept connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;

use crate::connect::Place;
use crate::connection::{Connection, Needs};
use crate::dial::{Dial, Target};
use crate::error::{Kind, OriginError};
use crate::link::Link;
use crate::pool::Pool;
use crate::resolve::Resolver;
use crate::sessions::{Agreed, Sessions};
use crate::settings::{OriginSettings, Protocol, ServerAddress, ServerSettings, Timeouts};
use crate::stranger;
use crate::tls::{Offer, Tls, Trust};

/// A server, ready to be connected to.
pub(crate) struct Server {
    authority: Arc<str>,
    host: HeaderValue,
    dial: Arc<Dial>,
    pool: Arc<Pool>,
    /// Where HTTP/2 may be spoken.
    sessions: Option<Arc<Sessions>>,
    /// It has answered in HTTP/1.1 before: how it is spoken to is right.
    has_answered: AtomicBool,
}

impl Server {
    /// A server as the settings say; `trust` is what the `https` ones have in common.
    ///
    /// # Errors
    /// `Settings` for what cannot be spoken to.
    pub(crate) fn new(
        server: &ServerSettings,
        settings: &OriginSettings,
        resolver: &Arc<Resolver>,
        trust: Option<&Arc<Trust>>,
    ) -> Result<Self, OriginError> {
        let pool = Pool::new(settings.max_idle, settings.idle_timeout);
        let tcp = |authority: &Authority, port: u16| {
            let kept = pool.clone();
            let on_change = Box::new(move |addresses: &[SocketAddr]| kept.only(addresses));
            let port = authority.port_u16().unwrap_or(port);
            Target::Tcp(Place::new(authority.host(), port, &settings.names, resolver.clone(), on_change))
        };
        let (host, socket, tls) = match &server.address {
            ServerAddress::Http(authority) => (authority.as_str(), tcp(authority, 80), None),
            ServerAddress::Https(authority) => {
                let trust = trust.ok_or_else(|| OriginError::because(Kind::Settings, "TLS without its settings"))?;
                (authority.as_str(), tcp(authority, 443), Some(Tls::new(trust, authority.host())?))
            }
            // A path is no host: what curl says of such a server.
            ServerAddress::Unix(path) => ("localhost", Target::Unix(path.clone()), None),
        };
        let dial = Arc::new(Dial::new(socket, settings.proxy_protocol, tls));
        let offer = match settings.protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => Some(Offer::Http2),
            // Without TLS nobody asks which it is to be.
            Protocol::Auto => dial.is_tls().then_some(Offer::Either),
        };
        Ok(Self {
            authority: server.address.name().into(),
            host: HeaderValue::from_str(host).map_err(|error| OriginError::because(Kind::Settings, error))?,
            pool,
            sessions: offer.map(|offer| Sessions::new(offer, &dial, settings)),
            dial,
            has_answered: AtomicBool::new(false),
        })
    }

    /// `host[:port]`, or `unix:/path`.
    pub(crate) fn authority(&self) -> &Arc<str> {
        &self.authority
    }

    /// The Host field for a request that has none.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// A kept connection: of HTTP/1.1, one that has been idle for less than `believed`.
    pub(crate) async fn kept(&self, believed: Duration, needs: Needs) -> Option<Connection> {
        if self.is_one_clients(needs) {
            return None;
        }
        if let Some(sessions) = &self.sessions
            && !needs.upgrade
            && let Some(lane) = sessions.lane()
        {
            return Some(Connection::Http2(lane));
        }
        self.pool.take(believed).await.map(Connection::Http1)
    }

    /// A new connection, or a place on one that is being made.
    ///
    /// # Errors
    /// `Dns`, `Connect…`, `Tls…`; `Settings` for an upgrade where there is only HTTP/2.
    pub(crate) async fn connect(
        &self,
        settings: &OriginSettings,
        timeouts: Timeouts,
        needs: Needs,
    ) -> Result<Connection, OriginError> {
        let connected = match &self.sessions {
            None => self.link(settings, timeouts, needs).await,
            Some(sessions) if needs.upgrade => match sessions.is_only_http2() {
                false => self.link(settings, timeouts, needs).await,
                true => {
                    let what = "an upgrade (WebSocket) needs HTTP/1.1: say `protocol: http1`, or `auto` with https";
                    Err(OriginError::because(Kind::Settings, what))
                }
            },
            Some(sessions) if self.is_one_clients(needs) => sessions.alone(needs.client, timeouts).await,
            Some(sessions) => match sessions.connect(timeouts).await {
                Ok(Agreed::Http2(lane)) => Ok(Connection::Http2(lane)),
                Ok(Agreed::Http1(link)) => Ok(Connection::Http1(link)),
                Err(error) => Err(error),
            },
        };
        connected.map_err(|error| error.at(&self.authority))
    }

    async fn link(
        &self,
        settings: &OriginSettings,
        timeouts: Timeouts,
        needs: Needs,
    ) -> Result<Connection, OriginError> {
        let (stream, _) = self.dial.dial(needs.client, Offer::Http1, &timeouts).await?;
        let mut link = Link::new(stream, settings.max_header_bytes);
        if self.is_one_clients(needs) {
            link.never_keep();
        }
        Ok(Connection::Http1(link))
    }

    /// A new connection for one request, kept for nobody: a check's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(crate) async fn connect_once(
        &self,
        settings: &OriginSettings,
        timeouts: Timeouts,
    ) -> Result<Connection, OriginError> {
        match &self.sessions {
            Some(sessions) => sessions.alone(None, timeouts).await,
            None => self.link(settings, timeouts, Needs::default()).await,
        }
    }

    /// The server was told whose the connection is: it is nobody else's.
    fn is_one_clients(&self, needs: Needs) -> bool {
        needs.client.is_some() && self.dial.is_told()
    }

    /// It answered in HTTP/1.1.
    pub(crate) fn answered(&self) {
        // Written once: it is read for each response, by every thread.
        if !self.has_answered.load(Ordering::Relaxed) {
            self.has_answered.store(true, Ordering::Relaxed);
        }
    }

    /// The error of an exchange in HTTP/1.1 with what came of a response; with advice, where the server has never answered.
    pub(crate) fn explained(&self, error: OriginError, input: &[u8]) -> OriginError {
        match self.has_answered.load(Ordering::Relaxed) {
            true => error,
            false => stranger::advised(error, input, self.dial.question()),
        }
    }

    /// Begins with what is known of the same server in other settings; only before the first request.
    pub(crate) fn adopt(&self, before: &Self) {
        if self.dial.opens_like(&before.dial) && before.has_answered.load(Ordering::Relaxed) {
            self.answered();
        }
        self.dial.adopt(&before.dial);
    }

    /// The addresses of its name as last resolved.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.dial.addresses()
    }

    /// How many connections are kept.
    pub(crate) fn idle(&self) -> usize {
        self.pool.len() + self.sessions.as_ref().map_or(0, |sessions| sessions.idle())
    }

    /// Keeps a connection for another request.
    pub(crate) fn keep(&self, link: Box<Link>) {
        self.pool.put(link);
    }
}
