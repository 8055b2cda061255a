//! Speaks to servers as the proxy speaks to origins; connections are kept from one request to the next.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copal_origin::{Kind, Origin, OriginError, OriginSettings, RequestBody, ServerAddress, Timeouts};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

/// Longest wait for a connection, and for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// `Cache-Status`, as text.
    pub(super) cache_status: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Servers by their `host:port`.
#[derive(Default)]
pub(super) struct Client(HashMap<String, Arc<Origin>>);

impl Client {
    /// Sends a request to `server` (`host:port`) about `host`, with a JSON body unless that is empty.
    pub(super) async fn send(
        &mut self,
        server: &str,
        host: &str,
        method: &Method,
        target: &str,
        fields: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<Answer, ClientError> {
        let origin = self.server(server)?;
        let body = Bytes::from(body);
        let failed = |source| ClientError::Failed { server: server.to_owned(), source };
        let response = match origin.send(request(host, method, target, fields, &body)?).await {
            // A kept connection that was closed in the meantime; purging twice does no harm.
            Err(error) if error.kind() == Kind::Closed => {
                origin.send(request(host, method, target, fields, &body)?).await.map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        let status = response.status;
        let cache_status = response.headers.get("cache-status").and_then(|value| value.to_str().ok());
        let cache_status = cache_status.unwrap_or_default().to_owned();
        let body = Limited::new(response.body, MAX_BODY).collect().await;
        let body = body.map_err(|source| ClientError::Body { server: server.to_owned(), source })?.to_bytes();
        Ok(Answer { status, body, cache_status })
    }

    fn server(&mut self, server: &str) -> Result<Arc<Origin>, ClientError> {
        if let Some(origin) = self.0.get(server) {
            return Ok(Arc::clone(origin));
        }
        let address: ServerAddress =
            format!("http://{server}").parse().map_err(|_| ClientError::Address(server.to_owned()))?;
        let settings = OriginSettings {
            name: server.to_owned(),
            servers: vec![address.into()],
            timeouts: Timeouts { connect: LIMIT, first_byte: LIMIT, between_bytes: LIMIT, ..Timeouts::default() },
            ..OriginSettings::default()
        };
        let failed = |source| ClientError::Failed { server: server.to_owned(), source };
        let origin = Origin::new(settings).map_err(failed)?;
        self.0.insert(server.to_owned(), Arc::clone(&origin));
        Ok(origin)
    }
}

fn request(
    host: &str,
    method: &Method,
    target: &str,
    fields: &[(HeaderName, HeaderValue)],
    body: &Bytes,
) -> Result<Request<RequestBody>, ClientError> {
    let request = Request::builder().method(method).uri(target).header(header::HOST, host);
    let request = request.header(header::USER_AGENT, concat!("copal/", env!("CARGO_PKG_VERSION")));
    let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    Ok(if body.is_empty() {
        request.body(RequestBody::Empty)?
    } else {
        request.header(header::CONTENT_TYPE, "application/json").body(RequestBody::Full(body.clone()))?
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("`{0}` is no address of a server")]
    Address(String),
    #[error("{}", advice(server, source))]
    Failed { server: String, source: OriginError },
    #[error("the answer of {server} broke off: {source}")]
    Body { server: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("this cannot be sent: {0}")]
    Request(#[from] http::Error),
}

/// What happened, and what to do next.
fn advice(server: &str, error: &OriginError) -> String {
    let what = match error.kind() {
        Kind::ConnectRefused => "nobody listens there".to_owned(),
        Kind::ConnectTimeout | Kind::FirstByteTimeout => format!("no answer in {} seconds", LIMIT.as_secs()),
        Kind::Dns => "there is no machine of this name".to_owned(),
        _ => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    };
    format!("cannot reach {server}: {what}. Does Copal run there? Say where it is with --server, --admin or --config")
}
