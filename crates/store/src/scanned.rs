//! Invalidations that are gone through one by one: prefixes, expressions, and conditions that must all hold.
//!
//! The list is not changed while somebody reads it: who checks takes a reference and lets go of the lock before any expression is
//! evaluated.

use std::collections::HashMap;
use std::sync::Arc;

use crate::invalidation::{Naming, Subject};
use crate::log::{Hardness, Sequence, Verdict};
use crate::tags::Tag;

/// How many are kept one by one.
pub(crate) const MOST: usize = 1024;

/// This part of what is kept one by one has a sweep made, so that what comes meanwhile has room.
const CROWDED: usize = 8;

/// Bytes of text of all of them.
pub(crate) const MOST_TEXT: usize = 1 << 20;

/// One of them.
#[derive(Debug)]
struct Entry {
    naming: Naming,
    sequence: Sequence,
    hardness: Hardness,
    text: Arc<str>,
}

/// All of them, in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanned {
    entries: Vec<Arc<Entry>>,
    /// By what they name, so that an equal one takes the place of the one before.
    known: HashMap<(Arc<str>, Hardness), Sequence>,
    text: usize,
    newest: Sequence,
    newest_tag_pattern: Sequence,
}

/// What becomes of one for which there is no room: everything on a host, or everything.
pub(crate) struct Overflow {
    pub(crate) host: Option<Box<str>>,
    pub(crate) sequence: Sequence,
    pub(crate) hardness: Hardness,
}

impl Scanned {
    /// The number of the newest ever appended.
    pub(crate) fn newest(&self) -> Sequence {
        self.newest
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there soon is no room for more; those that the last sweep had to leave (`swept`) do not count.
    pub(crate) fn is_crowded(&self, swept: Sequence) -> bool {
        let newer = self.entries.len() - self.entries.partition_point(|entry| entry.sequence <= swept);
        newer > MOST / CROWDED || (newer > 0 && self.text > MOST_TEXT / 2)
    }

    /// Takes in one with a number above all before; gives what had to go for it, the oldest half.
    pub(crate) fn append(&mut self, naming: Naming, sequence: Sequence, hardness: Hardness) -> Vec<Overflow> {
        let text: Arc<str> = naming.text().into();
        self.newest = sequence;
        if matches!(naming, Naming::TagPattern(_)) {
            self.newest_tag_pattern = sequence;
        }
        match self.known.insert((Arc::clone(&text), hardness), sequence) {
            Some(before) => self.entries.retain(|entry| entry.sequence != before),
            None => self.text += text.len(),
        }
        self.entries.push(Arc::new(Entry { naming, sequence, hardness, text }));
        let mut over = Vec::new();
        while self.entries.len() > MOST || self.text > MOST_TEXT {
            let half = self.entries.len().div_ceil(2);
            let oldest: Vec<Arc<Entry>> = self.entries.drain(..half).collect();
            over.extend(oldest.iter().map(|entry| entry.coarser()));
            oldest.iter().for_each(|entry| self.drop_text(entry));
        }
        over
    }

    pub(crate) fn forget(&mut self, upto: Sequence) {
        let forgotten = self.entries.partition_point(|entry| entry.sequence <= upto);
        let forgotten: Vec<Arc<Entry>> = self.entries.drain(..forgotten).collect();
        forgotten.iter().for_each(|entry| self.drop_text(entry));
        self.entries.shrink_to_fit();
        self.known.shrink_to_fit();
    }

    fn drop_text(&mut self, entry: &Entry) {
        self.known.remove(&(Arc::clone(&entry.text), entry.hardness));
        self.text -= entry.text.len();
    }

    /// Evaluates the patterns over tags that are newer than the last evaluation of this tag.
    pub(crate) fn evaluate(&self, tag: &Tag) {
        let evaluated = tag.evaluated();
        if evaluated >= self.newest_tag_pattern {
            return;
        }
        for entry in self.since(evaluated) {
            if let Naming::TagPattern(regex) = &entry.naming
                && regex.is_match(tag.text())
            {
                tag.note(entry.sequence, entry.hardness);
            }
        }
        tag.note_evaluated(self.newest_tag_pattern);
    }

    /// Those that are newer, the newest first.
    fn since(&self, since: Sequence) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().take_while(move |entry| entry.sequence > since).map(|entry| &**entry)
    }
}

impl Entry {
    fn coarser(&self) -> Overflow {
        let host = match &self.naming {
            Naming::Prefix { host, .. } => host.clone(),
            Naming::Match(conditions) => conditions.exact_host().map(Box::from),
            _ => None,
        };
        Overflow { host, sequence: self.sequence, hardness: self.hardness }
    }
}

/// What those newer than `since` say about this, beside what is `known` already.
pub(crate) fn verdict(scanned: &Scanned, subject: Subject<'_>, since: Sequence, known: Verdict) -> Verdict {
    let mut verdict = known;
    if scanned.newest_tag_pattern > since {
        for tag in subject.tags.iter() {
            scanned.evaluate(tag);
            verdict = verdict.max(tag.verdict(since));
        }
    }
    for entry in scanned.since(since) {
        let is_for_tags = matches!(entry.naming, Naming::TagPattern(_));
        if verdict.is_changed_by(entry.hardness) && !is_for_tags && entry.naming.names(subject) {
            verdict = verdict.max(Verdict::of(entry.hardness, entry.sequence));
        }
    }
    verdict
}
