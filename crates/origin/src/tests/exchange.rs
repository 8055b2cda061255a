//! What goes over the wire when all is well.

use super::*;
use crate::{Call, OnInterim};
use copal_testkit::{Answer, Client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn hearing(on_interim: OnInterim) -> Call {
    Call { on_interim: Some(on_interim), ..Call::default() }
}

#[tokio::test]
async fn head_and_body_go_through_as_they_are() {
    let (server, origin) = one().await;
    let answer = Answer::status(201).header("x-b", "1").header("x-b", "2");
    server.on("/a?b=c%20d", answer.body("hello"));
    let mut asked = request("GET", "/a?b=c%20d", RequestBody::Empty);
    asked.headers_mut().insert("x-a", "1".parse().unwrap());
    let response = send(&origin, asked).await.unwrap();
    assert_eq!((response.status.as_u16(), &*response.server), (201, server.address().to_string().as_str()));
    let lines: Vec<_> = response.headers.get_all("x-b").iter().collect();
    assert_eq!(lines, ["1", "2"]);
    assert_eq!(whole(response.body).await.unwrap(), "hello");
    assert_eq!(server.transcript(), "GET /a?b=c%20d HTTP/1.1\nhost: a.test\nx-a: 1\n\n");
}

#[tokio::test]
async fn an_exchange_may_move_between_threads() {
    let (server, origin) = one().await;
    server.on("/", Answer::ok("hello").chunked());
    let task = tokio::spawn(async move {
        let response = origin.send(request("GET", "/", RequestBody::Empty)).await.unwrap();
        response.body.collect().await.unwrap().to_bytes()
    });
    assert_eq!(task.await.unwrap(), "hello");
}

#[tokio::test]
async fn a_request_without_host_gets_the_servers_rfc9112_3_2() {
    let (server, origin) = one().await;
    send(&origin, Request::new(RequestBody::Empty)).await.unwrap();
    assert_eq!(server.last().header("host"), Some(server.address().to_string().as_str()));
}

#[tokio::test]
async fn every_framing_of_a_body_arrives_whole() {
    let (server, origin) = one().await;
    let large = "0123456789abcdef".repeat(64 << 10);
    server.on("/sized", Answer::ok(large.clone()));
    server.on("/chunked", Answer::status(200).chunks(["a", "b", large.as_str()].map(str::to_owned)));
    server.on("/close", Answer::ok(large.clone()).until_close());
    server.on("/empty", Answer::ok(""));
    assert_eq!(text(&origin, "/sized").await.unwrap(), large);
    assert_eq!(text(&origin, "/chunked").await.unwrap(), format!("ab{large}"));
    assert_eq!(text(&origin, "/close").await.unwrap(), large);
    assert_eq!(text(&origin, "/empty").await.unwrap(), "");
}

#[tokio::test]
async fn the_length_is_known_where_it_was_announced() {
    let (server, origin) = one().await;
    server.on("/sized", "hello");
    server.on("/chunked", Answer::ok("hello").chunked());
    let sized = get(&origin, "/sized").await.unwrap().body;
    assert_eq!(http_body::Body::size_hint(&sized).exact(), Some(5));
    let chunked = get(&origin, "/chunked").await.unwrap().body;
    assert_eq!(http_body::Body::size_hint(&chunked).exact(), None);
}

#[tokio::test]
async fn trailers_are_kept() {
    let (server, origin) = one().await;
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n";
    server.on("/", Answer::raw(raw));
    let body = get(&origin, "/").await.unwrap().body.collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    assert_eq!(text(&origin, "/").await.unwrap(), "a");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_is_kept_by_a_reader_that_stops_at_the_trailers() {
    let (server, origin) = one().await;
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n";
    server.on("/", Answer::raw(raw));
    let mut body = get(&origin, "/").await.unwrap().body;
    while !body.frame().await.unwrap().unwrap().is_trailers() {}
    drop(body);
    assert_eq!(origin.idle(), [1]);
}

#[tokio::test]
async fn interim_responses_are_told_as_they_come_rfc9110_15_2() {
    let (server, origin) = one().await;
    let interim = Answer::ok("x").interim(100, &[]).interim(103, &[("link", "</a>")]).interim(199, &[("link", "</b>")]);
    let (gate, answer) = Answer::gated(interim);
    server.on("/", answer);
    let (told, mut heard) = mpsc::unbounded_channel();
    let on_interim: crate::OnInterim = Arc::new(move |status, headers: &http::HeaderMap| {
        let _ = told.send((status.as_u16(), headers["link"].to_str().unwrap().to_owned()));
    });
    let sending = origin.clone();
    let sent = tokio::spawn(async move {
        sending.send_with(request("GET", "/", RequestBody::Empty), hearing(on_interim)).await.unwrap()
    });
    // The final response waits until both were heard.
    assert_eq!(heard.recv().await, Some((103, "</a>".to_owned())));
    assert_eq!(heard.recv().await, Some((199, "</b>".to_owned())));
    gate.open();
    let response = sent.await.unwrap();
    assert_eq!((response.status.as_u16(), response.headers.get("link")), (200, None));
    assert_eq!(whole(response.body).await.unwrap(), "x");
    assert_eq!(heard.recv().await, None, "nothing is told of another exchange on the connection");
}

#[tokio::test]
async fn interim_responses_are_told_also_by_the_second_try() {
    let (server, origin) = one().await;
    server.on("/", "first");
    server.on("/", Answer::hang_up());
    server.on("/", Answer::ok("second").interim(103, &[]));
    assert_eq!(text(&origin, "/").await.unwrap(), "first");
    let (told, mut heard) = mpsc::unbounded_channel();
    let on_interim: crate::OnInterim = Arc::new(move |status, _: &http::HeaderMap| {
        let _ = told.send(status.as_u16());
    });
    let asked = request("GET", "/", RequestBody::Empty);
    let response = origin.send_with(asked, hearing(on_interim)).await.unwrap();
    assert_eq!(whole(response.body).await.unwrap(), "second");
    assert_eq!(heard.recv().await, Some(103));
}

#[tokio::test]
async fn interim_responses_are_dropped_where_nobody_hears_rfc9110_15_2() {
    let (server, origin) = one().await;
    let answer = Answer::ok("x").interim(100, &[]).interim(103, &[("link", "</a>")]);
    server.on("/", answer);
    let response = get(&origin, "/").await.unwrap();
    assert_eq!((response.status.as_u16(), response.headers.get("link")), (200, None));
    assert_eq!(whole(response.body).await.unwrap(), "x");
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_rfc9110_7_8() {
    let (server, origin) = one().await;
    server.on("/ws", Answer::upgrade("chat"));
    let mut asked = request("GET", "/ws", RequestBody::Empty);
    asked.headers_mut().insert("connection", "upgrade".parse().unwrap());
    asked.headers_mut().insert("upgrade", "chat".parse().unwrap());
    let response = send(&origin, asked).await.unwrap();
    assert_eq!((response.status.as_u16(), &response.headers["upgrade"]), (101, &"chat".parse().unwrap()));
    let mut io = response.upgrade.unwrap().await.unwrap();
    io.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    io.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    assert_eq!(server.last().header("connection"), Some("upgrade"));
}

#[tokio::test]
async fn bytes_right_behind_a_101_belong_to_the_new_protocol() {
    let (server, origin) = one().await;
    let raw = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nhello";
    server.on("/ws", Answer::raw(raw).close());
    let mut asked = request("GET", "/ws", RequestBody::Empty);
    asked.headers_mut().insert("upgrade", "chat".parse().unwrap());
    let response = send(&origin, asked).await.unwrap();
    let mut first = String::new();
    let mut io = response.upgrade.unwrap().await.unwrap();
    io.read_to_string(&mut first).await.unwrap();
    assert_eq!(first, "hello");
}

#[tokio::test]
async fn a_name_is_resolved_and_all_its_addresses_are_tried() {
    // Where localhost is ::1 too, that address refuses and 127.0.0.1 must be reached none the less.
    let server = ScriptedOrigin::start().await;
    server.on("/", "here");
    let url = format!("http://localhost:{}", server.address().port());
    let origin = Origin::new(settings(&[url])).unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "here");
    let unresolvable = format!("http://{}.test", "a".repeat(64));
    let origin = Origin::new(settings(&[unresolvable])).unwrap();
    assert_eq!(text(&origin, "/").await, Err(Kind::Dns));
}

#[tokio::test]
async fn wrong_settings_are_told_at_once() {
    for url in [
        "http://a.test/path",
        "https://a.test/?q",
        "http://user@a.test",
        "a.test:80",
        "/path",
        "ftp://a.test",
        "unix:relative",
    ] {
        let error = url.parse::<ServerAddress>().unwrap_err();
        assert_eq!((error.kind(), error.fault()), (Kind::Settings, crate::Fault::Proxy), "{url}");
    }
    assert_eq!(Origin::new(settings(&[])).unwrap_err().kind(), Kind::Settings);
    for url in ["http://a.test", "https://a.test:444", "unix:/run/a.sock"] {
        assert_eq!(url.parse::<ServerAddress>().unwrap().to_string(), url);
    }
}

#[tokio::test]
async fn two_readers_of_one_server_do_not_wait_for_each_other() {
    let (server, origin) = one().await;
    let (body, answer) = Answer::stream();
    server.on("/slow", answer);
    server.on("/fast", "fast");
    let mut slow = get(&origin, "/slow").await.unwrap().body;
    assert_eq!(text(&origin, "/fast").await.unwrap(), "fast");
    body.send("s");
    assert_eq!(next(&mut slow).await.unwrap().unwrap(), "s");
    body.end();
    assert!(next(&mut slow).await.is_none());
    // The scripted server is the one being asked here, for comparison with a client of its own.
    assert_eq!(Client::connect(server.address()).await.get("/fast").send().await.text(), "fast");
}

#[tokio::test]
async fn a_request_that_is_ready_is_sent_once() {
    let (server, origin) = one().await;
    server.on("/", "a");
    let mut ready = origin.ready(request("GET", "/", RequestBody::Empty), Call::default()).unwrap();
    assert_eq!(server.count("GET /"), 0);
    assert_eq!(ready.send().await.unwrap().status, 200);
    assert_eq!(ready.send().await.unwrap_err().kind(), Kind::Request);
    assert_eq!(server.count("GET /"), 1);
}
