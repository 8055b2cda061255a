//! An origin: which server gets a request, and when the next one gets it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Request, StatusCode, Version};

use crate::body::OriginBody;
use crate::call::Call;
use crate::connection::{Connection, Needs};
use crate::error::{Kind, OriginError};
use crate::framing::framed;
use crate::link::Failed;
use crate::request::RequestBody;
use crate::server::Server;
use crate::settings::{OriginSettings, ServerAddress, Timeouts};
use crate::tls::Trust;
use crate::upgrade::Upgrading;

/// How long an idle connection is believed to be still open, by a request that cannot be sent twice. Servers close idle connections
/// after some seconds, and a request that meets the close on its way is lost (RFC 9112 §9.5).
const BELIEVED: Duration = Duration::from_secs(1);

/// The servers behind one name.
pub struct Origin {
    settings: OriginSettings,
    servers: Vec<Arc<Server>>,
    turn: AtomicUsize,
}

/// The head of an origin's response, and its body as it comes.
pub struct OriginResponse {
    /// The final status, or 101. For other interim responses (1xx) see [`Call::on_interim`].
    pub status: StatusCode,
    /// The version that the server speaks.
    pub version: Version,
    /// The header fields as received, but no `Content-Length` beside a `Transfer-Encoding` (RFC 9112 §6.3).
    pub headers: HeaderMap,
    /// The content, without its framing.
    pub body: OriginBody,
    /// The connection after a 101.
    pub upgrade: Option<Upgrading>,
    /// The server that answered, `host[:port]`.
    pub server: Arc<str>,
}

impl Origin {
    /// An origin with these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Kind::Settings`] when there is no server, or one cannot be used.
    pub fn new(settings: OriginSettings) -> Result<Arc<Self>, OriginError> {
        if settings.servers.is_empty() {
            return Err(OriginError::because(Kind::Settings, "an origin has at least one server"));
        }
        let https = settings.servers.iter().any(|server| matches!(server.address, ServerAddress::Https(_)));
        let trust = https.then(|| Trust::new(&settings.tls)).transpose()?;
        let servers =
            settings.servers.iter().map(|server| Server::new(server, &settings, trust.as_ref()).map(Arc::new));
        Ok(Arc::new(Self { servers: servers.collect::<Result<_, _>>()?, settings, turn: AtomicUsize::new(0) }))
    }

    /// The origin's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Sends a request to the server whose turn it is and waits for the head of the response.
    ///
    /// The target is in origin form (`/path?query`, or `*`); hop-by-hop fields are as the caller wants them, the framing is
    /// made here: a stream keeps its `Content-Length` or goes in chunks. `Expect: 100-continue` does not hold the body back.
    ///
    /// The next server gets the request when no connection can be established (any method: nothing was sent), or, where the
    /// method is idempotent (RFC 9110 §9.2.2) and the body can be sent again, when a kept connection turns out to have been
    /// closed before the first byte of a response (RFC 9112 §9.3.1).
    ///
    /// A request that cannot be sent twice (another method, or a streamed body) takes a kept connection only where that was
    /// used within the last second: an older one may just be being closed by the server.
    ///
    /// Dropping the future gives the exchange up and closes its connection.
    ///
    /// # Errors
    /// [`OriginError`] of the last server that was tried.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<OriginResponse, OriginError> {
        self.send_with(request, Call::default()).await
    }

    /// As [`send`](Self::send), in the way of `call`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_with(&self, request: Request<RequestBody>, call: Call) -> Result<OriginResponse, OriginError> {
        let timeouts = call.timeouts.unwrap_or(self.settings.timeouts);
        let mut request = framed(request)?;
        let mut turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut tries_left = self.settings.retry.tries.min(self.servers.len() - 1);
        let mut may_be_kept = true;
        let twice = request.method().is_idempotent() && !matches!(request.body(), RequestBody::Stream(_));
        let believed = if twice { Duration::MAX } else { BELIEVED };
        let needs = Needs::of(&request, &call);
        loop {
            let server = &self.servers[turn % self.servers.len()];
            let kept = match may_be_kept {
                true => server.kept(believed, needs).await,
                false => None,
            };
            let was_kept = kept.is_some();
            let Failed { error, again } = match self.try_at(server, kept, request, &call, timeouts, needs).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let kind = error.as_str();
            tracing::debug!(origin = self.name(), server = &**server.authority(), kind, was_kept, "exchange failed");
            request = match again {
                // That a kept connection was closed says nothing about its server: it costs no try, but from now on
                // only a fresh connection will do.
                Some(again) if was_kept => again,
                Some(again) if tries_left > 0 => {
                    tries_left -= 1;
                    again
                }
                _ => return Err(error.at(server.authority())),
            };
            may_be_kept &= !was_kept;
            turn = turn.wrapping_add(1);
        }
    }

    /// How many connections without a request there are, for each server.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.idle()).collect()
    }

    async fn try_at(
        &self,
        server: &Arc<Server>,
        kept: Option<Connection>,
        mut request: Box<Request<RequestBody>>,
        call: &Call,
        timeouts: Timeouts,
        needs: Needs,
    ) -> Result<OriginResponse, Failed> {
        let connection = match kept {
            Some(mut connection) => {
                // Only here: a fresh connection cannot have been closed by habit.
                connection.remember(&request);
                connection
            }
            // Boxed: it is the rare way, and large; every request would carry its size.
            None => match Box::pin(server.connect(&self.settings, timeouts, needs)).await {
                Ok(connection) => connection,
                Err(error) => return Err(Failed::unsent(error, request)),
            },
        };
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, server.host().clone());
        }
        let (parts, reading, upgrade) =
            connection.exchange(request, call.on_interim.as_ref(), timeouts.first_byte, server).await?;
        Ok(OriginResponse {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            body: OriginBody::new(reading, timeouts.between_bytes),
            upgrade,
            server: server.authority().clone(),
        })
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&self.settings).finish()
    }
}

impl fmt::Debug for OriginResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginResponse")
            .field("status", &self.status)
            .field("server", &self.server)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .field("upgrade", &self.upgrade.is_some())
            .finish()
    }
}
