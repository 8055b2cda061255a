//! One fill for all who ask (invariants 1–3), and hit-for-miss.

use copal_testkit::Answer;

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]";

#[tokio::test]
async fn a_hundred_requests_for_one_url_cost_the_origin_one() {
    let front = Front::with(PAGES).await;
    let (gate, answer) = Answer::gated(Answer::ok("shared"));
    front.origin.on("/p", answer);
    let asking: Vec<_> = (0..100).map(|_| front.spawn_get("/p")).collect();
    front.origin.wait_for(1).await;
    gate.open();
    for asked in asking {
        let got = asked.await.unwrap();
        assert_eq!((got.status, got.text()), (200, "shared"));
    }
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn followers_stream_the_body_while_it_comes_in() {
    let front = Front::with(PAGES).await;
    let (body, answer) = Answer::stream();
    front.origin.on("/p", answer);
    let (mut one, mut two) = (front.client().await, front.client().await);
    let mut leader = one.get("/p").stream().await;
    body.send("first ");
    assert_eq!(leader.read_some().await.unwrap(), "first ");
    let mut follower = two.get("/p").stream().await;
    assert_eq!(follower.read_some().await.unwrap(), "first ");
    assert!(follower.head().header("cache-status").unwrap().contains("collapsed"));
    body.send("second");
    assert_eq!(follower.read_some().await.unwrap(), "second");
    body.end();
    assert_eq!(leader.rest().await.text(), "first second");
    follower.rest().await;
    assert_eq!(front.get("/p").await.text(), "first second");
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_the_fill_it_began() {
    let front = Front::with(PAGES).await;
    let (body, answer) = Answer::stream();
    front.origin.on("/p", answer);
    let mut one = front.client().await;
    let mut leader = one.get("/p").stream().await;
    body.send("a");
    assert_eq!(leader.read_some().await.unwrap(), "a");
    let follower = front.spawn_get("/p");
    drop(leader);
    drop(one);
    body.send("b");
    body.end();
    assert_eq!(follower.await.unwrap().text(), "ab");
    assert_eq!(front.get("/p").await.text(), "ab");
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn what_may_not_be_stored_releases_all_at_once_and_that_is_remembered() {
    let front = Front::with(PAGES).await;
    let (gate, first) = Answer::gated(Answer::ok("mine").header("cache-control", "private"));
    front.origin.on("/p", first.once());
    let leader = front.spawn_get("/p");
    front.origin.wait_for(1).await;
    let followers: Vec<_> = (0..99).map(|_| front.spawn_get("/p")).collect();
    // The followers' own requests are all held at the origin at the same time: they go in parallel.
    let (second_gate, own) = Answer::gated(Answer::ok("mine").header("cache-control", "private"));
    front.origin.on("/p", own);
    gate.open();
    assert_eq!(leader.await.unwrap().text(), "mine");
    front.origin.wait_for(100).await;
    second_gate.open();
    for follower in followers {
        assert_eq!(follower.await.unwrap().text(), "mine");
    }
    let next = front.get("/p").await;
    assert!(next.header("cache-status").unwrap().contains("detail=private"));
}

#[tokio::test]
async fn hit_for_miss_heals_by_itself() {
    let front = Front::with(PAGES).await;
    front.origin.on("/p", Answer::ok("1").header("set-cookie", "a=b"));
    front.origin.on("/p", Answer::ok("2"));
    assert_eq!(front.get("/p").await.text(), "1");
    assert_eq!(front.get("/p").await.text(), "2");
    assert_eq!(front.get("/p").await.text(), "2");
    assert_eq!(front.origin.count("/p"), 2, "the storable answer was stored at once");
}

#[tokio::test]
async fn followers_with_another_variant_get_their_own() {
    let front = Front::with(PAGES).await;
    let (gate, german) = Answer::gated(Answer::ok("de").header("vary", "accept-language"));
    front.origin.on("/p", german.once());
    front.origin.on("/p", Answer::ok("en").header("vary", "accept-language"));
    let of = |language: &'static str| {
        let address = front.address;
        tokio::spawn(async move {
            let mut client = copal_testkit::Client::connect(address).await.with_host("test.example");
            client.get("/p").header("accept-language", language).send().await
        })
    };
    let leader = of("de");
    front.origin.wait_for(1).await;
    let asking: Vec<_> = ["de", "en"].repeat(50).into_iter().map(|language| (language, of(language))).collect();
    gate.open();
    assert_eq!(leader.await.unwrap().text(), "de");
    for (language, asked) in asking {
        assert_eq!(asked.await.unwrap().text(), language);
    }
    assert_eq!(front.origin.count("/p"), 2, "one request for each variant");
}

#[tokio::test]
async fn a_leader_that_fails_tells_its_followers() {
    let front = Front::with(PAGES).await;
    let (gate, broken) = Answer::gated(Answer::hang_up());
    front.origin.on("/p", broken);
    let asking: Vec<_> = (0..100).map(|_| front.spawn_get("/p")).collect();
    front.origin.wait_for(1).await;
    gate.open();
    for asked in asking {
        assert_eq!(asked.await.unwrap().status, 502);
    }
    assert!(front.origin.count("/p") < 100, "a failure is shared: {} requests", front.origin.count("/p"));
}

#[tokio::test]
async fn a_leader_whose_client_leaves_before_the_answer_is_still_followed() {
    let front = Front::with(PAGES).await;
    let (gate, answer) = Answer::gated(Answer::ok("shared"));
    front.origin.on("/p", answer);
    let mut leader = front.client().await;
    leader.get("/p").write().await;
    front.origin.wait_for(1).await;
    let followers: Vec<_> = (0..20).map(|_| front.spawn_get("/p")).collect();
    drop(leader);
    gate.open();
    for follower in followers {
        assert_eq!(follower.await.unwrap().text(), "shared");
    }
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn a_leader_whose_body_breaks_off_leaves_nobody_with_half_a_page_that_looks_whole() {
    let front = Front::with(PAGES).await;
    let (body, answer) = Answer::stream();
    front.origin.on("/p", answer);
    front.origin.on("/p", Answer::ok("whole"));
    let (mut one, mut two) = (front.client().await, front.client().await);
    let mut leader = one.get("/p").stream().await;
    body.send("half");
    assert_eq!(leader.read_some().await.unwrap(), "half");
    let mut follower = two.get("/p").stream().await;
    assert_eq!(follower.read_some().await.unwrap(), "half");
    body.cut();
    assert!(leader.try_rest().await.is_err() && follower.try_rest().await.is_err(), "both can tell");
    assert_eq!(front.get("/p").await.text(), "whole", "and nothing of it was stored");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_seen_to_and_never_stored() {
    let front = Front::with(PAGES).await;
    front.origin.on("/p", Answer::ok("0123456789").cut_after(4).once());
    front.origin.on("/p", Answer::ok("whole"));
    let mut client = front.client().await;
    assert!(client.get("/p").try_send().await.is_err(), "the client can tell that the body is not whole");
    assert_eq!(front.get("/p").await.text(), "whole");
}
