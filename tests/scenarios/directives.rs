//! `Cache-Control` of requests (RFC 9111 §5.2.1): what a visitor's counts for, and what that of those counts who may revalidate.

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const HONOUR: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {request_directives: honour}}]";
const IGNORE: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {request_directives: ignore}}]";

fn asks(control: &str) -> Sends {
    Sends::get("/p").header("cache-control", control)
}

fn page(text: &'static str) -> Answer {
    Answer::ok(text).header("cache-control", "max-age=60").header("etag", "\"1\"")
}

fn status(part: &str) -> Gets {
    Gets::status(200).header_containing("cache-status", part)
}

#[tokio::test]
async fn a_visitors_reload_costs_the_origin_nothing() {
    for yaml in ["", IGNORE] {
        let front = Front::with(yaml).await;
        let mut scenario = front.scenario();
        scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), Gets::status(200)).await;
        front.clock.advance(Duration::from_secs(30));
        for control in ["no-cache", "max-age=0", "max-age=10", "min-fresh=50", "no-store"] {
            scenario.exchange(control, asks(control), Sees::nothing(), status("copal; hit; ttl=30; detail=hit")).await;
        }
        let pragma = Sends::get("/p").header("pragma", "no-cache");
        scenario.exchange("Pragma", pragma, Sees::nothing(), status("copal; hit")).await;
        let reload = asks("max-age=0").header("if-none-match", "\"1\"");
        scenario.exchange("a browser's reload", reload, Sees::nothing(), Gets::status(304).body("")).await;
    }
}

#[tokio::test]
async fn rfc9111_5_2_1_7_only_if_cached_is_answered_from_the_store_or_504() {
    for yaml in ["", HONOUR] {
        let front = Front::with(yaml).await;
        let mut scenario = front.scenario();
        let gone = || Gets::status(504).header("cache-status", "copal; detail=only-if-cached");
        scenario.exchange("nothing is stored", asks("only-if-cached"), Sees::nothing(), gone()).await;
        scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), Gets::status(200)).await;
        scenario.exchange("a hit", asks("only-if-cached"), Sees::nothing(), status("copal; hit").body("x")).await;
        front.clock.advance(Duration::from_secs(61));
        scenario.exchange("stale is not enough", asks("only-if-cached"), Sees::nothing(), gone()).await;
        let either = asks("only-if-cached, max-stale=10");
        scenario
            .exchange("unless it is asked for", either, Sees::nothing(), status("copal; hit; ttl=-1").body("x"))
            .await;
        let own = asks("only-if-cached").header("cookie", "mystery=1");
        scenario.exchange("what would be let through is not from the store", own, Sees::nothing(), gone()).await;
    }
    let front = Front::with(IGNORE).await;
    let mut scenario = front.scenario();
    let answered = status("detail=miss").body("x");
    scenario.exchange("ignored", asks("only-if-cached"), Sees::get("/p").answers(page("x")), answered).await;
}

#[tokio::test]
async fn under_a_pass_rule_copal_is_no_cache_and_the_directive_goes_on() {
    let front = Front::with("rules: [{name: own, pass: true}]").await;
    let mut scenario = front.scenario();
    let sees = Sees::get("/p").header("cache-control", "only-if-cached").answers(page("x"));
    scenario.exchange("passed", asks("only-if-cached"), sees, status("detail=pass-rule").body("x")).await;
}

#[tokio::test]
async fn rfc9111_5_2_1_2_max_stale_takes_what_is_stale_and_refreshes_nothing() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(70));
    for control in ["max-stale", "max-stale=10"] {
        let stale = status("copal; hit; ttl=-10; detail=max-stale").header("age", "70").body("x");
        scenario.exchange(control, asks(control), Sees::nothing(), stale).await;
    }
    let confirmed = Sees::get("/p").answers(Answer::status(304));
    scenario.exchange("too stale", asks("max-stale=9"), confirmed, status("fwd=stale; fwd-status=304")).await;
    for strict in ["max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "s-maxage=60", "no-cache"] {
        let answer = || page("y").header("cache-control", strict);
        let front = Front::with("").await;
        let mut scenario = front.scenario();
        scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(answer()), Gets::status(200)).await;
        front.clock.advance(Duration::from_secs(61));
        scenario.exchange(strict, asks("max-stale"), Sees::get("/p").answers(answer()), status("fwd=stale")).await;
    }
}

#[tokio::test]
async fn rfc5861_4_stale_if_error_of_a_request() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {}}]").await;
    let mut scenario = front.scenario();
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(70));
    let fails = || Sees::get("/p").answers(Answer::status(503));
    let stale = status("fwd=stale; ttl=-10; detail=stale-error").body("x");
    scenario.exchange("taken", asks("stale-if-error=30"), fails(), stale).await;
    scenario.exchange("not for so long", asks("stale-if-error=5"), fails(), Gets::status(503)).await;
    scenario.exchange("not asked for", Sends::get("/p"), fails(), Gets::status(503)).await;
}

#[tokio::test]
async fn rfc9111_5_2_1_honoured_directives_make_the_origin_be_asked() {
    let front = Front::with(HONOUR).await;
    let mut scenario = front.scenario();
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(30));
    scenario.exchange("old enough", asks("max-age=30"), Sees::nothing(), status("copal; hit").body("x")).await;
    scenario.exchange("fresh for so long", asks("min-fresh=30"), Sees::nothing(), status("copal; hit").body("x")).await;
    let confirms = || Sees::get("/p").header("if-none-match", "\"1\"").answers(Answer::status(304));
    let validated = || status("fwd=request; fwd-status=304; ttl=60; stored; detail=validated").body("x");
    for control in ["no-cache", "max-age=0", "max-age=5", "min-fresh=50"] {
        front.clock.advance(Duration::from_secs(20));
        let sees = confirms().header("cache-control", control);
        scenario.exchange(control, asks(control), sees, validated()).await;
    }
    let pragma = Sends::get("/p").header("pragma", "no-cache");
    let sees = confirms().header("cache-control", "no-cache").without("pragma");
    scenario.exchange("Pragma", pragma, sees, validated()).await;
    let odd = asks("No-Cache, max-age=\"7\", <script>=1");
    scenario
        .exchange("in our own words", odd, confirms().header("cache-control", "no-cache, max-age=7"), validated())
        .await;
    let both = Sends::get("/p").header("pragma", "no-cache").header("cache-control", "max-stale");
    scenario.exchange("Pragma beside Cache-Control", both, Sees::nothing(), status("copal; hit")).await;
    let anew = Sees::get("/p").answers(page("y").header("etag", "\"2\""));
    let changed = status("fwd=request; fwd-status=200; stored; detail=request-directive").body("y");
    scenario.exchange("changed", asks("no-cache"), anew, changed).await;
    scenario.exchange("for all", Sends::get("/p"), Sees::nothing(), status("copal; hit").body("y")).await;
    let failing = Sees::get("/p").answers(Answer::status(502));
    let all_the_same = status("fwd=request; ttl=60; detail=stale-error").body("y");
    scenario.exchange("better than nothing", asks("no-cache"), failing, all_the_same).await;
}

#[tokio::test]
async fn rfc9111_5_2_1_5_no_store_is_neither_looked_up_nor_stored() {
    let front = Front::with(HONOUR).await;
    let mut scenario = front.scenario();
    let passed = || status("copal; fwd=request; fwd-status=200; detail=request-no-store");
    let first = Sees::get("/p").header("cache-control", "no-store").answers(page("first"));
    scenario.exchange("not stored", asks("no-store"), first, passed().body("first")).await;
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), status("detail=miss")).await;
    scenario.exchange("not looked up", asks("no-store"), Sees::get("/p").answers(page("y")), passed().body("y")).await;
    scenario.exchange("what was stored stays", Sends::get("/p"), Sees::nothing(), status("copal; hit").body("x")).await;
}

#[tokio::test]
async fn who_may_revalidate_is_honoured_under_every_rule() {
    let yaml = "trusted_proxies: [127.0.0.1]\ncache: {revalidate_allow: [127.0.0.0/8, 10.0.0.0/8]}";
    let front = Front::with(yaml).await;
    let mut scenario = front.scenario();
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x")), Gets::status(200)).await;
    let confirms = || Sees::get("/p").header("if-none-match", "\"1\"").answers(Answer::status(304));
    scenario.exchange("from here", asks("no-cache"), confirms(), status("fwd=request")).await;
    let of = |address| asks("no-cache").header("x-forwarded-for", address);
    scenario.exchange("for the office", of("10.0.0.7"), confirms(), status("fwd=request")).await;
    for stranger in ["203.0.113.9", "10.0.0.7, 203.0.113.9", "junk"] {
        scenario.exchange(stranger, of(stranger), Sees::nothing(), status("copal; hit")).await;
    }
}

#[tokio::test]
async fn rfc8246_2_1_what_is_immutable_is_not_validated_for_a_reload() {
    let front = Front::with(HONOUR).await;
    let mut scenario = front.scenario();
    let answer = page("x").header("cache-control", "immutable");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(answer), Gets::status(200)).await;
    scenario.exchange("a reload", asks("max-age=0"), Sees::nothing(), status("copal; hit; ttl=60; detail=hit")).await;
    let confirms = || Sees::get("/p").header("if-none-match", "\"1\"").answers(Answer::status(304));
    scenario.exchange("a forced one", asks("no-cache"), confirms(), status("fwd=request")).await;
    front.clock.advance(Duration::from_secs(61));
    scenario.exchange("stale", asks("max-age=0"), confirms(), status("fwd=stale")).await;
}

#[tokio::test]
async fn requests_that_want_the_origin_asked_share_one_answer() {
    let front = Front::with(HONOUR).await;
    front.origin.on("/p", page("x"));
    assert_eq!(front.get("/p").await.text(), "x");
    let (gate, held) = Answer::gated(page("y").header("etag", "\"2\""));
    front.origin.replace("/p", held);
    let address = front.address;
    let forced: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = copal_testkit::Client::connect(address).await.with_host("test.example");
                client.get("/p").header("cache-control", "no-cache").send().await
            })
        })
        .collect();
    front.origin.wait_for(2).await;
    assert_eq!(front.get("/p").await.text(), "x", "who asks for nothing waits for nothing");
    gate.open();
    for one in forced {
        assert_eq!(one.await.unwrap().text(), "y");
    }
    // Whoever came after the answer was in asked once more; the others shared.
    assert!(front.origin.count("/p") <= 6);
}
