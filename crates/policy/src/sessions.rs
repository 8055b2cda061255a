//! Session cookies: which they are, and which of their values mean nothing.

use crate::diagnostic::At;
use crate::glob::NameGlob;
use crate::keys;
use crate::names::NameSet;
use crate::reader::{Reader, Section};
use crate::yaml::{Node, Value};
use crate::{Cookie, values};

/// One session cookie as written.
#[derive(Clone, Debug)]
pub(crate) struct SessionCookie {
    pub(crate) glob: NameGlob,
    /// With such a value it is none.
    pub(crate) except: Vec<NameGlob>,
}

/// The session cookies of the configuration and all its policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    /// Whatever their value.
    always: NameSet,
    /// But for some values; mostly empty.
    but: Vec<SessionCookie>,
}

impl Sessions {
    pub(crate) fn new<'a>(cookies: impl IntoIterator<Item = &'a SessionCookie>) -> Self {
        let mut always = Vec::new();
        let mut but = Vec::new();
        for cookie in cookies {
            if cookie.except.is_empty() {
                always.push(cookie.glob.clone());
            } else {
                but.push(cookie.clone());
            }
        }
        Self { always: NameSet::new(always), but }
    }

    /// Whether a cookie of that name can be a session.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.always.contains(name) || self.but.iter().any(|cookie| cookie.glob.matches(name))
    }

    /// Whether this cookie is of a session's name and has a value that says that there is none: an empty basket. Where
    /// several entries fit the name, each of them must say so.
    pub(crate) fn excepts(&self, cookie: &Cookie<'_>) -> bool {
        if self.but.is_empty() || self.always.contains(cookie.name) {
            return false;
        }
        let mut named = self.but.iter().filter(|session| session.glob.matches(cookie.name)).peekable();
        let value =
            cookie.value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(cookie.value);
        named.peek().is_some() && named.all(|session| session.except.iter().any(|glob| glob.matches_bytes(value)))
    }
}

/// `sessions.cookies`: names, or mappings of a name and its exceptions.
pub(crate) fn read(reader: &mut Reader, sessions: &Section<'_>) -> Vec<(SessionCookie, At)> {
    let Some(entry) = sessions.entry("cookies") else { return Vec::new() };
    let items = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(_) | Value::Scalar(_) => std::slice::from_ref(&entry.node),
        Value::Null => {
            // Says that there is no value.
            let _ = reader.list(sessions, "cookies", values::name_glob);
            return Vec::new();
        }
    };
    items.iter().filter_map(|item| cookie(reader, item)).collect()
}

fn cookie(reader: &mut Reader, node: &Node) -> Option<(SessionCookie, At)> {
    if !matches!(node.value, Value::Map(_)) {
        let glob = reader.scalar(keys::find("sessions.cookies")?, node, &values::name_glob)?;
        return Some((SessionCookie { glob, except: Vec::new() }, node.at));
    }
    let section = reader.section(node, "sessions.cookies[]")?;
    let glob = reader.value(&section, "name", values::name_glob);
    let except = crate::settings::plain(reader.list(&section, "except", values::value_glob));
    if section.entry("except").is_some() && except.iter().any(|glob| glob.as_str() == "*") {
        let hint = "leave the cookie out, or put it on the list `ignore`";
        reader.error(section.at_of("except"), "`except: \"*\"` leaves no value that would be a session", hint);
    }
    let at = section.entry("name").map_or(section.at, |entry| entry.node.at);
    Some((SessionCookie { glob: glob?, except }, at))
}
