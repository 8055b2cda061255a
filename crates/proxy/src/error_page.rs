//! What a visitor sees when the site cannot be had: a page, JSON, or a few lines of text, by what the client takes.

use std::borrow::Cow;
use std::fmt::Write as _;

use copal_policy::{ErrorPage, Placeholder};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What is told of a failure.
pub(crate) struct Told<'a> {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) title: &'static str,
    pub(crate) message: &'static str,
    pub(crate) request_id: &'a str,
}

/// What the body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// By `Accept` (RFC 9110 §12.5.1): a page for whoever names HTML, JSON for whoever names that and no HTML, or likes it
    /// better; text for the others, such as `curl`, which take anything.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut html, mut json) = (0, 0);
        for line in headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()) {
            for member in line.split(',') {
                let mut parts = member.split(';').map(str::trim);
                let media = parts.next().unwrap_or_default().to_ascii_lowercase();
                let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
                let weight = weight.map_or(1000, thousandths);
                match &*media {
                    "text/html" | "application/xhtml+xml" => html = html.max(weight),
                    "application/json" => json = json.max(weight),
                    other if other.ends_with("+json") => json = json.max(weight),
                    _ => {}
                }
            }
        }
        match (html, json) {
            (0, 0) => Self::Text,
            (html, json) if html >= json => Self::Html,
            _ => Self::Json,
        }
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

/// A weight (RFC 9110 §12.4.2); what is none counts as zero.
fn thousandths(weight: &str) -> u16 {
    let weight = weight.trim().parse::<f32>().unwrap_or_default();
    if (0.0..=1.0).contains(&weight) { (weight * 1000.0).round() as u16 } else { 0 }
}

/// The body in a form.
pub(crate) fn render(form: Form, page: &ErrorPage, told: &Told<'_>) -> String {
    let Told { status, reason, title, message, request_id } = *told;
    match form {
        Form::Html => page.render(|placeholder| match placeholder {
            Placeholder::Status => Cow::Owned(status.as_str().to_owned()),
            Placeholder::Reason => reason.into(),
            Placeholder::Title => title.into(),
            Placeholder::Message => message.into(),
            Placeholder::RequestId => request_id.into(),
        }),
        Form::Json => {
            let mut text = format!("{{\"status\":{}", status.as_u16());
            let fields = [("title", title), ("message", message), ("reason", reason), ("request_id", request_id)];
            for (name, value) in fields {
                let _ = write!(text, ",\"{name}\":\"");
                escape(value, &mut text);
                text.push('"');
            }
            text.push_str("}\n");
            text
        }
        Form::Text => {
            let words = status.canonical_reason().unwrap_or("Error");
            format!("{} {words}\n\n{message}\nReason: {reason}\nRequest: {request_id}\n", status.as_u16())
        }
    }
}

/// The inside of a JSON string (RFC 8259 §7).
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            other if other.is_control() => {
                let _ = write!(into, "\\u{:04x}", u32::from(other));
            }
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_the_client_takes() {
        const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, form) in [
            (&[FIREFOX][..], Form::Html),
            (&["*/*"], Form::Text),
            (&[], Form::Text),
            (&["text/plain"], Form::Text),
            (&["image/avif,image/webp,*/*"], Form::Text),
            (&["application/json"], Form::Json),
            (&["application/json, text/plain, */*"], Form::Json),
            (&["application/ld+json"], Form::Json),
            (&["application/json;q=0.5, TEXT/HTML"], Form::Html),
            (&["application/json, text/html;q=0.5"], Form::Json),
            (&["application/json", "text/html"], Form::Html),
            (&["text/html;q=0"], Form::Text),
            (&["text/html;q=0, application/json"], Form::Json),
            (&["text/html;q=x"], Form::Text),
            (&["text/html;q=1e9, application/json;q=nan"], Form::Text),
        ] {
            let headers = accept.iter().map(|line| (header::ACCEPT, line.parse().unwrap())).collect();
            assert_eq!(Form::of(&headers), form, "{accept:?}");
        }
    }

    #[test]
    fn json_and_text_tell_the_same() {
        let page = copal_policy::load_str("x", "origins: {a: 'http://127.0.0.1:1'}", None).unwrap().config.error_page;
        let title = "The site cannot be reached right now";
        let message = "Try \"x\".";
        let told = Told { status: StatusCode::BAD_GATEWAY, reason: "origin-dns", title, message, request_id: "1" };
        assert_eq!(
            render(Form::Json, &page, &told),
            "{\"status\":502,\"title\":\"The site cannot be reached right now\",\"message\":\"Try \\\"x\\\".\",\
             \"reason\":\"origin-dns\",\"request_id\":\"1\"}\n"
        );
        assert_eq!(render(Form::Text, &page, &told), "502 Bad Gateway\n\nTry \"x\".\nReason: origin-dns\nRequest: 1\n");
        let html = render(Form::Html, &page, &told);
        assert!(html.contains("<p>Try &quot;x&quot;.</p>") && html.contains("<code>origin-dns</code>"), "{html}");
    }
}
