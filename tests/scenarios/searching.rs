//! `No-Vary-Search` under a rule with `no_vary_search`: what of the query does not matter is not in the key.

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const RULES: &str = "
rules:
  - {name: plain, match: {path: '/plain'}, cache: {ttl: 1h}}
  - {name: cms, match: {path: '/**'}, cache: {ttl: 1h, no_vary_search: true, key: {query: {deny: [tracked]}}}}
";

/// Does not vary by `a`.
fn without_a(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("no-vary-search", "params=(\"a\")")
}

#[tokio::test]
async fn what_does_not_matter_is_not_in_the_key_and_reaches_the_origin_all_the_same() {
    let front = Front::with(RULES).await;
    let mut scenario = front.scenario();
    let got = |body: &str, reason: &str| {
        Gets::status(200).body(body).header_containing("cache-status", &format!("detail={reason}"))
    };
    for (name, target, sees, gets) in [
        (
            "the first says what matters",
            "/p?a=1&b=1",
            Some(Sees::get("/p?a=1&b=1").answers(without_a("b1"))),
            got("b1", "miss"),
        ),
        ("another a is the same page", "/p?a=2&b=1", None, got("b1", "hit")),
        ("so is none", "/p?b=1", None, got("b1", "hit")),
        ("what the rule takes off is taken off", "/p?b=1&tracked=1", None, got("b1", "hit")),
        ("another b is not", "/p?a=1&b=2", Some(Sees::get("/p?a=1&b=2").answers(without_a("b2"))), got("b2", "miss")),
        (
            "the origin sees what the client sent",
            "/p?b=3&tracked=1&a=9",
            Some(Sees::get("/p?b=3&a=9").answers(without_a("b3"))),
            got("b3", "miss"),
        ),
        (
            "order matters still",
            "/p?c=1&b=1",
            Some(Sees::get("/p?c=1&b=1").answers(without_a("c1b1"))),
            got("c1b1", "miss"),
        ),
        ("another path has said nothing", "/q?a=1", Some(Sees::get("/q?a=1").answers("a1")), got("a1", "miss")),
        ("so all of it matters", "/q?a=2", Some(Sees::get("/q?a=2").answers("a2")), got("a2", "miss")),
    ] {
        let sees: Vec<Sees> = sees.into_iter().collect();
        scenario.exchange(name, Sends::get(target), sees, gets).await;
    }
}

#[tokio::test]
async fn without_the_switch_the_whole_query_is_the_key() {
    let front = Front::with(RULES).await;
    front.origin.on("/plain", without_a("x"));
    for target in ["/plain?a=1", "/plain?a=2"] {
        front.get(target).await;
    }
    assert_eq!(front.origin.count("/plain"), 2);
}

#[tokio::test]
async fn a_malformed_word_is_none() {
    let front = Front::with(RULES).await;
    front.origin.on("/p", Answer::ok("x").header("no-vary-search", "params=(a b"));
    for target in ["/p?a=1", "/p?a=2"] {
        front.get(target).await;
    }
    assert_eq!(front.origin.count("/p"), 2);
}

#[tokio::test]
async fn the_last_word_counts_and_answers_only_for_what_was_stored_by_it() {
    let front = Front::with(RULES).await;
    let word = |body: &str, word: &str| Answer::ok(body.to_owned()).header("no-vary-search", word.to_owned());
    front.origin.on("/p", word("1", "params=(\"a\")").once());
    front.origin.on("/p", word("2", "params=(\"b\")").once());
    front.origin.on("/p", Answer::ok("3").once());
    front.origin.on("/p", Answer::ok("4").once());
    assert_eq!(front.get("/p?a=1&b=1").await.text(), "1");
    assert_eq!(front.get("/p?a=2&b=1").await.text(), "1", "a does not matter");
    assert_eq!(front.get("/p?a=1&b=2").await.text(), "2", "b did until now");
    assert_eq!(front.get("/p?a=1&b=3").await.text(), "2", "b does not matter");
    assert_eq!(front.get("/p?a=2&b=1").await.text(), "3", "a matters again, and now all of it");
    assert_eq!(front.get("/p?a=2&b=1").await.text(), "3");
    assert_eq!(front.get("/p?a=9&b=1").await.text(), "4");
}

#[tokio::test]
async fn a_purge_finds_what_is_stored_for_a_url_by_any_word() {
    let front = Front::with(RULES).await;
    front.origin.on("/p", without_a("x"));
    front.origin.on("DELETE /p", Answer::status(204));
    for (count, target) in [(1, "/p?a=1"), (2, "/p?a=2"), (3, "/p")] {
        front.get("/p?a=7").await;
        assert_eq!(front.get("/p?a=8").await.text(), "x");
        assert_eq!(front.origin.count("GET /p"), count, "{target}");
        let purged = front.purge(target).await;
        assert!(purged.text().contains("\"removed\":1"), "{}", purged.text());
    }
    front.get("/p?a=7").await;
    front.client().await.request("DELETE", "/p?a=3").send().await;
    front.get("/p?a=7").await;
    assert_eq!(front.origin.count("GET /p"), 5);
}

#[tokio::test]
async fn a_purge_finds_what_was_stored_by_a_word_that_is_no_longer_known() {
    let front = Front::with(RULES).await;
    front.origin.on("/p", without_a("old").once());
    front.origin.on("/p", Answer::ok("wordless").once());
    front.origin.on("/p", without_a("new"));
    assert_eq!(front.get("/p?a=1&b=1").await.text(), "old");
    assert_eq!(front.get("/p?a=1&b=2").await.text(), "wordless");
    front.purge("/p?a=5&b=1").await;
    assert_eq!(front.get("/p?a=1&b=3").await.text(), "new", "the word is back");
    assert_eq!(front.get("/p?a=5&b=1").await.text(), "new", "and brings back nothing that was purged");
}

#[tokio::test]
async fn a_hundred_equal_requests_cost_the_origin_one_while_nothing_is_known() {
    let front = Front::with(RULES).await;
    let (gate, answer) = Answer::gated(without_a("x"));
    front.origin.on("/p", answer);
    let asking: Vec<_> = (0..100).map(|_| front.spawn_get("/p?a=1&b=1")).collect();
    front.origin.wait_for(1).await;
    gate.open();
    for asked in asking {
        assert_eq!(asked.await.unwrap().text(), "x");
    }
    assert_eq!(front.get("/p?a=2&b=1").await.text(), "x");
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn a_stale_page_is_validated_as_the_client_asks_for_it() {
    let front = Front::with("rules: [{name: p, match: {path: '/p'}, cache: {no_vary_search: true}}]").await;
    let mut scenario = front.scenario();
    let lasting = |answer: Answer| answer.header("cache-control", "max-age=60").header("etag", "\"1\"");
    scenario
        .exchange(
            "stored",
            Sends::get("/p?a=1"),
            Sees::get("/p?a=1").answers(lasting(without_a("x"))),
            Gets::status(200),
        )
        .await;
    front.clock.advance(std::time::Duration::from_secs(61));
    scenario
        .exchange(
            "validated",
            Sends::get("/p?a=2"),
            Sees::get("/p?a=2").header("if-none-match", "\"1\"").answers(lasting(Answer::status(304))),
            Gets::status(200).body("x").header_containing("cache-status", "detail=validated"),
        )
        .await;
    scenario.exchange("and fresh for all", Sends::get("/p?a=3"), Sees::nothing(), Gets::status(200).body("x")).await;
}

#[tokio::test]
async fn an_origin_speaks_of_its_own_responses_only() {
    let one = Front::with("").await;
    let two = Front::with("").await;
    one.origin.on("/p", without_a("one"));
    two.origin.on("/p", "two");
    let front = Front::exactly(&format!(
        "origins: {{one: '{}', two: '{}'}}\nrules:\n  - {{name: one, match: {{path: /p, header: {{x-site: one}}}}, \
         origin: one, cache: {{ttl: 1h, no_vary_search: true}}}}\n  - {{name: two, match: {{path: /p}}, origin: two, \
         cache: {{ttl: 1h, no_vary_search: true}}}}",
        one.origin.url(),
        two.origin.url()
    ))
    .await;
    let mut client = front.client().await;
    for target in ["/p?a=1", "/p?a=2"] {
        assert_eq!(client.get(target).header("x-site", "one").send().await.text(), "one");
        assert_eq!(client.get(target).send().await.text(), "two");
    }
    assert_eq!((one.origin.count("/p"), two.origin.count("/p")), (1, 2));
}
