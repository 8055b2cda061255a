//! HEAD that cannot be answered from the store: asked of the origin as HEAD, which freshens what is stored or makes it stale
//! (RFC 9111 §4.3.5). Nothing is stored of it, and nobody waits for a body.

use std::sync::Arc;

use copal_policy::EsiMode;
use copal_semantics::{HeadSays, head_says};
use copal_store::{FillPermit, StoredResponse};
use http::{Method, StatusCode};

use crate::answer::Answer;
use crate::asked::Asked;
use crate::proxy::Proxy;
use crate::reason::Reason;
use crate::send::Fetched;
use crate::validate::{self, Candidates, Heard};
use crate::{fallback, fill, media, pass, request};

/// Whether the origin is asked as the client asks. Not for a template: what is told of an assembled page is told by the
/// template.
pub(crate) fn is_for(asked: &Asked) -> bool {
    asked.exchange.method == Method::HEAD && asked.rule.esi != EsiMode::On
}

/// Asks the origin.
pub(crate) async fn fetch(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stale: Option<Arc<StoredResponse>>,
    why: Reason,
) -> Answer {
    let Some(stale) = stale else {
        let began = proxy.store.begin();
        return match validate::ask(proxy, asked, Method::HEAD, Candidates::None, interim(asked)).await {
            Ok(Heard::Response(fetched) | Heard::Confirmed(fetched, _)) => private(proxy, asked, fetched, why).await,
            Err(fault) => {
                proxy.failures.remember(asked, &fault, began, proxy.clock.now());
                fill::failed(proxy, asked, None, fault, why).await
            }
        };
    };
    // What is invalidated meanwhile is not brought back.
    let permit = proxy.store.fill_alone(&asked.key, Arc::clone(asked) as _);
    let candidates = Candidates::of(proxy, asked, Some(&stale));
    match validate::ask(proxy, asked, Method::HEAD, candidates, interim(asked)).await {
        Err(fault) => fill::failed(proxy, asked, Some(stale), fault, why).await,
        Ok(Heard::Confirmed(fetched, named)) => agreed(proxy, asked, &named, &fetched, &permit),
        Ok(Heard::Response(fetched)) if fetched.status.is_server_error() => {
            let now = proxy.clock.now();
            if fill::usable_on_error(asked, &stale, now) {
                return request::usable(proxy, asked, &stale, Reason::StaleError);
            }
            private(proxy, asked, fetched, why).await
        }
        Ok(Heard::Response(fetched)) => answered(proxy, asked, &stale, fetched, &permit, why),
    }
}

/// What the origin answered, unless it says that it is down and another answers in its place.
async fn private(proxy: &Arc<Proxy>, asked: &Arc<Asked>, fetched: Fetched, why: Reason) -> Answer {
    match fallback::takes_over(&asked.runtime, &asked.rule, &asked.exchange, fetched.status) {
        Some(fault) => fill::failed(proxy, asked, None, fault, why).await,
        None => pass::private(proxy, asked, fetched, why),
    }
}

/// The origin answered with a head of its own.
fn answered(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stale: &Arc<StoredResponse>,
    fetched: Fetched,
    permit: &FillPermit,
    why: Reason,
) -> Answer {
    let says = match fetched.status {
        StatusCode::OK if stale.status_of_whole() == StatusCode::OK => {
            // A template's length is not that of the page that it came as, and a part's not that of the whole.
            let whole = !stale.esi && stale.parts.is_none() && !media::is_template(&asked.rule, &fetched.headers);
            head_says(&fetched.headers, &stale.headers, whole.then_some(stale.body.length))
        }
        // It was there, and is not any more.
        StatusCode::OK | StatusCode::GONE => HeadSays::Other,
        _ => HeadSays::Nothing,
    };
    let for_others = !asked.plan.authorized;
    match says {
        HeadSays::Same => return agreed(proxy, asked, stale, &fetched, permit),
        HeadSays::Other if for_others => proxy.store.soften(stale),
        HeadSays::Other | HeadSays::Nothing => {}
    }
    pass::private(proxy, asked, fetched, why)
}

/// Freshens the stored response and answers with it.
fn agreed(
    proxy: &Arc<Proxy>,
    asked: &Arc<Asked>,
    stored: &Arc<StoredResponse>,
    fetched: &Fetched,
    permit: &FillPermit,
) -> Answer {
    let began = permit.began();
    let response = match validate::freshen(proxy, asked, stored, fetched, began) {
        Ok(done) => done.response,
        Err(unkept) => unkept.once(proxy, asked, stored, fetched, began),
    };
    request::usable(proxy, asked, &response, Reason::Validated)
}

fn interim(asked: &Asked) -> Option<crate::interim::Interim> {
    asked.exchange.interim.clone()
}
