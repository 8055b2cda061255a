//! A single byte range, from a stored body and from one that is being filled (RFC 9110 §14).

use copal_testkit::Answer;

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

#[tokio::test]
async fn a_range_on_a_miss_fills_the_whole_and_gives_the_part() {
    let front = Front::with("").await;
    front.origin.on("/f", Answer::ok("0123456789").header("cache-control", "max-age=60"));
    let mut client = front.client().await;
    let got = client.get("/f").header("range", "bytes=2-4").send().await;
    assert_eq!((got.status, got.text(), got.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    assert!(front.origin.last().header("range").is_none());
    assert_eq!(client.get("/f").send().await.text(), "0123456789");
    assert_eq!(front.origin.count("/f"), 1);
}
