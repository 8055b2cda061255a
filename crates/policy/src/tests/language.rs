//! What a policy can say of cookies, of responses, and of fields on their way.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{Config, CookieKind, Cookies, StoreRule, load_str};

const ORIGIN: &str = "origins: { cms: \"http://a\" }\n";

fn config(text: &str) -> Config {
    load_str("copal.yaml", &format!("{ORIGIN}{text}"), None).unwrap_or_else(|error| panic!("{error}")).config
}

/// Errors and warnings, as `line:column message`.
fn said(text: &str) -> Vec<String> {
    let found = match load_str("copal.yaml", &format!("{ORIGIN}{text}"), None) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found.0,
    };
    found.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect()
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_cookie_may_be_a_session_only_with_some_values() {
    let read = config(
        "sessions: { cookies: [sid, { name: \"items_*\", except: [\"\", \"0\", \"a*z\"] }] }
rules: [{ name: x, cache: {} }]
",
    );
    let rule = &read.policy.rules()[0];
    for (cookie, session) in [
        ("items_in_cart=3", true),
        ("items_in_cart=", false),
        ("items_in_cart=0", false),
        ("items_in_cart=\"0\"", false),
        ("items_in_cart=00", true),
        ("items_in_cart=a-z", false),
        ("items_in_cart=0; items_in_cart=1", true),
        ("items_in_cart=0; sid=", true),
        ("sid=0", true),
    ] {
        let headers = headers(&[("cookie", cookie)]);
        let cookies = Cookies::parse(&headers);
        let verdict = read.policy.classify(rule, &cookies);
        assert_eq!((verdict.session.is_some(), verdict.unknown), (session, None), "{cookie}");
    }
    // Without its value it can be one: a page may not be made from it.
    assert_eq!(read.policy.cookie_kind(rule, "items_in_cart"), CookieKind::Session);
}

#[test]
fn of_two_entries_for_a_cookie_each_must_except_the_value() {
    let list = "[{ name: cart, except: \"\" }, { name: \"c*\", except: \"0\" }]";
    let read = config(&format!("sessions: {{ cookies: {list} }}\nrules: [{{ name: x, cache: {{}} }}]\n"));
    for (cookie, session) in [("cart=", true), ("cart=0", true), ("cost=0", false), ("cost=", true)] {
        let headers = headers(&[("cookie", cookie)]);
        let verdict = read.policy.classify(&read.policy.rules()[0], &Cookies::parse(&headers)).session;
        assert_eq!(verdict.is_some(), session, "{cookie}");
    }
}

#[test]
fn cookies_by_regular_expression() {
    let read = config(
        "sessions: { cookies: [\"~^S?SESS[0-9a-f]{32}$\", \"~(UserID|UserName)$\"], ignore: [\"~^Drupal\\\\.\"] }
rules: [{ name: x, cache: {} }]
",
    );
    let rule = &read.policy.rules()[0];
    for (name, kind) in [
        ("SESS0123456789abcdef0123456789abcdef", CookieKind::Session),
        ("SSESS0123456789abcdef0123456789abcdef", CookieKind::Session),
        ("SESS0123456789abcdef0123456789abcdeX", CookieKind::Unknown),
        ("SESSION", CookieKind::Unknown),
        ("wikidbUserID", CookieKind::Session),
        ("wikidbUserIDs", CookieKind::Unknown),
        ("Drupal.toolbar", CookieKind::Ignored),
        ("Drupalx", CookieKind::Unknown),
    ] {
        assert_eq!(read.policy.cookie_kind(rule, name), kind, "{name}");
    }
}

fn store_rule(cache: &str) -> (Config, StoreRule) {
    let read = config(&format!("sessions: {{ cookies: [\"sid*\"] }}\nrules: [{{ name: x, cache: {{ {cache} }} }}]\n"));
    let rule = read.policy.rules()[0].cache().unwrap().storing.clone();
    (read, rule)
}

#[test]
fn which_responses_are_stored() {
    type Fields<'f> = &'f [(&'static str, &'f str)];
    let table: &[(&str, Fields<'_>, u16, Fields<'_>, bool)] = &[
        ("", &[], 500, &[], true),
        ("store_if: { content_type: [\"image/*\", text/css] }", &[], 200, &[("content-type", "IMAGE/png")], true),
        ("store_if: { content_type: text/css }", &[], 200, &[("content-type", "text/css ; charset=utf-8")], true),
        ("store_if: { content_type: text/css }", &[], 200, &[("content-type", "text/html")], false),
        ("store_if: { content_type: text/css }", &[], 200, &[], false),
        ("store_if: { status: [\"2xx\", 301] }", &[], 204, &[], true),
        ("store_if: { status: [\"2xx\", 301] }", &[], 301, &[], true),
        ("store_if: { status: [\"2xx\", 301] }", &[], 302, &[], false),
        ("store_if: { status: 200, header: X-A }", &[], 200, &[("x-a", "1")], true),
        ("store_if: { status: 200, header: X-A }", &[], 200, &[], false),
        ("store_if: { header: { X-A: [\"1\", \"2*\"] } }", &[], 200, &[("x-a", "22")], true),
        ("store_if: { header: { X-A: \"1\" } }", &[], 200, &[("x-a", "2")], false),
        ("store_unless: { status: [403, 404, \"5xx\"] }", &[], 503, &[], false),
        ("store_unless: { status: [403, 404, \"5xx\"] }", &[], 410, &[], true),
        ("store_unless: { status: 404, header: { X-B: \"1\" } }", &[], 200, &[("x-b", "1")], false),
        ("store_unless: { status: 404, header: { X-B: \"1\" } }", &[], 200, &[("x-b", "0")], true),
        (
            "store_unless: { content_type: text/event-stream }",
            &[],
            200,
            &[("content-type", "text/event-stream")],
            false,
        ),
        ("store_if: { same_as_request: X-Id }, key: { headers: X-Id }", &[("x-id", "1")], 200, &[("x-id", "1")], true),
        ("store_if: { same_as_request: X-Id }, key: { headers: X-Id }", &[("x-id", "1")], 200, &[("x-id", "2")], false),
        ("store_if: { same_as_request: X-Id }, key: { headers: X-Id }", &[("x-id", "1")], 200, &[], false),
        ("store_if: { same_as_request: X-Id }, key: { headers: X-Id }", &[], 200, &[("x-id", "1")], false),
        ("store_if: { same_as_request: X-Id }, key: { headers: X-Id }", &[], 200, &[], true),
    ];
    for (cache, request, status, response, stored) in table {
        let (_, rule) = store_rule(cache);
        let status = StatusCode::from_u16(*status).unwrap();
        assert_eq!(
            rule.allows(&headers(request), status, &headers(response)),
            *stored,
            "{cache} {status} {response:?}"
        );
    }
}

#[test]
fn cookies_are_stripped_only_if_all_are_named_and_none_is_a_session() {
    let (read, rule) = store_rule("strip_cookies: [PHPSESSID, \"s*\"]");
    for (cookies, stripped) in [
        (&[][..], true),
        (&["PHPSESSID=1; path=/"][..], true),
        (&["PHPSESSID=1", "seen=1; HttpOnly"], true),
        (&["PHPSESSID=1", "other=1"], false),
        (&["sid=1; path=/"], false),
        (&["seen=1", "sid2=1"], false),
        (&["phpsessid=1"], false),
        (&["PHPSESSID"], false),
        (&["=PHPSESSID"], false),
        (&[""], false),
    ] {
        let fields: Vec<(&'static str, &str)> = cookies.iter().map(|cookie| ("set-cookie", *cookie)).collect();
        assert_eq!(rule.strips_all(&read.policy, &headers(&fields)), stripped, "{cookies:?}");
    }
    let (read, none) = store_rule("");
    assert!(!none.strips_all(&read.policy, &headers(&[])), "a rule that says nothing of cookies lets none pass");
}

#[test]
fn fields_are_set_and_removed() {
    let read = config(
        "rules:
  - name: x
    cache: {}
    request: { set: { X-A: \"1\", X-B: [\"2\", \"3\"] }, remove: [User-Agent, X-A] }
    response: { set: { Pragma: no-cache }, remove: Link, compat: varnish }
",
    );
    let rule = &read.policy.rules()[0];
    let mut fields = headers(&[("x-a", "0"), ("user-agent", "u"), ("x-b", "0"), ("accept", "a")]);
    rule.request.apply(&mut fields);
    assert_eq!(fields, headers(&[("accept", "a"), ("x-a", "1"), ("x-b", "2"), ("x-b", "3")]));
    assert_eq!(rule.request.describe().as_deref(), Some("sets x-a, x-b; removes user-agent, x-a"));
    assert_eq!(rule.response.describe().as_deref(), Some("adds x-varnish, x-cacheable; sets pragma; removes link"));
    assert!(read.policy.rules()[1].request.is_empty() && read.policy.rules()[1].response.is_empty());
}

#[test]
fn what_a_rule_says_of_responses_in_words() {
    let (_, rule) = store_rule(
        "store_if: { status: 200, content_type: [\"image/*\", text/css] }, store_unless: { status: \"5xx\", header: { X-B: \"1\" } }, strip_cookies: [a, b]",
    );
    let words = "only with status 200 and content type image/*, text/css; not with status 5xx or x-b: 1; without Set-Cookie of a, b";
    assert_eq!(rule.describe().as_deref(), Some(words));
    assert_eq!(store_rule("").1.describe(), None);
    let (_, rule) = store_rule("ask_again_with: [PHPSESSID, \"s_*\"]");
    assert_eq!(rule.describe().as_deref(), Some("what is not stored is asked again with PHPSESSID, s_*"));
    for (cookies, again) in [("PHPSESSID=1", true), ("_ga=1; s_x=", true), ("phpsessid=1; s=1", false), ("", false)] {
        let fields = headers(&[("cookie", cookies)]);
        assert_eq!(rule.asks_again(&crate::Cookies::parse(&fields)), again, "{cookies}");
    }
}

#[test]
fn what_is_asked_again_is_no_slice_and_no_session() {
    let load = |rest: &str| load_str("copal.yaml", &format!("{ORIGIN}{rest}\n"), None);
    let slice = load("rules: [{name: p, cache: {slice: 1MiB, ask_again_with: [a]}}]").unwrap_err().to_string();
    assert!(slice.contains("`ask_again_with` does not go with `slice`"), "{slice}");
    let session = load("sessions: {cookies: [\"s*\"]}\nrules: [{name: p, cache: {ask_again_with: [sid, a]}}]").unwrap();
    let told: Vec<String> = session.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("`ask_again_with` names `sid`, which fits the session cookie `s*`"), "{told:?}");
}

#[test]
fn what_a_policy_ignores_and_strips_the_configuration_may_call_a_session() {
    let folder = std::env::temp_dir().join(format!("copal-policy-language-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let policy = "sessions: { ignore: [PHPSESSID] }\nrules: [{ name: p, match: { path: /p }, cache: { strip_cookies: PHPSESSID } }]\n";
    std::fs::write(folder.join("shop.yaml"), policy).unwrap();
    let text = format!("{ORIGIN}policies: [./shop.yaml]\nsessions: {{ cookies: [PHPSESSID] }}\n");
    let loaded = load_str("copal.yaml", &text, Some(&folder));
    std::fs::remove_dir_all(&folder).unwrap();
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let policy = &loaded.config.policy;
    assert_eq!(policy.cookie_kind(&policy.rules()[0], "PHPSESSID"), CookieKind::Session);
    let rule = &policy.rules()[0].cache().unwrap().storing;
    assert!(!rule.strips_all(policy, &headers(&[("set-cookie", "PHPSESSID=1")])), "a session is never stripped");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let rule = |text: &str| {
        format!("sessions: {{ cookies: [sid, \"w*\"] }}\nrules:\n  - name: x\n    match: {{ path: /x }}\n    {text}\n")
    };
    for (text, expected) in [
        ("cache: { strip_cookies: sid }", "6:29 `sid` is stripped and fits the session cookie `sid`"),
        ("cache: { strip_cookies: \"wp*\" }", "6:29 `wp*` can fit the same cookie as the session cookie `w*`"),
        ("cache: { store_if: {} }", "6:24 `store_if` has no condition"),
        ("cache: { store_unless: { content_typ: a/b } }", "6:30 unknown key `content_typ` in `store_unless`"),
        ("cache: { store_if: { content_type: image } }", "6:40 `content_type` must be a glob, but `image` has no `/`"),
        (
            "cache: { store_if: { status: 6xx } }",
            "6:34 `status` must be a status code or a class of them such as `5xx`, but `6xx` is not between 200 and 599",
        ),
        ("cache: { store_if: { same_as_request: X-Id } }", "6:5 `same_as_request: x-id` without `x-id` in the key"),
        (
            "cache: {}\n    request: { set: { Cookie: a=b } }",
            "7:23 `set` must be a field name, but `Cookie` has keys of its own",
        ),
        (
            "cache: {}\n    request: { set: { Host: a } }",
            "7:23 `set` must be a field name, but `Host` has a key of its own",
        ),
        (
            "cache: {}\n    request: { remove: Range }",
            "7:24 `remove` must be a field name, but `Range` is Copal's own to set",
        ),
        (
            "cache: { key: { headers: X-A } }\n    request: { remove: X-A }",
            "7:5 `x-a` is in the key, and `request` keeps it from the origin",
        ),
        (
            "cache: {}\n    response: { remove: Set-Cookie }",
            "7:25 `remove` must be a field name, but `Set-Cookie` has a key of its own",
        ),
        (
            "cache: {}\n    response: { set: { Cache-Control: no-store } }",
            "7:24 `set` must be a field name, but `Cache-Control` has a key of its own",
        ),
        (
            "pass: true\n    response: { set: { Content-Length: \"1\" } }",
            "7:24 `set` must be a field name, but `Content-Length` is Copal's own to set",
        ),
        ("pass: true\n    response: { compat: nginx }", "7:25 `compat` must be `varnish`, not `nginx`"),
        ("respond: { status: 404 }\n    request: { remove: X-A }", "7:5 `request` does nothing beside `respond`"),
    ] {
        assert_eq!(said(&rule(text)), [expected], "{text}");
    }
    for (cookies, expected) in [
        ("{ except: \"\" }", "2:23 `name` is missing in `cookies`"),
        ("{ name: a, except: \"*\" }", "2:34 `except: \"*\"` leaves no value that would be a session"),
        ("{ name: a, but: b }", "2:34 unknown key `but` in `cookies`"),
        ("\"~(\"", "2:23 `cookies` must be a glob, but `~(` is not a regular expression: unclosed group"),
    ] {
        assert_eq!(said(&format!("sessions: {{ cookies: [{cookies}] }}\n")), [expected], "{cookies}");
    }
}
