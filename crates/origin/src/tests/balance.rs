//! Several servers, over real sockets: what counts as a request under way, who is left out, and who waits.

use std::time::Duration;

use super::*;
use crate::{Balance, Call, Ejection, ServerState, ServerStatus};
use copal_testkit::{Answer, StreamHandle, refused_address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SECOND: Duration = Duration::from_secs(1);

fn ejection() -> Ejection {
    Ejection {
        failures: 2,
        rate: 0,
        window: 10 * SECOND,
        base: 10 * SECOND,
        longest: 60 * SECOND,
        statuses: vec![http::StatusCode::SERVICE_UNAVAILABLE],
    }
}

async fn three() -> [ScriptedOrigin; 3] {
    [ScriptedOrigin::start().await, ScriptedOrigin::start().await, ScriptedOrigin::start().await]
}

fn urls<const N: usize>(servers: &[ScriptedOrigin; N]) -> Vec<String> {
    servers.iter().map(ScriptedOrigin::url).collect()
}

fn of(origin: &Origin) -> Vec<ServerStatus> {
    origin.status().servers
}

fn active(origin: &Origin) -> Vec<usize> {
    of(origin).iter().map(|server| server.active).collect()
}

fn counts<const N: usize>(servers: &[ScriptedOrigin; N], route: &str) -> [usize; N] {
    servers.each_ref().map(|server| server.count(route))
}

fn streams<const N: usize>(servers: &[ScriptedOrigin; N], target: &str) -> Vec<StreamHandle> {
    let handle = |server: &ScriptedOrigin| {
        let (handle, answer) = Answer::stream();
        server.on(target, answer.once());
        handle
    };
    servers.iter().map(handle).collect()
}

#[tokio::test]
async fn servers_take_turns_by_weight() {
    let servers = three().await;
    let mut settings = settings(&urls(&servers));
    settings.servers[0].weight = 3;
    settings.servers[2].weight = 2;
    let origin = Origin::new(settings).unwrap();
    for _ in 0..12 {
        get(&origin, "/").await.unwrap();
    }
    assert_eq!(counts(&servers, "/"), [6, 2, 4]);
    assert_eq!(of(&origin).iter().map(|server| server.requests).collect::<Vec<_>>(), [6, 2, 4]);
}

#[tokio::test]
async fn a_request_is_under_way_until_its_body_is_over() {
    let (server, origin) = one().await;
    let mut handles = Vec::new();
    let mut bodies = Vec::new();
    for target in ["/read", "/dropped", "/broken"] {
        let (handle, answer) = Answer::stream();
        server.on(target, answer);
        bodies.push(get(&origin, target).await.unwrap().body);
        handles.push(handle);
        handles.last().unwrap().send("a piece");
    }
    assert_eq!(active(&origin), [3]);
    let [read, dropped, broken] = <[OriginBody; 3]>::try_from(bodies).unwrap();
    drop(dropped);
    assert_eq!(active(&origin), [2]);
    let mut handles = handles.into_iter();
    handles.next().unwrap().end();
    assert_eq!(whole(read).await.unwrap(), "a piece");
    assert_eq!(active(&origin), [1]);
    server.stop().await;
    whole(broken).await.unwrap_err();
    assert_eq!((active(&origin), of(&origin)[0].failures), (vec![0], 1));
}

#[tokio::test]
async fn a_short_response_is_over_when_it_has_come_whoever_reads_it() {
    let (server, origin) = one().await;
    server.on("/", "hello");
    let response = get(&origin, "/").await.unwrap();
    assert_eq!(active(&origin), [0]);
    assert_eq!(whole(response.body).await.unwrap(), "hello");
}

#[tokio::test]
async fn an_upgraded_connection_is_under_way_until_it_is_closed() {
    let (server, origin) = one().await;
    server.on("/ws", Answer::upgrade("chat"));
    let mut asked = request("GET", "/ws", RequestBody::Empty);
    asked.headers_mut().insert("connection", "upgrade".parse().unwrap());
    asked.headers_mut().insert("upgrade", "chat".parse().unwrap());
    let response = send(&origin, asked).await.unwrap();
    let mut io = response.upgrade.unwrap().await.unwrap();
    drop(response.body);
    io.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    io.read_exact(&mut back).await.unwrap();
    assert_eq!((&back, active(&origin)), (b"ping", vec![1]));
    drop(io);
    assert_eq!(active(&origin), [0]);
}

#[tokio::test]
async fn the_least_requests_are_counted_with_their_bodies() {
    let servers = three().await;
    let handles = streams(&servers, "/slow");
    let settings = OriginSettings { balance: Balance::LeastRequests, ..settings(&urls(&servers)) };
    let origin = Origin::new(settings).unwrap();
    let mut bodies = Vec::new();
    for count in 1..=3 {
        bodies.push(get(&origin, "/slow").await.unwrap().body);
        assert_eq!(active(&origin).iter().sum::<usize>(), count);
    }
    // Of two the one without a request is taken, so no server has all of them.
    assert!(active(&origin).iter().all(|active| *active < 3), "{:?}", active(&origin));
    handles.into_iter().for_each(StreamHandle::end);
    for body in bodies {
        whole(body).await.unwrap();
    }
    assert_eq!(active(&origin), [0, 0, 0]);
}

#[tokio::test]
async fn one_hash_has_one_server_and_the_next_where_that_is_gone() {
    let servers = three().await;
    let settings = OriginSettings {
        balance: Balance::Hash { bound: 150 },
        ejection: Some(ejection()),
        ..settings(&urls(&servers))
    };
    let origin = Origin::new(settings).unwrap();
    let ask = async |hash| {
        let call = Call { hash: Some(hash), ..Call::default() };
        origin.send_with(request("GET", "/", RequestBody::Empty), call).await.unwrap().server
    };
    let mut homes = Vec::new();
    for hash in 0..20 {
        homes.push(ask(hash).await);
        assert_eq!(ask(hash).await, homes[hash as usize]);
    }
    let gone = homes[0].clone();
    let server = servers.iter().find(|server| server.url().ends_with(&*gone)).unwrap();
    server.stop().await;
    for (hash, home) in (0..).zip(&homes) {
        let now = ask(hash).await;
        assert_ne!(now, gone);
        assert!(home == &gone || home == &now, "{hash}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_left_out_and_asked_again_with_one_request() {
    let server = ScriptedOrigin::start().await;
    server.on("*", "well");
    let dead = refused_address().await;
    let urls = [format!("http://{dead}"), server.url()];
    let settings = OriginSettings { ejection: Some(ejection()), ..settings(&urls) };
    let origin = Origin::new(settings).unwrap();
    for _ in 0..10 {
        assert_eq!(text(&origin, "/").await.unwrap(), "well");
    }
    let status = of(&origin);
    assert_eq!((status[0].state, status[0].requests, status[0].failures), (ServerState::Ejected, 2, 2));
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "well");
    let status = of(&origin);
    assert_eq!((status[0].state, status[0].requests, status[0].ejections), (ServerState::Ejected, 3, 2));
    let back = ScriptedOrigin::start_at(dead).await;
    back.on("*", "back");
    tokio::time::advance(20 * SECOND).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "back");
    assert_eq!(of(&origin)[0].state, ServerState::Up);
}

#[tokio::test(start_paused = true)]
async fn while_a_trial_hangs_nobody_else_is_sent_there() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    let settings = OriginSettings { ejection: Some(ejection()), ..settings(&urls(&servers)) };
    let origin = Origin::new(settings).unwrap();
    servers[0].on("/", Answer::status(503));
    servers[1].on("/", "well");
    for _ in 0..8 {
        get(&origin, "/").await.unwrap();
    }
    assert_eq!((of(&origin)[0].state, servers[0].count("/")), (ServerState::Ejected, 2));
    let (gate, answer) = Answer::gated("back");
    servers[0].replace("/", answer);
    tokio::time::advance(10 * SECOND).await;
    let origin2 = origin.clone();
    let trial = tokio::spawn(async move { text(&origin2, "/").await });
    servers[0].wait_for(3).await;
    for _ in 0..8 {
        assert_eq!(text(&origin, "/").await.unwrap(), "well");
    }
    gate.open();
    assert_eq!(trial.await.unwrap().unwrap(), "back");
    assert_eq!((of(&origin)[0].state, servers[0].count("/")), (ServerState::Up, 3));
}

#[tokio::test]
async fn a_full_server_is_waited_for_until_a_body_is_over() {
    let (server, origin) = {
        let server = ScriptedOrigin::start().await;
        let mut settings = settings(&[server.url()]);
        settings.servers[0].max_connections = 1;
        (server, Origin::new(settings).unwrap())
    };
    let (handle, answer) = Answer::stream();
    server.on("/first", answer);
    server.on("/second", "second");
    let first = get(&origin, "/first").await.unwrap().body;
    let second = {
        let origin = origin.clone();
        tokio::spawn(async move { text(&origin, "/second").await })
    };
    while origin.status().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((active(&origin), server.count("/second")), (vec![1], 0));
    handle.end();
    whole(first).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), "second");
    assert_eq!((active(&origin), server.connections()), (vec![0], 1));
}

#[tokio::test]
async fn a_session_stays_on_the_server_that_set_its_cookie() {
    let servers = three().await;
    for (index, server) in servers.iter().enumerate() {
        server.on("/login", Answer::ok("in").header("set-cookie", format!("sid=of-{index}; Path=/")));
        server.on("/", "page");
    }
    let settings = OriginSettings { sticky: vec!["sid".to_owned()], ..settings(&urls(&servers)) };
    let origin = Origin::new(settings).unwrap();
    for index in 0..3 {
        let login = get(&origin, "/login").await.unwrap();
        let session = login.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(session, format!("sid=of-{index}"));
        for _ in 0..4 {
            let mut asked = request("GET", "/", RequestBody::Empty);
            asked.headers_mut().insert("cookie", session.parse().unwrap());
            assert_eq!(send(&origin, asked).await.unwrap().server, login.server);
        }
    }
    assert_eq!(counts(&servers, "/"), [4, 4, 4]);
}

#[tokio::test]
async fn a_drained_server_finishes_what_it_has_and_gets_no_more() {
    let servers = [ScriptedOrigin::start().await, ScriptedOrigin::start().await];
    let handles = streams(&servers, "/slow");
    let origin = Origin::new(settings(&urls(&servers))).unwrap();
    let bodies = [get(&origin, "/slow").await.unwrap().body, get(&origin, "/slow").await.unwrap().body];
    let name = of(&origin)[0].name.clone();
    assert!(origin.drain(&name));
    for _ in 0..4 {
        get(&origin, "/").await.unwrap();
    }
    assert_eq!((counts(&servers, "/"), active(&origin)), ([0, 4], vec![1, 1]));
    handles.into_iter().for_each(StreamHandle::end);
    for body in bodies {
        whole(body).await.unwrap();
    }
    assert!(origin.resume(&name) && !origin.resume("elsewhere:80"));
    for _ in 0..4 {
        get(&origin, "/").await.unwrap();
    }
    assert_eq!(counts(&servers, "/"), [2, 6]);
    assert!(origin.candidate(&Call::default()).is_some());
}
