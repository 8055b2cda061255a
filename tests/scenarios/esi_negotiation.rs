//! ESI: how Copal and an origin come to an understanding on whether a response is a template.

use copal_testkit::Answer;

use crate::front::Front;

const RULES: &str = "rules:
  - {name: off, match: {path: '/off/**'}, cache: {ttl: 1h}, esi: false}
  - {name: passed, match: {path: '/passed/**'}, pass: true}
  - {name: edge, match: {path: '/edge/**'}, cache: {ttl: 1h}, esi: {mode: auto, triggers: [x-esi, edge-control]}}
  - {name: auto, cache: {}}";

const OURS: &str = "copal=\"ESI/1.0 tags/1\"";

fn page() -> Answer {
    Answer::ok("[<esi:comment text='x'/>]").header("content-type", "text/html").header("cache-control", "max-age=60")
}

const RAW: &str = "[<esi:comment text='x'/>]";

#[tokio::test]
async fn the_field_is_sent_where_esi_may_be_parsed_and_a_clients_is_not_believed() {
    for (trusted, passed) in [("", OURS), ("trusted_proxies: ['127.0.0.0/8']\n", "front=\"ESI/1.0\"")] {
        let front = Front::with(&format!("{trusted}{RULES}")).await;
        let mut client = front.client().await;
        for (path, expected) in [("/a", vec![OURS]), ("/off/a", vec![]), ("/passed/a", vec![passed])] {
            front.origin.on(path, page());
            let asks = client.get(path).header("surrogate-capability", "front=\"ESI/1.0\"");
            asks.header("surrogate-control", "content=\"ESI/1.0\"").send().await;
            let seen = front.origin.last();
            let all: Vec<_> = seen.all("surrogate-capability").collect();
            assert_eq!(all[..expected.len().min(all.len())], expected[..], "{trusted}{path}");
            let ours = all.iter().filter(|value| **value == OURS).count();
            assert_eq!(ours, usize::from(path != "/off/a"), "{trusted}{path}");
            assert_eq!(all.len(), 1 + usize::from(!trusted.is_empty() && path == "/passed/a"), "{trusted}{path}");
            if trusted.is_empty() || path != "/passed/a" {
                assert!(seen.header("surrogate-control").is_none(), "{trusted}{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_origins_word_decides_and_is_taken_off() {
    let front = Front::with(RULES).await;
    for (index, (folder, name, value, parsed)) in [
        ("", "surrogate-control", "content=\"ESI/1.0\"", true),
        ("", "surrogate-control", "max-age=60, content=\"ESI/1.0 ESI-Inline/1.0\"", true),
        ("", "surrogate-control", "content=\"ESI/1.0\";copal", true),
        ("", "surrogate-control", "content=\"ESI/1.0\";elsewhere", false),
        ("", "surrogate-control", "max-age=60", false),
        ("", "x-esi", "1", false),
        ("", "edge-control", "dca=esi", false),
        ("/edge", "surrogate-control", "content=\"ESI/1.0\"", false),
        ("/edge", "x-esi", "1", true),
        ("/edge", "x-esi", "0", false),
        ("/edge", "edge-control", "max-age=1d, dca=esi", true),
        ("/edge", "edge-control", "dca=noop", false),
        ("/off", "surrogate-control", "content=\"ESI/1.0\"", false),
        ("/passed", "surrogate-control", "content=\"ESI/1.0\"", true),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{folder}/{index}");
        front.origin.on(&path, page().header(name, value));
        for round in 0..2 {
            let got = front.get(&path).await;
            assert_eq!(got.text(), if parsed { "[]" } else { RAW }, "{path} {name}: {value}, round {round}");
            let ours = name == "surrogate-control" || folder == "/edge";
            assert_eq!(got.header(name), (!ours).then_some(value), "{path} {name}: {value}");
        }
    }
}

#[tokio::test]
async fn its_lifetime_is_ours_and_its_no_store_too() {
    let front = Front::with(RULES).await;
    for (index, (value, stored_for)) in [
        ("max-age=100, content=\"ESI/1.0\"", Some(100)),
        ("max-age=100;copal, max-age=5, content=\"ESI/1.0\"", Some(100)),
        ("max-age=5;copal, max-age=100", Some(5)),
        ("no-store, content=\"ESI/1.0\"", None),
        ("no-store;copal, max-age=100", None),
        ("no-store;elsewhere, max-age=100", Some(100)),
        ("content=\"ESI/1.0\"", Some(60)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{index}");
        front.origin.on(&path, page().header("surrogate-control", value));
        front.get(&path).await;
        let got = front.get(&path).await;
        let status = got.header("cache-status").unwrap_or_default();
        match stored_for {
            Some(seconds) => assert!(status.contains(&format!("hit; ttl={seconds};")), "{value}: {status}"),
            None => assert_eq!(front.origin.count(&path), 2, "{value}: {status}"),
        }
    }
}
