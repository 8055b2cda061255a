//! Request in, decision with its reason out.

use copal_policy::Config;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::decide::Verdict;
use crate::explain::{Explanation, explain};
use crate::reason::Reason;

pub(super) fn config(yaml: &str) -> Config {
    let yaml = format!("origins: {{site: 'http://127.0.0.1:9'}}\n{yaml}");
    copal_policy::load_str("test.yaml", &yaml, None).unwrap_or_else(|errors| panic!("{errors}")).config
}

fn asked(config: &Config, method: &str, url: &str, fields: &[(&str, &str)]) -> Explanation {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    explain(config, &method.parse::<Method>().unwrap(), url, &headers).unwrap()
}

const SITE: &str = "sessions: {cookies: ['SESS*'], ignore: [theme]}
rules:
  - {name: teapot, match: {path: /tea}, respond: {status: 418}}
  - {name: admin, match: {path: '/admin/**'}, pass: true}
  - {name: asked, match: {path: /asked}, cache: {ttl: 1h, request_directives: honour}}
  - {name: esi, match: {path: '/shared/**'}, cache: {ttl: 1h}, esi: true, sessions: ignore}
  - {name: pages, match: {path: '/**'}, cache: {ttl: 1h, key: {cookies: [lang], query: {deny: [utm_source]}, headers: [x-tenant]}}}";

#[test]
fn each_reason_to_pass_has_its_word() {
    let config = config(SITE);
    for (method, url, fields, rule, decision, reason) in [
        ("GET", "/", &[][..], "pages", "cache", "miss"),
        ("HEAD", "/", &[], "pages", "cache", "miss"),
        ("POST", "/", &[], "pages", "pass", "method"),
        ("GET", "/tea", &[], "teapot", "respond", "respond"),
        ("GET", "/admin/x", &[], "admin", "pass", "pass-rule"),
        ("POST", "/admin/x", &[], "admin", "pass", "method"),
        ("GET", "/", &[("cookie", "SESS1=x")], "pages", "pass", "session-cookie"),
        ("GET", "/", &[("cookie", "theme=x; _ga=y")], "pages", "cache", "miss"),
        ("GET", "/", &[("cookie", "mystery=x")], "pages", "pass", "unknown-cookie"),
        ("GET", "/shared/x", &[("cookie", "SESS1=x; mystery=y")], "esi", "cache", "miss"),
        ("GET", "/", &[("authorization", "Basic eDp5")], "pages", "cache", "miss"),
        ("GET", "/", &[("authorization", "Basic eDp5"), ("cookie", "SESS1=x")], "pages", "pass", "session-cookie"),
        ("GET", "/", &[("authorization", "Basic eDp5"), ("x-api-key", "k")], "pages", "pass", "authorization"),
        ("GET", "/", &[("x-auth-token", "alice")], "pages", "pass", "authorization"),
        ("GET", "/", &[("x-wp-nonce", "1f")], "pages", "pass", "authorization"),
        ("GET", "/", &[("api-key", "k")], "pages", "pass", "authorization"),
        ("GET", "/", &[("x-tenant", "t")], "pages", "cache", "miss"),
        ("GET", "/", &[("x-requested-with", "XMLHttpRequest")], "pages", "cache", "miss"),
        ("GET", "/", &[("if-match", "\"x\"")], "pages", "pass", "precondition"),
        ("GET", "/", &[("upgrade", "websocket")], "pages", "pass", "upgrade"),
        ("GET", "/", &[("cache-control", "no-cache")], "pages", "cache", "miss"),
        ("GET", "/", &[("cache-control", "no-store")], "pages", "cache", "miss"),
        ("GET", "/asked", &[("cache-control", "no-store")], "asked", "pass", "request-no-store"),
        ("GET", "/asked", &[("cache-control", "no-cache")], "asked", "cache", "miss"),
    ] {
        let got = asked(&config, method, &format!("http://a.example{url}"), fields);
        assert_eq!((&*got.rule, got.decision, got.reason), (rule, decision, reason), "{method} {url} {fields:?}");
    }
}

#[test]
fn the_key_is_the_normal_form_and_holds_what_the_rule_keys() {
    let config = config(SITE);
    let got = asked(&config, "GET", "HTTP://A.example:80/x/../p?utm_source=mail&b=2", &[("cookie", "lang=de; SESSx")]);
    assert_eq!(got.decision, "pass", "a session cookie without a value is one all the same");
    let got = asked(&config, "GET", "HTTP://A.example:80/x/../p?utm_source=mail&b=2", &[("cookie", "lang=de; _ga=1")]);
    assert_eq!(got.key.as_deref(), Some("http://a.example/p?b=2"));
    assert!(got.variant.is_some_and(|variant| variant.contains("de")));
    assert_eq!((got.cookies_kept, got.cookies_dropped), (vec!["lang".to_owned()], vec!["_ga".to_owned()]));
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    let config = config("");
    for url in ["ftp://a/", "http://u@a/", "http://a b/", "http://a:99999/", "example.com/x", "/x"] {
        assert!(explain(&config, &Method::GET, url, &HeaderMap::new()).is_err(), "{url}");
    }
}

#[test]
fn rfc9111_5_2_1_which_directives_count_is_for_the_rule_and_the_network() {
    use crate::decide::wants_cached_only as wants;
    let asked = |yaml: &str, from: [u8; 4], control: &'static str| {
        let config = config(&format!("{yaml}\nrules: [{{name: all, cache: {{ttl: 1h}}}}]"));
        let mut exchange = crate::tests::exchange("http://a.example/");
        exchange.peer = from.into();
        exchange.headers.insert("cache-control", HeaderValue::from_static(control));
        let rule = &config.policy.rules()[0];
        (wants(&config, rule, &exchange), crate::decide::decide(&config, &exchange).verdict)
    };
    let nobody = "cache: {hit_for_miss: 10s}";
    let ours = "cache: {revalidate_allow: [10.0.0.0/8]}";
    for (yaml, from, honoured) in
        [(nobody, [10, 0, 0, 1], false), (ours, [10, 0, 0, 1], true), (ours, [192, 0, 2, 1], false)]
    {
        let (only, verdict) = asked(yaml, from, "only-if-cached, no-cache");
        let Verdict::Cache(plan) = verdict else { panic!("looked up") };
        assert!(only, "harmless for everybody");
        assert_eq!(plan.directed.is_some_and(|directed| directed.honoured), honoured, "{yaml} {from:?}");
        let (only, verdict) = asked(yaml, from, "no-store");
        assert!(!only);
        assert_eq!(matches!(verdict, Verdict::Pass(Reason::RequestNoStore)), honoured, "{yaml} {from:?}");
    }
}

#[test]
fn a_context_says_by_whose_group_it_is_keyed() {
    let config = config(
        "contexts: {fos: {path: /hash, cookies: [sid], anonymous: guests}, sees: {path: /hash, cookies: [sid], credentials: forward}}
rules:
  - {name: sees, match: {path: /sees}, cache: {key: {cookies: [lang]}}, context: sees}
  - {name: pages, cache: {}, context: fos}",
    );
    let told = |url: &str, fields: &[(&str, &str)]| {
        let told = asked(&config, "GET", url, fields);
        (told.reason, told.context.unwrap_or_default(), told.group.unwrap_or_default(), told.cookies_kept)
    };
    let answers = "what /hash answers to this session, in x-user-context-hash";
    for (url, fields, expected) in [
        ("http://a/", &[][..], ("miss", "fos", "anonymous: guests", vec![])),
        ("http://a/", &[("cookie", "sid=1; _ga=1")], ("miss", "fos", answers, vec![])),
        ("http://a/", &[("authorization", "Basic eDp5")], ("miss", "fos", answers, vec![])),
        ("http://a/sees", &[("cookie", "sid=1; _ga=1; lang=de")], ("miss", "sees", answers, vec!["lang", "sid"])),
        ("http://a/sees", &[("cookie", "_ga=1; lang=de")], ("miss", "sees", "anonymous: none is told", vec!["lang"])),
        ("http://a/", &[("cookie", "mystery=1; sid=1")], ("unknown-cookie", "", "", vec!["mystery", "sid"])),
    ] {
        let (reason, context, group, cookies) = expected;
        let cookies: Vec<String> = cookies.into_iter().map(str::to_owned).collect();
        assert_eq!(told(url, fields), (reason, context.to_owned(), group.to_owned(), cookies), "{url} {fields:?}");
    }
}
