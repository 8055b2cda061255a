//! One reader of the growing body of a fill.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use copal_esi::Piece;

use crate::fill::{FillAborted, FillError};
use crate::growing::{Got, Growing, Position};
use crate::response::{HeadInfo, StoredResponse};

/// Reads the body of a fill while it grows: text and includes in document order, from the beginning.
///
/// A clone starts at the beginning. Where the body may not be stored any more (it is too long), the beginning may be
/// gone: such a clone gets [`FillAborted::Passed`] at once.
#[derive(Debug)]
pub struct FillReader {
    head: Arc<HeadInfo>,
    growing: Arc<Growing>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The growing body, under this number.
    Growing(u64),
    /// The stored body that it has become: the next piece, and how much of its text has been read.
    Stored { response: Arc<StoredResponse>, piece: usize, offset: usize },
    /// A clone that came too late.
    Late,
    /// Nothing more comes.
    Ended,
}

impl FillReader {
    /// A reader for the leader, before anything was put in.
    pub(crate) fn first(head: Arc<HeadInfo>, growing: Arc<Growing>) -> Self {
        let source = Source::Growing(growing.first_reader());
        Self { head, growing, source }
    }

    /// A reader for a follower; none where the body is only passed on.
    pub(crate) fn join(head: &Arc<HeadInfo>, growing: &Arc<Growing>) -> Option<Self> {
        let source = Source::Growing(growing.join()?);
        Some(Self { head: Arc::clone(head), growing: Arc::clone(growing), source })
    }

    /// The head of the response.
    pub fn head(&self) -> &Arc<HeadInfo> {
        &self.head
    }

    /// The next piece; none at the end of a complete body.
    ///
    /// # Errors
    /// Once, when the fill broke off: the body is incomplete (RFC 9111 §3.3). Then none.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, FillError>>> {
        loop {
            match &mut self.source {
                Source::Ended => return Poll::Ready(None),
                Source::Late => {
                    self.source = Source::Ended;
                    return Poll::Ready(Some(Err(Arc::new(FillAborted::Passed))));
                }
                Source::Stored { response, piece, offset } => {
                    let next = response.body.pieces.get(*piece).map(|next| rest(next, *offset));
                    (*piece, *offset) = (*piece + 1, 0);
                    if next.is_none() {
                        self.source = Source::Ended;
                    }
                    return Poll::Ready(next.map(Ok));
                }
                Source::Growing(number) => {
                    let number = *number;
                    let got = match self.growing.poll(number, cx) {
                        Poll::Ready(got) => got,
                        Poll::Pending => return Poll::Pending,
                    };
                    let (next, source) = match got {
                        Got::Piece(piece) => return Poll::Ready(Some(Ok(piece))),
                        Got::Stored(response, at) => (None, Source::stored(response, at)),
                        Got::Complete => (None, Source::Ended),
                        Got::Failed(error) => (Some(Err(error)), Source::Ended),
                    };
                    self.growing.leave(number);
                    self.source = source;
                    if next.is_some() {
                        return Poll::Ready(next);
                    }
                }
            }
        }
    }

    /// As [`FillReader::poll_next`].
    ///
    /// # Errors
    /// As [`FillReader::poll_next`].
    pub async fn next(&mut self) -> Option<Result<Piece, FillError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl Clone for FillReader {
    fn clone(&self) -> Self {
        let source = self.growing.join().map_or(Source::Late, Source::Growing);
        Self { head: Arc::clone(&self.head), growing: Arc::clone(&self.growing), source }
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        if let Source::Growing(number) = self.source {
            self.growing.leave(number);
        }
    }
}

impl Source {
    /// The stored body from the position reached in the growing one, whose text was cut differently.
    fn stored(response: Arc<StoredResponse>, at: Position) -> Self {
        let mut left = at;
        let mut piece = 0;
        for next in &response.body.pieces {
            match next {
                Piece::Text(text) if left.text >= text.len() as u64 => left.text -= text.len() as u64,
                Piece::Include(_) | Piece::Block(_) if left.others > 0 => left.others -= 1,
                _ => break,
            }
            piece += 1;
        }
        let offset = usize::try_from(left.text).unwrap_or(usize::MAX);
        Self::Stored { response, piece, offset }
    }
}

/// What is left of a piece of which `offset` bytes of text have been read.
fn rest(piece: &Piece, offset: usize) -> Piece {
    match piece {
        Piece::Text(text) if offset > 0 => Piece::Text(text.slice(offset.min(text.len())..)),
        piece => piece.clone(),
    }
}
