//! One HTTP/2 connection of the scripted origin.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answer::{Act, Answer, Ending, Source};
use crate::front::{Facts, Transport};
use crate::origin::OpenConnection;
use crate::request::{Request, find};
use crate::stream::Order;

/// What an exchange needs beside its stream.
#[derive(Clone)]
struct Context {
    facts: Facts,
    log: Arc<OpenConnection>,
    /// Ends the connection at once.
    end: Arc<watch::Sender<bool>>,
}

/// Serves a connection until one side ends it.
pub(crate) async fn serve<S: Transport>(stream: S, facts: Facts, log: Arc<OpenConnection>, max_streams: Option<u32>) {
    let mut builder = Builder::new();
    if let Some(count) = max_streams {
        builder.max_concurrent_streams(count);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let (end, mut ended) = watch::channel(false);
    let context = Context { facts, log, end: Arc::new(end) };
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    exchanges.spawn(exchange(request, respond, context.clone()));
                }
                Some(Err(_)) | None => break,
            },
            Some(_) = exchanges.join_next() => {}
            _ = ended.wait_for(|ended| *ended) => break,
        }
    }
    drop(connection);
    exchanges.shutdown().await;
}

async fn exchange(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    context: Context,
) -> Result<(), io::Error> {
    let (parts, mut body) = request.into_parts();
    let mut headers = vec![
        (":scheme".to_owned(), parts.uri.scheme_str().unwrap_or_default().to_owned()),
        (":authority".to_owned(), parts.uri.authority().map(ToString::to_string).unwrap_or_default()),
    ];
    headers.extend(lines(&parts.headers));
    let request = Request {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: "HTTP/2.0".to_owned(),
        headers,
        connection: context.facts.connection,
        complete: body.is_end_stream(),
        preface: context.facts.preface.clone(),
        tls: context.facts.tls.clone(),
        ..Request::default()
    };
    let answer = context.log.answer(&request);
    let place = context.log.record(request);
    let acting = async {
        for (status, headers) in &answer.interim {
            respond.send_informational(head(*status, headers)).map_err(io::Error::other)?;
        }
        if answer.early {
            let (answered, _) = tokio::join!(
                answer_with(answer.clone(), &mut respond, place, &context),
                read_body(&mut body, &context.log, place)
            );
            return answered;
        }
        read_body(&mut body, &context.log, place).await?;
        answer_with(answer.clone(), &mut respond, place, &context).await
    };
    let outcome = acting.await;
    if let Err(error) = &outcome
        && let Some(reason) =
            error.get_ref().and_then(|inner| inner.downcast_ref::<h2::Error>()).and_then(h2::Error::reason)
    {
        context.log.amend(place, |request| request.reset = request.reset.or(Some(reason.into())));
    }
    outcome
}

async fn read_body(body: &mut RecvStream, log: &OpenConnection, place: usize) -> io::Result<()> {
    while let Some(bytes) = body.data().await {
        let bytes = bytes.map_err(io::Error::other)?;
        let _ = body.flow_control().release_capacity(bytes.len());
        log.amend(place, |request| request.body = [&request.body[..], &bytes[..]].concat().into());
    }
    let trailers = body.trailers().await.map_err(io::Error::other)?;
    log.amend(place, |request| {
        request.complete = true;
        request.trailers = trailers.iter().flat_map(lines).collect();
    });
    Ok(())
}

async fn answer_with(
    mut answer: Answer,
    respond: &mut SendResponse<Bytes>,
    place: usize,
    context: &Context,
) -> io::Result<()> {
    let request = context.log.request(place)?;
    if let Act::Compute(compute) = &answer.act {
        answer = compute(&request);
    }
    if let Some(gate) = answer.head_gate.clone() {
        unless_reset(|cx| respond.poll_reset(cx), gate.passed(), place, context).await?;
    }
    match answer.act {
        Act::Echo => {
            let answer = Answer { act: Act::Respond, ..answer.body(request.text()) };
            send(answer, respond, &request, place, context).await
        }
        Act::End(Ending::Close) => {
            context.end.send_replace(true);
            Ok(())
        }
        Act::End(Ending::Reset) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Act::Refuse => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        Act::Silence => unless_reset(|cx| respond.poll_reset(cx), std::future::pending(), place, context).await,
        Act::Respond => send(answer, respond, &request, place, context).await,
        Act::Raw(_) | Act::Upgrade | Act::Compute(_) => Err(io::Error::other("no such answer in HTTP/2")),
    }
}

async fn send(
    answer: Answer,
    respond: &mut SendResponse<Bytes>,
    request: &Request,
    place: usize,
    context: &Context,
) -> io::Result<()> {
    let mut headers = answer.headers.clone();
    let bodiless = request.method == "HEAD" || matches!(answer.status, 204 | 304);
    if let (Source::Pieces(pieces), crate::answer::Frame::Length) = (&answer.body, answer.framing)
        && find(&headers, "content-length").is_none()
        && !matches!(answer.status, 204 | 304)
    {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        headers.push(("content-length".into(), length.to_string()));
    }
    let mut stream = respond.send_response(head(answer.status, &headers), bodiless).map_err(io::Error::other)?;
    if bodiless {
        return Ok(());
    }
    if let Some(gate) = &answer.body_gate {
        unless_reset(|cx| stream.poll_reset(cx), gate.passed(), place, context).await?;
    }
    let ending = match answer.body {
        Source::Pieces(pieces) => {
            let mut left = answer.cut.map_or(usize::MAX, |(bytes, _)| bytes);
            for piece in pieces {
                let part = piece.slice(..piece.len().min(left));
                left -= part.len();
                write(&mut stream, part).await?;
            }
            answer.cut.map(|(_, ending)| ending)
        }
        Source::Stream(orders) => {
            let orders = orders.lock().take();
            let Some(mut orders) = orders else {
                return Err(io::Error::other("a streamed answer serves one request"));
            };
            loop {
                match unless_reset(|cx| stream.poll_reset(cx), orders.recv(), place, context).await? {
                    Some(Order::Send(bytes)) => write(&mut stream, bytes).await?,
                    Some(Order::End) => break None,
                    Some(Order::Reset) => break Some(Ending::Reset),
                    Some(Order::Cut) | None => break Some(Ending::Close),
                }
            }
        }
    };
    match ending {
        None if answer.trailers.is_empty() => stream.send_data(Bytes::new(), true).map_err(io::Error::other)?,
        None => stream.send_trailers(map(&answer.trailers)).map_err(io::Error::other)?,
        Some(Ending::Reset) => stream.send_reset(Reason::INTERNAL_ERROR),
        Some(Ending::Close) => {
            // What was written goes out before the end.
            tokio::task::yield_now().await;
            context.end.send_replace(true);
        }
    }
    if answer.close {
        context.end.send_replace(true);
    }
    Ok(())
}

/// Writes as fast as the other side takes it.
async fn write(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other("the stream has ended")),
            }
        }
        let part = bytes.split_to(stream.capacity().min(bytes.len()));
        stream.send_data(part, false).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Waits for `event`; an error, which is recorded, when the other side takes its request back first.
async fn unless_reset<T>(
    mut reset: impl FnMut(&mut std::task::Context<'_>) -> Poll<Result<Reason, h2::Error>>,
    event: impl Future<Output = T>,
    place: usize,
    context: &Context,
) -> io::Result<T> {
    tokio::select! {
        biased;
        happened = event => Ok(happened),
        reset = poll_fn(&mut reset) => {
            let reason = reset.map_err(io::Error::other)?;
            context.log.amend(place, |request| request.reset = Some(reason.into()));
            Err(io::Error::other("taken back by the other side"))
        }
    }
}

fn head(status: u16, headers: &[(String, String)]) -> Response<()> {
    let mut response = Response::new(());
    if let Ok(status) = http::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    *response.headers_mut() = map(headers);
    response
}

fn map(lines: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            map.append(name, value);
        }
    }
    map
}

fn lines(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
