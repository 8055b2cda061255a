//! Bodies that are held until they are whole.

use super::*;
use crate::Retry;
use copal_testkit::Answer;
use std::time::Duration;
use tokio::time::Instant;

/// Two servers that do these things, behind an origin that holds up to `hold` bytes.
async fn two(first: Answer, second: Answer, hold: usize) -> ([ScriptedOrigin; 2], Arc<Origin>) {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers[0].on("*", first);
    servers[1].on("*", second);
    let urls = servers.each_ref().map(|server| server.url());
    let retry = Retry { hold, ..Retry::default() };
    let origin = Origin::new(OriginSettings { retry, ..settings(&urls) }).unwrap();
    (servers, origin)
}

fn counts(servers: &[ScriptedOrigin]) -> Vec<usize> {
    servers.iter().map(|server| server.requests().len()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_while_it_is_held_comes_from_another_server() {
    let (_handle, stalled) = Answer::stream();
    for (first, hold, wanted) in [
        (Answer::ok("the first").cut_after(4), 9, Ok("the other one")),
        (Answer::ok("the first").reset_after(4), 9, Ok("the other one")),
        (Answer::ok("the first").cut_after(0), 9, Ok("the other one")),
        (Answer::ok("the first").cut_after(4), 8, Err(Kind::Incomplete)),
        (Answer::ok("the first").cut_after(4), 0, Err(Kind::Incomplete)),
        (Answer::status(200).chunks(["the ", "first"]).cut_after(4), 9, Ok("the other one")),
        (Answer::status(200).chunks(["the ", "first"]).cut_after(4), 3, Err(Kind::Incomplete)),
        (Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n"), 9, Ok("the other one")),
        (stalled.header("content-length", "9"), 9, Ok("the other one")),
    ] {
        let said = format!("{first:?} {hold}");
        let (servers, origin) = two(first, "the other one".into(), hold).await;
        assert_eq!(text(&origin, "/").await, wanted.map(str::to_owned), "{said}");
        let again = usize::from(wanted.is_ok());
        assert_eq!(counts(&servers), [1, again], "{said}");
        assert_eq!(origin.status().retries, again as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_break_off_is_what_came() {
    let large = "x".repeat(300_000);
    for (answer, wanted) in [
        (Answer::ok("in one piece"), "in one piece"),
        (Answer::status(200).chunks(["in ", "three ", "pieces"]), "in three pieces"),
        (Answer::ok("until it closes").until_close(), "until it closes"),
        (Answer::ok(large.clone()), &large),
        (Answer::ok(large.clone()).chunked(), &large),
        (Answer::status(204), ""),
    ] {
        for hold in [0, 10, 1 << 20] {
            let (_servers, origin) = two(answer.clone(), "not this one".into(), hold).await;
            assert_eq!(text(&origin, "/").await.unwrap(), wanted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_body_has_its_length_and_its_trailers() {
    let gate = copal_testkit::Gate::new();
    let (servers, origin) = two(Answer::ok("abc").body_held_by(&gate), "".into(), 9).await;
    let opening = async {
        servers[0].wait_for(1).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(get(&origin, "/"), opening);
    let body = response.unwrap().body;
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
    assert!(!http_body::Body::is_end_stream(&body));
    assert_eq!(whole(body).await.unwrap(), "abc");

    let gate = copal_testkit::Gate::new();
    let trailing = Answer::status(200).chunks(["abc"]).trailer("x-after", "1").body_held_by(&gate);
    let (servers, origin) = two(trailing, "".into(), 9).await;
    let opening = async {
        servers[0].wait_for(1).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(get(&origin, "/"), opening);
    let collected = response.unwrap().body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-after"], "1");
    assert_eq!(collected.to_bytes(), "abc");
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_is_let_go_after_a_moment() {
    let (handle, answer) = Answer::stream();
    let (servers, origin) = two(answer, "".into(), 1 << 20).await;
    handle.send("first");
    let began = Instant::now();
    let mut body = get(&origin, "/").await.unwrap().body;
    assert!(began.elapsed() <= Duration::from_millis(21), "{:?}", began.elapsed());
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "first");
    handle.send("second");
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "second");
    handle.cut();
    assert_eq!(next(&mut body).await.unwrap().unwrap_err().kind(), Kind::Incomplete);
    assert_eq!(counts(&servers), [1, 0], "a piece of it was given out");
}

#[tokio::test(start_paused = true)]
async fn what_is_meant_to_come_piece_by_piece_is_not_held_at_all() {
    for (name, value) in [("content-type", "text/event-stream"), ("x-accel-buffering", "no")] {
        let (handle, answer) = Answer::stream();
        let (_servers, origin) = two(answer.header(name, value), "".into(), 1 << 20).await;
        let began = Instant::now();
        let mut body = get(&origin, "/").await.unwrap().body;
        assert_eq!(began.elapsed(), Duration::ZERO, "{name}");
        handle.send("event");
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "event");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_where_it_could_not_be_asked_for_again() {
    // The only server; and a method that may not be sent twice.
    for (method, servers) in [("GET", 1), ("POST", 2)] {
        let server = ScriptedOrigin::start().await;
        let (handle, answer) = Answer::stream();
        server.on("*", answer.header("content-length", "9"));
        let retry = Retry { hold: 1 << 20, ..Retry::default() };
        let origin = Origin::new(OriginSettings { retry, ..settings(&vec![server.url(); servers]) }).unwrap();
        let mut body = send(&origin, request(method, "/", RequestBody::Empty)).await.unwrap().body;
        handle.send("piece");
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "piece");
        handle.cut();
        assert_eq!(next(&mut body).await.unwrap().unwrap_err().kind(), Kind::Incomplete);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_still_sends_gets_the_head_before_the_body() {
    let (handle, answer) = Answer::stream();
    let (_servers, origin) = two(answer.early().header("content-length", "4"), "".into(), 1 << 20).await;
    let (sender, body) = upload();
    sender.send(piece("begin")).unwrap();
    let mut body = send(&origin, request("PUT", "/", body)).await.unwrap().body;
    drop(sender);
    handle.send("done");
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "done");
}

#[tokio::test]
async fn a_held_body_that_came_with_its_head_leaves_its_connection_for_the_next() {
    let (servers, origin) = two("a".into(), "b".into(), 1 << 20).await;
    for _ in 0..4 {
        text(&origin, "/").await.unwrap();
    }
    assert_eq!(servers.each_ref().map(|server| server.connections()), [1, 1]);
}
