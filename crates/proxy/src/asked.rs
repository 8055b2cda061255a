//! A request under a cache rule: its facts with the plan of its look-up, and the selection of a variant from them.

use std::sync::Arc;

use copal_origin::RequestBody;
use copal_policy::{CacheRule, Rule};
use copal_semantics::vary;
use copal_store::{CacheKey, Selector, StoredResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::decide::CachePlan;
use crate::exchange::{Exchange, Once};
use crate::partial::{self, Wanted};
use crate::proxy::Runtime;
use crate::sub_key::{self, SubKey};
use crate::{forward, groups};

/// A request under a cache rule. Shared by the client's task and the fill's.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) exchange: Exchange,
    pub(crate) plan: CachePlan,
    pub(crate) key: CacheKey,
    pub(crate) rule: Arc<Rule>,
    /// What of the representation the origin is asked for, should it be asked.
    pub(crate) wanted: Wanted,
    /// The settings that were in force when the request came; a reload changes them for later requests only.
    pub(crate) runtime: Arc<Runtime>,
}

impl Asked {
    /// The path and query that the origin sees: as keyed, nothing beyond it.
    pub(crate) fn path_and_query(&self) -> &str {
        self.key.url().get(self.plan.origin_form..).unwrap_or("/")
    }

    /// The body that the origin sees.
    pub(crate) fn body(&self) -> RequestBody {
        match &self.plan.sub_key {
            Some(SubKey::Body(keyed)) => RequestBody::Full(keyed.body.clone()),
            None => RequestBody::Empty,
        }
    }

    /// What of the request can be used once, once more: for letting it through after all.
    pub(crate) fn once(&self) -> Once {
        Once { body: self.body(), upgrade: None }
    }

    /// The method that the origin sees, where the request is not for the head alone.
    pub(crate) fn method(&self) -> Method {
        match &self.plan.sub_key {
            Some(SubKey::Body(keyed)) => keyed.method.clone(),
            None => Method::GET,
        }
    }

    /// The tags that a response with these fields gets beside those that the origin names as such: from its key, and of its
    /// groups.
    pub(crate) fn implied_tags(&self, headers: &HeaderMap) -> Vec<String> {
        let of_key = self.plan.sub_key.iter().map(|_| sub_key::tag(self.key.url()));
        of_key.chain(groups::tags(&self.exchange.target, headers)).collect()
    }

    /// The rule's cache settings; none cannot happen, as only cache rules are asked under.
    pub(crate) fn cache_rule(&self) -> Option<&CacheRule> {
        match &self.rule.action {
            copal_policy::Action::Cache(cache) => Some(cache),
            _ => None,
        }
    }
}

impl Selector for Asked {
    fn extras(&self) -> &str {
        &self.plan.extras
    }

    fn field(&self, name: &HeaderName) -> String {
        Selection { exchange: &self.exchange, plan: &self.plan }.field(name)
    }

    fn accepts(&self, content_encoding: &HeaderValue) -> bool {
        Selection { exchange: &self.exchange, plan: &self.plan }.accepts(content_encoding)
    }

    fn part(&self) -> &str {
        self.wanted.part()
    }

    fn takes_part(&self, partial: &StoredResponse) -> bool {
        partial::answer(&self.exchange, partial).is_some()
    }

    fn negotiates(&self) -> Option<&HeaderMap> {
        negotiates(&self.exchange)
    }
}

/// Selects by a request that is not shared yet: the hit path.
pub(crate) struct Selection<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) plan: &'a CachePlan,
}

impl Selector for Selection<'_> {
    fn extras(&self) -> &str {
        &self.plan.extras
    }

    /// The field as the origin sees it (the safety principle): a variant never depends on what is withheld from it.
    fn field(&self, name: &HeaderName) -> String {
        if name == header::COOKIE {
            return vary::normalise_field(name, self.plan.cookie.iter());
        }
        if name == header::AUTHORIZATION {
            // Forwarded when it is there: the look-up knows by what terms (RFC 9111 §3.5).
            return vary::normalise_field(name, self.exchange.headers.get_all(name).iter());
        }
        if name == header::CACHE_CONTROL || name == header::PRAGMA {
            let wishes = self.plan.directed.as_ref().filter(|_| name == header::CACHE_CONTROL);
            return vary::normalise_field(name, wishes.and_then(|wishes| wishes.forwarded()).iter());
        }
        match name.as_str() {
            "x-forwarded-for" => return forward::chain(self.exchange),
            "x-forwarded-proto" => return self.exchange.target.scheme.to_owned(),
            _ => {}
        }
        if forward::is_withheld(name) {
            return String::new();
        }
        if name == header::ACCEPT_ENCODING && self.exchange.depth > 0 {
            return String::new();
        }
        vary::normalise_field(name, self.exchange.headers.get_all(name).iter())
    }

    fn accepts(&self, content_encoding: &HeaderValue) -> bool {
        self.exchange.depth == 0 && copal_semantics::vary::coding_acceptable(content_encoding, &self.exchange.headers)
    }

    fn takes_part(&self, partial: &StoredResponse) -> bool {
        partial::answer(self.exchange, partial).is_some()
    }

    fn negotiates(&self) -> Option<&HeaderMap> {
        negotiates(self.exchange)
    }
}

/// A fragment is assembled: it is fetched without a coding, and only such a response answers it.
fn negotiates(exchange: &Exchange) -> Option<&HeaderMap> {
    (exchange.depth == 0).then_some(&exchange.headers)
}
