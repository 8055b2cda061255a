//! Where the lifetime comes from, what is stored of a response, and what its clients get of it.

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

fn status(part: &str) -> Gets {
    Gets::status(200).header_containing("cache-status", part)
}

#[tokio::test]
async fn by_default_stale_is_for_when_the_origin_fails_only() {
    let mut front = Front::with("").await;
    let page = |text| Answer::ok(text).header("cache-control", "max-age=10");
    let mut scenario = front.scenario();
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("old")), status("detail=miss")).await;
    front.clock.advance(Duration::from_secs(11));
    let anew = status("fwd=stale; fwd-status=200; stored; detail=expired").body("new");
    scenario
        .exchange("an origin that answers is asked", Sends::get("/p"), Sees::get("/p").answers(page("new")), anew)
        .await;
    front.clock.advance(Duration::from_secs(11));
    let broken = Sees::get("/p").answers(Answer::status(500));
    let stale = || status("fwd=stale; ttl=-1; detail=stale-error").body("new");
    scenario.exchange("an origin in trouble is covered", Sends::get("/p"), broken, stale()).await;
    front.stop_origin().await;
    assert_eq!(front.get("/p").await.text(), "new", "an origin that is gone too");
    front.clock.advance(Duration::from_secs(3600));
    let got = front.get("/p").await;
    assert_eq!(got.status, 502, "not for ever");
    assert!(got.header("cache-status").unwrap().contains("detail=origin-refused"));
}

#[tokio::test]
async fn rfc9111_5_2_2_10_s_maxage_is_not_served_stale_by_default() {
    for control in ["s-maxage=10", "max-age=10, must-revalidate", "max-age=10, proxy-revalidate"] {
        let front = Front::with("").await;
        let mut scenario = front.scenario();
        let page = Answer::ok("x").header("cache-control", control);
        scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page), status("detail=miss")).await;
        front.clock.advance(Duration::from_secs(11));
        let broken = Sees::get("/p").answers(Answer::status(500));
        scenario.exchange(control, Sends::get("/p"), broken, Gets::status(500)).await;
    }
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let page = Answer::ok("x").header("cache-control", "s-maxage=10, stale-if-error=60");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page), status("detail=miss")).await;
    front.clock.advance(Duration::from_secs(11));
    let broken = Sees::get("/p").answers(Answer::status(500));
    scenario.exchange("its own word", Sends::get("/p"), broken, status("detail=stale-error").body("x")).await;
}

#[tokio::test]
async fn rfc9111_5_2_2_7_fields_that_private_names_are_for_the_first_client_only() {
    for directive in ["private", "no-cache"] {
        let front = Front::with("").await;
        let mut scenario = front.scenario();
        let page = Answer::ok("x")
            .header("cache-control", format!("max-age=60, {directive}=\"X-User, set-cookie\""))
            .header("x-user", "ada")
            .header("x-page", "1")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2");
        let gets = Gets::status(200).header("x-user", "ada").header("x-page", "1");
        let gets = gets.header("set-cookie", "a=1").header("set-cookie", "b=2").body("x");
        scenario.exchange("the one", Sends::get("/p"), Sees::get("/p").answers(page), gets).await;
        for _ in 0..2 {
            let gets = status("copal; hit").header("x-page", "1").without("x-user").without("set-cookie").body("x");
            scenario.exchange("the others", Sends::get("/p"), Sees::nothing(), gets).await;
        }
    }
}

#[tokio::test]
async fn a_follower_does_not_get_them_either() {
    let front = Front::with("").await;
    let (gate, held) = Answer::gated(
        Answer::ok("x").header("cache-control", "max-age=60, private=\"set-cookie\"").header("set-cookie", "a=1"),
    );
    front.origin.on("/p", held);
    let leader = front.spawn_get("/p");
    front.origin.wait_for(1).await;
    let followers: Vec<_> = (0..4).map(|_| front.spawn_get("/p")).collect();
    gate.open();
    assert_eq!(leader.await.unwrap().header("set-cookie"), Some("a=1"));
    for follower in followers {
        let got = follower.await.unwrap();
        assert_eq!((got.text(), got.header("set-cookie")), ("x", None));
    }
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn what_browsers_are_told_does_not_let_caches_on_the_way_keep_them() {
    let front = Front::with("rules: [{name: a, cache: {client_cache_control: 'public, max-age=600'}}]").await;
    let mut scenario = front.scenario();
    let page =
        Answer::ok("x").header("cache-control", "max-age=60, private=\"set-cookie\"").header("set-cookie", "a=1");
    let own = status("detail=miss").header("set-cookie", "a=1").header("cache-control", "private, no-cache");
    scenario.exchange("the first", Sends::get("/p"), Sees::get("/p").answers(page), own).await;
    let others = status("copal; hit").without("set-cookie").header("cache-control", "public, max-age=600");
    scenario.exchange("the others", Sends::get("/p"), Sees::nothing(), others).await;
}

#[tokio::test]
async fn a_field_that_is_named_in_a_304_is_not_stored_by_it() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let page = Answer::ok("x").header("cache-control", "max-age=10").header("etag", "\"1\"");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page), status("detail=miss")).await;
    front.clock.advance(Duration::from_secs(11));
    let confirmed =
        Answer::status(304).header("cache-control", "max-age=10, private=\"x-user\"").header("x-user", "ada");
    let gets = status("detail=validated").without("x-user");
    scenario.exchange("confirmed", Sends::get("/p"), Sees::get("/p").answers(confirmed), gets).await;
    scenario.exchange("hit", Sends::get("/p"), Sees::nothing(), status("copal; hit").without("x-user")).await;
}

#[tokio::test]
async fn a_malformed_list_of_fields_speaks_of_the_whole_response() {
    let front = Front::with("").await;
    for (path, directive) in
        [("/a", "private=\"x y\""), ("/b", "private=\"\""), ("/c", "private=\"a"), ("/d", "private=,")]
    {
        front.origin.on(path, Answer::ok("x").header("cache-control", format!("max-age=60, {directive}")));
        for _ in 0..2 {
            assert!(front.get(path).await.header("cache-status").unwrap().contains("detail=private"), "{directive}");
        }
    }
}

#[tokio::test]
async fn rfc9111_7_3_a_cookie_is_shared_on_the_operators_word_only() {
    let front =
        Front::with("rules: [{name: p, match: {path: '/**'}, cache: {ttl: 1h, override: [share-set-cookie]}}]").await;
    let mut scenario = front.scenario();
    let gets = || Gets::status(200).header("set-cookie", "shop=open").body("x");
    let page = Answer::ok("x").header("set-cookie", "shop=open");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page), gets()).await;
    scenario.exchange("given to all", Sends::get("/p"), Sees::nothing(), gets()).await;
}

#[tokio::test]
async fn fields_of_the_rule_state_the_lifetime_and_go_no_further() {
    let yaml = "sessions: {cookies: [SESS]}
rules: [{name: p, match: {path: '/**'}, cache: {ttl_headers: [X-Accel-Expires, X-TTL]}}]";
    let front = Front::with(yaml).await;
    let mut scenario = front.scenario();
    let page = || Answer::ok("x").header("cache-control", "max-age=5").header("x-accel-expires", "60");
    let gets = || Gets::status(200).without("x-accel-expires").header("cache-control", "max-age=5");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page()), gets()).await;
    front.clock.advance(Duration::from_secs(59));
    let hit = gets().header_containing("cache-status", "copal; hit; ttl=1;");
    scenario.exchange("for so long", Sends::get("/p"), Sees::nothing(), hit).await;
    let own = Sends::get("/p").header("cookie", "SESS=1");
    scenario.exchange("not to those who pass either", own, Sees::get("/p").answers(page()), gets()).await;
    let never = Sees::get("/n").answers(page().header("x-ttl", "0").header("x-accel-expires", "0"));
    let gets = gets().header_containing("cache-status", "detail=no-store").without("x-ttl");
    scenario.exchange("0 is: do not store", Sends::get("/n"), never, gets).await;
}

#[tokio::test]
async fn rfc9213_2_2_the_order_of_targeted_fields_is_the_operators() {
    let page = || {
        Answer::ok("x")
            .header("cache-control", "max-age=10")
            .header("cdn-cache-control", "max-age=20")
            .header("shop-cache-control", "max-age=30")
    };
    for (yaml, ttl) in [
        ("", 20),
        ("cache: {targeted: [Shop-Cache-Control, CDN-Cache-Control]}", 30),
        ("cache: {targeted: [Surrogate-Control]}", 10),
    ] {
        let front = Front::with(yaml).await;
        front.origin.on("/p", page());
        front.get("/p").await;
        let got = front.get("/p").await;
        assert_eq!(got.header("cache-status"), Some(&*format!("copal; hit; ttl={ttl}; detail=hit")), "{yaml}");
    }
}

#[tokio::test]
async fn jitter_spreads_what_was_stored_together() {
    let front = Front::with("rules: [{name: p, match: {path: '/**'}, cache: {ttl: 1000s, jitter: 50%}}]").await;
    let mut lifetimes = std::collections::BTreeSet::new();
    for number in 0..20 {
        let path = format!("/{number}");
        front.origin.on(&path, Answer::ok("x"));
        front.get(&path).await;
        let hit = front.get(&path).await;
        let ttl = hit.header("cache-status").unwrap().split("ttl=").nth(1).unwrap().split(';').next().unwrap();
        let ttl: u64 = ttl.parse().unwrap();
        assert!((500..=1000).contains(&ttl), "{ttl}");
        lifetimes.insert(ttl);
    }
    // Twenty equal ones of five hundred: once in 500^19.
    assert!(lifetimes.len() > 1);
}

#[tokio::test]
async fn rfc9211_2_2_an_error_says_why_the_origin_was_asked() {
    let yaml = "rules: [{name: own, match: {path: /own}, pass: true}, {name: p, match: {path: '/**'}, cache: {}}]";
    let mut front = Front::with(yaml).await;
    front.origin.on("/p", Answer::ok("x").header("cache-control", "max-age=10"));
    front.get("/p").await;
    front.clock.advance(Duration::from_secs(11));
    front.stop_origin().await;
    let mut client = front.client().await;
    for (method, path, fwd) in
        [("GET", "/own", "bypass"), ("POST", "/p", "method"), ("GET", "/new", "uri-miss"), ("GET", "/p", "stale")]
    {
        let got = client.request(method, path).send().await;
        let wanted = format!("copal; fwd={fwd}; detail=origin-refused");
        assert_eq!((got.status, got.header("cache-status")), (502, Some(&*wanted)), "{method} {path}");
    }
}
