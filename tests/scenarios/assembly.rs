//! ESI: fragments fetched and cached on their own, spliced into cached pages in document order.

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const YAML: &str = "sessions: {cookies: [session]}
rules:
  - {name: user, match: {path: '/esi/user'}, pass: true}
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 1h}}
  - {name: pages, match: {path: '/**'}, cache: {ttl: 1h}, esi: true, sessions: ignore}";

fn html(body: &'static str) -> Answer {
    Answer::ok(body).header("content-type", "text/html; charset=utf-8")
}

#[tokio::test]
async fn a_cached_page_with_a_passed_fragment_greets_each_visitor_by_name() {
    let front = Front::with(YAML).await;
    front.origin.on(
        "/",
        html("<p><esi:include src=\"/esi/user\"/></p>").header("etag", "\"t\"").header("cache-control", "max-age=60"),
    );
    front.origin.on(
        "/esi/user",
        Answer::from_fn(|request| {
            let cookie = request.header("cookie").unwrap_or("guest").to_owned();
            Answer::ok(format!("hello {cookie}")).header("cache-control", "private").header("set-cookie", "x=1")
        }),
    );
    let mut client = front.client().await;
    for (cookie, body) in [("session=ada", "<p>hello session=ada</p>"), ("session=bob", "<p>hello session=bob</p>")] {
        for _ in 0..2 {
            let got = client.get("/").header("cookie", cookie).header("if-none-match", "\"t\"").send().await;
            assert_eq!((got.status, got.text()), (200, body));
            assert!(got.header("etag").is_none(), "the template's validator is not the page's (invariant 5)");
            assert!(got.header("set-cookie").is_none());
            assert_eq!(got.header("cache-control"), Some("private, no-cache"));
        }
    }
    assert_eq!(client.get("/").send().await.text(), "<p>hello guest</p>");
    assert_eq!(front.origin.count("/"), 1, "the page itself was asked for once");
    assert_eq!(front.origin.count("/esi/user"), 5);
    let page = front.origin.requests().into_iter().find(|request| request.target == "/").unwrap();
    assert!(page.header("cookie").is_none(), "the session cookie never goes to the page's origin request");
}

#[tokio::test]
async fn fields_for_the_first_client_alone_make_no_template_of_its_page() {
    let front = Front::with(YAML).await;
    let control = "max-age=60, private=\"etag, cache-control, date, x-own\"";
    let page = html("<p><esi:include src=\"/esi/user\"/></p>").header("etag", "\"t\"").header("x-own", "1");
    front.origin.on("/", page.header("cache-control", control).header("date", "Tue, 14 Nov 2023 22:13:20 GMT"));
    front.origin.on("/esi/user", Answer::ok("hello").header("cache-control", "private"));
    let mut client = front.client().await;
    for own in [Some("1"), None] {
        let got = client.get("/").send().await;
        assert_eq!((got.text(), got.header("x-own")), ("<p>hello</p>", own));
        assert!(got.header("etag").is_none(), "the template's validator is not the page's (invariant 5)");
        assert_eq!(got.all("cache-control").collect::<Vec<_>>(), ["private, no-cache"]);
        assert_eq!(got.all("date").count(), 1);
    }
}

#[tokio::test]
async fn stored_fragments_have_a_life_of_their_own() {
    let front = Front::with(YAML).await;
    let mut scenario = front.scenario();
    let page = html("[<esi:include src=\"/frag/a\"/>|<esi:include src=\"/frag/b\"/>]");
    scenario
        .exchange(
            "all from the origin",
            Sends::get("/"),
            [
                Sees::get("/")
                    .header("surrogate-capability", "copal=\"ESI/1.0 tags/1\"")
                    .header("accept-encoding", "identity")
                    .answers(page),
                Sees::get("/frag/a").answers("A"),
                Sees::get("/frag/b").answers("B"),
            ],
            Gets::status(200).body("[A|B]"),
        )
        .await;
    scenario
        .exchange(
            "all stored",
            Sends::get("/"),
            Sees::nothing(),
            Gets::status(200).body("[A|B]").header("content-length", "5"),
        )
        .await;
    assert_eq!(front.purge("/frag/a").await.status, 200);
    scenario
        .exchange("one purged", Sends::get("/"), Sees::get("/frag/a").answers("A2"), Gets::status(200).body("[A2|B]"))
        .await;
}

#[tokio::test]
async fn fragments_are_fetched_at_the_same_time_and_put_out_in_document_order() {
    let front = Front::with(YAML).await;
    front
        .origin
        .on("/", html("0<esi:include src='/frag/1'/>2<esi:include src='/frag/3'/>4<esi:include src='/frag/5'/>6"));
    let (one, first) = Answer::gated("1");
    let (three, second) = Answer::gated("3");
    let (five, third) = Answer::gated("5");
    front.origin.on("/frag/1", first);
    front.origin.on("/frag/3", second);
    front.origin.on("/frag/5", third);
    let mut client = front.client().await;
    let mut page = client.get("/").stream().await;
    assert_eq!(page.read_some().await.unwrap(), "0", "the first bytes leave before any fragment is there");
    front.origin.wait_for(4).await;
    five.open();
    three.open();
    one.open();
    assert_eq!(page.rest().await.text(), "0123456");
}

#[tokio::test]
async fn a_failing_fragment_never_blanks_the_page() {
    let front = Front::with(YAML).await;
    let cases = [
        ("<esi:include src='/frag/500'/>", ""),
        ("<esi:include src='/frag/404'/>", ""),
        ("<esi:include src='/frag/hangup'/>", ""),
        ("<esi:include src='/frag/500' alt='/frag/ok'/>", "ok"),
        ("<esi:include src='/frag/hangup' alt='/frag/404' onerror='continue'/>", ""),
        ("<esi:include src='http://elsewhere.example/x'/>", ""),
        ("<esi:include src='file:///etc/passwd'/>", ""),
        ("<esi:include src='/loop/page'/>", ""),
    ];
    front.origin.on("/frag/500", Answer::status(500).body("internal details"));
    front.origin.on("/frag/404", Answer::status(404).body("not found"));
    front.origin.on("/frag/hangup", Answer::hang_up());
    front.origin.on("/frag/ok", "ok");
    front.origin.on("/loop/page", html("<esi:include src='/loop/page'/>"));
    for (index, (include, becomes)) in cases.into_iter().enumerate() {
        let path = format!("/page/{index}");
        front.origin.on(&path, Answer::ok(format!("<b>{include}</b>")).header("content-type", "text/html"));
        for _ in 0..2 {
            let got = front.get(&path).await;
            assert_eq!((got.status, got.text()), (200, &*format!("<b>{becomes}</b>")), "{include}");
        }
    }
}

#[tokio::test]
async fn a_page_is_parsed_whole_however_it_is_cut() {
    let front = Front::with(YAML).await;
    let page = "a<!--esi <esi:include src=\"/frag/x\"/> -->b<esi:remove>gone <esi:include src=\"/frag/never\"/></esi:remove>c<esi:comment text=\"gone\"/>d<!-- kept -->";
    let pieces: Vec<String> = page.chars().map(String::from).collect();
    front.origin.on("/", Answer::ok("").header("content-type", "text/html").chunks(pieces));
    front.origin.on("/frag/x", "X");
    for _ in 0..2 {
        assert_eq!(front.get("/").await.text(), "a X bcd<!-- kept -->");
    }
    assert_eq!(front.origin.count("/frag/never"), 0);
}

#[tokio::test]
async fn esi_auto_is_asked_for_by_the_origin_even_when_it_compresses() {
    let front = Front::with("rules: [{name: p, cache: {ttl: 1h}, esi: auto}]").await;
    front.origin.on(
        "/on",
        Answer::from_fn(|request| {
            let page = html("[<esi:include src='/f'/>]").header("surrogate-control", "content=\"ESI/1.0\"");
            match request.header("accept-encoding") {
                Some("identity") => page,
                _ => page.header("content-encoding", "gzip").body("GZIP"),
            }
        }),
    );
    front.origin.on("/off", html("[<esi:include src='/f'/>]"));
    front.origin.on("/f", "F");
    let mut client = front.client().await;
    for _ in 0..2 {
        let got = client.get("/on").header("accept-encoding", "gzip").send().await;
        assert_eq!(got.text(), "[F]");
        assert!(got.header("surrogate-control").is_none());
        assert_eq!(client.get("/off").send().await.text(), "[<esi:include src='/f'/>]");
    }
}

#[tokio::test]
async fn passed_pages_are_assembled_while_they_pass() {
    let front = Front::with(
        "rules:
  - {name: mine, match: {path: /mine}, pass: true, esi: true}
  - {name: rest, cache: {ttl: 1h}}",
    )
    .await;
    front.origin.on("/mine", html("[<esi:include src='/f'/>]").header("cache-control", "private"));
    front.origin.on("/f", "F");
    for _ in 0..2 {
        assert_eq!(front.get("/mine").await.text(), "[F]");
    }
    assert_eq!((front.origin.count("/mine"), front.origin.count("/f")), (2, 1));
}

#[tokio::test]
async fn stale_fragments_are_served_while_they_are_refreshed() {
    let front = Front::with(
        "rules:
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 10s, grace: 1h}}
  - {name: pages, cache: {ttl: 1h}, esi: true}",
    )
    .await;
    front.origin.on("/", html("<esi:include src='/frag/n'/>"));
    front.origin.on("/frag/n", "1");
    front.origin.on("/frag/n", "2");
    assert_eq!(front.get("/").await.text(), "1");
    front.clock.advance(Duration::from_secs(20));
    assert_eq!(front.get("/").await.text(), "1");
    front.until(|| async { front.get("/").await.text() == "2" }).await;
}

#[tokio::test]
async fn head_of_an_assembled_page_fetches_no_fragment() {
    let front = Front::with(YAML).await;
    front.origin.on("/", html("<esi:include src='/frag/n'/>"));
    let mut client = front.client().await;
    for _ in 0..2 {
        let got = client.head("/").send().await;
        assert_eq!((got.status, got.header("content-length")), (200, None));
    }
    assert_eq!(front.origin.count("/frag/n"), 0);
}
