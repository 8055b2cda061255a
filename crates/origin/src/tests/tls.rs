//! TLS to servers: who is trusted, who is asked for, and what is said when it fails.

use super::*;
use crate::{Protocol, Timeouts, TlsSettings};
use copal_testkit::{Answer, Authority, Certificate, Front};
use std::time::Duration;

/// Settings that trust this authority.
fn trusting(authority: &Authority) -> TlsSettings {
    TlsSettings { ca: Some(pem(authority.pem())), ..TlsSettings::default() }
}

fn pem(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

/// These settings, with a client certificate.
fn showing(certificate: &Certificate, tls: TlsSettings) -> TlsSettings {
    TlsSettings { identity: Some((pem(&certificate.chain), pem(&certificate.key))), ..tls }
}

fn origin_with(server: &ScriptedOrigin, tls: TlsSettings) -> Arc<Origin> {
    Origin::new(OriginSettings { tls, ..settings(&[server.url()]) }).unwrap()
}

/// A server with a certificate for 127.0.0.1, and an origin that trusts its authority.
async fn one(front: impl FnOnce(&Authority, Front) -> Front) -> (ScriptedOrigin, Authority) {
    let authority = Authority::new();
    let made = Front::tls(&authority.issue(&["127.0.0.1", "cms.test"]));
    let server = ScriptedOrigin::start_behind(front(&authority, made)).await;
    server.on("/", "hello");
    (server, authority)
}

#[tokio::test]
async fn a_server_of_an_own_ca_is_spoken_to_and_its_connection_kept() {
    let (server, authority) = one(|_, front| front).await;
    let origin = origin_with(&server, trusting(&authority));
    server.on("/large", "x".repeat(3 << 20));
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    assert_eq!(text(&origin, "/large").await.unwrap().len(), 3 << 20);
    assert_eq!(server.connections(), 1);
    let tls = server.last().tls.unwrap();
    // No name is asked for where the server is an address (RFC 6066 §3).
    assert_eq!((tls.server_name, tls.client_certificate), (None, false));
    // The host is the URL's.
    send(&origin, Request::new(RequestBody::Empty)).await.unwrap();
    assert_eq!(server.last().header("host"), Some(server.address().to_string().as_str()));
}

#[tokio::test]
async fn an_upload_goes_through_tls_whole() {
    let (server, authority) = one(|_, front| front).await;
    server.on("PUT /", "done");
    let origin = origin_with(&server, trusting(&authority));
    let large = Bytes::from("0123456789".repeat(200_000));
    let response = send(&origin, request("PUT", "/", RequestBody::Full(large.clone()))).await.unwrap();
    assert_eq!(whole(response.body).await.unwrap(), "done");
    assert_eq!(server.last().body, large);
}

#[tokio::test]
async fn the_name_of_the_settings_is_asked_for_and_verified() {
    let (server, authority) = one(|_, front| front).await;
    let named = |name: &str| TlsSettings { server_name: Some(name.to_owned()), ..trusting(&authority) };
    let origin = origin_with(&server, named("cms.test"));
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    assert_eq!(server.last().tls.unwrap().server_name.as_deref(), Some("cms.test"));
    let error = get(&origin_with(&server, named("other.test")), "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::Tls, "tls_certificate_error"));
    let said = error.to_string();
    for part in [server.address().to_string().as_str(), "other.test", "cms.test", "tls.server_name"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // Verified or not, the name is asked for.
    let credulous = TlsSettings { verify: false, ..named("other.test") };
    assert_eq!(text(&origin_with(&server, credulous), "/").await.unwrap(), "hello");
    assert_eq!(server.last().tls.unwrap().server_name.as_deref(), Some("other.test"));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_accepted_is_told_with_what_to_do() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let names = ["127.0.0.1"];
    for (certificate, part) in [
        (authority.expired(&names), "has expired"),
        (authority.premature(&names), "not valid yet"),
        (stranger.issue(&names), "unknown issuer"),
        (authority.issue(&["127.0.0.2"]), "not valid for 127.0.0.1"),
    ] {
        let server = ScriptedOrigin::start_behind(Front::tls(&certificate)).await;
        server.on("/", "hello");
        let error = get(&origin_with(&server, trusting(&authority)), "/").await.unwrap_err();
        assert_eq!((error.kind(), error.proxy_status()), (Kind::Tls, "tls_certificate_error"), "{part}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.kind().nothing_sent() && server.requests().is_empty());
        // By the operator's word, all of them are accepted.
        let credulous = TlsSettings { verify: false, ..TlsSettings::default() };
        assert_eq!(text(&origin_with(&server, credulous), "/").await.unwrap(), "hello", "{part}");
    }
}

#[tokio::test]
async fn the_systems_authorities_are_the_default_and_know_no_test() {
    let (server, _) = one(|_, front| front).await;
    let error = get(&origin_with(&server, TlsSettings::default()), "/").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Tls);
    // On a machine that has no authorities at all, that is what is said.
    let said = error.to_string();
    assert!(said.contains("unknown issuer") || said.contains("no certificates to trust"), "{said}");
    assert!(said.contains("tls.ca"), "{said}");
}

#[tokio::test]
async fn another_server_gets_the_request_where_there_is_no_tls_with_the_first() {
    let (good, authority) = one(|_, front| front).await;
    let bad = ScriptedOrigin::start_behind(Front::tls(&authority.expired(&["127.0.0.1"]))).await;
    good.on("POST /", "posted");
    let origin =
        Origin::new(OriginSettings { tls: trusting(&authority), ..settings(&[bad.url(), good.url()]) }).unwrap();
    for _ in 0..2 {
        let response = send(&origin, request("POST", "/", RequestBody::Empty)).await.unwrap();
        assert_eq!(whole(response.body).await.unwrap(), "posted");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let (server, authority) = one(|authority, front| front.asks_clients(authority)).await;
    let ours = showing(&authority.issue(&["copal.test"]), trusting(&authority));
    assert_eq!(text(&origin_with(&server, ours), "/").await.unwrap(), "hello");
    assert!(server.last().tls.unwrap().client_certificate);
    // With TLS 1.3 the refusal comes where the response was expected.
    let error = get(&origin_with(&server, trusting(&authority)), "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::Tls, "tls_alert_received"));
    assert!(error.to_string().contains("wants a client certificate"), "{error}");
    let strange = showing(&Authority::new().issue(&["x.test"]), trusting(&authority));
    let error = get(&origin_with(&server, strange), "/").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.to_string().contains("does not take the client certificate"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn sessions_are_resumed_rfc8446_2_2() {
    let (server, authority) = one(|_, front| front).await;
    server.on("/close", Answer::ok("a").header("connection", "close"));
    let origin = origin_with(&server, trusting(&authority));
    for resumed in [false, true] {
        assert_eq!(text(&origin, "/close").await.unwrap(), "a");
        assert_eq!(server.last().tls.unwrap().resumed, resumed);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answering = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let tls = TlsSettings { verify: false, ..TlsSettings::default() };
    let origin = Origin::new(OriginSettings { tls, ..settings(&[url]) }).unwrap();
    let (error, ()) = tokio::join!(get(&origin, "/"), answering);
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::Tls, "tls_protocol_error"));
    assert!(error.to_string().contains("is it an http:// server?"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_limit_of_its_own() {
    // It takes the connection and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let tls = TlsSettings { verify: false, ..TlsSettings::default() };
    let timeouts = Timeouts { connect: Duration::from_secs(3600), tls: Duration::from_secs(7), ..Timeouts::default() };
    let origin = Origin::new(OriginSettings { tls, timeouts, ..settings(&[url]) }).unwrap();
    let began = tokio::time::Instant::now();
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::TlsTimeout, "connection_timeout"));
    // Of the paused clock: nothing is measured.
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_body_until_close_is_whole_only_with_a_closing_word_rfc9112_9_8() {
    let (server, authority) = one(|_, front| front).await;
    server.on("/whole", Answer::ok("hello").until_close());
    server.on("/cut", Answer::ok("hello").until_close().reset_after(5));
    let origin = origin_with(&server, trusting(&authority));
    assert_eq!(text(&origin, "/whole").await.unwrap(), "hello");
    assert_eq!(text(&origin, "/cut").await, Err(Kind::Incomplete));
}

#[tokio::test]
async fn http1_is_offered_by_name_rfc7301() {
    let (server, authority) = one(|_, front| front.protocols(&["h2", "http/1.1"])).await;
    let origin = origin_with(&server, trusting(&authority));
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    let seen = server.last();
    assert_eq!((seen.version.as_str(), seen.tls.unwrap().protocol.as_deref()), ("HTTP/1.1", Some("http/1.1")));
}

#[tokio::test]
async fn wrong_settings_are_told_before_anything_is_connected_to() {
    let authority = Authority::new();
    let certificate = authority.issue(&["a.test"]);
    let other = authority.issue(&["b.test"]);
    let https = |tls: TlsSettings, url: &str| {
        let made = Origin::new(OriginSettings { tls, ..settings(&[url.to_owned()]) });
        made.map(|_| ()).map_err(|error| error.kind())
    };
    let url = "https://cms.test";
    for tls in [
        TlsSettings { ca: Some(pem("")), ..TlsSettings::default() },
        TlsSettings { ca: Some(pem("no PEM at all")), ..TlsSettings::default() },
        TlsSettings { ca: Some(pem(&certificate.key)), ..TlsSettings::default() },
        TlsSettings {
            ca: Some(pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
            ..TlsSettings::default()
        },
        TlsSettings { identity: Some((pem(&certificate.key), pem(&certificate.chain))), ..TlsSettings::default() },
        TlsSettings { identity: Some((pem(&certificate.chain), pem(&other.key))), ..TlsSettings::default() },
        TlsSettings { identity: Some((pem(&certificate.chain), pem(""))), ..TlsSettings::default() },
        TlsSettings { server_name: Some("not a name".to_owned()), ..TlsSettings::default() },
    ] {
        assert_eq!(https(tls.clone(), url), Err(Kind::Settings), "{tls:?}");
        // It is not looked at where no server speaks TLS.
        assert_eq!(https(tls, "http://cms.test"), Ok(()));
    }
    let good = showing(&certificate, trusting(&authority));
    for url in [url, "https://[::1]:8443", "https://cms.test.", "https://127.0.0.1"] {
        assert_eq!(https(good.clone(), url), Ok(()), "{url}");
    }
}

#[test]
fn each_part_that_cannot_be_used_is_told_for_itself() {
    let authority = Authority::new();
    let (certificate, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let told = |tls: TlsSettings| {
        let faults = tls.check();
        faults.iter().map(|fault| format!("{:?}: {fault}", fault.part())).collect::<Vec<_>>().join("; ")
    };
    let identity =
        |chain: &str, key: &str| told(TlsSettings { identity: Some((pem(chain), pem(key))), ..TlsSettings::default() });
    let chain = |parts: &[&str]| parts.concat();
    assert_eq!(identity(&certificate.chain, &certificate.key), "");
    assert_eq!(identity(&chain(&[&certificate.chain, authority.pem()]), &certificate.key), "");
    let foreign = "Key: it belongs to another certificate than the first one of the client certificate's file";
    assert_eq!(identity(&certificate.chain, &other.key), foreign);
    assert_eq!(
        identity(&chain(&[authority.pem(), &certificate.chain]), &certificate.key),
        "Certificate: the key belongs to the 2nd certificate in it, and the client's own has to stand first"
    );
    assert!(identity(&certificate.chain, no_key).starts_with("Key: it is none that can be used: "));
    let found = identity(&chain(&[&certificate.chain, broken]), &certificate.key);
    assert!(found.starts_with("Certificate: the 2nd certificate in it is broken: "), "{found}");
    let found = identity(broken, no_key);
    assert!(found.starts_with("Certificate: ") && found.contains("; Key: "), "{found}");
    let own = |ca: &str, verify| told(TlsSettings { ca: Some(pem(ca)), verify, ..TlsSettings::default() });
    assert_eq!((own(authority.pem(), true), own(broken, false)), (String::new(), String::new()));
    let found = own(&chain(&[authority.pem(), broken]), true);
    assert!(found.starts_with("Ca: the 2nd certificate in it is broken: "), "{found}");
    let named = TlsSettings { server_name: Some("not a name".to_owned()), ..TlsSettings::default() };
    assert!(told(named).starts_with("ServerName: "));
}

#[tokio::test]
async fn a_server_that_takes_no_http2_is_told_of() {
    let (server, authority) = one(|_, front| front.protocols(&["http/1.1"])).await;
    let settings = OriginSettings { tls: trusting(&authority), protocol: Protocol::Http2, ..settings(&[server.url()]) };
    let error = get(&Origin::new(settings).unwrap(), "/").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.to_string().contains("does not take HTTP/2"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_in_http2_as_well() {
    let (server, authority) = one(|authority, front| front.asks_clients(authority).protocols(&["h2"])).await;
    let http2 = |tls: TlsSettings| {
        Origin::new(OriginSettings { tls, protocol: Protocol::Http2, ..settings(&[server.url()]) }).unwrap()
    };
    let ours = showing(&authority.issue(&["copal.test"]), trusting(&authority));
    assert_eq!(text(&http2(ours), "/").await.unwrap(), "hello");
    assert!(server.last().tls.unwrap().client_certificate);
    let error = get(&http2(trusting(&authority)), "/").await.unwrap_err();
    assert_eq!((error.kind(), error.proxy_status()), (Kind::Tls, "tls_alert_received"));
    assert!(error.to_string().contains("client certificate"), "{error}");
}
