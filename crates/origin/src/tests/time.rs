//! The limits of time, under a paused clock.

use super::*;
use crate::Timeouts;
use copal_testkit::Answer;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::advance;

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let (server, origin) = one().await;
    server.on("/", Answer::silence());
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::FirstByteTimeout, "http_response_timeout"));
    assert_eq!(server.count("/"), 1);
    server.wait_for_open_connections(0).await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_starts_anew_on_a_kept_connection() {
    let (server, origin) = one().await;
    server.on("/", "a");
    server.on("/silent", Answer::silence());
    for _ in 0..3 {
        assert_eq!(text(&origin, "/").await.unwrap(), "a");
        advance(Duration::from_secs(40)).await;
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(text(&origin, "/silent").await, Err(Kind::FirstByteTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_pauses_is_given_up() {
    let (server, origin) = one().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer);
    let mut body = get(&origin, "/").await.unwrap().body;
    handle.send("a");
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
    let error = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::BetweenBytesTimeout, "connection_read_timeout"));
    assert!(next(&mut body).await.is_none());
    handle.closed().await;
}

#[tokio::test(start_paused = true)]
async fn each_piece_of_a_body_starts_the_limit_anew() {
    let (server, origin) = one().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer);
    let mut body = get(&origin, "/").await.unwrap().body;
    for _ in 0..5 {
        tokio::select! {
            biased;
            piece = body.frame() => panic!("{piece:?}"),
            () = advance(Duration::from_secs(50)) => {}
        }
        handle.send("a");
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_a_slow_server() {
    let (server, origin) = one().await;
    let large = "x".repeat(8 << 20);
    server.on("/", large.clone());
    let mut body = get(&origin, "/").await.unwrap().body;
    let mut length = 0;
    while let Some(piece) = next(&mut body).await {
        length += piece.unwrap().len();
        advance(minutes(10)).await;
    }
    assert_eq!(length, large.len());
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_hours_is_well_as_long_as_it_moves() {
    let (server, origin) = one().await;
    server.on("/", "done");
    let (pieces, body) = upload();
    let feeding = async {
        for length in 1..=20 {
            pieces.send(piece("x")).unwrap();
            server.wait_until("a piece", |seen| seen.first().is_some_and(|it| it.body.len() == length)).await;
            advance(Duration::from_secs(50)).await;
        }
        drop(pieces);
    };
    let (response, ()) = tokio::join!(send(&origin, request("PUT", "/", body)), feeding);
    assert_eq!(whole(response.unwrap().body).await.unwrap(), "done");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stalls_is_its_senders_fault() {
    let (server, origin) = one().await;
    let (pieces, body) = upload();
    pieces.send(piece("x")).unwrap();
    let error = send(&origin, request("PUT", "/", body)).await.unwrap_err();
    assert_eq!((error.kind(), error.fault()), (Kind::RequestBody, crate::Fault::Client));
    server.wait_for_open_connections(0).await;
}

#[tokio::test(start_paused = true)]
async fn after_the_upload_silence_is_the_servers_fault() {
    let (server, origin) = one().await;
    server.on("/", Answer::silence());
    let (pieces, body) = upload();
    pieces.send(piece("x")).unwrap();
    drop(pieces);
    let error = send(&origin, request("PUT", "/", body)).await.unwrap_err();
    assert_eq!((error.kind(), error.fault()), (Kind::FirstByteTimeout, crate::Fault::Origin));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_taken_is_given_up() {
    // A listener that accepts nothing, and its queue is full: further connections stay without an answer.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(minutes(1), TcpStream::connect(address)).await {
        queued.push(stream);
    }
    let server = ScriptedOrigin::start().await;
    server.on("/", "the other one");
    let deaf = format!("http://{address}");
    let alone = Origin::new(settings(std::slice::from_ref(&deaf))).unwrap();
    assert_eq!(text(&alone, "/").await, Err(Kind::ConnectTimeout));
    let both = Origin::new(settings(&[deaf, server.url()])).unwrap();
    assert_eq!(text(&both, "/").await.unwrap(), "the other one");
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_all_counting_is_no_limit() {
    let server = ScriptedOrigin::start().await;
    server.on("/", "a");
    let origin = Origin::new(OriginSettings {
        timeouts: Timeouts {
            connect: Duration::MAX,
            tls: Duration::MAX,
            first_byte: Duration::MAX,
            between_bytes: Duration::MAX,
            total: Some(Duration::MAX),
        },
        idle_timeout: Duration::MAX,
        ..settings(&[server.url()])
    });
    assert_eq!(text(&origin.unwrap(), "/").await.unwrap(), "a");
}
