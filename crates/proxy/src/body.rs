//! The body of a response to a client: bytes at hand, a growing fill, the origin's stream, or an assembled page.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use copal_esi::Piece;
use copal_origin::OriginBody;
use copal_semantics::Span;
use copal_store::{FillReader, StoredResponse};
use http_body::{Body as _, Frame, SizeHint};

use crate::assemble::Assembly;
use crate::sliced::Sliced;
use crate::watch::Watch;

/// Why a body broke off. The connection is closed then, so that the client can tell (RFC 9112 §8).
pub type BodyError = Box<dyn Error + Send + Sync>;

/// A response body. Bodies at hand have an exact length; the others stream.
pub struct Body {
    kind: Kind,
    /// Bytes still to come, where that is known.
    remaining: Option<u64>,
    /// ESI fragments in it.
    fragments: u32,
    watch: Option<Box<Watch>>,
}

enum Kind {
    Empty,
    Bytes(Bytes),
    /// A stored body of several pieces, all of them text: put out from piece `next` on.
    Stored(Arc<StoredResponse>, usize),
    Parts(VecDeque<Bytes>),
    Growing(Box<Growing>),
    /// As it comes; the trailer fields after it where the client takes them.
    Origin(Box<OriginBody>, Trailers),
    Assembled(Box<Assembly>),
    Sliced(Box<Sliced>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trailers {
    Drop,
    Pass,
}

/// A run of bytes up to this length is copied to its neighbours: that costs less than to hand it to the connection by itself.
const SHORT: usize = 4 << 10;

/// So much is put together at most.
const JOINED: usize = 64 << 10;

/// Windows on a body that is being filled.
struct Growing {
    reader: FillReader,
    /// What has been read and not given yet, from the byte `at` on.
    rest: Bytes,
    at: u64,
    /// In ascending order.
    windows: VecDeque<Window>,
    /// What goes after the last.
    tail: Bytes,
}

/// Bytes of a body that are given, and what goes before them.
pub(crate) struct Window {
    lead: Bytes,
    first: u64,
    /// The byte after the last.
    end: u64,
}

impl Window {
    /// These bytes, with `lead` before them.
    pub(crate) fn new(lead: Bytes, span: Span) -> Self {
        Self { lead, first: span.first, end: span.last.saturating_add(1) }
    }
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Kind::Empty, Some(0))
    }

    /// One run of bytes.
    #[must_use]
    pub fn bytes(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        if length == 0 { Self::empty() } else { Self::of(Kind::Bytes(bytes), Some(length)) }
    }

    /// The whole body of a stored response without includes.
    pub(crate) fn stored(response: &Arc<StoredResponse>) -> Self {
        match &*response.body.pieces {
            [] => Self::empty(),
            [Piece::Text(bytes)] => Self::bytes(bytes.clone()),
            _ => Self::of(Kind::Stored(Arc::clone(response), 0), Some(response.body.length)),
        }
    }

    /// Runs of bytes, one after the other.
    pub(crate) fn parts(parts: VecDeque<Bytes>) -> Self {
        let length = parts.iter().map(|part| part.len() as u64).sum();
        Self::of(Kind::Parts(parts), Some(length))
    }

    /// Runs of bytes, one after the other, the short ones put together: a page of many small parts is one run and one write.
    pub(crate) fn runs(parts: &[&Bytes]) -> Self {
        let mut runs = VecDeque::new();
        let mut rest = parts;
        while let Some((first, others)) = rest.split_first() {
            let mut length = 0;
            let together = |part: &&&Bytes| {
                length += part.len();
                part.len() <= SHORT && length <= JOINED
            };
            match rest.iter().take_while(together).count() {
                0 | 1 => {
                    runs.push_back((*first).clone());
                    rest = others;
                }
                count => {
                    let (short, others) = rest.split_at(count);
                    let mut run = Vec::with_capacity(short.iter().map(|part| part.len()).sum());
                    short.iter().for_each(|part| run.extend_from_slice(part));
                    runs.push_back(run.into());
                    rest = others;
                }
            }
        }
        if runs.len() < 2 { Self::bytes(runs.pop_front().unwrap_or_default()) } else { Self::parts(runs) }
    }

    /// A body that is being filled; `length` where the origin announced it.
    pub(crate) fn growing(reader: FillReader, length: Option<u64>) -> Self {
        let all = Window { lead: Bytes::new(), first: 0, end: u64::MAX };
        Self::of(Kind::Growing(Box::new(Growing::new(reader, [all].into(), Bytes::new()))), length)
    }

    /// The bytes `first..=last` of a body that is being filled.
    pub(crate) fn growing_part(reader: FillReader, first: u64, last: u64) -> Self {
        let span = Span { first, last };
        let window = Window::new(Bytes::new(), span);
        Self::of(Kind::Growing(Box::new(Growing::new(reader, [window].into(), Bytes::new()))), Some(span.length()))
    }

    /// Ascending parts of a body that is being filled, each after its lead, then `tail`; `length` bytes in all.
    pub(crate) fn growing_parts(reader: FillReader, windows: VecDeque<Window>, tail: Bytes, length: u64) -> Self {
        Self::of(Kind::Growing(Box::new(Growing::new(reader, windows, tail))), Some(length))
    }

    /// The origin's body, as it comes, without its trailer fields.
    pub(crate) fn origin(body: OriginBody) -> Self {
        Self::passing(body, Trailers::Drop)
    }

    /// The origin's body, as it comes, with its trailer fields (RFC 9110 §6.5).
    pub(crate) fn origin_with_trailers(body: OriginBody) -> Self {
        Self::passing(body, Trailers::Pass)
    }

    fn passing(body: OriginBody, trailers: Trailers) -> Self {
        let length = http_body::Body::size_hint(&body).exact();
        if length == Some(0) { Self::empty() } else { Self::of(Kind::Origin(Box::new(body), trailers), length) }
    }

    /// A page put together while it is sent.
    pub(crate) fn assembled(assembly: Assembly) -> Self {
        Self::of(Kind::Assembled(Box::new(assembly)), None)
    }

    /// A body that is put together from slices while it is sent.
    pub(crate) fn sliced(length: u64, sliced: Sliced) -> Self {
        Self::of(Kind::Sliced(Box::new(sliced)), Some(length))
    }

    fn of(kind: Kind, remaining: Option<u64>) -> Self {
        Self { kind, remaining, fragments: 0, watch: None }
    }

    /// Says how many ESI fragments went into it.
    pub(crate) fn with_fragments(mut self, fragments: u32) -> Self {
        self.fragments = fragments;
        self
    }

    /// Tells `watch` of every byte, and of the end.
    pub(crate) fn watch(&mut self, watch: Box<Watch>) {
        self.watch = Some(watch);
    }

    /// All bytes of a body that is at hand; the body itself, when it still streams.
    pub(crate) fn into_parts_at_hand(mut self) -> Result<Vec<Bytes>, Self> {
        match std::mem::replace(&mut self.kind, Kind::Empty) {
            Kind::Empty => Ok(Vec::new()),
            Kind::Bytes(bytes) => Ok(vec![bytes]),
            Kind::Parts(parts) => Ok(parts.into()),
            Kind::Stored(response, next) => Ok(texts(response.body.pieces.get(next..).unwrap_or_default()).collect()),
            streaming => {
                self.kind = streaming;
                Err(self)
            }
        }
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.kind {
            Kind::Empty => None,
            Kind::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Some(bytes)
            }
            Kind::Parts(parts) => parts.pop_front(),
            Kind::Stored(response, next) => {
                let mut rest = texts(response.body.pieces.get(*next..).unwrap_or_default());
                let text = rest.next();
                *next += 1;
                text
            }
            Kind::Growing(growing) => ready!(growing.poll(cx))?,
            Kind::Origin(body, trailers) => {
                let frame = ready!(Pin::new(&mut **body).poll_frame(cx));
                if *trailers == Trailers::Drop
                    && frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_trailers))
                {
                    // Nothing follows them.
                    self.kind = Kind::Empty;
                    return Poll::Ready(None);
                }
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            Kind::Assembled(assembly) => ready!(assembly.poll(cx))?,
            Kind::Sliced(sliced) => ready!(sliced.poll(cx))?,
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn texts(pieces: &[Piece]) -> impl Iterator<Item = Bytes> + '_ {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Text(bytes) => Some(bytes.clone()),
        Piece::Include(_) | Piece::Block(_) => None,
    })
}

impl Growing {
    fn new(reader: FillReader, windows: VecDeque<Window>, tail: Bytes) -> Self {
        Self { reader, rest: Bytes::new(), at: 0, windows, tail }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        while let Some(window) = self.windows.front_mut() {
            if !window.lead.is_empty() {
                return Poll::Ready(Ok(Some(std::mem::take(&mut window.lead))));
            }
            if self.at >= window.end {
                self.windows.pop_front();
                continue;
            }
            if self.rest.is_empty() {
                match ready!(self.reader.poll_next(cx)) {
                    Some(Ok(Piece::Text(text))) => self.rest = text,
                    Some(Ok(Piece::Include(_) | Piece::Block(_))) => {}
                    Some(Err(error)) => return Poll::Ready(Err(BodyError::from(error.to_string()))),
                    // Shorter than announced: nothing of what was to follow makes it good.
                    None => {
                        self.windows.clear();
                        self.tail.clear();
                    }
                }
                continue;
            }
            let skipped = window.first.saturating_sub(self.at).min(self.rest.len() as u64);
            let _ = self.rest.split_to(skipped as usize);
            self.at += skipped;
            let taken = (window.end - self.at).min(self.rest.len() as u64);
            if taken > 0 {
                self.at += taken;
                return Poll::Ready(Ok(Some(self.rest.split_to(taken as usize))));
            }
        }
        let tail = std::mem::take(&mut self.tail);
        Poll::Ready(Ok((!tail.is_empty()).then_some(tail)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll_kind(cx));
        match &frame {
            Some(Ok(frame)) => {
                let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(remaining) = &mut this.remaining {
                    *remaining = remaining.saturating_sub(sent);
                }
                if let Some(watch) = &mut this.watch {
                    watch.sent(sent);
                    // Nothing follows trailers, and nobody asks whether something does.
                    if this.remaining == Some(0) || frame.is_trailers() {
                        watch.complete();
                    }
                }
            }
            None => {
                if let Some(watch) = &mut this.watch {
                    watch.complete();
                }
            }
            Some(Err(error)) => {
                if let Some(watch) = &this.watch {
                    watch.broke_off(error);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Origin(body, _) => body.is_end_stream(),
            _ => self.remaining == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.remaining {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        // A body without bytes is never polled: it is whole all the same.
        if self.remaining == Some(0) {
            watch.complete();
        }
        watch.fragments(match &self.kind {
            Kind::Assembled(assembly) => assembly.started(),
            _ => self.fragments,
        });
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(lengths: &[usize]) -> Vec<usize> {
        let parts: Vec<Bytes> =
            lengths.iter().enumerate().map(|(index, length)| vec![index as u8; *length].into()).collect();
        let body = Body::runs(&parts.iter().collect::<Vec<_>>());
        assert_eq!(body.size_hint().exact(), Some(lengths.iter().sum::<usize>() as u64));
        let runs = body.into_parts_at_hand().unwrap_or_default();
        assert_eq!(runs.concat(), parts.concat(), "{lengths:?}");
        runs.iter().map(Bytes::len).collect()
    }

    #[test]
    fn short_runs_go_together_and_long_ones_alone() {
        let many = [1000; 70];
        for (lengths, expected) in [
            (&[][..], &[][..]),
            (&[0, 0], &[]),
            (&[5], &[5]),
            (&[2048, 410, 2048, 410], &[4916]),
            (&[5, SHORT + 1, 5, 0, 6], &[5, SHORT + 1, 11]),
            (&[SHORT, SHORT + 1, SHORT + 1], &[SHORT, SHORT + 1, SHORT + 1]),
            (&many, &[65_000, 5000]),
        ] {
            assert_eq!(put_together(lengths), expected, "{lengths:?}");
        }
    }
}
