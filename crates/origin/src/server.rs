//! One server of an origin: where it is, and its kept connections.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::connect::Place;
use crate::error::{Kind, OriginError};
use crate::link::Link;
use crate::pool::Pool;
use crate::settings::{OriginSettings, ServerAddress, ServerSettings, Timeouts};

/// A server, ready to be connected to.
pub(crate) struct Server {
    authority: Arc<str>,
    host: HeaderValue,
    place: Place,
    pool: Arc<Pool>,
}

impl Server {
    /// A server as the settings say.
    ///
    /// # Errors
    /// `Settings` for what cannot be spoken to.
    pub(crate) fn new(server: &ServerSettings, settings: &OriginSettings) -> Result<Self, OriginError> {
        let ServerAddress::Http(authority) = &server.address else {
            let what = format!("{}: only http:// servers can be spoken to", server.address);
            return Err(OriginError::because(Kind::Settings, what));
        };
        let host = HeaderValue::from_str(authority.as_str());
        Ok(Self {
            authority: authority.as_str().into(),
            host: host.map_err(|error| OriginError::because(Kind::Settings, error))?,
            place: Place::new(authority.host(), authority.port_u16().unwrap_or(80)),
            pool: Pool::new(settings.max_idle, settings.idle_timeout),
        })
    }

    /// `host[:port]`.
    pub(crate) fn authority(&self) -> &Arc<str> {
        &self.authority
    }

    /// The Host field for a request that has none.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// A kept connection that has been idle for less than `believed`.
    pub(crate) async fn kept(&self, believed: Duration) -> Option<Box<Link>> {
        self.pool.take(believed).await
    }

    /// A new connection.
    pub(crate) async fn connect(
        &self,
        settings: &OriginSettings,
        timeouts: Timeouts,
    ) -> Result<Box<Link>, OriginError> {
        let stream = self.place.connect(timeouts.connect).await;
        let stream = stream.map_err(|error| error.at(&self.authority))?;
        Link::new(stream, settings.max_header_bytes).await
    }

    /// How many connections are kept.
    pub(crate) fn idle(&self) -> usize {
        self.pool.len()
    }

    /// Keeps a connection for another request.
    pub(crate) fn keep(&self, link: Box<Link>) {
        self.pool.put(link);
    }
}
