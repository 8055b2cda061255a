//! A stored response, and the head from which it is made.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use copal_esi::Piece;
use copal_semantics::{Freshness, Timestamp, Vary};
use http::{HeaderMap, StatusCode};

use crate::compact::{self, Compacted};
use crate::log::{Checked, Sequence, Verdict};
use crate::variant::{Selector, Variant};
use crate::weigh;

/// What a leader knows when the head of the origin's response has come and it may be stored.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields (RFC 9111 §3.1); copied, so that no read buffer is kept.
    pub headers: HeaderMap,
    /// Age, lifetime and stale uses.
    pub freshness: Freshness,
    /// The rule's own part of the secondary key, as [`Selector::extras`] gives it for the leader's request.
    pub extras: String,
    /// The request fields that pick the variant (RFC 9111 §4.1); their values come from the leader's [`Selector`].
    pub vary: Vary,
    /// The origin's tags for this response.
    pub tags: Vec<String>,
    /// Whether the body is parsed for ESI, so that its text may be shorter than the announced length.
    pub esi: bool,
    /// The name of the rule.
    pub rule: Arc<str>,
    /// Whether requests with `Authorization` may be answered with it (RFC 9111 §3.5).
    pub shared: bool,
    /// Whether it came for a request with `Authorization`.
    pub authorized: bool,
    /// Bytes of the body, where the origin announced them (`Content-Length`).
    pub length: Option<u64>,
}

/// The head of a fill under way, shared by all its readers.
#[derive(Debug)]
pub struct HeadInfo {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// Age, lifetime and stale uses.
    pub freshness: Freshness,
    /// Bytes of the body as announced by the origin, before ESI.
    pub length: Option<u64>,
    /// Whether the body is parsed for ESI.
    pub esi: bool,
    /// The name of the rule.
    pub rule: Arc<str>,
    /// Whether requests with `Authorization` may be answered with it (RFC 9111 §3.5).
    pub shared: bool,
    /// Whether it came for a request with `Authorization`.
    pub authorized: bool,
    pub(crate) headers_weight: usize,
    pub(crate) variant: Variant,
    pub(crate) tags: Arc<[u64]>,
}

impl HeadInfo {
    pub(crate) fn new(head: Head, by: &dyn Selector, tag: impl Fn(&str) -> u64) -> Self {
        let (headers, headers_weight) = compact::headers(&head.headers);
        let mut tags: Vec<u64> = head.tags.iter().map(|text| tag(text)).collect();
        tags.sort_unstable();
        tags.dedup();
        Self {
            variant: Variant::new(&head.extras, head.vary, &headers, by),
            status: head.status,
            headers,
            freshness: head.freshness,
            length: head.length,
            esi: head.esi,
            rule: head.rule,
            shared: head.shared,
            authorized: head.authorized,
            headers_weight,
            tags: tags.into(),
        }
    }
}

/// The body of a stored response: text, and includes where it is a template.
#[derive(Clone, Debug)]
pub struct StoredBody {
    /// Text and includes in document order; text that follows text is joined.
    pub pieces: Box<[Piece]>,
    /// Bytes of text.
    pub length: u64,
    /// Whether there are includes.
    pub template: bool,
}

/// Which of a store's responses it is, and when its fetch began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) id: u64,
    pub(crate) began: Sequence,
}

/// What a response keeps when it is freshened.
struct Parts {
    status: StatusCode,
    esi: bool,
    rule: Arc<str>,
    shared: bool,
    authorized: bool,
    variant: Variant,
    tags: Arc<[u64]>,
    body: StoredBody,
    body_weight: usize,
}

impl Parts {
    fn with(
        self,
        (headers, headers_weight): (HeaderMap, usize),
        freshness: Freshness,
        made: Made,
        keep_for_validation: Duration,
    ) -> StoredResponse {
        let beyond = if copal_semantics::has_validator(&headers) { keep_for_validation } else { Duration::ZERO };
        StoredResponse {
            weight: weigh::response(headers_weight, self.body_weight, &self.variant, self.tags.len()),
            status: self.status,
            headers,
            freshness,
            body: self.body,
            esi: self.esi,
            rule: self.rule,
            shared: self.shared,
            authorized: self.authorized,
            variant: self.variant,
            tags: self.tags,
            id: made.id,
            keep_until: freshness.response_time.plus(freshness.retention()).plus(beyond),
            began: made.began,
            checked: AtomicU64::new(made.began.0 << 1),
            body_weight: self.body_weight,
        }
    }
}

/// A stored response (RFC 9111 §2).
pub struct StoredResponse {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields, which pin no read buffer.
    pub headers: HeaderMap,
    /// Age, lifetime and stale uses.
    pub freshness: Freshness,
    /// The body.
    pub body: StoredBody,
    /// Whether the body was parsed for ESI.
    pub esi: bool,
    /// The name of the rule that stored it.
    pub rule: Arc<str>,
    /// Whether requests with `Authorization` may be answered with it (RFC 9111 §3.5).
    pub shared: bool,
    /// Whether it came for a request with `Authorization`.
    pub authorized: bool,
    pub(crate) variant: Variant,
    pub(crate) tags: Arc<[u64]>,
    /// Counts the stored responses of a store; a higher one was made later.
    pub(crate) id: u64,
    /// From then on it is of no use, not even to be validated.
    pub(crate) keep_until: Timestamp,
    began: Sequence,
    /// Twice the number of the newest invalidation that is known not to forbid it, plus one when a soft one matched:
    /// one load answers both on a hit.
    checked: AtomicU64,
    body_weight: usize,
    weight: usize,
}

impl StoredResponse {
    /// A response as it was filled. Kept `keep_for_validation` beyond its last use where it has a validator.
    pub(crate) fn new(head: &HeadInfo, body: Compacted, made: Made, keep_for_validation: Duration) -> Self {
        let parts = Parts {
            status: head.status,
            esi: head.esi,
            rule: Arc::clone(&head.rule),
            shared: head.shared,
            authorized: head.authorized,
            variant: head.variant.clone(),
            tags: Arc::clone(&head.tags),
            body: body.body,
            body_weight: body.weight,
        };
        let headers = (head.headers.clone(), head.headers_weight);
        parts.with(headers, head.freshness, made, keep_for_validation)
    }

    /// The same response with the fields and the freshness that a 304 brought (RFC 9111 §4.3.4).
    pub(crate) fn freshened(
        &self,
        headers: &HeaderMap,
        freshness: Freshness,
        shared: bool,
        made: Made,
        keep_for_validation: Duration,
    ) -> Self {
        let parts = Parts {
            status: self.status,
            esi: self.esi,
            rule: Arc::clone(&self.rule),
            shared,
            authorized: self.authorized,
            variant: self.variant.clone(),
            tags: Arc::clone(&self.tags),
            body: self.body.clone(),
            body_weight: self.body_weight,
        };
        parts.with(compact::headers(headers), freshness, made, keep_for_validation)
    }

    /// The number of the newest invalidation when its fetch began.
    pub fn began(&self) -> Sequence {
        self.began
    }

    /// Bytes of memory that it costs, bookkeeping of its variant included.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Up to which number it was checked, and whether a soft invalidation matched.
    pub(crate) fn checked(&self) -> (Sequence, bool) {
        let checked = self.checked.load(Ordering::Acquire);
        (Sequence(checked >> 1), checked & 1 == 1)
    }

    /// Remembers an answer of the log; a hard one is not remembered, because the response goes.
    pub(crate) fn note(&self, checked: Checked) {
        let soft = u64::from(checked.verdict == Verdict::Soft);
        // A soft invalidation sticks until the response is replaced; of two numbers the newer one holds.
        let merged = |before: u64| ((before >> 1).max(checked.upto.0) << 1) | (before & 1) | soft;
        let _ = self.checked.fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| Some(merged(before)));
    }
}

impl fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("StoredResponse");
        out.field("id", &self.id).field("status", &self.status).field("length", &self.body.length);
        out.field("template", &self.body.template).field("weight", &self.weight);
        out.field("began", &self.began).field("checked", &self.checked()).finish_non_exhaustive()
    }
}
