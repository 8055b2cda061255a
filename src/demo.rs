//! The sample site of `copal demo`: an origin in the same process, which Copal asks over the network like any other.

mod articles;
mod pages;
mod session;

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use copal_origin::RequestBody;
use copal_policy::Limits;
use copal_proxy::{Body, ClientInfo, Clock};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::Semaphore;

use crate::listener::{BindError, Drain, Listener, Service, Terms};
use crate::telemetry::ConnectionCounts;
use articles::ARTICLES;
use pages::Made;

/// The configuration that the demo runs by, with example addresses in it.
pub(crate) const CONFIG: &str = include_str!("demo/demo.yaml");

const STYLE: &str = include_str!("demo/style.css");
const IMAGE: &str = include_str!("demo/amber.svg");

/// How long the slow page takes.
const SLOW: Duration = Duration::from_secs(2);

/// The longest form.
const MAX_FORM: usize = 16 * 1024;

/// Connections at a time: all of them are Copal's.
const CONNECTIONS: usize = 1_024;

/// Where the site is in [`CONFIG`].
pub(crate) const SITE: &str = "127.0.0.1:9000";

/// [`CONFIG`] with real addresses in it.
pub(crate) fn config(listen: SocketAddr, admin: SocketAddr, site: SocketAddr) -> String {
    // By way of places that no address has: one may be given what stands for another.
    let places = [("127.0.0.1:8080", "\u{1}", listen), ("127.0.0.1:8081", "\u{2}", admin), (SITE, "\u{3}", site)];
    let open = places.iter().fold(CONFIG.to_owned(), |text, (written, place, _)| text.replace(written, place));
    places.iter().fold(open, |text, (_, place, address)| text.replace(place, &address.to_string()))
}

/// The site.
struct Site {
    clock: Clock,
    requests: AtomicU64,
    /// How often each article was revised.
    revisions: [AtomicU32; ARTICLES.len()],
}

/// Starts the site on a free port; gives its address and what serves it.
///
/// # Errors
/// There is no free port.
pub(crate) fn start(limits: Limits, clock: Clock) -> Result<(SocketAddr, impl Future<Output = ()>), BindError> {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let terms = Terms {
        limits: Limits { connections: CONNECTIONS, ..limits },
        room: Arc::new(Semaphore::new(CONNECTIONS)),
        counts: Arc::new(ConnectionCounts::default()),
        drain_limit: Duration::ZERO,
    };
    let site = Site { clock, requests: AtomicU64::new(0), revisions: Default::default() };
    Ok((listener.address(), listener.serve(Arc::new(site), terms, Arc::<Drain>::default())))
}

impl Service for Arc<Site> {
    type Body = Body;
    type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    fn answer(&self, request: Request<RequestBody>, _: ClientInfo) -> Self::Answer {
        let site = Arc::clone(self);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            site.route(&parts, body).await
        })
    }
}

impl Site {
    async fn route(&self, request: &request::Parts, body: RequestBody) -> Response<Body> {
        let made = self.made();
        let visitor = session::visitor(&request.headers);
        let path = request.uri.path();
        if request.method == Method::POST {
            let form = form(body).await;
            return match path {
                "/login" => log_in(&form),
                "/admin/revise" if visitor.is_some() => self.revise(&form),
                _ => redirect("/login", None),
            };
        }
        match path {
            "/" => html(StatusCode::OK, pages::page("Today", &pages::front(&self.revisions()), made)),
            "/esi/user" => html(StatusCode::OK, pages::user_block(visitor.as_deref())),
            "/login" => match request.uri.query().unwrap_or_default() {
                query if query.contains("name=") => log_in(query),
                query => {
                    let next = session::form_value(query, "next").unwrap_or_else(|| "/".to_owned());
                    html(StatusCode::OK, pages::page("Log in", &pages::login(&next), made))
                }
            },
            "/logout" => redirect("/", session::end()),
            "/slow" => {
                slowly().await;
                html(StatusCode::OK, pages::page("A slow page", &pages::slow(), made))
            }
            "/admin" | "/admin/" => match visitor {
                Some(name) => {
                    html(StatusCode::OK, pages::page("Newsroom", &pages::newsroom(&name, &self.revisions()), made))
                }
                None => redirect("/login?next=/admin/", None),
            },
            "/static/style.css" => file("text/css; charset=utf-8", STYLE),
            "/static/amber.svg" => file("image/svg+xml", IMAGE),
            _ => self.article(path, made),
        }
    }

    fn article(&self, path: &str, made: Made) -> Response<Body> {
        match path.strip_prefix("/articles/").and_then(articles::find) {
            Some((index, article)) => {
                let main = pages::article(article, self.revisions[index].load(Relaxed));
                html(StatusCode::OK, pages::page(article.title, &main, made))
            }
            None => html(StatusCode::NOT_FOUND, pages::page("Not here", &pages::not_found(), made)),
        }
    }

    fn revise(&self, form: &str) -> Response<Body> {
        let slug = session::form_value(form, "article").unwrap_or_default();
        if let Some((index, _)) = articles::find(&slug) {
            self.revisions[index].fetch_add(1, Relaxed);
        }
        redirect("/admin/", None)
    }

    fn revisions(&self) -> [u32; ARTICLES.len()] {
        std::array::from_fn(|index| self.revisions[index].load(Relaxed))
    }

    fn made(&self) -> Made {
        Made { request: self.requests.fetch_add(1, Relaxed) + 1, at: self.clock.now().as_secs() }
    }
}

#[expect(clippy::disallowed_methods, reason = "the slow page of the demo is slow; no test waits for it")]
async fn slowly() {
    tokio::time::sleep(SLOW).await;
}

async fn form(body: RequestBody) -> String {
    // What breaks off or is too long is no form.
    let body = Limited::new(body, MAX_FORM).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&body).into_owned()
}

/// Begins a session and goes back to a page of this site.
fn log_in(form: &str) -> Response<Body> {
    let name = session::form_value(form, "name").unwrap_or_default();
    let next = session::form_value(form, "next").unwrap_or_default();
    let own_page = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    redirect(if own_page { &next } else { "/" }, session::begin(&name))
}

fn redirect(to: &str, cookie: Option<HeaderValue>) -> Response<Body> {
    let mut response = html(StatusCode::SEE_OTHER, String::new());
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, to);
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn html(status: StatusCode, html: String) -> Response<Body> {
    let mut response = Response::new(Body::bytes(Bytes::from(html)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn file(media_type: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::bytes(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site { clock: Clock::system(), requests: AtomicU64::new(0), revisions: Default::default() }
    }

    async fn ask(site: &Site, method: Method, path: &str, cookie: Option<&str>, form: &str) -> (Response<()>, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = site.route(&parts, RequestBody::Full(Bytes::from(form.to_owned()))).await;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (Response::from_parts(parts, ()), text)
    }

    async fn get(path: &str, cookie: Option<&str>) -> (Response<()>, String) {
        ask(&site(), Method::GET, path, cookie, "").await
    }

    #[tokio::test]
    async fn every_page_that_is_linked_is_there() {
        for path in ["/", "/login", "/static/style.css", "/static/amber.svg"] {
            assert_eq!(get(path, None).await.0.status(), StatusCode::OK, "{path}");
        }
        let (_, front) = get("/", None).await;
        for article in &ARTICLES {
            let path = format!("/articles/{}", article.slug);
            assert!(front.contains(&path));
            assert_eq!(get(&path, None).await.0.status(), StatusCode::OK, "{path}");
        }
        assert_eq!(get("/articles/none", None).await.0.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_user_block_greets_and_pages_do_not() {
        let cookie = Some("demo_session=ada");
        assert!(get("/esi/user", None).await.1.contains("hello guest"));
        assert!(get("/esi/user", cookie).await.1.contains("hello ada"));
        assert!(!get("/", cookie).await.1.contains("ada"));
    }

    #[tokio::test]
    async fn log_in_and_out() {
        for (method, path, form) in [(Method::GET, "/login?name=ada", ""), (Method::POST, "/login", "name=ada")] {
            let (response, _) = ask(&site(), method, path, None, form).await;
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            assert_eq!(response.headers()[header::LOCATION], "/");
            assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().starts_with("demo_session=ada;"));
        }
        let (response, _) = get("/logout", Some("demo_session=ada")).await;
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    }

    #[tokio::test]
    async fn log_in_leads_to_this_site_only() {
        for (next, expected) in [
            ("/admin/", "/admin/"),
            ("//evil.example/", "/"),
            ("/%5Cevil.example", "/"),
            ("http://evil.example/", "/"),
            ("", "/"),
            ("/a%0Ab", "/"),
        ] {
            let (response, _) = ask(&site(), Method::POST, "/login", None, &format!("name=a&next={next}")).await;
            assert_eq!(response.headers()[header::LOCATION], expected, "{next}");
        }
    }

    #[tokio::test]
    async fn the_newsroom_is_for_those_who_logged_in() {
        let (response, _) = get("/admin/", None).await;
        assert_eq!(response.headers()[header::LOCATION], "/login?next=/admin/");
        let site = site();
        let cookie = Some("demo_session=ada");
        let (response, _) = ask(&site, Method::POST, "/admin/revise", None, "article=resin").await;
        assert_eq!(response.headers()[header::LOCATION], "/login");
        ask(&site, Method::POST, "/admin/revise", cookie, "article=resin").await;
        let (_, page) = ask(&site, Method::GET, "/articles/resin", None, "").await;
        assert!(page.contains("(revision 1)"));
    }

    #[test]
    fn the_demo_runs_by_a_good_configuration_without_warnings() {
        let [listen, admin, site] = [1, 2, 3].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        for text in [CONFIG.to_owned(), config(listen, admin, site)] {
            let loaded = copal_policy::load_str("demo.yaml", &text, None).unwrap_or_else(|errors| panic!("{errors}"));
            assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        }
        let loaded = copal_policy::load_str("demo.yaml", &config(listen, admin, site), None).unwrap();
        assert_eq!((loaded.config.listen.as_slice(), loaded.config.admin), (&[listen][..], Some(admin)));
        assert_eq!(loaded.config.origins[0].servers[0].url.port(), Some(3));
        // What one is given may be what stands for another.
        let [listen, admin, site] = [8081, 9000, 8080].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let loaded = copal_policy::load_str("demo.yaml", &config(listen, admin, site), None).unwrap();
        assert_eq!((loaded.config.listen.as_slice(), loaded.config.admin), (&[listen][..], Some(admin)));
        assert_eq!(loaded.config.origins[0].servers[0].url.port(), Some(8080));
    }

    #[test]
    fn what_the_demo_promises_of_each_address() {
        let config = copal_policy::load_str("demo.yaml", CONFIG, None).unwrap().config;
        let cookie =
            http::HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("demo_session=ada; other=1"))]);
        for (path, rule, decision) in [
            ("/", "pages", "cache"),
            ("/articles/resin", "pages", "cache"),
            ("/slow", "slow", "cache"),
            ("/static/style.css", "static", "cache"),
            ("/esi/user", "user-block", "pass"),
            ("/login?name=ada", "sign-in", "pass"),
            ("/logout", "sign-in", "pass"),
            ("/admin", "admin", "pass"),
            ("/admin/", "admin", "pass"),
        ] {
            let url = format!("http://127.0.0.1:8080{path}");
            for headers in [&http::HeaderMap::new(), &cookie] {
                let got = copal_proxy::explain(&config, &Method::GET, &url, headers).unwrap();
                assert_eq!((got.rule.as_str(), got.decision), (rule, decision), "{path}");
            }
        }
    }
}
