//! Where the operator's rules and the RFC's rules meet: what happens with a request, whether a stored response may be
//! reused, whether a response may be stored. Pure: facts in, decisions with their reasons out.

use std::sync::Arc;

use copal_policy::{
    Action, CacheConfig, CacheRule, Config, Context, CookieVerdict, Cookies, EsiDialect, EsiMode, RequestFacts, Rule,
    SessionMode, TagFrom,
};
use copal_semantics::{
    self as semantics, Freshness, FreshnessState, LifetimeRules, NotStored, Overrides, StaleRules, StoreFacts,
    Timestamp, Vary, conditional, fields, targeted,
};
use copal_store::{Head, StoredResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::context::{Member, Visitor};
use crate::credentials::{Credentials, is_credential};
use crate::directed::Directed;
use crate::exchange::Exchange;
use crate::leave::{Leave, stated_only};
use crate::media::is_encoded;
use crate::names::Marks;
use crate::reason::Reason;
use crate::searching::Search;
use crate::sub_key::SubKey;
use crate::trigger;

/// What happens with a request.
pub(crate) struct Decision<'c> {
    pub(crate) rule: &'c Arc<Rule>,
    pub(crate) verdict: Verdict,
}

pub(crate) enum Verdict {
    /// Looked up, and stored if the response may be.
    Cache(CachePlan),
    /// As [`Verdict::Cache`], once the request's body has been read: it is in the key too.
    CacheByBody(CachePlan),
    /// As [`Verdict::Cache`], once the visitor's group is known: it is in the key too.
    CacheByGroup(CachePlan, Box<Visitor>),
    /// Let through.
    Pass(Reason),
    /// Answered by the rule itself.
    Respond,
}

/// How a request is looked up, and what of it the origin gets to see (the safety principle: nothing beyond the key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachePlan {
    /// The cache key: the URL with the query as the rule keys it.
    pub(crate) key: String,
    /// Keyed cookies and header fields of the rule; they pick a variant under the key.
    pub(crate) extras: String,
    /// The `Cookie` field that the origin sees: keyed cookies only.
    pub(crate) cookie: Option<HeaderValue>,
    /// Where in the key the path and query begin that the origin sees.
    pub(crate) origin_form: usize,
    /// The request carries `Authorization`, which the origin sees and the key does not hold: only what says that it may
    /// be shared answers it, and it is fetched alone (RFC 9111 §3.5).
    pub(crate) authorized: bool,
    /// What counts of the request's own directives; mostly there are none.
    pub(crate) directed: Option<Box<Directed>>,
    /// What the key has beyond the URL.
    pub(crate) sub_key: Option<SubKey>,
    /// How the query is keyed where responses say what of it matters, under a rule with `no_vary_search`.
    pub(crate) search: Option<Box<Search>>,
    /// The group for which it is, under a rule with a context.
    pub(crate) member: Option<Box<Member>>,
}

/// Decides on a request: the first rule that matches, then what no rule can allow. What it reads of a fragment's request beside method
/// and target is what [`decides_nothing`] looks for.
pub(crate) fn decide<'c>(config: &'c Config, exchange: &Exchange) -> Decision<'c> {
    let cookies = Cookies::parse(&exchange.headers);
    let target = &exchange.target;
    let rule = config.policy.answer(&RequestFacts {
        method: &exchange.method,
        scheme: target.scheme,
        host: &target.host,
        path: &target.path,
        query: target.query.as_deref(),
        headers: &exchange.headers,
        cookies: &cookies,
    });
    let verdict = match &rule.action {
        Action::Respond(_) => Verdict::Respond,
        Action::Pass if !looked_up(&exchange.method) => Verdict::Pass(Reason::PassMethod),
        Action::Pass => Verdict::Pass(Reason::PassRule),
        Action::Cache(cache) => cache_or_pass(config, rule, cache, exchange, &cookies),
    };
    Decision { rule, verdict }
}

fn cache_or_pass(
    config: &Config,
    rule: &Rule,
    cache: &CacheRule,
    exchange: &Exchange,
    cookies: &Cookies<'_>,
) -> Verdict {
    let by_body = cache.body_methods.contains(&exchange.method);
    let credentials = Credentials::of(exchange, cache);
    if let Some(reason) = never_looked_up(exchange, credentials, by_body) {
        return Verdict::Pass(reason);
    }
    let directed = Directed::of(config, cache, exchange);
    if directed.as_ref().is_some_and(|directed| directed.no_store()) {
        return Verdict::Pass(Reason::RequestNoStore);
    }
    let mut sessions = Vec::new();
    let kept = if cookies.is_empty() {
        Vec::new()
    } else {
        let verdict = config.policy.classify(rule, cookies);
        if let Some(reason) = cookies_bypass(rule, &verdict) {
            return Verdict::Pass(reason);
        }
        sessions = verdict.sessions;
        verdict.keyed
    };
    let authorized = credentials == Credentials::Authorization;
    if let Some(context) = &rule.context {
        let plan = CachePlan { directed, ..plan(config, rule, exchange, &kept, cache) };
        let visitor = Visitor { context: Arc::clone(context), cookie: cookie_field(&sessions), authorized };
        return Verdict::CacheByGroup(plan, Box::new(visitor));
    }
    let plan = CachePlan { authorized, directed, ..plan(config, rule, exchange, &kept, cache) };
    if by_body { Verdict::CacheByBody(plan) } else { Verdict::Cache(plan) }
}

/// Whether the fields of a page's request decide on none of its fragments: what [`decide`] comes to for a fragment is the same as without
/// any of them. Conditions and the range of the page are not asked of a fragment.
pub(crate) fn decides_nothing(config: &Config, headers: &HeaderMap) -> bool {
    let decides = |name: &HeaderName| {
        matches!(*name, header::AUTHORIZATION | header::CACHE_CONTROL | header::PRAGMA) || is_credential(name)
    };
    !headers.keys().any(decides) && config.policy.reads_none_of(headers)
}

pub(crate) fn looked_up(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Whether a request that is let through under a cache rule wants a stored response or none (RFC 9111 §5.2.1.7). Under a
/// `pass` rule Copal is no cache: there the directive is for whoever comes next.
pub(crate) fn wants_cached_only(config: &Config, rule: &Rule, exchange: &Exchange) -> bool {
    let Action::Cache(cache) = &rule.action else { return false };
    Directed::of(config, cache, exchange).is_some_and(|directed| directed.only_if_cached(&exchange.method))
}

/// Requests that go to the origin whatever the rule says.
fn never_looked_up(exchange: &Exchange, credentials: Credentials, by_body: bool) -> Option<Reason> {
    if !looked_up(&exchange.method) && !by_body {
        return Some(Reason::PassMethod);
    }
    if exchange.upgrades {
        return Some(Reason::Upgrade);
    }
    if exchange.has_body && !by_body {
        return Some(Reason::RequestBody);
    }
    if credentials == Credentials::Other {
        return Some(Reason::Authorization);
    }
    // RFC 9111 §4.3.2: If-Match and If-Unmodified-Since are for the origin to evaluate; so is every condition of a POST,
    // which asks for 412 and not for 304 (RFC 9110 §13.1.2).
    let of_a_post = exchange.method == Method::POST && exchange.headers.contains_key(header::IF_NONE_MATCH);
    (of_a_post || conditional::not_applicable_to_cache(&exchange.headers)).then_some(Reason::Precondition)
}

fn cookies_bypass(rule: &Rule, verdict: &CookieVerdict<'_>) -> Option<Reason> {
    let of_the_context = |context: &Context| verdict.sessions.iter().all(|session| context.takes_cookie(session.name));
    match rule.sessions {
        SessionMode::Ignore => None,
        SessionMode::Bypass if verdict.session.is_some() && !rule.context.as_deref().is_some_and(of_the_context) => {
            Some(Reason::SessionCookie)
        }
        SessionMode::Bypass if verdict.unknown.is_some() => Some(Reason::UnknownCookie),
        SessionMode::Bypass => None,
    }
}

impl CachePlan {
    /// The field that the response's `Vary` must name for it to be stored: the origin saw a session, and only by that name says
    /// that what it made of it is the group's.
    pub(crate) fn must_vary_by(&self) -> Option<&HeaderName> {
        self.member.as_deref().filter(|member| member.has_session && member.forward).map(|member| &member.header)
    }

    /// The keyed cookies and fields, without what tells rules apart.
    pub(crate) fn keyed(&self) -> &str {
        self.extras.split('\n').next().unwrap_or_default()
    }

    /// The same under a key that is more than the URL.
    pub(crate) fn with_sub_key(&mut self, suffix: &str, sub_key: SubKey) {
        self.key.push('\n');
        self.key.push_str(suffix);
        self.sub_key = Some(sub_key);
    }
}

/// Rules that ask different origins for a URL, or read it differently, have different responses for it. Neither a field
/// nor a cookie has a line break in it.
fn tell_rules_apart(extras: &mut String, config: &Config, rule: &Rule) {
    if config.origins.len() > 1
        && let Some(origin) = config.origins.get(rule.origin)
    {
        extras.push_str("\norigin ");
        extras.push_str(&origin.name);
    }
    match rule.esi {
        EsiMode::Auto => {}
        EsiMode::On => extras.push_str("\nesi"),
        EsiMode::Off => extras.push_str("\nno esi"),
    }
    trigger::tell_apart(extras, rule);
    if rule.esi != EsiMode::Off && rule.esi_options.dialect == EsiDialect::Akamai {
        extras.push_str("\nakamai");
    }
    if !rule.request.is_empty() {
        extras.push_str("\nrequest ");
        extras.push_str(&rule.name);
    }
}

/// What of a plan's extras is the rule's, whatever the request.
pub(crate) fn apart(config: &Config, rule: &Rule) -> String {
    let mut apart = String::new();
    tell_rules_apart(&mut apart, config, rule);
    apart
}

fn plan(
    config: &Config,
    rule: &Rule,
    exchange: &Exchange,
    keyed: &[copal_policy::Cookie<'_>],
    cache: &CacheRule,
) -> CachePlan {
    let target = &exchange.target;
    let query = cache.key.query(target.query.as_deref());
    let query = query.as_deref();
    let length = target.path.len() + query.map_or(0, |query| query.len() + 1);
    let mut key = String::with_capacity(target.scheme.len() + 3 + target.host.len() + length);
    key.push_str(target.scheme);
    key.push_str("://");
    key.push_str(&target.host);
    let origin_form = key.len();
    key.push_str(&target.path);
    if let Some(query) = query {
        key.push('?');
        key.push_str(query);
    }
    let mut extras = cache.key.extras(&exchange.headers, keyed);
    tell_rules_apart(&mut extras, config, rule);
    let cookie = cookie_field(keyed);
    CachePlan {
        key,
        origin_form,
        extras,
        cookie,
        authorized: false,
        directed: None,
        sub_key: None,
        search: None,
        member: None,
    }
}

/// The `Cookie` field of these cookies, byte for byte as they came.
fn cookie_field(cookies: &[copal_policy::Cookie<'_>]) -> Option<HeaderValue> {
    if cookies.is_empty() {
        return None;
    }
    let mut field = Vec::new();
    for cookie in cookies {
        if !field.is_empty() {
            field.extend_from_slice(b"; ");
        }
        field.extend_from_slice(cookie.pair);
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(field)).ok()
}

/// What a stored response may be used for, now.
pub(crate) fn reuse(response: &StoredResponse, soft_invalidated: bool, now: Timestamp) -> FreshnessState {
    if soft_invalidated { freshness(response, true, now).state(now) } else { response.freshness.state(now) }
}

/// The freshness of a stored response. A soft invalidation made it stale when it came, so that `grace` counts from there, or from the
/// natural end where that was earlier.
pub(crate) fn freshness(response: &StoredResponse, soft_invalidated: bool, now: Timestamp) -> Freshness {
    let mut freshness = response.freshness;
    if soft_invalidated {
        freshness.expire(response.softened_at().map_or(now, |at| at.min(now)));
    }
    freshness
}

/// Whether a stored response may be given when the origin fails (RFC 9111 §4.2.4, RFC 5861 §4). That the client asked
/// for validation does not count then: it is a preference (RFC 9111 §5.2.1), and a page is better than none.
pub(crate) fn usable_on_error(response: &StoredResponse, directed: Option<&Directed>, now: Timestamp) -> bool {
    response.freshness.state(now) != FreshnessState::Expired
        || directed.is_some_and(|directed| directed.takes_on_error(response, now))
}

/// An origin's response to a fill, as far as it decides on storing.
pub(crate) struct Received<'a> {
    pub(crate) asks: Asks,
    /// The fields of the request, as far as the response must repeat them.
    pub(crate) request: &'a HeaderMap,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) request_time: Timestamp,
    pub(crate) response_time: Timestamp,
    /// The request carried `Authorization`.
    pub(crate) authorized: bool,
    /// Any number: shortens the lifetime, where the rule says so.
    pub(crate) random: u64,
    /// The field that `Vary` must name.
    pub(crate) must_vary_by: Option<&'a HeaderName>,
}

/// What kind of request a response is to, as far as it decides on storing (RFC 9111 §3, RFC 9110 §9.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// GET.
    Get,
    /// A method whose body is in the key.
    Body,
    /// A POST whose response says that it is what a GET gets.
    Post,
}

/// What storing a response comes to.
#[derive(Debug)]
pub(crate) struct Storable {
    pub(crate) freshness: Freshness,
    /// It says that it may be given to requests with `Authorization` (RFC 9111 §3.5).
    pub(crate) shared: bool,
    /// Fields that are not stored: those that `private` and `no-cache` name (§5.2.2.4, §5.2.2.7).
    pub(crate) unstored: Vec<HeaderName>,
}

/// Whether and for how long a response under a cache rule is stored: RFC 9111 §3 and §4.2 under the rule.
///
/// # Errors
/// The reason why it may not be stored.
pub(crate) fn store(config: &Config, cache: &CacheRule, received: &Received<'_>) -> Result<Storable, Reason> {
    let directives = targeted::effective_directives(received.headers, &config.cache.targeted).0;
    let rules = LifetimeRules {
        ttl: cache.ttl,
        default_ttl: cache.default_ttl,
        min_ttl: cache.min_ttl,
        max_ttl: cache.max_ttl,
        status_ttl: cache.status_ttl(received.status),
        heuristic: config.cache.heuristic,
        heuristic_max: config.cache.heuristic_max,
        ttl_headers: &cache.ttl_headers,
    };
    let lifetime = |rules: &LifetimeRules<'_>| {
        semantics::lifetime(received.status, received.headers, &directives, received.response_time, rules)
    };
    let leave = Leave::of(&directives, lifetime(&rules), || lifetime(&stated_only(&rules)));
    // With Authorization only what has leave is stored at all.
    let shared = received.authorized || leave.for_guests();
    let (mut lifetime, mut overrides, stale) = if received.authorized {
        leave.for_authorized(cache)
    } else {
        (leave.ruled, overrides(cache), StaleRules { grace: cache.grace, stale_if_error: cache.stale_if_error })
    };
    if !cache.storing.allows(received.request, received.status, received.headers) {
        return Err(Reason::NotStoredRule);
    }
    // What comes for one visitor's credentials or form may mean this visitor by any cookie.
    let impersonal = !received.authorized && received.asks != Asks::Post;
    overrides.set_cookie |= impersonal && cache.storing.strips_all(&config.policy, received.headers);
    semantics::storable(&StoreFacts {
        method: if received.asks == Asks::Post { &Method::POST } else { &Method::GET },
        authorization: received.authorized,
        status: received.status,
        headers: received.headers,
        directives: &directives,
        overrides,
        lifetime,
        partial: false,
        content_location_matches: received.asks == Asks::Post,
        body_key: received.asks == Asks::Body,
    })
    .map_err(not_stored)?;
    if received.must_vary_by.is_some_and(|name| !Vary::parse(received.headers).names().contains(name)) {
        return Err(Reason::NotOfTheContext);
    }
    if fields::content_length(received.headers).is_some_and(|length| length > config.cache.max_body) {
        return Err(Reason::TooLarge);
    }
    let unstored: Vec<HeaderName> = semantics::unstored_fields(&directives).cloned().collect();
    let initial_age = semantics::initial_age(received.headers, received.request_time, received.response_time);
    lifetime.duration = semantics::jittered(lifetime.duration, cache.jitter, received.random);
    // A rule's lifetime counts from the response's arrival here, however old it was; `Age` stays true all the same.
    if lifetime.source.counts_from_arrival() {
        lifetime.duration = lifetime.duration.saturating_add(initial_age);
    }
    let stale = if received.status.is_server_error() { StaleRules::default() } else { stale };
    let freshness = Freshness::new(received.response_time, initial_age, lifetime, &directives, overrides, stale);
    Ok(Storable { freshness, shared, unstored })
}

fn overrides(cache: &CacheRule) -> Overrides {
    let given = cache.overrides;
    Overrides {
        private: given.private,
        no_store: given.no_store,
        set_cookie: given.set_cookie,
        share_set_cookie: given.share_set_cookie,
        no_cache: given.no_cache,
        must_revalidate: given.must_revalidate,
    }
}

fn not_stored(why: NotStored) -> Reason {
    match why {
        NotStored::Method => Reason::PassMethod,
        NotStored::Status => Reason::NotStoredStatus,
        NotStored::PartialContent => Reason::NotStoredPartial,
        NotStored::NoStore => Reason::NoStore,
        NotStored::Private => Reason::Private,
        NotStored::SetCookie => Reason::SetCookie,
        NotStored::Authorization => Reason::NotStoredAuthorization,
        NotStored::VaryStar => Reason::VaryStar,
        NotStored::NoLifetime => Reason::NoLifetime,
        NotStored::MustUnderstand => Reason::MustUnderstand,
        NotStored::NoCache => Reason::NoCache,
    }
}

/// What is announced to the store for a response that may be stored.
pub(crate) struct Announcement<'a> {
    pub(crate) received: Received<'a>,
    pub(crate) storable: Storable,
    pub(crate) rule: &'a Rule,
    pub(crate) cache: &'a CacheRule,
    pub(crate) extras: String,
    pub(crate) esi: bool,
    pub(crate) via: &'a str,
}

impl Announcement<'_> {
    /// The head as it is kept: end-to-end fields only (RFC 9111 §3.1), ready to be sent.
    pub(crate) fn head(self, config: &Config) -> Head {
        let source = self.received.headers;
        let vary = vary(source);
        let mut headers = source.clone();
        internal_fields_out(&mut headers, config, self.rule);
        clean_stored(&mut headers, &self.storable.unstored, self.received.response_time, self.via);
        if self.esi {
            // They speak of bytes that assembly changes.
            for name in OF_THE_BYTES {
                headers.remove(name);
            }
        }
        if !self.cache.overrides.share_set_cookie {
            // One visitor's, wherever it comes from.
            headers.remove(header::SET_COOKIE);
        }
        Head {
            status: self.received.status,
            headers,
            freshness: self.storable.freshness,
            shared: self.storable.shared,
            authorized: self.received.authorized,
            extras: self.extras,
            vary,
            tags: tags(source, &config.cache),
            esi: self.esi,
            rule: Arc::clone(&self.rule.name),
            length: fields::content_length(source),
            part: None,
            completes: None,
        }
    }
}

/// The request fields that pick a response with these fields.
pub(crate) fn vary(headers: &HeaderMap) -> Vary {
    let vary = Vary::parse(headers);
    // An origin that compresses without saying so: never hand gzip to a client that did not ask for it.
    if is_encoded(headers) { vary.with(header::ACCEPT_ENCODING) } else { vary }
}

/// Digests of the body as the origin sent it (RFC 9530).
pub(crate) const OF_THE_BYTES: [&str; 4] = ["content-md5", "content-digest", "repr-digest", "digest"];

/// Removes what a stored head does not carry, and adds what each carries.
pub(crate) fn clean_stored(headers: &mut HeaderMap, unstored: &[HeaderName], response_time: Timestamp, via: &str) {
    fields::remove_hop_by_hop(headers);
    for name in unstored {
        headers.remove(name);
    }
    headers.remove(header::AGE);
    headers.remove(header::CONTENT_LENGTH);
    // Trailer fields are not stored.
    headers.remove(header::TRAILER);
    // RFC 9110 §6.6.1: a recipient with a clock records the time of a response that has no Date.
    if !headers.contains_key(header::DATE) {
        headers.insert(header::DATE, response_time.http_date());
    }
    fields::append_via(headers, "1.1", via);
}

static SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Whether a field is between the origin and Copal.
pub(crate) fn is_internal(name: &HeaderName, cache: &CacheConfig) -> bool {
    *name == SURROGATE_CONTROL || cache.internal().any(|internal| internal == name)
}

/// What the names of those fields look like.
pub(crate) fn marks_of_internal(cache: &CacheConfig) -> Marks {
    let mut marks = Marks::of(&["surrogate-control"]);
    cache.internal().for_each(|name| marks.add(name.as_str()));
    marks
}

/// Removes the fields that are between the origin and Copal.
pub(crate) fn internal_fields_out(headers: &mut HeaderMap, config: &Config, rule: &Rule) {
    marked_fields_out(headers, marks_of_internal(&config.cache), config, rule);
}

/// The same, where it is known what the names of these fields look like.
pub(crate) fn marked_fields_out(headers: &mut HeaderMap, mut marks: Marks, config: &Config, rule: &Rule) {
    trigger::fields_out(headers, rule.esi_options.triggers);
    let ttl_headers = rule.cache().map_or(&[][..], |cache| &cache.ttl_headers);
    // Few of the many names are there, if any.
    ttl_headers.iter().for_each(|name| marks.add(name.as_str()));
    let is_out = |name: &&HeaderName| {
        marks.may_have(name.as_str()) && (is_internal(name, &config.cache) || ttl_headers.contains(name))
    };
    let out: Vec<HeaderName> = headers.keys().filter(is_out).cloned().collect();
    for name in out {
        headers.remove(name);
    }
}

/// The fields that the response names as not to be stored: for the one client whose request brought it.
pub(crate) fn own_fields(headers: &HeaderMap, unstored: &[HeaderName], rule: &Rule, config: &Config) -> HeaderMap {
    let mut own = HeaderMap::new();
    for name in unstored {
        for value in headers.get_all(name) {
            own.append(name, value.clone());
        }
    }
    if !own.is_empty() {
        fields::remove_hop_by_hop(&mut own);
        internal_fields_out(&mut own, config, rule);
        own.remove(header::CONTENT_LENGTH);
    }
    own
}

/// The tags of a response: those it names, and those made from other fields.
pub(crate) fn tags(headers: &HeaderMap, cache: &CacheConfig) -> Vec<String> {
    let mut tags = semantics::tags(headers, &cache.tag_headers);
    for TagFrom { header, around: (before, behind) } in &cache.tag_from {
        let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        let values = values.map(str::trim).filter(|value| !value.is_empty());
        tags.extend(values.map(|value| format!("{before}{value}{behind}")));
    }
    tags.sort_unstable();
    tags.dedup();
    tags
}
