//! HTTP/2 against servers that misbehave, frame by frame (RFC 9113 §4.1).

use super::*;
use crate::Protocol;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// `:status: 200`, and `:status: 103` as a literal (RFC 7541 §6.1, §6.2.2).
const STATUS_200: &[u8] = &[0x88];
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

/// A server that a test plays by hand.
struct Raw {
    listener: TcpListener,
}

/// One of its connections, greeted.
struct Peer(TcpStream);

struct Seen {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Raw {
    async fn new() -> (Self, Arc<Origin>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let origin = Origin::new(OriginSettings { protocol: Protocol::Http2, ..settings(&[url]) }).unwrap();
        (Self { listener }, origin)
    }

    /// The next connection, its preface read (§3.4), settings sent.
    async fn accept(&self, own_settings: &[u8]) -> Peer {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut peer = Peer(stream);
        peer.frame(SETTINGS, 0, 0, own_settings).await;
        peer
    }
}

impl Peer {
    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.0.write_all(&bytes).await.unwrap();
    }

    /// The next frame; settings are acknowledged and pings answered, as long as it is `polite`.
    async fn next(&mut self, polite: bool) -> Option<Seen> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let seen = Seen { kind: head[3], flags: head[4], stream };
            match seen.kind {
                SETTINGS if seen.flags & ACK == 0 && polite => self.frame(SETTINGS, ACK, 0, &[]).await,
                PING if seen.flags & ACK == 0 && polite => self.frame(PING, ACK, 0, &payload).await,
                _ => return Some(seen),
            }
        }
    }

    /// The number of the next request's stream.
    async fn request(&mut self) -> u32 {
        loop {
            let seen = self.next(true).await.expect("a request");
            if seen.kind == HEADERS {
                assert_eq!(seen.flags & END_HEADERS, END_HEADERS);
                return seen.stream;
            }
        }
    }

    async fn answer(&mut self, stream: u32) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
    }

    /// Reads until the other side is gone.
    async fn drain(&mut self) {
        while self.next(true).await.is_some() {}
    }
}

/// GOAWAY's payload: the last stream that is looked at, and a reason (§6.8).
fn go_away(last: u32, reason: u32) -> Vec<u8> {
    [last.to_be_bytes(), reason.to_be_bytes()].concat()
}

#[tokio::test]
async fn what_a_goaway_leaves_out_is_sent_again_whatever_its_method_rfc9113_6_8() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut first = raw.accept(&[]).await;
        let stream = first.request().await;
        first.answer(stream).await;
        let stream = first.request().await;
        // Nothing later than the first was looked at.
        first.frame(GOAWAY, 0, 0, &go_away(stream - 2, 0)).await;
        let mut second = raw.accept(&[]).await;
        let stream = second.request().await;
        second.answer(stream).await;
        second.drain().await;
    };
    let asking = async {
        assert_eq!(text(&origin, "/warm").await.unwrap(), "");
        let posted = send(&origin, request("POST", "/", RequestBody::from(Bytes::from_static(b"abc")))).await;
        assert_eq!(posted.unwrap().status, 200);
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn what_a_goaway_lets_through_is_answered_and_later_requests_go_elsewhere_rfc9113_6_8() {
    let (raw, origin) = Raw::new().await;
    let (told, goaway_seen) = tokio::sync::oneshot::channel();
    let serving = async {
        let mut first = raw.accept(&[]).await;
        let stream = first.request().await;
        first.frame(HEADERS, END_HEADERS, stream, STATUS_200).await;
        first.frame(GOAWAY, 0, 0, &go_away(stream, 0)).await;
        told.send(()).unwrap();
        let mut second = raw.accept(&[]).await;
        let other = second.request().await;
        second.answer(other).await;
        // The first one's response ends as it should.
        first.frame(0, END_STREAM, stream, b"whole").await;
        tokio::join!(first.drain(), second.drain());
    };
    let asking = async {
        let first = get(&origin, "/1").await.unwrap();
        goaway_seen.await.unwrap();
        // Any number of requests until the GOAWAY has been read; none of them is lost.
        assert_eq!(text(&origin, "/2").await.unwrap(), "");
        assert_eq!(whole(first.body).await.unwrap(), "whole");
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_for_another_reason_is_not_sent_again_rfc9113_8_7() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut peer = raw.accept(&[]).await;
        for reason in [2_u32, 8] {
            let stream = peer.request().await;
            peer.frame(RST_STREAM, 0, stream, &reason.to_be_bytes()).await;
        }
        let stream = peer.request().await;
        peer.answer(stream).await;
        peer.drain().await;
    };
    let asking = async {
        assert_eq!(text(&origin, "/").await, Err(Kind::Closed));
        assert_eq!(text(&origin, "/").await, Err(Kind::Closed));
        // It was the streams', not the connection's.
        assert_eq!(text(&origin, "/").await.unwrap(), "");
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_no_pings_is_dead_long_before_the_response_is_due() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut peer = raw.accept(&[]).await;
        let stream = peer.request().await;
        peer.answer(stream).await;
        peer.request().await;
        // From here on it reads and says nothing.
        let ping = loop {
            match peer.next(false).await {
                Some(seen) if seen.kind == PING => break true,
                Some(_) => {}
                None => break false,
            }
        };
        assert!(ping);
        while peer.next(false).await.is_some() {}
        // A request that may be sent twice goes to a fresh connection.
        let mut second = raw.accept(&[]).await;
        let stream = second.request().await;
        second.answer(stream).await;
        second.drain().await;
    };
    let asking = async {
        assert_eq!(text(&origin, "/warm").await.unwrap(), "");
        let began = tokio::time::Instant::now();
        assert_eq!(text(&origin, "/").await.unwrap(), "");
        // Of the paused clock: nothing is measured.
        let after = began.elapsed();
        assert!(after >= Duration::from_secs(20) && after < Duration::from_secs(40), "{after:?}");
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn interim_responses_without_end_are_given_up() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut peer = raw.accept(&[]).await;
        let stream = peer.request().await;
        for _ in 0..101 {
            peer.frame(HEADERS, END_HEADERS, stream, STATUS_103).await;
        }
        peer.drain().await;
    };
    let asking = async {
        assert_eq!(text(&origin, "/").await, Err(Kind::Protocol));
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn a_server_that_takes_no_streams_yet_gets_the_request_when_it_does_rfc9113_5_1_2() {
    let (raw, origin) = Raw::new().await;
    // SETTINGS_MAX_CONCURRENT_STREAMS (0x3) of 0, and later of 1.
    let most = |count: u8| [0, 3, 0, 0, 0, count];
    let serving = async {
        let mut peer = raw.accept(&most(0)).await;
        while peer.next(true).await.unwrap().kind != SETTINGS {}
        peer.frame(SETTINGS, 0, 0, &most(1)).await;
        let stream = peer.request().await;
        peer.answer(stream).await;
        peer.drain().await;
    };
    let asking = async {
        assert_eq!(text(&origin, "/").await.unwrap(), "");
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn frames_that_are_none_end_the_connection_and_its_requests() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut peer = raw.accept(&[]).await;
        let stream = peer.request().await;
        // Status fields that cannot be decoded.
        peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0xff, 0xff, 0xff, 0xff, 0xff]).await;
        peer.drain().await;
    };
    let asking = async {
        let asked = request("POST", "/", RequestBody::Empty);
        assert_eq!(send(&origin, asked).await.unwrap_err().kind(), Kind::Protocol);
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_is_received_rfc9113_8_1() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut peer = raw.accept(&[]).await;
        let stream = peer.request().await;
        // The window is never opened: most of the body stays where it is.
        peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
        peer.frame(RST_STREAM, 0, stream, &0_u32.to_be_bytes()).await;
        let next = peer.request().await;
        peer.answer(next).await;
        peer.drain().await;
    };
    let asking = async {
        let large = RequestBody::from(Bytes::from(vec![b'x'; 4 << 20]));
        let response = send(&origin, request("POST", "/", large)).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(whole(response.body).await.unwrap(), "");
        assert_eq!(text(&origin, "/").await.unwrap(), "");
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}

#[tokio::test]
async fn an_upload_that_nobody_reads_ends_with_its_response() {
    let (raw, origin) = Raw::new().await;
    let serving = async {
        let mut peer = raw.accept(&[]).await;
        let stream = peer.request().await;
        peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
        // The rest of the upload is taken back (§5.4.2), the connection goes on.
        while peer.next(true).await.unwrap().kind != RST_STREAM {}
        let next = peer.request().await;
        peer.answer(next).await;
        peer.drain().await;
    };
    let asking = async {
        let (pieces, body) = upload();
        pieces.send(piece("some")).unwrap();
        let response = send(&origin, request("POST", "/", body)).await.unwrap();
        assert_eq!(whole(response.body).await.unwrap(), "");
        pieces.closed().await;
        assert_eq!(text(&origin, "/").await.unwrap(), "");
        drop(origin);
    };
    patiently(|| "both sides".to_owned(), async { tokio::join!(serving, asking) }).await;
}
