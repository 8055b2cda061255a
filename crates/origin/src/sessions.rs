//! The HTTP/2 connections of one server: few, each for many requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::dial::Dial;
use crate::error::{Kind, OriginError};
use crate::http2::{Lane, Limits, Session};
use crate::link::Link;
use crate::settings::{OriginSettings, Timeouts};
use crate::stream::Stream;
use crate::tls::Offer;

/// The connections that are open, and the one that is being made.
pub(crate) struct Sessions {
    offer: Offer,
    dial: Arc<Dial>,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Vec<Arc<Session>>,
    attempt: Option<Attempt>,
    /// The server chose HTTP/1.1 the last time: there is nothing to be shared, so nobody waits for anybody.
    speaks_http1: bool,
}

/// How a connection that several wait for is getting on: `None` while it is being made.
type Attempt = watch::Receiver<Option<Result<(), OriginError>>>;

/// What a server has agreed to speak.
pub(crate) enum Agreed {
    Http1(Box<Link>),
    Http2(Box<Lane>),
}

impl Sessions {
    pub(crate) fn new(offer: Offer, dial: &Arc<Dial>, settings: &OriginSettings) -> Arc<Self> {
        let limits = Limits {
            max_header_bytes: settings.max_header_bytes,
            idle_timeout: settings.idle_timeout,
            tls: dial.is_tls(),
        };
        Arc::new(Self { offer, dial: dial.clone(), limits, state: Mutex::default() })
    }

    /// HTTP/1.1 is no way out.
    pub(crate) fn is_only_http2(&self) -> bool {
        self.offer == Offer::Http2
    }

    /// A place on an open connection that has room.
    pub(crate) fn lane(&self) -> Option<Box<Lane>> {
        self.lock().lane(&self.dial)
    }

    /// A place on a new connection, or on one that is being made, or one that got room meanwhile.
    pub(crate) async fn connect(self: &Arc<Self>, timeouts: Timeouts) -> Result<Agreed, OriginError> {
        // The one who began it may have had more time to spend than this one has.
        let limit = timeouts.connect.saturating_add(timeouts.connect).saturating_add(timeouts.tls);
        match timeout(limit, self.shared(timeouts)).await {
            Ok(agreed) => agreed,
            Err(_) => Err(OriginError::new(Kind::ConnectTimeout)),
        }
    }

    async fn shared(self: &Arc<Self>, timeouts: Timeouts) -> Result<Agreed, OriginError> {
        loop {
            let (mut attempt, own) = {
                let mut state = self.lock();
                if let Some(lane) = state.lane(&self.dial) {
                    return Ok(Agreed::Http2(lane));
                }
                if state.speaks_http1 {
                    break;
                }
                match &state.attempt {
                    Some(attempt) => (attempt.clone(), false),
                    None => (state.attempt.insert(self.attempt(timeouts)).clone(), true),
                }
            };
            match attempt.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
                // Somebody else's patience was at an end, this one's may not be.
                Ok(Some(Err(error))) if !own && matches!(error.kind(), Kind::ConnectTimeout | Kind::TlsTimeout) => {}
                Ok(Some(Err(error))) => return Err(error),
                Ok(_) => {}
                // The runtime is shutting down.
                Err(_) => return Err(OriginError::new(Kind::Connect)),
            }
        }
        self.direct(timeouts).await
    }

    /// Makes a connection in a task of its own: whoever asked for it first may leave, the others wait on.
    fn attempt(self: &Arc<Self>, timeouts: Timeouts) -> Attempt {
        let (told, attempt) = watch::channel(None);
        let sessions = self.clone();
        tokio::spawn(async move {
            let made = sessions.make(timeouts).await;
            let mut state = sessions.lock();
            state.attempt = None;
            let outcome = made.map(|session| match session {
                Some(session) => state.open.push(session),
                None => state.speaks_http1 = true,
            });
            drop(state);
            told.send_replace(Some(outcome));
        });
        attempt
    }

    /// `None` where the server chose HTTP/1.1: such a connection serves one request, so each makes its own.
    async fn make(self: &Arc<Self>, timeouts: Timeouts) -> Result<Option<Arc<Session>>, OriginError> {
        let (stream, http2) = self.dial.dial(None, self.offer, &timeouts).await?;
        match http2 || self.is_only_http2() {
            true => Ok(Some(self.session(stream, &timeouts, Arc::downgrade(self)).await?)),
            false => Ok(None),
        }
    }

    /// A connection for one request, where the server is not expected to choose HTTP/2; it may.
    async fn direct(self: &Arc<Self>, timeouts: Timeouts) -> Result<Agreed, OriginError> {
        let (stream, http2) = self.dial.dial(None, self.offer, &timeouts).await?;
        if !http2 {
            return Ok(Agreed::Http1(Link::new(stream, self.limits.max_header_bytes).await?));
        }
        let session = self.session(stream, &timeouts, Arc::downgrade(self)).await?;
        let lane = session.lane();
        let mut state = self.lock();
        state.speaks_http1 = false;
        state.open.push(session);
        lane.map(Agreed::Http2).ok_or_else(|| OriginError::new(Kind::Connect))
    }

    /// A connection for this client's one request, kept for nobody.
    pub(crate) async fn alone(
        &self,
        client: Option<(SocketAddr, SocketAddr)>,
        timeouts: Timeouts,
    ) -> Result<Connection, OriginError> {
        let (stream, http2) = self.dial.dial(client, self.offer, &timeouts).await?;
        if !http2 && !self.is_only_http2() {
            let mut link = Link::new(stream, self.limits.max_header_bytes).await?;
            link.never_keep();
            return Ok(Connection::Http1(link));
        }
        let session = self.session(stream, &timeouts, Weak::new()).await?;
        session.lane().map(Connection::Http2).ok_or_else(|| OriginError::new(Kind::Connect))
    }

    async fn session(
        &self,
        stream: Stream,
        timeouts: &Timeouts,
        among: Weak<Self>,
    ) -> Result<Arc<Session>, OriginError> {
        Session::open(stream, self.limits, timeouts.connect, among).await
    }

    /// Lets go of connections that have ended, lead to where the server no longer is, or have had no request for too long. The connection closes with its last request.
    pub(crate) fn tidy(&self, idle_timeout: Duration) {
        let mut state = self.lock();
        let gone: Vec<_> = state
            .open
            .extract_if(.., |session| session.is_over(idle_timeout) || !self.dial.leads_to(session.peer()))
            .collect();
        drop(state);
        drop(gone);
    }

    /// How many connections have no request.
    pub(crate) fn idle(&self) -> usize {
        self.lock().open.iter().filter(|session| session.is_idle()).count()
    }

    /// A panic elsewhere cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest connection with room first, so that the others may end.
    fn lane(&mut self, dial: &Dial) -> Option<Box<Lane>> {
        self.open.iter().filter(|session| dial.leads_to(session.peer())).find_map(|session| session.lane())
    }
}
