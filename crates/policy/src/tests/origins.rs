//! Origins: what is read, what is refused, what is doubted.

use super::load::errors;
use crate::{OriginConfig, load_str};

fn origins(text: &str) -> Vec<OriginConfig> {
    load_str("copal.yaml", text, None).unwrap_or_else(|errors| panic!("{text}\n{errors}")).config.origins
}

#[test]
fn a_fallback_is_another_origin_wherever_it_stands() {
    let read = origins(
        "origins: { a: { servers: \"http://a\", fallback: c }, b: { servers: \"http://b\", fallback: a }, c: \"http://c\" }",
    );
    assert_eq!(read.iter().map(|origin| origin.fallback).collect::<Vec<_>>(), [Some(2), Some(0), None]);
}

#[test]
fn a_fallback_that_leads_nowhere_is_refused() {
    for (fallbacks, message, hint) in [
        (
            ["nowhere", "", ""],
            "`fallback` must be a name, but `nowhere` is no origin of this file",
            "there is `a`, `b` and `c`",
        ),
        (["a", "", ""], "origin `a` is its own fallback", "the last of them on none"),
        (["b", "a", ""], "the fallbacks go round in a circle: `a` → `b`", "the last of them on none"),
        (["b", "c", "b"], "the fallbacks go round in a circle: `b` → `c`", "the last of them on none"),
    ] {
        let one = |(name, fallback): (&str, &str)| match fallback {
            "" => format!("{name}: \"http://{name}\""),
            _ => format!("{name}: {{ servers: \"http://{name}\", fallback: {fallback} }}"),
        };
        let all: Vec<String> = ["a", "b", "c"].into_iter().zip(fallbacks).map(one).collect();
        let found = errors(&format!("origins: {{ {} }}", all.join(", ")));
        assert_eq!(found.0.len(), 1, "{found}");
        assert_eq!(found.0[0].message, message);
        assert!(found.0[0].hint.as_deref().unwrap().contains(hint), "{found}");
    }
    assert_eq!(
        errors("origins: { a: { servers: \"http://a\", fallback: } }").0[0].message,
        "`fallback` must be a name, not nothing"
    );
}
