//! Staying up when origins fail: fresh, stale, the fallback, the error page; failures that are remembered.

use std::time::Duration;

use copal_testkit::{Answer, ClientResponse, Gate, ScriptedOrigin};

use crate::front::Front;

const LADDER: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 10s, grace: 1m}}]";

/// Before the scripted origin `site`, whose fallback is `spare`, whose fallback is `last`.
async fn front(spare: &ScriptedOrigin, last: &ScriptedOrigin, yaml: &str) -> Front {
    let site = ScriptedOrigin::start().await;
    let origins = format!(
        "origins: {{site: {{servers: ['{}'], fallback: spare}}, spare: {{servers: ['{}'], host: spare.example, fallback: last}}, last: '{}'}}",
        site.url(),
        spare.url(),
        last.url()
    );
    Front::of(site, &format!("purge: {{allow: ['127.0.0.0/8']}}\n{origins}\n{yaml}"))
}

/// Before an origin whose failures are seen at once: nothing is sent twice.
async fn once(yaml: &str) -> Front {
    let site = ScriptedOrigin::start().await;
    let origins = format!("origins: {{site: {{servers: ['{}'], retries: 0}}}}", site.url());
    Front::of(site, &format!("purge: {{allow: ['127.0.0.0/8']}}\n{origins}\n{yaml}"))
}

fn detail(got: &ClientResponse) -> &str {
    let status = got.header("cache-status").unwrap_or_default();
    status.split("detail=").nth(1).unwrap_or(status)
}

fn maintenance() -> Answer {
    Answer::status(503)
        .body("We are back soon.")
        .header("cache-control", "public, max-age=600")
        .header("cdn-cache-control", "max-age=600")
        .header("expires", "Thu, 01 Jan 2099 00:00:00 GMT")
        .header("etag", "\"m\"")
        .header("set-cookie", "session=other")
        .header("retry-after", "120")
}

#[tokio::test]
async fn a_site_whose_origin_dies_is_fresh_then_stale_then_its_fallback_then_an_error_page() {
    let (spare, last) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let mut front = front(&spare, &last, LADDER).await;
    front.origin.on("/p", Answer::ok("page"));
    spare.on("/p", maintenance());
    assert_eq!(front.get("/p").await.text(), "page");

    front.stop_origin().await;
    let fresh = front.get("/p").await;
    assert_eq!((fresh.text(), detail(&fresh)), ("page", "hit"));

    front.clock.advance(Duration::from_secs(20));
    front.until(|| async { detail(&front.get("/p").await) == "stale-error" }).await;
    let stale = front.get("/p").await;
    assert_eq!((stale.status, stale.text()), (200, "page"));
    assert_eq!(spare.count("/p"), 0, "while there is a stored page nobody else is asked");

    front.clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        let fallback = front.get("/p").await;
        assert_eq!((fallback.status, fallback.text()), (503, "We are back soon."));
        assert_eq!(fallback.header("cache-status"), Some("copal; fwd=stale; fwd-status=503; detail=fallback"));
        assert_eq!(fallback.all("cache-control").collect::<Vec<_>>(), ["no-store"]);
        assert_eq!(fallback.header("retry-after"), Some("120"));
        for name in ["expires", "etag", "set-cookie", "cdn-cache-control", "age"] {
            assert_eq!(fallback.header(name), None, "{name}");
        }
    }
    assert_eq!(spare.count("/p"), 2, "it is not stored");
    assert_eq!(spare.last().header("host"), Some("spare.example"));

    spare.stop().await;
    last.stop().await;
    let error = front.client().await.get("/p").header("accept", "text/html").send().await;
    assert_eq!((error.status, error.header("content-type")), (502, Some("text/html; charset=utf-8")));
    let id = error.header("x-request-id").unwrap();
    assert!(error.text().contains(id) && error.text().contains("lang=\"en\""), "{}", error.text());
    assert_eq!(error.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_page_that_was_never_stored_has_the_fallback_too_and_the_way_back_is_free() {
    let (spare, last) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let front = front(&spare, &last, LADDER).await;
    front.origin.on("/p", Answer::hang_up());
    spare.on("/p", Answer::ok("copy"));
    assert_eq!(front.get("/p").await.text(), "copy");
    front.clock.advance(Duration::from_secs(2));
    front.origin.replace("/p", Answer::ok("page"));
    assert_eq!(front.get("/p").await.text(), "page");
    assert_eq!(detail(&front.get("/p").await), "hit");
}

#[tokio::test]
async fn a_fallback_is_asked_as_nobody_and_for_pages_only() {
    let (spare, last) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let rules = "sessions: {cookies: [sid]}\nrules: [{name: pages, cache: {ttl: 1h}}]";
    let front = front(&spare, &last, rules).await;
    for route in ["/p?q=1", "HEAD /p?q=1", "POST /p", "/page", "/f"] {
        front.origin.on(route, Answer::hang_up());
    }
    spare.on("*", Answer::ok("copy"));
    for method in ["GET", "HEAD"] {
        let mut client = front.client().await;
        let request = client.request(method, "/p?q=1").header("cookie", "sid=1").header("authorization", "Basic eDp5");
        let got = request.header("if-none-match", "\"x\"").header("range", "bytes=0-1").send().await;
        assert_eq!((got.status, detail(&got)), (200, "fallback"));
        let seen = spare.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, "/p?q=1"));
        for name in ["cookie", "authorization", "if-none-match", "range", "x-forwarded-for"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
        assert_eq!(seen.header("x-request-id"), got.header("x-request-id"));
    }
    let asked = spare.requests().len();
    let got = front.client().await.post("/p", "form").send().await;
    assert_eq!((got.status, detail(&got)), (502, "origin-closed"));
    assert_eq!(spare.requests().len(), asked, "who sends something wants it done");
}

#[tokio::test]
async fn an_origin_that_says_that_it_is_down_is_stood_in_for() {
    let (spare, last) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let rules = "rules: [{name: pass, match: {path: /pass}, pass: true}, {name: pages, cache: {ttl: 1h}}]";
    let front = front(&spare, &last, rules).await;
    for (path, status) in [("/pass", 502), ("/p", 503), ("/q", 504)] {
        front.origin.on(path, Answer::status(status).body("down"));
        spare.on(path, Answer::ok("copy"));
        let got = front.get(path).await;
        assert_eq!((got.status, got.text(), detail(&got)), (200, "copy", "fallback"), "{path}");
    }
    front.origin.on("/500", Answer::status(500).body("broken"));
    assert_eq!(front.get("/500").await.text(), "broken", "a page that is broken is no site that is down");
    spare.stop().await;
    last.stop().await;
    let own = front.get("/pass").await;
    assert_eq!((own.status, own.text()), (502, "down"), "its own words are better than ours");
}

#[tokio::test]
async fn fallbacks_of_fallbacks_are_asked_and_end() {
    let (spare, last) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let front = front(&spare, &last, LADDER).await;
    front.origin.on("/p", Answer::hang_up());
    spare.on("/p", Answer::status(504));
    last.on("/p", Answer::ok("last resort"));
    let got = front.get("/p").await;
    assert_eq!((got.text(), detail(&got)), ("last resort", "fallback"));
    assert_eq!((spare.count("/p"), last.count("/p")), (1, 1));
    last.stop().await;
    front.clock.advance(Duration::from_secs(2));
    let got = front.get("/p").await;
    assert_eq!((got.status, detail(&got)), (502, "origin-closed"), "the first fault is the one that counts");
}

#[tokio::test]
async fn a_fragment_has_its_alt_and_no_fallback() {
    let (spare, last) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let rules = "rules: [{name: pages, match: {path: /page}, cache: {ttl: 1h}, esi: true}, {name: fragments, cache: {ttl: 1h}}]";
    let front = front(&spare, &last, rules).await;
    let page = "<p><esi:include src=\"/f\" alt=\"/alt\"/></p>";
    front.origin.on("/page", Answer::ok(page).header("content-type", "text/html"));
    front.origin.on("/f", Answer::hang_up());
    front.origin.on("/alt", Answer::ok("instead"));
    spare.on("*", Answer::ok("<html>a whole page</html>"));
    assert_eq!(front.get("/page").await.text(), "<p>instead</p>");
    assert_eq!(spare.requests().len(), 0);
}

#[tokio::test]
async fn an_error_is_told_in_the_form_that_the_client_takes() {
    let front = Front::with(LADDER).await;
    front.origin.on("/p", Answer::hang_up());
    for (accept, kind, begins) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "<!doctype html>"),
        ("application/json", "application/json", "{\"status\":502,"),
        ("*/*", "text/plain; charset=utf-8", "502 Bad Gateway\n"),
    ] {
        let got = front.client().await.get("/p").header("accept", accept).send().await;
        assert_eq!((got.status, got.header("content-type")), (502, Some(kind)), "{accept}");
        assert!(got.text().starts_with(begins), "{}", got.text());
        assert!(got.text().contains(got.header("x-request-id").unwrap()), "{}", got.text());
    }
    let head = front.client().await.head("/p").send().await;
    assert_eq!((head.status, head.text()), (502, ""));
}

#[tokio::test]
async fn a_page_of_the_operators_own_takes_the_place_of_ours() {
    let folder = std::env::temp_dir().join(format!("copal-error-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("error.html");
    std::fs::write(&path, "<h1>Oh {{ status }}</h1>{{request_id}}").unwrap();
    let front = Front::with(&format!("errors: {{page: '{}'}}\n{LADDER}", path.display())).await;
    front.origin.on("/p", Answer::hang_up());
    let got = front.client().await.get("/p").header("accept", "text/html").send().await;
    assert_eq!(got.text(), format!("<h1>Oh 502</h1>{}", got.header("x-request-id").unwrap()));

    std::fs::write(&path, "<h1>\n  {{stats}}").unwrap();
    let yaml = format!("origins: {{a: 'http://127.0.0.1:1'}}\nerrors: {{page: '{}'}}", path.display());
    let errors = copal_policy::load_str("test.yaml", &yaml, None).unwrap_err().to_string();
    assert!(errors.contains("error.html:2:3: error: unknown placeholder `stats`"), "{errors}");
    assert!(errors.contains("did you mean `{{status}}`?"), "{errors}");
    std::fs::write(&path, "x".repeat((64 << 10) + 1)).unwrap();
    let errors = copal_policy::load_str("test.yaml", &yaml, None).unwrap_err().to_string();
    assert!(errors.contains("test.yaml:2:16: error:") && errors.contains("longer than 64KiB"), "{errors}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_request_is_known_by_an_id_of_ours_unless_a_trusted_proxy_gives_one() {
    let rules = "rules: [{name: pass, match: {path: /pass}, pass: true}, {name: pages, cache: {ttl: 1h}}]";
    for (trusted, taken) in [("", false), ("trusted_proxies: [127.0.0.0/8]\n", true)] {
        let front = Front::with(&format!("{trusted}{rules}")).await;
        front.origin.on("/pass", Answer::ok("x"));
        front.origin.on("/p", Answer::ok("x"));
        let mut client = front.client().await;
        let passed = client.get("/pass").header("x-request-id", "theirs").send().await;
        let seen = front.origin.last();
        assert_eq!(seen.header("x-request-id"), passed.header("x-request-id"));
        assert_eq!(passed.header("x-request-id") == Some("theirs"), taken);
        // What may be stored is not asked for with a word of a client's.
        let missed = client.get("/p").header("x-request-id", "theirs").send().await;
        assert_eq!(detail(&missed), "miss");
        let id = front.origin.last().header("x-request-id").unwrap().to_owned();
        assert_eq!(id.len(), 36, "{id}");
        let hit = client.get("/p").header("x-request-id", "theirs").send().await;
        assert_eq!((detail(&hit), hit.header("x-request-id")), ("hit", None));
        front.origin.on("/gone", Answer::hang_up());
        let failed = client.get("/gone").header("x-request-id", "theirs").send().await;
        assert_eq!(failed.header("x-request-id") == Some("theirs"), taken);
        assert!(failed.text().contains(failed.header("x-request-id").unwrap()));
        // One that could not stand in a log as it is.
        let odd = client.get("/pass").header("x-request-id", "a b").send().await;
        assert_eq!(odd.header("x-request-id").map(str::len), Some(36));
    }
}

#[tokio::test]
async fn an_id_that_the_origin_gives_back_is_not_stored() {
    let front = Front::with("rules: [{name: pages, cache: {ttl: 1h}}]").await;
    let given_back = |request: &copal_testkit::Request| {
        Answer::ok("x").header("x-request-id", request.header("x-request-id").unwrap())
    };
    front.origin.on("/p", Answer::from_fn(given_back));
    front.origin.on("/own", Answer::ok("x").header("x-request-id", "always-this"));
    for (path, id) in [("/p", None), ("/own", Some("always-this"))] {
        front.get(path).await;
        let hit = front.get(path).await;
        assert_eq!((detail(&hit), hit.header("x-request-id")), ("hit", id), "{path}");
    }
}

#[tokio::test]
async fn a_page_that_differs_by_the_request_id_is_nobody_elses() {
    let front = Front::with("rules: [{name: pages, cache: {ttl: 1h}}]").await;
    front.origin.on("/p", Answer::ok("x").header("vary", "X-Request-Id"));
    for _ in 0..3 {
        assert_ne!(detail(&front.get("/p").await), "hit");
    }
    assert_eq!(front.origin.count("/p"), 3);
}

#[tokio::test]
async fn a_dead_origin_is_not_asked_by_every_request() {
    let front = once("rules: [{name: pages, cache: {ttl: 1h, failure_ttl: 10s}}]").await;
    front.origin.on("/p", Answer::hang_up());
    front.origin.on("/q", Answer::ok("other"));
    let first = front.get("/p").await;
    assert_eq!((first.status, detail(&first)), (502, "origin-closed"));
    for _ in 0..5 {
        let got = front.get("/p").await;
        assert_eq!(got.status, 502);
        assert_eq!(got.header("cache-status"), Some("copal; detail=origin-failed-recently"));
        assert_eq!(got.header("proxy-status").unwrap().split(';').nth(1), Some(" error=connection_terminated"));
    }
    assert_eq!(front.origin.count("/p"), 1);
    assert_eq!(front.get("/q").await.text(), "other", "of other pages nothing is known");
    front.clock.advance(Duration::from_secs(11));
    assert_eq!(detail(&front.get("/p").await), "origin-closed");
    // A purge, of whatever kind, ends it.
    for purge in 0..3 {
        assert_eq!(detail(&front.get("/p").await), "origin-failed-recently");
        match purge {
            0 => drop(front.purge("/p").await),
            1 => front.purge_softly("/p"),
            _ => front.purge_prefix("/"),
        }
        assert_eq!(detail(&front.get("/p").await), "origin-closed", "purge {purge}");
    }
    // And so does an answer.
    front.clock.advance(Duration::from_secs(11));
    front.origin.replace("/p", Answer::ok("well").header("cache-control", "no-store"));
    for _ in 0..2 {
        assert_eq!(front.get("/p").await.text(), "well");
    }
}

#[tokio::test]
async fn what_fails_at_a_head_or_at_a_part_is_no_failure_of_the_page() {
    let front = once("rules: [{name: pages, cache: {ttl: 1h, failure_ttl: 10s}}]").await;
    front.origin.on("HEAD /p", Answer::hang_up());
    front.origin.on("GET /p", Answer::ok("page"));
    let mut client = front.client().await;
    assert_eq!(client.head("/p").send().await.status, 502);
    assert_eq!(front.get("/p").await.text(), "page");
}

#[tokio::test]
async fn failures_are_remembered_for_a_second_by_default_and_not_at_all_with_zero() {
    for (cache, asked) in [("{ttl: 1h}", 1), ("{ttl: 1h, failure_ttl: 0s}", 3)] {
        let front = once(&format!("rules: [{{name: pages, cache: {cache}}}]")).await;
        front.origin.on("/p", Answer::hang_up());
        for _ in 0..3 {
            assert_eq!(front.get("/p").await.status, 502);
        }
        assert_eq!(front.origin.count("/p"), asked, "{cache}");
        front.clock.advance(Duration::from_millis(1100));
        front.get("/p").await;
        assert_eq!(front.origin.count("/p"), asked + 1, "{cache}");
    }
}

#[tokio::test]
async fn a_page_that_is_stale_only_on_errors_is_given_at_once_while_its_origin_is_known_to_fail() {
    let front = Front::with("rules: [{name: pages, cache: {ttl: 10s, stale_if_error: 1h, failure_ttl: 5s}}]").await;
    front.origin.on("/p", Answer::ok("page"));
    front.get("/p").await;
    front.origin.replace("/p", Answer::status(500));
    for _ in 0..2 {
        front.clock.advance(Duration::from_secs(20));
        let asked = front.origin.count("/p");
        assert_eq!(front.get("/p").await.header("cache-status").unwrap().split(';').nth(1), Some(" fwd=stale"));
        for _ in 0..4 {
            let got = front.get("/p").await;
            assert_eq!((got.text(), detail(&got)), ("page", "stale-error"));
            assert!(got.header("cache-status").unwrap().starts_with("copal; hit"));
        }
        assert_eq!(front.origin.count("/p"), asked + 1);
    }
}

#[tokio::test]
async fn a_hundred_clients_of_an_origin_that_flaps_share_each_of_its_failures() {
    let front = once("rules: [{name: pages, cache: {ttl: 10s}}]").await;
    for round in 0..6 {
        let up = round % 2 == 1;
        let gate = Gate::new();
        // Without a kept connection: of one that is closed meanwhile nobody knows whether the origin saw the request.
        let answer = if up { Answer::ok("up").close() } else { Answer::hang_up() };
        front.origin.replace("/p", answer.held_by(&gate));
        let asked = front.origin.count("/p");
        let asking: Vec<_> = (0..100).map(|_| front.spawn_get("/p")).collect();
        front.origin.wait_until("the fill", |all| all.len() > asked).await;
        gate.open();
        let mut words = std::collections::BTreeSet::new();
        for one in asking {
            let got = one.await.unwrap();
            assert_eq!(got.status, if up { 200 } else { 502 }, "round {round}");
            words.insert(detail(&got).to_owned());
        }
        assert_eq!(front.origin.count("/p"), asked + 1, "round {round}: one request for all, {words:?}");
        front.clock.advance(Duration::from_secs(11));
    }
}

#[tokio::test]
async fn a_rule_has_its_own_patience() {
    let silent = ScriptedOrigin::start().await;
    silent.on("*", Answer::silence());
    let yaml = format!(
        "origins: {{cms: '{}'}}\ntimeouts: {{first_byte: 10m}}\nrules:\n  - {{name: quick, match: {{path: /quick}}, pass: true, timeouts: {{first_byte: 100ms}}}}\n  - {{name: pages, cache: {{}}, timeouts: {{first_byte: 100ms}}}}",
        silent.url()
    );
    let front = Front::exactly(&yaml).await;
    for path in ["/quick", "/page"] {
        let got = front.get(path).await;
        assert_eq!((got.status, detail(&got)), (504, "origin-timeout"), "{path}");
    }
}

#[tokio::test]
async fn events_arrive_as_they_happen_and_silence_between_them_is_no_failure() {
    let yaml = "timeouts: {between_bytes: 100ms}\nrules:\n  - {name: strict, match: {path: /strict}, pass: true, timeouts: {between_bytes: 100ms}}\n  - {name: pages, cache: {}}";
    let front = Front::with(yaml).await;
    let events = || {
        let (handle, answer) = Answer::stream();
        (handle, answer.header("content-type", "text/event-stream; charset=utf-8"))
    };
    let (patient, answer) = events();
    front.origin.on("/events", answer);
    let (strict, answer) = events();
    front.origin.on("/strict", answer);
    let (mut one, mut two) = (front.client().await, front.client().await);
    let mut first = one.get("/events").header("accept-encoding", "gzip").stream().await;
    patient.send("data: 1\n\n");
    assert_eq!(first.read_some().await.unwrap(), "data: 1\n\n", "before the response ends");
    let mut second = two.get("/strict").stream().await;
    strict.send("data: 1\n\n");
    assert_eq!(second.read_some().await.unwrap(), "data: 1\n\n");
    assert!(second.try_read_some().await.is_err(), "a rule may say otherwise");
    patient.send("data: 2\n\n");
    assert_eq!(first.read_some().await.unwrap(), "data: 2\n\n", "after a silence in which the other was given up");
    patient.end();
    first.rest().await;
}

#[tokio::test]
async fn websockets_are_counted_and_end_when_they_are_silent_or_the_server_ends() {
    let front = Front::with("limits: {upgrade_idle: 100ms}").await;
    front.origin.on("/ws", Answer::upgrade("websocket"));
    let mut client = front.client().await;
    assert_eq!(client.get("/ws").upgrade("websocket").send().await.status, 101);
    assert_eq!((front.tunnels().open, front.tunnels().opened), (1, 1));
    client.closed().await;
    front.until(|| async { front.tunnels().open == 0 }).await;
    assert_eq!(front.tunnels().idle, 1);

    let front = Front::with("").await;
    front.origin.on("/ws", Answer::upgrade("websocket"));
    let mut client = front.client().await;
    assert_eq!(client.get("/ws").upgrade("websocket").send().await.status, 101);
    client.write("ping").await;
    assert_eq!(client.read_exact(4).await, "ping");
    let draining = tokio::spawn(front.drain());
    client.closed().await;
    draining.await.unwrap();
}

#[tokio::test]
async fn a_site_starts_without_any_server_and_without_a_name_that_resolves() {
    let dead = copal_testkit::refused_address().await;
    for (servers, reason) in
        [(format!("http://{dead}"), "origin-refused"), ("http://nowhere.invalid:80".to_owned(), "origin-dns")]
    {
        let front = Front::before(&[servers], LADDER).await;
        let got = front.get("/p").await;
        assert_eq!((got.status, detail(&got)), (502, reason));
    }
}

#[tokio::test]
async fn a_full_queue_is_stale_or_a_503_that_says_when_to_come_back() {
    let site = ScriptedOrigin::start().await;
    let yaml = format!(
        "origins: {{site: {{servers: [{{url: '{}', max_connections: 1}}], queue: {{size: 0}}}}}}\nrules: [{{name: pages, cache: {{ttl: 10s, stale_if_error: 1h}}}}]",
        site.url()
    );
    let front = Front::of(site, &yaml);
    front.origin.on("/old", Answer::ok("old"));
    assert_eq!(front.get("/old").await.text(), "old");
    front.clock.advance(Duration::from_secs(20));
    let (gate, slow) = Answer::gated("slow");
    front.origin.on("/slow", slow);
    let slow = front.spawn_get("/slow");
    front.origin.wait_for(2).await;
    let stale = front.get("/old").await;
    assert_eq!((stale.text(), detail(&stale)), ("old", "stale-error"));
    for _ in 0..2 {
        let busy = front.client().await.get("/new").header("accept", "text/html").send().await;
        assert_eq!((busy.status, detail(&busy), busy.header("retry-after")), (503, "origin-busy", Some("5")));
        assert!(busy.header("proxy-status").unwrap().contains("error=connection_limit_reached"));
        assert!(busy.text().contains("The site is busy right now"), "{}", busy.text());
    }
    gate.open();
    assert_eq!(slow.await.unwrap().text(), "slow");
    front.origin.on("/new", Answer::ok("new"));
    assert_eq!(front.get("/new").await.text(), "new", "that it was full is not remembered");
}

#[tokio::test]
async fn pages_and_what_is_let_through_of_them_go_to_the_same_server() {
    let (one, two) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    for (server, name) in [(&one, "one"), (&two, "two")] {
        server.on("*", Answer::ok(name));
    }
    let yaml = format!(
        "origins: {{site: {{servers: ['{}', '{}'], balance: hash, forwarded: true}}}}\nsessions: {{cookies: [sid]}}\nrules: [{{name: pages, cache: {{ttl: 1h}}}}]",
        one.url(),
        two.url()
    );
    let front = Front::exactly(&yaml).await;
    for page in 0..20 {
        let path = format!("/{page}");
        let stored = front.get(&path).await;
        for _ in 0..3 {
            let mine = front.client().await.get(&path).header("cookie", "sid=1").send().await;
            assert_eq!((mine.text(), detail(&mine)), (stored.text(), "session-cookie"), "{path}");
        }
    }
    assert!(one.requests().len() >= 8 && two.requests().len() >= 8, "both have their share");
    for seen in one.requests().iter().chain(&two.requests()) {
        let told = seen.header("forwarded").unwrap();
        let expected = match seen.header("cookie") {
            Some(_) => "for=127.0.0.1;proto=http;host=test.example",
            None => "proto=http;host=test.example",
        };
        assert_eq!(told, expected);
    }
}
