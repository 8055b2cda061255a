//! Accepts connections and speaks HTTP/1.1 on them (RFC 9112). The only file that names hyper's server.

mod cut;
mod interim;
mod patience;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use copal_origin::{RequestBody, Upgraded, Upgrading};
use copal_policy::Limits;
use copal_proxy::{BodyError, ClientInfo, Handling, Proxy};
use http::{Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::telemetry::ConnectionCounts;
use cut::Told;
use interim::{InterimIo, Line, Requests};
use patience::{ClientBody, ClientIo, HeadTimer, Patience, Waits};

/// Connections that the system may hold ready for `accept`.
const BACKLOG: u32 = 4_096;

/// Pause after `accept` failed for want of something (file descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time between two warnings of the same kind.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// More fields than this make hyper allocate for each request, fewer do not.
const USUAL_FIELDS: usize = 100;

/// The smallest read buffer that hyper takes is 8 KiB; below this a long body is read in needlessly small pieces.
const LEAST_BUFFER: usize = 64 * 1024;

/// Answers requests.
pub trait Service: Clone + Send + Sync + 'static {
    /// The response body.
    type Body: http_body::Body<Data = Bytes, Error = BodyError> + Send + Unpin + 'static;
    /// The response to come.
    type Answer: Future<Output = Response<Self::Body>> + Send + Unpin + 'static;

    /// Begins to answer one request.
    fn answer(&self, request: Request<RequestBody>, client: ClientInfo) -> Self::Answer;
}

impl Service for Arc<Proxy> {
    type Body = copal_proxy::Body;
    type Answer = Handling;

    fn answer(&self, request: Request<RequestBody>, client: ClientInfo) -> Handling {
        self.handle(request, client)
    }
}

/// Tells listeners and their connections to come to an end.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    told: Notify,
}

impl Drain {
    /// From now on nothing new is accepted; what is under way is finished.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    /// Whether it has begun.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Waits until it begins.
    pub async fn wait(&self) {
        let mut told = pin!(self.told.notified());
        // Registered before the flag is read, so that no call is missed.
        told.as_mut().enable();
        if !self.begun() {
            told.await;
        }
    }
}

/// What the connections of a listener are held to.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Sizes and times of requests.
    pub limits: Limits,
    /// Room for connections, shared by listeners that are limited together.
    pub room: Arc<Semaphore>,
    /// Where connections are counted.
    pub counts: Arc<ConnectionCounts>,
    /// How long connections may take to finish once a drain has begun.
    pub drain_limit: Duration,
}

/// A bound listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 lets the system choose. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or not allowed.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A restart need not wait for the connections of the process before to time out.
            socket.set_reuseaddr(true)?;
            // Accepted sockets inherit it: a WebSocket whose client is gone without a word ends by and by.
            socket.set_keepalive(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            Ok(Self { address: socket.local_addr()?, socket })
        };
        bind().map_err(|source| BindError { address, source })
    }

    /// Where it listens; with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `drain` begins and the connections are finished, or cut off after the limit. Dropping it cuts them
    /// off at once.
    pub async fn serve<S: Service>(self, service: S, terms: Terms, drain: Arc<Drain>) {
        let mut connections = JoinSet::new();
        let http = builder(&terms.limits);
        let mut warned = None;
        loop {
            // A connection that cannot be served yet waits in the system's queue.
            let accepted = tokio::select! {
                biased;
                () = drain.wait() => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.socket, &terms, &mut warned) => accepted,
            };
            match accepted {
                Ok(client) => {
                    let (service, http, drain) = (service.clone(), http.clone(), Arc::clone(&drain));
                    connections.spawn(serve_connection(client, service, http, terms.limits, drain));
                }
                Err(error) => refused(&error, &terms, &drain, &mut warned).await,
            }
        }
        drop(self.socket);
        let finish = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(terms.drain_limit, finish).await.is_err() {
            tracing::warn!(address = %self.address, connections = connections.len(), "drain limit reached: connections cut off");
        }
    }
}

/// A client that connected.
struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// Its place among the connections. Kept with the socket, so that an upgraded connection counts too.
struct Place {
    _room: OwnedSemaphorePermit,
    counts: Arc<ConnectionCounts>,
}

impl Place {
    fn new(room: OwnedSemaphorePermit, counts: &Arc<ConnectionCounts>) -> Self {
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        counts.open.fetch_add(1, Ordering::Relaxed);
        Self { _room: room, counts: Arc::clone(counts) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(socket: &TcpListener, terms: &Terms, warned: &mut Option<Instant>) -> io::Result<Client> {
    let room = match Arc::clone(&terms.room).try_acquire_owned() {
        Ok(room) => room,
        Err(_) => {
            if due(warned) {
                tracing::warn!(
                    limit = terms.limits.connections,
                    "all connections are in use; new clients wait (limits.connections)"
                );
            }
            Arc::clone(&terms.room).acquire_owned().await.map_err(io::Error::other)?
        }
    };
    let (stream, peer) = socket.accept().await?;
    Ok(Client { stream, peer, place: Place::new(room, &terms.counts) })
}

/// `accept` failed. A connection that was gone before it was accepted is nobody's trouble; when the system lacks
/// something, trying again at once would only burn the processor.
async fn refused(error: &io::Error, terms: &Terms, drain: &Drain, warned: &mut Option<Instant>) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    terms.counts.accept_errors.fetch_add(1, Ordering::Relaxed);
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return;
    }
    if due(warned) {
        tracing::error!(%error, "cannot accept connections; trying again (is the limit of open files too low?)");
    }
    // Ends early when the drain begins; the caller sees that by itself.
    let _ = tokio::time::timeout(ACCEPT_PAUSE, drain.wait()).await;
}

fn due(warned: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let due = warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
    if due {
        *warned = Some(now);
    }
    due
}

/// A request head beyond these limits is answered 431 (or 414), one that cannot be understood 400; hyper does it, and
/// no such request is seen by a [`Service`].
fn builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(LEAST_BUFFER))
        .header_read_timeout(limits.header_timeout);
    if limits.headers != USUAL_FIELDS {
        http.max_headers(limits.headers);
    }
    http
}

/// One connection from its first byte to its last, or until it becomes another protocol's.
async fn serve_connection<S: Service>(
    client: Client,
    service: S,
    mut http: http1::Builder,
    limits: Limits,
    drain: Arc<Drain>,
) {
    let Client { stream, peer, place } = client;
    let local = stream.local_addr().ok();
    // Small responses must not wait for the client's acknowledgement. A socket that is gone already fails soon enough.
    let _ = stream.set_nodelay(true);
    let waits = Arc::<Waits>::default();
    let (io, timer) = (ClientIo::new(stream, place, Arc::clone(&waits)), HeadTimer::new(Arc::clone(&waits)));
    let line = Arc::<Line>::default();
    let (io, requests) = (InterimIo::new(io, Arc::clone(&line)), Requests::new(line));
    let body_waits = Arc::clone(&waits);
    let service = service_fn(move |request| {
        let version = request.version();
        let (request, upgrade) = read(request, &body_waits);
        // An older client takes an interim response for the final one (RFC 9110 §15.2).
        let (turn, interim) = requests.next(version == Version::HTTP_11);
        let answer =
            turn.answering(service.answer(request, ClientInfo { peer, local, secure: false, upgrade, interim }));
        let waits = Arc::clone(&body_waits);
        async move { Ok::<_, Infallible>(answer.await.map(|body| Told::new(body, version, &waits))) }
    });
    let mut connection = pin!(http.timer(timer).serve_connection(io, service).with_upgrades());
    let mut patience = Patience::new(waits, &limits);
    let mut told = pin!(drain.wait());
    let (mut listens, mut closing) = (false, false);
    let ended = poll_fn(|cx| {
        // Once is enough: a task is always woken by the same waker. After that the flag says it all.
        if !listens {
            listens = true;
            closing = told.as_mut().poll(cx).is_ready();
            if closing {
                connection.as_mut().graceful_shutdown();
            }
        } else if !closing && drain.begun() {
            closing = true;
            connection.as_mut().graceful_shutdown();
        }
        // The connection first: it may have got on by now.
        let state = connection.as_mut().poll(cx);
        if state.is_pending() && patience.poll_over(cx).is_ready() {
            tracing::debug!(%peer, "the client let the connection lie; closed");
            return Poll::Ready(Ok(()));
        }
        state
    });
    if let Err(error) = ended.await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// hyper's request as ours.
fn read(mut request: Request<Incoming>, waits: &Arc<Waits>) -> (Request<RequestBody>, Option<Upgrading>) {
    let upgrade = request.headers().contains_key(header::UPGRADE) && request.extensions().get::<OnUpgrade>().is_some();
    let upgrade = upgrade.then(|| upgrading(hyper::upgrade::on(&mut request)));
    let request = request.map(|body| {
        if body.is_end_stream() {
            RequestBody::Empty
        } else {
            RequestBody::stream(ClientBody::new(body, Arc::clone(waits)))
        }
    });
    (request, upgrade)
}

fn upgrading(upgrade: OnUpgrade) -> Upgrading {
    Box::pin(async move {
        let upgraded = upgrade.await.map_err(io::Error::other)?;
        Ok(Box::new(TokioIo::new(upgraded)) as Upgraded)
    })
}

/// A listening address that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", self.advice())]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// Whether another process has it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }

    fn advice(&self) -> String {
        let port = self.address.port();
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another process uses this address. Stop it (`ss -ltnp 'sport = :{port}'` names it), or choose another \
                 address: `listen` or `admin` in the file, `--listen` on the command line"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "port {port} is reserved. Choose one above 1023, or give the process the capability CAP_NET_BIND_SERVICE"
            ),
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address. 0.0.0.0 listens on all of its IPv4 addresses, [::] on all".to_owned()
            }
            _ => self.source.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_address_says_which_and_what_to_do() {
        let first = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let second = Listener::bind(first.address()).unwrap_err();
        assert!(second.is_taken());
        let text = second.to_string();
        assert!(text.contains(&first.address().to_string()) && text.contains("--listen"), "{text}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_no_taken_one() {
        let error = Listener::bind(([192, 0, 2, 1], 0).into()).unwrap_err();
        assert!(!error.is_taken());
        assert!(error.to_string().contains("no such address"), "{error}");
    }

    #[tokio::test]
    async fn a_drain_reaches_those_who_wait_and_those_who_come_later() {
        let drain = Arc::new(Drain::default());
        let waiting = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.wait().await }
        });
        tokio::task::yield_now().await;
        drain.begin();
        waiting.await.unwrap();
        drain.wait().await;
        assert!(drain.begun());
    }
}
