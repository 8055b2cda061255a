//! What responses say of how they came about: `Cache-Status` (RFC 9211) on every one, `Proxy-Status` (RFC 9209) on errors of
//! our own; and requests that go round in circles (RFC 8586).

use std::time::Duration;

use copal_testkit::{Answer, Client, ClientResponse, Gets, Sees, Sends, refused_address};

use crate::front::Front;

/// A bare item of a structured field (RFC 9651 §3.3), as far as the two fields have any.
#[derive(Clone, Debug, PartialEq)]
enum Bare {
    True,
    Integer(i64),
    Token(String),
    Text(String),
}

/// A member of a list, with its parameters.
type Member = (Bare, Vec<(String, Bare)>);

/// Reads the members of a list of structured fields by the letter of RFC 9651 §4.2; what is not right fails the test.
struct Strict<'a> {
    text: &'a str,
    rest: &'a [u8],
}

impl<'a> Strict<'a> {
    fn list(text: &'a str) -> Vec<Member> {
        let mut this = Self { text, rest: text.as_bytes() };
        let mut members = vec![this.member()];
        while !this.rest.is_empty() {
            this.skip(b" \t");
            this.take(b',');
            this.skip(b" \t");
            members.push(this.member());
        }
        members
    }

    fn wrong(&self, what: &str) -> ! {
        panic!("{what} in {:?} at {:?}", self.text, String::from_utf8_lossy(self.rest));
    }

    fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    fn skip(&mut self, bytes: &[u8]) {
        while bytes.contains(&self.peek()) && !self.rest.is_empty() {
            self.rest = &self.rest[1..];
        }
    }

    fn take(&mut self, byte: u8) {
        if self.peek() != byte {
            self.wrong(&format!("no {:?}", char::from(byte)));
        }
        self.rest = &self.rest[1..];
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let end = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        String::from_utf8(taken.to_vec()).unwrap()
    }

    fn member(&mut self) -> Member {
        let item = self.bare();
        let mut parameters: Vec<(String, Bare)> = Vec::new();
        while self.peek() == b';' {
            self.take(b';');
            self.skip(b" ");
            if !matches!(self.peek(), b'a'..=b'z' | b'*') {
                self.wrong("no key");
            }
            let key =
                self.take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte));
            let value = if self.peek() == b'=' {
                self.take(b'=');
                self.bare()
            } else {
                Bare::True
            };
            if parameters.iter().any(|(known, _)| *known == key) {
                self.wrong("a key twice");
            }
            parameters.push((key, value));
        }
        (item, parameters)
    }

    fn bare(&mut self) -> Bare {
        match self.peek() {
            b'"' => {
                self.take(b'"');
                let mut text = String::new();
                loop {
                    match self.peek() {
                        b'"' => break,
                        b'\\' => {
                            self.take(b'\\');
                            if !matches!(self.peek(), b'"' | b'\\') {
                                self.wrong("a wrong escape");
                            }
                        }
                        b' '..=b'~' => {}
                        _ => self.wrong("a wrong character"),
                    }
                    text.push(char::from(self.peek()));
                    self.rest = &self.rest[1..];
                }
                self.take(b'"');
                Bare::Text(text)
            }
            b'-' | b'0'..=b'9' => {
                let negative = self.peek() == b'-';
                if negative {
                    self.take(b'-');
                }
                let digits = self.take_while(|byte| byte.is_ascii_digit());
                if digits.is_empty() || digits.len() > 15 {
                    self.wrong("no integer");
                }
                let number: i64 = digits.parse().unwrap();
                Bare::Integer(if negative { -number } else { number })
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => Bare::Token(
                self.take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)),
            ),
            _ => self.wrong("no item"),
        }
    }
}

fn is_name(item: &Bare) -> bool {
    matches!(item, Bare::Token(_) | Bare::Text(_))
}

/// Holds every `Cache-Status` of a response against RFC 9211 §2; gives the parameters of ours, which is the last member.
fn cache_status(response: &ClientResponse) -> Vec<(String, Bare)> {
    const WHY: [&str; 8] = ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"];
    let lines: Vec<&str> = response.all("cache-status").collect();
    let members = Strict::list(&lines.join(", "));
    for (name, parameters) in &members {
        assert!(is_name(name), "{lines:?}");
        let has = |wanted: &str| parameters.iter().any(|(key, _)| key == wanted);
        for (key, value) in parameters {
            let right = match (key.as_str(), value) {
                ("hit" | "stored" | "collapsed", Bare::True) => true,
                ("fwd", Bare::Token(why)) => WHY.contains(&why.as_str()),
                ("fwd-status", Bare::Integer(status)) => (100..600).contains(status),
                ("ttl", Bare::Integer(_)) => true,
                ("key", Bare::Text(_)) => true,
                ("detail", Bare::Token(_) | Bare::Text(_)) => true,
                _ => false,
            };
            assert!(right, "{key} {value:?} in {lines:?}");
        }
        // §2.1, §2.3, §2.5, §2.6: what belongs to a request that went forward.
        assert!(!(has("hit") && has("fwd")), "{lines:?}");
        for only_forwarded in ["fwd-status", "stored", "collapsed"] {
            assert!(!has(only_forwarded) || has("fwd"), "{lines:?}");
        }
    }
    let Some((Bare::Token(name), own)) = members.last().cloned() else { panic!("{lines:?}") };
    assert_eq!(name, "copal");
    own
}

/// Holds it and gives the detail.
fn detail(response: &ClientResponse) -> String {
    let own = cache_status(response);
    match own.iter().find(|(key, _)| key == "detail") {
        Some((_, Bare::Token(detail))) => detail.clone(),
        other => panic!("{other:?} in {response}"),
    }
}

/// Error and details of `Proxy-Status` (RFC 9209 §2).
fn proxy_status(response: &ClientResponse) -> Option<(String, String)> {
    let lines: Vec<&str> = response.all("proxy-status").collect();
    if lines.is_empty() {
        return None;
    }
    let members = Strict::list(&lines.join(", "));
    let Some((Bare::Token(name), parameters)) = members.last().cloned() else { panic!("{lines:?}") };
    assert_eq!(name, "copal");
    match &parameters[..] {
        [(error, Bare::Token(token)), (details, Bare::Text(text))] if error == "error" && details == "details" => {
            Some((token.clone(), text.clone()))
        }
        other => panic!("{other:?}"),
    }
}

const RULES: &str = "
cache: {max_body: 1KiB}
rules:
  - {name: respond, match: {path: '/respond'}, respond: {status: 204}}
  - {name: pass, match: {path: '/pass'}, pass: true}
  - {name: grace, match: {path: '/grace'}, cache: {ttl: 10s, grace: 1h}}
  - {name: esi, match: {path: '/esi'}, cache: {ttl: 10s}, esi: true}
  - {name: body, match: {path: '/query', method: QUERY}, cache: {ttl: 10s}}
  - {name: pages, cache: {}}";

#[tokio::test]
async fn cache_status_is_of_the_grammar_on_every_kind_of_response() {
    let front = Front::with(RULES).await;
    let page = || Answer::ok("12345").header("cache-control", "max-age=10").header("etag", "\"1\"");
    front.origin.on("/pass", Answer::ok("x").header("cache-status", "\"an \\\"inner\\\" cache\"; hit; ttl=5"));
    front.origin.on("/private", Answer::ok("x").header("cache-control", "private"));
    front.origin.on("/large", Answer::ok("x".repeat(2000)).header("cache-control", "max-age=10"));
    front.origin.on("/vary", page().header("vary", "x-a"));
    front.origin.on("/part", Answer::status(206).body("01").header("content-range", "bytes 0-1/5"));
    front.origin.on("/esi", Answer::ok("<esi:include src='/p'/>").header("content-type", "text/html"));
    front.origin.on("/hang", Answer::hang_up());
    for path in ["GET /p", "HEAD /h", "POST /p", "/grace", "QUERY /query"] {
        front.origin.on(path, page());
    }
    let mut details = Vec::new();
    let sends = [
        ("miss", Sends::get("/p")),
        ("hit", Sends::get("/p")),
        ("hit", Sends::request("HEAD", "/p")),
        ("hit", Sends::get("/p").header("if-none-match", "\"1\"")),
        ("hit", Sends::get("/p").header("range", "bytes=0-1")),
        ("hit", Sends::get("/p").header("range", "bytes=9-")),
        ("hit", Sends::get("/p").header("range", "bytes=0-0,2-2")),
        ("miss", Sends::request("HEAD", "/h")),
        ("only-if-cached", Sends::get("/none").header("cache-control", "only-if-cached")),
        ("respond", Sends::get("/respond")),
        ("pass-rule", Sends::get("/pass")),
        ("private", Sends::get("/private")),
        ("private", Sends::get("/private")),
        ("too-large", Sends::get("/large")),
        ("miss", Sends::get("/vary").header("x-a", "1")),
        ("variant-miss", Sends::get("/vary").header("x-a", "2")),
        ("miss", Sends::get("/grace")),
        ("miss", Sends::get("/esi")),
        ("hit", Sends::get("/esi")),
        ("miss", Sends::request("QUERY", "/query").body("a")),
        ("hit", Sends::request("QUERY", "/query").body("a")),
        ("method", Sends::post("/p", "x")),
        ("unknown-cookie", Sends::get("/p").header("cookie", "a=b")),
        ("precondition", Sends::get("/p").header("if-match", "\"1\"")),
        ("no-lifetime", Sends::get("/none")),
        ("origin-closed", Sends::get("/hang")),
        ("method-not-allowed", Sends::request("TRACE", "/p")),
        ("purged", Sends::request("PURGE", "/p")),
        ("bad-request", Sends::get("/p").host("a b")),
    ];
    for (expected, sends) in sends {
        let got = Client::connect(front.address).await.with_host("test.example").prepared(sends.clone()).send().await;
        assert_eq!(detail(&got), expected, "{sends:?}\n{got}");
        details.push(expected);
    }
    front.clock.advance(Duration::from_secs(11));
    front.origin.replace("/vary", Answer::status(304).header("cache-control", "max-age=10"));
    for (expected, path) in [("stale-refreshing", "/grace"), ("validated", "/vary"), ("expired", "/esi")] {
        let got = front.client().await.get(path).header("x-a", "1").send().await;
        assert_eq!(detail(&got), expected, "{got}");
        details.push(expected);
    }
    // Two who share one fetch.
    let (gate, answer) = Answer::gated(page());
    front.origin.on("/shared", answer);
    let (one, other) = (front.spawn_get("/shared"), front.spawn_get("/shared"));
    front.origin.wait_until("the shared fetch", |seen| seen.iter().any(|it| it.path() == "/shared")).await;
    let third = front.spawn_get("/shared");
    gate.open();
    for got in [one, other, third] {
        assert!(["miss", "collapsed", "hit"].contains(&&*detail(&got.await.unwrap())));
    }
    assert!(details.len() > 30);
}

#[tokio::test]
async fn an_error_of_ours_says_in_proxy_status_what_went_wrong() {
    let front = Front::with_purge("timeouts: {first_byte: 200ms}").await;
    front.origin.on("/hang", Answer::hang_up());
    front.origin.on("/nonsense", Answer::raw("nonsense\r\n\r\n").close());
    front.origin.on("/large", Answer::ok("x").header("x-large", "x".repeat(600_000)));
    front.origin.on("/silence", Answer::silence());
    front.origin.on("/down", Answer::status(503));
    front.origin.on("/gone", Answer::status(404).header("proxy-status", "inner; error=dns_error"));
    for (sends, status, error, details) in [
        (Sends::get("/hang"), 502, "connection_terminated", "origin-closed"),
        (Sends::get("/nonsense"), 502, "http_protocol_error", "origin-protocol"),
        (Sends::get("/large"), 502, "http_response_header_section_size", "origin-protocol"),
        (Sends::get("/silence"), 504, "http_response_timeout", "origin-timeout"),
        (Sends::request("TRACE", "/p"), 405, "http_request_denied", "method-not-allowed"),
        (Sends::request("PURGE", "/p"), 403, "http_request_denied", "purge-denied"),
        (Sends::get("/p").host("a b"), 400, "http_request_error", "bad-request"),
    ] {
        let got = Client::connect(front.address).await.with_host("test.example").prepared(sends.clone()).send().await;
        let told = Some((error.to_owned(), details.to_owned()));
        assert_eq!((got.status, proxy_status(&got)), (status, told), "{sends:?}");
        assert_eq!(detail(&got), details);
    }
    // What the origin says of itself is passed on, and not called ours.
    assert_eq!(front.get("/down").await.header("proxy-status"), None);
    assert_eq!(front.get("/gone").await.header("proxy-status"), Some("inner; error=dns_error"));

    for (server, error, details) in [
        (format!("http://{}", refused_address().await), "connection_refused", "origin-refused"),
        ("http://no-such-host.invalid".to_owned(), "dns_error", "origin-dns"),
    ] {
        let front = Front::before(&[server], "").await;
        let got = front.get("/p").await;
        let told = Some((error.to_owned(), details.to_owned()));
        assert_eq!((got.status, proxy_status(&got)), (502, told));
        let wanted = front.client().await.get("/p").header("cache-control", "only-if-cached").send().await;
        assert_eq!((wanted.status, proxy_status(&wanted)), (504, None), "nothing went wrong");
    }
}

#[tokio::test]
async fn rfc8586_a_forwarded_request_says_that_it_came_through_here_and_never_does_so_twice() {
    let front =
        Front::with("rules: [{name: pass, match: {path: '/pass'}, pass: true}, {name: pages, cache: {}}]").await;
    let mut scenario = front.scenario();
    for path in ["/pass", "/fill"] {
        let sends = Sends::get(path).header("cdn-loop", "other, copal; i=0").header("connection", "cdn-loop");
        scenario.exchange("forwarded", sends, Sees::get(path), Gets::status(200)).await;
        let seen = front.origin.last();
        let lines: Vec<&str> = seen.all("cdn-loop").collect();
        let [theirs, ours] = lines[..] else { panic!("{lines:?}") };
        assert_eq!(theirs, "other, copal; i=0", "another Copal's, and another CDN's, stay");
        let members = Strict::list(&ours.replace("; i=", "; i=x"));
        assert!(ours.starts_with("copal; i=") && members.len() == 1, "{ours}");
        for again in [ours.to_owned(), format!("a, {}, b", ours.replace("copal", "COPAL"))] {
            let gets = Gets::status(508)
                .header_containing("cache-status", "detail=loop")
                .header("proxy-status", "copal; error=proxy_loop_detected; details=\"loop\"");
            scenario.exchange("again", Sends::get(path).header("cdn-loop", again), Sees::nothing(), gets).await;
        }
    }
}
