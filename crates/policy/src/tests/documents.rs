//! The documents beside the code say what the code says. `COPAL_BLESS=1 cargo test -p copal-policy` writes those that
//! are made from the table.

use std::path::PathBuf;

use crate::case_table::CASE_KEYS;
use crate::keys::Default;
use crate::table::KEYS;
use crate::{load_str, reference_page, schema_json, yaml};

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// The document, after writing it anew if asked to.
fn document(name: &str, current: &str) -> String {
    if std::env::var_os("COPAL_BLESS").is_some() {
        std::fs::write(docs(name), current).unwrap();
    }
    std::fs::read_to_string(docs(name)).unwrap_or_default()
}

#[test]
fn configuration_md_is_current() {
    let page = reference_page();
    let found = document("CONFIGURATION.md", &page);
    assert!(found == page, "docs/CONFIGURATION.md is out of date: run `COPAL_BLESS=1 cargo test -p copal-policy`");
}

#[test]
fn copal_schema_json_is_current() {
    let schema = schema_json();
    let found = document("copal.schema.json", &schema);
    // Compared as values, as the order of keys is not ours to say.
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let message = "docs/copal.schema.json is out of date: run `COPAL_BLESS=1 cargo test -p copal-policy`";
    assert!(parse(&found).is_some() && parse(&found) == parse(&schema), "{message}");
}

#[test]
fn every_key_stands_in_configuration_md_and_the_other_way_round() {
    let page = std::fs::read_to_string(docs("CONFIGURATION.md")).unwrap();
    let headings: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### ").or_else(|| line.strip_prefix("#### ")))
        .filter_map(|heading| heading.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let keys: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(headings, keys);
}

#[test]
fn every_key_of_a_cases_file_stands_in_policies_md() {
    let page = std::fs::read_to_string(docs("POLICIES.md")).unwrap();
    for key in CASE_KEYS {
        assert!(page.contains(&format!("`{}`", key.name())), "docs/POLICIES.md does not explain `{}`", key.path);
    }
}

/// The YAML blocks of a page that are whole configurations.
fn configurations(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    blocks.filter(|block| block.contains("origins:\n")).map(str::to_owned).collect()
}

#[test]
fn configurations_in_the_documents_load() {
    let tls = super::tls::certificates("documents");
    tls.file("error.html", "<h1>{{status}}</h1>");
    let mut count = 0;
    let names = [
        "CONFIGURATION.md",
        "CONTEXTS.md",
        "ESI.md",
        "ORIGINS.md",
        "POLICIES.md",
        "PURGING.md",
        "STAYING-UP.md",
        "../README.md",
    ];
    for name in names {
        for text in configurations(&std::fs::read_to_string(docs(name)).unwrap()) {
            let text = text.replace("/etc/copal/", &format!("{}/", tls.0.display()));
            let loaded = load_str(name, &text, Some(&tls.0));
            assert!(loaded.as_ref().is_ok_and(|loaded| loaded.warnings.is_empty()), "{text}\n{loaded:?}");
            count += 1;
        }
    }
    assert!(count >= 3);
}

/// What the page promises stands on it, and every key of an origin that is no detail.
#[test]
fn the_page_of_origins_has_its_two_examples_and_every_key() {
    let page = std::fs::read_to_string(docs("ORIGINS.md")).unwrap();
    let blocks = configurations(&page);
    let with = |words: &[&str]| blocks.iter().any(|block| words.iter().all(|word| block.contains(word)));
    assert!(
        with(&["backup: true", "health:", "fallback: maintenance"]),
        "two servers, a hot spare, a maintenance page"
    );
    assert!(with(&["https://", "certificate:", "key:", "ca:"]), "an https origin with a client certificate");
    for key in KEYS.iter().filter(|key| key.path.starts_with("origins.NAME.")) {
        let name = key.name();
        let told = ["header_bytes", "longest", "failures", "rate", "base", "url"].contains(&name)
            || name.strip_suffix("_timeout").is_some_and(|limit| page.contains(&format!("`{limit}`")))
            || [format!("`{name}"), format!("{name}:")].iter().any(|word| page.contains(word.as_str()));
        assert!(told, "docs/ORIGINS.md does not name `{}`", key.path);
    }
}

/// The YAML blocks of a page, without the indentation that a list around them gives them.
fn yaml_blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(fence) = lines.next() {
        let Some(indent) = fence.strip_suffix("```yaml").filter(|indent| indent.trim().is_empty()) else { continue };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks.push(block.map(|line| format!("{}\n", line.strip_prefix(indent).unwrap_or(line))).collect());
    }
    blocks
}

/// Each page of a CMS has the configuration that it takes, and rules that help; each policy has a page.
#[test]
fn the_pages_of_cmss_load_and_each_policy_has_one() {
    let list = std::fs::read_to_string(docs("cms/README.md")).unwrap();
    for name in crate::shipped_names().filter(|name| *name != "default") {
        let row = list.lines().find(|line| line.contains(&format!("| `{name}` |")));
        let page = row.and_then(|row| row.rsplit_once("](")?.1.split([')', '#']).next());
        let page = page.unwrap_or_else(|| panic!("docs/cms/README.md has no row for {name}"));
        let text = std::fs::read_to_string(docs(&format!("cms/{page}"))).unwrap();
        let whole = configurations(&text);
        assert!(whole.iter().any(|block| block.contains(name)), "docs/cms/{page} uses no policy {name}");
        let rules = yaml_blocks(&text).into_iter().filter(|block| block.starts_with("rules:"));
        let rules =
            rules.map(|rules| format!("origins: {{ cms: \"http://127.0.0.1:8000\" }}\npolicies: [{name}]\n{rules}"));
        for block in whole.iter().cloned().chain(rules) {
            let loaded = load_str(page, &block, None);
            assert!(loaded.as_ref().is_ok_and(|loaded| loaded.warnings.is_empty()), "{page}: {block}\n{loaded:?}");
        }
    }
}

/// `path` with `value`, and what must stand beside it, as a configuration in flow style.
fn wrapped(path: &str, value: &str) -> String {
    let mut text = format!("{}: {value}", path.rsplit('.').next().unwrap());
    let mut rest = path.rsplit_once('.').map(|(parent, _)| parent);
    while let Some(parent) = rest {
        let beside = match parent {
            "rules[]" if text.starts_with("name:") => ", pass: true",
            "rules[]" if ["cache:", "pass:", "respond:"].iter().any(|action| text.starts_with(action)) => ", name: x",
            "rules[]" => ", name: x, cache: {}",
            "origins.NAME" if text.starts_with("servers:") => "",
            "origins.NAME" if text.starts_with("hash:") => ", servers: \"http://a\", balance: hash",
            "origins.NAME" => ", servers: \"http://a\"",
            "origins.NAME.servers[]" if !text.starts_with("url:") => ", url: \"http://a\"",
            "origins.NAME.hash" if text.starts_with("cookie:") => ", by: cookie",
            "origins.NAME.hash" if text == "by: cookie" => ", cookie: x",
            "origins.NAME.health" if text.starts_with("window:") => ", threshold: 7",
            "origins.NAME.health" if text.starts_with("threshold:") => ", window: 10",
            "origins.NAME.health" if ["host:", "status:", "body:"].iter().any(|key| text.starts_with(key)) => {
                ", path: /"
            }
            "origins.NAME.tls" if text.starts_with("certificate:") => ", key: /etc/copal/client.key",
            "origins.NAME.tls" if text.starts_with("key:") => ", certificate: /etc/copal/client.pem",
            "contexts.NAME" if !text.starts_with("path:") => ", path: /group",
            "purge.secret" if text.starts_with("header:") => ", value: 0123456789abcdef",
            "purge.htcp" if text.starts_with("allow:") => ", address: \"127.0.0.1:4827\"",
            "sessions.cookies[]" if !text.starts_with("name:") => ", name: x",
            "rules[].respond" if text.starts_with("headers:") => ", status: 200",
            _ => "",
        };
        let name = parent.rsplit('.').next().unwrap();
        text = match name.strip_suffix("[]") {
            Some(list) => format!("{list}: [{{ {text}{beside} }}]"),
            None => format!("{}: {{ {text}{beside} }}", name.replace("NAME", "cms")),
        };
        rest = parent.rsplit_once('.').map(|(parent, _)| parent);
    }
    if path == "rules[].context" {
        text.push_str(&format!(", contexts: {{ {value}: {{ path: /group }} }}"));
    }
    if path == "origins.NAME.fallback" {
        format!("{{ {}, {value}: \"http://b\" }} }}", text.trim_end_matches('}'))
    } else if path.starts_with("origins") {
        format!("{{ {text} }}")
    } else {
        format!("{{ {text}, origins: {{ cms: \"http://a\" }} }}")
    }
}

#[test]
fn every_example_and_every_default_is_right() {
    let tls = super::tls::certificates("examples");
    for key in KEYS {
        let mut values = vec![key.example];
        if let Default::Is(text) = key.default {
            values.push(text);
        }
        for value in values {
            let text = wrapped(key.path, value);
            let text = text.replace(", ./policies/shop.yaml", "");
            // What is read from elsewhere is there.
            let text = text
                .replace("COPAL_PURGE_SECRET", "CARGO_PKG_NAME")
                .replace("/run/secrets/copal-purge", "tests/secret")
                .replace("page: error.html", "page: error_page.html")
                .replace("/etc/copal/", &format!("{}/", tls.0.display()));
            let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
            let loaded = load_str("example", &text, Some(&base));
            assert!(loaded.is_ok(), "{}: {text}\n{}", key.path, loaded.unwrap_err());
        }
        assert!(yaml::parse(key.example).1.is_empty(), "{}", key.path);
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema_json()).unwrap();
    let text = schema.to_string();
    for key in KEYS.iter().filter(|key| !key.path.ends_with("NAME")) {
        assert!(text.contains(&format!("\"{}\":", key.name())), "{}", key.path);
    }
    assert_eq!(schema["properties"]["cache"]["properties"]["heuristic"]["default"], true);
    assert_eq!(schema["properties"]["drain"]["default"], "30s");
    assert_eq!(schema["required"], serde_json::json!(["origins"]));
    assert_eq!(schema["additionalProperties"], false);
}
