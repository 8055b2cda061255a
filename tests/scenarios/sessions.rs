//! Cookies: session, keyed, ignored, unknown; and that nobody is ever given another's page (DESIGN 2.3).

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const YAML: &str = "sessions: {cookies: ['SESS*'], ignore: [theme]}
rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h, key: {cookies: [lang]}}}]";

#[tokio::test]
async fn a_session_cookie_is_let_through_and_its_page_given_to_nobody_else() {
    let front = Front::with(YAML).await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "the user's own page passes",
            Sends::get("/p").header("cookie", "theme=dark; SESSabc=1"),
            Sees::get("/p").header("cookie", "theme=dark; SESSabc=1").answers(Answer::ok("hello ada")),
            Gets::status(200).body("hello ada").header_containing("cache-status", "detail=session-cookie"),
        )
        .await;
    scenario
        .exchange(
            "a guest is asked for at the origin",
            Sends::get("/p"),
            Sees::get("/p").without("cookie").answers(Answer::ok("hello guest")),
            Gets::status(200).body("hello guest"),
        )
        .await;
    scenario
        .exchange(
            "the user never gets the guest's stored page",
            Sends::get("/p").header("cookie", "SESSabc=1"),
            Sees::get("/p").answers(Answer::ok("hello ada")),
            Gets::status(200).body("hello ada"),
        )
        .await;
    scenario
        .exchange(
            "the guest's page is stored",
            Sends::get("/p"),
            Sees::nothing(),
            Gets::status(200).body("hello guest"),
        )
        .await;
}

#[tokio::test]
async fn ignored_cookies_are_withheld_and_keyed_ones_pick_the_variant() {
    let front = Front::with(YAML).await;
    let mut scenario = front.scenario();
    for lang in ["de", "en"] {
        scenario
            .exchange(
                "a variant for each value of the keyed cookie",
                Sends::get("/p").header("cookie", format!("_ga=GA1.2; lang={lang}; theme=dark; _ga_XYZ=1")),
                Sees::get("/p").header("cookie", &format!("lang={lang}")).answers(Answer::ok(lang)),
                Gets::status(200).body(lang),
            )
            .await;
    }
    for lang in ["en", "de"] {
        let sends = Sends::get("/p").header("cookie", format!("lang={lang}; _gid=7"));
        scenario.exchange("hit", sends, Sees::nothing(), Gets::status(200).body(lang)).await;
    }
}

#[tokio::test]
async fn an_unknown_cookie_bypasses_unless_the_site_says_strip() {
    let front = Front::with(YAML).await;
    front.origin.on("/p", Answer::ok("x"));
    let mut client = front.client().await;
    for _ in 0..2 {
        let got = client.get("/p").header("cookie", "mystery=1").send().await;
        assert!(got.header("cache-status").unwrap().contains("fwd=bypass; fwd-status=200; detail=unknown-cookie"));
        assert_eq!(front.origin.last().header("cookie"), Some("mystery=1"));
    }
    let front = Front::with("sessions: {unknown: strip}\nrules: [{name: p, cache: {ttl: 1h}}]").await;
    front.origin.on("/p", Answer::ok("x"));
    let mut client = front.client().await;
    client.get("/p").header("cookie", "mystery=1").send().await;
    assert!(front.origin.last().header("cookie").is_none());
    client.get("/p").header("cookie", "mystery=2").send().await;
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn vary_cookie_counts_only_the_cookies_that_the_rules_let_count() {
    let front = Front::with(YAML).await;
    front.origin.on("/p", Answer::ok("x").header("vary", "Cookie"));
    let mut client = front.client().await;
    client.get("/p").header("cookie", "_ga=1").send().await;
    client.get("/p").header("cookie", "_ga=2; theme=light").send().await;
    client.get("/p").send().await;
    assert_eq!(front.origin.count("/p"), 1);
    client.get("/p").header("cookie", "lang=fr").send().await;
    assert_eq!(front.origin.count("/p"), 2);
}
