//! The purge API and `copal purge`, against a server in this process.

use copal_testkit::Answer;
use serde_json::{Value, json};

use super::{Running, copal_purge};

/// Three pages on two hosts, stored: `(host, path)`.
const PAGES: [(&str, &str); 4] =
    [("a.example", "/blog/1"), ("a.example", "/blog/1?q=1"), ("a.example", "/logo.png"), ("b.example", "/blog/1")];

async fn stored(yaml: &str) -> Running {
    let running = Running::with(&format!("cache: {{ tag_headers: [cache-tag] }}\n{yaml}")).await;
    let page = |media: &str, tags: &str| {
        Answer::ok("x").header("cache-control", "max-age=600").header("content-type", media).header("cache-tag", tags)
    };
    running.origin.on("/blog/1", page("text/html", "post-1 blog"));
    running.origin.on("/logo.png", page("image/png", "logo"));
    fill(&running).await;
    running
}

async fn fill(running: &Running) {
    for (host, path) in PAGES {
        running.client().await.with_host(host).get(path).send().await;
    }
}

/// Which of the pages are still answered from the store.
async fn left(running: &Running) -> Vec<bool> {
    let mut left = Vec::new();
    for (host, path) in PAGES {
        let mut client = running.client().await.with_host(host);
        let got = client.get(path).header("cache-control", "only-if-cached").send().await;
        left.push(got.status == 200);
    }
    left
}

#[tokio::test]
async fn every_kind_takes_what_it_names_and_says_how_much() {
    let running = stored("").await;
    for (what, count, expected) in [
        (json!({ "urls": ["http://a.example/blog/1"] }), 1, [false, true, true, true]),
        (json!({ "urls": ["http://a.example/blog/1"], "all_queries": true }), 2, [false, false, true, true]),
        (json!({ "urls": ["http://a.example/blog/1"], "any_host": true }), 3, [false, false, true, false]),
        (json!({ "tags": ["post-1"] }), 3, [false, false, true, false]),
        (json!({ "tags": ["logo", "unknown"] }), 1, [true, true, false, true]),
        (json!({ "tag_pattern": "^log" }), 1, [true, true, false, true]),
        (json!({ "prefix": "/blog/" }), 3, [false, false, true, false]),
        (json!({ "prefix": ["http://a.example/blog/", "http://b.example/"] }), 3, [false, false, true, false]),
        (json!({ "glob": "/*.png" }), 1, [true, true, false, true]),
        (json!({ "glob": "http://b.example/b*1" }), 1, [true, true, true, false]),
        (json!({ "host": "B.example" }), 1, [true, true, true, false]),
        (json!({ "pattern": "\\?q=\\d$" }), 1, [true, false, true, true]),
        (json!({ "match": { "headers": { "content-type": "^text/" } } }), 3, [false, false, true, false]),
        (
            json!({ "match": { "host": "^a", "url": "1$", "headers": { "content-type": "^text/" }, "tags": "^post" } }),
            2,
            [false, false, true, true],
        ),
        (json!({ "host": "b.example", "tags": ["logo"] }), 2, [true, true, false, false]),
        (json!({ "all": true }), 4, [false, false, false, false]),
    ] {
        let with = |word: &str| {
            let mut what = what.clone();
            what[word] = json!(true);
            what
        };
        let (status, dry) = running.purge(&with("dry_run")).await;
        assert_eq!((status, &dry["matching"], &dry["dry_run"]), (200, &json!(count), &json!(true)), "{what}: {dry}");
        assert_eq!(left(&running).await, [true; 4], "{what}: a dry run takes nothing");
        let (status, done) = running.purge(&with("wait")).await;
        assert_eq!(
            (status, &done["matching"], &done["removed"]),
            (200, &json!(count), &json!(count)),
            "{what}: {done}"
        );
        assert!(done["sequence"].as_u64() > dry["sequence"].as_u64(), "{done}");
        assert_eq!(left(&running).await, expected, "{what}");
        fill(&running).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_and_keeps_nothing_else_back() {
    let running = stored("").await;
    let (status, done) =
        running.purge(&json!({ "urls": ["/blog/1", "http://a.example/blog/1"], "pattern": ["("], "wait": true })).await;
    assert_eq!((status, &done["removed"]), (200, &json!(1)), "{done}");
    let errors = done["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{done}");
    assert_eq!((&errors[0]["field"], &errors[0]["item"]), (&json!("urls"), &json!("/blog/1")));
    assert!(errors[0]["error"].as_str().unwrap().contains("give the whole URL"), "{done}");
    assert_eq!(errors[1]["field"], "pattern");
    let (status, refused) = running.purge(&json!({ "urls": ["/blog/1", "nonsense"] })).await;
    assert_eq!(status, 400);
    assert_eq!(refused["errors"].as_array().map(Vec::len), Some(2), "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("(and 1 more)"), "{refused}");
    for (body, words) in [
        (json!({ "refresh": true, "all": true }), "refresh is about urls"),
        (json!({ "all": true, "repurge_after": "2h" }), "more than 1h"),
        (json!({ "match": {} }), "no condition"),
        (json!({ "nothing": true }), "unknown field"),
    ] {
        let (status, refused) = running.purge(&body).await;
        assert!(status == 400 && refused["error"].as_str().unwrap().contains(words), "{body}: {refused}");
    }
    assert_eq!(left(&running).await, [false, true, true, true]);
}

#[tokio::test]
async fn a_refresh_brings_the_page_back_and_a_second_purge_is_announced() {
    let running = stored("").await;
    let before = running.origin.requests().len();
    let (status, done) =
        running.purge(&json!({ "urls": ["http://a.example/blog/1"], "refresh": true, "repurge_after": "1h" })).await;
    assert_eq!((status, &done["refreshing"], &done["again"]), (200, &json!(1), &json!(true)), "{done}");
    running.origin.wait_for(before + 1).await;
}

async fn explained(running: &Running, question: &Value) -> (u16, Value) {
    let mut admin = running.admin().await;
    let asked = admin.post("/purge/explain", question.to_string()).header("content-type", "application/json");
    let got = asked.send().await;
    (got.status, serde_json::from_str(got.text()).unwrap())
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_purge_clients_request_is_explained_and_not_done() {
    let running =
        stored("purge: { allow: [\"10.0.0.0/8\"], dialects: [url, fos], secret: { value: 0123456789abcdef } }\n").await;
    let secret = json!({ "X-Purge-Secret": "0123456789abcdef" });
    for (question, outcome, dialect, allowed, matching, words) in [
        (
            json!({ "method": "PURGE", "url": "http://a.example/blog/1", "headers": secret, "peer": "10.0.0.7" }),
            "purge",
            json!("url"),
            json!(true),
            json!(1),
            "would go",
        ),
        (
            json!({ "method": "PURGE", "url": "http://a.example/blog/1", "peer": "10.0.0.7" }),
            "denied",
            json!("url"),
            json!(false),
            json!(1),
            "X-Purge-Secret",
        ),
        (
            json!({ "method": "PURGE", "url": "http://a.example/blog/1", "headers": secret }),
            "denied",
            json!("url"),
            json!(false),
            json!(1),
            "127.0.0.1 is not in `purge.allow`",
        ),
        (
            json!({ "method": "PURGETAGS", "url": "http://a.example/", "peer": "10.0.0.7",
                    "headers": { "X-Cache-Tags": ["post-1", "logo"], "X-Purge-Secret": "0123456789abcdef" } }),
            "purge",
            json!("fos"),
            json!(true),
            json!(4),
            "would go",
        ),
        (
            json!({ "method": "BAN", "url": "http://a.example/", "peer": "10.0.0.7",
                    "headers": { "X-Acquia-Purge-Tags": "logo", "X-Purge-Secret": "0123456789abcdef" } }),
            "wrong",
            json!("fos"),
            json!(true),
            Value::Null,
            "add `acquia` to `purge.dialects`",
        ),
        (
            json!({ "method": "PURGE", "url": "http://a.example/blog/1", "peer": "10.0.0.7",
                    "headers": { "xkey": "logo", "X-Purge-Secret": "0123456789abcdef" } }),
            "purge",
            json!("url"),
            json!(true),
            json!(1),
            "it would name keys in a field",
        ),
        (
            json!({ "method": "URIBAN", "url": "http://a.example/" }),
            "not-spoken",
            json!("lagoon"),
            Value::Null,
            Value::Null,
            "add `lagoon` to `purge.dialects`",
        ),
        (
            json!({ "method": "GET", "url": "http://a.example/blog/1" }),
            "none",
            Value::Null,
            Value::Null,
            Value::Null,
            "a request like any other",
        ),
        (
            json!({ "method": "PURGE", "url": "http://a.example/", "headers": { "Copal-Purge": "gently" } }),
            "denied",
            json!("url"),
            json!(false),
            Value::Null,
            "purge.allow",
        ),
    ] {
        let (status, told) = explained(&running, &question).await;
        assert_eq!(status, 200, "{question}: {told}");
        assert_eq!(
            (&told["outcome"], &told["dialect"], &told["allowed"], &told["matching"]),
            (&json!(outcome), &dialect, &allowed, &matching),
            "{question}: {told}"
        );
        let detail = told["detail"].as_str().unwrap().to_lowercase();
        assert!(detail.contains(&words.to_lowercase()), "{question}: {told}");
    }
    assert_eq!(left(&running).await, [true; 4], "nothing was done");
}

#[tokio::test]
async fn a_question_that_is_none_says_why() {
    let running = Running::with("").await;
    for (question, words) in [
        (json!({ "method": "P U", "url": "http://a/" }), "no method"),
        (json!({ "method": "PURGE", "url": "/x" }), "give the whole URL"),
        (json!({ "method": "PURGE", "url": "http://a/", "headers": { "a b": "x" } }), "no name of a field"),
        (json!({ "method": "PURGE", "url": "http://a/", "headers": { "a": "x\ny" } }), "characters"),
        (json!({ "method": "PURGE" }), "missing field"),
        (json!({ "method": "PURGE", "url": "http://a/", "peer": "x" }), "IP address"),
    ] {
        let (status, refused) = explained(&running, &question).await;
        let told = refused["error"].as_str().unwrap();
        assert!(status == 400 && told.contains(words), "{question}: {refused}");
    }
}

#[tokio::test]
async fn copal_purge_does_every_kind() {
    let running = stored("").await;
    let admin = running.server.admin_address().unwrap().to_string();
    for (arguments, expected) in [
        (vec!["--tag", "logo"], [true, true, false, true]),
        (vec!["--tag-pattern", "^post"], [false, false, true, false]),
        (vec!["--prefix", "http://b.example/", "--glob", "/*.png"], [true, true, false, false]),
        (vec!["--host", "a.example"], [false, false, false, true]),
        (vec!["--pattern", "q=1$"], [true, false, true, true]),
        (vec!["--header", "Content-Type=^text/", "--host", "A.example"], [false, false, true, true]),
        (vec!["--header", "Content-Type=^text/", "--tag-pattern", "^logo$"], [true, true, true, true]),
        (vec!["--all", "--dry-run"], [true, true, true, true]),
        (vec!["--all-queries", "http://a.example/blog/1"], [false, false, true, true]),
        (vec!["--any-host", "http://a.example/blog/1"], [false, false, true, false]),
        (vec!["--all", "--wait"], [false, false, false, false]),
    ] {
        let line: Vec<&str> = ["--admin", &admin].into_iter().chain(arguments.iter().copied()).collect();
        copal_purge(&line).await.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert_eq!(left(&running).await, expected, "{arguments:?}");
        fill(&running).await;
    }
    let wrong = copal_purge(&["--admin", &admin, "--pattern", "("]).await.unwrap_err();
    assert!(wrong.contains("pattern"), "{wrong}");
    let mixed = copal_purge(&["--admin", &admin, "nonsense", "http://a.example/blog/1"]).await.unwrap_err();
    assert!(mixed.contains("1 URL not purged"), "{mixed}");
    assert_eq!(left(&running).await, [false, true, true, true], "the other one is");
}

#[tokio::test]
async fn copal_purge_carries_a_secret_from_a_file_and_never_shows_it() {
    let running = stored("purge: { secret: { header: X-Mine, value: 0123456789abcdef } }\n").await;
    let address = running.server.addresses()[0].to_string();
    let file = std::env::temp_dir().join(format!("copal-purge-secret-{}", std::process::id()));
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let named = file.display().to_string();
    let with = |header| vec!["--server", &*address, "--secret-file", &*named, "--secret-header", header];
    let url = "http://a.example/blog/1";
    let refused = copal_purge(&["--server", &address, url]).await.unwrap_err();
    assert!(refused.contains("--secret-env"), "{refused}");
    let mut other = with("X-Other");
    other.push(url);
    let wrong = copal_purge(&other).await.unwrap_err();
    assert!(!wrong.contains("0123456789abcdef"), "{wrong}");
    assert_eq!(left(&running).await, [true; 4]);
    let mut right = with("X-Mine");
    right.extend(["--all-queries", url]);
    let done = copal_purge(&right).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(done, Ok(()));
    assert_eq!(left(&running).await, [false, false, true, true]);
}
