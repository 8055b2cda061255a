//! Reads `rules`: what was written becomes compiled rules.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderName, Method};

use crate::actions::NamedCookies;
use crate::diagnostic::At;
use crate::keys::{self, nearest};
use crate::matcher::{Conditions, Matcher};
use crate::reader::{Read, Reader, Section, Wrong};
use crate::table::{SCHEMES, SESSIONS};
use crate::yaml::{Node, Value};
use crate::{
    Action, Context, EsiMode, OriginConfig, Rule, RuleSource, SessionMode, actions, contexts, edits, timeouts, values,
};

/// A rule with what is still to be checked against the other files.
pub(crate) struct Written {
    pub(crate) rule: Rule,
    pub(crate) at: At,
    /// Its cookies, for the checks against session cookies.
    pub(crate) cookies: NamedCookies,
    /// Where its `slice` stands, for the check against the largest body that is stored.
    pub(crate) slice: Option<At>,
    /// It says itself how long what is stale may be served, if only that it may not.
    pub(crate) says_stale: bool,
    /// Its `match` has an error, so what it fits is not known.
    pub(crate) doubtful: bool,
}

/// What rules may name.
pub(crate) struct Known<'a> {
    pub(crate) origins: &'a [OriginConfig],
    pub(crate) contexts: &'a [Arc<Context>],
    /// Contexts that have an error of their own: that is told once.
    pub(crate) broken_contexts: &'a [String],
}

/// Reads the rules of one file.
pub(crate) fn read(reader: &mut Reader, file: &Section<'_>, source: &RuleSource, known: &Known<'_>) -> Vec<Written> {
    let Some(entry) = file.entry("rules") else {
        return Vec::new();
    };
    let items = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => std::slice::from_ref(&entry.node),
        Value::Null => &[],
        Value::Scalar(_) => {
            let message = format!("`rules` must be a list of mappings, not {}", entry.node.describe());
            reader.error(entry.node.at, message, "begin each rule with `- name: ...`");
            return Vec::new();
        }
    };
    let mut names = HashSet::new();
    items.iter().filter_map(|item| rule(reader, item, source, known, &mut names)).collect()
}

fn rule(
    reader: &mut Reader,
    node: &Node,
    source: &RuleSource,
    known: &Known<'_>,
    names: &mut HashSet<String>,
) -> Option<Written> {
    let section = reader.section(node, "rules[]")?;
    let name = reader.value(&section, "name", values::name);
    let at = section.entry("name").map_or(section.at, |entry| entry.node.at);
    if let Some(name) = name.as_ref().filter(|name| !names.insert((*name).clone())) {
        let message = format!("two rules are named `{name}`");
        reader.error(at, message, "names are unique, as logs and metrics print them");
    }
    let errors = reader.errors();
    let matcher = matcher(reader, &section);
    let doubtful = reader.errors() > errors || section.misspells("match");
    let (mut action, cookies) = actions::read(reader, &section, name.as_deref(), at);
    let sessions = [SessionMode::Bypass, SessionMode::Ignore];
    let sessions = reader.value(&section, "sessions", values::word(SESSIONS, &sessions)).unwrap_or_default();
    let (request, response) = (edits::request(reader, &section), edits::response(reader, &section));
    let (esi, esi_options) = crate::esi::read(reader, &section, name.as_deref().unwrap_or("?"));
    let origin = reader.value(&section, "origin", |text| origin_index(text, known.origins)).unwrap_or(0);
    let timeouts = timeouts::read(reader, &section);
    if let Some(origin) = known.origins.get(origin) {
        timeouts::doubt(reader, &section, timeouts.as_deref(), &origin.timeouts);
    }
    let context = reader.value(&section, "context", |text| match contexts::find(text, known.contexts) {
        Err(_) if known.broken_contexts.iter().any(|broken| broken == text) => Ok(None),
        found => found.map(Some),
    });
    let context = context.flatten();
    let cached = matches!(action, Some(Action::Cache(_)));
    let in_cache = |name: &str| match &section.entry("cache")?.node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == name).map(|entry| entry.key_at),
        _ => None,
    };
    let slice = in_cache("slice");
    let says_stale = in_cache("grace").or(in_cache("stale_if_error")).is_some();
    let with_body = |method: &&Method| matches!(method.as_str(), "QUERY" | "POST");
    let storable = |method: &Method| method == Method::GET || method == Method::HEAD || with_body(&method);
    if let Some(Action::Cache(cache)) = &mut action {
        cache.body_methods = matcher.methods.iter().filter(with_body).cloned().collect();
        if !doubtful && cache.body_methods.contains(&Method::POST) {
            let name = name.as_deref().unwrap_or("?");
            let message =
                format!("rule `{name}`: responses to POST will be stored, under the URL and the request's body");
            let hint = "right for a search or a query by POST, wrong for a form that changes something: take POST out of `method`";
            reader.warning(section.at_of("cache"), message, hint);
        }
        let esi = esi == Some(EsiMode::On);
        if esi && cache.slice.is_some() {
            let hint = "a page with includes is read as a whole; slices are for large files";
            reader.error(section.at_of("esi"), "`esi: true` does not go with `slice`", hint);
        }
    }
    if cached && !doubtful && !matcher.methods.is_empty() && !matcher.methods.iter().any(storable) {
        let hint =
            "responses to GET and HEAD are stored, those to QUERY and POST where a rule names them, others never";
        reader.warning(section.at_of("cache"), "this rule fits no request whose response can be stored", hint);
    }
    if context.is_some() {
        check_context(reader, &section, action.as_ref(), sessions);
    }
    let rule = Rule {
        name: full_name(source, &name?).into(),
        source: source.clone(),
        file: reader.source.file.clone(),
        line: at.line,
        action: action?,
        sessions,
        context,
        esi: esi.unwrap_or_default(),
        esi_options,
        origin,
        timeouts,
        request,
        response,
        by_fields: false,
        matcher,
    };
    check_edits(reader, &section, &rule);
    Some(Written { rule, at, cookies, slice, says_stale, doubtful })
}

/// Fields that the key has, and that the origin would not see as they are keyed.
fn check_edits(reader: &mut Reader, section: &Section<'_>, rule: &Rule) {
    if matches!(rule.action, Action::Respond(_)) && section.entry("request").is_some() {
        let hint = "no origin is asked; leave it out";
        reader.warning(section.at_of("request"), "`request` does nothing beside `respond`", hint);
    }
    if let Some(cache) = rule.cache()
        && let Some(echo) = cache.storing.echoes().iter().find(|name| !cache.key.headers.contains(name))
    {
        let message = format!("`same_as_request: {echo}` without `{echo}` in the key");
        let hint = format!("add `key: {{ headers: [{echo}] }}`, or requests with other values get what is stored");
        reader.warning(section.at_of("cache"), message, hint);
    }
    let keyed = rule.cache().map_or(&[][..], |cache| &cache.key.headers);
    let of_context = rule.context.iter().map(|context| &context.header);
    for name in keyed.iter().chain(of_context).filter(|name| rule.request.touches(name)) {
        let message = format!("`{name}` is in the key, and `request` keeps it from the origin");
        reader.error(section.at_of("request"), message, "leave it out of one of them");
    }
}

/// What a context does not go with.
fn check_context(reader: &mut Reader, rule: &Section<'_>, action: Option<&Action>, sessions: SessionMode) {
    let against = match action {
        Some(Action::Cache(_)) if sessions == SessionMode::Ignore => {
            ("`sessions: ignore`", "that page is the same for everybody; leave one of them out")
        }
        Some(Action::Cache(cache)) if cache.slice.is_some() => ("`slice`", "leave one of them out"),
        Some(Action::Cache(cache)) if cache.no_vary_search => ("`no_vary_search`", "leave one of them out"),
        Some(Action::Cache(cache)) if !cache.body_methods.is_empty() => {
            ("`QUERY` or `POST` in `match.method`", "make a rule of its own for them")
        }
        Some(Action::Cache(cache)) if cache.key.headers.contains(&http::header::AUTHORIZATION) => {
            ("`Authorization` in `key.headers`", "leave it out there: the context takes it")
        }
        Some(Action::Pass | Action::Respond(_)) => ("a rule that stores nothing", "leave it out, or write `cache: {}`"),
        Some(Action::Cache(_)) | None => return,
    };
    reader.error(rule.at_of("context"), format!("`context` does not go with {}", against.0), against.1);
}

/// The rules of the configuration have their own name, those of a policy the policy's before it.
pub(crate) fn full_name(source: &RuleSource, name: &str) -> String {
    match source {
        RuleSource::Config => name.to_owned(),
        RuleSource::Policy(policy) => format!("{policy}/{name}"),
        RuleSource::Default => format!("default/{name}"),
    }
}

pub(crate) fn origin_index(text: &str, origins: &[OriginConfig]) -> Read<usize> {
    if origins.is_empty() {
        // That there are none is an error already.
        return Ok(0);
    }
    let index = origins.iter().position(|origin| *origin.name == *text);
    index.ok_or_else(|| {
        let names: Vec<&str> = origins.iter().map(|origin| &*origin.name).collect();
        let wrong = Wrong::because("is no origin of this file");
        match nearest(text, names.iter().copied()) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => wrong.hint(format!("there is {}", keys::one_of(&names).replace(" or ", " and "))),
        }
    })
}

fn matcher(reader: &mut Reader, rule: &Section<'_>) -> Matcher {
    let Some(section) = reader.subsection(rule, "match") else {
        return Matcher::default();
    };
    for name in ["host", "path", "method", "cookie", "query", "header"] {
        if let Some(entry) = section.entry(name)
            && matches!(&entry.node.value, Value::List(items) if items.is_empty())
        {
            reader.error(entry.node.at, format!("`{name}` is an empty list, which nothing fits"), "leave the key out");
        }
    }
    let schemes: [&'static str; 2] = ["http", "https"];
    let paths = reader.list(&section, "path", values::path_glob);
    let methods = reader.list(&section, "method", values::method);
    for (method, at) in &methods {
        if let Some(meant) = values::misspelt_method(method) {
            let hint = format!("did you mean `{meant}`?");
            reader.warning(*at, format!("no method is named `{method}` as far as Copal knows"), hint);
        }
    }
    Matcher {
        methods: plain(methods),
        scheme: reader.value(&section, "scheme", values::word(SCHEMES, &schemes)).map(Box::from),
        hosts: plain(reader.list(&section, "host", values::host_glob)),
        paths: paths.into_iter().flat_map(|(globs, _)| globs).collect(),
        query: conditions(reader, &section, "query", values::name_glob),
        headers: conditions(reader, &section, "header", field),
        cookies: plain(reader.list(&section, "cookie", values::name_glob)),
    }
}

/// `Cookie` and `Host` have keys of their own, which read them rightly.
fn field(text: &str) -> Read<HeaderName> {
    match values::header_name(text)? {
        name if name == http::header::COOKIE => Err(Wrong::because("has a key of its own").hint("use `cookie: NAME`")),
        name if name == http::header::HOST => Err(Wrong::because("has a key of its own").hint("use `host: NAME`")),
        name => Ok(name),
    }
}

pub(crate) fn conditions<N>(
    reader: &mut Reader,
    section: &Section<'_>,
    name: &str,
    read: impl Fn(&str) -> Read<N>,
) -> Option<Conditions<N>> {
    let node = &section.entry(name)?.node;
    let key = section.key(name)?;
    let Value::Map(entries) = &node.value else {
        return Some(Conditions::OneOf(plain(reader.list(section, name, read))));
    };
    let mut all = Vec::new();
    for entry in entries {
        let condition = match read(&entry.key) {
            Ok(condition) => condition,
            Err(wrong) => {
                reader.wrong_name(key, entry.key_at, &entry.key, wrong);
                continue;
            }
        };
        if matches!(entry.node.value, Value::Null) {
            let hint = format!("write `\"*\"` for any value, or `{name}: {}` for its presence", entry.key);
            reader.error(entry.key_at, format!("`{}` has no value", entry.key), hint);
        } else {
            all.push((condition, plain(reader.items(key, &entry.node, &values::value_glob))));
        }
    }
    Some(Conditions::All(all))
}

fn plain<T>(values: Vec<(T, At)>) -> Vec<T> {
    crate::settings::plain(values)
}
