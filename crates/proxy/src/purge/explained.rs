//! What a request of a purge client would come to, without doing it.

use std::net::IpAddr;
use std::sync::Arc;

use copal_policy::{PurgeDialect, PurgeDialects, Require};
use copal_semantics::{Target, target};
use copal_store::Hardness;
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;

use crate::exchange::{Exchange, OnBehalf};
use crate::proxy::Proxy;
use crate::purge::dialect::{self, Call, Form, Recognised};
use crate::purge::order::{By, Order, What, WrongOrder};
use crate::purge::wishes::Wishes;
use crate::purge::{authorise, read};

/// A request as a client of purges sends it.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The method.
    pub method: Method,
    /// The whole URL: with the host that stands in `Host`.
    pub url: String,
    /// The request-target is the whole URL (RFC 9112 §3.2.2), and not path and query only.
    pub absolute: bool,
    /// The fields.
    pub headers: HeaderMap,
    /// The body, where the client sends one.
    pub body: Vec<u8>,
    /// The address that it comes from.
    pub peer: IpAddr,
}

/// What the request is, whether it would be done, and what would go.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// `purge`: one that would be done. `denied`: one that the client may not do. `wrong`: one that cannot be read, answered 400.
    /// `not-spoken`: one in a dialect that `purge.dialects` does not list, answered 405, or a request like any other. `none`: a
    /// request like any other. `fetch-anew`: the page is fetched again and stored.
    pub outcome: &'static str,
    /// What that means, and what to do if it is not what was meant.
    pub detail: String,
    /// The dialect that the request is in, spoken here or not.
    pub dialect: Option<&'static str>,
    /// How it says what it names, in that dialect.
    pub form: Option<String>,
    /// Whether the client may purge, where it is a purge.
    pub allowed: Option<bool>,
    /// The status of the answer, as far as it is known beforehand.
    pub status: Option<u16>,
    /// What it names.
    pub names: Vec<Named>,
    /// Whether URLs that it names would be fetched again.
    pub refresh: bool,
    /// How many stored responses would go, or become stale.
    pub matching: Option<u64>,
}

/// One thing that a purge names.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// In the words of the audit log.
    pub what: String,
    /// It would only become stale.
    pub soft: bool,
}

impl Explained {
    fn of(outcome: &'static str, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: detail.into(),
            dialect: None,
            form: None,
            allowed: None,
            status: None,
            names: Vec::new(),
            refresh: false,
            matching: None,
        }
    }
}

impl Proxy {
    /// Says what a request of a purge client would do, and counts what would go.
    ///
    /// # Errors
    /// The URL is none.
    pub async fn explain_purge(self: &Arc<Self>, asking: Asking) -> Result<Explained, WrongOrder> {
        let exchange = self.exchange_of(&asking)?;
        let config = self.config();
        let spoken = config.purge.dialects;
        let (dialect, form) = match dialect::recognise(Call::of(&exchange), spoken) {
            Recognised::Purge(dialect, form) => (dialect, form),
            Recognised::Anew => {
                let allowed = authorise::may(&config.purge, &exchange);
                let detail = "the page is fetched again, and what comes is stored in the place of what is";
                let mut explained = match allowed {
                    true => Explained::of("fetch-anew", detail),
                    false => Explained::of("none", format!("a request like any other: {}", self.hint(&exchange))),
                };
                explained.allowed = Some(allowed);
                return Ok(explained);
            }
            other => return Ok(unspoken(&exchange, spoken, other == Recognised::Unknown)),
        };
        let allowed = authorise::may(&config.purge, &exchange);
        let mut explained = Explained::of("purge", "this is what would go");
        let read = Wishes::of(&exchange.headers)
            .and_then(|wishes| read::read(Call::of(&exchange), (dialect, form), &config.purge, &wishes, &asking.body));
        match read {
            Ok(reading) => {
                explained.refresh = reading.refresh;
                let orders: Vec<_> = reading.orders().collect();
                let named = |(what, hardness): &(Vec<What>, Hardness)| {
                    let soft = *hardness == Hardness::Soft;
                    what.iter().map(|what| Named { what: what.to_string(), soft }).collect::<Vec<_>>()
                };
                explained.names = orders.iter().flat_map(named).collect();
                let whats = orders.into_iter().flat_map(|(what, _)| what).collect();
                explained.matching = self.matching(whats).await;
                explained.status = Some(200);
            }
            Err(why) => {
                explained = Explained::of("wrong", why.to_string());
                explained.status = Some(400);
            }
        }
        if !allowed {
            explained.outcome = "denied";
            explained.detail = self.hint(&exchange);
            let status = config.purge.denied_status.unwrap_or_else(|| dialect::denied(dialect));
            explained.status = Some(status.as_u16());
        }
        explained.detail.push_str(&meant_elsewhere(&exchange, spoken, form));
        explained.dialect = Some(dialect.as_str());
        explained.form = Some(form_in_words(form).to_owned());
        explained.allowed = Some(allowed);
        Ok(explained)
    }

    fn exchange_of(&self, asking: &Asking) -> Result<Exchange, WrongOrder> {
        let wrong = |why: String| WrongOrder::new(format!("{}: {why}", asking.url));
        let nowhere = Target { scheme: "http", host: String::new(), path: "/".to_owned(), query: None };
        let target = target::resolve(&nowhere, &asking.url).map_err(|error| wrong(error.to_string()))?;
        if target.host.is_empty() {
            return Err(wrong("give the whole URL, with the host that the client names".to_owned()));
        }
        let now = self.clock.now();
        let mut exchange = Exchange::of_copal(asking.method.clone(), target, asking.headers.clone(), now);
        exchange.peer = asking.peer;
        exchange.absolute = asking.absolute;
        let config = self.config();
        exchange.trusted = config.trusted_proxies.contains(asking.peer);
        let trusted = exchange.trusted.then_some(&config.trusted_proxies);
        exchange.on_behalf = Some(OnBehalf::of(&exchange.headers, trusted));
        Ok(exchange)
    }

    /// What of a request is not enough to purge.
    fn hint(&self, exchange: &Exchange) -> String {
        let config = &self.config().purge;
        let (by_address, has_secret) = (exchange.is_from(&config.allow), config.secret.as_ref());
        let of_address = match (exchange.on_behalf(), exchange.trusted) {
            (OnBehalf::Itself, _) => format!("{} is not in `purge.allow`: add it", exchange.peer),
            (OnBehalf::Of(client), _) => {
                format!("{} speaks for {client}; both are to be in `purge.allow`", exchange.peer)
            }
            (OnBehalf::Somebody, true) => {
                format!("{} is a proxy and does not say in X-Forwarded-For for whom it asks", exchange.peer)
            }
            (OnBehalf::Somebody, false) => {
                format!("{} is a proxy that is not in `trusted_proxies`: whom it asks for is not known", exchange.peer)
            }
        };
        match has_secret {
            None if config.allow.is_empty() => {
                "nobody may purge: list the addresses that may under `purge.allow`, or set `purge.secret`".to_owned()
            }
            None => of_address,
            Some(secret) if by_address || config.allow.is_empty() || config.require == Require::Any => {
                format!("the request does not carry the secret of `purge.secret`, once, in {}", secret.header)
            }
            Some(secret) if secret.is_in(&exchange.headers) => of_address,
            Some(secret) => format!("{of_address}; and the secret is missing in {}, or another", secret.header),
        }
    }

    /// How many stored responses these name.
    async fn matching(self: &Arc<Self>, what: Vec<What>) -> Option<u64> {
        let order = Order::new(what, By { dialect: "api", peer: None });
        let whats = self.invalidations(&self.config(), &order);
        let _turn = self.counting.0.acquire().await.ok()?;
        let proxy = Arc::clone(self);
        tokio::task::spawn_blocking(move || proxy.store.matching_any(&whats)).await.ok()
    }
}

/// What the request would be in a dialect that is not spoken here; rather one that reads its fields than one that does not.
fn elsewhere(exchange: &Exchange, spoken: PurgeDialects) -> Option<(PurgeDialect, Form)> {
    let of = |dialects: PurgeDialects| match dialect::recognise(Call::of(exchange), dialects) {
        Recognised::Purge(dialect, form) => Some((dialect, form)),
        _ => None,
    };
    let unspoken: Vec<_> = PurgeDialect::ALL.iter().copied().filter(|dialect| !spoken.has(*dialect)).collect();
    // All together: the one whose own field or path it is. Then each by itself: some take for a plain URL what others read.
    let together = of(unspoken.iter().copied().collect());
    let mut found =
        together.into_iter().chain(unspoken.iter().filter_map(|dialect| of([*dialect].into_iter().collect())));
    found.clone().find(|(_, form)| !is_plain(*form)).or_else(|| found.next())
}

fn is_plain(form: Form) -> bool {
    matches!(form, Form::Target | Form::Nothing)
}

/// A purge of the URL that says something which only a dialect that is not spoken here reads: what to do about it.
pub(super) fn misread(exchange: &Exchange, spoken: PurgeDialects, form: Form) -> Option<String> {
    // Few requests have such a field, and only theirs are looked at more than once.
    let telling = dialect::XKEYS.iter().chain(&dialect::DRUPAL_TAGS).chain(&TELLING);
    if !is_plain(form) || !telling.into_iter().any(|name| Call::of(exchange).has(name)) {
        return None;
    }
    Some(meant_elsewhere(exchange, spoken, form)).filter(|hint| !hint.is_empty()).map(|hint| hint[2..].to_owned())
}

/// Fields of one dialect each.
const TELLING: [&str; 6] = [
    "x-magento-tags-pattern",
    "x-pool",
    "x-purge-method",
    "clear-cache",
    "x-acquia-purge-tags",
    "x-cache-tags-pattern",
];

/// What is lost by a dialect that is not spoken here.
fn meant_elsewhere(exchange: &Exchange, spoken: PurgeDialects, form: Form) -> String {
    match elsewhere(exchange, spoken).filter(|(_, other)| is_plain(form) && !is_plain(*other)) {
        Some((dialect, other)) => format!(
            ". In the dialect `{0}`, which is not spoken here, it would name {1}: if that is meant, add `{0}` to `purge.dialects`",
            dialect.as_str(),
            form_in_words(other)
        ),
        None => String::new(),
    }
}

/// A request that is a purge in no dialect that is spoken here.
fn unspoken(exchange: &Exchange, spoken: PurgeDialects, refused: bool) -> Explained {
    let status = refused.then_some(StatusCode::METHOD_NOT_ALLOWED.as_u16());
    let Some((dialect, form)) = elsewhere(exchange, spoken) else {
        let explained = match refused {
            true => {
                Explained::of("not-spoken", format!("{} is a purge in no dialect that Copal knows", exchange.method))
            }
            false => Explained::of("none", "a request like any other: it is no purge in any dialect that Copal knows"),
        };
        return Explained { status, ..explained };
    };
    let detail = format!("the dialect is not spoken here: add `{}` to `purge.dialects`", dialect.as_str());
    Explained {
        dialect: Some(dialect.as_str()),
        form: Some(form_in_words(form).to_owned()),
        status,
        ..Explained::of("not-spoken", detail)
    }
}

fn form_in_words(form: Form) -> &'static str {
    match form {
        Form::Target => "the URL itself",
        Form::Refresh => "the URL itself, which is fetched again",
        Form::VirtualHost => "a path that Zope reads as a virtual host",
        Form::ById => "an id in the path",
        Form::PathPattern => "a regular expression in the path, anchored at its start",
        Form::PathFinds => "a regular expression in the path, found anywhere",
        Form::Glob => "a glob in the path",
        Form::Prefix => "what begins like the path before its `*`",
        Form::BehindPurge => "the path behind /purge",
        Form::Host => "the whole host",
        Form::Everything => "everything",
        Form::TagPatterns => "regular expressions on tags",
        Form::Magento => "regular expressions on tags, or a pool",
        Form::Conditions => "conditions in fields, which must all hold",
        Form::Keys => "keys in a field",
        Form::Tags(_) => "tags in a field",
        Form::Typo3 => "a site, a page or keys in a field",
        Form::HostAndUrl => "a host, and a regular expression on its URLs",
        Form::Souin => "a path of Souin's API",
        Form::FastlyKey => "a key in the path",
        Form::FastlyKeys => "keys in a field or in the body",
        Form::Nothing => "nothing: the dialect names what goes in fields, and none is there",
    }
}
