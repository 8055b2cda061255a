//! HTTP/2 to servers (RFC 9113), against a server that speaks it by the book.

use super::*;
use crate::{Call, OnInterim, Protocol, Timeouts, TlsSettings};
use copal_testkit::{Answer, Authority, Front};
use http::HeaderMap;
use std::time::Duration;

/// `CANCEL` (RFC 9113 §7).
const CANCEL: Option<u32> = Some(8);

fn http2_settings(server: &ScriptedOrigin) -> OriginSettings {
    OriginSettings { protocol: Protocol::Http2, ..settings(&[server.url()]) }
}

async fn one_behind(front: Front) -> (ScriptedOrigin, Arc<Origin>) {
    let server = ScriptedOrigin::start_behind(front.http2()).await;
    let origin = Origin::new(http2_settings(&server)).unwrap();
    (server, origin)
}

async fn one() -> (ScriptedOrigin, Arc<Origin>) {
    one_behind(Front::default()).await
}

/// A server behind TLS that takes these protocols, and an origin that trusts it.
async fn by_alpn(protocols: &[&str], protocol: Protocol) -> (ScriptedOrigin, Arc<Origin>) {
    let authority = Authority::new();
    let front = Front::tls(&authority.issue(&["127.0.0.1"])).protocols(protocols);
    let server = ScriptedOrigin::start_behind(front).await;
    server.on("/", "hello");
    let tls = TlsSettings { ca: Some(authority.pem().as_bytes().into()), ..TlsSettings::default() };
    let origin = Origin::new(OriginSettings { tls, protocol, ..settings(&[server.url()]) }).unwrap();
    (server, origin)
}

#[tokio::test]
async fn head_and_body_go_through_as_they_are() {
    let (server, origin) = one().await;
    server.on("/a?b=c%20d", Answer::status(201).header("x-b", "1").header("x-b", "2").body("hello"));
    let mut asked = request("GET", "/a?b=c%20d", RequestBody::Empty);
    for (name, value) in [("x-a", "1"), ("te", "trailers, gzip"), ("connection", "te, x-own"), ("x-own", "1")] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    let response = send(&origin, asked).await.unwrap();
    assert_eq!((response.status.as_u16(), response.version), (201, http::Version::HTTP_2));
    assert_eq!(response.headers.get_all("x-b").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(http_body::Body::size_hint(&response.body).exact(), Some(5));
    assert_eq!(whole(response.body).await.unwrap(), "hello");
    let wanted = "GET /a?b=c%20d HTTP/2.0\n:scheme: http\n:authority: a.test\nx-a: 1\nte: trailers\n\n";
    assert_eq!(server.transcript(), wanted);
}

#[tokio::test]
async fn a_request_without_host_gets_the_servers() {
    let (server, origin) = one().await;
    send(&origin, Request::new(RequestBody::Empty)).await.unwrap();
    assert_eq!(server.last().header(":authority"), Some(server.address().to_string().as_str()));
}

#[tokio::test]
async fn every_kind_of_response_comes_through_on_one_connection() {
    let (server, origin) = one().await;
    let large = "0123456789abcdef".repeat(256 << 10);
    server.on("/a", "a");
    server.on("/open", Answer::status(200).chunks(["b", "c"]));
    server.on("/large", large.clone());
    server.on("/empty", Answer::ok(""));
    server.on("/none", Answer::status(204));
    server.on("/same", Answer::status(304).header("content-length", "9"));
    for (target, wanted) in
        [("/a", "a"), ("/open", "bc"), ("/large", large.as_str()), ("/empty", ""), ("/none", ""), ("/same", "")]
    {
        assert_eq!(text(&origin, target).await.unwrap(), wanted, "{target}");
    }
    let head = send(&origin, request("HEAD", "/a", RequestBody::Empty)).await.unwrap();
    assert_eq!(&head.headers["content-length"], "1");
    assert!(http_body::Body::is_end_stream(&head.body));
    assert_eq!(whole(head.body).await.unwrap(), "");
    assert_eq!((server.connections(), origin.idle()), (1, vec![1]));
}

#[tokio::test]
async fn many_requests_share_a_connection_also_the_first_ones() {
    let (server, origin) = one().await;
    let (gate, answer) = Answer::gated("late");
    server.on("*", answer);
    let sent: Vec<_> = (0..50)
        .map(|number| {
            let origin = origin.clone();
            tokio::spawn(async move { text(&origin, &format!("/{number}")).await })
        })
        .collect();
    server.wait_for(50).await;
    assert_eq!(server.connections(), 1);
    gate.open();
    for sent in sent {
        assert_eq!(sent.await.unwrap().unwrap(), "late");
    }
}

#[tokio::test]
async fn another_connection_is_made_where_one_is_full_rfc9113_5_1_2() {
    let (server, origin) = one_behind(Front::default().max_streams(2)).await;
    let mut held = Vec::new();
    for number in 0..5 {
        let (body, answer) = Answer::stream();
        let target = format!("/{number}");
        server.on(&target, answer);
        held.push((body, get(&origin, &target).await.unwrap()));
    }
    assert_eq!(server.connections(), 3);
    for (body, response) in held {
        body.send("x");
        body.end();
        assert_eq!(whole(response.body).await.unwrap(), "x");
    }
    // There is room again.
    server.on("/", "a");
    assert_eq!(text(&origin, "/").await.unwrap(), "a");
    assert_eq!((server.connections(), origin.idle()), (3, vec![3]));
}

#[tokio::test]
async fn a_body_is_sent_and_answered_by_trailers() {
    let (server, origin) = one().await;
    server.on("/", Answer::echo().trailer("x-sum", "7"));
    let large = "x".repeat(3 << 20);
    let posted = send(&origin, request("POST", "/", RequestBody::from(Bytes::from(large.clone())))).await.unwrap();
    let collected = patiently(|| "the body".to_owned(), posted.body.collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(server.last().body, large);
    assert_eq!(server.last().header("content-length"), Some((3 << 20).to_string().as_str()));
}

#[tokio::test]
async fn an_upload_goes_up_piece_by_piece_with_its_trailers() {
    let (server, origin) = one().await;
    server.on("/", "done");
    let (frames, received) = mpsc::unbounded_channel();
    let body = RequestBody::stream(Frames(received));
    let origin_ = origin.clone();
    let sent = tokio::spawn(async move { send(&origin_, request("PUT", "/", body)).await });
    frames.send(Frame::data(Bytes::from_static(b"one"))).unwrap();
    server.wait_until("the first piece", |seen| seen.first().is_some_and(|it| it.body == "one")).await;
    frames.send(Frame::data(Bytes::from_static(b"two"))).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    frames.send(Frame::trailers(trailers)).unwrap();
    assert_eq!(whole(sent.await.unwrap().unwrap().body).await.unwrap(), "done");
    let seen = server.last();
    assert_eq!((seen.body.as_ref(), seen.complete), (&b"onetwo"[..], true));
    assert_eq!(seen.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (None, None));
}

/// A request body of frames that the test sends.
struct Frames(mpsc::UnboundedReceiver<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_the_responses_head() {
    let (server, origin) = one().await;
    server.on("/", Answer::ok("early").early());
    let (pieces, body) = upload();
    let response = send(&origin, request("PUT", "/", body)).await.unwrap();
    pieces.send(piece("abc")).unwrap();
    server.wait_until("the piece", |seen| seen.first().is_some_and(|it| it.body == "abc")).await;
    drop(pieces);
    server.wait_for(1).await;
    assert_eq!(whole(response.body).await.unwrap(), "early");
}

#[tokio::test]
async fn an_upload_of_another_length_than_announced_is_taken_back() {
    let (server, origin) = one().await;
    for pieces_sent in [&["ab"][..], &["ab", "cd", "ef"]] {
        let (pieces, body) = upload();
        for text in pieces_sent {
            pieces.send(piece(text)).unwrap();
        }
        drop(pieces);
        let mut asked = request("PUT", "/", body);
        asked.headers_mut().insert("content-length", "4".parse().unwrap());
        let error = send(&origin, asked).await.unwrap_err();
        assert_eq!((error.kind(), error.fault()), (Kind::RequestBody, crate::Fault::Client));
    }
    server.wait_until("both taken back", |seen| seen.iter().all(|it| it.reset == CANCEL)).await;
    server.on("/", "a");
    assert_eq!(text(&origin, "/").await.unwrap(), "a");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn interim_responses_are_told_as_they_come_rfc9110_15_2() {
    let (server, origin) = one().await;
    let interim = Answer::ok("x").interim(100, &[]).interim(103, &[("link", "</a>")]).interim(103, &[("link", "</b>")]);
    let (gate, answer) = Answer::gated(interim);
    server.on("/", answer);
    let (told, mut heard) = mpsc::unbounded_channel();
    let on_interim: OnInterim = Arc::new(move |status, headers: &HeaderMap| {
        let _ = told.send((status.as_u16(), headers["link"].to_str().unwrap().to_owned()));
    });
    let sending = origin.clone();
    let sent = tokio::spawn(async move {
        let call = Call { on_interim: Some(on_interim), ..Call::default() };
        sending.send_with(request("GET", "/", RequestBody::Empty), call).await.unwrap()
    });
    for link in ["</a>", "</b>"] {
        let told = patiently(|| "an interim response".to_owned(), heard.recv()).await;
        assert_eq!(told, Some((103, link.to_owned())));
    }
    gate.open();
    let response = sent.await.unwrap();
    assert_eq!((response.status.as_u16(), response.headers.get("link")), (200, None));
    assert_eq!(whole(response.body).await.unwrap(), "x");
    assert_eq!(heard.recv().await, None);
}

#[tokio::test]
async fn giving_up_takes_the_request_back_and_leaves_the_connection() {
    let (server, origin) = one().await;
    let (_body, answer) = Answer::stream();
    server.on("/body", answer);
    server.on("/head", Answer::silence());
    let (_other, answer) = Answer::stream();
    server.on("/other", answer);
    let other = get(&origin, "/other").await.unwrap();
    let response = get(&origin, "/body").await.unwrap();
    drop(response);
    server.wait_until("the body taken back", |seen| seen[1].reset == CANCEL).await;
    tokio::select! {
        biased;
        answered = get(&origin, "/head") => panic!("{answered:?}"),
        () = server.wait_for(3) => {}
    }
    server.wait_until("the head taken back", |seen| seen[2].reset == CANCEL).await;
    assert_eq!((server.connections(), server.requests()[0].reset), (1, None));
    drop(other);
}

#[tokio::test]
async fn a_slow_reader_holds_up_the_server_and_nobody_else_rfc9113_5_2() {
    let (server, origin) = one().await;
    let large = "x".repeat(32 << 20);
    server.on("/large", large.clone());
    server.on("/small", "y".repeat(1 << 20));
    // Many of them, more than a window of the whole connection's would hold.
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(get(&origin, "/large").await.unwrap());
    }
    for _ in 0..4 {
        assert_eq!(text(&origin, "/small").await.unwrap().len(), 1 << 20);
    }
    let last = slow.pop().unwrap();
    drop(slow);
    assert_eq!(whole(last.body).await.unwrap(), large);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_breaks_off_is_never_whole() {
    let (server, origin) = one().await;
    server.on("/sized/reset", Answer::ok("hello").reset_after(2));
    server.on("/open/reset", Answer::ok("hello").chunked().reset_after(5));
    server.on("/open/cut", Answer::ok("hello").chunked().cut_after(5));
    server.on("/long", Answer::ok("hello").header("content-length", "3"));
    server.on("/short", Answer::ok("hello").header("content-length", "9"));
    // A reset that comes right behind a head may overtake it.
    let broken = [Kind::Incomplete, Kind::Closed];
    for (target, kinds) in [
        ("/sized/reset", broken),
        ("/open/reset", broken),
        ("/long", [Kind::Protocol; 2]),
        ("/short", [Kind::Protocol; 2]),
        ("/open/cut", broken),
    ] {
        let kind = text(&origin, target).await.unwrap_err();
        assert!(kinds.contains(&kind), "{target} {kind}");
    }
    // Only the last of them ended its connection.
    server.on("/", "a");
    assert_eq!(text(&origin, "/").await.unwrap(), "a");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_refused_request_goes_to_another_connection_whatever_its_method_rfc9113_8_7() {
    let (server, origin) = one().await;
    server.on("/", "warm");
    assert_eq!(text(&origin, "/").await.unwrap(), "warm");
    for (method, body) in [
        ("GET", RequestBody::Empty),
        ("POST", RequestBody::from(Bytes::from_static(b"a"))),
        ("PUT", RequestBody::Empty),
    ] {
        server.replace(&format!("{method} /"), Answer::refuse());
        server.on(&format!("{method} /"), Answer::echo());
        let response = send(&origin, request(method, "/", body)).await.unwrap();
        assert!(whole(response.body).await.unwrap().starts_with(method));
    }
    // A fresh connection that refuses as well is believed.
    server.replace("GET /", Answer::refuse());
    assert_eq!(text(&origin, "/").await, Err(Kind::Closed));
}

#[tokio::test]
async fn a_lost_connection_is_made_again_for_what_may_be_sent_twice() {
    let (server, origin) = one().await;
    server.on("/", "warm");
    assert_eq!(text(&origin, "/").await.unwrap(), "warm");
    server.replace("/", Answer::hang_up());
    server.on("/", "again");
    assert_eq!(text(&origin, "/").await.unwrap(), "again");
    // This one may have been acted on.
    server.on("POST /", Answer::hang_up());
    let error = send(&origin, request("POST", "/", RequestBody::Empty)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
    assert_eq!(server.count("POST /"), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_is_given_up_in_time_and_the_connection_stays() {
    let (server, origin) = one().await;
    server.on("/", Answer::silence());
    // It answers pings: it is alive, and the limit of the head counts.
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!((error.kind(), error.server().is_some()), (Kind::FirstByteTimeout, true));
    let (handle, answer) = Answer::stream();
    server.on("/body", answer);
    let mut body = get(&origin, "/body").await.unwrap().body;
    handle.send("a");
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
    assert_eq!(next(&mut body).await.unwrap().unwrap_err().kind(), Kind::BetweenBytesTimeout);
    let (pieces, upload) = upload();
    pieces.send(piece("x")).unwrap();
    let error = send(&origin, request("PUT", "/", upload)).await.unwrap_err();
    assert_eq!((error.kind(), error.fault()), (Kind::RequestBody, crate::Fault::Client));
    assert_eq!(server.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_in_time() {
    let server = ScriptedOrigin::start_behind(Front::default().http2()).await;
    server.on("/", "a");
    let idle_timeout = Duration::from_secs(30);
    let origin = Origin::new(OriginSettings { idle_timeout, ..http2_settings(&server) }).unwrap();
    text(&origin, "/").await.unwrap();
    assert_eq!((server.open_connections(), origin.idle()), (1, vec![1]));
    server.wait_for_open_connections(0).await;
    assert_eq!(origin.idle(), [0]);
    text(&origin, "/").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_origin_that_goes_away_closes_its_connections() {
    let (server, origin) = one().await;
    let (body, answer) = Answer::stream();
    server.on("/", answer);
    let response = get(&origin, "/").await.unwrap();
    drop(origin);
    // The last response is read to its end.
    body.send("a");
    body.end();
    assert_eq!(whole(response.body).await.unwrap(), "a");
    server.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn large_heads_come_through_and_larger_ones_are_told_apart() {
    let (server, origin) = one().await;
    server.on("/large", Answer::ok("a").header("x-tags", "t".repeat(300 << 10)));
    assert_eq!(get(&origin, "/large").await.unwrap().headers["x-tags"].len(), 300 << 10);
    let settings = OriginSettings { max_header_bytes: 16 << 10, ..http2_settings(&server) };
    let small = Origin::new(settings).unwrap();
    server.on("/bytes", Answer::ok("a").header("x-tags", "t".repeat(20 << 10)));
    server.on("/lines", (0..201).fold(Answer::ok("a"), |answer, _| answer.header("x", "y")));
    for target in ["/bytes", "/lines"] {
        assert_eq!(text(&small, target).await, Err(Kind::TooLarge), "{target}");
    }
    assert_eq!(text(&small, "/none").await.unwrap(), "no answer scripted");
}

#[tokio::test]
async fn the_version_is_agreed_on_by_alpn_rfc7301() {
    let both: &[&str] = &["h2", "http/1.1"];
    for (protocols, protocol, wanted) in [
        (both, Protocol::Auto, Some("HTTP/2.0")),
        (&["http/1.1"], Protocol::Auto, Some("HTTP/1.1")),
        (&[], Protocol::Auto, Some("HTTP/1.1")),
        (both, Protocol::Http2, Some("HTTP/2.0")),
        (&["http/1.1"], Protocol::Http2, None),
        (&[], Protocol::Http2, None),
        (both, Protocol::Http1, Some("HTTP/1.1")),
    ] {
        let (server, origin) = by_alpn(protocols, protocol).await;
        for _ in 0..2 {
            let got = text(&origin, "/").await;
            assert_eq!(got.is_ok(), wanted.is_some(), "{protocols:?} {protocol:?} {got:?}");
        }
        if let Some(version) = wanted {
            assert_eq!(server.last().version, version, "{protocols:?} {protocol:?}");
            assert_eq!(server.connections(), if protocol == Protocol::Auto && version == "HTTP/1.1" { 2 } else { 1 });
        }
    }
}

#[tokio::test]
async fn without_tls_auto_is_http1() {
    let server = ScriptedOrigin::start().await;
    server.on("/", "hello");
    let origin = Origin::new(OriginSettings { protocol: Protocol::Auto, ..settings(&[server.url()]) }).unwrap();
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    assert_eq!(server.last().version, "HTTP/1.1");
}

#[tokio::test]
async fn an_upgrade_takes_http1_where_there_is_a_choice_rfc9113_8_6() {
    let ask = || {
        let mut asked = request("GET", "/ws", RequestBody::Empty);
        asked.headers_mut().insert("connection", "upgrade".parse().unwrap());
        asked.headers_mut().insert("upgrade", "chat".parse().unwrap());
        asked
    };
    let (server, origin) = by_alpn(&["h2", "http/1.1"], Protocol::Auto).await;
    assert_eq!(text(&origin, "/").await.unwrap(), "hello");
    server.on("/ws", Answer::upgrade("chat"));
    let response = send(&origin, ask()).await.unwrap();
    assert_eq!((response.status.as_u16(), response.upgrade.is_some()), (101, true));
    let versions: Vec<_> = server.requests().into_iter().map(|request| request.version).collect();
    assert_eq!(versions, ["HTTP/2.0", "HTTP/1.1"]);
    let (_server, origin) = by_alpn(&["h2", "http/1.1"], Protocol::Http2).await;
    let error = send(&origin, ask()).await.unwrap_err();
    assert_eq!((error.kind(), error.fault()), (Kind::Settings, crate::Fault::Proxy));
    assert!(error.to_string().contains("protocol"), "{error}");
}

#[tokio::test]
async fn who_began_a_connection_may_leave_it_to_the_others() {
    let (server, origin) = one().await;
    server.on("/", "a");
    let mut first = Box::pin(get(&origin, "/"));
    // It begins the connection, and leaves.
    let polled = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
    assert!(polled);
    drop(first);
    assert_eq!(text(&origin, "/").await.unwrap(), "a");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn nobody_at_the_port_is_told_to_all_who_wait() {
    let address = copal_testkit::refused_address().await;
    let settings = OriginSettings { protocol: Protocol::Http2, ..settings(&[format!("http://{address}")]) };
    let origin = Origin::new(settings).unwrap();
    let (one, two) = tokio::join!(text(&origin, "/1"), text(&origin, "/2"));
    assert_eq!((one, two), (Err(Kind::ConnectRefused), Err(Kind::ConnectRefused)));
}

#[tokio::test]
async fn a_server_that_speaks_only_http1_is_told_before_the_request_is_lost() {
    let plain = ScriptedOrigin::start().await;
    let origin = Origin::new(http2_settings(&plain)).unwrap();
    let error = get(&origin, "/").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.to_string().contains("does not speak HTTP/2"), "{error}");
    assert_eq!(plain.count("GET /"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_all_counting_is_no_limit() {
    let server = ScriptedOrigin::start_behind(Front::default().http2()).await;
    server.on("/", "a");
    let timeouts = Timeouts {
        connect: Duration::MAX,
        tls: Duration::MAX,
        first_byte: Duration::MAX,
        between_bytes: Duration::MAX,
        total: None,
    };
    let settings = OriginSettings { timeouts, idle_timeout: Duration::MAX, ..http2_settings(&server) };
    assert_eq!(text(&Origin::new(settings).unwrap(), "/").await.unwrap(), "a");
}
