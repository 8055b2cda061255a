//! Wrong and doubtful configurations, and what is said about them.

use super::load::{ORIGIN, errors};
use crate::{Severity, load_str};

/// A wrong configuration, and all that is said about it.
const WRONG: &[(&str, &str)] = &[
    // 1. A slip in a key.
    (
        "orgins:\n  cms: \"http://127.0.0.1:9000\"\n",
        "copal.yaml:1:1: error: unknown key `orgins`
 1 | orgins:
   | ^^^^^^
   = hint: did you mean `origins`?",
    ),
    // 2. A duration in words.
    (
        "origins: { cms: \"http://a\" }\nrules:\n  - name: pages\n    cache:\n      ttl: 1 hour\n",
        "copal.yaml:5:12: error: `ttl` must be a duration, but `1 hour` has an unknown unit
 5 |       ttl: 1 hour
   |            ^^^^^^
   = hint: write `1h`",
    ),
    // 3. A size in powers of ten.
    (
        "origins: { cms: \"http://a\" }\ncache: { memory: 512MB }\n",
        "copal.yaml:2:18: error: `memory` must be a size, but `512MB` has an unknown unit
 2 | cache: { memory: 512MB }
   |                  ^^^^^
   = hint: write `512MiB`",
    ),
    // 4. An origin with a path.
    (
        "origins:\n  cms: https://cms.internal/site\n",
        "copal.yaml:2:8: error: `cms` must be the URL of a server, but `https://cms.internal/site` has a path
 2 |   cms: https://cms.internal/site
   |        ^^^^^^^^^^^^^^^^^^^^^^^^^
   = hint: write `https://cms.internal`; paths go to the server as they come",
    ),
    // 5. Two actions.
    (
        "origins: { cms: \"http://a\" }\nrules:\n  - name: pages\n    cache: { ttl: 1h }\n    pass: true\n",
        "copal.yaml:5:5: error: rule `pages` has two actions, `cache` and `pass`
 5 |     pass: true
   |     ^^^^
   = hint: a rule does one thing; make two rules",
    ),
    // 6. A regular expression that is none.
    (
        "origins: { cms: \"http://a\" }\nrules:\n  - { name: x, match: { path: \"~^/(a|b\" }, pass: true }\n",
        "copal.yaml:3:31: error: `path` must be a path glob, but `~^/(a|b` is not a regular expression: unclosed group
 3 |   - { name: x, match: { path: \"~^/(a|b\" }, pass: true }
   |                               ^^^^^^^^^
   = hint: after `~` stands a regular expression without look-around and back-references",
    ),
    // 7. A policy that does not exist.
    (
        "origins: { cms: \"http://a\" }\npolicies: [wagtial]\n",
        "copal.yaml:2:12: error: policy `wagtial`: none of that name is shipped
 2 | policies: [wagtial]
   |            ^^^^^^^
   = hint: did you mean `wagtail`?",
    ),
    // 8. A value that YAML takes for an alias.
    (
        "origins: { cms: \"http://a\" }\nsessions:\n  cookies: [*SESS]\n",
        "copal.yaml:3:13: error: this is not YAML: while parsing node, found unknown anchor
 3 |   cookies: [*SESS]
   |             ^
   = hint: put a value that begins with `*` in quotes",
    ),
    // 9. A key that stands twice.
    (
        "origins: { cms: \"http://a\" }\ncache: { memory: 1GiB }\nlog: { level: warn }\ncache: { max_variants: 8 }\n",
        "copal.yaml:4:1: error: key `cache` stands twice
 4 | cache: { max_variants: 8 }
   | ^^^^^
   = hint: it stands on line 2 already; keep one of them",
    ),
    // 10. A session cookie in the key.
    (
        "origins: { cms: \"http://a\" }\npolicies: [wagtail]\nrules:\n  - name: members\n    match: { path: /m }\n    cache:\n      key: { cookies: [sessionid] }\n",
        "copal.yaml:7:24: error: `sessionid` is in the key and fits the session cookie `sessionid`
 7 |       key: { cookies: [sessionid] }
   |                        ^^^^^^^^^
   = hint: a request with a session cookie is never looked up; leave one of them out",
    ),
    // 11. An origin that does not exist.
    (
        "origins: { cms: \"http://a\" }\nrules: [{ name: x, pass: true, origin: cmz }]\n",
        "copal.yaml:2:40: error: `origin` must be a name, but `cmz` is no origin of this file
 2 | rules: [{ name: x, pass: true, origin: cmz }]
   |                                        ^^^
   = hint: did you mean `cms`?",
    ),
    // 12. Indented by a tab.
    (
        "origins:\n\tcms: \"http://a\"\n",
        "copal.yaml:2:2: error: this is not YAML: tabs disallowed within this context (block indentation)
 2 |  cms: \"http://a\"
   |  ^
   = hint: YAML is indented by spaces, never by tabs",
    ),
];

#[test]
fn twelve_wrong_configurations_and_all_that_is_said_about_them() {
    for (text, expected) in WRONG {
        assert_eq!(errors(text).to_string(), *expected);
    }
}

#[test]
fn one_configuration_with_many_errors_says_them_all() {
    let text = "listen: [8080, \"127.0.0.1:80\", { address: \"0.0.0.0:80\" }]
admin: localhost:9
origins:
  cms: { server: \"http://a\" }
  \"my shop\": 10.0.0.1:80
cache: { memory: 1GiB, max_body: 600MiB, max_variants: 0, heuristic: yes }
purge: { allow: [\"10.0.0.0/33\", localhost] }
trusted_proxies: { a: b }
sessions: { cookies: \"^SESS\", unknown: pass }
esi: { max_depth: 99 }
limits: { header_timeout: 0, header_bytes: 1KiB }
log: { access: jsn, level: verbose }
drain: 30
rules:
  - name: a b
    pass: true
  - match: { path: blog/*, method: get, host: \"http://x/\" }
    pass: false
  - name: c
    match: { query: { p: }, header: \"X-A:\", path: [], scheme: ftp }
    respond: { status: 200, redirect: /x, body: y, headers: { Content-Length: 3 } }
  - name: d
    cache: { ttl: 2h, max_ttl: 1h, override: nostore, status_ttl: { 304: 1s, 999: 1s, 404: x } }
  - name: d
  - name: e
    cache: { key: { query: { allow: a, deny: b }, headers: Cookie } }
    origin: 5
";
    let found: Vec<String> = errors(text).0.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
    let expected = [
        "1:10 `listen` must be an IP address with a port, but `8080` has no IP address",
        "1:43 the address `0.0.0.0:80` is used twice",
        "2:8 `admin` must be an IP address with a port or a mapping, but `localhost:9` has a name",
        "4:10 unknown key `server` in `origins`",
        "5:3 `origin` must be a name, but `my shop` is none: letters, digits, `_`, `.` and `-`, at most 64 of them",
        "5:14 `my shop` must be the URL of a server, but `10.0.0.1:80` has no scheme",
        "6:24 `max_body` (600MiB) is more than half of `memory` (1GiB)",
        "6:56 `max_variants` must be a whole number from 1 to 65536, not `0`",
        "6:70 `heuristic` must be `true` or `false`, not `yes`",
        "7:18 `allow` must be an address range, not `10.0.0.0/33`",
        "7:33 `allow` must be an address range, not `localhost`",
        "8:18 `trusted_proxies` must be an address range, not a mapping",
        "9:22 `cookies` must be a glob, but `^SESS` looks like a regular expression",
        "9:40 `unknown` must be `bypass` or `strip`, not `pass`",
        "10:19 `max_depth` must be a whole number from 1 to 32, not `99`",
        "11:27 `header_timeout` must be a duration, but `0` leaves no time at all",
        "11:44 `header_bytes` must be a size, but `1KiB` is not between 8KiB and 16MiB",
        "12:16 `access` must be `combined`, `json` or `off`, not `jsn`",
        "12:28 `level` must be `error`, `warn`, `info`, `debug` or `trace`, not `verbose`",
        "13:8 `drain` must be a duration, but `30` has no unit",
        "15:11 `name` must be a name, but `a b` is none: letters, digits, `_`, `.` and `-`, at most 64 of them",
        "17:5 `name` is missing in `rules`",
        "17:20 `path` must be a path glob, but `blog/*` does not begin with `/`",
        "17:36 `method` must be a method, but `get` is in lower case, and methods count case",
        "17:47 `host` must be a host glob, but `http://x/` has a scheme",
        "18:11 `pass` must be `true`, not `false`",
        "20:23 `p` has no value",
        "20:37 `header` must be a field name, not `X-A:`",
        "20:51 `path` is an empty list, which nothing fits",
        "20:63 `scheme` must be `http` or `https`, not `ftp`",
        "21:16 200 is no status of a redirect",
        "21:43 a redirect has no `body`",
        "21:63 `headers` must be a field name, but `Content-Length` is Copal's own to set",
        "23:14 `ttl` (2h) is longer than `max_ttl` (1h)",
        "23:46 `override` must be `private`, `no-store`, `set-cookie`, `share-set-cookie`, `no-cache` or `must-revalidate`, not `nostore`",
        "23:69 a response with status 304 is never stored",
        "23:78 `status_ttl` must be a status code, but `999` is not between 200 and 599",
        "23:92 `status_ttl` must be a duration, not `x`",
        "24:11 two rules are named `d`",
        "24:11 rule `d` says nothing to do",
        "25:11 rule `e` is never reached",
        "26:40 `query` has both `allow` and `deny`",
        "26:60 `headers` must be a field name, but `Cookie` differs for each visitor",
        "27:13 `origin` must be a name, but `5` is no origin of this file",
    ];
    assert_eq!(found, expected);
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = load_str("copal.yaml", &format!("{ORIGIN}{text}"), None).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning));
    loaded.warnings.iter().map(|warning| format!("{}:{} {}", warning.line, warning.column, warning.message)).collect()
}

#[test]
fn warnings_do_not_stop() {
    for (text, expected) in [
        ("admin: \"0.0.0.0:8081\"\n", vec!["2:8 strangers may reach the admin address `0.0.0.0:8081`"]),
        ("admin: \"10.1.2.3:8081\"\n", vec![]),
        ("admin: \"[::1]:8081\"\n", vec![]),
        (
            "rules:\n  - { name: x, match: { path: /x }, cache: { override: [no-store, set-cookie] } }\n",
            vec![
                "3:57 rule `x`: pages that must not be kept (`no-store`) will be stored",
                "3:67 rule `x`: pages that set a cookie will be stored, without the cookie: what it stands for may be on the page",
            ],
        ),
        (
            "policies: [wagtail]\nrules:\n  - { name: all, cache: {} }\n  - { name: later, pass: true }\n",
            vec![
                "4:13 rule `all` fits every request, so no rule of policy `wagtail` is ever reached",
                "5:13 rule `later` is never reached",
            ],
        ),
        ("purge: { allow: [\"10.0.0.0/8\", \"0.0.0.0/0\"] }\n", vec!["2:32 `0.0.0.0/0` lets everybody purge"]),
        ("trusted_proxies: [\"::/0\"]\n", vec!["2:19 `::/0` trusts everybody: any client can claim any address"]),
        ("policies: [default]\n", vec!["2:12 the policy `default` always applies"]),
        (
            "rules:\n  - { name: x, match: { path: /x }, cache: { ttl: 1h, default_ttl: 2h } }\n",
            vec!["3:55 `default_ttl` does nothing beside `ttl`"],
        ),
        (
            "rules:\n  - { name: x, match: { method: PUT }, cache: {} }\n",
            vec!["3:40 this rule fits no request whose response can be stored"],
        ),
        ("rules:\n  - { name: x, match: { method: [GET, QUERY] }, cache: {} }\n", vec![]),
        (
            "rules:\n  - { name: x, match: { method: [GTE, LINK, MKCOL] }, pass: true }\n",
            vec!["3:34 no method is named `GTE` as far as Copal knows"],
        ),
        (
            "rules:\n  - { name: x, match: { method: [GET, POST] }, cache: {} }\n",
            vec!["3:48 rule `x`: responses to POST will be stored, under the URL and the request's body"],
        ),
        (
            "cache: { revalidate_allow: \"0.0.0.0/0\" }\n",
            vec!["2:28 `0.0.0.0/0` lets every visitor make Copal ask the origin"],
        ),
        (
            "rules:\n  - { name: x, match: { path: /x }, cache: { override: [share-set-cookie] } }\n",
            vec!["3:57 rule `x`: pages that set a cookie will be stored, and everybody gets that same cookie"],
        ),
        (
            "cache: { max_body: 1MiB }\nrules:\n  - { name: x, match: { path: /x }, cache: { slice: 1025KiB } }\n  - { name: y, match: { path: /y }, cache: { slice: 1MiB } }\n",
            vec!["4:46 `slice` (1025KiB) is larger than `cache.max_body` (1MiB): no such slice is stored"],
        ),
        // By default a body may have a quarter of the memory.
        (
            "cache: { memory: 8MiB }\nrules: [{ name: x, match: { path: /x }, cache: { slice: 4MiB } }]\n",
            vec!["3:50 `slice` (4MiB) is larger than `cache.max_body` (2MiB): no such slice is stored"],
        ),
        ("rules: [{ name: x, match: { path: /x }, cache: { slice: 64MiB } }]\n", vec![]),
        (
            "sessions: { cookies: [\"S*\"], ignore: [SID, T] }\n",
            vec!["2:39 `SID` is ignored and fits the session cookie `S*`"],
        ),
        (
            "sessions: { cookies: [\"*_session\"] }\nrules: [{ name: x, match: { path: / }, cache: { key: { cookies: [\"lang_*\"] } } }]\n",
            vec!["3:66 `lang_*` in the key can fit the same cookie as the session cookie `*_session`"],
        ),
        (
            "rules: [{ name: x, match: { path: /x }, cache: { key: { query: { deny: [ref, marketng] } } } }]\n",
            vec!["2:78 `marketng` is a parameter of that name, and not the shipped list"],
        ),
        ("rules: [{ name: x, match: { path: /x }, cache: { key: { query: { allow: [market] } } } }]\n", vec![]),
        (
            "rules: [{ name: x, match: { path: /x }, cache: { client_cache_control: \"public, max-agee=3\" } }]\n",
            vec!["2:50 `max-agee` is no directive that clients know"],
        ),
        (
            "rules: [{ name: x, match: { path: /x }, cache: { client_cache_control: \"max-age=3, x-new=1\" } }]\n",
            vec![],
        ),
    ] {
        assert_eq!(warnings(text), expected, "{text}");
    }
}

#[test]
fn an_origin_that_is_copal_itself() {
    for (listen, server, own) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
        ("127.0.0.1:8080", "http://localhost:8080", true),
        ("127.0.0.1:80", "http://localhost", true),
        ("0.0.0.0:8080", "http://127.0.0.1:8080", true),
        ("[::]:8080", "http://[::1]:8080", true),
        ("127.0.0.1:8080", "http://127.0.0.1:9000", false),
        ("127.0.0.1:8080", "http://127.0.0.2:8080", false),
        ("0.0.0.0:8080", "http://10.0.0.7:8080", false),
        ("0.0.0.0:8080", "http://cms:8080", false),
    ] {
        let text = format!("listen: \"{listen}\"\norigins: {{ cms: \"{server}\" }}\n");
        let loaded = load_str("copal.yaml", &text, None).unwrap_or_else(|error| panic!("{error}"));
        let found: Vec<&str> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
        let expected = format!("the server is Copal's own address: `listen` has `{listen}`");
        assert_eq!(found, if own { vec![expected.as_str()] } else { vec![] }, "{text}");
    }
}

#[test]
fn one_slip_is_one_error() {
    for (text, expected) in [
        ("origin: { cms: \"http://a\" }\nrules: [{ name: x, pass: true, origin: cms }]\n", "1:1 unknown key `origin`"),
        ("origins: { a: \"http://a\" }\nrules: [{ name: x, cahce: {} }]\n", "2:20 unknown key `cahce` in `rules`"),
        (
            "origins: { a: \"http://a\" }\nrules:\n  - { name: x, macth: { path: /x }, pass: true }\n  - { name: y, pass: true }\n",
            "3:16 unknown key `macth` in `rules`",
        ),
        (
            "origins: { a: \"http://a\" }\nrules:\n  - { name: x, match: { path: x }, pass: true }\n  - { name: y, pass: true }\n",
            "3:31 `path` must be a path glob, but `x` does not begin with `/`",
        ),
    ] {
        let found: Vec<String> =
            errors(text).0.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
        assert_eq!(found, [expected], "{text}");
    }
}

#[test]
fn a_hint_for_admin_leads_no_strangers_there() {
    for (admin, hint) in [("8081", "127.0.0.1:8081"), ("{ address: 9 }", "127.0.0.1:9"), ("10.0.0.1", "10.0.0.1:8081")]
    {
        let found = errors(&format!("{ORIGIN}admin: {admin}\n"));
        assert_eq!(found.0[0].hint.as_deref(), Some(format!("write `\"{hint}\"`").as_str()), "{admin}");
    }
}

#[test]
fn a_port_that_is_none_is_told_from_none_at_all() {
    for (address, reason) in [
        ("127.0.0.1:99999", "has a port that is too large"),
        ("127.0.0.1:", "has no port behind its colon"),
        ("[::1]:http", "has a port that is no number"),
    ] {
        let found = errors(&format!("{ORIGIN}listen: \"{address}\"\n"));
        assert!(found.0[0].message.ends_with(reason), "{found}");
        assert!(found.0[0].hint.as_deref().is_some_and(|hint| hint.ends_with(":8080\"`")), "{found}");
    }
}

#[test]
fn wrong_arguments_are_told_in_the_words_of_the_command_line() {
    for (listen, hint) in [("foo", "--listen 127.0.0.1:8080"), ("3000", "--listen 127.0.0.1:3000")] {
        let found = crate::for_origin("http://127.0.0.1:9000", Some(listen)).unwrap_err();
        assert!(found.to_string().contains("`--listen` must be an IP address with a port"), "{found}");
        assert_eq!(found.0[0].hint.as_deref(), Some(format!("for example `{hint}`").as_str()));
    }
    let found = crate::for_origin("ftp://a", None).unwrap_err();
    assert!(found.to_string().contains("`--origin` must be the URL of a server"), "{found}");
}

/// Found by fuzzing: the parser counts a lone carriage return as the end of a line.
#[test]
fn the_line_that_is_shown_is_the_line_that_is_meant() {
    let found = errors("origins: { a: \"http://127.0.0.1:1\" }\n# two\rlisten: x\nlog: {}\n").to_string();
    assert!(found.contains("copal.yaml:3:9") && found.contains(" 3 | listen: x"), "{found}");
    let found = errors("# one\r# two\r\n# three\ra: @\n").to_string();
    assert!(found.contains("copal.yaml:4:4") && found.contains(" 4 | a: @"), "{found}");
}

#[test]
fn new_values_of_a_cache_rule_are_checked() {
    let rule = |cache: &str| {
        format!("{ORIGIN}rules:\n  - name: x\n    match: {{ path: /x }}\n    esi: true\n    cache: {{ {cache} }}\n")
    };
    for (cache, expected) in [
        ("jitter: 10", "6:22 `jitter` must be a percentage from 0% to 90%, but `10` has no percent sign"),
        ("jitter: 95%", "6:22 `jitter` must be a percentage from 0% to 90%, but `95%` is more than 90%"),
        ("slice: 1KiB", "6:21 `slice` must be a size, but `1KiB` is not between 64KiB and 64MiB"),
        ("slice: 4MiB", "5:5 `esi: true` does not go with `slice`"),
        (
            "request_directives: honor",
            "6:34 `request_directives` must be `ignore`, `harmless` or `honour`, not `honor`",
        ),
    ] {
        let found: Vec<String> =
            errors(&rule(cache)).0.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
        assert_eq!(found, [expected], "{cache}");
    }
}

#[test]
fn esi_options_are_checked() {
    let rule = |esi: &str| {
        format!("{ORIGIN}rules:\n  - name: x\n    match: {{ path: /x }}\n    cache: {{}}\n    esi: {esi}\n")
    };
    for (esi, expected) in [
        ("on", "6:10 `esi` must be `true`, `false` or `auto` or a mapping, not `on`"),
        ("[true]", "6:10 `esi` must be `true`, `false` or `auto` or a mapping, not a list"),
        ("{ mode: false }", "6:18 `mode` must be `true` or `auto`, not `false`"),
        ("{ dialect: fastly }", "6:21 `dialect` must be `esi` or `akamai`, not `fastly`"),
        ("{ dialct: esi }", "6:12 unknown key `dialct` in `esi`"),
        ("{ cookies: [\"s*\"] }", "6:22 `cookies` must be a text, but `s*` is a glob"),
        ("{ cookies: [\"a=b\"] }", "6:22 `cookies` must be a text, but `a=b` has characters that no cookie's name has"),
        ("{ headers: Cookie }", "6:21 `headers` must be a field name, but `Cookie` has a key of its own"),
        ("{ headers: Authorization }", "6:21 `headers` must be a field name, but `Authorization` is a secret"),
        ("{ on_error: abort }", "6:22 `on_error` must be `omit` or `fail`, not `abort`"),
        ("{ trusted_only: [] }", "6:26 `trusted_only` is an empty list, which nothing fits"),
        ("{ redirects: 4 }", "6:23 `redirects` must be a whole number from 0 to 3, not `4`"),
        (
            "{ mode: auto, triggers: [x-foo] }",
            "6:35 `triggers` must be `surrogate-control`, `x-esi` or `edge-control`, not `x-foo`",
        ),
        ("{ hosts: \"http://a\" }", "6:19 `hosts` must be a host glob, but `http://a` has a scheme"),
        ("{ raw: yes }", "6:17 `raw` must be `true` or `false`, not `yes`"),
    ] {
        let found: Vec<String> =
            errors(&rule(esi)).0.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
        assert_eq!(found, [expected], "{esi}");
    }
    let raw = load_str("copal.yaml", &rule("{ raw: true }"), None).unwrap().warnings;
    let said: Vec<String> = raw.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
    assert_eq!(said, ["6:12 rule `x`: what visitors send (cookies, query, fields) will be put into pages as it is"]);
    for (esi, warnings) in [
        (
            "{ hosts: [\"*\"] }",
            vec![
                "3:11 rule `x`: pages may include from `*`, and no rule is for that host",
                "6:20 pages may include from every host that somebody writes into them",
            ],
        ),
        (
            "{ hosts: [w.example] }",
            vec!["3:11 rule `x`: pages may include from `w.example`, and no rule is for that host"],
        ),
        ("{ post: [/a] }", vec!["6:12 only the `akamai` dialect has `method=\"POST\"`"]),
        ("{ triggers: [x-esi] }", vec!["6:12 `triggers` does nothing without `mode: auto`"]),
        ("{ post: [/a], dialect: akamai, triggers: [x-esi], mode: auto }", vec![]),
    ] {
        let found = load_str("copal.yaml", &rule(esi), None).unwrap().warnings;
        let said: Vec<String> = found.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
        assert_eq!(said, warnings, "{esi}");
    }
    let named = rule("{ hosts: [w.example] }") + "  - { name: w, match: { host: \"*.example\" }, pass: true }\n";
    assert!(load_str("copal.yaml", &named, None).unwrap().warnings.is_empty());
    let slice = rule("{ mode: true }").replace("cache: {}", "cache: { slice: 4MiB }");
    assert!(errors(&slice).to_string().contains("does not go with `slice`"));
}

#[test]
fn contexts_are_checked() {
    let of = |context: &str, rule: &str| {
        format!("{ORIGIN}contexts: {{ team: {context} }}\nrules: [{{ name: x, match: {{ path: /x }}, {rule} }}]\n")
    };
    let good = "{ path: /g }";
    for (context, rule, expected) in [
        ("{}", "cache: {}, context: team", "`path` is missing in `contexts`"),
        ("{ path: g }", "cache: {}, context: team", "`path` must be a text, but `g` is no path of the site"),
        ("{ path: //g }", "cache: {}, context: team", "`path` must be a text, but `//g` is no path of the site"),
        (
            "{ path: /g, header: Cookie }",
            "cache: {}, context: team",
            "`header` must be a field name, but `Cookie` is no field of the site's own",
        ),
        (
            "{ path: /g, header: X_Group }",
            "cache: {}, context: team",
            "`header` must be a field name, but `X_Group` is no field of the site's own",
        ),
        (
            "{ path: /g, header: X-Forwarded-For }",
            "cache: {}, context: team",
            "`header` must be a field name, but `X-Forwarded-For` is no field of the site's own",
        ),
        (
            "{ path: /g, anonymous: \"a b\" }",
            "pass: true",
            "`anonymous` must be a text, but `a b` is no group: letters, digits and `._~+/=:-`, at most 256",
        ),
        ("{ path: /g, cookies: [] }", "pass: true", "`cookies` is an empty list: no session would ever be asked for"),
        ("{ path: /g, credentials: keep }", "pass: true", "`credentials` must be `withhold` or `forward`, not `keep`"),
        (
            "{ path: /g, max_sessions: 0 }",
            "pass: true",
            "`max_sessions` must be a whole number from 1 to 10000000, not `0`",
        ),
        (good, "cache: {}, context: teem", "`context` must be a name, but `teem` is none of `contexts`"),
        (good, "pass: true, context: team", "`context` does not go with a rule that stores nothing"),
        (good, "cache: {}, sessions: ignore, context: team", "`context` does not go with `sessions: ignore`"),
        (good, "cache: { slice: 1MiB }, context: team", "`context` does not go with `slice`"),
        (good, "cache: { no_vary_search: true }, context: team", "`context` does not go with `no_vary_search`"),
        (
            good,
            "cache: { key: { headers: [Authorization] } }, context: team",
            "`context` does not go with `Authorization` in `key.headers`",
        ),
        (good, "cache: { key: { cookies: [sid] } }, context: team", ""),
    ] {
        let text = of(context, rule);
        if expected.is_empty() {
            assert!(load_str("copal.yaml", &text, None).is_ok(), "{text}");
            continue;
        }
        let said: Vec<String> = errors(&text).0.into_iter().map(|found| found.message).collect();
        // A name that could not be read is no name of a context either.
        assert_eq!(said.first().map(String::as_str), Some(expected), "{said:?}");
    }
    let keyed = of("{ path: /g, cookies: [sid] }", "cache: { key: { cookies: [sid] } }, context: team");
    assert!(errors(&keyed).to_string().contains("is in the key and fits the session cookie `sid`"));
}

#[test]
fn a_context_of_the_configuration_takes_the_place_of_a_policys() {
    let policy = crate::load::PolicyText {
        name: "site".to_owned(),
        file: "site.yaml".to_owned(),
        text: "contexts: { fos: { path: /a, cookies: [sid] } }\nrules: [{ name: p, cache: {}, context: fos }]"
            .to_owned(),
    };
    let loaded = crate::load::for_policy(policy).unwrap().config;
    assert_eq!(loaded.contexts.len(), 1);
    assert_eq!((&*loaded.contexts[0].name, loaded.contexts[0].path.as_str()), ("site/fos", "/a"));
    assert!(loaded.has_sub_keys && loaded.contexts[0].takes_cookie("sid") && !loaded.contexts[0].takes_cookie("x"));
    let folder = std::env::temp_dir().join(format!("copal-contexts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("site.yaml"),
        "contexts: { fos: { path: /a } }\nrules: [{ name: p, cache: {}, context: fos }]",
    )
    .unwrap();
    let text = format!("{ORIGIN}policies: [./site.yaml]\ncontexts: {{ fos: {{ path: /b, ttl: 1m }} }}\n");
    let loaded = load_str("copal.yaml", &text, Some(&folder));
    std::fs::remove_dir_all(&folder).unwrap();
    let config = loaded.unwrap().config;
    assert_eq!(config.contexts.len(), 1);
    let rule = config.policy.rules().iter().find(|rule| &*rule.name == "site/p").unwrap();
    assert_eq!(rule.context.as_ref().map(|context| context.path.as_str()), Some("/b"));
    assert_eq!(config.contexts[0].lookup.cache().unwrap().ttl, Some(std::time::Duration::from_secs(60)));
}

#[test]
fn an_error_is_told_once_and_where_it_is() {
    let error = |text: &str| load_str("copal.yaml", &format!("{ORIGIN}{text}"), None).unwrap_err();
    let taken = error("admin: 127.0.0.1:8080\n").to_string();
    assert!(taken.contains("Copal listens there where the file has no `listen`"), "{taken}");
    let broken = "contexts: { t: { path: no-slash, header: X-T } }\nrules: [{ name: x, match: { path: /x }, cache: {}, context: t }]\n";
    let found = error(broken);
    assert_eq!(found.0.len(), 1, "{found}");
    assert!(found.0[0].message.contains("is no path of the site"), "{found}");
    let stars = error("rules: [{ name: x, match: { path: \"/x/***\" }, pass: true }]\n").to_string();
    assert!(stars.contains("more than two stars in a row"), "{stars}");
}
