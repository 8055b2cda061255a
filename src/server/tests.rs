//! A server in this process, over real sockets: what the listeners, the admin address and `copal purge` do.

mod by_hand;
mod purging;

use copal_testkit::{Answer, Client, ManualClock, ScriptedOrigin, patiently};
use serde_json::{Value, json};

use super::*;
use crate::reload;

/// 2023-11-14 22:13:20 UTC.
const START: u64 = 1_700_000_000;

struct Running {
    origin: ScriptedOrigin,
    server: Server,
}

impl Running {
    async fn with(yaml: &str) -> Self {
        let origin = ScriptedOrigin::start().await;
        let server = start(&origin, yaml);
        Self { origin, server }
    }

    async fn client(&self) -> Client {
        Client::connect(self.server.addresses()[0]).await
    }

    async fn admin(&self) -> Client {
        Client::connect(self.server.admin_address().unwrap()).await
    }

    async fn purge(&self, body: &Value) -> (u16, Value) {
        let mut admin = self.admin().await;
        let response = admin.post("/purge", body.to_string()).header("content-type", "application/json").send().await;
        (response.status, serde_json::from_str(response.text()).unwrap())
    }

    async fn metrics(&self) -> String {
        self.admin().await.get("/metrics").send().await.text().to_owned()
    }
}

fn config(origin: &ScriptedOrigin, yaml: &str) -> Config {
    let yaml = format!(
        "listen: [\"127.0.0.1:0\"]\nadmin: \"127.0.0.1:0\"\nlog: {{ access: off }}\norigins: {{ site: \"{}\" }}\n{yaml}",
        origin.url()
    );
    copal_policy::load_str("test.yaml", &yaml, None).unwrap_or_else(|errors| panic!("{errors}\n{yaml}")).config
}

fn start(origin: &ScriptedOrigin, yaml: &str) -> Server {
    let clock = Clock::manual(ManualClock::at(START).source());
    let setup = Setup { config: config(origin, yaml), access_log: None, clock, level: None };
    Server::start(setup).unwrap_or_else(|error| panic!("{error}"))
}

const RESPOND: &str = "rules: [{ name: tea, match: { path: /tea }, respond: { status: 418, body: tea } }]\n";

#[tokio::test]
async fn the_admin_address_answers_what_it_says_and_nothing_else() {
    let running = Running::with("").await;
    let mut admin = running.admin().await;
    for (path, status) in
        [("/", 200), ("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/nope", 404), ("/purge", 405)]
    {
        let response = admin.get(path).send().await;
        assert_eq!(response.status, status, "{path}");
        if status >= 400 {
            let body: Value = serde_json::from_str(response.text()).unwrap();
            assert!(body["error"].is_string(), "{path}: {body}");
        }
    }
    assert_eq!(admin.get("/purge").send().await.header("allow"), Some("POST"));
    assert_eq!(admin.post("/metrics", "").send().await.header("allow"), Some("GET, HEAD"));
    assert_eq!(admin.post("/purge", r#"{"all":true}"#).send().await.status, 415);
}

#[tokio::test]
async fn the_purge_api_forgets_urls_tags_prefixes_and_all() {
    let running = Running::with("cache: { tag_headers: [cache-tag] }\n").await;
    running.origin.on("/blog/a", Answer::ok("a").header("cache-control", "max-age=60").header("cache-tag", "t1"));
    let mut client = running.client().await;
    let host = "http://test.example";
    for what in [
        json!({ "urls": [format!("{host}/blog/a")] }),
        json!({ "tags": ["t1"] }),
        json!({ "prefix": "/blog/" }),
        json!({ "prefix": format!("{host}/blog/") }),
        json!({ "all": true }),
    ] {
        client.get("/blog/a").send().await;
        let hit = client.get("/blog/a").send().await;
        assert!(hit.header("cache-status").unwrap().contains("; hit"), "{hit:?}");
        let before = running.origin.count("/blog/a");
        let (status, done) = running.purge(&what).await;
        assert_eq!(status, 200, "{done}");
        assert!(done["sequence"].as_u64().unwrap() > 0, "{done}");
        client.get("/blog/a").send().await;
        assert_eq!(running.origin.count("/blog/a"), before + 1, "{what}");
    }
    for what in
        [json!({}), json!({ "urls": ["nonsense"] }), json!({ "prefix": "blog" }), json!({ "url": "x" }), json!([])]
    {
        let (status, refusal) = running.purge(&what).await;
        assert_eq!(status, 400, "{what}");
        assert!(refusal["error"].is_string(), "{refusal}");
    }
}

/// `copal purge` with these arguments; what it complains about.
async fn copal_purge(arguments: &[&str]) -> Result<(), String> {
    use clap::Parser as _;
    let line = ["copal", "purge"].iter().chain(arguments);
    let crate::cli::Command::Purge(arguments) = crate::cli::Cli::try_parse_from(line).unwrap().command else {
        panic!("no purge");
    };
    let done = crate::commands::purge::purge(*arguments).await;
    done.map_err(|failure| failure.message().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn copal_purge_reaches_the_server_by_either_way() {
    let running = Running::with("purge: { allow: [\"127.0.0.0/8\"] }\n").await;
    running.origin.on("/a", Answer::ok("a").header("cache-control", "max-age=60"));
    let (address, admin) = (running.server.addresses()[0].to_string(), running.server.admin_address().unwrap());
    let (own, admin) = (format!("http://{address}/a"), admin.to_string());
    let other = "https://www.example.com/a";
    for (host, arguments) in [
        (address.as_str(), vec![own.as_str()]),
        ("www.example.com", vec!["--server", &address, other]),
        ("www.example.com", vec!["--admin", &admin, other]),
        ("www.example.com", vec!["--admin", &admin, "--soft", other]),
        ("www.example.com", vec!["--admin", &admin, "--prefix", "/"]),
        ("www.example.com", vec!["--admin", &admin, "--all"]),
    ] {
        let mut client = running.client().await.with_host(host);
        client.get("/a").send().await;
        let before = running.origin.requests().len();
        assert!(client.get("/a").send().await.header("cache-status").unwrap().contains("; hit"));
        copal_purge(&arguments).await.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        client.get("/a").send().await;
        running.origin.wait_until("the next request", |requests| requests.len() > before).await;
    }
}

#[tokio::test]
async fn copal_purge_says_why_it_may_not() {
    let running = Running::with("purge: { allow: [\"10.0.0.0/8\"] }\n").await;
    let url = format!("http://{}/a", running.server.addresses()[0]);
    let refused = copal_purge(&[&url]).await.unwrap_err();
    assert!(refused.contains("purge: allow:"), "{refused}");
    let admin = running.server.admin_address().unwrap().to_string();
    let wrong = copal_purge(&["--admin", &admin, "nonsense"]).await.unwrap_err();
    assert!(wrong.contains("nonsense"), "{wrong}");
    let closed = copal_testkit::refused_address().await.to_string();
    let unreachable = copal_purge(&["--admin", &closed, "--all"]).await.unwrap_err();
    assert!(unreachable.contains(&closed) && unreachable.contains("Does Copal run there?"), "{unreachable}");
}

#[tokio::test]
async fn a_response_that_ends_in_trailers_did_not_break_off() {
    let running = Running::with("rules: [{ name: all, pass: true }]\n").await;
    running.origin.on("/", Answer::ok("x").header("trailer", "x-sum").trailer("x-sum", "7"));
    let mut client = running.client().await;
    for te in ["trailers", "gzip"] {
        let got = client.get("/").header("te", te).header("connection", "te").send().await;
        assert_eq!(got.trailers.len(), usize::from(te == "trailers"));
        // Answered after the connection has let go of the response before.
        client.get("/").send().await;
    }
    let page = running.metrics().await;
    let broken: Vec<_> = page.lines().filter(|line| line.starts_with("copal_responses_broken_off_total{")).collect();
    assert!(!broken.is_empty() && broken.iter().all(|line| line.ends_with(" 0")), "{broken:?}");
}

#[tokio::test]
async fn a_request_is_in_the_metrics_of_the_next_scrape() {
    let running = Running::with(RESPOND).await;
    let mut client = running.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/tea").send().await.status, 418);
    }
    let page = running.metrics().await;
    let line = r#"copal_requests_total{outcome="respond",reason="respond",rule="tea",status="4xx"} 3"#;
    assert!(page.lines().any(|found| found == line), "{page}");
    for line in ["copal_connections 1", "copal_connections_accepted_total 1", "copal_config_last_load_successful 1"] {
        assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
    }
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused_and_the_connection_ends() {
    let running = Running::with(&format!("limits: {{ header_bytes: 8KiB, headers: 20 }}\n{RESPOND}")).await;
    let fields = |count: usize| (0..count).map(|field| format!("x{field}: y\r\n")).collect::<String>();
    for (head, status) in [
        (format!("GET /tea HTTP/1.1\r\nhost: a\r\n{}\r\n", fields(19)), 418),
        (format!("GET /tea HTTP/1.1\r\nhost: a\r\n{}\r\n", fields(20)), 431),
        (format!("GET /tea HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(9_000)), 431),
        ("GET /tea\r\n\r\n".to_owned(), 400),
        ("GET /tea HTTP/1.1\r\nhost a\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = running.client().await;
        client.send(head.as_bytes()).await;
        assert_eq!(client.response().await.status, status, "{head}");
        if status != 418 {
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let running = Running::with(RESPOND).await;
    running.origin.on("/slow", "slow");
    let mut client = running.client().await;
    for target in ["/slow", "/tea", "/slow", "/tea"] {
        client.get(target).write().await;
    }
    for body in ["slow", "tea", "slow", "tea"] {
        assert_eq!(client.response().await.text(), body);
    }
}

#[tokio::test]
async fn beyond_the_limit_of_connections_clients_wait_until_one_leaves() {
    let running = Running::with(&format!("limits: {{ connections: 1 }}\n{RESPOND}")).await;
    let mut first = running.client().await;
    assert_eq!(first.get("/tea").send().await.status, 418);
    let mut second = running.client().await;
    second.get("/tea").write().await;
    // The first is served on; the second is not even accepted.
    assert_eq!(first.get("/tea").send().await.status, 418);
    assert!(running.metrics().await.contains("\ncopal_connections_accepted_total 1\n"));
    drop(first);
    assert_eq!(second.response().await.status, 418);
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place() {
    let running = Running::with("limits: { connections: 1 }\n").await;
    running.origin.on("/socket", Answer::upgrade("websocket"));
    let mut client = running.client().await;
    let response = client.get("/socket").upgrade("websocket").send().await;
    assert_eq!(response.status, 101);
    assert!(running.metrics().await.contains("\ncopal_connections 1\n"));
    drop(client);
    let gone = async { while !running.metrics().await.contains("\ncopal_connections 0\n") {} };
    patiently(|| "the end of the connection".to_owned(), gone).await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_ends_idle_connections() {
    let running = Running::with("").await;
    let (gate, answer) = Answer::gated("slow");
    running.origin.on("/slow", answer);
    let mut idle = running.client().await;
    assert_eq!(idle.get("/other").send().await.status, 404);
    let mut busy = running.client().await;
    busy.get("/slow").write().await;
    running.origin.wait_for(2).await;
    let mut admin = running.admin().await;
    let address = running.server.addresses()[0];

    let drained = tokio::spawn(running.server.drain());
    idle.closed().await;
    assert_eq!(admin.get("/readyz").send().await.status, 503);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing new is accepted");
    gate.open();
    let response = busy.response().await;
    assert_eq!((response.text(), response.header("connection")), ("slow", Some("close")));
    patiently(|| "the end of the drain".to_owned(), drained).await.unwrap();
}

#[tokio::test]
async fn a_drain_cuts_off_what_takes_longer_than_its_limit() {
    let running = Running::with("drain: 10ms\n").await;
    running.origin.on("/never", Answer::silence());
    let mut client = running.client().await;
    client.get("/never").write().await;
    running.origin.wait_for(1).await;
    patiently(|| "the end of the drain".to_owned(), running.server.drain()).await;
    assert!(client.try_response().await.is_err());
}

#[tokio::test]
async fn two_servers_live_in_one_process() {
    let (one, two) = (Running::with(RESPOND).await, Running::with("").await);
    two.origin.on("/tea", "origin");
    assert_eq!(one.client().await.get("/tea").send().await.text(), "tea");
    assert_eq!(two.client().await.get("/tea").send().await.text(), "origin");
    assert!(one.metrics().await.contains("rule=\"tea\"") && !two.metrics().await.contains("rule=\"tea\""));
}

#[tokio::test]
async fn a_reload_changes_rules_at_once_and_says_what_it_cannot_change() {
    let running = Running::with("").await;
    running.origin.on("/tea", "origin");
    let mut client = running.client().await;
    assert_eq!(client.get("/tea").send().await.text(), "origin");
    running.server.reconfigure(config(&running.origin, RESPOND)).unwrap();
    assert_eq!(client.get("/tea").send().await.text(), "tea");
    assert!(running.server.needs_restart().is_empty());
    let other = format!("{RESPOND}cache: {{ memory: 1GiB }}\n");
    running.server.reconfigure(config(&running.origin, &other)).unwrap();
    running.server.reconfigure(config(&running.origin, &other)).unwrap();
    assert_eq!(running.server.needs_restart(), ["cache.memory"], "until it is restarted, however often it is reloaded");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_counted() {
    let running = Running::with(RESPOND).await;
    assert!(!reload::reload(&running.server, "/nonexistent/copal.yaml".as_ref()));
    assert_eq!(running.client().await.get("/tea").send().await.text(), "tea");
    let page = running.metrics().await;
    assert!(page.contains("\ncopal_config_loads_total{result=\"failure\"} 1\n"), "{page}");
    assert!(page.contains("\ncopal_config_last_load_successful 0\n"), "{page}");
}
