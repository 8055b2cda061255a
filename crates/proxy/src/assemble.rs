//! Assembly: a template's text and its fragments, in document order, the fragments fetched concurrently.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use copal_esi::{FragmentId, Next, Parser, Piece, Plan};
use copal_origin::OriginBody;
use copal_policy::Rule;
use copal_semantics::conditional::{self, Precondition};
use copal_semantics::fields;
use copal_store::{FillReader, StoredResponse};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;

use crate::answer::Answer;
use crate::asked::Asked;
use crate::body::{Body, BodyError};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::fragment::{Fragment, Page};
use crate::made::{Made, Making};
use crate::page_head::page_head;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::report::Spot;
use crate::request::Begun;
use crate::send::Fetched;
use crate::{deliver, fill, made, pass, recall};

/// So many bytes are worth sending at once.
const HELD_BYTES: usize = 64 << 10;

/// A stored template of a page that a client asks for. With all fragments at hand it is answered at once.
pub(crate) fn begin(proxy: &Arc<Proxy>, asked: Asked, response: Arc<StoredResponse>, reason: Reason) -> Begun {
    // Only what is held drives a fragment itself.
    let is_held = asked.exchange.depth == 0;
    match put_together(proxy, &asked, &response, reason, is_held) {
        Ok(Put::Rest(assembly)) if is_held && asked.exchange.method != Method::HEAD => {
            let proxy = Arc::clone(proxy);
            Begun::Later(Box::pin(async move {
                let put = assembly.held().await.map(Put::Rest);
                at_once(&proxy, &asked, &response, reason, put)
            }))
        }
        put => Begun::Ready(at_once(proxy, &asked, &response, reason, put)),
    }
}

/// A stored template. With all fragments at hand the page is one run of slices of known length, with a validator of its own.
pub(crate) fn stored(proxy: &Arc<Proxy>, asked: &Asked, response: &Arc<StoredResponse>, reason: Reason) -> Answer {
    at_once(proxy, asked, response, reason, put_together(proxy, asked, response, reason, false))
}

/// A page of a stored template, as far as it is at hand.
enum Put {
    Whole(Body, Option<Made>),
    Rest(Box<Assembly>),
}

fn put_together(
    proxy: &Arc<Proxy>,
    asked: &Asked,
    response: &Arc<StoredResponse>,
    reason: Reason,
    is_held: bool,
) -> Result<Put, Fault> {
    let exchange = &asked.exchange;
    let page = Page::new(proxy, &asked.runtime, &asked.rule, exchange, &response.headers);
    let mut assembly = Assembly::new(page, Source::Stored(Arc::clone(response), 0));
    let keep = made::keep(response, &asked.rule, reason, exchange.now).filter(|_| !asked.plan.authorized);
    assembly.making = Some(Making::of(response, keep));
    assembly.is_held = is_held;
    assembly.begin_stored();
    assembly.put_together()
}

fn at_once(proxy: &Proxy, asked: &Asked, response: &StoredResponse, reason: Reason, put: Result<Put, Fault>) -> Answer {
    match put {
        Ok(Put::Whole(body, made)) => answer(asked, response, reason, body, made),
        Ok(Put::Rest(assembly)) => answer(asked, response, reason, Body::assembled(*assembly), None),
        Err(fault) => fault.page(proxy, &asked.runtime, &asked.exchange).under(&asked.rule),
    }
}

fn answer(asked: &Asked, response: &StoredResponse, reason: Reason, body: Body, made: Option<Made>) -> Answer {
    let exchange = &asked.exchange;
    if exchange.depth > 0 {
        exchange.saw(&response.freshness);
        return deliver::fragment(response.status, &response.headers, body, reason).under(&asked.rule).made(made);
    }
    let headers = recall::head(&asked.runtime, &asked.rule, response)
        .unwrap_or_else(|| page_head(&response.headers, &asked.runtime.config, &asked.rule, true));
    let told = Told { headers, made: made.map(|made| (made.entity_tag(), made.keep)) };
    whole(exchange, &asked.rule, (response, reason), told, || body)
}

/// What a page from the store says of itself.
pub(crate) struct Told {
    /// Its fields, as [`page_head`] makes them.
    pub(crate) headers: HeaderMap,
    /// Its validator, and how long clients may keep it; none where not all of it is at hand.
    pub(crate) made: Option<(Option<HeaderValue>, Option<Duration>)>,
}

/// A page of a stored template, to the client.
pub(crate) fn whole(
    exchange: &Exchange,
    rule: &Arc<Rule>,
    (template, reason): (&StoredResponse, Reason),
    told: Told,
    body: impl FnOnce() -> Body,
) -> Answer {
    let Told { mut headers, made } = told;
    let at_hand = made.is_some();
    let age = template.freshness.current_age(exchange.now);
    let (tag, keep) = made.unwrap_or_default();
    let told = rule.cache().is_some_and(|cache| cache.client_cache_control.is_some());
    if let Some(keep) = keep.filter(|_| !told) {
        headers.insert(header::CACHE_CONTROL, made::max_age(keep, age));
    }
    // What stands there is at most a place for it.
    match tag {
        Some(tag) => headers.insert(header::ETAG, tag),
        None => headers.remove(header::ETAG),
    };
    // By its tag alone: the dates in its fields are the template's, and a fragment that is newer has not changed them.
    let by_tag = at_hand && exchange.headers.contains_key(header::IF_NONE_MATCH);
    let unchanged = conditional::evaluate(&exchange.method, &exchange.headers, template.status, &headers);
    let (status, mut headers, body) = match unchanged {
        Precondition::NotModified if by_tag => {
            (StatusCode::NOT_MODIFIED, conditional::not_modified_head(&headers), Body::empty())
        }
        _ => (template.status, headers, body()),
    };
    // RFC 9110 §9.3.2: the fields of GET, as far as they are known without fetching.
    let body = match body.size_hint().exact() {
        _ if exchange.method != Method::HEAD => body,
        Some(length) if status != StatusCode::NOT_MODIFIED => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            Body::empty()
        }
        _ => Body::empty(),
    };
    deliver::age(&mut headers, age.as_secs());
    deliver::cache_status(&mut headers, exchange.told(reason), Some(template.freshness.ttl(exchange.now)));
    deliver::respond_with(status, headers, body, reason).under(rule)
}

/// A template that is being filled: put out while it comes in.
pub(crate) fn growing(proxy: &Arc<Proxy>, asked: &Arc<Asked>, reader: FillReader, reason: Reason) -> Answer {
    let exchange = &asked.exchange;
    let head = Arc::clone(reader.head());
    let body = if exchange.method == Method::HEAD {
        Body::empty()
    } else {
        let page = Page::new(proxy, &asked.runtime, &asked.rule, exchange, &head.headers);
        Body::assembled(Assembly::new(page, Source::Growing(reader)))
    };
    if exchange.depth > 0 {
        exchange.saw(&head.freshness);
        let answer = deliver::fragment(head.status, &head.headers, body, reason);
        return answer.under(&asked.rule).announced(head.length);
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
    let page = Page::new(proxy, runtime, rule, &exchange, &fetched.headers);
    let parser = Box::new(fill::parser(rule));
    let (body, of) = (Box::new(fetched.body), Arc::clone(&page));
    let source = Source::Passing { page: of, body, parser: Some(parser), ready: VecDeque::new() };
    let body = Body::assembled(Assembly::new(page, source));
    pass::clean(&mut fetched.headers, runtime, rule);
    if exchange.depth > 0 {
        let announced = fields::content_length(&fetched.headers);
        return deliver::fragment(fetched.status, &fetched.headers, body, reason).under(rule).announced(announced);
    }
    let mut headers = page_head(&fetched.headers, &runtime.config, rule, false);
    deliver::fetched_status(&mut headers, exchange.told(reason), fetched.status, false);
    deliver::respond_with(fetched.status, headers, body, reason).under(rule)
}

/// Where the pieces of a page come from.
enum Source {
    Stored(Arc<StoredResponse>, usize),
    Growing(FillReader),
    Passing { page: Arc<Page>, body: Box<OriginBody>, parser: Option<Box<Parser>>, ready: VecDeque<Piece> },
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
            Self::Passing { page, body, parser, ready } => loop {
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
                        page.warn_of_template(parsing);
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
    /// Where the report tells of them; empty where nobody asks for one.
    spots: Vec<(FragmentId, Spot)>,
    started: u32,
    /// Includes beyond `esi.max_includes`, as far as they were told of.
    left_out: usize,
    /// What goes out before anything else.
    ready: VecDeque<Bytes>,
    /// A fragment could not be had, and the page does not go on without it.
    failed: bool,
    /// None where something in it is not of the store.
    making: Option<Making>,
    /// It is waited for, so that it is polled whether a client reads or not.
    is_held: bool,
    /// It broke off while it was waited for.
    broken: Option<Broken>,
}

struct Broken {
    error: BodyError,
    told: bool,
}

impl Assembly {
    fn new(page: Arc<Page>, source: Source) -> Self {
        let (max_concurrent, max_includes) = page.limits();
        Self {
            plan: Plan::new(max_concurrent, max_includes).with_setting(page.setting()),
            page,
            source,
            source_ended: false,
            fragments: HashMap::new(),
            running: Vec::new(),
            spots: Vec::new(),
            started: 0,
            left_out: 0,
            ready: VecDeque::new(),
            failed: false,
            making: None,
            is_held: false,
            broken: None,
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

    /// The page as a run of bytes if every fragment is at hand, with what it is made of; else what is to be waited for.
    ///
    /// # Errors
    /// A fragment failed already, and the page is to fail with it.
    fn put_together(mut self) -> Result<Put, Fault> {
        let mut parts = VecDeque::new();
        let whole = self.gather(&mut parts);
        if self.failed {
            return Err(Fault::fragment_failed());
        }
        if !whole {
            self.ready = parts;
            return Ok(Put::Rest(Box::new(self)));
        }
        let personal = self.page.is_personal();
        let made = self.making.take().map(|making| making.finish(personal));
        Ok(Put::Whole(self.run_of(&parts), made))
    }

    fn run_of(&self, parts: &VecDeque<Bytes>) -> Body {
        Body::runs(&parts.iter().collect::<Vec<_>>()).with_fragments(self.started)
    }

    /// The same, after it was waited a moment (`esi.hold`) for what is not at hand, so that what comes in time goes out with the first
    /// bytes in one write. It is the same response as without the wait, with the same framing.
    ///
    /// # Errors
    /// A fragment failed meanwhile, and the page is to fail with it: nothing is sent yet.
    async fn held(mut self: Box<Self>) -> Result<Box<Self>, Fault> {
        let (mut parts, mut length) = (VecDeque::new(), 0);
        let hold = self.page.hold();
        if hold.is_zero() {
            self.let_run();
            return Ok(self);
        }
        let all = poll_fn(|cx| self.poll_held(&mut parts, &mut length, cx));
        let waited = tokio::time::timeout(hold, all).await;
        if self.failed {
            return Err(Fault::fragment_failed());
        }
        if let Ok(Err(error)) = waited {
            self.broken = Some(Broken { error, told: false });
        }
        parts.append(&mut self.ready);
        let runs: Vec<&Bytes> = parts.iter().collect();
        self.ready = Body::runs(&runs).into_parts_at_hand().unwrap_or_default().into();
        self.let_run();
        Ok(self)
    }

    /// From now on it is polled when its client reads. A fragment that went on only then would keep its turn from everybody, and
    /// its time would not run out, for as long as one client does not read.
    fn let_run(&mut self) {
        self.is_held = false;
        for fragment in self.fragments.values_mut() {
            if let Fragment::Running(running) = fragment {
                running.let_run();
            }
        }
    }

    /// Takes what comes, while that is little; a page that may fail waits on for what its fragments come to.
    fn poll_held(
        &mut self,
        parts: &mut VecDeque<Bytes>,
        length: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        while *length < HELD_BYTES {
            match ready!(self.poll(cx))? {
                Some(bytes) => {
                    *length += bytes.len();
                    parts.push_back(bytes);
                }
                None => break,
            }
        }
        if self.page.fails() && !self.failed {
            self.hear(cx);
            if !self.failed && !self.running.is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts out what is at hand; whether that was all.
    fn gather(&mut self, parts: &mut VecDeque<Bytes>) -> bool {
        loop {
            match self.plan.next() {
                Next::Text(text) => {
                    if let Some(making) = &mut self.making {
                        making.text(&text);
                    }
                    parts.push_back(text);
                }
                Next::Fragment(id) => {
                    let Some(Fragment::AtHand(fragment, made)) = self.fragments.get_mut(&id) else { return false };
                    match (&mut self.making, made) {
                        (Some(making), Some(made)) => making.part(made),
                        _ => self.making = None,
                    }
                    parts.extend(fragment);
                    self.fragments.remove(&id);
                    self.plan.done(id);
                }
                // What comes in the place of an attempt may be at hand.
                Next::Wait if self.start() => {}
                Next::Wait => return false,
                Next::End => {
                    self.tell_of_left_out();
                    return true;
                }
            }
        }
    }

    /// How many fragments were begun.
    pub(crate) fn started(&self) -> u32 {
        self.started
    }

    /// Starts what may start; whether that was anything.
    fn start(&mut self) -> bool {
        self.tell_of_left_out();
        let before = self.started;
        while let Some((id, include)) = self.plan.start_next() {
            self.started += 1;
            let spot = self.page.spot(&include);
            let fragment = self.page.begin(&include, spot.as_ref(), self.is_held && self.running.is_empty());
            self.spots.extend(spot.map(|spot| (id, spot)));
            match fragment {
                running @ Fragment::Running(_) => {
                    self.running.push(id);
                    self.fragments.insert(id, running);
                }
                ended => self.settle(id, ended),
            }
        }
        self.started > before
    }

    fn tell_of_left_out(&mut self) {
        let all = self.plan.dropped();
        if all > self.left_out {
            self.page.left_out(all, self.left_out == 0);
            self.left_out = all;
        }
    }

    /// What becomes of a fragment that is known now: what failed is caught by `<esi:try>`, or the rule says what stands for it.
    fn settle(&mut self, id: FragmentId, fragment: Fragment) {
        let fragment = match fragment {
            Fragment::Failed { silent: false } if self.plan.is_attempted(id) => {
                if let Some(spot) = spot_of(&self.spots, id) {
                    spot.instead("<esi:except>");
                }
                self.plan.failed(id);
                return;
            }
            Fragment::Failed { silent } => {
                let placeholder = self.page.placeholder().filter(|_| !silent);
                self.failed |= !silent && placeholder.is_none() && self.page.fails();
                Fragment::instead(placeholder)
            }
            fragment => fragment,
        };
        self.plan.finished(id);
        self.fragments.insert(id, fragment);
    }

    /// The next bytes of the page; none at its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        if let Some(bytes) = self.ready.pop_front() {
            // What waits behind them is under way meanwhile.
            self.hear(cx);
            return Poll::Ready(Ok(Some(bytes)));
        }
        if let Some(broken) = &mut self.broken {
            // What came before it leaves first: the connection drops what it has not sent when it hears of this.
            if !std::mem::replace(&mut broken.told, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Err(broken.error));
        }
        loop {
            self.read_ahead(cx)?;
            self.start();
            self.hear(cx);
            if self.failed {
                return Poll::Ready(Err("an ESI fragment failed, and its page with it".into()));
            }
            match self.plan.next() {
                Next::Text(text) => return Poll::Ready(Ok(Some(text))),
                Next::Fragment(id) => match ready!(self.poll_fragment(id, cx)?) {
                    Some(bytes) => return Poll::Ready(Ok(Some(bytes))),
                    None => {
                        self.fragments.remove(&id);
                        self.plan.done(id);
                    }
                },
                // What comes in the place of an attempt is to be begun.
                Next::Wait if self.start() => {}
                Next::Wait => return Poll::Pending,
                Next::End => {
                    self.tell_of_left_out();
                    return Poll::Ready(Ok(None));
                }
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

    /// Hears from the fragments under way; a slot that is free starts the next fragment.
    fn hear(&mut self, cx: &mut Context<'_>) {
        let (fragments, mut ended) = (&mut self.fragments, Vec::new());
        self.running.retain(|id| {
            let Some(Fragment::Running(running)) = fragments.get_mut(id) else { return false };
            let Poll::Ready(fragment) = running.poll(cx) else { return true };
            ended.push((*id, fragment));
            false
        });
        let freed = !ended.is_empty();
        for (id, fragment) in ended {
            self.settle(id, fragment);
        }
        if freed {
            self.start();
            // What was just started has not been polled: without this it would never wake us.
            cx.waker().wake_by_ref();
        }
    }

    fn poll_fragment(&mut self, id: FragmentId, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        match self.fragments.get_mut(&id) {
            None | Some(Fragment::Failed { .. }) => Poll::Ready(Ok(None)),
            Some(Fragment::Running(_)) => Poll::Pending,
            Some(Fragment::AtHand(parts, _)) => Poll::Ready(Ok(parts.next())),
            Some(Fragment::Streaming { body, counted }) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(Ok(None)),
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            if !*counted {
                                if !self.page.spend(bytes.len() as u64) {
                                    return Poll::Ready(Err("more bytes of ESI fragments than esi.max_bytes".into()));
                                }
                                if let Some(spot) = spot_of(&self.spots, id) {
                                    spot.brought(bytes.len() as u64);
                                }
                            }
                            return Poll::Ready(Ok(Some(bytes)));
                        }
                    }
                    Some(Err(error)) => {
                        // What came of it is out: ended here, the page would pass for whole.
                        self.page.broke_off(&error);
                        return Poll::Ready(Err(error.to_string().into()));
                    }
                }
            },
        }
    }
}

fn spot_of(spots: &[(FragmentId, Spot)], id: FragmentId) -> Option<&Spot> {
    spots.iter().find(|(of, _)| *of == id).map(|(_, spot)| spot)
}
