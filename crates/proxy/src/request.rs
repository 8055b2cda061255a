//! The story of one request: decide → look up → may it be reused? → fetch, validate or pass → assemble → deliver.
//! A client's request and an ESI fragment's come in here alike.

use std::pin::Pin;
use std::sync::Arc;

use copal_policy::Rule;
use copal_semantics::{CDN_LOOP, FreshnessState, cdn_loop};
use copal_store::{CacheKey, Lookup, StoredResponse};
use http::header::{HeaderValue, VIA};

use crate::answer::Answer;
use crate::asked::{Asked, Selection};
use crate::decide::{self, CachePlan, Verdict};
use crate::exchange::{Exchange, Once};
use crate::fault::Fault;
use crate::partial::Wanted;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::Reason;
use crate::{assemble, body_key, context, deliver, fill, hints, pass, purge, recall, slice};

/// A request that was begun: answered already, or on its way.
pub(crate) enum Begun {
    /// From what is at hand; nothing was waited for.
    Ready(Answer),
    /// The origin is asked, or another request's fill is waited for.
    Later(Later),
}

impl Begun {
    /// The same, with something done to the answer.
    pub(crate) fn map(self, change: impl FnOnce(Answer) -> Answer + Send + 'static) -> Self {
        match self {
            Self::Ready(answer) => Self::Ready(change(answer)),
            Self::Later(later) => Self::Later(Box::pin(async move { change(later.await) })),
        }
    }

    pub(crate) async fn finish(self) -> Answer {
        match self {
            Self::Ready(answer) => answer,
            Self::Later(later) => later.await,
        }
    }
}

pub(crate) type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Begins a request. What can be answered from memory is answered at once, without a task and without waiting.
pub(crate) fn begin(proxy: &Arc<Proxy>, runtime: &Arc<Runtime>, mut exchange: Exchange, once: Once) -> Begun {
    if exchange.depth == 0
        && let Some(purge) = purge::look(runtime, &mut exchange)
    {
        return purge::answer(proxy, runtime, exchange, once, purge);
    }
    if let Some(fault) = context::refuse(&runtime.config, &exchange) {
        return Begun::Ready(fault.answer(NAME));
    }
    if forward_loop(runtime, &exchange) {
        return Begun::Ready(deliver::loop_detected().page(proxy, runtime, &exchange));
    }
    if exchange.depth == 0 && !runtime.config.contexts.is_empty() {
        let hide = Arc::clone(&runtime.config);
        return decided(proxy, runtime, exchange, once).map(move |mut answer| {
            context::hide(&hide, &mut answer);
            answer
        });
    }
    decided(proxy, runtime, exchange, once)
}

fn decided(proxy: &Arc<Proxy>, runtime: &Arc<Runtime>, exchange: Exchange, once: Once) -> Begun {
    let decision = decide::decide(&runtime.config, &exchange);
    let rule = decision.rule;
    match decision.verdict {
        Verdict::Respond => Begun::Ready(deliver::respond(rule)),
        Verdict::Pass(_) if decide::wants_cached_only(&runtime.config, rule, &exchange) => {
            Begun::Ready(Fault::only_if_cached().answer(NAME).under(rule))
        }
        Verdict::Pass(reason) => Begun::Later(pass::pass(proxy, runtime, rule, exchange, once, reason)),
        Verdict::Cache(plan) if slice::applies(rule, &exchange) => slice::begin(proxy, runtime, rule, exchange, plan),
        Verdict::Cache(mut plan) => {
            proxy.searching.apply(rule, &mut plan);
            look_up(proxy, runtime, rule, exchange, plan)
        }
        Verdict::CacheByGroup(plan, visitor) => {
            context::begin(proxy, runtime, rule, context::Page { exchange, once, plan }, *visitor)
        }
        Verdict::CacheByBody(plan) => {
            let (proxy, runtime, rule) = (Arc::clone(proxy), Arc::clone(runtime), Arc::clone(rule));
            Begun::Later(Box::pin(body_key::look_up(proxy, runtime, rule, exchange, once, plan)))
        }
    }
}

/// The plan of a fragment for which nothing is done but looking up, by nothing but its key and what tells rules apart.
pub(crate) fn only_looked_up(runtime: &Runtime, exchange: &Exchange) -> Option<(Arc<Rule>, CachePlan)> {
    let decision = decide::decide(&runtime.config, exchange);
    let Verdict::Cache(plan) = decision.verdict else { return None };
    // Named one by one, so that what comes new is not forgotten.
    let CachePlan { key: _, extras: _, cookie, origin_form: _, authorized, directed, sub_key, search, member } = &plan;
    let only = cookie.is_none()
        && !authorized
        && directed.is_none()
        && sub_key.is_none()
        && search.is_none()
        && member.is_none();
    let by_key = !slice::applies(decision.rule, exchange) && !decision.rule.cache()?.no_vary_search;
    (only && by_key).then(|| (Arc::clone(decision.rule), plan))
}

/// What the store has for a request, as far as it may be used.
pub(crate) enum Found {
    Usable(Arc<StoredResponse>, Reason),
    /// Nothing usable: to be fetched, or validated where something stale is at hand.
    Fetch {
        stale: Option<Arc<StoredResponse>>,
        why: Reason,
    },
    /// A part that does not have all that is asked for.
    Part {
        part: Arc<StoredResponse>,
        fresh: bool,
    },
}

impl Found {
    /// What there is to be validated, and why it is fetched.
    pub(crate) fn into_fetch(self) -> (Option<Arc<StoredResponse>>, Reason) {
        match self {
            Self::Usable(response, reason) => (Some(response), reason),
            Self::Fetch { stale, why } => (stale, why),
            Self::Part { .. } => (None, Reason::Partial),
        }
    }
}

pub(crate) fn look_up(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<Rule>,
    exchange: Exchange,
    mut plan: CachePlan,
) -> Begun {
    let key = proxy.store.key(std::mem::take(&mut plan.key));
    let found = find(proxy, &key, &Selection { exchange: &exchange, plan: &plan });
    let asked = |exchange, plan, key, wanted| Asked {
        exchange,
        plan,
        key,
        rule: Arc::clone(rule),
        wanted,
        runtime: Arc::clone(runtime),
    };
    match found {
        Found::Usable(response, Reason::Hit) if !response.body.template => {
            Begun::Ready(deliver::stored(&exchange, rule, &response, Reason::Hit))
        }
        Found::Usable(response, reason) => {
            if reason == Reason::Hit
                && let Some(answer) = recall::page(proxy, runtime, rule, (&exchange, &plan), &response)
            {
                return Begun::Ready(answer);
            }
            let wanted = Wanted::of(&exchange, rule, Some(&response));
            let asked = asked(exchange, plan, key, wanted);
            if response.body.template && reason != Reason::StaleRefreshing {
                return assemble::begin(proxy, asked, response, reason);
            }
            let asked = Arc::new(asked);
            if reason == Reason::StaleRefreshing {
                fill::refresh(proxy, &asked, &response);
            }
            Begun::Ready(usable(proxy, &asked, &response, reason))
        }
        Found::Fetch { .. } | Found::Part { .. }
            if plan.directed.as_ref().is_some_and(|it| it.only_if_cached(&exchange.method)) =>
        {
            Begun::Ready(Fault::only_if_cached().answer(NAME).under(rule))
        }
        Found::Fetch { stale, why } => {
            let wanted = Wanted::of(&exchange, rule, stale.as_deref());
            fetch(proxy, asked(exchange, plan, key, wanted), stale, why)
        }
        Found::Part { part, fresh } => {
            let wanted = Wanted::beyond(&exchange, rule, &part, fresh, runtime.config.cache.max_body);
            fetch(proxy, asked(exchange, plan, key, wanted), None, Reason::Partial)
        }
    }
}

fn fetch(proxy: &Arc<Proxy>, mut asked: Asked, stale: Option<Arc<StoredResponse>>, why: Reason) -> Begun {
    let id = proxy.ids.of(&asked.exchange);
    asked.exchange.request_id = Some(id.clone());
    let proxy = Arc::clone(proxy);
    let covered = stale.as_deref().is_some_and(|stale| fill::usable_on_error(&asked, stale, asked.exchange.now));
    if let Some(fault) = proxy.failures.of(&proxy.store, &asked, covered)
        && fill::answers_for(&asked, stale.as_deref(), &fault)
    {
        let asked = Arc::new(asked);
        let failed = async move { fill::failed(&proxy, &asked, stale, fault.of_late(), why).await.known_as(id) };
        return Begun::Later(Box::pin(failed));
    }
    asked.exchange.fwd = why.fwd();
    let asked = Arc::new(asked);
    hints::send(&proxy, &asked);
    Begun::Later(Box::pin(async move { fill::fetch(&proxy, &asked, stale, why).await.known_as(id) }))
}

pub(crate) fn find(proxy: &Proxy, key: &CacheKey, selection: &Selection<'_>) -> Found {
    let now = selection.exchange.now;
    let state_of = |response: &StoredResponse, soft_invalidated| match &selection.plan.directed {
        None => (decide::reuse(response, soft_invalidated, now), Reason::Expired),
        Some(directed) => directed.reuse(response, soft_invalidated, now),
    };
    // RFC 9111 §3.5: not even to be validated for somebody who might see another page.
    let is_others = |response: &StoredResponse| selection.plan.authorized && !response.shared;
    match proxy.store.lookup(key, selection, now) {
        Lookup::Found { response, soft_invalidated } => match state_of(&response, soft_invalidated) {
            (state, _) if is_others(&response) => {
                let why = if state == FreshnessState::Fresh { Reason::NotShared } else { Reason::Expired };
                Found::Fetch { stale: None, why }
            }
            (FreshnessState::Fresh, _) => Found::Usable(response, Reason::Hit),
            (FreshnessState::StaleWhileRevalidate, _) if !response.may_refresh(now) => {
                Found::Usable(response, Reason::StaleError)
            }
            (FreshnessState::StaleWhileRevalidate, _) => Found::Usable(response, Reason::StaleRefreshing),
            (FreshnessState::StaleAccepted, _) => Found::Usable(response, Reason::MaxStale),
            (FreshnessState::StaleIfError | FreshnessState::Expired, why) => {
                Found::Fetch { stale: Some(response), why }
            }
        },
        Lookup::Partial { response, .. } if is_others(&response) => {
            Found::Fetch { stale: None, why: Reason::NotShared }
        }
        Lookup::Partial { response, soft_invalidated } => {
            let fresh = state_of(&response, soft_invalidated).0 == FreshnessState::Fresh;
            Found::Part { part: response, fresh }
        }
        Lookup::HitForMiss => Found::Fetch { stale: None, why: Reason::HitForMiss },
        Lookup::VariantMiss => Found::Fetch { stale: None, why: Reason::VariantMiss },
        Lookup::Miss => Found::Fetch { stale: None, why: Reason::Miss },
    }
}

/// A stored response on its way out: put together first, if it is a template.
pub(crate) fn usable(proxy: &Arc<Proxy>, asked: &Arc<Asked>, response: &Arc<StoredResponse>, reason: Reason) -> Answer {
    if response.body.template {
        assemble::stored(proxy, asked, response, reason)
    } else {
        deliver::stored(&asked.exchange, &asked.rule, response, reason)
    }
}

/// A request that this very server forwarded: an origin that points back here (RFC 9110 §7.6.3, RFC 8586).
fn forward_loop(runtime: &Runtime, exchange: &Exchange) -> bool {
    let by_via = |via: &HeaderValue| memmem(via.as_bytes(), runtime.via.as_bytes());
    exchange.depth == 0
        // One walk costs less than to look for both; mostly neither is there.
        && exchange.headers.keys().any(|name| *name == VIA || *name == CDN_LOOP)
        && (exchange.headers.get_all(VIA).iter().any(by_via) || cdn_loop(&exchange.headers, &runtime.instance))
}

fn memmem(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
