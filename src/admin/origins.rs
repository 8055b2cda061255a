//! `/origins`: how the servers of every origin are, and taking one out or back in by hand.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use copal_origin::{Failing, Origin, OriginStatus, ServerState, ServerStatus};
use copal_policy::Config;
use http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::telemetry;

/// The origins in force; a reload changes them.
pub(crate) type InForce = Arc<Mutex<Vec<Arc<Origin>>>>;

/// What `GET /origins` answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OriginList {
    pub(crate) origins: Vec<OriginNow>,
}

/// One origin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OriginNow {
    pub(crate) name: String,
    pub(crate) servers: Vec<ServerNow>,
    /// The origin that answers where this one cannot.
    pub(crate) fallback: Option<String>,
    /// Requests that wait for a server with room.
    pub(crate) waiting: usize,
    pub(crate) retries: u64,
    pub(crate) retries_denied: u64,
    pub(crate) refused: u64,
}

/// One server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServerNow {
    pub(crate) server: String,
    /// `up`, `down`, `ejected` or `drained`.
    pub(crate) state: String,
    pub(crate) reason: String,
    /// RFC 3339, in UTC.
    pub(crate) since: String,
    /// Seconds that it has been so.
    pub(crate) seconds: u64,
    /// Where its requests fail although it is up.
    pub(crate) failing: Option<FailingNow>,
    pub(crate) weight: u32,
    /// Percent of its weight that it has at present.
    pub(crate) ramp: u8,
    pub(crate) backup: bool,
    pub(crate) active: usize,
    /// 0: no limit.
    pub(crate) max_connections: usize,
    pub(crate) idle: usize,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) ejections: u64,
    /// The last check, where there are checks.
    pub(crate) check: Option<CheckNow>,
    pub(crate) addresses: Vec<String>,
}

/// The last check of a server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CheckNow {
    pub(crate) good: bool,
    pub(crate) found: String,
}

/// A server whose requests fail, and that is not left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FailingNow {
    pub(crate) reason: String,
    /// RFC 3339, in UTC.
    pub(crate) since: String,
    /// For so many seconds.
    pub(crate) seconds: u64,
}

/// What is posted to take a server out or back in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// The server's name, as in `GET /origins`, or its URL, as in the file.
    pub(crate) server: String,
}

/// What is done with a server by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// It gets no more requests; those under way are finished.
    Drain,
    /// It gets requests again.
    Resume,
}

impl Hand {
    /// The last word of the path, and of the command.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Resume => "resume",
        }
    }
}

/// Origin and deed of `/origins/ORIGIN/drain` or `…/resume`.
pub(super) fn by_hand(path: &str) -> Option<(&str, Hand)> {
    let (origin, deed) = path.strip_prefix("/origins/")?.split_once('/')?;
    let hand = [Hand::Drain, Hand::Resume].into_iter().find(|hand| hand.as_str() == deed)?;
    (!origin.is_empty()).then_some((origin, hand))
}

/// All origins, as they are at `now`, in milliseconds since the Unix epoch.
pub(super) fn list(origins: &InForce, config: &Config, now: u64) -> OriginList {
    let origins = origins.lock().clone();
    OriginList { origins: origins.iter().map(|origin| one(origin, config, now)).collect() }
}

/// Every origin's name and state, for metrics.
pub(super) fn statuses(origins: &InForce) -> Vec<(String, OriginStatus)> {
    let origins = origins.lock().clone();
    origins.iter().map(|origin| (origin.name().to_owned(), origin.status())).collect()
}

/// Takes a server out or back in.
///
/// # Errors
/// 404 with what there is, where there is no such origin or server.
pub(super) fn change(
    origins: &InForce,
    config: &Config,
    (name, hand): (&str, Hand),
    named: &Named,
    (peer, now): (IpAddr, u64),
) -> Result<OriginNow, Refusal> {
    // Held until it is done: a reload between would go on from what the servers were before.
    let all = origins.lock();
    let Some(origin) = all.iter().find(|origin| origin.name() == name) else {
        let names = all.iter().map(|origin| origin.name().to_owned());
        return Err(missing(&format!("there is no origin `{}`", shown(name)), names));
    };
    let server = named.server.as_str();
    let done = match hand {
        Hand::Drain => origin.drain(server),
        Hand::Resume => origin.resume(server),
    };
    if !done {
        let names = origin.status().servers.into_iter().map(|server| server.name);
        return Err(missing(&format!("origin `{name}` has no server `{}`", shown(server)), names));
    }
    tracing::info!(target: "copal::origins", origin = name, server, %peer, "{}", hand.as_str());
    Ok(one(origin, config, now))
}

/// So many names are told at most.
const TOLD: usize = 20;

fn missing(what: &str, names: impl Iterator<Item = String>) -> Refusal {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(TOLD);
    names.truncate(TOLD);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Refusal::new(StatusCode::NOT_FOUND, format!("{what}; there is {}{rest}", names.join(", ")))
}

/// What a client sent, for an answer: not endless.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn one(origin: &Origin, config: &Config, now: u64) -> OriginNow {
    let status = origin.status();
    let named = config.origins.iter().find(|known| *known.name == *origin.name());
    let fallback = named.and_then(|known| config.origins.get(known.fallback?));
    OriginNow {
        name: origin.name().to_owned(),
        servers: status.servers.into_iter().map(|status| server(status, now)).collect(),
        fallback: fallback.map(|fallback| fallback.name.to_string()),
        waiting: status.waiting,
        retries: status.retries,
        retries_denied: status.retries_denied,
        refused: status.refused,
    }
}

fn server(status: ServerStatus, now: u64) -> ServerNow {
    let (since, seconds) = ago(status.since, now);
    let failing = status.failing.map(|Failing { reason, since }| {
        let (since, seconds) = ago(since, now);
        FailingNow { reason, since, seconds }
    });
    ServerNow {
        server: status.name,
        state: status.state.as_str().to_owned(),
        reason: status.reason,
        since,
        seconds,
        failing,
        weight: status.weight,
        ramp: status.ramp,
        backup: status.backup,
        active: status.active,
        max_connections: status.max_connections,
        idle: status.idle,
        requests: status.requests,
        failures: status.failures,
        ejections: status.ejections,
        check: status.check.map(|(good, found)| CheckNow { good, found }),
        addresses: status.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// A time in RFC 3339, and how many seconds it is past at `now`, in milliseconds since the Unix epoch.
fn ago(time: SystemTime, now: u64) -> (String, u64) {
    let time = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let time = u64::try_from(time).unwrap_or(u64::MAX);
    (telemetry::rfc3339(time), now.saturating_sub(time) / 1_000)
}

impl ServerNow {
    /// Whether it gets requests.
    pub(crate) fn is_up(&self) -> bool {
        self.state == ServerState::Up.as_str()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span;

    use super::*;

    /// Hears what is told, and looks whether the origins in force could be replaced in that moment.
    struct Watch {
        origins: InForce,
        told: Arc<AtomicUsize>,
        open: Arc<AtomicUsize>,
    }

    impl tracing::Subscriber for Watch {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target().starts_with("copal_origin")
        }

        fn event(&self, _: &tracing::Event<'_>) {
            self.told.fetch_add(1, Ordering::Relaxed);
            if self.origins.try_lock().is_some() {
                self.open.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn no_reload_comes_between_while_a_server_is_taken_out() {
        let yaml = "origins: { cms: [\"http://a:1\", \"http://b:1\"] }";
        let config = copal_policy::load_str("copal.yaml", yaml, None).unwrap().config;
        let origins: InForce = Arc::new(Mutex::new(crate::settings::origins(&config, None).unwrap()));
        let (told, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let watch = Watch { origins: origins.clone(), told: told.clone(), open: open.clone() };
        let named = Named { server: "a:1".to_owned() };
        let (peer, now) = (IpAddr::from(Ipv4Addr::LOCALHOST), 0);
        let done = tracing::subscriber::with_default(watch, || {
            change(&origins, &config, ("cms", Hand::Drain), &named, (peer, now))
        });
        assert_eq!(done.unwrap().servers[0].state, "drained");
        assert_eq!((told.load(Ordering::Relaxed), open.load(Ordering::Relaxed)), (1, 0));
    }
}
