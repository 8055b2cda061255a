//! Several servers an origin: in turn, and another one when a connection fails.

use copal_testkit::{Answer, ScriptedOrigin, refused_address};

use crate::front::Front;

#[tokio::test]
async fn servers_take_turns() {
    let (one, two) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    for (origin, name) in [(&one, "one"), (&two, "two")] {
        origin.on("/p", Answer::ok(name).header("cache-control", "no-store"));
    }
    let front = Front::before(&[one.url(), two.url()], "rules: [{name: all, pass: true}]").await;
    for _ in 0..6 {
        front.get("/p").await;
    }
    assert_eq!((one.count("/p"), two.count("/p")), (3, 3));
}

#[tokio::test]
async fn an_idempotent_request_goes_to_another_server_when_one_refuses() {
    let alive = ScriptedOrigin::start().await;
    alive.on("/p", "x");
    let dead = format!("http://{}", refused_address().await);
    let front = Front::before(&[dead.clone(), alive.url()], "rules: [{name: all, pass: true}]").await;
    for _ in 0..4 {
        assert_eq!(front.get("/p").await.status, 200);
    }
    let front = Front::before(&[dead], "rules: [{name: all, pass: true}]").await;
    let got = front.get("/p").await;
    assert_eq!(got.status, 502);
    assert!(got.text().contains("origin-refused"));
}

#[tokio::test]
async fn connections_are_kept() {
    let front = Front::with("rules: [{name: all, pass: true}]").await;
    front.origin.on("/p", "x");
    for _ in 0..5 {
        front.get("/p").await;
    }
    assert_eq!(front.origin.connections(), 1);
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_first_byte_timeout() {
    let silent = ScriptedOrigin::start().await;
    silent.on("/p", Answer::silence());
    let yaml = format!(
        "origins: {{cms: {{servers: ['{}'], first_byte_timeout: 100ms}}}}\nrules: [{{name: all, pass: true}}]",
        silent.url()
    );
    let front = Front::exactly(&yaml).await;
    let got = front.get("/p").await;
    assert_eq!(got.status, 504);
    assert!(got.text().contains("origin-timeout"));
}

#[tokio::test]
async fn rules_choose_the_origin() {
    let (cms, shop) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    cms.on("/p", "cms");
    shop.on("/shop/p", "shop");
    let yaml = format!(
        "origins: {{cms: '{}', shop: '{}'}}\nrules:\n  - {{name: shop, match: {{path: '/shop/**'}}, cache: {{ttl: 1h}}, origin: shop}}\n  - {{name: rest, cache: {{ttl: 1h}}}}",
        cms.url(),
        shop.url()
    );
    let front = Front::exactly(&yaml).await;
    assert_eq!(front.get("/p").await.text(), "cms");
    assert_eq!(front.get("/shop/p").await.text(), "shop");
}

#[tokio::test]
async fn a_spare_takes_what_a_full_server_has_no_room_for() {
    let (main, spare) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let (gate, answer) = Answer::gated("main");
    main.on("/p", answer);
    spare.on("/p", "spare");
    let yaml = format!(
        "origins: {{cms: {{servers: [{{url: '{}', max_connections: 1}}, {{url: '{}', backup: true}}], queue: {{size: 0}}}}}}\n\
         rules: [{{name: all, pass: true}}]",
        main.url(),
        spare.url()
    );
    let front = Front::exactly(&yaml).await;
    let others = async {
        main.wait_for(1).await;
        let got = [front.get("/p").await, front.get("/p").await];
        gate.open();
        got
    };
    let (first, others) = tokio::join!(front.get("/p"), others);
    assert_eq!(first.text(), "main");
    assert_eq!(others.each_ref().map(|got| got.text()), ["spare", "spare"]);
}

#[tokio::test]
async fn a_spare_answers_when_two_servers_die_together() {
    let spare = ScriptedOrigin::start().await;
    spare.on("/p", "spare");
    let dead = [refused_address().await, refused_address().await];
    let yaml = format!(
        "origins: {{cms: {{servers: ['http://{}', 'http://{}', {{url: '{}', backup: true}}]}}}}\nrules: [{{name: all, pass: true}}]",
        dead[0],
        dead[1],
        spare.url()
    );
    let front = Front::exactly(&yaml).await;
    for _ in 0..4 {
        assert_eq!(front.get("/p").await.status, 200);
        assert_eq!(front.client().await.post("/p", "order").send().await.status, 200);
    }
}
