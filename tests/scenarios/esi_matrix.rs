//! ESI: each state that a fragment can be in, included alone, with `alt` and with `onerror="continue"`; then the same under the rule's
//! placeholder, `on_error: fail` and `<esi:try>`. Each row says what the origin sees and what the client gets.

use std::time::Duration;

use copal_testkit::{Answer, refused_address};

use crate::front::Front;

const HUGE: usize = 4 << 20;

/// How an include is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Alone,
    Alt,
    Continue,
}

use Form::{Alone, Alt, Continue};

/// How the client's response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Whole, with its length and a validator of its own.
    Known,
    /// Whole, in chunks, without either.
    Streamed,
    /// It breaks off, and the client can tell.
    Cut,
    /// An error of Copal's own in the place of the page.
    Refused,
}

use End::{Cut, Known, Refused, Streamed};

/// What is shown of an exchange: the origin's side, and the client's.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    sees: Vec<String>,
    status: u16,
    body: String,
    end: End,
}

/// Where the fragment, what stands for it, and what it redirects to are.
fn src(state: &str, under: &str, form: Form) -> String {
    format!("/{state}/{under}/{form:?}")
}

fn alt(state: &str, under: &str) -> String {
    format!("/alt/{under}/{state}")
}

/// Before an origin, with one that refuses beside it. Only where an answer never comes the wait for it is short.
async fn front(state: &str) -> Front {
    front_that_holds(state, "5ms").await
}

/// As [`front`]; a stored page waits so long for what its fragments come to.
async fn front_that_holds(state: &str, hold: &str) -> Front {
    let wait = if state == "timeout" { "50ms" } else { "10s" };
    Front::with_other(
        &format!("http://{}", refused_address().await),
        &format!(
            "cache: {{max_body: 1MiB}}
esi: {{fragment_timeout: {wait}, hold: {hold}}}
rules:
  - {{name: passed, match: {{path: '/pass/**'}}, pass: true}}
  - {{name: refused, match: {{path: '/refused/**'}}, origin: other, cache: {{ttl: 60s}}}}
  - {{name: strict, match: {{path: '/page/strict/**'}}, cache: {{ttl: 1d}}, esi: {{on_error: fail}}}}
  - {{name: held, match: {{path: '/page/held/**'}}, cache: {{ttl: 1d}}, esi: {{on_error: fail, placeholder: 'soon'}}}}
  - {{name: pages, match: {{path: '/page/**'}}, cache: {{ttl: 1d}}, esi: true}}
  - {{name: fragments, cache: {{ttl: 60s, grace: 1h}}}}"
        ),
    )
    .await
}

/// What the origin answers for a fragment that is to be in this state.
fn answer(state: &str) -> Answer {
    match state {
        "404" => Answer::status(404).body("not found").header("cache-control", "no-store"),
        "500" => Answer::status(500).body("internal"),
        "timeout" => Answer::silence(),
        "huge" => Answer::ok("x".repeat(HUGE)).chunked(),
        "empty" => Answer::status(200),
        "redirect" => {
            Answer::status(302).header("location", "/elsewhere").body("moved").header("cache-control", "no-store")
        }
        state => Answer::ok(state.to_owned()),
    }
}

/// Brings the store to where the row begins.
async fn prime(front: &Front, state: &str, src: &str, alt: &str) {
    if state != "refused" {
        front.purge(src).await;
    }
    front.origin.replace(src, answer(state));
    front.origin.replace(alt, "alt");
    front.purge(alt).await;
    match state {
        "fresh" => assert_eq!(front.get(src).await.text(), "fresh"),
        "stale" => {
            assert_eq!(front.get(src).await.text(), "stale");
            front.clock.advance(Duration::from_secs(100));
            front.origin.replace(src, "refreshed");
        }
        // Where every answer has to come at once, what stands for the one that does not is stored.
        "timeout" => assert_eq!(front.get(alt).await.text(), "alt"),
        _ => {}
    }
}

/// One exchange for the page, of which the origin is to see `count` requests.
async fn exchange(front: &Front, page: &str, count: usize) -> Shown {
    let before = front.origin.requests().len();
    let mut client = front.client().await;
    let outcome = client.get(page).try_send().await;
    // A refresh in the background may come after the client has its answer.
    front.origin.wait_for_heads(before + count).await;
    let mut sees: Vec<String> = front.origin.requests().split_off(before).into_iter().map(|seen| seen.target).collect();
    sees.sort_unstable();
    let (response, whole) = match outcome {
        Ok(response) => (response, true),
        Err(error) => (*error.partial.unwrap(), false),
    };
    let tagged = response.header("etag").is_some();
    let refused = response.status == 502;
    assert_eq!(response.header("content-length").is_some(), tagged || refused, "{response}");
    let end = match (whole, tagged) {
        _ if refused => Refused,
        (true, true) => Known,
        (true, false) => Streamed,
        (false, _) => Cut,
    };
    if refused {
        assert!(response.header("cache-status").unwrap().contains("detail=fragment-failed"), "{response}");
        return Shown { sees, status: 502, body: String::new(), end };
    }
    let body = response.text().replace(&"x".repeat(HUGE), "huge");
    Shown { sees, status: response.status, body, end }
}

/// What the origin sees for an include of a fragment in this state, and what the client gets.
struct Row {
    state: &'static str,
    form: Form,
    /// `src`, `alt`.
    sees: &'static [&'static str],
    body: &'static str,
    end: End,
}

/// A row under a rule, with the template coming in and with the template stored.
async fn show(front: &Front, under: &str, template: &str, row: Row) {
    let Row { state, form, .. } = row;
    let (src, alt) = (src(state, under, form), alt(state, under));
    let include = match form {
        Alone => format!("<esi:include src='{src}'/>"),
        Alt => format!("<esi:include src='{src}' alt='{alt}'/>"),
        Continue => format!("<esi:include src='{src}' onerror='continue'/>"),
    };
    let page = format!("/page/{under}/{state}/{form:?}");
    let template = Answer::ok(template.replace("INCLUDE", &include));
    front.origin.on(&page, template.header("content-type", "text/html").header("cache-control", "max-age=90"));
    for stored in [false, true] {
        prime(front, state, &src, &alt).await;
        let of = |seen: &&str| if *seen == "alt" { alt.clone() } else { src.clone() };
        let mut sees: Vec<String> = row.sees.iter().map(of).collect();
        if !stored {
            sees.push(page.clone());
        }
        sees.sort_unstable();
        // What comes in is put out as it comes.
        let end = match row.end {
            end if stored => end,
            Cut | Refused => Cut,
            Known | Streamed => Streamed,
        };
        let (status, body) = if end == Refused { (502, "") } else { (200, row.body) };
        let shown = exchange(front, &page, sees.len()).await;
        let expected = Shown { sees, status, body: body.to_owned(), end };
        assert_eq!(shown, expected, "{state}, {form:?}, under {under}, template stored: {stored}");
    }
}

#[tokio::test]
async fn thirty_three_cases() {
    let (main, slow) = (front("").await, front("timeout").await);
    let rows: [(&'static str, Form, &'static [&'static str], &'static str, End); 33] = [
        ("fresh", Alone, &[], "[fresh]", Known),
        ("fresh", Alt, &[], "[fresh]", Known),
        ("fresh", Continue, &[], "[fresh]", Known),
        ("stale", Alone, &["src"], "[stale]", Known),
        ("stale", Alt, &["src"], "[stale]", Known),
        ("stale", Continue, &["src"], "[stale]", Known),
        ("miss", Alone, &["src"], "[miss]", Streamed),
        ("miss", Alt, &["src"], "[miss]", Streamed),
        ("miss", Continue, &["src"], "[miss]", Streamed),
        ("pass", Alone, &["src"], "[pass]", Streamed),
        ("pass", Alt, &["src"], "[pass]", Streamed),
        ("pass", Continue, &["src"], "[pass]", Streamed),
        ("404", Alone, &["src"], "[]", Streamed),
        ("404", Alt, &["src", "alt"], "[alt]", Streamed),
        ("404", Continue, &["src"], "[]", Streamed),
        ("500", Alone, &["src"], "[]", Streamed),
        ("500", Alt, &["src", "alt"], "[alt]", Streamed),
        ("500", Continue, &["src"], "[]", Streamed),
        ("timeout", Alone, &["src"], "[]", Streamed),
        ("timeout", Alt, &["src"], "[alt]", Streamed),
        ("timeout", Continue, &["src"], "[]", Streamed),
        ("refused", Alone, &[], "[]", Streamed),
        ("refused", Alt, &["alt"], "[alt]", Streamed),
        ("refused", Continue, &[], "[]", Streamed),
        ("huge", Alone, &["src"], "[huge]", Streamed),
        ("huge", Alt, &["src"], "[huge]", Streamed),
        ("huge", Continue, &["src"], "[huge]", Streamed),
        // There, and with nothing in it: nothing stands for it.
        ("empty", Alone, &["src"], "[]", Streamed),
        ("empty", Alt, &["src"], "[]", Streamed),
        ("empty", Continue, &["src"], "[]", Streamed),
        // Not followed: what a fragment says never decides what else is asked for.
        ("redirect", Alone, &["src"], "[]", Streamed),
        ("redirect", Alt, &["src", "alt"], "[alt]", Streamed),
        ("redirect", Continue, &["src"], "[]", Streamed),
    ];
    for (state, form, sees, body, end) in rows {
        let front = if state == "timeout" { &slow } else { &main };
        show(front, "plain", "[INCLUDE]", Row { state, form, sees, body, end }).await;
    }
}

const FAILING: [&str; 5] = ["404", "500", "timeout", "refused", "redirect"];

fn asked(state: &str, form: Form) -> &'static [&'static str] {
    match (state, form) {
        ("refused", Alt) => &["alt"],
        ("refused", _) => &[],
        ("timeout", _) | (_, Alone | Continue) => &["src"],
        (_, Alt) => &["src", "alt"],
    }
}

#[tokio::test]
async fn a_placeholder_stands_for_what_failed_alone() {
    let (main, slow) = (front("").await, front("timeout").await);
    for state in FAILING {
        let front = if state == "timeout" { &slow } else { &main };
        for (form, body) in [(Alone, "[soon]"), (Alt, "[alt]"), (Continue, "[]")] {
            show(front, "held", "[INCLUDE]", Row { state, form, sees: asked(state, form), body, end: Streamed }).await;
        }
    }
}

/// Each failing state under `on_error: fail`, where a failure ends a stored page so.
async fn strict(hold: &str, failed: End) {
    let (main, slow) = (front_that_holds("", hold).await, front_that_holds("timeout", hold).await);
    for state in FAILING {
        let front = if state == "timeout" { &slow } else { &main };
        for (form, body, end) in [(Alone, "[", failed), (Alt, "[alt]", Streamed), (Continue, "[]", Streamed)] {
            show(front, "strict", "[INCLUDE]", Row { state, form, sees: asked(state, form), body, end }).await;
        }
    }
    // An empty or huge fragment is no failure.
    for (state, body) in [("empty", "[]"), ("huge", "[huge]")] {
        show(&main, "strict", "[INCLUDE]", Row { state, form: Alone, sees: &["src"], body, end: Streamed }).await;
    }
}

#[tokio::test]
async fn on_error_fail_cuts_what_has_begun() {
    strict("0s", Cut).await;
}

#[tokio::test]
async fn on_error_fail_is_an_error_as_long_as_the_page_is_held() {
    strict("1h", Refused).await;
}

#[tokio::test]
async fn an_except_comes_in_the_place_of_what_failed() {
    let (main, slow) = (front("").await, front("timeout").await);
    let template = "[<esi:try><esi:attempt>(INCLUDE)</esi:attempt><esi:except>except</esi:except></esi:try>]";
    for under in ["tried", "strict/tried", "held/tried"] {
        for state in FAILING {
            let front = if state == "timeout" { &slow } else { &main };
            for (form, body) in [(Alone, "[except]"), (Alt, "[(alt)]"), (Continue, "[()]")] {
                show(front, under, template, Row { state, form, sees: asked(state, form), body, end: Streamed }).await;
            }
        }
    }
    for (state, body, end) in
        [("fresh", "[(fresh)]", Known), ("stale", "[(stale)]", Known), ("miss", "[(miss)]", Streamed)]
    {
        let sees: &[_] = if state == "fresh" { &[] } else { &["src"] };
        show(&main, "tried", template, Row { state, form: Alone, sees, body, end }).await;
    }
}
