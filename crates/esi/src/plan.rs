//! The order of assembly: which fragments to start now, and what may be put out next.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::template::{Include, Piece};

/// Names one include of one plan. Ids ascend in document order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId(usize);

/// What may be put out next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These bytes.
    Text(Bytes),
    /// The body of this fragment, which has been started; then [`Plan::done`].
    Fragment(FragmentId),
    /// Nothing now: for more pieces, or for a fragment that [`Plan::start_next`] may start once another is finished.
    Wait,
    /// Nothing more.
    End,
}

/// Assembles one page, without doing any of it: pieces go in by [`Plan::add`], and the caller starts, streams
/// and ends what the plan names. Fragments start in document order as soon as they are known, so that the time
/// of a page is that of its slowest fragment; everything is put out in document order.
///
/// The caller's loop is: start all that [`Plan::start_next`] gives; then do what [`Plan::next`] says.
///
/// The plan never waits for itself: what is next is text, or a fragment that runs, or was started and waits for
/// nothing but its own body; only while `max_concurrent` fragments that were already put out have not been
/// reported as finished can the next one be held up.
#[derive(Debug)]
pub struct Plan {
    max_concurrent: usize,
    max_includes: usize,
    read_ahead: usize,
    queue: VecDeque<Slot>,
    /// Fragments not started yet, in document order.
    waiting: VecDeque<(FragmentId, Arc<Include>)>,
    running: Vec<FragmentId>,
    /// Bytes of text in the queue, with what a slot costs.
    queued: usize,
    includes: usize,
    dropped: usize,
    ended: bool,
}

#[derive(Debug)]
enum Slot {
    Text(Bytes),
    Fragment(FragmentId),
}

impl Slot {
    fn cost(&self) -> usize {
        let text = match self {
            Self::Text(text) => text.len(),
            Self::Fragment(_) => 0,
        };
        size_of::<Self>() + text
    }
}

impl Plan {
    /// Bytes that are read ahead by default while a fragment is waited for.
    pub const DEFAULT_READ_AHEAD: usize = 1024 * 1024;

    /// A plan with at most `max_concurrent` fragments under way at a time (0 counts as 1) and at most `max_includes`
    /// fragments in all.
    #[must_use]
    pub fn new(max_concurrent: usize, max_includes: usize) -> Self {
        Self {
            max_concurrent: max_concurrent.max(1),
            max_includes,
            read_ahead: Self::DEFAULT_READ_AHEAD,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            queued: 0,
            includes: 0,
            dropped: 0,
            ended: false,
        }
    }

    /// Sets how many bytes of template [`Plan::wants_more`] reads ahead.
    #[must_use]
    pub fn with_read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Adds the next piece of the template. An include beyond `max_includes` is dropped and counted, see
    /// [`Plan::dropped`].
    pub fn add(&mut self, piece: Piece) {
        let slot = match piece {
            Piece::Text(text) if text.is_empty() => return,
            Piece::Text(text) => Slot::Text(text),
            Piece::Include(_) if self.includes >= self.max_includes => {
                self.dropped = self.dropped.saturating_add(1);
                return;
            }
            Piece::Include(include) => {
                let id = FragmentId(self.includes);
                self.includes += 1;
                self.waiting.push_back((id, include));
                Slot::Fragment(id)
            }
        };
        self.queued = self.queued.saturating_add(slot.cost());
        self.queue.push_back(slot);
    }

    /// No more pieces will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether to add pieces although there is something to do: true while less than the read-ahead is queued, so
    /// that fragments further on are found while an earlier one is slow. What is queued of a stored template
    /// costs no memory of its own; of one that is just coming in it does.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.ended && self.queued < self.read_ahead
    }

    /// The next fragment to start, in document order, while fewer than `max_concurrent` are under way.
    pub fn start_next(&mut self) -> Option<(FragmentId, Arc<Include>)> {
        if self.running.len() >= self.max_concurrent {
            return None;
        }
        let (id, include) = self.waiting.pop_front()?;
        self.running.push(id);
        Some((id, include))
    }

    /// The work for this fragment is over and its slot free, though its body may still have to be put out.
    /// Again, or for a fragment that is not under way, it does nothing.
    pub fn finished(&mut self, id: FragmentId) {
        self.running.retain(|running| *running != id);
    }

    /// What may be put out next. Text is handed over; a fragment stays next until [`Plan::done`].
    #[expect(clippy::should_implement_trait, reason = "`Wait` is no end, so this is no iterator")]
    pub fn next(&mut self) -> Next {
        match self.queue.front() {
            Some(Slot::Text(text)) => {
                let text = text.clone();
                self.pop();
                Next::Text(text)
            }
            Some(Slot::Fragment(id)) if self.started(*id) => Next::Fragment(*id),
            Some(Slot::Fragment(_)) => Next::Wait,
            None if self.ended => Next::End,
            None => Next::Wait,
        }
    }

    /// The body of this fragment, or what stands for it, is out. This also counts as [`Plan::finished`].
    /// For a fragment that is not next, only that.
    pub fn done(&mut self, id: FragmentId) {
        self.finished(id);
        if matches!(self.queue.front(), Some(Slot::Fragment(next)) if *next == id && self.started(id)) {
            self.pop();
        }
    }

    /// How many includes were dropped because of `max_includes`.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// How many fragments are under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    fn pop(&mut self) {
        if let Some(slot) = self.queue.pop_front() {
            self.queued = self.queued.saturating_sub(slot.cost());
        }
    }

    fn started(&self, id: FragmentId) -> bool {
        self.waiting.front().is_none_or(|(waiting, _)| id < *waiting)
    }
}
