//! A response body that does not come as announced is an error, never a short body (RFC 9112 §8).

use super::*;
use copal_testkit::Answer;

#[tokio::test]
async fn an_early_end_is_an_error_after_what_came() {
    let (server, origin) = one().await;
    server.on("/sized", Answer::ok("hello").cut_after(2));
    server.on("/sized-none", Answer::ok("hello").cut_after(0));
    server.on("/sized-reset", Answer::ok("hello").reset_after(2));
    server.on("/chunked", Answer::ok("hello").chunked().cut_after(2));
    server.on("/chunked-whole", Answer::ok("hello").chunked().cut_after(5));
    for target in ["/sized", "/sized-none", "/sized-reset", "/chunked", "/chunked-whole"] {
        let mut body = get(&origin, target).await.unwrap().body;
        let mut came = String::new();
        let error = loop {
            match next(&mut body).await {
                Some(Ok(piece)) => came.push_str(std::str::from_utf8(&piece).unwrap()),
                Some(Err(error)) => break error,
                None => panic!("{target}: {came:?} passed for a whole body"),
            }
        };
        assert_eq!((error.kind(), error.proxy_status()), (Kind::Incomplete, "http_response_incomplete"), "{target}");
        assert_eq!(error.server(), Some(server.address().to_string().as_str()));
        assert!("hello".starts_with(&came), "{target}");
        assert!(next(&mut body).await.is_none() && http_body::Body::is_end_stream(&body));
    }
    // Nothing of these connections is used again.
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_cut_while_somebody_waits_is_noticed_at_once() {
    let (server, origin) = one().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer);
    let mut body = get(&origin, "/").await.unwrap().body;
    handle.send("a");
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
    let (piece, ()) = tokio::join!(next(&mut body), async { handle.reset() });
    assert_eq!(piece.unwrap().unwrap_err().kind(), Kind::Incomplete);
}

#[tokio::test]
async fn broken_chunks_are_no_http() {
    let (server, origin) = one().await;
    server.on("/", Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"));
    assert_eq!(text(&origin, "/").await, Err(Kind::Protocol));
}

#[tokio::test]
async fn pieces_come_as_they_are_sent() {
    let (server, origin) = one().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer);
    let mut body = get(&origin, "/").await.unwrap().body;
    for text in ["one", "two", "three"] {
        handle.send(text);
        assert_eq!(next(&mut body).await.unwrap().unwrap(), text);
    }
    handle.end();
    assert!(next(&mut body).await.is_none());
    assert_eq!(text(&origin, "/none").await.unwrap(), "no answer scripted");
    assert_eq!(server.connections(), 1);
}
