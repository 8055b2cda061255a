//! The pages that a fragment is in, and what one request of a client may lead to.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::exchange::Exchange;

/// The pages that a fragment is in, up to the one that the client asked for, and what they may still include together.
#[derive(Debug)]
pub(crate) struct Lineage {
    path_and_query: String,
    /// None where nothing on the way was of another host than the client's page.
    host: Option<String>,
    within: Option<Arc<Lineage>>,
    budget: Arc<Budget>,
}

/// What one client request has led to, nested fragments counted.
#[derive(Debug, Default)]
struct Budget {
    asked: AtomicUsize,
    /// From the first fragment that is not at hand.
    deadline: OnceLock<Instant>,
    /// The limits that were told of.
    told: AtomicU8,
    /// The client asked by `HEAD`.
    only_looks: bool,
}

/// A limit on what pages may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    MaxIncludes,
    MaxDepth,
    MaxBytes,
    PageTimeout,
    MaxConcurrentTotal,
}

impl Limit {
    /// Its key under `esi`; also the label of the metric.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::MaxIncludes => "max_includes",
            Self::MaxDepth => "max_depth",
            Self::MaxBytes => "max_bytes",
            Self::PageTimeout => "page_timeout",
            Self::MaxConcurrentTotal => "max_concurrent_total",
        }
    }

    /// What it comes to, for the log.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::MaxIncludes => "more ESI fragments than esi.max_includes; the rest is left out",
            Self::MaxDepth => "ESI fragments within fragments beyond esi.max_depth; they are left out",
            Self::MaxBytes => "ESI fragments of more than esi.max_bytes together",
            Self::PageTimeout => {
                "ESI fragments took longer than esi.page_timeout; those still waited for count as failed"
            }
            Self::MaxConcurrentTotal => {
                "more ESI fragments than esi.max_concurrent_total are waited for; the rest waits"
            }
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Lineage {
    pub(crate) fn of(exchange: &Exchange) -> Arc<Self> {
        let budget = match &exchange.lineage {
            Some(within) => Arc::clone(&within.budget),
            None => Arc::new(Budget { only_looks: exchange.method == Method::HEAD, ..Budget::default() }),
        };
        let path_and_query = exchange.target.path_and_query();
        let host = exchange.abroad.then(|| exchange.target.host.clone());
        Arc::new(Self { path_and_query, host, within: exchange.lineage.clone(), budget })
    }

    /// A page that would include itself.
    pub(crate) fn has(&self, host: Option<&str>, path_and_query: &str) -> bool {
        let mut page = Some(self);
        while let Some(this) = page {
            if this.path_and_query == path_and_query && this.host.as_deref() == host {
                return true;
            }
            page = this.within.as_deref();
        }
        false
    }

    /// Takes one more fragment, while there may be.
    pub(crate) fn take(&self, limit: usize) -> bool {
        self.budget.asked.fetch_add(1, Ordering::Relaxed) < limit
    }

    /// Whether fragments are only looked up, and none is fetched or refreshed.
    pub(crate) fn only_looks(&self) -> bool {
        self.budget.only_looks
    }

    /// What is left of the time for all fragments together.
    pub(crate) fn left(&self, limit: Duration) -> Duration {
        let now = Instant::now();
        self.budget.deadline.get_or_init(|| now + limit).saturating_duration_since(now)
    }

    /// Whether the log has heard of a limit for this client request; it has after this.
    pub(crate) fn tell(&self, limit: Limit) -> bool {
        self.budget.told.fetch_or(limit.bit(), Ordering::Relaxed) & limit.bit() != 0
    }

    pub(crate) fn was_told(&self, limit: Limit) -> bool {
        self.budget.told.load(Ordering::Relaxed) & limit.bit() != 0
    }
}
