//! A target in normal form stays as it is, and no dot segment leads out of it.
//!
//! Input: three lines, the authority, the path with its query, and a reference to resolve against them.

#![no_main]

use copal_semantics::{Target, normalise, resolve};
use libfuzzer_sys::fuzz_target;

fn check(target: &Target) {
    assert!(target.path.starts_with('/'), "{target:?}");
    assert!(target.path.split('/').all(|segment| !matches!(segment, "." | "..")), "{target:?}");
    assert!(!target.path.contains(['?', '#']), "{target:?}");
    assert!(!target.host.is_empty() && !target.host.contains(['/', '?', '#', '@']), "{target:?}");
    assert!(!target.url().contains(|c: char| c.is_ascii_control() || c == ' '), "{target:?}");
    let again = normalise(target.scheme == "https", &target.host, &target.path_and_query());
    assert_eq!(again.as_ref(), Ok(target), "normal form is not final");
    assert_eq!(resolve(target, "").as_ref(), Ok(target), "the empty reference leads elsewhere");
}

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (authority, path, reference) = (line(), line(), line());
    for secure in [false, true] {
        if let Ok(base) = normalise(secure, authority, path) {
            check(&base);
            if let Ok(target) = resolve(&base, reference) {
                check(&target);
            }
        }
    }
    let Ok(base) = normalise(false, "www.example.org", "/b/c/d;p?q") else {
        panic!("the example of RFC 3986 §5.4 is a target");
    };
    if let Ok(target) = resolve(&base, reference) {
        check(&target);
        assert!(target.url().parse::<http::Uri>().is_ok(), "{target:?} cannot be asked for");
        assert_eq!(resolve(&base, &target.url()), Ok(target), "its own URL leads elsewhere");
    }
});
