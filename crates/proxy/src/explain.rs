//! What would happen with a request, without a network: the same decision as on the request path.

use copal_policy::{Action, Config, Cookies, EsiDialect, EsiMode, RequestDirectivesMode, Rule, RuleSource};
use copal_semantics::{Target, Timestamp, target};
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::context::{self, Visitor};
use crate::decide::{self, Verdict};
use crate::exchange::Exchange;
use crate::purge;

/// The decision on a request, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The URL in the normal form that the rules, the key and the origin see.
    pub url: String,
    /// The rule that decides.
    pub rule: String,
    /// Where that rule stands: `configuration`, `policy NAME` or `default`.
    pub source: String,
    /// `cache`, `pass`, `respond` or `purge`.
    pub decision: &'static str,
    /// Why, in the words of `Cache-Status`; for `cache` it is what a first request would be: `miss`.
    pub reason: &'static str,
    /// The cache key; none when passed.
    pub key: Option<String>,
    /// Keyed cookies and header fields, which pick a variant under the key.
    pub variant: Option<String>,
    /// The origin that is asked.
    pub origin: Option<String>,
    /// Names of the cookies that the origin sees.
    pub cookies_kept: Vec<String>,
    /// Names of the cookies that the origin does not see.
    pub cookies_dropped: Vec<String>,
    /// The cookie that made the request pass, if one did.
    pub because_of_cookie: Option<String>,
    /// ESI: `on`, `off` or `auto`.
    pub esi: &'static str,
    /// How templates are put together, and what their fragments may cost; none where ESI is off.
    pub esi_options: Option<String>,
    /// What the rule says of time: `ttl 1h`, `grace 6h`, in words.
    pub lifetime: Option<String>,
    /// Which directives of a request's `Cache-Control` count, in the words of the configuration; none where nothing is looked up.
    pub request_directives: Option<&'static str>,
    /// Which responses may answer this request, where not all may that fit.
    pub limits: Option<&'static str>,
    /// What else decides on the key, and is known only when the request comes.
    pub key_also: Option<&'static str>,
    /// The context by whose groups it is keyed.
    pub context: Option<String>,
    /// How the group of this visitor is known.
    pub group: Option<String>,
    /// Which responses are stored, where the rule says so.
    pub stores: Option<String>,
    /// Fields that the rule sets and removes on the way to the origin.
    pub request_fields: Option<String>,
    /// Fields that the rule sets and removes on the way to the client.
    pub response_fields: Option<String>,
    /// Bytes of the slices in which it is fetched and stored.
    pub slice: Option<u64>,
    /// What it purges, in the words of the audit log, if whoever asks may.
    pub purge: Option<String>,
    /// The dialect of that purge.
    pub dialect: Option<&'static str>,
}

/// Explains the decision on a request for `url` with these fields.
///
/// # Errors
/// What is wrong with the URL.
pub fn explain(config: &Config, method: &Method, url: &str, headers: &HeaderMap) -> Result<Explanation, String> {
    let exchange = asked(method, url, headers)?;
    let purge = purge::preview(config, &exchange)?;
    let cookies = Cookies::parse(&exchange.headers);
    let decision = decide::decide(config, &exchange);
    let rule = decision.rule;
    let verdict = config.policy.classify(rule, &cookies);
    let names = || cookies.iter().map(|cookie| cookie.name.to_owned());
    let mut explanation = Explanation::under(config, rule, &exchange, names().collect());
    if let Some(purge) = purge {
        explanation.no_rule("purge", crate::Reason::Purged);
        explanation.purge = Some(purge.words);
        explanation.dialect = Some(purge.dialect);
        return Ok(explanation);
    }
    if context::refuse(config, &exchange).is_some() {
        explanation.no_rule("respond", crate::Reason::BadRequest);
        return Ok(explanation);
    }
    match decision.verdict {
        Verdict::Pass(reason) => {
            explanation.reason = reason.as_str();
            explanation.because_of_cookie = match reason {
                crate::Reason::SessionCookie => verdict.session.map(str::to_owned),
                crate::Reason::UnknownCookie => verdict.unknown.map(str::to_owned),
                _ => None,
            };
        }
        Verdict::Respond => {
            explanation.decision = "respond";
            explanation.reason = crate::Reason::Respond.as_str();
            explanation.origin = None;
            explanation.cookies_kept.clear();
        }
        Verdict::Cache(ref plan) | Verdict::CacheByBody(ref plan) | Verdict::CacheByGroup(ref plan, _) => {
            let by_body = matches!(decision.verdict, Verdict::CacheByBody(_));
            let searched = rule.cache().is_some_and(|cache| cache.no_vary_search && cache.slice.is_none());
            explanation.key_also = match (by_body, searched) {
                (true, _) => Some("the method and the request's body"),
                (false, true) => Some("what the last response's No-Vary-Search says"),
                (false, false) => None,
            };
            explanation.decision = "cache";
            explanation.limits = plan.authorized.then_some(WITH_LEAVE);
            if let Action::Cache(cache) = &rule.action {
                let honoured = plan.directed.as_ref().is_some_and(|directed| directed.honoured);
                let mode = if honoured { RequestDirectivesMode::Honour } else { cache.request_directives };
                explanation.request_directives = Some(mode.as_str());
                explanation.slice = cache.slice;
                explanation.stores = cache.storing.describe();
            }
            explanation.reason = crate::Reason::Miss.as_str();
            explanation.variant = Some(plan.keyed().to_owned()).filter(|keyed| !keyed.is_empty());
            explanation.key = Some(plan.key.clone());
            let kept: Vec<String> = verdict.keyed.iter().map(|cookie| cookie.name.to_owned()).collect();
            explanation.cookies_dropped = names().filter(|name| !kept.contains(name)).collect();
            explanation.cookies_kept = kept;
            if let Verdict::CacheByGroup(_, visitor) = &decision.verdict {
                explanation.by_group_of(visitor);
            }
        }
    }
    Ok(explanation)
}

impl Explanation {
    /// What the rule says of itself, before it is asked about the request.
    fn under(config: &Config, rule: &Rule, exchange: &Exchange, cookies_kept: Vec<String>) -> Self {
        Self {
            url: exchange.target.url(),
            rule: rule.name.to_string(),
            source: match &rule.source {
                RuleSource::Config => "configuration".to_owned(),
                RuleSource::Policy(name) => format!("policy {name}"),
                RuleSource::Default => "default".to_owned(),
            },
            decision: "pass",
            reason: "",
            key: None,
            variant: None,
            origin: config.origins.get(rule.origin).map(|origin| origin.name.to_string()),
            cookies_kept,
            cookies_dropped: Vec::new(),
            because_of_cookie: None,
            esi: match rule.esi {
                EsiMode::On => "on",
                EsiMode::Off => "off",
                EsiMode::Auto => "auto",
            },
            esi_options: esi_options(config, rule),
            lifetime: lifetime(&rule.action),
            request_directives: None,
            limits: None,
            key_also: None,
            context: None,
            group: None,
            stores: None,
            request_fields: rule.request.describe(),
            response_fields: rule.response.describe(),
            slice: None,
            purge: None,
            dialect: None,
        }
    }

    /// What happens before any rule is asked.
    fn no_rule(&mut self, decision: &'static str, reason: crate::Reason) {
        self.decision = decision;
        self.reason = reason.as_str();
        self.rule.clear();
        self.source.clear();
        self.origin = None;
        self.lifetime = None;
        self.request_fields = None;
        self.response_fields = None;
        self.cookies_kept.clear();
    }

    fn by_group_of(&mut self, visitor: &Visitor) {
        let context = &visitor.context;
        self.context = Some(context.name.to_string());
        self.group = Some(match (visitor.has_session(), &context.anonymous) {
            (true, _) => format!("what {} answers to this session, in {}", context.path, context.header),
            (false, Some(group)) => format!("anonymous: {}", group.to_str().unwrap_or_default()),
            (false, None) => "anonymous: none is told".to_owned(),
        });
        if context.forward {
            let (sent, dropped) =
                std::mem::take(&mut self.cookies_dropped).into_iter().partition(|name| visitor.sends(name));
            self.cookies_dropped = dropped;
            self.cookies_kept.extend::<Vec<String>>(sent);
        }
    }
}

/// Of a request with `Authorization` (RFC 9111 §3.5).
const WITH_LEAVE: &str = "only what says that it may be shared (public, s-maxage, must-revalidate); fetched alone";

/// A request for `url` as it would come from this machine.
///
/// # Errors
/// What is wrong with the URL.
pub(crate) fn asked(method: &Method, url: &str, headers: &HeaderMap) -> Result<Exchange, String> {
    if !url.contains("://") {
        let host = if url.starts_with('/') { "www.example.com" } else { "" };
        return Err(format!("{url}: give the whole URL, as in http://{host}{url}"));
    }
    let nowhere = target::normalise(false, "localhost", "/").map_err(|error| error.to_string())?;
    let target = target::resolve(&nowhere, url).map_err(|error| format!("{url}: {error}"))?;
    Ok(exchange(method, target, headers))
}

/// A request as it would come from this machine.
pub(crate) fn exchange(method: &Method, target: Target, headers: &HeaderMap) -> Exchange {
    let upgrades = *method == Method::GET && headers.contains_key(http::header::UPGRADE);
    Exchange { upgrades, ..Exchange::of_copal(method.clone(), target, headers.clone(), Timestamp::from_secs(0)) }
}

fn esi_options(config: &Config, rule: &Rule) -> Option<String> {
    if rule.esi == EsiMode::Off || matches!(rule.action, Action::Respond(_)) {
        return None;
    }
    let (options, limits) = (&rule.esi_options, &config.esi);
    let mut words = vec![match options.dialect {
        EsiDialect::Esi10 => "ESI 1.0".to_owned(),
        EsiDialect::Akamai => "dialect akamai".to_owned(),
    }];
    let hosts: Vec<&str> = options.hosts().collect();
    if !hosts.is_empty() {
        words.push(format!("also of {}", hosts.join(", ")));
    }
    if options.is_wary() {
        words.push("trusted paths only".to_owned());
    }
    if options.posts() {
        words.push("POST to some paths".to_owned());
    }
    if options.redirects > 0 {
        words.push(format!("redirects {}", options.redirects));
    }
    let bytes = copal_policy::units::format_size(limits.max_bytes);
    let time = copal_policy::units::format_duration(limits.page_timeout);
    words.push(format!("at most {} fragments, {} deep, {bytes}, {time}", limits.max_includes, limits.max_depth));
    Some(words.join("; "))
}

fn lifetime(action: &Action) -> Option<String> {
    let Action::Cache(cache) = action else { return None };
    let mut words = Vec::new();
    for (word, duration) in [
        ("ttl", cache.ttl),
        ("default_ttl", cache.default_ttl),
        ("min_ttl", cache.min_ttl),
        ("max_ttl", cache.max_ttl),
        ("grace", Some(cache.grace).filter(|grace| !grace.is_zero())),
        ("stale_if_error", Some(cache.stale_if_error).filter(|stale| !stale.is_zero())),
    ] {
        if let Some(duration) = duration {
            words.push(format!("{word} {}", copal_policy::units::format_duration(duration)));
        }
    }
    if cache.jitter > 0 {
        words.push(format!("jitter {}%", cache.jitter));
    }
    Some(if words.is_empty() { "as the origin says".to_owned() } else { words.join(", ") })
}
