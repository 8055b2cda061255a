//! One connection of the scripted origin: reads a request, asks the script, does what it says.

use std::future::Future;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use http::StatusCode;

use crate::answer::{Act, Answer, Ending, Frame, Source};
use crate::front::{Facts, Transport};
use crate::origin::OpenConnection;
use crate::request::{Request, find};
use crate::stream::Order;
use crate::wire::{Framing, Wire};

/// What becomes of the connection after an answer.
enum Then {
    Next,
    End(Ending),
}

/// Serves a connection until one side ends it. Errors are the other side's doing and end it too.
pub(crate) async fn serve<S: Transport>(stream: S, facts: Facts, log: OpenConnection) {
    let mut wire = Wire::new(stream);
    while let Ok(Some(head)) = wire.head().await {
        match exchange(&mut wire, head, &facts, &log).await {
            Ok(Then::Next) => {}
            Ok(Then::End(Ending::Close)) => {
                wire.io.finish().await;
                break;
            }
            Err(_) => break,
            Ok(Then::End(Ending::Reset)) => {
                wire.io.reset_at_end();
                break;
            }
        }
    }
    // The socket first, so that whoever waits for the end of the connection finds it closed.
    drop(wire);
    drop(log);
}

async fn exchange<S: Transport>(
    wire: &mut Wire<S>,
    head: crate::wire::Head,
    facts: &Facts,
    log: &OpenConnection,
) -> io::Result<Then> {
    let mut framing = Framing::of(&head.headers, Framing::Done)?;
    let mut start = head.start.splitn(3, ' ').map(str::to_owned);
    let request = Request {
        method: start.next().unwrap_or_default(),
        target: start.next().unwrap_or_default(),
        version: start.next().unwrap_or_default(),
        headers: head.headers,
        connection: facts.connection,
        preface: facts.preface.clone(),
        tls: facts.tls.clone(),
        complete: framing == Framing::Done,
        ..Request::default()
    };
    let mut answer = log.answer(&request);
    let place = log.record(request);
    for (status, headers) in &answer.interim {
        wire.write(head_text(*status, None, headers).as_bytes()).await?;
    }
    if !answer.early {
        read_body(wire, &mut framing, log, place).await?;
    }
    let request = log.request(place)?;
    if let Act::Compute(compute) = &answer.act {
        answer = compute(&request);
    }
    if let Some(gate) = answer.head_gate.clone() {
        unless_closed(wire, gate.passed()).await?;
    }
    let then = act(wire, answer, &request).await?;
    if matches!(then, Then::Next) {
        read_body(wire, &mut framing, log, place).await?;
    }
    Ok(then)
}

async fn read_body<S: Transport>(
    wire: &mut Wire<S>,
    framing: &mut Framing,
    log: &OpenConnection,
    place: usize,
) -> io::Result<()> {
    let mut trailers = Vec::new();
    while let Some(bytes) = wire.body(framing, &mut trailers).await? {
        log.amend(place, |request| {
            request.body = [&request.body[..], &bytes[..]].concat().into();
        });
    }
    log.amend(place, |request| {
        request.complete = true;
        if !trailers.is_empty() {
            request.trailers = trailers;
        }
    });
    Ok(())
}

async fn act<S: Transport>(wire: &mut Wire<S>, answer: Answer, request: &Request) -> io::Result<Then> {
    match answer.act {
        Act::Respond => respond(wire, answer, request).await,
        Act::Echo => respond(wire, answer.body(request.text()), request).await,
        Act::End(ending) => Ok(Then::End(ending)),
        Act::Silence => unless_closed(wire, std::future::pending()).await,
        Act::Raw(bytes) => {
            wire.write(&bytes).await?;
            Ok(match answer.close {
                true => Then::End(Ending::Close),
                false => Then::Next,
            })
        }
        Act::Upgrade => {
            let head = head_text(answer.status, answer.reason.as_deref(), &answer.headers);
            wire.write(head.as_bytes()).await?;
            send_back(wire).await
        }
        Act::Refuse => Err(io::Error::other("an answer of HTTP/2")),
        Act::Compute(_) => Err(io::Error::other("an answer computed twice")),
    }
}

async fn send_back<S: Transport>(wire: &mut Wire<S>) -> io::Result<Then> {
    let mut framing = Framing::UntilClose;
    while let Some(bytes) = wire.body(&mut framing, &mut Vec::new()).await? {
        wire.write(&bytes).await?;
    }
    Ok(Then::End(Ending::Close))
}

async fn respond<S: Transport>(wire: &mut Wire<S>, answer: Answer, request: &Request) -> io::Result<Then> {
    let mut headers = answer.headers.clone();
    let bodiless = request.method == "HEAD" || matches!(answer.status, 204 | 304);
    let framed = find(&headers, "content-length").is_some() || find(&headers, "transfer-encoding").is_some();
    let in_chunks = answer.framing == Frame::Chunked && find(&headers, "content-length").is_none();
    if !framed && !matches!(answer.status, 204 | 304) {
        match (answer.framing, &answer.body) {
            (Frame::Chunked, _) => headers.push(("transfer-encoding".into(), "chunked".into())),
            (Frame::Length, Source::Pieces(pieces)) => {
                let length: usize = pieces.iter().map(Bytes::len).sum();
                headers.push(("content-length".into(), length.to_string()));
            }
            (Frame::Length | Frame::UntilClose, _) => {}
        }
    }
    let mut message = head_text(answer.status, answer.reason.as_deref(), &headers).into_bytes();
    if let Some(gate) = &answer.body_gate {
        wire.write(&std::mem::take(&mut message)).await?;
        unless_closed(wire, gate.passed()).await?;
    }
    let ended = match answer.body {
        _ if bodiless => {
            wire.write(&message).await?;
            None
        }
        Source::Pieces(pieces) => {
            let end = in_chunks.then(|| last_chunk(&answer.trailers));
            write_pieces(wire, message, pieces, end, answer.cut).await?
        }
        Source::Stream(orders) => {
            wire.write(&message).await?;
            let orders = orders.lock().take();
            let end = in_chunks.then(|| last_chunk(&answer.trailers));
            write_stream(wire, orders, end).await?
        }
    };
    let closes = answer.close
        || (answer.framing == Frame::UntilClose && !bodiless)
        || asks_to_close(&headers)
        || asks_to_close(&request.headers);
    Ok(match ended {
        Some(ending) => Then::End(ending),
        None if closes => Then::End(Ending::Close),
        None => Then::Next,
    })
}

/// The end of a body in chunks.
fn last_chunk(trailers: &[(String, String)]) -> String {
    let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("0\r\n{lines}\r\n")
}

/// Writes the head that is in `message` and the body, in chunks where there is an end of those. A body in one piece leaves
/// with its head in one write.
async fn write_pieces<S: Transport>(
    wire: &mut Wire<S>,
    mut message: Vec<u8>,
    pieces: Vec<Bytes>,
    end: Option<String>,
    cut: Option<(usize, Ending)>,
) -> io::Result<Option<Ending>> {
    let mut left = cut.map_or(usize::MAX, |(bytes, _)| bytes);
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            wire.write(&std::mem::take(&mut message)).await?;
        }
        let whole = piece.len() <= left;
        frame(&mut message, &piece[..piece.len().min(left)], end.is_some());
        left -= piece.len().min(left);
        if !whole {
            break;
        }
    }
    if let Some(end) = end.filter(|_| cut.is_none()) {
        message.extend_from_slice(end.as_bytes());
    }
    wire.write(&message).await?;
    Ok(cut.map(|(_, ending)| ending))
}

async fn write_stream<S: Transport>(
    wire: &mut Wire<S>,
    orders: Option<tokio::sync::mpsc::UnboundedReceiver<Order>>,
    end: Option<String>,
) -> io::Result<Option<Ending>> {
    let Some(mut orders) = orders else {
        return Err(io::Error::other("a streamed answer serves one request"));
    };
    loop {
        match unless_closed(wire, orders.recv()).await? {
            Some(Order::Send(bytes)) => {
                let mut message = Vec::new();
                frame(&mut message, &bytes, end.is_some());
                wire.write(&message).await?;
            }
            Some(Order::End) => {
                if let Some(end) = end {
                    wire.write(end.as_bytes()).await?;
                }
                return Ok(None);
            }
            Some(Order::Reset) => return Ok(Some(Ending::Reset)),
            Some(Order::Cut) | None => return Ok(Some(Ending::Close)),
        }
    }
}

fn frame(into: &mut Vec<u8>, bytes: &[u8], in_chunks: bool) {
    if !in_chunks {
        into.extend_from_slice(bytes);
    } else if !bytes.is_empty() {
        into.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        into.extend_from_slice(bytes);
        into.extend_from_slice(b"\r\n");
    }
}

/// Waits for `event`; an error when the other side closes first.
async fn unless_closed<S: Transport, T>(wire: &mut Wire<S>, event: impl Future<Output = T>) -> io::Result<T> {
    let mut event = pin!(event);
    tokio::select! {
        biased;
        happened = &mut event => return Ok(happened),
        read = wire.fill() => if read? == 0 {
            return Err(crate::wire::closed("by the other side".to_owned()));
        },
    }
    // There are bytes to read (a pipelined request, the rest of a body): a close behind them stays unseen.
    Ok(event.await)
}

fn asks_to_close(headers: &[(String, String)]) -> bool {
    find(headers, "connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
}

fn head_text(status: u16, reason: Option<&str>, headers: &[(String, String)]) -> String {
    let usual = StatusCode::from_u16(status).ok();
    let usual = usual.and_then(|status| status.canonical_reason());
    let reason = reason.or(usual).unwrap_or("Unknown");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} {reason}\r\n{lines}\r\n")
}
