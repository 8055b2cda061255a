//! Which server gets a request, and when another one gets it too.

use super::*;
use crate::Retry;
use copal_testkit::{Answer, refused_address};
use std::pin::pin;

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

/// An origin of these servers, the last one a backup, whose requests may be sent again so often.
fn with_a_backup(urls: &[String], tries: usize) -> Arc<Origin> {
    let mut settings = OriginSettings { retry: Retry { tries, ..Retry::default() }, ..settings(urls) };
    settings.servers.last_mut().unwrap().backup = true;
    Origin::new(settings).unwrap()
}

#[tokio::test]
async fn what_was_not_sent_uses_up_no_try() {
    let [failing, spare] = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    failing.on("*", Answer::hang_up());
    spare.on("*", "the spare");
    let urls = [refused().await, refused().await, spare.url()];
    assert_eq!(text(&with_a_backup(&urls, 1), "/").await.unwrap(), "the spare");
    let response = send(&with_a_backup(&urls, 1), request("POST", "/form", in_memory("body"))).await.unwrap();
    assert_eq!(whole(response.body).await.unwrap(), "the spare");
    assert_eq!(text(&with_a_backup(&urls, 0), "/").await, Err(Kind::ConnectRefused), "none is none");
    // What was sent uses one up.
    let urls = [refused().await, failing.url(), spare.url()];
    assert_eq!(text(&with_a_backup(&urls, 1), "/").await.unwrap(), "the spare");
    let urls = [refused().await, failing.url(), failing.url(), spare.url()];
    assert_eq!(text(&with_a_backup(&urls, 1), "/").await, Err(Kind::Closed));
}

#[tokio::test]
async fn a_request_does_not_walk_through_all_dead_servers() {
    let mut urls = Vec::new();
    for _ in 0..9 {
        urls.push(refused().await);
    }
    for (tries, wanted) in [(0, 1), (1, 5), (2, 6), (10, 9)] {
        let origin = Origin::new(OriginSettings { retry: Retry { tries, ..Retry::default() }, ..settings(&urls) });
        let origin = origin.unwrap();
        assert_eq!(text(&origin, "/").await, Err(Kind::ConnectRefused));
        let asked: Vec<u64> = origin.status().servers.iter().map(|server| server.requests).collect();
        assert!(asked.iter().all(|requests| *requests <= 1), "{asked:?}: none twice");
        assert_eq!(asked.iter().sum::<u64>(), wanted, "{tries} tries");
    }
}

/// A server with one kept connection to it, on which the next request is answered by `answer`, and by `again` after that.
async fn kept_then(answer: Answer) -> (ScriptedOrigin, Arc<Origin>) {
    let (server, origin) = one().await;
    get(&origin, "/first").await.unwrap();
    server.on("/", answer.once());
    server.on("/", "again");
    (server, origin)
}

/// A body in memory, or none.
fn in_memory(text: &'static str) -> RequestBody {
    match text {
        "" => RequestBody::Empty,
        text => RequestBody::Full(Bytes::from_static(text.as_bytes())),
    }
}

/// A body that comes in these pieces, of a length that is not known.
fn pieces(texts: &[&'static str]) -> RequestBody {
    let (sender, body) = upload();
    texts.iter().for_each(|text| sender.send(piece(text)).unwrap());
    body
}

#[tokio::test]
async fn a_kept_connection_that_closes_unanswered_is_retried_where_that_is_safe_rfc9110_9_2_2() {
    let again = |outcome: Result<OriginResponse, OriginError>| outcome.map(|response| response.status.as_u16());
    for (method, body, retried) in [
        ("GET", "", true),
        ("HEAD", "", true),
        ("PUT", "body", true),
        ("DELETE", "", true),
        ("POST", "body", false),
        ("PATCH", "body", false),
        ("PURGE", "", false),
    ] {
        for end in [Answer::hang_up(), Answer::reset()] {
            let (server, origin) = kept_then(end).await;
            let outcome = again(send(&origin, request(method, "/", in_memory(body))).await);
            match retried {
                true => assert_eq!(outcome.unwrap(), 200, "{method}"),
                false => assert_eq!(outcome.unwrap_err().kind(), Kind::Closed, "{method}"),
            }
            let seen = server.requests();
            assert_eq!(seen.len(), 2 + usize::from(retried), "{method}");
            assert_eq!(seen[1].text(), seen[seen.len() - 1].text(), "{method}: the same request");
            assert_eq!(origin.status().retries, 0, "it is the habit of connections");
        }
    }
}

/// Two servers, of which the first does this and the second answers; the settings are changed by `change`.
async fn two(first: Answer, change: impl FnOnce(&mut OriginSettings)) -> ([ScriptedOrigin; 2], Arc<Origin>) {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers[0].on("*", first);
    servers[1].on("*", "the other one");
    let mut settings = settings(&servers.each_ref().map(|server| server.url()));
    change(&mut settings);
    (servers, Origin::new(settings).unwrap())
}

fn counts(servers: &[ScriptedOrigin]) -> Vec<usize> {
    servers.iter().map(|server| server.count("/")).collect()
}

#[tokio::test(start_paused = true)]
async fn what_may_be_done_twice_goes_to_another_server_whatever_happens_rfc9110_9_2_2() {
    let failures = [
        (Answer::hang_up(), Kind::Closed),
        (Answer::reset(), Kind::Closed),
        (Answer::raw("HTTP/1.1 2").close(), Kind::Closed),
        (Answer::raw("nonsense and more of it\r\n\r\n"), Kind::Protocol),
        (Answer::ok("").header("transfer-encoding", "gzip, chunked"), Kind::Protocol),
        (Answer::silence(), Kind::FirstByteTimeout),
    ];
    for (failure, kind) in failures {
        for (method, body, retried) in [
            ("GET", "", true),
            ("PUT", "body", true),
            ("DELETE", "", true),
            ("POST", "body", false),
            ("PURGE", "", false),
        ] {
            let (servers, origin) = two(failure.clone(), |_| {}).await;
            let outcome = send(&origin, request(method, "/", in_memory(body))).await;
            match retried {
                true => assert_eq!(whole(outcome.unwrap().body).await.unwrap(), "the other one", "{method} {kind}"),
                false => assert_eq!(outcome.unwrap_err().kind(), kind, "{method}"),
            }
            assert_eq!(counts(&servers), [1, usize::from(retried)], "{method} {kind}");
            if retried {
                assert_eq!(servers[0].last().text(), servers[1].last().text(), "{method}: the same request");
            }
            assert_eq!(origin.status().retries, u64::from(retried));
        }
    }
}

#[tokio::test]
async fn each_server_gets_its_own_name_where_the_request_has_none() {
    let (servers, origin) = two(Answer::hang_up(), |_| {}).await;
    let request = Request::builder().uri("/").body(RequestBody::Empty).unwrap();
    send(&origin, request).await.unwrap();
    for server in servers {
        assert_eq!(server.last().header("host"), Some(server.address().to_string().as_str()));
    }
}

#[tokio::test]
async fn a_body_that_comes_while_it_is_sent_is_kept_up_to_a_limit() {
    let sized =
        |text: &'static str| RequestBody::stream(http_body_util::Full::new(Bytes::from_static(text.as_bytes())));
    for (method, body, again) in [
        ("PUT", sized("12345678"), true),
        ("PUT", sized("123456789"), false),
        ("PUT", pieces(&["1234", "5678"]), true),
        ("PUT", pieces(&["1234", "56789"]), false),
        ("POST", sized("1234"), false),
    ] {
        let (servers, origin) = two(Answer::hang_up(), |settings| settings.retry.replay = 8).await;
        let outcome = send(&origin, request(method, "/", body)).await;
        assert_eq!(outcome.map(drop).map_err(|error| error.kind()), if again { Ok(()) } else { Err(Kind::Closed) });
        assert_eq!(counts(&servers), [1, usize::from(again)]);
        if again {
            assert_eq!(&servers[1].last().body[..], b"12345678");
            assert_eq!(servers[0].last().text(), servers[1].last().text());
        }
    }
}

#[tokio::test]
async fn what_was_sent_of_a_body_and_what_is_still_to_come_reach_the_other_server() {
    // The first one answers before the body is over, and is not listened to.
    let busy = Answer::status(503).early().header("connection", "close");
    let (servers, origin) =
        two(busy, |settings| settings.retry.statuses = vec![http::StatusCode::SERVICE_UNAVAILABLE]).await;
    let (sender, body) = upload();
    sender.send(piece("begin")).unwrap();
    let feeding = async {
        servers[1].wait_until("the beginning", |seen| seen.first().is_some_and(|it| &it.body[..] == b"begin")).await;
        sender.send(piece(" and end")).unwrap();
        drop(sender);
    };
    let (response, ()) = tokio::join!(send(&origin, request("PUT", "/", body)), feeding);
    assert_eq!(whole(response.unwrap().body).await.unwrap(), "the other one");
    assert_eq!(&servers[1].last().body[..], b"begin and end");
}

#[tokio::test]
async fn a_body_that_fails_is_nobody_elses_to_send() {
    let (servers, origin) = two(Answer::echo(), |_| {}).await;
    let (sender, body) = upload();
    sender.send(piece("begin")).unwrap();
    sender.send(Err("gone".into())).unwrap();
    let error = send(&origin, request("PUT", "/", body)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RequestBody);
    assert_eq!(servers[1].count("/"), 0);
}

#[tokio::test]
async fn no_server_is_asked_twice_while_there_is_another() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers.iter().for_each(|server| server.on("/", Answer::hang_up()));
    let urls = servers.each_ref().map(|server| server.url());
    let with = |tries| Origin::new(OriginSettings { retry: Retry { tries, ..Retry::default() }, ..settings(&urls) });
    assert_eq!(text(&with(2).unwrap(), "/").await, Err(Kind::Closed));
    assert_eq!(counts(&servers), [1, 1, 1]);
    // A connection may break by accident: where there is no other server, one gets the request again.
    assert_eq!(text(&with(4).unwrap(), "/").await, Err(Kind::Closed));
    assert_eq!(counts(&servers).iter().sum::<usize>(), 3 + 5);
    assert_eq!(text(&with(0).unwrap(), "/").await, Err(Kind::Closed));
    assert_eq!(counts(&servers).iter().sum::<usize>(), 3 + 5 + 1);
}

#[tokio::test(start_paused = true)]
async fn the_only_server_gets_a_request_again_only_where_its_connection_broke_unanswered() {
    for (failure, wanted) in [
        (Answer::hang_up(), Ok("again")),
        (Answer::raw("HTTP/1.1 2").close(), Err(Kind::Closed)),
        (Answer::raw("nonsense and more of it\r\n\r\n"), Err(Kind::Protocol)),
        (Answer::silence(), Err(Kind::FirstByteTimeout)),
    ] {
        let (server, origin) = one().await;
        server.on("/", failure.once());
        server.on("/", "again");
        assert_eq!(text(&origin, "/").await, wanted.map(str::to_owned));
        assert_eq!(server.count("/"), 1 + usize::from(wanted.is_ok()));
    }
}

fn busy(body: &str) -> Answer {
    Answer::status(503).body(body.to_owned())
}

fn retrying_503(settings: &mut OriginSettings) {
    settings.retry.statuses = vec![http::StatusCode::SERVICE_UNAVAILABLE];
}

#[tokio::test]
async fn another_server_is_asked_after_a_status_where_that_is_said() {
    for (method, body, change, wanted) in [
        ("GET", "", retrying_503 as fn(&mut OriginSettings), 200),
        ("PUT", "body", retrying_503, 200),
        ("POST", "body", retrying_503, 503),
        ("GET", "", |_| {}, 503),
    ] {
        let (servers, origin) = two(busy("no"), change).await;
        let response = send(&origin, request(method, "/", in_memory(body))).await.unwrap();
        assert_eq!(response.status, wanted);
        assert_eq!(counts(&servers), [1, usize::from(wanted == 200)]);
        assert_eq!(origin.status().retries, u64::from(wanted == 200));
    }
}

#[tokio::test]
async fn the_last_answer_is_given_through_where_there_is_no_better_one() {
    let answer = async |origin: &Origin| {
        let response = get(origin, "/").await.unwrap();
        (response.status.as_u16(), whole(response.body).await.unwrap())
    };
    let (servers, origin) = two(busy("first"), retrying_503).await;
    servers[1].replace("*", busy("second"));
    assert_eq!(answer(&origin).await, (503, "second".to_owned()));
    // What came is better than nothing.
    let (servers, origin) = two(busy("first"), retrying_503).await;
    servers[1].replace("*", Answer::raw("nonsense and more of it\r\n\r\n"));
    assert_eq!(answer(&origin).await, (503, "first".to_owned()));
    let (servers, origin) = two(busy("first"), retrying_503).await;
    servers[1].stop().await;
    assert_eq!(answer(&origin).await, (503, "first".to_owned()));
    // And the only server is believed at once.
    let (server, _) = one().await;
    server.on("/", busy("only"));
    let mut alone = settings(&[server.url()]);
    retrying_503(&mut alone);
    assert_eq!(answer(&Origin::new(alone).unwrap()).await, (503, "only".to_owned()));
    assert_eq!(server.count("/"), 1);
}

#[tokio::test]
async fn nothing_is_sent_for_a_client_that_left() {
    let (gate, held) = Answer::gated(Answer::hang_up());
    let (servers, origin) = two(held, |_| {}).await;
    {
        let mut sending = pin!(origin.send(request("GET", "/", RequestBody::Empty)));
        tokio::select! {
            biased;
            response = &mut sending => panic!("{response:?}"),
            () = servers[0].wait_for(1) => {}
        }
    }
    gate.open();
    servers[0].wait_for_open_connections(0).await;
    // Whatever was to come would have come before this one.
    assert_eq!(text(&origin, "/after").await.unwrap(), "the other one");
    assert_eq!((counts(&servers), origin.status().retries), (vec![1, 0], 0));
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
