//! Trailer fields (RFC 9110 §6.5): passed on to those who take them, never stored, never merged.

use copal_testkit::{Answer, ClientResponse};

use crate::front::Front;

const PASS: &str = "rules: [{name: all, pass: true}]";
const CACHE: &str = "rules: [{name: all, cache: {ttl: 1h}}]";

fn summed() -> Answer {
    Answer::ok("page").header("trailer", "X-Sum").trailer("x-sum", "7")
}

fn trailers(response: &ClientResponse) -> String {
    let lines: Vec<_> = response.trailers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.join(" ")
}

#[tokio::test]
async fn they_are_passed_to_those_who_take_them_rfc9110_10_1_4() {
    let front = Front::with(PASS).await;
    front.origin.on("/page", summed());
    let mut client = front.client().await;
    for connection in [Some("te"), Some("keep-alive, TE"), None] {
        let mut request = client.get("/page").header("te", "trailers");
        if let Some(connection) = connection {
            request = request.header("connection", connection);
        }
        let page = request.send().await;
        assert_eq!((page.text(), &*trailers(&page), page.header("x-sum")), ("page", "x-sum=7", None));
        assert_eq!(page.header("trailer"), Some("x-sum"));
        let seen = front.origin.last();
        assert_eq!((seen.header("te"), seen.header("connection")), (Some("trailers"), Some("te")));
    }
    let page = client.get("/page").send().await;
    assert_eq!((page.text(), &*trailers(&page), page.header("trailer")), ("page", "", None));
    let seen = front.origin.last();
    assert_eq!((seen.header("te"), seen.header("connection")), (None, None));
    assert_eq!(front.origin.connections(), 1, "each response was read to its end");
}

#[tokio::test]
async fn only_what_is_announced_and_may_pass_is_passed() {
    let front = Front::with(PASS).await;
    let announced = "x-sum, surrogate-control, connection, set-cookie";
    let answer = Answer::ok("page").header("trailer", announced).trailer("x-sum", "7").trailer("x-other", "8");
    let answer =
        answer.trailer("surrogate-control", "max-age=1").trailer("connection", "close").trailer("set-cookie", "a=b");
    front.origin.on("/page", answer);
    let page = front.client().await.get("/page").header("te", "trailers").header("connection", "te").send().await;
    assert_eq!((&*trailers(&page), page.header("set-cookie")), ("x-sum=7", None));
}

#[tokio::test]
async fn they_are_not_stored() {
    let front = Front::with(CACHE).await;
    front.origin.on("/page", summed());
    let mut client = front.client().await;
    for _ in 0..2 {
        let page = client.get("/page").header("te", "trailers").header("connection", "te").send().await;
        assert_eq!((page.text(), &*trailers(&page), page.header("x-sum")), ("page", "", None));
        assert_eq!(page.header("trailer"), None);
        // What is not in the key does not reach the origin where the response may be stored.
        assert_eq!(front.origin.last().header("te"), None);
    }
    assert_eq!(front.origin.count("/page"), 1);
}

#[tokio::test]
async fn the_one_client_of_a_private_response_gets_them() {
    let front = Front::with(CACHE).await;
    front.origin.on("/page", summed().header("cache-control", "private"));
    let mut client = front.client().await;
    let page = client.get("/page").header("te", "trailers").header("connection", "te").send().await;
    assert_eq!((page.text(), &*trailers(&page)), ("page", "x-sum=7"));
    let page = client.get("/page").send().await;
    assert_eq!((page.text(), &*trailers(&page)), ("page", ""));
}

#[tokio::test]
async fn http_1_0_has_none() {
    let front = Front::with(PASS).await;
    front.origin.on("/page", summed());
    let mut client = front.client().await;
    client.send("GET /page HTTP/1.0\r\nHost: test.example\r\nTE: trailers\r\n\r\n").await;
    let page = client.response().await;
    assert_eq!((page.text(), &*trailers(&page)), ("page", ""));
}

#[tokio::test]
async fn an_assembled_page_has_none() {
    let front = Front::with("rules: [{name: all, pass: true, esi: true}]").await;
    front.origin.on("/page", summed().header("content-type", "text/html"));
    let page = front.client().await.get("/page").header("te", "trailers").header("connection", "te").send().await;
    assert_eq!((page.text(), &*trailers(&page), page.header("trailer")), ("page", "", None));
    assert_eq!(front.origin.last().header("te"), None);
}

#[tokio::test]
async fn those_of_a_request_are_passed_but_what_is_withheld_from_the_head() {
    let front = Front::with(PASS).await;
    front.origin.on("POST /up", "thanks");
    let mut client = front.client().await;
    client
        .send(
            "POST /up HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum, X-Forwarded-Host, Cookie\r\n\r\n4\r\nbody\r\n0\r\n\
             X-Sum: 7\r\nX-Forwarded-Host: evil.example\r\nCookie: a=b\r\nX-Other: 8\r\n\r\n",
        )
        .await;
    assert_eq!(client.response().await.text(), "thanks");
    let seen = front.origin.last();
    assert_eq!((&*seen.body, seen.header("trailer")), (&b"body"[..], Some("x-sum")));
    assert_eq!(seen.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!((seen.header("x-sum"), seen.header("x-forwarded-host")), (None, None));
}
