//! Content negotiation with several stored variants, and the entity tags that clients name (RFC 9111 §4.1, §4.3.2).

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

fn fresh(body: &'static str) -> Answer {
    Answer::ok(body).header("cache-control", "max-age=60")
}

#[tokio::test]
async fn rfc9111_4_1_the_language_that_is_wanted_most_is_given_from_what_is_stored() {
    let front = Front::with("").await;
    let hallo = fresh("Hallo").header("vary", "accept-language").header("content-language", "de");
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "the origin sees the list in the form that picks the variant",
            Sends::get("/p").header("accept-language", "EN; q=0.50 , de-AT;q=0.9,De"),
            Sees::get("/p").header("accept-language", "de,de-at;q=0.9,en;q=0.5").answers(hallo),
            Gets::status(200).body("Hallo"),
        )
        .await;
    for (said, languages) in [
        ("the same list written differently", "de, de-at;q=0.9, en;q=0.5"),
        ("German before all others", "fr;q=0.5, de;q=1.0"),
        ("German only", "de"),
    ] {
        let sends = Sends::get("/p").header("accept-language", languages);
        scenario.exchange(said, sends, Sees::nothing(), Gets::status(200).body("Hallo")).await;
    }
    for (said, languages) in [("French would be better", "de;q=0.5, fr"), ("either would do", "de, en")] {
        let other = fresh(said).header("vary", "accept-language");
        let sends = Sends::get("/p").header("accept-language", languages);
        scenario.exchange(said, sends, Sees::get("/p").answers(other), Gets::status(200).body(said)).await;
    }
}

#[tokio::test]
async fn rfc9111_4_1_a_coding_that_is_stored_answers_those_who_take_it() {
    let front = Front::with("").await;
    let coded =
        |coding: &'static str| fresh(coding).header("vary", "accept-encoding").header("content-encoding", coding);
    let mut scenario = front.scenario();
    for (accepted, coding) in [("gzip", "gzip"), ("br", "br")] {
        let sends = Sends::get("/p").header("accept-encoding", accepted);
        scenario.exchange("miss", sends, Sees::get("/p").answers(coded(coding)), Gets::status(200).body(coding)).await;
    }
    for (accepted, coding) in
        [("gzip, br;q=0.5, zstd", "gzip"), ("gzip;q=0.5, br, zstd", "br"), ("gzip;q=0, *", "br"), ("br, deflate", "br")]
    {
        let sends = Sends::get("/p").header("accept-encoding", accepted);
        let gets = Gets::status(200).header("content-encoding", coding).body(coding);
        scenario.exchange(accepted, sends, Sees::nothing(), gets).await;
    }
    scenario
        .exchange(
            "who takes none of them gets none",
            Sends::get("/p"),
            Sees::get("/p")
                .header("accept-encoding", "identity")
                .answers(fresh("plain").header("vary", "accept-encoding")),
            Gets::status(200).without("content-encoding").body("plain"),
        )
        .await;
}

#[tokio::test]
async fn rfc9111_4_1_a_coding_that_nobody_negotiates_is_reused_and_one_that_was_not_asked_for_is_not() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let own = || fresh("own").header("content-encoding", "of-this-site");
    scenario.exchange("miss", Sends::get("/own"), Sees::get("/own").answers(own()), Gets::status(200)).await;
    let gets = Gets::status(200).header("content-encoding", "of-this-site").body("own");
    scenario.exchange("the site gives it to everybody", Sends::get("/own"), Sees::nothing(), gets).await;
    for why in ["an origin that compresses unasked", "is asked each time"] {
        let gzip = fresh("gzip").header("content-encoding", "gzip");
        let gets = Gets::status(200).header("content-encoding", "gzip");
        let sends = Sends::get("/gzip").header("accept-encoding", "br");
        scenario.exchange(why, sends, Sees::get("/gzip").answers(gzip), gets).await;
    }
}

#[tokio::test]
async fn a_fragment_is_never_made_of_what_was_coded_for_browsers() {
    let front = Front::with("rules: [{name: pages, match: {path: /page}, cache: {ttl: 1h}, esi: true}]").await;
    front.origin.on("/page", Answer::ok("<esi:include src='/p'/>").header("content-type", "text/html"));
    front.origin.on(
        "/p",
        Answer::from_fn(|request| {
            let page = fresh("").header("vary", "accept-encoding");
            match request.header("accept-encoding") {
                Some("gzip") => page.header("content-encoding", "gzip").body("GZIP"),
                _ => page.body("plain"),
            }
        }),
    );
    let mut client = front.client().await;
    assert_eq!(client.get("/p").header("accept-encoding", "gzip").send().await.text(), "GZIP");
    assert_eq!(client.get("/page").header("accept-encoding", "gzip").send().await.text(), "plain");
    assert_eq!(client.get("/p").header("accept-encoding", "gzip").send().await.text(), "GZIP");
}

#[tokio::test]
async fn rfc9110_13_1_2_tags_that_lost_their_quotes_and_lists_of_them() {
    let front = Front::with("").await;
    front.origin.on("/quoted", fresh("body").header("etag", "\"abc\""));
    front.origin.on("/bare", fresh("body").header("etag", "abc"));
    front.get("/quoted").await;
    front.get("/bare").await;
    let mut client = front.client().await;
    for (target, field, status) in [
        ("/quoted", "abc", 304),
        ("/bare", "abc", 304),
        ("/bare", "\"abc\"", 304),
        ("/quoted", "x, abc", 304),
        ("/quoted", "\"x, y\", W/\"abc\"", 304),
        ("/quoted", "w/\"abc\"", 200),
        ("/quoted", "\"x\", *", 200),
        ("/quoted", "\"abc", 200),
    ] {
        let got = client.get(target).header("if-none-match", field).send().await;
        assert_eq!(got.status, status, "{target} {field}");
    }
}

#[tokio::test]
async fn rfc9111_4_3_2_preconditions_of_the_origin_are_not_evaluated_here() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let page = || fresh("body").header("etag", "\"a\"").header("last-modified", "Tue, 14 Nov 2023 00:00:00 GMT");
    scenario.exchange("stored and fresh", Sends::get("/p"), Sees::get("/p").answers(page()), Gets::status(200)).await;
    for (field, value) in
        [("if-match", "\"b\""), ("if-match", "\"a\""), ("if-unmodified-since", "Mon, 13 Nov 2023 00:00:00 GMT")]
    {
        let sends = Sends::get("/p").header(field, value);
        let sees = Sees::get("/p").header(field, value).answers(Answer::status(412));
        scenario.exchange(value, sends, sees, Gets::status(412)).await;
    }
    scenario.exchange("as before", Sends::get("/p"), Sees::nothing(), Gets::status(200).body("body")).await;
}
