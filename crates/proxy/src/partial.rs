//! Parts of representations: which range the origin is asked for, what a partial stored response answers, and how one is
//! completed (RFC 9110 §14, RFC 9111 §3.3, §3.4).

use std::sync::Arc;

use copal_esi::Piece;
use copal_origin::OriginError;
use copal_policy::{EsiMode, Rule};
use copal_semantics::{
    ByteRange, ContentRange, Span, byte_ranges, combined_fields, fields, if_range, if_range_holds, may_combine,
    part_fields_out, strong_tag,
};
use copal_store::{FillPermit, FillWriter, Head, Lookup, NoReaders, Part, StoredResponse, slices};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use crate::asked::Asked;
use crate::decide::{self, Announcement, Received};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::fill::Led;
use crate::interim::Interim;
use crate::media;
use crate::proxy::{NAME, Proxy};
use crate::reason::Reason;
use crate::send::Fetched;
use crate::validate::{self, Candidates, Heard};

/// What of a representation a fill asks the origin for; by default the whole.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    /// The one range that the client asked for, and as a field value.
    range: Option<(ByteRange, String)>,
    /// What of the whole is stored, and what is missing.
    held: Option<(Arc<StoredResponse>, ByteRange)>,
}

impl Wanted {
    /// Nothing but the whole is asked for.
    pub(crate) fn is_whole(&self) -> bool {
        self.range.is_none() && self.held.is_none()
    }

    /// What a request is fetched with that found nothing, or `stale` to be validated. The client's range, where nothing speaks
    /// against; a whole response is validated as a whole.
    pub(crate) fn of(exchange: &Exchange, rule: &Rule, stale: Option<&StoredResponse>) -> Self {
        if stale.is_some_and(|stale| stale.parts.is_none()) {
            return Self::default();
        }
        let range = forwardable(exchange, rule).map(|range| (range, format!("bytes={range}")));
        Self { range, held: None }
    }

    /// What a request is fetched with that found a part, and asks for more: the client's range, or what the whole lacks where
    /// that is one run of bytes. Without a strong validator a stale part is of no use (RFC 9111 §3.4).
    pub(crate) fn beyond(exchange: &Exchange, rule: &Rule, found: &Arc<StoredResponse>, fresh: bool, max: u64) -> Self {
        let wanted = Self::of(exchange, rule, Some(found));
        let fits = found.parts.as_ref().and_then(|parts| parts.complete()).is_none_or(|complete| complete <= max);
        let may = exchange.method == Method::GET && fits && (fresh || strong_tag(&found.headers).is_some());
        match found.parts.as_ref().and_then(|parts| parts.gap()) {
            Some(gap) if may && wanted.range.is_none() => Self { held: Some((Arc::clone(found), gap)), ..wanted },
            _ => wanted,
        }
    }

    /// For the store: fills of different parts are kept apart. What completes the whole serves all.
    pub(crate) fn part(&self) -> &str {
        self.range.as_ref().map_or("", |(_, text)| text)
    }

    /// Whether what comes is to complete what is stored.
    pub(crate) fn completes(&self) -> bool {
        self.held.is_some()
    }

    /// Asks for it.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        let (range, condition) = match (&self.range, &self.held) {
            (Some((_, text)), _) => (text.clone(), None),
            (None, Some((held, gap))) => (format!("bytes={gap}"), if_range(&held.headers)),
            (None, None) => return,
        };
        if let Ok(range) = HeaderValue::try_from(range) {
            headers.insert(header::RANGE, range);
            headers.extend(condition);
        }
    }
}

/// The range of a request that may go to the origin: one, without a condition, which is evaluated here before the range
/// (RFC 9110 §13.2.2). A part of a template cannot be assembled.
fn forwardable(exchange: &Exchange, rule: &Rule) -> Option<ByteRange> {
    let asked = &exchange.headers;
    if !asked.contains_key(header::RANGE) || !may_have_part(exchange) || rule.esi == EsiMode::On {
        return None;
    }
    if [header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE].iter().any(|name| asked.contains_key(name))
    {
        return None;
    }
    match *byte_ranges(asked)? {
        // Nothing can satisfy it.
        [ByteRange::Suffix(0)] => None,
        [range] => Some(range),
        _ => None,
    }
}

/// §14.2: Range is defined for GET; and a fragment is always whole.
fn may_have_part(exchange: &Exchange) -> bool {
    exchange.method == Method::GET && exchange.depth == 0
}

/// Whether the client asks for a part that the origin was not asked for.
pub(crate) fn asks_in_vain(asked: &Asked) -> bool {
    let exchange = &asked.exchange;
    asked.wanted.range.is_none()
        && asked.rule.esi != EsiMode::On
        && may_have_part(exchange)
        && byte_ranges(&exchange.headers).is_some()
}

/// What of a partial stored response answers a request.
pub(crate) enum Answer {
    /// These bytes.
    Part(Span, Option<u64>),
    /// 416: the representation has only so many.
    Unsatisfiable(u64),
}

/// What of a partial stored response answers a request; none where it does not have all that is asked for.
pub(crate) fn answer(exchange: &Exchange, partial: &StoredResponse) -> Option<Answer> {
    let parts = partial.parts.as_ref()?;
    if !may_have_part(exchange) || !if_range_holds(&exchange.headers, &partial.headers) {
        return None;
    }
    let ranges = byte_ranges(&exchange.headers)?;
    let [range] = *ranges else { return None };
    let span = match (range, parts.complete()) {
        (_, Some(complete)) => match range.within(complete) {
            Some(span) => span,
            None => return parts.is_consistent().then_some(Answer::Unsatisfiable(complete)),
        },
        (ByteRange::Between(first, last), None) => Span { first, last },
        // Where the end is nobody knows.
        (_, None) => return None,
    };
    parts.place(span).map(|_| Answer::Part(span, parts.complete()))
}

/// What an origin's response to a fill came to.
pub(crate) struct Sent {
    /// Asked for the whole in the end, where it was asked for once more.
    pub(crate) asked: Arc<Asked>,
    pub(crate) heard: Result<Heard, Fault>,
    /// The whole, where what came is what was missing of it.
    pub(crate) completes: Option<Box<Completion>>,
}

/// A whole that can be put together.
pub(crate) struct Completion {
    head: Head,
    /// Fields for the leader's own client.
    own: HeaderMap,
    missing: Span,
}

/// Sends the request of a fill. Where a part comes of which nothing can be made, the whole is asked for, once.
pub(crate) async fn send(
    proxy: &Proxy,
    asked: &Arc<Asked>,
    stale: Option<&Arc<StoredResponse>>,
    interim: Option<Interim>,
) -> Sent {
    let asked = if is_still_held(proxy, asked) { Arc::clone(asked) } else { for_the_whole(asked) };
    let candidates = Candidates::of(proxy, &asked, stale);
    let fetched = match validate::ask(proxy, &asked, asked.method(), candidates, interim.clone()).await {
        Ok(Heard::Response(fetched)) => fetched,
        heard => return Sent { asked, heard, completes: None },
    };
    match made_of(proxy, &asked, &fetched) {
        Made::Response => Sent { asked, heard: Ok(Heard::Response(fetched)), completes: None },
        Made::Whole(whole) => Sent { asked, heard: Ok(Heard::Response(fetched)), completes: Some(whole) },
        Made::Nothing => {
            tracing::debug!(key = asked.key.as_str(), "a part that is of no use; asking for the whole");
            // What is not wanted of it need not come.
            drop(fetched);
            let asked = for_the_whole(&asked);
            let heard = validate::ask(proxy, &asked, asked.method(), Candidates::None, interim).await;
            Sent { asked, heard, completes: None }
        }
    }
}

/// Whether the part that is to be completed is stored still, now that what invalidates it is noticed: a purge wins.
fn is_still_held(proxy: &Proxy, asked: &Asked) -> bool {
    let Some((held, _)) = &asked.wanted.held else { return true };
    match proxy.store.lookup(&asked.key, asked, asked.exchange.now) {
        Lookup::Partial { response, .. } => Arc::ptr_eq(&response, held),
        _ => false,
    }
}

fn for_the_whole(asked: &Asked) -> Arc<Asked> {
    Arc::new(Asked { wanted: Wanted::default(), ..asked.clone() })
}

enum Made {
    /// A response like any other; one that is a part is stored as such.
    Response,
    /// With what is stored it is the whole.
    Whole(Box<Completion>),
    /// Nothing.
    Nothing,
}

fn made_of(proxy: &Proxy, asked: &Asked, fetched: &Fetched) -> Made {
    match (&asked.wanted.held, fetched.status) {
        (Some((held, gap)), StatusCode::PARTIAL_CONTENT) => match completed(proxy, asked, held, *gap, fetched) {
            Some(whole) => Made::Whole(Box::new(whole)),
            None => Made::Nothing,
        },
        // Whatever it says may be of a range and a condition that the client has not stated.
        (Some(_), status) if status != StatusCode::OK && !status.is_server_error() => Made::Nothing,
        (None, StatusCode::PARTIAL_CONTENT) if asked.wanted.range.is_some() => {
            let template = media::is_template(&asked.rule, &fetched.headers);
            if template { Made::Nothing } else { Made::Response }
        }
        _ => Made::Response,
    }
}

/// The whole that a stored part and what has come make; none where they may not be put together (RFC 9111 §3.4), or the whole
/// not be stored.
fn completed(
    proxy: &Proxy,
    asked: &Asked,
    held: &Arc<StoredResponse>,
    gap: ByteRange,
    fetched: &Fetched,
) -> Option<Completion> {
    let cache = asked.cache_rule()?;
    let config = &asked.runtime.config;
    let came = ContentRange::of(&fetched.headers)?;
    let known = held.parts.as_ref()?.complete();
    if known.zip(came.complete).is_some_and(|(one, other)| one != other) {
        return None;
    }
    let complete = came.complete.or(known)?;
    let as_announced = fields::content_length(&fetched.headers).is_none_or(|length| length == came.span.length());
    if gap.within(complete) != Some(came.span) || !as_announced || !may_combine(&held.headers, &fetched.headers) {
        return None;
    }
    let mut stored = held.headers.clone();
    stored.remove(header::VIA);
    if !fetched.headers.contains_key(header::DATE) {
        // What has come was made now, not when the stored part was (RFC 9110 §6.6.1).
        stored.insert(header::DATE, fetched.response_time.http_date());
    }
    let mut headers = combined_fields(&stored, &fetched.headers);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(complete));
    if media::is_template(&asked.rule, &headers) {
        return None;
    }
    let received = Received {
        asks: asked.asks(),
        status: StatusCode::OK,
        request: &asked.exchange.headers,
        headers: &headers,
        request_time: fetched.request_time,
        response_time: fetched.response_time,
        authorized: asked.plan.authorized,
        random: proxy.random(),
        must_vary_by: asked.plan.must_vary_by(),
    };
    let mut storable = decide::store(config, cache, &received).ok()?;
    storable.shared &= held.shared;
    let own = decide::own_fields(&fetched.headers, &storable.unstored, &asked.rule, config);
    let extras = asked.plan.extras.clone();
    let announcement = Announcement { received, storable, rule: &asked.rule, cache, extras, esi: false, via: NAME };
    let mut head = announcement.head(config);
    head.tags.extend(asked.implied_tags(&headers));
    head.authorized |= held.authorized;
    head.completes = Some(Arc::clone(held));
    Some(Completion { head, own, missing: came.span })
}

/// The part that a response to a fill is, where it is one that was asked for and says which.
pub(crate) fn part_of(asked: &Asked, fetched: &Fetched) -> Option<Part> {
    let (range, _) = asked.wanted.range.as_ref().filter(|_| fetched.status == StatusCode::PARTIAL_CONTENT)?;
    ContentRange::of(&fetched.headers).map(|came| Part { range: came, asked: *range })
}

/// The head of a partial response as it is stored.
pub(crate) fn head_of_part(mut head: Head, part: Part) -> Head {
    head.status = StatusCode::PARTIAL_CONTENT;
    part_fields_out(&mut head.headers);
    head.part = Some(part);
    head
}

/// Whether the answer to a request for a part says nothing of the whole, so that it is this client's alone: 416, and any other
/// status that the range may have brought about. It is not in the key, and must not decide what others get.
pub(crate) fn is_of_the_range(asked: &Asked, status: StatusCode) -> bool {
    let ranged = asked.wanted.range.is_some() || asked.wanted.held.is_some();
    ranged && status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT
}

/// Whether what forbids to store the answer to a range is of that range, so that it is not remembered of the whole.
pub(crate) fn is_forgotten(asked: &Asked, status: StatusCode, reason: Reason) -> bool {
    let too_large = status == StatusCode::PARTIAL_CONTENT && reason == Reason::TooLarge;
    asked.wanted.range.is_some() && (too_large || reason == Reason::NotStoredPartial)
}

/// Puts the whole together: what is stored and what comes, in order. Announced and stored like any fill.
pub(crate) async fn complete(
    proxy: &Proxy,
    asked: &Asked,
    whole: Completion,
    fetched: Fetched,
    permit: FillPermit,
    tell: oneshot::Sender<Led>,
) {
    let Some((held, _)) = &asked.wanted.held else { return };
    let (mut writer, reader) = permit.storing(whole.head);
    let _ = tell.send(Led::Storing(reader, whole.own));
    match joined(held, whole.missing, fetched, &mut writer).await {
        Ok(()) => {
            if let Err(discarded) = writer.finish(proxy.clock.now()) {
                tracing::debug!(key = asked.key.as_str(), ?discarded, "not stored");
            }
        }
        Err(Broken::NoReaders) => {}
        Err(Broken::Server(error)) => {
            proxy.broke_off(asked.key.as_str(), &error);
            writer.abort(Fault::of_origin(&error).shared());
        }
        Err(Broken::Origin(fault)) => {
            tracing::warn!(key = asked.key.as_str(), %fault, "the missing part is not what it says; not stored");
            writer.abort(fault.shared());
        }
    }
}

/// Why the whole did not come together.
enum Broken {
    NoReaders,
    Server(OriginError),
    Origin(Fault),
}

impl From<NoReaders> for Broken {
    fn from(_: NoReaders) -> Self {
        Self::NoReaders
    }
}

/// How many bytes of the stored body lie before this one.
fn held_before(held: &StoredResponse, first: u64) -> u64 {
    let spans = held.parts.iter().flat_map(|parts| parts.spans());
    spans.filter(|span| span.last < first).map(|span| span.length()).sum()
}

async fn joined(
    held: &StoredResponse,
    missing: Span,
    mut fetched: Fetched,
    writer: &mut FillWriter,
) -> Result<(), Broken> {
    let before = held_before(held, missing.first);
    for text in slices(&held.body.pieces, 0, before) {
        writer.push(Piece::Text(text)).await?;
    }
    let mut left = missing.length();
    let wrong = || {
        let detail = "the part is not as long as it says".to_owned();
        Broken::Origin(Fault::new(Reason::OriginProtocol, StatusCode::BAD_GATEWAY, detail))
    };
    while let Some(frame) = fetched.body.frame().await {
        let frame = frame.map_err(Broken::Server)?;
        let Ok(chunk) = frame.into_data() else { continue };
        left = left.checked_sub(chunk.len() as u64).ok_or_else(wrong)?;
        writer.push(Piece::Text(chunk)).await?;
    }
    if left > 0 {
        return Err(wrong());
    }
    for text in slices(&held.body.pieces, before, u64::MAX) {
        writer.push(Piece::Text(text)).await?;
    }
    Ok(())
}
