//! Collapsing: which fills are under way for a key, and what their followers wait for (invariants 2 and 3).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::{HeaderName, HeaderValue};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::fill::FillError;
use crate::growing::Growing;
use crate::invalidation::Subject;
use crate::key::{AsHashed, CacheKey};
use crate::log::{Log, Sequence, Verdict};
use crate::parts;
use crate::reader::FillReader;
use crate::response::{HeadInfo, StoredResponse};
use crate::store::Store;
use crate::tags::Tags;
use crate::variant::{Request, Selector, Variant, same_text};

/// What a leader announces to those who follow it.
#[derive(Debug)]
pub enum Announced {
    /// The response may be stored: read along while it comes.
    Storing(FillReader),
    /// A stored response is there now: validated, refreshed, or stored since.
    Ready(Arc<StoredResponse>),
    /// The response is not stored, or not for others: everybody goes on alone, in parallel.
    NotStored,
    /// The fetch failed, for all in the same way.
    Failed(FillError),
    /// The leader went without a word: try again.
    Abandoned,
    /// The response is for requests that differ from this one in a field that `Vary` names, or for another part, or an invalidation that
    /// came before this request names it: try again.
    OtherVariant,
}

/// What a flight has come to; set once.
#[derive(Debug)]
pub(crate) enum Outcome {
    Storing(Arc<HeadInfo>, Arc<Growing>),
    Ready(Arc<StoredResponse>),
    NotStored,
    Failed(FillError),
    Abandoned,
}

/// A fill under way.
pub(crate) struct Flight {
    pub(crate) key: CacheKey,
    /// The leader's request.
    pub(crate) by: Arc<dyn Selector + Send + Sync>,
    pub(crate) began: Sequence,
    outcome: OnceLock<Outcome>,
    announced: Notify,
}

impl Flight {
    pub(crate) fn new(key: CacheKey, by: Arc<dyn Selector + Send + Sync>, began: Sequence) -> Arc<Self> {
        Arc::new(Self { key, by, began, outcome: OnceLock::new(), announced: Notify::new() })
    }

    /// The same fill under another key, for requests with these extras.
    pub(crate) fn again(of: &Arc<Self>, key: CacheKey, extras: String) -> Arc<Self> {
        Self::new(key, Arc::new(Renamed { by: Arc::clone(&of.by), extras }), of.began)
    }

    /// Tells the followers, all at once; only the first outcome counts.
    pub(crate) fn announce(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            self.announced.notify_waiters();
        }
    }

    async fn outcome(&self) -> &Outcome {
        loop {
            // Made before looking: it is woken by whatever is announced from here on.
            let announced = self.announced.notified();
            match self.outcome.get() {
                Some(outcome) => return outcome,
                None => announced.await,
            }
        }
    }

    /// Whether nothing named the key, or the response, since the fill began.
    fn is_valid(&self, log: &Log) -> bool {
        let key = &self.key;
        let subject = match self.outcome.get() {
            Some(Outcome::Storing(head, _)) => head.subject(key),
            _ => Subject { key, tags: &Tags::default(), fields: None, stored: false },
        };
        // A soft one counts as well: what it brings is as stale as what is stored.
        self.began == log.current() || log.check(subject, self.began).verdict == Verdict::Clear
    }

    /// Whether this request may wait for it, or read along.
    fn is_for(&self, by: &dyn Selector) -> bool {
        same_text(self.by.extras(), by.extras())
            && match self.outcome.get() {
                None => self.by.part().is_empty() || self.brings_part_of(by),
                Some(Outcome::Storing(head, growing)) => {
                    (head.part.is_none() || self.brings_part_of(by))
                        && selects(by, &head.variant)
                        && !growing.overflowed()
                }
                Some(_) => false,
            }
    }

    /// Whether it asks the origin for the very part that this request is for.
    fn brings_part_of(&self, by: &dyn Selector) -> bool {
        same_text(self.by.part(), by.part())
    }
}

/// A request that is known by other extras.
struct Renamed {
    by: Arc<dyn Selector + Send + Sync>,
    extras: String,
}

impl Selector for Renamed {
    fn extras(&self) -> &str {
        &self.extras
    }

    fn field(&self, name: &HeaderName) -> String {
        self.by.field(name)
    }

    fn accepts(&self, content_encoding: &HeaderValue) -> bool {
        self.by.accepts(content_encoding)
    }

    fn part(&self) -> &str {
        self.by.part()
    }
}

fn selects(by: &dyn Selector, variant: &Variant) -> bool {
    variant.matches(&mut Request::new(by))
}

/// When a request joined a flight.
struct Joined {
    store: Arc<Store>,
    at: Sequence,
}

impl Joined {
    /// Whether something came between the beginning of the flight and this request, or may have, that names what it brings.
    fn after_invalidation_of(&self, brought: Subject<'_>, flight: &Flight) -> bool {
        self.at > flight.began && self.store.log().check(brought, flight.began).verdict != Verdict::Clear
    }
}

/// A request that waits for what another one's fill brings.
pub struct Follower {
    source: Source,
    by: Arc<dyn Selector + Send + Sync>,
}

enum Source {
    Flight(Arc<Flight>, Joined),
    Ready(Arc<StoredResponse>),
}

impl Follower {
    pub(crate) fn of(flight: Arc<Flight>, by: Arc<dyn Selector + Send + Sync>, store: &Arc<Store>) -> Self {
        let joined = Joined { store: Arc::clone(store), at: store.log().current() };
        Self { source: Source::Flight(flight, joined), by }
    }

    pub(crate) fn ready(response: Arc<StoredResponse>, by: Arc<dyn Selector + Send + Sync>) -> Self {
        Self { source: Source::Ready(response), by }
    }

    /// Waits until the leader knows the head of the response, or that there is none. It never waits for the body.
    pub async fn head(self) -> Announced {
        let (flight, joined) = match self.source {
            Source::Flight(flight, joined) => (flight, joined),
            Source::Ready(response) => return Announced::Ready(response),
        };
        match flight.outcome().await {
            // What names it by tags or fields could not be known before.
            Outcome::Storing(head, _) if joined.after_invalidation_of(head.subject(&flight.key), &flight) => {
                Announced::OtherVariant
            }
            Outcome::Ready(response) if joined.after_invalidation_of(response.subject(&flight.key), &flight) => {
                Announced::OtherVariant
            }
            Outcome::Storing(head, _) if head.part.is_some() && !flight.brings_part_of(&*self.by) => {
                Announced::OtherVariant
            }
            Outcome::Storing(head, _) if !selects(&*self.by, &head.variant) => Announced::OtherVariant,
            Outcome::Storing(head, growing) => {
                FillReader::join(head, growing).map_or(Announced::NotStored, Announced::Storing)
            }
            Outcome::Ready(response) if !selects(&*self.by, &response.variant) => Announced::OtherVariant,
            Outcome::Ready(response) if !parts::suffices(response, &*self.by) => Announced::OtherVariant,
            Outcome::Ready(response) => Announced::Ready(Arc::clone(response)),
            Outcome::NotStored => Announced::NotStored,
            Outcome::Failed(error) => Announced::Failed(Arc::clone(error)),
            Outcome::Abandoned => Announced::Abandoned,
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

/// Shards of the map of flights; a miss locks one of them for some hundred nanoseconds.
const SHARDS: usize = 16;

type Shard = HashMap<CacheKey, Vec<Arc<Flight>>, AsHashed>;

/// The fills that may be joined, by key. There may be several for one key: for other extras or other variants.
#[derive(Default)]
pub(crate) struct Flights {
    shards: [Mutex<Shard>; SHARDS],
}

impl Flights {
    /// The flights of the shard of a key, locked: nobody joins or leaves meanwhile.
    pub(crate) fn of(&self, key: &CacheKey) -> KeyFlights<'_> {
        // Not the bits by which the map inside picks its places.
        let shard = (key.hash() >> 40) as usize % SHARDS;
        KeyFlights { shard: self.shards[shard].lock(), key: key.clone() }
    }

    /// Takes a flight out: nobody joins it any more. Nothing happens when it is not in here.
    pub(crate) fn remove(&self, flight: &Arc<Flight>) {
        self.of(&flight.key).retain(|other| !Arc::ptr_eq(other, flight));
    }
}

/// The flights of one key.
pub(crate) struct KeyFlights<'a> {
    shard: MutexGuard<'a, Shard>,
    key: CacheKey,
}

impl KeyFlights<'_> {
    /// A flight that this request may join. Those that an invalidation has overtaken are taken out: their clients still
    /// get what they bring, and nobody else does.
    pub(crate) fn joinable(&mut self, by: &dyn Selector, log: &Log) -> Option<Arc<Flight>> {
        self.retain(|flight| flight.is_valid(log));
        let flights = self.shard.get(&self.key)?;
        flights.iter().find(|flight| flight.is_for(by)).map(Arc::clone)
    }

    pub(crate) fn add(&mut self, flight: Arc<Flight>) {
        self.shard.entry(flight.key.clone()).or_default().push(flight);
    }

    fn retain(&mut self, keep: impl FnMut(&Arc<Flight>) -> bool) {
        if let Some(flights) = self.shard.get_mut(&self.key) {
            flights.retain(keep);
            if flights.is_empty() {
                self.shard.remove(&self.key);
            }
        }
    }
}
