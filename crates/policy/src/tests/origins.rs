//! Origins: what is read, what is refused, what is doubted.

use std::time::Duration;

use super::load::{Folder, errors};
use crate::{Balance, HashBy, OriginConfig, OriginProtocol, ProxyProtocol, ServerUrl, Severity, Verdict, load_str};

fn origins(text: &str) -> Vec<OriginConfig> {
    load_str("copal.yaml", text, None).unwrap_or_else(|errors| panic!("{text}\n{errors}")).config.origins
}

/// The origin with two servers and these keys.
fn origin(keys: &str) -> OriginConfig {
    origins(&format!("origins: {{ cms: {{ servers: [\"http://a\", \"http://b\"], {keys} }} }}")).remove(0)
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nbm8ga2V5\n-----END PRIVATE KEY-----\n";

/// A folder with what examples name: PEM, of which only the form is checked here.
pub(super) fn certificates(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.file("internal-ca.pem", CERTIFICATE.repeat(2));
    folder.file("client.pem", CERTIFICATE);
    restrict(&folder.file("client.key", KEY), 0o600);
    folder
}

#[cfg(unix)]
fn restrict(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn restrict(_: &std::path::Path, _: u32) {}

#[test]
fn servers_in_every_form() {
    let text = "origins:
  a:
    servers:
      - \"http://10.0.0.5:9000\"
      - { url: \"https://web2.internal\", weight: 3, max_connections: 64 }
      - { url: \"unix:/run/site.sock\", backup: true }
  b: { servers: { url: \"http://b\", weight: 0 }, fallback: a }
  c: \"unix:/run/c.sock\"
  d: [\"https://[::1]:8443\"]
";
    let found = load_str("c", text, None).unwrap_err();
    assert_eq!(found.0[0].message, "every server of `b` has weight 0: none would get a request");
    let read = origins(&text.replace("weight: 0", "weight: 2"));
    let shown: Vec<String> = read
        .iter()
        .flat_map(|origin| &origin.servers)
        .map(|server| format!("{} {} {} {}", server.url, server.weight, server.backup, server.max_connections))
        .collect();
    let expected = [
        "http://10.0.0.5:9000 1 false 0",
        "https://web2.internal 3 false 64",
        "unix:/run/site.sock 1 true 0",
        "http://b 2 false 0",
        "unix:/run/c.sock 1 false 0",
        "https://[::1]:8443 1 false 0",
    ];
    assert_eq!(shown, expected);
    let urls: Vec<&ServerUrl> = read.iter().flat_map(|origin| &origin.servers).map(|server| &server.url).collect();
    let facts: Vec<_> = urls.iter().map(|url| (url.name(), url.port(), url.is_tls())).collect();
    assert_eq!(facts[1], ("web2.internal".to_owned(), Some(443), true));
    assert_eq!(facts[2], ("unix:/run/site.sock".to_owned(), None, false));
    assert_eq!(facts[5], ("[::1]:8443".to_owned(), Some(8443), true));
}

#[test]
fn how_a_server_is_picked() {
    for (keys, expected) in [
        ("balance: round_robin", Balance::RoundRobin),
        ("balance: least_requests", Balance::LeastRequests),
        ("balance: first", Balance::First),
        ("balance: hash", Balance::Hash { by: HashBy::Key, bound: 125 }),
        ("balance: hash, hash: { by: client, bound: 200% }", Balance::Hash { by: HashBy::Client, bound: 200 }),
        (
            "balance: hash, hash: { by: cookie, cookie: basket }",
            Balance::Hash { by: HashBy::Cookie("basket".to_owned()), bound: 125 },
        ),
    ] {
        assert_eq!(origin(keys).balance, expected, "{keys}");
    }
    assert_eq!(origin("sticky: PHPSESSID").sticky, ["PHPSESSID"]);
    assert_eq!(origin("sticky: [a, \"SESS*\"]").sticky, ["a", "SESS*"]);
}

#[test]
fn health_long_and_short() {
    let health = |keys: &str| origin(keys).health;
    assert!(health("").is_none());
    let tcp = health("health: tcp").unwrap();
    assert_eq!((tcp.path, tcp.interval, tcp.timeout), (None, Duration::from_secs(5), Duration::from_secs(2)));
    let short = health("health: \"/h?x=1\"").unwrap();
    assert_eq!((short.path.as_deref(), short.statuses), (Some("/h?x=1"), vec![(200, 399)]));
    assert_eq!(short.verdict, Verdict::InARow { rise: 2, fall: 3 });
    let long = health("health: { path: /h, status: [200, 204-206, 3xx], window: 10, threshold: 7 }").unwrap();
    assert_eq!(long.statuses, [(200, 200), (204, 206), (300, 399)]);
    assert_eq!(long.verdict, Verdict::Window { window: 10, threshold: 7 });
    // A mapping without a path asks for nothing but a connection.
    assert_eq!(health("health: { interval: 1s }").unwrap().path, None);
}

#[test]
fn servers_that_fail_are_left_out_where_there_is_another() {
    assert!(origin("").eject.is_some() && origin("eject: true").eject.is_some() && origin("eject: {}").eject.is_some());
    assert!(origin("eject: false").eject.is_none());
    assert!(origins("origins: { cms: \"http://a\" }")[0].eject.is_none());
    assert_eq!(
        origin("eject: { failures: 2, status: [] }").eject.map(|eject| (eject.failures, eject.statuses)),
        Some((2, vec![]))
    );
}

#[test]
fn retries_long_and_short() {
    let retries = |keys: &str| {
        let retries = origin(keys).retries;
        (retries.tries, retries.budget, retries.statuses.len(), retries.hold, retries.replay)
    };
    assert_eq!(retries(""), (1, 20, 3, 65_536, 65_536));
    assert_eq!(retries("retries: 3"), (3, 20, 3, 65_536, 65_536));
    assert_eq!(retries("retries: {}"), (1, 20, 3, 65_536, 65_536));
    assert_eq!(retries("retries: { tries: 2, budget: 0%, status: 503, hold: 0, replay: 1MiB }"), (2, 0, 1, 0, 1 << 20));
}

#[test]
fn limits_of_time_come_from_timeouts_unless_the_origin_has_its_own() {
    let text = "timeouts: { tls: 1s, total: 1m }
origins: { a: \"http://a\", b: { servers: \"http://b\", tls_timeout: 2s, total_timeout: 2m } }";
    let read = origins(text);
    let limits: Vec<_> = read.iter().map(|origin| (origin.timeouts.tls.as_secs(), origin.timeouts.total)).collect();
    let minutes = |count: u64| Some(Duration::from_secs(60 * count));
    assert_eq!(limits, [(1, minutes(1)), (2, minutes(2))]);
    assert_eq!(origin("").timeouts.total, None);
}

#[test]
fn how_servers_are_spoken_to() {
    assert_eq!((origin("").protocol, origin("").proxy_protocol), (OriginProtocol::Http1, None));
    assert_eq!(origin("proxy_protocol: v1").proxy_protocol, Some(ProxyProtocol::V1));
    let secure = origins("origins: { cms: { servers: \"https://a\", protocol: auto, tls: { server_name: b } } }");
    assert_eq!((secure[0].protocol, secure[0].tls.server_name.as_deref()), (OriginProtocol::Auto, Some("b")));
}

#[test]
fn name_servers() {
    let names =
        |text: &str| load_str("c", &format!("{text}\norigins: {{ a: \"http://a\" }}"), None).unwrap().config.names;
    let usual = names("");
    assert!(usual.servers.is_empty());
    assert_eq!((usual.min_ttl.as_secs(), usual.max_ttl.as_secs()), (1, 60));
    let own = names("names: { servers: [10.0.0.2, \"[fd00::2]:5353\", \"fd00::3\"], min_ttl: 0, max_ttl: 5s }");
    let shown: Vec<String> = own.servers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.2:53", "[fd00::2]:5353", "[fd00::3]:53"]);
    let found = errors("names: { servers: ns.internal, min_ttl: 2m }\norigins: { a: \"http://a\" }");
    assert_eq!(found.0[0].message, "`servers` must be an IP address, with a port or without, not `ns.internal`");
    let found = errors("names: { min_ttl: 2m }\norigins: { a: \"http://a\" }");
    assert_eq!(found.0[0].message, "`min_ttl` is longer than `max_ttl`");
}

/// Keys of an origin with two servers, what is said of them, and a part of the hint.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "balance: least_conn",
        "`balance` must be `round_robin`, `least_requests`, `hash` or `first`, not `least_conn`",
        "for example",
    ),
    (
        "balance: frist",
        "`balance` must be `round_robin`, `least_requests`, `hash` or `first`, not `frist`",
        "did you mean `first`?",
    ),
    ("hash: { by: client }", "`hash` does nothing with `balance: round_robin`", "add `balance: hash`"),
    ("balance: hash, hash: { by: cookie }", "`by: cookie` names no cookie", "add `cookie: NAME`"),
    ("balance: hash, hash: { cookie: a }", "`cookie` does nothing with `by: key`", "write `by: cookie`"),
    (
        "balance: hash, hash: { bound: 90% }",
        "`bound` must be a percentage from 100% to 10000%, but `90%` is less than 100%",
        "for example",
    ),
    (
        "balance: hash, hash: { bound: 150 }",
        "`bound` must be a percentage from 100% to 10000%, but `150` has no percent sign",
        "write `150%`",
    ),
    ("sticky: \"SE*S\"", "`sticky` must be a text, but `SE*S` has a `*` before its end", "only at the end: `SESS*`"),
    ("sticky: \"*\"", "`sticky` must be a text, but `*` is every cookie", "name the cookie of the session"),
    ("balance: hash, hash: { by: cookie, cookie: \"a*\" }", "`cookie` must be a text, but `a*` has a `*`", "no glob"),
    (
        "health: healthz",
        "`health` must be a path, `tcp` or a mapping, but `healthz` does not begin with a slash",
        "write `/healthz`",
    ),
    ("health: true", "`health` must be a path, `tcp` or a mapping, not `true`", "`health: /healthz`"),
    ("health: false", "`health` must be a path, `tcp` or a mapping, not `false`", "leave it out"),
    (
        "health: { path: \"http://a.internal/h\" }",
        "`path` must be a path, but `http://a.internal/h` does not begin with a slash",
        "write `/h`; the host goes to `host`: `a.internal`",
    ),
    ("health: { host: a }", "`host` does nothing where only a connection is made", "add `path: /healthz`"),
    (
        "health: { path: /h, status: 700 }",
        "`status` must be a status code, a range of them such as `200-399`, or a class such as `5xx`, but `700` is not between 100 and 599",
        "for example",
    ),
    (
        "health: { path: /h, status: 399-200 }",
        "`status` must be a status code, a range of them such as `200-399`, or a class such as `5xx`, but `399-200` is upside down",
        "write `200-399`",
    ),
    (
        "health: { path: /h, interval: 10ms }",
        "`interval` must be a duration, but `10ms` is less than 100ms",
        "for example",
    ),
    ("health: { path: /h, window: 5 }", "`window` says nothing without `threshold`", "window: 10, threshold: 7"),
    (
        "health: { path: /h, window: 5, threshold: 6 }",
        "`threshold` is 6, and `window` only 5: the server could never be well",
        "at most as many",
    ),
    (
        "health: { path: /h, rise: 1, window: 5, threshold: 4 }",
        "`rise` does nothing beside `window` and `threshold`",
        "or `window` and `threshold`",
    ),
    (
        "eject: { rate: 120% }",
        "`rate` must be a percentage from 0% to 100%, but `120%` is more than 100%",
        "for example",
    ),
    ("eject: { base: 10m }", "`longest` is shorter than `base`", "the limit of its doublings"),
    ("eject: { status: 200 }", "`status` must be a status code, but `200` is no status of an error", "from 400 to 599"),
    ("retries: 11", "`retries` must be a whole number from 0 to 10 or a mapping, not `11`", "for example"),
    ("retries: { hold: 1GiB }", "`hold` must be a size, but `1GiB` is more than 16MiB", "for each request under way"),
    ("connect_timeout: 0", "`connect_timeout` must be a duration, but `0` leaves no time at all", "for example"),
    ("protocol: h2", "`protocol` must be `http1`, `http2` or `auto`, not `h2`", "for example"),
    ("proxy_protocol: 2", "`proxy_protocol` must be `v1` or `v2`, not `2`", "did you mean `v"),
    ("tls: { verify: no }", "`verify` must be `true` or `false`, not `no`", "write `false`"),
    (
        "tls: { server_name: \"https://a\" }",
        "`server_name` must be a text, but `https://a` is no name that a certificate can have",
        "without scheme and port",
    ),
    ("health:", "`health` has no value", "for example"),
    ("fallback:", "`fallback` has no value", "for example"),
];

#[test]
fn what_is_wrong_is_said_once_with_what_to_write_instead() {
    for (keys, message, hint) in WRONG {
        let text = format!("origins: {{ cms: {{ servers: [\"https://a\", \"https://b\"], {keys} }} }}");
        let found = errors(&text);
        assert_eq!(found.0.len(), 1, "{found}");
        assert_eq!(found.0[0].message, *message);
        assert!(found.0[0].hint.as_deref().unwrap_or_default().contains(hint), "{found}");
    }
}

#[test]
fn what_is_wrong_with_a_server_is_said() {
    for (server, reason, hint) in [
        ("\"unix:run/x\"", "has no path that begins with one slash", "write `unix:/run/x`"),
        ("\"unix:///run/x\"", "has no path that begins with one slash", "write `unix:/run/x`"),
        ("\"unix:/\"", "names no socket", "for example `unix:/run/site.sock`"),
        ("/run/x.sock", "has no scheme", "write `unix:/run/x.sock`"),
        ("\"https://u:p@h:1\"", "has a user name in it", "write `https://h:1`"),
        ("\"https://h/x\"", "has a path", "write `https://h`"),
        ("\"http://h:0\"", "has no port behind its colon", "from 1 to 65535"),
        ("\"fcgi://h\"", "has another scheme", "`unix:/PATH`"),
        ("{ url: \"http://a\", wieght: 2 }", "unknown key `wieght` in `servers`", "did you mean `weight`?"),
        ("{ weight: 2 }", "`url` is missing in `servers`", "for example"),
        ("{ url: a }", "has no scheme", "write `http://a`"),
        ("{ url: \"http://a\", weight: -1 }", "`weight` must be a whole number", "for example"),
        ("[a]", "`servers` must be the URL of a server, not a list", "for example"),
    ] {
        let found = errors(&format!("origins: {{ cms: {{ servers: [\"http://b\", {server}] }} }}"));
        assert_eq!(found.0.len(), 1, "{found}");
        assert!(found.0[0].message.contains(reason), "{found}");
        assert!(found.0[0].hint.as_deref().unwrap_or_default().contains(hint), "{found}");
    }
    let long = errors(&format!("origins: {{ cms: \"unix:/{}\" }}", "x".repeat(107)));
    assert!(long.0[0].message.contains("is too long"), "{long}");
}

/// A whole origin, what is said of it, and on which of its words.
const DOUBTS: &[(&str, &str)] = &[
    ("{ servers: [\"http://a\", { url: \"http://b\", backup: true }] }", ""),
    (
        "{ servers: [{ url: \"http://a\", backup: true }, { url: \"http://b\", backup: true }] }",
        "every server of `cms` is a backup, and none is there to stand in for",
    ),
    (
        "{ servers: [{ url: \"http://a\", weight: 0 }, { url: \"http://b\", backup: true }, { url: \"http://c\", backup: true }] }",
        "every server of `cms` that weighs something is a backup, and none is there to stand in for",
    ),
    (
        "{ servers: [{ url: \"http://a\", weight: 0 }, \"http://b\"], sticky: x }",
        "all requests of `cms` but those of sessions go to `b`: a server of weight 0 does not stand in for it",
    ),
    ("{ servers: [{ url: \"http://a\", weight: 0 }, \"http://b\", \"http://c\"], sticky: x }", ""),
    ("{ servers: [\"http://a\", \"http://a\"] }", "the server `a` stands twice"),
    ("{ servers: \"http://a\", sticky: x }", "`sticky` does nothing: `cms` has one server"),
    ("{ servers: \"http://a\", balance: first }", "`balance` does nothing: `cms` has one server"),
    ("{ servers: \"http://a\", balance: round_robin }", ""),
    ("{ servers: \"http://a\", eject: true }", "`eject` does nothing: `cms` has one server"),
    ("{ servers: \"http://a\", eject: false }", ""),
    ("{ servers: \"http://a\", slow_start: 5s }", "`slow_start` does nothing: `cms` has one server"),
    (
        "{ servers: \"http://a\", queue: { size: 5 } }",
        "`queue` does nothing: no server has `max_connections`, so no request waits for one",
    ),
    (
        "{ servers: { url: \"http://a\", max_connections: 5 }, queue: { size: 0 } }",
        "no request waits: with `max_connections` reached the next one is refused at once",
    ),
    ("{ servers: { url: \"http://a\", max_connections: 5 }, queue: { size: 5 } }", ""),
    (
        "{ servers: [\"https://a\", \"http://b\"], protocol: http2 }",
        "`http://b` is spoken to in HTTP/2 by prior knowledge",
    ),
    ("{ servers: \"https://a\", protocol: http2 }", ""),
    ("{ servers: \"http://a\", protocol: auto }", "`protocol: auto` means HTTP/1.1 here, as no server is `https`"),
    ("{ servers: \"http://a\", tls: { server_name: b } }", "`tls` does nothing: no server of this origin is `https`"),
    ("{ servers: \"https://a\", tls: { verify: false } }", "anybody on the way to these servers can pretend to be one"),
];

#[test]
fn what_is_doubtful_is_said() {
    for (origin, expected) in DOUBTS {
        let text = format!("origins: {{ cms: {origin} }}");
        let loaded = load_str("copal.yaml", &text, None).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        let found: Vec<&str> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(found.join("; "), *expected, "{text}");
        assert!(loaded.warnings.iter().all(|warning| warning.hint.is_some() && warning.severity == Severity::Warning));
    }
}

#[test]
fn certificates_are_read_where_the_file_is() {
    let folder = certificates("tls");
    let text = "origins: { cms: { servers: \"https://a\", tls: { ca: internal-ca.pem, certificate: client.pem, key: client.key } } }";
    let loaded = load_str("copal.yaml", text, Some(&folder.0)).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let tls = &loaded.config.origins[0].tls;
    assert_eq!(tls.ca.as_deref(), Some(CERTIFICATE.repeat(2).as_bytes()));
    let (certificate, key) = tls.identity.as_ref().unwrap();
    assert_eq!((&**certificate, &**key), (CERTIFICATE.as_bytes(), KEY.as_bytes()));
    assert!(
        !format!("{loaded:?}").contains("bm8ga2V5")
            && !format!("{loaded:?}").contains(&format!("{:?}", KEY.as_bytes()))
    );
}

#[test]
#[cfg(unix)]
fn a_key_that_everybody_can_read_is_told_of() {
    let folder = certificates("tls-open");
    restrict(&folder.0.join("client.key"), 0o644);
    let text = "origins: { cms: { servers: \"https://a\", tls: { certificate: client.pem, key: client.key } } }";
    let warnings = load_str("copal.yaml", text, Some(&folder.0)).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.starts_with("everybody on this machine can read the private key `"), "{}", warnings[0]);
    assert!(warnings[0].hint.as_deref().unwrap().starts_with("`chmod 600 "), "{}", warnings[0]);
}

#[test]
fn what_is_wrong_with_certificates_is_said_in_full() {
    let folder = certificates("tls-wrong");
    folder.file("empty.pem", "");
    folder.file("der.pem", [0x30, 0x82, 1, 2]);
    folder.file("cut.pem", "-----BEGIN CERTIFICATE-----\nbm8g\n");
    folder.file("damaged.pem", CERTIFICATE.replace("bm8g", "b*8g"));
    folder.file("encrypted.key", KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    folder.file("two.key", KEY.repeat(2));
    folder.file("long.pem", CERTIFICATE.repeat(20_000));
    for (tls, message) in [
        ("ca: gone.pem", "cannot be used: there is none"),
        ("ca: .", "cannot be used: "),
        ("ca: long.pem", "cannot be used: it is longer than 1MiB"),
        ("ca: empty.pem", "has no certificate in it"),
        ("ca: client.key", "has no certificate in it"),
        ("ca: der.pem", "is in DER, and PEM is needed"),
        ("ca: cut.pem", "breaks off: the line `-----END CERTIFICATE-----` is missing"),
        ("ca: damaged.pem", "is damaged"),
        ("certificate: client.pem", "`certificate` is of no use without `key`"),
        ("key: client.key", "`key` is of no use without `certificate`"),
        ("certificate: client.pem, key: client.pem", "has no private key in it"),
        ("certificate: client.pem, key: encrypted.key", "has an encrypted key in it"),
        ("certificate: client.pem, key: two.key", "has more than one private key in it"),
    ] {
        let text = format!("origins: {{ cms: {{ servers: \"https://a\", tls: {{ {tls} }} }} }}");
        let found = load_str("copal.yaml", &text, Some(&folder.0)).unwrap_err();
        let errors: Vec<_> = found.0.iter().filter(|found| found.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{found}");
        assert!(errors[0].message.contains(message) && errors[0].line == 1 && errors[0].hint.is_some(), "{found}");
    }
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
}
