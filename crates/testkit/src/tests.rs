//! The scripted origin and the raw client against each other: each thing that an answer can do, seen by the client.

use std::io::ErrorKind;

use crate::{Answer, Client, Gate, Gets, Scenario, ScriptedOrigin, Sees, Sends, refused_address};

async fn origin_and_client() -> (ScriptedOrigin, Client) {
    let origin = ScriptedOrigin::start().await;
    let client = Client::connect(origin.address()).await;
    (origin, client)
}

#[tokio::test]
async fn header_lines_keep_their_order_and_spelling_on_both_sides() {
    let (origin, mut client) = origin_and_client().await;
    let answer = Answer::ok("x").header("B-b", "1").header("A-a", "2");
    origin.on("/", answer.reason("Fine"));
    let got = client.get("/").header("Zz", "1").header("Aa", "2").send().await;
    assert_eq!(got.to_string(), "HTTP/1.1 200 Fine\nB-b: 1\nA-a: 2\ncontent-length: 1\n\nx");
    assert_eq!(origin.transcript(), "GET / HTTP/1.1\nhost: test.example\nZz: 1\nAa: 2\n\n");
}

#[tokio::test]
async fn bodies_of_each_framing_arrive_whole_in_both_directions() {
    let (origin, mut client) = origin_and_client().await;
    origin.on("/chunks", Answer::status(200).chunks(["one", "two"]));
    origin.on("/echo", Answer::echo());
    origin.on("/close", Answer::ok("to the end").until_close());
    assert_eq!(client.get("/chunks").send().await.text(), "onetwo");
    let echoed = client.post("/echo", "").chunks(["ab", "cd"]).send().await;
    assert!(echoed.text().ends_with("\n\nabcd"), "{echoed}");
    assert!(echoed.text().contains("transfer-encoding: chunked\n"));
    assert_eq!(client.get("/close").send().await.text(), "to the end");
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn head_has_the_length_and_no_body_and_keeps_the_connection() {
    let (origin, mut client) = origin_and_client().await;
    origin.on("/", "hello");
    let head = client.head("/").send().await;
    assert_eq!((head.header("content-length"), head.text()), (Some("5"), ""));
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "");
    assert_eq!(client.get("/").send().await.text(), "hello");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn gates_hold_the_head_or_only_the_body() {
    let (origin, mut client) = origin_and_client().await;
    let gate = Gate::new();
    origin.on("/", Answer::ok("late").body_held_by(&gate));
    let mut reading = client.get("/").stream().await;
    assert_eq!(reading.head().header("content-length"), Some("4"));
    gate.open();
    assert_eq!(reading.read_until(4).await, "late");
    assert_eq!(reading.rest().await.text(), "late");
}

#[tokio::test]
async fn a_streamed_answer_hears_when_the_client_has_gone() {
    let (origin, mut client) = origin_and_client().await;
    let (body, answer) = Answer::stream();
    origin.on("/", answer.header("content-length", "9"));
    let mut reading = client.get("/").stream().await;
    body.send("abc");
    assert_eq!(reading.read_until(3).await, "abc");
    drop(client);
    body.closed().await;
    origin.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn early_ends_are_told_apart_and_keep_what_came() {
    let origin = ScriptedOrigin::start().await;
    origin.on("/hang-up", Answer::hang_up());
    origin.on("/reset", Answer::reset());
    origin.on("/cut", Answer::ok("hello").cut_after(2));
    origin.on("/cut-chunk", Answer::ok("hello").chunked().cut_after(2));
    let (body, answer) = Answer::stream();
    origin.on("/stream", answer);
    body.send("he");
    body.cut();
    for (target, kind, came) in [
        ("/hang-up", ErrorKind::UnexpectedEof, None),
        ("/reset", ErrorKind::ConnectionReset, None),
        ("/cut", ErrorKind::UnexpectedEof, Some("he")),
        ("/cut-chunk", ErrorKind::UnexpectedEof, Some("he")),
        ("/stream", ErrorKind::UnexpectedEof, Some("he")),
    ] {
        let mut client = Client::connect(origin.address()).await;
        let error = client.get(target).try_send().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{target}: {error}");
        let partial = error.partial.map(|partial| partial.text().to_owned());
        assert_eq!(partial.as_deref(), came, "{target}");
    }
}

#[tokio::test]
async fn interim_responses_come_first_and_are_kept() {
    let (origin, mut client) = origin_and_client().await;
    let answer = Answer::ok("x").interim(103, &[("link", "</a>")]);
    origin.on("/", answer.interim(100, &[]));
    let got = client.get("/").send().await;
    let interim: Vec<_> = got.interim.iter().map(|it| it.status).collect();
    assert_eq!((got.status, interim), (200, vec![103, 100]));
    assert_eq!(got.interim[0].header("link"), Some("</a>"));
    client.send("POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n").await;
    assert_eq!(client.interim().await.status, 103);
    client.write("b").await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn raw_bytes_and_upgrades() {
    let (origin, mut client) = origin_and_client().await;
    origin.on("/raw", Answer::raw("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\nmore"));
    origin.on("/ws", Answer::upgrade("chat"));
    assert_eq!(client.get("/raw").send().await.status, 299);
    assert_eq!(client.read_exact(4).await, "more");
    let switched = client.get("/ws").upgrade("chat").send().await;
    assert_eq!((switched.status, switched.header("upgrade")), (101, Some("chat")));
    client.write("ping").await;
    assert_eq!(client.read_exact(4).await, "ping");
    client.finish_sending().await;
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let (origin, mut client) = origin_and_client().await;
    origin.on("/", Answer::status(413).early());
    client.send("POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n").await;
    assert_eq!(client.response().await.status, 413);
    origin.wait_for_heads(1).await;
    assert!(!origin.last().complete);
    client.write("body").await;
    origin.wait_for(1).await;
    assert_eq!(origin.last().body, "body");
}

#[tokio::test]
async fn computed_answers_see_the_request() {
    let (origin, mut client) = origin_and_client().await;
    origin.on("/*", Answer::from_fn(|request| Answer::ok(request.target.clone())));
    assert_eq!(client.get("/a?b").send().await.text(), "/a?b");
    origin.wait_until("a request for /a", |seen| seen.iter().any(|it| it.path() == "/a")).await;
}

#[tokio::test]
async fn a_stopped_origin_refuses_and_can_come_back() {
    let (origin, mut client) = origin_and_client().await;
    origin.on("/", "x");
    client.get("/").send().await;
    origin.stop().await;
    assert_eq!(client.closed().await, "");
    assert_eq!(origin.open_connections(), 0);
    let refused = tokio::net::TcpStream::connect(origin.address()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let again = ScriptedOrigin::start_at(origin.address()).await;
    assert_eq!(Client::connect(again.address()).await.get("/").send().await.status, 404);
    let nobody = tokio::net::TcpStream::connect(refused_address().await).await;
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
#[should_panic(expected = "the origin did not see GET /other")]
async fn a_scenario_fails_when_the_origin_sees_something_else() {
    let origin = ScriptedOrigin::start().await;
    let mut scenario = Scenario::new(origin.address(), &origin);
    let sees = Sees::get("/other").answers("x");
    scenario.exchange("wrong", Sends::get("/page"), sees, Gets::status(404)).await;
}

#[tokio::test]
#[should_panic(expected = "the origin saw GET /page unannounced")]
async fn a_scenario_fails_on_an_unannounced_request() {
    let origin = ScriptedOrigin::start().await;
    let mut scenario = Scenario::new(origin.address(), &origin);
    scenario.exchange("wrong", Sends::get("/page"), Sees::nothing(), Gets::status(404)).await;
}

#[tokio::test]
#[should_panic(expected = "x-a must be Is(\"2\"), is [\"1\"]")]
async fn a_scenario_fails_on_another_header() {
    let origin = ScriptedOrigin::start().await;
    let mut scenario = Scenario::new(origin.address(), &origin);
    let sees = Sees::get("/").answers(Answer::ok("x").header("x-a", "1"));
    let gets = Gets::status(200).header("x-a", "2");
    scenario.exchange("wrong", Sends::get("/"), sees, gets).await;
}

#[tokio::test]
async fn trailers_follow_the_body() {
    let origin = ScriptedOrigin::start().await;
    origin.on("/", Answer::ok("x").header("trailer", "x-sum").trailer("x-sum", "1").trailer("x-more", "2"));
    let got = Client::connect(origin.address()).await.get("/").send().await;
    let lines: Vec<_> = got.trailers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!((got.text(), lines.join(" ").as_str()), ("x", "x-sum=1 x-more=2"));
}
