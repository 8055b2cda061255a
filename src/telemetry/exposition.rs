//! The metrics as Prometheus reads them: text format 0.0.4.

mod servers;

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use copal_origin::OriginStatus;
use copal_proxy::{ContextUsage, Reason, TunnelUsage};
use copal_store::Usage;

use super::metrics::{BUCKETS, CLASSES, Histogram, Metrics, OUTCOMES};

/// The media type of [`text`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is true at the moment of the scrape only.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// What the store holds.
    pub store: Usage,
    /// User contexts.
    pub contexts: ContextUsage,
    /// Connections that speak another protocol.
    pub tunnels: TunnelUsage,
    /// The limit of the store, in bytes.
    pub store_limit: u64,
    /// When the process began, in milliseconds since the Unix epoch.
    pub started: u64,
    /// The process's memory in bytes, where the system tells.
    pub resident: Option<u64>,
    /// Every origin's name and state.
    pub origins: Vec<(String, OriginStatus)>,
}

/// All metrics as text. Counts that are still zero are left out where a label makes many of them.
#[must_use]
pub fn text(metrics: &Metrics, scrape: &Scrape) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    process(&mut page, metrics, scrape);
    requests(&mut page, metrics);
    fragments(&mut page, metrics);
    origins(&mut page, metrics);
    servers::write(&mut page, &scrape.origins);
    purges(&mut page, metrics);
    store(&mut page, scrape);
    contexts(&mut page, &scrape.contexts);
    tunnels(&mut page, &scrape.tunnels);
    page.0
}

/// The process's resident memory in bytes, where the system tells (Linux).
#[must_use]
pub fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn process(page: &mut Page, metrics: &Metrics, scrape: &Scrape) {
    page.head("copal_build_info", "gauge", "The version that runs; always 1.");
    page.sample("copal_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.head("process_start_time_seconds", "gauge", "When the process began, in seconds since the Unix epoch.");
    page.sample("process_start_time_seconds", &[], Seconds(scrape.started));
    if let Some(resident) = scrape.resident {
        page.one("process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM.", resident);
    }
    let connections = &metrics.connections;
    page.one("copal_connections", "gauge", "Client connections that are open.", connections.open.load(Relaxed).max(0));
    let accepted = connections.accepted.load(Relaxed);
    page.one("copal_connections_accepted_total", "counter", "Client connections accepted.", accepted);
    let errors = connections.accept_errors.load(Relaxed);
    page.one("copal_accept_errors_total", "counter", "Connections that could not be accepted.", errors);
    let dropped = metrics.log_dropped.load(Relaxed);
    page.one(
        "copal_log_records_dropped_total",
        "counter",
        "Requests neither logged nor counted, because the log could not keep up.",
        dropped,
    );
    let errors = metrics.log_errors.load(Relaxed);
    page.one("copal_log_write_errors_total", "counter", "Writes to the access log that failed.", errors);

    let config = &metrics.config;
    page.head("copal_config_loads_total", "counter", "Configurations read: put in force, or refused.");
    page.sample("copal_config_loads_total", &[("result", "success")], config.loads.load(Relaxed));
    page.sample("copal_config_loads_total", &[("result", "failure")], config.failures.load(Relaxed));
    let good = u8::from(!config.last_failed.load(Relaxed));
    page.one("copal_config_last_load_successful", "gauge", "Whether the last one was put in force.", good);
    page.head("copal_config_loaded_timestamp_seconds", "gauge", "When the configuration in force was loaded.");
    page.sample("copal_config_loaded_timestamp_seconds", &[], Seconds(config.loaded_at.load(Relaxed)));
}

fn requests(page: &mut Page, metrics: &Metrics) {
    // A copy, so that the writer's thread never waits for a scrape.
    let (mut by_rule, by_outcome) = {
        let requests = metrics.requests.lock();
        let by_rule: Vec<_> = requests.by_rule.iter().map(|(rule, counts)| (rule.clone(), counts.clone())).collect();
        (by_rule, requests.by_outcome.clone())
    };
    by_rule.sort_unstable_by(|a, b| a.0.cmp(&b.0));

    page.head("copal_requests_total", "counter", "Client requests.");
    for (rule, counts) in &by_rule {
        for (reason, by_class) in Reason::ALL.iter().zip(counts.chunks_exact(CLASSES.len())) {
            for (class, &count) in CLASSES.iter().zip(by_class).filter(|(_, count)| **count > 0) {
                let labels = [
                    ("outcome", reason.outcome().as_str()),
                    ("reason", reason.as_str()),
                    ("rule", rule.as_ref()),
                    ("status", class),
                ];
                page.sample("copal_requests_total", &labels, count);
            }
        }
    }
    page.head("copal_response_bytes_total", "counter", "Bytes of response bodies sent to clients.");
    for (outcome, counts) in OUTCOMES.iter().zip(&by_outcome) {
        page.sample("copal_response_bytes_total", &[("outcome", outcome.as_str())], counts.bytes);
    }
    page.head(
        "copal_responses_broken_off_total",
        "counter",
        "Responses not sent whole: the client left, or the origin broke off.",
    );
    for (outcome, counts) in OUTCOMES.iter().zip(&by_outcome) {
        page.sample("copal_responses_broken_off_total", &[("outcome", outcome.as_str())], counts.broken_off);
    }
    let name = "copal_request_duration_seconds";
    page.head(name, "histogram", "From the request head until the response was sent.");
    for (outcome, counts) in OUTCOMES.iter().zip(&by_outcome) {
        page.histogram(name, ("outcome", outcome.as_str()), &counts.duration);
    }
}

fn fragments(page: &mut Page, metrics: &Metrics) {
    page.head("copal_fragments_total", "counter", "ESI fragments that were asked for.");
    for (reason, count) in Reason::ALL.iter().zip(&metrics.fragments.0) {
        let count = count.load(Relaxed);
        if count > 0 {
            let labels = [("outcome", reason.outcome().as_str()), ("reason", reason.as_str())];
            page.sample("copal_fragments_total", &labels, count);
        }
    }
    let failed = metrics.fragments_failed.load(Relaxed);
    page.one("copal_fragments_failed_total", "counter", "ESI fragments that could not be had.", failed);
    page.head("copal_esi_limits_total", "counter", "Times that a limit of ESI was reached.");
    for (limit, count) in &*metrics.esi_limits.lock() {
        page.sample("copal_esi_limits_total", &[("limit", limit)], *count);
    }
    page.head("copal_esi_warnings_total", "counter", "What is wrong with templates, counted as they are parsed.");
    for (kind, count) in &*metrics.esi_warnings.lock() {
        page.sample("copal_esi_warnings_total", &[("kind", kind)], *count);
    }
}

fn origins(page: &mut Page, metrics: &Metrics) {
    let origins = metrics.origins.lock().clone();
    page.head("copal_origin_requests_total", "counter", "Requests sent to origins.");
    for (origin, counts) in &origins {
        for (class, &count) in CLASSES.iter().zip(&counts.by_class).filter(|(_, count)| **count > 0) {
            page.sample("copal_origin_requests_total", &[("origin", origin), ("status", class)], count);
        }
    }
    let name = "copal_origin_latency_seconds";
    page.head(name, "histogram", "From sending a request to an origin until its response head.");
    for (origin, counts) in &origins {
        page.histogram(name, ("origin", origin), &counts.latency);
    }
}

fn purges(page: &mut Page, metrics: &Metrics) {
    let purges = metrics.purges.lock().clone();
    page.head(
        "copal_purges_total",
        "counter",
        "Purges asked for: done, merged with an equal one, dry runs, denied, not understood.",
    );
    for ((dialect, outcome), count) in purges {
        page.sample("copal_purges_total", &[("dialect", dialect), ("outcome", outcome)], count);
    }
}

fn store(page: &mut Page, scrape: &Scrape) {
    let usage = &scrape.store;
    page.one("copal_store_responses", "gauge", "Stored responses.", usage.stored_responses);
    page.one("copal_store_bytes", "gauge", "Memory that stored responses take.", usage.stored_bytes);
    page.one("copal_store_limit_bytes", "gauge", "Memory that they may take: cache.memory.", scrape.store_limit);
    page.one("copal_store_fills", "gauge", "Responses that are being fetched to be stored.", usage.fills);
    page.one("copal_store_filling_bytes", "gauge", "Memory of those.", usage.filling_bytes);
    page.one("copal_store_stored_total", "counter", "Responses stored, freshened ones included.", usage.stored);
    page.one(
        "copal_store_evicted_total",
        "counter",
        "Stored responses that left to make room, or of no use.",
        usage.evicted,
    );
    page.one("copal_store_invalidated_total", "counter", "Stored responses that a purge named.", usage.invalidated);
    page.one(
        "copal_invalidation_log_length",
        "gauge",
        "Purges not yet applied to everything stored.",
        usage.log_length,
    );
}

fn tunnels(page: &mut Page, usage: &TunnelUsage) {
    page.one("copal_upgrades", "gauge", "WebSockets that are open.", usage.open);
    page.one("copal_upgrades_total", "counter", "WebSockets opened.", usage.opened);
    page.one("copal_upgrades_idle_total", "counter", "WebSockets closed by limits.upgrade_idle.", usage.idle);
}

fn contexts(page: &mut Page, usage: &ContextUsage) {
    page.one("copal_context_sessions", "gauge", "Sessions whose group is remembered.", usage.sessions);
    page.head(
        "copal_context_groups_total",
        "counter",
        "Groups that pages of sessions were looked up by; see copal_context_failed_total for questions that failed.",
    );
    page.sample("copal_context_groups_total", &[("from", "store")], usage.known);
    page.sample("copal_context_groups_total", &[("from", "origin")], usage.asked);
    page.one("copal_context_failed_total", "counter", "Requests let through for want of a group.", usage.failed);
}

/// Milliseconds, shown as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// The text so far. Writing to a `String` cannot fail.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.0, " {value}");
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (index, (name, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{name}=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    _ => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
    }

    fn histogram(&mut self, name: &str, label: (&str, &str), histogram: &Histogram) {
        let (mut cumulative, buckets) = (0, format!("{name}_bucket"));
        for (bound, count) in BUCKETS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]).zip(histogram.counts) {
            cumulative += count;
            self.sample(&buckets, &[label, ("le", &bound)], cumulative);
        }
        self.sample(&format!("{name}_sum"), &[label], histogram.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &[label], cumulative);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::telemetry::test_record::record;

    fn scrape() -> Scrape {
        Scrape {
            store: Usage::default(),
            contexts: ContextUsage { sessions: 3, known: 5, asked: 7, failed: 2 },
            tunnels: copal_proxy::TunnelUsage { open: 2, opened: 9, idle: 1 },
            store_limit: 1 << 20,
            started: 784_111_777_123,
            resident: Some(4_096),
            origins: servers::tests::origins(),
        }
    }

    fn has(page: &str, line: &str) -> bool {
        page.lines().any(|found| found == line)
    }

    #[test]
    fn requests_are_counted_by_what_the_operator_asks_for() {
        let metrics = Metrics::default();
        let mut record = record();
        metrics.requests.lock().count(&record);
        metrics.requests.lock().count(&record);
        record.reason = Reason::OriginTimeout;
        record.status = StatusCode::GATEWAY_TIMEOUT;
        record.rule = "a \"b\" \\c".into();
        record.complete = false;
        metrics.requests.lock().count(&record);
        let page = text(&metrics, &scrape());
        for line in [
            r#"copal_requests_total{outcome="hit",reason="hit",rule="pages",status="2xx"} 2"#,
            r#"copal_requests_total{outcome="error",reason="origin-timeout",rule="a \"b\" \\c",status="5xx"} 1"#,
            r#"copal_response_bytes_total{outcome="hit"} 10240"#,
            r#"copal_responses_broken_off_total{outcome="error"} 1"#,
            r#"copal_request_duration_seconds_bucket{outcome="hit",le="0.001"} 0"#,
            r#"copal_request_duration_seconds_bucket{outcome="hit",le="0.005"} 2"#,
            r#"copal_request_duration_seconds_bucket{outcome="hit",le="+Inf"} 2"#,
            r#"copal_request_duration_seconds_sum{outcome="hit"} 0.003"#,
            r#"copal_request_duration_seconds_count{outcome="hit"} 2"#,
        ] {
            assert!(has(&page, line), "no line {line} in\n{page}");
        }
    }

    #[test]
    fn the_rest_of_the_page() {
        let metrics = Metrics::default();
        metrics.fragment(Reason::Hit, false);
        metrics.fragment(Reason::FragmentTimeout, true);
        Metrics::add(&metrics.esi_limits, "max_bytes", 1);
        Metrics::add(&metrics.esi_warnings, "unclosed-tag", 1);
        Metrics::add(&metrics.esi_warnings, "unclosed-tag", 2);
        metrics.origin(&"cms".into(), Some(StatusCode::OK), Duration::from_millis(20));
        metrics.origin(&"cms".into(), None, Duration::from_secs(60));
        metrics.config_loaded(784_111_777_123);
        metrics.config_refused();
        metrics.connections.open.fetch_add(3, Relaxed);
        metrics.log_dropped.fetch_add(4, Relaxed);
        let page = text(&metrics, &scrape());
        let version = concat!("copal_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
        for line in [
            version,
            "process_start_time_seconds 784111777.123",
            "process_resident_memory_bytes 4096",
            "copal_connections 3",
            "copal_log_records_dropped_total 4",
            r#"copal_config_loads_total{result="success"} 1"#,
            r#"copal_config_loads_total{result="failure"} 1"#,
            "copal_config_last_load_successful 0",
            "copal_config_loaded_timestamp_seconds 784111777.123",
            r#"copal_fragments_total{outcome="hit",reason="hit"} 1"#,
            "copal_fragments_failed_total 1",
            r#"copal_esi_limits_total{limit="max_bytes"} 1"#,
            r#"copal_esi_warnings_total{kind="unclosed-tag"} 3"#,
            r#"copal_origin_requests_total{origin="cms",status="2xx"} 1"#,
            r#"copal_origin_requests_total{origin="cms",status="failed"} 1"#,
            r#"copal_origin_latency_seconds_bucket{origin="cms",le="0.025"} 1"#,
            "copal_store_limit_bytes 1048576",
        ] {
            assert!(has(&page, line), "no line {line} in\n{page}");
        }
    }

    #[test]
    fn every_line_is_of_the_format_and_every_family_is_declared_once() {
        let metrics = Metrics::default();
        metrics.requests.lock().count(&record());
        metrics.origin(&"cms".into(), Some(StatusCode::OK), Duration::ZERO);
        let page = text(&metrics, &scrape());
        let mut families = std::collections::HashSet::new();
        let mut family = "";
        for line in page.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                family = kind.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} is declared twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(family), "{line} stands under {family}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(page.ends_with('\n'));
    }
}
