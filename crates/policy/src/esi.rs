//! Reads `esi` of a rule: a word, or a mapping with what else is to be said.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use crate::glob::PathGlob;
use crate::matcher::HostGlob;
use crate::reader::{Read, Reader, Section, Wrong};
use crate::settings::plain;
use crate::table::{ESI, ESI_DIALECTS, ESI_MODES, ESI_ON_ERROR, ESI_TRIGGERS};
use crate::yaml::Value;
use crate::{EsiMode, values};

/// In which language the templates under a rule are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EsiDialect {
    /// ESI Language Specification 1.0.
    #[default]
    Esi10,
    /// With the additions of Akamai's dialect.
    Akamai,
}

/// What becomes of a page when a fragment cannot be had and nothing of the page's own stands for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EsiOnError {
    /// The fragment is left out.
    #[default]
    Omit,
    /// The page fails: 502 while nothing of it is sent, else its connection is cut.
    Fail,
}

/// How the templates under a rule are put together, beyond whether they are.
#[derive(Clone, Debug, Default)]
pub struct EsiOptions {
    /// The language.
    pub dialect: EsiDialect,
    /// Cookies that templates may read, beside those that the rule keys and those that are ignored.
    pub cookies: Vec<Box<str>>,
    /// Request fields that templates may read as `HTTP_…`, beside those that ESI 1.0 has.
    pub headers: Vec<HeaderName>,
    /// What a failed fragment does to its page.
    pub on_error: EsiOnError,
    /// What stands in the place of a failed fragment.
    pub placeholder: Option<Bytes>,
    /// Whether the values of variables are put out as they are.
    pub raw: bool,
    /// How many redirects of a fragment are followed.
    pub redirects: usize,
    /// By which response fields the origin asks for ESI; `None` = by `Surrogate-Control` alone.
    pub triggers: Option<EsiTriggers>,
    /// Hosts beside the page's own.
    pub(crate) hosts: Vec<HostGlob>,
    /// Paths that fragments may be of; `None` = all.
    pub(crate) trusted_only: Option<Vec<PathGlob>>,
    /// Paths that a template may send a POST to.
    pub(crate) post: Vec<PathGlob>,
}

/// The response fields by which an origin can ask for ESI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EsiTriggers {
    /// `Surrogate-Control: content="ESI/1.0"`.
    pub surrogate_control: bool,
    /// `X-Esi: 1`.
    pub x_esi: bool,
    /// `Edge-Control: dca=esi`.
    pub edge_control: bool,
}

impl EsiOptions {
    /// Whether templates may read this cookie by the rule's own word.
    #[must_use]
    pub fn reads_cookie(&self, name: &str) -> bool {
        self.cookies.iter().any(|cookie| **cookie == *name)
    }

    /// Whether fragments of this host may be included, beside those of the page's own.
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|glob| glob.matches(host))
    }

    /// Those hosts, as written.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(HostGlob::as_str)
    }

    /// Whether fragments of this path may be included.
    #[must_use]
    pub fn trusts(&self, path: &str) -> bool {
        self.trusted_only.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(path)))
    }

    /// Whether only some paths are included from, as others may write into the templates.
    #[must_use]
    pub fn is_wary(&self) -> bool {
        self.trusted_only.is_some()
    }

    /// Whether templates may send a POST to some path.
    #[must_use]
    pub fn posts(&self) -> bool {
        !self.post.is_empty()
    }

    /// Whether a template may send a POST to this path.
    #[must_use]
    pub fn may_post(&self, path: &str) -> bool {
        self.post.iter().any(|glob| glob.matches(path))
    }
}

const MODES: [EsiMode; 3] = [EsiMode::On, EsiMode::Off, EsiMode::Auto];

/// What `esi` of a rule says; no mode when it says nothing.
pub(crate) fn read(reader: &mut Reader, rule: &Section<'_>, name: &str) -> (Option<EsiMode>, Arc<EsiOptions>) {
    let mapping = rule.entry("esi").is_some_and(|entry| matches!(entry.node.value, Value::Map(_)));
    if !mapping {
        return (reader.value(rule, "esi", values::word(ESI, &MODES)), Arc::default());
    }
    let Some(section) = reader.subsection(rule, "esi") else {
        return (None, Arc::default());
    };
    let mode = reader.value(&section, "mode", values::word(ESI_MODES, &[EsiMode::On, EsiMode::Auto]));
    let dialects = [EsiDialect::Esi10, EsiDialect::Akamai];
    let on_error = [EsiOnError::Omit, EsiOnError::Fail];
    let raw = reader.value(&section, "raw", values::boolean).unwrap_or_default();
    if raw {
        let message =
            format!("rule `{name}`: what visitors send (cookies, query, fields) will be put into pages as it is");
        let hint = "anybody can make a link that runs a script in your page; leave `raw` out unless templates escape all values";
        reader.warning(section.at_of("raw"), message, hint);
    }
    let options = EsiOptions {
        dialect: reader.value(&section, "dialect", values::word(ESI_DIALECTS, &dialects)).unwrap_or_default(),
        cookies: plain(reader.list(&section, "cookies", cookie)),
        headers: plain(reader.list(&section, "headers", field)),
        on_error: reader.value(&section, "on_error", values::word(ESI_ON_ERROR, &on_error)).unwrap_or_default(),
        placeholder: reader.value(&section, "placeholder", values::text).map(Bytes::from),
        raw,
        redirects: reader.value(&section, "redirects", values::count(0, 3)).unwrap_or_default(),
        triggers: triggers(reader, &section),
        hosts: hosts(reader, &section),
        trusted_only: section.entry("trusted_only").map(|_| paths(reader, &section, "trusted_only")),
        post: paths(reader, &section, "post"),
    };
    if !options.post.is_empty() && options.dialect != EsiDialect::Akamai {
        let hint = "add `dialect: akamai`, or leave `post` out";
        reader.warning(section.at_of("post"), "only the `akamai` dialect has `method=\"POST\"`", hint);
    }
    (mode, Arc::new(options))
}

fn triggers(reader: &mut Reader, esi: &Section<'_>) -> Option<EsiTriggers> {
    #[derive(Clone, Copy, PartialEq)]
    enum By {
        SurrogateControl,
        XEsi,
        EdgeControl,
    }
    esi.entry("triggers")?;
    let all = [By::SurrogateControl, By::XEsi, By::EdgeControl];
    let named = plain(reader.list(esi, "triggers", values::word(ESI_TRIGGERS, &all)));
    let has = |by| named.contains(&by);
    let triggers = EsiTriggers {
        surrogate_control: has(By::SurrogateControl),
        x_esi: has(By::XEsi),
        edge_control: has(By::EdgeControl),
    };
    if esi.entry("mode").is_none() {
        let hint = "add `mode: auto`: without it every response under the rule is read for ESI";
        reader.warning(esi.at_of("triggers"), "`triggers` does nothing without `mode: auto`", hint);
    }
    Some(triggers)
}

fn hosts(reader: &mut Reader, esi: &Section<'_>) -> Vec<HostGlob> {
    let hosts = reader.list(esi, "hosts", values::host_glob);
    if let Some((_, at)) = hosts.iter().find(|(glob, _)| glob.matches("any.example") && glob.matches("other.test")) {
        let hint = "name the hosts that fragments come from";
        reader.warning(*at, "pages may include from every host that somebody writes into them", hint);
    }
    plain(hosts)
}

/// A list of paths that says nothing is a slip.
fn paths(reader: &mut Reader, esi: &Section<'_>, name: &str) -> Vec<PathGlob> {
    if let Some(entry) = esi.entry(name)
        && matches!(&entry.node.value, Value::List(items) if items.is_empty())
    {
        reader.error(entry.node.at, format!("`{name}` is an empty list, which nothing fits"), "leave the key out");
    }
    reader.list(esi, name, values::path_glob).into_iter().flat_map(|(globs, _)| globs).collect()
}

/// One cookie by its name: a glob could take in a session.
fn cookie(text: &str) -> Read<Box<str>> {
    if text.contains('*') {
        return Err(Wrong::because("is a glob").hint("name each cookie: a glob could take in a session cookie"));
    }
    let odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'=' | b';' | b',' | b'"');
    if text.is_empty() || text.bytes().any(odd) {
        return Err(Wrong::because("has characters that no cookie's name has"));
    }
    Ok(text.into())
}

/// Credentials have no place on a page.
fn field(text: &str) -> Read<HeaderName> {
    match values::header_name(text)? {
        name if name == COOKIE => {
            Err(Wrong::because("has a key of its own").hint("name single cookies: `cookies: [lang]`"))
        }
        name if name == AUTHORIZATION || name == PROXY_AUTHORIZATION => {
            Err(Wrong::because("is a secret").hint("leave it out"))
        }
        name => Ok(name),
    }
}
