//! ESI: what a page costs in time, that its first bytes wait for nothing, and that a client can tell when it is cut.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use copal_testkit::{Answer, Client, ClientError, Gate};

use crate::front::Front;

const YAML: &str = "rules:
  - {name: passed, match: {path: '/passed/**'}, pass: true, esi: {on_error: fail}}
  - {name: pass, match: {path: '/frag/pass/**'}, pass: true}
  - {name: fragments, match: {path: '/frag/**'}, cache: {ttl: 1h}}
  - {name: strict, match: {path: '/strict/**'}, cache: {ttl: 1h}, esi: {on_error: fail}}
  - {name: pages, cache: {ttl: 1h}, esi: true}";

const COUNT: usize = 20;

fn html(body: impl Into<String>) -> Answer {
    Answer::ok(body.into()).header("content-type", "text/html")
}

fn template(below: &str) -> String {
    (0..COUNT).map(|number| format!("{number}<esi:include src='{below}{number}'/>")).collect()
}

fn assembled() -> String {
    (0..COUNT).map(|number| format!("{number}[{number}]")).collect()
}

/// The origin answers no fragment before it has been asked for all of them, and the last one first.
#[tokio::test]
async fn twenty_fragments_are_under_way_at_once_and_go_out_in_document_order() {
    for (below, page) in [("/frag/", "/page"), ("/frag/pass/", "/page"), ("/frag/", "/passed/page")] {
        let front = Front::with(YAML).await;
        let gates: Vec<Gate> = (0..COUNT).map(|_| Gate::new()).collect();
        let (held, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for (number, gate) in gates.iter().enumerate() {
            let (held, most, gate) = (Arc::clone(&held), Arc::clone(&most), gate.clone());
            front.origin.on(
                &format!("{below}{number}"),
                Answer::from_fn(move |_| {
                    most.fetch_max(held.fetch_add(1, SeqCst) + 1, SeqCst);
                    Answer::ok(format!("[{number}]")).held_by(&gate)
                }),
            );
        }
        front.origin.on(page, html(template(below)));
        let mut client = front.client().await;
        let mut reading = client.get(page).stream().await;
        assert_eq!(reading.read_some().await.unwrap(), "0", "{page}: the first bytes wait for no fragment");
        front.origin.wait_for(1 + COUNT).await;
        assert_eq!(most.load(SeqCst), COUNT, "{page}");
        gates.iter().rev().for_each(Gate::open);
        assert_eq!(reading.rest().await.text(), assembled(), "{page}");
    }
}

/// No sleep is shorter than it was told, so one after the other they take a second. A machine that is busy may need more than one try for what
/// takes 50 ms when it is not.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "fragments that take 50 ms, and how long a page takes that is made of them"
)]
async fn twenty_fragments_of_50_ms_make_a_page_in_less_than_150_ms() {
    let front = Front::with(YAML).await;
    front.origin.on("/page", html(template("/frag/pass/")));
    for number in 0..COUNT {
        let answer = move |_: &copal_testkit::Request| {
            let gate = Gate::new();
            let opens = gate.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                opens.open();
            });
            Answer::ok(format!("[{number}]")).held_by(&gate)
        };
        front.origin.on(&format!("/frag/pass/{number}"), Answer::from_fn(answer));
    }
    assert_eq!(front.get("/page").await.text(), assembled());
    let mut least = Duration::MAX;
    for _ in 0..50 {
        let begun = Instant::now();
        assert_eq!(front.get("/page").await.text(), assembled());
        least = least.min(begun.elapsed());
        if least < Duration::from_millis(150) {
            break;
        }
    }
    assert!(least >= Duration::from_millis(50), "{least:?}: a fragment was not waited for");
    assert!(least < Duration::from_millis(150), "{least:?}");
}

/// What ended a response, and what came of it.
fn cut(error: ClientError) -> (io::ErrorKind, String) {
    let kind = error.kind();
    (kind, error.partial.map(|partial| partial.text().to_owned()).unwrap_or_default())
}

async fn failing() -> (Front, Gate) {
    let front = Front::with(YAML).await;
    let (gate, late) = Answer::gated(Answer::status(500));
    front.origin.on("/frag/late", late);
    front.origin.on("/frag/short", Answer::ok("0123456789").cut_after(5));
    for below in ["/strict", "/passed"] {
        front.origin.on(&format!("{below}/late"), html("text <esi:include src='/frag/late'/> text"));
        front.origin.on(&format!("{below}/short"), html("text <esi:include src='/frag/short'/> text"));
    }
    (front, gate)
}

/// HTTP/1.1 (RFC 9112 §8): the chunk that ends the body is missing.
#[tokio::test]
async fn a_page_that_is_cut_has_no_last_chunk() {
    for below in ["/strict", "/passed"] {
        let (front, gate) = failing().await;
        let mut client = front.client().await;
        let mut reading = client.get(&format!("{below}/late")).stream().await;
        assert_eq!(reading.head().header("transfer-encoding"), Some("chunked"), "{below}");
        assert_eq!(reading.head().header("content-length"), None);
        assert_eq!(reading.read_some().await.unwrap(), "text ");
        gate.open();
        let (kind, came) = cut(reading.try_rest().await.unwrap_err());
        assert!(matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{below}: {kind}");
        assert_eq!(came, "text ");

        let mut client = front.client().await;
        let (_, came) = cut(client.get(&format!("{below}/short")).try_send().await.unwrap_err());
        assert!(came.starts_with("text ") && !came.contains(" text"), "{below}: {came}");
    }
}

/// HTTP/1.0 knows no chunks: the end of the connection is the end of the page. Only a reset says that it is not whole (RFC 9112 §8).
#[tokio::test]
async fn a_page_that_is_cut_for_an_http_1_0_client() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for below in ["/strict", "/passed"] {
        let (front, gate) = failing().await;
        gate.open();
        let mut socket = tokio::net::TcpStream::connect(front.address).await.unwrap();
        let request = format!("GET {below}/late HTTP/1.0\r\nhost: test.example\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut came = Vec::new();
        let ended = copal_testkit::patiently(|| "the end".to_owned(), socket.read_to_end(&mut came)).await;
        let came = String::from_utf8_lossy(&came).into_owned();
        assert!(!came.to_ascii_lowercase().contains("transfer-encoding"), "{came}");
        assert!(came.ends_with("\r\n\r\ntext "), "{came}");
        assert_eq!(ended.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset), "{below}: {came}");
    }
}

/// A page that is whole, by contrast, ends as it should for both.
#[tokio::test]
async fn a_whole_page_ends_whole() {
    let front = Front::with(YAML).await;
    front.origin.on("/page", html("[<esi:include src='/frag/pass/a'/>]"));
    front.origin.on("/frag/pass/a", "a");
    for _ in 0..2 {
        let got = front.get("/page").await;
        assert_eq!((got.text(), got.header("transfer-encoding")), ("[a]", Some("chunked")));
        let mut client = Client::connect(front.address).await;
        client.send("GET /page HTTP/1.0\r\nhost: test.example\r\n\r\n").await;
        let got = client.response().await;
        // Read to the connection's orderly end.
        assert_eq!((got.text(), got.header("transfer-encoding"), got.header("content-length")), ("[a]", None, None));
    }
}
