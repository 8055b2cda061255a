//! The house rules that clippy cannot express. Each failure says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 7] = ["semantics", "esi", "policy", "store", "origin", "proxy", "testkit"];

/// DESIGN 3.1: these edges between our crates, and no others.
fn allowed(of: &str) -> BTreeSet<String> {
    let edges: &[&str] = match of {
        "." => &["proxy", "policy", "origin", "store"],
        "proxy" => &["store", "origin", "semantics", "esi", "policy"],
        "store" => &["semantics", "esi"],
        _ => &[],
    };
    edges.iter().map(|&name| name.to_owned()).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` with this extension, but build output.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Product code: not tests, benches or the test kit.
fn product() -> Vec<PathBuf> {
    let mut found = files(&root().join("src"), "rs");
    found.extend(files(&root().join("crates"), "rs"));
    found.retain(|path| {
        let path = name(path);
        !path.contains("/tests") && !path.starts_with("crates/testkit") && !path.ends_with("/test_record.rs")
    });
    found
}

/// The text before the tests of a file.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests").map_or(text, |at| &text[..at])
}

#[test]
fn the_crates_depend_on_each_other_as_drawn_and_not_otherwise() {
    for of in CRATES.into_iter().chain(["."]) {
        let folder = if of == "." { root() } else { root().join("crates").join(of) };
        let manifest = read(&folder.join("Cargo.toml"));
        let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        let ours: BTreeSet<String> = dependencies
            .lines()
            .filter_map(|line| line.strip_prefix("copal-"))
            .map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned())
            .collect();
        let allowed = allowed(of);
        let extra: Vec<_> = ours.difference(&allowed).collect();
        assert!(extra.is_empty(), "{of} must not depend on {extra:?} (DESIGN 3.1)");
    }
}

#[test]
fn files_stay_small_enough_to_read() {
    for path in product() {
        let text = read(&path);
        let lines = without_tests(&text).lines().count();
        assert!(lines <= 600, "{} has {lines} lines before its tests; the cap is 600: split it by noun", name(&path));
    }
}

#[test]
fn each_library_has_one_door() {
    for (word, door) in [
        ("moka::", "crates/store/src/memory.rs"),
        ("lru::", "crates/proxy/src/recent.rs"),
        ("sha2::", "crates/proxy/src/body_key.rs"),
        ("quick_xml::", "crates/esi/src/tag.rs"),
        ("chrono::", "crates/esi/src/expression/library.rs"),
        ("md5::", "crates/esi/src/expression/library.rs"),
        ("serde_yaml::", "crates/policy/src/yaml.rs"),
        ("hyper::server", "src/listener.rs"),
        ("httparse::", "crates/origin/src/head.rs"),
        ("hickory_resolver::", "crates/origin/src/resolve.rs"),
        (" h2::", "crates/origin/src/http2/"),
        ("rustls::", "crates/origin/src/tls.rs"),
        ("SystemTime::now", "crates/proxy/src/clock.rs|crates/origin/src/clock.rs"),
    ] {
        for path in product() {
            let through = name(&path);
            let text = read(&path);
            let names =
                without_tests(&text).lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            let is_door = door.split('|').any(|door| through.starts_with(door));
            assert!(!names || is_door, "{through} names {word}; only {door} does: go through it");
        }
    }
}

#[test]
fn the_pure_crates_have_no_clock_no_log_and_no_runtime() {
    for of in ["semantics", "esi", "policy"] {
        let manifest = read(&root().join("crates").join(of).join("Cargo.toml"));
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for banned in ["tokio", "tracing", "hyper", "moka"] {
            assert!(!dependencies.lines().any(|line| line.starts_with(banned)), "{of} is pure: no {banned}");
        }
    }
}

#[test]
fn promises_carry_a_number_and_nothing_tells_of_a_machine() {
    let mut all = Vec::new();
    for extension in ["rs", "md", "yaml", "toml", "py", "sh", "json"] {
        all.extend(files(&root(), extension));
    }
    for path in all.into_iter().filter(|path| !path.ends_with("tidy.rs")) {
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", name(&path), number + 1);
            assert!(!line.contains("TODO") || line.contains("TODO(#"), "{}: TODO without an issue number", place());
            for word in ["FIXME", "XXX:", "/root/"] {
                assert!(!line.contains(word), "{}: {word}", place());
            }
        }
    }
}

/// Docs name tests and items by symbol, in backquotes after `test:` or `fn:`; each must exist.
#[test]
fn symbols_that_the_architecture_page_names_exist() {
    let page = read(&root().join("docs/ARCHITECTURE.md"));
    let mut sources = String::new();
    for path in files(&root().join("src"), "rs").into_iter().chain(files(&root().join("crates"), "rs")) {
        sources.push_str(&read(&path));
    }
    for path in files(&root().join("tests"), "rs").into_iter().chain(files(&root().join("tests"), "py")) {
        sources.push_str(&read(&path));
    }
    let mut count = 0;
    for symbol in page.split("`").skip(1).step_by(2) {
        if !symbol.contains("::") {
            continue;
        }
        let last = symbol.rsplit("::").next().unwrap_or_default().trim_end_matches("()");
        let known = ["fn ", "struct ", "enum ", "trait ", "mod ", "type ", "def "]
            .iter()
            .any(|kind| sources.contains(&format!("{kind}{last}")));
        assert!(known, "docs/ARCHITECTURE.md names `{symbol}`, which is not there");
        count += 1;
    }
    assert!(count >= 20, "the page names the test that holds each invariant; found {count} symbols");
}

/// What stands in backquotes in a cell.
fn symbols(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether `text` has a function of this name.
fn has_function(text: &str, name: &str) -> bool {
    ["(", "<"].iter().any(|next| text.contains(&format!("fn {name}{next}")))
}

/// Whether `CRATE::MODULE::function` is there; the module may be several, and a type may stand before the function.
fn function_exists(symbol: &str) -> bool {
    let parts: Vec<&str> = symbol.split("::").collect();
    let [of, inner @ .., name] = parts.as_slice() else { return false };
    let folder = if *of == "copal" { root().join("src") } else { root().join("crates").join(of).join("src") };
    let file = |length: usize| folder.join(inner[..length].join("/")).with_extension("rs");
    let Some(length) = (1..=inner.len()).rev().find(|length| file(*length).is_file()) else { return false };
    let text = read(&file(length));
    let text = without_tests(&text);
    has_function(text, name) && inner[length..].iter().all(|owner| text.contains(owner))
}

/// Each file with tests, by the name of its module.
fn test_modules() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["src", "crates", "tests/scenarios"] {
        for path in files(&root().join(folder), "rs") {
            let text = read(&path);
            let module = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // The tests of a module that has others besides.
            let all_tests = path.starts_with(root().join("tests")) || name(&path).contains("/tests/");
            let tests = if all_tests { &text } else { &text[without_tests(&text).len()..] };
            if tests.contains("#[test]") || tests.contains("#[tokio::test") {
                found.push((module, tests.to_owned()));
            }
        }
    }
    found
}

/// The page of clauses names, for each, what decides and what shows it; both are there. A module whose tests are named by
/// clauses of RFC 9111 is on the page.
#[test]
fn what_the_page_of_clauses_names_exists() {
    let page = read(&root().join("docs/RFC9111.md"));
    let modules = test_modules();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Clause |")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        // What is not done has two cells, and nothing to show.
        let [clause, _, deciding, showing] = cells.as_slice() else {
            assert_eq!(cells.len(), 2, "docs/RFC9111.md: a row has four cells, or two: {row}");
            continue;
        };
        let (functions, tests) = (symbols(deciding), symbols(showing));
        assert!(!functions.is_empty() && !tests.is_empty(), "docs/RFC9111.md: {clause} names no function or no test");
        for function in functions {
            assert!(function_exists(function), "docs/RFC9111.md: {clause}: there is no function `{function}`");
        }
        for test in tests {
            let (module, name) = test.split_once("::").unwrap_or_default();
            let there = modules.iter().any(|(of, text)| of == module && has_function(text, name));
            assert!(there, "docs/RFC9111.md: {clause}: there is no test `{test}`");
        }
        rows += 1;
    }
    assert!(rows >= 100, "docs/RFC9111.md has a row for each clause; found {rows}");
    for (module, _) in modules.iter().filter(|(_, text)| text.contains("fn rfc9111_")) {
        assert!(page.contains(&format!("`{module}::")), "docs/RFC9111.md names no test of the module {module}");
    }
}

/// The score in the README is that of the ledger of the suite, which the suite's own run holds to what Copal does.
#[test]
fn the_readme_tells_the_score_of_the_ledger() {
    let ledger = read(&root().join("tests/conformance/ledger.yaml"));
    let unmet = ledger.split("\nchecks:").next().unwrap_or_default();
    let met = |run: &str| 243 - unmet.lines().filter(|line| line.contains("runs:") && line.contains(run)).count();
    let words = [format!("{} of the 243", met("site")), format!("({} without a file)", met("default"))];
    let readme = read(&root().join("README.md"));
    for word in words {
        assert!(readme.contains(&word), "README.md does not say \"{word}\"");
    }
}

/// Whoever meets a reason finds what to do about it.
#[test]
fn the_page_for_operators_explains_every_reason() {
    let page = read(&root().join("docs/OBSERVING.md"));
    for reason in copal_proxy::Reason::ALL {
        let word = reason.as_str();
        assert!(page.contains(&format!("`{word}`")), "docs/OBSERVING.md does not explain `{word}`");
    }
    let row = page.lines().find(|line| line.starts_with("| `fwd=…`")).unwrap_or_default();
    for word in copal_proxy::Reason::ALL.iter().filter_map(|reason| reason.fwd()) {
        assert!(row.contains(&format!("`{word}`")), "docs/OBSERVING.md does not list `fwd={word}`");
    }
}

#[test]
fn the_top_level_holds_what_it_should() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "deny.toml",
        "src",
        "crates",
        "policies",
        "tests",
        "benches",
        "docs",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || allowed.contains(&&*name), "{name} does not belong at the top level");
    }
}
