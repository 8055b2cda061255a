//! The servers of origins.

use copal_origin::{OriginStatus, ServerState, ServerStatus};

use super::Page;

/// A number of something: the family's name, kind and help, and how the number is had.
type Number<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

const NUMBERS: [Number<ServerStatus>; 6] = [
    (
        "copal_origin_server_failing",
        "gauge",
        "1 while a server's requests fail although it is up, 0 otherwise.",
        |server| u64::from(server.failing.is_some()),
    ),
    ("copal_origin_server_active", "gauge", "Requests under way at a server.", |server| server.active as u64),
    ("copal_origin_server_idle", "gauge", "Kept connections to a server without a request.", |server| {
        server.idle as u64
    }),
    ("copal_origin_server_requests_total", "counter", "Requests sent to a server.", |server| server.requests),
    ("copal_origin_server_failures_total", "counter", "How many of them failed.", |server| server.failures),
    (
        "copal_origin_server_ejections_total",
        "counter",
        "How often a server was left out because its requests failed.",
        |server| server.ejections,
    ),
];

pub(super) fn write(page: &mut Page, origins: &[(String, OriginStatus)]) {
    let origins: Vec<(&str, &OriginStatus, Vec<ServerStatus>)> =
        origins.iter().map(|(name, status)| (name.as_str(), status, once_each(&status.servers))).collect();
    let each = || origins.iter().flat_map(|(origin, _, servers)| servers.iter().map(move |server| (*origin, server)));
    let name = "copal_origin_server_state";
    page.head(name, "gauge", "1 for the state that a server is in, 0 for the others.");
    for (origin, server) in each() {
        for state in ServerState::ALL {
            let labels = [("origin", origin), ("server", &server.name), ("state", state.as_str())];
            page.sample(name, &labels, u8::from(server.state == state));
        }
    }
    for (name, kind, help, number) in NUMBERS {
        page.head(name, kind, help);
        for (origin, server) in each() {
            page.sample(name, &[("origin", origin), ("server", &server.name)], number(server));
        }
    }
    let of_origins: [Number<OriginStatus>; 4] = [
        ("copal_origin_waiting", "gauge", "Requests that wait for a server with room.", |status| status.waiting as u64),
        ("copal_origin_retries_total", "counter", "Sends of a request once more.", |status| status.retries),
        (
            "copal_origin_retries_denied_total",
            "counter",
            "Requests that would have been, had the budget allowed it.",
            |status| status.retries_denied,
        ),
        (
            "copal_origin_refused_total",
            "counter",
            "Requests that found no server with room, and no place to wait or too long a wait.",
            |status| status.refused,
        ),
    ];
    for (name, kind, help, number) in of_origins {
        page.head(name, kind, help);
        for (origin, status, _) in &origins {
            page.sample(name, &[("origin", origin)], number(status));
        }
    }
}

/// A server that stands twice in an origin is one to the reader, who takes no series twice: it is up if one of them is.
fn once_each(servers: &[ServerStatus]) -> Vec<ServerStatus> {
    let mut all: Vec<ServerStatus> = Vec::with_capacity(servers.len());
    let mut places = std::collections::HashMap::with_capacity(servers.len());
    for server in servers {
        let place = *places.entry(server.name.as_str()).or_insert(all.len());
        let Some(known) = all.get_mut(place) else {
            all.push(server.clone());
            continue;
        };
        known.active += server.active;
        known.idle += server.idle;
        known.requests += server.requests;
        known.failures += server.failures;
        known.ejections += server.ejections;
        known.failing = known.failing.take().or_else(|| server.failing.clone());
        if server.state == ServerState::Up {
            known.state = ServerState::Up;
        }
    }
    all
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::SystemTime;

    use copal_origin::Failing;

    use super::*;

    pub(in super::super) fn origins() -> Vec<(String, OriginStatus)> {
        let server = |name: &str, state, requests| ServerStatus {
            name: name.to_owned(),
            state,
            reason: String::new(),
            since: SystemTime::UNIX_EPOCH,
            failing: (requests == 9).then(|| Failing { reason: String::new(), since: SystemTime::UNIX_EPOCH }),
            weight: 1,
            ramp: 100,
            backup: false,
            active: 2,
            max_connections: 0,
            idle: 3,
            requests,
            failures: 4,
            ejections: 1,
            check: None,
            addresses: Vec::new(),
        };
        let servers = vec![
            server("a:1", ServerState::Ejected, 7),
            server("unix:/x", ServerState::Up, 9),
            server("a:1", ServerState::Up, 3),
        ];
        vec![("cms".to_owned(), OriginStatus { servers, waiting: 5, retries: 6, retries_denied: 8, refused: 10 })]
    }

    #[test]
    fn every_server_has_one_state_and_its_counts() {
        let mut page = Page(String::new());
        write(&mut page, &origins());
        for line in [
            r#"copal_origin_server_state{origin="cms",server="a:1",state="up"} 1"#,
            r#"copal_origin_server_state{origin="cms",server="a:1",state="ejected"} 0"#,
            r#"copal_origin_server_state{origin="cms",server="unix:/x",state="up"} 1"#,
            r#"copal_origin_server_state{origin="cms",server="unix:/x",state="drained"} 0"#,
            r#"copal_origin_server_failing{origin="cms",server="a:1"} 0"#,
            r#"copal_origin_server_failing{origin="cms",server="unix:/x"} 1"#,
            r#"copal_origin_server_active{origin="cms",server="a:1"} 4"#,
            r#"copal_origin_server_idle{origin="cms",server="unix:/x"} 3"#,
            r#"copal_origin_server_requests_total{origin="cms",server="a:1"} 10"#,
            r#"copal_origin_server_failures_total{origin="cms",server="unix:/x"} 4"#,
            r#"copal_origin_server_ejections_total{origin="cms",server="unix:/x"} 1"#,
            r#"copal_origin_waiting{origin="cms"} 5"#,
            r#"copal_origin_retries_total{origin="cms"} 6"#,
            r#"copal_origin_retries_denied_total{origin="cms"} 8"#,
            r#"copal_origin_refused_total{origin="cms"} 10"#,
        ] {
            assert_eq!(page.0.lines().filter(|found| *found == line).count(), 1, "{line} in\n{}", page.0);
        }
    }
}
