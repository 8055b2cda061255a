//! Reads an `<esi:include>` tag (ESI 1.0, section 3.1).

use std::time::Duration;

use bytes::Bytes;

use crate::expression::Dialect;
use crate::interpolation::Interpolation;
use crate::position::Position;
use crate::tag::{Attribute, Tag, decode};
use crate::template::{Include, IncludeOptions, References};
use crate::warning::{Message, Warnings, quoted};

/// Why a tag gives no include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has no usable `src`.
    MissingSrc,
    /// A value has a `<` in it: a quote was left open, and the tag ran on into the page.
    RanOn,
}

/// The include that `tag`, which stands `at` that place, asks for.
pub(crate) fn read(tag: &Tag<'_>, dialect: Dialect, at: Position, warnings: &mut Warnings) -> Result<Include, Refused> {
    let attributes = tag.attributes();
    let is_reference = |attribute: &&Attribute| matches!(&*attribute.name, "src" | "alt");
    if attributes.iter().filter(is_reference).any(|attribute| attribute.raw.contains('<')) {
        return Err(Refused::RanOn);
    }
    let (mut src, mut alt, mut on_error) = (None, None, None);
    let mut options = None;
    for Attribute { name, raw } in attributes {
        let (name, value) = match &*name {
            "src" => ("src", &mut src),
            "alt" => ("alt", &mut alt),
            "onerror" => ("onerror", &mut on_error),
            other => {
                let read = match dialect {
                    Dialect::Akamai => option(other, &raw, options.get_or_insert_default()),
                    Dialect::Esi10 => Attributed::Unknown,
                };
                match read {
                    Attributed::Obeyed => {}
                    Attributed::Ignored => warnings.add(at, || Message::IgnoredAttribute(quoted(other))),
                    Attributed::Unknown => warnings.add(at, || Message::UnknownAttribute(quoted(other))),
                }
                continue;
            }
        };
        if value.is_some() {
            warnings.add(at, || Message::DuplicateAttribute(name));
        } else {
            *value = Some(raw);
        }
    }
    let continue_on_error = on_error.as_deref() == Some("continue");
    if on_error.is_some() && !continue_on_error {
        warnings.add(at, || Message::BadOnError);
    }
    let mut references = References::default();
    let mut reference = |name, raw: Option<Box<str>>, computed: &mut Option<Interpolation>| {
        raw.and_then(|raw| reference(name, &raw, dialect, at, warnings, computed))
    };
    let alt = reference("alt", alt, &mut references.alt);
    let src = reference("src", src, &mut references.src).ok_or(Refused::MissingSrc)?;
    let entity = options.as_deref().and_then(|options: &IncludeOptions| options.entity.as_deref());
    if let Some(entity) = entity.filter(|entity| entity.contains('$')) {
        let read = Interpolation::read(&Bytes::copy_from_slice(entity.as_bytes()), dialect);
        if read.broken > 0 {
            warnings.add(at, || Message::BadVariable);
        }
        references.entity = read.interpolation;
    }
    let has_variables = references != References::default();
    Ok(Include {
        src,
        alt,
        continue_on_error,
        line: at.line,
        column: at.column,
        options: options.filter(|options| **options != IncludeOptions::default()),
        references: has_variables.then(|| Box::new(references)),
    })
}

/// The URI reference a value gives, if it can be one. Whether it resolves is the caller's to find out.
fn reference(
    name: &'static str,
    raw: &str,
    dialect: Dialect,
    at: Position,
    warnings: &mut Warnings,
    computed: &mut Option<Interpolation>,
) -> Option<Box<str>> {
    let decoded = decode(raw);
    let value = decoded.trim_ascii();
    if value.is_empty() {
        return None;
    }
    // A line break would end a request line. A backslash in front is the `\"` of a template inside a JSON string.
    if value.contains(char::is_control) || value.starts_with('\\') {
        warnings.add(at, || Message::BadReference(name));
        return None;
    }
    if value.contains('$') {
        let read = Interpolation::read(&Bytes::copy_from_slice(value.as_bytes()), dialect);
        if read.broken > 0 {
            warnings.add(at, || Message::BadVariable);
        }
        *computed = read.interpolation;
    }
    Some(value.into())
}

/// What becomes of an attribute of the Akamai dialect.
#[derive(Clone, Copy)]
enum Attributed {
    Obeyed,
    /// Known, and of no effect here.
    Ignored,
    Unknown,
}

/// An attribute of the Akamai dialect. A value that cannot be read is left out.
fn option(name: &str, raw: &str, options: &mut Box<IncludeOptions>) -> Attributed {
    let value = decode(raw);
    let value = value.trim_ascii();
    match name {
        "maxwait" => options.max_wait = value.parse().ok().map(Duration::from_millis),
        "ttl" => options.ttl = duration(value),
        "no-store" => options.no_store = value == "on",
        "dca" => {
            options.process = match value {
                "esi" => Some(true),
                "none" => Some(false),
                _ => None,
            }
        }
        // A POST where the rule lets it; which fields a request has is not a page's to say.
        "method" if value == "GET" || value.is_empty() => {}
        "method" if value == "POST" => options.method = Some(value.into()),
        "entity" => options.entity = (!value.is_empty()).then(|| value.into()),
        "method" => return Attributed::Ignored,
        "appendheader" | "appendheaders" | "setheader" | "setheaders" | "removeheader" | "removeheaders" => {
            return Attributed::Ignored;
        }
        _ => return Attributed::Unknown,
    }
    Attributed::Obeyed
}

/// `30`, `30s`, `5m`, `2h`, `1d`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `<esi:include ATTRIBUTES/>`: `src|alt!` or the refusal, then the warnings' words.
    fn include(attributes: &str) -> String {
        let mut warnings = Warnings::new(9);
        let tag = format!("<esi:include {attributes}/>");
        let mut read = match read(&Tag::read(tag.as_bytes()), Dialect::Esi10, Position::START, &mut warnings) {
            Err(refused) => format!("{refused:?}"),
            Ok(include) => {
                let alt = include.alt.map(|alt| format!("|{alt}")).unwrap_or_default();
                let mark = if include.continue_on_error { "!" } else { "" };
                format!("{}{alt}{mark}", include.src)
            }
        };
        for warning in warnings.take() {
            read = format!("{read} {}", warning.message.as_str());
        }
        read
    }

    #[test]
    fn section_3_1_attributes() {
        for (attributes, expected) in [
            (r#"src="/a""#, "/a"),
            (r#"alt='/b' src='/a'"#, "/a|/b"),
            (r#"src=" /a?b&amp;c ""#, "/a?b&c"),
            (r#"src="/a" alt="""#, "/a"),
            (r#"src="/a" onerror="continue""#, "/a!"),
            (r#"src="/a" onerror="Continue""#, "/a bad-onerror"),
            (r#"src="/a" onerror=" continue""#, "/a bad-onerror"),
            (r#"src="/a" onerror"#, "/a bad-onerror"),
            (r#"src="/a" src="/b""#, "/a duplicate-attribute"),
            (r#"src="/a" ttl="1h""#, "/a unknown-attribute"),
            (r#"src="/a" SRC="/b""#, "/a unknown-attribute"),
            (r#"src="/$(A)""#, "/$(A)"),
            (r#"src="/$(A""#, "/$(A bad-variable"),
        ] {
            assert_eq!(include(attributes), expected, "{attributes}");
        }
    }

    #[test]
    fn attributes_of_the_akamai_dialect() {
        for (attributes, expected, words) in [
            (r#"maxwait="500" ttl="2h" no-store="on" dca="esi""#, true, ""),
            (r#"method="GET""#, false, ""),
            (r#"method="POST" entity="a=b""#, true, ""),
            (r#"method="POST" entity="a=$(QUERY_STRING{b})""#, true, ""),
            (r#"method="POST" entity="a=$(""#, true, "bad-variable"),
            (r#"method="PUT""#, false, "ignored-attribute"),
            (r#"setheader="X-A: b""#, false, "ignored-attribute"),
            (r#"stylesheet="x""#, false, "unknown-attribute"),
        ] {
            let mut warnings = Warnings::new(9);
            let tag = format!("<esi:include src='/a' {attributes}/>");
            let read = read(&Tag::read(tag.as_bytes()), Dialect::Akamai, Position::START, &mut warnings);
            assert_eq!(read.map(|include| include.options.is_some()), Ok(expected), "{attributes}");
            let said: Vec<_> = warnings.take().iter().map(|warning| warning.message.as_str()).collect();
            assert_eq!(said.join(" "), words, "{attributes}");
        }
    }

    #[test]
    fn section_3_1_the_value_must_be_a_uri() {
        for (attributes, expected) in [
            ("", "MissingSrc"),
            (r#"src="  ""#, "MissingSrc"),
            (r#"alt="/b""#, "MissingSrc"),
            (r#"src="/a&#13;&#10;Host: b""#, "MissingSrc bad-reference"),
            (r#"src=\"/a\""#, "MissingSrc bad-reference"),
            ("src='/a' alt='/b\n/c'", "/a bad-reference"),
            (r#"src="/a> <b class=""#, "RanOn"),
            (r#"src="/a" alt="<""#, "RanOn"),
        ] {
            assert_eq!(include(attributes), expected, "{attributes}");
        }
    }
}
