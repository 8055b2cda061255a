//! Servers that speak something else at their port, or expect something else first: what is said of them.

use super::*;
use crate::ProxyProtocol;
use copal_testkit::{Answer, Front};

const EITHER: &str = "does it expect the PROXY protocol (`proxy_protocol`), or TLS (`https://`)?";
const TOLD: &str = "it was sent the PROXY protocol's header (`proxy_protocol`): does it expect that?";

/// An alert of a TLS server that got a request in plain text (RFC 8446 §5.1, §6).
const TLS_ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";
/// The settings of a server of HTTP/2 that takes nothing else (RFC 9113 §6.5).
const HTTP2_SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";

async fn said(origin: &Origin, target: &str) -> String {
    get(origin, target).await.unwrap_err().to_string()
}

/// What is said of a first answer.
async fn of(front: Front, proxy_protocol: Option<ProxyProtocol>, answer: Answer) -> String {
    let server = ScriptedOrigin::start_behind(front).await;
    server.on("/", answer);
    let origin = Origin::new(OriginSettings { proxy_protocol, ..settings(&[server.url()]) }).unwrap();
    let said = said(&origin, "/").await;
    said.strip_prefix(&format!("{}: ", origin.status().servers[0].name)).unwrap_or(&said).to_owned()
}

#[tokio::test]
async fn who_closes_without_a_word_is_asked_after_what_it_expects() {
    let closed = "the connection was closed before a response";
    let plain = Front::default();
    assert_eq!(of(plain.clone(), None, Answer::hang_up()).await, format!("{closed}: {EITHER}"));
    assert_eq!(of(plain, None, Answer::reset()).await, format!("{closed}: {EITHER}"));
    let behind = Front::default().proxy_header();
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        assert_eq!(of(behind.clone(), Some(version), Answer::hang_up()).await, format!("{closed}: {TOLD}"));
    }
    // Nobody speaks TLS at a path.
    let unix = of(Front::unix(), None, Answer::hang_up()).await;
    assert_eq!(unix, format!("{closed}: does it expect the PROXY protocol (`proxy_protocol`)?"));
}

#[tokio::test]
async fn what_is_no_http_is_told_by_what_it_looks_like() {
    let plain = Front::default;
    let no_http = "the response is not valid HTTP: a head that is not HTTP/1.1";
    assert_eq!(of(plain(), None, Answer::raw("<h1>Hello</h1>\n\n")).await, format!("{no_http}; {EITHER}"));
    // That was HTTP, however wrong.
    for wrong in ["HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n: \r\n\r\nrest"]
    {
        assert_eq!(of(plain(), None, Answer::raw(wrong)).await, "the response is not valid HTTP", "{wrong:?}");
    }
    let behind = plain().proxy_header();
    let told = of(behind, Some(ProxyProtocol::V1), Answer::raw("<h1>Bad request</h1>\n\n")).await;
    assert_eq!(told, format!("{no_http}; {TOLD}"));
    let closed = "the connection was closed before a response";
    let tls = of(plain(), None, Answer::raw(TLS_ALERT).close()).await;
    assert_eq!(tls, format!("{closed}: what came is TLS; write `https://`"));
    let http2 = of(plain(), None, Answer::raw(HTTP2_SETTINGS).close()).await;
    assert_eq!(http2, format!("{closed}: what came is HTTP/2; write `protocol: http2`"));
}

#[tokio::test]
async fn a_server_that_has_answered_once_is_asked_nothing() {
    let (server, origin) = one().await;
    server.on("/", "hello");
    server.on("/closes", Answer::hang_up());
    server.on("/nonsense", Answer::raw("nonsense\r\n\r\n"));
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    for target in ["/closes", "/nonsense"] {
        let said = said(&origin, target).await;
        assert!(!said.contains("proxy_protocol") && !said.contains("https://"), "{said}");
    }
}

#[tokio::test]
async fn a_reload_does_not_forget_that_a_server_has_answered() {
    let (server, before) = one().await;
    server.on("/", "hello");
    server.on("/closes", Answer::hang_up());
    assert_eq!(text(&before, "/").await.unwrap(), "hello");
    let changed = OriginSettings { max_idle: 1, ..settings(&[server.url()]) };
    let origin = Origin::replacing(&before, changed.clone()).unwrap();
    assert!(!said(&origin, "/closes").await.contains(EITHER));
    // To that it has never answered.
    let changed = OriginSettings { proxy_protocol: Some(ProxyProtocol::V1), ..changed };
    let origin = Origin::replacing(&origin, changed).unwrap();
    assert!(said(&origin, "/closes").await.contains(TOLD));
}

#[tokio::test]
async fn what_broke_the_connection_stays_behind_the_advice() {
    let (server, origin) = one().await;
    server.on("/", Answer::reset());
    let error = get(&origin, "/").await.unwrap_err();
    assert!(error.to_string().ends_with(EITHER), "{error}");
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let broken = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    assert_eq!(broken.collect::<Vec<_>>(), [std::io::ErrorKind::ConnectionReset]);
}
