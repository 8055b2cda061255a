//! Byte ranges: of a stored body, of one that is being filled, and of one that is stored in part (RFC 9110 §14, RFC 9111 §3.3, §3.4).

use copal_testkit::{Answer, Client, ClientResponse, Request};

use crate::front::Front;

#[tokio::test]
async fn a_part_of_a_stored_body() {
    let front = Front::with("").await;
    front.origin.on("/f", Answer::ok("0123456789").header("cache-control", "max-age=60").header("etag", "\"e\""));
    front.get("/f").await;
    let mut client = front.client().await;
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-100", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=3-1", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let got = client.get("/f").header("range", range).send().await;
        assert_eq!((got.status, got.text(), got.header("content-range")), (status, body, content_range), "{range}");
    }
    let other = client.get("/f").header("range", "bytes=0-1").header("if-range", "\"other\"").send().await;
    assert_eq!((other.status, other.text()), (200, "0123456789"));
    let same = client.get("/f").header("range", "bytes=0-1").header("if-range", "\"e\"").send().await;
    assert_eq!((same.status, same.text()), (206, "01"));
    assert_eq!(front.origin.count("/f"), 1);
}

/// An origin's answer that knows ranges: `text` under `tag`, or the range asked for unless `If-Range` names another tag.
fn ranged(text: &'static str, tag: &'static str) -> Answer {
    Answer::from_fn(move |request| with_fields(part_or_whole(request, text, tag), tag))
}

fn with_fields(answer: Answer, tag: &str) -> Answer {
    let answer = answer.header("cache-control", "max-age=60").header("content-type", "text/plain");
    if tag.is_empty() { answer } else { answer.header("etag", tag) }
}

fn part_or_whole(request: &Request, text: &str, tag: &str) -> Answer {
    let changed = request.header("if-range").is_some_and(|condition| condition != tag);
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")).filter(|_| !changed);
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Answer::ok(text.to_owned());
    };
    let length = text.len();
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(length - 1)),
        (Ok(first), Err(_)) => (first, length - 1),
        (Err(_), Ok(suffix)) => (length - suffix, length - 1),
        _ => return Answer::ok(text.to_owned()),
    };
    if first >= length {
        return Answer::status(416).header("content-range", format!("bytes */{length}"));
    }
    let body = text[first..=last].to_owned();
    Answer::status(206).body(body).header("content-range", format!("bytes {first}-{last}/{length}"))
}

/// A part as it is written.
fn part(content_range: &str, body: &'static str, tag: &str) -> Answer {
    with_fields(Answer::status(206).body(body).header("content-range", content_range), tag)
}

const TEXT: &str = "0123456789";

async fn get(client: &mut Client, range: &str) -> ClientResponse {
    client.get("/f").header("range", range).send().await
}

/// Status, body and why.
fn told(got: &ClientResponse) -> (u16, &str, &str) {
    let status = got.header("cache-status").unwrap_or_default();
    (got.status, got.text(), status.rsplit("detail=").next().unwrap_or_default())
}

#[tokio::test]
async fn a_range_on_a_miss_reaches_the_origin_and_a_whole_answer_is_stored() {
    let front = Front::with("").await;
    front.origin.on("/f", Answer::ok(TEXT).header("cache-control", "max-age=60"));
    let mut client = front.client().await;
    let got = get(&mut client, "bytes=2-4").await;
    assert_eq!((got.status, got.text(), got.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    assert_eq!(front.origin.last().header("range"), Some("bytes=2-4"));
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "hit"));
    assert_eq!(front.origin.count("/f"), 1);
}

#[tokio::test]
async fn rfc9111_s3_3_a_part_is_stored_and_answers_for_what_it_has() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    let mut client = front.client().await;
    let first = get(&mut client, "BYTES = 4-8").await;
    assert_eq!(first.status, 200, "another unit, as far as anybody can tell");
    front.purge("/f").await;
    let first = get(&mut client, "Bytes=4-8,").await;
    assert_eq!(told(&first), (206, "45678", "miss"));
    assert_eq!((first.header("content-range"), first.header("content-length")), (Some("bytes 4-8/10"), Some("5")));
    assert_eq!(front.origin.last().header("range"), Some("bytes=4-8"), "in its normal form");
    for (range, status, body, content_range) in [
        ("bytes=4-8", 206, "45678", "bytes 4-8/10"),
        ("bytes=6-7", 206, "67", "bytes 6-7/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let got = get(&mut client, range).await;
        assert_eq!(told(&got), (status, body, "hit"), "{range}");
        assert_eq!(got.header("content-range"), Some(content_range), "{range}");
    }
    // The client has it already: the condition comes before the range.
    let same = client.get("/f").header("range", "bytes=6-7").header("if-none-match", "\"e\"").send().await;
    assert_eq!(told(&same), (304, "", "hit"));
    let other = client.get("/f").header("range", "bytes=6-7").header("if-range", "\"e\"").send().await;
    assert_eq!(told(&other), (206, "67", "hit"));
    assert_eq!(front.origin.count("/f"), 2);
}

#[tokio::test]
async fn rfc9111_s3_4_parts_are_put_together_until_they_are_the_whole() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    let mut client = front.client().await;
    assert_eq!(told(&get(&mut client, "bytes=0-2").await), (206, "012", "miss"));
    let got = get(&mut client, "bytes=-3").await;
    assert_eq!(told(&got), (206, "789", "partial"));
    assert_eq!(got.header("cache-status"), Some("copal; fwd=partial; fwd-status=206; stored; detail=partial"));
    assert_eq!(told(&get(&mut client, "bytes=8-8").await), (206, "8", "hit"));
    assert_eq!(told(&get(&mut client, "bytes=1-7").await), (206, "1234567", "partial"));
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "hit"));
    assert_eq!(told(&get(&mut client, "bytes=0-0,9-").await).0, 206);
    assert_eq!(front.origin.count("/f"), 3);
    assert!(front.origin.requests().iter().all(|request| request.header("if-range").is_none()));
}

#[tokio::test]
async fn rfc9111_s3_4_what_is_missing_is_fetched_and_the_whole_given_in_order() {
    for (range, held, gap) in [("bytes=0-4", "01234", "bytes=5-"), ("bytes=6-", "6789", "bytes=0-5")] {
        let front = Front::with("").await;
        front.origin.on("/f", ranged(TEXT, "\"e\""));
        let mut client = front.client().await;
        assert_eq!(told(&get(&mut client, range).await), (206, held, "miss"));
        let got = client.get("/f").send().await;
        assert_eq!(told(&got), (200, TEXT, "partial"));
        assert_eq!((got.header("content-length"), got.header("content-range")), (Some("10"), None));
        assert_eq!(got.header("cache-status"), Some("copal; fwd=partial; fwd-status=206; stored; detail=partial"));
        assert_eq!(got.all("via").collect::<Vec<_>>(), ["1.1 copal"]);
        let asked = front.origin.last();
        assert_eq!((asked.header("range"), asked.header("if-range")), (Some(gap), Some("\"e\"")));
        assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "hit"));
        assert_eq!(front.origin.count("/f"), 2);
    }
}

#[tokio::test]
async fn a_gap_in_the_middle_is_filled_and_several_gaps_are_not() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    let mut client = front.client().await;
    get(&mut client, "bytes=0-1").await;
    get(&mut client, "bytes=7-9").await;
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "partial"));
    assert_eq!(front.origin.last().header("range"), Some("bytes=2-6"));
    front.purge("/f").await;
    get(&mut client, "bytes=2-3").await;
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "partial"));
    let asked = front.origin.last();
    assert_eq!((asked.header("range"), asked.header("if-range")), (None, None));
}

#[tokio::test]
async fn what_is_stored_is_sent_while_the_rest_is_awaited_and_all_share_it() {
    let front = Front::with("").await;
    front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
    get(&mut front.client().await, "bytes=0-4").await;
    let (body, rest) = Answer::stream();
    let rest = with_fields(rest, "\"e\"").header("content-range", "bytes 5-9/10").header("content-length", "5");
    front.origin.replace("/f", rest.with_status(206));
    let mut client = front.client().await;
    let mut whole = client.get("/f").stream().await;
    assert_eq!((whole.head().status, whole.head().header("content-length")), (200, Some("10")));
    assert_eq!(whole.read_some().await.unwrap(), "01234");
    // Others read along, also those who want a part only.
    let mut other = front.client().await;
    let end = other.get("/f").header("range", "bytes=8-").stream().await;
    assert_eq!((end.head().status, end.head().header("content-range")), (206, Some("bytes 8-9/10")));
    body.send("567");
    body.send("89");
    body.end();
    assert_eq!(end.rest().await.text(), "89");
    assert_eq!(whole.rest().await.text(), TEXT);
    assert_eq!(front.origin.count("/f"), 2);
}

#[tokio::test]
async fn what_has_changed_is_fetched_anew_and_nothing_is_mixed() {
    // The origin says so by 200, as If-Range asks.
    let front = Front::with("").await;
    front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
    let mut client = front.client().await;
    get(&mut client, "bytes=0-4").await;
    front.origin.replace("/f", ranged("abcdefghij", "\"f\""));
    assert_eq!(told(&client.get("/f").send().await), (200, "abcdefghij", "partial"));
    assert_eq!(front.origin.count("/f"), 2);

    // Or by a part of something else, which is dropped: another tag, other bytes, another length.
    for wrong in [
        part("bytes 5-9/10", "fghij", "\"f\""),
        part("bytes 5-9/10", "fghij", "W/\"e\""),
        part("bytes 5-9/10", "fghij", ""),
        part("bytes 4-9/10", "efghij", "\"e\""),
        part("bytes 5-8/10", "fghi", "\"e\""),
        part("bytes 5-9/11", "fghij", "\"e\""),
        part("bytes 5-9/10", "fghi", "\"e\""),
        part("bytes 5-9/*", "fghij", "\"e\"").header("cache-control", "private"),
        Answer::status(206).body("fghij"),
        Answer::status(416),
        Answer::status(304),
        with_fields(Answer::status(400), ""),
    ] {
        let front = Front::with("").await;
        front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
        front.origin.on("/f", wrong.clone());
        front.origin.on("/f", with_fields(Answer::ok("abcdefghij"), "\"g\""));
        let mut client = front.client().await;
        get(&mut client, "bytes=0-4").await;
        assert_eq!(told(&client.get("/f").send().await), (200, "abcdefghij", "partial"), "{wrong:?}");
        let asked = front.origin.last();
        assert_eq!((asked.header("range"), asked.header("if-range"), front.origin.count("/f")), (None, None, 3));
        assert_eq!(told(&get(&mut client, "bytes=0-1").await), (206, "ab", "hit"));
    }
}

#[tokio::test]
async fn without_a_strong_tag_a_part_is_completed_only_by_the_whole() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, ""));
    let mut client = front.client().await;
    assert_eq!(told(&get(&mut client, "bytes=0-4").await), (206, "01234", "miss"));
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "partial"));
    let ranges: Vec<_> = front.origin.requests().iter().map(|it| it.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [Some("bytes=0-4".to_owned()), Some("bytes=5-".to_owned()), None]);
    // Of a stale one nothing is asked for.
    front.purge("/f").await;
    get(&mut client, "bytes=0-4").await;
    front.clock.advance(std::time::Duration::from_secs(1000));
    client.get("/f").send().await;
    assert_eq!(front.origin.last().header("range"), None);
}

#[tokio::test]
async fn a_part_that_breaks_off_is_not_stored_and_the_client_can_tell() {
    let front = Front::with("").await;
    front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
    front.origin.on("/f", part("bytes 5-9/10", "56789", "\"e\"").cut_after(3));
    front.origin.on("/f", part("bytes 5-9/10", "567", "\"e\"").chunked());
    front.origin.on("/f", part("bytes 5-9/10", "5678901", "\"e\"").chunked());
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    get(&mut front.client().await, "bytes=0-4").await;
    for _ in 0..3 {
        front.client().await.get("/f").try_send().await.unwrap_err();
    }
    assert_eq!(told(&front.get("/f").await), (200, TEXT, "partial"));
    assert_eq!(front.origin.last().header("range"), Some("bytes=5-"));
}

#[tokio::test]
async fn a_purge_while_the_rest_is_fetched_wins() {
    let front = Front::with("").await;
    front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
    get(&mut front.client().await, "bytes=0-4").await;
    let (gate, rest) = Answer::gated(part("bytes 5-9/10", "56789", "\"e\""));
    front.origin.replace("/f", rest);
    let waiting = front.spawn_get("/f");
    front.origin.wait_for(2).await;
    front.purge("/f").await;
    gate.open();
    assert_eq!(told(&waiting.await.unwrap()), (200, TEXT, "partial"), "this one asked before");
    front.origin.replace("/f", ranged("abcdefghij", "\"f\""));
    let mut client = front.client().await;
    assert_eq!(told(&get(&mut client, "bytes=0-4").await), (206, "abcde", "miss"));

    // A part that comes after a purge is not put together with what was there before.
    front.purge("/f").await;
    get(&mut client, "bytes=0-1").await;
    let (gate, late) = Answer::gated(part("bytes 2-3/10", "cd", "\"f\""));
    front.origin.replace("/f", late);
    let other = tokio::spawn({
        let mut client = front.client().await;
        async move { get(&mut client, "bytes=2-3").await }
    });
    front
        .origin
        .wait_until("the late part", |seen| seen.last().is_some_and(|it| it.header("range") == Some("bytes=2-3")))
        .await;
    front.purge("/f").await;
    gate.open();
    assert_eq!(told(&other.await.unwrap()), (206, "cd", "partial"));
    front.origin.replace("/f", ranged(TEXT, "\"e\""));
    assert_eq!(told(&get(&mut client, "bytes=2-3").await), (206, "23", "miss"));
}

#[tokio::test]
async fn a_stale_part_is_validated() {
    let front = Front::with("").await;
    front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
    let mut client = front.client().await;
    get(&mut client, "bytes=0-4").await;
    front.clock.advance(std::time::Duration::from_secs(100_000));
    front.origin.replace("/f", with_fields(Answer::status(304), "\"e\""));
    assert_eq!(told(&get(&mut client, "bytes=1-2").await), (206, "12", "validated"));
    let asked = front.origin.last();
    assert_eq!((asked.header("if-none-match"), asked.header("range")), (Some("\"e\""), Some("bytes=1-2")));
    assert_eq!(told(&get(&mut client, "bytes=1-2").await), (206, "12", "hit"));
    // What has changed comes as the part that was asked for.
    front.clock.advance(std::time::Duration::from_secs(100_000));
    front.origin.replace("/f", ranged("abcdefghij", "\"f\""));
    assert_eq!(told(&get(&mut client, "bytes=1-2").await), (206, "bc", "expired"));
    assert_eq!(told(&get(&mut client, "bytes=0-4").await), (206, "abcde", "partial"));
    // Stale, and with more missing: what comes says whether what is stored holds.
    front.clock.advance(std::time::Duration::from_secs(100_000));
    assert_eq!(told(&client.get("/f").send().await), (200, "abcdefghij", "partial"));
    assert_eq!(front.origin.last().header("range"), Some("bytes=5-"));
}

#[tokio::test]
async fn content_shorter_than_its_content_range_is_believed_and_completed_with_nothing() {
    let front = Front::with("").await;
    front.origin.on("/f", part("bytes 4-9/10", "01234", "\"e\"").chunked());
    let mut client = front.client().await;
    assert_eq!(told(&get(&mut client, "bytes=-5").await), (206, "01234", "miss"));
    for (range, body) in [("bytes=-5", "01234"), ("bytes=6-8", "234"), ("bytes=6-", "234"), ("bytes=-1", "4")] {
        assert_eq!(told(&get(&mut client, range).await), (206, body, "hit"), "{range}");
    }
    front.origin.replace("/f", ranged(TEXT, "\"e\""));
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "partial"));
    assert_eq!(front.origin.last().header("range"), None);
}

#[tokio::test]
async fn a_416_is_the_clients_and_nobody_elses() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    let mut client = front.client().await;
    let got = get(&mut client, "bytes=10-").await;
    assert_eq!((got.status, got.header("content-range")), (416, Some("bytes */10")));
    assert_eq!(told(&got).2, "not-stored-partial", "although it states a lifetime");
    // And keeps nobody from collapsing.
    assert_eq!(told(&client.get("/f").send().await), (200, TEXT, "miss"));
}

#[tokio::test]
async fn no_range_decides_what_others_get() {
    let front = Front::with("").await;
    for (target, status) in [("/gone", 404), ("/moved", 301), ("/odd", 400), ("/failed", 500)] {
        let of_the_range = move |request: &Request| {
            let status = if request.header("range").is_some() { status } else { 200 };
            with_fields(Answer::ok(TEXT).with_status(status), "\"e\"")
        };
        front.origin.on(target, Answer::from_fn(of_the_range));
        let mut client = front.client().await;
        let got = client.get(target).header("range", "bytes=0-4").send().await;
        assert_eq!((got.status, told(&got).2), (status, "not-stored-partial"), "{target}");
        assert_eq!(told(&client.get(target).send().await), (200, TEXT, "miss"), "{target}");
    }
}

#[tokio::test]
async fn a_part_that_may_not_be_stored_is_passed_on() {
    let front = Front::with("").await;
    front.origin.on("/private", part("bytes 0-4/10", "01234", "\"e\"").header("cache-control", "private"));
    front.origin.on("/odd", with_fields(Answer::status(206).body("01234"), "\"e\""));
    let several = part("bytes 0-4/10", "…", "\"e\"").header("content-type", "multipart/byteranges; boundary=x");
    front.origin.on("/several", several);
    let mut client = front.client().await;
    for (target, reason) in
        [("/private", "private"), ("/odd", "not-stored-partial"), ("/several", "not-stored-partial")]
    {
        let got = client.get(target).header("range", "bytes=0-4").send().await;
        assert_eq!((got.status, told(&got).2), (206, reason), "{target}");
        let again = client.get(target).header("range", "bytes=0-4").send().await;
        assert_eq!(again.status, 206);
        assert_eq!(front.origin.count(target), 2);
    }
}

#[tokio::test]
async fn fills_of_one_part_are_collapsed_and_of_different_parts_are_not() {
    let front = Front::with("").await;
    let (gate, answer) = Answer::gated(ranged(TEXT, "\"e\""));
    front.origin.on("/f", answer);
    let ask = |range: &'static str| {
        let connecting = front.client();
        async move { get(&mut connecting.await, range).await }
    };
    let open = async {
        front.origin.wait_for(2).await;
        gate.open();
    };
    let (one, other, same, ()) = tokio::join!(ask("bytes=0-1"), ask("bytes=4-5"), ask("bytes=0-1"), open);
    assert_eq!((one.text(), other.text(), same.text()), ("01", "45", "01"));
    assert_eq!(front.origin.count("/f"), 2);
}

#[tokio::test]
async fn rfc9110_s15_3_7_2_several_ranges_of_a_stored_body() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    let mut client = front.client().await;
    client.get("/f").send().await;
    let got = get(&mut client, "bytes=7-8, 0-1,1-2").await;
    assert_eq!((got.status, got.header("content-range"), got.header("etag")), (206, None, Some("\"e\"")));
    assert_eq!(
        multipart(&got),
        [("bytes 7-8/10".to_owned(), "78".to_owned()), ("bytes 0-2/10".to_owned(), "012".to_owned())]
    );
    let touching = get(&mut client, "bytes=2-3,0-1").await;
    assert_eq!((touching.text(), touching.header("content-range")), ("0123", Some("bytes 0-3/10")));
    let many: Vec<_> = (0..1000).map(|_| "0-0").collect();
    assert_eq!(told(&get(&mut client, &format!("bytes={}", many.join(","))).await), (200, TEXT, "hit"));
    let unmet = client.get("/f").header("range", "bytes=0-0,2-2").header("if-range", "\"x\"").send().await;
    assert_eq!(told(&unmet), (200, TEXT, "hit"));
    let head = client.head("/f").header("range", "bytes=0-0,2-2").send().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    assert_eq!(front.origin.count("/f"), 1);
}

#[tokio::test]
async fn several_ranges_on_a_miss_fetch_the_whole() {
    let front = Front::with("").await;
    for path in ["/f", "/g"] {
        front.origin.on(path, ranged(TEXT, "\"e\""));
    }
    let mut client = front.client().await;
    let got = get(&mut client, "bytes=0-1,8-9,4-4").await;
    assert_eq!(told(&got), (200, TEXT, "miss"), "in this order they cannot be given while they come");
    assert!(front.origin.last().header("range").is_none());
    let got = client.get("/g").header("range", "bytes=0-1,4-4,8-9").send().await;
    let expected = [("bytes 0-1/10", "01"), ("bytes 4-4/10", "4"), ("bytes 8-9/10", "89")];
    assert_eq!(multipart(&got), expected.map(|(range, body)| (range.to_owned(), body.to_owned())));
    // A part does not answer for several.
    front.purge("/f").await;
    get(&mut client, "bytes=0-4").await;
    assert_eq!(multipart(&get(&mut client, "bytes=0-1,3-3").await).len(), 2);
    assert_eq!(front.origin.last().header("range"), Some("bytes=5-"));
}

/// The parts of a `multipart/byteranges` response: `Content-Range` and bytes. Each has the type of the representation.
fn multipart(got: &ClientResponse) -> Vec<(String, String)> {
    assert_eq!(got.status, 206);
    let boundary = got.header("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let body = got.text();
    assert_eq!(got.header("content-length"), Some(&*body.len().to_string()));
    let body = format!("\r\n{body}");
    let body = body.strip_suffix(&format!("\r\n--{boundary}--\r\n")).unwrap();
    let read = |part: &str| {
        let (head, bytes) = part.split_once("\r\n\r\n").unwrap();
        let range = head.strip_prefix("\r\nContent-Type: text/plain\r\nContent-Range: ").unwrap();
        (range.to_owned(), bytes.to_owned())
    };
    body.split(&format!("\r\n--{boundary}")).skip(1).map(read).collect()
}

/// A representation of 40 bytes in each of its versions.
const VERSIONS: [(&str, &str); 3] = [
    ("0123456789abcdefghijklmnopqrstuvwxyzABCD", "\"zero\""),
    ("................!!!!!!!!????????;;;;;;;;", "\"one\""),
    ("zyxwvutsrqponmlkjihgfedcba9876543210----", ""),
];

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn range(&mut self) -> String {
        let (first, more) = (self.below(44), self.below(12));
        match self.below(4) {
            0 => format!("{first}-"),
            1 => format!("-{}", more + 1),
            _ => format!("{first}-{}", first + more),
        }
    }

    fn request(&mut self) -> Option<String> {
        match self.below(6) {
            0 => None,
            1 => Some(format!("bytes={},{}", self.range(), self.range())),
            _ => Some(format!("bytes={}", self.range())),
        }
    }
}

/// Whatever is asked while versions come and go, grow stale and are purged: each answer is of one version, and has its bytes
/// in their places.
#[tokio::test]
async fn every_answer_has_the_bytes_of_one_version() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..12 {
        let front = Front::with("").await;
        let mut numbers = Numbers(seed);
        front.origin.on("/f", ranged(VERSIONS[0].0, VERSIONS[0].1));
        let mut client = front.client().await;
        for step in 0..60 {
            match numbers.below(12) {
                0 => {
                    let (text, tag) = VERSIONS[numbers.below(3) as usize];
                    front.origin.replace("/f", ranged(text, tag));
                }
                1 => front.clock.advance(std::time::Duration::from_secs(numbers.below(90))),
                2 if numbers.below(3) == 0 => drop(front.purge("/f").await),
                _ => {}
            }
            let asked = numbers.request();
            let request = client.get("/f");
            let got = match &asked {
                Some(range) => request.header("range", range.as_str()).send().await,
                None => request.send().await,
            };
            *seen.entry((got.status, told(&got).2.to_owned())).or_insert(0) += 1;
            let tag = got.header("etag").unwrap_or_default();
            let place = format!("seed {seed} step {step}: {asked:?} {} {:?}", got.status, got.header("content-range"));
            for (range, body) in enclosed(&got) {
                let (first, last) = range;
                let right = VERSIONS.iter().any(|(text, of)| *of == tag && text[first..=last] == body);
                assert!(right || got.status == 416, "{place}: {body:?} is not of {tag}");
            }
            assert!(got.status != 206 || asked.is_some(), "{place}");
        }
    }
    // All of it has happened.
    for what in [(200, "hit"), (206, "hit"), (206, "miss"), (200, "partial"), (206, "partial"), (416, "hit")] {
        assert!(seen.contains_key(&(what.0, what.1.to_owned())), "{what:?} is not among {seen:?}");
    }
}

/// The bytes that a response encloses, and where they belong.
fn enclosed(got: &ClientResponse) -> Vec<((usize, usize), String)> {
    let place = |range: &str| {
        let (first, rest) = range.strip_prefix("bytes ").unwrap().split_once('-').unwrap();
        assert_eq!(rest.split_once('/').unwrap().1, "40");
        (first.parse().unwrap(), rest.split_once('/').unwrap().0.parse().unwrap())
    };
    match (got.status, got.header("content-range")) {
        (416, Some("bytes */40")) => Vec::new(),
        (200, None) => vec![((0, 39), got.text().to_owned())],
        (206, Some(range)) => vec![(place(range), got.text().to_owned())],
        (206, None) => multipart(got).into_iter().map(|(range, bytes)| (place(&range), bytes)).collect(),
        odd => panic!("{odd:?}"),
    }
}

#[tokio::test]
async fn a_part_of_what_is_too_large_is_asked_for_as_such() {
    let front = Front::with("cache: {max_body: 4KiB}").await;
    let text: &'static str = Box::leak("x".repeat(5000).into_boxed_str());
    front.origin.on("/f", ranged(text, "\"e\""));
    let mut client = front.client().await;
    let got = client.get("/f").header("range", "bytes=0-9").header("if-range", "\"e\"").send().await;
    assert_eq!((got.status, got.text().len(), told(&got).2), (206, 10, "too-large"));
    let ranges: Vec<_> = front.origin.requests().iter().map(|it| it.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=0-9".to_owned())]);
    // A part that fits is stored although the whole does not, and the whole is not pieced together.
    front.purge("/f").await;
    assert_eq!(told(&get(&mut client, "bytes=0-99").await).2, "miss");
    assert_eq!(told(&get(&mut client, "bytes=5-9").await), (206, "xxxxx", "hit"));
    let whole = client.get("/f").send().await;
    assert_eq!((whole.status, whole.text().len(), told(&whole).2), (200, 5000, "too-large"));
    assert_eq!(front.origin.last().header("range"), None);
}

#[tokio::test]
async fn a_part_of_a_template_is_not_asked_for_nor_given() {
    let esi = "rules: [{name: on, match: {path: '/on'}, cache: {}, esi: true}, {name: auto, cache: {}, esi: auto}]";
    let front = Front::with(esi).await;
    let page = "<p><esi:include src=\"/part\"/></p>";
    let html = |answer: Answer| {
        let answer = answer.header("surrogate-control", "content=\"ESI/1.0\"").header("content-type", "text/html");
        answer.header("cache-control", "max-age=60").header("etag", "\"e\"")
    };
    front.origin.on("/on", html(Answer::ok(page)));
    front.origin.on("/auto", html(Answer::status(206).body("<p><esi:").header("content-range", "bytes 0-7/33")));
    front.origin.on("/auto", html(Answer::ok(page)));
    front.origin.on("/part", Answer::ok("hello").header("cache-control", "max-age=60"));
    let mut client = front.client().await;
    for (target, asked) in [("/on", vec![None]), ("/auto", vec![Some("bytes=0-7".to_owned()), None])] {
        let got = client.get(target).header("range", "bytes=0-7").send().await;
        assert_eq!((got.status, got.text()), (200, "<p>hello</p>"), "{target}");
        let seen = front.origin.requests();
        let seen = seen.iter().filter(|request| request.path() == target);
        assert_eq!(seen.map(|it| it.header("range").map(str::to_owned)).collect::<Vec<_>>(), asked);
    }
}

/// RFC 9111 §3.5: what was not given leave to be shared answers no request with Authorization, not in part either, and is not mixed
/// into what such a request brings.
#[tokio::test]
async fn a_part_answers_authorization_only_with_leave() {
    for (target, leave) in [("/own", "max-age=60"), ("/shared", "public, max-age=60")] {
        let front = Front::with("").await;
        front.origin.on(target, part("bytes 0-4/10", "01234", "\"e\"").header("cache-control", leave));
        let mut client = front.client().await;
        client.get(target).header("range", "bytes=0-4").send().await;
        let told = move |request: &Request| {
            part_or_whole(request, "abcdefghij", "\"e\"").header("cache-control", leave).header("etag", "\"e\"")
        };
        front.origin.replace(target, Answer::from_fn(told));
        let got = client.get(target).header("range", "bytes=1-2").header("authorization", "Basic x").send().await;
        assert_eq!(got.text(), if target == "/own" { "bc" } else { "12" });
        let whole = client.get(target).header("authorization", "Basic x").send().await;
        assert_eq!(whole.text(), if target == "/own" { "abcdefghij" } else { "01234fghij" });
        assert_eq!(front.origin.last().header("authorization"), Some("Basic x"));
    }
}

#[tokio::test]
async fn head_knows_no_ranges() {
    let front = Front::with("").await;
    front.origin.on("/f", ranged(TEXT, "\"e\""));
    let mut client = front.client().await;
    get(&mut client, "bytes=0-4").await;
    let head = client.head("/f").header("range", "bytes=0-1").send().await;
    assert_eq!((head.status, head.header("content-range"), head.text()), (200, None, ""));
    assert!(front.origin.last().header("range").is_none());
}

#[tokio::test]
async fn a_part_is_not_served_when_the_origin_fails_to_complete_it() {
    let mut front = Front::with("").await;
    front.origin.on("/f", part("bytes 0-4/10", "01234", "\"e\""));
    get(&mut front.client().await, "bytes=0-4").await;
    front.origin.replace("/f", Answer::status(503));
    assert_eq!(front.get("/f").await.status, 503);
    front.stop_origin().await;
    assert_eq!(told(&front.get("/f").await).2, "origin-refused");
    assert_eq!(told(&get(&mut front.client().await, "bytes=1-2").await), (206, "12", "hit"));
}
