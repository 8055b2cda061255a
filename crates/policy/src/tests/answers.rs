//! Which rule answers, and what cookies are.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{
    Action, Config, CookieKind, Cookies, EsiDialect, EsiMode, EsiOnError, EsiOptions, EsiTriggers, RequestFacts,
    RuleSource, SessionMode, UnknownCookies, load_str,
};

fn config(text: &str) -> Config {
    let text = format!("origins: {{ cms: \"http://a\", shop: \"http://b\" }}\n{text}");
    load_str("copal.yaml", &text, None).unwrap_or_else(|error| panic!("{error}")).config
}

/// `METHOD SCHEME://HOST/PATH?QUERY` with fields.
fn rule(config: &Config, request: &str, fields: &[(&'static str, &str)]) -> String {
    let (method, url) = request.split_once(' ').unwrap_or(("GET", request));
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let headers = headers(fields);
    let cookies = Cookies::parse(&headers);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let facts = RequestFacts { method: &method, scheme, host, path, query, headers: &headers, cookies: &cookies };
    config.policy.answer(&facts).name.to_string()
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// One rule with this `match`: does it answer?
fn fits(matcher: &str, request: &str, fields: &[(&'static str, &str)]) -> bool {
    let config = config(&format!("rules: [{{ name: x, match: {matcher}, pass: true }}]"));
    rule(&config, request, fields) == "x"
}

#[test]
fn conditions() {
    type Fields = [(&'static str, &'static str)];
    let table: &[(&str, &str, &Fields, bool)] = &[
        ("{}", "http://h/", &[], true),
        ("{ host: example.org }", "http://example.org/", &[], true),
        ("{ host: EXAMPLE.org }", "http://example.ORG/", &[], true),
        ("{ host: example.org }", "http://example.org:8080/", &[], true),
        ("{ host: \"example.org:8080\" }", "http://example.org:8080/", &[], true),
        ("{ host: \"example.org:8080\" }", "http://example.org/", &[], false),
        ("{ host: \"*.example.org\" }", "http://a.b.example.org/", &[], true),
        ("{ host: \"*.example.org\" }", "http://example.org/", &[], false),
        ("{ host: [a, b] }", "http://b/", &[], true),
        ("{ host: \"[::1]\" }", "http://[::1]:80/", &[], true),
        ("{ path: [/a, /b/**] }", "http://h/b/c", &[], true),
        ("{ path: [/a, /b/**] }", "http://h/c", &[], false),
        ("{ path: \"/**/*.{css,js}\" }", "http://h/x/y.js", &[], true),
        ("{ method: POST }", "POST http://h/", &[], true),
        ("{ method: [GET, HEAD] }", "POST http://h/", &[], false),
        ("{ scheme: https }", "https://h/", &[], true),
        ("{ scheme: https }", "http://h/", &[], false),
        ("{ query: preview }", "http://h/?a=1&preview=x", &[], true),
        ("{ query: preview }", "http://h/?preview", &[], true),
        ("{ query: preview }", "http://h/?previews=1", &[], false),
        ("{ query: preview }", "http://h/", &[], false),
        ("{ query: [a, b] }", "http://h/?b", &[], true),
        ("{ query: { a: \"1\", b: \"*\" } }", "http://h/?b=2&a=1", &[], true),
        ("{ query: { a: \"1\", b: \"*\" } }", "http://h/?a=1", &[], false),
        ("{ query: { a: [1, 2] } }", "http://h/?a=3&a=2", &[], true),
        ("{ query: { a: true } }", "http://h/?a=true", &[], true),
        ("{ query: \"wc-*\" }", "http://h/?wc-ajax=x", &[], true),
        ("{ header: X-A }", "http://h/", &[("x-a", "")], true),
        ("{ header: X-A }", "http://h/", &[("x-b", "1")], false),
        ("{ header: { Accept: \"*text/html*\" } }", "http://h/", &[("accept", "text/html;q=1, */*")], true),
        ("{ header: { Accept: \"*text/html*\" } }", "http://h/", &[("accept", "image/png")], false),
        ("{ header: { X: a, Y: b } }", "http://h/", &[("x", "a"), ("y", "b")], true),
        ("{ header: { X: a, Y: b } }", "http://h/", &[("x", "a"), ("y", "c")], false),
        ("{ header: { X: a } }", "http://h/", &[("x", "b"), ("x", "a")], true),
        ("{ cookie: \"pre*\" }", "http://h/", &[("cookie", "a=1; preview=2")], true),
        ("{ cookie: \"pre*\" }", "http://h/", &[("cookie", "a=pre")], false),
        ("{ path: /a, method: POST }", "POST http://h/a", &[], true),
        ("{ path: /a, method: POST }", "GET http://h/a", &[], false),
        ("{ path: /a, method: POST }", "POST http://h/b", &[], false),
    ];
    for (matcher, request, fields, expected) in table {
        assert_eq!(fits(matcher, request, fields), *expected, "{matcher} {request} {fields:?}");
    }
}

#[test]
fn rules_are_tried_in_order_the_policies_after_the_configuration_and_the_default_last() {
    let config = config(
        "policies: [wagtail]\nrules:\n  - { name: special, match: { path: /admin/x }, cache: {} }\n  - { name: b, match: { path: /b/** }, pass: true }\n",
    );
    let sources: Vec<&RuleSource> = config.policy.rules().iter().map(|rule| &rule.source).collect();
    let policy = RuleSource::Policy("wagtail".into());
    assert!(sources.starts_with(&[&RuleSource::Config, &RuleSource::Config, &policy]));
    assert!(sources.ends_with(&[&policy, &RuleSource::Default, &RuleSource::Default]));
    assert!(sources.is_sorted_by_key(|source| match source {
        RuleSource::Config => 0,
        RuleSource::Policy(_) => 1,
        RuleSource::Default => 2,
    }));
    for (request, expected) in [
        ("http://h/admin/x", "special"),
        ("http://h/admin/y", "wagtail/admin"),
        ("http://h/b", "b"),
        ("http://h/c", "wagtail/pages"),
        ("POST http://h/c", "default/other-methods"),
    ] {
        assert_eq!(rule(&config, request, &[]), expected, "{request}");
    }
}

#[test]
fn cookies_are_session_then_keyed_then_ignored_then_unknown() {
    let text = "sessions: { cookies: [\"SESS*\"], ignore: [theme, \"pre*\"] }
rules:
  - { name: k, cache: { key: { cookies: [lang, \"prefix_*\"] } } }
";
    let config = config(text);
    let rule = &config.policy.rules()[0];
    for (name, kind) in [
        ("SESS1", CookieKind::Session),
        ("lang", CookieKind::Keyed),
        ("prefix_a", CookieKind::Keyed),
        ("prefab", CookieKind::Ignored),
        ("theme", CookieKind::Ignored),
        ("_ga", CookieKind::Ignored),
        ("Theme", CookieKind::Unknown),
        ("", CookieKind::Unknown),
    ] {
        assert_eq!(config.policy.cookie_kind(rule, name), kind, "{name}");
    }
    let headers = headers(&[("cookie", "lang=de; x=1; SESS1=s; theme=t; prefix_a=1; SESS2=t; y=2; lang=en; _ga=1")]);
    let cookies = Cookies::parse(&headers);
    let verdict = config.policy.classify(rule, &cookies);
    assert_eq!((verdict.session, verdict.unknown), (Some("SESS1"), Some("x")));
    assert_eq!((verdict.ignored, verdict.stripped), (2, 0));
    let pairs = |cookies: &[crate::Cookie<'_>]| {
        cookies.iter().map(|c| String::from_utf8_lossy(c.pair).into_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(pairs(&verdict.keyed), "lang=de prefix_a=1");
    assert_eq!(pairs(&verdict.sessions), "SESS1=s SESS2=t");
}

#[test]
fn unknown_cookies_are_stripped_only_if_told() {
    let strip = config("sessions: { unknown: strip }");
    let headers = headers(&[("cookie", "x=1; _ga=2; y=3")]);
    let cookies = Cookies::parse(&headers);
    let verdict = strip.policy.classify(&strip.policy.rules()[0], &cookies);
    assert_eq!((verdict.unknown, verdict.stripped, verdict.ignored), (None, 2, 1));
    assert_eq!(strip.policy.unknown_cookies(), UnknownCookies::Strip);
    assert_eq!(config("").policy.unknown_cookies(), UnknownCookies::Bypass);
}

#[test]
fn keyed_cookies_have_one_text_in_whatever_order_they_come() {
    let config = config("rules: [{ name: k, cache: { key: { cookies: [a, b], headers: [X] } } }]");
    let rule = &config.policy.rules()[0];
    let extras = |fields: &[(&'static str, &str)]| {
        let headers = headers(fields);
        let cookies = Cookies::parse(&headers);
        let verdict = config.policy.classify(rule, &cookies);
        rule.cache().unwrap().key.extras(&headers, &verdict.keyed)
    };
    assert_eq!(extras(&[("cookie", "b=2; a=1")]), extras(&[("cookie", "a=1"), ("cookie", "b=2; a=3")]));
    assert_eq!(extras(&[("cookie", "b=2; a=1"), ("x", "y")]), "header x=\"y\"; cookie a=\"1\"; cookie b=\"2\"");
    assert_eq!(extras(&[]), "");
}

#[test]
fn a_rule_with_everything() {
    let config = config(
        "rules:
  - name: all
    match: { path: /all }
    cache:
      ttl: 1h
      min_ttl: 1m
      max_ttl: 2h
      grace: 6h
      status_ttl: { 404: 10s, 301: 1d }
      client_cache_control: max-age=60
      override: [private, set-cookie]
    sessions: ignore
    esi: true
    origin: shop
  - { name: gone, match: { path: /gone }, respond: { status: 410, body: Gone., headers: { X-Why: [a, b] } } }
  - { name: moved, match: { path: /old }, respond: { redirect: \"/new\", status: 301 } }
",
    );
    let [all, gone, moved, ..] = config.policy.rules() else { panic!() };
    assert_eq!((all.sessions, all.esi, all.origin, all.line), (SessionMode::Ignore, EsiMode::On, 1, 3));
    let cache = all.cache().unwrap();
    let seconds = |duration: Option<std::time::Duration>| duration.map(|duration| duration.as_secs());
    assert_eq!(seconds(cache.ttl), Some(3600));
    assert_eq!((seconds(cache.min_ttl), seconds(cache.max_ttl), cache.grace.as_secs()), (Some(60), Some(7200), 21_600));
    assert_eq!(seconds(cache.status_ttl(StatusCode::NOT_FOUND)), Some(10));
    assert_eq!(seconds(cache.status_ttl(StatusCode::OK)), None);
    assert_eq!(cache.client_cache_control.as_ref().unwrap(), "max-age=60");
    let flags = cache.overrides;
    assert!(flags.private && flags.set_cookie && !flags.no_store && !flags.no_cache && !flags.must_revalidate);
    let Action::Respond(gone) = &gone.action else { panic!() };
    assert_eq!((gone.status, &gone.body[..]), (StatusCode::GONE, &b"Gone."[..]));
    assert_eq!(gone.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(gone.headers.get_all("x-why").iter().count(), 2);
    let Action::Respond(moved) = &moved.action else { panic!() };
    assert_eq!(
        (moved.status, &moved.headers["location"]),
        (StatusCode::MOVED_PERMANENTLY, &HeaderValue::from_static("/new"))
    );
}

#[test]
fn esi_as_a_word_and_as_a_mapping() {
    let rule = |esi: &str| {
        let text = format!("origins: {{ cms: \"http://a\" }}\nrules: [{{ name: x, cache: {{}}, esi: {esi} }}]\n");
        let config = crate::load_str("copal.yaml", &text, None).unwrap().config;
        Arc::clone(&config.policy.rules()[0])
    };
    let said = |options: &EsiOptions| format!("{options:?}");
    assert_eq!(rule("true").esi, EsiMode::On);
    assert_eq!(said(&rule("true").esi_options), said(&EsiOptions::default()));
    assert_eq!(rule("{ mode: auto }").esi, EsiMode::Auto);
    assert_eq!(rule("{}").esi, EsiMode::On);
    let all = rule(
        "{ dialect: akamai, cookies: [lang, \"__Host-x\"], headers: X-Country, on_error: fail, placeholder: \"<p/>\" }",
    );
    assert_eq!(all.esi, EsiMode::On, "who says how it is done wants it done");
    let expected = EsiOptions {
        dialect: EsiDialect::Akamai,
        cookies: vec!["lang".into(), "__Host-x".into()],
        headers: vec!["x-country".parse().unwrap()],
        on_error: EsiOnError::Fail,
        placeholder: Some("<p/>".into()),
        ..EsiOptions::default()
    };
    assert_eq!(said(&all.esi_options), said(&expected));
    let reach = rule(
        "{ mode: auto, hosts: [\"*.widgets.example\", \"a.example:8080\"], trusted_only: [/esi/**], post: /api/*, \
           dialect: akamai, redirects: 2, triggers: [x-esi, edge-control] }",
    );
    let options = &reach.esi_options;
    let hosts = ["b.widgets.example", "b.widgets.example:81", "a.example:8080", "a.example", "widgets.example"];
    assert_eq!(hosts.map(|host| options.allows_host(host)), [true, true, true, false, false]);
    assert_eq!(["/esi/a", "/esi/a/b", "/user", "/"].map(|path| options.trusts(path)), [true, true, false, false]);
    assert_eq!(["/api/a", "/api/a/b", "/"].map(|path| options.may_post(path)), [true, false, false]);
    let triggers = EsiTriggers { surrogate_control: false, x_esi: true, edge_control: true };
    assert_eq!((options.redirects, options.triggers), (2, Some(triggers)));
    let usual = EsiOptions::default();
    assert!(!usual.allows_host("a.example") && usual.trusts("/") && !usual.is_wary() && !usual.may_post("/"));

    let read = config("sessions: { cookies: [sid] }\nrules: [{ name: x, cache: {}, esi: { cookies: [lang, sid] } }]\n");
    let kind = |name| read.policy.cookie_kind(&read.policy.rules()[0], name);
    let kinds = [CookieKind::Ignored, CookieKind::Session, CookieKind::Unknown];
    assert_eq!(["lang", "sid", "other"].map(kind), kinds, "a session stays one");
}

#[test]
fn fields_that_no_rule_reads_say_nothing() {
    let config = config(
        "sessions: { cookies: [SESS*], ignore: [theme, both] }
rules:
  - { name: a, match: { header: [x-a] }, pass: true }
  - { name: b, match: { header: { x-b: \"1*\" } }, pass: true }
  - { name: c, match: { cookie: \"bet*\" }, pass: true }
  - { name: d, match: { path: /d }, cache: { key: { headers: [x-d], cookies: [both, lang] } } }
  - { name: e, cache: {} }",
    );
    let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    for (field, nothing) in [
        (browser, true),
        (("accept-language", "de"), true),
        (("if-none-match", "\"a\""), true),
        (("x-a", ""), false),
        (("x-b", "2"), false),
        (("x-d", "1"), false),
        (("cookie", "theme=dark; _ga=1"), true),
        (("cookie", "theme=dark; beta=1"), false),
        (("cookie", "both=1"), false),
        (("cookie", "lang=de"), false),
        (("cookie", "SESSabc=1"), false),
        (("cookie", "unknown=1"), false),
        (("cookie", "theme"), false),
    ] {
        assert_eq!(config.policy.reads_none_of(&headers(&[browser, field])), nothing, "{field:?}");
    }
}
