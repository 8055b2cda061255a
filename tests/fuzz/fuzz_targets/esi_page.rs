//! A template and a visitor's words give the same page at every chunk split, an end, and no markup of the visitor's.
//!
//! Input: a line with the lengths of the chunks, `0` for 1 byte, `1` for 2, and so on through the bytes, over and over, the first one's parity
//! the dialect; a line that the visitor sends wherever something can be sent; then the template.

#![no_main]

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use copal_esi::{Dialect, Escape, Limits, Next, Parser, Plan, Setting, Value, Variables};
use copal_fuzz::first_line;
use libfuzzer_sys::fuzz_target;

/// Begins what the visitor sends: it must not be found on the page.
const MARK: &str = "<visitor";
/// What evaluation may put out beside the template, in bytes.
const MAX_VALUES: usize = 4 << 20;

struct Visitor(String);

impl Variables for Visitor {
    fn get(&self, name: &str, key: Option<&str>) -> Value {
        match (name, key) {
            ("HTTP_ACCEPT_LANGUAGE", Some(key)) => Value::Boolean(key.len() % 2 == 0),
            ("HTTP_HOST", None) => Value::text("example.org"),
            ("HTTP_COOKIE" | "QUERY_STRING", Some("n")) => Value::text("7"),
            ("HTTP_COOKIE" | "QUERY_STRING" | "HTTP_REFERER" | "HTTP_USER_AGENT", _) => Value::text(self.0.as_str()),
            _ => Value::Undefined,
        }
    }

    fn now(&self) -> u64 {
        784_111_777
    }

    fn random(&self) -> u64 {
        14
    }
}

/// The page, where fragments are `{src}` and those with `fail` in their reference fail.
fn page(chunks: &[Bytes], setting: &Setting) -> Vec<u8> {
    let (mut parser, mut pieces) = (Parser::new(Limits::default()).with_dialect(setting.dialect), Vec::new());
    chunks.iter().cloned().for_each(|chunk| parser.push(chunk, &mut pieces));
    parser.finish(&mut pieces);
    let mut plan = Plan::new(4, 100).with_setting(setting.clone());
    pieces.into_iter().for_each(|piece| plan.add(piece));
    plan.end();
    let (mut out, mut names, mut waits) = (Vec::new(), HashMap::new(), 0);
    loop {
        while let Some((id, include)) = plan.start_next() {
            names.insert(id, include.src.to_string());
            if include.src.contains("fail") { plan.failed(id) } else { plan.finished(id) }
        }
        match plan.next() {
            Next::Text(text) => out.extend_from_slice(&text),
            Next::Fragment(id) => {
                out.extend_from_slice(format!("{{{}}}", names[&id]).as_bytes());
                plan.done(id);
            }
            Next::Wait => {
                waits += 1;
                assert!(waits < 1000, "the plan waits for nothing");
            }
            Next::End => return out,
        }
    }
}

/// The template in chunks of these lengths.
fn chunks(lengths: &[u8], template: &Bytes) -> Vec<Bytes> {
    let (mut chunks, mut rest) = (Vec::new(), template.clone());
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let length = 1 + usize::from(length.wrapping_sub(b'0'));
        chunks.push(rest.split_to(length.min(rest.len())));
    }
    chunks.push(rest);
    chunks
}

fuzz_target!(|input: &[u8]| {
    let (lengths, rest) = first_line(input);
    let (sent, template) = first_line(rest);
    let template = Bytes::copy_from_slice(template);
    if template.windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
        return;
    }
    let dialect = if lengths.first().is_some_and(|first| first % 2 == 1) { Dialect::Akamai } else { Dialect::Esi10 };
    let sent = format!("{MARK}{}", String::from_utf8_lossy(sent));
    for escape in [Escape::Markup, Escape::Script] {
        let setting = Setting { variables: Arc::new(Visitor(sent.clone())), escape, dialect };
        let whole = page(&[template.clone()], &setting);
        assert!(!whole.windows(MARK.len()).any(|window| window == MARK.as_bytes()), "the visitor's markup");
        // A loop puts text out again and again; each time is a step, and each step is paid for.
        assert!(whole.len() <= MAX_VALUES * 8 + template.len() * 1000, "{} bytes", whole.len());
        assert!(page(&chunks(lengths, &template), &setting) == whole, "another page when it is split");
    }
});
