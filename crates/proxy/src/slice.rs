//! Large files in slices: each is fetched, stored, collapsed and fresh for itself. The first that a request needs says what
//! the whole is; the others follow while it is sent (`sliced.rs`).

use std::sync::Arc;

use copal_policy::Rule;
use copal_semantics::{ByteRange, Span, Timestamp, byte_ranges, conditional};
use copal_store::{
    Announced, CacheKey, FillPermit, FillReader, Hardness, Head, Invalidation, StoredResponse, Turn, slices as pieces,
};
use http::{HeaderMap, Method, StatusCode, header};
use tokio::sync::oneshot;

use crate::asked::{Asked, Selection};
use crate::body::Body;
use crate::decide::CachePlan;
use crate::exchange::Exchange;
use crate::fallback;
use crate::fault::Fault;
use crate::fill::{self, Led, TURNS};
use crate::partial::Wanted;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::Reason;
use crate::representation::Representation;
use crate::request::{self, Begun, Found};
use crate::send::Fetched;
use crate::sliced::{Layout, Sliced};
use crate::sub_key::{Slice, SubKey};
use crate::{deliver, pass};

/// Whether a request is answered from slices. A fragment is read as a whole, and so is what may be one visitor's.
pub(crate) fn applies(rule: &Rule, exchange: &Exchange) -> bool {
    rule.cache().is_some_and(|cache| cache.slice.is_some())
        && exchange.depth == 0
        && !exchange.headers.contains_key(header::AUTHORIZATION)
}

/// Begins a request under a rule with `slice`. What is stored whole under the URL (an origin without ranges) goes first.
pub(crate) fn begin(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    mut client: Exchange,
    plan: CachePlan,
) -> Begun {
    let Some(size) = rule.cache().and_then(|cache| cache.slice) else {
        return request::look_up(proxy, runtime, rule, client, plan);
    };
    let slices = Arc::new(Slices::new(proxy, runtime, rule, &client, plan, size));
    if slices.is_whole() {
        return slices.as_a_whole(client);
    }
    let number = first_needed(&client, size);
    match slices.find(number) {
        Found::Usable(response, reason) => slices.at_hand(client, number, &response, reason),
        found => {
            let (stale, why) = found.into_fetch();
            if let Some(first) = slices.beyond(number) {
                return slices.at_hand(client, 0, &first, Reason::Hit);
            }
            // RFC 9111 §5.2.1.7, as far as is known now: that a later slice is not stored turns out when it is needed.
            if slices.plan.directed.as_ref().is_some_and(|it| it.only_if_cached(&client.method)) {
                return Begun::Ready(Fault::only_if_cached().answer(NAME).under(rule));
            }
            client.fwd = why.fwd();
            Begun::Later(Box::pin(async move {
                let begun = match slices.fetch(number, stale, why).await {
                    Ok((source, reason)) => slices.answer(client, number, source, reason),
                    Err(missed) => slices.otherwise(client, number, missed),
                };
                begun.finish().await
            }))
        }
    }
}

/// The slice that a request needs first. Conditions and several ranges are judged by the first slice of all.
fn first_needed(client: &Exchange, size: u64) -> u64 {
    let conditions = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE];
    if client.method != Method::GET || conditions.iter().any(|name| client.headers.contains_key(name)) {
        return 0;
    }
    match byte_ranges(&client.headers).as_deref() {
        Some([ByteRange::From(first) | ByteRange::Between(first, _)]) => first / size,
        _ => 0,
    }
}

/// What came of the request for a slice.
pub(crate) enum Came {
    Slice(Slice, Representation),
    /// The whole, or another answer for the URL itself.
    Other,
    /// There is nothing at this place.
    Nothing,
}

/// What a response to a fill is; none where no slice was asked for.
pub(crate) fn came(asked: &Asked, fetched: &Fetched) -> Option<Came> {
    let slice = asked.slice()?;
    Some(match Representation::of(slice, fetched.status, &fetched.headers) {
        Some(of) => Came::Slice(slice, of),
        None if fetched.status == StatusCode::RANGE_NOT_SATISFIABLE => Came::Nothing,
        None => Came::Other,
    })
}

/// Makes the head of a stored slice from the head of the response that brought it.
pub(crate) fn head(slice: Slice, of: &Representation, head: &mut Head) {
    head.status = StatusCode::PARTIAL_CONTENT;
    head.length = slice.within(of.complete).map(Span::length);
}

/// The slices of one URL, for one client.
pub(crate) struct Slices {
    proxy: Arc<Proxy>,
    runtime: Arc<Runtime>,
    rule: Arc<Rule>,
    /// The request for any slice: a GET that asks for nothing but the whole.
    exchange: Exchange,
    plan: CachePlan,
    url: CacheKey,
    size: u64,
}

/// Where the bytes of a slice come from.
pub(crate) enum Source {
    Stored(Arc<StoredResponse>),
    /// Being filled; with the fields for the leader's own client.
    Growing(FillReader, HeaderMap),
}

impl Source {
    fn status(&self) -> StatusCode {
        match self {
            Self::Stored(response) => response.status,
            Self::Growing(reader, _) => reader.head().status,
        }
    }

    fn headers(&self) -> &HeaderMap {
        match self {
            Self::Stored(response) => &response.headers,
            Self::Growing(reader, _) => &reader.head().headers,
        }
    }

    /// When the origin last said what it is of.
    pub(crate) fn time(&self) -> Timestamp {
        match self {
            Self::Stored(response) => response.freshness.response_time,
            Self::Growing(reader, _) => reader.head().freshness.response_time,
        }
    }

    /// What it is the slice of that number of.
    pub(crate) fn representation(&self, slice: Slice) -> Option<Representation> {
        Representation::of(slice, self.status(), self.headers())
    }

    /// These bytes of it, counted from its own first.
    pub(crate) fn body(self, Span { first, last }: Span) -> Body {
        match self {
            Self::Stored(response) => Body::parts(pieces(&response.body.pieces, first, last - first + 1).collect()),
            Self::Growing(reader, _) => Body::growing_part(reader, first, last),
        }
    }
}

/// Why there is no slice.
pub(crate) enum Missed {
    /// There are no slices of this.
    Whole,
    /// What came is for one client, and is no slice.
    Private(Box<Fetched>, Reason),
    Failed(Fault),
}

impl Missed {
    /// The origin has something else at this place now; a server in trouble has not said so.
    pub(crate) fn is_final_word(&self) -> bool {
        match self {
            Self::Whole => true,
            Self::Private(fetched, _) => fill::is_final_word(fetched.status),
            Self::Failed(_) => false,
        }
    }

    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Whole => "the origin does not send slices any more".to_owned(),
            Self::Private(fetched, reason) => {
                format!("the origin answered {} to the request for a slice ({})", fetched.status, reason.as_str())
            }
            Self::Failed(fault) => fault.to_string(),
        }
    }
}

impl Slices {
    fn new(
        proxy: &Arc<Proxy>,
        runtime: &Arc<Runtime>,
        rule: &Arc<Rule>,
        client: &Exchange,
        plan: CachePlan,
        size: u64,
    ) -> Self {
        // Interim responses of a slice are nobody's.
        let mut exchange = Exchange { method: Method::GET, interim: None, ..client.clone() };
        conditional::strip_conditionals(&mut exchange.headers);
        let url = proxy.store.key(plan.key.as_str());
        let (proxy, runtime, rule) = (Arc::clone(proxy), Arc::clone(runtime), Arc::clone(rule));
        Self { proxy, runtime, rule, exchange, plan, url, size }
    }

    pub(crate) fn slice(&self, number: u64) -> Slice {
        Slice { size: self.size, number }
    }

    pub(crate) fn number_of(&self, byte: u64) -> u64 {
        byte / self.size
    }

    /// Whether the URL itself has an answer: stored whole, or known not to come in slices.
    fn is_whole(&self) -> bool {
        let selection = Selection { exchange: &self.exchange, plan: &self.plan };
        let found = request::find(&self.proxy, &self.url, &selection);
        !matches!(found, Found::Fetch { stale: None, why: Reason::Miss | Reason::VariantMiss })
    }

    /// The request for one slice.
    fn asked(&self, number: u64) -> Arc<Asked> {
        let slice = self.slice(number);
        let mut plan = self.plan.clone();
        plan.with_sub_key(&slice.suffix(), SubKey::Slice(slice));
        let key = self.proxy.store.key(std::mem::take(&mut plan.key));
        // A long body outlives the moment of its request: each slice is judged at its own.
        let exchange = Exchange { now: self.proxy.clock.now(), ..self.exchange.clone() };
        Arc::new(self.asked_for(exchange, plan, key))
    }

    fn asked_for(&self, exchange: Exchange, plan: CachePlan, key: CacheKey) -> Asked {
        let (rule, runtime) = (Arc::clone(&self.rule), Arc::clone(&self.runtime));
        Asked { exchange, plan, key, rule, wanted: Wanted::default(), runtime }
    }

    /// What the store has of a slice; one that is stale and may be used is being refreshed.
    pub(crate) fn find(&self, number: u64) -> Found {
        let asked = self.asked(number);
        let selection = Selection { exchange: &asked.exchange, plan: &asked.plan };
        let found = request::find(&self.proxy, &asked.key, &selection);
        if let Found::Usable(response, Reason::StaleRefreshing) = &found {
            fill::refresh(&self.proxy, &asked, response);
        }
        found
    }

    /// The first slice, when it is at hand and says that the whole ends before the slice of this number.
    fn beyond(&self, number: u64) -> Option<Arc<StoredResponse>> {
        let Found::Usable(first, Reason::Hit) = self.find(0) else { return None };
        let of = Representation::of(self.slice(0), first.status, &first.headers)?;
        self.slice(number).within(of.complete).is_none().then_some(first)
    }

    /// Fetches a slice: leads a fill, or follows one that is under way.
    pub(crate) async fn fetch(
        &self,
        number: u64,
        stale: Option<Arc<StoredResponse>>,
        why: Reason,
    ) -> Result<(Source, Reason), Missed> {
        let (asked, store) = (self.asked(number), &self.proxy.store);
        for _ in 0..TURNS {
            match store.join_after(&asked.key, Arc::clone(&asked) as _, stale.as_ref()) {
                Turn::Lead(permit) => return self.lead(asked, stale, permit, why).await,
                Turn::Follow(follower) => match follower.head().await {
                    Announced::Storing(reader) => {
                        return Ok((Source::Growing(reader, HeaderMap::new()), Reason::Collapsed));
                    }
                    Announced::Ready(response) => return Ok((Source::Stored(response), Reason::Hit)),
                    Announced::NotStored => break,
                    Announced::Failed(error) => {
                        let fault = Fault::of_fill(&error);
                        if fault.reason == Reason::OriginStatus && stale.is_none() {
                            break;
                        }
                        return self.failed(&asked, stale, fault);
                    }
                    Announced::Abandoned | Announced::OtherVariant => {}
                },
            }
        }
        let permit = store.fill_alone(&asked.key, Arc::clone(&asked) as _);
        self.lead(asked, stale, permit, why).await
    }

    async fn lead(
        &self,
        asked: Arc<Asked>,
        stale: Option<Arc<StoredResponse>>,
        permit: FillPermit,
        why: Reason,
    ) -> Result<(Source, Reason), Missed> {
        // The fill that this request waited for, or just missed, may have found out that there are no slices.
        if self.is_whole() {
            return Err(Missed::Whole);
        }
        let (tell, told) = oneshot::channel();
        tokio::spawn(fill::run(Arc::clone(&self.proxy), Arc::clone(&asked), stale.clone(), permit, None, tell));
        match told.await {
            Ok(Led::Storing(reader, own)) => Ok((Source::Growing(reader, own), why)),
            Ok(Led::Ready(response, reason)) => Ok((Source::Stored(response), reason)),
            Ok(Led::Private(fetched, reason)) => Err(Missed::Private(Box::new(fetched), reason)),
            Ok(Led::Failed(fault)) => self.failed(&asked, stale, fault),
            Err(_) => Err(Missed::Failed(Fault::internal("the fill's task ended without a word"))),
        }
    }

    /// The origin failed: the stale slice, if there is one and it may be used.
    fn failed(
        &self,
        asked: &Asked,
        stale: Option<Arc<StoredResponse>>,
        fault: Fault,
    ) -> Result<(Source, Reason), Missed> {
        match stale.filter(|stale| fill::usable_on_error(asked, stale, asked.exchange.now)) {
            Some(stale) => Ok((Source::Stored(stale), Reason::StaleError)),
            None => Err(Missed::Failed(fault)),
        }
    }

    /// Nobody is given slices of this representation any more.
    pub(crate) fn forget(&self, of: &Representation) {
        tracing::info!(url = self.url.as_str(), "slices of another representation are dropped: the file has changed");
        self.proxy.store.invalidate(&Invalidation::Tag(of.tag(self.url.as_str())), Hardness::Hard);
    }

    fn at_hand(
        self: &Arc<Self>,
        client: Exchange,
        number: u64,
        response: &Arc<StoredResponse>,
        reason: Reason,
    ) -> Begun {
        self.answer(client, number, Source::Stored(Arc::clone(response)), reason)
    }

    /// The answer from the slice that was needed first.
    fn answer(self: &Arc<Self>, client: Exchange, number: u64, source: Source, reason: Reason) -> Begun {
        let Some(of) = source.representation(self.slice(number)) else {
            return match source {
                // The origin sent the whole, which is stored under the URL.
                Source::Growing(reader, own) => {
                    Begun::Ready(fill::storing(&self.proxy, &self.whole(client), reader, &own, reason))
                }
                Source::Stored(_) => self.as_a_whole(client),
            };
        };
        let (headers, freshness, own) = match &source {
            Source::Stored(response) => (response.headers.clone(), response.freshness, HeaderMap::new()),
            Source::Growing(reader, own) => (reader.head().headers.clone(), reader.head().freshness, own.clone()),
        };
        let fetched = matches!(source, Source::Growing(..));
        let whole = deliver::Whole { headers, length: of.complete, freshness, fetched };
        let slices = Arc::clone(self);
        let body = move |layout: Layout| Body::sliced(layout.length, Sliced::new(slices, of, (number, source), layout));
        let mut answer = deliver::sliced(&client, &self.rule, whole, reason, body);
        if !own.is_empty() {
            deliver::own(answer.response.headers_mut(), &own, &self.rule, false);
        }
        Begun::Ready(answer)
    }

    /// The answer where there is no slice.
    fn otherwise(self: &Arc<Self>, client: Exchange, number: u64, missed: Missed) -> Begun {
        match missed {
            Missed::Failed(fault) => {
                let why = client.told(Reason::Miss);
                let fault = fault.forwarded(why);
                let slices = Arc::clone(self);
                Begun::Later(Box::pin(async move {
                    let id = slices.proxy.ids.of(&client);
                    let client = Exchange { request_id: Some(id), ..client };
                    fallback::answer(&slices.proxy, &slices.runtime, &slices.rule, &client, fault, why).await
                }))
            }
            // A part that cannot be used; or nothing at all to have a part of.
            Missed::Private(fetched, _)
                if fetched.status == StatusCode::PARTIAL_CONTENT
                    || (fetched.status == StatusCode::RANGE_NOT_SATISFIABLE && number == 0) =>
            {
                drop(fetched);
                self.as_a_whole(client)
            }
            Missed::Private(fetched, reason) => {
                Begun::Ready(pass::private(&self.proxy, &self.whole(client), *fetched, reason))
            }
            Missed::Whole => self.as_a_whole(client),
        }
    }

    /// The client's request for the URL itself.
    fn whole(&self, client: Exchange) -> Arc<Asked> {
        Arc::new(self.asked_for(client, self.plan.clone(), self.url.clone()))
    }

    /// Goes on as if there were no slices.
    fn as_a_whole(&self, client: Exchange) -> Begun {
        request::look_up(&self.proxy, &self.runtime, &self.rule, client, self.plan.clone())
    }
}
