//! A request under a cache rule: its facts with the plan of its look-up, and the selection of a variant from them.

use std::sync::Arc;

use copal_origin::RequestBody;
use copal_policy::{CacheRule, Cookies, Rule};
use copal_semantics::vary;
use copal_store::{CacheKey, Selector, StoredResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::decide::{Asks, CachePlan};
use crate::exchange::{Exchange, Once};
use crate::partial::{self, Wanted};
use crate::proxy::Runtime;
use crate::representation::Representation;
use crate::sub_key::{self, Slice, SubKey};
use crate::{forward, groups, searching};

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
    /// The path and query that the origin sees: as keyed, nothing beyond it but what the origin itself said not to matter.
    pub(crate) fn path_and_query(&self) -> &str {
        if let Some(search) = &self.plan.search {
            return &search.sent;
        }
        self.key.url().get(self.plan.origin_form..).unwrap_or("/")
    }

    /// The body that the origin sees.
    pub(crate) fn body(&self) -> RequestBody {
        match &self.plan.sub_key {
            Some(SubKey::Body(keyed)) => RequestBody::Full(keyed.body.clone()),
            Some(SubKey::Slice(_) | SubKey::Session) | None => RequestBody::Empty,
        }
    }

    /// What kind of request it is, as far as it decides on storing.
    pub(crate) fn asks(&self) -> Asks {
        if matches!(self.plan.sub_key, Some(SubKey::Body(_))) { Asks::Body } else { Asks::Get }
    }

    /// The slice that is asked for, where it is not the whole.
    pub(crate) fn slice(&self) -> Option<Slice> {
        match &self.plan.sub_key {
            Some(SubKey::Slice(slice)) => Some(*slice),
            _ => None,
        }
    }

    /// The status of a stored response as far as it decides on storing: a slice is a unit of its own.
    pub(crate) fn judged(&self, stored: &StoredResponse) -> StatusCode {
        if self.slice().is_some() { StatusCode::OK } else { stored.status_of_whole() }
    }

    /// Whether what is made without this client's cookies is not for it unless it is stored (`ask_again_with`).
    pub(crate) fn asks_again(&self) -> bool {
        self.cache_rule().is_some_and(|cache| cache.storing.asks_again(&Cookies::parse(&self.exchange.headers)))
    }

    /// What of the request can be used once, once more: for letting it through after all.
    pub(crate) fn once(&self) -> Once {
        Once { body: self.body(), upgrade: None }
    }

    /// The method that the origin sees, where the request is not for the head alone.
    pub(crate) fn method(&self) -> Method {
        match &self.plan.sub_key {
            Some(SubKey::Body(keyed)) => keyed.method.clone(),
            Some(SubKey::Slice(_) | SubKey::Session) | None => Method::GET,
        }
    }

    /// The tags that a response with these fields gets beside those that the origin names as such: from its key, of what it
    /// is a slice of, of what it says of its query, and of its groups.
    pub(crate) fn implied_tags(&self, headers: &HeaderMap) -> Vec<String> {
        let url = self.key.url();
        let of_key = self.plan.sub_key.iter().map(|_| sub_key::tag(url));
        let slice = self.slice().and_then(|slice| Representation::of(slice, StatusCode::PARTIAL_CONTENT, headers));
        let search = self.plan.search.as_ref().and_then(|_| searching::tag_of(url, headers));
        let of_key = of_key.chain(slice.map(|of| of.tag(url))).chain(search);
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

/// A request with `Authorization` in whose name something is refreshed: only its like see the fill, so that one is made for all of
/// them, and nobody without the field is given what comes.
pub(crate) struct Apart {
    asked: Arc<Asked>,
    extras: String,
}

impl Apart {
    pub(crate) fn new(asked: Arc<Asked>) -> Self {
        // No field has a line break in it, and no rule has these extras.
        let extras = format!("{}\nauthorized", asked.plan.extras);
        Self { asked, extras }
    }
}

impl Selector for Apart {
    fn extras(&self) -> &str {
        &self.extras
    }

    fn field(&self, name: &HeaderName) -> String {
        self.asked.field(name)
    }

    fn accepts(&self, content_encoding: &HeaderValue) -> bool {
        self.asked.accepts(content_encoding)
    }

    fn part(&self) -> &str {
        self.asked.part()
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
        if let Some(member) = self.plan.member.as_deref() {
            if *name == member.header {
                return vary::normalise_field(name, member.group.iter());
            }
            if *name == header::AUTHORIZATION && !member.forward {
                return String::new();
            }
        }
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
            // Another one each time.
            "x-request-id" => return self.exchange.request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
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
