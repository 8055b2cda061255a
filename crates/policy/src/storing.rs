//! What a rule says of responses: which of them are stored, and which of their cookies do not stand in the way.

use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::diagnostic::At;
use crate::glob::NameGlob;
use crate::matcher::Conditions;
use crate::names::NameSet;
use crate::reader::{Read, Reader, Section, Wrong};
use crate::settings::plain;
use crate::{Cookies, Policy, rules, values};

/// Which responses a rule stores, of those that may be stored (RFC 9111 section 3) and have a lifetime. Nothing here
/// lets anything be stored that says `private` or `no-store`.
#[derive(Clone, Debug, Default)]
pub struct StoreRule {
    only: Option<ResponseMatch>,
    unless: Option<ResponseMatch>,
    /// Request fields that the response must repeat.
    echoes: Vec<HeaderName>,
    strips: NameSet,
    /// The list as written, for people.
    pub(crate) strips_written: Vec<String>,
    /// Cookies with which the origin is asked again where nothing is stored.
    again: Vec<NameGlob>,
}

/// Conditions on a response; what is not given is not asked.
#[derive(Clone, Debug, Default)]
struct ResponseMatch {
    status: Vec<StatusGlob>,
    headers: Option<Conditions<HeaderName>>,
    content_types: Vec<NameGlob>,
}

/// A status code, or all that begin with a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusGlob {
    One(u16),
    Class(u16),
}

impl StatusGlob {
    fn matches(self, status: StatusCode) -> bool {
        match self {
            Self::One(code) => status.as_u16() == code,
            Self::Class(digit) => status.as_u16() / 100 == digit,
        }
    }
}

impl ResponseMatch {
    /// The conditions that are given, each with whether it holds.
    fn held(&self, status: StatusCode, headers: &HeaderMap) -> impl Iterator<Item = bool> {
        let status = (!self.status.is_empty()).then(|| self.status.iter().any(|glob| glob.matches(status)));
        let fields = self.headers.as_ref().map(|conditions| conditions.hold(headers));
        let types = (!self.content_types.is_empty()).then(|| {
            let essence = essence(headers);
            self.content_types.iter().any(|glob| glob.matches_bytes(essence))
        });
        [status, fields, types].into_iter().flatten()
    }
}

/// The media type without its parameters (RFC 9110 section 8.3.1).
fn essence(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

impl StoreRule {
    /// Whether the rule stores such a response to such a request.
    #[must_use]
    pub fn allows(&self, request: &HeaderMap, status: StatusCode, response: &HeaderMap) -> bool {
        self.only.as_ref().is_none_or(|only| only.held(status, response).all(|held| held))
            && self.unless.as_ref().is_none_or(|unless| !unless.held(status, response).any(|held| held))
            && self.echoes.iter().all(|name| request.get_all(name).iter().eq(response.get_all(name)))
    }

    /// Request fields that the response must repeat.
    pub(crate) fn echoes(&self) -> &[HeaderName] {
        &self.echoes
    }

    /// Whether every cookie that the response sets is on the rule's list `strip_cookies` and is no session: then it may be
    /// stored without them. What cannot be read is on no list.
    #[must_use]
    pub fn strips_all(&self, policy: &Policy, response: &HeaderMap) -> bool {
        let strips = |line: &[u8]| {
            let pair = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let name = pair.iter().position(|byte| *byte == b'=').map(|at| pair[..at].trim_ascii());
            let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty());
            name.is_some_and(|name| self.strips.contains(name) && !policy.sessions.contains(name))
        };
        !self.strips.is_empty() && response.get_all(SET_COOKIE).iter().all(|line| strips(line.as_bytes()))
    }

    /// Whether a request with these cookies is to be asked again, with all of them, when what came without is not stored.
    #[must_use]
    pub fn asks_again(&self, cookies: &Cookies<'_>) -> bool {
        !self.again.is_empty() && cookies.iter().any(|cookie| self.again.iter().any(|glob| glob.matches(cookie.name)))
    }

    /// In words, for people; none where the rule says nothing of it.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let mut words = Vec::new();
        if let Some(only) = &self.only {
            words.push(format!("only with {}", only.describe(" and ")));
        }
        if let Some(unless) = &self.unless {
            words.push(format!("not with {}", unless.describe(" or ")));
        }
        if !self.echoes.is_empty() {
            let names: Vec<&str> = self.echoes.iter().map(HeaderName::as_str).collect();
            words.push(format!("only with the request's {}", names.join(", ")));
        }
        if !self.strips_written.is_empty() {
            words.push(format!("without Set-Cookie of {}", self.strips_written.join(", ")));
        }
        if !self.again.is_empty() {
            let names: Vec<&str> = self.again.iter().map(NameGlob::as_str).collect();
            words.push(format!("what is not stored is asked again with {}", names.join(", ")));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }
}

impl ResponseMatch {
    fn describe(&self, between: &str) -> String {
        let mut words = Vec::new();
        if !self.status.is_empty() {
            let codes: Vec<String> = self.status.iter().map(ToString::to_string).collect();
            words.push(format!("status {}", codes.join(", ")));
        }
        if let Some(conditions) = &self.headers {
            words.push(conditions.describe());
        }
        if !self.content_types.is_empty() {
            let types: Vec<&str> = self.content_types.iter().map(NameGlob::as_str).collect();
            words.push(format!("content type {}", types.join(", ")));
        }
        words.join(between)
    }
}

impl std::fmt::Display for StatusGlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(code) => write!(f, "{code}"),
            Self::Class(digit) => write!(f, "{digit}xx"),
        }
    }
}

/// Names of cookies as written, each with its place.
type Written = Vec<(NameGlob, At)>;

/// `store_if`, `store_unless`, `strip_cookies` and `ask_again_with` of a rule's `cache`, and the cookies that the last two name.
pub(crate) fn read(reader: &mut Reader, cache: &Section<'_>) -> (StoreRule, Written, Written) {
    let strips = reader.list(cache, "strip_cookies", values::name_glob);
    let only = reader.subsection(cache, "store_if");
    let echoes = only
        .as_ref()
        .map_or_else(Vec::new, |section| plain(reader.list(section, "same_as_request", values::header_name)));
    let only = only.and_then(|section| conditions(reader, &section, "store_if", !echoes.is_empty()));
    let unless = reader.subsection(cache, "store_unless");
    let unless = unless.and_then(|section| conditions(reader, &section, "store_unless", false));
    let again = reader.list(cache, "ask_again_with", values::name_glob);
    if !again.is_empty() && cache.entry("slice").is_some() {
        let hint = "a slice is asked for as it is; leave one of them out";
        reader.error(cache.at_of("ask_again_with"), "`ask_again_with` does not go with `slice`", hint);
    }
    let rule = StoreRule {
        again: plain(again.clone()),
        only,
        unless,
        echoes,
        strips: NameSet::new(strips.iter().map(|(glob, _)| glob.clone())),
        strips_written: strips.iter().map(|(glob, _)| glob.as_str().to_owned()).collect(),
    };
    (rule, strips, again)
}

fn conditions(reader: &mut Reader, section: &Section<'_>, name: &str, more: bool) -> Option<ResponseMatch> {
    let read = ResponseMatch {
        status: plain(reader.list(section, "status", status)),
        headers: rules::conditions(reader, section, "header", values::header_name),
        content_types: plain(reader.list(section, "content_type", content_type)),
    };
    let given =
        ["status", "header", "content_type"].iter().any(|key| section.entry(key).is_some() || section.misspells(key));
    if !given && !more {
        let hint = format!("for example `{name}: {{ content_type: \"image/*\" }}`");
        reader.error(section.at, format!("`{name}` has no condition"), hint);
    }
    given.then_some(read)
}

/// `404` or `5xx`.
fn status(text: &str) -> Read<StatusGlob> {
    let class = text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
    match class.filter(|digit| (2..=5).contains(digit)) {
        Some(digit) => Ok(StatusGlob::Class(digit)),
        None => values::status(text).map(|status| StatusGlob::One(status.as_u16())),
    }
}

/// A glob over media types, which ignore case.
fn content_type(text: &str) -> Read<NameGlob> {
    if !text.contains('/') && text != "*" {
        return Err(Wrong::because("has no `/`").hint(format!("write `{text}/*`, or the whole type")));
    }
    if text.contains(';') {
        return Err(Wrong::because("has a parameter").hint("write the type only: `text/html`"));
    }
    Ok(NameGlob::ignoring_case(text))
}
