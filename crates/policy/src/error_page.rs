//! Reads `errors`: the page that visitors get when the site cannot be had, with places for what is known of the failure.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{At, Source};
use crate::keys::nearest;
use crate::load;
use crate::reader::{Reader, Section};
use crate::{Diagnostic, Severity, values};

/// The longest page, in bytes: it is sent when there is trouble already.
const LONGEST: usize = 64 << 10;

/// What stands in the place of `{{name}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `status`: the status code.
    Status,
    /// `reason`: the word of the log and of `Cache-Status`.
    Reason,
    /// `title`: what happened, in a few words.
    Title,
    /// `message`: the same in a sentence or two, for visitors.
    Message,
    /// `request_id`: by which the log knows the request.
    RequestId,
}

const NAMES: [(&str, Placeholder); 5] = [
    ("status", Placeholder::Status),
    ("reason", Placeholder::Reason),
    ("title", Placeholder::Title),
    ("message", Placeholder::Message),
    ("request_id", Placeholder::RequestId),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Place(Placeholder),
}

/// An HTML page with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage(Box<[Piece]>);

impl ErrorPage {
    /// The page with its values, which are text: they are escaped here, for text and quoted attributes of HTML.
    pub fn render<'v>(&self, value: impl Fn(Placeholder) -> Cow<'v, str>) -> String {
        let mut page = String::with_capacity(4096);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => page.push_str(text),
                Piece::Place(placeholder) => escape(&value(*placeholder), &mut page),
            }
        }
        page
    }
}

fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            other => into.push(other),
        }
    }
}

/// The page that is shipped.
fn shipped() -> ErrorPage {
    parse(include_str!("error_page.html")).unwrap_or_else(|_| ErrorPage(Box::default()))
}

/// Reads `errors` of the configuration: the page, and what is wrong with its file.
pub(crate) fn read(reader: &mut Reader, file: &Section<'_>, base: Option<&Path>) -> (Arc<ErrorPage>, Vec<Diagnostic>) {
    let section = reader.part(file, "errors");
    let Some(written) = section.entry("page").and_then(|_| reader.value(&section, "page", values::text)) else {
        return (Arc::new(shipped()), Vec::new());
    };
    let at = section.entry("page").map_or(section.at, |entry| entry.node.at);
    let path = base.map_or_else(|| written.clone().into(), |base| base.join(&written));
    let text = load::read(&path).and_then(|text| match text.len() {
        0..=LONGEST => Ok(text),
        _ => Err("it is longer than 64KiB".to_owned()),
    });
    match text {
        Err(reason) => {
            let message = format!("the error page `{}`: {reason}", path.display());
            reader.error(at, message, "a path is relative to this file");
            (Arc::new(shipped()), Vec::new())
        }
        Ok(text) => match parse(&text) {
            Ok(page) => (Arc::new(page), Vec::new()),
            Err(wrong) => {
                let source = Source::new(&path.display().to_string(), &text);
                let diagnostic = |(at, name): (At, String)| {
                    let names = NAMES.map(|(name, _)| name);
                    let hint = match nearest(&name, names) {
                        Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
                        None => format!("known here: {}", names.join(", ")),
                    };
                    source.diagnostic(Severity::Error, at, format!("unknown placeholder `{name}`"), Some(hint))
                };
                (Arc::new(shipped()), wrong.into_iter().map(diagnostic).collect())
            }
        },
    }
}

/// A page of a text. `{{` without `}}` on the same line is text.
///
/// # Errors
/// Where something stands in `{{` and `}}` that is no placeholder, and what.
fn parse(text: &str) -> Result<ErrorPage, Vec<(At, String)>> {
    let (mut pieces, mut wrong, mut plain) = (Vec::new(), Vec::new(), String::new());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let mut rest = line;
        while let Some((before, place, after)) = next_place(rest) {
            plain.push_str(before);
            match NAMES.iter().find(|(name, _)| *name == place.trim()) {
                Some((_, placeholder)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
                    pieces.push(Piece::Place(*placeholder));
                }
                None => {
                    let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                    let column = count(&line[..line.len() - rest.len() + before.len()]).saturating_add(1);
                    let line = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
                    let width = count(place).saturating_add(4);
                    wrong.push((At { line, column, width }, place.trim().to_owned()));
                }
            }
            rest = after;
        }
        plain.push_str(rest);
    }
    pieces.push(Piece::Text(plain.into()));
    if wrong.is_empty() { Ok(ErrorPage(pieces.into())) } else { Err(wrong) }
}

fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (place, after) = rest.split_once("}}")?;
    Some((before, place, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        parse(text).unwrap().render(|placeholder| match placeholder {
            Placeholder::Status => "502".into(),
            Placeholder::RequestId => "<'\"&>".into(),
            other => format!("{other:?}").into(),
        })
    }

    #[test]
    fn placeholders_have_their_values_and_those_are_escaped() {
        for (text, expected) in [
            ("", ""),
            ("no place", "no place"),
            ("{{status}}", "502"),
            ("a {{ status }} b {{title}}\n{{message}}{{reason}}", "a 502 b Title\nMessageReason"),
            ("id={{request_id}}", "id=&lt;&#39;&quot;&amp;&gt;"),
            ("{{ open\n}} closed", "{{ open\n}} closed"),
            ("body{a{b:c}}", "body{a{b:c}}"),
        ] {
            assert_eq!(render(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_placeholder_is_told_with_its_place() {
        let wrong = parse("é {{status}} {{stats}}\n  {{x}} {{title}}").unwrap_err();
        let found: Vec<_> = wrong.iter().map(|(at, name)| (at.line, at.column, at.width, name.as_str())).collect();
        assert_eq!(found, [(1, 14, 9, "stats"), (2, 3, 5, "x")]);
    }

    #[test]
    fn the_shipped_page_is_whole_and_needs_nothing_from_elsewhere() {
        let text = include_str!("error_page.html");
        assert!(text.len() < LONGEST);
        for name in NAMES.map(|(name, _)| name) {
            assert!(text.contains(&format!("{{{{{name}}}}}")), "{name}");
        }
        for elsewhere in ["http:", "https:", "src=", "url(", "<link", "<script", "@import"] {
            assert!(!text.contains(elsewhere), "{elsewhere}");
        }
        assert!(shipped().0.len() > NAMES.len());
        assert!(text.contains("lang=\"en\"") && text.contains("color-scheme") && text.contains("name=\"robots\""));
    }
}
