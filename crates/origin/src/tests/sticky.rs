//! Sessions, over real sockets: what a failed request does to them, and what it does not.

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::{Ejection, Retry};
use copal_testkit::Answer;

const SECOND: Duration = Duration::from_secs(1);

/// Two servers and a backup, and the settings of an origin of them. Each answers `/` with its number, and renews the cookie as
/// many frameworks do. No connection is kept: the next request would meet its close, which is no failure.
async fn two_and_a_backup() -> ([ScriptedOrigin; 3], OriginSettings) {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    for (index, server) in servers.iter().enumerate() {
        server.on("/login", Answer::ok("in").header("set-cookie", format!("sid=of-{index}; Path=/")).close());
        server.on("/", answer(index));
    }
    let mut settings = settings(&servers.each_ref().map(ScriptedOrigin::url));
    settings.servers[2].backup = true;
    settings.sticky = vec!["sid".to_owned()];
    settings.retry = Retry { statuses: vec![StatusCode::SERVICE_UNAVAILABLE], ..Retry::default() };
    (servers, settings)
}

fn answer(index: usize) -> Answer {
    Answer::from_fn(move |request| {
        let cookie = request.header("cookie").unwrap_or_default();
        Answer::ok(index.to_string()).header("set-cookie", format!("{cookie}; Path=/")).close()
    })
}

/// Logs somebody in at either server.
async fn log_in(origin: &Origin) {
    for index in 0..2 {
        let login = get(origin, "/login").await.unwrap();
        assert_eq!(login.headers["set-cookie"], format!("sid=of-{index}; Path=/"));
    }
}

async fn ask(origin: &Origin, cookie: &str, target: &str) -> (u16, String) {
    let mut asked = request("GET", target, RequestBody::Empty);
    asked.headers_mut().insert("cookie", cookie.parse().unwrap());
    let response = send(origin, asked).await.unwrap();
    (response.status.as_u16(), whole(response.body).await.unwrap())
}

fn well(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

#[tokio::test]
async fn a_status_does_not_send_a_session_to_a_server_that_does_not_know_it() {
    let (servers, settings) = two_and_a_backup().await;
    let origin = Origin::new(settings).unwrap();
    log_in(&origin).await;
    servers[0].on("/rep", Answer::status(503));
    for _ in 0..2 {
        assert_eq!(ask(&origin, "sid=of-0", "/rep").await.0, 503);
        assert_eq!(ask(&origin, "sid=of-0", "/").await, well("0"));
    }
    assert_eq!([servers[1].count("/rep"), servers[2].count("/rep")], [0, 0]);
}

#[tokio::test]
async fn a_status_sends_a_session_that_nobody_knows_to_another_server() {
    let (servers, mut settings) = two_and_a_backup().await;
    settings.retry.budget = 100;
    let origin = Origin::new(settings).unwrap();
    servers[0].on("/rep", Answer::status(503));
    servers[1].on("/rep", "well");
    for number in 0..64 {
        assert_eq!(ask(&origin, &format!("sid={number}"), "/rep").await, well("well"));
    }
    assert!(servers[0].count("/rep") > 0, "some hash leads there");
}

#[tokio::test(start_paused = true)]
async fn a_failure_lends_a_session_to_another_server_and_does_not_move_it() {
    let (servers, mut settings) = two_and_a_backup().await;
    settings.timeouts.first_byte = 5 * SECOND;
    let origin = Origin::new(settings).unwrap();
    log_in(&origin).await;
    for failure in [Answer::hang_up(), Answer::silence(), Answer::raw("nonsense\r\n\r\n")] {
        servers[0].replace("/", failure.once());
        servers[0].on("/", answer(0));
        assert_eq!(ask(&origin, "sid=of-0", "/").await, well("1"));
        for _ in 0..2 {
            assert_eq!(ask(&origin, "sid=of-0", "/").await, well("0"));
        }
    }
    // Nor does one that only its hash leads to its server.
    let own = ask(&origin, "sid=stranger", "/").await.1;
    let index: usize = own.parse().unwrap();
    servers[index].replace("/", Answer::hang_up().once());
    servers[index].on("/", answer(index));
    assert_ne!(ask(&origin, "sid=stranger", "/").await.1, own);
    assert_eq!(ask(&origin, "sid=stranger", "/").await.1, own);
}

#[tokio::test]
async fn a_session_moves_when_its_server_is_out() {
    let (servers, mut settings) = two_and_a_backup().await;
    settings.ejection = Some(Ejection {
        failures: 2,
        rate: 0,
        window: 10 * SECOND,
        base: 60 * SECOND,
        longest: 60 * SECOND,
        statuses: Vec::new(),
    });
    let origin = Origin::new(settings).unwrap();
    log_in(&origin).await;
    servers[0].replace("/", Answer::hang_up());
    assert_eq!(ask(&origin, "sid=of-0", "/").await, well("1"));
    assert_eq!(origin.status().servers[0].state, crate::ServerState::Up);
    // The second failure takes it out, and this request lives elsewhere from now on.
    assert_eq!(ask(&origin, "sid=of-0", "/").await, well("1"));
    assert_eq!(origin.status().servers[0].state, crate::ServerState::Ejected);
    servers[0].replace("/", answer(0));
    let name = origin.status().servers[0].name.clone();
    assert!(origin.drain(&name) && origin.resume(&name));
    for _ in 0..4 {
        assert_eq!(ask(&origin, "sid=of-0", "/").await, well("1"));
    }
    // Settled there, its requests are not sent elsewhere for a status either.
    servers[1].on("/rep", Answer::status(503));
    assert_eq!(ask(&origin, "sid=of-0", "/rep").await.0, 503);
    assert_eq!(servers[2].count("/rep"), 0);
}
