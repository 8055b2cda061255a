//! Where something comes from that was learnt from a response and is kept elsewhere.

use crate::invalidation::Subject;
use crate::key::CacheKey;
use crate::log::{Sequence, Verdict};
use crate::response::HeadInfo;
use crate::store::Store;
use crate::tags::Tags;
use crate::variant::{Request, Selector, Variant};

/// Which requests something goes for that was learnt from a response (those that select the response, RFC 9111 §4.1), and
/// until when: until an invalidation, hard or soft, names the response.
#[derive(Clone, Debug)]
pub struct Provenance {
    variant: Variant,
    tags: Tags,
    /// Nothing up to this number names it.
    checked: Sequence,
}

impl Provenance {
    /// Of the response with this head, whose fetch began at `began`.
    #[must_use]
    pub fn of(head: &HeadInfo, began: Sequence) -> Self {
        Self { variant: head.variant.clone(), tags: head.tags.clone(), checked: began }
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
        // Its fields are not kept: what asks for some may mean it.
        let answer = self.log().check(Subject { key, tags: &of.tags, fields: None, stored: false }, of.checked);
        let holds = answer.verdict == Verdict::Clear;
        if holds {
            of.checked = answer.upto;
        }
        holds
    }
}
