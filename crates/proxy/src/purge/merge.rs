//! Equal purges in a burst: what was done a moment ago need not be done again while nothing has begun since that it could take.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;

use copal_policy::Config;
use copal_store::Store;

use crate::purge::order::{Order, What};
use crate::recent::Recent;

/// Orders that are remembered.
const ORDERS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// What was done last, with the number of its last invalidation.
pub(crate) struct Merging {
    done: Recent<u64, u64>,
    /// A secret, so that nobody can choose orders that are taken for others.
    hasher: RandomState,
}

impl Merging {
    pub(crate) fn new() -> Self {
        Self { done: Recent::new(ORDERS), hasher: RandomState::new() }
    }

    /// Equal orders have equal ids under one configuration, whoever asks.
    pub(super) fn id(&self, config: &Arc<Config>, order: &Order) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        Arc::as_ptr(config).addr().hash(&mut hasher);
        (order.hardness, order.refresh).hash(&mut hasher);
        for what in &order.what {
            match what {
                // By far the most purges.
                What::Url(url) => url.hash(&mut hasher),
                other => other.identity().hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// The number of an equal order after which nothing began.
    pub(super) fn done(&self, id: u64, store: &Store) -> Option<u64> {
        self.done.look(&id, |sequence| store.is_quiet_since(*sequence).then_some(*sequence))
    }

    pub(super) fn note(&self, id: u64, sequence: u64) {
        self.done.put(id, sequence);
    }

    /// By other rules the same words may mean other keys.
    pub(crate) fn forget(&self) {
        self.done.retain(|_, _| false);
    }
}
