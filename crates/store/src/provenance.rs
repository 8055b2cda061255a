//! Where something comes from that was learnt from a response and is kept elsewhere.

use std::sync::Arc;

use crate::key::CacheKey;
use crate::log::{Sequence, Verdict};
use crate::response::HeadInfo;
use crate::store::Store;
use crate::variant::{Request, Selector, Variant};

/// Which requests something goes for that was learnt from a response (those that select the response, RFC 9111 §4.1), and
/// until when: until an invalidation, hard or soft, names the response.
#[derive(Clone, Debug)]
pub struct Provenance {
    variant: Variant,
    tags: Arc<[u64]>,
    /// Nothing up to this number names it.
    checked: Sequence,
}

impl Provenance {
    /// Of the response with this head, whose fetch began at `began`.
    #[must_use]
    pub fn of(head: &HeadInfo, began: Sequence) -> Self {
        Self { variant: head.variant.clone(), tags: Arc::clone(&head.tags), checked: began }
    }

    /// Whether a request would have been answered with the response.
    pub fn goes_for(&self, by: &dyn Selector) -> bool {
        self.variant.matches(&mut Request::new(by))
    }
}

impl Store {
    /// Whether what was learnt from a response under `key` still holds. What is not asked about between two sweeps is
    /// lost when there was an invalidation of anything.
    pub fn still_holds(&self, key: &CacheKey, of: &mut Provenance) -> bool {
        if of.checked >= self.sequence() {
            return true;
        }
        let answer = self.log().check(key, &of.tags, of.checked);
        let holds = answer.verdict == Verdict::Clear;
        if holds {
            of.checked = answer.upto;
        }
        holds
    }
}
