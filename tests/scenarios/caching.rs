//! Whole pages with a TTL: stored, reused, expired, validated; and what is never stored.

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

#[tokio::test]
async fn the_second_view_is_a_hit_that_the_origin_never_sees() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let page = Answer::ok("news").header("cache-control", "max-age=60").header("content-type", "text/html");
    let gets = Gets::status(200).body("news").header("via", "1.1 copal");
    scenario
        .exchange(
            "first",
            Sends::get("/news"),
            Sees::get("/news").header("host", "test.example").header("x-forwarded-proto", "http").answers(page),
            gets.clone().header_containing("cache-status", "copal; fwd=uri-miss; fwd-status=200").without("age"),
        )
        .await;
    front.clock.advance(Duration::from_secs(7));
    scenario
        .exchange(
            "second",
            Sends::get("/news"),
            Sees::nothing(),
            gets.header("age", "7").header("cache-status", "copal; hit; ttl=53; detail=hit"),
        )
        .await;
}

#[tokio::test]
async fn a_rules_ttl_is_in_force_whatever_the_origin_says_of_freshness() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]").await;
    front.origin.on("/page", Answer::ok("1").header("cache-control", "max-age=1"));
    front.origin.on("/page", Answer::ok("2"));
    assert_eq!(front.get("/page").await.text(), "1");
    front.clock.advance(Duration::from_secs(3599));
    assert_eq!(front.get("/page").await.text(), "1");
    front.clock.advance(Duration::from_secs(2));
    assert_eq!(front.get("/page").await.text(), "2");
}

#[tokio::test]
async fn an_expired_response_is_validated_and_freshened() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {grace: 0s}}]").await;
    let mut scenario = front.scenario();
    let first = Answer::ok("body").header("cache-control", "max-age=10").header("etag", "\"v1\"");
    let confirmed = Answer::status(304).header("cache-control", "max-age=20").header("etag", "\"v1\"");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(first), Gets::status(200).body("body")).await;
    front.clock.advance(Duration::from_secs(11));
    scenario
        .exchange(
            "validated",
            Sends::get("/p"),
            Sees::get("/p").header("if-none-match", "\"v1\"").answers(confirmed),
            Gets::status(200).body("body").header_containing("cache-status", "fwd=stale; fwd-status=304"),
        )
        .await;
    front.clock.advance(Duration::from_secs(19));
    scenario
        .exchange("fresh again", Sends::get("/p"), Sees::nothing(), Gets::status(200).body("body").header("age", "19"))
        .await;
}

#[tokio::test]
async fn what_must_not_be_stored_is_not_and_says_why() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]").await;
    for (path, field, value, reason) in [
        ("/a", "cache-control", "no-store", "no-store"),
        ("/b", "cache-control", "private", "private"),
        ("/c", "set-cookie", "id=1", "set-cookie"),
        ("/d", "vary", "*", "vary-star"),
        ("/e", "cache-control", "private=\"x y\"", "private"),
    ] {
        front.origin.on(path, Answer::ok("x").header(field, value));
        for _ in 0..2 {
            let got = front.get(path).await;
            assert_eq!(got.status, 200);
            let status = got.header("cache-status").unwrap();
            assert!(status.contains(&format!("detail={reason}")), "{path}: {status}");
        }
        assert_eq!(front.origin.count(path), 2, "{path}");
    }
    front.origin.on("/f", Answer::status(500).header("cache-control", "max-age=60"));
    assert_eq!(front.get("/f").await.status, 500);
}

#[tokio::test]
async fn an_override_is_the_only_way_to_store_it_and_takes_the_cookie_out() {
    let yaml = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h, override: [private, set-cookie]}}]";
    let front = Front::with(yaml).await;
    front.origin.on("/p", Answer::ok("x").header("cache-control", "private").header("set-cookie", "id=secret"));
    assert!(front.get("/p").await.header("set-cookie").is_none());
    assert!(front.get("/p").await.header("set-cookie").is_none());
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn each_variant_of_vary_is_stored_and_given_to_its_own() {
    let front = Front::with("").await;
    let of = |language: &'static str| {
        Answer::ok(language).header("cache-control", "max-age=60").header("vary", "Accept-Language")
    };
    let mut scenario = front.scenario();
    for language in ["de", "en"] {
        let sends = Sends::get("/p").header("accept-language", language);
        scenario.exchange("miss", sends, Sees::get("/p").answers(of(language)), Gets::status(200).body(language)).await;
    }
    for language in ["de", "en", "de"] {
        let sends = Sends::get("/p").header("accept-language", language);
        scenario.exchange("hit", sends, Sees::nothing(), Gets::status(200).body(language)).await;
    }
}

#[tokio::test]
async fn an_encoded_response_is_never_given_to_a_client_that_did_not_ask_for_it() {
    let front = Front::with("").await;
    front.origin.on(
        "/p",
        Answer::from_fn(|request| {
            let page = Answer::ok("").header("cache-control", "max-age=60");
            match request.header("accept-encoding") {
                Some(codings) if codings.contains("gzip") => page.header("content-encoding", "gzip").body("GZIP"),
                _ => page.body("plain"),
            }
        }),
    );
    let mut client = front.client().await;
    assert_eq!(client.get("/p").header("accept-encoding", "gzip, deflate").send().await.text(), "GZIP");
    assert_eq!(client.get("/p").send().await.text(), "plain");
    assert_eq!(client.get("/p").header("accept-encoding", "gzip;q=0").send().await.text(), "plain");
    let either = client.get("/p").header("accept-encoding", "deflate,gzip").send().await;
    assert!(["GZIP", "plain"].contains(&either.text()), "both can be read by a client that takes gzip");
    assert_eq!(front.origin.count("/p"), 2);
}

#[tokio::test]
async fn conditional_requests_are_answered_from_the_store() {
    let front = Front::with("").await;
    let page = Answer::ok("body")
        .header("cache-control", "max-age=60")
        .header("etag", "\"v1\"")
        .header("last-modified", "Tue, 14 Nov 2023 00:00:00 GMT");
    front.origin.on("/p", page);
    front.get("/p").await;
    let mut client = front.client().await;
    for (field, value, status) in [
        ("if-none-match", "\"v1\"", 304),
        ("if-none-match", "W/\"v1\"", 304),
        ("if-none-match", "\"v0\", \"v1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"v2\"", 200),
        ("if-modified-since", "Tue, 14 Nov 2023 00:00:00 GMT", 304),
        ("if-modified-since", "Mon, 13 Nov 2023 00:00:00 GMT", 200),
    ] {
        let got = client.get("/p").header(field, value).send().await;
        assert_eq!(got.status, status, "{field}: {value}");
        assert_eq!(got.header("etag"), Some("\"v1\""));
        assert_eq!(got.text(), if status == 304 { "" } else { "body" });
    }
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn a_successful_unsafe_request_invalidates_the_url() {
    let front = Front::with("").await;
    front.origin.on("GET /p", Answer::ok("old").header("cache-control", "max-age=60"));
    front.origin.on("GET /p", Answer::ok("new").header("cache-control", "max-age=60"));
    front.origin.on("POST /p", Answer::status(422));
    front.origin.on("POST /p", Answer::status(303).header("location", "/p"));
    assert_eq!(front.get("/p").await.text(), "old");
    let mut client = front.client().await;
    assert_eq!(client.post("/p", "x").send().await.status, 422);
    assert_eq!(front.get("/p").await.text(), "old");
    assert_eq!(client.post("/p", "x").send().await.status, 303);
    assert_eq!(front.get("/p").await.text(), "new");
}

#[tokio::test]
async fn respond_rules_status_ttls_and_what_browsers_are_told() {
    let front = Front::with(
        "rules:
  - {name: old, match: {path: /old}, respond: {status: 301, redirect: 'https://test.example/new'}}
  - {name: teapot, match: {path: /tea}, respond: {status: 418, headers: {x-pot: short}, body: short and stout}}
  - {name: pages, cache: {ttl: 1h, status_ttl: {404: 10s}, client_cache_control: 'public, max-age=30'}}",
    )
    .await;
    let old = front.get("/old").await;
    assert_eq!((old.status, old.header("location")), (301, Some("https://test.example/new")));
    let tea = front.get("/tea").await;
    assert_eq!((tea.status, tea.text(), tea.header("x-pot")), (418, "short and stout", Some("short")));
    assert_eq!(tea.header("cache-status"), Some("copal; detail=respond"));
    front.origin.on("/p", Answer::ok("p").header("cache-control", "s-maxage=5"));
    assert_eq!(front.get("/p").await.header("cache-control"), Some("public, max-age=30"));
    assert_eq!(front.get("/p").await.header("cache-control"), Some("public, max-age=30"));
    front.origin.on("/gone", Answer::status(404));
    front.get("/gone").await;
    assert_eq!(front.get("/gone").await.status, 404);
    assert_eq!(front.origin.count("/gone"), 1);
    front.clock.advance(Duration::from_secs(11));
    front.get("/gone").await;
    assert_eq!(front.origin.count("/gone"), 2);
}
