//! Reads `origins`: the servers that Copal stands before, and how they are spoken to.

mod doubts;
mod health;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::At;
use crate::keys;
use crate::origin_table::{BALANCE, HASH_BY, PROTOCOLS, PROXY_PROTOCOLS};
use crate::reader::{Reader, Section, Wrong};
use crate::rules::origin_index;
use crate::settings::plain;
use crate::yaml::{Entry, Node, Value};
use crate::{
    Balance, HashBy, OriginConfig, OriginProtocol, ProxyProtocol, QueueConfig, ResolverConfig, RetryConfig,
    ServerConfig, ServerUrl, TimeoutConfig, TlsCheck, checks, values,
};

/// What all origins of a file have in common.
struct Common<'a> {
    timeouts: TimeoutConfig,
    /// `timeouts` as written.
    general: Section<'a>,
    idle_timeout: std::time::Duration,
    listen: &'a [SocketAddr],
    files: &'a Files<'a>,
}

/// The files that an origin names.
pub(crate) struct Files<'a> {
    /// Where relative paths begin.
    pub(crate) base: &'a Path,
    /// Who looks into them.
    pub(crate) tls: TlsCheck<'a>,
}

/// An origin, and the name of its fallback, which may be one that is read later.
struct Written {
    config: OriginConfig,
    fallback: Option<(String, At)>,
}

/// `origins` and `timeouts`.
pub(crate) fn read(
    reader: &mut Reader,
    file: &Section<'_>,
    listen: &[SocketAddr],
    files: &Files<'_>,
) -> Vec<OriginConfig> {
    let general = reader.part(file, "timeouts");
    let common = Common {
        timeouts: TimeoutConfig {
            connect: reader.value(&general, "connect", values::timeout).unwrap_or_default(),
            tls: reader.value(&general, "tls", values::timeout).unwrap_or_default(),
            first_byte: reader.value(&general, "first_byte", values::timeout).unwrap_or_default(),
            between_bytes: reader.value(&general, "between_bytes", values::timeout).unwrap_or_default(),
            total: reader.value(&general, "total", values::timeout),
        },
        idle_timeout: reader.value(&general, "idle", values::timeout).unwrap_or_default(),
        listen,
        files,
        general,
    };
    doubts::general(reader, &common.general, &common.timeouts);
    let Some(entry) = file.entry("origins") else {
        if !file.misspells("origins") {
            let hint = "for example `origins: { cms: \"http://127.0.0.1:9000\" }`";
            reader.error(file.at, "`origins` is missing: there is nothing to stand before", hint);
        }
        return Vec::new();
    };
    let Some(entries) = reader.entries(&entry.node, "origins") else {
        return Vec::new();
    };
    if entries.is_empty() {
        let hint = "for example `origins: { cms: \"http://127.0.0.1:9000\" }`";
        reader.error(entry.key_at, "`origins` is empty: there is nothing to stand before", hint);
    }
    let mut origins = Vec::new();
    for entry in entries {
        if let Err(wrong) = values::name(&entry.key)
            && let Some(key) = keys::find("rules[].origin")
        {
            reader.wrong(key, entry.key_at, &entry.key, wrong);
        }
        origins.push(origin(reader, entry, &common));
    }
    fallbacks(reader, origins)
}

/// `names`.
pub(crate) fn names(reader: &mut Reader, file: &Section<'_>) -> ResolverConfig {
    let section = reader.part(file, "names");
    let names = ResolverConfig {
        servers: plain(reader.list(&section, "servers", values::name_server)),
        min_ttl: reader.value(&section, "min_ttl", values::duration).unwrap_or_default(),
        max_ttl: reader.value(&section, "max_ttl", values::timeout).unwrap_or_default(),
    };
    if names.min_ttl > names.max_ttl && !reader.has_errors() {
        let at = section.at_of(if section.entry("min_ttl").is_some() { "min_ttl" } else { "max_ttl" });
        reader.error(at, "`min_ttl` is longer than `max_ttl`", "make `min_ttl` shorter, or `max_ttl` longer");
    }
    names
}

fn origin(reader: &mut Reader, entry: &Entry, common: &Common<'_>) -> Written {
    let (name, node) = (entry.key.as_str(), &entry.node);
    let short = !matches!(node.value, Value::Map(_));
    let empty = Section::empty("origins.NAME", node.at);
    let section = if short { empty } else { reader.section(node, "origins.NAME").unwrap_or(empty) };
    let errors = reader.errors();
    let servers = servers(reader, name, short.then_some(node), &section);
    // What is said of few servers may not be true of those that are meant.
    let doubtful = reader.errors() > errors;
    checks::own_address(reader, &servers, common.listen);
    let one = servers.len() < 2;
    let protocols = [OriginProtocol::Http1, OriginProtocol::Http2, OriginProtocol::Auto];
    let proxy_protocols = [ProxyProtocol::V1, ProxyProtocol::V2];
    let config = OriginConfig {
        name: Arc::from(name),
        balance: balance(reader, &section),
        sticky: plain(reader.list(&section, "sticky", values::cookie_prefix)),
        fallback: None,
        health: health::check(reader, &section),
        eject: health::eject(reader, &section, one),
        slow_start: reader.value(&section, "slow_start", values::duration).unwrap_or_default(),
        queue: queue(reader, &section),
        retries: retries(reader, &section),
        timeouts: timeouts(reader, &section, &common.timeouts),
        idle_timeout: reader.value(&section, "idle_timeout", values::timeout).unwrap_or(common.idle_timeout),
        protocol: reader.value(&section, "protocol", values::word(PROTOCOLS, &protocols)).unwrap_or_default(),
        tls: tls::read(reader, name, &section, common.files),
        proxy_protocol: reader.value(&section, "proxy_protocol", values::word(PROXY_PROTOCOLS, &proxy_protocols)),
        header_bytes: reader.value(&section, "header_bytes", values::size).unwrap_or(512 << 10),
        host: reader.value(&section, "host", values::host),
        forwarded: reader.value(&section, "forwarded", values::boolean).unwrap_or_default(),
        servers: servers.iter().map(|(server, _)| server.clone()).collect(),
    };
    tls::hosts(reader, &servers, &config.tls);
    if !doubtful {
        doubts::tell(reader, &section, &common.general, &config, &servers);
    }
    let fallback = reader.value(&section, "fallback", values::text);
    Written { config, fallback: fallback.zip(section.entry("fallback").map(|entry| entry.node.at)) }
}

/// `servers`, or the short form of an origin, each with its place.
fn servers(reader: &mut Reader, origin: &str, short: Option<&Node>, section: &Section<'_>) -> Vec<(ServerConfig, At)> {
    let Some(key) = keys::find("origins.NAME.servers") else { return Vec::new() };
    let written = short.or(section.entry("servers").map(|entry| &entry.node));
    if let Some(Node { at, value: Value::List(items) }) = written
        && items.is_empty()
    {
        let hint = "for example `servers: [\"http://127.0.0.1:9000\"]`";
        reader.error(*at, format!("origin `{origin}` has no servers"), hint);
    }
    let of_url = |(url, at): (ServerUrl, At)| (ServerConfig { url, weight: 1, backup: false, max_connections: 0 }, at);
    let items = match (short, written.map(|node| &node.value)) {
        (Some(node), _) => {
            let urls = reader.items_as(origin, key, node, &values::server);
            return urls.into_iter().map(of_url).collect();
        }
        // Says that it is missing, or has no value.
        (None, None | Some(Value::Null)) => {
            return reader.list(section, "servers", values::server).into_iter().map(of_url).collect();
        }
        (None, Some(Value::List(items))) => items.as_slice(),
        (None, Some(Value::Scalar(_) | Value::Map(_))) => written.map_or(&[][..], std::slice::from_ref),
    };
    let mut servers = Vec::new();
    for item in items {
        let server = match item.value {
            Value::Map(_) => server(reader, item),
            _ => reader.scalar(key, item, &values::server).map(|url| of_url((url, item.at))),
        };
        servers.extend(server);
    }
    servers
}

/// `{ url, weight, backup, max_connections }`.
fn server(reader: &mut Reader, node: &Node) -> Option<(ServerConfig, At)> {
    let section = reader.section(node, "origins.NAME.servers[]")?;
    let weight = reader.value(&section, "weight", values::count(0, 1_000_000));
    let backup = reader.value(&section, "backup", values::boolean);
    let max_connections = reader.value(&section, "max_connections", values::count(0, 1_000_000));
    let url = reader.value(&section, "url", values::server)?;
    let at = section.entry("url").map_or(section.at, |entry| entry.node.at);
    let server = ServerConfig {
        url,
        weight: small(weight),
        backup: backup.unwrap_or_default(),
        max_connections: max_connections.unwrap_or_default(),
    };
    Some((server, at))
}

/// A count whose limits make it fit; after an error any will do.
fn small(count: Option<usize>) -> u32 {
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1)
}

/// `balance` and `hash`.
fn balance(reader: &mut Reader, section: &Section<'_>) -> Balance {
    let way = reader.value(section, "balance", values::word(BALANCE, BALANCE)).unwrap_or(BALANCE[0]);
    if way != "hash"
        && let Some(entry) = section.entry("hash")
    {
        let hint = "add `balance: hash`, or leave `hash` out";
        reader.error(entry.key_at, format!("`hash` does nothing with `balance: {way}`"), hint);
    }
    match way {
        "least_requests" => Balance::LeastRequests,
        "hash" => hash(reader, section),
        "first" => Balance::First,
        _ => Balance::RoundRobin,
    }
}

fn hash(reader: &mut Reader, origin: &Section<'_>) -> Balance {
    let section = reader.part(origin, "hash");
    let by = reader.value(&section, "by", values::word(HASH_BY, HASH_BY)).unwrap_or(HASH_BY[0]);
    let cookie = reader.value(&section, "cookie", values::cookie_name);
    let bound = reader.value(&section, "bound", values::percent::<u16>(100, 10_000)).unwrap_or(125);
    let by = match (by, cookie) {
        ("cookie", Some(cookie)) => HashBy::Cookie(cookie),
        ("cookie", None) => {
            if section.entry("cookie").is_none() {
                reader.error(section.at_of("by"), "`by: cookie` names no cookie", "add `cookie: NAME`");
            }
            HashBy::Key
        }
        (other, cookie) => {
            if cookie.is_some() {
                let message = format!("`cookie` does nothing with `by: {other}`");
                reader.error(section.at_of("cookie"), message, "write `by: cookie`, or leave `cookie` out");
            }
            if other == "client" { HashBy::Client } else { HashBy::Key }
        }
    };
    Balance::Hash { by, bound: u32::from(bound) }
}

fn queue(reader: &mut Reader, origin: &Section<'_>) -> QueueConfig {
    let section = reader.part(origin, "queue");
    QueueConfig {
        size: reader.value(&section, "size", values::count(0, 100_000)).unwrap_or_default(),
        timeout: reader.value(&section, "timeout", values::timeout).unwrap_or_default(),
    }
}

/// A number of tries, or a mapping.
fn retries(reader: &mut Reader, origin: &Section<'_>) -> RetryConfig {
    let empty = Section::empty("origins.NAME.retries", origin.at);
    let (short, section) = reader.short_or_part(origin, "retries").unwrap_or((None, empty));
    let tries = values::count(0, 10);
    let tries = match (short, origin.key("retries")) {
        (Some(node), Some(key)) => reader.scalar(key, node, &tries),
        _ => reader.value(&section, "tries", tries),
    };
    RetryConfig {
        tries: tries.unwrap_or(1),
        budget: reader.value(&section, "budget", values::percent(0, 100)).unwrap_or_default(),
        statuses: failures(reader, &section),
        hold: reader.value(&section, "hold", held).unwrap_or_default(),
        replay: reader.value(&section, "replay", held).unwrap_or_default(),
    }
}

/// `status` where it says what counts as a failure: each once.
fn failures(reader: &mut Reader, section: &Section<'_>) -> Vec<http::StatusCode> {
    let mut statuses = Vec::new();
    for status in plain(reader.list(section, "status", values::failures)).into_iter().flatten() {
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    statuses
}

/// What is held for each request under way.
fn held(text: &str) -> Result<u64, Wrong> {
    match values::size(text)? {
        bytes if bytes <= 16 << 20 => Ok(bytes),
        _ => Err(Wrong::because("is more than 16MiB").hint("it is memory for each request under way")),
    }
}

fn timeouts(reader: &mut Reader, section: &Section<'_>, general: &TimeoutConfig) -> TimeoutConfig {
    let mut own = |name: &str| reader.value(section, name, values::timeout);
    TimeoutConfig {
        connect: own("connect_timeout").unwrap_or(general.connect),
        tls: own("tls_timeout").unwrap_or(general.tls),
        first_byte: own("first_byte_timeout").unwrap_or(general.first_byte),
        between_bytes: own("between_bytes_timeout").unwrap_or(general.between_bytes),
        total: own("total_timeout").or(general.total),
    }
}

/// Finds each `fallback`, now that all origins are known.
fn fallbacks(reader: &mut Reader, written: Vec<Written>) -> Vec<OriginConfig> {
    let mut places = Vec::new();
    let mut origins = Vec::new();
    for Written { config, fallback } in written {
        places.push(fallback);
        origins.push(config);
    }
    let Some(key) = keys::find("origins.NAME.fallback") else { return origins };
    for (index, (name, at)) in places.iter().enumerate().filter_map(|(index, place)| Some((index, place.as_ref()?))) {
        match origin_index(name, &origins) {
            Ok(other) => origins[index].fallback = Some(other),
            Err(wrong) => reader.wrong(key, *at, name, wrong),
        }
    }
    for (index, (_, at)) in places.iter().enumerate().filter_map(|(index, place)| Some((index, place.as_ref()?))) {
        let Some(circle) = circle(index, &origins) else { continue };
        let message = match circle.as_slice() {
            [own] => format!("origin `{own}` is its own fallback"),
            others => format!("the fallbacks go round in a circle: `{}`", others.join("` → `")),
        };
        reader.error(*at, message, "an origin falls back on another one, and the last of them on none");
        // Once for each circle.
        for origin in origins.iter_mut().filter(|origin| circle.contains(&origin.name)) {
            origin.fallback = None;
        }
    }
    origins
}

/// The origins from this one back to itself.
fn circle(from: usize, origins: &[OriginConfig]) -> Option<Vec<Arc<str>>> {
    let mut way = vec![Arc::clone(&origins[from].name)];
    let mut next = origins[from].fallback?;
    while next != from && way.len() <= origins.len() {
        way.push(Arc::clone(&origins[next].name));
        next = origins[next].fallback?;
    }
    (next == from).then_some(way)
}
