//! Tags: each text once for all responses that carry it, with the newest invalidations of it.
//!
//! A stored response keeps a pointer for each of its tags, so that a hit that is to be checked needs neither a lock nor hashing.
//! The pointer also gives the tag's place in a small table of the newest numbers, which lies in the processor's cache where the
//! tags do not: most tags need not be looked at themselves. A pattern over tags is evaluated once for each text and each number, whoever asks
//! first; the outcome is kept with the text.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::key::AsHashed;
use crate::log::{Hardness, Sequence, Verdict};
use crate::weigh;

/// One tag.
pub(crate) struct Tag {
    text: Box<str>,
    hash: u64,
    /// Numbers of the newest invalidations that name it.
    hard: AtomicU64,
    soft: AtomicU64,
    /// Patterns up to this number have been evaluated against the text.
    evaluated: AtomicU64,
    /// Sets of tags that it is in, and the log where that keeps it.
    uses: AtomicUsize,
}

impl Tag {
    /// The text as the origin gave it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Hash of the text under the store's secret.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Notes an invalidation that names it.
    pub(crate) fn note(&self, sequence: Sequence, hardness: Hardness) {
        let of = match hardness {
            Hardness::Hard => &self.hard,
            Hardness::Soft => &self.soft,
        };
        of.fetch_max(sequence.0, Ordering::AcqRel);
    }

    /// What the invalidations noted here say to what was last checked at `since`.
    pub(crate) fn verdict(&self, since: Sequence) -> Verdict {
        let soft = self.soft.load(Ordering::Acquire);
        if self.hard.load(Ordering::Acquire) > since.0 {
            Verdict::Hard
        } else if soft > since.0 {
            Verdict::Soft(Sequence(soft))
        } else {
            Verdict::Clear
        }
    }

    /// Up to which number patterns have been evaluated.
    pub(crate) fn evaluated(&self) -> Sequence {
        Sequence(self.evaluated.load(Ordering::Acquire))
    }

    /// All patterns up to this number have been evaluated, and those that match noted before.
    pub(crate) fn note_evaluated(&self, upto: Sequence) {
        self.evaluated.fetch_max(upto.0, Ordering::AcqRel);
    }

    /// Heap bytes of it, its place in the dictionary included.
    fn weight(length: usize) -> usize {
        // A place in the table is a hash, a pointer and a byte; tables are between half and seven eighths full.
        const PLACE: usize = 24;
        weigh::allocated(size_of::<Self>() + 2 * size_of::<usize>()) + weigh::allocated(length) + PLACE
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// The tags of something, each once, in the order of their hashes. A clone is one reference count.
#[derive(Clone, Default)]
pub(crate) struct Tags(Option<Arc<TagSet>>);

struct TagSet {
    held: Box<[Arc<Tag>]>,
    weight: usize,
    dictionary: Arc<Dictionary>,
}

impl Tags {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Tag>> {
        self.0.iter().flat_map(|set| &*set.held)
    }

    /// What the purges by tag that are newer than `since` say.
    pub(crate) fn verdict(&self, since: Sequence) -> Verdict {
        let Some(set) = &self.0 else { return Verdict::Clear };
        let newest = &set.dictionary.newest;
        let mut verdict = Verdict::Clear;
        for tag in &set.held {
            if newest[place(tag)].load(Ordering::Acquire) > since.0 {
                verdict = verdict.max(tag.verdict(since));
            }
        }
        verdict
    }

    /// Whether the tag with this hash is among them.
    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.0.as_ref().is_some_and(|set| set.held.binary_search_by_key(&hash, |tag| tag.hash).is_ok())
    }

    /// Heap bytes: the places, and of each text the share that was left to pay when this set was made.
    pub(crate) fn weight(&self) -> usize {
        self.0.as_ref().map_or(0, |set| set.weight)
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|tag| tag.text())).finish()
    }
}

impl Drop for TagSet {
    fn drop(&mut self) {
        self.held.iter().for_each(|tag| self.dictionary.release(tag));
    }
}

/// Shards of the dictionary: a response that comes in locks one of them for each of its tags.
const SHARDS: usize = 16;

/// Places of the table of the newest numbers: 32 KiB.
const PLACES: usize = 1 << 12;

/// The tag's place, by where it lies in memory: it stays there, and need not be looked at for that.
fn place(tag: &Arc<Tag>) -> usize {
    // Fibonacci hashing: the upper bits of the product are spread well. Twelve are left.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let address = Arc::as_ptr(tag).addr() as u64;
    ((address >> 4).wrapping_mul(SPREAD) >> 52) as usize % PLACES
}

/// By hash. Two texts with one 64-bit hash under a secret are taken for one tag.
type Shard = HashMap<u64, Arc<Tag>, AsHashed>;

/// All tags that something carries, or that the log must remember.
pub(crate) struct Dictionary {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// The number of the newest purge of any tag of a place.
    newest: Box<[AtomicU64; PLACES]>,
}

impl Dictionary {
    pub(crate) fn new(hasher: RandomState) -> Arc<Self> {
        let newest = Box::new([const { AtomicU64::new(0) }; PLACES]);
        Arc::new(Self { hasher, shards: Default::default(), newest })
    }

    pub(crate) fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The set of these tags; `kept` are of other sets that are still there.
    pub(crate) fn tags<'a>(
        self: &Arc<Self>,
        texts: impl IntoIterator<Item = &'a str>,
        kept: impl IntoIterator<Item = &'a Arc<Tag>>,
    ) -> Tags {
        let mut held: Vec<Arc<Tag>> = texts.into_iter().map(|text| self.hold(text)).collect();
        held.extend(kept.into_iter().map(|tag| {
            tag.uses.fetch_add(1, Ordering::AcqRel);
            Arc::clone(tag)
        }));
        held.sort_unstable_by_key(|tag| tag.hash);
        held.dedup_by(|one, other| {
            let same = one.hash == other.hash;
            if same {
                self.release(one);
            }
            same
        });
        if held.is_empty() {
            return Tags::default();
        }
        let shares = held.iter().map(|tag| Tag::weight(tag.text.len()) / tag.uses.load(Ordering::Relaxed).max(1));
        let own = weigh::allocated(size_of::<TagSet>() + 2 * size_of::<usize>());
        let weight = own + weigh::allocated(size_of_val(&*held)) + shares.sum::<usize>();
        Tags(Some(Arc::new(TagSet { held: held.into(), weight, dictionary: Arc::clone(self) })))
    }

    /// Notes a purge that names a tag.
    pub(crate) fn name(&self, tag: &Arc<Tag>, sequence: Sequence, hardness: Hardness) {
        tag.note(sequence, hardness);
        self.newest[place(tag)].fetch_max(sequence.0, Ordering::AcqRel);
    }

    /// The tag of this text, held until [`Dictionary::release`].
    pub(crate) fn hold(&self, text: &str) -> Arc<Tag> {
        let hash = self.hash(text);
        let mut shard = self.shard(hash).lock();
        let tag = shard.entry(hash).or_insert_with(|| {
            Arc::new(Tag {
                text: text.into(),
                hash,
                hard: AtomicU64::new(0),
                soft: AtomicU64::new(0),
                evaluated: AtomicU64::new(0),
                uses: AtomicUsize::new(0),
            })
        });
        tag.uses.fetch_add(1, Ordering::AcqRel);
        Arc::clone(tag)
    }

    /// Gives a tag back; the last one to do so takes it out.
    pub(crate) fn release(&self, tag: &Arc<Tag>) {
        if tag.uses.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut shard = self.shard(tag.hash).lock();
        // It may have been taken up again, or been taken out and made anew.
        let unused = tag.uses.load(Ordering::Acquire) == 0;
        if unused && shard.get(&tag.hash).is_some_and(|other| Arc::ptr_eq(other, tag)) {
            shard.remove(&tag.hash);
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    /// Each tag that is there from before the call to its end. A shard is locked only while its pointers are copied.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Tag)) {
        for shard in &self.shards {
            let tags: Vec<Arc<Tag>> = shard.lock().values().map(Arc::clone).collect();
            tags.iter().for_each(|tag| each(tag));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().len() as u64).sum()
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // Not the bits by which the map inside picks its places.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("tags", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tags: &Tags) -> Vec<&str> {
        let mut texts: Vec<&str> = tags.iter().map(|tag| tag.text()).collect();
        texts.sort_unstable();
        texts
    }

    #[test]
    fn a_text_is_there_once_and_as_long_as_it_is_held() {
        let dictionary = Dictionary::new(RandomState::new());
        let one = dictionary.tags(["a", "b", "a"], []);
        assert_eq!((texts(&one), dictionary.len()), (vec!["a", "b"], 2));
        let other = dictionary.tags(["c"], one.iter());
        assert_eq!((texts(&other), dictionary.len()), (vec!["a", "b", "c"], 3));
        let held = dictionary.hold("b");
        assert!(one.iter().any(|tag| Arc::ptr_eq(tag, &held)));
        drop(one.clone());
        drop(one);
        assert_eq!(dictionary.len(), 3);
        drop(other);
        assert_eq!(dictionary.len(), 1);
        dictionary.release(&held);
        assert_eq!(dictionary.len(), 0);
        assert!(dictionary.tags([], []).iter().next().is_none());
    }

    #[test]
    fn sixteen_bytes_a_tag_where_tags_are_shared() {
        let dictionary = Dictionary::new(RandomState::new());
        let texts: Vec<String> = (0..100).map(|number| format!("taxonomy_term:{number}")).collect();
        let all: Vec<Tags> = (0..1000).map(|_| dictionary.tags(texts.iter().map(String::as_str), [])).collect();
        let weight: usize = all.iter().map(Tags::weight).sum();
        assert!(weight <= 16 * 100 * 1000, "{weight}");
        assert!(all[0].weight() > 100 * (8 + 64), "who brings a text pays for it");
    }
}
