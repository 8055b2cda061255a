//! Assembly: a template's text and its fragments, in document order, the fragments fetched concurrently.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use copal_esi::{FragmentId, Next, Parser, Piece, Plan};
use copal_origin::OriginBody;
use copal_policy::{Action, Config, Rule};
use copal_semantics::{ResponseDirectives, targeted};
use copal_store::{FillReader, StoredResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body as _;

use crate::answer::Answer;
use crate::asked::Asked;
use crate::body::{Body, BodyError};
use crate::exchange::Exchange;
use crate::fill;
use crate::fragment::{Fragment, Page};
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::send::Fetched;
use crate::{decide, deliver, pass};

/// A stored template. With all fragments at hand the page is one run of slices of known length.
pub(crate) fn stored(proxy: &Arc<Proxy>, asked: &Arc<Asked>, response: &Arc<StoredResponse>, reason: Reason) -> Answer {
    let exchange = &asked.exchange;
    let body = if exchange.method == Method::HEAD {
        Body::empty()
    } else {
        let page = Page::new(proxy, &asked.runtime, exchange);
        let mut assembly = Assembly::new(page, Source::Stored(Arc::clone(response), 0));
        assembly.begin_stored();
        assembly.into_body()
    };
    if exchange.depth > 0 {
        return deliver::fragment(response.status, &response.headers, body, reason).under(&asked.rule);
    }
    let mut headers = page_head(&response.headers, &asked.runtime.config, &asked.rule, true);
    deliver::age(&mut headers, response.freshness.current_age(exchange.now).as_secs());
    deliver::cache_status(&mut headers, exchange.told(reason), Some(response.freshness.ttl(exchange.now)));
    deliver::respond_with(response.status, headers, body, reason).under(&asked.rule)
}

/// A template that is being filled: put out while it comes in.
pub(crate) fn growing(proxy: &Arc<Proxy>, asked: &Arc<Asked>, reader: FillReader, reason: Reason) -> Answer {
    let exchange = &asked.exchange;
    let head = Arc::clone(reader.head());
    let body = if exchange.method == Method::HEAD {
        Body::empty()
    } else {
        let page = Page::new(proxy, &asked.runtime, exchange);
        Body::assembled(Assembly::new(page, Source::Growing(reader)))
    };
    if exchange.depth > 0 {
        return deliver::fragment(head.status, &head.headers, body, reason).under(&asked.rule);
    }
    let mut headers = page_head(&head.headers, &asked.runtime.config, &asked.rule, true);
    deliver::age_of_growing(&mut headers, &head, reason, exchange.now);
    deliver::fetched_status(&mut headers, exchange.told(reason), head.status, true);
    deliver::respond_with(head.status, headers, body, reason).under(&asked.rule)
}

/// A template that is one client's alone: parsed while it passes.
pub(crate) fn passed(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    exchange: Exchange,
    mut fetched: Fetched,
    reason: Reason,
) -> Answer {
    let page = Page::new(proxy, runtime, &exchange);
    let parser = Box::new(fill::parser(&runtime.config));
    let source = Source::Passing { body: Box::new(fetched.body), parser: Some(parser), ready: VecDeque::new() };
    let body = Body::assembled(Assembly::new(page, source));
    pass::clean(&mut fetched.headers, runtime, rule);
    if exchange.depth > 0 {
        return deliver::fragment(fetched.status, &fetched.headers, body, reason).under(rule);
    }
    let mut headers = page_head(&fetched.headers, &runtime.config, rule, false);
    deliver::fetched_status(&mut headers, exchange.told(reason), fetched.status, false);
    deliver::respond_with(fetched.status, headers, body, reason).under(rule)
}

/// Fields that speak of the template's bytes, not of the page's (invariant 5).
const OF_THE_TEMPLATE: [HeaderName; 6] = [
    header::ETAG,
    header::LAST_MODIFIED,
    header::CONTENT_LENGTH,
    header::ACCEPT_RANGES,
    header::EXPIRES,
    header::TRAILER,
];

/// Whether a field speaks of the template's bytes.
pub(crate) fn is_of_the_template(name: &HeaderName) -> bool {
    OF_THE_TEMPLATE.contains(name) || decide::OF_THE_BYTES.contains(&name.as_str())
}

/// The head of an assembled page. A part of it may be one visitor's, so no shared cache after us may keep it, and a
/// browser asks again; `client_cache_control` of the rule says otherwise, but never for a page that was let through.
pub(crate) fn page_head(template: &HeaderMap, config: &Config, rule: &Rule, stored: bool) -> HeaderMap {
    let mut headers = template.clone();
    for name in &OF_THE_TEMPLATE {
        headers.remove(name);
    }
    for name in decide::OF_THE_BYTES {
        headers.remove(name);
    }
    // Caches that are addressed by name would believe these before Cache-Control (RFC 9213 §2.2).
    for name in targeted::DEFAULT_ORDER.iter().chain(&config.cache.targeted) {
        headers.remove(name);
    }
    let told = match &rule.action {
        Action::Cache(cache) if stored => cache.client_cache_control.clone(),
        _ => None,
    };
    let unsaid = if ResponseDirectives::parse(template).no_store { "private, no-store" } else { "private, no-cache" };
    headers.insert(header::CACHE_CONTROL, told.unwrap_or(HeaderValue::from_static(unsaid)));
    headers
}

/// Where the pieces of a page come from.
enum Source {
    Stored(Arc<StoredResponse>, usize),
    Growing(FillReader),
    Passing { body: Box<OriginBody>, parser: Option<Box<Parser>>, ready: VecDeque<Piece> },
}

impl Source {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        match self {
            Self::Stored(response, next) => {
                let piece = response.body.pieces.get(*next).cloned();
                *next += 1;
                Poll::Ready(piece.map(Ok))
            }
            Self::Growing(reader) => {
                reader.poll_next(cx).map(|piece| piece.map(|piece| piece.map_err(|error| error.to_string().into())))
            }
            Self::Passing { body, parser, ready } => loop {
                if let Some(piece) = ready.pop_front() {
                    return Poll::Ready(Some(Ok(piece)));
                }
                let Some(parsing) = parser else { return Poll::Ready(None) };
                let mut pieces = Vec::new();
                match ready!(Pin::new(&mut **body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(chunk) = frame.into_data() {
                            parsing.push(chunk, &mut pieces);
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    None => {
                        parsing.finish(&mut pieces);
                        fill::warn_of_template("a passed page", parsing);
                        *parser = None;
                    }
                }
                ready.extend(pieces);
            },
        }
    }
}

/// A page that is being put together.
pub(crate) struct Assembly {
    page: Arc<Page>,
    source: Source,
    source_ended: bool,
    plan: Plan,
    fragments: HashMap<FragmentId, Fragment>,
    running: Vec<FragmentId>,
    started: u32,
}

impl Assembly {
    fn new(page: Arc<Page>, source: Source) -> Self {
        let (max_concurrent, max_includes) = page.limits();
        Self {
            page,
            source,
            source_ended: false,
            plan: Plan::new(max_concurrent, max_includes),
            fragments: HashMap::new(),
            running: Vec::new(),
            started: 0,
        }
    }

    /// Reads a stored template whole (it is in memory) and begins its fragments, so that those at hand are known.
    fn begin_stored(&mut self) {
        if let Source::Stored(response, next) = &mut self.source {
            for piece in &response.body.pieces {
                self.plan.add(piece.clone());
            }
            *next = response.body.pieces.len();
            self.plan.end();
            self.source_ended = true;
        }
        self.start();
    }

    /// The page as a run of slices if every fragment is at hand, else as a stream.
    fn into_body(mut self) -> Body {
        let all = self.source_ended
            && self.running.is_empty()
            && self.fragments.values().all(|fragment| matches!(fragment, Fragment::AtHand(_)));
        if !all {
            return Body::assembled(self);
        }
        let mut parts = VecDeque::new();
        loop {
            match self.plan.next() {
                Next::Text(text) => parts.push_back(text),
                Next::Fragment(id) => {
                    if let Some(Fragment::AtHand(fragment)) = self.fragments.remove(&id) {
                        parts.extend(fragment);
                    }
                    self.plan.done(id);
                }
                Next::Wait | Next::End => break,
            }
        }
        Body::parts(parts).with_fragments(self.started)
    }

    /// How many fragments were begun.
    pub(crate) fn started(&self) -> u32 {
        self.started
    }

    fn start(&mut self) {
        while let Some((id, include)) = self.plan.start_next() {
            self.started += 1;
            let fragment = self.page.begin(&include);
            match &fragment {
                Fragment::Running(_) => self.running.push(id),
                Fragment::AtHand(_) | Fragment::Streaming(_) => self.plan.finished(id),
            }
            self.fragments.insert(id, fragment);
        }
    }

    /// The next bytes of the page; none at its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            self.read_ahead(cx)?;
            self.start();
            self.hear(cx);
            match self.plan.next() {
                Next::Text(text) => return Poll::Ready(Ok(Some(text))),
                Next::Fragment(id) => match self.poll_fragment(id, cx) {
                    Poll::Ready(Some(bytes)) => return Poll::Ready(Ok(Some(bytes))),
                    Poll::Ready(None) => {
                        self.fragments.remove(&id);
                        self.plan.done(id);
                    }
                    Poll::Pending => return Poll::Pending,
                },
                Next::Wait => return Poll::Pending,
                Next::End => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Reads pieces ahead of what is put out, so that their fragments start early; the plan bounds how many bytes wait.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        while !self.source_ended && self.plan.wants_more() {
            match self.source.poll_next(cx) {
                Poll::Ready(Some(piece)) => {
                    self.plan.add(piece?);
                }
                Poll::Ready(None) => {
                    self.plan.end();
                    self.source_ended = true;
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Hears from the fragments' tasks; a slot that is free starts the next fragment.
    fn hear(&mut self, cx: &mut Context<'_>) {
        let mut freed = false;
        let (plan, fragments) = (&mut self.plan, &mut self.fragments);
        self.running.retain(|id| {
            let Some(Fragment::Running(running)) = fragments.get_mut(id) else { return false };
            let Poll::Ready(body) = running.poll(cx) else { return true };
            fragments.insert(*id, Fragment::ended(body));
            plan.finished(*id);
            freed = true;
            false
        });
        if freed {
            self.start();
            // What was just started has not been polled: without this it would never wake us.
            cx.waker().wake_by_ref();
        }
    }

    fn poll_fragment(&mut self, id: FragmentId, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.fragments.get_mut(&id) {
            None => Poll::Ready(None),
            Some(Fragment::Running(_)) => Poll::Pending,
            Some(Fragment::AtHand(parts)) => Poll::Ready(parts.next()),
            Some(Fragment::Streaming(body)) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Some(bytes));
                        }
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, "an ESI fragment broke off; the page goes on");
                        return Poll::Ready(None);
                    }
                }
            },
        }
    }
}
