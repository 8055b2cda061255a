//! The real binary before two servers: what `copal origins` shows, and a server that is taken out for maintenance.

use std::fs;

use copal_testkit::{Answer, Authority, Client, ScriptedOrigin};
use serde_json::Value;

use crate::process::{Folder, Running, copal, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_taken_out_for_maintenance_stays_out_over_a_reload_and_comes_back() {
    let (first, second) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    for origin in [&first, &second] {
        origin.on("GET /", Answer::ok("page"));
    }
    let folder = Folder::new("by-hand");
    let yaml = |more: &str| {
        format!(
            "listen: '127.0.0.1:0'\nadmin: '127.0.0.1:0'\nlog: {{access: off}}\n\
             origins: {{cms: {{servers: ['{}', '{}']{more}}}}}\nrules: [{{name: all, pass: true}}]\n",
            first.url(),
            second.url()
        )
    };
    let config = folder.file("copal.yaml", &yaml(""));
    let mut running = Running::start(&config);
    let [public, admin] = [running.address(), running.address()];
    let (mut client, admin) = (Client::connect(public).await, admin.to_string());
    let name = first.address().to_string();
    let by_hand = |words: &[&str]| copal(&[&["origins", "--admin", &admin], words].concat());

    // A request under way is finished although its server is drained.
    let (gate, slow) = Answer::gated(Answer::ok("slow"));
    for origin in [&first, &second] {
        origin.on("GET /slow", slow.clone());
    }
    let mut patient = Client::connect(public).await;
    let asking = tokio::spawn(async move { patient.get("/slow").send().await });
    let at_first = async { first.wait_for_heads(1).await };
    let at_second = async { second.wait_for_heads(1).await };
    let (busy, idle) = tokio::select! { () = at_first => (&first, &second), () = at_second => (&second, &first) };
    let busy_name = busy.address().to_string();
    let drained = by_hand(&["drain", "cms", &busy_name]);
    let said = text(&drained.stdout);
    assert!(drained.status.success() && said.contains("1 request is still under way there"), "{said}{drained:?}");
    let before = (busy.requests().len(), idle.requests().len());
    for _ in 0..4 {
        assert_eq!(client.get("/").send().await.status, 200);
    }
    assert_eq!(idle.requests().len() - before.1, 4);
    gate.open();
    assert_eq!(asking.await.unwrap().text(), "slow");
    assert_eq!(busy.count("GET /"), 0, "it got nothing more");

    // The table, and JSON for machines.
    let table = text(&by_hand(&[]).stdout);
    assert!(table.contains("cms: 1 of 2 up") && table.contains("taken out by hand"), "{table}");
    let list: Value = serde_json::from_str(&text(&by_hand(&["--json"]).stdout)).unwrap();
    let state = |list: &Value| {
        let servers = list["origins"][0]["servers"].as_array().unwrap().clone();
        servers.iter().find(|server| server["server"] == busy_name.as_str()).unwrap()["state"].clone()
    };
    assert_eq!(state(&list), "drained");

    // A reload that changes the origin changes nothing about that.
    fs::write(&config, yaml(", retries: 0")).unwrap();
    running.signal("-HUP");
    running.hear("reloaded");
    let list: Value = serde_json::from_str(&text(&by_hand(&["--json"]).stdout)).unwrap();
    assert_eq!(state(&list), "drained");

    let resumed = by_hand(&["resume", "cms", &busy_name]);
    assert!(text(&resumed.stdout).contains("it is up"), "{resumed:?}");
    for _ in 0..4 {
        assert_eq!(client.get("/").send().await.status, 200);
    }
    assert!(busy.count("GET /") > 0, "it gets requests again");

    // What does not exist is told with what does.
    let unknown = by_hand(&["drain", "cms", "127.0.0.1:1"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains(&name), "{unknown:?}");
}

#[test]
fn a_key_of_another_certificate_is_found_by_check() {
    let folder = Folder::new("check-tls");
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["one"]), authority.issue(&["other"]));
    let certificate = folder.file("one.pem", &one.chain);
    let check = |key: &str, more: &str| {
        let tls = format!("{{certificate: '{certificate}', key: '{key}'}}");
        let yaml = format!("origins: {{cms: {{servers: 'https://127.0.0.1:1', tls: {tls}}}}}\n{more}");
        copal(&["check", &folder.file("copal.yaml", &yaml)])
    };
    let right = check(&folder.file("one.key", &one.key), "");
    assert!(right.status.success(), "{right:?}");
    let wrong = check(&folder.file("other.key", &other.key), "");
    assert_eq!(wrong.status.code(), Some(2));
    let said = text(&wrong.stderr);
    for part in
        ["copal.yaml:1:", "`key` of origin `cms` cannot be used: it belongs to another", "openssl", "copal: 1 error"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    // With all else that is wrong.
    let wrong = check(&folder.file("other.key", &other.key), "cache: {memory: 512MB}\nrules: [{nam: x}]\n");
    let said = text(&wrong.stderr);
    for part in ["copal.yaml:1:", "copal.yaml:2:", "copal.yaml:3:", "another certificate", "unknown unit", "`nam`"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_with_a_key_of_another_certificate_names_the_origin_and_the_line() {
    let folder = Folder::new("reload-tls");
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["one"]), authority.issue(&["other"]));
    let key = folder.file("one.key", &one.key);
    let tls = format!("{{certificate: '{}', key: '{key}'}}", folder.file("one.pem", &one.chain));
    let yaml = format!("listen: '127.0.0.1:0'\norigins:\n  cms: {{servers: 'https://127.0.0.1:1', tls: {tls}}}\n");
    let config = folder.file("copal.yaml", &yaml);
    let mut running = Running::start(&config);
    running.hear("ready");
    // The file that is named has another content now.
    folder.file("one.key", &other.key);
    running.signal("-HUP");
    let line = running.hear("another certificate");
    assert!(line.contains("`key` of origin `cms`") && line.contains("copal.yaml:3:"), "{line}");
    running.hear("refused");
    // And nobody starts by it.
    assert_eq!(copal(&["run", "--config", &config]).status.code(), Some(2));
}
