//! What would become of a response, without a network: the same decision as on the way of a fill.

use copal_policy::{Action, Config};
use copal_semantics::Timestamp;
use http::{HeaderMap, Method, StatusCode};

use crate::decide::{self, Asks, Received, Verdict};
use crate::{context, explain};

/// What storing a response comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stores {
    /// Why it is not stored, in the words of `Cache-Status`; none where it is.
    pub why: Option<&'static str>,
    /// Its freshness lifetime from its arrival on, in seconds; none where it is not stored.
    pub lifetime: Option<u64>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// When the response comes. Fields with dates are read against it.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What becomes of this response to a request for `url` with these fields.
///
/// # Errors
/// What is wrong with the URL.
pub fn stores(
    config: &Config,
    method: &Method,
    url: &str,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
) -> Result<Stores, String> {
    let exchange = explain::asked(method, url, request)?;
    let decision = decide::decide(config, &exchange);
    let not = |why: &'static str| Stores { why: Some(why), lifetime: None, tags: Vec::new() };
    let plan = match decision.verdict {
        Verdict::Cache(plan) | Verdict::CacheByBody(plan) => plan,
        Verdict::CacheByGroup(mut plan, visitor) => {
            // Which group it is makes no difference.
            context::join(&mut plan, &visitor, None);
            plan
        }
        Verdict::Pass(reason) => return Ok(not(reason.as_str())),
        Verdict::Respond => return Ok(not(crate::Reason::Respond.as_str())),
    };
    let Action::Cache(cache) = &decision.rule.action else { return Ok(not(crate::Reason::PassRule.as_str())) };
    let received = Received {
        asks: if cache.body_methods.contains(method) { Asks::Body } else { Asks::Get },
        request: &exchange.headers,
        status,
        headers: response,
        request_time: NOW,
        response_time: NOW,
        authorized: plan.authorized,
        random: 0,
        must_vary_by: plan.must_vary_by(),
    };
    Ok(match decide::store(config, cache, &received) {
        Err(reason) => not(reason.as_str()),
        Ok(storable) => Stores {
            why: None,
            lifetime: Some(u64::try_from(storable.freshness.ttl(NOW)).unwrap_or_default()),
            tags: decide::tags(response, &config.cache),
        },
    })
}
