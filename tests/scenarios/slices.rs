//! Large files in slices (`cache: {slice: …}`): each fetched, stored and collapsed by itself.

use copal_testkit::{Answer, Gets, Request, Sees, Sends};

use crate::front::Front;

const SLICE: usize = 64 << 10;

const FILES: &str = "
rules: [{name: files, match: {path: '/f**'}, cache: {ttl: 1h, slice: 64KiB}}]
";

/// A file whose bytes tell where they stand.
fn file(length: usize) -> Vec<u8> {
    (0..length).map(|at| b"0123456789abcdefghijklmnopqrstuvwxyz"[(at + at / 36) % 36]).collect()
}

/// What an origin that knows ranges answers, with this tag.
fn ranged(body: Vec<u8>, etag: &'static str) -> Answer {
    Answer::from_fn(move |request| part(request, &body).header("etag", etag))
}

fn part(request: &Request, body: &[u8]) -> Answer {
    let Some(range) = request.header("range").and_then(|range| range.strip_prefix("bytes=")) else {
        return Answer::ok(body.to_vec());
    };
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    if first >= body.len() {
        return Answer::status(416).header("content-range", format!("bytes */{}", body.len()));
    }
    let last = last.min(body.len() - 1);
    Answer::status(206)
        .body(body[first..=last].to_vec())
        .header("content-range", format!("bytes {first}-{last}/{}", body.len()))
}

/// The ranges that the origin was asked for, in order.
fn asked(front: &Front) -> Vec<String> {
    let of = |request: &Request| request.header("range").unwrap_or("all").to_owned();
    front.origin.requests().iter().map(of).collect()
}

fn slice(number: usize) -> String {
    format!("bytes={}-{}", number * SLICE, (number + 1) * SLICE - 1)
}

#[tokio::test]
async fn a_file_is_fetched_in_slices_and_given_as_a_whole() {
    let front = Front::with(FILES).await;
    let body = file(3 * SLICE + 100);
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let got = front.get("/f").await;
    assert_eq!((got.status, got.body.len(), &got.body[..]), (200, body.len(), &body[..]));
    assert_eq!(got.header("content-length"), Some(&*body.len().to_string()));
    assert_eq!((got.header("content-range"), got.header("etag")), (None, Some("\"1\"")));
    assert_eq!(got.header("cache-status"), Some("copal; fwd=uri-miss; fwd-status=206; stored; detail=miss"));
    let all: Vec<String> = (0..4).map(slice).collect();
    assert_eq!(asked(&front), all);
    let again = front.get("/f").await;
    assert_eq!((again.status, &again.body[..], again.header("age")), (200, &body[..], Some("0")));
    assert!(again.header("cache-status").unwrap().contains("; hit;"));
    assert_eq!(front.origin.count("/f"), 4, "every slice was stored");
}

#[tokio::test]
async fn a_small_file_is_one_slice() {
    let front = Front::with(FILES).await;
    for (path, length) in [("/f1", 1), ("/f2", SLICE - 1), ("/f3", SLICE)] {
        // Without a validator: there is nothing that could be mixed up.
        let body = file(length);
        let answer = body.clone();
        front.origin.on(path, Answer::from_fn(move |request| part(request, &answer)));
        for _ in 0..2 {
            assert_eq!(front.get(path).await.body, body, "{length}");
        }
        assert_eq!(front.origin.count(path), 1, "{length}");
    }
}

#[tokio::test]
async fn ranges_take_the_slices_that_they_need_and_no_more() {
    let front = Front::with(FILES).await;
    let body = file(4 * SLICE);
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let mut client = front.client().await;
    let end = body.len();
    let mut seen = 0;
    for (range, first, last, new) in [
        ("bytes=200000-200001", 200_000, 200_001, vec![3]),
        ("bytes=10-19", 10, 19, vec![0]),
        ("bytes=65530-65540", 65530, 65540, vec![1]),
        ("bytes=-10", end - 10, end - 1, vec![]),
        ("bytes=65536-", 65536, end - 1, vec![2]),
        ("bytes=0-999999999", 0, end - 1, vec![]),
    ] {
        let got = client.get("/f").header("range", range).send().await;
        assert_eq!((got.status, &got.body[..]), (206, &body[first..=last]), "{range}");
        assert_eq!(got.header("content-range"), Some(&*format!("bytes {first}-{last}/{end}")), "{range}");
        let new: Vec<String> = new.into_iter().map(slice).collect();
        assert_eq!(asked(&front)[seen..], new, "{range}");
        seen = asked(&front).len();
    }
    for (range, status) in [("bytes=262144-", 416), ("bytes=5-3", 200), ("lines=1-2", 200)] {
        let got = client.get("/f").header("range", range).send().await;
        assert_eq!(got.status, status, "{range}");
        assert_eq!(got.header("content-range"), (status == 416).then_some("bytes */262144"), "{range}");
    }
    assert_eq!(asked(&front).len(), seen, "where the end is, is known");
}

#[tokio::test]
async fn a_range_beyond_the_end_of_what_is_not_known_yet_is_the_origins_416() {
    let front = Front::with(FILES).await;
    let mut scenario = front.scenario();
    let beyond = Answer::status(416).header("content-range", "bytes */100").header("cache-control", "max-age=60");
    for name in ["passed", "and not kept, as it says nothing of the whole"] {
        scenario
            .exchange(
                name,
                Sends::get("/f").header("range", "bytes=70000-"),
                Sees::get("/f").header("range", "bytes=65536-131071").answers(beyond.clone()),
                Gets::status(416).header("content-range", "bytes */100"),
            )
            .await;
    }
}

#[tokio::test]
async fn conditions_are_judged_before_the_body_by_the_first_slice() {
    let front = Front::with(FILES).await;
    let body = file(2 * SLICE);
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let mut client = front.client().await;
    let got = client.get("/f").header("if-none-match", "\"1\"").send().await;
    assert_eq!((got.status, got.body.len()), (304, 0));
    assert_eq!(asked(&front), [slice(0)], "nothing more was needed");
    let got = client.get("/f").header("if-none-match", "\"2\"").header("range", "bytes=0-1").send().await;
    assert_eq!((got.status, &got.body[..]), (206, &body[..2]));
    let got = client.get("/f").header("if-range", "\"1\"").header("range", "bytes=65536-65537").send().await;
    assert_eq!((got.status, &got.body[..]), (206, &body[SLICE..SLICE + 2]));
    let got = client.get("/f").header("if-range", "\"2\"").header("range", "bytes=65536-65537").send().await;
    assert_eq!((got.status, &got.body[..]), (200, &body[..]));
    assert_eq!(asked(&front), [slice(0), slice(1)]);
}

#[tokio::test]
async fn head_is_answered_from_the_first_slice() {
    let front = Front::with(FILES).await;
    front.origin.on("/f", ranged(file(10 * SLICE), "\"1\""));
    let mut client = front.client().await;
    for _ in 0..2 {
        let got = client.head("/f").send().await;
        assert_eq!((got.status, got.header("content-length")), (200, Some("655360")));
        assert_eq!((got.header("accept-ranges"), got.header("content-range")), (Some("bytes"), None));
    }
    assert_eq!(asked(&front), [slice(0)]);
}

#[tokio::test]
async fn a_hundred_clients_cost_one_request_a_slice() {
    let front = Front::with(FILES).await;
    let body = file(3 * SLICE);
    let (gate, answer) = Answer::gated(ranged(body.clone(), "\"1\""));
    front.origin.on("/f", answer);
    let asking: Vec<_> = (0..100).map(|_| front.spawn_get("/f")).collect();
    front.origin.wait_for(1).await;
    gate.open();
    for client in asking {
        let got = client.await.unwrap();
        assert_eq!((got.status, got.body == body), (200, true));
    }
    let mut ranges = asked(&front);
    ranges.sort_unstable();
    let mut once: Vec<String> = (0..3).map(slice).collect();
    once.sort_unstable();
    assert_eq!(ranges, once);
}

#[tokio::test]
async fn one_slice_ahead_is_fetched_while_one_is_sent_and_no_more() {
    let front = Front::with(FILES).await;
    let body = file(4 * SLICE);
    let (first, answer) = Answer::stream();
    let answer = answer.with_status(206).header("content-range", format!("bytes 0-65535/{}", body.len()));
    front.origin.on("/f", answer.header("etag", "\"1\""));
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let mut client = front.client().await;
    let mut got = client.get("/f").stream().await;
    first.send(body[..100].to_vec());
    got.read_until(100).await;
    front.origin.wait_for(2).await;
    assert_eq!(asked(&front), [slice(0), slice(1)], "the second comes while the first is sent");
    first.send(body[100..SLICE].to_vec());
    first.end();
    assert_eq!(got.rest().await.body, body);
    assert_eq!(front.origin.count("/f"), 4);
}

#[tokio::test]
async fn a_client_that_leaves_leaves_the_rest_unfetched() {
    let front = Front::with(FILES).await;
    let body = file(20 * SLICE);
    let (first, answer) = Answer::stream();
    let answer = answer.with_status(206).header("content-range", format!("bytes 0-65535/{}", body.len()));
    front.origin.on("/f", answer.header("etag", "\"1\""));
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let mut client = front.client().await;
    let mut got = client.get("/f").stream().await;
    first.send(body[..1].to_vec());
    got.read_until(1).await;
    front.origin.wait_for(2).await;
    drop(client);
    first.send(body[1..SLICE].to_vec());
    first.end();
    // The slices that were under way are whole, and no other was asked for.
    let mut next = front.client().await;
    let range = format!("bytes=0-{}", 2 * SLICE - 1);
    assert_eq!(next.get("/f").header("range", range).send().await.body, body[..2 * SLICE]);
    assert_eq!(asked(&front), [slice(0), slice(1)]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_cut_off_and_the_next_request_gets_the_new_one() {
    let front = Front::with(FILES).await;
    let (old, new) = (file(3 * SLICE), vec![b'n'; 3 * SLICE]);
    front.origin.on("/f", ranged(old.clone(), "\"1\"").once());
    front.origin.on("/f", ranged(new.clone(), "\"2\""));
    let error = front.client().await.get("/f").try_send().await.unwrap_err();
    let got = error.partial.unwrap();
    assert_eq!((got.status, &got.body[..]), (200, &old[..SLICE]), "nothing of the new one behind the old");
    assert_eq!(front.get("/f").await.body, new);
    assert_eq!(asked(&front), [slice(0), slice(1), slice(0), slice(2)], "what is known of the new one is kept");
}

#[tokio::test]
async fn slices_left_of_an_older_file_are_fetched_anew() {
    let front = Front::with("rules: [{name: f, match: {path: '/f'}, cache: {slice: 64KiB}}]").await;
    let (old, new) = (file(2 * SLICE), vec![b'n'; 2 * SLICE]);
    let lasting = |body: &Vec<u8>, etag: &'static str, seconds: [u32; 2]| {
        let body = body.clone();
        Answer::from_fn(move |request| {
            let first = request.header("range") == Some(&slice(0));
            part(request, &body)
                .header("etag", etag)
                .header("cache-control", format!("max-age={}", seconds[usize::from(!first)]))
        })
    };
    front.origin.on("/f", lasting(&old, "\"1\"", [60, 3600]));
    assert_eq!(front.get("/f").await.body, old);
    front.clock.advance(std::time::Duration::from_secs(61));
    front.origin.replace("/f", lasting(&new, "\"2\"", [60, 3600]));
    assert_eq!(front.get("/f").await.body, new, "the second slice was fresh, and of another file");
    assert_eq!(asked(&front), [slice(0), slice(1), slice(0), slice(1)]);
}

#[tokio::test]
async fn each_slice_is_validated_by_itself() {
    let front = Front::with("rules: [{name: f, match: {path: '/f'}, cache: {slice: 64KiB}}]").await;
    let body = file(2 * SLICE);
    let lasting = body.clone();
    front.origin.on(
        "/f",
        Answer::from_fn(move |request| {
            let answer = match request.header("if-none-match") {
                Some("\"1\"") => Answer::status(304),
                _ => part(request, &lasting),
            };
            answer.header("etag", "\"1\"").header("cache-control", "max-age=60")
        }),
    );
    assert_eq!(front.get("/f").await.body, body);
    front.clock.advance(std::time::Duration::from_secs(61));
    let got = front.get("/f").await;
    assert_eq!(got.body, body);
    assert!(got.header("cache-status").unwrap().contains("detail=validated"));
    let conditions: Vec<_> = front.origin.requests().iter().map(|it| it.header("if-none-match").is_some()).collect();
    assert_eq!(conditions, [false, false, true, true]);
    assert_eq!(front.get("/f").await.body, body);
    assert_eq!(front.origin.count("/f"), 4);
}

#[tokio::test]
async fn an_origin_without_ranges_is_stored_whole() {
    let front = Front::with(FILES).await;
    let body = file(3 * SLICE);
    let (gate, answer) = Answer::gated(Answer::ok(body.clone()));
    front.origin.on("/f", answer);
    let asking: Vec<_> = (0..20).map(|_| front.spawn_get("/f")).collect();
    front.origin.wait_for(1).await;
    gate.open();
    for client in asking {
        assert_eq!(client.await.unwrap().body, body);
    }
    let got = front.client().await.get("/f").header("range", "bytes=70000-70001").send().await;
    assert_eq!((got.status, &got.body[..]), (206, &body[70_000..=70_001]));
    assert_eq!(asked(&front), [slice(0)], "the whole is stored, and answers for all its parts");
}

#[tokio::test]
async fn an_origin_without_ranges_whose_file_is_too_large_is_not_asked_for_slices_again_and_again() {
    let front = Front::with(&format!("cache: {{max_body: 64KiB}}\n{FILES}")).await;
    let body = file(2 * SLICE);
    front.origin.on("/f", Answer::ok(body.clone()));
    let got = front.get("/f").await;
    assert_eq!((got.status, &got.body[..]), (200, &body[..]));
    assert!(got.header("cache-status").unwrap().contains("detail=too-large"));
    for _ in 0..2 {
        assert_eq!(front.get("/f").await.body, body);
    }
    assert_eq!(asked(&front), [&*slice(0), "all", "all"]);
}

#[tokio::test]
async fn what_is_no_file_is_as_it_would_be_without_slices() {
    let front = Front::with(FILES).await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "a 404 is stored under the URL",
            Sends::get("/f404"),
            Sees::get("/f404").header("range", &slice(0)).answers(Answer::status(404).body("no")),
            Gets::status(404).body("no"),
        )
        .await;
    scenario.exchange("and found there", Sends::get("/f404"), Sees::nothing(), Gets::status(404).body("no")).await;
    scenario
        .exchange(
            "a redirect is passed",
            Sends::get("/f302"),
            Sees::get("/f302").answers(Answer::status(302).header("location", "/g")),
            Gets::status(302).header("location", "/g"),
        )
        .await;
    scenario
        .exchange(
            "an error is passed",
            Sends::get("/f500"),
            Sees::get("/f500").answers(Answer::status(500).body("oops")),
            Gets::status(500).body("oops"),
        )
        .await;
    front.origin.on(
        "/f0",
        Answer::from_fn(|request| match request.header("range") {
            Some(_) => Answer::status(416).header("content-range", "bytes */0"),
            None => Answer::ok(""),
        }),
    );
    for _ in 0..2 {
        let got = front.get("/f0").await;
        assert_eq!((got.status, got.text()), (200, ""));
    }
    assert_eq!(front.origin.count("/f0"), 2, "nothing has no slices, and is stored whole");
}

#[tokio::test]
async fn what_is_ones_own_or_says_not_of_what_it_is_goes_as_a_whole() {
    let front = Front::with(FILES).await;
    let body = file(2 * SLICE);
    for (path, name, value) in [("/f1", "cache-control", "private"), ("/f2", "x-no-validator", "1")] {
        let file = body.clone();
        front.origin.on(path, Answer::from_fn(move |request| part(request, &file).header(name, value)));
        let got = front.get(path).await;
        assert_eq!((got.status, &got.body[..]), (200, &body[..]), "{path}");
        let asked = |path: &str| {
            let of = front.origin.requests().into_iter().filter(|request| request.path() == path).collect::<Vec<_>>();
            of.iter().map(|request| request.header("range").unwrap_or("all").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(asked(path), [&*slice(0), "all"], "{path}");
    }
}

#[tokio::test]
async fn a_slice_that_breaks_off_is_asked_for_once_more() {
    let front = Front::with(FILES).await;
    let body = file(2 * SLICE);
    front.origin.on("/f", ranged(body.clone(), "\"1\"").once());
    let broken = Answer::status(206)
        .body(body[SLICE..].to_vec())
        .header("content-range", format!("bytes 65536-131071/{}", body.len()))
        .header("etag", "\"1\"");
    front.origin.on("/f", broken.clone().cut_after(1000).once());
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    assert_eq!(front.get("/f").await.body, body);
    assert_eq!(asked(&front), [slice(0), slice(1), slice(1)]);
}

#[tokio::test]
async fn a_slice_that_breaks_off_twice_ends_the_body() {
    let front = Front::with(FILES).await;
    let body = file(2 * SLICE);
    front.origin.on("/f", ranged(body.clone(), "\"1\"").once());
    let broken = Answer::status(206)
        .body(body[SLICE..].to_vec())
        .header("content-range", format!("bytes 65536-131071/{}", body.len()))
        .header("etag", "\"1\"")
        .cut_after(1000);
    front.origin.on("/f", broken.clone().once());
    front.origin.on("/f", broken.once());
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let error = front.client().await.get("/f").try_send().await.unwrap_err();
    assert_eq!(error.partial.unwrap().body, body[..SLICE + 1000]);
    assert_eq!(front.get("/f").await.body, body);
}

#[tokio::test]
async fn a_purge_takes_every_slice() {
    let front = Front::with(FILES).await;
    let body = file(2 * SLICE);
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    front.origin.on("DELETE /f", Answer::status(204));
    for (round, ends) in [(1, "PURGE"), (2, "DELETE")] {
        assert_eq!(front.get("/f").await.body, body);
        assert_eq!(front.origin.count("GET /f"), 2 * round, "{ends}");
        front.client().await.request(ends, "/f").send().await;
    }
    front.get("/f").await;
    assert_eq!(front.origin.count("GET /f"), 6);
}

#[tokio::test]
async fn several_ranges_are_put_together_from_their_slices() {
    let front = Front::with(FILES).await;
    let body = file(4 * SLICE);
    front.origin.on("/f", ranged(body.clone(), "\"1\""));
    let mut client = front.client().await;
    let far = 3 * SLICE;
    for range in [format!("bytes=0-4,{far}-{}", far + 4), format!("bytes={far}-{},0-4,10-14", far + 4)] {
        let got = client.get("/f").header("range", &*range).send().await;
        assert_eq!(got.status, 206, "{range}");
        let boundary = got.header("content-type").unwrap().split_once("boundary=").unwrap().1;
        let mut expected = String::new();
        for (at, span) in range["bytes=".len()..].split(',').enumerate() {
            let (first, last) = span.split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let (before, part) = (if at == 0 { "" } else { "\r\n" }, std::str::from_utf8(&body[first..=last]).unwrap());
            expected += &format!("{before}--{boundary}\r\nContent-Range: bytes {span}/{}\r\n\r\n{part}", body.len());
        }
        expected += &format!("\r\n--{boundary}--\r\n");
        assert_eq!(got.text(), expected, "{range}");
        assert_eq!(got.header("content-length"), Some(&*expected.len().to_string()));
    }
    assert_eq!(asked(&front), [slice(0), slice(3)]);
}
