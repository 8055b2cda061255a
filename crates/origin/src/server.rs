//! One server of an origin: where it is, and its kept connections.

use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};

use crate::connect::Place;
use crate::error::{Kind, OriginError};
use crate::link::Link;
use crate::pool::Pool;
use crate::settings::OriginSettings;

/// A server, ready to be connected to.
pub(crate) struct Server {
    authority: Arc<str>,
    host: HeaderValue,
    place: Place,
    pool: Arc<Pool>,
}

impl Server {
    /// From `http://HOST[:PORT]`.
    ///
    /// # Errors
    /// `Settings` for another scheme, a path, user information, or no host.
    pub(crate) fn new(uri: &Uri, settings: &OriginSettings) -> Result<Self, OriginError> {
        let wrong = |what: &str| OriginError::because(Kind::Settings, format!("{uri}: {what}"));
        let authority = uri.authority().ok_or_else(|| wrong("a server has a host"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("a server's URL begins with http://"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("a server's URL has no path"));
        }
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong("a server's URL has a host and no user"));
        }
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
    pub(crate) async fn connect(&self, settings: &OriginSettings) -> Result<Box<Link>, OriginError> {
        let stream = self.place.connect(settings.connect_timeout).await;
        let stream = stream.map_err(|error| error.at(&self.authority))?;
        Link::new(stream, settings.max_header_bytes).await
    }

    /// How many connections are kept.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.pool.len()
    }

    /// Keeps a connection for another request.
    pub(crate) fn keep(&self, link: Box<Link>) {
        self.pool.put(link);
    }
}
