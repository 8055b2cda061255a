//! Interim responses (RFC 9110 §15.2): relayed at once, to the one client whose request brought them, and never kept; and
//! early hints (RFC 8297) that Copal sends by itself.

use copal_testkit::{Answer, Client, ClientResponse, Gate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::front::Front;

const PASS: &str = "rules: [{name: all, pass: true}]";
const CACHE: &str = "rules: [{name: all, cache: {ttl: 1h}}]";

const STYLE: &str = "</a.css>; rel=preload; as=style";

fn hinted(body: &'static str) -> Answer {
    Answer::ok(body).interim(103, &[("link", STYLE)])
}

fn statuses(response: &ClientResponse) -> Vec<u16> {
    response.interim.iter().map(|interim| interim.status).collect()
}

/// Asks, and waits for the 103 while the origin holds the final response back.
async fn hint_first<'c>(
    front: &Front,
    client: &'c mut Client,
    target: &str,
    body: &'static str,
) -> (&'c mut Client, Gate) {
    let (gate, answer) = Answer::gated(hinted(body));
    front.origin.on(target, answer);
    let client = client.get(target).write().await;
    let interim = client.interim().await;
    assert_eq!((interim.status, interim.header("link")), (103, Some(STYLE)));
    (client, gate)
}

#[tokio::test]
async fn a_103_reaches_the_client_while_the_final_response_is_not_there() {
    for rules in [PASS, CACHE] {
        let front = Front::with(rules).await;
        let mut client = front.client().await;
        for target in ["/one", "/two"] {
            let (client, gate) = hint_first(&front, &mut client, target, "page").await;
            gate.open();
            let page = client.response().await;
            assert_eq!((page.status, page.text(), page.header("link")), (200, "page", None), "{rules}");
        }
    }
}

#[tokio::test]
async fn only_the_leaders_client_gets_it_and_no_later_one() {
    let front = Front::with(CACHE).await;
    let (body, answer) = Answer::stream();
    front.origin.on("/page", answer.interim(103, &[("link", STYLE)]));
    let (mut one, mut two) = (front.client().await, front.client().await);
    let mut leader = one.get("/page").stream().await;
    assert_eq!(statuses(leader.head()), [103]);
    body.send("pa");
    assert_eq!(leader.read_some().await.unwrap(), "pa");
    let follower = two.get("/page").stream().await;
    assert!(follower.head().header("cache-status").unwrap().contains("collapsed"));
    body.send("ge");
    body.end();
    let follower = follower.rest().await;
    assert_eq!((follower.text(), statuses(&follower), follower.header("link")), ("page", vec![], None));
    assert_eq!(leader.rest().await.text(), "page");
    let later = front.get("/page").await;
    assert_eq!((later.text(), statuses(&later), later.header("link")), ("page", vec![], None));
    assert!(later.header("cache-status").unwrap().contains("hit"));
    assert_eq!(front.origin.count("/page"), 1);
}

#[tokio::test]
async fn all_of_them_come_in_order_but_100() {
    for rules in [PASS, CACHE] {
        let front = Front::with(rules).await;
        let answer = Answer::ok("page")
            .interim(102, &[])
            .interim(103, &[("link", "</1>; rel=preload")])
            .interim(100, &[])
            .interim(103, &[("link", "</2>; rel=preload"), ("link", "</3>; rel=preload")])
            .interim(199, &[("x-a", "b")]);
        front.origin.on("/page", answer);
        let page = front.get("/page").await;
        assert_eq!((page.text(), statuses(&page)), ("page", vec![102, 103, 103, 199]), "{rules}");
        assert_eq!(page.interim[1].header("link"), Some("</1>; rel=preload"));
        let links: Vec<_> = page.interim[2].all("link").collect();
        assert_eq!(links, ["</2>; rel=preload", "</3>; rel=preload"]);
        assert_eq!((page.interim[3].header("x-a"), page.header("x-a")), (Some("b"), None));
    }
}

#[tokio::test]
async fn fields_of_the_connection_and_between_origin_and_copal_go_no_further() {
    let front = Front::with(PASS).await;
    let fields = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("surrogate-control", "max-age=5"),
        ("content-length", "5"),
        ("link", STYLE),
    ];
    front.origin.on("/page", Answer::ok("page").interim(103, &fields));
    let page = front.get("/page").await;
    let mut names: Vec<_> = page.interim[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["link", "via"]);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_none_rfc9110_15_2() {
    for rules in [PASS, CACHE] {
        let front = Front::with(rules).await;
        front.origin.on("/page", hinted("page"));
        let mut client = front.client().await;
        client.send("GET /page HTTP/1.0\r\nHost: test.example\r\n\r\n").await;
        let page = client.response().await;
        assert_eq!((page.status, page.text(), statuses(&page)), (200, "page", vec![]), "{rules}");
    }
}

#[tokio::test]
async fn pipelined_requests_get_each_its_own() {
    for rules in [PASS, CACHE] {
        let front = Front::with(rules).await;
        front.origin.on("/plain", "plain");
        let (gate, second) = Answer::gated(hinted("second"));
        front.origin.on("/first", hinted("first"));
        front.origin.on("/second", second);
        let mut client = front.client().await;
        let all: String = ["/plain", "/first", "/plain", "/second", "/plain"]
            .iter()
            .map(|target| format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n"))
            .collect();
        client.write(all).await;
        let mut got = Vec::new();
        for _ in 0..3 {
            let response = client.response().await;
            got.push((response.text().to_owned(), statuses(&response)));
        }
        assert_eq!(client.interim().await.status, 103);
        gate.open();
        for _ in 0..2 {
            let response = client.response().await;
            got.push((response.text().to_owned(), statuses(&response)));
        }
        let got: Vec<_> = got.iter().map(|(text, statuses)| (text.as_str(), statuses.as_slice())).collect();
        let none: &[u16] = &[];
        assert_eq!(got, [("plain", none), ("first", &[103]), ("plain", none), ("second", none), ("plain", none)]);
    }
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_in_its_place() {
    for rules in [PASS, CACHE] {
        let front = Front::with(rules).await;
        // More than the sockets on the way can hold, so that writes are cut anywhere.
        let large = "0123456789abcdef".repeat(512 << 10);
        front.origin.on("/large", Answer::ok(large.clone()));
        let field = "x".repeat(15 << 10);
        let mut answer = Answer::ok("page");
        for _ in 0..20 {
            answer = answer.interim(103, &[("x-long", &field)]);
        }
        front.origin.on("/page", answer.interim(103, &[("x-long", &field)]));
        front.origin.on("/last", hinted("last"));
        let mut client = front.client().await;
        let all: String = ["/large", "/page", "/last"]
            .iter()
            .map(|target| format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n"))
            .collect();
        client.write(all).await;
        front.origin.wait_for(1).await;
        assert_eq!(client.response().await.body, large);
        front.origin.wait_for(2).await;
        let page = client.response().await;
        // At most 16 before one response.
        assert_eq!((page.text(), statuses(&page)), ("page", vec![103; 16]), "{rules}");
        assert!(page.interim.iter().all(|interim| interim.header("x-long") == Some(&field)));
        let last = client.response().await;
        assert_eq!((last.text(), statuses(&last)), ("last", vec![103]));
    }
}

#[tokio::test]
async fn one_that_is_too_long_is_left_out() {
    let front = Front::with(PASS).await;
    let field = "x".repeat(17 << 10);
    front.origin.on("/page", hinted("page").interim(103, &[("x-long", &field)]));
    let page = front.get("/page").await;
    assert_eq!((page.text(), statuses(&page), page.interim[0].header("x-long")), ("page", vec![103], None));
}

#[tokio::test]
async fn an_upload_goes_on_behind_a_103() {
    let front = Front::with(PASS).await;
    let answer = Answer::from_fn(|request| Answer::ok(request.body.clone())).interim(103, &[("link", STYLE)]);
    front.origin.on("POST /up", answer);
    let mut client = front.client().await;
    client.send("POST /up HTTP/1.1\r\nHost: test.example\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n").await;
    let mut interim = [client.interim().await.status, client.interim().await.status];
    interim.sort_unstable();
    assert_eq!(interim, [100, 103]);
    client.write("half").await;
    client.write("half").await;
    assert_eq!(client.response().await.text(), "halfhalf");
}

#[tokio::test]
async fn a_websocket_may_be_announced() {
    let front = Front::with("").await;
    front.origin.on("/ws", Answer::upgrade("websocket").interim(103, &[("link", STYLE)]));
    let mut client = front.client().await;
    let got = client.get("/ws").upgrade("websocket").send().await;
    assert_eq!((got.status, statuses(&got)), (101, vec![103]));
    let mut io = client.into_io();
    io.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    io.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
}

#[tokio::test]
async fn a_refresh_in_the_background_and_a_fragment_bring_none() {
    let rules = "rules: [{name: all, cache: {ttl: 1m, grace: 1h}, esi: true}]";
    let front = Front::with(rules).await;
    front.origin.on("/page", Answer::ok("<esi:include src='/part'/>").header("content-type", "text/html"));
    front.origin.on("/page", hinted("new").header("content-type", "text/html"));
    front.origin.on("/part", hinted("part").header("content-type", "text/html"));
    let mut client = front.client().await;
    let page = client.get("/page").send().await;
    assert_eq!((page.text(), statuses(&page)), ("part", vec![]));
    front.clock.advance(std::time::Duration::from_secs(120));
    let (gate, part) = Answer::gated(hinted("part").header("content-type", "text/html"));
    front.origin.replace("/part", part);
    let stale = client.get("/page").write().await;
    // The page's own refresh and the fragment's.
    front.origin.wait_for(4).await;
    gate.open();
    let stale = stale.response().await;
    assert_eq!((stale.text(), statuses(&stale)), ("part", vec![]));
}

#[tokio::test]
async fn a_client_that_leaves_after_a_103_ends_no_fill() {
    let front = Front::with(CACHE).await;
    let mut client = front.client().await;
    let (_, gate) = hint_first(&front, &mut client, "/page", "page").await;
    drop(client);
    gate.open();
    let page = front.get("/page").await;
    assert_eq!((page.text(), statuses(&page)), ("page", vec![]));
    assert_eq!(front.origin.count("/page"), 1);
}

const HINTS: &str = "rules: [{name: all, cache: {ttl: 1m, early_hints: true, key: {cookies: [lang]}}}]";

/// Navigates to `/page`; what came before the final response.
async fn navigate(front: &Front, fields: &[(&str, &str)]) -> Vec<ClientResponse> {
    let mut client = front.client().await;
    let mut request = client.get("/page").header("sec-fetch-mode", "navigate");
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    request.send().await.interim
}

fn linked() -> Answer {
    Answer::ok("page").header("link", "</next>; rel=next").header("link", STYLE)
}

#[tokio::test]
async fn a_page_that_must_be_fetched_is_hinted_before_the_origin_is_heard_rfc8297() {
    let front = Front::with(HINTS).await;
    front.origin.on("/page", linked());
    assert!(navigate(&front, &[]).await.is_empty(), "nothing is known yet");
    assert!(navigate(&front, &[]).await.is_empty(), "a hit needs no hint");
    front.clock.advance(std::time::Duration::from_secs(90));
    let (gate, answer) = Answer::gated(linked());
    front.origin.replace("/page", answer);
    let mut client = front.client().await;
    let client = client.get("/page").header("sec-fetch-mode", "navigate").write().await;
    let hint = client.interim().await;
    assert_eq!(hint.headers, [("link".to_owned(), STYLE.to_owned())]);
    assert_eq!(hint.status, 103);
    gate.open();
    assert_eq!(client.response().await.text(), "page");
}

#[tokio::test]
async fn hints_are_for_those_who_navigate_under_a_rule_that_gives_them() {
    let front = Front::with(HINTS).await;
    front.origin.on("/page", linked().header("cache-control", "max-age=60"));
    let mut client = front.client().await;
    client.get("/page").send().await;
    front.clock.advance(std::time::Duration::from_secs(90));
    assert!(client.get("/page").send().await.interim.is_empty(), "no navigation");
    front.clock.advance(std::time::Duration::from_secs(90));
    assert!(client.get("/page").header("sec-fetch-mode", "cors").send().await.interim.is_empty());
    front.clock.advance(std::time::Duration::from_secs(90));
    assert!(client.head("/page").header("sec-fetch-mode", "navigate").send().await.interim.is_empty());
    front.clock.advance(std::time::Duration::from_secs(90));
    let mut old = front.client().await;
    old.send("GET /page HTTP/1.0\r\nHost: test.example\r\nSec-Fetch-Mode: navigate\r\n\r\n").await;
    assert!(old.response().await.interim.is_empty());
    front.clock.advance(std::time::Duration::from_secs(90));
    assert_eq!(navigate(&front, &[]).await.len(), 1);

    let front = Front::with("rules: [{name: all, cache: {ttl: 1m}}]").await;
    front.origin.on("/page", linked());
    navigate(&front, &[]).await;
    front.clock.advance(std::time::Duration::from_secs(90));
    assert!(navigate(&front, &[]).await.is_empty(), "the rule does not say so");
}

#[tokio::test]
async fn no_hint_tells_of_a_page_that_needed_credentials() {
    let front = Front::with(HINTS).await;
    let secret = Answer::ok("members").header("link", "</secret.css>; rel=preload").header("etag", "\"1\"");
    front.origin.on("/page", secret.header("cache-control", "max-age=0, must-revalidate"));
    front.origin.on("/page", Answer::status(401));
    navigate(&front, &[("authorization", "Basic YWRhOjE=")]).await;
    let mut client = front.client().await;
    let guest = client.get("/page").header("sec-fetch-mode", "navigate").send().await;
    assert_eq!((guest.status, statuses(&guest)), (401, vec![]));
}

#[tokio::test]
async fn hints_are_of_the_last_response_and_of_the_same_variant() {
    let front = Front::with(HINTS).await;
    let en = linked().header("vary", "x-device");
    front.origin.on("/page", en);
    navigate(&front, &[("cookie", "lang=en"), ("x-device", "phone")]).await;
    for fields in [[("cookie", "lang=de"), ("x-device", "phone")], [("cookie", "lang=en"), ("x-device", "desk")]] {
        let front_page = Answer::status(500).body("no");
        front.origin.replace("/page", front_page);
        assert!(navigate(&front, &fields).await.is_empty(), "{fields:?}");
    }
    front.clock.advance(std::time::Duration::from_secs(90));
    let same = [("cookie", "lang=en"), ("x-device", "phone")];
    assert_eq!(navigate(&front, &same).await.len(), 1);
    // The next 200 has none.
    front.origin.replace("/page", Answer::ok("page").header("vary", "x-device"));
    assert_eq!(navigate(&front, &same).await.len(), 1);
    front.clock.advance(std::time::Duration::from_secs(90));
    assert!(navigate(&front, &same).await.is_empty());
}

#[tokio::test]
async fn what_may_not_be_stored_is_not_hinted() {
    let front = Front::with(HINTS).await;
    front.origin.on("/page", linked().header("cache-control", "private"));
    navigate(&front, &[]).await;
    front.clock.advance(std::time::Duration::from_secs(90));
    assert!(navigate(&front, &[]).await.is_empty());
}

#[tokio::test]
async fn a_purge_takes_the_hints_too() {
    let front = Front::with(HINTS).await;
    front.origin.on("/page", linked());
    front.origin.on("/other", linked());
    navigate(&front, &[]).await;
    front.purge("/other").await;
    front.clock.advance(std::time::Duration::from_secs(90));
    assert_eq!(navigate(&front, &[]).await.len(), 1, "another page was purged");
    front.purge("/page").await;
    assert!(navigate(&front, &[]).await.is_empty());
}
