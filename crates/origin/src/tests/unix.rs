//! Servers at unix sockets.

use super::*;
use copal_testkit::{Answer, Front};

#[tokio::test]
async fn a_server_at_a_socket_is_a_server_like_others() {
    let server = ScriptedOrigin::start_behind(Front::unix()).await;
    server.on("/", "hello");
    server.on("POST /", Answer::echo());
    let origin = Origin::new(settings(&[server.url()])).unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    let large = "x".repeat(1 << 20);
    let posted = send(&origin, request("POST", "/", RequestBody::from(Bytes::from(large.clone())))).await.unwrap();
    assert_eq!(&*posted.server, server.url());
    assert!(whole(posted.body).await.unwrap().ends_with(&large));
    assert_eq!((server.connections(), origin.idle()), (1, vec![1]));
    assert_eq!(server.last().header("host"), Some("a.test"));
}

#[tokio::test]
async fn its_host_is_localhost_where_the_request_names_none() {
    let server = ScriptedOrigin::start_behind(Front::unix()).await;
    let origin = Origin::new(settings(&[server.url()])).unwrap();
    send(&origin, Request::new(RequestBody::Empty)).await.unwrap();
    assert_eq!(server.last().header("host"), Some("localhost"));
}

#[tokio::test]
async fn a_socket_that_nobody_listens_at_is_told_apart_from_none() {
    let server = ScriptedOrigin::start_behind(Front::unix()).await;
    let url = server.url();
    server.stop().await;
    let origin = Origin::new(settings(std::slice::from_ref(&url))).unwrap();
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.server()), (Kind::ConnectRefused, Some(url.as_str())));
    drop(server);
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
    // The next one gets the request, whatever socket it is at.
    let other = ScriptedOrigin::start().await;
    other.on("/", "other");
    let both = Origin::new(settings(&[url, other.url()])).unwrap();
    assert_eq!(text(&both, "/").await.unwrap(), "other");
}

#[tokio::test]
async fn http2_goes_over_a_socket_too() {
    let front = Front::unix().http2();
    let server = ScriptedOrigin::start_behind(front).await;
    server.on("/", "hello");
    let settings = OriginSettings { protocol: crate::Protocol::Http2, ..settings(&[server.url()]) };
    let origin = Origin::new(settings).unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    assert_eq!(server.last().version, "HTTP/2.0");
}
