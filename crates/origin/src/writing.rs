//! A request on its way out: its head, then its body in its framing (RFC 9112 §6, §7.1).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{self, HeaderName};
use http::{HeaderMap, Request};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use crate::error::{Kind, OriginError};
use crate::head::{write_fields, write_request};
use crate::request::RequestBody;

/// A buffer larger than this is not kept for the next request, in bytes.
const KEPT: usize = 16 << 10;
/// A body up to this length is copied behind its head: that costs less than to hand it over by itself.
const SHORT: usize = 4 << 10;

/// What of a request was not sent yet. Kept by the connection from one request to the next, for its buffer.
#[derive(Default)]
pub(crate) struct Writing {
    /// Goes out in this order: what of `text` is behind `written`, `data`, `tail`.
    text: Vec<u8>,
    written: usize,
    data: Bytes,
    tail: &'static [u8],
    /// Written, but not out of the stream's own buffers.
    unflushed: bool,
    /// What comes after that.
    body: RequestBody,
    framing: Framing,
    /// The body was asked for more and has nothing: it is its source that everybody waits for.
    waiting: bool,
    /// Nothing can be written any more.
    broken: bool,
}

/// How a stream is framed.
#[derive(Default)]
enum Framing {
    /// It is none.
    #[default]
    Whole,
    /// By its length: what is left of it.
    Length(u64),
    /// In chunks, with those of its trailer fields that were announced.
    Chunked(Vec<HeaderName>),
}

impl Writing {
    /// Begins with a request whose framing fields agree with its body. Takes the body out of it where that is a stream.
    pub(crate) fn begin(&mut self, request: &mut Request<RequestBody>) {
        self.text.clear();
        self.written = 0;
        write_request(request, &mut self.text);
        match request.body() {
            RequestBody::Empty => {}
            RequestBody::Full(bytes) if bytes.len() <= SHORT => self.text.extend_from_slice(bytes),
            RequestBody::Full(bytes) => self.data = bytes.clone(),
            RequestBody::Stream(_) => {
                self.body = std::mem::take(request.body_mut());
                self.framing = framing(request.headers());
            }
        }
    }

    /// All of it is out.
    pub(crate) fn is_done(&self) -> bool {
        self.is_written() && !self.unflushed && matches!(self.body, RequestBody::Empty)
    }

    /// It is an upload of which there is more to come.
    pub(crate) fn is_upload(&self) -> bool {
        !matches!(self.body, RequestBody::Empty)
    }

    /// It is its source that everybody waits for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    fn is_written(&self) -> bool {
        self.written == self.text.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Gives room back that few requests need.
    pub(crate) fn tidy(&mut self) {
        if self.text.capacity() > KEPT {
            *self = Self::default();
        }
    }

    /// Sends as much as can be sent; ready when all of it is out.
    ///
    /// A write that fails is no error here: a server that answers early and closes (413 to a large upload) breaks our writes while its
    /// response still waits to be read. Whoever reads finds out, and is woken by the same event.
    ///
    /// # Errors
    /// `RequestBody` where the body fails or has another length than announced.
    pub(crate) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
    ) -> Poll<Result<(), OriginError>> {
        loop {
            if self.broken {
                return Poll::Pending;
            }
            if let Err(error) = ready!(self.poll_write(cx, socket)) {
                tracing::debug!(%error, "writing to an origin failed");
                self.broken = true;
                return Poll::Pending;
            }
            if !self.is_upload() {
                return Poll::Ready(Ok(()));
            }
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            self.waiting = polled.is_pending();
            match ready!(polled) {
                Some(Ok(frame)) => self.frame(frame)?,
                Some(Err(error)) => return Poll::Ready(Err(OriginError::because(Kind::RequestBody, error))),
                None => self.end(None)?,
            }
        }
    }

    fn poll_write<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let text = &self.text[self.written..];
            let count = if self.data.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut *socket).poll_write(cx, text))?
            } else {
                let slices = [IoSlice::new(text), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                // Not every stream looks beyond the first slice.
                let slices = &slices[usize::from(text.is_empty())..];
                ready!(Pin::new(&mut *socket).poll_write_vectored(cx, slices))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.wrote(count);
        }
        if self.unflushed {
            ready!(Pin::new(socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, count: usize) {
        let of_text = count.min(self.text.len() - self.written);
        self.written += of_text;
        let of_data = (count - of_text).min(self.data.len());
        self.data.advance(of_data);
        let of_tail = (count - of_text - of_data).min(self.tail.len());
        self.tail = &self.tail[of_tail..];
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Result<(), OriginError> {
        match frame.into_data() {
            Ok(data) => self.data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => self.end(Some(&trailers)),
                // There is no third kind.
                Err(_) => Ok(()),
            },
        }
    }

    fn data(&mut self, data: Bytes) -> Result<(), OriginError> {
        if data.is_empty() {
            return Ok(());
        }
        self.text.clear();
        self.written = 0;
        match &mut self.framing {
            Framing::Whole => return Ok(()),
            Framing::Length(left) => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return Err(OriginError::because(Kind::RequestBody, "longer than its Content-Length"));
                };
                *left = rest;
            }
            Framing::Chunked(_) => {
                push_hex(&mut self.text, data.len());
                self.text.extend_from_slice(b"\r\n");
                self.tail = b"\r\n";
            }
        }
        self.data = data;
        Ok(())
    }

    /// The body is over.
    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), OriginError> {
        self.body = RequestBody::Empty;
        match std::mem::take(&mut self.framing) {
            Framing::Whole | Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(OriginError::because(Kind::RequestBody, "shorter than its Content-Length")),
            Framing::Chunked(announced) => {
                self.text.clear();
                self.written = 0;
                self.text.extend_from_slice(b"0\r\n");
                let sent = |name: &HeaderName| announced.contains(name) && may_trail(name);
                let fields = trailers.into_iter().flatten().filter(|(name, _)| sent(name));
                write_fields(fields, &mut self.text);
                self.text.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}

/// How a stream is framed by a request's fields, which agree with it.
fn framing(headers: &HeaderMap) -> Framing {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let lines = headers.get_all(header::TRAILER).iter();
        let names = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
        return Framing::Chunked(names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    Framing::Length(length.unwrap_or_default())
}

/// Fields that a recipient may need before the content, or that frame it, are none for behind it (RFC 9110 §6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONNECTION
            | header::CONTENT_ENCODING
            | header::CONTENT_LENGTH
            | header::CONTENT_RANGE
            | header::CONTENT_TYPE
            | header::COOKIE
            | header::EXPECT
            | header::FORWARDED
            | header::HOST
            | header::MAX_FORWARDS
            | header::PROXY_AUTHORIZATION
            | header::SET_COOKIE
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) && !name.as_str().starts_with("x-forwarded-")
}

fn push_hex(text: &mut Vec<u8>, number: usize) {
    let digits = number.checked_ilog2().unwrap_or_default() / 4;
    text.extend((0..=digits).rev().map(|digit| b"0123456789ABCDEF"[number >> (digit * 4) & 15]));
}
