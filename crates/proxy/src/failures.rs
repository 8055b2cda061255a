//! Fetches that failed a moment ago (`failure_ttl`): within that time the origin is not asked for them again, and whoever
//! wants one is answered at once.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use copal_semantics::Timestamp;
use copal_store::{CacheKey, Sequence, Store};
use http::{HeaderMap, Method};

use crate::asked::Asked;
use crate::fault::Fault;
use crate::reason::Reason;
use crate::recent::Recent;

/// Keys whose failure is remembered; with the limit below at most some 12 MiB.
const KEYS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A key that is longer is not remembered, in bytes, with what tells its variants apart.
const LONGEST_KEY: usize = 2048;

/// Failures of the keys that failed last.
pub(crate) struct Failures {
    known: Recent<CacheKey, Failure>,
    /// Until when any of them is remembered, in milliseconds: while there is none, nobody looks for one.
    until: AtomicU64,
}

struct Failure {
    /// Of other variants by cookie, field or rule nothing is known: they may have another origin.
    extras: Box<str>,
    fault: Fault,
    /// The one client that met it; none where that does not matter.
    by: Option<IpAddr>,
    until: Timestamp,
    /// The newest purge when its fetch began: one that came later may end it.
    began: Sequence,
}

impl Failure {
    fn is_named(&self, store: &Store, key: &CacheKey) -> bool {
        !store.unnamed_since(key, &HeaderMap::new(), &[], self.began)
    }
}

impl Failures {
    pub(crate) fn new() -> Self {
        Self { known: Recent::new(KEYS), until: AtomicU64::new(0) }
    }

    /// Remembers that a fetch that began at `began` failed at `now`, where the origin is to blame. What failed after the request was
    /// sent may have failed at something odd in it, which the key does not tell from others: it counts for others once a second
    /// client has met it.
    pub(crate) fn remember(&self, asked: &Asked, fault: &Fault, began: Sequence, now: Timestamp) {
        let ttl = asked.cache_rule().map(|cache| cache.failure_ttl).unwrap_or_default();
        // What fails with this client's credentials may not fail without them.
        let for_others = fault.is_of_origin() && !is_own(asked);
        // Full is full for this moment, and whoever drained the last server brings one back: both are known at once.
        let for_others = for_others && !matches!(fault.reason, Reason::OriginBusy | Reason::OriginDrained);
        // An origin that fails at a HEAD or at a part may have the whole all the same.
        let for_others = for_others && asked.exchange.method != Method::HEAD && asked.wanted.is_whole();
        let extras = &asked.plan.extras;
        if ttl.is_zero() || !for_others || asked.key.as_str().len() + extras.len() > LONGEST_KEY {
            return;
        }
        let until = now.plus(ttl);
        let by =
            fault.is_of_what_was_sent().then(|| client(asked)).filter(|by| !self.was_met_by_another(asked, *by, now));
        let failure = Failure { extras: extras.as_str().into(), fault: fault.clone(), by, until, began };
        self.known.put(asked.key.clone(), failure);
        self.until.fetch_max(until.as_millis(), Ordering::Relaxed);
    }

    /// What happened a moment ago to a request for this. Where `covered`, something stale is given in the place of an error, and that may
    /// come of what anybody sent.
    pub(crate) fn of(&self, store: &Store, asked: &Asked, covered: bool) -> Option<Fault> {
        let now = asked.exchange.now;
        if self.until.load(Ordering::Relaxed) <= now.as_millis() || is_own(asked) {
            return None;
        }
        let look = |failure: &mut Failure| {
            if failure.until <= now || failure.is_named(store, &asked.key) {
                return None;
            }
            let same =
                *failure.extras == *asked.plan.extras && (covered || failure.by.is_none_or(|by| by == client(asked)));
            Some(same.then(|| failure.fault.clone()))
        };
        self.known.look(&asked.key, look).flatten()
    }

    /// Whether the page failed for somebody else too, so that the cause is not what this client sent.
    fn was_met_by_another(&self, asked: &Asked, by: IpAddr, now: Timestamp) -> bool {
        let look = |failure: &mut Failure| {
            let still = failure.until > now && *failure.extras == *asked.plan.extras;
            Some(still && failure.by != Some(by))
        };
        self.known.look(&asked.key, look).unwrap_or_default()
    }

    /// The origin has answered: it is well again.
    pub(crate) fn forget(&self, asked: &Asked, now: Timestamp) {
        if self.until.load(Ordering::Relaxed) > now.as_millis() {
            self.known.remove(&asked.key);
        }
    }

    /// Forgets all: the settings are others.
    pub(crate) fn clear(&self) {
        self.known.retain(|_, _| false);
    }

    /// Forgets what has been purged, before the log of the store forgets that, and what is over.
    pub(crate) fn sweep(&self, store: &Store, now: Timestamp) {
        self.known.retain(|key, failure| failure.until > now && !failure.is_named(store, key));
    }
}

/// Who asks, as far as addresses tell: somebody has a whole /64 of IPv6.
fn client(asked: &Asked) -> IpAddr {
    match asked.exchange.asker().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// What the origin saw of the client may be what it failed at: credentials, or a session of somebody whose group is in the key.
fn is_own(asked: &Asked) -> bool {
    asked.plan.authorized || asked.plan.must_vary_by().is_some()
}
