//! From an order to the store: what it invalidates, what it says in the audit log, and what follows from it.

use std::sync::Arc;
use std::time::Duration;

use copal_policy::{Action, Config};
use copal_semantics::Target;
use copal_store::{Hardness, Invalidated, Invalidation, Match, TagMatch};

use crate::proxy::Proxy;
use crate::purge::expression::TagExpression;
use crate::purge::order::{Matching, Order, Url, What};
use crate::purge::{again, refresh};
use crate::sub_key;

/// What a purge came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// The number of the last invalidation that it took; of a dry run, of the last one before it.
    pub sequence: u64,
    /// How many invalidations it took.
    pub invalidations: u64,
    /// How many stored responses of the URLs that it names exactly went, or became stale. What is named otherwise goes from
    /// this moment on as well, and is counted where the caller waits for it ([`Proxy::purge_counted`]).
    pub removed: u64,
    /// Everything that went, or would go (dry run), where it was counted.
    pub matching: Option<u64>,
    /// URLs that are being fetched again.
    pub refreshing: u64,
    /// It will be done once more, after [`Order::repurge_after`].
    pub again: bool,
    /// The same was done a moment ago, and nothing has begun since that it could take: nothing was to be done.
    pub merged: bool,
}

impl Proxy {
    /// Does an order, at once: whatever it names is not served any more when this returns (or is stale, where it is soft).
    /// Costs the same however much is stored. A dry run only counts, which takes time in proportion to what is stored: prefer
    /// [`Proxy::purge_counted`] for it.
    pub fn purge(self: &Arc<Self>, order: &Order) -> Purged {
        let config = self.config();
        if order.dry_run {
            let whats = self.invalidations(&config, order);
            let done = self.count(&whats);
            self.tell(order, &done);
            return done;
        }
        let same = self.merging.id(&config, order);
        // Where something was filed by an origin's word on the query, what a URL means changes with that word.
        let done = self.merging.done(same, &self.store).filter(|_| !self.searching.is_used());
        if let Some(sequence) = done {
            let mut done = Purged { sequence, merged: true, ..Purged::default() };
            self.follow(order, &mut done);
            self.tell(order, &done);
            return done;
        }
        let whats = self.invalidations(&config, order);
        let mut done = self.invalidate(&whats, order.hardness);
        self.merging.note(same, done.sequence);
        self.follow(order, &mut done);
        self.tell(order, &done);
        done
    }

    /// The same, and [`Purged::matching`] says how many stored responses went, or would go.
    pub async fn purge_counted(self: &Arc<Self>, order: &Order) -> Purged {
        let config = self.config();
        let whats = self.invalidations(&config, order);
        let (hardness, dry_run) = (order.hardness, order.dry_run);
        let proxy = Arc::clone(self);
        // It looks at all that is stored.
        let counted = tokio::task::spawn_blocking(move || match dry_run {
            true => proxy.count(&whats),
            false => {
                let done = proxy.store.invalidate_counted(&whats, hardness);
                Purged { matching: Some(done.removed), ..purged(&whats, done) }
            }
        });
        let mut done = match counted.await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "counting what a purge names failed; it is done without");
                let whats = self.invalidations(&config, order);
                if dry_run { Purged::default() } else { self.invalidate(&whats, hardness) }
            }
        };
        if !dry_run {
            self.follow(order, &mut done);
        }
        self.tell(order, &done);
        done
    }

    /// What the order means to the store.
    pub(super) fn invalidations(&self, config: &Config, order: &Order) -> Vec<Invalidation> {
        let mut all = Vec::new();
        for what in &order.what {
            match what {
                What::Url(url) => of_url(self, config, url, &mut all),
                What::Prefix { host, path } => {
                    all.push(Invalidation::Prefix { host: host.clone(), path: path.clone() });
                }
                What::Host(host) => all.push(Invalidation::Host(host.clone())),
                What::Tags(tags) => all.extend(tags.iter().cloned().map(Invalidation::Tag)),
                What::Pattern(regex) => all.push(Invalidation::Pattern(regex.clone())),
                What::Match(conditions) => all.push(Invalidation::Match(Box::new(of_match(conditions)))),
                What::Everything => all.push(Invalidation::All),
            }
        }
        all
    }

    pub(crate) fn invalidate(&self, whats: &[Invalidation], hardness: Hardness) -> Purged {
        purged(whats, self.store.invalidate_all(whats, hardness))
    }

    fn count(&self, whats: &[Invalidation]) -> Purged {
        let matching = self.store.matching_any(whats);
        Purged { sequence: self.store.sequence().get(), matching: Some(matching), ..Purged::default() }
    }

    fn follow(self: &Arc<Self>, order: &Order, done: &mut Purged) {
        if order.refresh && !done.merged {
            done.refreshing = refresh::begin(self, order);
        }
        if let Some(after) = order.repurge_after.filter(|after| *after > Duration::ZERO) {
            done.again = again::later(self, order, after);
        }
    }

    /// The line of the audit log, and the count of the metrics.
    fn tell(&self, order: &Order, done: &Purged) {
        let outcome = match done.merged {
            _ if order.dry_run => "dry-run",
            true => "merged",
            false => "purged",
        };
        self.observer.purge(order.by.dialect, outcome);
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: "copal::purge",
                    $level,
                    dialect = order.by.dialect,
                    peer = order.by.peer.map(tracing::field::display),
                    what = %Shortly(&order.what),
                    soft = order.hardness == Hardness::Soft,
                    refreshing = done.refreshing,
                    again = done.again,
                    removed = done.removed,
                    matching = done.matching,
                    sequence = done.sequence,
                    "{outcome}"
                )
            };
        }
        // Of a burst of equal ones the first is told.
        if done.merged { line!(tracing::Level::DEBUG) } else { line!(tracing::Level::INFO) }
    }
}

fn purged(whats: &[Invalidation], done: Invalidated) -> Purged {
    Purged { sequence: done.sequence, invalidations: whats.len() as u64, removed: done.removed, ..Purged::default() }
}

/// Characters of an order that the audit log shows.
const SHOWN: usize = 1_000;

/// What an order names, cut off where it is long.
struct Shortly<'o>(&'o [What]);

impl std::fmt::Display for Shortly<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for (index, what) in self.0.iter().enumerate() {
            if index > 0 {
                text.push_str("; ");
            }
            text.push_str(&what.to_string());
            if text.len() > SHOWN {
                let cut = text.floor_char_boundary(SHOWN);
                return write!(f, "{}… ({} in all)", &text[..cut], self.0.len());
            }
        }
        f.write_str(&text)
    }
}

/// The cache keys under which a URL may be stored: both schemes, and the query as each cache rule keys it.
pub(crate) fn keys(config: &Config, target: &Target) -> Vec<String> {
    let mut queries = vec![target.query.clone()];
    for rule in config.policy.rules() {
        if let Action::Cache(cache) = &rule.action {
            let query = cache.key.query(target.query.as_deref()).map(std::borrow::Cow::into_owned);
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
    }
    let mut keys = Vec::with_capacity(queries.len() * 2);
    for query in queries {
        for scheme in ["http", "https"] {
            let url = Target { scheme, query: query.clone(), ..target.clone() }.url();
            keys.push(url);
        }
    }
    keys
}

fn of_url(proxy: &Proxy, config: &Config, url: &Url, all: &mut Vec<Invalidation>) {
    let target = &url.target;
    let host = (!url.any_host).then(|| target.host.clone());
    match (url.all_queries, &target.query) {
        (false, _) if !url.any_host => of_target(proxy, config, target, all),
        // Whatever the host: the queries that it may be keyed by are found with the path.
        _ => all.push(Invalidation::Path { host, path: target.path.clone() }),
    }
}

/// Everything that is stored for a URL, under whatever key.
pub(crate) fn of_target(proxy: &Proxy, config: &Config, target: &Target, all: &mut Vec<Invalidation>) {
    for key in keys(config, target) {
        if config.has_sub_keys {
            all.push(Invalidation::Tag(sub_key::tag(&key)));
        }
        all.push(Invalidation::Key(proxy.store.key(key)));
    }
    let (keys, tags) = proxy.searching.of(config, target);
    all.extend(keys.into_iter().map(|key| Invalidation::Key(proxy.store.key(key))));
    all.extend(tags.into_iter().map(Invalidation::Tag));
}

fn of_match(conditions: &Matching) -> Match {
    let tags = match &conditions.tags {
        Some(TagExpression::Exact(tags)) => Some(TagMatch::AnyOf(tags.clone())),
        Some(TagExpression::Pattern(regex)) => Some(TagMatch::Pattern(regex.clone())),
        Some(TagExpression::Everything) | None => None,
    };
    Match {
        exact_host: conditions.exact_host.clone(),
        host: conditions.host.clone(),
        url: conditions.url.clone(),
        fields: conditions.fields.clone(),
        tags,
    }
}
