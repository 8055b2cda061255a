//! `copal origins`: the servers behind a running Copal; takes one out and back in.

use copal_origin::ServerAddress;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::check;
use super::client::{Client, authority, reachable};
use crate::admin::{self, Named, OriginList, OriginNow, ServerNow};
use crate::cli::{Hand, Origins};
use crate::failure::Failure;
use crate::output;

/// Where most files have the admin address.
const USUAL: &str = "http://127.0.0.1:8081";

pub(crate) fn run(arguments: &Origins) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(origins(arguments))
}

pub(crate) async fn origins(arguments: &Origins) -> Result<(), Failure> {
    let server = server(arguments)?;
    match &arguments.hand {
        None => {
            let (list, text): (OriginList, _) = ask(&server, &Method::GET, "/origins", Vec::new()).await?;
            output::print(if arguments.json { text } else { table(&list) })
        }
        Some(hand) => by_hand(&server, hand, arguments.json).await,
    }
}

/// `host:port` of the admin address.
fn server(arguments: &Origins) -> Result<String, Failure> {
    let Some(file) = &arguments.config else {
        return authority(arguments.admin.as_deref().unwrap_or(USUAL));
    };
    check::load(file)?.config.admin.map(reachable).ok_or_else(|| {
        Failure::wrong(
            "this needs the server's admin address, and the file gives none: add `admin:` with `address: \
             \"127.0.0.1:8081\"` to it and start Copal again",
        )
    })
}

async fn by_hand(server: &str, hand: &Hand, json: bool) -> Result<(), Failure> {
    let (hand, named) = match hand {
        Hand::Drain(named) => (admin::Hand::Drain, named),
        Hand::Resume(named) => (admin::Hand::Resume, named),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if named.origin.is_empty() || !named.origin.bytes().all(plain) {
        return Err(Failure::wrong(format_args!("`{}` is no name of an origin", named.origin.escape_debug())));
    }
    let body = serde_json::to_vec(&Named { server: named.server.clone() }).map_err(Failure::failed)?;
    let target = format!("/origins/{}/{}", named.origin, hand.as_str());
    let (origin, text): (OriginNow, _) = ask(server, &Method::POST, &target, body).await?;
    // By its URL, as it may be given too, it is not in the answer.
    let name = named.server.parse().map_or_else(|_| named.server.clone(), |address: ServerAddress| address.name());
    output::print(if json { text } else { done(hand, &name, &origin) })
}

/// What was done, and what to know now.
fn done(hand: admin::Hand, server: &str, origin: &OriginNow) -> String {
    let Some(now) = origin.servers.iter().find(|known| known.server == server) else { return String::new() };
    let up = origin.servers.iter().filter(|server| server.is_up()).count();
    match hand {
        admin::Hand::Drain => {
            let rest = match now.active {
                0 => "no request is under way there".to_owned(),
                1 => "1 request is still under way there".to_owned(),
                many => format!("{many} requests are still under way there"),
            };
            let left = match up {
                0 => format!("\nno server of `{}` is up now", origin.name),
                _ => String::new(),
            };
            format!("drained {server} of {}: {rest}{left}", origin.name)
        }
        admin::Hand::Resume if now.is_up() => format!("resumed {server} of {}: it is up", origin.name),
        admin::Hand::Resume => {
            format!("resumed {server} of {}: it is {} ({})", origin.name, now.state, now.reason)
        }
    }
}

/// Asks the admin API; gives what it said, read and as text.
async fn ask<T: DeserializeOwned>(
    server: &str,
    method: &Method,
    target: &str,
    body: Vec<u8>,
) -> Result<(T, String), Failure> {
    let mut client = Client::new("--admin or --config");
    let answer = client.send(server, server, method, target, &[], body).await.map_err(Failure::failed)?;
    let strange = || format!("is {server} the admin address of a Copal that knows `copal origins`?");
    match (answer.status, answer.json()["error"].as_str()) {
        (StatusCode::OK, _) => {
            let read = serde_json::from_slice(&answer.body).map_err(|_| {
                Failure::failed(format_args!("{server} answered, but not as a Copal does: {}", strange()))
            })?;
            Ok((read, String::from_utf8_lossy(&answer.body).trim_end().to_owned()))
        }
        (_, Some(error)) => Err(Failure::failed(error)),
        (status, None) => Err(Failure::failed(format_args!("{server} answered {status}: {}", strange()))),
    }
}

const HEADS: [&str; 7] = ["SERVER", "STATE", "FOR", "ACTIVE", "REQUESTS", "FAILED", "WHY"];

/// All origins for the eye: one table, one paragraph an origin.
fn table(list: &OriginList) -> String {
    let rows: Vec<Vec<[String; 7]>> =
        list.origins.iter().map(|origin| origin.servers.iter().map(row).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().flatten().map(|row| row[column].chars().count());
        cells.chain([HEADS[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut lines = Vec::new();
    for (origin, rows) in list.origins.iter().zip(&rows) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(summary(origin));
        lines.push(line(&HEADS.map(str::to_owned), &widths));
        lines.extend(rows.iter().map(|row| line(row, &widths)));
    }
    lines.join("\n")
}

fn summary(origin: &OriginNow) -> String {
    let up = origin.servers.iter().filter(|server| server.is_up()).count();
    let mut words = vec![format!("{}: {up} of {} up", origin.name, origin.servers.len())];
    let failing = origin.servers.iter().filter(|server| server.failing.is_some()).count();
    words.extend((failing > 0).then(|| format!("{failing} failing")));
    words.extend(origin.fallback.as_ref().map(|fallback| format!("fallback {fallback}")));
    for (count, what) in [
        (origin.waiting as u64, "waiting"),
        (origin.retries, "sent once more"),
        (origin.retries_denied, "not sent once more for want of budget"),
        (origin.refused, "refused for want of room"),
    ] {
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    }
    words.join(", ")
}

fn row(server: &ServerNow) -> [String; 7] {
    let active = match server.max_connections {
        0 => server.active.to_string(),
        most => format!("{}/{most}", server.active),
    };
    let (state, seconds, reason) = match &server.failing {
        Some(failing) => ("failing", failing.seconds, &failing.reason),
        None => (&*server.state, server.seconds, &server.reason),
    };
    let mut why = vec![reason.clone()];
    if server.backup {
        why.push("backup".to_owned());
    }
    if server.weight != 1 {
        why.push(format!("weight {}", server.weight));
    }
    if server.ramp < 100 && server.is_up() {
        why.push(format!("at {}% of its share", server.ramp));
    }
    if let Some(check) = server.check.as_ref().filter(|check| !check.good) {
        why.push(format!("last check: {}", check.found));
    }
    why.retain(|word| !word.is_empty());
    [
        server.server.clone(),
        state.to_owned(),
        span(seconds),
        active,
        server.requests.to_string(),
        server.failures.to_string(),
        why.join("; "),
    ]
}

/// The two largest units: `3d 4h`, `12s`.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let place = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    let (unit, name) = units[place];
    let rest = units.get(place + 1).map(|(smaller, name)| (seconds % unit / smaller, name));
    match rest {
        Some((count @ 1.., smaller)) => format!("{}{name} {count}{smaller}", seconds / unit),
        _ => format!("{}{name}", seconds / unit),
    }
}

/// Numbers stand at the right of their column. What a server says must not write escape sequences to a terminal.
fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let clean: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.push_str("  ");
        match column {
            3..=5 => line.push_str(&format!("{clean:>width$}")),
            _ => line.push_str(&format!("{clean:<width$}")),
        }
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{CheckNow, FailingNow};

    fn server(name: &str, state: &str, reason: &str) -> ServerNow {
        ServerNow {
            server: name.to_owned(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            seconds: 7_500,
            weight: 1,
            ramp: 100,
            requests: 12_345,
            ..ServerNow::default()
        }
    }

    #[test]
    fn a_table_is_read_at_a_glance() {
        let list = OriginList {
            origins: vec![
                OriginNow {
                    name: "cms".to_owned(),
                    servers: vec![
                        ServerNow {
                            max_connections: 64,
                            active: 3,
                            ramp: 40,
                            ..server("10.0.0.5:9000", "up", "it answers again")
                        },
                        ServerNow {
                            failures: 7,
                            seconds: 12,
                            check: Some(CheckNow { good: false, found: "status\u{1b}[31m 500".to_owned() }),
                            ..server("10.0.0.6:9000", "down", "3 bad checks")
                        },
                        ServerNow { backup: true, weight: 2, requests: 0, ..server("unix:/run/spare", "up", "") },
                    ],
                    fallback: Some("static".to_owned()),
                    retries: 5,
                    ..OriginNow::default()
                },
                OriginNow {
                    name: "static".to_owned(),
                    servers: vec![ServerNow {
                        failing: Some(FailingNow {
                            reason: "5 failures in a row".to_owned(),
                            seconds: 61,
                            ..FailingNow::default()
                        }),
                        ..server("c:80", "up", "from the start")
                    }],
                    ..OriginNow::default()
                },
            ],
        };
        let expected = "\
cms: 2 of 3 up, fallback static, 5 sent once more
  SERVER           STATE    FOR    ACTIVE  REQUESTS  FAILED  WHY
  10.0.0.5:9000    up       2h 5m    3/64     12345       0  it answers again; at 40% of its share
  10.0.0.6:9000    down     12s         0     12345       7  3 bad checks; last check: status [31m 500
  unix:/run/spare  up       2h 5m       0         0       0  backup; weight 2

static: 1 of 1 up, 1 failing
  SERVER           STATE    FOR    ACTIVE  REQUESTS  FAILED  WHY
  c:80             failing  1m 1s       0     12345       0  5 failures in a row";
        assert_eq!(table(&list), expected);
    }

    #[test]
    fn spans() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m 1s"), (3_600, "1h"), (90_061, "1d 1h"), (86_460, "1d")]
        {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn what_was_done_is_said_with_what_to_know() {
        let mut origin = OriginNow {
            name: "cms".to_owned(),
            servers: vec![
                ServerNow { active: 2, ..server("a:1", "drained", "taken out by hand") },
                server("b:1", "down", "refused"),
            ],
            ..OriginNow::default()
        };
        let expected = "drained a:1 of cms: 2 requests are still under way there\nno server of `cms` is up now";
        assert_eq!(done(admin::Hand::Drain, "a:1", &origin), expected);
        assert_eq!(done(admin::Hand::Resume, "b:1", &origin), "resumed b:1 of cms: it is down (refused)");
        origin.servers[1].state = "up".to_owned();
        assert_eq!(done(admin::Hand::Resume, "b:1", &origin), "resumed b:1 of cms: it is up");
    }
}
