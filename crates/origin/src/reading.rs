//! The body of a response on its way in, with the connection that brings it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep_until};

use crate::content::{Content, Piece};
use crate::error::{Kind, OriginError};
use crate::link::{Link, deadline};
use crate::server::Server;

/// A body that comes, and what brings it.
pub(crate) struct Reading {
    content: Content,
    /// What came of it and was not taken yet.
    rest: Bytes,
    hold: Hold,
    /// Another request may follow on the connection.
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
    /// What it has read; nothing means the end of the connection.
    from: mpsc::Receiver<io::Result<Bytes>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Reading {
    /// Of a connection on which the response's head and `rest` came.
    pub(crate) fn new(content: Content, rest: Bytes, link: Box<Link>, keep: bool, server: Arc<Server>) -> Self {
        let mut reading = Self { content, rest, hold: Hold::Nothing, keep, waiting: false, server };
        if link.uploads() {
            // The rest of an upload must go on although nobody reads the response.
            let (to, from) = mpsc::channel(1);
            let driving = tokio::spawn(link.pump(to)).abort_handle();
            reading.hold = Hold::Task(Task { driving, from, timer: None });
        } else {
            reading.hold = Hold::Link(link);
            reading.release_early();
        }
        reading
    }

    /// As [`new`](Self::new), of no content on a connection that is another protocol's now.
    pub(crate) fn nothing(server: Arc<Server>) -> Self {
        let (content, rest) = (Content::length(0), Bytes::new());
        Self { content, rest, hold: Hold::Nothing, keep: false, waiting: false, server }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        silence: Duration,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        loop {
            match self.content.next(&mut self.rest) {
                Ok(Piece::More) => {}
                Ok(piece) => {
                    self.waiting = false;
                    if self.content.is_whole() {
                        self.release();
                    }
                    return Poll::Ready(match piece {
                        Piece::Data(data) => Some(Ok(Frame::data(data))),
                        Piece::Trailers(fields) => Some(Ok(Frame::trailers(fields))),
                        Piece::End | Piece::More => None,
                    });
                }
                Err(what) => return self.failed(OriginError::because(Kind::Protocol, what)),
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(more)) if !more.is_empty() => {
                    self.rest = more;
                    self.release_early();
                }
                // The end of the connection, and of what ends with it.
                Poll::Ready(Ok(_)) if self.content.closed() => {}
                Poll::Ready(Ok(_)) => return self.failed(OriginError::new(Kind::Incomplete)),
                Poll::Ready(Err(error)) => return self.failed(OriginError::because(Kind::Incomplete, error)),
                Poll::Pending if self.is_late(cx, silence) => {
                    return self.failed(OriginError::new(Kind::BetweenBytesTimeout));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// More bytes of the connection; none at its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        match &mut self.hold {
            // Everything was said to be here.
            Hold::Nothing => Poll::Ready(Ok(Bytes::new())),
            Hold::Link(link) => {
                if let Some(left) = self.content.left() {
                    link.expect(left);
                }
                link.poll_more(cx)
            }
            // A task that is gone has lost its upload.
            Hold::Task(task) => Poll::Ready(match ready!(task.from.poll_recv(cx)) {
                Some(more) => more,
                None => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the request broke off")),
            }),
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>, silence: Duration) -> bool {
        let starting = !std::mem::replace(&mut self.waiting, true);
        let timer = match &mut self.hold {
            Hold::Nothing => return false,
            Hold::Link(link) => link.timer(),
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

    fn failed(&mut self, error: OriginError) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        Poll::Ready(Some(Err(self.fail(error))))
    }

    /// Gives the connection back where the whole response is already here: most short ones arrive with their head.
    fn release_early(&mut self) {
        if matches!(self.hold, Hold::Link(_))
            && let Some(end) = self.content.end_in(&self.rest)
        {
            // What nobody asked for may be the answer to somebody else.
            self.keep &= end == self.rest.len();
            self.rest.truncate(end);
            self.let_go();
        }
    }

    /// The body is complete: the connection goes back to the pool if it is fit for another request, else it closes.
    fn release(&mut self) {
        self.keep &= self.rest.is_empty();
        self.let_go();
    }

    fn let_go(&mut self) {
        if let Hold::Link(link) = std::mem::replace(&mut self.hold, Hold::Nothing)
            && self.keep
            && let Some(link) = link.for_another_request()
        {
            self.server.keep(link);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.content.is_whole()
    }

    /// Whether all of the body has come from the server, read or not.
    pub(crate) fn has_all(&self) -> bool {
        matches!(self.hold, Hold::Nothing) || self.content.is_whole()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.content.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
