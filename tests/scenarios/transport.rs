//! How origins are spoken to: TLS, HTTP/2, unix sockets, the PROXY protocol.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use copal_testkit::{Answer, Authority, Front as Spoken, Gets, ScriptedOrigin, Sees, Sends};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::front::Front;

/// A file of a test's own.
struct File(PathBuf);

impl File {
    fn with(text: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("copal-scenario-{}-{}.pem", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> std::path::Display<'_> {
        self.0.display()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An origin that is spoken to in this way, and Copal before it, with these keys of the origin.
async fn front(spoken: Spoken, keys: &str, rules: &str) -> Front {
    let origin = ScriptedOrigin::start_behind(spoken).await;
    let yaml = format!("origins: {{site: {{servers: ['{}'], {keys}}}}}\n{rules}", origin.url());
    Front::of(origin, &yaml)
}

const STORED: &str = "rules: [{name: all, cache: {ttl: 1h}}]";

#[tokio::test]
async fn a_page_comes_through_tls_and_is_stored() {
    let authority = Authority::new();
    let ca = File::with(authority.pem());
    let (certificate, own) = (authority.issue(&["cms.internal"]), authority.issue(&["copal.internal"]));
    let (shown, key) = (File::with(&own.chain), File::with(&own.key));
    let keys = format!(
        "tls: {{ca: '{}', server_name: cms.internal, certificate: '{}', key: '{}'}}",
        ca.path(),
        shown.path(),
        key.path()
    );
    let front = front(Spoken::tls(&certificate).asks_clients(&authority), &keys, STORED).await;
    let mut scenario = front.scenario();
    let page = Sees::get("/page").header("host", "test.example").header("x-forwarded-proto", "http");
    let gets = Gets::status(200).body("hello");
    scenario.exchange("fetched", Sends::get("/page"), page.answers("hello"), gets.clone()).await;
    scenario.exchange("stored", Sends::get("/page"), Sees::nothing(), gets).await;
    let tls = front.origin.last().tls.unwrap();
    assert_eq!((tls.server_name.as_deref(), tls.client_certificate), (Some("cms.internal"), true));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_accepted_is_an_error_with_a_reason() {
    let authority = Authority::new();
    let ca = File::with(authority.pem());
    let keys = format!("tls: {{ca: '{}'}}", ca.path());
    let front = front(Spoken::tls(&authority.expired(&["127.0.0.1"])), &keys, STORED).await;
    let error = Gets::status(502)
        .containing("origin-tls")
        .header_containing("proxy-status", "error=tls_certificate_error")
        .header_containing("cache-status", "detail=origin-tls");
    front.scenario().exchange("refused", Sends::get("/page"), Sees::nothing(), error).await;
}

#[tokio::test]
async fn pages_uploads_and_trailers_go_through_http2() {
    let authority = Authority::new();
    let ca = File::with(authority.pem());
    let spoken = Spoken::tls(&authority.issue(&["127.0.0.1"])).protocols(&["h2", "http/1.1"]);
    let keys = format!("protocol: auto, tls: {{ca: '{}'}}", ca.path());
    let rules = "rules: [{name: rpc, match: {path: /rpc}, pass: true}, {name: all, cache: {ttl: 1h}}]";
    let front = front(spoken, &keys, rules).await;
    let mut scenario = front.scenario();
    let page = Sees::get("/page").header(":authority", "test.example").header(":scheme", "https").without("connection");
    let gets = Gets::status(200).body("hello");
    scenario.exchange("fetched", Sends::get("/page"), page.answers("hello"), gets.clone()).await;
    scenario.exchange("stored", Sends::get("/page"), Sees::nothing(), gets).await;
    let posted = Sees::request("POST", "/form").body("a=b").without("transfer-encoding").answers(Answer::status(201));
    let sends = Sends::request("POST", "/form").chunks(["a=", "b"]);
    scenario.exchange("posted", sends, posted, Gets::status(201)).await;
    let rpc = Answer::ok("x").trailer("x-sum", "7").header("cache-control", "no-store");
    let sends = Sends::get("/rpc").header("te", "trailers").header("connection", "te");
    let sees = Sees::get("/rpc").header("te", "trailers").answers(rpc);
    scenario.exchange("with trailers", sends, sees, Gets::status(200).body("x")).await;
    assert_eq!(front.origin.connections(), 1);
    assert!(front.origin.requests().iter().all(|request| request.version == "HTTP/2.0"));
}

#[tokio::test]
async fn a_websocket_gets_a_connection_of_http1_where_there_is_a_choice() {
    let authority = Authority::new();
    let ca = File::with(authority.pem());
    let spoken = Spoken::tls(&authority.issue(&["127.0.0.1"])).protocols(&["h2", "http/1.1"]);
    let front = front(spoken, &format!("protocol: auto, tls: {{ca: '{}'}}", ca.path()), "").await;
    front.origin.on("/page", "hello");
    assert_eq!(front.get("/page").await.text(), "hello");
    front.origin.on("/ws", Answer::upgrade("websocket"));
    let mut client = front.client().await;
    assert_eq!(client.get("/ws").upgrade("websocket").send().await.status, 101);
    let mut io = client.into_io();
    io.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    io.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
    let versions: Vec<_> = front.origin.requests().into_iter().map(|request| request.version).collect();
    assert_eq!(versions, ["HTTP/2.0", "HTTP/1.1"]);
}

#[tokio::test]
async fn a_page_comes_from_a_unix_socket() {
    let front = front(Spoken::unix(), "", STORED).await;
    let mut scenario = front.scenario();
    let page = Sees::get("/page").header("host", "test.example").answers("hello");
    scenario.exchange("fetched", Sends::get("/page"), page, Gets::status(200).body("hello")).await;
    scenario.exchange("stored", Sends::get("/page"), Sees::nothing(), Gets::status(200).body("hello")).await;
}

#[tokio::test]
async fn what_is_stored_for_all_is_fetched_in_nobodys_name() {
    for (version, wanted) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", &b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..])] {
        let front = front(Spoken::default().proxy_header(), &format!("proxy_protocol: {version}"), STORED).await;
        let mut scenario = front.scenario();
        for target in ["/1", "/2"] {
            let page = Sees::get(target).answers("hello");
            scenario.exchange("fetched", Sends::get(target), page, Gets::status(200).body("hello")).await;
        }
        let requests = front.origin.requests();
        assert!(requests.iter().all(|request| request.preface == wanted), "{requests:?}");
        assert_eq!(front.origin.connections(), 1);
    }
}
