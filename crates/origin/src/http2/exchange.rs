//! One request and the head of its response.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, response};
use tokio::time::{Instant, sleep_until};

use crate::error::{Kind, OriginError};
use crate::head::MAX_HEADER_LINES;
use crate::http2::fields;
use crate::http2::reading::{Reading, UploadTask};
use crate::http2::session::{Limits, Slot};
use crate::http2::upload::{Upload, Uploaded};
use crate::link::{Failed, OnInterim};
use crate::request::{Kept, RequestBody};
use crate::silence::Silence;

/// How many interim responses an exchange may have: they are all memory and no progress.
const MAX_INTERIM: usize = 100;

/// A place on a connection, for one request.
pub(crate) struct Lane {
    sender: SendRequest<Bytes>,
    slot: Slot,
    limits: Limits,
}

/// How the wait for a response's head ended.
enum Outcome {
    Answered(Response<RecvStream>),
    Failed(h2::Error),
    BodyFailed(crate::BoxError),
    TooManyInterim,
    Late,
}

/// What is needed to send a request again.
struct Origin {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Where its body is in memory.
    kept: Option<Kept>,
}

impl Origin {
    /// The same request with this body.
    fn with(self, body: RequestBody) -> Box<Request<RequestBody>> {
        let mut request = Box::new(Request::new(body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers;
        request
    }
}

impl Lane {
    pub(super) fn new(sender: SendRequest<Bytes>, slot: Slot, limits: Limits) -> Self {
        Self { sender, slot, limits }
    }

    /// Sends a request and waits for the head of its response. Dropped, it takes the request back (RFC 9113 §5.4.2, `CANCEL`); the connection stays.
    pub(crate) async fn exchange(
        mut self: Box<Self>,
        request: Box<Request<RequestBody>>,
        on_interim: Option<&OnInterim>,
        silence: Silence<'_>,
        server: Arc<str>,
    ) -> Result<(response::Parts, Reading), Failed> {
        let head = match fields::head(&request, self.limits.tls) {
            Ok(head) => head,
            Err(error) => return Err(Failed::sent(error)),
        };
        let (parts, body) = request.into_parts();
        let (body, kept) = body.kept(0);
        let origin = Origin { method: parts.method, uri: parts.uri, headers: parts.headers, kept };
        let empty = matches!(body, RequestBody::Empty);
        let (mut response, stream) = match self.sender.send_request(head, empty) {
            Ok(sent) => sent,
            Err(error) => {
                let error = OriginError::because(Kind::Connect, error);
                return Err(Failed::unsent(error, origin.with(body)));
            }
        };
        let mut upload = Upload::new(stream, body, &origin.headers);
        let outcome = await_head(&mut response, &mut upload, on_interim, silence).await;
        let error = match outcome {
            Outcome::Answered(response) => return (*self).answered(response, upload, server),
            Outcome::Failed(error) => return Err(self.failed(error, origin, upload)),
            Outcome::BodyFailed(error) => OriginError::because(Kind::RequestBody, error),
            Outcome::TooManyInterim => OriginError::because(Kind::Protocol, "interim responses without end"),
            Outcome::Late if upload.is_starved() => {
                let stalled = io::Error::new(io::ErrorKind::TimedOut, "nothing more came of it");
                OriginError::because(Kind::RequestBody, stalled)
            }
            Outcome::Late => OriginError::new(Kind::FirstByteTimeout),
        };
        Err(Failed::sent(error))
    }

    fn answered(
        self,
        response: Response<RecvStream>,
        upload: Upload,
        server: Arc<str>,
    ) -> Result<(response::Parts, Reading), Failed> {
        let (parts, stream) = response.into_parts();
        check_head(&parts, self.limits.max_header_bytes).map_err(Failed::sent)?;
        let upload = (!upload.is_over()).then(|| UploadTask::spawn(upload));
        let reading = Reading::new(stream, &parts.headers, upload, self.slot, server);
        Ok((parts, reading))
    }

    /// What no response came of. The server certainly did not look at the request where it said so of this stream
    /// (RFC 9113 §8.7), or named the last one that it will look at (§6.8).
    fn failed(&self, error: h2::Error, origin: Origin, upload: Upload) -> Failed {
        let refused = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
        let unheard = error.is_io() || self.slot.is_lost();
        let error = OriginError::because(kind_of(&error), error);
        let body = match &origin.kept {
            _ if !refused => None,
            Some(kept) => kept.again(),
            None => upload.into_body(),
        };
        Failed { error, unsent: body.map(|body| origin.with(body)), unheard }
    }
}

async fn await_head(
    response: &mut ResponseFuture,
    upload: &mut Upload,
    on_interim: Option<&OnInterim>,
    silence: Silence<'_>,
) -> Outcome {
    let (mut moved, mut since) = (upload.moved(), Instant::now());
    let mut timer = pin!(sleep_until(silence.first_look(since)));
    let mut interim = 0;
    poll_fn(|cx| {
        if !upload.is_over()
            && let Poll::Ready(Uploaded::Failed(error)) = upload.poll(cx)
        {
            return Poll::Ready(Outcome::BodyFailed(error));
        }
        if let Poll::Ready(outcome) = poll_head(response, &mut interim, on_interim, cx) {
            return Poll::Ready(outcome);
        }
        if upload.moved() != moved {
            moved = upload.moved();
            since = Instant::now();
            timer.as_mut().reset(silence.first_look(since));
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            match silence.next_look(since) {
                Some(look) => timer.as_mut().reset(look),
                None => return Poll::Ready(Outcome::Late),
            }
        }
    })
    .await
}

fn poll_head(
    response: &mut ResponseFuture,
    interim: &mut usize,
    on_interim: Option<&OnInterim>,
    cx: &mut Context<'_>,
) -> Poll<Outcome> {
    loop {
        match response.poll_informational(cx) {
            Poll::Ready(Some(Ok(_))) if *interim == MAX_INTERIM => return Poll::Ready(Outcome::TooManyInterim),
            Poll::Ready(Some(Ok(head))) => {
                *interim += 1;
                if let Some(on_interim) = on_interim
                    && head.status() != StatusCode::CONTINUE
                {
                    on_interim(head.status(), head.headers());
                }
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Outcome::Failed(error)),
            Poll::Ready(None) => break,
            // Whatever comes next wakes; to ask for the final head now might skip an interim one that comes in between.
            Poll::Pending => return Poll::Pending,
        }
    }
    match Pin::new(response).poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Outcome::Answered(response)),
        Poll::Ready(Err(error)) => Poll::Ready(Outcome::Failed(error)),
        Poll::Pending => Poll::Pending,
    }
}

fn check_head(parts: &response::Parts, max_header_bytes: usize) -> Result<(), OriginError> {
    // RFC 9113 §8.6: there is no switching of protocols.
    if parts.status.is_informational() {
        return Err(OriginError::because(Kind::Protocol, "an interim response as a final one"));
    }
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    match bytes > max_header_bytes || parts.headers.len() > MAX_HEADER_LINES {
        true => Err(OriginError::new(Kind::TooLarge)),
        false => Ok(()),
    }
}

/// What was found wrong here is the protocol; what the server or the network did is an end.
fn kind_of(error: &h2::Error) -> Kind {
    match error.is_library() {
        true => Kind::Protocol,
        false => Kind::Closed,
    }
}
