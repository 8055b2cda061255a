//! Invalidations: into the log first, then out of what is stored.

use http::HeaderMap;

use super::{Invalidated, Store};
use crate::invalidation::{Invalidation, Subject};
use crate::key::CacheKey;
use crate::log::{Hardness, Sequence, Verdict};
use crate::usage;

impl Store {
    /// Invalidates what `what` names, from this moment on: what is stored, and what fills under way will bring. Costs the
    /// same however much is stored.
    pub fn invalidate(&self, what: &Invalidation, hardness: Hardness) -> Invalidated {
        self.invalidate_all(std::slice::from_ref(what), hardness)
    }

    /// As [`Store::invalidate`] for several, which take the numbers up to the one that is given back: nobody sees the effect of
    /// some of them without that of the others.
    pub fn invalidate_all(&self, all: &[Invalidation], hardness: Hardness) -> Invalidated {
        self.invalidate_by(all, hardness, || self.log.append(all, hardness, self.now()))
    }

    /// As [`Store::invalidate_all`], hard, for what the request does whose response this is: the number of the last, and whether nothing
    /// since `since` and before these names a response with these fields and tags, or may have.
    pub fn invalidate_beside(
        &self,
        all: &[Invalidation],
        key: &CacheKey,
        fields: &HeaderMap,
        tags: &[String],
        since: Sequence,
    ) -> (Sequence, bool) {
        let tags = self.log.dictionary().tags(tags.iter().map(String::as_str), []);
        let subject = Subject { key, tags: &tags, fields: Some(fields), stored: false };
        let mut clear = false;
        let invalidated = self.invalidate_by(all, Hardness::Hard, || {
            let (sequence, verdict) = self.log.append_asking(all, self.now(), subject, since);
            clear = verdict == Verdict::Clear;
            sequence
        });
        (Sequence(invalidated.sequence), clear)
    }

    fn invalidate_by(
        &self,
        all: &[Invalidation],
        hardness: Hardness,
        append: impl FnOnce() -> Sequence,
    ) -> Invalidated {
        let mut keys: Vec<&CacheKey> = all.iter().filter_map(Invalidation::key).collect();
        keys.sort_unstable_by_key(|key| key.hash());
        keys.dedup();
        let valid =
            |key: &&CacheKey| self.memory.get(key).map_or(0, |entry| self.count_valid(key, &entry.known) as u64);
        let removed = keys.iter().map(valid).sum();
        let sequence = append().0;
        if hardness == Hardness::Hard {
            // After the log has it: what is put from here on is compared with it, so that it need not be kept for what is stored.
            keys.into_iter().for_each(|key| self.memory.remove(key));
            usage::add(&self.counters.invalidated, removed);
        }
        if self.sweep_due() {
            self.sweep_wanted.notify_one();
        }
        Invalidated { sequence, removed }
    }
}
