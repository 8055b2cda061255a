//! What an unsafe method makes invalid: its target, what its response names of the same origin (RFC 9111 §4.4), and the
//! groups that it names (RFC 9875).

use copal_testkit::{Answer, Client, Gets, Sees, Sends};

use crate::front::Front;

fn page() -> Answer {
    Answer::ok("page").header("cache-control", "max-age=600")
}

async fn store(front: &Front, paths: &[&str]) {
    for path in paths {
        let mut scenario = front.scenario();
        let sees = Sees::get(path).answers(page());
        scenario.exchange("stored", Sends::get(path), sees, Gets::status(200)).await;
    }
}

/// Whether what is stored for this path is still given.
async fn is_stored(front: &Front, path: &str) -> bool {
    front.origin.on(path, page());
    front.get(path).await.header("cache-status").unwrap().starts_with("copal; hit")
}

#[tokio::test]
async fn rfc9111_s4_4_what_location_and_content_location_name_goes_too() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FROBNICATE"] {
        let front = Front::with("").await;
        store(&front, &["/form", "/new?b=1", "/folder/item", "/other"]).await;
        let mut scenario = front.scenario();
        let answer =
            Answer::status(201).header("location", "/x/../new?b=1#top").header("content-location", "folder/item");
        let gets =
            Gets::status(201).header("location", "/x/../new?b=1#top").header_containing("cache-status", "method");
        let sees = Sees::request(method, "/form").body("x").answers(answer);
        scenario.exchange(method, Sends::request(method, "/form").body("x"), sees, gets).await;
        for (path, stored) in [("/form", false), ("/new?b=1", false), ("/folder/item", false), ("/other", true)] {
            assert_eq!(is_stored(&front, path).await, stored, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn rfc9111_s4_4_only_of_the_same_origin_and_only_where_it_was_done() {
    let absolute = "http://test.example/new";
    for (status, location, goes) in [
        (200, absolute, true),
        (303, absolute, true),
        (303, "http://TEST.example:80/%6Eew", true),
        (303, "//test.example/new", true),
        (303, "new", true),
        (303, "https://test.example/new", false),
        (303, "http://test.example:81/new", false),
        (303, "http://other.example/new", false),
        (303, "http://user@test.example/new", false),
        (303, "ftp://test.example/new", false),
        (303, "http://[/new", false),
        (303, "/new\u{e9}", false),
        (400, absolute, false),
        (404, absolute, false),
        (500, absolute, false),
        (502, absolute, false),
    ] {
        let front = Front::with("").await;
        store(&front, &["/new", "/form"]).await;
        front.origin.on("POST /form", Answer::status(status).header("location", location));
        front.client().await.post("/form", "x").send().await;
        assert_eq!(is_stored(&front, "/new").await, !goes, "{status} {location}");
        assert_eq!(is_stored(&front, "/form").await, status >= 400, "{status} {location}");
    }
}

#[tokio::test]
async fn rfc9111_s4_4_safe_methods_make_nothing_invalid() {
    for method in ["GET", "HEAD", "OPTIONS", "QUERY", "PROPFIND", "REPORT", "SEARCH"] {
        let front = Front::with("").await;
        store(&front, &["/p", "/new"]).await;
        let answer = Answer::ok("x").header("location", "/new").header("cache-group-invalidation", "\"g\"");
        front.origin.on(&format!("{method} /form"), answer);
        let mut client = front.client().await;
        let body = if matches!(method, "GET" | "HEAD") { "" } else { "x" };
        let asking = client.request(method, "/form");
        let asking = if body.is_empty() { asking } else { asking.body(body) };
        asking.send().await;
        assert!(is_stored(&front, "/new").await, "{method}");
        assert!(is_stored(&front, "/p").await, "{method}");
    }
}

#[tokio::test]
async fn every_form_in_which_rules_key_the_named_url_goes() {
    let front = Front::with("rules: [{name: p, cache: {ttl: 1h, key: {query: {deny: [utm_*]}}}}]").await;
    store(&front, &["/p?a=1"]).await;
    assert!(is_stored(&front, "/p?a=1&utm_x=2").await);
    front.origin.on("POST /form", Answer::status(303).header("location", "/p?a=1&utm_x=3"));
    front.client().await.post("/form", "x").send().await;
    assert!(!is_stored(&front, "/p?a=1").await);
}

#[tokio::test]
async fn a_fetch_that_began_before_does_not_bring_the_named_url_back() {
    let front = Front::with("").await;
    let (body, old) = Answer::stream();
    front.origin.on("GET /p", old.header("cache-control", "max-age=600").once());
    front.origin.on("GET /p", page());
    front.origin.on("POST /form", Answer::status(303).header("location", "/p"));
    let mut one = front.client().await;
    let mut reading = one.get("/p").stream().await;
    body.send("old");
    assert_eq!(reading.read_some().await.unwrap(), "old");
    front.client().await.post("/form", "x").send().await;
    assert_eq!(front.get("/p").await.text(), "page");
    body.end();
    reading.rest().await;
    assert_eq!(front.get("/p").await.text(), "page");
}

/// Thirty-two names of thirty-two characters, as many as RFC 9875 §2 and §3 ask for at least.
fn many_groups() -> String {
    let groups: Vec<String> = (0..32).map(|number| format!("\"{number:032}\"")).collect();
    groups.join(", ")
}

#[tokio::test]
async fn rfc9875_groups_that_a_response_to_an_unsafe_method_names_go() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let pages =
        [("/a", "\"articles\""), ("/b", "\"other\", \"articles\";x=1"), ("/c", "\"other\""), ("/d", "articles")];
    for (path, groups) in pages {
        let sees = Sees::get(path).answers(page().header("cache-groups", groups));
        // RFC 9875 says nothing of taking the field away.
        let gets = Gets::status(200).header("cache-groups", groups);
        scenario.exchange("stored", Sends::get(path), sees, gets).await;
    }
    let sees = Sees::request("POST", "/edit").answers(
        // What goes with the group takes none of its other groups with it.
        Answer::status(303).header("cache-group-invalidation", "\"articles\", \"nobody\""),
    );
    let gets = Gets::status(303).header("cache-group-invalidation", "\"articles\", \"nobody\"");
    scenario.exchange("edited", Sends::post("/edit", "x"), sees, gets).await;
    for (path, stored) in [("/a", false), ("/b", false), ("/c", true), ("/d", true)] {
        assert_eq!(is_stored(&front, path).await, stored, "{path}");
    }
}

#[tokio::test]
async fn rfc9875_groups_are_of_one_origin_and_obeyed_only_where_it_was_done() {
    let front = Front::with("trusted_proxies: ['127.0.0.0/8']").await;
    front.origin.on("GET /p", page().header("cache-groups", "\"g\""));
    front.origin.on("POST /edit", Answer::status(500).header("cache-group-invalidation", "\"g\"").once());
    front.origin.on("POST /edit", Answer::status(200).header("cache-group-invalidation", "\"g\""));
    front.origin.on("GET /q", Answer::ok("x").header("cache-group-invalidation", "\"g\""));
    let hosts = [("test.example", "http"), ("test.example", "https"), ("www.test.example", "http")];
    let mut client = Client::connect(front.address).await;
    for (host, proto) in hosts {
        client.get("/p").host(host).header("x-forwarded-proto", proto).send().await;
    }
    let expect = |stored: [bool; 3]| {
        let address = front.address;
        async move {
            let mut client = Client::connect(address).await;
            for ((host, proto), stored) in hosts.into_iter().zip(stored) {
                // Only what is stored is wanted, so that asking changes nothing.
                let asking = client.get("/p").host(host).header("x-forwarded-proto", proto);
                let got = asking.header("cache-control", "only-if-cached").send().await;
                assert_eq!(got.status, if stored { 200 } else { 504 }, "{proto}://{host}");
            }
        }
    };
    client.get("/q").host("test.example").send().await;
    let edited = client.post("/edit", "x").host("test.example").send().await;
    assert_eq!(edited.status, 500);
    client.post("/edit", "x").host("elsewhere.example").send().await;
    expect([true; 3]).await;
    client.post("/edit", "x").host("test.example").header("x-forwarded-proto", "http").send().await;
    expect([false, true, true]).await;
}

#[tokio::test]
async fn rfc9875_as_many_groups_as_the_standard_asks_for() {
    let front = Front::with("").await;
    front.origin.on("GET /p", page().header("cache-groups", many_groups()));
    for named in [format!("\"{:032}\"", 31), many_groups()] {
        front.get("/p").await;
        assert!(is_stored(&front, "/p").await);
        front.origin.replace("POST /edit", Answer::status(200).header("cache-group-invalidation", named));
        front.client().await.post("/edit", "x").send().await;
        assert!(!is_stored(&front, "/p").await);
    }
}
