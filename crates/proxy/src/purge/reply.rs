//! What the client of a purge is told, in the words of its dialect.

use bytes::Bytes;
use copal_policy::PurgeDialect;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::answer::Answer;
use crate::body::Body;
use crate::purge::execute::Purged;
use crate::purge::order::{What, WrongOrder};
use crate::reason::Reason;
use crate::{deliver, fault};

/// How a purge is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Copal's own JSON.
    Own,
    /// A status and a few words.
    Text(StatusCode, &'static str),
    /// The two words with a number between them.
    Counted(&'static str, &'static str),
    /// `Purged N objects, expired M objects`.
    PurgedExpired,
    /// `Cache-Purge-Result: tags; count=N`.
    TagCount,
    /// 204.
    NoContent,
    /// `{"status":"ok","id":"…"}`.
    Fastly,
    /// 200, or 404 where nothing was stored.
    Found,
}

impl Style {
    pub(super) fn of_url(dialect: PurgeDialect) -> Self {
        match dialect {
            PurgeDialect::Squid | PurgeDialect::NginxHelper => Self::Found,
            PurgeDialect::Fastly => Self::Fastly,
            PurgeDialect::Plone => Self::Text(StatusCode::OK, "Ban added"),
            PurgeDialect::Lagoon => Self::Text(StatusCode::OK, "Ban added."),
            _ => Self::Own,
        }
    }

    pub(super) fn of_keys(dialect: PurgeDialect) -> Self {
        match dialect {
            PurgeDialect::Shopware => Self::Counted("Invalidated", "objects"),
            _ => Self::PurgedExpired,
        }
    }

    pub(super) fn everything(dialect: PurgeDialect) -> Self {
        match dialect {
            PurgeDialect::Fastly => Self::Fastly,
            _ => Self::Text(StatusCode::OK, "Purged"),
        }
    }

    /// Whether it says how many stored responses went.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::Counted(..) | Self::PurgedExpired | Self::TagCount)
    }
}

/// What was done for a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) hard: Purged,
    pub(crate) soft: Purged,
    pub(crate) dry_run: bool,
}

impl Done {
    fn sequence(&self) -> u64 {
        self.hard.sequence.max(self.soft.sequence)
    }

    fn removed(&self) -> u64 {
        count(&self.hard) + count(&self.soft)
    }

    fn refreshing(&self) -> u64 {
        self.hard.refreshing + self.soft.refreshing
    }
}

fn count(purged: &Purged) -> u64 {
    purged.matching.unwrap_or(purged.removed)
}

/// The answer to a purge that was done. `named`: what it was of, for one that names one URL only.
pub(crate) fn done(style: Style, done: Done, what: &[What]) -> Answer {
    let status = match style {
        Style::Text(status, _) => status,
        Style::NoContent if !done.dry_run => StatusCode::NO_CONTENT,
        Style::Found if done.removed() == 0 => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    let mut headers = HeaderMap::new();
    let text = match style {
        // Who asks what would go wants to read it.
        _ if done.dry_run => own(&done, what),
        Style::Own | Style::Found => own(&done, what),
        Style::Text(_, text) => text.to_owned(),
        Style::Counted(before, behind) => format!("{before} {} {behind}", done.removed()),
        Style::PurgedExpired => {
            format!("Purged {} objects, expired {} objects", count(&done.hard), count(&done.soft))
        }
        Style::TagCount => {
            if let Ok(result) = HeaderValue::from_str(&format!("tags; count={}", done.removed())) {
                headers.insert("cache-purge-result", result);
            }
            "Purged".to_owned()
        }
        Style::NoContent => String::new(),
        Style::Fastly => serde_json::json!({ "status": "ok", "id": format!("copal-{}", done.sequence()) }).to_string(),
    };
    respond(status, headers, text, Reason::Purged)
}

/// Copal's own words, in the order of their names.
#[derive(Serialize)]
struct Own<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refreshing: Option<u64>,
    removed: u64,
    sequence: u64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    what: &'a [String],
}

fn own(done: &Done, what: &[What]) -> String {
    let words: Vec<String> = what.iter().map(ToString::to_string).collect();
    let own = Own {
        again: (done.hard.again || done.soft.again).then_some(true),
        refreshing: Some(done.refreshing()).filter(|count| *count > 0),
        removed: done.removed(),
        sequence: done.sequence(),
        status: if done.dry_run { "dry-run" } else { "purged" },
        url: match what {
            [What::Url(url)] => Some(url.target.url()),
            _ => None,
        },
        what: &words,
    };
    // Numbers and texts: nothing in it can fail to be written.
    serde_json::to_string(&own).unwrap_or_default()
}

/// The answer to whoever may not.
pub(crate) fn denied(status: StatusCode) -> Answer {
    let text = match status {
        StatusCode::METHOD_NOT_ALLOWED => "Not allowed.".to_owned(),
        _ => r#"{"status":"denied","hint":"the client's address is to be in purge.allow, and the secret to be given where one is set (purge.require)"}"#.to_owned(),
    };
    respond(status, HeaderMap::new(), text, Reason::PurgeDenied)
}

/// 400: what is wrong with the request.
pub(crate) fn wrong(wrong: &WrongOrder) -> Answer {
    let text = serde_json::json!({ "status": "wrong", "error": wrong.to_string() }).to_string();
    respond(StatusCode::BAD_REQUEST, HeaderMap::new(), text, Reason::PurgeWrong)
}

fn respond(status: StatusCode, mut headers: HeaderMap, text: String, reason: Reason) -> Answer {
    let media = if text.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, fault::ALLOWED);
    }
    deliver::cache_status(&mut headers, reason, None);
    fault::refused(reason, &mut headers);
    let body = if status == StatusCode::NO_CONTENT {
        Body::empty()
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        Body::bytes(Bytes::from(text + "\n"))
    };
    deliver::respond_with(status, headers, body, reason)
}
