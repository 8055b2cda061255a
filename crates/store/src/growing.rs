//! The growing body of a fill: pieces are put in once and read by any number of readers, each at its own position.
//!
//! As long as the body may still be stored, all pieces are kept: a slow reader slows nobody. A body that outgrows
//! `max_body`, or the bytes that all fills together may hold, is only passed on: nobody new may join, what all readers have
//! passed is dropped, and the writer waits for the slowest reader, so that memory stays flat.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use copal_esi::Piece;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::compact;
use crate::fill::{FillAborted, FillError, NoReaders};
use crate::response::StoredResponse;

/// How far the slowest reader may be behind the writer of a body that is only passed on.
pub(crate) const WINDOW: u64 = 1 << 20;

/// How long a reader of a body that is only passed on may take nothing while others wait for it. Then it is cut off: a slow
/// client slows no follower, and a page that includes such a body twice does not wait for itself.
pub(crate) const STALL: Duration = Duration::from_secs(5);

/// Bytes of text that all growing bodies of a store may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicU64,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { held: AtomicU64::new(0), limit }
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes bytes where there are enough left.
    fn try_take(&self, bytes: u64) -> bool {
        let taken = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Takes bytes in any case: those of a body that is only passed on, which [`WINDOW`] bounds.
    fn take(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How a growing body ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Complete, and not stored.
    Complete,
    /// Complete and stored: the pieces are there now.
    Stored(Arc<StoredResponse>),
    /// The fill broke off.
    Failed(FillError),
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Kept.
    Kept,
    /// The body has just become one that is only passed on.
    Overflowed,
    /// Passed on.
    Passed,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Got {
    /// The next piece.
    Piece(Piece),
    /// There is no more.
    Complete,
    /// Go on in the stored body from this position.
    Stored(Arc<StoredResponse>, Position),
    /// The fill broke off.
    Failed(FillError),
}

/// How much of a body a reader has passed, however its text is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Bytes of text outside of blocks.
    pub(crate) text: u64,
    /// Includes and blocks.
    pub(crate) others: usize,
}

impl Position {
    fn pass(&mut self, piece: &Piece) {
        match piece {
            Piece::Text(text) => self.text += text.len() as u64,
            Piece::Include(_) | Piece::Block(_) => self.others += 1,
        }
    }
}

#[derive(Debug)]
struct Reader {
    /// Number of the piece that it reads next.
    next: usize,
    at: Position,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Kept {
    piece: Piece,
    /// How many readers have not passed it; counted only in a body that is only passed on.
    awaited_by: usize,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Kept>,
    /// Pieces dropped before the first in `pieces`.
    dropped: usize,
    /// Bytes of text ever put in.
    length: u64,
    /// Bytes of text in `pieces`, taken from the budget.
    held: u64,
    overflow: bool,
    end: Option<End>,
    readers: BTreeMap<u64, Reader>,
    readers_ever: u64,
    /// Readers that were left behind; each hears of it at its next turn.
    cut_off: Vec<u64>,
}

/// A growing body.
#[derive(Debug)]
pub(crate) struct Growing {
    state: Mutex<State>,
    /// Told when readers have passed something, or have gone.
    passed: Notify,
    budget: Arc<Budget>,
    max_body: u64,
}

impl Growing {
    /// An empty body. One that is announced to be longer than `max_body` is only passed on from the start.
    pub(crate) fn new(budget: Arc<Budget>, max_body: u64, announced: Option<u64>) -> Self {
        let overflow = announced.is_some_and(|length| length > max_body);
        let state = State { overflow, ..State::default() };
        Self { state: Mutex::new(state), passed: Notify::new(), budget, max_body }
    }

    /// Whether the body may no longer be stored.
    pub(crate) fn overflowed(&self) -> bool {
        self.state.lock().overflow
    }

    /// Adds a reader at the beginning and gives its number; none once something of the body may be gone.
    pub(crate) fn join(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.overflow { None } else { Some(state.add_reader()) }
    }

    /// Adds a reader before anything was put in, which also a body that is only passed on has.
    pub(crate) fn first_reader(&self) -> u64 {
        self.state.lock().add_reader()
    }

    /// Removes a reader.
    pub(crate) fn leave(&self, reader: u64) {
        let mut state = self.state.lock();
        let Some(reader) = state.readers.remove(&reader) else { return };
        if state.overflow {
            state.forget_reader(&reader, &self.budget);
            self.passed.notify_one();
        }
    }

    /// Puts in the next piece and wakes the readers.
    pub(crate) fn put(&self, piece: Piece) -> Put {
        let (put, wakers) = {
            let mut state = self.state.lock();
            let put = state.put(piece, &self.budget, self.max_body);
            (put, state.wakers())
        };
        wakers.into_iter().for_each(Waker::wake);
        put
    }

    /// Waits until the slowest reader of a body that is only passed on is near enough, or was cut off for the others' sake.
    pub(crate) async fn room(&self) -> Result<(), NoReaders> {
        loop {
            let alone = {
                let state = self.state.lock();
                if state.readers.is_empty() {
                    return Err(NoReaders);
                }
                if state.held <= WINDOW {
                    return Ok(());
                }
                state.readers.len() == 1
            };
            // The only waiter: a notice given between the lock and here is kept for it.
            let passed = self.passed.notified();
            if alone {
                // Whoever reads alone may be as slow as its own connection allows.
                passed.await;
            } else if tokio::time::timeout(STALL, passed).await.is_err() {
                self.cut_off_the_slowest();
            }
        }
    }

    fn cut_off_the_slowest(&self) {
        let waker = {
            let mut state = self.state.lock();
            if state.readers.len() < 2 {
                return;
            }
            let slowest = state.readers.iter().min_by_key(|(_, reader)| reader.next).map(|(number, _)| *number);
            let Some((number, reader)) = slowest.and_then(|number| Some((number, state.readers.remove(&number)?)))
            else {
                return;
            };
            state.forget_reader(&reader, &self.budget);
            state.cut_off.push(number);
            reader.waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was put in so far and its length, for storing; none when it may not be stored.
    pub(crate) fn whole(&self) -> Option<(Vec<Piece>, u64)> {
        let state = self.state.lock();
        let pieces = || state.pieces.iter().map(|kept| kept.piece.clone()).collect();
        if state.overflow { None } else { Some((pieces(), state.length)) }
    }

    /// Bytes of text ever put in.
    pub(crate) fn length(&self) -> u64 {
        self.state.lock().length
    }

    /// Ends the body, once.
    pub(crate) fn end(&self, end: End) {
        let wakers = {
            let mut state = self.state.lock();
            if state.end.is_some() {
                return;
            }
            if let End::Stored(_) = end {
                // Readers go on in the stored body, so that these bytes are not held twice.
                state.pieces = VecDeque::new();
                self.budget.give_back(std::mem::take(&mut state.held));
            }
            state.end = Some(end);
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The next piece for a reader, or how it ends.
    pub(crate) fn poll(&self, reader: u64, cx: &mut Context<'_>) -> Poll<Got> {
        let mut state = self.state.lock();
        let before = state.held;
        let got = state.poll(reader, cx, &self.budget);
        if state.held < before && state.held <= WINDOW {
            self.passed.notify_one();
        }
        got
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.budget.give_back(self.state.get_mut().held);
    }
}

impl State {
    fn add_reader(&mut self) -> u64 {
        let number = self.readers_ever;
        self.readers_ever += 1;
        self.readers.insert(number, Reader { next: 0, at: Position::default(), waker: None });
        number
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.readers.values_mut().filter_map(|reader| reader.waker.take()).collect()
    }

    fn put(&mut self, piece: Piece, budget: &Budget, max_body: u64) -> Put {
        let length = text_length(&piece);
        let mut put = if self.overflow { Put::Passed } else { Put::Kept };
        if put == Put::Kept && (self.length.saturating_add(length) > max_body || !budget.try_take(length)) {
            self.overflow(budget);
            put = Put::Overflowed;
        }
        let piece = match piece {
            Piece::Text(text) if put == Put::Kept && compact::stays(self.length, text.len()) => {
                Piece::Text(Bytes::copy_from_slice(&text))
            }
            piece => piece,
        };
        self.length += length;
        if put != Put::Kept && self.readers.is_empty() {
            self.dropped += 1;
            return put;
        }
        if put != Put::Kept {
            budget.take(length);
        }
        self.held += length;
        self.pieces.push_back(Kept { piece, awaited_by: self.readers.len() });
        put
    }

    /// From now on the body is only passed on.
    fn overflow(&mut self, budget: &Budget) {
        self.overflow = true;
        let mut nexts: Vec<usize> = self.readers.values().map(|reader| reader.next).collect();
        nexts.sort_unstable();
        for (number, kept) in (self.dropped..).zip(&mut self.pieces) {
            kept.awaited_by = nexts.partition_point(|next| *next <= number);
        }
        self.drop_passed(budget);
    }

    /// Nothing is kept for this reader any more.
    fn forget_reader(&mut self, reader: &Reader, budget: &Budget) {
        let awaited = reader.next.saturating_sub(self.dropped);
        for kept in self.pieces.iter_mut().skip(awaited) {
            kept.awaited_by = kept.awaited_by.saturating_sub(1);
        }
        self.drop_passed(budget);
    }

    /// Drops the pieces at the front that no reader awaits.
    fn drop_passed(&mut self, budget: &Budget) {
        while self.pieces.front().is_some_and(|kept| kept.awaited_by == 0) {
            if let Some(kept) = self.pieces.pop_front() {
                let length = text_length(&kept.piece);
                self.dropped += 1;
                self.held -= length;
                budget.give_back(length);
            }
        }
    }

    fn poll(&mut self, number: u64, cx: &mut Context<'_>, budget: &Budget) -> Poll<Got> {
        let Some(reader) = self.readers.get_mut(&number) else {
            let cut_off = self.cut_off.contains(&number);
            return Poll::Ready(if cut_off { Got::Failed(Arc::new(FillAborted::LeftBehind)) } else { Got::Complete });
        };
        if let Some(End::Stored(response)) = &self.end {
            return Poll::Ready(Got::Stored(Arc::clone(response), reader.at));
        }
        let place = reader.next.checked_sub(self.dropped);
        if let Some(kept) = place.and_then(|place| self.pieces.get_mut(place)) {
            let piece = kept.piece.clone();
            reader.next += 1;
            reader.at.pass(&piece);
            if self.overflow {
                kept.awaited_by -= 1;
                self.drop_passed(budget);
            }
            return Poll::Ready(Got::Piece(piece));
        }
        match &self.end {
            Some(End::Failed(error)) => Poll::Ready(Got::Failed(Arc::clone(error))),
            Some(_) => Poll::Ready(Got::Complete),
            None => {
                match &mut reader.waker {
                    Some(waker) if waker.will_wake(cx.waker()) => {}
                    waker => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

fn text_length(piece: &Piece) -> u64 {
    piece.text_length() as u64
}
