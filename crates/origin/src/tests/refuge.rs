//! A request that waits at a server that goes out, under a paused clock.

use super::*;
use crate::{Balance, Ejection, HealthCheck, Protocol, Retry, ServerState, Timeouts, Verdict};
use copal_testkit::{Answer, Front};
use std::time::Duration;
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Two servers in order, of which the first is silent on `/`, fails on `/bad`, and is out after one failure.
async fn silent_then(change: impl FnOnce(&mut OriginSettings)) -> ([ScriptedOrigin; 2], Arc<Origin>) {
    behind(Front::default(), Front::default(), change).await
}

async fn behind(
    first: Front,
    second: Front,
    change: impl FnOnce(&mut OriginSettings),
) -> ([ScriptedOrigin; 2], Arc<Origin>) {
    let servers = [ScriptedOrigin::start_behind(first).await, ScriptedOrigin::start_behind(second).await];
    servers[0].on("/", Answer::silence());
    servers[0].on("/bad", Answer::hang_up());
    servers[1].on("*", "the other one");
    let ejection =
        Ejection { failures: 1, rate: 0, window: 10 * SECOND, base: 9 * HOUR, longest: 9 * HOUR, statuses: Vec::new() };
    let mut settings = OriginSettings {
        balance: Balance::First,
        ejection: Some(ejection),
        timeouts: Timeouts { first_byte: HOUR, ..Timeouts::default() },
        ..settings(&servers.each_ref().map(|server| server.url()))
    };
    change(&mut settings);
    (servers, Origin::new(settings).unwrap())
}

/// Sends a request that waits at the first server, takes that one out by a failure, and says what comes of it, and after how long.
async fn waits_there(
    servers: &[ScriptedOrigin; 2],
    origin: &Arc<Origin>,
    method: &str,
) -> (Result<String, Kind>, Duration) {
    let waiting = async {
        let response = send(origin, request(method, "/", RequestBody::Empty)).await.map_err(|error| error.kind())?;
        whole(response.body).await.map_err(|error| error.kind())
    };
    let began = Instant::now();
    let going_out = async {
        servers[0].wait_for(1).await;
        let _ = send(origin, request("POST", "/bad", RequestBody::Empty)).await;
    };
    let (outcome, ()) = tokio::join!(waiting, going_out);
    (outcome, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_a_server_that_goes_out_where_it_may_be_done_twice() {
    let (servers, origin) = silent_then(|_| {}).await;
    let (outcome, took) = waits_there(&servers, &origin, "GET").await;
    assert_eq!(outcome.unwrap(), "the other one");
    assert!(took <= 3 * SECOND, "{took:?}");
    let status = origin.status();
    assert_eq!((status.retries, status.retries_denied), (1, 0));
    assert_eq!(
        status.servers.iter().map(|it| (it.active, it.requests, it.failures)).collect::<Vec<_>>(),
        [(0, 2, 1), (0, 1, 0)]
    );
    // It may have been carried out.
    let (servers, origin) = silent_then(|_| {}).await;
    let (outcome, took) = waits_there(&servers, &origin, "POST").await;
    assert_eq!((outcome, took >= HOUR), (Err(Kind::FirstByteTimeout), true));
    assert_eq!(servers[1].requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_stays_where_there_is_nowhere_to_go() {
    let full = |settings: &mut OriginSettings| {
        settings.servers[1].max_connections = 1;
        settings.queue = crate::Queue { size: 0, timeout: SECOND };
    };
    let (servers, origin) = silent_then(full).await;
    let (handle, answer) = Answer::stream();
    servers[0].replace("/long", Answer::hang_up());
    servers[1].replace("*", answer.once());
    servers[1].on("*", "the other one");
    let until = async {
        servers[0].wait_for(1).await;
        // This one takes the only place, and the first server out.
        let long = get(&origin, "/long").await.unwrap();
        for _ in 0..50 {
            advance(2 * SECOND).await;
        }
        handle.end();
        whole(long.body).await.unwrap();
    };
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(text(&origin, "/"), until);
    assert_eq!(outcome.unwrap(), "the other one");
    assert!((100 * SECOND..103 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!((origin.status().retries, origin.status().retries_denied), (2, 0));
    for change in [
        |settings: &mut OriginSettings| settings.retry = Retry { tries: 0, ..Retry::default() },
        |settings: &mut OriginSettings| settings.servers.truncate(1),
    ] {
        let (servers, origin) = silent_then(change).await;
        let (outcome, took) = waits_there(&servers, &origin, "GET").await;
        assert_eq!((outcome, took >= HOUR), (Err(Kind::FirstByteTimeout), true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_taken_out_by_hand_finishes_what_it_has() {
    let (servers, origin) = silent_then(|_| {}).await;
    let (gate, answer) = Answer::gated("after all");
    servers[0].replace("/", answer);
    let draining = async {
        servers[0].wait_for(1).await;
        let name = origin.status().servers[0].name.clone();
        assert!(origin.drain(&name));
        advance(60 * SECOND).await;
        gate.open();
    };
    let (outcome, ()) = tokio::join!(text(&origin, "/"), draining);
    assert_eq!(outcome.unwrap(), "after all");
    assert_eq!(servers[1].requests().len(), 0);
}

/// A check each second, of which the first good one brings a server in and `fall` bad ones take it out.
fn check(fall: u32) -> HealthCheck {
    HealthCheck {
        path: Some("/health".to_owned()),
        host: None,
        statuses: vec![(200, 299)],
        body: None,
        interval: SECOND,
        timeout: SECOND,
        verdict: Verdict::InARow { rise: 1, fall },
    }
}

#[tokio::test(start_paused = true)]
async fn checks_that_find_a_server_down_free_the_requests_that_wait_there() {
    let check = check(3);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let front = || if protocol == Protocol::Http2 { Front::default().http2() } else { Front::default() };
        let (servers, origin) = behind(front(), front(), |settings| {
            settings.health = Some(check.clone());
            settings.protocol = protocol;
            settings.ejection = None;
        })
        .await;
        servers[0].on("/health", "fine");
        let dying = async {
            servers[0].wait_until("a request", |seen| seen.iter().any(|it| it.target == "/")).await;
            servers[0].replace("/health", Answer::silence());
        };
        let began = Instant::now();
        let (outcome, ()) = tokio::join!(text(&origin, "/"), dying);
        assert_eq!(outcome.unwrap(), "the other one", "{protocol:?}");
        assert_eq!(origin.status().servers[0].state, ServerState::Down);
        assert!(began.elapsed() < 60 * SECOND, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_may_take_longer_than_a_second() {
    let (servers, origin) = silent_then(|settings| {
        let ejection = settings.ejection.as_mut().unwrap();
        (ejection.base, ejection.longest) = (SECOND, SECOND);
    })
    .await;
    let _ = send(&origin, request("POST", "/bad", RequestBody::Empty)).await;
    assert_eq!(origin.status().servers[0].state, ServerState::Ejected);
    let (gate, answer) = Answer::gated("slow, and well");
    servers[0].replace("/", answer);
    advance(SECOND).await;
    let answering = async {
        servers[0].wait_for(2).await;
        advance(3 * SECOND).await;
        gate.open();
    };
    let (outcome, ()) = tokio::join!(text(&origin, "/"), answering);
    assert_eq!(outcome.unwrap(), "slow, and well");
    assert_eq!(origin.status().servers[0].state, ServerState::Up);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_asked_once_more_is_still_one_server() {
    let check = check(1);
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers.iter().for_each(|server| server.on("/health", "fine"));
    let (gate, breaks) = Answer::gated(Answer::hang_up());
    servers[0].on("/", Answer::hang_up());
    servers[0].on("/", Answer::silence());
    servers[1].on("/", breaks);
    servers[2].on("/", "the third");
    let origin = Origin::new(OriginSettings {
        balance: Balance::First,
        health: Some(check),
        timeouts: Timeouts { first_byte: HOUR, ..Timeouts::default() },
        retry: Retry { tries: 3, ..Retry::default() },
        ..settings(&servers.each_ref().map(|server| server.url()))
    })
    .unwrap();
    let others = [1, 2].map(|server| servers[server].address().to_string());
    assert!(others.iter().all(|name| origin.drain(name)));
    let asked = async |server: &ScriptedOrigin, times: usize| {
        let is_asked =
            |seen: &[_]| seen.iter().filter(|it: &&copal_testkit::Request| it.target == "/").count() == times;
        server.wait_until("a request", is_asked).await;
    };
    let meanwhile = async {
        // The first one is asked twice, as there is no other, and goes out.
        asked(&servers[0], 2).await;
        assert!(others.iter().all(|name| origin.resume(name)));
        servers[0].replace("/health", Answer::status(503));
        asked(&servers[1], 1).await;
        // It is back when the second one fails.
        servers[0].replace("/health", "fine");
        while origin.status().servers[0].state != ServerState::Up {
            advance(SECOND).await;
        }
        gate.open();
    };
    let (outcome, ()) = tokio::join!(text(&origin, "/"), meanwhile);
    assert_eq!(outcome.unwrap(), "the third");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_memory_leaves_although_its_server_has_not_read_it_and_what_still_comes_in_stays() {
    let large = Bytes::from(vec![b'x'; 6 << 20]);
    let (_pieces, comes_in) = upload();
    let cases = [(RequestBody::Full(large), None, 1), (comes_in, Some(Kind::RequestBody), 0)];
    for (body, error, asked) in cases {
        let (servers, origin) = silent_then(|_| {}).await;
        servers[0].replace("/", Answer::silence().early());
        let going_out = async {
            servers[0].wait_for_open_connections(1).await;
            let _ = send(&origin, request("POST", "/bad", RequestBody::Empty)).await;
        };
        let (response, ()) = tokio::join!(origin.send(request("PUT", "/", body)), going_out);
        assert_eq!((response.err().map(|error| error.kind()), servers[1].count("/")), (error, asked));
        // After a timeout the other one would have it too, but that is a failure of the first.
        assert_eq!(origin.status().servers[0].failures, 1);
    }
}
