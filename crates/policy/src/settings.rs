//! Reads the parts of a configuration file that are neither rules nor origins: listeners, limits, logs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::diagnostic::At;
use crate::keys;
use crate::reader::{Reader, Section, Wrong};
use crate::table::{ACCESS, LEVELS};
use crate::units::format_size;
use crate::yaml::{self, Node, Value};
use crate::{AccessLog, CacheConfig, EsiConfig, Limits, LogConfig, LogLevel, Networks, TagFrom, values};

const MAX_BODY: u64 = 64 << 20;
/// Below this nothing useful fits, and the index alone takes most of it.
const LEAST_MEMORY: u64 = 1 << 20;

/// `listen` and `admin`.
pub(crate) fn addresses(reader: &mut Reader, file: &Section<'_>) -> (Vec<SocketAddr>, Option<SocketAddr>) {
    let listen = match file.entry("listen").map(|entry| &entry.node) {
        Some(Node { value: Value::List(items), at }) => {
            if items.is_empty() {
                reader.error(*at, "`listen` is empty", "for example `listen: \"0.0.0.0:8080\"`");
            }
            items.iter().filter_map(|item| address(reader, item, "listen", "listen[]")).collect()
        }
        Some(node @ Node { value: Value::Map(_) | Value::Scalar(_), .. }) => {
            address(reader, node, "listen", "listen[]").into_iter().collect()
        }
        Some(Node { value: Value::Null, .. }) | None => reader.list(file, "listen", values::address),
    };
    let admin = file.entry("admin").and_then(|entry| address(reader, &entry.node, "admin", "admin"));
    let mut seen: Vec<(SocketAddr, At)> = Vec::new();
    for (address, at) in listen.iter().chain(&admin) {
        if let Some((_, first)) = seen.iter().find(|(other, _)| clash(*other, *address)) {
            let message = format!("the address `{address}` is used twice");
            let hint = match file.entry("listen") {
                Some(_) => format!("line {} listens there already; take another port", first.line),
                None => "Copal listens there where the file has no `listen`; take another port".to_owned(),
            };
            reader.error(*at, message, hint);
        }
        seen.push((*address, *at));
    }
    if let Some((address, at)) = admin.filter(|(address, _)| is_public(address.ip())) {
        let message = format!("strangers may reach the admin address `{address}`");
        reader.warning(
            at,
            message,
            format!("take `\"127.0.0.1:{}\"` or the address of a private network", address.port()),
        );
    }
    (listen.into_iter().map(|(address, _)| address).collect(), admin.map(|(address, _)| address))
}

/// The short form or `{ address: ... }`.
fn address(reader: &mut Reader, node: &Node, path: &str, inside: &str) -> Option<(SocketAddr, At)> {
    let read = if path == "admin" { values::admin_address } else { values::address };
    if let Value::Scalar(_) = node.value {
        return reader.scalar(keys::find(path)?, node, &read).map(|address| (address, node.at));
    }
    let section = reader.section(node, inside)?;
    let address = reader.value(&section, "address", read)?;
    Some((address, section.entry("address").map_or(section.at, |entry| entry.node.at)))
}

/// Whether both cannot be bound. Port 0 is a free port each time.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || everywhere)
}

pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// `cache`.
pub(crate) fn cache(reader: &mut Reader, file: &Section<'_>) -> CacheConfig {
    let section = reader.part(file, "cache");
    // After an error any number will do, if it leads to no other error.
    let memory = reader.value(&section, "memory", values::size).unwrap_or(u64::MAX);
    if memory < LEAST_MEMORY {
        reader.error(section.at_of("memory"), "`memory` is too small to store anything", "at least `1MiB`");
    }
    let max_body = reader.value(&section, "max_body", values::size);
    if let Some(max_body) = max_body.filter(|max_body| *max_body > memory / 2) {
        let message =
            format!("`max_body` ({}) is more than half of `memory` ({})", format_size(max_body), format_size(memory));
        reader.error(section.at_of("max_body"), message, "one response must not push out all others; raise `memory`");
    }
    CacheConfig {
        memory,
        max_body: max_body.unwrap_or(MAX_BODY.min(memory / 4)),
        max_variants: reader.value(&section, "max_variants", values::count(1, 65_536)).unwrap_or(1),
        hit_for_miss: reader.value(&section, "hit_for_miss", values::duration).unwrap_or_default(),
        heuristic: reader.value(&section, "heuristic", values::boolean).unwrap_or_default(),
        heuristic_max: reader.value(&section, "heuristic_max", values::duration).unwrap_or_default(),
        targeted: plain(reader.list(&section, "targeted", values::header_name)),
        revalidate_allow: networks(reader, &section, "revalidate_allow"),
        max_key_body: reader.value(&section, "max_key_body", key_body).unwrap_or_default(),
        tag_headers: plain(reader.list(&section, "tag_headers", values::header_name)),
        tag_from: tag_from(reader, &section),
        hide_headers: plain(reader.list(&section, "hide_headers", values::header_name)),
    }
}

/// `cache.tag_from`.
fn tag_from(reader: &mut Reader, section: &Section<'_>) -> Vec<TagFrom> {
    let Some(key) = keys::find("cache.tag_from") else { return Vec::new() };
    let default = if let keys::Default::Is(text) = key.default { yaml::parse(text).0 } else { None };
    let Some(node) = section.entry("tag_from").map(|entry| entry.node.clone()).or(default) else { return Vec::new() };
    let mut all = Vec::new();
    for entry in reader.entries(&node, "cache.tag_from").unwrap_or_default() {
        let name =
            values::header_name(&entry.key).map_err(|wrong| reader.wrong_name(key, entry.key_at, &entry.key, wrong));
        let around = reader.scalar(key, &entry.node, &around);
        if let (Ok(header), Some(around)) = (name, around) {
            all.push(TagFrom { header, around });
        }
    }
    all
}

/// `pageId_*`: what stands before and behind the value.
fn around(text: &str) -> Result<(String, String), Wrong> {
    match text.split_once('*') {
        Some((before, behind)) if !behind.contains('*') => Ok((before.to_owned(), behind.to_owned())),
        _ => Err(Wrong::because("has not exactly one `*`").hint("`*` stands for the field's value: `page-*`")),
    }
}

/// A body in the key is held and hashed before anything else happens.
fn key_body(text: &str) -> Result<u64, Wrong> {
    match values::size(text)? {
        bytes if bytes <= 1 << 20 => Ok(bytes),
        _ => Err(Wrong::because("is more than 1MiB")),
    }
}

/// `purge.allow`, `cache.revalidate_allow`, `esi.debug_allow` or `trusted_proxies`.
pub(crate) fn networks(reader: &mut Reader, section: &Section<'_>, name: &str) -> Networks {
    let mut networks = Networks::default();
    for (text, at) in reader.list(section, name, values::network) {
        let mut range = Networks::default();
        // Read once already, so this cannot fail.
        let _ = range.add(&text);
        if range.has_whole_family() {
            let (message, hint) = match name {
                "allow" => {
                    ("lets everybody purge", "name the machines that may: `127.0.0.0/8`, the site's own servers")
                }
                "debug_allow" => (
                    "shows everybody how pages are made",
                    "name your own machines: `127.0.0.0/8`, the office's network",
                ),
                "revalidate_allow" => (
                    "lets every visitor make Copal ask the origin",
                    "name your own machines; to honour everybody's directives, say so in a rule: `request_directives: honour`",
                ),
                _ => ("trusts everybody: any client can claim any address", "name your own proxies only"),
            };
            reader.warning(at, format!("`{text}` {message}"), hint);
        }
        networks.extend(&range);
    }
    networks
}

/// `esi`.
pub(crate) fn esi(reader: &mut Reader, file: &Section<'_>) -> EsiConfig {
    let section = reader.part(file, "esi");
    let depth = reader.value(&section, "max_depth", values::count(1, 32)).unwrap_or(1);
    EsiConfig {
        max_depth: u32::try_from(depth).unwrap_or(1),
        max_includes: reader.value(&section, "max_includes", values::count(1, 65_536)).unwrap_or(1),
        max_concurrent: reader.value(&section, "max_concurrent", values::count(1, 1024)).unwrap_or(1),
        fragment_timeout: reader.value(&section, "fragment_timeout", values::timeout).unwrap_or_default(),
        hold: reader.value(&section, "hold", values::duration).unwrap_or_default(),
        page_timeout: reader.value(&section, "page_timeout", values::timeout).unwrap_or_default(),
        max_bytes: reader.value(&section, "max_bytes", values::size).unwrap_or(u64::MAX),
        max_concurrent_total: reader.value(&section, "max_concurrent_total", values::count(1, 1_000_000)).unwrap_or(1),
        debug_allow: networks(reader, &section, "debug_allow"),
    }
}

/// `limits`.
pub(crate) fn limits(reader: &mut Reader, file: &Section<'_>) -> Limits {
    let section = reader.part(file, "limits");
    Limits {
        header_bytes: reader.value(&section, "header_bytes", head_size).unwrap_or_default(),
        headers: reader.value(&section, "headers", values::count(1, 10_000)).unwrap_or(1),
        header_timeout: reader.value(&section, "header_timeout", values::timeout).unwrap_or_default(),
        keep_alive_timeout: reader.value(&section, "keep_alive_timeout", values::timeout).unwrap_or_default(),
        connections: reader.value(&section, "connections", values::count(1, 10_000_000)).unwrap_or(1),
        upgrade_idle: reader.value(&section, "upgrade_idle", values::timeout).unwrap_or_default(),
    }
}

/// Below 8 KiB ordinary browsers fail.
fn head_size(text: &str) -> Result<usize, Wrong> {
    let bytes = values::size(text)?;
    match usize::try_from(bytes) {
        Ok(bytes) if (8 << 10..=16 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(Wrong::because("is not between 8KiB and 16MiB")),
    }
}

/// `log`.
pub(crate) fn log(reader: &mut Reader, file: &Section<'_>) -> LogConfig {
    use LogLevel::{Debug, Error, Info, Trace, Warn};
    let section = reader.part(file, "log");
    let forms = [AccessLog::Combined, AccessLog::Json, AccessLog::Off];
    let levels = [Error, Warn, Info, Debug, Trace];
    LogConfig {
        access: reader.value(&section, "access", values::word(ACCESS, &forms)).unwrap_or(AccessLog::Off),
        path: reader.value(&section, "path", values::text).map(PathBuf::from),
        level: reader.value(&section, "level", values::word(LEVELS, &levels)).unwrap_or(Info),
    }
}

/// The values without their places.
pub(crate) fn plain<T>(values: Vec<(T, At)>) -> Vec<T> {
    values.into_iter().map(|(value, _)| value).collect()
}
