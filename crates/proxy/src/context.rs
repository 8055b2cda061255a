//! Pages that are stored once for each group of visitors: whoever has a session is asked for at the origin once, by a request of
//! its own, and what that answers is in the key of the page (FOSHttpCache's "user context").
//!
//! The question goes the way of every request, under a rule of its own and a key that has the session in it, hashed: so it is
//! collapsed, kept, validated and purged like anything else. Where it has no good answer the page is let through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use copal_policy::{Config, Context, Cookies, Rule};
use copal_semantics::{ResponseDirectives, Target, Timestamp, Vary, target, targeted};
use copal_store::CacheKey;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::answer::Answer;
use crate::decide::{self, CachePlan};
use crate::exchange::{Exchange, Once};
use crate::fault::Fault;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::{Outcome, Reason};
use crate::recent::Recent;
use crate::request::{self, Begun};
use crate::sub_key::SubKey;
use crate::{body_key, pass};

/// What of a request says whose session it is in.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) context: Arc<Context>,
    /// The session cookies as a field.
    pub(crate) cookie: Option<HeaderValue>,
    /// The request carries `Authorization`.
    pub(crate) authorized: bool,
}

impl Visitor {
    pub(crate) fn has_session(&self) -> bool {
        self.cookie.is_some() || self.authorized
    }

    /// Whether the cookie of that name is one of the session's.
    pub(crate) fn sends(&self, name: &str) -> bool {
        let field = HeaderMap::from_iter(self.cookie.iter().map(|cookie| (header::COOKIE, cookie.clone())));
        Cookies::parse(&field).get(name).is_some()
    }
}

/// The group for which a page is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The field that tells the origin.
    pub(crate) header: HeaderName,
    pub(crate) group: Option<HeaderValue>,
    /// The visitor has a session; else the group is that of the anonymous.
    pub(crate) has_session: bool,
    /// The origin sees the session too.
    pub(crate) forward: bool,
}

impl Member {
    /// Tells the page's origin the group; of the session it sees no more than the context lets it.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        match &self.group {
            Some(group) => headers.insert(&self.header, group.clone()),
            None => headers.remove(&self.header),
        };
        if !self.forward {
            headers.remove(header::AUTHORIZATION);
        }
    }
}

/// A request under a rule with a context.
pub(crate) struct Page {
    pub(crate) exchange: Exchange,
    pub(crate) once: Once,
    pub(crate) plan: CachePlan,
}

/// Figures of user contexts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextUsage {
    /// Sessions whose answers are kept, or were until lately.
    pub sessions: u64,
    /// Groups that were known.
    pub known: u64,
    /// Groups that the origin was asked for.
    pub asked: u64,
    /// Requests that were let through because there was no group to be had.
    pub failed: u64,
}

/// What is remembered of user contexts.
pub(crate) struct Contexts {
    /// In the keys of answers, so that no key can be found by guessing a password.
    secret: [u64; 2],
    sessions: Recent<CacheKey, ()>,
    known: AtomicU64,
    asked: AtomicU64,
    failed: AtomicU64,
    /// When it was last said that there is no group to be had, in seconds.
    warned: AtomicU64,
}

/// Seconds between two warnings.
const WARN_EVERY: u64 = 10;

impl Contexts {
    pub(crate) fn new(secret: [u64; 2]) -> Self {
        let [known, asked, failed, warned] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { secret, sessions: Recent::unbounded(), known, asked, failed, warned }
    }

    pub(crate) fn usage(&self) -> ContextUsage {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ContextUsage {
            sessions: self.sessions.len() as u64,
            known: read(&self.known),
            asked: read(&self.asked),
            failed: read(&self.failed),
        }
    }

    fn warn(&self, context: &Context, why: &str, now: Timestamp) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let (now, last) = (now.as_secs(), self.warned.load(Ordering::Relaxed));
        if now >= last.saturating_add(WARN_EVERY)
            && self.warned.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            tracing::warn!(
                context = &*context.name,
                why,
                "no group for a visitor with a session; the page is let through"
            );
        }
    }
}

/// What only Copal says to origins: a client that says it may want to be of a group, or to know it.
pub(crate) fn refuse(config: &Config, exchange: &Exchange) -> Option<Fault> {
    if exchange.depth > 0 || config.contexts.is_empty() {
        return None;
    }
    let headers = &exchange.headers;
    config.contexts.iter().find_map(|context| {
        let what = if headers.keys().any(|name| is_named(name.as_str(), &context.header)) {
            context.header.as_str()
        } else if context.accept.as_ref().is_some_and(|accept| lists(headers, &header::ACCEPT, accept.as_bytes())) {
            "Accept"
        } else if lists(headers, &header::TRAILER, context.header.as_str().as_bytes()) {
            "Trailer"
        } else {
            return None;
        };
        Some(Fault::bad_request(format!("{what} says what no client may say (context {})", context.name)))
    })
}

/// Origins that speak CGI take the one for the other.
fn is_named(name: &str, header: &HeaderName) -> bool {
    name.len() == header.as_str().len()
        && name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte }).eq(header.as_str().bytes())
}

/// Whether the text stands anywhere in these lines, without regard to case.
fn lists(headers: &HeaderMap, name: &HeaderName, text: &[u8]) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.any(|line| line.as_bytes().windows(text.len()).any(|part| part.eq_ignore_ascii_case(text)))
}

/// Begins a request under a rule with a context. The group of a session that was asked for lately is known at once.
pub(crate) fn begin(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    page: Page,
    visitor: Visitor,
) -> Begun {
    if !visitor.has_session() {
        let group = visitor.context.anonymous.clone();
        return look_up(proxy, runtime, rule, page, &visitor, group);
    }
    match ask(proxy, runtime, &page, &visitor) {
        None => settle(proxy, runtime, rule, page, &visitor, Err("its path is none")),
        Some(Begun::Ready(answer)) => {
            settle(proxy, runtime, rule, page, &visitor, group(proxy, &visitor.context, &answer))
        }
        Some(Begun::Later(later)) => {
            let (proxy, runtime, rule) = (Arc::clone(proxy), Arc::clone(runtime), Arc::clone(rule));
            Begun::Later(Box::pin(async move {
                let group = group(&proxy, &visitor.context, &later.await);
                settle(&proxy, &runtime, &rule, page, &visitor, group).finish().await
            }))
        }
    }
}

/// Asks for the group of a session: the session's cookies, `Authorization`, and nothing else of the visitor.
fn ask(proxy: &Arc<Proxy>, runtime: &Arc<Runtime>, page: &Page, visitor: &Visitor) -> Option<Begun> {
    let (context, of_page) = (&visitor.context, &page.exchange);
    let target = target::resolve(&of_page.target, &context.path).ok()?;
    let mut headers = HeaderMap::new();
    for value in of_page.headers.get_all(header::AUTHORIZATION) {
        headers.append(header::AUTHORIZATION, value.clone());
    }
    if let Some(accept) = &context.accept {
        headers.insert(header::ACCEPT, accept.clone());
    }
    let plan = plan(proxy, &runtime.config, page, visitor, &target);
    let key = proxy.store.key(plan.key.as_str());
    let most = runtime.config.contexts.iter().map(|context| context.max_sessions).sum();
    for old in proxy.contexts.sessions.put_within(key, (), most) {
        proxy.store.evict(&old);
    }
    let exchange = Exchange { peer: of_page.peer, ..Exchange::of_copal(Method::GET, target, headers, of_page.now) };
    Some(request::look_up(proxy, runtime, &context.lookup, exchange, plan))
}

fn plan(proxy: &Proxy, config: &Config, page: &Page, visitor: &Visitor, target: &Target) -> CachePlan {
    let Visitor { context, cookie, .. } = visitor;
    let secret = proxy.contexts.secret.map(u64::to_be_bytes);
    let authorization = page.exchange.headers.get_all(header::AUTHORIZATION);
    let parts = secret.iter().map(<[u8; 8]>::as_slice);
    let parts = parts.chain([context.name.as_bytes(), cookie.as_ref().map_or(&[][..], HeaderValue::as_bytes)]);
    let session = body_key::digest(parts.chain(authorization.iter().map(HeaderValue::as_bytes)));
    let mut plan = CachePlan {
        origin_form: target.scheme.len() + 3 + target.host.len(),
        key: target.url(),
        extras: decide::apart(config, &context.lookup),
        cookie: cookie.clone(),
        authorized: false,
        directed: page.plan.directed.as_ref().filter(|it| it.only_if_cached(&page.exchange.method)).cloned(),
        sub_key: None,
        search: None,
        member: None,
    };
    plan.with_sub_key(&format!("session {} {session}", context.name), SubKey::Session);
    plan
}

/// The group that an answer says; what is stale says nothing: whoever was in a group may have left it.
fn group(proxy: &Proxy, context: &Context, answer: &Answer) -> Result<HeaderValue, &'static str> {
    if !matches!(answer.reason.outcome(), Outcome::Hit | Outcome::Miss) || answer.response.status() != StatusCode::OK {
        return Err("the origin did not answer, or not with a fresh 200");
    }
    let mut groups = answer.response.headers().get_all(&context.header).iter();
    match (groups.next(), groups.next()) {
        (Some(group), None) if Context::is_group(group.as_bytes()) => {
            let known = answer.reason == Reason::Hit;
            let count = if known { &proxy.contexts.known } else { &proxy.contexts.asked };
            count.fetch_add(1, Ordering::Relaxed);
            Ok(group.clone())
        }
        (None, _) => Err("the answer does not have the field"),
        (Some(_), _) => Err("the field of the answer is no group"),
    }
}

/// Goes on with the page: looked up by the group, or let through where there is none.
fn settle(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    page: Page,
    visitor: &Visitor,
    group: Result<HeaderValue, &'static str>,
) -> Begun {
    match group {
        Ok(group) => look_up(proxy, runtime, rule, page, visitor, Some(group)),
        Err(_) if decide::wants_cached_only(&runtime.config, rule, &page.exchange) => {
            Begun::Ready(Fault::only_if_cached().answer(NAME).under(rule))
        }
        Err(why) => {
            proxy.contexts.warn(&visitor.context, why, page.exchange.now);
            let Page { exchange, once, .. } = page;
            let seen = Seen::of(runtime, &exchange, true);
            let later = pass::pass(proxy, runtime, rule, exchange, once, Reason::ContextFailed);
            Begun::Later(later).map(move |answer| seen.by_client(answer))
        }
    }
}

fn look_up(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    page: Page,
    visitor: &Visitor,
    group: Option<HeaderValue>,
) -> Begun {
    let Page { exchange, mut plan, .. } = page;
    join(&mut plan, visitor, group);
    let seen = Seen::of(runtime, &exchange, visitor.has_session());
    request::look_up(proxy, runtime, rule, exchange, plan).map(move |answer| seen.by_client(answer))
}

/// Puts the group into the plan of a page. It has no line break in it, and no space.
pub(crate) fn join(plan: &mut CachePlan, visitor: &Visitor, group: Option<HeaderValue>) {
    let context = &visitor.context;
    plan.extras.push_str("\ncontext ");
    plan.extras.push_str(&context.name);
    if let Some(group) = group.as_ref().and_then(|group| group.to_str().ok()) {
        plan.extras.push(' ');
        plan.extras.push_str(group);
    }
    if context.forward {
        plan.authorized = visitor.authorized;
        plan.cookie = joined(visitor.cookie.as_ref(), plan.cookie.take());
    }
    plan.member = Some(Box::new(Member {
        header: context.header.clone(),
        group,
        has_session: visitor.has_session(),
        forward: context.forward,
    }));
}

fn joined(sessions: Option<&HeaderValue>, keyed: Option<HeaderValue>) -> Option<HeaderValue> {
    match (sessions, keyed) {
        (Some(sessions), Some(keyed)) => {
            let both = [sessions.as_bytes(), keyed.as_bytes()].join(&b"; "[..]);
            HeaderValue::from_maybe_shared(bytes::Bytes::from(both)).ok()
        }
        (sessions, keyed) => keyed.or_else(|| sessions.cloned()),
    }
}

/// What a client, and whatever cache is before it, is told of a page of a group.
struct Seen {
    runtime: Arc<Runtime>,
    is_page: bool,
    has_session: bool,
}

impl Seen {
    fn of(runtime: &Arc<Runtime>, exchange: &Exchange, has_session: bool) -> Self {
        Self { runtime: Arc::clone(runtime), is_page: exchange.depth == 0, has_session }
    }

    /// Nobody before Copal knows the group: the page differs by what the client sends, and one of a session is its own.
    fn by_client(&self, mut answer: Answer) -> Answer {
        if !self.is_page || answer.reason.outcome() == Outcome::Error {
            return answer;
        }
        let headers = answer.response.headers_mut();
        differs_by_credentials(headers);
        if self.has_session {
            let no_store = ResponseDirectives::parse(headers).no_store;
            let told = if no_store { "private, no-store" } else { "private, no-cache" };
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(told));
            headers.remove(header::EXPIRES);
            for name in targeted::DEFAULT_ORDER.iter().chain(&self.runtime.config.cache.targeted) {
                headers.remove(name);
            }
        }
        answer
    }
}

fn differs_by_credentials(headers: &mut HeaderMap) {
    let vary = Vary::parse(headers);
    if !vary.is_star() {
        put_vary(headers, &vary.with(header::AUTHORIZATION).with(header::COOKIE));
    }
}

fn put_vary(headers: &mut HeaderMap, vary: &Vary) {
    let names: Vec<&str> = vary.names().iter().map(HeaderName::as_str).collect();
    match HeaderValue::try_from(names.join(", ")) {
        Ok(names) if !names.is_empty() => headers.insert(header::VARY, names),
        _ => headers.remove(header::VARY),
    };
}

/// Takes off what is between Copal and origins: the group, and that a page differs by it. What does differs by the session.
pub(crate) fn hide(config: &Config, answer: &mut Answer) {
    let headers = answer.response.headers_mut();
    for context in &config.contexts {
        headers.remove(&context.header);
        let vary = Vary::parse(headers);
        if !vary.is_star() && vary.names().contains(&context.header) {
            put_vary(headers, &vary.without(std::slice::from_ref(&context.header)));
            differs_by_credentials(headers);
        }
    }
}
