//! Counts. The request counts are kept by the telemetry writer's thread, batch by batch; what the serving threads count
//! themselves are single atomics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use copal_proxy::{Outcome, Reason, Record};
use http::StatusCode;
use parking_lot::Mutex;

/// Every outcome; `outcome as usize` is its index.
pub(super) const OUTCOMES: [Outcome; 7] =
    [Outcome::Hit, Outcome::Stale, Outcome::Miss, Outcome::Pass, Outcome::Respond, Outcome::Purge, Outcome::Error];

/// The status classes of a label; the last stands for "no status at all".
pub(super) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed"];

/// Upper bounds of the duration histograms, in seconds; everything above is `+Inf`.
pub(super) const BUCKETS: [f64; 15] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Rules counted by name. Names come from configuration files only, but a file may be reloaded many times with new ones:
/// beyond this number they are counted as `other`.
const MAX_RULES: usize = 1_024;

/// Everything that `/metrics` shows except what it asks of others when it is scraped (the store).
#[derive(Debug, Default)]
pub struct Metrics {
    pub(super) requests: Mutex<Requests>,
    pub(super) fragments: ReasonCounts,
    pub(super) fragments_failed: AtomicU64,
    /// By the limit's key.
    pub(super) esi_limits: Words,
    /// By the kind of warning.
    pub(super) esi_warnings: Words,
    pub(super) origins: Mutex<BTreeMap<Arc<str>, OriginCounts>>,
    /// By dialect and outcome.
    pub(super) purges: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    pub(super) log_dropped: AtomicU64,
    pub(super) log_errors: AtomicU64,
    pub(super) config: ConfigState,
    /// The connections of the listeners.
    pub connections: Arc<ConnectionCounts>,
}

/// Counts of what is rare, by words that are fixed in the program.
pub(super) type Words = Mutex<BTreeMap<&'static str, u64>>;

/// How the configuration in force came to be.
#[derive(Debug, Default)]
pub(super) struct ConfigState {
    pub(super) loads: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) last_failed: AtomicBool,
    /// Milliseconds since the Unix epoch.
    pub(super) loaded_at: AtomicU64,
}

/// Counts of one listener's connections.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    /// Open now.
    pub open: AtomicI64,
    /// Accepted since the start.
    pub accepted: AtomicU64,
    /// `accept` calls that failed (out of file descriptors, usually).
    pub accept_errors: AtomicU64,
}

/// A distribution of durations, by [`BUCKETS`].
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last one is above all bounds.
    pub(super) counts: [u64; BUCKETS.len() + 1],
    pub(super) sum: Duration,
}

impl Histogram {
    fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.partition_point(|&bound| bound < seconds);
        self.counts[bucket] += 1;
        self.sum += duration;
    }
}

/// A count for each reason.
#[derive(Debug)]
pub(super) struct ReasonCounts(pub(super) Box<[AtomicU64]>);

impl Default for ReasonCounts {
    fn default() -> Self {
        Self(Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

/// What is counted of client requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By rule; then `reason as usize * CLASSES.len() + class`.
    pub(super) by_rule: HashMap<Arc<str>, Box<[u64]>>,
    pub(super) by_outcome: [ByOutcome; OUTCOMES.len()],
}

/// What is counted of requests for each outcome.
#[derive(Debug, Default, Clone)]
pub(super) struct ByOutcome {
    pub(super) bytes: u64,
    pub(super) broken_off: u64,
    pub(super) duration: Histogram,
}

impl Requests {
    pub(super) fn count(&mut self, record: &Record) {
        let outcome = &mut self.by_outcome[record.reason.outcome() as usize];
        outcome.bytes += record.bytes;
        outcome.broken_off += u64::from(!record.complete);
        outcome.duration.add(record.duration);
        let index = record.reason as usize * CLASSES.len() + class(Some(record.status));
        if let Some(counts) = self.by_rule.get_mut(&record.rule) {
            counts[index] += 1;
            return;
        }
        let rule = if self.by_rule.len() < MAX_RULES { Arc::clone(&record.rule) } else { "other".into() };
        let nothing = || vec![0; Reason::ALL.len() * CLASSES.len()].into_boxed_slice();
        self.by_rule.entry(rule).or_insert_with(nothing)[index] += 1;
    }
}

/// What is counted of the exchanges with one origin.
#[derive(Debug, Default, Clone)]
pub(super) struct OriginCounts {
    pub(super) by_class: [u64; CLASSES.len()],
    pub(super) latency: Histogram,
}

/// The index in [`CLASSES`].
fn class(status: Option<StatusCode>) -> usize {
    match status.map(|status| status.as_u16() / 100) {
        Some(class @ 1..=5) => usize::from(class) - 1,
        _ => CLASSES.len() - 1,
    }
}

impl Metrics {
    pub(super) fn fragments(&self, reason: Reason, count: u64) {
        self.fragments.0[reason as usize].fetch_add(count, Relaxed);
    }

    pub(super) fn add(counts: &Words, word: &'static str, count: u64) {
        *counts.lock().entry(word).or_default() += count;
    }

    pub(super) fn fragment(&self, reason: Reason, failed: bool) {
        self.fragments.0[reason as usize].fetch_add(1, Relaxed);
        if failed {
            self.fragments_failed.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn purge(&self, dialect: &'static str, outcome: &'static str) {
        *self.purges.lock().entry((dialect, outcome)).or_default() += 1;
    }

    pub(super) fn origin(&self, origin: &Arc<str>, status: Option<StatusCode>, elapsed: Duration) {
        let mut origins = self.origins.lock();
        let counts = match origins.get_mut(origin) {
            Some(counts) => counts,
            None => origins.entry(Arc::clone(origin)).or_default(),
        };
        counts.by_class[class(status)] += 1;
        counts.latency.add(elapsed);
    }

    /// A configuration was put in force. `now`: milliseconds since the Unix epoch.
    pub fn config_loaded(&self, now: u64) {
        self.config.loads.fetch_add(1, Relaxed);
        self.config.last_failed.store(false, Relaxed);
        self.config.loaded_at.store(now, Relaxed);
    }

    /// A configuration was refused; the one before stays in force.
    pub fn config_refused(&self) {
        self.config.failures.fetch_add(1, Relaxed);
        self.config.last_failed.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::test_record::record;

    #[test]
    fn outcomes_are_in_the_order_of_their_declaration() {
        for (index, outcome) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        for &reason in Reason::ALL {
            assert!((reason.outcome() as usize) < OUTCOMES.len());
        }
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for micros in [0, 100, 101, 500, 29_999_999, 30_000_000, 30_000_001] {
            histogram.add(Duration::from_micros(micros));
        }
        assert_eq!(histogram.counts[0], 2);
        assert_eq!(histogram.counts[1], 2);
        assert_eq!(histogram.counts[BUCKETS.len() - 1], 2);
        assert_eq!(histogram.counts[BUCKETS.len()], 1);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 7);
    }

    #[test]
    fn status_classes() {
        for (status, expected) in
            [(101, "1xx"), (204, "2xx"), (304, "3xx"), (499, "4xx"), (599, "5xx"), (999, "failed")]
        {
            assert_eq!(CLASSES[class(StatusCode::from_u16(status).ok())], expected);
        }
        assert_eq!(CLASSES[class(None)], "failed");
    }

    #[test]
    fn rules_beyond_the_limit_are_counted_together() {
        let mut requests = Requests::default();
        let mut record = record();
        for rule in 0..MAX_RULES + 5 {
            record.rule = format!("rule-{rule}").into();
            requests.count(&record);
        }
        assert_eq!(requests.by_rule.len(), MAX_RULES + 1);
        assert_eq!(requests.by_rule["other"].iter().sum::<u64>(), 5);
        assert_eq!(requests.by_rule["rule-3"].iter().sum::<u64>(), 1);
    }
}
