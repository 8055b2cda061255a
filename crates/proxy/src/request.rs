//! The story of one request: decide → look up → may it be reused? → fetch, validate or pass → assemble → deliver.
//! A client's request and an ESI fragment's come in here alike.

use std::pin::Pin;
use std::sync::Arc;

use copal_semantics::FreshnessState;
use copal_store::{CacheKey, Lookup, StoredResponse};

use crate::answer::Answer;
use crate::asked::{Asked, Selection};
use crate::decide::{self, CachePlan, Verdict};
use crate::exchange::{Exchange, Once};
use crate::partial::Wanted;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::{assemble, deliver, fill, pass, purge};

/// A request that was begun: answered already, or on its way.
pub(crate) enum Begun {
    /// From what is at hand; nothing was waited for.
    Ready(Answer),
    /// The origin is asked, or another request's fill is waited for.
    Later(Later),
}

pub(crate) type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Begins a request. What can be answered from memory is answered at once, without a task and without waiting.
pub(crate) fn begin(proxy: &Arc<Proxy>, runtime: &Arc<Runtime>, exchange: Exchange, once: Once) -> Begun {
    if exchange.depth == 0 && purge::is_purge(&exchange.method) {
        return Begun::Ready(purge::answer(proxy, runtime, &exchange));
    }
    if forward_loop(runtime, &exchange) {
        return Begun::Ready(deliver::loop_detected());
    }
    let decision = decide::decide(&runtime.config, &exchange);
    let rule = decision.rule;
    match decision.verdict {
        Verdict::Respond => Begun::Ready(deliver::respond(rule)),
        Verdict::Pass(reason) => {
            let (proxy, runtime, rule) = (Arc::clone(proxy), Arc::clone(runtime), Arc::clone(rule));
            Begun::Later(Box::pin(async move { pass::pass(&proxy, &runtime, &rule, exchange, once, reason).await }))
        }
        Verdict::Cache(plan) => look_up(proxy, runtime, rule, exchange, plan),
    }
}

/// What the store has for a request, as far as it may be used.
enum Found {
    Usable(Arc<StoredResponse>, Reason),
    /// Nothing usable: to be fetched, or validated where something stale is at hand.
    Fetch {
        stale: Option<Arc<StoredResponse>>,
        why: Reason,
    },
    /// A part that does not have what is asked for, and whether it is fresh.
    Part(Arc<StoredResponse>, bool),
}

fn look_up(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    rule: &Arc<copal_policy::Rule>,
    exchange: Exchange,
    mut plan: CachePlan,
) -> Begun {
    let key = proxy.store.key(std::mem::take(&mut plan.key));
    let found = find(proxy, &key, &Selection { exchange: &exchange, plan: &plan });
    match found {
        Found::Usable(response, Reason::Hit) if !response.body.template => {
            Begun::Ready(deliver::stored(&exchange, rule, &response, Reason::Hit))
        }
        Found::Usable(response, reason) => {
            let wanted = Wanted::of(&exchange, rule, Some(&response));
            let asked =
                Arc::new(Asked { exchange, plan, key, rule: Arc::clone(rule), wanted, runtime: Arc::clone(runtime) });
            if reason == Reason::StaleRefreshing {
                fill::refresh(proxy, &asked, &response);
            }
            Begun::Ready(usable(proxy, &asked, &response, reason))
        }
        Found::Fetch { stale, why } => {
            let wanted = Wanted::of(&exchange, rule, stale.as_deref());
            let asked =
                Arc::new(Asked { exchange, plan, key, rule: Arc::clone(rule), wanted, runtime: Arc::clone(runtime) });
            let proxy = Arc::clone(proxy);
            Begun::Later(Box::pin(async move { fill::fetch(&proxy, &asked, stale, why).await }))
        }
        Found::Part(part, fresh) => {
            let wanted = Wanted::beyond(&exchange, rule, &part, fresh, runtime.config.cache.max_body);
            let asked =
                Arc::new(Asked { exchange, plan, key, rule: Arc::clone(rule), wanted, runtime: Arc::clone(runtime) });
            let proxy = Arc::clone(proxy);
            Begun::Later(Box::pin(async move { fill::fetch(&proxy, &asked, None, Reason::Partial).await }))
        }
    }
}

fn find(proxy: &Proxy, key: &CacheKey, selection: &Selection<'_>) -> Found {
    let now = selection.exchange.now;
    match proxy.store.lookup(key, selection, now) {
        Lookup::Found { response, soft_invalidated } => match decide::reuse(&response, soft_invalidated, now) {
            FreshnessState::Fresh => Found::Usable(response, Reason::Hit),
            FreshnessState::StaleWhileRevalidate => Found::Usable(response, Reason::StaleRefreshing),
            FreshnessState::StaleIfError | FreshnessState::Expired => {
                Found::Fetch { stale: Some(response), why: Reason::Expired }
            }
        },
        Lookup::Partial { response, soft_invalidated } => {
            let fresh = decide::reuse(&response, soft_invalidated, now) == FreshnessState::Fresh;
            Found::Part(response, fresh)
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

/// A request that this very server forwarded: an origin that points back here (RFC 9110 §7.6.3).
fn forward_loop(runtime: &Runtime, exchange: &Exchange) -> bool {
    exchange.depth == 0
        && exchange.headers.get_all(http::header::VIA).iter().any(|via| memmem(via.as_bytes(), runtime.via.as_bytes()))
}

fn memmem(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
