//! ESI: the report on a page's fragments, and who may see it.

use copal_testkit::{Answer, Client};

use crate::front::Front;

const RULES: &str = "rules:
  - {name: passed, match: {path: '/passed'}, pass: true}
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 1h}}
  - {name: nested, match: {path: '/nested'}, cache: {ttl: 1h}, esi: true}
  - {name: pages, cache: {ttl: 1h}, esi: {placeholder: '-'}}";

fn page(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("content-type", "text/html").header("etag", "\"t\"")
}

async fn front(allow: &str) -> Front {
    let front = Front::with(&format!("{allow}\n{RULES}")).await;
    front.origin.on("/frag/a", "aaa");
    front.origin.on("/passed", "visitor");
    front.origin.on("/nested", page("<esi:include src='/frag/a'/>"));
    front.origin.on("/frag/404", Answer::status(404));
    front.origin.on(
        "/page",
        page(
            "<esi:include src='/frag/a'/>\n<esi:include src='/nested'/>\n<esi:include src='/frag/404' alt='/passed'/>\n\
             <esi:include src='http://elsewhere.example/'/>\n<esi:include src='/frag/404' onerror='continue'/>\n\
             <esi:try><esi:attempt><esi:include src='/frag/404'/></esi:attempt><esi:except>e</esi:except></esi:try>",
        ),
    );
    front
}

/// Times are not told of.
fn timeless(report: &str) -> String {
    let words = report.split(' ').collect::<Vec<_>>();
    let is_time = |at: usize| words.get(at + 1).is_some_and(|unit| unit.starts_with("ms")) && words[at].contains('.');
    words.iter().enumerate().map(|(at, word)| if is_time(at) { "T" } else { word }).collect::<Vec<_>>().join(" ")
}

const PAGE: &str = "aaa\naaa\nvisitor\n-\n\ne";

#[tokio::test]
async fn the_tree_of_a_page_with_what_each_fragment_was() {
    let front = front("esi: {debug_allow: ['127.0.0.0/8']}").await;
    assert_eq!(front.get("/page").await.text(), PAGE);
    front.clock.advance(std::time::Duration::from_secs(7));
    let mut client = front.client().await;
    let got = client.get("/page").header("x-copal-esi-debug", "1").header("if-none-match", "*").send().await;
    assert_eq!((got.status, got.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(got.header("cache-control"), Some("no-store"));
    let expected = "http://test.example/page: 200 hit, rule pages, T ms, 20 bytes
  cache-status: copal; hit; ttl=3593; detail=hit
  cache-control: private, no-cache
  age: 7

7 fragments, T ms in all
line 1, column 1
  http://test.example/frag/a: 200 hit, rule frag, T ms, age 7 s, ttl 3593 s, 3 bytes
line 2, column 1
  http://test.example/nested: 200 hit, rule nested, T ms, age 7 s, ttl 3593 s, 3 bytes
  line 1, column 1
    http://test.example/frag/a: 200 hit, rule frag, T ms, age 7 s, ttl 3593 s, 3 bytes
line 3, column 1
  http://test.example/frag/404: 404 hit, rule frag, T ms, age 7 s, ttl 3593 s failed: fragment-status
  http://test.example/passed: 200 pass-rule, rule passed, T ms, 7 bytes
line 4, column 1
  http://elsewhere.example/: failed: fragment-refused
  instead: placeholder
line 5, column 1
  http://test.example/frag/404: 404 hit, rule frag, T ms, age 7 s, ttl 3593 s failed: fragment-status
  instead: nothing (onerror)
line 6, column 23
  http://test.example/frag/404: 404 hit, rule frag, T ms, age 7 s, ttl 3593 s failed: fragment-status
  instead: <esi:except>
";
    assert_eq!(timeless(got.text()), expected);
    // The next visitor gets the page, and the origin heard nothing of it.
    assert_eq!(client.get("/page").send().await.text(), PAGE);
    assert!(front.origin.requests().iter().all(|request| request.header("x-copal-esi-debug").is_none()));
}

#[tokio::test]
async fn nobody_else_sees_it() {
    for (allow, spoken_for, sees) in [
        ("", None, false),
        ("esi: {debug_allow: ['10.0.0.0/8']}", None, false),
        ("esi: {debug_allow: ['10.0.0.0/8']}", Some("10.0.0.1"), false),
        ("esi: {debug_allow: ['127.0.0.0/8']}", None, true),
        // A proxy that is not trusted asks for nobody knows whom.
        ("esi: {debug_allow: ['127.0.0.0/8']}", Some("192.0.2.1"), false),
        ("esi: {debug_allow: ['127.0.0.0/8']}", Some("127.0.0.1"), false),
        ("trusted_proxies: ['127.0.0.0/8']\nesi: {debug_allow: ['127.0.0.0/8']}", Some("192.0.2.1"), false),
        ("trusted_proxies: ['127.0.0.0/8']\nesi: {debug_allow: ['127.0.0.0/8']}", Some("127.0.0.1"), true),
    ] {
        let front = front(allow).await;
        let mut client = Client::connect(front.address).await.with_host("test.example");
        let asks = client.get("/page").header("x-copal-esi-debug", "1");
        let got = match spoken_for {
            Some(address) => asks.header("x-forwarded-for", address).send().await,
            None => asks.send().await,
        };
        assert_eq!(got.text() != PAGE, sees, "{allow} {spoken_for:?}: {}", got.text());
        assert_eq!(front.get("/page").await.text(), PAGE);
    }
}
