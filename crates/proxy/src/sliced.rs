//! A body that is put together from slices while it is sent: one is read, and the next is fetched meanwhile. At most two
//! are under way for a client, however long the body is.

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

/// The bytes of a span of the whole, in order.
pub(crate) struct Sliced {
    slices: Arc<Slices>,
    /// What all of them must be of.
    of: Arc<Of>,
    now: Now,
    ahead: Option<Coming>,
    /// The next byte of the whole to be sent, and the last.
    next: u64,
    last: u64,
    /// The slice that has been asked for once more, as it broke off.
    again: Option<u64>,
}

/// What a body's first slice is of, and when the origin said so.
struct Of {
    representation: Representation,
    time: Timestamp,
}

enum Now {
    Reading(Box<Body>),
    Waiting(Coming),
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
    /// The bytes of `span`; `first` is the slice at hand with its number, often the one in which they begin.
    pub(crate) fn new(
        slices: Arc<Slices>,
        representation: Representation,
        (number, source): (u64, Source),
        span: Span,
    ) -> Self {
        let of = Arc::new(Of { time: source.time(), representation });
        let needed = slices.number_of(span.first);
        let coming = if number == needed { Coming::AtHand(Some(source)) } else { Self::begin(&slices, &of, needed) };
        Self { slices, of, now: Now::Waiting(coming), ahead: None, next: span.first, last: span.last, again: None }
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
        while self.next <= self.last {
            let number = self.slices.number_of(self.next);
            match &mut self.now {
                Now::Waiting(coming) => {
                    let source = ready!(coming.poll(cx))?;
                    let (first, last) = self.slices.window(number, self.next, self.last);
                    self.now = Now::Reading(Box::new(source.body(first, last)));
                    if self.slices.number_of(self.last) > number && self.ahead.is_none() {
                        self.ahead = Some(Self::begin(&self.slices, &self.of, number + 1));
                    }
                }
                Now::Reading(body) => match ready!(Pin::new(&mut **body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        self.next += data.len() as u64;
                        if self.slices.number_of(self.next) > number {
                            self.turn(number + 1);
                        }
                        if !data.is_empty() {
                            return Poll::Ready(Ok(Some(data)));
                        }
                    }
                    Some(Err(error)) => self.once_more(number, error)?,
                    None => self.once_more(number, "a slice ended early".into())?,
                },
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Goes on to the next slice.
    fn turn(&mut self, number: u64) {
        if self.next <= self.last {
            let ahead = self.ahead.take().unwrap_or_else(|| Self::begin(&self.slices, &self.of, number));
            self.now = Now::Waiting(ahead);
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
            Found::Fetch { stale, why } => match slices.fetch(number, stale, why).await {
                Ok((source, _)) => source,
                Err(missed) if missed.is_final_word() => break,
                Err(missed) => return Err(missed.detail().into()),
            },
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
