//! Interim responses (1xx, RFC 9110 §15.2) on a connection whose library sends none.
//!
//! hyper writes one response to one request. An interim one is put in underneath it, between two of its writes, and only
//! at a moment when nothing of another response can be on the way. Two facts of hyper's dispatcher are relied upon (proto/h1,
//! `dispatch.rs`, `io.rs`, `conn.rs` of hyper 1.12):
//!
//! - It flushes its socket only when it has nothing left to write itself; and after it has put something into its buffer it
//!   writes to the socket before it reads, or polls a handler, again. So while a handler is polled and the last thing that the socket
//!   heard was a flush ([`Line::idle`]), there is nothing of an earlier response in hyper's buffer; at most a `100 Continue` of
//!   this same request, before or behind which another interim response may stand.
//! - It flushes whenever it has polled a handler. So what was put in then is written without anybody's doing more.
//!
//! Whoever makes an interim response may be in any task: it lies in a queue until the handler of its request is polled, which
//! is in the connection's own task ([`Answering`]). When the handler is done, so is the queue.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use copal_proxy::{Interim, InterimLine};
use http::{HeaderMap, StatusCode};
use hyper::rt::{Read, ReadBufCursor, Write};
use parking_lot::Mutex;

/// Interim responses before one final response.
const MOST: u32 = 16;

/// Longest interim response, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a connection's socket and the handlers of its requests share.
#[derive(Default)]
pub(super) struct Line {
    /// The request that is being answered; 0: none.
    open: AtomicU32,
    /// Something is in the queue.
    queued: AtomicBool,
    /// Something is to be written.
    due: AtomicBool,
    /// There is a handler that was not polled yet.
    forgotten: AtomicBool,
    /// hyper has written since it last flushed: there may be more in its buffer.
    busy: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The request that the queue is for.
    request: u32,
    /// How many were taken for it.
    taken: u32,
    queue: Vec<Bytes>,
    /// The connection's task, while a handler waits in it.
    waker: Option<Waker>,
    /// What the socket writes next.
    out: BytesMut,
}

impl Line {
    /// Begins with the request of this number, from 1.
    fn begin(&self, request: u32) {
        self.open.store(request, Relaxed);
    }

    /// The final response is there.
    fn end(&self) {
        self.open.store(0, Relaxed);
    }

    /// Nothing of hyper's is on the way.
    fn idle(&self) -> bool {
        !self.busy.load(Relaxed)
    }

    /// Gives what was queued for the request to the socket, where it may go now. Called in the connection's task while the
    /// request's handler is polled; with a waker where it will be polled again.
    fn deliver(&self, request: u32, waker: Option<&Waker>) {
        if waker.is_none() && !self.queued.load(Acquire) {
            return;
        }
        let mut inner = self.inner.lock();
        if let Some(waker) = waker
            && !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            inner.waker = Some(waker.clone());
        }
        self.queued.store(false, Relaxed);
        let queue = std::mem::take(&mut inner.queue);
        if inner.request == request && self.idle() {
            for response in &queue {
                inner.out.extend_from_slice(response);
            }
            self.due.store(!inner.out.is_empty(), Relaxed);
        }
    }
}

impl InterimLine for Line {
    fn put(&self, request: u32, status: StatusCode, headers: &HeaderMap) {
        let Some(response) = head(status, headers) else { return };
        let waker = {
            let mut inner = self.inner.lock();
            if self.open.load(Relaxed) != request {
                return;
            }
            if inner.request != request {
                (inner.request, inner.taken) = (request, 0);
                inner.queue.clear();
            }
            if inner.taken == MOST {
                return;
            }
            inner.taken += 1;
            inner.queue.push(response);
            self.queued.store(true, Release);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The bytes of an interim response (RFC 9112 §4); none for what is no such, or is too long. Names and values are valid by
/// their types: no line break is in them.
fn head(status: StatusCode, headers: &HeaderMap) -> Option<Bytes> {
    if !status.is_informational() || matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
        return None;
    }
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    (head.len() <= LONGEST).then(|| head.into())
}

/// The requests of a connection, counted.
pub(super) struct Requests {
    line: Arc<Line>,
    count: AtomicU32,
}

impl Requests {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self { line, count: AtomicU32::new(0) }
    }

    /// The next request; where its interim responses go, if its client takes any.
    pub(super) fn next(&self, takes_interim: bool) -> (Turn, Option<Interim>) {
        // One after the other, in the connection's task. 0 is none, should they ever be so many.
        let number = self.count.load(Relaxed).wrapping_add(1).max(1);
        self.count.store(number, Relaxed);
        let turn = Turn { line: Arc::clone(&self.line), number };
        self.line.forgotten.store(true, Relaxed);
        if !takes_interim {
            return (turn, None);
        }
        self.line.begin(number);
        let line: Arc<dyn InterimLine> = Arc::clone(&self.line) as _;
        (turn, Some(Interim::new(line, number)))
    }
}

/// One request's turn on its connection.
pub(super) struct Turn {
    line: Arc<Line>,
    number: u32,
}

impl Turn {
    /// The same answer; interim responses go out while it is waited for.
    pub(super) fn answering<F>(self, answer: F) -> Answering<F> {
        Answering { answer, turn: self }
    }
}

/// A handler at work, in the connection's task.
pub(super) struct Answering<F> {
    answer: F,
    turn: Turn,
}

impl<F: Future + Unpin> Future for Answering<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.turn.line.forgotten.store(false, Relaxed);
        let polled = Pin::new(&mut self.answer).poll(cx);
        let Turn { line, number } = &self.turn;
        // What came before the answer goes before it.
        line.deliver(*number, polled.is_pending().then_some(cx.waker()));
        if polled.is_ready() {
            line.end();
        }
        polled
    }
}

/// A socket that writes the interim responses of its line between hyper's writes.
pub(super) struct InterimIo<S> {
    socket: S,
    line: Arc<Line>,
}

impl<S: Write + Unpin> InterimIo<S> {
    pub(super) fn new(socket: S, line: Arc<Line>) -> Self {
        Self { socket, line }
    }

    /// Ready when no interim response is left to be written: nothing comes in between its bytes.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.line.due.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut inner = self.line.inner.lock();
        while inner.out.has_remaining() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &inner.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            inner.out.advance(written);
        }
        self.line.due.store(false, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: Read + Unpin> Read for InterimIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for InterimIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.line.busy.store(true, Relaxed);
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.busy.store(true, Relaxed);
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.busy.store(false, Relaxed);
        ready!(self.poll_interim(cx))?;
        if self.line.forgotten.load(Relaxed) {
            // hyper leaves a handler alone while the end of an earlier response fills its buffer (an upload that was answered
            // before its end, and a request behind it), and does not come back to it by itself.
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use copal_testkit::Client;
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    /// A socket that takes as much as it is told to, one number a write; then it blocks.
    #[derive(Default)]
    struct Mock {
        written: Vec<u8>,
        takes: VecDeque<usize>,
        flushed: usize,
    }

    impl Write for Mock {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let Some(takes) = self.takes.pop_front() else { return Poll::Pending };
            let taken = takes.min(bytes.len());
            self.written.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushed += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Side {
        io: InterimIo<Mock>,
        requests: Requests,
    }

    fn side() -> Side {
        let line = Arc::<Line>::default();
        Side { io: InterimIo::new(Mock::default(), Arc::clone(&line)), requests: Requests::new(line) }
    }

    impl Side {
        fn takes(&mut self, takes: &[usize]) {
            self.io.socket.takes.extend(takes);
        }

        fn write(&mut self, bytes: &[u8]) -> Poll<usize> {
            Pin::new(&mut self.io).poll_write(&mut quiet(), bytes).map(Result::unwrap)
        }

        fn flush(&mut self) -> Poll<()> {
            Pin::new(&mut self.io).poll_flush(&mut quiet()).map(Result::unwrap)
        }

        fn written(&self) -> &str {
            std::str::from_utf8(&self.io.socket.written).unwrap()
        }
    }

    fn quiet() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    const ALL: usize = usize::MAX;
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

    fn hint() -> HeaderMap {
        HeaderMap::from_iter([(http::header::LINK, http::HeaderValue::from_static("</a>"))])
    }

    fn put(line: &Line, request: u32) {
        line.put(request, StatusCode::EARLY_HINTS, &hint());
    }

    fn waits(turn: Turn) -> Answering<std::future::Pending<()>> {
        turn.answering(pending())
    }

    fn poll<F: Future + Unpin>(answering: &mut F) -> Poll<F::Output> {
        Pin::new(answering).poll(&mut quiet())
    }

    #[test]
    fn it_is_written_by_the_flush_after_its_handler_was_polled() {
        let mut side = side();
        let mut handler = waits(side.requests.next(true).0);
        put(&side.io.line, 1);
        side.takes(&[ALL, ALL]);
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), "", "its handler was not polled");
        assert!(poll(&mut handler).is_pending());
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), HINTS);
    }

    #[test]
    fn its_bytes_are_never_parted_rfc9112_4() {
        for ways in [["flush", "write"], ["write", "write"], ["write", "flush"]] {
            let mut side = side();
            let mut handler = waits(side.requests.next(true).0);
            put(&side.io.line, 1);
            put(&side.io.line, 1);
            assert!(poll(&mut handler).is_pending());
            // A byte a write, and nothing for a while: hyper comes again and again with what is its own.
            for round in 0..4 * HINTS.len() {
                side.takes(&[1]);
                let done = match ways[round % 2] {
                    "flush" => side.flush().is_ready(),
                    _ => side.write(b"final").is_ready(),
                };
                if done {
                    break;
                }
            }
            side.io.socket.takes = [ALL, ALL].into();
            let _ = side.write(b"FINAL");
            let expected = format!("{HINTS}{HINTS}");
            assert!(side.written().starts_with(&expected), "{ways:?}: {}", side.written());
            assert!(side.written().ends_with("FINAL"));
        }
    }

    #[test]
    fn it_goes_nowhere_while_an_earlier_response_may_be_in_hypers_buffer() {
        let mut side = side();
        side.takes(&[4]);
        assert_eq!(side.write(b"half of it"), Poll::Ready(4));
        let mut handler = waits(side.requests.next(true).0);
        put(&side.io.line, 1);
        assert!(poll(&mut handler).is_pending());
        side.takes(&[ALL]);
        assert!(side.write(b" of it").is_ready());
        assert!(side.flush().is_ready());
        put(&side.io.line, 1);
        assert!(poll(&mut handler).is_pending());
        side.takes(&[ALL]);
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), format!("half of it{HINTS}"));
    }

    #[test]
    fn what_comes_with_the_answer_goes_before_it_and_what_comes_later_nowhere() {
        let mut side = side();
        let (turn, interim) = side.requests.next(true);
        assert_eq!(format!("{:?}", interim.unwrap()), "Interim(1)");
        put(&side.io.line, 1);
        assert!(poll(&mut turn.answering(ready(()))).is_ready());
        put(&side.io.line, 1);
        side.takes(&[ALL, ALL, ALL]);
        assert!(side.write(b"final").is_ready());
        assert!(side.flush().is_ready());
        let mut next = waits(side.requests.next(true).0);
        put(&side.io.line, 1);
        assert!(poll(&mut next).is_pending());
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), format!("{HINTS}final"));
        put(&side.io.line, 2);
        assert!(poll(&mut next).is_pending());
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), format!("{HINTS}final{HINTS}"));
    }

    #[test]
    fn a_client_that_takes_none_gets_none() {
        let mut side = side();
        let (turn, interim) = side.requests.next(false);
        assert!(interim.is_none());
        put(&side.io.line, 1);
        assert!(poll(&mut waits(turn)).is_pending());
        side.takes(&[ALL]);
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), "");
    }

    #[test]
    fn whoever_waits_is_woken() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let side = side();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut handler = waits(side.requests.next(true).0);
        assert!(Pin::new(&mut handler).poll(&mut Context::from_waker(&waker)).is_pending());
        let line = Arc::clone(&side.io.line);
        std::thread::spawn(move || put(&line, 1)).join().unwrap();
        assert_eq!(count.0.load(Relaxed), 1);
    }

    #[test]
    fn count_length_and_status_are_limited() {
        let mut side = side();
        let mut handler = waits(side.requests.next(true).0);
        let line = Arc::clone(&side.io.line);
        for status in [100, 101, 200, 304] {
            line.put(1, StatusCode::from_u16(status).unwrap(), &hint());
        }
        let long = HeaderMap::from_iter([(http::header::LINK, "x".repeat(LONGEST).parse().unwrap())]);
        line.put(1, StatusCode::EARLY_HINTS, &long);
        for _ in 0..20 {
            put(&line, 1);
            assert!(poll(&mut handler).is_pending());
        }
        side.takes(&[ALL; 40]);
        assert!(side.flush().is_ready());
        assert_eq!(side.written(), HINTS.repeat(16));
    }

    /// hyper itself over a pipe that holds `room` bytes each way. `/up` is answered at once with 100 KiB, while its body is
    /// still being read; anything else with two interim responses before.
    fn hyper_over_a_pipe(room: usize, vectored: bool) -> Client {
        let (near, far) = tokio::io::duplex(room);
        let line = Arc::<Line>::default();
        let io = InterimIo::new(TokioIo::new(far), Arc::clone(&line));
        let requests = Requests::new(Arc::clone(&line));
        let service = service_fn(move |request: Request<Incoming>| {
            let (turn, _) = requests.next(true);
            let (line, number) = (Arc::clone(&line), turn.number);
            turn.answering(Box::pin(async move {
                if request.uri() == "/up" {
                    tokio::spawn(request.into_body().collect());
                    return Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x".repeat(100 << 10))));
                }
                put(&line, number);
                tokio::task::yield_now().await;
                put(&line, number);
                Ok(Response::new(Full::from("page")))
            }))
        });
        tokio::spawn(http1::Builder::new().writev(vectored).serve_connection(io, service));
        Client::over(near)
    }

    #[tokio::test]
    async fn under_hyper_every_message_stays_whole() {
        // When the second request comes, the response to the upload is still in hyper's buffer, of which the client takes nothing.
        // With slices hyper waits with the handler for it to go; without, the handler's interim responses may go nowhere.
        let ways =
            [(16, true, 2), (500, true, 2), (1 << 20, true, 2), (16, false, 0), (500, false, 0), (1 << 20, false, 2)];
        for (room, vectored, wanted) in ways {
            let mut client = hyper_over_a_pipe(room, vectored);
            client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n").await;
            client.write("b".repeat(2000)).await;
            client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.response().await.body.len(), 100 << 10, "{room} {vectored}");
            let page = client.response().await;
            assert_eq!((page.text(), page.interim.len()), ("page", wanted), "{room} {vectored}");
            let page = client.get("/page").send().await;
            assert_eq!((page.text(), page.interim.len()), ("page", 2), "{room} {vectored}");
        }
    }

    #[test]
    fn an_unregistered_status_has_no_reason_phrase() {
        assert_eq!(head(StatusCode::from_u16(199).unwrap(), &HeaderMap::new()).unwrap(), "HTTP/1.1 199 \r\n\r\n");
    }
}
