//! What policies say beyond rules and lifetimes: sessions by value, conditions on responses, cookies that are stripped,
//! fields that are set and removed.

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

#[tokio::test]
async fn an_empty_basket_is_no_session_and_a_full_one_is_nobody_elses() {
    let front = Front::with(
        "sessions: {cookies: [{name: cart, except: ['', '0']}]}
rules: [{name: pages, cache: {ttl: 1h}}]",
    )
    .await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "with an empty basket the page is everybody's, and the origin does not see it",
            Sends::get("/p").header("cookie", "cart=0"),
            Sees::get("/p").without("cookie").answers(Answer::ok("empty")),
            Gets::status(200).body("empty").header_containing("cache-status", "stored"),
        )
        .await;
    scenario
        .exchange(
            "with something in it the page is this visitor's",
            Sends::get("/p").header("cookie", "cart=3"),
            Sees::get("/p").header("cookie", "cart=3").answers(Answer::ok("three")),
            Gets::status(200).body("three").header_containing("cache-status", "detail=session-cookie"),
        )
        .await;
    let sends = Sends::get("/p").header("cookie", "cart=");
    scenario.exchange("hit", sends, Sees::nothing(), Gets::status(200).body("empty")).await;
}

#[tokio::test]
async fn a_page_under_the_name_of_an_image_is_not_kept_as_one() {
    let front = Front::with(
        "rules: [{name: files, sessions: ignore, cache: {ttl: 1h, store_if: {content_type: ['image/*']}}}]",
    )
    .await;
    let mut scenario = front.scenario();
    for body in ["account of ada", "account of bob"] {
        scenario
            .exchange(
                "a page",
                Sends::get("/account/x.png"),
                Sees::get("/account/x.png").answers(Answer::ok(body).header("content-type", "text/html")),
                Gets::status(200).body(body).header_containing("cache-status", "detail="),
            )
            .await;
    }
    let image = Answer::ok("png").header("content-type", "image/png");
    let stored = Gets::status(200).body("png").header_containing("cache-status", "stored");
    scenario.exchange("an image", Sends::get("/y.png"), Sees::get("/y.png").answers(image), stored).await;
    let hit = Gets::status(200).body("png").header_containing("cache-status", "hit");
    scenario.exchange("from the store", Sends::get("/y.png"), Sees::nothing(), hit).await;
}

#[tokio::test]
async fn a_rule_keeps_responses_out_and_says_so() {
    let front = Front::with(
        "rules: [{name: p, cache: {ttl: 1h, key: {headers: [X-Id]}, \
         store_if: {same_as_request: X-Id}, store_unless: {status: 404, header: {X-Bypass: '1'}}}}]",
    )
    .await;
    let mut scenario = front.scenario();
    for (why, answer) in [
        ("by status", Answer::status(404).header("x-id", "7")),
        ("by a field", Answer::ok("x").header("x-bypass", "1").header("x-id", "7")),
        ("for want of the same field", Answer::ok("x").header("x-id", "8")),
    ] {
        let path = format!("/{}", why.len());
        let gets = if why == "by status" { Gets::status(404) } else { Gets::status(200) };
        scenario
            .exchange(
                why,
                Sends::get(&path).header("x-id", "7"),
                Sees::get(&path).header("x-id", "7").answers(answer),
                gets.header_containing("cache-status", "detail=not-stored-rule"),
            )
            .await;
    }
    let answer = Answer::ok("x").header("x-id", "7");
    let stored = Gets::status(200).header_containing("cache-status", "stored");
    let sends = || Sends::get("/ok").header("x-id", "7");
    scenario.exchange("all is well", sends(), Sees::get("/ok").answers(answer), stored).await;
    scenario.exchange("hit", sends(), Sees::nothing(), Gets::status(200).body("x")).await;
}

#[tokio::test]
async fn a_304_that_says_bypass_takes_the_page_out() {
    let front = Front::with("rules: [{name: p, cache: {ttl: 1m, store_unless: {header: {X-Bypass: '1'}}}}]").await;
    let mut scenario = front.scenario();
    let page = Answer::ok("x").header("etag", "\"1\"");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page), Gets::status(200).body("x")).await;
    front.clock.advance(std::time::Duration::from_secs(61));
    for _ in 0..2 {
        scenario
            .exchange(
                "confirmed, and not to be kept",
                Sends::get("/p"),
                Sees::get("/p").answers(Answer::from_fn(|request| match request.header("if-none-match") {
                    Some(_) => Answer::status(304).header("etag", "\"1\"").header("x-bypass", "1"),
                    None => Answer::ok("y").header("x-bypass", "1"),
                })),
                Gets::status(200),
            )
            .await;
    }
    assert_eq!(front.origin.count("/p"), 3);
}

#[tokio::test]
async fn named_cookies_are_stripped_and_any_other_keeps_the_page_out() {
    let front = Front::with(
        "sessions: {cookies: [sid]}
rules: [{name: p, cache: {ttl: 1h, strip_cookies: [PHPSESSID, seen]}}]",
    )
    .await;
    let mut scenario = front.scenario();
    let harmless = Answer::ok("x").header("set-cookie", "PHPSESSID=1; path=/").header("set-cookie", "seen=1");
    scenario
        .exchange(
            "stored, and nobody is sent the cookie",
            Sends::get("/a"),
            Sees::get("/a").answers(harmless),
            Gets::status(200).body("x").without("set-cookie").header_containing("cache-status", "stored"),
        )
        .await;
    let hit = Gets::status(200).body("x").without("set-cookie");
    scenario.exchange("hit", Sends::get("/a"), Sees::nothing(), hit).await;
    for cookie in ["sid=1", "other=1", "broken"] {
        let answer = Answer::ok("y").header("set-cookie", "PHPSESSID=1").header("set-cookie", cookie);
        scenario
            .exchange(
                "not stored, and its client gets all of it",
                Sends::get("/b"),
                Sees::get("/b").answers(answer),
                Gets::status(200).body("y").header("set-cookie", "PHPSESSID=1"),
            )
            .await;
    }
    let stated = Answer::ok("z").header("set-cookie", "PHPSESSID=1").header("cache-control", "private");
    let private = Gets::status(200).header("set-cookie", "PHPSESSID=1").header_containing("cache-status", "detail=");
    scenario.exchange("private stays so", Sends::get("/c"), Sees::get("/c").answers(stated), private).await;
}

#[tokio::test]
async fn what_comes_for_credentials_keeps_its_cookies_and_is_not_stored() {
    let front = Front::with("rules: [{name: p, cache: {ttl: 1h, strip_cookies: [PHPSESSID]}}]").await;
    let mut scenario = front.scenario();
    let answer = || Answer::ok("x").header("set-cookie", "PHPSESSID=1").header("cache-control", "public, max-age=60");
    for _ in 0..2 {
        scenario
            .exchange(
                "for its client alone",
                Sends::get("/p").header("authorization", "Basic eDp5"),
                Sees::get("/p").answers(answer()),
                Gets::status(200)
                    .header("set-cookie", "PHPSESSID=1")
                    .header_containing("cache-status", "detail=set-cookie"),
            )
            .await;
    }
}

#[tokio::test]
async fn fields_are_set_and_removed_on_both_ways() {
    let front = Front::with(
        "rules:
  - {name: a, match: {header: {X-Tenant: a}}, cache: {ttl: 1h}, request: {set: {X-Site: a}, remove: [X-Tenant]}}
  - {name: p, match: {path: /pass}, pass: true, request: {set: {X-Site: p}}, response: {set: {X-Frame-Options: DENY}}}
  - {name: b, cache: {ttl: 1h}, response: {set: {Pragma: no-cache}, remove: [Server, Link]}}",
    )
    .await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "a rule that changes what the origin sees",
            Sends::get("/p").header("x-tenant", "a").header("x-site", "forged"),
            Sees::get("/p").header("x-site", "a").without("x-tenant").answers(Answer::ok("of a")),
            Gets::status(200).body("of a").without("pragma"),
        )
        .await;
    let of_b = Answer::ok("of b").header("server", "php").header("link", "</a>; rel=x").header("x-more", "1");
    scenario
        .exchange(
            "has responses of its own",
            Sends::get("/p"),
            Sees::get("/p").without("x-site").answers(of_b),
            Gets::status(200)
                .body("of b")
                .header("pragma", "no-cache")
                .without("server")
                .without("link")
                .header("x-more", "1"),
        )
        .await;
    scenario
        .exchange(
            "on a hit too",
            Sends::get("/p"),
            Sees::nothing(),
            Gets::status(200).body("of b").header("pragma", "no-cache").without("server").without("link"),
        )
        .await;
    scenario
        .exchange(
            "and on what passes",
            Sends::get("/pass"),
            Sees::get("/pass").header("x-site", "p").answers(Answer::ok("x")),
            Gets::status(200).header("x-frame-options", "DENY"),
        )
        .await;
}

#[tokio::test]
async fn plug_ins_made_for_varnish_see_what_they_look_for() {
    let front =
        Front::with("sessions: {cookies: [sid]}\nrules: [{name: p, cache: {ttl: 1h}, response: {compat: varnish}}]")
            .await;
    let mut scenario = front.scenario();
    let stored = Gets::status(200).header("x-cacheable", "YES").header("x-varnish", "1");
    scenario.exchange("a miss", Sends::get("/p"), Sees::get("/p").answers(Answer::ok("x")), stored).await;
    front.clock.advance(std::time::Duration::from_secs(5));
    let hit = Gets::status(200).header("x-cacheable", "YES").header("x-varnish", "2 1").header("age", "5");
    scenario.exchange("a hit", Sends::get("/p"), Sees::nothing(), hit).await;
    scenario
        .exchange(
            "a session",
            Sends::get("/p").header("cookie", "sid=1"),
            Sees::get("/p").answers(Answer::ok("y").header("x-cacheable", "YES")),
            Gets::status(200).header("x-cacheable", "NO:session-cookie"),
        )
        .await;
}

#[tokio::test]
async fn what_is_not_stored_is_asked_again_with_the_cookies_that_it_is_made_from() {
    let front = Front::with(
        "sessions: {ignore: [PHPSESSID, seen]}
rules: [{name: p, cache: {default_ttl: 1h, strip_cookies: [PHPSESSID], ask_again_with: [PHPSESSID]}}]",
    )
    .await;
    let mut scenario = front.scenario();
    let ada = || Sends::get("/p").header("cookie", "seen=1; PHPSESSID=ada");
    let without = || Sees::get("/p").without("cookie");
    let with = || Sees::get("/p").header("cookie", "seen=1; PHPSESSID=ada");
    let private = |body: &str| Answer::ok(body.to_owned()).header("cache-control", "private");
    let anew = |body: &str| private(body).header("set-cookie", "PHPSESSID=anew");
    let hers = || Gets::status(200).body("ada's").without("set-cookie");
    scenario
        .exchange("again", ada(), [without().answers(anew("nobody's")), with().answers(private("ada's"))], hers())
        .await;
    scenario
        .exchange(
            "at once, while it is remembered that it was not stored",
            ada(),
            with().answers(private("ada's")),
            hers(),
        )
        .await;
    let other = Sends::get("/p").header("cookie", "seen=1");
    let given = Gets::status(200).body("nobody's").header("set-cookie", "PHPSESSID=anew");
    scenario.exchange("not with other cookies", other, without().answers(anew("nobody's")), given).await;
    let head = Sends::request("HEAD", "/p").header("cookie", "seen=1; PHPSESSID=ada");
    let sees = Sees::request("HEAD", "/p").header("cookie", "seen=1; PHPSESSID=ada").answers(private(""));
    scenario.exchange("nor is HEAD given another session", head, sees, Gets::status(200).without("set-cookie")).await;

    front.clock.advance(std::time::Duration::from_secs(11));
    let failing = Answer::status(503).header("set-cookie", "PHPSESSID=anew");
    scenario
        .exchange(
            "an origin in trouble is asked once",
            ada(),
            without().answers(failing),
            Gets::status(503).without("set-cookie"),
        )
        .await;
    let all = || Answer::ok("everybody's").header("set-cookie", "PHPSESSID=anew");
    let stored =
        Gets::status(200).body("everybody's").without("set-cookie").header_containing("cache-status", "stored");
    scenario.exchange("what is stored is made without", ada(), without().answers(all()), stored).await;
    let hit = Gets::status(200).body("everybody's").without("set-cookie").header_containing("cache-status", "hit");
    scenario.exchange("and is for everybody", Sends::get("/p"), Sees::nothing(), hit).await;
}
