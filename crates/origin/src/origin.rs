//! An origin: which server gets a request, and when the next one gets it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Request, StatusCode, Version, response};

use crate::body::{OriginBody, Reading};
use crate::call::Call;
use crate::connection::{Connection, Needs};
use crate::error::{Kind, OriginError};
use crate::framing::framed;
use crate::link::Failed;
use crate::request::RequestBody;
use crate::server::Server;
use crate::servers::{Lease, Servers, Wanted};
use crate::settings::{OriginSettings, Timeouts};
use crate::status::OriginStatus;
use crate::upgrade::{self, Upgrading};

/// How long an idle connection is believed to be still open, by a request that cannot be sent twice. Servers close idle connections
/// after some seconds, and a request that meets the close on its way is lost (RFC 9112 §9.5).
const BELIEVED: Duration = Duration::from_secs(1);

/// The servers behind one name.
pub struct Origin {
    settings: OriginSettings,
    servers: Arc<Servers>,
}

/// A response as a connection gives it.
type Answer = (response::Parts, Reading, Option<Upgrading>);

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
        Ok(Arc::new(Self { servers: Servers::new(&settings)?, settings }))
    }

    /// The origin's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The limits of time that hold where a [`Call`] has none of its own.
    pub fn timeouts(&self) -> &Timeouts {
        &self.settings.timeouts
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
        let twice = request.method().is_idempotent() && !matches!(request.body(), RequestBody::Stream(_));
        let believed = if twice { Duration::MAX } else { BELIEVED };
        let needs = Needs::of(&request, &call);
        let session = self.servers.session(request.headers());
        let wanted = Wanted { hash: call.hash, session, twice, tried: &[] };
        let mut lease = self.servers.pick(&wanted).await?.ok_or_else(|| OriginError::new(Kind::NoServer))?;
        let mut tried = Vec::new();
        let mut may_be_kept = true;
        loop {
            let server = lease.server();
            let kept = match may_be_kept {
                true => server.kept(believed, needs).await,
                false => None,
            };
            let was_kept = kept.is_some();
            let Failed { error, again } = match self.try_at(server, kept, request, &call, timeouts, needs).await {
                Ok(answer) => return Ok(self.answered(answer, lease, timeouts)),
                Err(failed) => failed,
            };
            let kind = error.kind();
            tracing::debug!(origin = self.name(), server = &**server.authority(), %kind, was_kept, "exchange failed");
            let error = error.at(server.authority());
            request = match again {
                // That a kept connection was closed says nothing about its server: it costs no try, but from now on
                // only a fresh connection will do.
                Some(again) if was_kept => {
                    may_be_kept = false;
                    again
                }
                Some(again) if tried.len() < self.settings.retry.tries => {
                    tried.push(lease.index());
                    lease.failed(kind);
                    lease = match self.servers.pick(&Wanted { tried: &tried, ..wanted }).await {
                        Ok(Some(next)) => next,
                        Ok(None) | Err(_) => return Err(error),
                    };
                    again
                }
                _ => {
                    if !(was_kept && kind == Kind::Closed) {
                        lease.failed(kind);
                    }
                    return Err(error);
                }
            };
        }
    }

    fn answered(&self, answer: Answer, mut lease: Lease, timeouts: Timeouts) -> OriginResponse {
        let (parts, reading, upgrade) = answer;
        lease.answered(parts.status);
        self.servers.learn(&lease, &parts.headers);
        let server = lease.server().authority().clone();
        let (upgrade, lease) = match upgrade {
            Some(upgrade) => (Some(upgrade::leased(upgrade, lease)), None),
            None => (None, Some(lease)),
        };
        OriginResponse {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            body: OriginBody::new(reading, timeouts.between_bytes, lease),
            upgrade,
            server,
        }
    }

    /// Takes a server out: requests under way are finished, sessions move to other servers. By its name in
    /// [`ServerStatus`](crate::ServerStatus); false when there is none of it.
    pub fn drain(&self, server: &str) -> bool {
        self.servers.drain(server, true)
    }

    /// Takes a drained server back in; it works its way up to its share. False when there is none of this name.
    pub fn resume(&self, server: &str) -> bool {
        self.servers.drain(server, false)
    }

    /// Goes on from what `before` knows of the servers that are here too: who is out and why, what was counted, requests
    /// under way, and which sessions live where. To be called before the first request is sent.
    pub fn adopt(&self, before: &Self) {
        self.servers.adopt(&before.servers);
    }

    /// Which server a request would be sent to at this moment, `host[:port]`; `None` when none has room. That is a turn.
    pub fn candidate(&self, call: &Call) -> Option<Arc<str>> {
        let wanted = Wanted { hash: call.hash, twice: true, ..Wanted::default() };
        self.servers.try_pick(&wanted).map(|lease| lease.server().authority().clone())
    }

    /// What is known of its servers.
    pub fn status(&self) -> OriginStatus {
        self.servers.status()
    }

    /// How many connections without a request there are, for each server.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Vec<usize> {
        self.servers.members().iter().map(|member| member.server().idle()).collect()
    }

    async fn try_at(
        &self,
        server: &Arc<Server>,
        kept: Option<Connection>,
        mut request: Box<Request<RequestBody>>,
        call: &Call,
        timeouts: Timeouts,
        needs: Needs,
    ) -> Result<Answer, Failed> {
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
        connection.exchange(request, call.on_interim.as_ref(), timeouts.first_byte, server).await
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
