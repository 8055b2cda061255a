//! A stored response, and the head from which it is made.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use copal_esi::Piece;
use copal_semantics::{Brought, Freshness, Timestamp, Vary};
use http::{HeaderMap, StatusCode};

use crate::backoff::Backoff;
use crate::compact::{self, Compacted};
use crate::freshening::Freshened;
use crate::invalidation::Subject;
use crate::key::CacheKey;
use crate::log::{Checked, Sequence, Verdict};
use crate::note::Note;
use crate::parts::{Part, Parts};
use crate::tags::{Dictionary, Tags};
use crate::variant::{Request, Selector, Variant};
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
    /// Of a partial response (206) which part it is; its `headers` have no `Content-Range` then.
    pub part: Option<Part>,
    /// The partial stored response that this one is completed from: its tags stay.
    pub completes: Option<Arc<StoredResponse>>,
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
    /// Of a partial response (206) which part it is, as the origin says.
    pub part: Option<Part>,
    /// Whether only what was missing of a partial stored response is fetched.
    pub completed: bool,
    pub(crate) headers_weight: usize,
    pub(crate) variant: Variant,
    pub(crate) tags: Tags,
}

impl HeadInfo {
    pub(crate) fn new(head: Head, by: &dyn Selector, dictionary: &Arc<Dictionary>) -> Self {
        let (headers, headers_weight) = compact::headers(&head.headers);
        let of_parts = head.completes.iter().flat_map(|held| held.tags.iter());
        let tags = dictionary.tags(head.tags.iter().map(String::as_str), of_parts);
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
            part: head.part,
            completed: head.completes.is_some(),
            headers_weight,
            tags,
        }
    }
}

impl HeadInfo {
    /// As the log is asked about it.
    pub(crate) fn subject<'a>(&'a self, key: &'a CacheKey) -> Subject<'a> {
        Subject { key, tags: &self.tags, fields: Some(&self.headers), stored: false }
    }
}

/// The body of a stored response: text, and includes and blocks where it is a template.
#[derive(Clone, Debug)]
pub struct StoredBody {
    /// Text, includes and blocks in document order; text that follows text is joined.
    pub pieces: Box<[Piece]>,
    /// Bytes of text, that within blocks counted.
    pub length: u64,
    /// Whether there is anything but text.
    pub template: bool,
}

/// What a page has to know of a stored response that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsPart {
    /// Tells the body from others.
    pub identity: u128,
    /// How long after it was made clients may keep it, by its own fields; none where they may not without asking.
    pub max_age: Option<Duration>,
    /// Whether it is not the same for all requests for its URL.
    pub varies: bool,
    /// Whether its bytes are under a content coding, so that they cannot be put into a page (RFC 9110 §8.4).
    pub coded: bool,
}

/// Which of a store's responses it is, and when its fetch began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) id: u64,
    pub(crate) began: Sequence,
}

/// What a response keeps when it is freshened.
struct Kept {
    status: StatusCode,
    esi: bool,
    rule: Arc<str>,
    shared: bool,
    authorized: bool,
    variant: Variant,
    tags: Tags,
    body: StoredBody,
    body_weight: usize,
    parts: Option<Box<Parts>>,
}

impl Kept {
    fn with(
        self,
        (headers, headers_weight): (HeaderMap, usize),
        freshness: Freshness,
        made: Made,
        keep_for_validation: Duration,
    ) -> StoredResponse {
        let beyond = if copal_semantics::has_validator(&headers) { keep_for_validation } else { Duration::ZERO };
        let body_weight = self.body_weight + self.parts.as_ref().map_or(0, |parts| parts.weight());
        let note_room = weigh::note(&headers, &self.body);
        StoredResponse {
            weight: weigh::response(headers_weight, body_weight, &self.variant, self.tags.weight()) + note_room,
            note_room,
            note: Note::default(),
            status: self.status,
            headers,
            freshness,
            body: self.body,
            parts: self.parts,
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
            softened: AtomicU64::new(0),
            backoff: Backoff::default(),
            part: OnceLock::new(),
            body_weight: self.body_weight,
        }
    }
}

/// Two responses put together, before they are one.
pub(crate) struct Combined {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Compacted,
    pub(crate) parts: Parts,
}

/// What is stored of a partial response: the status, and which parts. A part that is everything makes a whole response
/// (RFC 9110 §15.3.7.3).
fn status_of(parts: Parts) -> (StatusCode, Option<Box<Parts>>) {
    if parts.is_everything() { (StatusCode::OK, None) } else { (StatusCode::PARTIAL_CONTENT, Some(Box::new(parts))) }
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
    /// Of a partial response (status 206) which bytes of the representation the body holds; none: it is whole.
    pub parts: Option<Box<Parts>>,
    /// Whether the body was parsed for ESI.
    pub esi: bool,
    /// The name of the rule that stored it.
    pub rule: Arc<str>,
    /// Whether requests with `Authorization` may be answered with it (RFC 9111 §3.5).
    pub shared: bool,
    /// Whether it came for a request with `Authorization`.
    pub authorized: bool,
    pub(crate) variant: Variant,
    pub(crate) tags: Tags,
    /// Counts the stored responses of a store; a higher one was made later.
    pub(crate) id: u64,
    /// From then on it is of no use, not even to be validated.
    pub(crate) keep_until: Timestamp,
    began: Sequence,
    /// Twice the number of the newest invalidation that is known not to forbid it, plus one when a soft one matched:
    /// one load answers both on a hit.
    checked: AtomicU64,
    /// When the first soft invalidation that matched came, in milliseconds since the Unix epoch; 0 while none did, or when that
    /// is not known.
    softened: AtomicU64,
    backoff: Backoff,
    /// Worked out when it is first part of a page.
    part: OnceLock<AsPart>,
    /// What was worked out about it; there is room for it where it is a template.
    pub note: Note,
    note_room: usize,
    body_weight: usize,
    weight: usize,
}

impl StoredResponse {
    /// A response as it was filled. Kept `keep_for_validation` beyond its last use where it has a validator.
    /// `brought` says which part of the representation it is, where it is not whole.
    pub(crate) fn new(
        head: &HeadInfo,
        body: Compacted,
        brought: Option<Brought>,
        made: Made,
        keep_for_validation: Duration,
    ) -> Self {
        let (status, parts) = brought.map_or((head.status, None), |brought| status_of(Parts::of(brought)));
        let kept = Kept {
            status,
            esi: head.esi,
            rule: Arc::clone(&head.rule),
            shared: head.shared,
            authorized: head.authorized,
            variant: head.variant.clone(),
            tags: head.tags.clone(),
            body: body.body,
            body_weight: body.weight,
            parts,
        };
        let headers = (head.headers.clone(), head.headers_weight);
        kept.with(headers, head.freshness, made, keep_for_validation)
    }

    /// The same body with what the origin's confirmation makes of the rest (RFC 9111 §4.3.4).
    pub(crate) fn freshened(
        &self,
        from: &Freshened,
        variant: Variant,
        tags: Tags,
        made: Made,
        keep_for_validation: Duration,
    ) -> Self {
        let kept = Kept {
            status: self.status,
            esi: self.esi,
            rule: Arc::clone(&self.rule),
            shared: from.shared,
            authorized: self.authorized,
            variant,
            tags,
            body: self.body.clone(),
            body_weight: self.body_weight,
            parts: self.parts.clone(),
        };
        kept.with(compact::headers(&from.headers), from.freshness, made, keep_for_validation)
    }

    /// This response, which has just come, and one that is stored, as one with the `tags` of both (RFC 9111 §3.4). Both are valid
    /// now, and were checked.
    pub(crate) fn combined(
        &self,
        stored: &Self,
        combined: Combined,
        tags: Tags,
        keep_for_validation: Duration,
    ) -> Self {
        let later = self.freshness.response_time >= stored.freshness.response_time;
        let newer = if later { self } else { stored };
        let (status, parts) = status_of(combined.parts);
        let kept = Kept {
            status,
            esi: false,
            rule: Arc::clone(&newer.rule),
            shared: self.shared && stored.shared,
            authorized: self.authorized || stored.authorized,
            variant: newer.variant.clone(),
            tags,
            body: combined.body.body,
            body_weight: combined.body.weight,
            parts,
        };
        let made = Made { id: self.id, began: self.began };
        let one = kept.with(compact::headers(&combined.headers), newer.freshness, made, keep_for_validation);
        // What names either from here on is met by the tags of both; what came before was met by each. If either is stale by
        // an invalidation, both are until the origin has confirmed them.
        let (checked, soft) = self.checked();
        let (stored_checked, stored_soft) = stored.checked();
        let upto = checked.min(stored_checked).0;
        one.checked.store((upto << 1) | u64::from(soft || stored_soft), Ordering::Release);
        let softened = [self.softened_at(), stored.softened_at()].into_iter().flatten().min();
        one.softened.store(softened.map_or(0, Timestamp::as_millis), Ordering::Release);
        one
    }

    /// The status that the response would have were it whole: what decides on storing and on preconditions
    /// (RFC 9111 §3.3: a partial response is an incomplete 200).
    pub fn status_of_whole(&self) -> StatusCode {
        if self.parts.is_some() { StatusCode::OK } else { self.status }
    }

    /// Whether the whole of it can be given to this request, were it the response for it: it is not a part, and the client takes
    /// its coding.
    pub fn is_readable_by(&self, by: &dyn Selector) -> bool {
        self.parts.is_none() && self.variant.is_readable_by(by)
    }

    /// Whether it was stored for requests like this one: equal in what the rule keys and what `Vary` names (RFC 9111 §4.1).
    pub fn is_for(&self, by: &dyn Selector) -> bool {
        self.variant.matches(&mut Request::new(by))
    }

    /// Notes that the origin failed to refresh it: the next try is to wait, from 1 s on and twice as long each time, up to 30 s.
    pub fn refresh_failed(&self, now: Timestamp) {
        self.backoff.failed(now);
    }

    /// Whether the origin may be asked to refresh it: no try failed, or the wait after the last one is over.
    pub fn may_refresh(&self, now: Timestamp) -> bool {
        self.backoff.is_over(now)
    }

    /// What a page that it is part of has to know of it, as `make` works it out; that is done once.
    pub fn as_part(&self, make: impl FnOnce(&Self) -> AsPart) -> &AsPart {
        self.part.get_or_init(|| make(self))
    }

    /// The number of the newest invalidation when its fetch began.
    pub fn began(&self) -> Sequence {
        self.began
    }

    /// Bytes that a [`Note`] may cost: it is counted in [`StoredResponse::weight`], written or not.
    pub fn note_room(&self) -> usize {
        self.note_room
    }

    /// Bytes of memory that it costs, bookkeeping of its variant included.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// When a soft invalidation made it stale, to the second; none when it did not, or when that is not known.
    pub fn softened_at(&self) -> Option<Timestamp> {
        match self.softened.load(Ordering::Acquire) {
            0 => None,
            at => Some(Timestamp::from_millis(at)),
        }
    }

    /// As the log is asked about it.
    pub(crate) fn subject<'a>(&'a self, key: &'a CacheKey) -> Subject<'a> {
        Subject { key, tags: &self.tags, fields: Some(&self.headers), stored: true }
    }

    /// Up to which number it was checked, and whether a soft invalidation matched.
    pub(crate) fn checked(&self) -> (Sequence, bool) {
        let checked = self.checked.load(Ordering::Acquire);
        (Sequence(checked >> 1), checked & 1 == 1)
    }

    /// Remembers an answer of the log; a hard one is not remembered, because the response goes.
    pub(crate) fn note(&self, checked: Checked) {
        let soft = u64::from(matches!(checked.verdict, Verdict::Soft(_)));
        if soft == 1 {
            self.backoff.forget();
            let at = checked.softened.map_or(0, Timestamp::as_millis);
            // Of several the first counts: it has been stale since then. Before the number, so that who sees that sees this.
            let _ = self.softened.compare_exchange(0, at, Ordering::AcqRel, Ordering::Acquire);
        }
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
