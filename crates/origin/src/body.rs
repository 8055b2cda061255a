//! The body of an origin's response.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::OriginError;
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
}

/// A body on its way in, by the version of HTTP that brings it.
pub(crate) enum Reading {
    Http1(link::Reading),
    Http2(Box<http2::Reading>),
}

impl Reading {
    /// Whether all of the body has come from the server, read or not.
    fn has_all(&self) -> bool {
        match self {
            Self::Http1(reading) => reading.has_all(),
            Self::Http2(reading) => reading.has_all(),
        }
    }
}

impl OriginBody {
    /// A body that comes from the lease's server; `None` where the lease is needed elsewhere.
    pub(crate) fn new(reading: Reading, silence: Duration, lease: Option<Lease>) -> Self {
        let mut body = Self { reading: Some(reading), silence, lease };
        body.settle(&Poll::Pending);
        body
    }

    /// Tells how the exchange ended, as soon as it has.
    fn settle(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, OriginError>>>) {
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
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        let silence = self.silence;
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let polled = match reading {
            Reading::Http1(reading) => reading.poll_frame(cx, silence),
            Reading::Http2(reading) => reading.poll_frame(cx, silence),
        };
        if self.lease.is_some() {
            self.settle(&polled);
        }
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.reading = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.reading {
            Some(Reading::Http1(reading)) => reading.is_end_stream(),
            Some(Reading::Http2(reading)) => reading.is_end_stream(),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.reading {
            Some(Reading::Http1(reading)) => reading.size_hint(),
            Some(Reading::Http2(reading)) => reading.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginBody({:?})", self.size_hint())
    }
}
