//! Requests with `Authorization` (RFC 9111 §3.5): answered and stored by what says that it may be shared, and by nothing else.

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]";
const ADA: &str = "Basic YWRhOjE=";
const BOB: &str = "Basic Ym9iOjE=";

fn with(who: &str) -> Sends {
    Sends::get("/p").header("authorization", who)
}

fn page(text: &'static str, control: &str) -> Answer {
    Answer::ok(text).header("cache-control", control)
}

#[tokio::test]
async fn an_authorized_response_without_leave_never_reaches_another() {
    for control in ["max-age=60", "no-transform", "proxy-revalidate", "max-age=60, immutable"] {
        let front = Front::with(PAGES).await;
        let mut scenario = front.scenario();
        let sees = |who, text| Sees::get("/p").header("authorization", who).answers(page(text, control));
        let gets = |text| {
            let status = "fwd=uri-miss; fwd-status=200; detail=not-stored-authorization";
            Gets::status(200).body(text).header_containing("cache-status", status)
        };
        scenario.exchange("ada's", with(ADA), sees(ADA, "ada"), gets("ada")).await;
        scenario.exchange("bob's", with(BOB), sees(BOB, "bob"), gets("bob")).await;
        scenario.exchange("ada's again", with(ADA), sees(ADA, "ada"), gets("ada")).await;
        let guest = Sees::get("/p").without("authorization").answers(page("guest", control));
        let miss = Gets::status(200).body("guest").header_containing("cache-status", "stored; detail=miss");
        scenario
            .exchange("a guest's is fetched, and no hit-for-miss is remembered", Sends::get("/p"), guest, miss)
            .await;
    }
}

#[tokio::test]
async fn what_is_stored_without_leave_is_never_given_to_an_authorized_request() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let guest = || Gets::status(200).body("guest");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(Answer::ok("guest")), guest()).await;
    let gets = Gets::status(200).body("ada").header_containing("cache-status", "fwd=request; fwd-status=200");
    let sees = Sees::get("/p").header("authorization", ADA).without("if-none-match").answers(Answer::ok("ada"));
    scenario.exchange("fetched for ada alone", with(ADA), sees, gets).await;
    scenario.exchange("and the guests' page stays", Sends::get("/p"), Sees::nothing(), guest()).await;
    let denied = Sees::get("/p").answers(Answer::status(401));
    scenario.exchange("also when she is refused", with(BOB), denied, Gets::status(401)).await;
    scenario.exchange("the page stays", Sends::get("/p"), Sees::nothing(), guest()).await;
}

#[tokio::test]
async fn with_leave_it_is_stored_and_given_to_both() {
    for (rules, control) in [(PAGES, "public"), ("", "s-maxage=60"), ("", "max-age=60, must-revalidate")] {
        let front = Front::with(rules).await;
        let mut scenario = front.scenario();
        let sees = Sees::get("/p").header("authorization", ADA).answers(page("for all", control));
        let stored = Gets::status(200).body("for all").header_containing("cache-status", "stored; detail=miss");
        scenario.exchange("ada's is stored", with(ADA), sees, stored).await;
        for sends in [with(BOB), Sends::get("/p"), with(ADA)] {
            let hit = Gets::status(200).body("for all").header_containing("cache-status", "copal; hit");
            scenario.exchange("a hit", sends, Sees::nothing(), hit).await;
        }
        let front = Front::with(rules).await;
        let mut scenario = front.scenario();
        let sees = Sees::get("/p").answers(page("for all", control));
        scenario.exchange("a guest's", Sends::get("/p"), sees, Gets::status(200).body("for all")).await;
        scenario.exchange("is ada's too", with(ADA), Sees::nothing(), Gets::status(200).body("for all")).await;
    }
}

#[tokio::test]
async fn what_is_stale_is_validated_with_the_credentials_of_each() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let secret = || page("for members", "max-age=0, must-revalidate").header("etag", "\"1\"");
    let sees = Sees::get("/p").header("authorization", ADA).answers(secret());
    scenario.exchange("stored", with(ADA), sees, Gets::status(200).body("for members")).await;
    let checks = |who| Sees::get("/p").header("authorization", who).header("if-none-match", "\"1\"");
    let bob = checks(BOB).answers(Answer::status(304).header("etag", "\"1\""));
    let validated = Gets::status(200)
        .body("for members")
        .header_containing("cache-status", "fwd=stale; fwd-status=304; ttl=0; stored; detail=validated");
    scenario.exchange("bob may", with(BOB), bob, validated).await;
    let guest = Sees::get("/p").without("authorization").header("if-none-match", "\"1\"");
    let denied = guest.answers(Answer::status(401).header("cache-control", "no-store"));
    scenario.exchange("a guest may not", Sends::get("/p"), denied, Gets::status(401).body("")).await;
}

#[tokio::test]
async fn those_who_come_together_are_validated_each_by_itself() {
    let front = Front::with("").await;
    let secret = page("for members", "max-age=0, must-revalidate").header("etag", "\"1\"");
    front.origin.on("/p", secret);
    let mut client = front.client().await;
    client.get("/p").header("authorization", ADA).send().await;
    let (gate, confirmed) = Answer::gated(Answer::status(304));
    front.origin.replace("/p", confirmed);
    front.origin.on("/p", Answer::status(401));
    let first = front.spawn_get("/p");
    front.origin.wait_for(2).await;
    let second = front.spawn_get("/p");
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(second.await.unwrap().status, 401, "what the origin let one guest have is not the other's");
    assert_eq!(front.origin.count("/p"), 3);
}

#[tokio::test]
async fn a_refusal_for_one_takes_nothing_from_the_others() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let answer = page("for all", "public, max-age=10").header("etag", "\"1\"");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(answer), Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(11));
    let denied = Sees::get("/p").header("if-none-match", "\"1\"").answers(Answer::status(403));
    scenario.exchange("refused", with(BOB), denied, Gets::status(403)).await;
    let mine = Answer::status(304).header("etag", "\"1\"").header("cache-control", "private");
    let mine = Sees::get("/p").header("if-none-match", "\"1\"").answers(mine);
    scenario.exchange("confirmed for one", with(ADA), mine, Gets::status(200).body("for all")).await;
    let confirmed = Sees::get("/p").header("if-none-match", "\"1\"").answers(Answer::status(304));
    scenario.exchange("what was stored is there", Sends::get("/p"), confirmed, Gets::status(200).body("for all")).await;
}

#[tokio::test]
async fn authorized_requests_are_not_collapsed_nor_wait_for_others() {
    let front = Front::with(PAGES).await;
    let (gate, held) = Answer::gated("guest");
    front.origin.replace("/p", held);
    let guest = front.spawn_get("/p");
    front.origin.wait_for(1).await;
    front.origin.replace(
        "/p",
        Answer::from_fn(|request| Answer::ok(request.header("authorization").unwrap_or("guest").to_owned())),
    );
    let mut client = front.client().await;
    for who in [ADA, BOB] {
        assert_eq!(client.get("/p").header("authorization", who).send().await.text(), who, "while a fill is under way");
    }
    gate.open();
    assert_eq!(guest.await.unwrap().text(), "guest");
    assert_eq!(front.get("/p").await.text(), "guest");
    assert_eq!(front.origin.count("/p"), 3);
}

#[tokio::test]
async fn vary_on_authorization_tells_them_apart() {
    let front = Front::with(PAGES).await;
    front.origin.on(
        "/p",
        Answer::from_fn(|request| {
            let who = request.header("authorization").unwrap_or("guest").to_owned();
            Answer::ok(who).header("cache-control", "public").header("vary", "Authorization")
        }),
    );
    let mut client = front.client().await;
    for _ in 0..2 {
        for who in [ADA, BOB] {
            assert_eq!(client.get("/p").header("authorization", who).send().await.text(), who);
        }
        assert_eq!(client.get("/p").send().await.text(), "guest");
    }
    assert_eq!(front.origin.count("/p"), 3);
}

#[tokio::test]
async fn fragments_are_requests_of_their_own() {
    let front =
        Front::with(&format!("{PAGES}\nesi: {{max_depth: 2}}").replace("ttl: 1h}", "ttl: 1h}, esi: true")).await;
    let html = |body: &str, control: &str| page("", control).body(body.to_owned()).header("content-type", "text/html");
    front.origin.on("/page", html("<esi:include src='/own'/> <esi:include src='/menu'/>", "public"));
    front.origin.on("/menu", html("menu", "public"));
    front.origin.on(
        "/own",
        Answer::from_fn(|request| Answer::ok(request.header("authorization").unwrap_or("guest").to_owned())),
    );
    let mut client = front.client().await;
    for _ in 0..2 {
        for who in [ADA, BOB] {
            let got = client.get("/page").header("authorization", who).send().await;
            assert_eq!(got.text(), format!("{who} menu"));
        }
        assert_eq!(client.get("/page").send().await.text(), "guest menu");
    }
    let counts = ["/page", "/menu", "/own"].map(|path| front.origin.count(path));
    assert_eq!(counts, [1, 1, 5], "each of the two asks for her own, twice; the guests' is stored");
}

#[tokio::test]
async fn a_range_of_what_may_be_one_visitors_is_let_through() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let part = Answer::status(206).header("content-range", "bytes 0-1/4").body("ab");
    let sees = Sees::get("/p").header("range", "bytes=0-1").header("authorization", ADA).answers(part);
    scenario.exchange("a part", with(ADA).header("range", "bytes=0-1"), sees, Gets::status(206).body("ab")).await;
}

#[tokio::test]
async fn a_rule_makes_nothing_of_a_response_to_authorization_that_the_origin_did_not_say() {
    for (cache, control) in [
        ("{ttl: 1h}", "max-age=0, must-revalidate"),
        ("{ttl: 1h}", "s-maxage=0"),
        ("{min_ttl: 1h}", "max-age=0, must-revalidate"),
        ("{status_ttl: {200: 1h}}", "s-maxage=0"),
        ("{default_ttl: 1h}", "must-revalidate"),
        ("{grace: 1h, override: [must-revalidate]}", "max-age=0, must-revalidate"),
        ("{grace: 1h}", "s-maxage=0"),
        ("{ttl: 1h, override: [no-cache]}", "no-cache, must-revalidate, max-age=0"),
        ("{ttl: 1h, override: [private]}", "private, must-revalidate, max-age=60"),
        ("{ttl: 1h, override: [no-store]}", "no-store, public, s-maxage=60"),
    ] {
        let front = Front::with(&format!("rules: [{{name: pages, cache: {cache}}}]")).await;
        let mut scenario = front.scenario();
        let secret = || page("ada's", control).header("etag", "\"1\"");
        let sees = Sees::get("/p").header("authorization", ADA).answers(secret());
        scenario.exchange(&format!("{cache} {control}"), with(ADA), sees, Gets::status(200).body("ada's")).await;
        let denied = Sees::get("/p").without("authorization").answers(Answer::status(401));
        scenario.exchange("a guest asks the origin", Sends::get("/p"), denied, Gets::status(401).body("")).await;
        scenario.exchange("bob too", with(BOB), Sees::get("/p").answers(Answer::status(403)), Gets::status(403)).await;
    }
}

#[tokio::test]
async fn a_set_cookie_of_an_authorized_response_is_shared_by_no_rule() {
    for word in ["set-cookie", "share-set-cookie"] {
        let front = Front::with(&format!("rules: [{{name: pages, cache: {{ttl: 1h, override: [{word}]}}}}]")).await;
        let mut scenario = front.scenario();
        let login = page("hello ada", "public, max-age=60").header("set-cookie", "id=ada");
        let gets = Gets::status(200).header_containing("set-cookie", "id=ada");
        scenario.exchange("ada logs in", with(ADA), Sees::get("/p").answers(login), gets).await;
        let gets = Gets::status(200).body("guest").without("set-cookie");
        scenario.exchange("a guest", Sends::get("/p"), Sees::get("/p").answers(Answer::ok("guest")), gets).await;
    }
}

#[tokio::test]
async fn what_a_rule_keeps_for_guests_is_not_for_authorized_requests() {
    for (cache, control) in [
        ("{ttl: 1h}", "max-age=0, must-revalidate"),
        ("{ttl: 1h}", "s-maxage=0"),
        ("{ttl: 1h, override: [private]}", "private, must-revalidate, max-age=3600"),
        ("{ttl: 1h, override: [no-store]}", "no-store, public"),
        ("{ttl: 1h, override: [no-cache]}", "no-cache, must-revalidate, max-age=0"),
    ] {
        let front = Front::with(&format!("rules: [{{name: pages, cache: {cache}}}]")).await;
        let mut scenario = front.scenario();
        let guests = page("for guests", control);
        let gets = || Gets::status(200).body("for guests");
        scenario
            .exchange(&format!("{cache} {control}"), Sends::get("/p"), Sees::get("/p").answers(guests), gets())
            .await;
        scenario.exchange("stored", Sends::get("/p"), Sees::nothing(), gets()).await;
        let ada = Sees::get("/p").header("authorization", ADA).answers(page("ada's", "private"));
        scenario.exchange("ada has her own", with(ADA), ada, Gets::status(200).body("ada's")).await;
        scenario.exchange("and the guests theirs", Sends::get("/p"), Sees::nothing(), gets()).await;
    }
}

#[tokio::test]
async fn many_authorized_requests_begin_one_refresh() {
    let front = Front::with("rules: [{name: pages, cache: {grace: 1h}}]").await;
    front.origin.on("/p", page("old", "public, max-age=10"));
    let (gate, held) = Answer::gated(page("new", "public, max-age=10"));
    front.origin.on("/p", held);
    let mut client = front.client().await;
    client.get("/p").header("authorization", ADA).send().await;
    front.clock.advance(Duration::from_secs(11));
    for who in [ADA, BOB, ADA, BOB, ADA] {
        assert_eq!(client.get("/p").header("authorization", who).send().await.text(), "old");
        front.origin.wait_for(2).await;
    }
    let guest = front.get("/p").await;
    assert_eq!(guest.text(), "old", "a guest does not wait for it");
    gate.open();
    front.until(|| async { client_text(&front, BOB).await == "new" }).await;
    let asked = front.origin.count("/p");
    assert!(asked <= 3, "one refresh for those with Authorization, and at most one for guests: {asked}");
}

#[tokio::test]
async fn that_one_visitor_asks_too_often_keeps_nobody_else_from_a_refresh() {
    let front = Front::with("rules: [{name: pages, cache: {grace: 1h}}]").await;
    front.origin.on("/p", page("old", "public, max-age=10"));
    front.origin.on("/p", Answer::status(429));
    front.origin.on("/p", page("new", "public, max-age=10"));
    front.get("/p").await;
    front.clock.advance(Duration::from_secs(11));
    assert_eq!(client_text(&front, ADA).await, "old");
    front.origin.wait_for(2).await;
    front.until(|| async { front.get("/p").await.text() == "new" }).await;
}

async fn client_text(front: &Front, who: &str) -> String {
    front.client().await.get("/p").header("authorization", who).send().await.text().to_owned()
}
