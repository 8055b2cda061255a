//! Purging over HTTP: is it one (`dialect`)? May they (`authorise`)? What of (`read`, `order`)? Do it (`execute`), and say so
//! (`reply`). What is not a purge goes on its way.

mod again;
mod authorise;
mod dialect;
mod execute;
mod explained;
mod expression;
pub mod htcp;
mod merge;
mod order;
mod preview;
mod read;
mod refresh;
mod reply;
mod wishes;

use std::net::IpAddr;
use std::sync::Arc;

use copal_policy::{Config, PurgeDialect};
use copal_store::{Hardness, Invalidated};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::Semaphore;

use crate::answer::Answer;
use crate::exchange::{Exchange, Once};
use crate::fault::Fault;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::Reason;
use crate::request::Begun;

use dialect::{Call, Form, Recognised};
use htcp::Asks;
use reply::Done;
use wishes::Wishes;

pub use execute::Purged;
pub use explained::{Asking, Explained, Named};
pub use expression::{LONGEST as LONGEST_EXPRESSION, TagExpression};
pub use order::{By, MOST_NAMED, MatchText, Matching, Order, Url, What, WrongOrder};

pub(crate) use again::Again;
pub(crate) use execute::of_target;
pub(crate) use merge::Merging;
pub(crate) use preview::preview;
pub(crate) use refresh::Refreshing;

/// The longest body of a purge: Fastly's 256 keys, each of at most 1 KiB.
const MAX_BODY: usize = 384 << 10;

/// Stored responses that a purge over HTTP counts at most, where its dialect says how many went: it is to be answered in less
/// than a second.
const MOST_COUNTED: u64 = 200_000;

/// A purge that counts keeps a processor busy, so one at a time does; the others are done without.
pub(crate) struct Counting(Semaphore);

impl Default for Counting {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

/// A request that is a purge, or would be one in another dialect.
#[derive(Clone, Copy)]
pub(crate) struct Purge(Option<(PurgeDialect, Form)>);

/// Looks whether a client's request is a purge. From one that is none it takes what only purging reads.
pub(crate) fn look(runtime: &Runtime, exchange: &mut Exchange) -> Option<Purge> {
    let config = &runtime.config.purge;
    match dialect::recognise(Call::of(exchange), config.dialects) {
        Recognised::Purge(dialect, form) => return Some(Purge(Some((dialect, form)))),
        Recognised::Unknown => return Some(Purge(None)),
        Recognised::Anew if authorise::may(config, exchange) => fetch_anew(exchange),
        Recognised::Anew | Recognised::Other => {}
    }
    authorise::conceal(config, exchange);
    None
}

/// Does a purge, if it may be done.
pub(crate) fn answer(
    proxy: &Arc<Proxy>,
    runtime: &Arc<Runtime>,
    exchange: Exchange,
    once: Once,
    Purge(purge): Purge,
) -> Begun {
    let Some((dialect, form)) = purge else {
        let detail = format!("{} is in none of the dialects of `purge.dialects`", exchange.method);
        let fault = Fault::new(Reason::MethodNotAllowed, StatusCode::METHOD_NOT_ALLOWED, detail);
        return Begun::Ready(fault.answer(NAME));
    };
    let config = &runtime.config.purge;
    if !authorise::may(config, &exchange) {
        return Begun::Ready(denied(proxy, config.denied_status, dialect, &exchange));
    }
    if form != Form::FastlyKeys {
        return order(proxy, runtime, &exchange, (dialect, form), &[]);
    }
    let (proxy, runtime) = (Arc::clone(proxy), Arc::clone(runtime));
    Begun::Later(Box::pin(async move {
        match Limited::new(once.body, MAX_BODY).collect().await {
            Ok(body) => order(&proxy, &runtime, &exchange, (dialect, form), &body.to_bytes()).finish().await,
            Err(error) => {
                wrong(&proxy, dialect, &exchange, &WrongOrder::new(format!("the body cannot be read: {error}")))
            }
        }
    }))
}

/// FOSHttpCache's refresh: what is stored does not answer, and the new response is stored in its place.
fn fetch_anew(exchange: &mut Exchange) {
    exchange.headers.remove("x-refresh");
    exchange.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    exchange.anew = true;
}

fn denied(proxy: &Proxy, status: Option<StatusCode>, dialect: PurgeDialect, exchange: &Exchange) -> Answer {
    let (method, path) = (exchange.method.as_str(), exchange.target.path.as_str());
    tracing::warn!(target: "copal::purge", dialect = dialect.as_str(), peer = %exchange.asker(), method, path, "denied");
    proxy.observer.purge(dialect.as_str(), "denied");
    reply::denied(status.unwrap_or_else(|| dialect::denied(dialect)))
}

fn wrong(proxy: &Proxy, dialect: PurgeDialect, exchange: &Exchange, why: &WrongOrder) -> Answer {
    tracing::warn!(target: "copal::purge", dialect = dialect.as_str(), peer = %exchange.asker(), %why, "wrong");
    proxy.observer.purge(dialect.as_str(), "wrong");
    reply::wrong(why)
}

/// Reads and does a purge that may be done.
fn order(
    proxy: &Arc<Proxy>,
    runtime: &Runtime,
    exchange: &Exchange,
    (dialect, form): (PurgeDialect, Form),
    body: &[u8],
) -> Begun {
    let config = &runtime.config.purge;
    let read = Wishes::of(&exchange.headers).and_then(|wishes| {
        let reading = read::read(Call::of(exchange), (dialect, form), config, &wishes, body)?;
        Ok((reading, wishes))
    });
    let (reading, wishes) = match read {
        Ok(read) => read,
        Err(why) => return Begun::Ready(wrong(proxy, dialect, exchange, &why)),
    };
    let (style, refresh) = (reading.style, reading.refresh);
    if let Some(hint) = explained::misread(exchange, config.dialects, form) {
        tracing::warn!(target: "copal::purge", dialect = dialect.as_str(), peer = %exchange.asker(), hint, "taken for a plain URL");
    }
    let orders: Vec<Order> = reading
        .orders()
        .map(|(what, hardness)| Order {
            what,
            hardness,
            refresh,
            dry_run: wishes.dry_run,
            repurge_after: wishes.repurge_after.or(config.repurge_after),
            by: By { dialect: dialect.as_str(), peer: Some(exchange.asker()) },
        })
        .collect();
    let counts = wishes.dry_run || wishes.count || (style.counts() && few(proxy));
    if !counts {
        let done = orders.iter().map(|order| (order.hardness, proxy.purge(order)));
        return Begun::Ready(reply::done(style, together(done, false), &named(&orders)));
    }
    let proxy = Arc::clone(proxy);
    // A task of its own: a client that does not wait for the answer has its purge all the same, with its audit line.
    let work = tokio::spawn(async move {
        let mut done = Vec::new();
        for order in &orders {
            // Whoever asks for the count waits for it.
            let turn = match wishes.dry_run || wishes.count {
                true => proxy.counting.0.acquire().await.ok(),
                false => proxy.counting.0.try_acquire().ok(),
            };
            let one = if turn.is_some() { proxy.purge_counted(order).await } else { proxy.purge(order) };
            done.push((order.hardness, one));
        }
        reply::done(style, together(done, wishes.dry_run), &named(&orders))
    });
    let failed = |_| Fault::internal("the purge's task ended without a word").answer(NAME);
    Begun::Later(Box::pin(async move { work.await.unwrap_or_else(failed) }))
}

fn few(proxy: &Proxy) -> bool {
    proxy.store.usage().stored_responses <= MOST_COUNTED
}

fn together(done: impl IntoIterator<Item = (Hardness, Purged)>, dry_run: bool) -> Done {
    let mut all = Done { dry_run, ..Done::default() };
    for (hardness, purged) in done {
        match hardness {
            Hardness::Hard => all.hard = purged,
            Hardness::Soft => all.soft = purged,
        }
    }
    all
}

fn named(orders: &[Order]) -> Vec<What> {
    orders.iter().flat_map(|order| order.what.iter().cloned()).collect()
}

impl Call<'_> {
    fn of(exchange: &Exchange) -> Call<'_> {
        Call {
            method: &exchange.method,
            target: &exchange.target,
            absolute: exchange.absolute,
            headers: &exchange.headers,
        }
    }
}

impl Proxy {
    /// Removes every variant of an absolute URL, or makes it stale ([`Hardness::Soft`]).
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn purge_url(&self, url: &str, hardness: Hardness) -> Result<Invalidated, String> {
        let what = What::url(url).map_err(|wrong| wrong.to_string())?;
        let What::Url(url) = &what else { return Err(format!("{url}: no URL")) };
        let mut all = Vec::new();
        execute::of_target(self, &self.config(), &url.target, &mut all);
        let done = self.invalidate(&all, hardness);
        Ok(Invalidated { sequence: done.sequence, removed: done.removed })
    }
}

impl Proxy {
    /// Takes a datagram of HTCP from `peer`, and gives the answer if one is wanted. From whoever is not in `purge.htcp.allow`,
    /// or says nothing that is understood, it is dropped without a word: senders of datagrams can be forged.
    pub fn htcp(self: &Arc<Self>, datagram: &[u8], peer: IpAddr) -> Option<[u8; 14]> {
        const NAME: &str = "htcp";
        let config = self.config();
        if !config.purge.htcp.as_ref().is_some_and(|htcp| htcp.allow.contains(peer)) {
            // Not louder: anybody can send datagrams.
            tracing::debug!(target: "copal::purge", dialect = NAME, %peer, "denied");
            self.observer.purge(NAME, "denied");
            return None;
        }
        let message = htcp::parse(datagram);
        let outcome = match message.as_ref().map(|message| message.asks) {
            Some(Asks::Clear { uri, host }) => match of_htcp(&config, uri, host) {
                Ok(url) => {
                    let by = By { dialect: NAME, peer: Some(peer) };
                    let order = Order { repurge_after: config.purge.repurge_after, ..Order::new(vec![url], by) };
                    if self.purge(&order).removed > 0 { htcp::Outcome::Done } else { htcp::Outcome::NotThere }
                }
                Err(why) => {
                    tracing::warn!(target: "copal::purge", dialect = NAME, %peer, %why, "wrong");
                    self.observer.purge(NAME, "wrong");
                    return None;
                }
            },
            Some(Asks::Nothing) => htcp::Outcome::Done,
            Some(Asks::Other) => htcp::Outcome::NotImplemented,
            None => {
                self.observer.purge(NAME, "wrong");
                return None;
            }
        };
        message.and_then(|message| message.answer(outcome))
    }
}

/// The URL of a `CLR`: whole, or a path with its host.
fn of_htcp(config: &Config, uri: &str, host: Option<&str>) -> Result<What, WrongOrder> {
    let whole = match host.filter(|_| uri.starts_with('/')) {
        Some(host) => What::url(&format!("http://{host}{uri}"))?,
        None => What::url(uri)?,
    };
    Ok(match whole {
        What::Url(url) => {
            What::Url(Url { all_queries: config.purge.all_queries, any_host: config.purge.any_host, ..url })
        }
        other => other,
    })
}

#[cfg(test)]
mod tests;
