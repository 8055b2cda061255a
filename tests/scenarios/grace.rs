//! Grace: stale while one refresh runs, and stale when the origin fails.

use std::time::Duration;

use copal_testkit::Answer;

use crate::front::Front;

const GRACE: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 10s, grace: 1h}}]";

#[tokio::test]
async fn stale_is_served_at_once_while_one_refresh_runs() {
    let front = Front::with(GRACE).await;
    front.origin.on("/p", Answer::ok("old"));
    assert_eq!(front.get("/p").await.text(), "old");
    front.clock.advance(Duration::from_secs(20));
    let (gate, refreshed) = Answer::gated("new");
    front.origin.replace("/p", refreshed);
    for _ in 0..5 {
        let got = front.get("/p").await;
        assert_eq!(got.text(), "old");
        assert_eq!(got.header("cache-status"), Some("copal; hit; ttl=-10; detail=stale-refreshing"));
    }
    front.origin.wait_for(2).await;
    gate.open();
    front.until(|| async { front.get("/p").await.text() == "new" }).await;
    assert_eq!(front.origin.count("/p"), 2, "one refresh for all");
}

#[tokio::test]
async fn stale_is_served_when_the_origin_answers_with_an_error_or_not_at_all() {
    let yaml = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 10s, grace: 1h}}]";
    let mut front = Front::with(yaml).await;
    front.origin.on("/p", Answer::ok("good"));
    front.origin.on("/p", Answer::status(503));
    assert_eq!(front.get("/p").await.text(), "good");
    front.clock.advance(Duration::from_secs(20));
    for _ in 0..3 {
        assert_eq!(front.get("/p").await.text(), "good");
    }
    front.stop_origin().await;
    for _ in 0..3 {
        assert_eq!(front.get("/p").await.text(), "good");
    }
    front.clock.advance(Duration::from_secs(3600));
    let gone = front.get("/p").await;
    assert_eq!(gone.status, 502, "beyond grace the fault is told");
    assert!(gone.header("cache-status").unwrap().contains("detail=origin-refused"));
}

#[tokio::test]
async fn stale_if_error_alone_serves_stale_only_on_an_error() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {grace: 0s}}]").await;
    let page = |text: &'static str| Answer::ok(text).header("cache-control", "max-age=10, stale-if-error=600");
    front.origin.on("/p", page("one"));
    front.origin.on("/p", page("two"));
    front.origin.on("/p", Answer::status(500));
    assert_eq!(front.get("/p").await.text(), "one");
    front.clock.advance(Duration::from_secs(11));
    assert_eq!(front.get("/p").await.text(), "two", "an origin that answers is asked");
    front.clock.advance(Duration::from_secs(11));
    let got = front.get("/p").await;
    assert_eq!(got.text(), "two");
    assert!(got.header("cache-status").unwrap().contains("detail=stale-error"));
}

#[tokio::test]
async fn must_revalidate_is_never_served_stale() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {grace: 1h}}]").await;
    front.origin.on("/p", Answer::ok("x").header("cache-control", "max-age=10, must-revalidate"));
    front.origin.on("/p", Answer::status(500));
    assert_eq!(front.get("/p").await.status, 200);
    front.clock.advance(Duration::from_secs(11));
    assert_eq!(front.get("/p").await.status, 500);
}

const LONG: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h, grace: 10s}}]";

#[tokio::test]
async fn what_is_purged_softly_is_refreshed_in_the_background() {
    let front = Front::with(LONG).await;
    front.origin.on("/p", Answer::ok("old"));
    assert_eq!(front.get("/p").await.text(), "old");
    front.purge_softly("/p");
    front.clock.advance(Duration::from_secs(5));
    front.origin.replace("/p", Answer::ok("new"));
    let got = front.get("/p").await;
    assert_eq!(got.text(), "old");
    assert!(got.header("cache-status").unwrap().contains("detail=stale-refreshing"));
    front.until(|| async { front.get("/p").await.text() == "new" }).await;
    assert_eq!(front.origin.count("/p"), 2);
}

#[tokio::test]
async fn grace_counts_from_the_soft_purge_on() {
    let front = Front::with(LONG).await;
    front.origin.on("/p", Answer::ok("old"));
    assert_eq!(front.get("/p").await.text(), "old");
    front.purge_softly("/p");
    // Nobody asks for longer than the grace: who comes then is not given what was purged long ago.
    front.clock.advance(Duration::from_secs(60));
    front.origin.replace("/p", Answer::ok("new"));
    assert_eq!(front.get("/p").await.text(), "new");
}

#[tokio::test]
async fn what_is_purged_softly_is_still_there_when_the_origin_is_down() {
    let mut front = Front::with(LONG).await;
    front.origin.on("/p", Answer::ok("old"));
    assert_eq!(front.get("/p").await.text(), "old");
    front.purge_softly("/p");
    front.clock.advance(Duration::from_secs(600));
    front.stop_origin().await;
    let got = front.get("/p").await;
    assert_eq!(got.text(), "old");
    assert!(got.header("cache-status").unwrap().contains("detail=stale-error"));
    // Its own end is the end.
    front.clock.advance(Duration::from_secs(3600));
    assert_eq!(front.get("/p").await.status, 502);
}
