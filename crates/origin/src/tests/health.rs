//! Active checks, under a paused clock: it moves on to the next check by itself whenever everybody waits.

use super::*;
use crate::{Ejection, HealthCheck, OriginStatus, Verdict};
use copal_testkit::{Answer, refused_address};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, interval};

const SECOND: Duration = Duration::from_secs(1);

fn check() -> HealthCheck {
    HealthCheck {
        path: Some("/health?full".to_owned()),
        host: None,
        statuses: vec![(200, 299)],
        body: None,
        interval: 10 * SECOND,
        timeout: 2 * SECOND,
        verdict: Verdict::InARow { rise: 2, fall: 3 },
    }
}

fn checked(urls: &[String], change: impl FnOnce(&mut HealthCheck)) -> OriginSettings {
    let mut check = check();
    change(&mut check);
    OriginSettings { health: Some(check), ..settings(urls) }
}

/// Waits until the state of the servers is as wanted.
async fn until(origin: &Origin, what: &str, wanted: impl Fn(&OriginStatus) -> bool) {
    let reached = async {
        let mut ticks = interval(SECOND / 10);
        while !wanted(&origin.status()) {
            ticks.tick().await;
        }
    };
    patiently(|| format!("{what}, in vain: {:#?}", origin.status()), reached).await;
}

/// What the first check of a server finds.
async fn found(url: String, change: impl FnOnce(&mut HealthCheck)) -> (bool, String) {
    let origin = Origin::new(checked(&[url], change)).unwrap();
    until(&origin, "a check", |status| status.servers[0].check.is_some()).await;
    origin.status().servers[0].check.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_check_is_a_request_of_its_own_on_a_connection_of_its_own() {
    let server = ScriptedOrigin::start().await;
    server.on("/health", "fine");
    let began = Instant::now();
    let origin = Origin::new(checked(&[server.url()], |_| {})).unwrap();
    let mut times = Vec::new();
    for count in 1..=20 {
        server.wait_for(count).await;
        times.push(Instant::now());
    }
    assert!(times[0] - began <= SECOND, "the first at once");
    for pair in times.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause >= 9 * SECOND && pause <= 11 * SECOND, "{pause:?}");
    }
    let name = server.address().to_string();
    let agent = concat!("copal-health/", env!("CARGO_PKG_VERSION"));
    let wanted =
        format!("GET /health?full HTTP/1.1\nhost: {name}\nuser-agent: {agent}\naccept: */*\nconnection: close\n");
    for request in server.requests() {
        assert_eq!(request.text().replace('\r', "").trim_end(), wanted.trim_end());
    }
    assert_eq!(server.connections(), 20);
    server.wait_for_open_connections(0).await;
    assert_eq!((origin.idle(), origin.status().servers[0].requests), (vec![0], 0), "checks are no requests");
}

type Change = Box<dyn FnOnce(&mut HealthCheck)>;

#[tokio::test(start_paused = true)]
async fn what_a_check_finds() {
    let body = |text: &'static str| move |check: &mut HealthCheck| check.body = Some(text.to_owned());
    let as_is = |_: &mut HealthCheck| {};
    let late = format!("{}x", "-".repeat(64 << 10));
    let in_time = format!("{}x", "-".repeat((64 << 10) - 1));
    let (_handle, stalled) = Answer::stream();
    let table: [(Answer, Change, bool, &str); 18] = [
        ("fine".into(), Box::new(as_is), true, "status 200"),
        (Answer::status(204), Box::new(as_is), true, "status 204"),
        (Answer::status(302), Box::new(as_is), false, "status 302"),
        (Answer::status(302), Box::new(|check| check.statuses.push((301, 302))), true, "status 302"),
        (Answer::status(503), Box::new(as_is), false, "status 503"),
        (Answer::status(200), Box::new(|check| check.statuses.clear()), false, "status 200"),
        ("all is fine".into(), Box::new(body("fine")), true, "status 200"),
        ("all is fine".into(), Box::new(body("FINE")), false, "the body lacks what it has to contain"),
        (Answer::status(200).chunks(["all is fi", "ne"]), Box::new(body("fine")), true, "status 200"),
        (Answer::ok(late), Box::new(body("x")), false, "the body lacks what it has to contain"),
        (Answer::ok(in_time), Box::new(body("x")), true, "status 200"),
        ("-".repeat(8 << 20).into(), Box::new(as_is), true, "status 200"),
        (Answer::ok("fine").cut_after(2), Box::new(as_is), false, "incomplete"),
        (Answer::ok("fine").chunked().cut_after(4), Box::new(body("fine")), false, "incomplete"),
        (Answer::hang_up(), Box::new(as_is), false, "closed"),
        (Answer::raw("nonsense and more of it\r\n\r\n"), Box::new(as_is), false, "protocol"),
        (Answer::silence(), Box::new(as_is), false, "first-byte-timeout"),
        (stalled, Box::new(as_is), false, "between-bytes-timeout"),
    ];
    for (answer, change, good, wanted) in table {
        let server = ScriptedOrigin::start().await;
        let said = format!("{answer:?}");
        server.on("*", answer);
        assert_eq!(found(server.url(), change).await, (good, wanted.to_owned()), "{said}");
        // Whatever it was, nothing is left behind.
        server.wait_for_open_connections(0).await;
    }
    let refused = format!("http://{}", refused_address().await);
    assert_eq!(found(refused, |_| {}).await, (false, "connect-refused".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_enough_where_no_path_is_asked_for() {
    let server = ScriptedOrigin::start().await;
    assert_eq!(found(server.url(), |check| check.path = None).await, (true, "connected".to_owned()));
    assert!(server.requests().is_empty());
    server.wait_for_open_connections(0).await;
    server.stop().await;
    assert_eq!(found(server.url(), |check| check.path = None).await, (false, "connect-refused".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_name_that_is_asked_for_may_be_another() {
    let server = ScriptedOrigin::start().await;
    server.on("*", "fine");
    found(server.url(), |check| check.host = Some("www.example".to_owned())).await;
    assert_eq!(server.last().header("host"), Some("www.example"));
}

#[test]
fn what_cannot_be_asked_for_is_an_error_of_the_settings() {
    let with = |change: fn(&mut HealthCheck)| {
        Origin::new(checked(&["http://127.0.0.1".to_owned()], change)).map(drop).map_err(|error| error.kind())
    };
    assert_eq!(with(|_| {}), Ok(()));
    for change in [
        (|check| check.path = Some("health".to_owned())) as fn(&mut HealthCheck),
        |check| check.path = Some("/a b".to_owned()),
        |check| check.path = Some(String::new()),
        |check| check.host = Some("a\nb".to_owned()),
    ] {
        assert_eq!(with(change), Err(Kind::Settings));
    }
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_their_origin() {
    let server = ScriptedOrigin::start().await;
    server.on("*", "fine");
    let origin = Origin::new(checked(&[server.url()], |_| {})).unwrap();
    server.wait_for(2).await;
    drop(origin);
    server.wait_for_open_connections(0).await;
    for _ in 0..10 {
        advance(10 * SECOND).await;
    }
    // Whatever was to come would have come before this one.
    get(&super::origin(&[&server]), "/after").await.unwrap();
    assert_eq!((server.count("/health"), server.requests().len()), (2, 3));
}

#[test]
fn an_origin_made_before_its_runtime_checks_from_its_first_request_on() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let runtime = runtime();
    let server = runtime.block_on(ScriptedOrigin::start());
    server.on("*", "fine");
    let origin = Origin::new(checked(&[server.url()], |_| {})).unwrap();
    runtime.block_on(async {
        for _ in 0..10 {
            advance(10 * SECOND).await;
        }
        get(&origin, "/").await.unwrap();
        assert_eq!(server.requests().len(), 1);
        server.wait_for(3).await;
        assert_eq!(server.count("/health"), 2);
    });
}

#[tokio::test(start_paused = true)]
async fn many_servers_are_not_asked_at_once() {
    let server = ScriptedOrigin::start().await;
    server.on("*", "fine");
    let urls = vec![server.url(); 50];
    let began = Instant::now();
    let _origin = Origin::new(checked(&urls, |_| {})).unwrap();
    server.wait_for(10).await;
    let tenth = began.elapsed();
    server.wait_for(50).await;
    let all = began.elapsed();
    assert!(Duration::ZERO < tenth && tenth < all && all <= SECOND, "{tenth:?} {all:?}");
}

fn states(status: &OriginStatus) -> Vec<&'static str> {
    status.servers.iter().map(|server| server.state.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dead_at_the_start_gets_no_requests() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers[0].on("*", "fine");
    servers[1].on("/health", Answer::status(503));
    let urls = servers.each_ref().map(|server| server.url());
    let origin = Origin::new(checked(&urls, |_| {})).unwrap();
    assert_eq!(states(&origin.status()), ["up", "up"], "nothing is known");
    until(&origin, "the first checks", |status| status.servers.iter().all(|server| server.check.is_some())).await;
    assert_eq!(states(&origin.status()), ["up", "down"]);
    assert_eq!(origin.status().servers[1].reason, "check: status 503");
    for _ in 0..10 {
        assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    }
    assert_eq!(servers[1].count("/"), 0);
}

#[tokio::test(start_paused = true)]
async fn checks_take_a_server_out_and_bring_it_back_as_the_verdict_says() {
    for (verdict, goes_at, comes_at) in [
        (Verdict::InARow { rise: 2, fall: 3 }, 4, 7),
        (Verdict::InARow { rise: 1, fall: 1 }, 2, 6),
        (Verdict::Window { window: 4, threshold: 3 }, 3, 8),
    ] {
        let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
        let bad = || Answer::status(503);
        let good = || Answer::status(200);
        for answer in [good(), bad(), bad(), bad(), bad(), good()] {
            servers[0].on("/health", answer);
        }
        servers.iter().for_each(|server| server.on("/", "fine"));
        servers[1].on("/health", good());
        let urls = servers.each_ref().map(|server| server.url());
        let origin = Origin::new(checked(&urls, |check| check.verdict = verdict)).unwrap();
        until(&origin, "a server to go", |status| states(status) == ["down", "up"]).await;
        assert_eq!(servers[0].count("/health"), goes_at, "{verdict:?}");
        until(&origin, "a server to come back", |status| states(status) == ["up", "up"]).await;
        assert_eq!(servers[0].count("/health"), comes_at, "{verdict:?}");
        assert_eq!(origin.status().servers[0].reason, "check: status 200");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_server_is_well_requests_go_to_them_all_the_same() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    for server in &servers {
        server.on("*", "fine");
        server.on("/health", Answer::status(503));
    }
    let urls = servers.each_ref().map(|server| server.url());
    let origin = Origin::new(checked(&urls, |_| {})).unwrap();
    until(&origin, "both to go", |status| states(status) == ["down", "down"]).await;
    for _ in 0..4 {
        assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    }
    assert_eq!(servers.each_ref().map(|server| server.count("/")), [2, 2]);
}

/// Two servers under checks; the first fails one page and is left out for 100 seconds.
async fn one_ejected() -> ([ScriptedOrigin; 2], Arc<Origin>) {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers[0].on("/", Answer::status(500).once());
    servers.iter().for_each(|server| server.on("*", "fine"));
    let urls = servers.each_ref().map(|server| server.url());
    let ejection = Ejection {
        failures: 1,
        rate: 0,
        window: 10 * SECOND,
        base: 100 * SECOND,
        longest: 1000 * SECOND,
        statuses: vec![http::StatusCode::INTERNAL_SERVER_ERROR],
    };
    let origin = Origin::new(OriginSettings { ejection: Some(ejection), ..checked(&urls, |_| {}) }).unwrap();
    until(&origin, "the first checks", |status| status.servers.iter().all(|server| server.check.is_some())).await;
    assert_eq!(get(&origin, "/").await.unwrap().status, 500);
    assert_eq!(states(&origin.status()), ["ejected", "up"]);
    (servers, origin)
}

#[tokio::test(start_paused = true)]
async fn good_checks_do_not_shorten_the_absence_of_a_server_whose_requests_failed() {
    let (servers, origin) = one_ejected().await;
    let out = Instant::now();
    let before = servers[0].count("/health");
    servers[0].wait_for(before + 1 + 6).await;
    assert_eq!(states(&origin.status()), ["ejected", "up"], "after six good checks");
    tokio::time::sleep_until(out + 99 * SECOND).await;
    for _ in 0..4 {
        assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    }
    assert_eq!((states(&origin.status()), servers[0].count("/")), (vec!["ejected", "up"], 1));
    tokio::time::sleep_until(out + 100 * SECOND).await;
    for _ in 0..2 {
        assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    }
    assert_eq!(origin.status().servers[0].reason, "it answers again: 200");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_checks_find_down_while_it_is_left_out_comes_back_by_them() {
    let (servers, origin) = one_ejected().await;
    let out = Instant::now();
    servers[0].replace("/health", Answer::status(503));
    until(&origin, "it to go down", |status| states(status) == ["down", "up"]).await;
    servers[0].replace("/health", "fine");
    let before = servers[0].count("/health");
    until(&origin, "it to come back", |status| states(status) == ["up", "up"]).await;
    assert_eq!(servers[0].count("/health"), before + 2, "two good ones in a row, as the verdict says");
    assert!(out.elapsed() < 100 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn new_settings_go_on_with_what_checks_found() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    let fine = || Answer::ok("fine");
    servers[0].on("/health", Answer::status(503));
    servers[1].on("/health", fine());
    let urls = servers.each_ref().map(|server| server.url());
    let before = Origin::new(checked(&urls, |_| {})).unwrap();
    until(&before, "the first checks", |status| status.servers.iter().all(|server| server.check.is_some())).await;
    assert_eq!(states(&before.status()), ["down", "up"]);
    servers[0].replace("/health", fine());
    servers[1].replace("/health", Answer::status(503));
    let changed = OriginSettings { slow_start: SECOND, ..checked(&urls, |_| {}) };
    let after = Origin::replacing(&before, changed).unwrap();
    drop(before);
    let found = |status: &OriginStatus| {
        status.servers.iter().map(|server| server.check.as_ref().is_some_and(|check| check.0)).collect::<Vec<_>>()
    };
    until(&after, "one check more", |status| found(status) == [true, false]).await;
    assert_eq!(states(&after.status()), ["down", "up"], "one check decides nothing, as before");
    until(&after, "the verdicts", |status| states(status) == ["up", "down"]).await;
    // The one that is there first is asked on until the other's verdict is there.
    assert!((3..=4).contains(&servers[0].count("/health")), "{}", servers[0].count("/health"));
    assert_eq!(servers[1].count("/health"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_drained_server_is_checked_too_and_stays_out() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    servers.iter().for_each(|server| server.on("*", "fine"));
    servers[0].on("/health", Answer::status(503));
    servers[0].on("/health", "fine");
    let urls = servers.each_ref().map(|server| server.url());
    let origin = Origin::new(checked(&urls, |_| {})).unwrap();
    assert!(origin.drain(&servers[0].address().to_string()));
    for wanted in ["status 503", "status 200"] {
        until(&origin, wanted, |status| status.servers[0].check.as_ref().is_some_and(|check| check.1 == wanted)).await;
        assert_eq!(states(&origin.status()), ["drained", "up"]);
    }
    servers[0].wait_for(5).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "fine");
    assert_eq!((states(&origin.status()), servers[0].count("/")), (vec!["drained", "up"], 0));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_wrong_says_nothing_of_the_one_in_its_place() {
    let server = ScriptedOrigin::start().await;
    server.on("/health", "fine");
    server.on("/wrong", Answer::status(404));
    let hour = |check: &mut HealthCheck| check.interval = 3600 * SECOND;
    let wrong = |check: &mut HealthCheck| {
        hour(check);
        check.path = Some("/wrong".to_owned());
    };
    let before = Origin::new(checked(&[server.url()], wrong)).unwrap();
    until(&before, "down", |status| status.servers[0].state == crate::ServerState::Down).await;
    let origin = Origin::replacing(&before, checked(&[server.url()], hour)).unwrap();
    drop(before);
    until(&origin, "a good check", |status| status.servers[0].check.as_ref().is_some_and(|(good, _)| *good)).await;
    // The first check is believed at once.
    assert_eq!(origin.status().servers[0].state, crate::ServerState::Up);
}
