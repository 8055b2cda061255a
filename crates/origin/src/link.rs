//! One HTTP/1.1 connection to a server, and the exchanges on it.
//!
//! A connection has no task of its own: whoever waits for the response drives it. Nothing is handed between tasks, and nothing is
//! allocated for a request but what its response keeps. Only an upload that outlives its response's head gets a task.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::Head;
use crate::error::{Kind, OriginError};
use crate::head::{HeadError, HeadReader, ResponseHead, says_close};
use crate::reading::Reading;
use crate::request::RequestBody;
use crate::server::Server;
use crate::silence::Silence;
use crate::socket::{Meter, Socket};
use crate::stream::Stream;
use crate::tls;
use crate::upgrade::{Rewound, Upgrading};
use crate::writing::Writing;

/// Room for one read, in bytes: at least, and at most.
const ROOM: (usize, usize) = (8 << 10, 128 << 10);
/// With less than this left of it, there is to be new room.
const LEAST_ROOM: usize = 4 << 10;
/// How many interim responses may come before the final one.
const MOST_INTERIM: u32 = 100;

/// Hears of interim responses (RFC 9110 §15.2) before the head of the final one: any 1xx but 100, which concerns nobody but the two
/// ends of this connection, and 101, which is a final one here. Called by whoever waits for the response.
pub type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

/// A connection: idle in a pool, or with one request on it.
pub(crate) struct Link {
    socket: Socket,
    meter: Arc<Meter>,
    writing: Writing,
    /// What was read and not taken.
    input: BytesMut,
    /// How much the next read has room for.
    room: usize,
    max_head: usize,
    /// One timer for the life of the connection: moving a deadline is cheaper than making one.
    timer: Pin<Box<Sleep>>,
    /// Nothing was sent on it yet, and nobody has looked whether it is still open.
    fresh: bool,
    /// It may serve another request afterwards.
    reusable: bool,
    /// The server has closed it.
    ended: bool,
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
}

/// What of a request decides how its response is read.
struct Asked {
    method: Method,
    upgrade: bool,
    /// It says itself that the connection closes.
    close: bool,
}

impl Asked {
    fn by(request: &Request<RequestBody>) -> Self {
        let mut asked = Self { method: request.method().clone(), upgrade: false, close: false };
        for (name, value) in request.headers() {
            match *name {
                UPGRADE => asked.upgrade = true,
                CONNECTION => asked.close |= says_close(value),
                _ => {}
            }
        }
        asked
    }
}

impl Link {
    /// Speaks HTTP/1.1 on a fresh connection.
    pub(crate) fn new(stream: Stream, max_header_bytes: usize) -> Box<Self> {
        let peer = stream.peer();
        let (socket, meter) = Socket::new(stream);
        Box::new(Self {
            socket,
            meter,
            writing: Writing::default(),
            input: BytesMut::new(),
            room: ROOM.0,
            max_head: max_header_bytes,
            timer: Box::pin(sleep_until(Instant::now())),
            fresh: true,
            reusable: true,
            ended: false,
            peer,
        })
    }

    /// It is one client's, for one request: it closes with its response.
    pub(crate) fn never_keep(&mut self) {
        self.reusable = false;
    }

    /// The address that it leads to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Whether an idle connection can take a request: still open, and no byte came that nobody asked for.
    pub(crate) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ended {
            return false;
        }
        let mut byte = [0];
        let socket = &mut self.socket;
        let look = poll_fn(|cx| Pin::new(&mut *socket).poll_read(cx, &mut ReadBuf::new(&mut byte)));
        // A task that has done much is told by its runtime that nothing is there to be read, without a look.
        self.ended = pin!(tokio::task::unconstrained(look)).poll(cx).is_ready();
        !self.ended
    }

    /// The connection, where another request may be sent on it.
    pub(crate) fn for_another_request(mut self: Box<Self>) -> Option<Box<Self>> {
        let fit = self.reusable && !self.ended && self.writing.is_done() && self.input.is_empty();
        self.writing.tidy();
        if self.room > ROOM.0 {
            // An idle connection keeps no more room than a short response takes.
            self.room = ROOM.0;
            self.input = BytesMut::new();
        }
        fit.then_some(self)
    }

    /// Whether there is more of an upload to come.
    pub(crate) fn uploads(&self) -> bool {
        self.writing.is_upload()
    }

    pub(crate) fn timer(&mut self) -> &mut Pin<Box<Sleep>> {
        &mut self.timer
    }

    /// So many bytes will come: room is made for them, or for many of them.
    pub(crate) fn expect(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.room = self.room.max(bytes.min(ROOM.1));
    }

    /// Reads into `input`; how many bytes, 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        // What is left of the last room is used up first: else a body that comes byte by byte would have one for each of them.
        if self.input.capacity() - self.input.len() < LEAST_ROOM {
            self.input.reserve(self.room);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.socket.read_buf(&mut self.input)).poll(cx));
        match read {
            Ok(count) => {
                self.ended = count == 0;
                if count == room {
                    self.room = (self.room * 2).min(ROOM.1);
                }
            }
            Err(_) => self.ended = true,
        }
        Poll::Ready(read)
    }

    /// Drives the connection: what of the request is still to be sent, and the next bytes of the response; none at its end.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if !self.writing.is_done()
            && let Poll::Ready(Err(error)) = self.writing.poll(cx, &mut self.socket)
        {
            return Poll::Ready(Err(io::Error::other(error)));
        }
        ready!(self.poll_fill(cx))?;
        Poll::Ready(Ok(self.input.split().freeze()))
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn exchange(
        mut self: Box<Self>,
        mut request: Box<Request<RequestBody>>,
        on_interim: Option<&OnInterim>,
        silence: Silence<'_>,
        server: &Arc<Server>,
    ) -> Result<(Head, Reading, Option<Upgrading>), Failed> {
        if std::mem::take(&mut self.fresh) && !self.is_usable(&mut Context::from_waker(Waker::noop())) {
            let closed = OriginError::because(Kind::Connect, "closed before anything was sent");
            return Err(Failed::unsent(closed, request));
        }
        let asked = Asked::by(&request);
        self.writing.begin(&mut request);
        let read_before = self.meter.read();
        match self.head(on_interim, silence).await {
            Ok(head) => {
                server.answered();
                self.answered(head, &asked, server).map_err(Failed::sent)
            }
            Err(error) => {
                let unheard = error.kind() == Kind::Closed && self.meter.read() == read_before;
                Err(Failed { error: server.explained(error, &self.input), unsent: None, unheard })
            }
        }
    }

    async fn head(
        &mut self,
        on_interim: Option<&OnInterim>,
        silence: Silence<'_>,
    ) -> Result<ResponseHead, OriginError> {
        let mut reader = HeadReader::new(self.max_head);
        // An interim response has no business to be longer than a final one may be.
        let most_read = self.meter.read() + 2 * self.max_head.max(ROOM.0) as u64;
        let mut interims_left = MOST_INTERIM;
        let endless = || OriginError::because(Kind::TooLarge, "interim responses without end");
        let mut moved = None;
        poll_fn(|cx| {
            if !self.writing.is_done() {
                // Whether all of it is out or not: the response may come before.
                if let Poll::Ready(Err(error)) = self.writing.poll(cx, &mut self.socket) {
                    return Poll::Ready(Err(error));
                }
            }
            while let Poll::Ready(read) = self.poll_fill(cx) {
                match read {
                    Ok(0) => return Poll::Ready(Err(OriginError::new(Kind::Closed))),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(closed(error))),
                }
                while let Some(head) = reader.read(&mut self.input).map_err(unreadable)? {
                    if is_final(&head) {
                        return Poll::Ready(Ok(head));
                    }
                    interims_left = match u32::checked_sub(interims_left, 1) {
                        Some(left) => left,
                        None => return Poll::Ready(Err(endless())),
                    };
                    if let Some(on_interim) = on_interim.filter(|_| head.status != StatusCode::CONTINUE) {
                        on_interim(head.status, &head.headers);
                    }
                }
                if self.meter.read() > most_read {
                    return Poll::Ready(Err(endless()));
                }
            }
            let written = self.meter.written();
            let since = match moved {
                Some((before, since)) if before == written => since,
                _ => {
                    let now = Instant::now();
                    self.timer.as_mut().reset(silence.first_look(now));
                    moved = Some((written, now));
                    now
                }
            };
            loop {
                ready!(self.timer.as_mut().poll(cx));
                match silence.next_look(since) {
                    Some(look) => self.timer.as_mut().reset(look),
                    None => return Poll::Ready(Err(late(&self.writing))),
                }
            }
        })
        .await
    }

    fn answered(
        mut self: Box<Self>,
        head: ResponseHead,
        asked: &Asked,
        server: &Arc<Server>,
    ) -> Result<(Head, Reading, Option<Upgrading>), OriginError> {
        let wrong = |what: &'static str| OriginError::because(Kind::Protocol, what);
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !asked.upgrade {
            // RFC 9110 §15.2.2: only for a request with Upgrade.
            return Err(wrong("a 101 that was not asked for"));
        }
        let content = head.content(&asked.method).map_err(wrong)?;
        let keep = head.keeps_connection() && !asked.close;
        let rest = self.input.split().freeze();
        let head = Head { status: head.status, version: head.version, headers: head.headers };
        if switches {
            return Ok((head, Reading::nothing(server.clone()), Some(self.upgrading(rest))));
        }
        Ok((head, Reading::new(content, rest, self, keep, server.clone()), None))
    }

    /// Drives the connection in a task of its own until the response's reader is gone, and gives on what it reads.
    pub(crate) async fn pump(mut self: Box<Self>, to: mpsc::Sender<io::Result<Bytes>>) {
        loop {
            let mut reserved = pin!(to.reserve());
            let room = poll_fn(|cx| {
                if let Poll::Ready(Err(_)) = self.writing.poll(cx, &mut self.socket) {
                    // The connection closes, so that the server cannot take a part of a request for the whole.
                    return Poll::Ready(None);
                }
                reserved.as_mut().poll(cx).map(Result::ok)
            });
            let Some(room) = room.await else { return };
            let more = poll_fn(|cx| self.poll_more(cx)).await;
            let ends = !more.as_ref().is_ok_and(|more| !more.is_empty());
            room.send(more);
            if ends {
                return;
            }
        }
    }

    fn upgrading(self: Box<Self>, first: Bytes) -> Upgrading {
        Box::pin(async move {
            match self.writing.is_done() {
                true => Ok(Box::new(Rewound { first, stream: self.socket.into_stream() }) as _),
                false => Err(io::ErrorKind::NotConnected.into()),
            }
        })
    }
}

/// Not an interim response. 101 is final: what comes behind it is another protocol.
fn is_final(head: &ResponseHead) -> bool {
    !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
}

fn unreadable(error: HeadError) -> OriginError {
    match error {
        HeadError::TooLarge => OriginError::new(Kind::TooLarge),
        HeadError::Malformed(what) => OriginError::because(Kind::Protocol, what),
    }
}

/// The connection broke before there was a head.
fn closed(error: io::Error) -> OriginError {
    match tls::refused_identity(&error) {
        Some(refused) => OriginError::because(Kind::Tls, refused),
        None => OriginError::because(Kind::Closed, error),
    }
}

/// Nothing has moved for too long: whose fault that is.
fn late(writing: &Writing) -> OriginError {
    if writing.is_waiting() {
        let stalled = io::Error::new(io::ErrorKind::TimedOut, "nothing more came of it");
        return OriginError::because(Kind::RequestBody, stalled);
    }
    OriginError::new(Kind::FirstByteTimeout)
}

/// `limit` from now; a limit beyond what a clock can count is as good as none.
pub(crate) fn deadline(limit: Duration) -> Instant {
    after(Instant::now(), limit)
}

/// As [`deadline`], from then on.
pub(crate) fn after(then: Instant, limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    then + limit.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Resolver;
    use crate::settings::{NameSettings, OriginSettings, ServerAddress};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_request_that_was_not_sent_is_given_back_whatever_its_method() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        drop(listener.accept().await.unwrap());
        // The end of the stream is there before the request.
        stream.readable().await.unwrap();
        let link = Link::new(Stream::Tcp(stream), 8 << 10);
        let settings = format!("http://{address}").parse::<ServerAddress>().unwrap().into();
        let resolver = Resolver::new(&NameSettings::default());
        let server = Arc::new(Server::new(&settings, &OriginSettings::default(), &resolver, None).unwrap());
        let body = RequestBody::stream(http_body_util::Full::new(Bytes::from_static(b"body")));
        let request = Request::builder().method("POST").uri("/form").body(body).unwrap();
        let failed =
            link.exchange(Box::new(request), None, Duration::from_secs(60).into(), &server).await.err().unwrap();
        assert_eq!(failed.error.kind(), Kind::Connect);
        let again = failed.unsent.unwrap();
        assert_eq!((again.method().as_str(), again.uri().path()), ("POST", "/form"));
        assert!(matches!(again.body(), RequestBody::Stream(_)));
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (stream, listener.accept().await.unwrap().0)
    }

    /// What a task is told at the end of what it may do at a time: nothing is ready, whatever there is.
    #[tokio::test]
    async fn bytes_that_nobody_asked_for_are_seen_by_a_task_that_has_done_much() {
        for poison in [true, false] {
            let (stream, mut peer) = pair().await;
            match poison {
                true => peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother").await.unwrap(),
                false => drop(peer),
            }
            stream.readable().await.unwrap();
            let mut link = Link::new(Stream::Tcp(stream), 8 << 10);
            let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
            (0..1000).for_each(|number| to.send(number).unwrap());
            let (left, usable) = poll_fn(|cx| {
                while from.poll_recv(cx).is_ready() {}
                Poll::Ready((from.len(), link.is_usable(cx)))
            })
            .await;
            assert!(left > 0, "all of it may be done at a time: the test shows nothing");
            assert!(!usable, "poison: {poison}");
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_byte_by_byte_has_no_room_for_each_of_them() {
        let (stream, mut peer) = pair().await;
        let mut link = Link::new(Stream::Tcp(stream), 8 << 10);
        link.expect(10 << 20);
        let mut kept: Vec<Bytes> = Vec::new();
        for _ in 0..50 {
            peer.write_all(b"x").await.unwrap();
            kept.push(poll_fn(|cx| link.poll_more(cx)).await.unwrap());
        }
        let places = kept.iter().map(|piece| piece.as_ptr() as usize);
        let (first, last) = (places.clone().min().unwrap(), places.max().unwrap());
        assert!(last - first < ROOM.1, "they share one room");
    }

    #[tokio::test]
    async fn interim_responses_are_counted() {
        for (count, fine) in [(100, true), (101, false)] {
            let (stream, mut peer) = pair().await;
            let mut link = Link::new(Stream::Tcp(stream), 64 << 10);
            peer.write_all("HTTP/1.1 103\r\n\r\n".repeat(count).as_bytes()).await.unwrap();
            peer.write_all(b"HTTP/1.1 204\r\n\r\n").await.unwrap();
            let got = link.head(None, Duration::from_secs(60).into()).await;
            assert_eq!(
                got.map(|head| head.status.as_u16()).map_err(|error| error.kind()),
                if fine { Ok(204) } else { Err(Kind::TooLarge) }
            );
        }
    }
}
