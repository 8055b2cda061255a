//! Reads what a rule does: exactly one of `cache`, `pass`, `respond`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::diagnostic::At;
use crate::glob::NameGlob;
use crate::keys;
use crate::names::NameSet;
use crate::reader::{Read, Reader, Section, Wrong};
use crate::settings::plain;
use crate::shipped::MARKETING;
use crate::table::{OVERRIDES, REQUEST_DIRECTIVES};
use crate::units::format_duration;
use crate::yaml::{Node, Value};
use crate::{
    Action, CacheRule, KeyRule, Overrides, Parameters, QueryRule, RequestDirectivesMode, RespondRule, storing, values,
};

const ACTIONS: [&str; 3] = ["cache", "pass", "respond"];

/// The cookies that a rule names, with their places.
#[derive(Debug, Default)]
pub(crate) struct NamedCookies {
    /// Those that it keys by.
    pub(crate) keyed: Vec<(NameGlob, At)>,
    /// Those that are taken off responses.
    pub(crate) stripped: Vec<(NameGlob, At)>,
    pub(crate) again: Vec<(NameGlob, At)>,
}

/// The action of a rule, and the cookies that it names. `None` after an error.
pub(crate) fn read(
    reader: &mut Reader,
    rule: &Section<'_>,
    name: Option<&str>,
    at: At,
) -> (Option<Action>, NamedCookies) {
    let name = name.unwrap_or("?");
    let given: Vec<&str> = ACTIONS.into_iter().filter(|action| rule.entry(action).is_some()).collect();
    match given.as_slice() {
        [] if ACTIONS.iter().any(|action| rule.misspells(action)) => {}
        [] => {
            let hint = "add one of `cache: { ttl: 1h }`, `pass: true`, `respond: { status: 403 }`";
            reader.error(at, format!("rule `{name}` says nothing to do"), hint);
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("rule `{name}` has two actions, `{first}` and `{second}`");
            reader.error(rule.at_of(second), message, "a rule does one thing; make two rules");
        }
    }
    let mut cookies = NamedCookies::default();
    let mut action = None;
    if let Some(entry) = rule.entry("cache") {
        action = cache(reader, rule, &entry.node, name, &mut cookies).map(|cache| Action::Cache(Box::new(cache)));
    }
    if rule.entry("pass").is_some() {
        action = reader.value(rule, "pass", pass);
    }
    if rule.entry("respond").is_some() {
        action = respond(reader, rule).map(Action::Respond);
    }
    (action, cookies)
}

fn pass(text: &str) -> Read<Action> {
    match values::boolean(text) {
        Ok(true) => Ok(Action::Pass),
        Ok(false) => Err(Wrong::PLAIN.hint("write `cache: {}` to let it be stored")),
        Err(wrong) => Err(wrong),
    }
}

fn cache(
    reader: &mut Reader,
    rule: &Section<'_>,
    node: &Node,
    name: &str,
    cookies: &mut NamedCookies,
) -> Option<CacheRule> {
    if let Value::Scalar(text) = &node.value {
        let hint = if text == "false" { "write `pass: true`" } else { "write `cache: {}`, or `cache: { ttl: 1h }`" };
        reader.error(node.at, format!("`cache` must be a mapping, not `{text}`"), hint);
        return None;
    }
    let section = reader.subsection(rule, "cache")?;
    let (storing, stripped, again) = storing::read(reader, &section);
    (cookies.stripped, cookies.again) = (stripped, again);
    let mut duration = |name: &str| reader.value(&section, name, values::duration);
    let cache = CacheRule {
        ttl: duration("ttl"),
        default_ttl: duration("default_ttl"),
        min_ttl: duration("min_ttl"),
        max_ttl: duration("max_ttl"),
        grace: duration("grace").unwrap_or_default(),
        status_ttl: status_ttl(reader, &section),
        key: key(reader, &section, &mut cookies.keyed),
        client_cache_control: client_cache_control(reader, &section),
        overrides: overrides(reader, &section, name),
        stale_if_error: duration_or_zero(reader, &section, "stale_if_error"),
        failure_ttl: reader.value(&section, "failure_ttl", failure_ttl).unwrap_or_default(),
        jitter: reader.value(&section, "jitter", values::percent(0, 90)).unwrap_or_default(),
        request_directives: reader.value(&section, "request_directives", directives()).unwrap_or_default(),
        ttl_headers: plain(reader.list(&section, "ttl_headers", values::header_name)),
        slice: reader.value(&section, "slice", slice),
        no_vary_search: reader.value(&section, "no_vary_search", values::boolean).unwrap_or_default(),
        early_hints: reader.value(&section, "early_hints", values::boolean).unwrap_or_default(),
        // The rule's `match` says which.
        body_methods: Vec::new(),
        storing,
    };
    check_lifetimes(reader, &section, &cache);
    Some(cache)
}

/// Longer than that nobody wants to wait for a site that is back.
fn failure_ttl(text: &str) -> Read<Duration> {
    match values::duration(text)? {
        duration if duration <= Duration::from_secs(3600) => Ok(duration),
        _ => Err(Wrong::because("is more than 1h")),
    }
}

/// The directives that clients know (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
const CLIENTS_KNOW: [&str; 12] = [
    "max-age",
    "s-maxage",
    "no-cache",
    "no-store",
    "no-transform",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "private",
    "public",
    "immutable",
    "stale-while-revalidate",
];

/// Any directive is allowed, as there may be new ones; one that is nearly a known one is a slip.
fn client_cache_control(reader: &mut Reader, section: &Section<'_>) -> Option<HeaderValue> {
    let value = reader.value(section, "client_cache_control", values::header_value)?;
    let names = value.to_str().unwrap_or_default().split(',');
    for name in names.map(|directive| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase()) {
        if let Some(known) = keys::misspelt(&name, &CLIENTS_KNOW) {
            let message = format!("`{name}` is no directive that clients know");
            reader.warning(section.at_of("client_cache_control"), message, format!("did you mean `{known}`?"));
        }
    }
    Some(value)
}

fn duration_or_zero(reader: &mut Reader, section: &Section<'_>, name: &str) -> Duration {
    reader.value(section, name, values::duration).unwrap_or_default()
}

fn directives() -> impl Fn(&str) -> Read<RequestDirectivesMode> {
    use RequestDirectivesMode::{Harmless, Honour, Ignore};
    values::word(REQUEST_DIRECTIVES, &[Ignore, Harmless, Honour])
}

/// Smaller slices cost more than they bring; larger ones are no longer slices.
fn slice(text: &str) -> Read<u64> {
    match values::size(text)? {
        bytes if (64 << 10..=64 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(Wrong::because("is not between 64KiB and 64MiB").hint("`4MiB` suits most")),
    }
}

/// Lifetimes that contradict each other.
fn check_lifetimes(reader: &mut Reader, section: &Section<'_>, cache: &CacheRule) {
    let pairs = [
        ("ttl", cache.ttl, "max_ttl", cache.max_ttl),
        ("default_ttl", cache.default_ttl, "max_ttl", cache.max_ttl),
        ("min_ttl", cache.min_ttl, "max_ttl", cache.max_ttl),
        ("min_ttl", cache.min_ttl, "ttl", cache.ttl),
    ];
    for (low, low_value, high, high_value) in pairs {
        if let (Some(low_value), Some(high_value)) = (low_value, high_value)
            && low_value > high_value
        {
            let (shown, limit) = (format_duration(low_value), format_duration(high_value));
            let message = format!("`{low}` ({shown}) is longer than `{high}` ({limit})");
            reader.error(section.at_of(low), message, format!("shorten `{low}` or leave `{high}` out"));
        }
    }
    if cache.ttl.is_some() && cache.default_ttl.is_some() {
        let message = "`default_ttl` does nothing beside `ttl`";
        reader.warning(
            section.at_of("default_ttl"),
            message,
            "`ttl` holds whatever the origin states; keep one of them",
        );
    }
}

fn status_ttl(reader: &mut Reader, section: &Section<'_>) -> Vec<(u16, Duration)> {
    let mut all = Vec::new();
    for_pairs(reader, section, "status_ttl", "rules[].cache.status_ttl", |reader, key, text, at, node| {
        let status = values::status(text).map_err(|wrong| reader.wrong_name(key, at, text, wrong));
        let ttl = reader.scalar(key, node, &values::duration);
        if let (Ok(status), Some(ttl)) = (status, ttl) {
            if matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT) {
                let message = format!("a response with status {} is never stored", status.as_u16());
                reader.error(at, message, "leave it out");
            }
            all.push((status.as_u16(), ttl));
        }
    });
    all
}

fn key(reader: &mut Reader, cache: &Section<'_>, cookies: &mut Vec<(NameGlob, At)>) -> KeyRule {
    let Some(section) = reader.subsection(cache, "key") else {
        return KeyRule::default();
    };
    let (query, sort_query) = query(reader, &section);
    let headers = plain(reader.list(&section, "headers", key_header));
    *cookies = reader.list(&section, "cookies", values::name_glob);
    let cookies = NameSet::new(cookies.iter().map(|(glob, _)| glob.clone()));
    KeyRule { query, sort_query, headers, cookies }
}

fn key_header(text: &str) -> Read<HeaderName> {
    match values::header_name(text)? {
        name if name == COOKIE => {
            Err(Wrong::because("differs for each visitor").hint("name single cookies: `cookies: [lang]`"))
        }
        name if name == HOST => Err(Wrong::because("is in the key already").hint("leave it out")),
        name => Ok(name),
    }
}

fn query(reader: &mut Reader, key: &Section<'_>) -> (QueryRule, bool) {
    let Some(entry) = key.entry("query") else {
        return (QueryRule::All, false);
    };
    if let Value::Scalar(_) = entry.node.value {
        // The only word is `all`.
        let _ = reader.value(key, "query", values::word(&["all"], &[()]));
        return (QueryRule::All, false);
    }
    let Some(section) = reader.subsection(key, "query") else {
        return (QueryRule::All, false);
    };
    if section.entry("allow").is_some() && section.entry("deny").is_some() {
        let message = "`query` has both `allow` and `deny`";
        reader.error(section.at_of("deny"), message, "with `allow`, everything else is denied anyway");
    }
    let sort = reader.value(&section, "sort", values::boolean).unwrap_or_default();
    let allow = reader.list(&section, "allow", values::name_glob);
    let deny = reader.list(&section, "deny", values::name_glob);
    for (glob, at) in allow.iter().chain(&deny) {
        if keys::misspelt(glob.as_str(), &[CAMPAIGNS]).is_some() {
            let message = format!("`{}` is a parameter of that name, and not the shipped list", glob.as_str());
            reader.warning(*at, message, format!("did you mean `{CAMPAIGNS}`?"));
        }
    }
    if section.entry("allow").is_some() {
        return (QueryRule::Allow(parameters(plain(allow))), sort);
    }
    let deny = plain(deny);
    (if deny.is_empty() { QueryRule::All } else { QueryRule::Deny(parameters(deny)) }, sort)
}

/// The word that stands for the shipped list.
const CAMPAIGNS: &str = "marketing";

fn parameters(globs: Vec<NameGlob>) -> Parameters {
    let all = globs.into_iter().flat_map(|glob| match glob.exact() {
        Some(CAMPAIGNS) => MARKETING.iter().map(|name| NameGlob::new(name)).collect(),
        _ => vec![glob],
    });
    Parameters::new(NameSet::new(all))
}

fn overrides(reader: &mut Reader, section: &Section<'_>, name: &str) -> Overrides {
    let mut overrides = Overrides::default();
    let words = reader.list(section, "override", values::word(OVERRIDES, &[0_u8, 1, 2, 3, 4, 5]));
    for (word, at) in words {
        let (flag, danger) = match word {
            0 => (&mut overrides.private, "pages made for one visitor (`private`) will be given to all"),
            1 => (&mut overrides.no_store, "pages that must not be kept (`no-store`) will be stored"),
            2 => (
                &mut overrides.set_cookie,
                "pages that set a cookie will be stored, without the cookie: what it stands for may be on the page",
            ),
            3 => (
                &mut overrides.share_set_cookie,
                "pages that set a cookie will be stored, and everybody gets that same cookie",
            ),
            4 => {
                (&mut overrides.no_cache, "pages that must be checked each time (`no-cache`) will be served unchecked")
            }
            _ => (&mut overrides.must_revalidate, "pages that must not be served stale (`must-revalidate`) will be"),
        };
        *flag = true;
        reader.warning(
            at,
            format!("rule `{name}`: {danger}"),
            "be sure that nothing under this rule differs between visitors",
        );
    }
    overrides
}

fn respond(reader: &mut Reader, rule: &Section<'_>) -> Option<RespondRule> {
    let section = reader.subsection(rule, "respond")?;
    let redirect = reader.value(&section, "redirect", values::header_value);
    let status = reader.value(&section, "status", values::status);
    let body = reader.value(&section, "body", values::text);
    let mut headers = fields(reader, &section);
    if redirect.is_some() {
        if body.is_some() {
            reader.error(section.at_of("body"), "a redirect has no `body`", "leave out `body` or `redirect`");
        }
        if let Some(status) = status.filter(|status| !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)) {
            let message = format!("{} is no status of a redirect", status.as_u16());
            reader.error(section.at_of("status"), message, "301 or 308 for good, 302 or 307 for now");
        }
    } else if section.entry("redirect").is_none() && section.entry("status").is_none() && body.is_none() {
        reader.error(
            section.at,
            "`respond` says nothing",
            "for example `respond: { status: 403, body: \"Not here.\" }`",
        );
    }
    let body = body.unwrap_or_default();
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    let usual = if redirect.is_some() { StatusCode::FOUND } else { StatusCode::OK };
    if let Some(location) = redirect {
        headers.insert(LOCATION, location);
    }
    Some(RespondRule { status: status.unwrap_or(usual), headers, body: Bytes::from(body) })
}

fn fields(reader: &mut Reader, section: &Section<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for_pairs(reader, section, "headers", "rules[].respond.headers", |reader, key, text, at, node| {
        let name =
            values::header_name(text).and_then(own_field).map_err(|wrong| reader.wrong_name(key, at, text, wrong));
        let values = reader.items(key, node, &values::header_value);
        if let Ok(name) = name {
            for (value, _) in values {
                headers.append(name.clone(), value);
            }
        }
    });
    headers
}

/// Framing is not the operator's (RFC 9112 section 6).
fn own_field(name: HeaderName) -> Read<HeaderName> {
    if [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&name) {
        return Err(Wrong::because("is Copal's own to set").hint("leave it out"));
    }
    Ok(name)
}

/// Every entry of the mapping under `name`.
pub(crate) fn for_pairs(
    reader: &mut Reader,
    section: &Section<'_>,
    name: &str,
    path: &str,
    mut each: impl FnMut(&mut Reader, &'static keys::Key, &str, At, &Node),
) {
    let (Some(entry), Some(key)) = (section.entry(name), keys::find(path)) else {
        return;
    };
    let Some(entries) = reader.entries(&entry.node, path) else {
        return;
    };
    for entry in entries {
        each(reader, key, &entry.key, entry.key_at, &entry.node);
    }
}
