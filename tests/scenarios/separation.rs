//! Attempts to make one visitor's request change another's answer, each of which was possible once.

use std::time::Duration;

use copal_testkit::{Answer, Client, Gets, Sees, Sends};

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]";

#[tokio::test]
async fn fields_disguised_by_an_underscore_are_withheld() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "a CGI origin takes the one for the other",
            Sends::get("/p").header("X_Forwarded_Host", "evil.example"),
            Sees::get("/p").without("x_forwarded_host").without("x-forwarded-host").answers("x"),
            Gets::status(200),
        )
        .await;
}

#[tokio::test]
async fn a_field_that_connection_names_is_gone_for_the_key_as_for_the_origin() {
    let front = Front::with(PAGES).await;
    front.origin.on(
        "/p",
        Answer::from_fn(|request| {
            let language = request.header("accept-language").unwrap_or("none").to_owned();
            Answer::ok(language).header("vary", "accept-language")
        }),
    );
    let mut client = front.client().await;
    let named = client.get("/p").header("accept-language", "de").header("connection", "accept-language").send().await;
    assert_eq!(named.text(), "none");
    assert_eq!(client.get("/p").header("accept-language", "de").send().await.text(), "de");
}

#[tokio::test]
async fn an_assembled_page_gives_no_cache_after_us_leave_to_keep_it() {
    let front = Front::with(
        "rules:
  - {name: user, match: {path: /user}, pass: true}
  - {name: mine, match: {path: /mine}, cache: {client_cache_control: 'public, max-age=60'}, esi: true}
  - {name: pages, cache: {ttl: 1h}, esi: true}",
    )
    .await;
    let page = || Answer::ok("<esi:include src='/user'/>").header("content-type", "text/html");
    front.origin.on("/p", page().header("cdn-cache-control", "max-age=600").header("cache-control", "max-age=9"));
    front.origin.on("/mine", page().header("cache-control", "private").header("set-cookie", "sid=SECRET"));
    front.origin.on("/bank", page().header("cache-control", "no-store"));
    front.origin.on("/user", Answer::ok("me").header("cache-control", "private"));
    for _ in 0..2 {
        let got = front.get("/p").await;
        assert_eq!((got.header("cache-control"), got.header("cdn-cache-control")), (Some("private, no-cache"), None));
        let mine = front.get("/mine").await;
        assert_eq!((mine.header("cache-control"), mine.text()), (Some("private, no-cache"), "me"));
        assert_eq!(front.get("/bank").await.header("cache-control"), Some("private, no-store"));
    }
}

#[tokio::test]
async fn rules_with_other_origins_or_another_reading_have_responses_of_their_own() {
    let (live, beta) = (copal_testkit::ScriptedOrigin::start().await, copal_testkit::ScriptedOrigin::start().await);
    live.on("/p", Answer::ok("live <esi:remove>x</esi:remove>").header("content-type", "text/html"));
    beta.on("/p", Answer::ok("beta").header("content-type", "text/html"));
    let yaml = format!(
        "origins: {{live: '{}', beta: '{}'}}
rules:
  - {{name: beta, match: {{header: {{x-beta: '1'}}}}, cache: {{ttl: 1h}}, origin: beta}}
  - {{name: esi, match: {{header: {{x-esi: '1'}}}}, cache: {{ttl: 1h}}, esi: true}}
  - {{name: live, cache: {{ttl: 1h}}}}",
        live.url(),
        beta.url()
    );
    let front = Front::exactly(&yaml).await;
    let mut client = front.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/p").header("x-beta", "1").send().await.text(), "beta");
        assert_eq!(client.get("/p").header("x-esi", "1").send().await.text(), "live ");
        assert_eq!(client.get("/p").send().await.text(), "live <esi:remove>x</esi:remove>");
    }
    assert_eq!((live.count("/p"), beta.count("/p")), (2, 1));
}

#[tokio::test]
async fn a_page_that_became_private_or_went_is_not_served_stale_any_more() {
    for answer in [Answer::ok("mine").header("cache-control", "private"), Answer::status(403)] {
        let front = Front::with("rules: [{name: pages, match: {path: '/**'}, cache: {grace: 6h}}]").await;
        front.origin.on("/p", Answer::ok("PUBLIC").header("cache-control", "max-age=1"));
        assert_eq!(front.get("/p").await.text(), "PUBLIC");
        front.clock.advance(Duration::from_secs(10));
        front.origin.replace("/p", answer);
        assert_eq!(front.get("/p").await.text(), "PUBLIC", "stale once, while the refresh runs");
        front.until(|| async { front.get("/p").await.text() != "PUBLIC" }).await;
    }
}

#[tokio::test]
async fn vary_on_the_forwarded_address_counts_what_the_origin_sees() {
    let front = Front::with(&format!("trusted_proxies: [127.0.0.0/8]\n{PAGES}")).await;
    front.origin.on(
        "/p",
        Answer::from_fn(|request| {
            let chain = request.header("x-forwarded-for").unwrap_or_default().to_owned();
            Answer::ok(chain).header("vary", "x-forwarded-for")
        }),
    );
    let mut client = front.client().await;
    for address in ["198.51.100.1", "198.51.100.2", "198.51.100.1"] {
        let got = client.get("/p").header("x-forwarded-for", address).send().await;
        assert_eq!(got.text(), format!("{address}, 127.0.0.1"));
    }
    assert_eq!(front.origin.count("/p"), 2);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_one_it_speaks_for_must_be_allowed_to_purge() {
    let yaml = format!("trusted_proxies: [127.0.0.1]\npurge: {{allow: [127.0.0.0/8, 10.0.0.0/8]}}\n{PAGES}");
    let front = Front::with_purge(&yaml).await;
    let mut client = Client::connect(front.address).await;
    for (spoken_for, status) in [("203.0.113.9", 403), ("10.0.0.1, 203.0.113.9", 403), ("10.0.0.1", 200), ("junk", 403)]
    {
        let got = client.request("PURGE", "/p").header("x-forwarded-for", spoken_for).send().await;
        assert_eq!(got.status, status, "{spoken_for}");
    }
    assert_eq!(client.request("PURGE", "/p").send().await.status, 200);
}

#[tokio::test]
async fn only_a_websocket_is_switched_to() {
    let front = Front::with(PAGES).await;
    front.origin.on("/p", "x");
    let mut client = front.client().await;
    client.get("/p").send().await;
    for (upgrade, connection) in
        [("h2c", "upgrade, http2-settings"), ("h2c", "keep-alive"), ("websocket", "keep-alive")]
    {
        let got = client.get("/p").header("upgrade", upgrade).header("connection", connection).send().await;
        assert!(got.header("cache-status").unwrap().contains("detail=hit"), "{upgrade} {connection}");
    }
}

#[tokio::test]
async fn a_page_that_includes_itself_or_too_much_ends() {
    let front = Front::with("esi: {max_includes: 20}\nrules: [{name: pages, cache: {ttl: 1h}, esi: true}]").await;
    let html = |body: String| Answer::ok(body).header("content-type", "text/html");
    front.origin.on("/self", html(format!("[{}]", "<esi:include src='/self'/>".repeat(200))));
    let tree = |level: u8| (0..9).map(|n| format!("<esi:include src='/tree/{level}/{n}'/>")).collect::<String>();
    front.origin.on("/tree", html(format!("top{}", tree(0))));
    for n in 0..9 {
        front.origin.on(&format!("/tree/0/{n}"), html(format!("a{}", tree(1))));
        front.origin.on(&format!("/tree/1/{n}"), html("b".to_owned()));
    }
    for _ in 0..2 {
        assert_eq!(front.get("/self").await.text(), "[]");
        let page = front.get("/tree").await;
        let fragments = page.text().bytes().filter(|byte| matches!(byte, b'a' | b'b')).count();
        assert!(page.text().starts_with("top") && fragments <= 20, "{fragments} fragments");
    }
}

#[tokio::test]
async fn a_part_of_a_template_is_never_assembled() {
    let front = Front::with("rules: [{name: mine, pass: true, esi: true}]").await;
    front.origin.on("/p", Answer::ok("0123<esi:remove>x</esi:remove>").header("content-type", "text/html"));
    let mut client = front.client().await;
    let got = client.get("/p").header("range", "bytes=0-9").send().await;
    assert_eq!((got.status, got.text()), (200, "0123"));
    assert!(front.origin.last().header("range").is_none());
}

#[tokio::test]
async fn a_cookie_is_not_lost_in_a_304() {
    let front = Front::with(PAGES).await;
    let login =
        Answer::ok("x").header("cache-control", "private").header("etag", "\"v\"").header("set-cookie", "sid=NEW");
    front.origin.on("/p", login);
    let mut client = front.client().await;
    let got = client.get("/p").header("if-none-match", "\"v\"").send().await;
    assert_eq!((got.status, got.header("set-cookie")), (200, Some("sid=NEW")));
}

#[tokio::test]
async fn age_and_via_are_on_every_answer_that_owes_them() {
    let front =
        Front::with("rules: [{name: tea, match: {path: /tea}, respond: {status: 418}}, {name: pages, cache: {}}]")
            .await;
    front
        .origin
        .on("/p", Answer::ok("x").header("cache-control", "max-age=900").header("age", "500").header("etag", "\"e\""));
    let mut client = front.client().await;
    assert_eq!(client.get("/p").send().await.header("age"), Some("500"), "on the first delivery too");
    let unchanged = client.get("/p").header("if-none-match", "\"e\"").send().await;
    assert_eq!((unchanged.status, unchanged.header("via")), (304, Some("1.1 copal")));
    for target in ["/tea", "/p", "/none"] {
        assert!(client.get(target).send().await.header("via").is_some_and(|via| via.contains("copal")), "{target}");
    }
    assert!(client.request("PURGE", "/p").send().await.header("via").is_some());
}
