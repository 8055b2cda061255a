//! The map from cache key to stored responses, within a limit of memory. The only file that names moka.
//!
//! moka bounds memory and ends retention; it decides nothing (invariant 6). One entry holds all variants of a key
//! (invariant 7) and is never changed: a change puts a new entry that shares the responses.
//!
//! Eviction is least recently used. moka's TinyLFU admits an entry only when it was asked for more often than all the
//! entries together that would have to go for it, counted up to 15 each: in a full store of small pages an image of a
//! megabyte would never be stored, however popular.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapWeak;
use copal_semantics::Timestamp;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use smallvec::SmallVec;

use crate::key::{AsHashed, CacheKey};
use crate::log::Sequence;
use crate::response::StoredResponse;
use crate::usage::{self, Counters};
use crate::weigh;

/// moka counts an entry's weight in 32 bits; in units of this many bytes that is 64 GiB.
const UNIT: usize = 16;

/// This part of the capacity may be put before what is too much is evicted; moka alone waits for 64 entries, which may be
/// gigabytes.
const SETTLE_AFTER: u64 = 64;

/// Nothing more is put while the map is over its capacity by this part of it and [`OVER_ALWAYS`] bytes. moka frees what
/// it has evicted when no thread can look at it any more; a thread that does not run holds that up for as long.
const OVER: u64 = 32;

/// What waits to be freed however small the capacity is: each thread keeps some entries until it has 64.
const OVER_ALWAYS: u64 = 1 << 20;

/// How often what waits is tried to be freed before there is no room.
const TRIES: usize = 4;

/// That responses for a key were lately not to be stored (hit-for-miss, invariant 2).
#[derive(Debug)]
pub(crate) struct HitForMiss {
    pub(crate) until: Timestamp,
    /// Up to which number no invalidation names the key; at first, when the fetch began that told so.
    pub(crate) checked: AtomicU64,
}

impl HitForMiss {
    pub(crate) fn new(until: Timestamp, began: Sequence) -> Arc<Self> {
        Arc::new(Self { until, checked: AtomicU64::new(began.0) })
    }
}

/// Stored responses of one key. Most keys have one, which is then found without one more step through memory.
pub(crate) type Variants = SmallVec<[Arc<StoredResponse>; 1]>;

/// What is known for one cache key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The newest first.
    pub(crate) variants: Variants,
    pub(crate) hit_for_miss: Option<Arc<HitForMiss>>,
}

/// What is known for one cache key, as it lies in the map.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    pub(crate) known: Known,
    weight: usize,
    /// How long to keep it from now; none to leave the time as it is.
    keep: Option<Duration>,
    counters: Arc<Counters>,
    /// Set once it has been taken from the counters.
    left: AtomicBool,
}

impl KeyEntry {
    fn new(key: &CacheKey, known: Known, keep: Option<Duration>, counters: &Arc<Counters>) -> Arc<Self> {
        let responses: usize = known.variants.iter().map(|response| response.weight()).sum();
        let slots =
            if known.variants.spilled() { known.variants.capacity() * size_of::<Arc<StoredResponse>>() } else { 0 };
        let weight = weigh::key(key.len()) + weigh::allocated(slots) + responses;
        usage::add(&counters.stored_responses, known.variants.len() as u64);
        usage::add(&counters.stored_bytes, weight as u64);
        usage::add(&counters.unfreed_bytes, weight as u64);
        Arc::new(Self { known, weight, keep, counters: Arc::clone(counters), left: AtomicBool::new(false) })
    }

    /// It went for want of room, or its time was up.
    fn evicted(&self) {
        if self.leave() {
            usage::add(&self.counters.evicted, self.known.variants.len() as u64);
        }
    }

    /// Takes it from the counters; whether this was the first time.
    fn leave(&self) -> bool {
        let first = !self.left.swap(true, Ordering::AcqRel);
        if first {
            usage::take(&self.counters.stored_responses, self.known.variants.len() as u64);
            usage::take(&self.counters.stored_bytes, self.weight as u64);
        }
        first
    }
}

impl Drop for KeyEntry {
    /// An entry that was neither replaced nor removed has been evicted.
    fn drop(&mut self) {
        usage::take(&self.counters.unfreed_bytes, self.weight as u64);
        self.evicted();
    }
}

/// Where a key's entry was found, for whoever looks for the same one again and again: it is not searched for in the map each time.
///
/// It keeps nothing alive, and an entry that has left the map is not found by it. The map counts a use when it is asked, so
/// it is asked once a second all the same: what is used in this way is not evicted before what is not.
pub struct Place {
    entry: ArcSwapWeak<KeyEntry>,
    /// The second in which the map was asked.
    asked: AtomicU64,
}

impl Default for Place {
    fn default() -> Self {
        Self { entry: ArcSwapWeak::new(Weak::new()), asked: AtomicU64::new(u64::MAX) }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Place {
    fn entry(&self, second: u64) -> Option<Arc<KeyEntry>> {
        if self.asked.load(Ordering::Acquire) != second {
            return None;
        }
        self.entry.load().upgrade().filter(|entry| !entry.left.load(Ordering::Acquire))
    }

    fn note(&self, entry: &Arc<KeyEntry>, second: u64) {
        // Writing waits for readers.
        if !std::ptr::eq(self.entry.load().as_ptr(), Arc::as_ptr(entry)) {
            self.entry.store(Arc::downgrade(entry));
        }
        self.asked.store(second, Ordering::Release);
    }
}

/// What to do with the entry of a key.
pub(crate) enum Change {
    /// Leave it.
    Leave,
    /// Put this in its place. With a `now`, it is kept as long as its longest use; without, as long as before.
    Put(Known, Option<Timestamp>),
}

/// The map.
pub(crate) struct Memory {
    cache: Cache<CacheKey, Arc<KeyEntry>, AsHashed>,
    counters: Arc<Counters>,
    unsettled: AtomicU64,
    capacity: u64,
}

impl Memory {
    /// A map for which the process grows by at most `limit` bytes.
    pub(crate) fn new(limit: u64, counters: Arc<Counters>) -> Self {
        let capacity = weigh::capacity(limit);
        let cache = Cache::builder()
            .max_capacity(capacity / UNIT as u64)
            .weigher(|_: &CacheKey, entry: &Arc<KeyEntry>| {
                u32::try_from(entry.weight.div_ceil(UNIT)).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Retention)
            // Nothing is freed before no thread can look at it any more, and until then a place would find it.
            .eviction_listener(|_, entry: Arc<KeyEntry>, cause| {
                if cause.was_evicted() {
                    entry.evicted();
                }
            })
            .build_with_hasher(AsHashed);
        Self { cache, counters, unsettled: AtomicU64::new(0), capacity }
    }

    /// What is known for a key.
    pub(crate) fn get(&self, key: &CacheKey) -> Option<Arc<KeyEntry>> {
        self.cache.get(key)
    }

    /// As [`Memory::get`], for a key that is looked for again and again.
    pub(crate) fn get_at(&self, key: &CacheKey, place: &Place, now: Timestamp) -> Option<Arc<KeyEntry>> {
        let second = now.as_secs();
        place.entry(second).or_else(|| {
            let entry = self.get(key)?;
            place.note(&entry, second);
            Some(entry)
        })
    }

    /// Bytes that it may hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether more may be put: the limit holds even when nothing is freed for a while.
    pub(crate) fn has_room(&self) -> bool {
        let full = || usage::read(&self.counters.unfreed_bytes) > self.capacity + self.capacity / OVER + OVER_ALWAYS;
        if full() {
            self.settle();
        }
        for _ in 0..TRIES {
            if !full() {
                return true;
            }
            crossbeam_epoch::pin().flush();
            std::thread::yield_now();
        }
        !full()
    }

    /// Changes what is known for a key. Changes of one key come one after the other.
    pub(crate) fn change(&self, key: &CacheKey, change: impl FnOnce(Option<&Known>) -> Change) {
        let mut put = 0;
        self.cache.entry_by_ref(key).and_compute_with(|entry| {
            let before = entry.map(moka::Entry::into_value);
            let (known, now) = match change(before.as_deref().map(|entry| &entry.known)) {
                Change::Leave => return Op::Nop,
                Change::Put(known, now) => (known, now),
            };
            if let Some(before) = before {
                before.leave();
            }
            if known.variants.is_empty() && known.hit_for_miss.is_none() {
                return Op::Remove;
            }
            let keep = now.map(|now| longest_use(&known, now));
            let entry = KeyEntry::new(key, known, keep, &self.counters);
            put = entry.weight as u64;
            Op::Put(entry)
        });
        self.settle_after(put);
    }

    /// Removes all that is known for a key, in turn with other changes of it.
    pub(crate) fn remove(&self, key: &CacheKey) {
        self.change(key, |known| match known {
            Some(_) => Change::Put(Known::default(), None),
            None => Change::Leave,
        });
    }

    /// Each entry that is there from before the call to its end; what comes or goes meanwhile may be seen or not.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&CacheKey, &Known)) {
        for (key, entry) in &self.cache {
            each(&key, &entry.known);
        }
    }

    /// Evicts what is over the limit and drops what is of no use any more.
    pub(crate) fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    fn settle_after(&self, put: u64) {
        if put > 0 && self.unsettled.fetch_add(put, Ordering::Relaxed) + put > self.capacity / SETTLE_AFTER {
            self.unsettled.store(0, Ordering::Relaxed);
            self.settle();
        }
    }
}

/// How long from `now` the last of it is of use.
fn longest_use(known: &Known, now: Timestamp) -> Duration {
    let responses = known.variants.iter().map(|response| response.keep_until);
    let hit_for_miss = known.hit_for_miss.as_ref().map(|hit_for_miss| hit_for_miss.until);
    responses.chain(hit_for_miss).max().map_or(Duration::ZERO, |until| until.since(now))
}

/// Tells moka how long to keep an entry.
struct Retention;

impl Expiry<CacheKey, Arc<KeyEntry>> for Retention {
    fn expire_after_create(&self, _: &CacheKey, entry: &Arc<KeyEntry>, _: Instant) -> Option<Duration> {
        entry.keep
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        entry: &Arc<KeyEntry>,
        _: Instant,
        before: Option<Duration>,
    ) -> Option<Duration> {
        entry.keep.or(before)
    }
}
