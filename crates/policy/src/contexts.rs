//! Reads `contexts`: how the group of a visitor with a session is asked for.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::diagnostic::At;
use crate::glob::NameGlob;
use crate::keys::nearest;
use crate::names::NameSet;
use crate::reader::{Read, Reader, Section, Wrong};
use crate::rules::{full_name, origin_index};
use crate::table::CREDENTIALS;
use crate::yaml::Value;
use crate::{Action, CacheRule, EsiMode, OriginConfig, Overrides, Rule, RuleSource, SessionMode, timeouts, values};

/// How the group of a visitor is asked for, once for each session: a page under it is stored once for each group.
#[derive(Clone, Debug)]
pub struct Context {
    /// The name, with the policy's before it where it is one's (`symfony/fos`), so that it is unique.
    pub name: Arc<str>,
    /// The name that rules use.
    pub(crate) short: Box<str>,
    /// Path and query of the question.
    pub path: String,
    /// The field of the answer that says the group, and by which the page's origin is told it.
    pub header: HeaderName,
    /// `Accept` of the question.
    pub accept: Option<HeaderValue>,
    /// What visitors without a session are told to be; none: nothing.
    pub anonymous: Option<HeaderValue>,
    /// Whether the page's origin sees the session too.
    pub forward: bool,
    /// Most sessions whose answers are kept.
    pub max_sessions: usize,
    /// The rule under which the answers are stored.
    pub lookup: Arc<Rule>,
    /// Session cookies that the question is asked with; none: all.
    cookies: Option<NameSet>,
}

/// The longest group, in bytes; FOSHttpCache's are 64.
pub const MAX_GROUP: usize = 256;

impl Context {
    /// Whether the question is asked with this session cookie.
    #[must_use]
    pub fn takes_cookie(&self, name: &str) -> bool {
        self.cookies.as_ref().is_none_or(|cookies| cookies.contains(name))
    }

    /// Whether a text can be a group: it stands in keys, in a field, and between others.
    #[must_use]
    pub fn is_group(text: &[u8]) -> bool {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~+/=:-".contains(byte);
        (1..=MAX_GROUP).contains(&text.len()) && text.iter().all(plain)
    }
}

/// The contexts of one file, and the cookies that they name: those are session cookies everywhere.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    pub(crate) all: Vec<Arc<Context>>,
    pub(crate) cookies: Vec<(NameGlob, At)>,
    /// The names of those with an error.
    pub(crate) broken: Vec<String>,
}

/// Reads the contexts of one file.
pub(crate) fn read(reader: &mut Reader, file: &Section<'_>, source: &RuleSource, origins: &[OriginConfig]) -> Contexts {
    let mut contexts = Contexts::default();
    let Some(entry) = file.entry("contexts") else { return contexts };
    for entry in reader.entries(&entry.node, "contexts").unwrap_or_default() {
        if let (Err(wrong), Some(key)) = (values::name(&entry.key), crate::keys::find("rules[].context")) {
            reader.wrong(key, entry.key_at, &entry.key, wrong);
        }
        let Some(section) = reader.section(&entry.node, "contexts.NAME") else {
            contexts.broken.push(entry.key.clone());
            continue;
        };
        let (context, cookies) = context(reader, &section, (&entry.key, entry.key_at), source, origins);
        if context.is_none() {
            contexts.broken.push(entry.key.clone());
        }
        contexts.all.extend(context.map(Arc::new));
        contexts.cookies.extend(cookies);
    }
    contexts
}

fn context(
    reader: &mut Reader,
    section: &Section<'_>,
    (name, at): (&str, At),
    source: &RuleSource,
    origins: &[OriginConfig],
) -> (Option<Context>, Vec<(NameGlob, At)>) {
    let cookies = reader.list(section, "cookies", values::name_glob);
    let empty = |name| {
        section.entry(name).is_some_and(|entry| matches!(&entry.node.value, Value::List(list) if list.is_empty()))
    };
    if empty("cookies") {
        let hint = "leave it out: all session cookies are taken then";
        reader.error(section.at_of("cookies"), "`cookies` is an empty list: no session would ever be asked for", hint);
    }
    let forward = reader.value(section, "credentials", values::word(CREDENTIALS, &[false, true])).unwrap_or_default();
    let ttl = reader.value(section, "ttl", values::duration);
    let origin = reader.value(section, "origin", |text| origin_index(text, origins)).unwrap_or(0);
    // What comes is stored for one session, like in a browser: `private` says no more than that.
    let overrides = Overrides { private: true, ..Overrides::default() };
    let lookup = Rule {
        name: format!("context/{}", full_name(source, name)).into(),
        source: source.clone(),
        file: reader.source.file.clone(),
        line: at.line,
        action: Action::Cache(Box::new(CacheRule { ttl, overrides, ..CacheRule::default() })),
        sessions: SessionMode::Bypass,
        context: None,
        esi: EsiMode::Off,
        esi_options: Arc::default(),
        origin,
        timeouts: timeouts::read(reader, section),
        request: Default::default(),
        response: Default::default(),
        by_fields: false,
        matcher: Default::default(),
    };
    let given = section.entry("cookies").is_some();
    let path = reader.value(section, "path", path);
    let header = reader.value(section, "header", header);
    let context = path.zip(header).map(|(path, header)| Context {
        name: full_name(source, name).into(),
        short: name.into(),
        path,
        header,
        accept: reader.value(section, "accept", values::header_value),
        anonymous: reader.value(section, "anonymous", group),
        forward,
        max_sessions: reader.value(section, "max_sessions", values::count(1, 10_000_000)).unwrap_or(1),
        lookup: Arc::new(lookup),
        cookies: given.then(|| NameSet::new(cookies.iter().map(|(glob, _)| glob.clone()))),
    });
    (context, cookies)
}

/// Path and query on the site itself.
fn path(text: &str) -> Read<String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match text.starts_with('/') && !text.starts_with("//") && plain {
        true => Ok(text.to_owned()),
        false => Err(Wrong::because("is no path of the site").hint("for example `path: /_fos_user_context_hash`")),
    }
}

/// A field of the site's own: what HTTP or Copal knows by a name means something else.
fn header(text: &str) -> Read<HeaderName> {
    let name = values::header_name(text)?;
    if !name.as_str().starts_with("x-") || name.as_str().starts_with("x-forwarded") || name.as_str().contains('_') {
        let hint = "take a name of your own that begins with `X-`, such as `X-User-Context-Hash`";
        return Err(Wrong::because("is no field of the site's own").hint(hint));
    }
    Ok(name)
}

fn group(text: &str) -> Read<HeaderValue> {
    match Context::is_group(text.as_bytes()) {
        true => HeaderValue::from_str(text).map_err(|_| Wrong::PLAIN),
        false => Err(Wrong::because(format!("is no group: letters, digits and `._~+/=:-`, at most {MAX_GROUP}"))),
    }
}

/// The context of that name.
pub(crate) fn find(text: &str, contexts: &[Arc<Context>]) -> Read<Arc<Context>> {
    let found = contexts.iter().find(|context| *context.short == *text);
    found.cloned().ok_or_else(|| {
        let wrong = Wrong::because("is none of `contexts`");
        match nearest(text, contexts.iter().map(|context| &*context.short)) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => wrong.hint(format!(
                "add it at the top of the file: `contexts: {{ {text}: {{ path: /_fos_user_context_hash }} }}`"
            )),
        }
    })
}
