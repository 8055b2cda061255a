//! `PURGE`: every variant of a URL, from allowed peers only, and it beats a fetch under way.

use copal_testkit::{Answer, Client};

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]";

#[tokio::test]
async fn every_variant_goes_and_the_answer_says_how_many() {
    let front = Front::with(PAGES).await;
    front.origin.on("/p", Answer::ok("x").header("vary", "accept-language"));
    let mut client = front.client().await;
    for language in ["de", "en", "fr"] {
        client.get("/p").header("accept-language", language).send().await;
    }
    let purged = front.purge("/p").await;
    assert_eq!(purged.status, 200);
    assert!(purged.text().contains("\"removed\":3"), "{}", purged.text());
    assert_eq!(purged.header("cache-status"), Some("copal; detail=purged"));
    client.get("/p").header("accept-language", "de").send().await;
    assert_eq!(front.origin.count("/p"), 4);
    assert!(front.purge("/never").await.text().contains("\"removed\":0"));
}

#[tokio::test]
async fn another_host_and_another_query_stay() {
    let front = Front::with(PAGES).await;
    front.origin.on("/p", "x");
    front.origin.on("/p?a=1", "x");
    let mut client = front.client().await;
    client.get("/p").send().await;
    client.get("/p?a=1").send().await;
    client.get("/p").host("other.example").send().await;
    front.purge("/p").await;
    assert_eq!(front.origin.requests().len(), 3);
    client.get("/p?a=1").send().await;
    client.get("/p").host("other.example").send().await;
    assert_eq!(front.origin.requests().len(), 3);
    client.get("/p").send().await;
    assert_eq!(front.origin.requests().len(), 4);
}

#[tokio::test]
async fn a_peer_that_is_not_allowed_gets_403_and_nothing_goes() {
    let front = Front::with_purge("purge: {allow: ['10.0.0.0/8']}\nrules: [{name: p, cache: {ttl: 1h}}]").await;
    front.origin.on("/p", "x");
    front.get("/p").await;
    let mut client = front.client().await;
    // Forwarding fields never make a peer one that is allowed.
    let refused = client.request("PURGE", "/p").header("x-forwarded-for", "10.0.0.1").send().await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("purge.allow"));
    front.get("/p").await;
    assert_eq!(front.origin.count("/p"), 1);
    let nobody = Front::with_purge("rules: [{name: p, cache: {ttl: 1h}}]").await;
    assert_eq!(nobody.purge("/p").await.status, 403, "empty means nobody");
}

#[tokio::test]
async fn a_purge_during_a_fetch_wins() {
    let front = Front::with(PAGES).await;
    let (body, old) = Answer::stream();
    front.origin.on("/p", old.once());
    front.origin.on("/p", "new");
    let mut one = front.client().await;
    let mut leader = one.get("/p").stream().await;
    body.send("old");
    assert_eq!(leader.read_some().await.unwrap(), "old");
    assert_eq!(front.purge("/p").await.status, 200);
    // A request that comes after the purge neither joins the old fetch nor is given what it brings.
    assert_eq!(front.get("/p").await.text(), "new");
    body.end();
    leader.rest().await;
    assert_eq!(front.get("/p").await.text(), "new");
    assert_eq!(front.origin.count("/p"), 2);
}

#[tokio::test]
async fn purge_clears_hit_for_miss_and_takes_every_form_of_the_url() {
    let front = Front::with(PAGES).await;
    front.origin.on("/a/b", Answer::ok("x"));
    front.get("/a/b").await;
    let mut client = Client::connect(front.address).await;
    let absolute = client.request("PURGE", "http://TEST.example:80/a/x/../b").host("proxy").send().await;
    assert!(absolute.text().contains("\"removed\":1"), "{}", absolute.text());
}

#[tokio::test]
async fn ten_thousand_tags_fail_no_response_and_each_of_them_counts() {
    let front = Front::with(PAGES).await;
    let tags: Vec<String> = (0..10_000).map(|number| format!("taxonomy_term:{number:012}")).collect();
    let tags = tags.join(" ");
    assert!(tags.len() > 256 << 10);
    for text in ["one", "two", "three"] {
        front.origin.on("/p", Answer::ok(text).header("cache-control", "max-age=3600").header("cache-tags", &tags));
    }
    let got = front.get("/p").await;
    assert_eq!((got.text(), got.header("cache-tags")), ("one", None));
    assert_eq!(front.get("/p").await.text(), "one");
    front.purge_tag("taxonomy_term:000000010000");
    assert_eq!(front.get("/p").await.text(), "one");
    front.purge_tag("taxonomy_term:000000000000");
    assert_eq!(front.get("/p").await.text(), "two");
    front.purge_tag("taxonomy_term:000000009999");
    assert_eq!(front.get("/p").await.text(), "three");
}
