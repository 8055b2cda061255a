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
