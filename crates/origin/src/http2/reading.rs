//! The body of a response on its way in.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep_until};

use crate::error::{Kind, OriginError};
use crate::http2::session::Slot;
use crate::http2::upload::Upload;
use crate::link::deadline;

/// A response's body. What is not read holds the window of its stream (RFC 9113 §5.2), and nobody else's. Dropping it before its
/// end takes the request back; the connection stays.
pub(crate) struct Reading {
    stream: RecvStream,
    /// The announced length that is left.
    left: Option<u64>,
    step: Step,
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer runs for the next bytes.
    waiting: bool,
    server: Arc<str>,
    /// Nothing when all of the response is here.
    hold: Option<Hold>,
}

/// What is given back at the end.
struct Hold {
    _slot: Slot,
    _upload: Option<UploadTask>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Data,
    Trailers,
    End,
}

/// The rest of an upload, which goes on although nobody polls the response, and ends with it.
pub(super) struct UploadTask(AbortHandle);

impl UploadTask {
    pub(super) fn spawn(mut upload: Upload) -> Self {
        let running = tokio::spawn(async move {
            // A body that fails resets its stream, so the reader hears of it.
            let ended = poll_fn(|cx| upload.poll(cx)).await;
            tracing::debug!(?ended, "the rest of an upload");
        });
        Self(running.abort_handle())
    }
}

impl Drop for UploadTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reading {
    pub(super) fn new(
        stream: RecvStream,
        headers: &HeaderMap,
        upload: Option<UploadTask>,
        slot: Slot,
        server: Arc<str>,
    ) -> Self {
        let ended = stream.is_end_stream();
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            // A response to HEAD says a length that does not come.
            left: length.filter(|_| !ended),
            step: if ended { Step::End } else { Step::Data },
            hold: (!ended).then_some(Hold { _slot: slot, _upload: upload }),
            stream,
            timer: None,
            waiting: false,
            server,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        silence: Duration,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        if self.step == Step::Data {
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => return Poll::Ready(Some(self.arrived(bytes))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(self.fail(error)))),
                Poll::Ready(None) => self.step = Step::Trailers,
                Poll::Pending => return self.late(cx, silence),
            }
        }
        if self.step == Step::Trailers {
            match self.stream.poll_trailers(cx) {
                Poll::Ready(Ok(trailers)) => {
                    self.end();
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(self.fail(error)))),
                Poll::Pending => return self.late(cx, silence),
            }
        }
        Poll::Ready(None)
    }

    fn arrived(&mut self, bytes: Bytes) -> Result<Frame<Bytes>, OriginError> {
        self.waiting = false;
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        // Taken by the reader: so much may follow. A stream that has ended has no window.
        let _ = self.stream.flow_control().release_capacity(bytes.len());
        if self.stream.is_end_stream() {
            self.end();
        }
        Ok(Frame::data(bytes))
    }

    fn end(&mut self) {
        self.step = Step::End;
        self.hold = None;
    }

    fn fail(&mut self, error: h2::Error) -> OriginError {
        self.end();
        let kind = match error.is_library() && error.reason() != Some(Reason::CANCEL) {
            true => Kind::Protocol,
            false => Kind::Incomplete,
        };
        OriginError::because(kind, error).at(&self.server)
    }

    /// Takes the request back.
    pub(crate) fn give_up(&mut self, error: OriginError) -> OriginError {
        self.end();
        error.at(&self.server)
    }

    fn late(&mut self, cx: &mut Context<'_>, silence: Duration) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        let starting = !std::mem::replace(&mut self.waiting, true);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline(silence))));
        if starting {
            timer.as_mut().reset(deadline(silence));
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.end();
        Poll::Ready(Some(Err(OriginError::new(Kind::BetweenBytesTimeout).at(&self.server))))
    }

    /// Whether all of the body has come from the server, read or not.
    pub(crate) fn has_all(&self) -> bool {
        self.hold.is_none() || self.stream.is_end_stream()
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.step == Step::End
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match (self.step, self.left) {
            (Step::Data, Some(left)) => SizeHint::with_exact(left),
            (Step::Data, None) => SizeHint::default(),
            (Step::Trailers | Step::End, _) => SizeHint::with_exact(0),
        }
    }
}
