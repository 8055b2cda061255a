//! Fetching under a cache rule: one fill for all who ask, driven by its own task (invariants 1–3).

use std::sync::Arc;

use copal_esi::{Limits, Parser, Piece};
use copal_origin::OriginBody;
use copal_policy::{EsiMode, Rule};
use copal_semantics::{FreshnessState, Timestamp};
use copal_store::{Announced, Discarded, FillPermit, FillReader, FillWriter, Head, Selector, StoredResponse, Turn};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::asked::{Apart, Asked};
use crate::decide::{self, Announcement, Received};
use crate::fault::Fault;
use crate::interim::Interim;
use crate::partial::Sent;
use crate::proxy::{NAME, Proxy};
use crate::reason::Reason;
use crate::send::Fetched;
use crate::slice::{self, Came};
use crate::sub_key::SubKey;
use crate::validate::{self, Heard};
use crate::{assemble, deliver, fallback, fragment, head, media, partial, pass, request};

/// How often a request that waited in vain (another variant, a leader that gave up) asks again before it goes alone.
pub(crate) const TURNS: usize = 3;

/// What a fill tells the client that began it.
pub(crate) enum Led {
    /// The response is being stored: read along. The fields are this client's alone: they are not stored.
    Storing(FillReader, HeaderMap),
    /// The stored response was confirmed, or was there already.
    Ready(Arc<StoredResponse>, Reason),
    /// The response may not be stored: it is this client's alone.
    Private(Fetched, Reason),
    Failed(Fault),
}

/// Fetches for a client: leads a fill, or follows one that is under way.
pub(crate) async fn fetch(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stale: Option<Arc<StoredResponse>>,
    why: Reason,
) -> Answer {
    // What a HEAD without these cookies brings is not stored either.
    if asked.exchange.method == Method::HEAD && stale.is_none() && asked.asks_again() {
        return again(proxy, asked, why).await;
    }
    if head::is_for(asked) {
        return head::fetch(proxy, asked, stale, why).await;
    }
    // With Authorization what comes may be this client's alone, and what others wait for may be theirs.
    if why == Reason::HitForMiss || asked.plan.authorized {
        return alone(proxy, asked, stale, why).await;
    }
    for _ in 0..TURNS {
        match proxy.store.join_after(&asked.key, Arc::clone(asked) as _, stale.as_ref()) {
            Turn::Lead(permit) => {
                if let Some(plan) = proxy.searching.news(asked) {
                    // What it missed is stored by now, or on its way, where it did not look.
                    drop(permit);
                    let (runtime, rule, exchange) = (&asked.runtime, &asked.rule, asked.exchange.clone());
                    return request::look_up(proxy, runtime, rule, exchange, plan).finish().await;
                }
                return lead(proxy, asked, stale, permit, why).await;
            }
            Turn::Follow(follower) => match follower.head().await {
                Announced::Storing(reader) => return growing(proxy, asked, reader, Reason::Collapsed),
                Announced::Ready(response) if needs_own_answer(&response, asked) => {
                    return alone(proxy, asked, Some(response), why).await;
                }
                Announced::Ready(response) => return request::usable(proxy, asked, &response, Reason::Hit),
                Announced::NotStored => return alone(proxy, asked, stale, Reason::HitForMiss).await,
                Announced::Failed(error) => {
                    let fault = Fault::of_fill(&error);
                    if !answers_for(asked, stale.as_deref(), &fault) {
                        return alone(proxy, asked, stale, why).await;
                    }
                    return failed(proxy, asked, stale, fault, why).await;
                }
                Announced::Abandoned | Announced::OtherVariant => {}
            },
        }
    }
    alone(proxy, asked, stale, why).await
}

/// What came for a request with `Authorization` and is stale at once is to be validated by each who wants it: the origin
/// may refuse it to this one (RFC 9111 §3.5, §5.2.2.2).
fn needs_own_answer(response: &StoredResponse, asked: &Asked) -> bool {
    response.authorized && response.freshness.state(asked.exchange.now) != FreshnessState::Fresh
}

/// Fetches without others: the last response could not be stored, so there is nothing to wait for, or what comes may be
/// for this client only. It may be stored all the same, which ends the hit-for-miss.
async fn alone(proxy: &Arc<Proxy>, asked: &Arc<Asked>, stale: Option<Arc<StoredResponse>>, why: Reason) -> Answer {
    let not_for_others = why == Reason::HitForMiss || asked.plan.authorized;
    let get = asked.exchange.method == Method::GET;
    let of_a_part = get && not_for_others && stale.is_none() && asked.exchange.headers.contains_key(header::RANGE);
    if asked.exchange.method == Method::HEAD || of_a_part {
        let exchange = asked.exchange.clone();
        return pass::pass(proxy, &asked.runtime, &asked.rule, exchange, asked.once(), why).await;
    }
    // The last one was not stored; that it may be now is found out when that is forgotten.
    if why == Reason::HitForMiss && stale.is_none() && asked.asks_again() {
        return again(proxy, asked, why).await;
    }
    let permit = proxy.store.fill_alone(&asked.key, Arc::clone(asked) as _);
    lead(proxy, asked, stale, permit, why).await
}

/// Asks the origin with all that the client sent, for this client alone (`ask_again_with`).
async fn again(proxy: &Arc<Proxy>, asked: &Asked, why: Reason) -> Answer {
    pass::pass(proxy, &asked.runtime, &asked.rule, asked.exchange.clone(), asked.once(), why).await
}

/// Refreshes a stale response in the background, unless that is under way already.
pub(crate) fn refresh(proxy: &Arc<Proxy>, asked: &Arc<Asked>, stale: &Arc<StoredResponse>) {
    if asked.exchange.lineage.as_ref().is_some_and(|lineage| lineage.only_looks()) {
        return;
    }
    let by: Arc<dyn Selector + Send + Sync> = match asked.plan.authorized {
        true => Arc::new(Apart::new(Arc::clone(asked))),
        false => Arc::clone(asked) as _,
    };
    let turn = proxy.store.join_after(&asked.key, by, Some(stale));
    if let Turn::Lead(permit) = turn {
        let (tell, _) = oneshot::channel();
        tokio::spawn(run(Arc::clone(proxy), Arc::clone(asked), Some(Arc::clone(stale)), permit, None, tell));
    }
}

async fn lead(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stale: Option<Arc<StoredResponse>>,
    permit: FillPermit,
    why: Reason,
) -> Answer {
    let (tell, told) = oneshot::channel();
    // To the leader's own client: the followers wait for a response, not for this exchange.
    let interim = asked.exchange.interim.clone();
    tokio::spawn(run(Arc::clone(proxy), Arc::clone(asked), stale.clone(), permit, interim, tell));
    match told.await {
        Ok(Led::Storing(reader, own)) => storing(proxy, asked, reader, &own, why),
        Ok(Led::Ready(response, reason)) => request::usable(proxy, asked, &response, reason),
        // What is too large to be stored need not be sent whole to a client that asked for a part of it.
        Ok(Led::Private(_, why @ Reason::TooLarge)) if partial::asks_in_vain(asked) => {
            pass::pass(proxy, &asked.runtime, &asked.rule, asked.exchange.clone(), asked.once(), why).await
        }
        // An origin in trouble is not asked twice.
        Ok(Led::Private(fetched, reason)) if asked.asks_again() && !fetched.status.is_server_error() => {
            drop(fetched);
            again(proxy, asked, reason).await
        }
        Ok(Led::Private(fetched, reason)) => pass::private(proxy, asked, fetched, reason),
        Ok(Led::Failed(fault)) => failed(proxy, asked, stale, fault, why).await,
        Err(_) => {
            let fault = Fault::internal("the fill's task ended without a word");
            fault.page(proxy, &asked.runtime, &asked.exchange).under(&asked.rule)
        }
    }
}

/// The answer to the leader's own client, with the fields that are not stored.
pub(crate) fn storing(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    reader: FillReader,
    own: &HeaderMap,
    reason: Reason,
) -> Answer {
    let page = reader.head().esi;
    let mut answer = growing(proxy, asked, reader, reason);
    if asked.exchange.depth == 0 && !own.is_empty() {
        deliver::own(answer.response.headers_mut(), own, &asked.rule, page);
    }
    answer
}

fn growing(proxy: &Arc<Proxy>, asked: &Arc<Asked>, reader: FillReader, reason: Reason) -> Answer {
    if reader.head().esi {
        assemble::growing(proxy, asked, reader, reason)
    } else {
        deliver::growing(&asked.exchange, &asked.rule, reader, reason)
    }
}

/// The origin failed: stale, if there is something and it may be used (RFC 9111 §4.2.4, RFC 5861 §4); else the fallback, or the
/// error page. `why` it was to be fetched.
pub(crate) async fn failed(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stale: Option<Arc<StoredResponse>>,
    fault: Fault,
    why: Reason,
) -> Answer {
    match stale.filter(|stale| usable_on_error(asked, stale, asked.exchange.now)) {
        Some(stale) => request::usable(proxy, asked, &stale, Reason::StaleError),
        None => {
            let why = asked.exchange.told(why);
            let fault = fault.forwarded(why);
            // Boxed: it is the rare way, and every miss would carry its size.
            Box::pin(fallback::answer(proxy, &asked.runtime, &asked.rule, &asked.exchange, fault, why)).await
        }
    }
}

/// Whether a fault that another request met is the answer to this one too. An origin that answers with an error has an answer
/// for each who has nothing better.
pub(crate) fn answers_for(asked: &Asked, stale: Option<&StoredResponse>, fault: &Fault) -> bool {
    fault.reason != Reason::OriginStatus
        || stale.is_some_and(|stale| usable_on_error(asked, stale, asked.exchange.now))
        || fallback::takes_over(&asked.runtime, &asked.rule, &asked.exchange, fault.status).is_some()
}

pub(crate) fn usable_on_error(asked: &Asked, stale: &StoredResponse, now: Timestamp) -> bool {
    decide::usable_on_error(stale, asked.plan.directed.as_deref(), now)
}

/// The fill's own task. It ends when the response is stored or found not to be storable, whatever becomes of the client.
pub(crate) async fn run(
    proxy: Arc<Proxy>,
    asked: Arc<Asked>,
    stale: Option<Arc<StoredResponse>>,
    permit: FillPermit,
    interim: Option<Interim>,
    tell: oneshot::Sender<Led>,
) {
    let Sent { asked, heard, completes } = partial::send(&proxy, &asked, stale.as_ref(), interim).await;
    match heard {
        Err(fault) => fill_failed(&proxy, &asked, stale.as_deref(), fault, permit, tell),
        Ok(Heard::Confirmed(fetched, named)) => {
            proxy.failures.forget(&asked, fetched.response_time);
            validate::confirmed(&proxy, &asked, &named, &fetched, permit, tell);
        }
        Ok(Heard::Response(fetched))
            if fetched.status.is_server_error() && stale_covers(&asked, stale.as_ref(), proxy.clock.now()) =>
        {
            let detail = format!("the origin answered {}", fetched.status);
            let fault = Fault::new(Reason::OriginStatus, StatusCode::BAD_GATEWAY, detail).sent();
            fill_failed(&proxy, &asked, stale.as_deref(), fault, permit, tell);
        }
        Ok(Heard::Response(fetched)) => {
            if let Some(fault) = fallback::takes_over(&asked.runtime, &asked.rule, &asked.exchange, fetched.status) {
                return fill_failed(&proxy, &asked, stale.as_deref(), fault, permit, tell);
            }
            proxy.failures.forget(&asked, fetched.response_time);
            match completes {
                Some(whole) => partial::complete(&proxy, &asked, *whole, fetched, permit, tell).await,
                None => received(&proxy, &asked, stale, fetched, permit, tell).await,
            }
        }
    }
}

/// Nothing came: remembered, and told to all who wait.
fn fill_failed(
    proxy: &Proxy,
    asked: &Asked,
    stale: Option<&StoredResponse>,
    fault: Fault,
    permit: FillPermit,
    tell: oneshot::Sender<Led>,
) {
    refresh_failed(proxy, stale);
    proxy.warn_of_refresh(asked, stale, &fault);
    proxy.failures.remember(asked, &fault, permit.began(), proxy.clock.now());
    permit.failed(fault.shared());
    let _ = tell.send(Led::Failed(fault));
}

/// The next refresh waits, so that an origin in trouble is not asked by every visitor.
fn refresh_failed(proxy: &Proxy, stale: Option<&StoredResponse>) {
    if let Some(stale) = stale {
        stale.refresh_failed(proxy.clock.now());
    }
}

fn stale_covers(asked: &Asked, stale: Option<&Arc<StoredResponse>>, now: Timestamp) -> bool {
    stale.is_some_and(|stale| usable_on_error(asked, stale, now))
}

/// A response came: announced to the followers and stored while it is read, or handed to the one client.
async fn received(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stale: Option<Arc<StoredResponse>>,
    fetched: Fetched,
    mut permit: FillPermit,
    tell: oneshot::Sender<Led>,
) {
    let Some(cache) = asked.cache_rule() else { return };
    let config = &asked.runtime.config;
    let (part, came) = (partial::part_of(asked, &fetched), slice::came(asked, &fetched));
    let is_slice = matches!(came, Some(Came::Slice(..)));
    let received = Received {
        asks: asked.asks(),
        // RFC 9111 §3.3: a part is an incomplete 200.
        status: if part.is_some() || is_slice { StatusCode::OK } else { fetched.status },
        request: &asked.exchange.headers,
        headers: &fetched.headers,
        request_time: fetched.request_time,
        response_time: fetched.response_time,
        authorized: asked.plan.authorized,
        random: proxy.random(),
        must_vary_by: asked.plan.must_vary_by(),
    };
    let storable = match came {
        Some(Came::Nothing) => Err(Reason::NotStoredStatus),
        _ if partial::is_of_the_range(asked, fetched.status) => Err(Reason::NotStoredPartial),
        _ => decide::store(config, cache, &received),
    };
    if came.is_some() && !(is_slice && storable.is_ok()) {
        // There are no slices of it: what came, and what is remembered, is of the URL itself.
        permit.file_under(proxy.store.key(asked.key.url()), None);
    }
    let storable = match storable {
        Ok(storable) => storable,
        Err(reason) => return not_stored(proxy, asked, stale, fetched, permit, tell, reason),
    };
    let esi = !is_slice && is_template(asked, &fetched);
    let own = decide::own_fields(&fetched.headers, &storable.unstored, &asked.rule, config);
    let announcement = Announcement {
        received,
        storable,
        rule: &asked.rule,
        cache,
        extras: asked.plan.extras.clone(),
        esi,
        via: NAME,
    };
    let head = announcement.head(config);
    let mut head = part.into_iter().fold(head, partial::head_of_part);
    let began = permit.began();
    head.tags.extend(asked.implied_tags(&fetched.headers));
    if matches!(asked.plan.sub_key, Some(SubKey::Session)) {
        // They are in the key, by a hash; the store need not know them.
        head.vary = head.vary.without(&[header::COOKIE, header::AUTHORIZATION]);
    }
    if let Some(Came::Slice(slice, of)) = came {
        slice::head(slice, &of, &mut head);
    }
    file(proxy, asked, &fetched.headers, &mut head, &mut permit);
    let (writer, reader) = permit.storing(head);
    if cache.early_hints {
        proxy.hints.learn(&asked.key, reader.head(), began);
    }
    let _ = tell.send(Led::Storing(reader, own));
    let parser = esi.then(|| parser(&asked.rule));
    pump(proxy, asked, fetched.body, writer, parser).await;
}

/// Stores a response where it says itself that it belongs (`No-Vary-Search`).
fn file(proxy: &Proxy, asked: &Asked, headers: &HeaderMap, head: &mut Head, permit: &mut FillPermit) {
    if let Some(filed) = proxy.searching.hear(asked, headers) {
        let key = proxy.store.key(filed.key);
        if filed.for_all {
            permit.file_under(key, Some(filed.extras));
        } else {
            // Who asked by an older word is not answered by this one.
            head.extras = filed.extras;
            permit.file_under(key, None);
        }
    }
}

/// A response that may not be stored: the one client's, and the others go on by themselves.
fn not_stored(
    proxy: &Proxy,
    asked: &Asked,
    stale: Option<Arc<StoredResponse>>,
    fetched: Fetched,
    permit: FillPermit,
    tell: oneshot::Sender<Led>,
    reason: Reason,
) {
    // A failing origin is asked again by the next request; anything else is remembered for a short time. What the origin
    // says to a request with Authorization it does not say to others, nor what it says of a range of the whole.
    let for_others = !asked.plan.authorized;
    let passing = fetched.status.is_server_error()
        || fetched.status == StatusCode::RANGE_NOT_SATISFIABLE
        || partial::is_forgotten(asked, fetched.status, reason);
    let remember = (for_others && !passing).then_some(asked.runtime.config.cache.hit_for_miss);
    match stale {
        Some(stale) if fetched.status.is_server_error() => refresh_failed(proxy, Some(&stale)),
        Some(stale) if for_others && !is_final_word(fetched.status) => refresh_failed(proxy, Some(&stale)),
        Some(stale) if for_others => proxy.store.forget(&asked.key, &stale),
        _ => {}
    }
    permit.not_stored(remember, fetched.response_time);
    let _ = tell.send(Led::Private(fetched, reason));
}

/// The origin has spoken of the page itself (made private, taken away), so that what was stored is not to be used any
/// more; a server in trouble has not (RFC 9111 §4.2.4, RFC 5861 §4).
pub(crate) fn is_final_word(status: StatusCode) -> bool {
    !status.is_server_error() && status != StatusCode::REQUEST_TIMEOUT && status != StatusCode::TOO_MANY_REQUESTS
}

/// Whether the response is read as an ESI template; an encoded one cannot be, and is passed on as it is.
fn is_template(asked: &Asked, fetched: &Fetched) -> bool {
    let template = media::is_template(&asked.rule, &fetched.headers);
    if template && media::is_encoded(&fetched.headers) {
        tracing::warn!(
            key = asked.key.as_str(),
            "the origin encoded an ESI template although it was asked not to: its includes are not processed"
        );
        return false;
    }
    template && asked.rule.esi != EsiMode::Off
}

/// Most includes of a stored template: what `esi.max_includes` can be set to. The setting itself counts as the page is put together,
/// so that what is stored is right under another one.
const MAX_INCLUDES: usize = 65_536;

/// The parser of a template, in the language of the rule.
pub(crate) fn parser(rule: &Rule) -> Parser {
    let limits = Limits { max_includes: MAX_INCLUDES, ..Limits::default() };
    Parser::new(limits).with_dialect(fragment::dialect(rule))
}

/// Reads the origin's body into the store. ESI is parsed here, once, while it comes in (invariant 4).
pub(crate) async fn pump(
    proxy: &Proxy,
    asked: &Asked,
    mut body: OriginBody,
    mut writer: FillWriter,
    mut parser: Option<Parser>,
) {
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        let chunk = match frame.map(http_body::Frame::into_data) {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(_trailers)) => continue,
            Err(error) => {
                proxy.broke_off(asked.key.as_str(), &error);
                writer.abort(Fault::of_origin(&error).shared());
                return;
            }
        };
        match &mut parser {
            Some(parser) => parser.push(chunk, &mut pieces),
            None => pieces.push(Piece::Text(chunk)),
        }
        for piece in pieces.drain(..) {
            if writer.push(piece).await.is_err() {
                return;
            }
        }
    }
    if let Some(parser) = &mut parser {
        parser.finish(&mut pieces);
        for piece in pieces.drain(..) {
            if writer.push(piece).await.is_err() {
                return;
            }
        }
        warn_of_template(proxy, asked.key.as_str(), parser);
    }
    match writer.finish(proxy.clock.now()) {
        Ok(_) => {}
        // Its head could not know it, and says that it is being stored.
        Err(Discarded::TooBig) => {
            tracing::info!(
                key = asked.key.as_str(),
                "not stored: the body outgrew cache.max_body, or the room for fills"
            );
        }
        Err(discarded) => tracing::debug!(key = asked.key.as_str(), ?discarded, "not stored"),
    }
}

/// Says in the log what is wrong with a template, with line and column, and counts it.
pub(crate) fn warn_of_template(proxy: &Proxy, page: &str, parser: &mut Parser) {
    for warning in parser.warnings() {
        proxy.observer.esi_warning(warning.message.as_str(), 1);
        tracing::warn!(page, line = warning.line, column = warning.column, "ESI: {}", warning.message);
    }
    let more = parser.suppressed_warnings();
    if more > 0 {
        proxy.observer.esi_warning("further", more);
        tracing::warn!(page, more, "ESI: there is more wrong with this template");
    }
}
