//! Purges over HTTP beyond the table of dialects: who may, how it is done, and what follows from it.

use std::time::Duration;

use copal_testkit::{Answer, Client, ClientResponse};
use tokio::net::UdpSocket;

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h, grace: 1h}}]";
const SECRET: &str = "correct-horse-battery-staple";

async fn front(purge: &str) -> Front {
    Front::with_purge(&format!("purge: {{{purge}}}\n{PAGES}")).await
}

fn word(response: &ClientResponse) -> String {
    let status = response.header("cache-status").unwrap_or_default();
    status.rsplit("detail=").next().unwrap_or_default().to_owned()
}

async fn purge(front: &Front, path: &str, fields: &[(&str, &str)]) -> ClientResponse {
    let mut client = front.client().await;
    let request = client.request("PURGE", path);
    fields.iter().fold(request, |request, (name, value)| request.header(name, *value)).send().await
}

#[tokio::test]
async fn a_secret_alone_is_enough_where_no_address_is_given_and_is_never_sent_on() {
    let front = front(&format!("secret: {{value: '{SECRET}'}}")).await;
    front.origin.on("/p", "x");
    front.origin.on("/other", "x");
    front.get("/p").await;
    for wrong in [&[][..], &[("x-purge-secret", "correct-horse-battery-stapl")], &[("x-purge-secret", "")]] {
        assert_eq!(purge(&front, "/p", wrong).await.status, 403, "{wrong:?}");
    }
    assert_eq!(word(&front.get("/p").await), "hit");
    let twice = [("x-purge-secret", SECRET), ("x-purge-secret", SECRET)];
    assert_eq!(purge(&front, "/p", &twice).await.status, 403, "twice is not once");
    let done = purge(&front, "/p", &[("x-purge-secret", SECRET)]).await;
    assert_eq!(done.status, 200);
    assert!(!done.to_string().contains(SECRET));
    let mut client = front.client().await;
    client.get("/other").header("x-purge-secret", SECRET).send().await;
    client.post("/other", "x").header("x-purge-secret", SECRET).send().await;
    for request in front.origin.requests() {
        assert_eq!(request.header("x-purge-secret"), None, "{}", request.method);
    }
}

#[tokio::test]
async fn address_and_secret_are_both_needed_unless_one_is_said_to_be_enough() {
    let secret = format!("secret: {{header: X-Token, value: '{SECRET}'}}");
    for (purging, with, without) in [
        (format!("allow: ['127.0.0.1'], {secret}"), 200, 403),
        (format!("allow: ['10.0.0.1'], {secret}"), 403, 403),
        (format!("allow: ['127.0.0.1'], {secret}, require: any"), 200, 200),
        (format!("allow: ['10.0.0.1'], {secret}, require: any"), 200, 403),
        (format!("allow: ['10.0.0.1'], {secret}, denied_status: 404"), 404, 404),
    ] {
        let front = front(&purging).await;
        assert_eq!(purge(&front, "/p", &[("x-token", SECRET)]).await.status, with, "{purging}");
        assert_eq!(purge(&front, "/p", &[]).await.status, without, "{purging}");
    }
}

/// Whoever reaches a terminator on the same machine is not on that machine.
#[tokio::test]
async fn a_trusted_proxy_lends_nobody_its_address() {
    let yaml = format!(
        "trusted_proxies: ['127.0.0.1']\npurge: {{allow: ['127.0.0.1', '10.0.0.1'], dialects: [url, fos]}}\n{PAGES}"
    );
    let front = Front::with_purge(&yaml).await;
    for (forwarded, status) in
        [("192.0.2.1", 403), ("10.0.0.1, 192.0.2.1", 403), ("192.0.2.1, 10.0.0.1", 200), ("x", 403)]
    {
        let answer = purge(&front, "/p", &[("x-forwarded-for", forwarded)]).await;
        assert_eq!(answer.status, status, "{forwarded}");
    }
    // That it is a proxy shows, and for whom it asks does not.
    for field in ["forwarded", "x-real-ip", "x-forwarded-proto", "via"] {
        assert_eq!(purge(&front, "/p", &[(field, "192.0.2.1")]).await.status, 403, "{field}");
    }
    assert_eq!(purge(&front, "/p", &[]).await.status, 200, "on the same machine, and no proxy");
}

#[tokio::test]
async fn a_visitor_behind_two_proxies_is_nobody_who_may() {
    let yaml =
        format!("trusted_proxies: ['127.0.0.1', '10.0.0.5']\npurge: {{allow: ['127.0.0.0/8', '10.0.0.0/8']}}\n{PAGES}");
    let front = Front::with_purge(&yaml).await;
    for (chain, status) in [
        ("203.0.113.9, 10.0.0.5", 403),
        ("10.0.0.7, 203.0.113.9, 10.0.0.5", 403),
        ("203.0.113.9, 10.0.0.7, 10.0.0.5", 200),
        ("10.0.0.7, 10.0.0.5", 200),
        ("10.0.0.5", 200),
        ("203.0.113.9, x, 10.0.0.5", 403),
    ] {
        assert_eq!(purge(&front, "/p", &[("x-forwarded-for", chain)]).await.status, status, "{chain}");
    }
}

#[tokio::test]
async fn a_proxy_that_nobody_named_lends_nobody_its_address() {
    let front = front("allow: ['127.0.0.0/8']").await;
    for field in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        assert_eq!(purge(&front, "/p", &[(field, "127.0.0.1")]).await.status, 403, "{field}");
    }
    assert_eq!(purge(&front, "/p", &[]).await.status, 200);
}

#[tokio::test]
async fn purges_whose_words_are_alike_are_not_taken_for_equal() {
    let front = front("allow: ['127.0.0.0/8'], dialects: [url, fos, fastly]").await;
    let page = |tags: &'static str| Answer::ok("x").header("cache-control", "max-age=60").header("surrogate-key", tags);
    front.origin.on("/a", page("a"));
    front.origin.on("/keep", page("b"));
    let mut client = front.client().await;
    for path in ["/a", "/keep"] {
        client.get(path).send().await;
    }
    let mut post = async |body: &str| {
        let asked = client.post("/service/x/purge", body.to_owned()).header("content-type", "application/json");
        assert_eq!(asked.send().await.status, 200);
    };
    post("{\"surrogate_keys\": [\"a b\"]}").await;
    post("{\"surrogate_keys\": [\"a\", \"b\"]}").await;
    assert_eq!(word(&front.get("/a").await), "miss");
    client.get("/keep").send().await;
    let mut ban = async |fields: &[(&str, &str)]| {
        let request = client.request("BAN", "/");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(name, *value));
        assert_eq!(request.send().await.status, 200);
    };
    ban(&[("x-host", "test.example url~^/kee")]).await;
    ban(&[("x-host", "test.example"), ("x-url", "^/kee")]).await;
    assert_eq!(word(&front.get("/keep").await), "miss");
}

#[tokio::test]
async fn methods_of_other_dialects_are_405_and_reach_no_origin() {
    let front = front("allow: ['127.0.0.0/8']").await;
    for method in ["BAN", "PURGEKEYS", "PURGETAGS", "URIBAN", "REFRESH", "purge", "Ban"] {
        let answer = front.client().await.request(method, "/p").send().await;
        assert_eq!((answer.status, answer.header("allow").is_some()), (405, true), "{method}");
    }
    // POST and GET of dialects that are not spoken are requests like any other.
    front.origin.on("/service/x/purge_all", "of the site");
    front.origin.on("/purge/p", "of the site");
    let mut client = front.client().await;
    assert_eq!(client.post("/service/x/purge_all", "").send().await.text(), "of the site");
    assert_eq!(client.get("/purge/p").send().await.text(), "of the site");
    let methods: Vec<String> = front.origin.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "GET"]);
}

#[tokio::test]
async fn mediawiki_may_send_many_before_it_reads() {
    let front = front("allow: ['127.0.0.0/8'], dialects: [mediawiki]").await;
    for path in ["/a", "/b", "/c"] {
        front.origin.on(path, "x");
        front.get(path).await;
    }
    let mut client = Client::connect(front.address).await;
    let line = |path: &str| {
        format!(
            "PURGE http://test.example{path} HTTP/1.1\r\nHost: test.example\r\nConnection: Keep-Alive\r\nProxy-Connection: Keep-Alive\r\n\r\n"
        )
    };
    let all: String = ["/a", "/b", "/c"].into_iter().map(line).collect();
    client.write(all).await;
    for _ in 0..3 {
        assert!(client.response().await.text().contains("\"removed\":1"));
    }
}

#[tokio::test]
async fn copal_purge_says_how_it_is_done() {
    let front = front("allow: ['127.0.0.0/8']").await;
    front.origin.on("/p", "x");
    front.origin.on("/p?a=1", "x");
    for path in ["/p", "/p?a=1"] {
        front.get(path).await;
    }
    let dry = purge(&front, "/p", &[("copal-purge", "dry-run, all-queries")]).await;
    assert!(dry.text().contains("\"status\":\"dry-run\"") && dry.text().contains("\"removed\":2"), "{}", dry.text());
    assert_eq!(word(&front.get("/p").await), "hit", "nothing went");
    purge(&front, "/p", &[("copal-purge", "soft")]).await;
    assert_eq!(word(&front.get("/p").await), "stale-refreshing");
    assert_eq!(word(&front.get("/p?a=1").await), "hit");
    let counted = purge(&front, "/p", &[("copal-purge", "all-queries, count, any-host")]).await;
    assert!(counted.text().contains("\"removed\":2"), "{}", counted.text());
    let wrong = purge(&front, "/p", &[("copal-purge", "gently")]).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("dry-run"), "says what there is: {}", wrong.text());
}

#[tokio::test]
async fn what_is_to_be_refreshed_is_fetched_at_once_and_without_a_visitors_fields() {
    let front = front("allow: ['127.0.0.0/8'], dialects: [url, lagoon]").await;
    front.origin.on("/p", Answer::ok("old").once());
    front.origin.on("/p", "new");
    front.get("/p").await;
    let done =
        purge(&front, "/p", &[("copal-purge", "refresh"), ("cookie", "session=1"), ("authorization", "Basic eA==")])
            .await;
    assert!(done.text().contains("\"refreshing\":1"), "{}", done.text());
    front.until(|| async { front.origin.count("/p") == 2 }).await;
    let fetched = front.origin.last();
    assert_eq!((fetched.header("cookie"), fetched.header("authorization")), (None, None));
    let page = front.get("/p").await;
    assert_eq!(page.text(), "new");
    assert_eq!(front.origin.count("/p"), 2, "nobody else had to ask");
    // Lagoon's own word for it: what is stored serves until the new page is there.
    assert_eq!(front.client().await.request("REFRESH", "/p").send().await.status, 200);
    front.until(|| async { front.origin.count("/p") == 3 }).await;
}

/// P14, and the refresh of P15: a GET of somebody who may purge.
#[tokio::test]
async fn foshttpcache_refreshes_by_a_get_and_strangers_do_not() {
    for (field, value) in [("cache-control", "no-cache"), ("x-refresh", "1")] {
        let front = front("allow: ['127.0.0.0/8'], dialects: [fos]").await;
        front.origin.on("/p", Answer::ok("old").once());
        front.origin.on("/p", "new");
        front.get("/p").await;
        let mut client = front.client().await;
        assert_eq!(client.get("/p").header(field, value).send().await.text(), "new", "{field}");
        assert_eq!(front.get("/p").await.text(), "new");
        assert_eq!(front.origin.count("/p"), 2);
        assert_eq!(front.origin.last().header("x-refresh"), None);
    }
    let strange = front("allow: ['10.0.0.1'], dialects: [fos]").await;
    strange.origin.on("/p", "x");
    strange.get("/p").await;
    let mut client = strange.client().await;
    assert_eq!(word(&client.get("/p").header("cache-control", "no-cache").send().await), "hit");
    assert_eq!(word(&client.get("/p").header("x-refresh", "1").send().await), "hit");
}

/// P33: who comes over TLS, and who purges over TLS.
#[tokio::test]
async fn the_scheme_does_not_matter() {
    let yaml = format!("trusted_proxies: ['127.0.0.1']\npurge: {{allow: ['127.0.0.1']}}\n{PAGES}");
    let front = Front::with_purge(&yaml).await;
    front.origin.on("/p", "x");
    for proto in ["http", "https"] {
        let mut client = front.client().await;
        client.get("/p").header("x-forwarded-proto", proto).send().await;
        client.get("/p").header("x-forwarded-proto", "https").send().await;
        let asked = front.origin.count("/p");
        let done = purge(&front, "/p", &[("x-forwarded-proto", proto), ("x-forwarded-for", "127.0.0.1")]).await;
        assert_eq!(done.status, 200, "{}", done.text());
        client.get("/p").header("x-forwarded-proto", "https").send().await;
        assert_eq!(front.origin.count("/p"), asked + 1, "{proto}");
    }
}

/// The second purge takes what was fetched from an origin that lagged behind; many equal ones are one.
#[tokio::test]
async fn a_purge_is_done_once_more() {
    let front = front("allow: ['127.0.0.0/8'], repurge_after: 50ms").await;
    front.origin.on("/p", "x");
    for _ in 0..20 {
        let done = purge(&front, "/p", &[]).await;
        assert!(done.text().contains("\"again\":true"), "{}", done.text());
    }
    let before = front.sequence();
    front.get("/p").await;
    front.until(|| async { word(&front.get("/p").await) != "hit" }).await;
    // One key for each scheme, twice at most: once for the first purge and once for the last.
    front.until(|| async { front.sequence() > before }).await;
    assert!(front.sequence() - before <= 4 * 2, "{} and then {}", before, front.sequence());
}

/// A burst of equal purges is one, until something has begun that the next one could take.
#[tokio::test]
async fn equal_purges_in_a_burst_are_merged_and_none_is_lost() {
    let front = front("allow: ['127.0.0.0/8'], dialects: [url, drupal]").await;
    front.origin.on("/p", Answer::ok("x").header("cache-tags", "t"));
    let ban = [("cache-tags", "t")];
    let sequence = |answer: &ClientResponse| answer.text().split("\"sequence\":").nth(1).map(str::to_owned);
    for (path, fields) in [("/p", &[][..]), ("/tags", &ban)] {
        front.get("/p").await;
        let first = purge(&front, path, fields).await;
        assert_eq!(first.status, 200);
        let before = front.sequence();
        for _ in 0..10 {
            assert_eq!(sequence(&purge(&front, path, fields).await), sequence(&first));
        }
        assert_eq!(front.sequence(), before, "{path}: they are one");
        assert_eq!(word(&front.get("/p").await), "miss", "{path}");
        purge(&front, path, fields).await;
        assert_eq!(word(&front.get("/p").await), "miss", "{path}: a fetch came between");
        purge(&front, path, &[fields, &[("copal-purge", "soft")]].concat()).await;
        assert_eq!(word(&front.get("/p").await), "stale-refreshing", "{path}: another purge");
        // What is under way when it comes is taken too.
        purge(&front, path, fields).await;
        let (body, slow) = Answer::stream();
        front.origin.on("GET /p", slow.header("cache-tags", "t").once());
        let mut one = front.client().await;
        let mut leader = one.get("/p").stream().await;
        body.send("old");
        assert_eq!(leader.read_some().await.as_deref(), Some(&b"old"[..]));
        purge(&front, path, fields).await;
        body.end();
        leader.rest().await;
        assert_eq!(word(&front.get("/p").await), "miss", "{path}: a fetch was under way");
    }
}

#[tokio::test]
async fn fields_that_are_for_the_cache_do_not_reach_clients() {
    let front = front("allow: ['127.0.0.0/8']").await;
    let fields = [
        "Cache-Tag",
        "Cache-Tags",
        "Surrogate-Key",
        "xkey",
        "X-Cache-Tags",
        "X-Magento-Tags",
        "Purge-Cache-Tags",
        "X-Acquia-Purge-Tags",
        "X-Drupal-Cache-Tags",
        "X-Drupal-Cache-Contexts",
        "X-Ids-Involved",
        "TYPO3-Pid",
        "TYPO3-Sitename",
        "X-Url",
        "X-Host",
        "X-Site",
        "Surrogate-Control",
        "X-Reverse-Proxy-TTL",
    ];
    for (path, lifetime) in [("/stored", "max-age=60"), ("/not", "private")] {
        let answer = Answer::ok("x").header("cache-control", lifetime).header("x-kept", "1");
        front.origin.on(path, fields.iter().fold(answer, |answer, name| answer.header(name, "1")));
        for _ in 0..2 {
            let page = front.get(path).await;
            for name in fields {
                assert_eq!(page.header(&name.to_ascii_lowercase()), None, "{path}: {name}");
            }
            assert_eq!(page.header("x-kept"), Some("1"));
        }
    }
}

/// A `CLR` as MediaWiki packs it.
fn clr(url: &str, flags: u8) -> Vec<u8> {
    let counted = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let specifier = [counted("HEAD"), counted(url), counted("HTTP/1.0"), vec![0, 0]].concat();
    let data = u16::try_from(8 + 2 + specifier.len()).unwrap();
    let mut bytes = (4 + data + 2).to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(data.to_be_bytes());
    bytes.extend([4, flags, 0, 0, 0, 9, 0, 0]);
    bytes.extend(specifier);
    bytes.extend([0, 2]);
    bytes
}

#[tokio::test]
async fn htcp_clears_a_url_and_answers_where_asked() {
    let front = front("htcp: {address: '127.0.0.1:0', allow: ['127.0.0.1']}").await;
    front.origin.on("/wiki/Main", "x");
    front.get("/wiki/Main").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = front.htcp_address();
    let mut answer = [0; 64];
    // The flag of Squid's order that asks for an answer.
    socket.send_to(&clr("http://test.example/wiki/Main", 0x40), to).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(30), socket.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[..read], [0, 14, 0, 0, 0, 8, 0x04, 0x80, 0, 0, 0, 9, 0, 2], "it was there, and is gone");
    assert_eq!(word(&front.get("/wiki/Main").await), "miss");
    socket.send_to(&clr("http://test.example/other", 0x40), to).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(30), socket.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[6..read], [0x24, 0x80, 0, 0, 0, 9, 0, 2], "it was not there");
    // Without the flag nothing is answered, and it is done all the same.
    socket.send_to(&clr("http://test.example/wiki/Main", 0), to).await.unwrap();
    front.until(|| async { word(&front.get("/wiki/Main").await) == "miss" }).await;
    assert_eq!(purge(&front, "/wiki/Main", &[]).await.status, 403, "over HTTP nobody may");
}
