//! From files to a [`Config`]: reads the configuration and the policies it names, checks them against each other, and
//! compiles what is right.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{At, Source};
use crate::glob::NameGlob;
use crate::keys;
use crate::names::NameSet;
use crate::origins::Files;
use crate::reader::{Reader, Section, Wrong};
use crate::rules::{self, Known, Written};
use crate::sessions::{self, SessionCookie, Sessions};
use crate::table::{POLICY_KEYS, UNKNOWN};
use crate::yaml::{Entry, Node, Value};
use crate::{
    Config, Context, Diagnostic, Diagnostics, OriginConfig, Policy, RuleSource, Severity, TlsCheck, UnknownCookies,
    checks, contexts, error_page, origins, purge, settings, shipped, shipped_names, values, yaml,
};

/// The name of the policy that always applies, last.
pub(crate) const DEFAULT: &str = "default";

/// A configuration that works, and what in it may be meant differently.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Ready to run.
    pub config: Config,
    /// What the operator should look at, in the order of the files.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a configuration file and the policies it names.
///
/// # Errors
/// Every error in all of the files, and the warnings with them.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    load_with(path, NO_CHECK)
}

/// The same; what `tls` finds wrong with an origin's `tls` is an error in its place.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, tls: TlsCheck<'_>) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = read(path).map_err(|reason| unreadable(&name, &reason))?;
    from_text(&name, &text, path.parent(), tls)
}

/// Takes every certificate for right.
const NO_CHECK: TlsCheck<'_> = &|_| Vec::new();

/// Reads a configuration from text. `file_name` is for messages; policies by path are looked for in `base`.
///
/// # Errors
/// As [`load`].
pub fn load_str(file_name: &str, text: &str, base: Option<&Path>) -> Result<Loaded, Diagnostics> {
    from_text(file_name, text, base, NO_CHECK)
}

fn from_text(file_name: &str, text: &str, base: Option<&Path>, tls: TlsCheck<'_>) -> Result<Loaded, Diagnostics> {
    let (mut reader, root) = Reader::new(file_name, text);
    match root {
        Some(root) => assemble(reader, &root, base, Vec::new(), tls),
        None => {
            if !reader.has_errors() {
                let hint = "the shortest that works: `origins: { cms: \"http://127.0.0.1:9000\" }`";
                reader.error(At::default(), "the file is empty", hint);
            }
            Err(Diagnostics(reader.finish()))
        }
    }
}

/// The configuration of `copal run --origin URL [--listen ADDRESS]`: safe defaults for everything else.
///
/// # Errors
/// The URL or the address is none, as diagnostics about the command line.
pub fn for_origin(origin: &str, listen: Option<&str>) -> Result<Loaded, Diagnostics> {
    let mut text = format!("--origin {origin}");
    let argument = |line: u32, flag: &str, value: &str| {
        let column = u32::try_from(flag.len() + 2).unwrap_or(1);
        let width = u32::try_from(value.chars().count()).unwrap_or(u32::MAX);
        Node::scalar(value, At { line, column, width })
    };
    let entry = |key: &str, node: Node| Entry { key: key.to_owned(), key_at: node.at, node };
    let map = |entries: Vec<Entry>| Node { at: At::default(), value: Value::Map(entries) };
    let servers = map(vec![entry("origin", argument(1, "--origin", origin))]);
    let mut entries = vec![entry("origins", servers)];
    if let Some(listen) = listen {
        text.push_str(&format!("\n--listen {listen}"));
        entries.push(entry("listen", argument(2, "--listen", listen)));
    }
    let mut reader = Reader::for_source(Source::new("command line", &text));
    if let Err(wrong) = values::server(origin) {
        let hint = wrong.hint.clone().unwrap_or_else(|| "for example `--origin http://127.0.0.1:9000`".to_owned());
        wrong_argument(
            &mut reader,
            &argument(1, "--origin", origin),
            "`--origin` must be the URL of a server",
            wrong,
            hint,
        );
    }
    if let Some((listen, wrong)) = listen.and_then(|listen| Some((listen, values::address(listen).err()?))) {
        let port = listen.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(8080);
        let hint = format!("for example `--listen 127.0.0.1:{port}`");
        let what = "`--listen` must be an IP address with a port";
        wrong_argument(&mut reader, &argument(2, "--listen", listen), what, wrong, hint);
    }
    if reader.has_errors() {
        return Err(Diagnostics(reader.finish()));
    }
    assemble(reader, &map(entries), None, Vec::new(), NO_CHECK)
}

/// Says what is wrong with an argument in the words of the command line: the hints of a file would not help there.
fn wrong_argument(reader: &mut Reader, node: &Node, what: &str, wrong: Wrong, hint: String) {
    let Value::Scalar(text) = &node.value else { return };
    let message = match wrong.reason {
        Some(reason) => format!("{what}, but {} {reason}", yaml::quoted(text)),
        None => format!("{what}, not {}", yaml::quoted(text)),
    };
    reader.error(node.at, message, hint);
}

/// A policy's text with its name and its file's.
#[derive(Clone, Debug)]
pub(crate) struct PolicyText {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A configuration that is nothing but this policy and the default, for running its cases.
pub(crate) fn for_policy(policy: PolicyText) -> Result<Loaded, Diagnostics> {
    let (reader, root) = Reader::new("cases", "origins: { origin: \"http://127.0.0.1:80\" }");
    let root = root.ok_or_else(Diagnostics::default)?;
    assemble(reader, &root, None, vec![policy], NO_CHECK)
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("is not UTF-8: look at line {line}")
    })
}

pub(crate) fn unreadable(file: &str, reason: &str) -> Diagnostics {
    Diagnostics(vec![Source::new(file, "").diagnostic(Severity::Error, At::default(), reason.to_owned(), None)])
}

/// The part of a file that configuration and policies have in common.
pub(crate) struct Part {
    pub(crate) reader: Reader,
    pub(crate) name: Option<String>,
    pub(crate) rules: Vec<Written>,
    pub(crate) sessions: Vec<(SessionCookie, At)>,
    pub(crate) ignored: Vec<(NameGlob, At)>,
    pub(crate) unknown: Option<UnknownCookies>,
    pub(crate) purge: purge::Written,
    pub(crate) contexts: Vec<Arc<Context>>,
}

fn assemble(
    mut reader: Reader,
    root: &Node,
    base: Option<&Path>,
    mut policies: Vec<PolicyText>,
    tls: TlsCheck<'_>,
) -> Result<Loaded, Diagnostics> {
    let Some(file) = reader.section(root, "") else {
        return Err(Diagnostics(reader.finish()));
    };
    let (listen, admin) = settings::addresses(&mut reader, &file);
    let own = base.unwrap_or(Path::new(""));
    let origins = origins::read(&mut reader, &file, &listen, &Files { base: own, tls });
    let names = origins::names(&mut reader, &file);
    let cache = settings::cache(&mut reader, &file);
    let esi = settings::esi(&mut reader, &file);
    let limits = settings::limits(&mut reader, &file);
    let (error_page, wrong_page) = error_page::read(&mut reader, &file, base);
    let log = settings::log(&mut reader, &file);
    let drain = reader.value(&file, "drain", values::duration).unwrap_or_default();
    let trusted_proxies = settings::networks(&mut reader, &file, "trusted_proxies");
    policies.extend(named_policies(&mut reader, &file, base));
    let config_part = part(reader, &file, &RuleSource::Config, &origins, &[], Some(own));
    let own_contexts = config_part.contexts.clone();
    let mut parts = vec![config_part];
    parts.extend(policy_parts(policies, &origins, &own_contexts));
    checks::key_cookies(&mut parts);
    checks::stripped(&mut parts);
    checks::asked_again(&mut parts);
    checks::ignored(&mut parts);
    checks::unreachable(&mut parts);
    checks::slices(&mut parts, cache.max_body);
    checks::esi_hosts(&mut parts);
    checks::grace(&mut parts, &origins);

    let purge = purge::together(parts.iter_mut().map(|part| std::mem::take(&mut part.purge)));
    let sessions = Sessions::new(parts.iter().flat_map(|part| &part.sessions).map(|(cookie, _)| cookie));
    let ignored = NameSet::new(parts.iter().flat_map(|part| &part.ignored).map(|(glob, _)| glob.clone()));
    let unknown = parts.iter().find_map(|part| part.unknown).unwrap_or_default();
    let contexts = all_contexts(&parts);
    let mut rules = Vec::new();
    let mut found = wrong_page;
    for part in parts {
        rules.extend(part.rules.into_iter().map(|written| written.rule));
        found.extend(part.reader.finish());
    }
    if found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(Diagnostics(found));
    }
    crate::matcher::mark(&mut rules);
    let rules = rules.into_iter().map(Arc::new).collect();
    let policy = Policy::new(rules, sessions, ignored, unknown);
    let has_sub_keys = !contexts.is_empty()
        || policy.rules().iter().filter_map(|rule| rule.cache()).any(crate::CacheRule::has_sub_keys);
    let config = Config {
        listen,
        admin,
        origins,
        names,
        cache,
        purge,
        trusted_proxies,
        esi,
        limits,
        error_page,
        log,
        policy,
        drain,
        contexts,
        has_sub_keys,
    };
    Ok(Loaded { config, warnings: found })
}

/// Each once, although every part has those of the configuration.
fn all_contexts(parts: &[Part]) -> Vec<Arc<Context>> {
    let mut all: Vec<Arc<Context>> = Vec::new();
    for context in parts.iter().flat_map(|part| &part.contexts) {
        if !all.iter().any(|known| Arc::ptr_eq(known, context)) {
            all.push(Arc::clone(context));
        }
    }
    all
}

/// The default policy comes last; a file of that name takes the place of the shipped one.
fn policy_parts(mut policies: Vec<PolicyText>, origins: &[OriginConfig], contexts: &[Arc<Context>]) -> Vec<Part> {
    let own_default = policies.iter().position(|policy| policy.name == DEFAULT).map(|place| policies.remove(place));
    policies.extend(own_default.or_else(|| shipped_policy(DEFAULT)));
    policies.into_iter().filter_map(|policy| policy_part(&policy, origins, contexts)).collect()
}

fn policy_part(policy: &PolicyText, origins: &[OriginConfig], contexts: &[Arc<Context>]) -> Option<Part> {
    let source = match policy.name.as_str() {
        DEFAULT => RuleSource::Default,
        name => RuleSource::Policy(name.into()),
    };
    let (mut reader, root) = Reader::new(&policy.file, &policy.text);
    let empty = Node { at: At::default(), value: Value::Map(Vec::new()) };
    let root = root.unwrap_or_else(|| empty.clone());
    let section = match reader.part_of_config(&root, "a policy", &POLICY_KEYS) {
        Some(section) => section,
        None => reader.part_of_config(&empty, "a policy", &POLICY_KEYS)?,
    };
    let mut part = part(reader, &section, &source, origins, contexts, None);
    part.name = Some(policy.name.clone());
    Some(part)
}

/// `given` are contexts of the configuration, which take the place of the file's own of the same name.
fn part(
    mut reader: Reader,
    file: &Section<'_>,
    source: &RuleSource,
    origins: &[OriginConfig],
    given: &[Arc<Context>],
    base: Option<&Path>,
) -> Part {
    let own = contexts::read(&mut reader, file, source, origins);
    let broken_contexts = &own.broken;
    let mut contexts = given.to_vec();
    contexts.extend(own.all.into_iter().filter(|own| !given.iter().any(|given| given.short == own.short)));
    let rules = rules::read(&mut reader, file, source, &Known { origins, contexts: &contexts, broken_contexts });
    let sessions = reader.part(file, "sessions");
    let modes = [UnknownCookies::Bypass, UnknownCookies::Strip];
    let unknown =
        sessions.entry("unknown").and_then(|_| reader.value(&sessions, "unknown", values::word(UNKNOWN, &modes)));
    let mut cookies = sessions::read(&mut reader, &sessions);
    let of_contexts = own.cookies.into_iter();
    cookies.extend(of_contexts.map(|(glob, at)| (SessionCookie { glob, except: Vec::new() }, at)));
    let ignored = reader.list(&sessions, "ignore", values::name_glob);
    let purge = purge::read(&mut reader, file, base);
    Part { reader, name: None, rules, sessions: cookies, ignored, unknown, purge, contexts }
}

/// The texts of `policies`, in order.
fn named_policies(reader: &mut Reader, file: &Section<'_>, base: Option<&Path>) -> Vec<PolicyText> {
    let mut policies: Vec<PolicyText> = Vec::new();
    for (word, at) in reader.list(file, "policies", values::text) {
        if word == DEFAULT {
            reader.warning(at, "the policy `default` always applies", "leave it out; it comes last by itself");
            continue;
        }
        let policy = match is_path(&word) {
            true => policy_file(&word, base).map_err(|reason| (reason, "a path is relative to this file".to_owned())),
            false => shipped_policy(&word).ok_or_else(|| unknown_policy(&word)),
        };
        match policy {
            Err((reason, hint)) => reader.error(at, format!("policy `{word}`: {reason}"), hint),
            Ok(policy) if policies.iter().any(|other| other.name == policy.name) => {
                let message = format!("two policies are named `{}`", policy.name);
                reader.error(at, message, "leave one of them out, or rename its file");
            }
            Ok(policy) => policies.push(policy),
        }
    }
    policies
}

fn is_path(word: &str) -> bool {
    word.contains(['/', '\\']) || word.ends_with(".yaml") || word.ends_with(".yml")
}

fn policy_file(word: &str, base: Option<&Path>) -> Result<PolicyText, String> {
    let path = base.map_or_else(|| PathBuf::from(word), |base| base.join(word));
    let text = read(&path)?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let name = name.filter(|name| values::name(name).is_ok());
    let name = name.ok_or("its file name has other characters than letters, digits, `_`, `.` and `-`")?;
    Ok(PolicyText { name, file: path.display().to_string(), text })
}

pub(crate) fn shipped_policy(name: &str) -> Option<PolicyText> {
    let text = shipped(name)?.to_owned();
    Some(PolicyText { name: name.to_owned(), file: format!("policies/{name}.yaml"), text })
}

fn unknown_policy(word: &str) -> (String, String) {
    let names: Vec<&str> = shipped_names().filter(|name| *name != DEFAULT).collect();
    let hint = match keys::nearest(word, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("shipped: {}; your own by path: `./{word}.yaml`", names.join(", ")),
    };
    ("none of that name is shipped".to_owned(), hint)
}
