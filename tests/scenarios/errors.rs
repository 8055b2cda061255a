//! What visitors, logs and metrics are told of failures: what may have been done, what is whole, who is to blame.

use std::time::Duration;

use copal_testkit::{Answer, Client, ClientResponse, ScriptedOrigin, patiently, refused_address};

use crate::front::Front;
use crate::process::{Folder, Running};

const PASS: &str = "rules: [{name: all, pass: true}]";

/// Before an origin of which nothing is sent twice.
async fn once(yaml: &str) -> Front {
    let site = ScriptedOrigin::start().await;
    let origins = format!("origins: {{site: {{servers: ['{}'], retries: 0}}}}", site.url());
    Front::of(site, &format!("admin: '127.0.0.1:0'\n{origins}\n{yaml}"))
}

/// Before the scripted origin `site`, whose fallback is `spare`.
async fn with_spare(spare: &ScriptedOrigin, yaml: &str) -> Front {
    let site = ScriptedOrigin::start().await;
    let spare = spare.url();
    let origins =
        format!("origins: {{site: {{servers: ['{}'], retries: 0, fallback: spare}}, spare: '{spare}'}}", site.url());
    Front::of(site, &format!("admin: '127.0.0.1:0'\n{origins}\n{yaml}"))
}

async fn ask(front: &Front, method: &str, target: &str, fields: &[(&str, &str)]) -> ClientResponse {
    let mut client = front.client().await;
    let request =
        fields.iter().fold(client.request(method, target), |request, (name, value)| request.header(name, *value));
    let sends_a_body = matches!(method, "POST" | "PUT" | "PATCH");
    if sends_a_body { request.body("one order") } else { request }.send().await
}

fn cache_status(got: &ClientResponse) -> &str {
    got.header("cache-status").unwrap_or_default()
}

/// Takes a server out, or back in.
async fn by_hand(front: &Front, what: &str, server: &str) {
    let mut admin = front.admin().await;
    let body = format!("{{\"server\":\"{server}\"}}");
    let done =
        admin.post(&format!("/origins/site/{what}"), body).header("content-type", "application/json").send().await;
    assert_eq!(done.status, 200, "{}", done.text());
}

/// Waits until the metrics have these lines.
async fn counted(front: &Front, lines: &[&str]) -> String {
    front.until(|| async { lines_in(&metrics(front).await, lines) }).await;
    metrics(front).await
}

async fn metrics(front: &Front) -> String {
    front.admin().await.get("/metrics").send().await.text().to_owned()
}

fn lines_in(metrics: &str, lines: &[&str]) -> bool {
    lines.iter().all(|wanted| metrics.lines().any(|line| line == *wanted))
}

#[tokio::test]
async fn who_sent_an_order_that_may_have_been_carried_out_is_not_told_to_repeat_it() {
    let slow = "{name: slow, match: {path: /slow}, pass: true, timeouts: {first_byte: 50ms}}";
    let front = once(&format!("rules: [{slow}, {{name: all, pass: true}}]")).await;
    front.origin.on("/cut", Answer::hang_up());
    front.origin.on("/slow", Answer::silence());
    for (accept, kind) in [("text/html", "text/html"), ("application/json", "application/json"), ("*/*", "text/plain")]
    {
        for (path, status) in [("/cut", 502), ("/slow", 504)] {
            for method in ["POST", "PATCH", "ORDER"] {
                let got = ask(&front, method, path, &[("accept", accept)]).await;
                assert_eq!(got.status, status, "{method} {path}");
                assert!(got.header("content-type").unwrap().starts_with(kind), "{accept}");
                let said = got.text();
                assert!(said.contains("may have been carried out"), "{method} {path} {said}");
                assert!(said.contains("check before you send it again"), "{method} {path} {said}");
                assert!(
                    !said.contains("try again") && !said.contains("could not be reached"),
                    "{method} {path} {said}"
                );
            }
            for method in ["GET", "PUT", "DELETE", "QUERY"] {
                let got = ask(&front, method, path, &[("accept", accept)]).await;
                assert!(got.text().contains("Please try again"), "{method} {path} {}", got.text());
            }
        }
    }
}

#[tokio::test]
async fn an_order_that_was_not_sent_may_be_sent_again() {
    let front = Front::before(&[format!("http://{}", refused_address().await)], PASS).await;
    let got = ask(&front, "POST", "/order", &[]).await;
    assert_eq!(
        (got.status, got.text().contains("could not be reached. Please try again.")),
        (502, true),
        "{}",
        got.text()
    );
}

#[tokio::test]
async fn an_order_that_waited_for_a_server_in_vain_may_be_sent_again() {
    let site = ScriptedOrigin::start().await;
    let yaml = format!(
        "origins: {{site: {{servers: [{{url: '{}', max_connections: 1}}]}}}}\nrules: [{{name: order, match: {{path: /order}}, pass: true, timeouts: {{total: 50ms}}}}, {{name: all, pass: true}}]",
        site.url()
    );
    let front = Front::of(site, &yaml);
    let (gate, slow) = Answer::gated("slow");
    front.origin.on("/slow", slow);
    let slow = front.spawn_get("/slow");
    front.origin.wait_for(1).await;
    let got = ask(&front, "POST", "/order", &[]).await;
    assert_eq!((got.status, cache_status(&got)), (504, "copal; fwd=method; detail=origin-timeout"));
    assert!(got.text().contains("Please try again"), "{}", got.text());
    assert_eq!(front.origin.count("/order"), 0);
    gate.open();
    slow.await.unwrap();
}

#[tokio::test]
async fn a_page_of_the_operators_own_tells_it_too() {
    let folder = Folder::new("error-page-order");
    let page = folder.file("error.html", "<h1>{{title}}</h1>{{message}}");
    let front = once(&format!("errors: {{page: '{page}'}}\n{PASS}")).await;
    front.origin.on("/cut", Answer::hang_up());
    let got = ask(&front, "POST", "/cut", &[("accept", "text/html")]).await;
    assert!(
        got.text().starts_with("<h1>It is not known whether this was done</h1>The site&#39;s server gave no"),
        "{}",
        got.text()
    );
}

#[tokio::test]
async fn a_response_that_has_no_body_is_whole() {
    let spare = ScriptedOrigin::start().await;
    let rules = "rules: [{name: own, match: {path: /own}, respond: {status: 200, body: words}}, {name: pages, cache: {ttl: 1h}}]";
    let front = with_spare(&spare, rules).await;
    spare.on("HEAD /spare", Answer::ok("instead"));
    spare.on("*", Answer::status(502));
    front.origin.on("*", Answer::hang_up());
    front.origin.on("/page", Answer::ok("page").header("etag", "\"1\""));
    assert_eq!(ask(&front, "HEAD", "/gone", &[]).await.status, 502);
    assert_eq!(ask(&front, "HEAD", "/spare", &[]).await.status, 200);
    assert_eq!(ask(&front, "HEAD", "/own", &[]).await.header("content-length"), Some("5"));
    assert_eq!(ask(&front, "GET", "/page", &[]).await.status, 200);
    assert_eq!(ask(&front, "GET", "/page", &[("if-none-match", "\"1\"")]).await.status, 304);
    let told = counted(
        &front,
        &[
            "copal_requests_total{outcome=\"error\",reason=\"origin-closed\",rule=\"pages\",status=\"5xx\"} 1",
            "copal_requests_total{outcome=\"hit\",reason=\"hit\",rule=\"pages\",status=\"3xx\"} 1",
        ],
    )
    .await;
    for outcome in ["error", "pass", "respond", "hit", "miss"] {
        let line = format!("copal_responses_broken_off_total{{outcome=\"{outcome}\"}} 0");
        assert!(lines_in(&told, &[&line]), "{outcome}\n{told}");
    }
}

#[tokio::test]
async fn an_origin_whose_servers_are_all_drained_is_being_worked_on() {
    let spare = ScriptedOrigin::start().await;
    for fallback in [false, true] {
        let front = if fallback { with_spare(&spare, PASS).await } else { once(PASS).await };
        front.origin.on("/p", Answer::ok("page"));
        spare.on("/p", Answer::ok("copy"));
        let name = front.origin.address().to_string();
        by_hand(&front, "drain", &name).await;
        let got = ask(&front, "GET", "/p", &[("accept", "text/html")]).await;
        let proxy_status = "copal; error=destination_unavailable; details=\"origin-drained\"";
        assert_eq!(got.header("proxy-status"), Some(proxy_status), "with a fallback: {fallback}");
        match fallback {
            true => assert_eq!((got.status, got.text()), (200, "copy")),
            false => {
                assert_eq!((got.status, got.header("retry-after")), (503, Some("5")));
                assert_eq!(cache_status(&got), "copal; fwd=bypass; detail=origin-drained");
                assert!(got.text().contains("<h1>The site is being worked on</h1>"), "{}", got.text());
                counted(&front, &["copal_requests_total{outcome=\"error\",reason=\"origin-drained\",rule=\"all\",status=\"5xx\"} 1"])
                    .await;
            }
        }
        by_hand(&front, "resume", &name).await;
        assert_eq!(front.get("/p").await.text(), "page");
    }
}

#[tokio::test]
async fn drained_is_not_remembered() {
    let front = once("rules: [{name: pages, cache: {ttl: 1h, failure_ttl: 1h}}]").await;
    front.origin.on("/p", Answer::ok("page"));
    let name = front.origin.address().to_string();
    by_hand(&front, "drain", &name).await;
    assert_eq!(front.get("/p").await.status, 503);
    by_hand(&front, "resume", &name).await;
    assert_eq!(front.get("/p").await.text(), "page");
}

#[tokio::test]
async fn a_fallback_tells_why_the_request_went_forward_and_what_was_wrong() {
    let spare = ScriptedOrigin::start().await;
    let rules = "sessions: {cookies: [sid]}\nrules: [{name: pass, match: {path: '/pass/**'}, pass: true}, {name: pages, cache: {ttl: 10s, failure_ttl: 10s}}]";
    let front = with_spare(&spare, rules).await;
    spare.on("*", Answer::ok("copy"));
    front.origin.on("*", Answer::hang_up());
    front.origin.on("/pass/down", Answer::status(503));
    front.origin.on("/down", Answer::status(503));
    front.origin.on("/old", Answer::ok("page").header("cache-control", "must-revalidate").once());
    assert_eq!(front.get("/old").await.text(), "page");
    front.clock.advance(Duration::from_secs(20));
    for (path, fields, fwd, error) in [
        ("/pass/cut", &[][..], "bypass", "connection_terminated"),
        ("/pass/down", &[], "bypass", "destination_unavailable"),
        ("/p", &[("cookie", "sid=1")], "bypass", "connection_terminated"),
        ("/p", &[], "uri-miss", "connection_terminated"),
        // It is known now, and the fallback is asked at once.
        ("/p", &[], "uri-miss", "connection_terminated"),
        ("/down", &[], "uri-miss", "destination_unavailable"),
        ("/old", &[], "stale", "connection_terminated"),
    ] {
        let got = ask(&front, "GET", path, fields).await;
        assert_eq!(got.text(), "copy", "{path}");
        assert_eq!(
            cache_status(&got),
            format!("copal; fwd={fwd}; fwd-status=200; detail=fallback"),
            "{path} {fields:?}"
        );
        let wrong = got.header("proxy-status").unwrap_or_default();
        assert!(wrong.starts_with(&format!("copal; error={error}; ")), "{path} {fields:?} {wrong}");
    }
}

#[tokio::test]
async fn a_fallback_that_says_304_to_a_question_without_a_condition_has_no_answer() {
    let spare = ScriptedOrigin::start().await;
    let front = with_spare(&spare, PASS).await;
    spare.on("/p", Answer::status(304));
    front.origin.on("/p", Answer::hang_up());
    let got = ask(&front, "GET", "/p", &[("if-none-match", "\"x\"")]).await;
    assert_eq!((got.status, cache_status(&got)), (502, "copal; fwd=bypass; detail=origin-closed"));
}

#[tokio::test]
async fn what_fails_at_one_clients_request_is_no_failure_for_others() {
    let trusting = "trusted_proxies: [127.0.0.0/8]\nrules: [{name: pages, cache: {ttl: 1h, failure_ttl: 10s}}]";
    let front = once(trusting).await;
    front.origin.on(
        "/p",
        Answer::from_fn(|request| match request.header("x-odd") {
            Some(_) => Answer::hang_up(),
            None => Answer::ok("page").close(),
        }),
    );
    front.origin.on("/dead", Answer::hang_up());
    let of = |got: &ClientResponse| cache_status(got).rsplit("detail=").next().unwrap_or_default().to_owned();
    let odd = ask(&front, "GET", "/p", &[("x-forwarded-for", "198.51.100.1"), ("x-odd", "1")]).await;
    assert_eq!(of(&odd), "origin-closed");
    let again = ask(&front, "GET", "/p", &[("x-forwarded-for", "198.51.100.1")]).await;
    assert_eq!(of(&again), "origin-failed-recently", "it waits itself");
    let other = ask(&front, "GET", "/p", &[("x-forwarded-for", "198.51.100.2")]).await;
    assert_eq!((other.text(), of(&other).as_str()), ("page", "miss"));

    // A page that fails for a second client fails for all: one /64 is one client.
    for (address, told) in [
        ("2001:db8::1", "origin-closed"),
        ("2001:db8::2", "origin-failed-recently"),
        ("198.51.100.2", "origin-closed"),
        ("198.51.100.3", "origin-failed-recently"),
        ("2001:db8:0:1::1", "origin-failed-recently"),
    ] {
        let got = ask(&front, "GET", "/dead", &[("x-forwarded-for", address)]).await;
        assert_eq!(of(&got), told, "{address}");
    }
    assert_eq!(front.origin.count("/dead"), 2);
}

/// What is stale harms nobody, so nobody waits once more for what another one has waited for.
#[tokio::test]
async fn what_is_stale_covers_a_failure_that_another_client_met() {
    let yaml = "trusted_proxies: [127.0.0.0/8]\n\
                rules: [{name: pages, cache: {ttl: 10s, grace: 0s, stale_if_error: 1h, failure_ttl: 10s}}]";
    let front = once(yaml).await;
    front.origin.on("/p", Answer::ok("page").close());
    ask(&front, "GET", "/p", &[]).await;
    front.origin.replace("/p", Answer::hang_up());
    front.clock.advance(Duration::from_secs(20));
    for address in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        let got = ask(&front, "GET", "/p", &[("x-forwarded-for", address)]).await;
        assert_eq!((got.status, got.text()), (200, "page"), "{address}: {}", cache_status(&got));
    }
    assert_eq!(front.origin.count("/p"), 2, "the page, and one failure");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_fails_whatever_is_asked() {
    let refused = format!("http://{}", refused_address().await);
    let yaml = "trusted_proxies: [127.0.0.0/8]\nrules: [{name: pages, cache: {ttl: 1h, failure_ttl: 10s}}]";
    let front = Front::before(&[refused], yaml).await;
    for (address, detail) in [("198.51.100.1", "origin-refused"), ("198.51.100.2", "origin-failed-recently")] {
        let got = ask(&front, "GET", "/p", &[("x-forwarded-for", address)]).await;
        assert!(cache_status(&got).ends_with(&format!("detail={detail}")), "{address} {}", cache_status(&got));
    }
}

#[tokio::test]
async fn an_answer_that_says_down_is_each_visitors_own_unless_it_is_stored_for_a_moment() {
    for (cache, asked) in [("{ttl: 1h}", 6), ("{ttl: 1h, status_ttl: {503: 1s}}", 1)] {
        let front = once(&format!("rules: [{{name: pages, cache: {cache}}}]")).await;
        let (gate, answer) = Answer::gated(Answer::status(503).body("down"));
        front.origin.on("/p", answer);
        let asking: Vec<_> = (0..6).map(|_| front.spawn_get("/p")).collect();
        front.origin.wait_for(1).await;
        gate.open();
        for one in asking {
            let got = one.await.unwrap();
            assert_eq!((got.status, got.text()), (503, "down"), "{cache}");
        }
        assert_eq!(front.origin.count("/p"), asked, "{cache}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_break_off_are_counted_each_and_told_of_once() {
    let origin = ScriptedOrigin::start().await;
    origin.on("*", Answer::ok("a".repeat(200_000)).cut_after(100_000));
    let folder = Folder::new("break-off");
    let config = folder.file("copal.yaml", &format!(
        "listen: '127.0.0.1:0'\nadmin: '127.0.0.1:0'\nlog: {{access: off}}\norigins: {{cms: {{servers: ['{}'], retries: 0}}}}\n\
         rules: [{{name: pass, match: {{path: /pass}}, pass: true}}, {{name: pages, cache: {{ttl: 1h}}}}]\n",
        origin.url()
    ));
    let mut running = Running::start(&config);
    let [public, admin] = [running.address(), running.address()];
    for (method, path) in [("POST", "/pass"), ("GET", "/pass"), ("GET", "/page"), ("GET", "/page")] {
        let mut client = Client::connect(public).await.with_host("test.example");
        assert!(client.request(method, path).try_send().await.is_err(), "{method} {path} ends early");
    }
    let broken = |outcome| format!("copal_responses_broken_off_total{{outcome=\"{outcome}\"}} 2");
    let (passed, fetched) = (broken("pass"), broken("miss"));
    let counted = async {
        while !lines_in(Client::connect(admin).await.get("/metrics").send().await.text(), &[&passed, &fetched]) {
            tokio::task::yield_now().await;
        }
    };
    patiently(|| "metrics that do not come".to_owned(), counted).await;
    running.signal("-TERM");
    let said = running.rest();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("broke off")).collect();
    let name = origin.address().to_string();
    assert!(
        matches!(&*lines, [one] if one.contains("POST test.example/pass") && one.contains(&name) && one.contains("times=1")),
        "{said}"
    );
}
