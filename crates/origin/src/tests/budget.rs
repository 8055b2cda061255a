//! The budget of repeats: a dying origin is not finished off.

use super::*;
use crate::{OriginStatus, Retry};
use copal_testkit::Answer;
use std::time::Duration;
use tokio::time::advance;

/// The load on servers that do this, over `seconds` with `rate` requests each, where requests may be sent again twice: how many
/// requests all of them saw, and what the origin says of itself.
async fn load(answers: &[Answer], share: u8, seconds: usize, rate: usize) -> (Vec<usize>, OriginStatus) {
    let mut servers = Vec::new();
    for answer in answers {
        let server = ScriptedOrigin::start().await;
        server.on("*", answer.clone());
        servers.push(server);
    }
    let urls: Vec<String> = servers.iter().map(ScriptedOrigin::url).collect();
    let retry = Retry { budget: share, ..Retry::default() };
    let origin = Origin::new(OriginSettings { retry, ..settings(&urls) }).unwrap();
    for _ in 0..seconds {
        for _ in 0..rate {
            let _ = text(&origin, "/").await;
        }
        advance(Duration::from_secs(1)).await;
    }
    (servers.iter().map(|server| server.requests().len()).collect(), origin.status())
}

#[tokio::test(start_paused = true)]
async fn servers_that_all_fail_get_a_fifth_more_and_a_few_a_second() {
    let (seconds, rate) = (20, 100);
    let (seen, status) = load(&[Answer::hang_up(), Answer::hang_up(), Answer::hang_up()], 20, seconds, rate).await;
    let (requests, seen) = (seconds * rate, seen.iter().sum::<usize>());
    assert!(seen <= requests * 6 / 5 + 10 * seconds, "{seen}");
    // Without a budget they would have got three times as many; and what there is of it is used.
    assert!(seen >= requests * 6 / 5, "{seen}");
    assert_eq!((seen - requests) as u64, status.retries);
    assert!((1..=requests as u64).contains(&status.retries_denied), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_left_gets_no_more_than_a_fifth_of_all_and_a_few_a_second() {
    let (seconds, rate) = (20, 100);
    let dying = || Answer::raw("HTTP/1.1 200").close();
    let (seen, status) = load(&[dying(), "fine".into(), dying()], 20, seconds, rate).await;
    let (requests, left) = (seconds * rate, seen[1]);
    assert!(left <= requests / 3 + 1 + requests / 5 + 10 * seconds, "{left}");
    assert!(left > requests / 3 && status.retries_denied > 0, "{left} {status:?}");
    assert!(seen.iter().sum::<usize>() <= requests * 6 / 5 + 10 * seconds);
}

#[tokio::test(start_paused = true)]
async fn few_requests_are_always_sent_again() {
    let (seen, status) = load(&[Answer::hang_up(), "fine".into()], 0, 20, 10).await;
    assert_eq!((seen, status.retries, status.retries_denied), (vec![100, 200], 100, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_at_all_is_no_load_and_goes_elsewhere_for_nothing() {
    let gone = format!("http://{}", copal_testkit::refused_address().await);
    let server = ScriptedOrigin::start().await;
    server.on("*", "fine");
    let retry = Retry { budget: 0, ..Retry::default() };
    let origin = Origin::new(OriginSettings { retry, ..settings(&[gone, server.url()]) }).unwrap();
    for _ in 0..200 {
        assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    }
    assert_eq!(server.requests().len(), 200);
    assert_eq!((origin.status().retries, origin.status().retries_denied), (100, 0));
}

/// Two servers: one that hangs up, and one with room for one request that comes after it.
async fn with_little_room() -> ([ScriptedOrigin; 2], Arc<Origin>) {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers[0].on("*", Answer::hang_up());
    let mut settings = OriginSettings {
        balance: crate::Balance::First,
        retry: Retry { budget: 0, ..Retry::default() },
        queue: crate::Queue { size: 0, timeout: Duration::from_secs(9) },
        ..settings(&servers.each_ref().map(|server| server.url()))
    };
    settings.servers[1].max_connections = 1;
    (servers, Origin::new(settings).unwrap())
}

#[tokio::test(start_paused = true)]
async fn only_what_has_a_place_elsewhere_costs_of_it() {
    let (servers, origin) = with_little_room().await;
    let (handle, answer) = Answer::stream();
    servers[1].on("/long", answer);
    servers[1].on("*", "fine");
    let long = get(&origin, "/long").await.unwrap();
    for _ in 0..50 {
        assert_eq!(text(&origin, "/").await, Err(Kind::Closed));
    }
    assert_eq!((origin.status().retries, origin.status().retries_denied), (1, 0));
    handle.end();
    whole(long.body).await.unwrap();
    for _ in 1..10 {
        assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    }
    assert_eq!(text(&origin, "/").await, Err(Kind::Closed), "ten a second");
    assert_eq!((origin.status().retries, origin.status().retries_denied), (10, 1));
}
