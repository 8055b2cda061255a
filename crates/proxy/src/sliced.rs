//! A body that is put together from slices while it is sent: one is read, and the next is fetched meanwhile. At most two
//! are under way for a client, however long the body is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use copal_semantics::{Span, Timestamp};
use http_body::Body as _;
use tokio::task::JoinHandle;

use crate::body::{Body, BodyError};
use crate::reason::Reason;
use crate::representation::Representation;
use crate::request::Found;
use crate::slice::{Slices, Source};

/// What a body is made of: spans of the whole, with text before each and after the last.
pub(crate) struct Layout {
    pub(crate) parts: VecDeque<(Bytes, Span)>,
    pub(crate) tail: Bytes,
    /// Bytes of all of it.
    pub(crate) length: u64,
}

impl Layout {
    /// One span and nothing else.
    pub(crate) fn of(span: Span) -> Self {
        Self { parts: VecDeque::from([(Bytes::new(), span)]), tail: Bytes::new(), length: span.length() }
    }
}

/// Spans of the whole, in order.
pub(crate) struct Sliced {
    slices: Arc<Slices>,
    /// What all slices must be of.
    of: Arc<Of>,
    layout: Layout,
    /// What is left of the part that is being sent; none between parts.
    left: Option<Span>,
    now: Now,
    /// The slice that is needed after the present one.
    ahead: Option<(u64, Coming)>,
    /// The slice that has been asked for once more, as it broke off.
    again: Option<u64>,
}

/// What a body's first slice is of, and when the origin said so.
struct Of {
    representation: Representation,
    time: Timestamp,
}

enum Now {
    Between,
    Waiting(Coming),
    Reading(Box<Body>),
}

/// A slice that is at hand, or is being fetched; given up when it is dropped (but for its fill, which others may follow).
enum Coming {
    AtHand(Option<Source>),
    Fetching(JoinHandle<Result<Source, BodyError>>),
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Self::Fetching(task) = self {
            task.abort();
        }
    }
}

impl Coming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Source, BodyError>> {
        match self {
            Self::AtHand(source) => Poll::Ready(source.take().ok_or_else(|| "a slice was taken twice".into())),
            Self::Fetching(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(fetched) => Poll::Ready(fetched),
                Err(error) => Poll::Ready(Err(error.into())),
            },
        }
    }
}

impl Sliced {
    /// A body of this layout; `first` is the slice at hand with its number, often the one in which it begins.
    pub(crate) fn new(
        slices: Arc<Slices>,
        representation: Representation,
        (number, first): (u64, Source),
        layout: Layout,
    ) -> Self {
        let of = Arc::new(Of { time: first.time(), representation });
        let ahead = Some((number, Coming::AtHand(Some(first))));
        Self { slices, of, layout, left: None, now: Now::Between, ahead, again: None }
    }

    /// Begins to get a slice: at once where it is stored, else in a task of its own, so that it comes while another is sent.
    fn begin(slices: &Arc<Slices>, of: &Arc<Of>, number: u64) -> Coming {
        if let Found::Usable(response, Reason::Hit) = slices.find(number) {
            let source = Source::Stored(response);
            if source.representation(slices.slice(number)).as_ref() == Some(&of.representation) {
                return Coming::AtHand(Some(source));
            }
        }
        let (slices, of) = (Arc::clone(slices), Arc::clone(of));
        Coming::Fetching(tokio::spawn(async move { get(&slices, &of, number).await }))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            let Some(left) = self.left else {
                let Some((lead, span)) = self.layout.parts.pop_front() else {
                    let tail = std::mem::take(&mut self.layout.tail);
                    return Poll::Ready(Ok((!tail.is_empty()).then_some(tail)));
                };
                self.left = Some(span);
                self.now = Now::Waiting(self.take(self.slices.number_of(span.first)));
                if lead.is_empty() {
                    continue;
                }
                return Poll::Ready(Ok(Some(lead)));
            };
            let number = self.slices.number_of(left.first);
            match &mut self.now {
                Now::Between => self.now = Now::Waiting(self.take(number)),
                Now::Waiting(coming) => {
                    let source = ready!(coming.poll(cx))?;
                    let window = self.slices.slice(number).window(left);
                    self.now = Now::Reading(Box::new(source.body(window)));
                    self.look_ahead(number, left);
                }
                Now::Reading(body) => match ready!(Pin::new(&mut **body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        self.sent(left, data.len() as u64);
                        if !data.is_empty() {
                            return Poll::Ready(Ok(Some(data)));
                        }
                    }
                    Some(Err(error)) => self.once_more(number, error)?,
                    None => self.once_more(number, "a slice ended early".into())?,
                },
            }
        }
    }

    /// Goes on behind what was sent, in the next slice or the next part where this one ends.
    fn sent(&mut self, left: Span, bytes: u64) {
        let first = left.first + bytes;
        if first > left.last {
            self.left = None;
            self.now = Now::Between;
        } else {
            self.left = Some(Span { first, ..left });
            if self.slices.number_of(first) != self.slices.number_of(left.first) {
                self.now = Now::Between;
            }
        }
    }

    /// The slice of this number, which may have come already.
    fn take(&mut self, number: u64) -> Coming {
        match self.ahead.take() {
            Some((ahead, coming)) if ahead == number => coming,
            _ => Self::begin(&self.slices, &self.of, number),
        }
    }

    /// Begins to get the slice that follows, while this one is sent.
    fn look_ahead(&mut self, number: u64, left: Span) {
        let next = match self.slices.number_of(left.last) > number {
            true => Some(number + 1),
            false => self.layout.parts.front().map(|(_, span)| self.slices.number_of(span.first)),
        };
        if let Some(next) = next.filter(|next| *next != number) {
            self.ahead = Some((next, Self::begin(&self.slices, &self.of, next)));
        }
    }

    /// A slice broke off: it is asked for once more, and read from where it was.
    fn once_more(&mut self, number: u64, error: BodyError) -> Result<(), BodyError> {
        if self.again == Some(number) {
            return Err(error);
        }
        self.again = Some(number);
        self.now = Now::Waiting(Self::begin(&self.slices, &self.of, number));
        Ok(())
    }
}

/// A slice of the same representation: stored, or fetched.
///
/// A stored one that is of an older representation is dropped and fetched anew. Where the origin has another representation
/// now, those of the one that is being sent are dropped, so that the next request gets the new one, and this body ends here:
/// two representations are never mixed.
async fn get(slices: &Arc<Slices>, of: &Of, number: u64) -> Result<Source, BodyError> {
    for _ in 0..2 {
        let source = match slices.find(number) {
            Found::Usable(response, _) => Source::Stored(response),
            found => {
                let (stale, why) = found.into_fetch();
                match slices.fetch(number, stale, why).await {
                    Ok((source, _)) => source,
                    Err(missed) if missed.is_final_word() => break,
                    Err(missed) => return Err(missed.detail().into()),
                }
            }
        };
        match source.representation(slices.slice(number)) {
            Some(found) if found == of.representation => return Ok(source),
            Some(found) if source.time() < of.time => slices.forget(&found),
            _ => break,
        }
    }
    slices.forget(&of.representation);
    Err("the file has changed while it was sent".into())
}
