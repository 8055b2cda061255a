//! The limit for all of it together, under a paused clock.

use super::*;
use crate::{Call, Retry, Timeouts};
use copal_testkit::Answer;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::time::{Instant, advance};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn within(total: u64, first_byte: u64) -> Timeouts {
    Timeouts { total: Some(seconds(total)), first_byte: seconds(first_byte), ..Timeouts::default() }
}

fn limited(servers: &[&ScriptedOrigin], timeouts: Timeouts) -> OriginSettings {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    OriginSettings { timeouts, ..settings(&urls) }
}

#[tokio::test(start_paused = true)]
async fn tries_and_waits_end_together() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers.iter().for_each(|server| server.on("/", Answer::silence()));
    let origin = Origin::new(limited(&servers.each_ref(), within(10, 4))).unwrap();
    let began = Instant::now();
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::TotalTimeout, "http_response_timeout"));
    assert_eq!(error.server(), Some(servers[2].address().to_string().as_str()));
    assert!((seconds(10)..seconds(11)).contains(&began.elapsed()), "{:?}", began.elapsed());
    for server in servers {
        assert_eq!(server.count("/"), 1);
        server.wait_for_open_connections(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_its_share_and_the_request_goes_on() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers[0].on("/", Answer::silence());
    servers[1].on("/", "the other one");
    let origin = Origin::new(limited(&servers.each_ref(), within(10, 4))).unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "the other one");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_too_long_ends_in_an_error() {
    let server = ScriptedOrigin::start().await;
    let (handle, answer) = Answer::stream();
    server.on("/", answer);
    let origin = Origin::new(limited(&[&server], within(10, 5))).unwrap();
    let mut body = get(&origin, "/").await.unwrap().body;
    for _ in 0..9 {
        handle.send("a");
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
        advance(seconds(1)).await;
    }
    let error = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.server()), (Kind::TotalTimeout, Some(server.address().to_string().as_str())));
    assert!(next(&mut body).await.is_none() && http_body::Body::is_end_stream(&body));
    handle.closed().await;
    assert_eq!(origin.status().servers[0].failures, 0, "it may have been the reader who took the time");
}

#[tokio::test(start_paused = true)]
async fn what_has_come_may_be_read_later() {
    let server = ScriptedOrigin::start().await;
    server.on("/", "all of it");
    let origin = Origin::new(limited(&[&server], within(10, 5))).unwrap();
    let body = get(&origin, "/").await.unwrap().body;
    advance(seconds(60)).await;
    assert_eq!(whole(body).await.unwrap(), "all of it");
}

#[tokio::test(start_paused = true)]
async fn it_is_counted_while_a_body_is_held() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    let (handle, answer) = Answer::stream();
    servers[0].on("/", answer.header("content-length", "9"));
    let retry = Retry { hold: 1 << 20, ..Retry::default() };
    let origin = Origin::new(OriginSettings { retry, ..limited(&servers.each_ref(), within(10, 5)) }).unwrap();
    assert_eq!(text(&origin, "/").await, Err(Kind::TotalTimeout));
    assert_eq!(servers[1].count("/"), 0);
    handle.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_is_to_blame_for_its_silence_and_nobody_for_a_clients() {
    let server = ScriptedOrigin::start().await;
    server.on("/", Answer::silence());
    let origin = Origin::new(limited(&[&server], within(10, 20))).unwrap();
    assert_eq!(text(&origin, "/").await, Err(Kind::TotalTimeout));
    assert_eq!(origin.status().servers[0].failures, 1);
    let (sender, body) = upload();
    sender.send(piece("begin")).unwrap();
    let error = send(&origin, request("PUT", "/", body)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TotalTimeout);
    assert_eq!(origin.status().servers[0].failures, 1);
    drop(sender);
}

#[tokio::test(start_paused = true)]
async fn one_that_swallows_connections_leaves_time_for_the_others() {
    // A listener that accepts nothing, and its queue is full: further connections stay without an answer.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let deaf = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(seconds(60), tokio::net::TcpStream::connect(deaf)).await {
        queued.push(stream);
    }
    let server = ScriptedOrigin::start().await;
    server.on("/", "the other one");
    let timeouts = Timeouts { connect: seconds(60), ..within(9, 60) };
    let origin =
        Origin::new(OriginSettings { timeouts, ..settings(&[format!("http://{deaf}"), server.url()]) }).unwrap();
    let began = Instant::now();
    assert_eq!(text(&origin, "/").await.unwrap(), "the other one");
    assert!(began.elapsed() <= seconds(4), "a third of the time: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_limits_of_its_own() {
    let server = ScriptedOrigin::start().await;
    server.on("/", Answer::silence());
    let origin = Origin::new(limited(&[&server], Timeouts::default())).unwrap();
    for (timeouts, kind, took) in [(within(10, 60), Kind::TotalTimeout, 10), (within(60, 7), Kind::FirstByteTimeout, 7)]
    {
        let call = Call { timeouts: Some(timeouts), ..Call::default() };
        let began = Instant::now();
        let sending = origin.send_with(request("GET", "/", RequestBody::Empty), call);
        let error = patiently(|| "an error".to_owned(), sending).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!((seconds(took)..seconds(took + 1)).contains(&began.elapsed()));
    }
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_spoken_for_as_long_as_it_likes() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = ScriptedOrigin::start().await;
    server.on("/", Answer::upgrade("echo"));
    let origin = Origin::new(limited(&[&server], within(10, 5))).unwrap();
    let request = Request::builder().uri("/").header("connection", "upgrade").header("upgrade", "echo");
    let response = send(&origin, request.body(RequestBody::Empty).unwrap()).await.unwrap();
    let mut stream = response.upgrade.unwrap().await.unwrap();
    advance(seconds(60)).await;
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
}
