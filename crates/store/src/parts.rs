//! Partial stored responses: which bytes of a representation are there, and how several become more (RFC 9111 §3.3, §3.4).

use bytes::Bytes;
use copal_esi::Piece;
use copal_semantics::{
    Brought, ByteRange, ContentRange, FreshnessState, Span, Timestamp, combined_fields, may_combine,
};
use http::StatusCode;
use http::header::ETAG;

use crate::compact;
use crate::response::{Combined, StoredResponse};
use crate::variant::Selector;
use crate::weigh;

/// Runs of bytes beyond which parts are not put together any more: only the newest is kept.
pub(crate) const MOST: usize = 64;

/// Of a 206 that is being filled: what it says that it encloses, and what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// `Content-Range`.
    pub range: ContentRange,
    /// The range of the request that it answers.
    pub asked: ByteRange,
}

/// Which bytes of a representation the body of a partial stored response holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// In ascending order; no two touch. The body holds them one after the other.
    spans: Box<[Span]>,
    complete: Option<u64>,
    /// Whether the origin said what it sent; else nothing is put together with it, and nothing fetched to complete it.
    consistent: bool,
}

impl Parts {
    pub(crate) fn of(brought: Brought) -> Self {
        Self { spans: Box::new([brought.span]), complete: brought.complete, consistent: brought.consistent }
    }

    /// The runs of bytes that are there, in ascending order; no two touch.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The length of the whole representation, where it is known.
    pub fn complete(&self) -> Option<u64> {
        self.complete
    }

    /// Where in the body this run of bytes begins; none when not all of it is there.
    pub fn place(&self, wanted: Span) -> Option<u64> {
        let mut before = 0;
        for span in &self.spans {
            if span.contains(wanted) {
                return Some(before + (wanted.first - span.first));
            }
            before += span.length();
        }
        None
    }

    /// What is missing, where that is one run of bytes: as the range to be asked for.
    pub fn gap(&self) -> Option<ByteRange> {
        if !self.consistent {
            return None;
        }
        let Some(complete) = self.complete else {
            // How much follows is not known; something may be.
            return match *self.spans {
                [Span { first: 0, last }] => Some(ByteRange::From(last.checked_add(1)?)),
                _ => None,
            };
        };
        let mut gaps = Vec::with_capacity(2);
        let mut next = 0;
        for span in &self.spans {
            if span.first > next {
                gaps.push(ByteRange::Between(next, span.first - 1));
            }
            next = span.last.checked_add(1)?;
        }
        if next < complete {
            gaps.push(ByteRange::From(next));
        }
        match *gaps {
            [gap] => Some(gap),
            _ => None,
        }
    }

    /// Whether the origin sent as much as it said; else the complete length is what can be believed, not what is known.
    pub fn is_consistent(&self) -> bool {
        self.consistent
    }

    /// Whether nothing is missing.
    pub(crate) fn is_everything(&self) -> bool {
        let whole = |complete: u64| matches!(*self.spans, [Span { first: 0, last }] if last + 1 == complete);
        self.consistent && self.complete.is_some_and(whole)
    }

    /// Heap bytes of it.
    pub(crate) fn weight(&self) -> usize {
        weigh::allocated(size_of::<Self>()) + weigh::allocated(self.spans.len() * size_of::<Span>())
    }
}

/// Whether a stored response can answer the request by itself: it is whole, or it has the part that is asked for.
pub(crate) fn suffices(response: &StoredResponse, by: &dyn Selector) -> bool {
    response.parts.is_none() || by.takes_part(response)
}

/// `length` bytes of the text of a body from `offset` on, as slices of its pieces.
pub fn slices(pieces: &[Piece], offset: u64, length: u64) -> impl Iterator<Item = Bytes> + '_ {
    cut(pieces, offset, length).map(|(slice, _)| slice)
}

/// As [`slices`], each with whether it is all of its piece.
fn cut(pieces: &[Piece], offset: u64, length: u64) -> impl Iterator<Item = (Bytes, bool)> + '_ {
    let end = offset.saturating_add(length);
    let mut at = 0_u64;
    pieces.iter().filter_map(move |piece| {
        let Piece::Text(text) = piece else { return None };
        let start = at;
        at += text.len() as u64;
        if at <= offset || start >= end {
            return None;
        }
        // Both are within the text, whose length is a usize.
        let from = offset.saturating_sub(start) as usize;
        let to = (end - start).min(text.len() as u64) as usize;
        Some((text.slice(from..to), to - from == text.len()))
    })
}

/// What bounds a stored response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_body: u64,
    pub(crate) capacity: u64,
}

/// What becomes of a response that comes where another one is stored for the same requests.
pub(crate) enum Meeting {
    /// It takes the other's place.
    Replaces,
    /// The other one stays.
    Superseded,
    /// One response of both takes the place.
    Combined(Combined),
}

/// Two responses for the same requests meet: `stored` is there, `new` comes. `soft`: an invalidation has made the stored one stale.
pub(crate) fn meet(
    stored: &StoredResponse,
    soft: bool,
    new: &StoredResponse,
    now: Timestamp,
    bounds: Bounds,
) -> Meeting {
    let stored_is_newer = is_newer(stored, new);
    match (&stored.parts, &new.parts) {
        (None, None) => by_time(stored, new),
        (None, Some(_)) => {
            let fresh = !soft && stored.freshness.state(now) == FreshnessState::Fresh;
            if fresh || stored_is_newer {
                return Meeting::Superseded;
            }
            combine(stored, new, bounds).map_or(Meeting::Replaces, Meeting::Combined)
        }
        (Some(_), None) if !stored_is_newer => Meeting::Replaces,
        (Some(_), None) => {
            // The part came later than the whole began: either it is of the same representation, or it tells that there is another.
            let tags = stored.headers.get(ETAG).zip(new.headers.get(ETAG));
            let changed = tags.is_some_and(|(one, other)| one != other);
            let otherwise = if changed { Meeting::Superseded } else { Meeting::Replaces };
            combine(stored, new, bounds).map_or(otherwise, Meeting::Combined)
        }
        (Some(_), Some(_)) => combine(stored, new, bounds).map_or_else(|| by_time(stored, new), Meeting::Combined),
    }
}

/// The newer of two stays.
pub(crate) fn by_time(stored: &StoredResponse, new: &StoredResponse) -> Meeting {
    if is_newer(stored, new) { Meeting::Superseded } else { Meeting::Replaces }
}

fn is_newer(one: &StoredResponse, other: &StoredResponse) -> bool {
    one.freshness.response_time > other.freshness.response_time
}

/// What a response holds of its representation: which bytes, and how long it is.
fn held(response: &StoredResponse) -> Option<(Vec<Span>, Option<u64>)> {
    match &response.parts {
        Some(parts) => parts.consistent.then(|| (parts.spans.to_vec(), parts.complete)),
        None if response.status != StatusCode::OK || response.esi || response.body.template => None,
        None => {
            let length = response.body.length;
            let last = length.checked_sub(1)?;
            Some((vec![Span { first: 0, last }], Some(length)))
        }
    }
}

/// Puts two responses together, where that is allowed (RFC 9111 §3.4) and stays within bounds.
fn combine(stored: &StoredResponse, new: &StoredResponse, bounds: Bounds) -> Option<Combined> {
    if !may_combine(&stored.headers, &new.headers) {
        return None;
    }
    let ((have, complete), (come, new_complete)) = (held(stored)?, held(new)?);
    if complete.zip(new_complete).is_some_and(|(one, other)| one != other) {
        return None;
    }
    let complete = complete.or(new_complete);
    let (there, comes) = ((&have[..], &stored.body.pieces[..]), (&come[..], &new.body.pieces[..]));
    // What is whole stays as it came.
    let (spans, texts) = if new.parts.is_none() { joined(comes, there) } else { joined(there, comes) };
    let length = spans.iter().map(|span| span.length()).sum::<u64>();
    let beyond = spans.last().is_some_and(|last| complete.is_some_and(|complete| last.last >= complete));
    if spans.len() > MOST || length > bounds.max_body || beyond {
        return None;
    }
    let (older, newer) = if is_newer(stored, new) { (new, stored) } else { (stored, new) };
    let parts = Parts { spans: spans.into(), complete, consistent: true };
    let body = compact::body(texts.into_iter().map(Piece::Text));
    let combined = Combined { headers: combined_fields(&older.headers, &newer.headers), body, parts };
    (combined.body.weight as u64 <= bounds.capacity).then_some(combined)
}

type Body<'a> = (&'a [Span], &'a [Piece]);

/// The bytes of both in order: which they are, and where they lie. What both have is taken from `one`.
fn joined(one: Body<'_>, other: Body<'_>) -> (Vec<Span>, Vec<Bytes>) {
    let mut runs: Vec<(Span, Body<'_>)> = one.0.iter().map(|span| (*span, one)).collect();
    runs.extend(without(other.0, one.0).into_iter().map(|span| (span, other)));
    runs.sort_unstable_by_key(|(span, _)| *span);
    let mut spans: Vec<Span> = Vec::new();
    let mut texts = Vec::new();
    for (run, (have, pieces)) in runs {
        let before: u64 = have.iter().filter(|span| span.last < run.first).map(|span| span.length()).sum();
        let within = have.iter().find(|span| span.contains(run)).map_or(0, |span| run.first - span.first);
        texts.extend(owned(pieces, before + within, run.length()));
        match spans.last_mut() {
            Some(last) if last.touches(run) => *last = last.union(run),
            _ => spans.push(run),
        }
    }
    (spans, texts)
}

/// What of `spans` is not in `taken`; both ascend.
fn without(spans: &[Span], taken: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for span in spans {
        let mut next = Some(span.first);
        for taken in taken.iter().filter(|taken| taken.last >= span.first && taken.first <= span.last) {
            if let Some(first) = next.filter(|first| *first < taken.first) {
                left.push(Span { first, last: taken.first - 1 });
            }
            next = taken.last.checked_add(1).filter(|next| *next <= span.last);
        }
        if let Some(first) = next {
            left.push(Span { first, last: span.last });
        }
    }
    left
}

/// Slices of a body that pin no more than they show: one that is less than its piece is copied.
fn owned(pieces: &[Piece], offset: u64, length: u64) -> impl Iterator<Item = Bytes> + '_ {
    cut(pieces, offset, length).map(|(slice, all)| if all { slice } else { Bytes::copy_from_slice(&slice) })
}
