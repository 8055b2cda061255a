//! The admin address: metrics, health, purges, and the servers of origins. It is for operators and machines that may do everything with
//! this server; who reaches the address may use it.

mod origins;
mod purge;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copal_origin::RequestBody;
use copal_policy::Limits;
use copal_proxy::{Body, ClientInfo, Clock, Proxy};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::listener::{Drain, Service, Terms};
use crate::telemetry::{self, ConnectionCounts, Scrape, Telemetry};

#[cfg(test)]
pub(crate) use origins::{CheckNow, FailingNow};
pub(crate) use origins::{Hand, InForce, Named, OriginList, OriginNow, ServerNow};
pub(crate) use purge::{Conditions, Done, ItemError, PurgeRequest};

/// Connections at a time. The address is for a few machines.
const CONNECTIONS: usize = 64;

/// How long connections may take to finish when the server ends.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// The longest request body: a few thousand URLs.
const MAX_BODY: usize = 1 << 20;

/// How long a scrape waits for the counts of the last milliseconds.
const FLUSH_LIMIT: Duration = Duration::from_millis(250);

/// Purges that count at a time.
const COUNTING: usize = 1;

const INDEX: &str = "\
Copal, admin address

GET  /metrics        counts, for Prometheus
GET  /healthz        200 while the process runs
GET  /readyz         200 while it takes requests, 503 when it drains
POST /purge          {\"urls\": [\"http://www.example.com/page\"], \"soft\": false}, or tags, tag_pattern, prefix, glob, host,
                     pattern, match, all; with dry_run, wait, refresh, repurge_after; answers {\"sequence\": 1, \"removed\": 1, ...}
POST /purge/explain  {\"method\": \"BAN\", \"url\": \"http://www.example.com/\", \"headers\": {}}: what such a request would do
GET  /origins        the servers of every origin: state, reason, requests, failures
POST /origins/{origin}/drain    {\"server\": \"10.0.0.5:9000\"}: no more requests; those under way are finished
POST /origins/{origin}/resume   {\"server\": \"10.0.0.5:9000\"}: requests again
GET  /openapi.json   all of this, for machines (OpenAPI 3.1)

What is posted is JSON, with Content-Type: application/json.
";

/// The description of this address; `docs/openapi.json` in the sources.
const OPENAPI: &str = include_str!("../docs/openapi.json");

const READ: &str = "GET, HEAD";

/// Every path, and the methods that it takes.
const ROUTES: &[(&str, &str)] = &[
    ("/", READ),
    ("/metrics", READ),
    ("/healthz", READ),
    ("/readyz", READ),
    ("/openapi.json", READ),
    ("/origins", READ),
    ("/origins/{origin}/drain", "POST"),
    ("/origins/{origin}/resume", "POST"),
    ("/purge", "POST"),
    ("/purge/explain", "POST"),
];

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
    /// Held by a purge that counts.
    pub(crate) counting: Semaphore,
    pub(crate) origins: InForce,
    pub(crate) clock: Clock,
}

/// [`Admin::counting`].
pub(crate) fn counting() -> Semaphore {
    Semaphore::new(COUNTING)
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

    fn answer(&self, request: Request<RequestBody>, client: ClientInfo) -> Self::Answer {
        let admin = Arc::clone(self);
        let peer = client.peer.ip();
        Box::pin(async move { admin.route(request, peer).await.unwrap_or_else(|refusal| refusal.response()) })
    }
}

/// A request that is not served: the status, and what to do instead.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: String,
    /// The methods that would be served.
    allow: Option<&'static str>,
    /// What is wrong, item by item.
    errors: Vec<ItemError>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), allow: None, errors: Vec::new() }
    }

    fn method(allow: &'static str) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}"));
        Self { allow: Some(allow), ..refusal }
    }

    fn response(self) -> Response<Body> {
        let mut value = json!({ "error": self.error });
        if !self.errors.is_empty() {
            value["errors"] = json!(self.errors);
        }
        let mut response = json(self.status, &value);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl Admin {
    async fn route(&self, request: Request<RequestBody>, peer: IpAddr) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        match (parts.uri.path(), &parts.method) {
            ("/", &Method::GET | &Method::HEAD) => Ok(text(StatusCode::OK, INDEX)),
            ("/metrics", &Method::GET | &Method::HEAD) => Ok(self.metrics().await),
            ("/healthz", &Method::GET | &Method::HEAD) => Ok(text(StatusCode::OK, "ok\n")),
            ("/readyz", &Method::GET | &Method::HEAD) => Ok(self.ready()),
            ("/openapi.json", &Method::GET | &Method::HEAD) => {
                Ok(respond(StatusCode::OK, "application/json", Bytes::from_static(OPENAPI.as_bytes())))
            }
            ("/origins", &Method::GET | &Method::HEAD) => {
                let list = origins::list(&self.origins, &self.proxy.config(), self.clock.now().as_millis());
                Ok(json(StatusCode::OK, &list))
            }
            ("/purge", &Method::POST) => {
                json_only(&parts.headers)?;
                let asked = PurgeRequest::parse(&collect(body).await?).map_err(|error| {
                    Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no purge request: {error}"))
                })?;
                let done = purge::purge(&self.proxy, &self.counting, &asked, peer).await.map_err(|nothing| {
                    Refusal { errors: nothing.errors, ..Refusal::new(StatusCode::BAD_REQUEST, nothing.error) }
                })?;
                Ok(json(StatusCode::OK, &done))
            }
            ("/purge/explain", &Method::POST) => {
                json_only(&parts.headers)?;
                let asked = read(&collect(body).await?, "no question about a purge")?;
                let explained = purge::explain(&self.proxy, asked, peer).await;
                Ok(json(StatusCode::OK, &explained.map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?))
            }
            (path, &Method::POST) if let Some(deed) = origins::by_hand(path) => {
                json_only(&parts.headers)?;
                let named = read(&collect(body).await?, "no name of a server")?;
                let (config, now) = (self.proxy.config(), self.clock.now().as_millis());
                Ok(json(StatusCode::OK, &origins::change(&self.origins, &config, deed, &named, (peer, now))?))
            }
            (path, _) => Err(match ROUTES.iter().find(|(known, _)| fits(known, path)) {
                Some((_, allow)) => Refusal::method(allow),
                None => Refusal::new(StatusCode::NOT_FOUND, format!("there is no {path} here; / says what there is")),
            }),
        }
    }

    async fn metrics(&self) -> Response<Body> {
        self.telemetry.flush(FLUSH_LIMIT).await;
        let scrape = Scrape {
            store: self.proxy.store().usage(),
            contexts: self.proxy.context_usage(),
            tunnels: self.proxy.tunnel_usage(),
            store_limit: self.store_limit,
            started: self.started,
            resident: telemetry::resident_memory(),
            origins: origins::statuses(&self.origins),
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

/// Whether a path is of this route, in which `{…}` stands for a segment.
fn fits(route: &str, path: &str) -> bool {
    let (route, path) = (route.split('/'), path.split('/'));
    route.clone().count() == path.clone().count()
        && route.zip(path).all(|(known, given)| known == given || known.starts_with('{'))
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

fn read<T: serde::de::DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is {what}: {error}")))
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(text) => respond(status, "application/json", Bytes::from(text + "\n")),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written\n"),
    }
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

    #[test]
    fn the_description_names_every_route_and_no_other() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let mut found: Vec<(&str, String)> = paths
            .iter()
            .map(|(path, item)| {
                let methods: Vec<String> =
                    item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
                (path.as_str(), methods.join(", "))
            })
            .collect();
        found.sort_unstable();
        // HEAD goes with GET.
        let mut routes: Vec<(&str, String)> =
            ROUTES.iter().map(|(path, allow)| (*path, allow.replace(", HEAD", ""))).collect();
        routes.sort_unstable();
        assert_eq!(found, routes);
        for (path, _) in ROUTES.iter().filter(|(path, _)| *path != "/") {
            assert!(INDEX.contains(path), "the page at / does not name {path}");
        }
    }

    #[test]
    fn the_description_has_the_fields_that_are_read_and_written() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort_unstable();
            keys
        };
        let fields = |schema: &str| keys(&described["components"]["schemas"][schema]["properties"]);
        let one = || vec!["x".to_owned()];
        let full = PurgeRequest {
            urls: one(),
            tags: one(),
            tag_pattern: one(),
            prefix: one(),
            glob: one(),
            host: one(),
            pattern: one(),
            conditions: Some(Conditions {
                host: Some("x".into()),
                url: Some("x".into()),
                tags: Some("x".into()),
                ..Conditions::default()
            }),
            repurge_after: Some("1s".into()),
            ..PurgeRequest::default()
        };
        let sent = json!(full);
        assert_eq!(keys(&sent), fields("Purge"));
        assert_eq!(keys(&sent["match"]), fields("Conditions"));
        let error = ItemError { field: "urls".into(), item: "x".into(), error: "wrong".into() };
        let done = json!(Done { matching: Some(1), errors: vec![error], ..Done::default() });
        assert_eq!(keys(&done), fields("Purged"));
        assert_eq!(keys(&done["errors"][0]), fields("ItemError"));
    }

    #[test]
    fn the_description_has_the_fields_of_origins() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let schema = |name: &str| &described["components"]["schemas"][name];
        let same = |value: &serde_json::Value, schema: &serde_json::Value| {
            let (value, known) = (value.as_object().unwrap(), schema["properties"].as_object().unwrap());
            assert!(value.keys().eq(known.keys()), "{value:?}\n{known:?}");
            let required = schema["required"].as_array().unwrap();
            assert!(known.keys().all(|key| required.iter().any(|name| name == key)), "all of it is always there");
        };
        let (check, failing) = (Some(CheckNow::default()), Some(FailingNow::default()));
        let server = ServerNow { check, failing, ..ServerNow::default() };
        let origin = json!(OriginNow { servers: vec![server], ..OriginNow::default() });
        same(&json!(OriginList::default()), schema("Origins"));
        same(&origin, schema("Origin"));
        same(&origin["servers"][0], schema("Server"));
        for part in ["check", "failing"] {
            same(&origin["servers"][0][part], &schema("Server")["properties"][part]["anyOf"][0]);
        }
        same(&json!(Named { server: String::new() }), schema("Named"));
    }

    #[test]
    fn a_route_with_a_name_in_it_takes_one_segment() {
        let route = "/origins/{origin}/drain";
        for (path, expected) in [
            ("/origins/cms/drain", true),
            ("/origins/cms/resume", false),
            ("/origins/cms", false),
            ("/origins/a/b/drain", false),
            ("/origins/cms/drain/", false),
        ] {
            assert_eq!(fits(route, path), expected, "{path}");
            assert_eq!(
                origins::by_hand(path),
                expected
                    .then_some(("cms", Hand::Drain))
                    .or_else(|| { (path == "/origins/cms/resume").then_some(("cms", Hand::Resume)) })
            );
        }
        assert_eq!(origins::by_hand("/origins//drain"), None);
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
