//! `health` and `eject`: how it is found out that a server is not well.

use std::time::Duration;

use super::{failures, small};
use crate::reader::{Reader, Section, Wrong};
use crate::settings::plain;
use crate::units::format_duration;
use crate::{EjectConfig, HealthConfig, Verdict, values};

/// A question every few milliseconds is an attack.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// `health`: a path, `tcp`, or a mapping.
pub(super) fn check(reader: &mut Reader, origin: &Section<'_>) -> Option<HealthConfig> {
    let (short, section) = reader.short_or_part(origin, "health")?;
    let path = match (short, origin.key("health")) {
        (Some(node), Some(key)) => reader.scalar(key, node, &short_form).flatten(),
        _ => reader.value(&section, "path", values::target),
    };
    if path.is_none() {
        for name in ["host", "status", "body"] {
            if let Some(entry) = section.entry(name).filter(|_| section.entry("path").is_none()) {
                let message = format!("`{name}` does nothing where only a connection is made");
                reader.error(entry.key_at, message, "add `path: /healthz`");
            }
        }
    }
    let interval = reader.value(&section, "interval", interval).unwrap_or_default();
    let check = HealthConfig {
        path,
        host: reader.value(&section, "host", values::host),
        statuses: plain(reader.list(&section, "status", values::status_range)),
        body: reader.value(&section, "body", not_empty),
        interval,
        timeout: reader.value(&section, "timeout", values::timeout).unwrap_or_else(|| patience(interval)),
        verdict: verdict(reader, &section),
    };
    slow(reader, &section, &check);
    Some(check)
}

/// How long a check may take where nothing is said of it: not longer than to the next one, but what takes less than a second is not
/// called dead.
fn patience(interval: Duration) -> Duration {
    interval.clamp(Duration::from_secs(1), Duration::from_secs(2))
}

/// Checks that take longer than from one to the next: a silent server is found out later than `interval` says. Whoever asks more
/// than once a second wants that a dead one is seen at once, not that a slow one is called dead.
fn slow(reader: &mut Reader, section: &Section<'_>, check: &HealthConfig) {
    if check.timeout > check.interval && check.interval >= Duration::from_secs(1) {
        let (timeout, interval) = (format_duration(check.timeout), format_duration(check.interval));
        let message = format!(
            "a check may take {timeout} (`timeout`), longer than from one to the next (`interval`, {interval})"
        );
        let hint =
            format!("a server that is silent is asked every {timeout} only: write `timeout: {interval}`, or less");
        reader.warning(section.at_of("timeout"), message, hint);
    }
}

/// The path, or none for `tcp`.
fn short_form(text: &str) -> Result<Option<String>, Wrong> {
    match text {
        "tcp" => Ok(None),
        "true" | "http" => Err(Wrong::PLAIN.hint("write the path that is asked for, `health: /healthz`, or `tcp`")),
        "false" | "off" => Err(Wrong::PLAIN.hint("servers are not asked unless `health` says so: leave it out")),
        path => values::target(path).map(Some),
    }
}

fn not_empty(text: &str) -> Result<String, Wrong> {
    if text.is_empty() { Err(Wrong::because("is empty")) } else { Ok(text.to_owned()) }
}

fn interval(text: &str) -> Result<Duration, Wrong> {
    match values::timeout(text)? {
        interval if interval < SHORTEST_INTERVAL => Err(Wrong::because("is less than 100ms")),
        interval => Ok(interval),
    }
}

fn verdict(reader: &mut Reader, section: &Section<'_>) -> Verdict {
    let in_a_row = values::count(1, 100);
    let (rise, fall) = (reader.value(section, "rise", &in_a_row), reader.value(section, "fall", &in_a_row));
    let of_some = values::count(1, 64);
    let (window, threshold) = (reader.value(section, "window", &of_some), reader.value(section, "threshold", &of_some));
    let given = |name: &str| section.entry(name).is_some();
    if !given("window") && !given("threshold") {
        return Verdict::InARow { rise: small(rise), fall: small(fall) };
    }
    for name in ["rise", "fall"].into_iter().filter(|name| given(name)) {
        let hint = "take `rise` and `fall`, or `window` and `threshold`";
        reader.error(section.at_of(name), format!("`{name}` does nothing beside `window` and `threshold`"), hint);
    }
    for (name, other) in [("window", "threshold"), ("threshold", "window")] {
        if given(name) && !given(other) {
            let hint = "for example `window: 10, threshold: 7`: seven of the last ten checks have to be good";
            reader.error(section.at_of(name), format!("`{name}` says nothing without `{other}`"), hint);
        }
    }
    if let (Some(window), Some(threshold)) = (window, threshold)
        && window < threshold
    {
        let message = format!("`threshold` is {threshold}, and `window` only {window}: the server could never be well");
        reader.error(section.at_of("threshold"), message, "a number of the `window`'s checks: at most as many");
    }
    Verdict::Window { window: small(window), threshold: small(threshold) }
}

/// `eject`: `true`, `false`, or a mapping; on where there is more than `one` server.
pub(super) fn eject(reader: &mut Reader, origin: &Section<'_>, one: bool) -> Option<EjectConfig> {
    let written = origin.entry("eject").is_some();
    let empty = Section::empty("origins.NAME.eject", origin.at);
    let (short, section) = reader.short_or_part(origin, "eject").unwrap_or((None, empty));
    let on = match (short, origin.key("eject")) {
        (Some(node), Some(key)) => reader.scalar(key, node, &values::boolean).unwrap_or_default(),
        _ => written || !one,
    };
    let eject = EjectConfig {
        failures: small(reader.value(&section, "failures", values::count(1, 10_000))),
        rate: reader.value(&section, "rate", values::percent(0, 100)).unwrap_or_default(),
        window: reader.value(&section, "window", values::timeout).unwrap_or_default(),
        base: reader.value(&section, "base", values::timeout).unwrap_or_default(),
        longest: reader.value(&section, "longest", values::timeout).unwrap_or_default(),
        statuses: failures(reader, &section),
    };
    if eject.longest < eject.base && !reader.has_errors() {
        let name = if section.entry("longest").is_some() { "longest" } else { "base" };
        let hint = "`base` is the first time, `longest` the limit of its doublings";
        reader.error(section.at_of(name), "`longest` is shorter than `base`", hint);
    }
    on.then_some(eject)
}
