//! The story of the store: look up, join, store, freshen, invalidate, sweep.

mod invalidating;

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use copal_esi::Piece;
use copal_semantics::{Brought, Timestamp};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::compact;
use crate::fill::{Discarded, FillPermit};
use crate::flight::{Flight, Flights, Follower};
use crate::growing::{Budget, Growing};
use crate::invalidation::Subject;
use crate::key::CacheKey;
use crate::log::{Log, Sequence, Verdict};
use crate::memory::{Change, HitForMiss, Known, Memory, Place};
use crate::parts::{self, Bounds, Meeting};
use crate::response::{Head, HeadInfo, Made, StoredResponse};
use crate::settings::StoreSettings;
use crate::tags::Tags;
use crate::usage::{self, Counters, Usage};
use crate::variant::{Request, Selector};

/// What is there for a request.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The newest stored response that the request selects (RFC 9111 §4.1), fresh or not.
    Found {
        /// The response.
        response: Arc<StoredResponse>,
        /// A soft invalidation has named it since it was fetched: it is stale, whatever its freshness says.
        soft_invalidated: bool,
    },
    /// The newest stored response that the request selects is a partial one that does not have what is asked for
    /// ([`Selector::takes_part`]): what is missing may be fetched (RFC 9111 §3.4).
    Partial {
        /// The response.
        response: Arc<StoredResponse>,
        /// As for [`Lookup::Found`].
        soft_invalidated: bool,
    },
    /// Responses for this key were lately not to be stored: fetch without waiting for others.
    HitForMiss,
    /// There are stored responses for the key, and none that the request selects.
    VariantMiss,
    /// There is nothing.
    Miss,
}

/// Who fetches.
#[derive(Debug)]
pub enum Turn {
    /// This request does.
    Lead(FillPermit),
    /// Another one does already.
    Follow(Follower),
}

/// What an invalidation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// Its number in the log.
    pub sequence: u64,
    /// For [`Invalidation::Key`](crate::Invalidation::Key), how many stored responses it took away, or made stale when it is soft. For all other
    /// kinds 0: they hold from this moment for any number of responses, which are counted when they are met (by a request
    /// or a sweep) in [`Usage::invalidated`].
    pub removed: u64,
}

/// Stored responses in memory.
pub struct Store {
    settings: StoreSettings,
    hasher: RandomState,
    log: Log,
    memory: Memory,
    flights: Flights,
    budget: Arc<Budget>,
    counters: Arc<Counters>,
    responses_ever: AtomicU64,
    sweeping: Mutex<()>,
    /// The length of the log from which a sweep is due.
    sweep_from: AtomicU64,
    sweep_wanted: Notify,
    /// Up to here everything stored has been looked at.
    swept: AtomicU64,
    clock: Option<Box<dyn Fn() -> Timestamp + Send + Sync>>,
}

impl Store {
    /// An empty store that is not told when invalidations come.
    pub fn new(settings: StoreSettings) -> Arc<Self> {
        Self::make(settings, None)
    }

    /// An empty store. By the clock it knows since when what a soft invalidation names is stale.
    pub fn with_clock(settings: StoreSettings, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Arc<Self> {
        Self::make(settings, Some(Box::new(clock)))
    }

    fn make(settings: StoreSettings, clock: Option<Box<dyn Fn() -> Timestamp + Send + Sync>>) -> Arc<Self> {
        let hasher = RandomState::new();
        let counters = Arc::<Counters>::default();
        Arc::new(Self {
            log: Log::new(hasher.clone(), limit_of_a_kind(&settings)),
            memory: Memory::new(settings.memory, Arc::clone(&counters)),
            flights: Flights::default(),
            budget: Arc::new(Budget::new(settings.memory / 4)),
            counters,
            responses_ever: AtomicU64::new(0),
            sweeping: Mutex::new(()),
            sweep_from: AtomicU64::new(settings.log_limit),
            sweep_wanted: Notify::new(),
            swept: AtomicU64::new(0),
            clock,
            hasher,
            settings,
        })
    }

    /// The cache key with this text (`http://host/path?query`). A key is of use with the store that made it.
    pub fn key(&self, text: impl Into<Arc<str>>) -> CacheKey {
        CacheKey::new(text.into(), &self.hasher)
    }

    /// What is there for a request. A hit costs one look into the map and compares two integers, unless something has
    /// been invalidated since the response was last checked.
    pub fn lookup(&self, key: &CacheKey, by: &dyn Selector, now: Timestamp) -> Lookup {
        self.memory.get(key).map_or(Lookup::Miss, |entry| self.look_among(key, &entry.known, by, now))
    }

    /// As [`Store::lookup`], for whoever looks for the same key again and again.
    pub fn lookup_at(&self, key: &CacheKey, place: &Place, by: &dyn Selector, now: Timestamp) -> Lookup {
        self.memory.get_at(key, place, now).map_or(Lookup::Miss, |entry| self.look_among(key, &entry.known, by, now))
    }

    fn look_among(&self, key: &CacheKey, known: &Known, by: &dyn Selector, now: Timestamp) -> Lookup {
        let selected = self.select(key, known, by);
        if let Some((response, soft_invalidated)) = selected
            && parts::suffices(response, by)
        {
            return Lookup::Found { response: Arc::clone(response), soft_invalidated };
        }
        let valid = self.count_valid(key, known);
        let hit_for_miss = known.hit_for_miss.as_ref().filter(|hit_for_miss| self.holds(key, hit_for_miss));
        if valid < known.variants.len() || hit_for_miss.is_some() != known.hit_for_miss.is_some() {
            self.prune(key);
        }
        if hit_for_miss.is_some_and(|hit_for_miss| hit_for_miss.until > now) {
            return Lookup::HitForMiss;
        }
        match selected {
            Some((response, soft_invalidated)) => Lookup::Partial { response: Arc::clone(response), soft_invalidated },
            _ if valid > 0 => Lookup::VariantMiss,
            _ => Lookup::Miss,
        }
    }

    /// Joins the fill that is under way for such a request, or begins one.
    ///
    /// A fill that has ended since the caller's [`Store::lookup`] is not seen; [`Store::join_after`] sees it.
    pub fn join(self: &Arc<Self>, key: &CacheKey, by: Arc<dyn Selector + Send + Sync>) -> Turn {
        self.turn(key, by, |_| false)
    }

    /// As [`Store::join`], for a request whose lookup found `seen`, or nothing that it could select: what has been stored
    /// since then is handed to it as [`Announced::Ready`](crate::Announced::Ready), so that one fetch is made however the
    /// requests fall between the steps of others.
    pub fn join_after(
        self: &Arc<Self>,
        key: &CacheKey,
        by: Arc<dyn Selector + Send + Sync>,
        seen: Option<&Arc<StoredResponse>>,
    ) -> Turn {
        self.turn(key, by, |found| seen.is_none_or(|seen| found.id > seen.id))
    }

    fn turn(
        self: &Arc<Self>,
        key: &CacheKey,
        by: Arc<dyn Selector + Send + Sync>,
        is_news: impl Fn(&StoredResponse) -> bool,
    ) -> Turn {
        let mut flights = self.flights.of(key);
        if let Some(flight) = flights.joinable(&*by, &self.log) {
            return Turn::Follow(Follower::of(flight, by, self));
        }
        // A fill is taken out only after its response is in: under the lock, what has no flight any more is in here.
        if let Some(entry) = self.memory.get(key)
            && let Some((response, false)) = self.select(key, &entry.known, &*by)
            && parts::suffices(response, &*by)
            && is_news(response)
        {
            return Turn::Follow(Follower::ready(Arc::clone(response), by));
        }
        let flight = Flight::new(key.clone(), by, self.log.began());
        flights.add(Arc::clone(&flight));
        Turn::Lead(FillPermit::new(Arc::clone(self), flight))
    }

    /// Begins a fill that nobody joins: under hit-for-miss, where the response may be storable again.
    pub fn fill_alone(self: &Arc<Self>, key: &CacheKey, by: Arc<dyn Selector + Send + Sync>) -> FillPermit {
        FillPermit::new(Arc::clone(self), Flight::new(key.clone(), by, self.log.began()))
    }

    /// Removes one stored response, when it is still there: the origin has answered in its place what may not be stored.
    pub fn forget(&self, key: &CacheKey, response: &Arc<StoredResponse>) {
        self.memory.change(key, |known| match known {
            Some(known) if known.variants.iter().any(|other| Arc::ptr_eq(other, response)) => {
                let mut known = known.clone();
                known.variants.retain(|other| !Arc::ptr_eq(other, response));
                Change::Put(known, None)
            }
            _ => Change::Leave,
        });
    }

    /// Drops all that is stored under a key, to make room. This is no invalidation: a fetch that is under way may bring it
    /// back.
    pub fn evict(&self, key: &CacheKey) {
        let stored = self.memory.get(key).map_or(0, |entry| entry.known.variants.len() as u64);
        self.memory.remove(key);
        usage::add(&self.counters.evicted, stored);
    }

    /// The present time, where the store is told it.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock())
    }

    /// Applies the log to everything that is stored, frees what is invalid, and shortens the log; to be called every few
    /// seconds, and when [`Store::sweep_due`]. While there is something in the log it takes time in proportion to what is
    /// stored: for a thread that may block. Returns at once when a sweep is running.
    pub fn sweep(&self) {
        let Some(_alone) = self.sweeping.try_lock() else { return };
        let upto = self.log.current();
        if self.log.length() > 0 || upto > Sequence(self.swept.load(Ordering::Relaxed)) {
            self.apply_log();
            self.swept.store(upto.0, Ordering::Relaxed);
        }
        self.memory.settle();
    }

    fn apply_log(&self) {
        let upto = self.log.current();
        // After `upto`: a fill that is not seen here is over, and what it brought is among what is looked at.
        let oldest_fill = self.log.oldest_fill();
        self.log.evaluate_tags();
        let mut invalid = Vec::new();
        self.memory.for_each(|key, known| {
            let hit_for_miss = known.hit_for_miss.as_ref();
            if self.count_valid(key, known) < known.variants.len()
                || hit_for_miss.is_some_and(|it| !self.holds(key, it))
            {
                invalid.push(key.clone());
            }
        });
        invalid.iter().for_each(|key| self.prune(key));
        self.log.forget(upto.min(oldest_fill));
        if self.log.length() > 8 * self.settings.log_limit {
            self.log.forget(upto);
        }
        // What fills under way hold there is not to be swept for again.
        self.sweep_from.store(self.log.length() + self.settings.log_limit, Ordering::Relaxed);
    }

    /// Whether the log has outgrown its limit, so that [`Store::sweep`] should be called soon.
    pub fn sweep_due(&self) -> bool {
        self.log.length() > self.sweep_from.load(Ordering::Relaxed)
            || self.log.is_crowded(Sequence(self.swept.load(Ordering::Relaxed)))
    }

    /// Waits until a sweep is due; for one that waits.
    pub async fn sweep_wanted(&self) {
        while !self.sweep_due() {
            self.sweep_wanted.notified().await;
        }
    }

    /// Evicts what is over the memory limit and drops what is of no use any more; otherwise that happens by and by.
    pub fn settle(&self) {
        self.memory.settle();
    }

    /// Figures for metrics.
    pub fn usage(&self) -> Usage {
        let counters = &self.counters;
        Usage {
            stored_responses: usage::read(&counters.stored_responses),
            stored_bytes: usage::read(&counters.stored_bytes),
            filling_bytes: self.budget.held(),
            fills: usage::read(&counters.fills),
            log_length: self.log.length(),
            tags: self.log.dictionary().len(),
            stored: usage::read(&counters.stored),
            evicted: usage::read(&counters.evicted),
            invalidated: usage::read(&counters.invalidated),
        }
    }

    /// The number of the newest invalidation, for whoever begins something now that [`Store::unnamed_since`] is to be asked
    /// about later.
    pub fn begin(&self) -> Sequence {
        self.log.mark()
    }

    /// Whether nothing that could be stored has begun to be fetched since the invalidation with this number: doing the very
    /// same once more would change nothing.
    pub fn is_quiet_since(&self, sequence: u64) -> bool {
        self.log.is_quiet_since(Sequence(sequence))
    }

    /// The number of the newest invalidation.
    pub fn sequence(&self) -> Sequence {
        self.log.current()
    }

    /// Whether no invalidation since `since` names a response with these fields and tags, or may have.
    pub fn unnamed_since(&self, key: &CacheKey, fields: &HeaderMap, tags: &[String], since: Sequence) -> bool {
        let tags = self.log.dictionary().tags(tags.iter().map(String::as_str), []);
        let subject = Subject { key, tags: &tags, fields: Some(fields), stored: false };
        self.log.check(subject, since).verdict == Verdict::Clear
    }

    /// The newest valid response that the request selects, and whether a soft invalidation named it; where there is none, the one
    /// that it wants most of those stored for others.
    fn select<'a>(
        &self,
        key: &CacheKey,
        known: &'a Known,
        by: &dyn Selector,
    ) -> Option<(&'a Arc<StoredResponse>, bool)> {
        let mut request = Request::new(by);
        let selected = known
            .variants
            .iter()
            .filter(|response| response.variant.matches(&mut request))
            .find_map(|response| self.examine(key, response).map(|soft| (response, soft)));
        if selected.is_some() {
            return selected;
        }
        self.negotiate(key, known, by)
    }

    /// Of the responses stored for other values of `Accept-Encoding` and `Accept-Language` the one that the client wants most, of equal
    /// ones the newest (RFC 9111 §4.1). Only of what is a representation as a whole: a 406 or a part tells nothing to others.
    fn negotiate<'a>(
        &self,
        key: &CacheKey,
        known: &'a Known,
        by: &dyn Selector,
    ) -> Option<(&'a Arc<StoredResponse>, bool)> {
        let headers = by.negotiates()?;
        let mut request = Request::new(by);
        let mut best = None;
        let mut most = 0;
        for response in known.variants.iter().filter(|response| response.status == StatusCode::OK) {
            let Some(preference) = response.variant.preference(headers, &mut request).filter(|wanted| *wanted > most)
            else {
                continue;
            };
            if let Some(soft) = self.examine(key, response) {
                best = Some((response, soft));
                most = preference;
            }
        }
        best
    }

    /// Whether a response may be used, and if so, whether a soft invalidation named it.
    pub(crate) fn examine(&self, key: &CacheKey, response: &StoredResponse) -> Option<bool> {
        let (checked, soft) = response.checked();
        if checked >= self.log.current() {
            return Some(soft);
        }
        let answer = self.log.check(response.subject(key), checked);
        if answer.verdict == Verdict::Hard {
            return None;
        }
        response.note(answer);
        Some(soft || matches!(answer.verdict, Verdict::Soft(_)))
    }

    /// Whether nothing named the key since a response for it was not to be stored.
    fn holds(&self, key: &CacheKey, hit_for_miss: &HitForMiss) -> bool {
        let checked = Sequence(hit_for_miss.checked.load(Ordering::Acquire));
        if checked >= self.log.current() {
            return true;
        }
        let answer = self.log.check(Subject { key, tags: &Tags::default(), fields: None, stored: true }, checked);
        // A soft one clears it as well: the next response may be another.
        let holds = answer.verdict == Verdict::Clear;
        if holds {
            hit_for_miss.checked.fetch_max(answer.upto.0, Ordering::AcqRel);
        }
        holds
    }

    fn count_valid(&self, key: &CacheKey, known: &Known) -> usize {
        known.variants.iter().filter(|response| self.examine(key, response).is_some()).count()
    }

    /// Removes what is invalid under a key.
    pub(crate) fn prune(&self, key: &CacheKey) {
        let mut removed = 0;
        self.memory.change(key, |known| {
            let Some(known) = known else { return Change::Leave };
            let mut valid = known.clone();
            valid.variants.retain(|response| self.examine(key, response).is_some());
            valid.hit_for_miss = valid.hit_for_miss.filter(|hit_for_miss| self.holds(key, hit_for_miss));
            removed = (known.variants.len() - valid.variants.len()) as u64;
            Change::Put(valid, None)
        });
        usage::add(&self.counters.invalidated, removed);
    }

    /// Puts a response under its key, before the others; in the place of the one for the same requests, or as one with it where
    /// they are parts of one representation.
    fn put(
        &self,
        key: &CacheKey,
        response: Arc<StoredResponse>,
        now: Timestamp,
    ) -> Result<Arc<StoredResponse>, Discarded> {
        if response.weight() as u64 > self.memory.capacity() {
            return Err(Discarded::TooBig);
        }
        if !self.memory.has_room() {
            return Err(Discarded::NoRoom);
        }
        let mut result = Err(Discarded::Invalidated);
        let mut removed = 0;
        self.memory.change(key, |known| {
            let answer = self.log.check(response.subject(key), response.began());
            if answer.verdict == Verdict::Hard {
                return Change::Leave;
            }
            response.note(answer);
            let mut variants = known.map(|known| known.variants.clone()).unwrap_or_default();
            let before = variants.len();
            variants.retain(|other| self.examine(key, other).is_some());
            removed = before - variants.len();
            let same = |other: &StoredResponse| other.variant.same(&response.variant);
            result = match variants.iter().find(|other| same(other)) {
                Some(other) => self.met(other, Arc::clone(&response), now),
                None => Ok(Arc::clone(&response)),
            };
            if let Ok(response) = &result {
                variants.retain(|other| !same(other) && other.keep_until > now);
                variants.truncate(self.settings.max_variants.saturating_sub(1));
                variants.insert(0, Arc::clone(response));
            }
            Change::Put(Known { variants, hit_for_miss: None }, Some(now))
        });
        usage::add(&self.counters.invalidated, removed as u64);
        usage::add(&self.counters.stored, u64::from(result.is_ok()));
        result
    }

    /// What takes the place of a stored response when this one comes for the same requests.
    fn met(
        &self,
        stored: &Arc<StoredResponse>,
        response: Arc<StoredResponse>,
        now: Timestamp,
    ) -> Result<Arc<StoredResponse>, Discarded> {
        let bounds = Bounds { max_body: self.settings.max_body, capacity: self.memory.capacity() };
        let meeting = parts::meet(stored, stored.checked().1, &response, now, bounds);
        match meeting {
            Meeting::Replaces => Ok(response),
            Meeting::Superseded => Err(Discarded::Superseded),
            Meeting::Combined(combined) => {
                let tags = response.tags.iter().chain(stored.tags.iter());
                let tags = self.log.dictionary().tags([], tags);
                Ok(Arc::new(response.combined(stored, combined, tags, self.settings.keep_for_validation)))
            }
        }
    }

    pub(crate) fn made(&self, began: Sequence) -> Made {
        Made { id: self.responses_ever.fetch_add(1, Ordering::Relaxed), began }
    }
}

/// For the fills.
impl Store {
    /// The head of a fill, as followers see it.
    pub(crate) fn head(&self, head: Head, by: &dyn Selector) -> HeadInfo {
        HeadInfo::new(head, by, self.log.dictionary())
    }

    /// An empty growing body.
    pub(crate) fn growing(&self, announced: Option<u64>) -> Growing {
        Growing::new(Arc::clone(&self.budget), self.settings.max_body, announced)
    }

    /// Stores a complete response, or one that has brought a part of a representation.
    pub(crate) fn store(
        &self,
        key: &CacheKey,
        head: &HeadInfo,
        (pieces, brought): (Vec<Piece>, Option<Brought>),
        began: Sequence,
        now: Timestamp,
    ) -> Result<Arc<StoredResponse>, Discarded> {
        let (made, keep) = (self.made(began), self.settings.keep_for_validation);
        let response = StoredResponse::new(head, compact::body(pieces), brought, made, keep);
        self.put(key, Arc::new(response), now)
    }

    /// Remembers that a response for the key was not to be stored, unless an invalidation came since its fetch began.
    pub(crate) fn remember_not_stored(&self, key: &CacheKey, until: Timestamp, began: Sequence, now: Timestamp) {
        let hit_for_miss = HitForMiss::new(until, began);
        self.memory.change(key, |known| {
            if !self.holds(key, &hit_for_miss) {
                return Change::Leave;
            }
            let variants = known.map(|known| known.variants.clone()).unwrap_or_default();
            Change::Put(Known { variants, hit_for_miss: Some(hit_for_miss) }, Some(now))
        });
    }

    /// Whether what is stored under a key may be used, as far as the log knows.
    pub(crate) fn valid<'a>(&self, key: &CacheKey, known: &'a Known) -> impl Iterator<Item = &'a Arc<StoredResponse>> {
        known.variants.iter().filter(move |response| self.examine(key, response).is_some())
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn fill_began(&self) {
        usage::add(&self.counters.fills, 1);
    }

    pub(crate) fn fill_ended(&self) {
        usage::take(&self.counters.fills, 1);
    }
}

/// How many different things of a kind the log keeps apart.
fn limit_of_a_kind(settings: &StoreSettings) -> usize {
    usize::try_from(settings.log_limit.saturating_mul(8)).unwrap_or(usize::MAX)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("settings", &self.settings).field("usage", &self.usage()).finish_non_exhaustive()
    }
}
