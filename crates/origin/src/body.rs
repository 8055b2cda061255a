//! The body of an origin's response.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{Kind, OriginError};
use crate::hold::Ahead;
use crate::servers::Lease;
use crate::{http2, link};

/// A response's body as it comes in. Dropping it before its end closes the connection; on one of HTTP/2, only its own stream.
///
/// Nothing is read while nobody polls, so a slow reader slows the origin down and the between-bytes timeout does not count
/// against the reader. A body that ends before its announced length, or before its last chunk, gives an error, never a clean end.
pub struct OriginBody {
    reading: Option<Reading>,
    silence: Duration,
    /// The request is under way until the last of the body is here.
    lease: Option<Lease>,
    /// What few bodies have.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    /// Pieces that were read before the head was given out.
    ahead: VecDeque<Frame<Bytes>>,
    /// When the whole exchange has to be over.
    deadline: Option<Pin<Box<Sleep>>>,
}

type Item = Option<Result<Frame<Bytes>, OriginError>>;

/// A body on its way in, by the version of HTTP that brings it.
pub(crate) enum Reading {
    Http1(link::Reading),
    Http2(Box<http2::Reading>),
}

impl Reading {
    fn poll_frame(&mut self, cx: &mut Context<'_>, silence: Duration) -> Poll<Item> {
        match self {
            Self::Http1(reading) => reading.poll_frame(cx, silence),
            Self::Http2(reading) => reading.poll_frame(cx, silence),
        }
    }

    /// Whether all of it has come from the server, as far as that can be told without reading it.
    fn has_all(&self) -> bool {
        match self {
            Self::Http1(reading) => reading.has_all(),
            Self::Http2(reading) => reading.has_all(),
        }
    }

    /// Gives the rest of it up.
    fn fail(&mut self, error: OriginError) -> OriginError {
        match self {
            Self::Http1(reading) => reading.fail(error),
            Self::Http2(reading) => reading.give_up(error),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(reading) => reading.is_end_stream(),
            Self::Http2(reading) => reading.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(reading) => reading.size_hint(),
            Self::Http2(reading) => reading.size_hint(),
        }
    }
}

impl OriginBody {
    /// A body that comes from the lease's server; `None` where the lease is needed elsewhere.
    pub(crate) fn new(reading: Reading, silence: Duration, lease: Option<Lease>) -> Self {
        let mut body = Self { reading: Some(reading), silence, lease, more: None };
        body.settle(&Poll::Pending);
        body
    }

    /// The whole of it has to come before `deadline`.
    pub(crate) fn ends_by(&mut self, deadline: Pin<Box<Sleep>>) {
        self.more.get_or_insert_default().deadline = Some(deadline);
    }

    /// Whether nothing is to come from the server any more, though not everything may have been read here.
    pub(crate) fn has_all(&self) -> bool {
        self.reading.as_ref().is_none_or(Reading::has_all)
    }

    /// Reads until everything has come from the server, at most as far as `ahead` says, and keeps it for whoever reads then.
    ///
    /// # Errors
    /// Why it broke off.
    pub(crate) async fn read_ahead(&mut self, ahead: Option<Ahead>) -> Result<(), OriginError> {
        let mut bytes_left = ahead.map_or(usize::MAX, |ahead| ahead.bytes);
        let mut pieces_left = ahead.map_or(usize::MAX, |ahead| ahead.pieces);
        let mut moment = pin!(ahead.map(|ahead| sleep_until(Instant::now() + ahead.time)));
        while !self.has_all() && bytes_left > 0 && pieces_left > 0 {
            let next = poll_fn(|cx| match (self.poll_wire(cx), moment.as_mut().as_pin_mut()) {
                (Poll::Pending, Some(moment)) => moment.poll(cx).map(|()| None),
                (Poll::Pending, None) => Poll::Pending,
                (Poll::Ready(item), _) => Poll::Ready(item),
            });
            let Some(frame) = next.await.transpose()? else { break };
            bytes_left = bytes_left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            pieces_left -= 1;
            self.more.get_or_insert_default().ahead.push_back(frame);
        }
        Ok(())
    }

    /// The pieces that were read ahead.
    fn ahead(&self) -> impl Iterator<Item = &Frame<Bytes>> {
        self.more.iter().flat_map(|more| &more.ahead)
    }

    /// What comes from the server.
    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Item> {
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let polled = reading.poll_frame(cx, self.silence);
        if self.lease.is_some() {
            self.settle(&polled);
        }
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.reading = None;
        }
        polled
    }

    /// Tells how the exchange ended, as soon as it has.
    fn settle(&mut self, polled: &Poll<Item>) {
        match polled {
            Poll::Ready(Some(Err(error))) => self.lease.take().map(|lease| lease.failed(error.kind())),
            Poll::Ready(None) => self.lease.take().map(Lease::over),
            // Nothing is to come from the server any more, though not everything may have been read here.
            Poll::Ready(Some(Ok(_))) | Poll::Pending => match &self.reading {
                Some(reading) if reading.has_all() => self.lease.take().map(Lease::over),
                _ => None,
            },
        };
    }

    /// From now on it may be silent for so long, whatever the between-bytes timeout was.
    pub fn be_patient(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// A piece that was read ahead, or that the time is over.
    fn ahead_or_late(&mut self, cx: &mut Context<'_>) -> Item {
        let has_all = self.has_all();
        let more = self.more.as_mut()?;
        let over = more.deadline.as_mut().filter(|_| !has_all).is_some_and(|end| end.as_mut().poll(cx).is_ready());
        if over && let Some(mut reading) = self.reading.take() {
            // It may have been the reader who took the time: nothing is said of the server.
            (self.more, self.lease) = (None, None);
            return Some(Err(reading.fail(OriginError::new(Kind::TotalTimeout))));
        }
        more.ahead.pop_front().map(Ok)
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        if self.more.is_some()
            && let Some(item) = self.ahead_or_late(cx)
        {
            return Poll::Ready(Some(item));
        }
        self.poll_wire(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead().next().is_none() && self.reading.as_ref().is_none_or(Reading::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.reading.as_ref().map_or_else(|| SizeHint::with_exact(0), Reading::size_hint);
        let ahead: u64 = self.ahead().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        if ahead > 0 {
            let upper = hint.upper().map(|upper| upper.saturating_add(ahead));
            let lower = hint.lower().saturating_add(ahead);
            hint = SizeHint::new();
            hint.set_lower(lower);
            upper.into_iter().for_each(|upper| hint.set_upper(upper));
        }
        hint
    }
}

impl fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginBody({:?})", self.size_hint())
    }
}
