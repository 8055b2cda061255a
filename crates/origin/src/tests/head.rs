//! Response heads: large ones, and wrong ones.

use super::*;
use copal_testkit::Answer;

#[tokio::test]
async fn large_heads_come_through_whole() {
    let (server, origin) = one().await;
    let tags = "node:1234567 ".repeat(256 * 1024 / 13 + 1);
    assert!(tags.len() > 256 << 10);
    server.on("/bytes", Answer::ok("a").header("x-tags", tags.trim_end()));
    let many = (0..199).fold(Answer::ok("a"), |answer, index| answer.header("x-line", index.to_string()));
    server.on("/lines", many);
    let response = get(&origin, "/bytes").await.unwrap();
    assert_eq!(response.headers["x-tags"].len(), tags.len() - 1);
    assert_eq!(whole(response.body).await.unwrap(), "a");
    let response = get(&origin, "/lines").await.unwrap();
    assert_eq!(response.headers.get_all("x-line").iter().count(), 199);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn larger_heads_are_told_apart_from_broken_ones() {
    let server = ScriptedOrigin::start().await;
    let origin = Origin::new(OriginSettings { max_header_bytes: 16 << 10, ..settings(&[server.url()]) }).unwrap();
    server.on("/bytes", Answer::ok("a").header("x-tags", "a".repeat(20 << 10)));
    server.on("/one-packet", Answer::ok("a").header("x-tags", "a".repeat(16 << 10)));
    let many = (0..300).fold(Answer::ok("a"), |answer, _| answer.header("x", "y"));
    server.on("/lines", many);
    for target in ["/bytes", "/one-packet", "/lines"] {
        let error = get(&origin, target).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.proxy_status()),
            (Kind::TooLarge, "http_response_header_section_size"),
            "{target}"
        );
    }
}

#[tokio::test]
async fn a_small_limit_holds_below_the_size_of_a_read_buffer() {
    let server = ScriptedOrigin::start().await;
    let origin = Origin::new(OriginSettings { max_header_bytes: 1 << 10, ..settings(&[server.url()]) }).unwrap();
    server.on("/", Answer::ok("a").header("x-tags", "a".repeat(2 << 10)));
    assert_eq!(text(&origin, "/").await, Err(Kind::TooLarge));
    assert_eq!(text(&origin, "/none").await.unwrap(), "no answer scripted");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let (server, origin) = one().await;
    for (index, raw) in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a : space\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, nonsense\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: nonsense, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: nonsense\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: chat\r\nconnection: upgrade\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{index}");
        server.on(&target, Answer::raw(raw).close());
        assert_eq!(text(&origin, &target).await, Err(Kind::Protocol), "{raw:?}");
    }
}

#[tokio::test]
async fn an_unknown_coding_is_read_to_the_close_and_its_connection_not_kept_rfc9112_6_3() {
    let (server, origin) = one().await;
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: nonsense\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    server.on("/", Answer::raw(raw).close());
    server.on("/head", Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: nonsense\r\n\r\n"));
    assert_eq!(text(&origin, "/").await.unwrap(), "5\r\nhello\r\n0\r\n\r\n");
    // Nothing follows the head of this one, and the server does not close.
    let response = send(&origin, request("HEAD", "/head", RequestBody::Empty)).await.unwrap();
    assert_eq!(whole(response.body).await.unwrap(), "");
    assert_eq!(origin.idle(), [0]);
}

#[tokio::test]
async fn transfer_encoding_beats_content_length_rfc9112_6_3() {
    let (server, origin) = one().await;
    let raw = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    server.on("/", Answer::raw(raw));
    let response = get(&origin, "/").await.unwrap();
    assert_eq!(response.headers.get("content-length"), None);
    assert_eq!(whole(response.body).await.unwrap(), "hello");
}
