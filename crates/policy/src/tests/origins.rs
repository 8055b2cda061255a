//! Origins: what is read, what is refused, what is doubted.

use std::time::Duration;

use super::load::errors;
use crate::{Balance, HashBy, OriginConfig, OriginProtocol, ProxyProtocol, ServerUrl, Severity, Verdict, load_str};

fn origins(text: &str) -> Vec<OriginConfig> {
    load_str("copal.yaml", text, None).unwrap_or_else(|errors| panic!("{text}\n{errors}")).config.origins
}

/// The origin with two servers and these keys.
fn origin(keys: &str) -> OriginConfig {
    origins(&format!("origins: {{ cms: {{ servers: [\"http://a\", \"http://b\"], {keys} }} }}")).remove(0)
}

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

#[test]
fn statuses_of_failures_have_ranges_and_classes_as_those_of_checks_have() {
    let codes = |statuses: &[http::StatusCode]| statuses.iter().map(|code| code.as_u16()).collect::<Vec<_>>();
    let retries = |status: &str| codes(&origin(&format!("retries: {{ status: {status} }}")).retries.statuses);
    assert_eq!(retries("5xx"), (500..=599).collect::<Vec<_>>());
    assert_eq!(retries("[502-504, 503, 429]"), [502, 503, 504, 429]);
    let eject = origin("eject: { status: [\"500-502\"] }").eject.unwrap();
    assert_eq!(codes(&eject.statuses), [500, 501, 502]);
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
    (
        "eject: { rate: 0.5 }",
        "`rate` must be a percentage from 0% to 100%, but `0.5` has no percent sign",
        "write `50%`",
    ),
    (
        "balance: hash, hash: { bound: 1.25 }",
        "`bound` must be a percentage from 100% to 10000%, but `1.25` has no percent sign",
        "write `125%`",
    ),
    (
        "retries: { budget: 12.5% }",
        "`budget` must be a percentage from 0% to 100%, but `12.5%` has a fraction",
        "write `12%`",
    ),
    (
        "eject: { rate: 0.1% }",
        "`rate` must be a percentage from 0% to 100%, but `0.1%` has a fraction",
        "a whole number of percent, at least `1%`",
    ),
    (
        "eject: { rate: 1.5 }",
        "`rate` must be a percentage from 0% to 100%, but `1.5` has no percent sign",
        "a share from 0% to 100%: write `100%` or less",
    ),
    (
        "retries: { budget: 300 }",
        "`budget` must be a percentage from 0% to 100%, but `300` has no percent sign",
        "a share from 0% to 100%: write `100%` or less",
    ),
    (
        "connect_timeout: 1.0001s",
        "`connect_timeout` must be a duration, but `1.0001s` has a fraction",
        "write `1s`, the nearest: the smallest unit is `1ms`",
    ),
    (
        "connect_timeout: 0.2ms",
        "`connect_timeout` must be a duration, but `0.2ms` has a fraction",
        "write `1ms` or more: there is no smaller unit",
    ),
    (
        "eject: { status: 200 }",
        "`status` must be a status code, a range of them such as `200-399`, or a class such as `5xx`, but `200` is no status of an error",
        "from 400 to 599",
    ),
    (
        "retries: { status: [502, 3xx] }",
        "`status` must be a status code, a range of them such as `200-399`, or a class such as `5xx`, but `3xx` is no status of an error",
        "or `5xx`",
    ),
    (
        "retries: { status: 6xx }",
        "`status` must be a status code, a range of them such as `200-399`, or a class such as `5xx`, but `6xx` is no class from `1xx` to `5xx`",
        "for example",
    ),
    (
        "first_byte_timeout: 1.5s",
        "`first_byte_timeout` must be a duration, but `1.5s` has a fraction",
        "write `1500ms`",
    ),
    ("health: { interval: \"0,25m\" }", "`interval` must be a duration, but `0,25m` has a fraction", "write `15s`"),
    ("connect_timeout: 1.5", "`connect_timeout` must be a duration, but `1.5` has a fraction", "write `1500ms`"),
    ("header_bytes: 0.5MiB", "`header_bytes` must be a size, but `0.5MiB` has a fraction", "write `512KiB`"),
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
        ("\"http://h:0\"", "has a port that is none", "from 1 to 65535"),
        ("\"http://h:\"", "has no port behind its colon", "from 1 to 65535"),
        ("\"http://127.0.0.1:99999\"", "has a port that is too large", "from 1 to 65535"),
        ("\"https://[::1]:65536\"", "has a port that is too large", "from 1 to 65535"),
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
    (
        "{ servers: \"http://a\", first_byte_timeout: 2m, total_timeout: 1m }",
        "`first_byte_timeout` (2m) is longer than `total_timeout` (1m), so it never ends a request",
    ),
    ("{ servers: \"http://a\", first_byte_timeout: 1m, total_timeout: 1m }", ""),
    // With one server nothing is lost by the default; with two, the second is never asked when the first is silent.
    ("{ servers: \"http://a\", total_timeout: 20s }", ""),
    (
        "{ servers: [\"http://a\", \"http://b\"], total_timeout: 20s }",
        "`timeouts.first_byte` (30s) is longer than `total_timeout` (20s): no other server is asked when one is silent",
    ),
    ("{ servers: [\"http://a\", \"http://b\"], total_timeout: 20s, retries: 0 }", ""),
    (
        "{ servers: \"http://a\", health: { path: /h, interval: 5s, timeout: 10s } }",
        "a check may take 10s (`timeout`), longer than from one to the next (`interval`, 5s)",
    ),
    // Where nothing is written the one follows the other.
    ("{ servers: \"http://a\", health: { path: /h, interval: 1s } }", ""),
    (
        "{ servers: \"http://a\", health: { path: /h, interval: 1s, timeout: 2s } }",
        "a check may take 2s (`timeout`), longer than from one to the next (`interval`, 1s)",
    ),
    ("{ servers: \"http://a\", health: { path: /h, interval: 2s } }", ""),
    // Who asks several times a second wants to see what is dead at once, not to call dead what is slow.
    ("{ servers: \"http://a\", health: { path: /h, interval: 300ms, timeout: 1s } }", ""),
    (
        "{ servers: [\"http://a\", \"http://b\", { url: \"http://c\", backup: true }], retries: 1 }",
        "`tries` is 1: where the 2 servers take a request and break off, `c` (`backup`) is not asked",
    ),
    ("{ servers: [\"http://a\", \"http://b\", { url: \"http://c\", backup: true }], retries: { tries: 2 } }", ""),
    ("{ servers: [\"http://a\", \"http://b\", { url: \"http://c\", backup: true }], retries: 0 }", ""),
    ("{ servers: [\"http://a\", \"http://b\", { url: \"http://c\", backup: true }], retries: { budget: 10% } }", ""),
    ("{ servers: [\"http://a\", \"http://b\"], retries: 1 }", ""),
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
fn nothing_is_doubted_of_an_origin_whose_servers_are_wrong() {
    let found = errors("origins: { cms: { servers: [\"http://a\", \"http://b:99999\"], eject: true, sticky: x } }");
    assert_eq!(found.0.len(), 1, "{found}");
}

/// Warnings of a file as `line:column message`.
fn warned(text: &str) -> Vec<String> {
    let loaded = load_str("copal.yaml", text, None).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
    assert!(loaded.warnings.iter().all(|warning| warning.hint.is_some()));
    loaded.warnings.iter().map(|told| format!("{}:{} {}", told.line, told.column, told.message)).collect()
}

#[test]
fn limits_of_time_that_never_end_a_request_are_told_where_they_stand() {
    let never = |place: &str, first_byte: &str, whole: &str| {
        vec![format!("{place} {first_byte} is longer than {whole}, so it never ends a request")]
    };
    // Once, however many origins there are.
    let text =
        "timeouts: { first_byte: 1m, total: 30s }\norigins: { a: \"http://a\", b: [\"http://b\", \"http://c\"] }\n";
    assert_eq!(warned(text), never("1:13", "`timeouts.first_byte` (1m)", "`timeouts.total` (30s)"));
    let text = "timeouts: { total: 30s }\norigins:\n  a: { servers: \"http://a\", first_byte_timeout: 1m }\n";
    assert_eq!(warned(text), never("3:29", "`first_byte_timeout` (1m)", "`timeouts.total` (30s)"));
    let text = "timeouts: { first_byte: 1m }\norigins:\n  a: { servers: \"http://a\", total_timeout: 30s }\n";
    assert_eq!(warned(text), never("3:29", "`timeouts.first_byte` (1m)", "`total_timeout` (30s)"));
    let rule = |timeouts: &str| {
        let origins = "origins:\n  a: { servers: \"http://a\", total_timeout: 1m }\n";
        warned(&format!("{origins}rules:\n  - {{ name: x, pass: true, timeouts: {{ {timeouts} }} }}\n"))
    };
    assert_eq!(rule("first_byte: 5m"), never("4:40", "`first_byte` (5m)", "the origin's `total` (1m)"));
    assert_eq!(rule("first_byte: 5m, total: 2m"), never("4:40", "`first_byte` (5m)", "`total` (2m)"));
    assert!(rule("first_byte: 5m, total: 10m").is_empty() && rule("total: 10s").is_empty());
}

#[test]
fn several_servers_without_grace_are_told_of_at_the_rule() {
    let two = "origins:\n  cms: [\"http://a\", \"http://b\"]\n  one: \"http://c\"\n";
    let fallback = "origins:\n  cms: { servers: \"http://a\", fallback: one }\n  one: \"http://c\"\n";
    let rule = |name: &str, rest: &str| format!("  - {{ name: {name}, match: {{ path: \"/{name}/**\" }}, {rest} }}\n");
    let told = [
        "5:13 no rule that caches what `cms` answers has `grace`: while its servers are down, what is past its lifetime is not served",
    ];
    for origins in [two, fallback] {
        let with = |rules: &[String]| warned(&format!("{origins}rules:\n{}", rules.concat()));
        let (bare, pass) = (rule("x", "cache: { ttl: 1h }"), rule("p", "pass: true"));
        assert_eq!(with(std::slice::from_ref(&bare)), told);
        assert_eq!(with(&[bare.clone(), rule("y", "cache: {}"), pass.clone()]), told);
        // One rule that has it shows that it is known; and who says `0` means it.
        for known in ["{ grace: 1h }", "{ stale_if_error: 1h }", "{ grace: 0 }"] {
            assert!(with(&[bare.clone(), rule("y", &format!("cache: {known}"))]).is_empty(), "{known}");
        }
        assert!(with(&[pass]).is_empty(), "what is stored by the default policy has `stale_if_error`");
        assert!(with(&[rule("x", "cache: { ttl: 1h }, origin: one")]).is_empty(), "one server without a fallback");
    }
    assert!(warned("origins: { cms: \"http://a\" }\nrules: { name: x, cache: { ttl: 1h } }\n").is_empty());
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
