//! Stored responses that the origin is asked about, and what becomes of those that it confirms (RFC 9111 §4.3.3 to §4.3.5).

use std::collections::HashSet;
use std::sync::Arc;

use copal_semantics::{Freshness, Timestamp, Vary};
use http::{HeaderMap, StatusCode};

use crate::key::CacheKey;
use crate::log::{Checked, Sequence, Verdict};
use crate::memory::{Change, Known, Variants};
use crate::response::{Made, StoredResponse};
use crate::store::Store;
use crate::usage;
use crate::variant::{Request, Selector, Variant, same_text};

/// A stored response with what the origin's confirmation makes of it.
#[derive(Clone, Debug)]
pub struct Freshened {
    /// The response as it is stored.
    pub old: Arc<StoredResponse>,
    /// Its fields as updated.
    pub headers: HeaderMap,
    /// Age, lifetime and stale uses from now on.
    pub freshness: Freshness,
    /// Whether requests with `Authorization` may be answered with it from now on (RFC 9111 §3.5).
    pub shared: bool,
    /// How its tags change.
    pub tags: TagChange,
    /// The request fields that pick it from now on; none: as before.
    pub vary: Option<Vary>,
}

/// How the tags of a response change.
#[derive(Clone, Debug)]
pub struct TagChange {
    /// These go; none: all go.
    pub out: Option<Vec<String>>,
    /// These come.
    pub into: Vec<String>,
}

impl Default for TagChange {
    /// They stay as they are.
    fn default() -> Self {
        Self { out: Some(Vec::new()), into: Vec::new() }
    }
}

/// What came of freshening.
#[derive(Clone, Debug)]
pub struct Freshening {
    /// The response for the request for which the origin was asked.
    pub response: Arc<StoredResponse>,
    /// Whether it is stored: no invalidation came since the origin was asked, and no newer response took its place.
    pub stored: bool,
}

/// What is put in, and where.
struct Put {
    old: Arc<StoredResponse>,
    new: Arc<StoredResponse>,
    place: Place,
    /// For other requests than `old`.
    moved: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before all others; `old` goes.
    OfTheOld,
    /// Before all others; `old` stays.
    First,
    /// Where `old` is.
    Same,
}

impl Store {
    /// The valid stored responses of a key that have the extras of this request, the newest first, whichever of them it
    /// selects: what the origin may be asked about (RFC 9111 §4.3.1).
    pub fn variants(&self, key: &CacheKey, by: &dyn Selector) -> Vec<Arc<StoredResponse>> {
        let Some(entry) = self.memory().get(key) else { return Vec::new() };
        let variants = entry.known.variants.iter();
        let same = variants.filter(|response| same_text(response.variant.extras(), by.extras()));
        same.filter(|response| self.examine(key, response).is_some()).map(Arc::clone).collect()
    }

    /// Freshens the response that the origin has confirmed to this request, and others that are confirmed with it. Where the
    /// request does not select the response (another variant is as good, RFC 9111 §4.1), the body is stored for it as well, and
    /// what is stored for others stays as it is.
    /// `began` is of the permit under which the origin was asked, and the permit is still held.
    pub fn freshen_all(
        &self,
        key: &CacheKey,
        by: &dyn Selector,
        confirmed: Freshened,
        others: Vec<Freshened>,
        began: Sequence,
    ) -> Freshening {
        let now = confirmed.freshness.response_time;
        let own = self.for_request(by, &confirmed, began);
        let response = Arc::clone(&own.new);
        let in_place = others.into_iter().filter_map(|other| self.in_place(other, began));
        let puts: Vec<Put> = in_place.chain([own]).collect();
        let stored = self.put_freshened(key, &puts, now);
        Freshening { response, stored }
    }

    /// The confirmed response for this request, without storing it.
    pub fn freshened(&self, by: &dyn Selector, confirmed: &Freshened, began: Sequence) -> Arc<StoredResponse> {
        self.for_request(by, confirmed, began).new
    }

    /// Holds one stored response to be stale from now on, as a soft invalidation would.
    pub fn soften(&self, response: &StoredResponse) {
        let (upto, _) = response.checked();
        response.note(Checked { verdict: Verdict::Soft(upto), upto, softened: self.now() });
    }

    /// For the request that the origin was asked for: picked by its fields where others pick now.
    fn for_request(&self, by: &dyn Selector, confirmed: &Freshened, began: Sequence) -> Put {
        let old = &confirmed.old;
        let vary = confirmed.vary.as_ref().unwrap_or(old.variant.vary());
        let selected = selects(by, old);
        // By its own fields where they tell: the client may have been given what was stored for another language.
        let as_before = old.variant.narrowed(vary, &confirmed.headers).filter(|_| selected);
        let variant = as_before.unwrap_or_else(|| Variant::new(by.extras(), vary.clone(), &confirmed.headers, by));
        let place = if selected { Place::OfTheOld } else { Place::First };
        self.made_of(confirmed, variant, place, began)
    }

    /// For the requests that it is stored for already; none where they are not known by the new `Vary`.
    fn in_place(&self, other: Freshened, began: Sequence) -> Option<Put> {
        let vary = other.vary.as_ref().unwrap_or(other.old.variant.vary());
        let variant = other.old.variant.narrowed(vary, &other.headers)?;
        Some(self.made_of(&other, variant, Place::Same, began))
    }

    fn made_of(&self, from: &Freshened, variant: Variant, place: Place, began: Sequence) -> Put {
        let old = &from.old;
        let moved = !variant.same(&old.variant);
        let into = from.tags.into.iter().map(String::as_str);
        let tags = match &from.tags.out {
            None => self.log().dictionary().tags(into, []),
            Some(out) if out.is_empty() && from.tags.into.is_empty() => old.tags.clone(),
            Some(out) => {
                let out: HashSet<&str> = out.iter().map(String::as_str).collect();
                self.log().dictionary().tags(into, old.tags.iter().filter(|tag| !out.contains(tag.text())))
            }
        };
        let made: Made = self.made(began);
        let new = old.freshened(from, variant, tags, made, self.settings().keep_for_validation);
        Put { old: Arc::clone(old), new: Arc::new(new), place, moved }
    }

    /// Puts them in, one after the other; whether the last one is in.
    fn put_freshened(&self, key: &CacheKey, puts: &[Put], now: Timestamp) -> bool {
        if !self.memory().has_room() {
            return false;
        }
        let (mut stored, mut removed, mut own_stored) = (0, 0, false);
        self.memory().change(key, |known| {
            let mut variants = known.map(|known| known.variants.clone()).unwrap_or_default();
            let before = variants.len();
            variants.retain(|other| self.examine(key, other).is_some());
            removed = (before - variants.len()) as u64;
            for put in puts {
                own_stored = self.is_still_valid(key, put) && take_place(&mut variants, put, now);
                stored += u64::from(own_stored);
            }
            variants.truncate(self.settings().max_variants.max(1));
            if stored == 0 && removed == 0 {
                return Change::Leave;
            }
            let hit_for_miss = known.and_then(|known| known.hit_for_miss.clone()).filter(|_| !own_stored);
            Change::Put(Known { variants, hit_for_miss }, Some(now))
        });
        usage::add(&self.counters().invalidated, removed);
        usage::add(&self.counters().stored, stored);
        own_stored
    }

    /// Whether nothing has named it since the origin was asked, by what it was or by what it is.
    fn is_still_valid(&self, key: &CacheKey, put: &Put) -> bool {
        let (old, new) = (&put.old, &put.new);
        let answers = [old, new].map(|response| self.log().check(response.subject(key), new.began()));
        let valid = answers.iter().all(|answer| answer.verdict != Verdict::Hard);
        answers.into_iter().filter(|_| valid).for_each(|answer| new.note(answer));
        valid && new.weight() as u64 <= self.memory().capacity()
    }
}

/// Whether the request may be answered with the response, by equal fields or by what the client takes (RFC 9111 §4.1).
fn selects(by: &dyn Selector, response: &StoredResponse) -> bool {
    let mut request = Request::new(by);
    let taken = || {
        let headers = by.negotiates().filter(|_| response.status == StatusCode::OK)?;
        response.variant.preference(headers, &mut Request::new(by))
    };
    response.variant.matches(&mut request) || taken().is_some()
}

/// Puts one among the variants, but where a newer response has come for the same requests meanwhile.
fn take_place(variants: &mut Variants, put: &Put, now: Timestamp) -> bool {
    let Put { old, new, place, moved } = put;
    let is_old = |other: &Arc<StoredResponse>| Arc::ptr_eq(other, old);
    let overtakes = |other: &Arc<StoredResponse>| {
        let came_instead = !moved && !is_old(other);
        other.variant.same(&new.variant)
            && (came_instead || other.freshness.response_time > new.freshness.response_time)
    };
    if variants.iter().any(overtakes) {
        return false;
    }
    if *place == Place::Same {
        let Some(place) = variants.iter_mut().find(|other| is_old(other)) else { return false };
        *place = Arc::clone(new);
        variants.retain(|other| Arc::ptr_eq(other, new) || !other.variant.same(&new.variant));
        return true;
    }
    let goes = |other: &Arc<StoredResponse>| *place == Place::OfTheOld && is_old(other);
    variants.retain(|other| !other.variant.same(&new.variant) && !goes(other) && other.keep_until > now);
    variants.insert(0, Arc::clone(new));
    true
}
