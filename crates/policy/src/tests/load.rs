//! Whole configurations: right ones with their defaults, wrong ones with everything that is said about them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use crate::keys::Default;
use crate::table::KEYS;
use crate::{AccessLog, Diagnostics, LogLevel, Severity, for_origin, load, load_str};

pub(super) const ORIGIN: &str = "origins: { cms: \"http://127.0.0.1:9000\" }\n";

pub(super) fn errors(text: &str) -> Diagnostics {
    match load_str("copal.yaml", text, None) {
        Err(diagnostics) => diagnostics,
        Ok(_) => panic!("this loads:\n{text}"),
    }
}

/// A folder that is gone after the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("copal-policy-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_shortest_configuration_has_safe_defaults() {
    let config = load_str("copal.yaml", ORIGIN, None).unwrap().config;
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert!(config.admin.is_none() && config.purge.allow.is_empty() && config.trusted_proxies.is_empty());
    let cms = &config.origins[0];
    assert_eq!((&*cms.name, cms.servers.len(), cms.retries.tries), ("cms", 1, 1));
    assert_eq!(cms.servers[0].url.to_string(), "http://127.0.0.1:9000");
    assert!(cms.host.is_none());
    let timeouts = &cms.timeouts;
    let seconds = [timeouts.connect, timeouts.first_byte, timeouts.between_bytes, cms.idle_timeout];
    assert_eq!(seconds.map(|timeout| timeout.as_secs()), [2, 30, 15, 60]);
    let cache = &config.cache;
    assert_eq!((cache.memory, cache.max_body, cache.max_variants), (256 << 20, 64 << 20, 64));
    assert_eq!((cache.hit_for_miss, cache.heuristic), (Duration::from_secs(10), true));
    assert_eq!(cache.tag_headers.len(), 10);
    let esi = &config.esi;
    assert_eq!((esi.max_depth, esi.max_includes, esi.max_concurrent), (5, 256, 32));
    assert_eq!((esi.fragment_timeout, esi.page_timeout), (Duration::from_secs(10), Duration::from_secs(30)));
    assert_eq!(esi.hold, Duration::from_millis(5));
    assert_eq!((esi.max_bytes, esi.max_concurrent_total, esi.debug_allow.is_empty()), (64 << 20, 1024, true));
    assert_eq!((config.limits.header_bytes, config.limits.headers, config.limits.connections), (65_536, 100, 10_000));
    assert_eq!((config.log.access, config.log.level, config.log.path), (AccessLog::Combined, LogLevel::Info, None));
    assert_eq!(config.drain, Duration::from_secs(30));
    // The table is the only place that has these numbers; what it says is what happens.
    assert!(KEYS.iter().any(|key| key.path == "cache.memory" && matches!(key.default, Default::Is("256MiB"))));
}

#[test]
fn max_body_follows_memory() {
    let max_body = |cache: &str| load_str("c", &format!("{ORIGIN}cache: {cache}"), None).unwrap().config.cache.max_body;
    assert_eq!(max_body("{ memory: 16MiB }"), 4 << 20);
    assert_eq!(max_body("{ memory: 16MiB, max_body: 8MiB }"), 8 << 20);
    assert_eq!(max_body("{ memory: 4GiB }"), 64 << 20);
}

#[test]
fn origins_long_and_short() {
    let text = "timeouts: { connect: 1s }
origins:
  a: \"http://a:1\"
  b: [\"http://b:1\", \"http://b:2/\"]
  c: { servers: \"http://c\", connect_timeout: 5s, retries: 0, host: \"www.example.org:81\" }
";
    let origins = load_str("c", text, None).unwrap().config.origins;
    let names: Vec<&str> = origins.iter().map(|origin| &*origin.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(origins.iter().map(|origin| origin.servers.len()).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(origins.iter().map(|origin| origin.timeouts.connect.as_secs()).collect::<Vec<_>>(), [1, 1, 5]);
    assert_eq!((origins[2].retries.tries, origins[2].host.as_deref()), (0, Some("www.example.org:81")));
    for (wrong, message) in [
        ("{ a: [] }", "origin `a` has no servers"),
        ("{ a: { servers: [] } }", "origin `a` has no servers"),
        ("{}", "`origins` is empty: there is nothing to stand before"),
        ("{ a: \"http://u:p@h\" }", "`a` must be the URL of a server, but `http://u:p@h` has a user name in it"),
        ("{ a: \"http://h/path\" }", "`a` must be the URL of a server, but `http://h/path` has a path"),
        ("{ a: \"ftp://h\" }", "`a` must be the URL of a server, but `ftp://h` has another scheme"),
        ("{ a: }", "`a` must be the URL of a server, not nothing"),
    ] {
        let found = errors(&format!("origins: {wrong}"));
        assert_eq!((found.0.len(), found.0[0].message.as_str()), (1, message), "{wrong}");
    }
}

#[test]
fn listen_long_and_short() {
    let listen = |text: &str| load_str("c", &format!("{ORIGIN}listen: {text}"), None).unwrap().config.listen.len();
    assert_eq!(listen("\"127.0.0.1:1\""), 1);
    assert_eq!(listen("{ address: \"127.0.0.1:1\" }"), 1);
    assert_eq!(listen("[\"127.0.0.1:1\", { address: \"[::1]:1\" }, \"127.0.0.2:1\"]"), 3);
    assert_eq!(listen("[\"127.0.0.1:0\", \"127.0.0.1:0\"]"), 2);
    let found = errors(&format!("{ORIGIN}listen: \"0.0.0.0:80\"\nadmin: \"127.0.0.1:80\"\n"));
    assert_eq!(found.0[0].message, "the address `127.0.0.1:80` is used twice");
    assert_eq!(errors(&format!("{ORIGIN}listen: []\n")).0[0].message, "`listen` is empty");
}

#[test]
fn without_a_file() {
    let config = for_origin("http://127.0.0.1:9000", None).unwrap().config;
    assert_eq!((config.listen.len(), config.origins.len()), (1, 1));
    let config = for_origin("http://127.0.0.1:9000", Some("0.0.0.0:80")).unwrap().config;
    assert_eq!(config.listen, ["0.0.0.0:80".parse().unwrap()]);
    let expected = "command line:1:10: error: `--origin` must be the URL of a server, but `cms:9000` has no scheme
 1 | --origin cms:9000
   |          ^^^^^^^^
   = hint: write `http://cms:9000`

command line:2:10: error: `--listen` must be an IP address with a port, but `80` has no IP address
 2 | --listen 80
   |          ^^
   = hint: for example `--listen 127.0.0.1:80`";
    assert_eq!(for_origin("cms:9000", Some("80")).unwrap_err().to_string(), expected);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new("unreadable");
    let message = |path: &Path| load(path).unwrap_err().0[0].message.clone();
    assert_eq!(message(&folder.0.join("none.yaml")), "there is no such file");
    assert_eq!(message(&folder.file("bytes.yaml", b"a: 1\nb: \xff\n")), "is not UTF-8: look at line 2");
    assert_eq!(message(&folder.file("empty.yaml", "# nothing\n")), "the file is empty");
    assert_eq!(message(&folder.file("list.yaml", "- a\n")), "the file must be a mapping, not a list");
    assert!(load(&folder.0).unwrap_err().0[0].message.starts_with("cannot be read: "));
}

#[test]
fn policies_by_path_stand_beside_the_file() {
    let folder = Folder::new("policies");
    folder.file("shop.yaml", "sessions: { cookies: [shop], unknown: strip }\npurge: { allow: \"10.0.0.1\" }\nrules: [{ name: basket, match: { path: /basket }, pass: true }]\n");
    let config = folder.file("copal.yaml", format!("{ORIGIN}policies: [./shop.yaml, wagtail]\n"));
    let config = load(&config).unwrap().config;
    let names: Vec<&str> = config.policy.rules().iter().map(|rule| &*rule.name).take(2).collect();
    assert_eq!(names, ["shop/basket", "wagtail/admin"]);
    assert!(config.policy.sessions.contains("shop") && config.policy.sessions.contains("sessionid"));
    assert_eq!(config.policy.unknown_cookies(), crate::UnknownCookies::Strip);
    assert!(config.purge.allow.contains("10.0.0.1".parse().unwrap()));
}

#[test]
fn wrong_policy_files_say_everything_with_their_own_name() {
    let folder = Folder::new("wrong-policies");
    folder.file("a.yaml", "listen: \"1.2.3.4:5\"\nsesions: {}\nrules: [{ name: x, cache: { tll: 1s } }]\n");
    folder.file("bad name.yaml", "rules: []\n");
    folder.file("wagtail.yaml", "rules: []\n");
    folder.file("tab.yaml", "rules:\n\t- x\n");
    let text = format!(
        "{ORIGIN}policies: [a.yaml, \"bad name.yaml\", wagtail.yaml, wagtail, tab.yaml, gone.yaml]\ndrain: x\n"
    );
    let config = folder.file("copal.yaml", text);
    let found = load(&config).unwrap_err();
    let found: Vec<String> = found
        .0
        .iter()
        .map(|d| {
            format!(
                "{}:{}:{} {}",
                Path::new(&d.file).file_name().unwrap().to_str().unwrap(),
                d.line,
                d.column,
                d.message
            )
        })
        .collect();
    let expected = [
        "copal.yaml:2:20 policy `bad name.yaml`: its file name has other characters than letters, digits, `_`, `.` and `-`",
        "copal.yaml:2:51 two policies are named `wagtail`",
        "copal.yaml:2:70 policy `gone.yaml`: there is no such file",
        "copal.yaml:3:8 `drain` must be a duration, not `x`",
        "a.yaml:1:1 `listen` is not allowed in a policy",
        "a.yaml:2:1 unknown key `sesions`",
        "a.yaml:3:29 unknown key `tll` in `cache`",
    ];
    assert_eq!(found[..expected.len()], expected);
    assert!(found.last().unwrap().starts_with("tab.yaml:2:"));
}

#[test]
fn a_default_policy_of_ones_own_takes_the_place_of_the_shipped_one() {
    let folder = Folder::new("own-default");
    folder.file("default.yaml", "rules: [{ name: nothing, match: { path: /x }, pass: true }]\n");
    let config = folder.file("copal.yaml", format!("{ORIGIN}policies: [./default.yaml]\n"));
    let policy = load(&config).unwrap().config.policy;
    assert_eq!(policy.rules().len(), 1);
    // What no rule fits is passed.
    let (headers, method) = (http::HeaderMap::new(), http::Method::GET);
    let cookies = crate::Cookies::parse(&headers);
    let facts = crate::RequestFacts {
        method: &method,
        scheme: "http",
        host: "h",
        path: "/",
        query: None,
        headers: &headers,
        cookies: &cookies,
    };
    assert!(matches!(policy.answer(&facts).action, crate::Action::Pass));
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        let _ = load_str("f", &text, None);
    }

    /// Known keys with values of every kind in every place.
    #[test]
    fn any_value_of_any_key_is_read_without_panic(
        place in 0..KEYS.len(),
        value in prop_oneof![
            Just("~".to_owned()), Just("[]".to_owned()), Just("{}".to_owned()), Just("[[a]]".to_owned()), Just("{a: {b: c}}".to_owned()),
            Just("{a: }".to_owned()), Just("[~, 1]".to_owned()), "\"[ -~&&[^\"\\\\]]{0,12}\"", "[0-9]{1,22}[a-zA-Z]{0,3}",
        ],
    ) {
        let path = KEYS[place].path;
        let mut text = value;
        for segment in path.rsplit('.') {
            text = match segment.strip_suffix("[]") {
                Some(name) => format!("{{{name}: [{text}]}}"),
                None => format!("{{{segment}: {text}}}"),
            };
        }
        if let Err(diagnostics) = load_str("f", &text, None) {
            prop_assert!(!diagnostics.to_string().is_empty());
            prop_assert!(diagnostics.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
        }
    }
}
