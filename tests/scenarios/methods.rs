//! QUERY, and POST where a rule says so, stored under their bodies (RFC 10008, RFC 9110 §9.3.3).

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const SEARCH: &str = "
cache: {max_key_body: 1KiB}
rules:
  - {name: search, match: {path: '/search', method: [GET, QUERY, POST]}, cache: {ttl: 1h}}
  - {name: pages, match: {path: '/**'}, cache: {ttl: 1h}}
";

fn query(target: &str, body: &str) -> Sends {
    Sends::request("QUERY", target).header("content-type", "text/plain").body(body.to_owned())
}

fn sees(method: &str, body: &str) -> Sees {
    Sees::request(method, "/search").header("content-type", "text/plain").body(body)
}

#[tokio::test]
async fn a_query_is_stored_under_its_body() {
    let front = Front::with(SEARCH).await;
    let mut scenario = front.scenario();
    let miss = |body: &str| Gets::status(200).body(body).header_containing("cache-status", "detail=miss");
    let hit = |body: &str| Gets::status(200).body(body).header_containing("cache-status", "detail=hit");
    for (name, sends, origin, gets) in [
        (
            "the first goes to the origin, whole",
            query("/search", "a"),
            Some((sees("QUERY", "a"), "of a")),
            miss("of a"),
        ),
        ("the same again does not", query("/search", "a"), None, hit("of a")),
        ("another body is another thing", query("/search", "b"), Some((sees("QUERY", "b"), "of b")), miss("of b")),
        (
            "so is another method",
            Sends::post("/search", "a").header("content-type", "text/plain"),
            Some((sees("POST", "a"), "posted")),
            miss("posted"),
        ),
        (
            "and another media type",
            Sends::request("QUERY", "/search").header("content-type", "text/html").body("a"),
            Some((Sees::request("QUERY", "/search").header("content-type", "text/html").body("a"), "html")),
            miss("html"),
        ),
        ("and no body at all", Sends::get("/search"), Some((Sees::get("/search"), "got")), miss("got")),
        ("none of them took another's place", query("/search", "a"), None, hit("of a")),
    ] {
        let sees: Vec<Sees> = origin.into_iter().map(|(sees, body)| sees.answers(body)).collect();
        scenario.exchange(name, sends, sees, gets).await;
    }
    let in_chunks = Sends::request("QUERY", "/search").header("content-type", "text/plain").chunks(["a"]);
    scenario.exchange("however it is framed", in_chunks, Sees::nothing(), hit("of a")).await;
}

#[tokio::test]
async fn a_body_too_long_for_a_key_passes_whole() {
    let front = Front::with(SEARCH).await;
    let mut scenario = front.scenario();
    let long = "x".repeat(1025);
    for name in ["once", "and again: it is not stored"] {
        scenario
            .exchange(
                name,
                query("/search", &long),
                sees("QUERY", &long).header("content-length", "1025").answers("found"),
                Gets::status(200).body("found").header_containing("cache-status", "detail=long-key-body"),
            )
            .await;
    }
    let halves = [long[..1000].to_owned(), long[1000..].to_owned()];
    scenario
        .exchange(
            "what was read of it goes before the rest",
            Sends::request("QUERY", "/search").header("content-type", "text/plain").chunks(halves),
            sees("QUERY", &long).answers("found"),
            Gets::status(200).body("found").header_containing("cache-status", "detail=long-key-body"),
        )
        .await;
    scenario
        .exchange(
            "at the limit it is in the key",
            query("/search", &long[..1024]),
            sees("QUERY", &long[..1024]).answers("found"),
            Gets::status(200).header_containing("cache-status", "detail=miss"),
        )
        .await;
}

#[tokio::test]
async fn without_a_rule_that_names_it_a_query_passes_and_changes_nothing() {
    let front = Front::with(SEARCH).await;
    front.origin.on("GET /p", Answer::ok("page"));
    front.origin.on("QUERY /p", Answer::ok("answer").header("cache-control", "max-age=60"));
    front.get("/p").await;
    let mut client = front.client().await;
    for _ in 0..2 {
        let got = client.request("QUERY", "/p").body("q").send().await;
        assert!(got.header("cache-status").unwrap().contains("detail=method"));
    }
    assert_eq!(front.origin.count("QUERY /p"), 2);
    front.get("/p").await;
    assert_eq!(front.origin.count("GET /p"), 1, "QUERY is safe: what is stored for GET stays");
}

#[tokio::test]
async fn a_purge_of_the_url_takes_all_its_bodies() {
    let front = Front::with(SEARCH).await;
    front.origin.on("QUERY /search", Answer::from_fn(|request| Answer::ok(request.body.clone())));
    let mut client = front.client().await;
    let mut ask = async |target: &str, body: &str| {
        client.request("QUERY", target).body(body.to_owned()).send().await.header("cache-status").unwrap().to_owned()
    };
    for purge in ["/search", "/search?page=2"] {
        for (target, body) in [("/search", "a"), ("/search", "b"), ("/search?page=2", "a")] {
            ask(target, body).await;
            assert!(ask(target, body).await.contains("detail=hit"), "{target} {body}");
        }
        front.purge(purge).await;
        for (target, body) in [("/search", "a"), ("/search", "b"), ("/search?page=2", "a")] {
            assert_eq!(
                ask(target, body).await.contains("detail=miss"),
                purge == target,
                "{target} {body} after {purge}"
            );
        }
    }
}

#[tokio::test]
async fn an_unsafe_method_takes_the_bodies_of_its_url_too() {
    let front = Front::with(SEARCH).await;
    front.origin.on("QUERY /search", "found");
    front.origin.on("DELETE /search", Answer::status(204));
    let mut client = front.client().await;
    client.request("QUERY", "/search").body("a").send().await;
    client.request("DELETE", "/search").send().await;
    client.request("QUERY", "/search").body("a").send().await;
    assert_eq!(front.origin.count("QUERY /search"), 2);
}

#[tokio::test]
async fn a_hundred_equal_queries_cost_the_origin_one() {
    let front = Front::with(SEARCH).await;
    let (gate, answer) = Answer::gated(Answer::ok("shared"));
    front.origin.on("QUERY /search", answer);
    let address = front.address;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = copal_testkit::Client::connect(address).await.with_host("test.example");
                client.request("QUERY", "/search").body("q").send().await
            })
        })
        .collect();
    front.origin.wait_for(1).await;
    gate.open();
    for asked in asking {
        assert_eq!(asked.await.unwrap().text(), "shared");
    }
    assert_eq!(front.origin.count("/search"), 1);
}

#[tokio::test]
async fn a_stale_query_is_validated_with_its_body() {
    let front = Front::with("rules: [{name: q, match: {method: QUERY}, cache: {}}]").await;
    let mut scenario = front.scenario();
    let stored = Answer::ok("found").header("cache-control", "max-age=60").header("etag", "\"1\"");
    let ask = || Sends::request("QUERY", "/q").body("a");
    let sees = || Sees::request("QUERY", "/q").body("a");
    scenario.exchange("stored", ask(), sees().answers(stored), Gets::status(200).body("found")).await;
    front.clock.advance(std::time::Duration::from_secs(61));
    scenario
        .exchange(
            "validated",
            ask(),
            sees().header("if-none-match", "\"1\"").answers(Answer::status(304).header("cache-control", "max-age=60")),
            Gets::status(200).body("found").header_containing("cache-status", "detail=validated"),
        )
        .await;
    scenario
        .exchange(
            "and given as 304 to a client that has it (RFC 10008: as for GET)",
            ask().header("if-none-match", "\"1\""),
            Sees::nothing(),
            Gets::status(304),
        )
        .await;
}

#[tokio::test]
async fn a_stale_query_is_refreshed_in_the_background_with_its_body() {
    let front = Front::with("rules: [{name: q, match: {method: QUERY}, cache: {ttl: 1m, grace: 1h}}]").await;
    let mut scenario = front.scenario();
    let ask = || Sends::request("QUERY", "/q").body("a");
    let sees = || Sees::request("QUERY", "/q").body("a");
    scenario.exchange("stored", ask(), sees().answers("1"), Gets::status(200).body("1")).await;
    front.clock.advance(std::time::Duration::from_secs(61));
    scenario.exchange("stale at once, one refresh", ask(), sees().answers("2"), Gets::status(200).body("1")).await;
    front.until(|| async { front.client().await.request("QUERY", "/q").body("a").send().await.text() == "2" }).await;
}

#[tokio::test]
async fn a_query_that_may_not_be_stored_is_asked_by_each_with_its_body() {
    let front = Front::with(SEARCH).await;
    let own = |request: &copal_testkit::Request| Answer::ok(request.body.clone()).header("cache-control", "private");
    front.origin.on("QUERY /search", Answer::from_fn(own));
    let mut client = front.client().await;
    for _ in 0..3 {
        let got = client.request("QUERY", "/search").header("range", "bytes=0-0").body("mine").send().await;
        assert_eq!((got.status, got.text()), (200, "mine"));
    }
    assert_eq!(front.origin.count("QUERY /search"), 3);
}

#[tokio::test]
async fn sessions_and_credentials_pass_whatever_the_method() {
    let front = Front::with(&format!("sessions: {{cookies: [sid]}}\n{SEARCH}")).await;
    front.origin.on("QUERY /search", Answer::from_fn(|request| Answer::ok(request.body.clone())));
    let mut client = front.client().await;
    for (name, value, reason) in [("cookie", "sid=1", "session-cookie"), ("x-auth-token", "t", "authorization")] {
        let got = client.request("QUERY", "/search").header(name, value).body("a").send().await;
        assert_eq!(got.text(), "a");
        assert!(got.header("cache-status").unwrap().contains(&format!("detail={reason}")), "{name}");
    }
}

const PAGES: &str = "
sessions: {cookies: [sid]}
rules:
  - {name: files, match: {path: '/file'}, cache: {ttl: 1h, slice: 64KiB}}
  - {name: keyed, match: {path: '/keyed'}, cache: {ttl: 1h, key: {query: {deny: [x]}}}}
  - {name: passed, match: {path: '/passed'}, pass: true}
  - {name: as-stated, match: {path: '/stated'}, cache: {}}
  - {name: pages, match: {path: '/**'}, cache: {ttl: 1h}}
";

/// What a GET of `at` gets too.
fn posted(at: &str) -> Answer {
    Answer::ok("posted").header("content-location", at).header("cache-control", "max-age=60")
}

#[tokio::test]
async fn a_post_that_says_so_answers_later_gets_rfc9110_9_3_3() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let post = || Sends::post("/p?a", "x=1");
    scenario
        .exchange(
            "a page is stored",
            Sends::get("/p?a"),
            Sees::get("/p?a").answers("old"),
            Gets::status(200).body("old"),
        )
        .await;
    scenario
        .exchange(
            "the POST gets its own answer, which says what a GET gets from now on",
            post(),
            Sees::request("POST", "/p?a").body("x=1").answers(posted("http://test.example/p?a").header("x-own", "1")),
            Gets::status(200)
                .body("posted")
                .header("x-own", "1")
                .header("cache-status", "copal; fwd=method; fwd-status=200; stored; detail=method"),
        )
        .await;
    scenario
        .exchange(
            "a GET gets that",
            Sends::get("/p?a"),
            Sees::nothing(),
            Gets::status(200).body("posted").header_containing("cache-status", "; hit;"),
        )
        .await;
    scenario
        .exchange("so does HEAD", Sends::request("HEAD", "/p?a"), Sees::nothing(), Gets::status(200).body(""))
        .await;
    scenario
        .exchange(
            "a POST is never answered from the store",
            post(),
            Sees::request("POST", "/p?a").answers(Answer::status(303).header("location", "/p")),
            Gets::status(303),
        )
        .await;
    scenario
        .exchange(
            "and takes away what is stored",
            Sends::get("/p?a"),
            Sees::get("/p?a").answers("new"),
            Gets::status(200).body("new"),
        )
        .await;
}

#[tokio::test]
async fn a_post_whose_response_does_not_say_so_is_not_stored() {
    let front = Front::with(PAGES).await;
    let stale = Answer::ok("posted").header("content-location", "/stated").header("cache-control", "max-age=0");
    front.origin.on("POST /stated", stale.header("etag", "\"1\""));
    front.origin.on("GET /stated", "got");
    let mut client = front.client().await;
    assert_eq!(client.post("/stated", "x").send().await.text(), "posted");
    assert_eq!(client.get("/stated").send().await.text(), "got", "stale from the beginning");
    let ok = || Answer::ok("posted");
    let here = || ok().header("content-location", "/p");
    for (name, answer) in [
        ("no Content-Location", ok().header("cache-control", "max-age=60")),
        ("another Content-Location", posted("/q")),
        ("another site's", posted("http://other.example/p")),
        ("no freshness of its own", here()),
        ("not 200", here().header("cache-control", "max-age=60").with_status(201)),
        ("private", here().header("cache-control", "max-age=60, private")),
        ("no-store", here().header("cache-control", "max-age=60, no-store")),
        ("a cookie", posted("/p").header("set-cookie", "a=b")),
    ] {
        front.origin.replace("POST /p", answer);
        front.origin.replace("GET /p", "got");
        let mut client = front.client().await;
        assert_eq!(client.post("/p", "x").send().await.text(), "posted", "{name}");
        assert_eq!(client.get("/p").send().await.text(), "got", "{name}");
        front.purge("/p").await;
    }
}

#[tokio::test]
async fn a_post_that_is_somebodys_own_is_not_stored() {
    let front = Front::with(PAGES).await;
    for (name, target, field) in [
        ("a cookie", "/p", Some(("cookie", "_ga=1"))),
        ("a session", "/p", Some(("cookie", "sid=1"))),
        ("Authorization", "/p", Some(("authorization", "Basic YTpi"))),
        ("a token", "/p", Some(("x-csrf-token", "t"))),
        ("another method in disguise", "/p", Some(("x-http-method-override", "DELETE"))),
        ("no-store", "/p", Some(("cache-control", "no-store"))),
        ("a rule that passes GETs", "/passed", None),
        ("a rule with slices", "/file", None),
        ("a query that is not in the key", "/keyed?x=1", None),
    ] {
        front.origin.replace(&format!("POST {target}"), posted(target));
        front.origin.replace(&format!("GET {}", target.split('?').next().unwrap()), "got");
        let mut client = front.client().await;
        let post = client.post(target, "x");
        let post = match field {
            Some((name, value)) => post.header(name, value),
            None => post,
        };
        assert_eq!(post.send().await.text(), "posted", "{name}");
        assert_eq!(client.get(target).send().await.text(), "got", "{name}");
        front.purge(target).await;
    }
}

#[tokio::test]
async fn a_purge_while_a_post_is_under_way_beats_what_it_brings() {
    let front = Front::with(PAGES).await;
    let (gate, answer) = Answer::gated(posted("/p"));
    front.origin.on("POST /p", answer);
    front.origin.on("GET /p", "got");
    let address = front.address;
    let posting = tokio::spawn(async move {
        let mut client = copal_testkit::Client::connect(address).await.with_host("test.example");
        client.post("/p", "x").send().await
    });
    front.origin.wait_for(1).await;
    front.purge("/p").await;
    gate.open();
    assert_eq!(posting.await.unwrap().text(), "posted");
    assert_eq!(front.get("/p").await.text(), "got");
}

#[tokio::test]
async fn a_purge_of_another_url_while_a_post_is_under_way_does_not_matter() {
    let front = Front::with(PAGES).await;
    let (gate, answer) = Answer::gated(posted("/p"));
    front.origin.on("POST /p", answer);
    front.origin.on("/other", Answer::ok("other").header("cache-control", "max-age=60"));
    let address = front.address;
    let posting = tokio::spawn(async move {
        let mut client = copal_testkit::Client::connect(address).await.with_host("test.example");
        client.post("/p", "x").send().await
    });
    front.origin.wait_for(1).await;
    front.purge("/other").await;
    gate.open();
    assert_eq!(posting.await.unwrap().text(), "posted");
    assert_eq!(front.get("/p").await.text(), "posted");
    assert_eq!(front.origin.count("GET /p"), 0);
}

#[tokio::test]
async fn the_client_of_a_post_reads_its_response_while_it_is_stored() {
    let front = Front::with(PAGES).await;
    let (body, answer) = Answer::stream();
    let answer = answer.header("content-location", "/p").header("cache-control", "max-age=60");
    front.origin.on("POST /p", answer);
    let mut client = front.client().await;
    let mut got = client.post("/p", "x").stream().await;
    body.send("first ");
    assert_eq!(got.read_some().await.unwrap(), "first ");
    body.send("second");
    body.end();
    assert_eq!(got.rest().await.text(), "first second");
    assert_eq!(front.get("/p").await.text(), "first second");
    assert_eq!(front.origin.count("GET /p"), 0);
}

#[tokio::test]
async fn a_post_that_told_the_origin_who_asks_is_not_stored() {
    for (more, field) in [
        ("trusted_proxies: [127.0.0.0/8]", ("x-request-id", "of-a-visitor")),
        ("trusted_proxies: [127.0.0.0/8]", ("x-unknown", "1")),
    ] {
        let front = Front::with(&format!("{more}\n{PAGES}")).await;
        front.origin.on("POST /p", posted("/p"));
        front.origin.on("GET /p", "got");
        let post = front.client().await.post("/p", "x").header(field.0, field.1).send().await.text().to_owned();
        assert_eq!(post, "posted");
        let wanted = if field.0 == "x-request-id" { "got" } else { "posted" };
        assert_eq!(front.get("/p").await.text(), wanted, "{field:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_other_urls_at_the_same_time_do_not_keep_one_from_being_stored() {
    let front = Front::with(PAGES).await;
    let mut posting = Vec::new();
    for number in 0..200 {
        let target = format!("/p?{number}");
        front.origin.on(&format!("POST {target}"), posted(&target));
        let mut client = front.client().await;
        posting.push(tokio::spawn(async move { client.post(&target, "x").send().await.text().to_owned() }));
    }
    for posted in posting {
        assert_eq!(posted.await.unwrap(), "posted");
    }
    for number in 0..200 {
        assert_eq!(front.get(&format!("/p?{number}")).await.text(), "posted");
        assert_eq!(front.origin.count(&format!("GET /p?{number}")), 0, "{number}");
    }
}
