//! A request's body on its way out, as fast as the server lets it (RFC 9113 §5.2).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;

use crate::request::{BoxError, RequestBody};

/// A body with the stream that takes it.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    /// What the server has no room for yet.
    rest: Bytes,
    /// How much is left of the announced length.
    left: Option<u64>,
    /// Pieces of the body were taken: it cannot be sent again.
    touched: bool,
    /// It is the body that is waited for.
    starved: bool,
    moved: u64,
    over: bool,
}

/// How an upload ended.
#[derive(Debug)]
pub(super) enum Uploaded {
    /// All of it was sent, or the server wants no more; the response says which.
    Over,
    /// The body failed.
    Failed(BoxError),
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, body: RequestBody, headers: &HeaderMap) -> Self {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (over, left) = match &body {
            RequestBody::Empty => (true, None),
            RequestBody::Full(_) | RequestBody::Stream(_) => (false, announced),
        };
        Self { stream, body, rest: Bytes::new(), left, touched: false, starved: false, moved: 0, over }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Everybody waits for the body.
    pub(super) fn is_starved(&self) -> bool {
        self.starved && !self.over
    }

    /// How many bytes were handed over so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// The body, where none of it was taken.
    pub(super) fn into_body(self) -> Option<RequestBody> {
        (!self.touched).then_some(self.body)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Uploaded> {
        loop {
            if self.over {
                return Poll::Ready(Uploaded::Over);
            }
            if !self.has_room(cx) {
                return match self.over {
                    true => Poll::Ready(Uploaded::Over),
                    false => Poll::Pending,
                };
            }
            if !self.rest.is_empty() {
                self.send_rest();
                continue;
            }
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            self.starved = polled.is_pending();
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(self.end(None)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.fail(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    self.touched = true;
                    match frame.into_data() {
                        Ok(bytes) if self.exceeds(bytes.len()) => {
                            return Poll::Ready(self.fail("longer than announced".into()));
                        }
                        Ok(bytes) => self.rest = bytes,
                        Err(frame) => return Poll::Ready(self.end(frame.into_trailers().ok())),
                    }
                }
            }
        }
    }

    /// Whether the server takes more. When it never will, the upload is over.
    fn has_room(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stream.poll_reset(cx).is_ready() {
            self.over = true;
            return false;
        }
        self.stream.reserve_capacity(self.rest.len().max(1));
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None | Some(Err(_))) => {
                    self.over = true;
                    return false;
                }
                Poll::Pending => {
                    self.starved = false;
                    return false;
                }
            }
        }
        true
    }

    fn send_rest(&mut self) {
        let part = self.rest.split_to(self.stream.capacity().min(self.rest.len()));
        self.moved += part.len() as u64;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(part.len() as u64);
        }
        let last = self.rest.is_empty() && self.body.is_end_stream() && self.left.is_none_or(|left| left == 0);
        self.over = self.stream.send_data(part, last).is_err() || last;
    }

    fn exceeds(&self, length: usize) -> bool {
        self.left.is_some_and(|left| left < length as u64)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Uploaded {
        if self.left.is_some_and(|left| left > 0) {
            return self.fail("shorter than announced".into());
        }
        self.over = true;
        // A stream that is gone by now is the response's to tell.
        let _ = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        Uploaded::Over
    }

    fn fail(&mut self, error: BoxError) -> Uploaded {
        self.over = true;
        self.stream.send_reset(Reason::CANCEL);
        Uploaded::Failed(error)
    }
}
