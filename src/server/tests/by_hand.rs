//! `/origins`, and servers that are taken out and back in by hand.

use super::*;
use crate::cli::{Hand, OneServer, Origins};
use crate::commands;

/// An origin of two servers that nobody caches, and their names.
async fn two() -> (ScriptedOrigin, ScriptedOrigin, Server, [String; 2]) {
    let (first, second) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    for origin in [&first, &second] {
        origin.on("GET /", Answer::ok("x"));
    }
    let server = server(&both(&first, &second, ""));
    let names = [&first, &second].map(|origin| origin.address().to_string());
    (first, second, server, names)
}

fn both(first: &ScriptedOrigin, second: &ScriptedOrigin, keys: &str) -> String {
    format!(
        "listen: [\"127.0.0.1:0\"]\nadmin: \"127.0.0.1:0\"\nlog: {{ access: off }}\n\
         origins:\n  cms: {{ servers: [\"{}\", \"{}\"], fallback: still{keys} }}\n  still: \"{}\"\n\
         rules: [{{ name: all, pass: true }}]\n",
        first.url(),
        second.url(),
        second.url()
    )
}

fn server(yaml: &str) -> Server {
    let config =
        copal_policy::load_str("test.yaml", yaml, None).unwrap_or_else(|errors| panic!("{errors}\n{yaml}")).config;
    Server::start(Setup { config, access_log: None, clock: Clock::system(), level: None }).unwrap()
}

async fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut admin = Client::connect(server.admin_address().unwrap()).await;
    let response = match method {
        "GET" => admin.get(path).send().await,
        _ => admin.post(path, body.to_owned()).header("content-type", "application/json").send().await,
    };
    (response.status, serde_json::from_str(response.text()).unwrap_or_default())
}

async fn drain(server: &Server, name: &str) -> (u16, Value) {
    ask(server, "POST", "/origins/cms/drain", &json!({ "server": name }).to_string()).await
}

/// How many of some requests each server got.
async fn spread(server: &Server, origins: [&ScriptedOrigin; 2], requests: usize) -> [usize; 2] {
    let before = origins.map(|origin| origin.requests().len());
    let mut client = Client::connect(server.addresses()[0]).await;
    for _ in 0..requests {
        assert_eq!(client.get("/").send().await.status, 200);
    }
    [0, 1].map(|place| origins[place].requests().len() - before[place])
}

#[tokio::test]
async fn servers_are_listed_with_all_that_is_known() {
    let (first, second, server, names) = two().await;
    assert_eq!(spread(&server, [&first, &second], 4).await, [2, 2]);
    let (status, body) = ask(&server, "GET", "/origins", "").await;
    assert_eq!(status, 200);
    let cms = &body["origins"][0];
    assert_eq!((&cms["name"], &cms["fallback"], &cms["refused"]), (&json!("cms"), &json!("still"), &json!(0)));
    for (server, name) in cms["servers"].as_array().unwrap().iter().zip(&names) {
        assert_eq!((&server["server"], &server["state"]), (&json!(name), &json!("up")));
        assert_eq!((&server["requests"], &server["failures"], &server["weight"]), (&json!(2), &json!(0), &json!(1)));
        assert!(server["since"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!((&body["origins"][1]["name"], &body["origins"][1]["fallback"]), (&json!("still"), &Value::Null));
}

#[tokio::test]
async fn a_drained_server_gets_nothing_until_it_is_resumed_and_metrics_tell() {
    let (first, second, server, names) = two().await;
    let (status, origin) = drain(&server, &names[0]).await;
    assert_eq!((status, &origin["servers"][0]["state"]), (200, &json!("drained")));
    assert_eq!(spread(&server, [&first, &second], 4).await, [0, 4]);
    let metrics = Client::connect(server.admin_address().unwrap()).await.get("/metrics").send().await.text().to_owned();
    let state = |name: &str, state: &str, value: u8| {
        let line = format!("copal_origin_server_state{{origin=\"cms\",server=\"{name}\",state=\"{state}\"}} {value}");
        assert!(metrics.lines().any(|found| found == line), "{line}");
    };
    state(&names[0], "drained", 1);
    state(&names[0], "up", 0);
    state(&names[1], "up", 1);
    let body = json!({ "server": names[0] }).to_string();
    let (status, origin) = ask(&server, "POST", "/origins/cms/resume", &body).await;
    assert_eq!((status, &origin["servers"][0]["state"]), (200, &json!("up")));
    assert_eq!(spread(&server, [&first, &second], 4).await, [2, 2]);
}

#[tokio::test]
async fn a_reload_keeps_a_server_out_whether_the_origin_changed_or_not() {
    let (first, second, server, names) = two().await;
    drain(&server, &names[0]).await;
    for keys in ["", ", retries: 2", ", slow_start: 1s, queue: { timeout: 1s }"] {
        let yaml = both(&first, &second, keys);
        server.reconfigure(copal_policy::load_str("test.yaml", &yaml, None).unwrap().config).unwrap();
        let (_, body) = ask(&server, "GET", "/origins", "").await;
        assert_eq!(body["origins"][0]["servers"][0]["state"], "drained", "{keys}");
        assert_eq!(spread(&server, [&first, &second], 3).await, [0, 3], "{keys}");
    }
}

#[tokio::test]
async fn who_is_not_there_is_told_who_is() {
    let (_first, _second, server, names) = two().await;
    let good = json!({ "server": names[0] }).to_string();
    for (method, path, body, status, error) in [
        ("POST", "/origins/shop/drain", good.as_str(), 404, "there is no origin `shop`; there is `cms`, `still`"),
        (
            "POST",
            "/origins/cms/drain",
            r#"{"server":"x:1"}"#,
            404,
            "origin `cms` has no server `x:1`; there is `127.0.0.1:",
        ),
        ("POST", "/origins/cms/drain", r#"{"srever":"x:1"}"#, 400, "the body is no name of a server: "),
        ("POST", "/origins/cms/drain", "", 400, "the body is no name of a server: "),
        ("GET", "/origins/cms/drain", "", 405, "use POST"),
        ("POST", "/origins", "", 405, "use GET, HEAD"),
        ("GET", "/origins/cms", "", 404, "there is no /origins/cms here"),
    ] {
        let (found, answer) = ask(&server, method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(error), "{method} {path}: {answer}");
    }
    let mut admin = Client::connect(server.admin_address().unwrap()).await;
    assert_eq!(admin.post("/origins/cms/drain", good).send().await.status, 415, "what a form can send is refused");
}

#[tokio::test]
async fn the_command_speaks_to_the_running_server() {
    let (first, second, server, names) = two().await;
    let with =
        |hand: Option<Hand>, admin: &str| Origins { hand, config: None, admin: Some(admin.to_owned()), json: false };
    let one = |origin: &str, server: &str| OneServer { origin: origin.to_owned(), server: server.to_owned() };
    let admin = server.admin_address().unwrap().to_string();
    commands::origins::origins(&with(None, &admin)).await.unwrap();
    commands::origins::origins(&with(Some(Hand::Drain(one("cms", &names[1]))), &admin)).await.unwrap();
    assert_eq!(spread(&server, [&first, &second], 2).await, [2, 0]);
    commands::origins::origins(&with(Some(Hand::Resume(one("cms", &names[1]))), &admin)).await.unwrap();
    assert_eq!(spread(&server, [&first, &second], 2).await, [1, 1]);
    for (hand, admin, message) in [
        (one("cms", "x:1"), admin.as_str(), "origin `cms` has no server `x:1`"),
        (one("shop", "x:1"), &admin, "there is no origin `shop`"),
        (one("a/b", "x:1"), &admin, "`a/b` is no name of an origin"),
        (one("cms", "x:1"), "127.0.0.1:1", "Say where it is with --admin or --config"),
        (one("cms", "x:1"), &server.addresses()[0].to_string(), "the admin address of a Copal"),
        (one("cms", "x:1"), "ftp://x", "plain HTTP"),
    ] {
        let failure = commands::origins::origins(&with(Some(Hand::Drain(hand)), admin)).await.unwrap_err();
        assert!(failure.message().unwrap().contains(message), "{failure:?}");
    }
}

#[tokio::test]
async fn a_server_may_be_named_by_its_url_as_in_the_file() {
    let (first, second, server, names) = two().await;
    let (status, origin) = drain(&server, &first.url()).await;
    assert_eq!((status, &origin["servers"][0]["state"]), (200, &json!("drained")), "{origin}");
    assert_eq!(spread(&server, [&first, &second], 2).await, [0, 2]);
    let named = OneServer { origin: "cms".to_owned(), server: first.url() };
    let admin = server.admin_address().unwrap().to_string();
    let resume = Origins { hand: Some(Hand::Resume(named)), config: None, admin: Some(admin), json: false };
    commands::origins::origins(&resume).await.unwrap();
    assert_eq!(spread(&server, [&first, &second], 2).await, [1, 1]);
    assert_eq!(drain(&server, &format!("https://{}", names[0])).await.0, 404, "of another scheme there is none");
}

#[tokio::test]
async fn a_server_that_fails_behind_a_fallback_is_shown_as_failing() {
    let still = ScriptedOrigin::start().await;
    still.on("GET /", Answer::ok("still"));
    let dead = copal_testkit::refused_address().await;
    let server = server(&format!(
        "listen: ['127.0.0.1:0']\nadmin: '127.0.0.1:0'\nlog: {{access: off}}\n\
         origins: {{cms: {{servers: 'http://{dead}', fallback: still}}, still: '{}'}}\n\
         rules: [{{name: all, pass: true}}]\n",
        still.url()
    ));
    assert_eq!(spread(&server, [&still, &still], 4).await, [4, 4]);
    assert_eq!(ask(&server, "GET", "/origins", "").await.1["origins"][0]["servers"][0]["failing"], Value::Null);
    spread(&server, [&still, &still], 1).await;
    let (_, body) = ask(&server, "GET", "/origins", "").await;
    let cms = &body["origins"][0]["servers"][0];
    assert_eq!((&cms["state"], &cms["reason"]), (&json!("up"), &json!("from the start")));
    assert_eq!(cms["failing"]["reason"], "5 failures in a row, the last: connect-refused");
    assert!(cms["failing"]["since"].as_str().unwrap().ends_with('Z'));
    let back = ScriptedOrigin::start_at(dead).await;
    back.on("GET /", Answer::ok("back"));
    assert_eq!(spread(&server, [&back, &still], 1).await, [1, 0]);
    assert_eq!(ask(&server, "GET", "/origins", "").await.1["origins"][0]["servers"][0]["failing"], Value::Null);
}
