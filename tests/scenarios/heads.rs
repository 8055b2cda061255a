//! Heads of stored responses: which fields are stored and given out, what a response says to other caches, and what becomes
//! of a stored response when the origin is asked (RFC 9111 §3.1, §4.3.3, §5.2).

use std::time::Duration;

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

const PAGES: &str = "rules: [{name: pages, cache: {stale_if_error: 1h}}]";

#[tokio::test]
async fn rfc9111_s3_1_every_field_is_stored_but_those_of_the_way() {
    let front = Front::with(PAGES).await;
    let answer = Answer::ok("x")
        .header("cache-control", "max-age=60")
        .header("x-nobody-knows", "1, \"a, b\"")
        .header("x-nobody-knows", "2")
        .header("x-empty", "")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("proxy-authenticate", "Basic")
        .header("proxy-authentication-info", "a=b")
        .header("proxy-connection", "keep-alive")
        .header("trailer", "x-sum");
    front.origin.on("/p", answer);
    for view in ["first", "hit"] {
        let got = front.get("/p").await;
        assert_eq!(got.all("x-nobody-knows").collect::<Vec<_>>(), ["1, \"a, b\"", "2"], "{view}");
        assert_eq!(got.header("x-empty"), Some(""), "{view}");
        assert_eq!(got.header("date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"), "{view}: the origin sent none");
        for gone in ["x-hop", "proxy-authenticate", "proxy-authentication-info", "proxy-connection", "trailer"] {
            assert_eq!(got.header(gone), None, "{view}: {gone}");
        }
    }
    assert_eq!(front.origin.count("/p"), 1);
}

/// Directives are for all caches on the way, the unknown ones too.
#[tokio::test]
async fn rfc9111_s5_2_directives_of_a_response_go_on_as_they_came() {
    let front = Front::with(PAGES).await;
    let control = "max-age=60, s-maxage=\"30\", Community=\"UCI, x\", no-transform, private=\"x-mine\"";
    front.origin.on("/p", Answer::ok("x").header("cache-control", control));
    for view in ["first", "hit"] {
        assert_eq!(front.get("/p").await.header("cache-control"), Some(control), "{view}");
    }
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn rfc9111_s5_2_2_6_content_is_given_byte_for_byte() {
    let front = Front::with(PAGES).await;
    let content = "<p>\r\n\t<esi:include src=\"/other\"/> <!--esi x --> \u{e9}\0";
    let page =
        Answer::ok(content).header("cache-control", "max-age=60, no-transform").header("content-type", "text/html");
    front.origin.on("/p", page);
    for view in ["first", "hit"] {
        assert_eq!(front.get("/p").await.body, content, "{view}");
    }
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn rfc9111_s4_3_3_a_whole_response_takes_the_place_of_what_was_to_be_confirmed() {
    let front = Front::with(PAGES).await;
    let mut scenario = front.scenario();
    let page = |body: &'static str, tag: &str| {
        Answer::ok(body).header("cache-control", "max-age=10").header("etag", tag.to_owned()).header("x-of", body)
    };
    let sees = Sees::get("/p").answers(page("old", "\"1\"").header("x-old", "1"));
    scenario.exchange("stored", Sends::get("/p"), sees, Gets::status(200).body("old")).await;
    front.clock.advance(Duration::from_secs(11));
    let new = || Gets::status(200).body("new").header("etag", "\"2\"").header("x-of", "new").without("x-old");
    let sees = Sees::get("/p").header("if-none-match", "\"1\"").answers(page("new", "\"2\""));
    scenario.exchange("another one came", Sends::get("/p"), sees, new()).await;
    scenario.exchange("and is stored", Sends::get("/p"), Sees::nothing(), new()).await;
}

/// Stale is never given where the origin forbids it, were it never so far away.
#[tokio::test]
async fn rfc9111_s5_2_2_2_a_cache_that_is_cut_off_answers_with_an_error() {
    let front = Front::with(PAGES).await;
    for (control, status) in [
        ("max-age=10", 200),
        ("max-age=10, must-revalidate", 502),
        ("max-age=10, proxy-revalidate", 502),
        ("s-maxage=10", 502),
        ("no-cache", 502),
    ] {
        let path = format!("/{}", control.replace([',', ' ', '='], "-"));
        front.origin.on(&path, Answer::ok("x").header("cache-control", control).header("etag", "\"1\"").once());
        front.origin.on(&path, Answer::hang_up());
        assert_eq!(front.get(&path).await.status, 200, "{control}");
        front.clock.advance(Duration::from_secs(11));
        let got = front.get(&path).await;
        assert_eq!(got.status, status, "{control}");
        assert_eq!(got.header("proxy-status").is_some(), status == 502, "{control}");
    }
}
