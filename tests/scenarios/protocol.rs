//! HTTP/1.1 itself: upgrades, `Expect: 100-continue`, streamed bodies, methods, requests that cannot be understood.

use copal_testkit::{Answer, Client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::front::Front;

#[tokio::test]
async fn a_websocket_upgrade_is_passed_and_bytes_flow_both_ways() {
    let front = Front::with("").await;
    front.origin.on("/ws", Answer::upgrade("websocket"));
    let mut client = front.client().await;
    let got = client.get("/ws").upgrade("websocket").send().await;
    assert_eq!((got.status, got.header("upgrade")), (101, Some("websocket")));
    assert!(got.header("cache-status").unwrap().contains("detail=upgrade"));
    let mut io = client.into_io();
    io.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    io.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body_is_sent() {
    let front = Front::with("").await;
    front.origin.on("POST /up", Answer::status(201));
    let mut client = front.client().await;
    client.send("POST /up HTTP/1.1\r\nHost: test.example\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.interim().await.status, 100);
    client.send("body").await;
    assert_eq!(client.response().await.status, 201);
    assert_eq!(front.origin.last().body, "body");
}

#[tokio::test]
async fn a_status_that_needs_no_body_is_sent_without_a_100_rfc9110_10_1_1() {
    let rules = "rules: [{name: no, match: {path: /no}, respond: {status: 403, body: no}}]";
    let front = Front::before(&[format!("http://{}", copal_testkit::refused_address().await)], rules).await;
    for (target, status) in [("/no", 403), ("/origin-is-gone", 502)] {
        let mut client = front.client().await;
        client
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: test.example\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
            ))
            .await;
        let got = client.response().await;
        assert_eq!((got.status, got.interim.len()), (status, 0), "{target}");
        // Nobody can tell whether the body comes: what follows could not be told from it.
        assert_eq!(client.closed().await, "", "{target}");
    }
}

#[tokio::test]
async fn an_expectation_that_is_not_known_is_417_rfc9110_10_1_1() {
    let front = Front::with("").await;
    front.origin.on("POST /up", "thanks");
    for (version, expects, status) in [
        ("1.1", "200-ok", 417),
        ("1.1", "100-continue, more", 417),
        ("1.1", "100-continue;a=b", 417),
        ("1.1", "100-Continue", 200),
        ("1.1", "100-continue, ", 200),
        ("1.1", "", 200),
        // An older client knows no expectations: whatever it says means nothing.
        ("1.0", "200-ok", 200),
        ("1.0", "100-continue", 200),
    ] {
        let mut client = front.client().await;
        let head =
            format!("POST /up HTTP/{version}\r\nHost: test.example\r\nContent-Length: 4\r\nExpect: {expects}\r\n\r\n");
        client.send(head).await;
        client.write("body").await;
        let got = client.response().await;
        assert_eq!(got.status, status, "{version} {expects:?}");
        assert!(version == "1.1" || got.interim.is_empty(), "{expects:?}");
        if status == 200 {
            assert_eq!((front.origin.last().header("expect"), &*front.origin.last().body), (None, &b"body"[..]));
        }
    }
    assert_eq!(front.origin.requests().len(), 5);
}

#[tokio::test]
async fn request_bodies_are_streamed_with_their_framing() {
    let front = Front::with("").await;
    front.origin.on("POST /up", Answer::ok("thanks"));
    let mut client = front.client().await;
    client.post("/up", "12345").send().await;
    assert_eq!((front.origin.last().header("content-length"), &*front.origin.last().body), (Some("5"), &b"12345"[..]));
    let got = client.request("POST", "/up").chunks(["ab", "cd"]).send().await;
    assert_eq!(got.text(), "thanks");
    assert_eq!(
        (front.origin.last().header("transfer-encoding"), &*front.origin.last().body),
        (Some("chunked"), &b"abcd"[..])
    );
    assert!(got.header("cache-status").unwrap().contains("fwd=method"));
}

#[tokio::test]
async fn a_body_is_streamed_to_the_client_while_it_passes() {
    let front = Front::with("rules: [{name: all, pass: true}]").await;
    let (body, answer) = Answer::stream();
    front.origin.on("/events", answer);
    let mut client = front.client().await;
    let mut reading = client.get("/events").stream().await;
    body.send("data: 1\n\n");
    assert_eq!(reading.read_some().await.unwrap(), "data: 1\n\n");
    body.cut();
    assert!(reading.try_rest().await.is_err(), "a stream that breaks off is not mistaken for a whole one");
}

#[tokio::test]
async fn a_length_beside_chunks_never_reaches_an_origin() {
    let front = Front::with("").await;
    front.origin.on("POST /p", "x");
    // RFC 9112 §6.3: the chunks count, and the length goes no further.
    for framing in
        ["Transfer-Encoding: chunked\r\nContent-Length: 3", "Content-Length: 3\r\nTransfer-Encoding: chunked"]
    {
        let mut client = Client::connect(front.address).await;
        client.send(format!("POST /p HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n2\r\nab\r\n0\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 200);
        let seen = front.origin.last();
        assert_eq!((seen.header("content-length"), &*seen.body), (None, &b"ab"[..]), "{framing}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_loses_nothing() {
    let front = Front::with("").await;
    front.origin.on("/p", "x");
    for (bytes, status) in [
        ("GET /p HTTP/1.1\r\n\r\n", 400),
        ("GET /p HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /p HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /p HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("TRACE /p HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /p\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    ] {
        let mut client = Client::connect(front.address).await;
        client.send(bytes).await;
        assert_eq!(client.response().await.status, status, "{bytes:?}");
    }
    assert_eq!(front.origin.requests().len(), 0);
    assert_eq!(front.get("/p").await.status, 200);
}
