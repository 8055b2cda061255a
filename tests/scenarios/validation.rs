//! What is stored is asked about, confirmed, and freshened: by 304 (RFC 9111 §4.3.3, §4.3.4) and by HEAD (§4.3.5); and how
//! often an origin in trouble is asked.

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {}}]";

fn page(body: &'static str, tag: &str) -> Answer {
    Answer::ok(body).header("cache-control", "max-age=10").header("etag", tag)
}

fn confirmed(tag: &str) -> Answer {
    Answer::status(304).header("cache-control", "max-age=10").header("etag", tag)
}

fn in_language(language: &str) -> Sends {
    Sends::get("/p").header("x-language", language)
}

/// Stores /p in three languages, of which the first two have the same content.
async fn in_three_languages(front: &Front) {
    let mut scenario = front.scenario();
    for (language, body, tag) in [("de", "gleich", "\"1\""), ("at", "gleich", "\"1\""), ("en", "same", "\"2\"")] {
        // The answer to a request that names tags: that of another variant is of no use to it here.
        let answer = page(body, tag).header("vary", "x-language");
        let sees = Sees::get("/p").header("x-language", language).answers(answer);
        scenario.exchange("stored", in_language(language), sees, Gets::status(200).body(body)).await;
    }
}

/// §4.3.4: only what could have been chosen for the request is updated. A 304 says what is so for this visitor.
#[tokio::test]
async fn rfc9111_s4_3_4_what_a_304_says_to_one_visitor_changes_nothing_that_others_get() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let from = |origin: &str| Sends::get("/p").header("origin", origin);
    let sees = |origin: &str| Sees::get("/p").header("origin", origin);
    let allowing = |answer: Answer, origin: &str| {
        answer.header("vary", "origin").header("access-control-allow-origin", origin).header("etag", "\"1\"")
    };
    let gets = |origin: &str| Gets::status(200).body("data").header("access-control-allow-origin", origin);
    let (good, evil) = ("https://good.example", "https://evil.example");
    let first = allowing(Answer::ok("data").header("cache-control", "max-age=10"), good);
    scenario.exchange("stored for one", from(good), sees(good).answers(first), gets(good)).await;

    let same = || allowing(Answer::status(304).header("cache-control", "max-age=10"), evil);
    let asks = || sees(evil).header("if-none-match", "\"1\"");
    scenario.exchange("good for another", from(evil), asks().answers(same()), gets(evil)).await;
    scenario.exchange("as it was for the first", from(good), Sees::nothing(), gets(good)).await;

    front.clock.advance(Duration::from_secs(11));
    scenario.exchange("confirmed for the other", from(evil), asks().answers(same()), gets(evil)).await;
    let own = allowing(Answer::status(304).header("cache-control", "max-age=10"), good);
    scenario.exchange("the first asks for itself", from(good), sees(good).answers(own), gets(good)).await;
    scenario.exchange("both are stored", from(evil), Sees::nothing(), gets(evil)).await;
    scenario.exchange("each as it is", from(good), Sees::nothing(), gets(good)).await;

    let third = "https://third.example";
    let unkept = allowing(Answer::status(304).header("cache-control", "private"), third);
    scenario.exchange("not to be kept for a third", from(third), sees(third).answers(unkept), gets(third)).await;
    scenario.exchange("takes nothing away", from(good), Sees::nothing(), gets(good)).await;
    scenario.exchange("from anybody", from(evil), Sees::nothing(), gets(evil)).await;
}

#[tokio::test]
async fn rfc9111_s4_1_a_variant_that_is_stored_for_others_is_as_good_if_the_origin_says_so() {
    let front = Front::with(PAGES).await;
    in_three_languages(&front).await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "the tags of all variants, each once, the newest first",
            in_language("ch"),
            Sees::get("/p")
                .header("if-none-match", "\"2\", \"1\"")
                .without("if-modified-since")
                .answers(confirmed("\"1\"")),
            Gets::status(200)
                .body("gleich")
                .header_containing("cache-status", "copal; fwd=vary-miss; fwd-status=304;")
                .header_containing("cache-status", "detail=validated"),
        )
        .await;
    let hit = || Gets::status(200).header_containing("cache-status", "copal; hit");
    for (language, body) in [("ch", "gleich"), ("de", "gleich"), ("en", "same")] {
        scenario.exchange("stored for both", in_language(language), Sees::nothing(), hit().body(body)).await;
    }
    // The client's own condition is evaluated on what it comes to.
    scenario
        .exchange(
            "a client that has it",
            in_language("li").header("if-none-match", "\"1\""),
            Sees::get("/p").header("if-none-match", "\"1\", \"2\"").answers(confirmed("\"1\"")),
            Gets::status(304).header("etag", "\"1\""),
        )
        .await;
    scenario
        .exchange(
            "none of them",
            in_language("fr"),
            Sees::get("/p").answers(page("autre", "\"3\"").header("vary", "x-language")),
            Gets::status(200).body("autre").header_containing("cache-status", "fwd=vary-miss; fwd-status=200; stored"),
        )
        .await;
}

#[tokio::test]
async fn rfc9111_s4_3_3_a_304_without_a_tag_can_only_be_about_the_one_that_was_asked_about() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let first = page("a", "\"1\"").header("vary", "x-language");
    let sends = in_language("de");
    scenario.exchange("stored", sends, Sees::get("/p").answers(first), Gets::status(200)).await;
    scenario
        .exchange(
            "an origin that leaves the tag out",
            in_language("at"),
            Sees::get("/p").header("if-none-match", "\"1\"").answers(Answer::status(304)),
            Gets::status(200).body("a").header_containing("cache-status", "detail=validated"),
        )
        .await;
}

#[tokio::test]
async fn variants_are_not_asked_about_where_they_could_not_be_given() {
    let front = Front::with(
        "rules:
  - {name: editions, match: {path: '/p'}, cache: {key: {headers: [x-edition]}}}
  - {name: pages, cache: {}}",
    )
    .await;
    let mut scenario = front.scenario();
    let edition = |edition| Sends::get("/p").header("x-edition", edition);
    let fetched = |body| Gets::status(200).body(body);
    let sees = |body: &'static str| Sees::get("/p").without("if-none-match").answers(page(body, "\"1\""));
    scenario.exchange("one edition", edition("a"), sees("a"), fetched("a")).await;
    scenario.exchange("what the rule keys is another page", edition("b"), sees("b"), fetched("b")).await;

    let gzip = page("GZIP", "\"g\"").header("content-encoding", "gzip").header("vary", "accept-encoding");
    let sends = Sends::get("/z").header("accept-encoding", "gzip");
    scenario.exchange("encoded", sends, Sees::get("/z").answers(gzip), fetched("GZIP")).await;
    let sees =
        Sees::get("/z").without("if-none-match").answers(page("plain", "\"p\"").header("vary", "accept-encoding"));
    scenario.exchange("to a client that takes no gzip", Sends::get("/z"), sees, fetched("plain")).await;

    let weak = page("weak", "W/\"1\"").header("vary", "x-language");
    let sends = |language| Sends::get("/w").header("x-language", language);
    let sees = || Sees::get("/w").without("if-none-match").answers(weak.clone());
    scenario.exchange("a weak tag", sends("de"), sees(), fetched("weak")).await;
    scenario.exchange("may stand for several representations", sends("en"), sees(), fetched("weak")).await;

    let public = page("public", "\"1\"").header("vary", "x-language").header("cache-control", "public");
    let sends = |language| Sends::get("/a").header("x-language", language);
    scenario.exchange("for all", sends("de"), Sees::get("/a").answers(public.clone()), fetched("public")).await;
    let sees = Sees::get("/a").header("authorization", "Basic YTpi").without("if-none-match").answers(public);
    let sends = sends("en").header("authorization", "Basic YTpi");
    scenario.exchange("with Authorization it may be somebody's own", sends, sees, fetched("public")).await;
}

#[tokio::test]
async fn a_304_that_names_nothing_of_ours_is_asked_again_once() {
    let front = Front::with(PAGES).await;
    in_three_languages(&front).await;
    let other = || page("autre", "\"3\"").header("vary", "x-language");
    for (language, useless) in [("fr", confirmed("\"9\"")), ("it", confirmed("W/\"1\"")), ("es", Answer::status(304))] {
        let before = front.origin.requests().len();
        front.origin.replace("/p", useless.once());
        front.origin.on("/p", other().once());
        let got = front.client().await.get("/p").header("x-language", language).send().await;
        assert_eq!((got.status, got.text()), (200, "autre"), "{language}");
        let seen = front.origin.requests().split_off(before);
        let conditions: Vec<_> = seen.iter().map(|request| request.header("if-none-match").is_some()).collect();
        assert_eq!(conditions, [true, false], "{language}");
    }
    // Without any condition: an origin that is broken, and is not asked for ever.
    front.origin.on("/q", Answer::status(304));
    let got = front.get("/q").await;
    assert_eq!((got.status, front.origin.count("/q")), (502, 2));
    assert!(got.header("cache-status").unwrap().contains("detail=origin-protocol"));
}

#[tokio::test]
async fn the_fields_of_a_304_update_what_is_stored_but_not_what_describes_its_content() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let stored = page("body", "\"1\"")
        .header("content-type", "text/plain")
        .header("content-md5", "old")
        .header("repr-digest", "sha-256=:b2xk:")
        .header("x-kept", "old")
        .header("x-news", "old");
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(stored), Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(11));
    let news = confirmed("\"2\"")
        .header("content-type", "text/html")
        .header("content-md5", "new")
        .header("content-encoding", "br")
        .header("repr-digest", "sha-256=:bmV3:")
        .header("set-cookie", "a=b")
        .header("x-news", "new");
    let gets = || {
        Gets::status(200)
            .body("body")
            .header("etag", "\"1\"")
            .header("content-type", "text/html")
            .header("content-md5", "old")
            .header("repr-digest", "sha-256=:b2xk:")
            .header("x-kept", "old")
            .header("x-news", "new")
            .without("content-encoding")
            .without("set-cookie")
    };
    // It was sent alone, so that the 304 is about it whatever tag it has.
    let sees = Sees::get("/p").header("if-none-match", "\"1\"").answers(news);
    scenario.exchange("confirmed", Sends::get("/p"), sees, gets()).await;
    scenario.exchange("hit", Sends::get("/p"), Sees::nothing(), gets()).await;
}

#[tokio::test]
async fn the_vary_of_a_304_takes_the_place_of_the_stored_one() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let sends = |edition| Sends::get("/p").header("x-edition", edition);
    let stored = Sees::get("/p").answers(page("night", "\"n\""));
    scenario.exchange("stored for all", sends("night"), stored, Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(11));
    let sees = Sees::get("/p").header("if-none-match", "\"n\"").answers(confirmed("\"n\"").header("vary", "x-edition"));
    scenario.exchange("confirmed for one", sends("night"), sees, Gets::status(200).body("night")).await;
    let gets = Gets::status(200).body("night").header_containing("cache-status", "copal; hit");
    scenario.exchange("hit", sends("night"), Sees::nothing(), gets).await;
    let sees =
        Sees::get("/p").header("if-none-match", "\"n\"").answers(page("day", "\"d\"").header("vary", "x-edition"));
    scenario.exchange("another edition", sends("day"), sees, Gets::status(200).body("day")).await;
}

#[tokio::test]
async fn tags_and_groups_of_a_304_take_the_place_of_the_stored_ones() {
    let front = Front::with("cache: {tag_headers: [x-tags]}\nrules: [{name: pages, cache: {}}]").await;
    let tagged = |answer: Answer, tag: &str, group: &str| {
        answer.header("x-tags", tag).header("cache-groups", format!("\"{group}\""))
    };
    let mut client = front.client().await;
    let mut asked = 0;
    for (invalidation, still) in [("old", true), ("new", false)] {
        for of_a_group in [false, true] {
            let path = format!("/{invalidation}-{of_a_group}");
            front.origin.on(&path, tagged(page("x", "\"1\""), "old-tag", "old-group").once());
            front.origin.on(&path, tagged(confirmed("\"1\""), "new-tag", "new-group").once());
            front.origin.on(&path, page("fetched anew", "\"2\""));
            client.get(&path).send().await;
            front.clock.advance(Duration::from_secs(11));
            assert_eq!(client.get(&path).send().await.text(), "x");
            if of_a_group {
                asked += 1;
                let group = format!("\"{invalidation}-group\"");
                let done = Answer::status(204).header("cache-group-invalidation", group);
                front.origin.replace("POST /edit", done);
                client.post("/edit", "x").send().await;
            } else {
                front.purge_tag(&format!("{invalidation}-tag"));
            }
            assert_eq!(client.get(&path).send().await.text() == "x", still, "{path}");
        }
    }
    assert_eq!(front.origin.count("POST /edit"), asked);
}

#[tokio::test]
async fn a_confirmed_response_that_is_not_to_be_kept_any_more_is_given_once() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    scenario.exchange("stored", Sends::get("/p"), Sees::get("/p").answers(page("x", "\"1\"")), Gets::status(200)).await;
    front.clock.advance(Duration::from_secs(11));
    let sees = Sees::get("/p")
        .header("if-none-match", "\"1\"")
        .answers(Answer::status(304).header("cache-control", "private").header("etag", "\"1\""));
    let gets = Gets::status(200).body("x").header("cache-control", "private");
    scenario.exchange("confirmed", Sends::get("/p"), sees, gets).await;
    let sees = Sees::get("/p").without("if-none-match").answers(page("y", "\"2\""));
    scenario.exchange("and gone", Sends::get("/p"), sees, Gets::status(200).body("y")).await;
}

fn head() -> Sends {
    Sends::request("HEAD", "/p")
}

fn sees_head() -> Sees {
    Sees::request("HEAD", "/p")
}

#[tokio::test]
async fn head_that_finds_nothing_is_forwarded_as_head_and_stores_nothing() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let answer = || page("", "\"1\"").header("content-length", "5");
    for _ in 0..2 {
        let gets = Gets::status(200)
            .body("")
            .header("content-length", "5")
            .header("cache-status", "copal; fwd=uri-miss; fwd-status=200; detail=miss");
        scenario.exchange("head", head(), sees_head().answers(answer()), gets).await;
    }
    let sees = sees_head().without("if-none-match").answers(answer());
    let gets = Gets::status(304).header("etag", "\"1\"");
    scenario.exchange("the client's condition is ours", head().header("if-none-match", "\"1\""), sees, gets).await;
    let sees = Sees::get("/p").answers(page("12345", "\"1\""));
    scenario.exchange("get", Sends::get("/p"), sees, Gets::status(200).body("12345")).await;
    let gets = Gets::status(200).body("").header("content-length", "5").header_containing("cache-status", "copal; hit");
    scenario.exchange("head of what is stored", head(), Sees::nothing(), gets).await;
}

#[tokio::test]
async fn head_waits_for_no_get_and_no_get_for_it() {
    let front = Front::with(PAGES).await;
    let (gate, get) = Answer::gated(page("12345", "\"1\""));
    front.origin.on("GET /p", get);
    front.origin.on("HEAD /p", page("", "\"1\"").header("content-length", "5"));
    let fetching = front.spawn_get("/p");
    front.origin.wait_for(1).await;
    assert_eq!(front.client().await.head("/p").send().await.status, 200);
    gate.open();
    assert_eq!(fetching.await.unwrap().text(), "12345");
}

#[tokio::test]
async fn rfc9111_s4_3_5_head_freshens_what_agrees_with_it() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let stored = || Sees::get("/p").answers(page("12345", "\"1\"").header("x-kept", "old").header("x-news", "old"));
    scenario.exchange("stored", Sends::get("/p"), stored(), Gets::status(200)).await;
    for (name, answer) in [
        ("by 200", page("", "\"1\"").header("content-length", "5").header("x-news", "new")),
        ("by 304", confirmed("\"1\"").header("x-news", "new")),
    ] {
        front.clock.advance(Duration::from_secs(11));
        let sees = sees_head().header("if-none-match", "\"1\"").answers(answer);
        let gets = || {
            Gets::status(200).header("etag", "\"1\"").header("x-kept", "old").header("x-news", "new").header("age", "0")
        };
        let validated = gets().body("").header("content-length", "5").header_containing("cache-status", "validated");
        scenario.exchange(name, head(), sees, validated).await;
        let hit = gets().body("12345").header_containing("cache-status", "copal; hit; ttl=10");
        scenario.exchange("fresh again", Sends::get("/p"), Sees::nothing(), hit).await;
    }
}

#[tokio::test]
async fn rfc9111_s4_3_5_head_makes_stale_what_does_not_agree_with_it() {
    // Within grace, so that it is seen whether a GET takes what is stored for stale.
    let yaml = "rules: [{name: pages, cache: {}, match: {path: '/**'}}]\ncache: {revalidate_allow: ['127.0.0.0/8']}";
    for (head, stale) in [
        (page("", "\"2\""), true),
        (page("", "\"1\"").header("content-length", "6"), true),
        (page("", "\"1\"").header("last-modified", "Tue, 14 Nov 2023 00:00:00 GMT"), true),
        (Answer::status(410), true),
        // Nothing tells; and what is said of another status is not said of the page.
        (Answer::status(200).header("content-length", "5"), false),
        (Answer::status(404), false),
        (Answer::status(503), false),
        (Answer::status(405), false),
    ] {
        let front = Front::with(yaml).await;
        front.origin.on("GET /p", page("12345", "\"1\"").once());
        front.origin.on("GET /p", page("new", "\"2\""));
        front.origin.on("HEAD /p", head.clone());
        let mut client = front.client().await;
        client.get("/p").send().await;
        // It is fresh; the client wants to know.
        let status = client.head("/p").header("cache-control", "no-cache").send().await.status;
        assert_eq!(front.origin.last().method, "HEAD");
        let then = client.get("/p").send().await;
        assert_eq!(then.text(), if stale { "new" } else { "12345" }, "{status} {head:?}");
    }
}

#[tokio::test]
async fn what_is_purged_while_a_head_is_under_way_is_not_brought_back() {
    let front = Front::with(PAGES).await;
    front.origin.on("GET /p", page("old", "\"1\"").once());
    front.origin.on("GET /p", page("new", "\"2\""));
    front.get("/p").await;
    front.clock.advance(Duration::from_secs(11));
    let (gate, answer) = Answer::gated(page("", "\"1\""));
    front.origin.on("HEAD /p", answer);
    let mut client = front.client().await;
    let waiting = client.head("/p").write().await;
    front.origin.wait_for(2).await;
    front.purge("/p").await;
    gate.open();
    assert_eq!(waiting.response().await.status, 200);
    assert_eq!(front.get("/p").await.text(), "new");
}

#[tokio::test]
async fn head_of_a_page_with_fragments_is_the_head_of_the_page() {
    let front = Front::with(
        "rules:
  - {name: on, match: {path: '/on'}, cache: {ttl: 1h}, esi: true}
  - {name: auto, cache: {ttl: 1h}}",
    )
    .await;
    let template = || page("<esi:remove>x</esi:remove>", "\"1\"").header("content-type", "text/html");
    front.origin.on("GET /on", template());
    front.origin.on("HEAD /auto", template().header("surrogate-control", "content=\"ESI/1.0\""));
    let mut client = front.client().await;
    for (path, method) in [("/on", "GET"), ("/auto", "HEAD")] {
        let got = client.head(path).send().await;
        assert_eq!((got.status, got.header("etag"), got.header("surrogate-control")), (200, None, None), "{path}");
        assert_eq!(front.origin.last().method, method, "{path}");
    }
}

#[tokio::test]
async fn a_refresh_that_failed_is_tried_again_after_a_wait_that_doubles() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 10s, grace: 1h}}]").await;
    front.origin.on("/p", Answer::ok("old").once());
    front.origin.on("/p", Answer::status(503));
    front.get("/p").await;
    front.clock.advance(Duration::from_secs(60));
    let mut tries = 1;
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        tries += 1;
        let got = front.get("/p").await;
        assert!(got.header("cache-status").unwrap().contains("; hit;"), "{got}");
        assert!(got.header("cache-status").unwrap().contains("detail=stale-refreshing"));
        // Until the failure is known a hit only joins the refresh.
        let waits = || async {
            let got = front.get("/p").await;
            assert_eq!(got.text(), "old");
            got.header("cache-status").unwrap().contains("detail=stale-error")
        };
        front.until(waits).await;
        front.clock.advance(Duration::from_secs(wait) - Duration::from_millis(1));
        let got = front.get("/p").await;
        assert!(got.header("cache-status").unwrap().starts_with("copal; hit; ttl=-"), "{got}");
        assert!(got.header("cache-status").unwrap().ends_with("detail=stale-error"), "{got}");
        assert_eq!(front.origin.count("/p"), tries, "{wait}");
        front.clock.advance(Duration::from_millis(1));
    }
    // It is well again: nothing of that is left.
    front.origin.replace("/p", "new");
    front.until(|| async { front.get("/p").await.text() == "new" }).await;
    front.clock.advance(Duration::from_secs(11));
    front.origin.replace("/p", "newer");
    assert!(front.get("/p").await.header("cache-status").unwrap().contains("detail=stale-refreshing"));
    front.until(|| async { front.get("/p").await.text() == "newer" }).await;
}

#[tokio::test]
async fn an_invalidation_ends_the_wait() {
    let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 10s, grace: 1h}}]").await;
    front.origin.on("/p", Answer::ok("old").once());
    front.origin.on("/p", Answer::status(429).once());
    front.origin.on("/p", "new");
    front.get("/p").await;
    front.clock.advance(Duration::from_secs(60));
    let waits = || async { front.get("/p").await.header("cache-status").unwrap().contains("detail=stale-error") };
    front.until(waits).await;
    assert_eq!(front.origin.count("/p"), 2);
    front.purge_softly("/p");
    assert_eq!(front.get("/p").await.text(), "old");
    front.until(|| async { front.get("/p").await.text() == "new" }).await;
    assert_eq!(front.origin.count("/p"), 3);
}
