//! ESI: validators, length and lifetime of pages that are put together from the store.

use std::time::Duration;

use copal_testkit::Answer;

use crate::front::Front;

const YAML: &str = "sessions: {cookies: [session], ignore: [theme]}
rules:
  - {name: user, match: {path: '/user'}, pass: true}
  - {name: told, match: {path: '/told'}, cache: {ttl: 1h, client_cache_control: 'max-age=5'}, esi: true}
  - {name: all, cache: {ttl: 1h, grace: 1h}, esi: true, sessions: ignore}";

fn page(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("content-type", "text/html").header("etag", "\"template\"")
}

fn lasting(body: &str, seconds: u32) -> Answer {
    page(body).header("cache-control", format!("max-age={seconds}"))
}

#[tokio::test]
async fn a_page_from_the_store_has_a_validator_of_its_own() {
    let front = Front::with(YAML).await;
    front.origin.on("/", lasting("[<esi:include src='/f'/>]", 600));
    front.origin.on("/f", lasting("one", 300));
    let mut client = front.client().await;
    let first = client.get("/").header("if-none-match", "\"template\"").send().await;
    assert_eq!((first.status, first.text()), (200, "[one]"));
    assert!(first.header("etag").is_none(), "while it comes in nothing is known of the whole");

    let got = client.get("/").header("if-none-match", "\"template\"").send().await;
    assert_eq!((got.status, got.text(), got.header("content-length")), (200, "[one]", Some("5")));
    let tag = got.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag != "\"template\"", "{tag}");
    assert_eq!(client.get("/").send().await.header("etag"), Some(&*tag), "the same page, the same tag");

    let unchanged = client.get("/").header("if-none-match", &*tag).send().await;
    assert_eq!((unchanged.status, unchanged.text(), unchanged.header("etag")), (304, "", Some(&*tag)));
    assert!(unchanged.header("cache-status").unwrap().contains("hit"));

    // A fragment that changes changes the page; one that only is fetched again does not.
    front.origin.on("/f", lasting("two", 300));
    assert_eq!(front.purge("/f").await.status, 200);
    assert_eq!(client.get("/").header("if-none-match", &*tag).send().await.text(), "[one]");
    assert_eq!(client.get("/").header("if-none-match", &*tag).send().await.status, 304);
    assert_eq!(front.purge("/f").await.status, 200);
    assert_eq!(client.get("/").send().await.text(), "[two]");
    let changed = client.get("/").header("if-none-match", &*tag).send().await;
    assert_eq!((changed.status, changed.text()), (200, "[two]"));
    assert_ne!(changed.header("etag"), Some(&*tag));
}

/// The template's dates say nothing of its fragments, whether the page is put together or known by heart.
#[tokio::test]
async fn a_date_never_says_that_a_page_is_unchanged() {
    let front = Front::with(YAML).await;
    let later = "Fri, 01 Jan 2038 00:00:00 GMT";
    let template = lasting("[<esi:include src='/f'/>]", 600);
    front.origin.on("/", template.header("last-modified", "Mon, 06 Oct 2025 08:00:00 GMT"));
    for body in ["one", "two"] {
        front.origin.replace("/f", lasting(body, 300));
        front.purge("/f").await;
        let mut client = front.client().await;
        for round in 0..5 {
            for (name, value) in [("if-modified-since", later), ("if-none-match", "\"other\"")] {
                let got = client.get("/").header(name, value).send().await;
                let expected = format!("[{body}]");
                assert_eq!((got.status, got.text()), (200, &*expected), "round {round}, {name}");
            }
        }
    }
    assert_eq!((front.origin.count("/"), front.origin.count("/f")), (1, 2));
    let got = front.get("/").await;
    let tag = got.header("etag").unwrap();
    let mut client = front.client().await;
    let got = client.get("/").header("if-modified-since", later).header("if-none-match", tag).send().await;
    assert_eq!(got.status, 304, "by its tag");
}

#[tokio::test]
async fn the_lifetime_is_the_least_of_the_parts() {
    let front = Front::with(YAML).await;
    front.origin.on("/", lasting("<esi:include src='/a'/><esi:include src='/b'/>", 600));
    front.origin.on("/a", lasting("a", 60));
    front.origin.on("/b", lasting("b<esi:include src='/c'/>", 400));
    front.origin.on("/c", lasting("c", 100));
    let mut client = front.client().await;
    assert_eq!(client.get("/").send().await.header("cache-control"), Some("private, no-cache"));
    let got = client.get("/").send().await;
    assert_eq!((got.text(), got.header("cache-control"), got.header("age")), ("abc", Some("max-age=60"), Some("0")));
    front.clock.advance(Duration::from_secs(20));
    // What is left, as a client reckons it: it takes off the age.
    let got = client.get("/").send().await;
    assert_eq!((got.header("cache-control"), got.header("age")), (Some("max-age=60"), Some("20")));
    front.clock.advance(Duration::from_secs(50));
    // Still fresh here by the rule, but not by what browsers are told of /a.
    assert_eq!(client.get("/").send().await.header("cache-control"), Some("private, no-cache"));
}

#[tokio::test]
async fn a_page_that_is_not_for_all_says_so() {
    let front = Front::with(YAML).await;
    front.origin.on("/user", lasting("user", 60));
    front.origin.on("/silent", page("says nothing of time"));
    front.origin.on("/private", page("p").header("cache-control", "no-cache, max-age=60"));
    front.origin.on("/varied", lasting("v", 60).header("vary", "accept-language"));
    let says = |cache_control: &str| page("p").header("cache-control", cache_control);
    front.origin.on("/shared", says("s-maxage=30, max-age=60"));
    front.origin.on("/validated", says("max-age=60, must-revalidate"));
    front.origin.on("/proxies", says("max-age=60, proxy-revalidate"));
    front.origin.on("/ok", lasting("ok", 60));
    for (index, (part, tagged, told)) in [
        ("<esi:include src='/ok'/>", true, "max-age=60"),
        ("<esi:include src='/ok'/><esi:include src='/silent'/>", true, "private, no-cache"),
        ("<esi:include src='/private'/>", false, "private, no-cache"),
        ("<esi:include src='/varied'/>", true, "private, no-cache"),
        ("<esi:include src='/shared'/>", true, "private, no-cache"),
        ("<esi:include src='/validated'/>", true, "private, no-cache"),
        ("<esi:include src='/proxies'/>", true, "private, no-cache"),
        ("<esi:include src='/user'/>", false, "private, no-cache"),
        ("<esi:include src='http://elsewhere.example/'/>", false, "private, no-cache"),
        ("<esi:vars>$(HTTP_COOKIE{theme})</esi:vars>", true, "private, no-cache"),
        ("<esi:vars>$(QUERY_STRING{q})</esi:vars>", true, "max-age=600"),
        (
            "<esi:choose><esi:when test=\"$(HTTP_COOKIE{theme})=='x'\">x</esi:when></esi:choose>",
            true,
            "private, no-cache",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/page/{index}");
        front.origin.on(&path, lasting(part, 600));
        front.get(&path).await;
        let got = front.get(&path).await;
        assert_eq!(got.header("cache-control"), Some(told), "{part}");
        assert_eq!(got.header("etag").is_some(), tagged, "{part}");
    }
    front.origin.on("/told", lasting("<esi:include src='/ok'/>", 600));
    front.get("/told").await;
    assert_eq!(front.get("/told").await.header("cache-control"), Some("max-age=5"));
}

/// What the template says to shared caches, or forbids them, is not lost on the way to them.
#[tokio::test]
async fn a_template_that_speaks_to_shared_caches_is_not_kept_by_them() {
    let yaml = "rules: [{name: all, cache: {ttl: 1h, override: [must-revalidate]}, esi: true}]";
    let front = Front::with(yaml).await;
    for (index, (says, told)) in [
        ("max-age=60", "max-age=60"),
        ("s-maxage=60, max-age=60", "private, no-cache"),
        ("max-age=60, must-revalidate", "private, no-cache"),
        ("max-age=60, proxy-revalidate", "private, no-cache"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{index}");
        front.origin.on(&path, page("<esi:vars>$(QUERY_STRING{q}|text)</esi:vars>").header("cache-control", says));
        front.get(&path).await;
        for _ in 0..3 {
            let got = front.get(&path).await;
            assert_eq!((got.text(), got.header("cache-control")), ("text", Some(told)), "{says}");
        }
        assert_eq!(front.origin.count(&path), 1, "{says}: stored");
    }
}

/// Two visitors are given two pages for one URL, and no Vary says so.
#[tokio::test]
async fn a_page_whose_rule_is_chosen_by_fields_is_not_kept() {
    let by_header = "{name: other, match: {path: ['/f', '/sub/**'], header: [x-mobile]}, cache: {ttl: 1h}, esi: true}";
    let by_cookie = "{name: other, match: {path: ['/f', '/sub/**'], cookie: [mobile]}, pass: true}";
    let all = "{name: all, cache: {ttl: 1h}, esi: true}";
    for (rules, told) in [
        (format!("[{all}]"), "max-age=60"),
        // No request comes so far.
        (format!("[{all}, {by_header}]"), "max-age=60"),
        (format!("[{by_header}, {all}]"), "private, no-cache"),
        (format!("[{by_cookie}, {all}]"), "private, no-cache"),
    ] {
        let front = Front::with(&format!("sessions: {{ignore: [mobile]}}\nrules: {rules}")).await;
        for path in ["/page", "/sub/page"] {
            front.origin.on(path, lasting("[<esi:include src='/f'/>]", 60));
        }
        front.origin.on("/f", lasting("f", 60));
        for path in ["/page", "/sub/page"] {
            for round in 0..4 {
                // The other rule's page says so too.
                let name = if rules.contains("x-mobile") && round > 1 { "x-mobile" } else { "x-none" };
                let mut client = front.client().await;
                let got = client.get(path).header(name, "1").send().await;
                assert_eq!(got.text(), "[f]");
                if round > 0 {
                    assert_eq!(got.header("cache-control"), Some(told), "{path}: {rules}");
                    assert!(got.header("etag").is_some(), "{path}: {rules}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_validator_tells_visitors_apart_by_what_they_see() {
    let front = Front::with(YAML).await;
    front.origin.on("/", lasting("<esi:vars>$(HTTP_COOKIE{theme}|none)</esi:vars>", 600));
    let mut client = front.client().await;
    client.get("/").send().await;
    let mut tags = Vec::new();
    for cookie in ["theme=light", "theme=dark", "other=1"] {
        let got = client.get("/").header("cookie", cookie).send().await;
        let Some(tag) = got.header("etag").map(str::to_owned) else { continue };
        let again = client.get("/").header("cookie", cookie).header("if-none-match", &*tag).send().await;
        assert_eq!(again.status, 304);
        tags.push(tag);
    }
    assert_eq!(tags.len(), 3);
    assert!(tags[0] != tags[1] && tags[1] != tags[2], "{tags:?}");
    let other = client.get("/").header("cookie", "theme=dark").header("if-none-match", &*tags[0]).send().await;
    assert_eq!((other.status, other.text()), (200, "dark"));
}

#[tokio::test]
async fn a_stored_page_leaves_before_a_fragment_that_is_late_and_with_one_that_is_not() {
    let front = Front::with(YAML).await;
    front.origin.on("/", lasting("[<esi:include src='/user'/>]", 600));
    front.origin.on("/user", page("user"));
    for _ in 0..3 {
        // Framed alike, in time or not.
        let got = front.get("/").await;
        assert_eq!((got.text(), got.header("etag"), got.header("content-length")), ("[user]", None, None));
    }
    let (gate, late) = Answer::gated("late");
    front.origin.replace("/user", late);
    let mut client = front.client().await;
    let mut reading = client.get("/").stream().await;
    assert_eq!(reading.read_some().await.unwrap(), "[");
    gate.open();
    assert_eq!(reading.rest().await.text(), "[late]");
}

#[tokio::test]
async fn rfc9110_s9_3_2_head_of_a_page_whose_parts_are_at_hand_has_the_fields_of_get() {
    let front = Front::with(YAML).await;
    front.origin.on("/f", lasting("one", 300));
    front.origin.on("/nested", lasting("<esi:include src='/f'/>", 200));
    front.origin.on("/method", lasting("<esi:vars>$(REQUEST_METHOD)</esi:vars>", 600));
    front.origin.on("/refused", lasting("[<esi:include src='http://elsewhere.example/'/>]", 600));
    front.origin.on("/told", lasting("[<esi:include src='/f'/>]", 600));
    front.origin.on("/page", lasting("[<esi:include src='/f'/>|<esi:include src='/nested'/>]", 600));
    let mut client = front.client().await;
    for path in ["/page", "/told", "/method", "/refused"] {
        client.get(path).send().await;
        let asked = front.origin.requests().len();
        let fields = |response: &copal_testkit::ClientResponse| {
            ["cache-control", "etag", "content-length", "content-type", "age", "cache-status"]
                .map(|name| response.header(name).map(str::to_owned))
        };
        // Before a page is known by heart, and after.
        for _ in 0..2 {
            let head = client.request("HEAD", path).send().await;
            let get = client.get(path).send().await;
            assert_eq!((head.status, head.text()), (get.status, ""), "{path}");
            assert_eq!(fields(&head), fields(&get), "{path}");
            assert!(get.header("content-length").is_some(), "{path}: {get}");
            let Some(tag) = get.header("etag") else { continue };
            let unchanged = client.request("HEAD", path).header("if-none-match", tag).send().await;
            assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(tag)));
            assert!(unchanged.header("content-length").is_none(), "{unchanged}");
        }
        assert_eq!(front.origin.requests().len(), asked, "{path}");
    }
}

#[tokio::test]
async fn head_fetches_no_fragment() {
    let front = Front::with(YAML).await;
    front.origin.on("/", lasting("[<esi:include src='/f'/><esi:include src='/g'/><esi:include src='/nested'/>]", 9000));
    front.origin.on("/nested", lasting("<esi:include src='/user'/><esi:include src='/f'/>", 9000));
    front.origin.on("/f", "f");
    front.origin.on("/g", "g");
    front.origin.on("/user", "user");
    let mut client = front.client().await;
    assert_eq!(client.get("/").send().await.text(), "[fguserf]");
    for path in ["/f", "/g"] {
        assert_eq!(front.purge(path).await.status, 200);
    }
    let asked = front.origin.requests().len();
    for _ in 0..2 {
        let head = client.request("HEAD", "/").send().await;
        assert_eq!((head.status, head.header("cache-control")), (200, Some("private, no-cache")));
        assert_eq!((head.header("etag"), head.header("content-length")), (None, None));
    }
    front.get("/other").await;
    assert_eq!(front.origin.requests().len(), asked + 1, "what was asked for is /other");
}

#[tokio::test]
async fn head_refreshes_no_fragment_that_is_stale() {
    let front = Front::with(YAML).await;
    front.origin.on("/", lasting("[<esi:include src='/s'/>]", 9000));
    for answer in ["1", "2"] {
        front.origin.on("/s", lasting(answer, 60));
    }
    let mut client = front.client().await;
    assert_eq!(client.get("/").send().await.text(), "[1]");
    front.clock.advance(Duration::from_secs(3000));
    assert_eq!(front.purge("/").await.status, 200);
    assert_eq!(client.get("/").send().await.text(), "[1]");
    front.clock.advance(Duration::from_secs(1000));
    // It is at hand all the same.
    let head = client.request("HEAD", "/").send().await;
    assert_eq!((head.header("content-length"), head.header("etag").is_some()), (Some("3"), true));
    front.get("/other").await;
    assert_eq!(front.origin.count("/s"), 1);
    assert_eq!(client.get("/").send().await.header("etag"), head.header("etag"));
    front.until(async || client_sees(&front, "[2]").await).await;
}

async fn client_sees(front: &Front, page: &str) -> bool {
    front.get("/").await.text() == page
}
