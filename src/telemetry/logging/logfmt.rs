//! The fields of a line of the text log, in the form of logfmt: `name=value`, quoted where a value would otherwise not end where it does.

use std::borrow::Cow;
use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes the message as it is, and then each field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logfmt;

impl<'writer> FormatFields<'writer> for Logfmt {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: &str) {
        if self.result.is_err() {
            return;
        }
        let pad = if std::mem::replace(&mut self.begun, true) { " " } else { "" };
        let name = field.name().trim_start_matches("r#");
        let pieces = match (name, self.writer.has_ansi_escapes()) {
            ("message", _) => [pad, "", "", value],
            // Italic, and the sign dimmed.
            (name, true) => {
                self.result = self.writer.write_str(pad);
                ["\u{1b}[3m", name, "\u{1b}[0m\u{1b}[2m=\u{1b}[0m", value]
            }
            (name, false) => [pad, name, "=", value],
        };
        // Piece by piece: of a line for each purge, most of the time would go into formatting.
        self.result = self.result.and_then(|()| pieces.iter().try_for_each(|piece| self.writer.write_str(piece)));
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.write(field, &harmless(value)),
            _ => self.write(field, &format!("{value:?}")),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::with_capacity(USUAL);
        self.result = self.result.and_then(|()| write!(text, "{value:?}"));
        match field.name() {
            "message" => self.write(field, &harmless(&text)),
            _ if is_plain(&text) => self.write(field, &text),
            _ => self.write(field, &format!("{text:?}")),
        }
    }
}

/// The usual length of a value, in bytes, and more.
const USUAL: usize = 128;

/// Whether a value is one word to whoever reads `name=value`.
fn is_plain(value: &str) -> bool {
    if value.is_ascii() {
        return !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte));
    }
    // What turns the direction of a line, or cannot be seen, is escaped as well.
    let ends_it = |c: char| c.is_whitespace() || is_odd(c) || matches!(c, '"' | '=' | '\\');
    !value.is_empty() && !value.contains(ends_it)
}

/// No character that is seen where it stands: what the standard library escapes beside quotes.
fn is_odd(c: char) -> bool {
    match c {
        ' '..='~' => false,
        '\t' => true,
        c => c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || c.escape_debug().len() > 1,
    }
}

/// What came from elsewhere must not write escape sequences to a terminal, nor begin a line.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_odd) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => clean.push(c),
            c if is_odd(c) => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean.into()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of the events in `tell`.
    fn written(ansi: bool, tell: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = super::super::text(move || writer.clone()).without_time().with_level(false).with_target(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_ansi(ansi)), tell);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_value_ends_where_it_does() {
        let none: Option<&str> = None;
        let error = io::Error::other("broken \"pipe\"");
        let line = written(false, || {
            let (detail, word) = ("connect-refused: no one there", "closed");
            tracing::info!(reason = "a b", %detail, %word, empty = %"", %error, pair = %"a=b", count = 3, none, r#type = 1, "told");
        });
        let wanted = r#"told reason="a b" detail="connect-refused: no one there" word=closed empty="" error="broken \"pipe\"" pair="a=b" count=3 type=1"#;
        assert_eq!(line.trim(), wanted);
    }

    #[test]
    fn nothing_that_is_told_begins_a_line_or_moves_the_cursor() {
        let evil = "x\n2020 INFO all is well \u{1b}[2J";
        let line = written(false, || tracing::info!(plain = evil, shown = %evil, "{evil}"));
        assert_eq!((line.trim_end().lines().count(), line.contains('\u{1b}')), (1, false), "{line}");
        assert!(line.contains(r#"shown="x\n2020 INFO all is well \u{1b}[2J""#), "{line}");
    }

    #[test]
    fn colours_are_around_names_and_not_in_values() {
        let line = written(true, || tracing::info!(detail = %"a b", "told"));
        assert!(line.contains("\u{1b}[3mdetail\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"a b\""), "{line:?}");
    }

    #[test]
    fn nothing_that_is_told_turns_the_direction_of_a_line() {
        let line = written(false, || tracing::info!(shown = %"a\u{202e}b", "c\u{2028}d"));
        assert!(!line.contains(['\u{202e}', '\u{2028}']), "{line:?}");
    }
}
