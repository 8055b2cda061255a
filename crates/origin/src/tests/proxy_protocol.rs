//! What a server is told of the client before the first byte (the header's own bytes: `proxy_header.rs`).

use super::*;
use crate::{Call, Protocol, ProxyProtocol, TlsSettings};
use copal_testkit::{Answer, Authority, Front};
use std::net::SocketAddr;

fn from(client: &str) -> Call {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Call { client: Some((address(client), address("198.51.100.2:443"))), ..Call::default() }
}

async fn one(version: ProxyProtocol, front: Front) -> (ScriptedOrigin, Arc<Origin>) {
    let server = ScriptedOrigin::start_behind(front.proxy_header()).await;
    server.on("/", "hello");
    let settings = OriginSettings { proxy_protocol: Some(version), ..settings(&[server.url()]) };
    (server, Origin::new(settings).unwrap())
}

async fn told(origin: &Origin, call: Call) -> String {
    let asked = request("GET", "/", RequestBody::Empty);
    let response = patiently(|| "a response head".to_owned(), origin.send_with(asked, call)).await.unwrap();
    whole(response.body).await.unwrap()
}

#[tokio::test]
async fn a_clients_connection_is_for_that_request_only() {
    let (server, origin) = one(ProxyProtocol::V1, Front::default()).await;
    for client in ["192.0.2.1:1001", "192.0.2.1:1001", "[::ffff:192.0.2.7]:1002"] {
        assert_eq!(told(&origin, from(client)).await, "hello");
        assert_eq!(origin.idle(), [0]);
    }
    server.wait_for_open_connections(0).await;
    let prefaces: Vec<_> = server.requests().into_iter().map(|request| request.preface).collect();
    let line = |ip: &str, port: u16| format!("PROXY TCP4 {ip} 198.51.100.2 {port} 443\r\n");
    assert_eq!(prefaces, [line("192.0.2.1", 1001), line("192.0.2.1", 1001), line("192.0.2.7", 1002)]);
}

#[tokio::test]
async fn requests_that_are_no_clients_share_connections_among_themselves() {
    for (version, wanted) in
        [(ProxyProtocol::V1, &b"PROXY UNKNOWN\r\n"[..]), (ProxyProtocol::V2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")]
    {
        let (server, origin) = one(version, Front::default()).await;
        assert_eq!(told(&origin, Call::default()).await, "hello");
        assert_eq!(origin.idle(), [1]);
        // A client's does not take the shared one, nor leave its own behind.
        assert_eq!(told(&origin, from("192.0.2.1:1001")).await, "hello");
        assert_eq!(told(&origin, Call::default()).await, "hello");
        let seen: Vec<_> = server.requests().into_iter().map(|request| request.connection).collect();
        assert_eq!((seen, origin.idle()), (vec![1, 2, 1], vec![1]));
        assert_eq!(server.last().preface, wanted);
    }
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let authority = Authority::new();
    let front = Front::tls(&authority.issue(&["127.0.0.1"])).protocols(&["h2", "http/1.1"]).proxy_header();
    let server = ScriptedOrigin::start_behind(front).await;
    server.on("/", "hello");
    let tls = TlsSettings { ca: Some(authority.pem().as_bytes().into()), ..TlsSettings::default() };
    for (protocol, version) in
        [(Protocol::Http1, "HTTP/1.1"), (Protocol::Auto, "HTTP/2.0"), (Protocol::Http2, "HTTP/2.0")]
    {
        let proxy_protocol = Some(ProxyProtocol::V2);
        let settings = OriginSettings { proxy_protocol, protocol, tls: tls.clone(), ..settings(&[server.url()]) };
        let origin = Origin::new(settings).unwrap();
        assert_eq!(told(&origin, from("[2001:db8::1]:1001")).await, "hello");
        let seen = server.last();
        assert_eq!((seen.version.as_str(), &seen.preface[12..16]), (version, &[0x21, 0x21, 0, 36][..]));
        assert_eq!(origin.idle(), [0]);
        server.wait_for_open_connections(0).await;
    }
}

#[tokio::test]
async fn a_unix_socket_is_told_too() {
    let (server, origin) = one(ProxyProtocol::V1, Front::unix()).await;
    assert_eq!(told(&origin, from("192.0.2.1:1001")).await, "hello");
    assert_eq!(server.last().preface, "PROXY TCP4 192.0.2.1 198.51.100.2 1001 443\r\n");
}

#[tokio::test]
async fn an_upgrade_on_a_clients_connection_carries_bytes() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (server, origin) = one(ProxyProtocol::V2, Front::default()).await;
    server.on("/ws", Answer::upgrade("chat"));
    let mut asked = request("GET", "/ws", RequestBody::Empty);
    asked.headers_mut().insert("upgrade", "chat".parse().unwrap());
    let response = origin.send_with(asked, from("192.0.2.1:1001")).await.unwrap();
    let mut io = response.upgrade.unwrap().await.unwrap();
    io.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    io.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
}

#[tokio::test]
async fn nobody_is_told_where_it_is_not_asked_for() {
    let server = ScriptedOrigin::start().await;
    server.on("/", "hello");
    let origin = origin(&[&server]);
    for client in ["192.0.2.1:1001", "192.0.2.2:1002"] {
        assert_eq!(told(&origin, from(client)).await, "hello");
    }
    assert_eq!(server.connections(), 1);
}
