//! Request bodies.

use super::*;
use copal_testkit::Answer;

#[tokio::test]
async fn a_stream_of_unknown_length_goes_in_chunks_as_it_comes() {
    let (server, origin) = one().await;
    server.on("/", "done");
    let (pieces, body) = upload();
    let feeding = async {
        pieces.send(piece("one")).unwrap();
        server.wait_until("the first piece", |seen| seen.first().is_some_and(|it| it.body == "one")).await;
        pieces.send(piece("two")).unwrap();
        drop(pieces);
    };
    let (response, ()) = tokio::join!(send(&origin, request("POST", "/", body)), feeding);
    assert_eq!(whole(response.unwrap().body).await.unwrap(), "done");
    let seen = server.last();
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (Some("chunked"), None));
    assert_eq!(seen.body, "onetwo");
    assert_eq!(text(&origin, "/").await.unwrap(), "done");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_stream_with_a_length_keeps_it() {
    let (server, origin) = one().await;
    let (pieces, body) = upload();
    pieces.send(piece("one")).unwrap();
    drop(pieces);
    let mut asked = request("PUT", "/", body);
    asked.headers_mut().insert("content-length", "3".parse().unwrap());
    send(&origin, asked).await.unwrap();
    let seen = server.last();
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (None, Some("3")));
    assert_eq!(seen.body, "one");
}

/// Sends an upload of which `first` reaches the server before `then` happens to it; gives the error.
async fn broken_upload(length: Option<&str>, then: impl FnOnce(Sender)) -> OriginError {
    let (server, origin) = one().await;
    let (pieces, body) = upload();
    let mut asked = request("PUT", "/", body);
    if let Some(length) = length {
        asked.headers_mut().insert("content-length", length.parse().unwrap());
    }
    let feeding = async {
        pieces.send(piece("one")).unwrap();
        server.wait_until("the first piece", |seen| seen.first().is_some_and(|it| it.body == "one")).await;
        then(pieces);
    };
    let (response, ()) = tokio::join!(send(&origin, asked), feeding);
    server.wait_for_open_connections(0).await;
    assert!(!server.last().complete, "a broken upload must not look whole");
    response.unwrap_err()
}

#[tokio::test]
async fn a_body_shorter_than_announced_fails_and_is_its_senders_fault() {
    let error = broken_upload(Some("9"), drop).await;
    assert_eq!((error.kind(), error.fault()), (Kind::RequestBody, crate::Fault::Client));
}

#[tokio::test]
async fn a_body_that_fails_fails_the_exchange() {
    let gone = |pieces: Sender| pieces.send(Err("the client has gone".into())).unwrap();
    for length in [None, Some("9")] {
        let error = broken_upload(length, gone).await;
        assert_eq!((error.kind(), error.proxy_status()), (Kind::RequestBody, "http_request_error"));
    }
}

#[tokio::test]
async fn a_full_body_has_its_length_and_a_post_without_one_says_so() {
    let (server, origin) = one().await;
    let full = RequestBody::Full(Bytes::from_static(b"abc"));
    send(&origin, request("POST", "/", full)).await.unwrap();
    assert_eq!((server.last().header("content-length"), server.last().body), (Some("3"), "abc".into()));
    send(&origin, request("POST", "/", RequestBody::Empty)).await.unwrap();
    assert_eq!(server.last().header("content-length"), Some("0"));
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_is_received() {
    let (server, origin) = one().await;
    // The server closes without reading, which breaks our writes, and we have not read all of its response by then.
    let text = "too large ".repeat(3000);
    let refusal = Answer::status(413).header("connection", "close").body(text.clone());
    server.on("/", refusal.early());
    let full = RequestBody::Full(Bytes::from(vec![b'x'; 32 << 20]));
    let response = send(&origin, request("POST", "/", full)).await.unwrap();
    assert_eq!(response.status.as_u16(), 413);
    assert_eq!(whole(response.body).await.unwrap(), text);
    assert_eq!(server.count("/"), 1);
}

#[tokio::test]
async fn an_upload_goes_on_after_the_response_head_although_nobody_reads_the_response() {
    let (server, origin) = one().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer.early());
    let (pieces, body) = upload();
    let mut response = send(&origin, request("POST", "/", body)).await.unwrap();
    handle.send("begun ");
    handle.end();
    pieces.send(piece("late")).unwrap();
    drop(pieces);
    server.wait_for(1).await;
    assert_eq!(server.last().body, "late");
    assert_eq!(next(&mut response.body).await.unwrap().unwrap(), "begun ");
    assert!(next(&mut response.body).await.is_none());
}

#[tokio::test]
async fn an_upload_ends_with_whoever_gives_its_response_up() {
    let (server, origin) = one().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer.early());
    let (pieces, body) = upload();
    let response = send(&origin, request("POST", "/", body)).await.unwrap();
    drop(response);
    handle.closed().await;
    pieces.closed().await;
    server.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn a_complete_response_ends_an_upload_that_is_not() {
    let (server, origin) = one().await;
    server.on("/", Answer::ok("enough").early());
    let (pieces, body) = upload();
    let response = send(&origin, request("POST", "/", body)).await.unwrap();
    assert_eq!(whole(response.body).await.unwrap(), "enough");
    pieces.closed().await;
    server.wait_for_open_connections(0).await;
    assert!(!server.last().complete);
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    let (server, origin) = one().await;
    server.on("/", Answer::from_fn(|request| Answer::ok(request.body.clone())));
    let bytes: Vec<u8> = (0..4_u32 << 20).map(|index| b'a' + (index % 23) as u8).collect();
    let full = RequestBody::Full(Bytes::from(bytes.clone()));
    let response = send(&origin, request("POST", "/", full)).await.unwrap();
    assert_eq!(whole(response.body).await.unwrap().as_bytes(), bytes);
}
