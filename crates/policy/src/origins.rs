//! Reads `origins`: the servers that Copal stands before, and how they are spoken to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::keys;
use crate::reader::{Reader, Section, Wrong};
use crate::rules::origin_index;
use crate::yaml::{Entry, Node, Value};
use crate::{OriginConfig, checks, values};

/// `origins` and `timeouts`.
pub(crate) fn read(reader: &mut Reader, file: &Section<'_>, listen: &[SocketAddr]) -> Vec<OriginConfig> {
    let timeouts = timeouts(reader, file);
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
        origins.push(origin(reader, &entry.key, &entry.node, timeouts, listen));
    }
    fallbacks(reader, entries, &mut origins);
    origins
}

/// `fallback` of each origin, once all of them are known.
fn fallbacks(reader: &mut Reader, entries: &[Entry], origins: &mut [OriginConfig]) {
    let mut places = vec![None; origins.len()];
    for (index, entry) in entries.iter().enumerate() {
        let Value::Map(keys) = &entry.node.value else { continue };
        let Some(fallback) = keys.iter().find(|entry| entry.key == "fallback") else { continue };
        let Some(key) = keys::find("origins.NAME.fallback") else { continue };
        if let Some(other) = reader.scalar(key, &fallback.node, &|text: &str| origin_index(text, origins)) {
            origins[index].fallback = Some(other);
            places[index] = Some(fallback.node.at);
        }
    }
    for (index, place) in places.iter().enumerate() {
        let Some(at) = *place else { continue };
        let Some(circle) = circle(index, origins) else { continue };
        let message = match circle.as_slice() {
            [own] => format!("origin `{own}` is its own fallback"),
            others => format!("the fallbacks go round in a circle: `{}`", others.join("` → `")),
        };
        reader.error(at, message, "an origin falls back on another one, and the last of them on none");
        // Once for each circle.
        for origin in origins.iter_mut().filter(|origin| circle.contains(&origin.name)) {
            origin.fallback = None;
        }
    }
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

/// connect, first byte, between bytes, idle.
type Timeouts = [Duration; 4];
const TIMEOUTS: [(&str, &str); 4] = [
    ("connect", "connect_timeout"),
    ("first_byte", "first_byte_timeout"),
    ("between_bytes", "between_bytes_timeout"),
    ("idle", "idle_timeout"),
];

fn timeouts(reader: &mut Reader, file: &Section<'_>) -> Timeouts {
    let section = reader.part(file, "timeouts");
    TIMEOUTS.map(|(name, _)| reader.value(&section, name, values::timeout).unwrap_or_default())
}

fn origin(reader: &mut Reader, name: &str, node: &Node, timeouts: Timeouts, listen: &[SocketAddr]) -> OriginConfig {
    let short = matches!(node.value, Value::Scalar(_) | Value::List(_) | Value::Null);
    let empty = Node { at: node.at, value: Value::Null };
    let section = reader.section(if short { &empty } else { node }, "origins.NAME");
    let servers = match &section {
        Some(section) if !short => reader.list(section, "servers", values::server),
        _ => keys::find("origins.NAME.servers")
            .map(|key| reader.items_as(name, key, node, &values::server))
            .unwrap_or_default(),
    };
    checks::own_address(reader, &servers, listen);
    let list = if short { Some(node) } else { section.as_ref().and_then(|s| s.entry("servers")).map(|e| &e.node) };
    if let Some(Node { at, value: Value::List(items) }) = list
        && items.is_empty()
    {
        reader.error(
            *at,
            format!("origin `{name}` has no servers"),
            "for example `servers: [\"http://127.0.0.1:9000\"]`",
        );
    }
    let [connect_timeout, first_byte_timeout, between_bytes_timeout, idle_timeout] = std::array::from_fn(|index| {
        let own = section.as_ref().and_then(|section| reader.value(section, TIMEOUTS[index].1, values::timeout));
        own.unwrap_or(timeouts[index])
    });
    let section = section.as_ref();
    OriginConfig {
        name: Arc::from(name),
        fallback: None,
        servers: servers.into_iter().map(|(uri, _)| uri).collect(),
        connect_timeout,
        first_byte_timeout,
        between_bytes_timeout,
        idle_timeout,
        retries: section.and_then(|s| reader.value(s, "retries", values::count(0, 10))).unwrap_or(1),
        header_bytes: section.and_then(|s| reader.value(s, "header_bytes", values::size)).unwrap_or(512 << 10),
        host: section.and_then(|s| reader.value(s, "host", host)),
    }
}

fn host(text: &str) -> Result<String, Wrong> {
    match text.parse::<http::uri::Authority>() {
        Ok(authority) if !authority.as_str().contains('@') => Ok(text.to_owned()),
        _ => Err(Wrong::because("is no host").hint("write `www.example.org`, with a port if it needs one")),
    }
}
