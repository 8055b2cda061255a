//! Origins against a scripted server. Time is tokio's paused clock where a limit of time is at stake: it moves on by itself as
//! soon as everybody waits, so a timeout comes at once and nothing is measured.

mod balance;
mod body;
mod budget;
mod exchange;
mod head;
mod health;
mod hold;
mod http2;
mod http2_raw;
mod names;
mod no_http;
mod proxy_protocol;
mod refuge;
mod retry;
mod reuse;
mod sticky;
mod time;
mod tls;
mod total;
mod unix;
mod upload;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use copal_testkit::{ScriptedOrigin, patiently};
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use crate::{
    BoxError, Kind, Origin, OriginBody, OriginError, OriginResponse, OriginSettings, RequestBody, ServerAddress,
};

fn settings(urls: &[String]) -> OriginSettings {
    OriginSettings {
        name: "cms".to_owned(),
        servers: urls.iter().map(|url| url.parse::<ServerAddress>().unwrap().into()).collect(),
        ..OriginSettings::default()
    }
}

fn origin(servers: &[&ScriptedOrigin]) -> Arc<Origin> {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    Origin::new(settings(&urls)).unwrap()
}

async fn one() -> (ScriptedOrigin, Arc<Origin>) {
    let server = ScriptedOrigin::start().await;
    let origin = origin(&[&server]);
    (server, origin)
}

fn request(method: &str, target: &str, body: RequestBody) -> Request<RequestBody> {
    let request = Request::builder().method(method).uri(target);
    request.header("host", "a.test").body(body).unwrap()
}

async fn send(origin: &Origin, request: Request<RequestBody>) -> Result<OriginResponse, OriginError> {
    patiently(|| "a response head".to_owned(), origin.send(request)).await
}

async fn get(origin: &Origin, target: &str) -> Result<OriginResponse, OriginError> {
    send(origin, request("GET", target, RequestBody::Empty)).await
}

async fn whole(body: OriginBody) -> Result<String, OriginError> {
    let collected = patiently(|| "a response body".to_owned(), body.collect()).await?;
    Ok(String::from_utf8(collected.to_bytes().to_vec()).unwrap())
}

/// The body of a GET, or the kind of the error, wherever it came.
async fn text(origin: &Origin, target: &str) -> Result<String, Kind> {
    let response = get(origin, target).await.map_err(|error| error.kind())?;
    whole(response.body).await.map_err(|error| error.kind())
}

async fn next(body: &mut OriginBody) -> Option<Result<Bytes, OriginError>> {
    let frame = patiently(|| "the next piece".to_owned(), body.frame()).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

/// A request body that the test sends piece by piece; dropping the sender ends it.
struct Pieces(mpsc::UnboundedReceiver<Result<Bytes, BoxError>>);

type Sender = mpsc::UnboundedSender<Result<Bytes, BoxError>>;

fn upload() -> (Sender, RequestBody) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, RequestBody::stream(Pieces(receiver)))
}

fn piece(text: &'static str) -> Result<Bytes, BoxError> {
    Ok(Bytes::from_static(text.as_bytes()))
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx).map(|item| item.map(|piece| piece.map(Frame::data)))
    }
}
