//! One HTTP/1.1 connection to a server, and the exchanges on it. The only file that names hyper.
//!
//! hyper splits a connection into a handle and a driver that wants to be spawned. Here the driver is polled by whoever waits
//! for the response: nothing is handed between tasks, and since only the driver fills what the handle waits for, the handle is
//! asked with a waker that does nothing.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Version, response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{Kind, OriginError};
use crate::framing::{Coding, response_coding};
use crate::request::{Progress, RequestBody};
use crate::server::Server;
use crate::socket::{Meter, Socket};
use crate::stream::Stream;
use crate::tls;
use crate::upgrade::{Rewound, Upgrading};

/// How many header lines a response may have.
pub(crate) const MAX_HEADER_LINES: usize = 200;
/// hyper's smallest read buffer, in bytes.
const MIN_BUFFER: usize = 8 << 10;

type Driver = Connection<TokioIo<Socket>, RequestBody>;

/// Hears of interim responses (RFC 9110 §15.2) before the head of the final one: any 1xx but 100, which concerns nobody but the two
/// ends of this connection, and 101, which is a final one here. Called by whoever waits for the response.
pub type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

/// A connection: idle in a pool, or with one request on it.
pub(crate) struct Link {
    sender: SendRequest<RequestBody>,
    /// Gone only after its end.
    driver: Option<Driver>,
    meter: Arc<Meter>,
    /// One timer for the life of the connection: moving a deadline is cheaper than making one.
    timer: Pin<Box<Sleep>>,
    ended: bool,
    /// It may serve another request afterwards.
    reusable: bool,
    /// How many bytes may come before a final head, in interim ones.
    most_before_head: u64,
    failure: Option<hyper::Error>,
    /// Where it leads to; `None` = to no address.
    peer: Option<SocketAddr>,
}

/// An exchange that brought no response head.
pub(crate) struct Failed {
    pub(crate) error: OriginError,
    /// The request, where nothing of it was sent.
    pub(crate) unsent: Option<Box<Request<RequestBody>>>,
    /// The server closed the connection before the first byte of a response.
    pub(crate) unheard: bool,
}

impl Failed {
    /// Nothing of the request was sent.
    pub(crate) fn unsent(error: OriginError, request: Box<Request<RequestBody>>) -> Self {
        Self { error, unsent: Some(request), unheard: false }
    }

    /// The server may have done what was asked.
    pub(crate) fn sent(error: OriginError) -> Self {
        Self { error, unsent: None, unheard: false }
    }

    fn unanswered(error: hyper::Error) -> Self {
        if let Some(refused) = tls::refused_identity(&error) {
            return Self::sent(OriginError::because(Kind::Tls, refused));
        }
        Self::sent(OriginError::because(kind_of(&error), error))
    }
}

/// How the wait for a response's head ended.
enum Outcome {
    Answered(Response<Incoming>),
    Failed(TrySendError<Request<RequestBody>>),
    Late,
    /// Interim responses, and no end of them.
    Flooded,
}

impl Link {
    /// Speaks HTTP/1.1 on a fresh connection.
    pub(crate) async fn new(stream: Stream, max_header_bytes: usize) -> Result<Box<Self>, OriginError> {
        let peer = stream.peer();
        let (socket, meter) = Socket::new(stream);
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_HEADER_LINES)
            .max_header_size(max_header_bytes)
            .max_buf_size(max_header_bytes.max(MIN_BUFFER))
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| OriginError::because(Kind::Connect, error))?;
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            meter,
            timer: Box::pin(sleep_until(Instant::now())),
            ended: false,
            reusable: true,
            most_before_head: 2 * max_header_bytes.max(MIN_BUFFER) as u64,
            failure: None,
            peer,
        }))
    }

    /// It is one client's, for one request: it closes with its response.
    pub(crate) fn never_keep(&mut self) {
        self.reusable = false;
    }

    /// Whether an idle connection can take a request: still open, and no byte came that nobody asked for.
    pub(crate) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.is_ready()
    }

    /// As [`is_usable`](Self::is_usable) found when the connection was last driven.
    fn is_ready(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended
            && let Some(driver) = &mut self.driver
            && let Poll::Ready(result) = driver.poll_without_shutdown(cx)
        {
            self.ended = true;
            self.failure = result.err();
        }
    }

    /// The address that it leads to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Sends a request and waits for the head of its response. `silence` is how long nothing may move: neither a byte of the
    /// request out, nor a head in.
    pub(crate) async fn exchange(
        mut self: Box<Self>,
        mut request: Box<Request<RequestBody>>,
        on_interim: Option<&OnInterim>,
        silence: Duration,
        server: &Arc<Server>,
    ) -> Result<(response::Parts, Reading, Option<Upgrading>), Failed> {
        if let Some(on_interim) = on_interim {
            let on_interim = Arc::clone(on_interim);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() != StatusCode::CONTINUE {
                    on_interim(response.status(), response.headers());
                }
            });
        }
        let progress = request.body().progress();
        let asks_upgrade = request.headers().contains_key(UPGRADE);
        let read_before = self.meter.read();
        let mut failed = match self.head(request, silence).await {
            Outcome::Answered(response) => return self.answered(response, progress, asks_upgrade, server).await,
            Outcome::Failed(mut failed) => match failed.take_message() {
                Some(request) => {
                    let error = OriginError::because(Kind::Connect, failed.into_error());
                    return Err(Failed::unsent(error, Box::new(request)));
                }
                None => Failed::unanswered(failed.into_error()),
            },
            Outcome::Late if progress.is_some_and(|progress| progress.is_waiting()) => {
                let stalled = io::Error::new(io::ErrorKind::TimedOut, "nothing more came of it");
                Failed::sent(OriginError::because(Kind::RequestBody, stalled))
            }
            Outcome::Late => Failed::sent(OriginError::new(Kind::FirstByteTimeout)),
            Outcome::Flooded => Failed::sent(OriginError::because(Kind::TooLarge, "interim responses without end")),
        };
        failed.unheard = failed.error.kind() == Kind::Closed && self.meter.read() == read_before;
        Err(failed)
    }

    async fn head(&mut self, request: Box<Request<RequestBody>>, silence: Duration) -> Outcome {
        let mut response = pin!(self.sender.try_send_request(*request));
        let mut written = None;
        let most_read = self.meter.read() + self.most_before_head;
        poll_fn(|cx| {
            let mut quiet = Context::from_waker(Waker::noop());
            self.drive(cx);
            let mut polled = response.as_mut().poll(&mut quiet);
            if self.ended && polled.is_pending() {
                // A request that still waits to be taken is given back only when nobody can take it any more.
                self.driver = None;
                polled = response.as_mut().poll(&mut quiet);
            }
            match polled {
                Poll::Ready(Ok(response)) => return Poll::Ready(Outcome::Answered(response)),
                Poll::Ready(Err(failed)) => return Poll::Ready(Outcome::Failed(failed)),
                Poll::Pending => {}
            }
            if self.meter.read() > most_read {
                return Poll::Ready(Outcome::Flooded);
            }
            let written_now = Some(self.meter.written());
            if written_now != written {
                written = written_now;
                self.timer.as_mut().reset(deadline(silence));
            }
            self.timer.as_mut().poll(cx).map(|()| Outcome::Late)
        })
        .await
    }

    async fn answered(
        self: Box<Self>,
        response: Response<Incoming>,
        progress: Option<Arc<Progress>>,
        asks_upgrade: bool,
        server: &Arc<Server>,
    ) -> Result<(response::Parts, Reading, Option<Upgrading>), Failed> {
        let (mut parts, incoming) = response.into_parts();
        // hyper leaves things of its own there: an upgrade, a reason phrase.
        parts.extensions = http::Extensions::new();
        let coding = check_head(&mut parts, asks_upgrade).map_err(Failed::sent)?;
        let mut reading = Reading {
            incoming,
            hold: Hold::Nothing,
            // A connection is not kept for an HTTP/1.0 server: it could not take a body of unknown length. Nor after a
            // coding that is not known: who can tell where that response ends?
            keep: self.reusable && parts.version == Version::HTTP_11 && coding != Coding::UntilClose,
            waiting: false,
            server: server.clone(),
        };
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((parts, reading, Some(self.upgrading())));
        }
        if progress.is_some_and(|progress| !progress.is_over()) {
            reading.hold = Hold::Task(self.spawn());
        } else {
            reading.hold = Hold::Link(self);
            reading.release_early().await;
        }
        Ok((parts, reading, None))
    }

    /// Drives the connection in a task of its own: the rest of an upload must go on although nobody polls the response.
    fn spawn(self: Box<Self>) -> Task {
        let mut link = self;
        let driving = tokio::spawn(poll_fn(move |cx| {
            link.drive(cx);
            match link.ended {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        Task { driving: driving.abort_handle(), timer: None }
    }

    fn upgrading(self: Box<Self>) -> Upgrading {
        Box::pin(async move {
            let mut link = self;
            poll_fn(|cx| {
                link.drive(cx);
                match link.ended {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            let Self { driver, failure, .. } = *link;
            let parts = match (driver, failure) {
                (_, Some(error)) => return Err(io::Error::other(error)),
                (None, None) => return Err(io::ErrorKind::NotConnected.into()),
                (Some(driver), None) => driver.into_parts(),
            };
            Ok(Box::new(Rewound { first: parts.read_buf, stream: parts.io.into_inner().into_stream() }) as _)
        })
    }
}

/// What hyper lets pass and a proxy must not.
fn check_head(parts: &mut response::Parts, asks_upgrade: bool) -> Result<Coding, OriginError> {
    if parts.status == StatusCode::SWITCHING_PROTOCOLS && !asks_upgrade {
        // RFC 9110 §15.2.2: only for a request with Upgrade.
        return Err(OriginError::because(Kind::Protocol, "a 101 that was not asked for"));
    }
    let coding = response_coding(&parts.headers).map_err(|what| OriginError::because(Kind::Protocol, what))?;
    if coding == Coding::Chunked {
        // RFC 9112 §6.3: Transfer-Encoding overrides a Content-Length, which must not be passed on.
        parts.headers.remove(CONTENT_LENGTH);
    }
    Ok(coding)
}

/// The body of a response on its way in, with the connection that brings it.
pub(crate) struct Reading {
    incoming: Incoming,
    hold: Hold,
    keep: bool,
    /// The timer runs for the next bytes.
    waiting: bool,
    server: Arc<Server>,
}

/// What brings the rest of a body.
enum Hold {
    /// Everything has come: the connection is elsewhere.
    Nothing,
    /// The connection, driven by whoever reads.
    Link(Box<Link>),
    /// The connection, driven by a task.
    Task(Task),
}

/// A driving task that ends with whoever reads from it.
struct Task {
    driving: AbortHandle,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Reading {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        silence: Duration,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        if let Poll::Ready(item) = self.poll_incoming(cx) {
            return Poll::Ready(self.arrived(item, cx));
        }
        match &mut self.hold {
            // Everything was said to be here.
            Hold::Nothing => return Poll::Ready(Some(Err(self.fail(OriginError::new(Kind::Incomplete))))),
            Hold::Task(_) => {}
            Hold::Link(link) => {
                link.drive(cx);
                let ended = link.ended;
                if let Poll::Ready(item) = self.poll_incoming(cx) {
                    return Poll::Ready(self.arrived(item, cx));
                }
                if ended {
                    return Poll::Ready(Some(Err(self.fail(OriginError::new(Kind::Incomplete)))));
                }
            }
        }
        if self.is_late(cx, silence) {
            return Poll::Ready(Some(Err(self.fail(OriginError::new(Kind::BetweenBytesTimeout)))));
        }
        Poll::Pending
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let incoming = Pin::new(&mut self.incoming);
        match self.hold {
            Hold::Task(_) => incoming.poll_frame(cx),
            Hold::Link(_) | Hold::Nothing => incoming.poll_frame(&mut Context::from_waker(Waker::noop())),
        }
    }

    fn arrived(
        &mut self,
        item: Option<Result<Frame<Bytes>, hyper::Error>>,
        cx: &mut Context<'_>,
    ) -> Option<Result<Frame<Bytes>, OriginError>> {
        self.waiting = false;
        match item {
            Some(Ok(frame)) => {
                // Nothing follows trailers, and not everybody asks whether something does.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.release(cx);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let kind = body_kind(&error);
                Some(Err(self.fail(OriginError::because(kind, error))))
            }
            // hyper ends a body also where the connection was given up: never let a short one pass for whole.
            None if self.incoming.size_hint().lower() > 0 => Some(Err(self.fail(OriginError::new(Kind::Incomplete)))),
            None => {
                self.release(cx);
                None
            }
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>, silence: Duration) -> bool {
        let starting = !std::mem::replace(&mut self.waiting, true);
        let timer = match &mut self.hold {
            Hold::Nothing => return false,
            Hold::Link(link) => &mut link.timer,
            Hold::Task(task) => task.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline(silence)))),
        };
        if starting {
            timer.as_mut().reset(deadline(silence));
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// Gives the connection up.
    pub(crate) fn fail(&mut self, error: OriginError) -> OriginError {
        self.hold = Hold::Nothing;
        error.at(self.server.authority())
    }

    /// Gives the connection back where the whole response is already here: most short ones arrive with their head.
    async fn release_early(&mut self) {
        poll_fn(|cx| {
            if let Hold::Link(link) = &self.hold
                && (self.incoming.is_end_stream() || link.is_ready())
            {
                self.release(cx);
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The body is complete: the connection goes back to the pool if it is fit for another request, else it closes.
    fn release(&mut self, cx: &mut Context<'_>) {
        if let Hold::Link(mut link) = std::mem::replace(&mut self.hold, Hold::Nothing)
            && self.keep
            && (link.is_ready() || link.is_usable(cx))
        {
            self.server.keep(link);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// Whether all of the body has come from the server, read or not.
    pub(crate) fn has_all(&self) -> bool {
        matches!(self.hold, Hold::Nothing) || self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn kind_of(error: &hyper::Error) -> Kind {
    if error.is_parse_too_large() {
        Kind::TooLarge
    } else if error.is_parse() {
        Kind::Protocol
    } else if error.is_user() || error.is_body_write_aborted() {
        Kind::RequestBody
    } else {
        Kind::Closed
    }
}

fn body_kind(error: &hyper::Error) -> Kind {
    let malformed = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput));
    match malformed {
        true => Kind::Protocol,
        false => Kind::Incomplete,
    }
}

/// `limit` from now; a limit beyond what a clock can count is as good as none.
pub(crate) fn deadline(limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + limit.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Resolver;
    use crate::settings::{NameSettings, OriginSettings, ServerAddress};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_request_that_was_not_sent_is_given_back_whatever_its_method() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        drop(listener.accept().await.unwrap());
        // The end of the stream is there before the request.
        stream.readable().await.unwrap();
        let link = Link::new(Stream::Tcp(stream), 8 << 10).await.unwrap();
        let settings = format!("http://{address}").parse::<ServerAddress>().unwrap().into();
        let resolver = Resolver::new(&NameSettings::default());
        let server = Arc::new(Server::new(&settings, &OriginSettings::default(), &resolver, None).unwrap());
        let body = RequestBody::stream(http_body_util::Full::new(Bytes::from_static(b"body")));
        let request = Request::builder().method("POST").uri("/form").body(body).unwrap();
        let failed = link.exchange(Box::new(request), None, Duration::from_secs(60), &server).await.err().unwrap();
        assert_eq!(failed.error.kind(), Kind::Connect);
        let again = failed.unsent.unwrap();
        assert_eq!((again.method().as_str(), again.uri().path()), ("POST", "/form"));
        assert!(matches!(again.body(), RequestBody::Stream(_)));
    }
}
