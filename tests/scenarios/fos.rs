//! FOSHttpCache's whole protocol, against an origin that behaves as Symfony with it: user context, tags, bans, refresh, logout.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use copal_testkit::{Answer, Client, ClientResponse, Request};

use crate::front::Front;

const YAML: &str = "purge: {allow: ['127.0.0.0/8'], dialects: [url, fos]}
contexts:
  fos:
    path: /_fos_user_context_hash
    accept: application/vnd.fos.user-context-hash
    cookies: [PHPSESSID]
    credentials: forward
rules: [{name: pages, cache: {}, context: fos, esi: auto}]";

/// What the application knows.
#[derive(Default)]
struct Site {
    /// The role of each session.
    roles: HashMap<String, &'static str>,
    article: u32,
}

type Shared = Arc<Mutex<Site>>;

fn session(request: &Request) -> Option<&str> {
    request.header("cookie")?.split("; ").find_map(|pair| pair.strip_prefix("PHPSESSID="))
}

/// The hash of what the session may do, as the application computes it for itself, too.
fn hash(site: &Site, request: &Request) -> String {
    let role = session(request).and_then(|session| site.roles.get(session)).copied().unwrap_or("anonymous");
    format!("h-{role}")
}

/// `UserContextListener`, when it is asked for the hash.
fn lookup(site: &Site, request: &Request) -> Answer {
    let tag = format!("fos_http_cache_hashlookup-{}", session(request).unwrap_or("none"));
    Answer::ok("")
        .header("content-type", "application/vnd.fos.user-context-hash")
        .header("x-user-context-hash", hash(site, request))
        .header("x-cache-tags", tag)
        .header("vary", "Cookie, Authorization")
        .header("cache-control", "max-age=300, public")
}

/// A page of the application: it is made from the session, and the listener checks that the hash is that of the session.
fn page(site: &Site, request: &Request, body: &str) -> Answer {
    let own = hash(site, request);
    let answer = Answer::ok(body.replace("ROLE", &own).replace("N", &site.article.to_string()))
        .header("content-type", "text/html")
        .header("x-cache-tags", "article-7,list")
        .header("vary", "X-User-Context-Hash");
    match request.header("x-user-context-hash") {
        Some(told) if told != own => answer.header("cache-control", "no-cache, no-store, private"),
        _ => answer.header("cache-control", "max-age=60, public, s-maxage=3600"),
    }
}

async fn site() -> (Front, Shared) {
    let front = Front::with_purge(YAML).await;
    let shared = Shared::default();
    for (session, role) in [("ada", "editor"), ("bob", "editor"), ("eve", "reader")] {
        shared.lock().unwrap().roles.insert(session.to_owned(), role);
    }
    let on = |path: &str, answer: fn(&Site, &Request) -> Answer| {
        let shared = Arc::clone(&shared);
        front.origin.on(path, Answer::from_fn(move |request| answer(&shared.lock().unwrap(), request)));
    };
    on("/_fos_user_context_hash", lookup);
    on("/article/7", |site, request| page(site, request, "article N for ROLE"));
    on("/front", |site, request| {
        page(site, request, "front <esi:include src=\"/_fragment\"/>")
            .header("surrogate-control", "content=\"ESI/1.0\"")
    });
    on("/_fragment", |site, request| page(site, request, "list N for ROLE"));
    (front, shared)
}

async fn get(front: &Front, path: &str, session: Option<&str>) -> ClientResponse {
    let mut client = front.client().await;
    let request = client.get(path);
    match session {
        Some(session) => request.header("cookie", format!("PHPSESSID={session}; _ga=1")).send().await,
        None => request.send().await,
    }
}

async fn ban(front: &Front, name: &str, value: &str) -> u16 {
    let mut client = Client::connect(front.address).await.with_host("test.example");
    let ban = client.request("BAN", "/").header("x-host", ".*").header("x-url", ".*").header("x-content-type", ".*");
    ban.header(name, value).send().await.status
}

#[tokio::test]
async fn groups_share_pages_and_a_ban_by_tag_takes_them_of_all_groups() {
    let (front, site) = site().await;
    let visitors =
        [(Some("ada"), "h-editor"), (Some("bob"), "h-editor"), (Some("eve"), "h-reader"), (None, "h-anonymous")];
    for edition in 0..3 {
        site.lock().unwrap().article = edition;
        if edition > 0 {
            assert_eq!(ban(&front, "x-cache-tags", "(^|,)(article\\-7)(,|$)").await, 200);
        }
        for _ in 0..2 {
            for (session, group) in visitors {
                let got = get(&front, "/article/7", session).await;
                assert_eq!(got.text(), format!("article {edition} for {group}"));
                assert!(got.header("vary").unwrap().contains("cookie") && got.header("x-user-context-hash").is_none());
                assert!(got.header("x-cache-tags").is_none(), "tags are between origin and cache");
                assert_eq!(got.header("cache-control").unwrap().contains("public"), session.is_none(), "{got:?}");
            }
        }
        assert_eq!(front.origin.count("/article/7"), 3 * (edition as usize + 1), "one for each group");
    }
    assert_eq!(front.origin.count("/_fos_user_context_hash"), 3, "one for each session, through all bans");
}

#[tokio::test]
async fn fragments_of_a_page_are_of_the_visitors_group() {
    let (front, _) = site().await;
    for _ in 0..2 {
        for (session, group) in [(Some("ada"), "h-editor"), (Some("eve"), "h-reader"), (None, "h-anonymous")] {
            assert_eq!(get(&front, "/front", session).await.text(), format!("front list 0 for {group}"));
        }
    }
    assert_eq!((front.origin.count("/front"), front.origin.count("/_fragment")), (3, 3));
}

#[tokio::test]
async fn who_logs_out_or_changes_roles_is_another_from_the_ban_of_his_hash_on() {
    let (front, site) = site().await;
    assert_eq!(get(&front, "/article/7", Some("ada")).await.text(), "article 0 for h-editor");
    site.lock().unwrap().roles.remove("ada");
    // The logout handler's ban.
    assert_eq!(ban(&front, "x-cache-tags", "(^|,)(fos_http_cache_hashlookup\\-ada)(,|$)").await, 200);
    assert_eq!(get(&front, "/article/7", Some("ada")).await.text(), "article 0 for h-anonymous");
    assert_eq!(get(&front, "/article/7", Some("bob")).await.text(), "article 0 for h-editor", "a colleague stays");
    assert_eq!(front.origin.count("/_fos_user_context_hash"), 3);
    // A role that changed without a ban: the application sees that the hash is not the session's, and keeps the page to it.
    site.lock().unwrap().roles.insert("bob".to_owned(), "reader");
    assert_eq!(ban(&front, "x-cache-tags", "(^|,)(article\\-7)(,|$)").await, 200);
    for _ in 0..2 {
        let got = get(&front, "/article/7", Some("bob")).await;
        assert_eq!((got.text(), got.header("cache-control")), ("article 0 for h-reader", Some("private, no-store")));
    }
    site.lock().unwrap().roles.insert("cyd".to_owned(), "editor");
    assert_eq!(get(&front, "/article/7", Some("cyd")).await.text(), "article 0 for h-editor", "and nobody else got it");
}

#[tokio::test]
async fn a_refresh_stores_the_new_page_in_the_place_of_the_old() {
    let (front, site) = site().await;
    assert_eq!(get(&front, "/article/7", None).await.text(), "article 0 for h-anonymous");
    site.lock().unwrap().article = 1;
    assert_eq!(get(&front, "/article/7", None).await.text(), "article 0 for h-anonymous");
    let mut client = front.client().await;
    let fresh = client.get("/article/7").header("cache-control", "no-cache").send().await;
    assert_eq!(fresh.text(), "article 1 for h-anonymous");
    assert_eq!(get(&front, "/article/7", None).await.text(), "article 1 for h-anonymous");
    assert_eq!(front.origin.count("/article/7"), 2);
}
