//! A small HTTP/1.1 client: one kept connection for each server it speaks to.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a connection, and for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Connections by server.
#[derive(Debug, Default)]
pub(super) struct Client(HashMap<String, SendRequest<Full<Bytes>>>);

impl Client {
    /// Sends a request to `server` (`host:port`) about `host`, with a JSON body unless that is empty.
    pub(super) async fn send(
        &mut self,
        server: &str,
        host: &str,
        method: &Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<Answer, ClientError> {
        let body = Bytes::from(body);
        // A kept connection may have been closed in the meantime; purging twice does no harm.
        if let Some(kept) = self.0.remove(server)
            && let Ok(answer) = self.exchange(server, kept, request(host, method, target, &body)?).await
        {
            return Ok(answer);
        }
        let fresh = connect(server).await?;
        self.exchange(server, fresh, request(host, method, target, &body)?).await
    }

    async fn exchange(
        &mut self,
        server: &str,
        mut connection: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ClientError> {
        let broke = |source| ClientError::Broke(server.to_owned(), source);
        let exchange = async {
            connection.ready().await.map_err(|error| broke(error.into()))?;
            let response = connection.send_request(request).await.map_err(|error| broke(error.into()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(broke)?.to_bytes();
            Ok::<_, ClientError>(Answer { status, body })
        };
        let answer = timeout(LIMIT, exchange).await.map_err(|_| ClientError::Silent { server: server.to_owned() })??;
        self.0.insert(server.to_owned(), connection);
        Ok(answer)
    }
}

async fn connect(server: &str) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let unreachable = |source| ClientError::Unreachable(server.to_owned(), source);
    let stream = timeout(LIMIT, TcpStream::connect(server))
        .await
        .map_err(|_| unreachable(std::io::ErrorKind::TimedOut.into()))?
        .map_err(unreachable)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| ClientError::Broke(server.to_owned(), error.into()))?;
    // Its end shows in the next request's error.
    tokio::spawn(connection);
    Ok(sender)
}

fn request(host: &str, method: &Method, target: &str, body: &Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, host);
    request = request.header(header::USER_AGENT, concat!("copal/", env!("CARGO_PKG_VERSION")));
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::new(body.clone()))?)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot reach {0}: {1}. Does Copal run there? Another address can be given with --server, --admin or --config")]
    Unreachable(String, #[source] std::io::Error),
    #[error("{server} did not answer in {} seconds", LIMIT.as_secs())]
    Silent { server: String },
    #[error("the connection to {0} broke: {1}")]
    Broke(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("this cannot be sent: {0}")]
    Request(#[from] http::Error),
}
