//! ESI: what is remembered of a page never shows. Two servers get the same requests, purges, reloads and moves of the clock; one of
//! them is asked in a way that makes it put every page together from the beginning. All that clients and origins see of the two
//! must be the same.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use copal::server::{Server, Setup};
use copal_origin::RequestBody;
use copal_policy::Config;
use copal_proxy::{ClientInfo, Clock};
use copal_store::{Hardness, Invalidation};
use copal_testkit::{Answer, ManualClock, Request, ScriptedOrigin, patiently};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::simulator::dice::Dice;

const HOST: &str = "site.example";
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// What a reload changes to and fro: rules that ask for fields and cookies, other keys, other limits.
const SETTINGS: [&str; 3] = [
    "sessions: {cookies: [session], ignore: [theme]}
rules:
  - {name: lang, match: {path: '/f/1', header: x-lang}, pass: true}
  - {name: beta, match: {path: '/f/2', cookie: beta}, pass: true}
  - {name: user, match: {path: '/f/user'}, pass: true}
  - {name: keyed, match: {path: '/f/3'}, cache: {default_ttl: 20s, key: {headers: [x-key], cookies: [taste]}}}
  - {name: frags, match: {path: '/f/**'}, cache: {default_ttl: 20s, grace: 10s}}
  - {name: pages, cache: {default_ttl: 1m, grace: 10s, key: {query: {deny: [utm]}}}, esi: true, sessions: ignore}",
    "sessions: {cookies: [session], ignore: [theme]}
rules:
  - {name: frags, match: {path: '/f/**', query: q}, cache: {ttl: 5s, client_cache_control: 'max-age=3'}}
  - {name: gone, match: {path: '/f/4'}, respond: {status: 404}}
  - {name: all, cache: {default_ttl: 1m, grace: 10s}, esi: auto, sessions: ignore}",
    "sessions: {cookies: [theme]}
esi: {max_includes: 3}
rules:
  - {name: special, match: {path: '/p/**', header: x-lang}, cache: {default_ttl: 1m, client_cache_control: 'max-age=9'}, esi: true}
  - {name: all, cache: {default_ttl: 30s, stale_if_error: 1m, request_directives: honour}, esi: true, sessions: ignore}",
];

const PAGES: [&str; 9] = [
    "<p>1<esi:include src='/f/1'/>2<esi:include src='/f/2'/>3",
    "<esi:include src='/f/3'/><esi:include src='../f/4'/><esi:include src='/f/1?q=1'/><esi:include src='/f/2'/>",
    "<esi:include src='/f/user'/>and<esi:include src='/f/1'/>",
    "<esi:include src='?q=1'/>of itself<esi:include src='/p/3'/>",
    "<esi:include src='/p/0'/>within<esi:include src='/f/4' alt='/f/1'/>",
    "<esi:include src='http://site.example/f/varies'/>, <esi:include src='http://elsewhere.example/f/1'/>",
    "<esi:vars>$(QUERY_STRING) $(HTTP_COOKIE{theme})</esi:vars><esi:include src='/f/2'/>",
    "<esi:include src='/f/gzip'/><esi:include src='/f/error' onerror='continue'/><esi:include src='/f/4'/>",
    "no include at all",
];

/// What both origins answer: made of nothing but the path, its version and what is said to be asked for.
#[derive(Default)]
struct Site {
    versions: BTreeMap<String, u64>,
}

impl Site {
    fn answer(&self, target: &str, key: Option<&str>) -> Answer {
        let path = target.split('?').next().unwrap_or_default();
        let version = self.versions.get(path).copied().unwrap_or_default();
        if let Some(number) = path.strip_prefix("/p/") {
            let page = PAGES[number.parse::<usize>().unwrap()];
            let answer = Answer::ok(format!("{page}[{version}]")).header("content-type", "text/html");
            let answer = answer.header("surrogate-control", "content=\"ESI/1.0\"").header("etag", "\"template\"");
            return if version % 3 == 1 { answer.header("cache-control", "max-age=40") } else { answer };
        }
        let text = format!("{target} {} {version}", key.unwrap_or("-"));
        // A long one is a run of its own.
        let text = if version % 4 == 3 { text.repeat(400) } else { text };
        let answer = Answer::ok(text).header("content-type", "text/plain").header("cache-tag", "tagged");
        match (path, version % 5) {
            ("/f/error", _) => Answer::status(500),
            ("/f/gzip", 1) => answer.header("content-encoding", "gzip"),
            ("/f/varies", 0) => answer.header("vary", "accept-language"),
            ("/f/varies", 1) => answer.header("vary", "accept-encoding, cookie"),
            ("/f/4", 1) => Answer::status(404),
            ("/f/4", 2) => answer.header("cache-control", "no-store"),
            (_, 3) => answer.header("cache-control", "max-age=15"),
            (_, 4) => answer.header("cache-control", "private"),
            _ => answer,
        }
    }
}

#[derive(Debug, PartialEq)]
struct Got {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
}

struct Side {
    server: Server,
    origin: ScriptedOrigin,
    /// What the origin was asked for, and how often.
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    by_hand: bool,
}

fn config(origin: &ScriptedOrigin, settings: &str) -> Config {
    let yaml = format!(
        "listen: [{{address: '127.0.0.1:0'}}]\nlog: {{access: off}}\norigins: {{site: '{}'}}\ncache: {{tag_headers: [cache-tag]}}\n{settings}",
        origin.url()
    );
    copal_policy::load_str("test.yaml", &yaml, None).unwrap_or_else(|errors| panic!("{errors}\n{yaml}")).config
}

impl Side {
    async fn start(clock: &ManualClock, site: &Arc<Mutex<Site>>, by_hand: bool) -> Self {
        let origin = ScriptedOrigin::start().await;
        let asked = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let (answers, counts) = (Arc::clone(site), Arc::clone(&asked));
        let answer = move |request: &Request| {
            *counts.lock().entry(request.target.clone()).or_default() += 1;
            answers.lock().answer(&request.target, request.header("x-key"))
        };
        origin.on("*", Answer::from_fn(answer));
        let clock = Clock::manual(clock.source());
        let setup = Setup { config: config(&origin, SETTINGS[0]), access_log: None, clock, level: None };
        let server = Server::start(setup).unwrap_or_else(|error| panic!("{error}"));
        Self { server, origin, asked, by_hand }
    }

    async fn send(&self, method: &str, target: &str, fields: &[(&str, String)]) -> Got {
        let mut request = http::Request::builder().method(method).uri(target).header("host", HOST);
        if self.by_hand {
            // Says nothing to any cache; but who says something there is not like all others.
            request = request.header("cache-control", "by-hand");
        }
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let request = request.body(RequestBody::Empty).unwrap();
        let client = ClientInfo { peer: CLIENT, local: None, secure: false, upgrade: None, interim: None };
        let (head, body) = self.server.proxy().handle(request, client).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        // Each request has its own.
        fields.retain(|(name, _)| name != "x-request-id");
        fields.sort();
        self.settle().await;
        let body = String::from_utf8_lossy(&body);
        let body = body.split("\nRequest: ").next().unwrap_or_default().to_owned();
        Got { status: head.status.as_u16(), fields, body }
    }

    /// Waits until nothing is fetched in the background any more.
    async fn settle(&self) {
        let store = self.server.proxy().store();
        let idle = async {
            while store.usage().fills > 0 {
                tokio::task::yield_now().await;
            }
        };
        patiently(|| format!("the end of {} fills", store.usage().fills), idle).await;
    }
}

struct Pair {
    sides: [Side; 2],
    clock: ManualClock,
    site: Arc<Mutex<Site>>,
    dice: Dice,
    tag: String,
    story: Vec<String>,
}

impl Pair {
    async fn step(&mut self) {
        let fragment =
            self.dice.of(&["/f/1", "/f/2", "/f/3", "/f/4", "/f/user", "/f/varies", "/f/gzip", "/p/0", "/p/1"]);
        match self.dice.below(100) {
            0..80 => self.request().await,
            80..86 => {
                let seconds = self.dice.of(&[1, 2, 6, 11, 25, 70]);
                self.story.push(format!("the clock moves by {seconds} s"));
                self.clock.advance(Duration::from_secs(seconds));
            }
            86..91 => {
                self.story.push(format!("{fragment} changes"));
                *self.site.lock().versions.entry(fragment.to_owned()).or_default() += 1;
            }
            91..96 => {
                let hardness = self.dice.of(&[Hardness::Hard, Hardness::Soft]);
                self.story.push(format!("purge of {fragment}: {hardness:?}"));
                for side in &self.sides {
                    side.server.proxy().purge_url(&format!("http://{HOST}{fragment}"), hardness).unwrap();
                }
            }
            96..99 => {
                self.story.push("purge of the tag".to_owned());
                for side in &self.sides {
                    side.server.proxy().store().invalidate(&Invalidation::Tag("tagged".to_owned()), Hardness::Hard);
                }
            }
            _ => {
                let settings = self.dice.below(3);
                self.story.push(format!("settings {settings}"));
                for side in &self.sides {
                    let settings = SETTINGS[usize::try_from(settings).unwrap()];
                    side.server.reconfigure(config(&side.origin, settings)).unwrap();
                }
            }
        }
    }

    /// The same request to both, some times: what is found out by the first is used by the second.
    async fn request(&mut self) {
        let query = self.dice.of(&["", "", "", "?utm=1", "?q=1", "?utm=2"]);
        let target = format!("/p/{}{query}", self.dice.below(PAGES.len() as u64));
        let method = if self.dice.one_in(12) { "HEAD" } else { "GET" };
        let plain = self.dice.one_in(2);
        let mut fields = vec![("user-agent", format!("agent {}", self.dice.below(3)))];
        for (rarity, name, values) in [
            (4, "accept-language", &["de", "en"][..]),
            (9, "x-lang", &["de"]),
            (9, "x-key", &["a", "b"]),
            (6, "cookie", &["theme=dark", "beta=1", "taste=salt", "session=1", "theme=dark; session=2"]),
            (20, "authorization", &["Basic YTpi"]),
            (20, "x-auth-token", &["t"]),
            (15, "cache-control", &["no-cache", "max-age=5", "only-if-cached"]),
            (15, "range", &["bytes=0-3"]),
        ] {
            if !plain && self.dice.one_in(rarity) {
                fields.push((name, self.dice.of(values).to_owned()));
            }
        }
        if self.dice.one_in(4) {
            fields.push(("if-none-match", self.tag.clone()));
        }
        for _ in 0..1 + self.dice.below(3) {
            let (one, other) = (
                self.sides[0].send(method, &target, &fields).await,
                self.sides[1].send(method, &target, &fields).await,
            );
            self.story.push(format!("{method} {target} {fields:?}: {} {:?}", one.status, one.fields));
            let asked = self.sides.each_ref().map(|side| side.asked.lock().clone());
            if one != other || asked[0] != asked[1] {
                let story = self.story.iter().rev().take(30).rev().fold(String::new(), |all, line| all + "\n" + line);
                panic!("{story}\n\nby heart {one:?}\n{:?}\n\nby hand {other:?}\n{:?}", asked[0], asked[1]);
            }
            if let Some((_, tag)) = one.fields.iter().find(|(name, _)| name == "etag") {
                self.tag.clone_from(tag);
            }
        }
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_page_never_shows() {
    let mut known = 0;
    for seed in 1..=4 {
        let clock = ManualClock::at(1_700_000_000);
        let site = Arc::<Mutex<Site>>::default();
        let sides = [Side::start(&clock, &site, false).await, Side::start(&clock, &site, true).await];
        let (dice, tag, story) = (Dice::new(seed), "\"none\"".to_owned(), vec![format!("seed {seed}")]);
        let mut pair = Pair { sides, clock, site, dice, tag, story };
        for _ in 0..600 {
            pair.step().await;
        }
        let [by_heart, by_hand] = pair.sides.map(|side| side.server.proxy().pages_by_heart());
        assert_eq!(by_hand, 0);
        known += by_heart;
    }
    assert!(known > 150, "only {known} pages were known by heart: this shows nothing");
}
