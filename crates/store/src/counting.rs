//! How many stored responses an invalidation names. It looks at everything that is stored, so it is for a thread that may block.

use crate::invalidation::{Invalidation, Naming};
use crate::key::CacheKey;
use crate::log::Hardness;
use crate::store::{Invalidated, Store};

/// After so many cache keys others that wait for the processor have their turn.
const TURN: usize = 1024;

impl Store {
    /// How many valid stored responses an invalidation would name now: a dry run. Takes time in proportion to what is stored.
    pub fn matching(&self, what: &Invalidation) -> u64 {
        self.matching_any(std::slice::from_ref(what))
    }

    /// As [`Store::matching`] for several; what more than one names counts once.
    pub fn matching_any(&self, all: &[Invalidation]) -> u64 {
        let mut count = 0;
        self.for_each_named(all, |_, named| count += named);
        count
    }

    /// As [`Store::invalidate_all`], with how many stored responses went, or became stale, whatever kinds these are: all that were
    /// there when the call began and that they name. Their memory is free when it returns. Takes time in proportion to what is
    /// stored.
    pub fn invalidate_counted(&self, all: &[Invalidation], hardness: Hardness) -> Invalidated {
        let mut named = Vec::new();
        let mut count = 0;
        self.for_each_named(all, |key, of_key| {
            named.push(key.clone());
            count += of_key;
        });
        let done = self.invalidate_all(all, hardness);
        // What a request met meanwhile has gone by itself.
        named.iter().for_each(|key| self.prune(key));
        Invalidated { removed: count, ..done }
    }

    fn for_each_named(&self, all: &[Invalidation], mut each: impl FnMut(&CacheKey, u64)) {
        let all: Vec<Naming> = all.iter().map(|what| Naming::of(what, self.log().dictionary())).collect();
        let mut seen = 0;
        self.memory().for_each(|key, known| {
            let valid = self.valid(key, known);
            let named = valid.filter(|response| all.iter().any(|naming| naming.names(response.subject(key)))).count();
            if named > 0 {
                each(key, named as u64);
            }
            seen += 1;
            if seen % TURN == 0 {
                std::thread::yield_now();
            }
        });
    }
}
