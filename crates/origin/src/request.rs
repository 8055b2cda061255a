//! The body of a request to an origin.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::tape::Tape;

/// Any error that may cross tasks.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body. `Empty` and `Full` can be sent again on a retry, a stream only where it was kept
/// ([`Retry::replay`](crate::Retry::replay)).
#[derive(Default)]
pub enum RequestBody {
    /// No content.
    #[default]
    Empty,
    /// All of it, in memory.
    Full(Bytes),
    /// As it comes: see [`RequestBody::stream`].
    Stream(Upload),
}

/// A body that comes while it is sent, trailers included.
pub struct Upload {
    body: Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>,
    progress: Arc<Progress>,
}

/// A body that can be had again, however much of it was sent.
pub(crate) enum Kept {
    Empty,
    Full(Bytes),
    Tape(Arc<Tape>),
}

impl Kept {
    /// The body from its beginning.
    pub(crate) fn again(&self) -> Option<RequestBody> {
        match self {
            Kept::Empty => Some(RequestBody::Empty),
            Kept::Full(bytes) => Some(RequestBody::Full(bytes.clone())),
            Kept::Tape(tape) => tape.play().map(RequestBody::stream),
        }
    }
}

/// How far an upload is, for whoever has given it away.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last poll found nothing: it is its source that everybody waits for.
    waiting: AtomicBool,
    /// It was taken to its end, or given up.
    over: AtomicBool,
}

impl Progress {
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl RequestBody {
    /// A body that is sent as it comes.
    pub fn stream<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::Stream(Upload { body: Box::pin(body.map_err(Into::into)), progress: Arc::new(Progress::default()) })
    }

    /// The body to be sent, and the means to send it again: what is in memory is kept as it is, of a stream up to `limit` bytes.
    pub(crate) fn kept(self, limit: usize) -> (Self, Option<Kept>) {
        let kept = match &self {
            RequestBody::Empty => Kept::Empty,
            RequestBody::Full(bytes) => Kept::Full(bytes.clone()),
            RequestBody::Stream(_) if limit == 0 => return (self, None),
            RequestBody::Stream(_) => {
                let tape = Tape::new(Box::pin(self), limit);
                let player = tape.play().map(RequestBody::stream);
                return (player.unwrap_or_default(), Some(Kept::Tape(tape)));
            }
        };
        (self, Some(kept))
    }

    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            RequestBody::Stream(upload) => Some(upload.progress.clone()),
            RequestBody::Empty | RequestBody::Full(_) => None,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.progress.over.store(true, Ordering::Release);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = RequestBody::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            RequestBody::Stream(upload) => {
                let polled = upload.body.as_mut().poll_frame(cx);
                let waiting = &upload.progress.waiting;
                waiting.store(polled.is_pending(), Ordering::Relaxed);
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Full(bytes) => bytes.is_empty(),
            RequestBody::Stream(upload) => upload.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            RequestBody::Stream(upload) => upload.body.size_hint(),
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestBody::Empty => f.write_str("Empty"),
            RequestBody::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            RequestBody::Stream(_) => f.write_str("Stream"),
        }
    }
}
