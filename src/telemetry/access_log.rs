//! One line per request, written by hand into a byte buffer: this runs for every request, so it looks nothing up and
//! allocates nothing.
//!
//! What clients send (target, `Host`, `Referer`, `User-Agent`) is escaped, so that nobody can forge a line, a field or
//! a terminal sequence.

use std::io::Write as _;
use std::time::Duration;

use copal_proxy::{Outcome, Record};
use http::Version;

use super::dates::Dates;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// No lines.
    Off,
    /// The Combined Log Format, then host, reason, rule and duration in seconds. Times are UTC.
    Combined,
    /// One JSON object a line (RFC 8259).
    Json,
    /// For a person who watches `copal demo`.
    Demo {
        /// ANSI colours.
        colour: bool,
    },
}

/// Writes lines of one [`Format`].
#[derive(Debug)]
pub(super) struct Formatter {
    format: Format,
    dates: Dates,
}

impl Formatter {
    pub(super) fn new(format: Format) -> Self {
        Self { format, dates: Dates::default() }
    }

    /// Appends the line of `record`, with its line end, to `out`.
    pub(super) fn line(&mut self, record: &Record, out: &mut Vec<u8>) {
        match self.format {
            Format::Off => {}
            Format::Combined => self.combined(record, out),
            Format::Json => self.json(record, out),
            Format::Demo { colour } => self.demo(record, colour, out),
        }
    }

    fn combined(&mut self, record: &Record, out: &mut Vec<u8>) {
        peer(record, out);
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(self.dates.clf(record.started.as_millis()).as_bytes());
        out.extend_from_slice(b"] \"");
        escape(record.method.as_str().as_bytes(), out);
        out.push(b' ');
        escape(record.text.target(), out);
        out.push(b' ');
        out.extend_from_slice(version(record.version).as_bytes());
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(record.status.as_str().as_bytes());
        out.push(b' ');
        number(record.bytes, out);
        let text = &record.text;
        for field in [text.referer(), text.user_agent(), text.host()] {
            out.extend_from_slice(b" \"");
            escape(field.unwrap_or(b"-"), out);
            out.push(b'"');
        }
        out.push(b' ');
        out.extend_from_slice(record.reason.as_str().as_bytes());
        out.push(b' ');
        word(&record.rule, out);
        out.push(b' ');
        seconds(record.duration, out);
        out.push(b'\n');
    }

    fn json(&mut self, record: &Record, out: &mut Vec<u8>) {
        let millis = record.started.as_millis();
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.dates.rfc3339(millis).as_bytes());
        out.push(b'.');
        padded(millis % 1_000, 3, out);
        out.extend_from_slice(b"Z\",\"peer\":\"");
        peer(record, out);
        out.extend_from_slice(b"\",\"method\":\"");
        escape_json(record.method.as_str().as_bytes(), out);
        out.extend_from_slice(b"\",\"target\":\"");
        escape_json(record.text.target(), out);
        out.extend_from_slice(b"\",\"version\":\"");
        out.extend_from_slice(version(record.version).as_bytes());
        out.push(b'"');
        let text = &record.text;
        for (name, field) in [("host", text.host()), ("referer", text.referer()), ("user_agent", text.user_agent())] {
            let Some(value) = field else { continue };
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape_json(value, out);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"status\":");
        out.extend_from_slice(record.status.as_str().as_bytes());
        out.extend_from_slice(b",\"bytes\":");
        number(record.bytes, out);
        out.extend_from_slice(b",\"seconds\":");
        seconds(record.duration, out);
        out.extend_from_slice(b",\"outcome\":\"");
        out.extend_from_slice(record.reason.outcome().as_str().as_bytes());
        out.extend_from_slice(b"\",\"reason\":\"");
        out.extend_from_slice(record.reason.as_str().as_bytes());
        out.extend_from_slice(b"\",\"rule\":\"");
        escape_json(record.rule.as_bytes(), out);
        out.extend_from_slice(b"\",\"fragments\":");
        number(u64::from(record.fragments), out);
        out.extend_from_slice(b",\"complete\":");
        out.extend_from_slice(if record.complete { b"true" } else { b"false" });
        if let Some(id) = &record.request_id {
            // What is taken over from a proxy has nothing in it that JSON escapes.
            let _ = write!(out, ",\"request_id\":\"{id}\"");
        }
        out.extend_from_slice(b"}\n");
    }

    fn demo(&mut self, record: &Record, colour: bool, out: &mut Vec<u8>) {
        let outcome = record.reason.outcome();
        let (on, off) = if colour { (colour_of(outcome), "\x1b[0m") } else { ("", "") };
        let time = self.dates.time_of_day(record.started.as_millis());
        let millis = record.duration.as_secs_f64() * 1_000.0;
        let (outcome, reason, status) = (outcome.as_str(), record.reason.as_str(), record.status.as_str());
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{time}  {on}{outcome:<7}{off} {reason:<17} {status} {millis:>8.1} ms  {} ", record.method);
        escape(record.text.target(), out);
        if record.fragments > 0 {
            let plural = if record.fragments == 1 { "" } else { "s" };
            let _ = write!(out, "  +{} fragment{plural}", record.fragments);
        }
        if !record.rule.is_empty() {
            out.extend_from_slice(b"  rule ");
            word(&record.rule, out);
        }
        if !record.complete {
            out.extend_from_slice(b"  (broken off)");
        }
        out.push(b'\n');
    }
}

fn colour_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hit => "\x1b[32m",
        Outcome::Stale => "\x1b[33m",
        Outcome::Miss => "\x1b[36m",
        Outcome::Pass => "\x1b[35m",
        Outcome::Respond | Outcome::Purge => "\x1b[34m",
        Outcome::Error => "\x1b[31m",
    }
}

fn peer(record: &Record, out: &mut Vec<u8>) {
    // An IPv4 client of a dual-stack socket shows as itself, not as ::ffff:a.b.c.d. Writing to a Vec cannot fail.
    let _ = write!(out, "{}", record.peer.ip().to_canonical());
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// A name as one word; `-` for none.
fn word(text: &str, out: &mut Vec<u8>) {
    if text.is_empty() {
        out.push(b'-');
    } else if text.contains(' ') {
        escape(text.replace(' ', "_").as_bytes(), out);
    } else {
        escape(text.as_bytes(), out);
    }
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

/// Seconds with six decimals.
fn seconds(duration: Duration, out: &mut Vec<u8>) {
    number(duration.as_secs(), out);
    out.push(b'.');
    padded(u64::from(duration.subsec_micros()), 6, out);
}

/// Appends `bytes` with `"`, `\` and everything outside printable ASCII as `\xHH`, as nginx and Apache do.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut plain = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..index]);
        out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        plain = index + 1;
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// Appends `bytes` as the inside of a JSON string (RFC 8259 §7): UTF-8 stays, what is not UTF-8 becomes U+FFFD, and
/// control characters (the C1 ones too: terminals obey them) are escaped.
fn escape_json(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(bytes);
        return;
    }
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            // Writing to a Vec cannot fail.
            _ if character.is_control() => drop(write!(out, "\\u{:04x}", u32::from(character))),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use copal_proxy::RequestText;

    use super::*;
    use crate::telemetry::test_record::record;

    fn line(format: Format, record: &Record) -> String {
        let mut out = Vec::new();
        Formatter::new(format).line(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn combined_is_the_known_format_and_our_words_behind_it() {
        assert_eq!(
            line(Format::Combined, &record()),
            "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /news?page=2 HTTP/1.1\" 200 5120 \"-\" \"curl/8\" \
             \"example.org\" hit pages 0.001500\n"
        );
    }

    #[test]
    fn json_is_json_with_every_fact() {
        let text = line(Format::Json, &record());
        assert!(text.ends_with("}\n"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "time": "1994-11-06T08:49:37.123Z", "peer": "192.0.2.7", "method": "GET", "target": "/news?page=2",
                "version": "HTTP/1.1", "host": "example.org", "user_agent": "curl/8", "status": 200, "bytes": 5120,
                "seconds": 0.0015, "outcome": "hit", "reason": "hit", "rule": "pages", "fragments": 2, "complete": true,
            })
        );
    }

    #[test]
    fn a_client_cannot_forge_a_line_a_field_or_a_terminal_sequence() {
        let evil = b"x\" 200 1 \"\\\x1b[31m\xc2\x9b\xff\t\xe2\x9c\x93";
        let mut record = record();
        let forged: &[u8] = b"x\" 200 1 \"\\\xc2\x9b\xff\t\xe2\x9c\x93";
        record.text = RequestText::new(&["/news?page=2"], [None, None, Some(forged)]);
        let combined = line(Format::Combined, &record);
        assert!(combined.contains(r#""x\x22 200 1 \x22\x5C\xC2\x9B\xFF\x09\xE2\x9C\x93""#), "{combined}");
        let json: serde_json::Value = serde_json::from_str(&line(Format::Json, &record)).unwrap();
        assert_eq!(json["user_agent"], "x\" 200 1 \"\\\u{9b}\u{fffd}\t\u{2713}");

        for escape in [escape, escape_json] {
            let mut out = Vec::new();
            escape(evil, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert_eq!(text.matches('"').count(), text.matches("\\\"").count(), "{text:?}");
        }
    }

    #[test]
    fn every_byte_leaves_the_json_valid() {
        for byte in 0..=u8::MAX {
            let mut out = b"\"".to_vec();
            escape_json(&[b'a', byte, b'b'], &mut out);
            out.push(b'"');
            let text: String = serde_json::from_slice(&out).unwrap();
            assert!(text.starts_with('a') && text.ends_with('b'), "{byte}: {text:?}");
        }
    }

    #[test]
    fn the_demo_line_says_what_happened_and_why() {
        let mut record = record();
        assert_eq!(
            line(Format::Demo { colour: false }, &record),
            "08:49:37  hit     hit               200      1.5 ms  GET /news?page=2  +2 fragments  rule pages\n"
        );
        record.complete = false;
        record.rule = "".into();
        record.fragments = 0;
        let coloured = line(Format::Demo { colour: true }, &record);
        assert!(coloured.contains("\x1b[32mhit    \x1b[0m") && coloured.ends_with("(broken off)\n"), "{coloured:?}");
    }

    #[test]
    fn absolute_form_and_mapped_addresses() {
        let mut record = record();
        record.text = RequestText::new(&["http://other.example/x"], [None; 3]);
        record.peer = "[::ffff:192.0.2.9]:1234".parse().unwrap();
        record.rule = "a rule".into();
        let text = line(Format::Combined, &record);
        assert!(text.starts_with("192.0.2.9 ") && text.contains("\"GET http://other.example/x HTTP/1.1\""), "{text}");
        assert!(text.contains(" a_rule "), "{text}");
    }

    #[test]
    fn off_writes_nothing() {
        assert_eq!(line(Format::Off, &record()), "");
    }
}
