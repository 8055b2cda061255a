//! Responses that end too early, for clients that know the end of a body only by the end of its connection (HTTP/1.0): those get a reset,
//! because to an orderly close a part of a page looks like the whole (RFC 9112 §8).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::patience::Waits;

/// A response body; tells when it breaks off and its client could not know.
pub(super) struct Told<B> {
    body: B,
    /// Of a connection whose end is the end of the body.
    waits: Option<Arc<Waits>>,
}

impl<B: Body> Told<B> {
    pub(super) fn new(body: B, version: Version, waits: &Arc<Waits>) -> Self {
        Self { body, waits: (version < Version::HTTP_11).then(|| Arc::clone(waits)) }
    }
}

impl<B: Body + Unpin> Body for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(Err(_)), Some(waits)) = (&frame, &self.waits) {
            waits.cut();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
