//! Servers by name: a real name server, real sockets, and what becomes of connections when the answer changes.

use super::*;
use crate::settings::NameSettings;
use copal_testkit::{Answer, DnsAnswer, DnsServer, Front};
use std::net::SocketAddr;
use std::time::Duration;

const NAME: &str = "cms.test";

/// Two servers with the same port, at addresses that no other test listens at.
async fn two() -> [ScriptedOrigin; 2] {
    let one = ScriptedOrigin::start_at("127.77.2.1:0".parse().unwrap()).await;
    let two = ScriptedOrigin::start_at(SocketAddr::from(([127, 77, 2, 2], one.address().port()))).await;
    one.on("/", "one");
    two.on("/", "two");
    [one, two]
}

fn at(ttl: u32, servers: &[&ScriptedOrigin]) -> DnsAnswer {
    let addresses: Vec<String> = servers.iter().map(|server| server.address().ip().to_string()).collect();
    DnsAnswer::addresses(ttl, &addresses.iter().map(String::as_str).collect::<Vec<_>>())
}

fn named(dns: &DnsServer, server: &ScriptedOrigin) -> Arc<Origin> {
    let url = format!("http://{NAME}:{}", server.address().port());
    let names = NameSettings { servers: vec![dns.address()], ..NameSettings::default() };
    Origin::new(OriginSettings { names, ..settings(&[url]) }).unwrap()
}

#[tokio::test]
async fn several_addresses_of_a_name_are_used() {
    let (dns, [one, two]) = (DnsServer::start().await, two().await);
    dns.on(NAME, at(60, &[&one, &two]));
    let origin = named(&dns, &one);
    let mut bodies = Vec::new();
    for server in [&one, &two] {
        let (body, answer) = Answer::stream();
        server.on("/long", answer);
        bodies.push((body, get(&origin, "/long").await.unwrap()));
    }
    assert_eq!((one.open_connections(), two.open_connections()), (1, 1));
    assert_eq!(origin.status().servers[0].addresses, [one.address(), two.address()]);
    // One lookup, of two families.
    assert_eq!(dns.count(NAME), 2);
}

#[tokio::test]
async fn a_server_that_moved_gets_its_traffic_at_once() {
    let (dns, [one, two]) = (DnsServer::start().await, two().await);
    dns.on(NAME, at(0, &[&one]));
    let origin = named(&dns, &one);
    let (body, answer) = Answer::stream();
    one.on("/long", answer);
    let long = get(&origin, "/long").await.unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "one");
    assert_eq!((one.open_connections(), origin.idle()), (2, vec![1]));
    dns.on(NAME, at(0, &[&two]));
    // The idle connection is closed; the one in use is finished, and then closed.
    one.wait_for_open_connections(1).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "two");
    body.send("to the end");
    body.end();
    assert_eq!(whole(long.body).await.unwrap(), "to the end");
    one.wait_for_open_connections(0).await;
    assert_eq!((one.count("/"), origin.idle()), (1, vec![1]));
}

#[tokio::test]
async fn the_last_addresses_are_kept_while_the_name_does_not_resolve() {
    let (dns, [one, two]) = (DnsServer::start().await, two().await);
    dns.on(NAME, at(0, &[&one]));
    let origin = named(&dns, &one);
    assert_eq!(text(&origin, "/").await.unwrap(), "one");
    let asked = dns.count(NAME);
    dns.on(NAME, DnsAnswer::nx_domain());
    // The third question is that of the second lookup in vain.
    dns.wait_for(NAME, asked + 3).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "one");
    // The same connection all the time, until there is an answer again.
    assert_eq!(one.connections(), 1);
    dns.on(NAME, at(0, &[&two]));
    one.wait_for_open_connections(0).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "two");
}

#[tokio::test]
async fn an_origin_starts_before_its_name_resolves() {
    let (dns, [one, _two]) = (DnsServer::start().await, two().await);
    let origin = named(&dns, &one);
    assert_eq!(dns.count(NAME), 0);
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::Dns, "dns_error"));
    assert_eq!(error.server(), Some(&*format!("{NAME}:{}", one.address().port())));
    let asked = dns.count(NAME);
    for _ in 0..20 {
        assert_eq!(text(&origin, "/").await, Err(Kind::Dns));
    }
    assert_eq!(dns.count(NAME), asked);
    dns.on(NAME, at(60, &[&one]));
    dns.wait_for(NAME, asked + 2).await;
    // The answer is on its way: the next request has it, or is told of the failure for the last time.
    let answered = async {
        while text(&origin, "/").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    patiently(|| "the name to resolve".to_owned(), answered).await;
    assert_eq!(one.connections(), 1);
}

#[tokio::test]
async fn a_server_that_is_gone_is_looked_for_before_its_time() {
    let (dns, [one, two]) = (DnsServer::start().await, two().await);
    dns.on(NAME, at(3600, &[&one]));
    let origin = named(&dns, &one);
    assert_eq!(text(&origin, "/").await.unwrap(), "one");
    one.stop().await;
    dns.on(NAME, at(3600, &[&two]));
    let moved = async {
        while text(&origin, "/").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    patiently(|| "the name's other address".to_owned(), moved).await;
    assert_eq!(dns.count(NAME), 4);
}

#[tokio::test]
async fn a_name_server_that_is_silent_does_not_hold_a_request_up_for_longer_than_a_connection_may() {
    let (dns, [one, _two]) = (DnsServer::start().await, two().await);
    dns.on(NAME, DnsAnswer::silence());
    let url = format!("http://{NAME}:{}", one.address().port());
    let names = NameSettings { servers: vec![dns.address()], ..NameSettings::default() };
    let timeouts = crate::Timeouts { connect: Duration::from_millis(50), ..crate::Timeouts::default() };
    let origin = Origin::new(OriginSettings { names, timeouts, ..settings(&[url]) }).unwrap();
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::Dns, "dns_timeout"));
    // Before the name server's own time is over.
    assert_eq!(dns.count(NAME), 2);
}

#[tokio::test]
async fn localhost_is_not_asked_for() {
    let (dns, server) = (DnsServer::start().await, ScriptedOrigin::start().await);
    server.on("/", "home");
    let names = NameSettings { servers: vec![dns.address()], ..NameSettings::default() };
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}", server.address().port());
        let origin = Origin::new(OriginSettings { names: names.clone(), ..settings(&[url]) }).unwrap();
        assert_eq!(text(&origin, "/").await.unwrap(), "home", "{host}");
    }
    assert!(dns.names().is_empty());
}

#[tokio::test]
async fn a_connection_of_http2_takes_no_more_requests_for_a_server_that_moved() {
    let dns = DnsServer::start().await;
    let server = ScriptedOrigin::start_behind(Front::default().http2()).await;
    server.on("/", "one");
    dns.on(NAME, DnsAnswer::addresses(0, &["127.0.0.1"]));
    let url = format!("http://{NAME}:{}", server.address().port());
    let names = NameSettings { servers: vec![dns.address()], ..NameSettings::default() };
    let origin = Origin::new(OriginSettings { names, protocol: crate::Protocol::Http2, ..settings(&[url]) }).unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "one");
    // Where nobody listens.
    let elsewhere = SocketAddr::from(([127, 77, 2, 9], server.address().port()));
    dns.on(NAME, DnsAnswer::addresses(0, &["127.77.2.9"]));
    let moved = async {
        while origin.status().servers[0].addresses != [elsewhere] {
            tokio::task::yield_now().await;
        }
    };
    patiently(|| "the other address".to_owned(), moved).await;
    assert_eq!(text(&origin, "/").await, Err(Kind::ConnectRefused));
    assert_eq!(server.count("/"), 1);
}
