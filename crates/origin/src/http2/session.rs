//! One connection: its handshake, its task, its places.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::error::{Advice, Kind, OriginError};
use crate::http2::exchange::Lane;
use crate::sessions::Sessions;
use crate::socket::{Meter, Socket};
use crate::stream::Stream;
use crate::tls::TlsFailure;

/// How much of a response is taken in before it is read, in bytes: what a slow reader may hold.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for a whole connection: no limit of its own, so that slow readers hold up nobody else's response.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What many small pieces may cost beyond their content, in bytes; past it the connection ends.
const SMALL_PIECES: usize = 32 << 20;
/// How many requests that were given up are remembered, so that what still comes of them is known.
const RESETS: usize = 1024;
/// After so much silence a server that owes a response is asked whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How often a connection is looked at, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What holds for each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The size limit of a response's head, in bytes.
    pub(crate) max_header_bytes: usize,
    /// How long a connection is kept without a request.
    pub(crate) idle_timeout: Duration,
    /// It goes through TLS.
    pub(crate) tls: bool,
}

/// A connection that takes requests. Dropped, it ends with the last of them.
pub(crate) struct Session {
    sender: SendRequest<Bytes>,
    limits: Limits,
    state: Arc<State>,
    peer: Option<SocketAddr>,
}

struct State {
    streams: AtomicUsize,
    /// The server takes no more requests here; those that it has go on.
    closing: AtomicBool,
    ended: AtomicBool,
    /// When the last request ended.
    since: Mutex<Instant>,
}

/// One request's place on a connection; dropped, it is free again.
pub(super) struct Slot(Arc<State>);

impl Slot {
    /// The connection is gone: nobody will say more of it.
    pub(super) fn is_lost(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.touch();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl State {
    /// A panic elsewhere cannot leave a time half written.
    fn touch(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle_for(&self) -> Duration {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Session {
    /// Speaks HTTP/2 on a fresh connection, and awaits the server's first words within `limit`: only they say that it is HTTP/2
    /// at all, and how many requests it takes at a time. `among` is where the connection is kept.
    ///
    /// # Errors
    /// `Protocol` for a server that speaks something else, `Connect…` for none; nothing of a request was sent.
    pub(crate) async fn open(
        stream: Stream,
        limits: Limits,
        limit: Duration,
        among: Weak<Sessions>,
    ) -> Result<Arc<Self>, OriginError> {
        let peer = stream.peer();
        let (socket, meter) = Socket::new(stream);
        let (sender, mut connection) = match builder(limits).handshake(socket).await {
            Ok(made) => made,
            Err(error) => return Err(refused(error, limits)),
        };
        let Some(mut pings) = connection.ping_pong() else {
            return Err(OriginError::because(Kind::Connect, "no pings to be had"));
        };
        match timeout(limit, greeting(&mut connection, &mut pings))
            .await
            .map(|greeted| greeted.map_err(|error| refused(error, limits)))
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(OriginError::because(Kind::ConnectTimeout, io::Error::from(io::ErrorKind::TimedOut))),
        }
        let state = Arc::new(State {
            streams: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            since: Mutex::new(Instant::now()),
        });
        let session = Arc::new(Self { sender, limits, state: state.clone(), peer });
        let watch = Watch { pings, meter, read: 0, quiet_since: Instant::now(), asked: None };
        tokio::spawn(drive(connection, watch, state, limits.idle_timeout, among));
        Ok(session)
    }

    /// A place for a request, where there is room: an idle connection always has some.
    pub(crate) fn lane(&self) -> Option<Box<Lane>> {
        if self.takes_none() {
            return None;
        }
        let taken = self.state.streams.fetch_add(1, Ordering::AcqRel);
        let slot = Slot(self.state.clone());
        let mut sender = self.sender.clone();
        let has_room = taken == 0 || taken < sender.current_max_send_streams();
        // Answers at once: whether the server has said that it takes no more, or the connection has failed.
        let open = matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
        if !open {
            self.state.closing.store(true, Ordering::Release);
        }
        (open && has_room).then(|| Box::new(Lane::new(sender, slot, self.limits)))
    }

    /// The address that it leads to; `None` = to no address.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state.streams.load(Ordering::Acquire) == 0
    }

    /// It takes no more requests, or has had none for so long.
    pub(crate) fn is_over(&self, idle_timeout: Duration) -> bool {
        self.takes_none() || (self.is_idle() && self.state.idle_for() >= idle_timeout)
    }

    fn takes_none(&self) -> bool {
        self.state.closing.load(Ordering::Acquire) || self.state.ended.load(Ordering::Acquire)
    }
}

fn builder(limits: Limits) -> Builder {
    let mut builder = Builder::new();
    // h2 refuses what is larger as malformed; twice as much, so that most of what is too large is told apart here.
    let header_list = limits.max_header_bytes.saturating_mul(2).max(16 << 10);
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(RESETS)
        .data_frame_budget(SMALL_PIECES);
    builder
}

/// The server's settings are the first that it sends (RFC 9113 §3.4), so they are known when it has answered a ping.
async fn greeting(connection: &mut Connection<Socket, Bytes>, pings: &mut PingPong) -> Result<(), h2::Error> {
    pings.send_ping(Ping::opaque())?;
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        match connection.as_mut().poll(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            // It said goodbye.
            Poll::Ready(Ok(())) => return Poll::Ready(Err(h2::Reason::NO_ERROR.into())),
            Poll::Pending => {}
        }
        pings.poll_pong(cx).map_ok(|_| ())
    })
    .await
}

/// A server that takes the connection and then does not speak HTTP/2.
fn refused(error: h2::Error, limits: Limits) -> OriginError {
    match error.get_io().map(io::Error::kind) {
        // TLS 1.3 tells only after the handshake that a client certificate is not accepted; h2 keeps no more than the words.
        Some(io::ErrorKind::InvalidData) if limits.tls => {
            OriginError::because(Kind::Tls, TlsFailure::after_handshake(&error.to_string()))
        }
        Some(_) => OriginError::because(Kind::Connect, error),
        None => {
            let advice = "it does not speak HTTP/2 at this port; `protocol: http1` is for servers that do not";
            OriginError::because(Kind::Protocol, Advice::new(advice))
        }
    }
}

/// Whether a server that owes a response still lives.
struct Watch {
    pings: PingPong,
    meter: Arc<Meter>,
    read: u64,
    quiet_since: Instant,
    asked: Option<Instant>,
}

impl Watch {
    /// False when it has to be given up. Whatever it sends is a sign of life.
    fn lives(&mut self, owes: bool) -> bool {
        let read = self.meter.read();
        if !owes || read != self.read {
            self.read = read;
            self.quiet_since = Instant::now();
            self.asked = None;
            return true;
        }
        if let Some(asked) = self.asked {
            return asked.elapsed() < PONG_WITHIN;
        }
        if self.quiet_since.elapsed() >= PING_AFTER {
            // An answer to an earlier one is due to nobody any more, but has to be taken.
            let _ = self.pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            if self.pings.send_ping(Ping::opaque()).is_ok() {
                self.asked = Some(Instant::now());
            }
        }
        true
    }
}

/// Drives a connection until it ends, the server is found dead, or nobody wants it any more.
async fn drive(
    mut connection: Connection<Socket, Bytes>,
    mut watch: Watch,
    state: Arc<State>,
    idle_timeout: Duration,
    among: Weak<Sessions>,
) {
    let mut looks = interval((idle_timeout / 2).clamp(LOOK.0, LOOK.1));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                tracing::debug!(error = ?ended.err(), "an HTTP/2 connection to an origin ended");
                break;
            }
            _ = looks.tick() => {
                if !watch.lives(state.streams.load(Ordering::Acquire) > 0) {
                    tracing::debug!("a server answers no pings: its HTTP/2 connection is given up");
                    break;
                }
                if let Some(sessions) = among.upgrade() {
                    sessions.tidy(idle_timeout);
                }
            }
        }
    }
    state.ended.store(true, Ordering::Release);
    // The requests that are on it find out by this.
    drop(connection);
    if let Some(sessions) = among.upgrade() {
        sessions.tidy(idle_timeout);
    }
}
