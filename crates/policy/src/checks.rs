//! What only shows when the configuration and all its policies are side by side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::diagnostic::At;
use crate::glob::NameGlob;
use crate::load::{DEFAULT, Part};
use crate::matcher::HostGlob;
use crate::reader::Reader;
use crate::rules::Written;
use crate::units::format_size;
use crate::{OriginConfig, RuleSource, ServerConfig, ServerUrl};

/// A cookie cannot be the visitor's own and part of a key that visitors share.
pub(crate) fn key_cookies(parts: &mut [Part]) {
    let sessions = all_sessions(parts);
    for part in parts {
        for (glob, at) in part.rules.iter().flat_map(|written| &written.cookies.keyed) {
            let Some(session) = sessions.iter().find(|session| session.overlaps(glob)) else {
                continue;
            };
            let (key, session) = (glob.as_str(), session.as_str());
            let hint = "a request with a session cookie is never looked up; leave one of them out";
            if glob.exact().is_some() || key == session {
                part.reader.error(*at, format!("`{key}` is in the key and fits the session cookie `{session}`"), hint);
            } else {
                let message = format!("`{key}` in the key can fit the same cookie as the session cookie `{session}`");
                part.reader.warning(*at, message, hint);
            }
        }
    }
}

/// A response that begins a session is never stored, so its cookie cannot be stripped for that. A cookie that a policy strips may
/// well be a session by the word of the configuration, which wins.
pub(crate) fn stripped(parts: &mut [Part]) {
    let all = all_sessions(parts);
    for (place, part) in parts.iter_mut().enumerate() {
        let sessions = sessions_for(place, part, &all);
        for (glob, at) in part.rules.iter().flat_map(|written| &written.cookies.stripped) {
            let Some(session) = sessions.iter().find(|session| session.overlaps(glob)) else {
                continue;
            };
            let (stripped, session) = (glob.as_str(), session.as_str());
            let hint = "a response that sets a session cookie is never stored; leave one of them out";
            if glob.exact().is_some() || stripped == session {
                let message = format!("`{stripped}` is stripped and fits the session cookie `{session}`");
                part.reader.error(*at, message, hint);
            } else {
                let message = format!("`{stripped}` can fit the same cookie as the session cookie `{session}`");
                part.reader.warning(*at, message, hint);
            }
        }
    }
}

/// A request with a session cookie is not asked without it, so there is nothing to ask again.
pub(crate) fn asked_again(parts: &mut [Part]) {
    let all = all_sessions(parts);
    for (place, part) in parts.iter_mut().enumerate() {
        let sessions = sessions_for(place, part, &all);
        for (glob, at) in part.rules.iter().flat_map(|written| &written.cookies.again) {
            let Some(session) = sessions.iter().find(|session| session.overlaps(glob)) else { continue };
            let message = format!(
                "`ask_again_with` names `{}`, which fits the session cookie `{}`",
                glob.as_str(),
                session.as_str()
            );
            part.reader.warning(
                *at,
                message,
                "a request with a session cookie bypasses the cache, so this does nothing",
            );
        }
    }
}

/// A session cookie on an ignore list does nothing there. What a policy ignores may be a session by the word of the configuration.
pub(crate) fn ignored(parts: &mut [Part]) {
    let all = all_sessions(parts);
    for (place, part) in parts.iter_mut().enumerate() {
        let sessions = sessions_for(place, part, &all);
        for (glob, at) in &part.ignored {
            let Some(name) = glob.exact() else { continue };
            if let Some(session) = sessions.iter().find(|session| session.matches(name)) {
                let message = format!("`{name}` is ignored and fits the session cookie `{}`", session.as_str());
                part.reader.warning(*at, message, "session cookies win, so this does nothing");
            }
        }
    }
}

/// The session cookies that the author of a part knows of: of the configuration, which comes first, all; of a policy its own.
fn sessions_for(place: usize, part: &Part, all: &[NameGlob]) -> Vec<NameGlob> {
    if place == 0 { all.to_vec() } else { part.sessions.iter().map(|(cookie, _)| cookie.glob.clone()).collect() }
}

fn all_sessions(parts: &[Part]) -> Vec<NameGlob> {
    parts.iter().flat_map(|part| part.sessions.iter().map(|(cookie, _)| cookie.glob.clone())).collect()
}

/// Rules after one that fits every request. That the default policy is not reached is no finding.
pub(crate) fn unreachable(parts: &mut [Part]) {
    let Some(place) = parts.iter().position(|part| part.rules.iter().any(catches_all)) else {
        return;
    };
    let later: Vec<String> =
        parts[place + 1..].iter().filter(|part| !part.rules.is_empty()).filter_map(|part| part.name.clone()).collect();
    let part = &mut parts[place];
    let Some(index) = part.rules.iter().position(catches_all) else {
        return;
    };
    let (name, line, at) = (part.rules[index].rule.name.clone(), part.rules[index].at.line, part.rules[index].at);
    for hidden in &part.rules[index + 1..] {
        let message = format!("rule `{}` is never reached", hidden.rule.name);
        part.reader.warning(
            hidden.at,
            message,
            format!("rule `{name}` on line {line} fits every request; put it last"),
        );
    }
    for policy in later.iter().filter(|policy| *policy != DEFAULT) {
        let message = format!("rule `{name}` fits every request, so no rule of policy `{policy}` is ever reached");
        part.reader.warning(at, message, "give it a `match`, or leave the policy out");
    }
}

/// A rule whose `match` has an error in it may be meant for little.
fn catches_all(written: &Written) -> bool {
    !written.doubtful && written.rule.matcher.is_catch_all()
}

/// A slice is stored as one body.
pub(crate) fn slices(parts: &mut [Part], max_body: u64) {
    for part in parts {
        for Written { rule, slice: at, .. } in &part.rules {
            let size = rule.cache().and_then(|cache| cache.slice).filter(|size| *size > max_body);
            if let (Some(size), Some(at)) = (size, at) {
                let (shown, limit) = (format_size(size), format_size(max_body));
                let message =
                    format!("`slice` ({shown}) is larger than `cache.max_body` ({limit}): no such slice is stored");
                part.reader.warning(*at, message, "make slices smaller, or raise `cache.max_body`");
            }
        }
    }
}

/// Servers that stand in for each other, and nothing for when none of them can: told at the first rule that stores their pages.
/// The default policy serves stale when an origin fails.
pub(crate) fn grace(parts: &mut [Part], origins: &[OriginConfig]) {
    let several = |origin: &OriginConfig| origin.servers.len() > 1 || origin.fallback.is_some();
    for (index, origin) in origins.iter().enumerate().filter(|(_, origin)| several(origin)) {
        let caches = |written: &Written| {
            let rule = &written.rule;
            rule.origin == index && rule.source != RuleSource::Default && rule.cache().is_some()
        };
        if parts.iter().flat_map(|part| &part.rules).any(|written| caches(written) && written.says_stale) {
            continue;
        }
        let first = parts.iter_mut().find_map(|part| {
            let written = part.rules.iter().find(|written| caches(written))?;
            Some((&mut part.reader, written))
        });
        if let Some((reader, Written { rule, at, .. })) = first {
            let message = format!(
                "no rule that caches what `{}` answers has `grace`: while its servers are down, what is past its lifetime is not served",
                origin.name
            );
            let hint =
                format!("for example `grace: 6h` in `cache` of rule `{}`; `grace: 0` if that is meant", rule.name);
            reader.warning(*at, message, hint);
        }
    }
}

/// A host that pages may include from, and that no rule is for.
pub(crate) fn esi_hosts(parts: &mut [Part]) {
    let named: Vec<HostGlob> =
        parts.iter().flat_map(|part| &part.rules).flat_map(|written| written.rule.matcher.hosts.clone()).collect();
    for part in parts {
        for Written { rule, at, .. } in &part.rules {
            let without_rule = rule.esi_options.hosts.iter().find(|host| !named.iter().any(|rule| rule.overlaps(host)));
            if let Some(host) = without_rule {
                let (name, host) = (&rule.name, host.as_str());
                let message = format!("rule `{name}`: pages may include from `{host}`, and no rule is for that host");
                let hint = format!(
                    "its fragments are asked of the origin that any request is: add a rule `match: {{ host: \"{host}\" }}` with its `origin`"
                );
                part.reader.warning(*at, message, hint);
            }
        }
    }
}

/// A server of an origin that is Copal itself.
pub(crate) fn own_address(reader: &mut Reader, servers: &[(ServerConfig, At)], listen: &[SocketAddr]) {
    for (server, at) in servers {
        if let Some(own) = listen.iter().find(|address| reaches(&server.url, **address)) {
            let message = format!("the server is Copal's own address: `listen` has `{own}`");
            reader.warning(*at, message, "requests would go round in a circle; give the address of the site behind");
        }
    }
}

/// Whether the URL leads to this listening address, as far as that shows without looking names up.
fn reaches(server: &ServerUrl, listen: SocketAddr) -> bool {
    let Some(authority) = server.authority() else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    let hosts = match host.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Err(_) => Vec::new(),
    };
    let everywhere = |ip: &IpAddr| listen.ip().is_unspecified() && listen.is_ipv4() == ip.is_ipv4() && ip.is_loopback();
    server.port() == Some(listen.port()) && hosts.iter().any(|ip| *ip == listen.ip() || everywhere(ip))
}
