//! ESI: fragments that cannot be had, and what becomes of their page.

use copal_testkit::{Answer, Gate};

use crate::front::Front;

const YAML: &str = "rules:
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 1h, status_ttl: {404: 1h}}}
  - {name: strict, match: {path: '/strict/**'}, cache: {ttl: 1h}, esi: {on_error: fail}}
  - {name: held, match: {path: '/held/**'}, cache: {ttl: 1h}, esi: {on_error: fail, placeholder: '<p>soon</p>'}}
  - {name: akamai, match: {path: '/akamai/**'}, cache: {ttl: 1h}, esi: {dialect: akamai}}
  - {name: pages, cache: {ttl: 1h}, esi: true}";

fn page(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("content-type", "text/html; charset=utf-8")
}

async fn front() -> Front {
    let front = Front::with(YAML).await;
    front.origin.on("/frag/500", Answer::status(500).body("internal details"));
    front.origin.on("/frag/404", Answer::status(404).body("not found"));
    front.origin.on("/frag/hangup", Answer::hang_up());
    front.origin.on("/frag/ok", "ok");
    front
}

#[tokio::test]
async fn an_attempt_gives_way_to_its_except_when_a_fragment_fails() {
    let front = front().await;
    let attempt = |attempt: &str| {
        format!(
            "[<esi:try><esi:attempt>{attempt}</esi:attempt><esi:except>else <esi:include src='/frag/ok'/></esi:except></esi:try>]"
        )
    };
    for (index, (within, expected)) in [
        ("text <esi:include src='/frag/500'/>", "[else ok]"),
        ("text <esi:include src='/frag/404'/>", "[else ok]"),
        ("text <esi:include src='/frag/hangup'/>", "[else ok]"),
        ("<esi:include src='/frag/ok'/><esi:include src='http://elsewhere.example/'/>", "[else ok]"),
        ("text <esi:include src='/frag/ok'/>", "[text ok]"),
        ("text <esi:include src='/frag/500' alt='/frag/ok'/>", "[text ok]"),
        ("text <esi:include src='/frag/500' onerror='continue'/>", "[text ]"),
        ("<esi:try><esi:attempt><esi:include src='/frag/500'/></esi:attempt><esi:except>in</esi:except></esi:try>out", "[inout]"),
    ]
    .into_iter()
    .enumerate()
    {
        for under in ["page", "strict", "held"] {
            let path = format!("/{under}/{index}");
            front.origin.on(&path, page(&attempt(within)));
            for _ in 0..2 {
                let got = front.get(&path).await;
                assert_eq!((got.status, got.text()), (200, expected), "{path}: {within}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_an_attempt_goes_out_before_its_fragments_are_known() {
    let front = front().await;
    let template = "first<esi:try><esi:attempt>attempt<esi:include src='/frag/slow'/></esi:attempt>\
        <esi:except>except</esi:except></esi:try><esi:include src='/frag/after'/>";
    front.origin.on("/page", page(template));
    let (gate, slow) = Answer::gated(Answer::status(503));
    front.origin.on("/frag/slow", slow);
    front.origin.on("/frag/after", "after");
    let mut client = front.client().await;
    let mut reading = client.get("/page").stream().await;
    assert_eq!(reading.read_some().await.unwrap(), "first");
    // The one after it is under way while the attempt is not known.
    front.origin.wait_for(3).await;
    gate.open();
    assert_eq!(reading.rest().await.text(), "firstexceptafter");
}

#[tokio::test]
async fn a_failure_known_before_the_first_byte_is_an_error() {
    let front = front().await;
    front.origin.on("/strict/page", page("text <esi:include src='/frag/404'/> text"));
    // While the template comes in, its beginning is out already: the client can tell that the rest is missing.
    let mut client = front.client().await;
    assert!(client.get("/strict/page").try_send().await.is_err(), "a page that is cut is never whole");
    // Now both are stored, so the failure is known at once.
    let got = front.get("/strict/page").await;
    assert_eq!(got.status, 502);
    assert!(got.header("cache-status").unwrap().contains("detail=fragment-failed"), "{got:?}");
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert!(!got.text().contains("not found"));
    assert!(got.text().contains("A part of the page could not be had"), "{got:?}");
    let why = got.header("proxy-status").unwrap();
    assert!(why.contains("error=http_response_incomplete") && why.contains("fragment-failed"), "{why}");

    front.origin.on("/strict/tolerant", page("a<esi:include src='/frag/404' onerror='continue'/>b"));
    for _ in 0..2 {
        assert_eq!(front.get("/strict/tolerant").await.text(), "ab");
    }
}

#[tokio::test]
async fn a_failure_within_the_hold_is_an_error_whatever_is_at_hand_of_the_page() {
    let front = Front::with(&format!("esi: {{hold: 1h}}\n{YAML}")).await;
    front.origin.on("/frag/ok", "ok");
    front.origin.on("/frag/500", Answer::status(500));
    // More text than is held back, before the fragment and after it; and another fragment that is well.
    let much = "x".repeat(100 << 10);
    for (index, template) in [
        "[<esi:include src='/frag/500'/>]".to_owned(),
        format!("{much}<esi:include src='/frag/500'/>{much}"),
        format!("<esi:include src='/frag/ok'/>{much}<esi:include src='/frag/late'/><esi:include src='/frag/500'/>"),
    ]
    .into_iter()
    .enumerate()
    {
        let (gate, late) = Answer::gated("late");
        gate.open();
        front.origin.replace("/frag/late", late);
        let path = format!("/strict/{index}");
        front.origin.on(&path, page(&template));
        let mut client = front.client().await;
        assert!(client.get(&path).try_send().await.is_err(), "it goes out while it comes in");
        for _ in 0..2 {
            let got = front.get(&path).await;
            assert_eq!(got.status, 502, "{index}");
            assert!(got.header("cache-status").unwrap().contains("detail=fragment-failed"), "{got}");
        }
        // No failure, no error.
        front.origin.replace("/frag/500", "well");
        assert_eq!(front.get(&path).await.status, 200);
        assert_eq!(front.purge("/frag/500").await.status, 200);
        front.origin.replace("/frag/500", Answer::status(500));
    }
}

#[tokio::test]
async fn a_failure_after_the_first_byte_cuts_the_page() {
    let front = front().await;
    front.origin.on("/strict/page", page("text <esi:include src='/frag/late'/> text"));
    let (gate, late) = Answer::gated(Answer::status(500));
    front.origin.on("/frag/late", late);
    let mut client = front.client().await;
    let mut reading = client.get("/strict/page").stream().await;
    assert_eq!((reading.head().status, reading.read_some().await.unwrap()), (200, "text ".into()));
    gate.open();
    assert!(reading.try_rest().await.is_err());

    // A fragment that breaks off in its body too.
    front.origin.on("/strict/broken", page("text <esi:include src='/frag/broken'/> text"));
    front.origin.on("/frag/broken", Answer::ok("0123456789").cut_after(5));
    let mut client = front.client().await;
    assert!(client.get("/strict/broken").try_send().await.is_err());
    // Whatever the rule or the tag says: what came of it is out, and the page is not whole.
    for (path, include) in [
        ("/lenient", "<esi:include src='/frag/broken'/>"),
        ("/lenient/continue", "<esi:include src='/frag/broken' onerror='continue'/>"),
        ("/held/broken", "<esi:include src='/frag/broken'/>"),
        ("/nested", "<esi:include src='/lenient'/>"),
    ] {
        front.origin.on(path, page(&format!("[{include}]")));
        for round in 0..2 {
            let mut client = front.client().await;
            assert!(client.get(path).try_send().await.is_err(), "{path}, round {round}");
        }
    }
}

#[tokio::test]
async fn the_rules_placeholder_stands_for_what_failed() {
    let front = front().await;
    for (index, (include, expected)) in [
        ("<esi:include src='/frag/500'/>", "[<p>soon</p>]"),
        ("<esi:include src='/frag/404' alt='/frag/hangup'/>", "[<p>soon</p>]"),
        ("<esi:include src='/frag/404' alt='/frag/ok'/>", "[ok]"),
        ("<esi:include src='/frag/500' onerror='continue'/>", "[]"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/held/{index}");
        front.origin.on(&path, page(&format!("[{include}]")));
        for _ in 0..2 {
            let got = front.get(&path).await;
            assert_eq!((got.status, got.text()), (200, expected), "{include}");
        }
    }
}

#[tokio::test]
async fn twenty_slow_fragments_are_waited_for_together() {
    let front = front().await;
    let mut template = String::new();
    let gate = Gate::new();
    for number in 0..20 {
        template.push_str(&format!("<esi:include src='/frag/{number}'/>,"));
        front.origin.on(&format!("/frag/{number}"), Answer::ok(number.to_string()).held_by(&gate));
    }
    front.origin.on("/page", page(&template));
    let mut client = front.client().await;
    client.get("/page").write().await;
    // All are asked for before any is answered.
    front.origin.wait_for(21).await;
    gate.open();
    let expected: String = (0..20).map(|number| format!("{number},")).collect();
    assert_eq!(client.response().await.text(), expected);
}

#[tokio::test]
async fn maxwait_bounds_the_wait_for_one_fragment() {
    let front = front().await;
    front
        .origin
        .on("/akamai/page", page("[<esi:include src='/frag/never' maxwait='1'/>|<esi:include src='/frag/ok'/>]"));
    front.origin.on("/frag/never", Answer::silence());
    assert_eq!(front.get("/akamai/page").await.text(), "[|ok]");
}

#[tokio::test]
async fn ttl_and_no_store_of_an_include_only_shorten() {
    let front = front().await;
    front.origin.on("/akamai/ttl", page("<esi:include src='/frag/n' ttl='10s'/>"));
    front.origin.on("/akamai/long", page("<esi:include src='/frag/n' ttl='9d'/>"));
    front.origin.on("/plain", page("<esi:include src='/frag/n' ttl='10s'/>"));
    for answer in ["1", "2", "3"] {
        front.origin.on("/frag/n", answer);
    }
    assert_eq!(front.get("/akamai/ttl").await.text(), "1");
    front.clock.advance(std::time::Duration::from_secs(20));
    assert_eq!(front.get("/akamai/long").await.text(), "1");
    assert_eq!(front.get("/plain").await.text(), "1", "ESI 1.0 has no such attribute");
    assert_eq!(front.get("/akamai/ttl").await.text(), "2");
    assert_eq!(front.get("/akamai/ttl").await.text(), "2");
    front.clock.advance(std::time::Duration::from_secs(3590));
    assert_eq!(front.get("/plain").await.text(), "2", "what was fetched anew has its own life");

    front.origin.on("/akamai/no-store", page("<esi:include src='/frag/fresh' no-store='on'/>"));
    for answer in ["1", "2"] {
        front.origin.on("/frag/fresh", answer);
    }
    assert_eq!(front.get("/akamai/no-store").await.text(), "1");
    assert_eq!(front.get("/akamai/no-store").await.text(), "2");
}
