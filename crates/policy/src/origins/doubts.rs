//! What works in an origin's keys, but not as somebody meant it.

use crate::diagnostic::At;
use crate::reader::{Reader, Section};
use crate::units::format_duration;
use crate::yaml::Value;
use crate::{OriginConfig, OriginProtocol, ServerConfig, ServerUrl, TimeoutConfig, timeouts};

/// More servers than this do not all fail one request: that a spare behind them is not asked is no surprise.
const FEW: usize = 3;

/// Tells all of it; `general` is the file's `timeouts`.
pub(super) fn tell(
    reader: &mut Reader,
    section: &Section<'_>,
    general: &Section<'_>,
    origin: &OriginConfig,
    servers: &[(ServerConfig, At)],
) {
    if servers.is_empty() {
        // That is an error already.
        return;
    }
    shares(reader, section, origin);
    twice(reader, servers);
    alone(reader, section, origin);
    queue(reader, section, origin);
    protocol(reader, section, origin);
    limits(reader, section, general, origin);
    spare(reader, section, origin);
}

/// What of the file's `timeouts` contradicts itself, whatever origins there are.
pub(super) fn general(reader: &mut Reader, section: &Section<'_>, limits: &TimeoutConfig) {
    if let (Some(entry), Some(total)) = (section.entry("first_byte"), limits.total) {
        let first_byte = ("`timeouts.first_byte`", limits.first_byte);
        timeouts::never(reader, entry.key_at, first_byte, ("`timeouts.total`", total));
    }
}

fn shares(reader: &mut Reader, section: &Section<'_>, origin: &OriginConfig) {
    let at = section.at_of("servers");
    let name = &origin.name;
    if origin.servers.iter().all(|server| server.weight == 0) {
        let message = format!("every server of `{name}` has weight 0: none would get a request");
        reader.error(at, message, "give one of them a weight; `copal origins drain` takes one out for a while");
        return;
    }
    let weighs: Vec<_> = origin.servers.iter().filter(|server| server.weight > 0).collect();
    let all_weigh = weighs.len() == origin.servers.len();
    if weighs.iter().all(|server| server.backup) {
        let which = if all_weigh { "" } else { " that weighs something" };
        let message = format!("every server of `{name}`{which} is a backup, and none is there to stand in for");
        reader.warning(at, message, "leave `backup` out of those that are to be used first");
    } else if !all_weigh && let [only] = weighs[..] {
        let only = only.url.name();
        let message = format!(
            "all requests of `{name}` but those of sessions go to `{only}`: a server of weight 0 does not stand in for it"
        );
        reader.warning(at, message, "`backup: true` with a weight makes a reserve");
    }
}

fn twice(reader: &mut Reader, servers: &[(ServerConfig, At)]) {
    for (place, (server, at)) in servers.iter().enumerate() {
        let name = server.url.name();
        if let Some((_, first)) = servers[..place].iter().find(|(other, _)| other.url.name() == name) {
            let message = format!("the server `{name}` stands twice");
            let hint = format!("it stands on line {} already; a larger share is a `weight`", first.line);
            reader.warning(*at, message, hint);
        }
    }
}

/// What needs another server.
fn alone(reader: &mut Reader, section: &Section<'_>, origin: &OriginConfig) {
    if origin.servers.len() > 1 {
        return;
    }
    let given = [
        ("balance", origin.balance != crate::Balance::RoundRobin),
        ("sticky", !origin.sticky.is_empty()),
        ("eject", origin.eject.is_some()),
        ("slow_start", !origin.slow_start.is_zero()),
    ];
    for (key, says_something) in given {
        if let Some(entry) = section.entry(key).filter(|_| says_something) {
            let message = format!("`{key}` does nothing: `{}` has one server", origin.name);
            reader.warning(entry.key_at, message, "leave it out, or add a server");
        }
    }
}

fn queue(reader: &mut Reader, section: &Section<'_>, origin: &OriginConfig) {
    let Some(entry) = section.entry("queue") else { return };
    let limited = origin.servers.iter().any(|server| server.max_connections > 0);
    if !limited {
        let message = "`queue` does nothing: no server has `max_connections`, so no request waits for one";
        reader.warning(
            entry.key_at,
            message,
            "for example `servers: [{ url: \"http://10.0.0.5:9000\", max_connections: 64 }]`",
        );
    } else if origin.queue.size == 0 {
        let message = "no request waits: with `max_connections` reached the next one is refused at once";
        reader.warning(entry.key_at, message, "a short queue takes the peaks: `queue: { size: 16, timeout: 1s }`");
    }
}

fn protocol(reader: &mut Reader, section: &Section<'_>, origin: &OriginConfig) {
    let secure = origin.servers.iter().filter(|server| server.url.is_tls()).count();
    let at = section.at_of("protocol");
    match origin.protocol {
        OriginProtocol::Http2 if secure < origin.servers.len() => {
            let plain = |url: &&ServerUrl| !url.is_tls();
            let url = origin.servers.iter().map(|server| &server.url).find(plain).map(ToString::to_string);
            let message = format!("`{}` is spoken to in HTTP/2 by prior knowledge", url.unwrap_or_default());
            let hint = "right only where that server takes HTTP/2 without TLS; if it does not, every request fails";
            reader.warning(at, message, hint);
        }
        OriginProtocol::Auto if secure == 0 => {
            let hint = "without TLS nothing is negotiated: write `http2` where the servers take it, or leave it out";
            reader.warning(at, "`protocol: auto` means HTTP/1.1 here, as no server is `https`", hint);
        }
        OriginProtocol::Http1 | OriginProtocol::Http2 | OriginProtocol::Auto => {}
    }
    if let Some(entry) = section.entry("tls").filter(|_| secure == 0) {
        reader.warning(entry.key_at, "`tls` does nothing: no server of this origin is `https`", "write `https://…`");
    }
}

/// A wait for the first byte that is longer than all of it may take.
fn limits(reader: &mut Reader, section: &Section<'_>, general: &Section<'_>, origin: &OriginConfig) {
    let limits = &origin.timeouts;
    let Some(total) = limits.total.filter(|total| limits.first_byte > *total) else { return };
    let (own_first, own_total) = (section.entry("first_byte_timeout"), section.entry("total_timeout"));
    let by_default = own_first.is_none() && general.entry("first_byte").is_none();
    let own = own_first.or(own_total);
    let first_name = own_first.map_or("`timeouts.first_byte`", |_| "`first_byte_timeout`");
    let total_name = own_total.map_or("`timeouts.total`", |_| "`total_timeout`");
    match own.map(|entry| entry.key_at) {
        Some(at) if !by_default => {
            timeouts::never(reader, at, (first_name, limits.first_byte), (total_name, total));
        }
        // That was told at `timeouts`.
        None if !by_default => {}
        // What is no harm to one server takes the others their turn.
        place if origin.servers.len() > 1 && origin.retries.tries > 0 => {
            let (shown, whole) = (format_duration(limits.first_byte), format_duration(total));
            let message = format!(
                "{first_name} ({shown}) is longer than {total_name} ({whole}): no other server is asked when one is silent"
            );
            let tries = u32::try_from(origin.retries.tries).unwrap_or(u32::MAX).saturating_add(1);
            let share = format_duration(total / tries);
            let hint = format!("`first_byte_timeout` below {share} leaves time for each of the {tries} tries");
            reader.warning(place.unwrap_or_else(|| general.at_of("total")), message, hint);
        }
        Some(_) | None => {}
    }
}

/// A spare that a request does not come to: told where somebody wrote how often it is sent.
fn spare(reader: &mut Reader, section: &Section<'_>, origin: &OriginConfig) {
    let Some(retries) = section.entry("retries") else { return };
    let at = match &retries.node.value {
        Value::Scalar(_) => Some(retries.node.at),
        Value::Map(entries) => entries.iter().find(|entry| entry.key == "tries").map(|entry| entry.node.at),
        Value::List(_) | Value::Null => None,
    };
    let spare = origin.servers.iter().find(|server| server.backup);
    let others = origin.servers.iter().filter(|server| !server.backup).count();
    let tries = origin.retries.tries;
    if let (Some(at), Some(spare)) = (at, spare)
        && (1..others).contains(&tries)
        && others <= FEW
    {
        let spare = spare.url.name();
        let message = format!(
            "`tries` is {tries}: where the {others} servers take a request and break off, `{spare}` (`backup`) is not asked"
        );
        reader.warning(at, message, format!("write {others}, one for each server that may fail"));
    }
}
