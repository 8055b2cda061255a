//! Any text is a configuration or a list of mistakes with their places.
//!
//! Input: the text of a configuration file.

#![no_main]

use copal_policy::{Cookies, Diagnostic, RequestFacts, Severity, load_str, shipped};
use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;

const FILE: &str = "fuzz.yaml";

/// A mistake may stand in the file itself or in a shipped policy that it does not go together with.
fn text_of<'a>(file: &str, own: &'a str) -> &'a str {
    let policy = file.strip_prefix("policies/").and_then(|file| file.strip_suffix(".yaml")).and_then(shipped);
    policy.unwrap_or_else(|| {
        assert_eq!(file, FILE);
        own
    })
}

fn check(text: &str, diagnostic: &Diagnostic) {
    let Diagnostic { file, line, column, message, .. } = diagnostic;
    let text = text_of(file, text);
    assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
    if *line == 0 {
        // Only an empty file has a mistake without a place.
        assert_eq!((*column, message.as_str()), (0, "the file is empty"));
        return;
    }
    assert!(*column >= 1 && diagnostic.width >= 1, "{diagnostic}");
    // YAML 1.2 §5.4: a carriage return alone is a line break too.
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    let number = *line as usize;
    assert!(number <= lines.len(), "line {line} of {}: {diagnostic}", lines.len());
    assert_eq!(diagnostic.source_line.as_deref().unwrap_or_default(), lines[number - 1], "{diagnostic}");
    // A file must not write escape sequences to a terminal.
    assert!(!diagnostic.to_string().contains(|c: char| c.is_control() && c != '\n'), "{diagnostic:?}");
}

fuzz_target!(|text: &str| {
    // A policy named by path is opened; a device would never end.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    match load_str(FILE, text, None) {
        Err(diagnostics) => {
            assert!(
                diagnostics.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error),
                "refused without a reason"
            );
            diagnostics.0.iter().for_each(|diagnostic| check(text, diagnostic));
        }
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|diagnostic| diagnostic.severity == Severity::Warning));
            loaded.warnings.iter().for_each(|diagnostic| check(text, diagnostic));
            assert!(!loaded.config.origins.is_empty());
            let headers = HeaderMap::new();
            let cookies = Cookies::parse(&headers);
            let facts = RequestFacts {
                method: &Method::GET,
                scheme: "http",
                host: "www.example.org",
                path: "/a/b.html",
                query: Some("c=d"),
                headers: &headers,
                cookies: &cookies,
            };
            let rule = loaded.config.policy.answer(&facts);
            assert!(rule.origin < loaded.config.origins.len());
        }
    }
});
