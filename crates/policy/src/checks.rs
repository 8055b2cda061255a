//! What only shows when the configuration and all its policies are side by side.

use crate::glob::NameGlob;
use crate::load::{DEFAULT, Part};
use crate::rules::Written;

/// A cookie cannot be the visitor's own and part of a key that visitors share.
pub(crate) fn key_cookies(parts: &mut [Part]) {
    let sessions = all_sessions(parts);
    for part in parts {
        for (glob, at) in part.rules.iter().flat_map(|written| &written.key_cookies) {
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

/// A session cookie on an ignore list does nothing there.
pub(crate) fn ignored(parts: &mut [Part]) {
    let sessions = all_sessions(parts);
    for part in parts {
        for (glob, at) in &part.ignored {
            let Some(name) = glob.exact() else { continue };
            if let Some(session) = sessions.iter().find(|session| session.matches(name)) {
                let message = format!("`{name}` is ignored and fits the session cookie `{}`", session.as_str());
                part.reader.warning(*at, message, "session cookies win, so this does nothing");
            }
        }
    }
}

fn all_sessions(parts: &[Part]) -> Vec<NameGlob> {
    parts.iter().flat_map(|part| part.sessions.iter().map(|(glob, _)| glob.clone())).collect()
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

fn catches_all(written: &Written) -> bool {
    written.rule.matcher.is_catch_all()
}
