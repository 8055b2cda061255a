//! Which connections are kept for another request (RFC 9112 §9.3), and which must not be.

use super::*;
use copal_testkit::{Answer, Client};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (server, origin) = one().await;
    let large = "x".repeat(1 << 20);
    server.on("/a", "a");
    server.on("/chunked", Answer::status(200).chunks(["b", "c"]));
    server.on("/large", large.clone());
    server.on("/none", Answer::status(204));
    server.on("/same", Answer::status(304).header("content-length", "9"));
    for (target, wanted) in
        [("/a", "a"), ("/chunked", "bc"), ("/none", ""), ("/large", &large), ("/same", ""), ("/a", "a")]
    {
        assert_eq!(text(&origin, target).await.unwrap(), wanted, "{target}");
    }
    let head = send(&origin, request("HEAD", "/a", RequestBody::Empty)).await.unwrap();
    assert_eq!(&head.headers["content-length"], "1");
    assert_eq!(text(&origin, "/a").await.unwrap(), "a");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_short_response_frees_its_connection_before_its_body_is_read() {
    let (server, origin) = one().await;
    server.on("/", "hello");
    let first = get(&origin, "/").await.unwrap();
    let second = get(&origin, "/").await.unwrap();
    assert_eq!(server.connections(), 1);
    assert_eq!(whole(second.body).await.unwrap(), "hello");
    assert_eq!(whole(first.body).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_is_not_kept_where_either_side_will_close_it() {
    let (server, origin) = one().await;
    server.on("/close", Answer::ok("a").header("connection", "close"));
    server.on("/old", Answer::raw("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na"));
    server.on("/open", Answer::ok("a").until_close());
    for (index, target) in ["/close", "/old", "/open", "/close"].into_iter().enumerate() {
        assert_eq!(text(&origin, target).await.unwrap(), "a");
        assert_eq!(server.connections(), index + 1, "{target}");
    }
}

#[tokio::test]
async fn left_over_bytes_end_a_connection() {
    let (server, origin) = one().await;
    server.on(
        "/",
        Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
    );
    assert_eq!(text(&origin, "/").await.unwrap(), "ok");
    assert_eq!(text(&origin, "/").await.unwrap(), "ok");
    assert_eq!(server.connections(), 2);
    // The same for a response that has no body but sends one.
    server.on("HEAD /", Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"));
    send(&origin, request("HEAD", "/", RequestBody::Empty)).await.unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "ok");
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn what_the_server_closed_while_idle_is_not_used_again() {
    let (server, origin) = one().await;
    server.on("/", Answer::ok("a").close());
    server.on("POST /", "posted");
    assert_eq!(text(&origin, "/").await.unwrap(), "a");
    server.wait_for_open_connections(0).await;
    // An exchange of somebody else: meanwhile the close has certainly reached us.
    Client::connect(server.address()).await.get("/other").send().await;
    let posted = send(&origin, request("POST", "/", RequestBody::Empty)).await.unwrap();
    assert_eq!(whole(posted.body).await.unwrap(), "posted");
}

#[tokio::test]
async fn giving_up_closes_the_connection() {
    let (server, origin) = one().await;
    let (_body, answer) = Answer::stream();
    server.on("/body", answer);
    server.on("/head", Answer::silence());
    let response = get(&origin, "/body").await.unwrap();
    assert_eq!(server.open_connections(), 1);
    drop(response);
    server.wait_for_open_connections(0).await;
    tokio::select! {
        biased;
        answered = get(&origin, "/head") => panic!("{answered:?}"),
        () = server.wait_for(2) => {}
    }
    server.wait_for_open_connections(0).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_are_kept_than_allowed() {
    let server = ScriptedOrigin::start().await;
    let mut bodies = Vec::new();
    let origin = Origin::new(OriginSettings { max_idle: 2, ..settings(&[server.url()]) }).unwrap();
    for index in 0..4 {
        let (body, answer) = Answer::stream();
        let target = format!("/{index}");
        server.on(&target, answer);
        bodies.push((body, get(&origin, &target).await.unwrap().body));
    }
    assert_eq!(server.open_connections(), 4);
    for (handle, body) in bodies {
        handle.end();
        whole(body).await.unwrap();
    }
    server.wait_for_open_connections(2).await;
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_in_time() {
    let server = ScriptedOrigin::start().await;
    server.on("/", "a");
    let idle_timeout = Duration::from_secs(30);
    let origin = Origin::new(OriginSettings { idle_timeout, ..settings(&[server.url()]) }).unwrap();
    text(&origin, "/").await.unwrap();
    assert_eq!(server.open_connections(), 1);
    server.wait_for_open_connections(0).await;
    // And the pool goes on after it was empty.
    text(&origin, "/").await.unwrap();
    text(&origin, "/").await.unwrap();
    assert_eq!(server.connections(), 2);
    server.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn an_origin_that_goes_away_closes_its_connections() {
    let (server, origin) = one().await;
    server.on("/", "a");
    text(&origin, "/").await.unwrap();
    drop(origin);
    server.wait_for_open_connections(0).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_connection_is_not_used_even_before_it_is_swept() {
    let server = ScriptedOrigin::start().await;
    server.on("/", "a");
    let idle_timeout = Duration::from_millis(10);
    let origin = Origin::new(OriginSettings { idle_timeout, ..settings(&[server.url()]) }).unwrap();
    text(&origin, "/").await.unwrap();
    tokio::time::advance(idle_timeout).await;
    assert_eq!(origin.idle(), [1]);
    text(&origin, "/").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_closed_does_not_stay_half_open() {
    let (server, origin) = one().await;
    server.on("/", "a");
    text(&origin, "/").await.unwrap();
    assert_eq!(origin.idle(), [1]);
    server.stop().await;
    // Long before the idle timeout of a minute.
    let some_time = tokio::time::timeout(Duration::from_secs(6), std::future::pending::<()>());
    some_time.await.unwrap_err();
    assert_eq!(origin.idle(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_sent_twice_believes_in_young_connections_only() {
    let (server, origin) = one().await;
    server.on("/", "a");
    for (pause, method, connections) in [
        (0, "GET", 1),
        // Used a moment ago.
        (500, "POST", 1),
        (1_000, "GET", 1),
        // The server may be closing what it has not heard of for a while.
        (1_000, "POST", 2),
        (500, "POST", 2),
        (5_000, "GET", 2),
    ] {
        tokio::time::advance(Duration::from_millis(pause)).await;
        let response = send(&origin, request(method, "/", RequestBody::Empty)).await.unwrap();
        assert_eq!(whole(response.body).await.unwrap(), "a");
        assert_eq!(server.connections(), connections, "{method} after {pause} ms");
    }
}

/// A server that a test plays by hand: its origin, and where it accepts.
async fn by_hand() -> (tokio::net::TcpListener, Arc<Origin>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, Origin::new(settings(&[url])).unwrap())
}

/// Reads the head of a request without a body.
async fn read_head(stream: &mut tokio::net::TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_an_idle_connection() {
    let (listener, origin) = by_hand().await;
    let (bystander, other) = one().await;
    let asking = async {
        assert_eq!(text(&origin, "/").await.unwrap(), "a");
        assert_eq!(origin.idle(), [1]);
    };
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na").await.unwrap();
        stream
    };
    let ((), mut first) = tokio::join!(asking, serving);
    // A response to nothing, while the connection waits for its next request.
    first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await.unwrap();
    // An exchange of somebody else: meanwhile it has certainly reached us.
    text(&other, "/").await.unwrap();
    drop(bystander);
    let serving = async {
        let (mut second, _) = listener.accept().await.unwrap();
        read_head(&mut second).await;
        second.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood").await.unwrap();
        second
    };
    let asked = request("POST", "/", RequestBody::Empty);
    let (response, _second) = tokio::join!(send(&origin, asked), serving);
    assert_eq!(whole(response.unwrap().body).await.unwrap(), "good");
    // Nothing was sent on the first one, and it is closed.
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn what_follows_a_response_is_never_another_ones() {
    let extra = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for head in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (server, origin) = one().await;
        server.on("/", Answer::raw(format!("{head}{extra}")));
        server.on("/next", "good");
        text(&origin, "/").await.unwrap();
        assert_eq!(text(&origin, "/next").await.unwrap(), "good", "{head:?}");
        assert_eq!(server.connections(), 2, "{head:?}");
    }
}

#[tokio::test]
async fn a_response_that_ends_early_takes_its_connection_with_it() {
    let (server, origin) = one().await;
    server.on("/sized", Answer::ok("hello").cut_after(2));
    server.on("/chunks", Answer::ok("hello").chunked().cut_after(2));
    server.on("/next", "good");
    for (target, connections) in [("/sized", 2), ("/chunks", 3)] {
        assert_eq!(text(&origin, target).await, Err(Kind::Incomplete));
        assert_eq!(origin.idle(), [0]);
        assert_eq!(text(&origin, "/next").await.unwrap(), "good");
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_response_before_the_whole_request_is_not_anothers() {
    let (server, origin) = one().await;
    server.on("PUT /", Answer::ok("early").early());
    server.on("/next", "good");
    // More than the buffers on the way hold.
    let large = Bytes::from(vec![b'x'; 16 << 20]);
    for _ in 0..3 {
        let response = send(&origin, request("PUT", "/", RequestBody::Full(large.clone()))).await.unwrap();
        assert_eq!(whole(response.body).await.unwrap(), "early");
        assert_eq!(text(&origin, "/next").await.unwrap(), "good");
    }
}

#[tokio::test]
async fn interim_responses_without_end_are_given_up() {
    let (listener, origin) = by_hand().await;
    let flooding = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {}
    };
    let (text, ()) = tokio::join!(text(&origin, "/"), flooding);
    assert_eq!(text, Err(Kind::TooLarge));
    assert_eq!(origin.idle(), [0]);
}
