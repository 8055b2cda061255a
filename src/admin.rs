//! The admin address: metrics, health, and the purge API. It is for operators and machines that may do everything with
//! this server; who reaches the address may use it.

mod purge;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copal_origin::RequestBody;
use copal_policy::Limits;
use copal_proxy::{Body, ClientInfo, Proxy};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::listener::{Drain, Service, Terms};
use crate::telemetry::{self, ConnectionCounts, Scrape, Telemetry};

pub(crate) use purge::PurgeRequest;

/// Connections at a time. The address is for a few machines.
const CONNECTIONS: usize = 64;

/// How long connections may take to finish when the server ends.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// The longest request body: a few thousand URLs.
const MAX_BODY: usize = 1 << 20;

/// How long a scrape waits for the counts of the last milliseconds.
const FLUSH_LIMIT: Duration = Duration::from_millis(250);

const INDEX: &str = "\
Copal, admin address

GET  /metrics   counts, for Prometheus
GET  /healthz   200 while the process runs
GET  /readyz    200 while it takes requests, 503 when it drains
POST /purge     {\"urls\": [\"http://www.example.com/page\"], \"tags\": [], \"prefix\": \"/blog/\", \"all\": false, \"soft\": false}
                with Content-Type: application/json; answers {\"sequence\": 1, \"removed\": 1}
";

/// What the admin address speaks for.
pub(crate) struct Admin {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// The clients' listeners': once it has begun the server is not ready any more.
    pub(crate) drain: Arc<Drain>,
    /// When the server began, in milliseconds since the Unix epoch.
    pub(crate) started: u64,
    /// Bytes that the store may take.
    pub(crate) store_limit: u64,
}

/// The terms of the admin listener. Its connections are no clients' and are not counted as such.
pub(crate) fn terms(limits: Limits) -> Terms {
    Terms {
        limits: Limits { connections: CONNECTIONS, ..limits },
        room: Arc::new(Semaphore::new(CONNECTIONS)),
        counts: Arc::new(ConnectionCounts::default()),
        drain_limit: DRAIN_LIMIT,
    }
}

impl Service for Arc<Admin> {
    type Body = Body;
    type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    fn answer(&self, request: Request<RequestBody>, _: ClientInfo) -> Self::Answer {
        let admin = Arc::clone(self);
        Box::pin(async move { admin.route(request).await.unwrap_or_else(|refusal| refusal.response()) })
    }
}

/// A request that is not served: the status, and what to do instead.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: String,
    /// The methods that would be served.
    allow: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), allow: None }
    }

    fn method(allow: &'static str) -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, error: format!("use {allow}"), allow: Some(allow) }
    }

    fn response(self) -> Response<Body> {
        let mut response = json(self.status, &json!({ "error": self.error }));
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl Admin {
    async fn route(&self, request: Request<RequestBody>) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        match (parts.uri.path(), &parts.method) {
            ("/", &Method::GET | &Method::HEAD) => Ok(text(StatusCode::OK, INDEX)),
            ("/metrics", &Method::GET | &Method::HEAD) => Ok(self.metrics().await),
            ("/healthz", &Method::GET | &Method::HEAD) => Ok(text(StatusCode::OK, "ok\n")),
            ("/readyz", &Method::GET | &Method::HEAD) => Ok(self.ready()),
            ("/purge", &Method::POST) => {
                json_only(&parts.headers)?;
                let wrong = |error| Refusal::new(StatusCode::BAD_REQUEST, error);
                let asked = serde_json::from_slice(&collect(body).await?)
                    .map_err(|error| wrong(format!("the body is no purge request: {error}")))?;
                let done = purge::purge(&self.proxy, &asked).map_err(wrong)?;
                Ok(json(StatusCode::OK, &done))
            }
            ("/" | "/metrics" | "/healthz" | "/readyz", _) => Err(Refusal::method("GET, HEAD")),
            ("/purge", _) => Err(Refusal::method("POST")),
            (path, _) => {
                Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no {path} here; / says what there is")))
            }
        }
    }

    async fn metrics(&self) -> Response<Body> {
        self.telemetry.flush(FLUSH_LIMIT).await;
        let scrape = Scrape {
            store: self.proxy.store().usage(),
            contexts: self.proxy.context_usage(),
            store_limit: self.store_limit,
            started: self.started,
            resident: telemetry::resident_memory(),
        };
        let page = telemetry::text(self.telemetry.metrics(), &scrape);
        respond(StatusCode::OK, telemetry::MEDIA_TYPE, Bytes::from(page))
    }

    fn ready(&self) -> Response<Body> {
        if self.drain.begun() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else {
            text(StatusCode::OK, "ready\n")
        }
    }
}

/// A page of another site can make a visitor's browser send a form to this address, but not JSON: that needs a leave
/// (CORS) which is not given here.
fn json_only(headers: &http::HeaderMap) -> Result<(), Refusal> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json"))
}

async fn collect(body: RequestBody) -> Result<Bytes, Refusal> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let error = format!("the body is longer than {MAX_BODY} bytes; send it in parts");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error))
        }
        Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    respond(status, "application/json", Bytes::from(value.to_string() + "\n"))
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn respond(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::bytes(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(media_type: Option<&'static str>) -> http::HeaderMap {
        media_type.map(|media_type| (header::CONTENT_TYPE, HeaderValue::from_static(media_type))).into_iter().collect()
    }

    #[test]
    fn what_a_form_can_send_is_refused() {
        for media_type in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data")]
        {
            let refusal = json_only(&headers(media_type)).unwrap_err();
            assert_eq!(refusal.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        for media_type in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(json_only(&headers(Some(media_type))).is_ok());
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        assert!(collect(RequestBody::Full(Bytes::from(vec![b' '; MAX_BODY]))).await.is_ok());
        let refusal = collect(RequestBody::Full(Bytes::from(vec![b' '; MAX_BODY + 1]))).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_refusal_is_json_and_says_what_to_do() {
        let response = Refusal::method("POST").response();
        assert_eq!(response.headers()[header::ALLOW], "POST");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value, json!({ "error": "use POST" }));
    }
}
