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
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
