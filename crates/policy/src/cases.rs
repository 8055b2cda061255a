//! Cases: requests with what a policy must answer. `policies/NAME.cases.yaml` stands beside `policies/NAME.yaml`;
//! `copal test` runs them.

use std::path::Path;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::diagnostic::At;
use crate::keys::{self, CASES, nearest};
use crate::load::{self, Loaded, PolicyText};
use crate::reader::{Read, Reader, Section, Wrong};
use crate::table::DECISIONS;
use crate::yaml::{Entry, Node, Value};
use crate::{Config, Diagnostic, Diagnostics, Severity, shipped_cases, values};

/// A cases file with the configuration it speaks about, both read and checked.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The cases file as the user named it.
    pub file: String,
    /// The configuration that the cases run against.
    pub config: Config,
    /// What may be meant differently, in the cases or the policy.
    pub warnings: Vec<Diagnostic>,
    /// The cases in the order written.
    pub cases: Vec<Case>,
}

/// One request and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// The line of the case in its file, from 1.
    pub line: u32,
    /// The request method.
    pub method: Method,
    /// The whole URL, `http://host/path?query`.
    pub url: String,
    /// The request fields, cookies included.
    pub headers: HeaderMap,
    /// What the origin answers, where the case is about that.
    pub response: Option<CaseResponse>,
    /// What must come out; what is not given is not checked.
    pub expect: Expect,
}

/// What the origin answers in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResponse {
    /// The status code.
    pub status: StatusCode,
    /// The response fields.
    pub headers: HeaderMap,
}

/// What must come out of a case. `None` = not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The name of the rule that decides, as [`Rule::name`](crate::Rule::name) prints it.
    pub rule: Option<String>,
    /// What happens to the request.
    pub decision: Option<Decision>,
    /// The reason word of the decision.
    pub reason: Option<String>,
    /// The cache key.
    pub key: Option<String>,
    /// The part of the key beyond the URL, as [`KeyRule::extras`](crate::KeyRule::extras) writes it.
    pub variant: Option<String>,
    /// The names of the cookies that reach the origin, in any order.
    pub cookies: Option<Vec<String>>,
    /// What the request purges, in the words of the audit log.
    pub purge: Option<String>,
    /// The dialect of the purge.
    pub dialect: Option<String>,
    /// Whether the response is stored.
    pub stored: Option<bool>,
    /// The reason word for a response that is not stored.
    pub why: Option<String>,
    /// The freshness lifetime that the response is stored with.
    pub lifetime: Option<Duration>,
    /// The tags that the response is stored with, in any order.
    pub tags: Option<Vec<String>>,
}

impl Expect {
    /// Whether something is expected of the response.
    fn of_the_response(&self) -> bool {
        self.stored.is_some() || self.why.is_some() || self.lifetime.is_some() || self.tags.is_some()
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be answered from the cache, and its response may be stored.
    Cache,
    /// It goes to the origin.
    Pass,
    /// Copal answers by itself.
    Respond,
    /// It is a purge.
    Purge,
}

impl Decision {
    /// `cache`, `pass`, `respond` or `purge`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Pass => "pass",
            Self::Respond => "respond",
            Self::Purge => "purge",
        }
    }
}

/// Reads a cases file, and the policy or configuration that it speaks about: `config` if it has one, else `NAME.yaml`
/// beside `NAME.cases.yaml`.
///
/// # Errors
/// Every error of both files.
pub fn load(path: &Path) -> Result<Suite, Diagnostics> {
    let name = path.display().to_string();
    let text = load::read(path).map_err(|reason| load::unreadable(&name, &reason))?;
    let policy = path.file_name().and_then(|name| name.to_str()).and_then(policy_name);
    let beside = |policy: String| {
        let path = path.with_file_name(format!("{policy}.yaml"));
        let file = path.display().to_string();
        match load::read(&path) {
            Ok(text) => load::for_policy(PolicyText { name: policy, file, text }),
            Err(reason) => Err(load::unreadable(&file, &reason)),
        }
    };
    read(&name, &text, path.parent(), || match policy {
        Some(policy) => beside(policy),
        None => Err(load::unreadable(&name, "is not named NAME.cases.yaml and has no `config`")),
    })
}

/// The cases of a shipped policy; `None` if there is no policy of that name.
pub fn load_shipped(name: &str) -> Option<Result<Suite, Diagnostics>> {
    let (text, policy) = (shipped_cases(name)?, load::shipped_policy(name)?);
    Some(read(&format!("policies/{name}.cases.yaml"), text, None, || load::for_policy(policy)))
}

fn policy_name(file: &str) -> Option<String> {
    let name = file.strip_suffix(".cases.yaml").or_else(|| file.strip_suffix(".cases.yml"))?;
    values::name(name).ok()
}

fn read(
    file: &str,
    text: &str,
    base: Option<&Path>,
    policy: impl FnOnce() -> Result<Loaded, Diagnostics>,
) -> Result<Suite, Diagnostics> {
    let (mut reader, root) = Reader::new(file, text);
    let Some(root) = root else {
        if !reader.has_errors() {
            reader.error(At::default(), "the file is empty", "begin with `cases:`");
        }
        return Err(Diagnostics(reader.finish()));
    };
    let Some(section) = reader.section(&root, CASES) else {
        return Err(Diagnostics(reader.finish()));
    };
    let loaded = match reader.value(&section, "config", values::text) {
        Some(config) => crate::load(&base.map_or_else(|| config.as_str().into(), |base| base.join(&config))),
        None => policy(),
    };
    let cases = cases(&mut reader, &section);
    if let Ok(loaded) = &loaded {
        check_rules(&mut reader, &loaded.config, &cases);
    }
    let mut found = reader.finish();
    match loaded {
        Ok(loaded) if found.iter().all(|diagnostic| diagnostic.severity == Severity::Warning) => {
            found.extend(loaded.warnings);
            let cases = cases.into_iter().map(|(case, _)| case).collect();
            Ok(Suite { file: file.to_owned(), config: loaded.config, warnings: found, cases })
        }
        Ok(_) => Err(Diagnostics(found)),
        Err(more) => {
            found.extend(more.0);
            Err(Diagnostics(found))
        }
    }
}

/// A rule that does not exist can never decide: a slip of the pen, not a failed case.
fn check_rules(reader: &mut Reader, config: &Config, cases: &[(Case, At)]) {
    let names: Vec<&str> = config.policy.rules().iter().map(|rule| &*rule.name).collect();
    for (case, at) in cases {
        let Some(rule) = case.expect.rule.as_deref().filter(|rule| !names.contains(rule)) else {
            continue;
        };
        let near = nearest(rule, names.iter().copied());
        let near = near.or_else(|| names.iter().copied().find(|name| name.ends_with(&format!("/{rule}"))));
        let hint = near
            .map_or_else(|| "print the rules with `copal policy`".to_owned(), |name| format!("did you mean `{name}`?"));
        reader.error(*at, format!("there is no rule `{rule}`"), hint);
    }
}

/// The cases, each with the place of its `expect.rule`.
fn cases(reader: &mut Reader, file: &Section<'_>) -> Vec<(Case, At)> {
    let Some(entry) = file.entry("cases") else {
        reader.error(file.at, "`cases` is missing", "begin with `cases:`, then `- name: ...` for each");
        return Vec::new();
    };
    match &entry.node.value {
        Value::List(items) if !items.is_empty() => items.iter().filter_map(|item| case(reader, item)).collect(),
        _ => {
            let message = format!("`cases` must be a list of mappings, not {}", entry.node.describe());
            reader.error(entry.key_at, message, "begin each case with `- name: ...`");
            Vec::new()
        }
    }
}

fn case(reader: &mut Reader, node: &Node) -> Option<(Case, At)> {
    let section = reader.section(node, "@cases.cases[]")?;
    let name = reader.value(&section, "name", values::text);
    for part in ["request", "expect"] {
        if section.entry(part).is_none() {
            reader.error(
                section.at,
                format!("`{part}` is missing"),
                "a case has a name, a request, and what to expect",
            );
        }
    }
    let request = reader.part(&section, "request");
    let expected = reader.part(&section, "expect");
    let method = reader.value(&request, "method", values::method);
    let url = section.entry("request").and_then(|_| reader.value(&request, "url", url));
    let headers = headers(reader, &request);
    let expect = expect(reader, &expected);
    if expect == Expect::default() && section.entry("expect").is_some() {
        reader.error(section.at_of("expect"), "nothing is expected", "for example `expect: { decision: cache }`");
    }
    let response = response(reader, &section);
    if response.is_none() && expect.of_the_response() && section.entry("response").is_none() {
        let hint =
            "add `response: { status: 200, headers: { ... } }`, or leave `stored`, `why`, `lifetime` and `tags` out";
        reader.error(section.at_of("expect"), "something is expected of a response that is not given", hint);
    }
    let line = section.entry("name").map_or(section.at, |entry| entry.key_at).line;
    let case = Case { name: name?, line, method: method?, url: url?, headers, response, expect };
    Some((case, expected.at_of("rule")))
}

fn response(reader: &mut Reader, case: &Section<'_>) -> Option<CaseResponse> {
    let section = reader.subsection(case, "response")?;
    let status = reader.value(&section, "status", values::status);
    let mut headers = HeaderMap::new();
    for_pairs(reader, &section, "response.headers", |reader, key, entry| {
        let values = reader.items(key, &entry.node, &values::header_value);
        match values::header_name(&entry.key) {
            Ok(name) => append(&mut headers, &name, values),
            Err(wrong) => reader.wrong_name(key, entry.key_at, &entry.key, wrong),
        }
    });
    Some(CaseResponse { status: status?, headers })
}

/// A path is asked of `http://example.org`.
fn url(text: &str) -> Read<String> {
    match text {
        _ if text.starts_with("http://") || text.starts_with("https://") => Ok(text.to_owned()),
        _ if text.starts_with('/') => Ok(format!("http://example.org{text}")),
        _ => Err(Wrong::because("is neither a URL nor a path")),
    }
}

fn headers(reader: &mut Reader, request: &Section<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for_pairs(reader, request, "request.headers", |reader, key, entry| {
        let values = reader.items(key, &entry.node, &values::header_value);
        match values::header_name(&entry.key) {
            Ok(name) => append(&mut headers, &name, values),
            Err(wrong) => reader.wrong_name(key, entry.key_at, &entry.key, wrong),
        }
    });
    let mut cookies = Vec::new();
    for_pairs(reader, request, "request.cookies", |reader, key, entry| {
        let pair = |value: &str| values::header_value(&format!("{}={value}", entry.key)).map(|_| value.to_owned());
        if let Some(value) = reader.scalar(key, &entry.node, &pair) {
            cookies.push(format!("{}={value}", entry.key));
        }
    });
    // Each pair is a field value, so all of them are.
    if let Some(field) = HeaderValue::from_str(&cookies.join("; ")).ok().filter(|field| !field.is_empty()) {
        headers.append(COOKIE, field);
    }
    headers
}

/// Every entry of a mapping of a case, such as `request.headers`.
fn for_pairs(
    reader: &mut Reader,
    section: &Section<'_>,
    part: &str,
    mut each: impl FnMut(&mut Reader, &keys::Key, &Entry),
) {
    let path = format!("@cases.cases[].{part}");
    let name = part.rsplit('.').next().unwrap_or(part);
    let (Some(entry), Some(key)) = (section.entry(name), keys::find(&path)) else {
        return;
    };
    for entry in reader.entries(&entry.node, &path).unwrap_or_default() {
        each(reader, key, entry);
    }
}

fn append(headers: &mut HeaderMap, name: &HeaderName, values: Vec<(HeaderValue, At)>) {
    for (value, _) in values {
        headers.append(name.clone(), value);
    }
}

fn expect(reader: &mut Reader, section: &Section<'_>) -> Expect {
    let decisions = [Decision::Cache, Decision::Pass, Decision::Respond, Decision::Purge];
    let mut text = |name: &str| reader.value(section, name, values::text);
    let (rule, reason, key, variant) = (text("rule"), text("reason"), text("key"), text("variant"));
    let (purge, dialect) = (text("purge"), text("dialect"));
    let decision = reader.value(section, "decision", values::word(DECISIONS, &decisions));
    let cookies =
        section.entry("cookies").map(|_| crate::settings::plain(reader.list(section, "cookies", values::text)));
    let stored = reader.value(section, "stored", values::boolean);
    let why = reader.value(section, "why", values::text);
    let lifetime = reader.value(section, "lifetime", values::duration);
    let tags = section.entry("tags").map(|_| crate::settings::plain(reader.list(section, "tags", values::text)));
    Expect { rule, decision, reason, key, variant, cookies, purge, dialect, stored, why, lifetime, tags }
}
