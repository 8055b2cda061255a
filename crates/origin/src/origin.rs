//! An origin: the servers behind one name, and the way in.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode, Version};

use crate::body::OriginBody;
use crate::budget::Repeats;
use crate::call::Call;
use crate::error::{Kind, OriginError};
use crate::health::Checks;
use crate::request::RequestBody;
use crate::send::Sending;
use crate::servers::{Servers, Wanted};
use crate::settings::{OriginSettings, Timeouts};
use crate::status::OriginStatus;
use crate::upgrade::Upgrading;

/// The servers behind one name.
pub struct Origin {
    pub(crate) settings: OriginSettings,
    pub(crate) servers: Arc<Servers>,
    pub(crate) repeats: Repeats,
    checks: Checks,
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

/// A request that is ready to be sent: see [`Origin::ready`].
pub struct ReadyRequest<'a> {
    sending: Sending<'a>,
    /// None once it was sent.
    request: Option<Box<Request<RequestBody>>>,
}

impl ReadyRequest<'_> {
    /// As [`Origin::send_with`]. It is sent once only.
    ///
    /// # Errors
    /// As [`Origin::send`]; [`Kind::Request`](crate::Kind::Request) for the second time.
    pub async fn send(&mut self) -> Result<OriginResponse, OriginError> {
        let request = self.request.take().ok_or_else(|| OriginError::because(Kind::Request, "it was sent before"))?;
        Ok(*self.sending.run(request).await?)
    }
}

impl Origin {
    /// An origin with these settings. Within a tokio runtime its servers are checked from now on, if they are to be, until it is
    /// dropped; otherwise from the first request on.
    ///
    /// # Errors
    /// [`Kind::Settings`](crate::Kind::Settings) when there is no server, or one cannot be used.
    pub fn new(settings: OriginSettings) -> Result<Arc<Self>, OriginError> {
        Self::build(settings).map(Self::begun)
    }

    /// As [`new`](Self::new), in place of `before`: goes on from what that knows of the servers that are here too, before
    /// the first check. That is who is out and why, what checks found, what was counted, requests under way, and which sessions
    /// live where.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn replacing(before: &Self, settings: OriginSettings) -> Result<Arc<Self>, OriginError> {
        let origin = Self::build(settings)?;
        origin.servers.adopt(&before.servers);
        origin.repeats.adopt(&before.repeats);
        Ok(Self::begun(origin))
    }

    fn build(settings: OriginSettings) -> Result<Self, OriginError> {
        let checks = Checks::new(&settings)?;
        let repeats = Repeats::new(settings.retry.budget);
        Ok(Self { servers: Servers::new(&settings)?, repeats, checks, settings })
    }

    fn begun(self) -> Arc<Self> {
        let origin = Arc::new(self);
        origin.checks.start(&origin.servers);
        origin
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
    /// Another server gets the request when no connection can be established (any method: nothing was sent), or, where the
    /// method is idempotent (RFC 9110 §9.2.2) and the body can be sent again, when there is no answer, one that is not HTTP, one of
    /// [`Retry::statuses`](crate::Retry::statuses), or one that breaks off while it is held ([`Retry::hold`](crate::Retry::hold)):
    /// [`Retry::tries`](crate::Retry::tries) times, as far as the [budget](crate::Retry::budget) goes; also when its server is left out while
    /// it waits for the first byte. That a kept connection turns out to have been closed (RFC 9112 §9.3.1) costs nothing of this, and up to
    /// three servers that cannot be connected to cost no try. Interim responses may come from each server that was tried.
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
        let mut ready = self.ready(request, call)?;
        ready.send().await
    }

    /// Makes a request ready to be sent: what [`send_with`](Self::send_with) does before it waits for anything. Whoever sends within a
    /// future of its own does not carry the request twice this way.
    ///
    /// # Errors
    /// [`Kind::Request`](crate::Kind::Request) for what cannot be sent.
    pub fn ready(&self, request: Request<RequestBody>, call: Call) -> Result<ReadyRequest<'_>, OriginError> {
        self.checks.start(&self.servers);
        self.repeats.request();
        let (sending, request) = Sending::new(self, request, call)?;
        Ok(ReadyRequest { sending, request: Some(request) })
    }

    /// Takes a server out: requests under way are finished, sessions move to other servers. By its name in
    /// [`ServerStatus`](crate::ServerStatus), or by its URL as in the settings; false when there is none of it.
    pub fn drain(&self, server: &str) -> bool {
        self.servers.drain(server, true)
    }

    /// Takes a drained server back in; it works its way up to its share. False when there is none of this name.
    pub fn resume(&self, server: &str) -> bool {
        self.servers.drain(server, false)
    }

    /// Which server a request would be sent to at this moment, `host[:port]`; `None` when none has room. That is a turn.
    pub fn candidate(&self, call: &Call) -> Option<Arc<str>> {
        let wanted = Wanted { hash: call.hash, twice: true, ..Wanted::default() };
        self.servers.try_pick(&wanted).map(|lease| lease.server().authority().clone())
    }

    /// What is known of its servers.
    pub fn status(&self) -> OriginStatus {
        let (retries, retries_denied) = self.repeats.totals();
        OriginStatus { retries, retries_denied, ..self.servers.status() }
    }

    /// How many connections without a request there are, for each server.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Vec<usize> {
        self.servers.members().iter().map(|member| member.server().idle()).collect()
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&self.settings).finish()
    }
}

impl fmt::Debug for ReadyRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyRequest").field("request", &self.request).finish_non_exhaustive()
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
