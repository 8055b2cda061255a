//! ESI: what the fragments of a page, and of all pages, may cost together.

use copal_testkit::{Answer, Gate};

use crate::front::Front;

const RULES: &str = "rules:
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 1h}}
  - {name: strict, match: {path: '/strict/**'}, cache: {ttl: 1h}, esi: {on_error: fail}}
  - {name: pages, cache: {ttl: 1h}, esi: {placeholder: '-'}}";

fn page(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("content-type", "text/html")
}

async fn front(esi: &str) -> Front {
    Front::with(&format!("esi: {{{esi}}}\n{RULES}")).await
}

#[tokio::test]
async fn a_fragment_that_does_not_fit_into_max_bytes_is_a_failure() {
    let front = front("max_bytes: 10").await;
    front.origin.on("/frag/6", "123456");
    front.origin.on("/frag/4", "1234");
    front.origin.on("/frag/11", "12345678901");
    front.origin.on("/nested", page("<esi:include src='/frag/6'/><esi:include src='/frag/6'/>").chunked());
    for (index, (template, expected)) in [
        ("<esi:include src='/frag/6'/>|<esi:include src='/frag/4'/>", "123456|1234"),
        ("<esi:include src='/frag/11'/>|<esi:include src='/frag/4'/>", "-|1234"),
        ("<esi:include src='/frag/11' onerror='continue'/>|", "|"),
        ("<esi:try><esi:attempt><esi:include src='/frag/11'/></esi:attempt><esi:except>e</esi:except></esi:try>", "e"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{index}");
        front.origin.on(&path, page(template));
        for _ in 0..2 {
            let got = front.get(&path).await;
            assert_eq!((got.status, got.text()), (200, expected), "{template}");
        }
    }
    // Nested ones count as what the outer one has. Its length is not known while it is fetched: then the page is cut.
    front.origin.on("/outer", page("[<esi:include src='/nested'/>]"));
    let mut client = front.client().await;
    assert!(client.get("/outer").try_send().await.is_err(), "the client can tell that the page is not whole");
    assert_eq!(front.get("/outer").await.text(), "[-]", "now that all is at hand it is seen before");
}

#[tokio::test]
async fn a_fragment_of_unknown_length_that_outgrows_max_bytes_cuts_the_page() {
    let front = front("max_bytes: 10").await;
    front.origin.on("/frag/long", Answer::ok("").chunks(["12345", "67890", "1"]));
    front.origin.on("/page", page("[<esi:include src='/frag/long' onerror='continue'/>]"));
    let mut client = front.client().await;
    assert!(client.get("/page").try_send().await.is_err(), "cut, and not ended as if it were whole");
}

#[tokio::test]
async fn what_the_page_waits_for_beyond_its_time_counts_as_failed() {
    let front = front("page_timeout: 50ms, max_concurrent: 1").await;
    let never = Gate::new();
    front.origin.on("/frag/slow", Answer::ok("slow").held_by(&never));
    front.origin.on("/frag/slow2", Answer::ok("slow").held_by(&never));
    front.origin.on("/frag/ok", "ok");
    assert_eq!(front.get("/frag/ok").await.text(), "ok");
    front.origin.on("/page", page(
        "<esi:include src='/frag/slow' alt='/frag/ok'/>|<esi:include src='/frag/slow2'/>|<esi:include src='/frag/ok'/>\
         |<esi:include src='/frag/new'/>",
    ));
    front.origin.on("/frag/new", "new");
    assert_eq!(front.get("/page").await.text(), "ok|-|ok|-", "what is at hand is put in all the same");
    assert_eq!(front.origin.count("/frag/slow2") + front.origin.count("/frag/new"), 0, "no use to ask any more");
    front.origin.on("/strict/page", page("<esi:include src='/frag/slow'/>"));
    let mut client = front.client().await;
    assert!(client.get("/strict/page").try_send().await.is_err());
}

#[tokio::test]
async fn fragments_of_all_pages_wait_for_their_turn() {
    let front = front("max_concurrent_total: 2").await;
    let gate = Gate::new();
    for path in ["/frag/1", "/frag/2", "/frag/3", "/frag/4"] {
        front.origin.on(path, Answer::ok("x").held_by(&gate));
    }
    front.origin.on("/a", page("<esi:include src='/frag/1'/><esi:include src='/frag/2'/><esi:include src='/frag/3'/>"));
    front.origin.on("/b", page("<esi:include src='/frag/4'/>"));
    front.origin.on("/frag/free", "free");
    let a = front.spawn_get("/a");
    front.origin.wait_for_heads(3).await;
    let b = front.spawn_get("/b");
    front.origin.wait_for_heads(4).await;
    // Other requests are no fragments.
    assert_eq!(front.get("/frag/free").await.text(), "free");
    let frags = || front.origin.requests().iter().filter(|request| request.path().starts_with("/frag/")).count();
    assert_eq!(frags(), 3, "two of the pages', and the one that is none of a page");
    gate.open();
    assert_eq!(a.await.unwrap().text(), "xxx");
    assert_eq!(b.await.unwrap().text(), "x");
}

#[tokio::test]
async fn pages_within_pages_do_not_wait_for_turns_that_they_hold() {
    let front = front("max_concurrent_total: 1").await;
    front.origin.on("/1", page("1<esi:include src='/2'/><esi:include src='/frag/a'/>"));
    front.origin.on("/2", page("2<esi:include src='/3'/><esi:include src='/frag/b'/>"));
    front.origin.on("/3", page("3<esi:include src='/frag/c'/>"));
    for fragment in ["a", "b", "c"] {
        front.origin.on(&format!("/frag/{fragment}"), fragment);
    }
    let pages: Vec<_> = (0..8).map(|_| front.spawn_get("/1")).collect();
    for page in pages {
        assert_eq!(page.await.unwrap().text(), "123cba");
    }
}

#[tokio::test]
async fn a_fragment_whose_length_is_announced_does_not_cut_the_page_however_it_comes() {
    let front = Front::with(
        "cache: {max_body: 200}
esi: {max_bytes: 10}
rules:
  - {name: passed, match: {path: '/pass/**'}, pass: true}
  - {name: passed-template, match: {path: '/pass-template/**'}, pass: true, esi: true}
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 1h}}
  - {name: all, cache: {ttl: 1h}, esi: {placeholder: '-'}}",
    )
    .await;
    for (index, (fragment, answer)) in [
        ("/frag/stored", page("12345678901")),
        ("/frag/no-store", page("12345678901").header("cache-control", "no-store")),
        ("/frag/too-large", page(&"1234567890".repeat(30))),
        ("/pass/it", page("12345678901")),
        // Read for ESI, so that their length is not that of the fragment.
        ("/pass-template/it", page("12345678901")),
        ("/template/stored", page("12345678901")),
        ("/template/no-store", page("12345678901").header("cache-control", "no-store")),
        ("/template/too-large", page(&"1234567890".repeat(30))),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/page/{index}");
        front.origin.on(fragment, answer);
        front.origin.on("/frag/4", "1234");
        front.origin.on(&path, page(&format!("[<esi:include src='{fragment}'/><esi:include src='/frag/4'/>]")));
        for _ in 0..2 {
            assert_eq!(front.get(&path).await.text(), "[-1234]", "{fragment}");
        }
    }
}

#[tokio::test]
async fn includes_beyond_max_includes_are_left_out_and_told_of() {
    let front = front("max_includes: 2, debug_allow: ['127.0.0.0/8']").await;
    let include = "<esi:include src='/frag/x'/>";
    front.origin.on("/frag/x", "x");
    front.origin.on("/page", page(&format!("[{}]", include.repeat(5))));
    front.origin.on("/looped", page(&format!("[<esi:vars>{}</esi:vars>]", include.repeat(3))));
    for _ in 0..2 {
        assert_eq!(front.get("/page").await.text(), "[xx]");
        assert_eq!(front.get("/looped").await.text(), "[xx]");
    }
    for (path, line) in [
        ("/page", "left out: 3 includes, beyond esi.max_includes\n"),
        ("/looped", "left out: 1 include, beyond esi.max_includes\n"),
    ] {
        let mut client = front.client().await;
        let report = client.get(path).header("x-copal-esi-debug", "1").send().await;
        assert!(report.text().contains(line) && report.text().contains("2 fragments, "), "{}", report.text());
    }
}

/// One client that stops reading keeps no fragment of the others' from its turn.
#[tokio::test]
async fn a_client_that_does_not_read_keeps_no_turn() {
    for hold in ["5ms", "0"] {
        no_turn_is_kept(hold).await;
    }
}

async fn no_turn_is_kept(hold: &str) {
    let front = Front::with(&format!(
        "esi: {{max_concurrent_total: 1, hold: {hold}}}
rules:
  - {{name: user, match: {{path: '/user/**'}}, pass: true}}
  - {{name: pages, cache: {{ttl: 1h}}, esi: true}}"
    ))
    .await;
    // More than all buffers on the way take.
    let large = "x".repeat(24 << 20);
    front.origin.on("/large", page(&format!("{large}<esi:include src='/user/a'/>")));
    front.origin.on("/small", page("[<esi:include src='/user/b'/>]"));
    front.origin.on("/user/a", "a");
    front.origin.on("/user/b", "b");
    // Both templates are stored.
    assert_eq!(front.get("/large").await.text().len(), large.len() + 1);
    assert_eq!(front.get("/small").await.text(), "[b]");

    let (gate, late) = Answer::gated("late");
    front.origin.replace("/user/a", late);
    let mut client = front.client().await;
    let reading = client.get("/large").stream().await;
    front.origin.wait_for_heads(5).await;
    gate.open();
    assert_eq!(
        front.get("/small").await.text(),
        "[b]",
        "the other's fragment was answered, so it is the next one's turn"
    );
    let rest = reading.rest().await;
    assert_eq!(rest.text().get(large.len()..), Some("late"));
}
