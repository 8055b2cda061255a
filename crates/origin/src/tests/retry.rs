//! Which server gets a request, and when another one gets it too.

use super::*;
use crate::Retry;
use copal_testkit::{Answer, refused_address};

async fn refused() -> String {
    format!("http://{}", refused_address().await)
}

#[tokio::test]
async fn servers_take_turns() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    let origin = origin(&servers.each_ref());
    for _ in 0..6 {
        get(&origin, "/").await.unwrap();
    }
    assert_eq!(servers.each_ref().map(|server| server.count("/")), [2, 2, 2]);
}

#[tokio::test]
async fn a_refused_connection_sends_any_request_to_the_next_server() {
    let server = ScriptedOrigin::start().await;
    server.on("*", Answer::echo());
    let origin = Origin::new(settings(&[refused().await, server.url()])).unwrap();
    for _ in 0..2 {
        let (pieces, body) = upload();
        pieces.send(piece("a body")).unwrap();
        drop(pieces);
        let response = send(&origin, request("POST", "/form", body)).await.unwrap();
        assert!(whole(response.body).await.unwrap().ends_with("a body"));
    }
    assert_eq!(server.count("POST /form"), 2);
}

#[tokio::test]
async fn all_refused_is_an_error_that_says_so() {
    let urls = [refused().await, refused().await];
    let origin = Origin::new(settings(&urls)).unwrap();
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::ConnectRefused, "connection_refused"));
    assert!(error.kind().nothing_sent());
    assert_eq!(format!("http://{}", error.server().unwrap()), urls[1]);
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn no_more_servers_are_tried_than_allowed() {
    let server = ScriptedOrigin::start().await;
    let urls = [refused().await, refused().await, server.url()];
    let with =
        |tries| Origin::new(OriginSettings { retry: Retry { tries, ..Retry::default() }, ..settings(&urls) }).unwrap();
    assert_eq!(text(&with(1), "/").await, Err(Kind::ConnectRefused));
    assert_eq!(get(&with(2), "/").await.unwrap().status.as_u16(), 404);
}

/// A server with one kept connection to it, on which the next request is answered by `answer`, and by `again` after that.
async fn kept_then(answer: Answer) -> (ScriptedOrigin, Arc<Origin>) {
    let (server, origin) = one().await;
    get(&origin, "/first").await.unwrap();
    server.on("/", answer.once());
    server.on("/", "again");
    (server, origin)
}

#[tokio::test]
async fn a_kept_connection_that_closes_unanswered_is_retried_where_that_is_safe_rfc9110_9_2_2() {
    let full = || RequestBody::Full(Bytes::from_static(b"body"));
    let empty = RequestBody::default;
    let again = |outcome: Result<OriginResponse, OriginError>| outcome.map(|response| response.status.as_u16());
    for (method, body, retried) in [
        ("GET", empty as fn() -> RequestBody, true),
        ("HEAD", empty as fn() -> RequestBody, true),
        ("PUT", full, true),
        ("DELETE", empty as fn() -> RequestBody, true),
        ("POST", full, false),
        ("PATCH", full, false),
        ("PURGE", empty as fn() -> RequestBody, false),
    ] {
        for end in [Answer::hang_up(), Answer::reset()] {
            let (server, origin) = kept_then(end).await;
            let outcome = again(send(&origin, request(method, "/", body())).await);
            match retried {
                true => assert_eq!(outcome.unwrap(), 200, "{method}"),
                false => assert_eq!(outcome.unwrap_err().kind(), Kind::Closed, "{method}"),
            }
            let seen = server.requests();
            assert_eq!(seen.len(), 2 + usize::from(retried), "{method}");
            assert_eq!(seen[1].text(), seen[seen.len() - 1].text(), "{method}: the same request");
        }
    }
}

#[tokio::test]
async fn a_stream_cannot_be_sent_again() {
    let (server, origin) = kept_then(Answer::hang_up()).await;
    let (pieces, body) = upload();
    pieces.send(piece("a")).unwrap();
    drop(pieces);
    let error = send(&origin, request("PUT", "/", body)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
    assert_eq!(server.count("/"), 1);
}

#[tokio::test]
async fn a_response_that_had_begun_is_not_asked_for_again() {
    let (server, origin) = kept_then(Answer::raw("HTTP/1.1 2").close()).await;
    assert_eq!(text(&origin, "/").await, Err(Kind::Closed));
    assert_eq!(server.count("/"), 1);
}

#[tokio::test]
async fn a_fresh_connection_that_closes_unanswered_is_an_error() {
    // The request itself may be what the server fails on: it must not take down one server after the other.
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers.iter().for_each(|server| server.on("/", Answer::hang_up()));
    let origin = origin(&servers.each_ref());
    assert_eq!(text(&origin, "/").await, Err(Kind::Closed));
    assert_eq!(servers.each_ref().map(|server| server.count("/")), [1, 0]);
}

#[tokio::test]
async fn a_second_kept_connection_is_not_tried_after_one_that_was_closed() {
    let (server, origin) = one().await;
    let (one_body, one_answer) = Answer::stream();
    let (two_body, two_answer) = Answer::stream();
    server.on("/one", one_answer);
    server.on("/two", two_answer);
    let one = get(&origin, "/one").await.unwrap().body;
    let two = get(&origin, "/two").await.unwrap().body;
    one_body.end();
    two_body.end();
    whole(one).await.unwrap();
    whole(two).await.unwrap();
    server.on("/", Answer::hang_up().once());
    server.on("/", "fresh");
    assert_eq!(text(&origin, "/").await.unwrap(), "fresh");
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again_without_an_error() {
    let (server, origin) = one().await;
    server.on("/", "before");
    assert_eq!(text(&origin, "/").await.unwrap(), "before");
    server.stop().await;
    assert_eq!(text(&origin, "/").await, Err(Kind::ConnectRefused));
    let server = ScriptedOrigin::start_at(server.address()).await;
    server.on("/", "after");
    assert_eq!(text(&origin, "/").await.unwrap(), "after");
}
