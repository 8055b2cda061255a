//! The one log of invalidations (invariant 8).
//!
//! Each invalidation gets the next sequence number. A response that began at `b` and was last checked at `c ≥ b` is
//! invalid when a matching invalidation has a number above `c`; so a hit compares `c` with the current number, and only
//! when that is newer asks: the tags of the response, which know the newest invalidation of theirs, the index of keys, hosts and
//! paths, and the expressions that are newer.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use copal_semantics::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::index::Index;
use crate::invalidation::{Invalidation, Naming, Subject};
use crate::scanned;
use crate::tags::{Dictionary, Tag};

/// The number of an invalidation; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub(crate) u64);

impl Sequence {
    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// How an invalidation is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hardness {
    /// Never served again.
    Hard,
    /// Stale from now on: served while it is refreshed or while the origin fails, where the rule has grace.
    Soft,
}

/// What the log says about a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing newer matches.
    Clear,
    /// A newer soft invalidation matches: the newest that does.
    Soft(Sequence),
    /// A newer hard invalidation matches, or the log no longer knows.
    Hard,
}

impl Verdict {
    pub(crate) fn of(hardness: Hardness, sequence: Sequence) -> Self {
        match hardness {
            Hardness::Hard => Self::Hard,
            Hardness::Soft => Self::Soft(sequence),
        }
    }

    /// Whether an older invalidation of this hardness would change it.
    pub(crate) fn is_changed_by(self, hardness: Hardness) -> bool {
        match self {
            Self::Clear => true,
            Self::Soft(_) => hardness == Hardness::Hard,
            Self::Hard => false,
        }
    }
}

/// An answer of the log, and up to which number it is the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    pub(crate) upto: Sequence,
    /// When it became stale, where it is soft and that is known.
    pub(crate) softened: Option<Timestamp>,
}

/// The newest invalidations of one thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latest {
    hard: Sequence,
    soft: Sequence,
}

impl Latest {
    pub(crate) fn note(&mut self, sequence: Sequence, hardness: Hardness) {
        let of = match hardness {
            Hardness::Hard => &mut self.hard,
            Hardness::Soft => &mut self.soft,
        };
        *of = (*of).max(sequence);
    }

    pub(crate) fn verdict(&self, since: Sequence) -> Verdict {
        if self.hard > since {
            Verdict::Hard
        } else if self.soft > since {
            Verdict::Soft(self.soft)
        } else {
            Verdict::Clear
        }
    }

    pub(crate) fn soft(&self) -> Sequence {
        self.soft
    }

    pub(crate) fn newest(&self) -> Sequence {
        self.hard.max(self.soft)
    }
}

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    /// Written under the index's write lock, read without.
    current: AtomicU64,
    index: RwLock<Index>,
    /// The newest number by which something began.
    marked: AtomicU64,
    /// When the fills under way began, counted: the log must still know what came after each.
    under_way: Mutex<BTreeMap<Sequence, usize>>,
    dictionary: Arc<Dictionary>,
}

impl Log {
    /// An empty log; `hasher` is the store's secret, with which tags, hosts and paths become 64-bit ids. An index of
    /// more than `limit` invalidations of a kind becomes coarser.
    pub(crate) fn new(hasher: RandomState, limit: usize) -> Self {
        let dictionary = Dictionary::new(hasher.clone());
        let index = RwLock::new(Index::new(hasher, Arc::clone(&dictionary), limit));
        Self { current: AtomicU64::new(0), marked: AtomicU64::new(0), index, under_way: Mutex::default(), dictionary }
    }

    /// The number of the newest invalidation.
    pub(crate) fn current(&self) -> Sequence {
        Sequence(self.current.load(Ordering::Acquire))
    }

    /// The tags that something carries.
    pub(crate) fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Appends invalidations, each with its number, and gives the last one's. Nobody sees some of them without the others.
    ///
    /// `now` is when they come, where that is known.
    pub(crate) fn append(&self, all: &[Invalidation], hardness: Hardness, now: Option<Timestamp>) -> Sequence {
        // Made ready before the lock is taken.
        let ready: Vec<Entry> = all.iter().map(|what| self.entry(what)).collect();
        self.append_to(&mut self.index.write(), ready, hardness, now)
    }

    /// As [`Log::append`] of hard ones; and whether one of those before them that is newer than `since` names `subject`.
    pub(crate) fn append_asking(
        &self,
        all: &[Invalidation],
        now: Option<Timestamp>,
        subject: Subject<'_>,
        since: Sequence,
    ) -> (Sequence, Verdict) {
        let ready: Vec<Entry> = all.iter().map(|what| self.entry(what)).collect();
        let mut index = self.index.write();
        let (indexed, newer) = (index.verdict(subject, since), index.scanned_since(since));
        let sequence = self.append_to(&mut index, ready, Hardness::Hard, now);
        drop(index);
        // `newer` is as it was before: expressions are evaluated without the lock.
        (sequence, newer.map_or(indexed, |newer| scanned::verdict(&newer, subject, since, indexed)))
    }

    fn append_to(&self, index: &mut Index, ready: Vec<Entry>, hardness: Hardness, now: Option<Timestamp>) -> Sequence {
        let mut sequence = Sequence(self.current.load(Ordering::Relaxed));
        if let (Hardness::Soft, Some(now)) = (hardness, now) {
            index.times.note(Sequence(sequence.0 + 1), now);
        }
        for entry in ready {
            sequence.0 += 1;
            index.append(entry, sequence, hardness);
        }
        if index.trim_due() {
            index.trim(self.oldest_fill_of(sequence));
        }
        // Last, so that whoever sees the number also finds the invalidation.
        self.current.store(sequence.0, Ordering::Release);
        sequence
    }

    fn entry(&self, what: &Invalidation) -> Entry {
        match Naming::of(what, &self.dictionary) {
            Naming::Tags(_) => Entry::Tags(what.tags().iter().map(|tag| self.dictionary.hold(tag)).collect()),
            naming => Entry::Other(naming),
        }
    }

    /// Whether something newer than `since` names this.
    pub(crate) fn check(&self, subject: Subject<'_>, since: Sequence) -> Checked {
        let (upto, indexed, newer) = {
            let index = self.index.read();
            let upto = Sequence(self.current.load(Ordering::Relaxed));
            (upto, index.verdict(subject, since), index.scanned_since(since))
        };
        let verdict = newer.map_or(indexed, |newer| scanned::verdict(&newer, subject, since, indexed));
        let softened = match verdict {
            Verdict::Soft(sequence) => self.index.read().times.of(sequence),
            _ => None,
        };
        Checked { verdict, upto, softened }
    }

    /// Evaluates the patterns over tags against every tag that there is, so that no hit has to.
    pub(crate) fn evaluate_tags(&self) {
        let newer = self.index.read().scanned_since(Sequence::default());
        if let Some(newer) = newer {
            self.dictionary.for_each(|tag| newer.evaluate(tag));
        }
    }

    /// The number of the newest invalidation, for something that begins now and is to know what came since.
    pub(crate) fn mark(&self) -> Sequence {
        let now = self.current();
        self.marked.fetch_max(now.0, Ordering::AcqRel);
        now
    }

    /// Whether nothing began since the invalidation with this number.
    pub(crate) fn is_quiet_since(&self, sequence: Sequence) -> bool {
        self.marked.load(Ordering::Acquire) < sequence.0
    }

    /// Notes a fill that begins now. The number must be given back to [`Log::ended`].
    pub(crate) fn began(&self) -> Sequence {
        let mut under_way = self.under_way.lock();
        // Read under the lock: a sweep that looked before has a number that is no newer than this one.
        let began = self.mark();
        *under_way.entry(began).or_default() += 1;
        began
    }

    /// A fill that began at `began` is over, or will not be stored.
    pub(crate) fn ended(&self, began: Sequence) {
        let mut under_way = self.under_way.lock();
        if let Some(count) = under_way.get_mut(&began) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&began);
            }
        }
    }

    /// When the oldest fill under way began; `current` when there is none.
    pub(crate) fn oldest_fill(&self) -> Sequence {
        let under_way = self.under_way.lock();
        under_way.keys().next().copied().unwrap_or_else(|| self.current())
    }

    /// As [`Log::oldest_fill`], while `newest` is not yet to be seen.
    fn oldest_fill_of(&self, newest: Sequence) -> Sequence {
        // A fill that begins from here on, before that is seen, is told all the same: it began below the newest number.
        let under_way = self.under_way.lock();
        under_way.keys().next().copied().unwrap_or_else(|| self.current()).min(newest)
    }

    /// Forgets what is not newer than `upto`. From then on, whatever was last checked before it counts as invalid.
    pub(crate) fn forget(&self, upto: Sequence) {
        self.index.write().forget(upto);
    }

    /// Whether of what is gone through one by one so much is newer than `swept` that there soon is no room.
    pub(crate) fn is_crowded(&self, swept: Sequence) -> bool {
        self.index.read().is_crowded(swept)
    }

    /// How many invalidations the log holds, equal ones merged.
    pub(crate) fn length(&self) -> u64 {
        self.index.read().length()
    }
}

/// An invalidation as the index takes it.
pub(crate) enum Entry {
    /// Each held for the index.
    Tags(Vec<Arc<Tag>>),
    Other(Naming),
}
