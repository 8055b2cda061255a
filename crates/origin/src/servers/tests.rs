//! Leases without a network: who gets which, who waits, and what becomes of servers whose requests fail. The clock is paused.

mod log;
mod waiting;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use http::header::{COOKIE, SET_COOKIE};
use tokio::time::advance;

use super::*;
use crate::settings::{Ejection, Queue, ServerAddress, ServerSettings};
use crate::status::ServerState::{Down, Drained, Ejected, Up};
use crate::{HealthCheck, ServerState, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn server(index: usize) -> ServerSettings {
    format!("http://server{index}:80").parse::<ServerAddress>().unwrap().into()
}

fn settings(servers: usize) -> OriginSettings {
    OriginSettings { name: "cms".to_owned(), servers: (0..servers).map(server).collect(), ..OriginSettings::default() }
}

/// Servers that are left out after three failures in a row, for ten seconds at first.
fn strict(servers: usize) -> OriginSettings {
    let ejection = Ejection {
        failures: 3,
        rate: 0,
        window: 10 * SECOND,
        base: 10 * SECOND,
        longest: 60 * SECOND,
        statuses: vec![StatusCode::SERVICE_UNAVAILABLE],
    };
    OriginSettings { ejection: Some(ejection), ..settings(servers) }
}

fn limited(servers: usize, limit: usize) -> OriginSettings {
    let mut settings = settings(servers);
    settings.servers.iter_mut().for_each(|server| server.max_connections = limit);
    settings
}

fn checked() -> HealthCheck {
    HealthCheck {
        path: None,
        host: None,
        statuses: Vec::new(),
        body: None,
        interval: SECOND,
        timeout: SECOND,
        verdict: Verdict::InARow { rise: 1, fall: 1 },
    }
}

fn twice() -> Wanted<'static> {
    Wanted { twice: true, ..Wanted::default() }
}

/// A lease that needs no waiting.
fn pick(servers: &Servers) -> Lease {
    servers.try_pick(&twice()).unwrap()
}

/// A lease on this server, whoever's turn it is.
fn at(servers: &Servers, index: usize) -> Lease {
    std::iter::repeat_with(|| pick(servers)).take(50).find(|lease| lease.index() == index).unwrap()
}

fn fail(servers: &Servers, index: usize, times: usize) {
    (0..times).for_each(|_| at(servers, index).failed(Kind::ConnectRefused));
}

fn good(mut lease: Lease) {
    lease.answered(StatusCode::OK);
    lease.over();
}

fn states(servers: &Servers) -> Vec<ServerState> {
    servers.status().servers.iter().map(|server| server.state).collect()
}

fn active(servers: &Servers) -> Vec<usize> {
    servers.status().servers.iter().map(|server| server.active).collect()
}

/// The servers of so many requests that are over at once.
fn picks(servers: &Servers, count: usize) -> Vec<usize> {
    (0..count).map(|_| pick(servers).index()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_left_out_and_one_trial_brings_it_back() {
    let servers = Servers::new(&strict(2)).unwrap();
    fail(&servers, 0, 2);
    assert_eq!(states(&servers), [Up, Up]);
    // A good one in between: not in a row.
    good(at(&servers, 0));
    fail(&servers, 0, 2);
    assert_eq!(states(&servers), [Up, Up]);
    fail(&servers, 0, 1);
    let status = servers.status();
    assert_eq!((status.servers[0].state, status.servers[0].ejections), (Ejected, 1));
    assert_eq!(status.servers[0].reason, "3 failures in a row, the last: connect-refused");
    assert_eq!(status.servers[0].failures, 5);
    advance(9 * SECOND).await;
    assert!(!picks(&servers, 20).contains(&0));
    advance(SECOND).await;
    // One request at a time, not a flood; what cannot be sent twice is not risked.
    assert!((0..20).all(|_| servers.try_pick(&Wanted::default()).unwrap().index() == 1));
    let mut trial = pick(&servers);
    assert_eq!((trial.index(), states(&servers)[0]), (0, Ejected));
    assert!(!picks(&servers, 20).contains(&0));
    trial.answered(StatusCode::OK);
    assert_eq!((states(&servers)[0], servers.status().servers[0].reason.as_str()), (Up, "it answers again: 200"));
    assert_eq!(picks(&servers, 20).iter().filter(|index| **index == 0).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_is_a_longer_absence_and_one_that_is_given_up_is_none() {
    let servers = Servers::new(&strict(2)).unwrap();
    fail(&servers, 0, 3);
    for wait in [10, 20, 40] {
        advance((wait - 1) * SECOND).await;
        assert!(!picks(&servers, 5).contains(&0), "{wait}");
        advance(SECOND).await;
        // The client left: the next request tries.
        let given_up = pick(&servers);
        assert_eq!(given_up.index(), 0, "{wait}");
        drop(given_up);
        let trial = pick(&servers);
        assert_eq!(trial.index(), 0, "{wait}");
        trial.failed(Kind::FirstByteTimeout);
    }
    let status = &servers.status().servers[0];
    assert_eq!((status.reason.as_str(), status.ejections), ("its trial failed: first-byte-timeout", 4));
}

#[tokio::test(start_paused = true)]
async fn what_counts_as_a_failure() {
    let servers = Servers::new(&strict(2)).unwrap();
    for _ in 0..9 {
        // The client's own faults, and clients that left.
        at(&servers, 0).failed(Kind::RequestBody);
        at(&servers, 0).failed(Kind::Request);
        drop(at(&servers, 0));
        let mut gone = at(&servers, 0);
        gone.answered(StatusCode::OK);
        drop(gone);
        // A status that was not named.
        let mut status = at(&servers, 1);
        status.answered(StatusCode::INTERNAL_SERVER_ERROR);
        status.over();
    }
    assert_eq!(states(&servers), [Up, Up]);
    for kind in [Kind::Incomplete, Kind::BetweenBytesTimeout] {
        // A good head and a broken body are one failure, not a good request.
        let mut broken = at(&servers, 0);
        broken.answered(StatusCode::OK);
        broken.failed(kind);
    }
    let mut status = at(&servers, 0);
    status.answered(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(states(&servers), [Ejected, Up], "at the head, whatever becomes of the body");
    status.over();
    assert_eq!(servers.status().servers[0].failures, 3);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_leaves_a_server_out_too() {
    let mut settings = strict(2);
    settings.ejection = settings.ejection.map(|ejection| Ejection { failures: 0, rate: 50, ..ejection });
    let servers = Servers::new(&settings).unwrap();
    for _ in 0..4 {
        good(at(&servers, 0));
        fail(&servers, 0, 1);
    }
    // Nine are too few to tell.
    fail(&servers, 0, 1);
    assert_eq!(states(&servers), [Up, Up]);
    // What is older than the window does not count.
    advance(11 * SECOND).await;
    fail(&servers, 0, 9);
    assert_eq!(states(&servers), [Up, Up]);
    good(at(&servers, 0));
    assert_eq!(states(&servers), [Up, Up]);
    fail(&servers, 0, 1);
    assert_eq!(states(&servers), [Ejected, Up]);
    assert_eq!(servers.status().servers[0].reason, "10 of 11 requests failed, the last: connect-refused");
}

#[tokio::test(start_paused = true)]
async fn the_last_server_stays() {
    let mut settings = strict(3);
    settings.health = Some(checked());
    let servers = Servers::new(&settings).unwrap();
    servers.drain("server0:80", true);
    servers.members()[1].checked(false, "connect-refused");
    assert_eq!(states(&servers), [Drained, Down, Up]);
    fail(&servers, 2, 50);
    assert_eq!(states(&servers), [Drained, Down, Up]);
    // As soon as another one can take its place, it goes.
    servers.members()[1].checked(true, "connected");
    fail(&servers, 2, 1);
    assert_eq!(states(&servers), [Drained, Up, Ejected]);
    assert_eq!(servers.status().servers[1].check, Some((true, "connected".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn requests_go_on_while_all_are_out_and_whoever_answers_is_back() {
    let mut settings = strict(3);
    settings.health = Some(checked());
    let servers = Servers::new(&settings).unwrap();
    fail(&servers, 0, 3);
    for member in &servers.members()[1..] {
        member.checked(false, "timeout");
    }
    assert_eq!(states(&servers), [Ejected, Down, Down]);
    // The one that was left out for failures is less bad than those that checks find unwell.
    assert_eq!(picks(&servers, 4), [0; 4]);
    let mut tried_on = servers.try_pick(&Wanted { tried: &[0], ..twice() }).unwrap();
    assert!(tried_on.index() > 0);
    tried_on.answered(StatusCode::OK);
    tried_on.over();
    assert_eq!(states(&servers), [Ejected, Down, Down], "checks bring back whom they took out");
    good(pick(&servers));
    assert_eq!(states(&servers), [Up, Down, Down]);
}

#[tokio::test(start_paused = true)]
async fn with_all_drained_there_is_no_server() {
    let servers = Servers::new(&settings(2)).unwrap();
    for index in 0..2 {
        assert!(servers.drain(&format!("server{index}:80"), true));
    }
    assert!(!servers.drain("server2:80", true) && !servers.drain("server0", true));
    assert_eq!(servers.pick(&twice()).await.unwrap_err().kind(), Kind::NoServer);
    servers.drain("server1:80", false);
    assert_eq!(picks(&servers, 3), [1; 3]);
    assert!(servers.pick(&Wanted { tried: &[1], ..twice() }).await.unwrap().is_none(), "tried everywhere");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_works_its_way_up_with_each_balance() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash { bound: 400 }, Balance::First] {
        let servers = Servers::new(&OriginSettings { balance, slow_start: 20 * SECOND, ..settings(2) }).unwrap();
        let share = |under_way: usize| {
            let picked = (0..2_000).map(|hash| servers.try_pick(&Wanted { hash: Some(hash), ..twice() }).unwrap());
            // Under way all together, or else nobody has more than another.
            let leases: Vec<Lease> = picked.take(under_way).collect();
            leases.iter().filter(|lease| lease.index() == 0).count() * 100 / under_way
        };
        let fair = if balance == Balance::First { 100 } else { 50 };
        assert!(share(2_000).abs_diff(fair) < 10, "{balance:?} from the start");
        servers.drain("server0:80", true);
        assert_eq!(share(2_000), 0, "{balance:?}");
        servers.drain("server0:80", false);
        let mut shares = Vec::new();
        for _ in 0..10 {
            shares.push(share(2_000));
            advance(2 * SECOND).await;
        }
        assert!(shares[0] < 15, "{balance:?}: {shares:?}");
        assert!(shares[9].abs_diff(fair) < 10, "{balance:?}: {shares:?}");
        assert!(shares.is_sorted_by(|a, b| *a <= b + 4), "{balance:?}: {shares:?}");
        assert_eq!(servers.status().servers[0].ramp, 100);
    }
}

fn cookie(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, http::HeaderValue::from_static(value))])
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_where_it_was_set_and_moves_once() {
    let servers = Servers::new(&OriginSettings { sticky: vec!["sid".to_owned()], ..strict(4) }).unwrap();
    let lease = at(&servers, 2);
    servers.learn(
        &lease,
        &HeaderMap::from_iter([(SET_COOKIE, http::HeaderValue::from_static("sid=a; Path=/"))]),
        None,
        &[],
    );
    drop(lease);
    let wanted = Wanted { session: servers.session(&cookie("x=y; sid=a")), ..twice() };
    let home = async || servers.pick(&wanted).await.unwrap().unwrap().index();
    for _ in 0..9 {
        assert_eq!(home().await, 2);
    }
    servers.drain("server2:80", true);
    let other = home().await;
    assert_ne!(other, 2);
    servers.drain("server2:80", false);
    for _ in 0..9 {
        assert_eq!(home().await, other, "it stays there");
    }
    // One that nobody learned of, after a restart perhaps, has a home too, and stays where it moved to.
    let wanted = Wanted { session: servers.session(&cookie("sid=unknown")), ..twice() };
    let home = async || servers.pick(&wanted).await.unwrap().unwrap().index();
    let first = home().await;
    assert_eq!(home().await, first);
    servers.drain(&format!("server{first}:80"), true);
    let second = home().await;
    servers.drain(&format!("server{first}:80"), false);
    assert!(first != second && home().await == second);
}

#[tokio::test(start_paused = true)]
async fn new_settings_go_on_with_what_is_known() {
    let mut old = OriginSettings { sticky: vec!["sid".to_owned()], health: Some(checked()), ..strict(4) };
    old.servers.iter_mut().for_each(|server| server.max_connections = 2);
    let before = Servers::new(&old).unwrap();
    fail(&before, 0, 3);
    before.drain("server1:80", true);
    before.members()[3].checked(false, "status 500");
    before.sticky.learn(&HeaderMap::from_iter([(SET_COOKIE, http::HeaderValue::from_static("sid=a"))]), 2, None);
    let busy = at(&before, 2);
    // Another order, one server less, one more.
    let order = [4, 2, 1, 0];
    let after = Servers::new(&OriginSettings {
        servers: order.map(|index| ServerSettings { max_connections: 2, ..server(index) }).into(),
        ..old
    })
    .unwrap();
    after.adopt(&before);
    assert_eq!(states(&after), [Up, Up, Drained, Ejected]);
    let status = after.status();
    assert_eq!((status.servers[3].failures, status.servers[3].ejections), (3, 1));
    assert_eq!(status.servers[2].reason, "taken out by hand");
    assert_eq!(active(&after), [0, 1, 0, 0], "what is under way counts on");
    let wanted = Wanted { session: after.session(&cookie("sid=a")), ..twice() };
    let second = after.try_pick(&wanted).unwrap();
    assert_eq!((second.index(), active(&after)[1]), (1, 2));
    assert!(after.try_pick(&wanted).is_none(), "full, with the old one's");
    drop(busy);
    assert!(after.try_pick(&wanted).is_some());
    advance(10 * SECOND).await;
    assert_eq!(pick(&after).index(), 3, "its trial is due");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_and_stays_is_shown_as_failing_until_it_answers() {
    let failing = |servers: &Servers| servers.status().servers[0].failing.clone().map(|failing| failing.reason);
    for eject in [false, true] {
        let settings = OriginSettings { fallback: Some("still".to_owned()), ..settings(1) };
        let settings = if eject { OriginSettings { ejection: strict(1).ejection, ..settings } } else { settings };
        let servers = Servers::new(&settings).unwrap();
        fail(&servers, 0, 4);
        let mut bad = pick(&servers);
        // The word of a web server whose application is gone; with `eject` it is what that names.
        bad.answered(if eject { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY });
        bad.over();
        let (count, last) = if eject { (3, "connect-refused") } else { (5, "502") };
        assert_eq!(failing(&servers), Some(format!("{count} failures in a row, the last: {last}")));
        assert_eq!(states(&servers), [Up]);
        // New settings go on with it, and each hears for itself of the answer.
        let after = Servers::new(&settings).unwrap();
        after.adopt(&servers);
        for servers in [&servers, &after] {
            assert!(failing(servers).is_some());
            good(pick(servers));
            assert_eq!(failing(servers), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_every_other_request_is_believed_later_each_time() {
    let servers = Servers::new(&settings(1)).unwrap();
    let failing = || servers.status().servers[0].failing.is_some();
    for wanted in [1, 2, 4, 8] {
        fail(&servers, 0, 5);
        for count in 1..=wanted {
            // A failure in between: not in a row.
            (1..count).for_each(|_| good(pick(&servers)));
            fail(&servers, 0, 1);
            assert!(failing(), "{wanted} {count}");
        }
        (0..wanted).for_each(|_| good(pick(&servers)));
        assert!(!failing(), "{wanted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_is_drained_by_its_name_or_its_url() {
    let servers = Servers::new(&settings(2)).unwrap();
    for name in ["server1:80", "http://server1:80", "HTTP://SERVER1:80/"] {
        assert!(servers.drain(name, true), "{name}");
        assert_eq!(states(&servers), [Up, Drained]);
        assert!(servers.drain(name, false), "{name}");
        assert_eq!(states(&servers), [Up, Up]);
    }
    for name in ["https://server1:80", "http://server1", "http://server1:80/x", "server1", ""] {
        assert!(!servers.drain(name, true), "{name}");
    }
}
