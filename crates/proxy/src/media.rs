//! What a response is made of, as far as assembly asks: a template, a script, text under a coding.

use copal_policy::{EsiMode, Rule};
use http::{HeaderMap, header};

use crate::trigger;

/// Whether a response is to be read as an ESI template.
pub(crate) fn is_template(rule: &Rule, headers: &HeaderMap) -> bool {
    let wanted = match rule.esi {
        EsiMode::Off => false,
        EsiMode::On => true,
        EsiMode::Auto => trigger::asks(rule.esi_options.triggers, headers),
    };
    wanted && is_text(headers)
}

/// Whether a template is JSON or a script, so that values in it stand in string literals.
pub(crate) fn is_script(headers: &HeaderMap) -> bool {
    essence(headers)
        .is_some_and(|essence| ["json", "javascript", "ecmascript"].iter().any(|kind| essence.ends_with(kind)))
}

/// Whether a response is a stream of events (server-sent events), which is silent for as long as nothing happens.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    headers.get(header::CONTENT_TYPE).is_some_and(|media| {
        let (essence, rest) = media.as_bytes().split_at(media.len().min(EVENTS.len()));
        essence.eq_ignore_ascii_case(EVENTS) && rest.first().is_none_or(|next| matches!(next, b';' | b' ' | b'\t'))
    })
}

/// The media type without its parameters, in lower case (RFC 9110 §8.3.1).
fn essence(headers: &HeaderMap) -> Option<String> {
    let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Media types that can carry ESI: text, XML, JSON and scripts. In anything else `<esi:` is chance.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(essence) = essence(headers) else { return false };
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence.ends_with("+json")
        || matches!(&*essence, "application/xml" | "application/json" | "application/javascript")
}

/// A content coding is applied: the text is not to be seen.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
