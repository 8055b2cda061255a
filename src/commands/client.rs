//! Speaks to servers as the proxy speaks to origins; connections are kept from one request to the next.

use std::collections::HashMap;
use std::error::Error as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copal_origin::{Kind, Origin, OriginError, OriginSettings, RequestBody, ServerAddress, Timeouts};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use crate::failure::Failure;

/// Longest wait for a connection, and for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// `host:port` of `http://host:port`, or of that without the scheme.
///
/// # Errors
/// It is neither.
pub(super) fn authority(text: &str) -> Result<String, Failure> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong =
        || Failure::wrong(format_args!("`{text}` is no address of a server; write it as http://127.0.0.1:8081"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("http") {
        return Err(Failure::wrong(format_args!("`{text}`: Copal is spoken to by plain HTTP")));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

/// Where a server that listens on `address` is found from this machine.
pub(super) fn reachable(address: SocketAddr) -> String {
    let loopback = if address.is_ipv4() { [127, 0, 0, 1].into() } else { Ipv6Addr::LOCALHOST.into() };
    let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
    SocketAddr::new(ip, address.port()).to_string()
}

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
pub(super) struct Client {
    servers: HashMap<String, Arc<Origin>>,
    /// The options that say where a server is, for who gave a wrong one.
    options: &'static str,
}

impl Client {
    /// `options`: those that say where a server is, for messages.
    pub(super) fn new(options: &'static str) -> Self {
        Self { servers: HashMap::new(), options }
    }

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
        let options = self.options;
        let failed = |source| ClientError::Failed { server: server.to_owned(), source, options };
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
        if let Some(origin) = self.servers.get(server) {
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
        let options = self.options;
        let failed = |source| ClientError::Failed { server: server.to_owned(), source, options };
        let origin = Origin::new(settings).map_err(failed)?;
        self.servers.insert(server.to_owned(), Arc::clone(&origin));
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
    #[error("{}", advice(server, source, options))]
    Failed { server: String, source: OriginError, options: &'static str },
    #[error("the answer of {server} broke off: {source}")]
    Body { server: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("this cannot be sent: {0}")]
    Request(#[from] http::Error),
}

/// What happened, and what to do next.
fn advice(server: &str, error: &OriginError, options: &str) -> String {
    let what = match error.kind() {
        Kind::ConnectRefused => "nobody listens there".to_owned(),
        Kind::ConnectTimeout | Kind::FirstByteTimeout => format!("no answer in {} seconds", LIMIT.as_secs()),
        Kind::Dns => "there is no machine of this name".to_owned(),
        _ => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    };
    format!("cannot reach {server}: {what}. Does Copal run there? Say where it is with {options}")
}
