//! A seeded simulator: clients, an origin that changes its mind, a clock, purges and unsafe methods drive the real proxy step
//! by step, and a naive model of RFC 9111 judges every answer. A failure prints the seed and the steps that matter;
//! `COPAL_SIMULATOR_SEED` and `COPAL_SIMULATOR_STEPS` repeat it or go further.

mod date;
pub(crate) mod dice;
mod model;
mod site;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use copal::server::{Server, Setup};
use copal_origin::RequestBody;
use copal_proxy::{ClientInfo, Clock};
use copal_store::Hardness;
use copal_testkit::{Answer, ManualClock, ScriptedOrigin, patiently};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::runtime::Builder;

use dice::Dice;
use model::{Asked, Fields, Got, Invalidity, Way};
use site::Site;

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const STEPS: usize = 25_000;
const HOST: &str = "site.example";
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// How often each way was gone.
type Tally = BTreeMap<Way, usize>;

struct Simulation {
    seed: u64,
    dice: Dice,
    clock: ManualClock,
    site: Arc<Mutex<Site>>,
    paths: Vec<String>,
    server: Server,
    /// Tags that clients have seen, by path.
    tags: BTreeMap<String, Vec<String>>,
    story: Vec<String>,
    tally: Tally,
}

impl Simulation {
    async fn start(seed: u64) -> (Self, ScriptedOrigin) {
        let mut dice = Dice::new(seed);
        let clock = ManualClock::at(1_700_000_000);
        let site = Arc::new(Mutex::new(Site::new(clock.clone(), &mut dice)));
        let origin = ScriptedOrigin::start().await;
        let answers = Arc::clone(&site);
        origin.on("*", Answer::from_fn(move |request| answers.lock().answer(request)));
        let yaml = format!(
            "listen: [{{address: '127.0.0.1:0'}}]\nlog: {{access: off}}\npurge: {{allow: ['127.0.0.1']}}\norigins: {{site: '{}'}}\n{}",
            origin.url(),
            site::RULES
        );
        let loaded = copal_policy::load_str("test.yaml", &yaml, None).unwrap_or_else(|errors| panic!("{errors}"));
        let clock_of_proxy = Clock::manual(clock.source());
        let setup = Setup { config: loaded.config, access_log: None, clock: clock_of_proxy, level: None };
        let server = Server::start(setup).unwrap_or_else(|error| panic!("{error}"));
        let paths = site.lock().paths();
        let (tags, story, tally) = (BTreeMap::new(), Vec::new(), Tally::new());
        (Self { seed, dice, clock, site, paths, server, tags, story, tally }, origin)
    }

    async fn step(&mut self, step: usize) {
        self.site.lock().step = step;
        let path = self.dice.of(&self.paths);
        match self.dice.below(100) {
            0..78 => self.request(step, path).await,
            78..88 => {
                let millis = self.dice.of(&[300, 1000, 1000, 2700, 2700, 5000, 5000, 12_000, 40_000]);
                self.story.push(format!("{step} the clock moves by {millis} ms"));
                self.clock.advance(Duration::from_millis(millis));
            }
            88..94 => {
                self.site.lock().change(&path, &mut self.dice);
                self.story.push(format!("{step} {path} changes"));
            }
            94..97 => self.purge(step, &path).await,
            _ => {
                let method = self.dice.of(&["POST", "PUT", "DELETE", "PATCH"]);
                let got = self.send(method, &path, &Fields::new()).await;
                self.story.push(format!("{step} {method} {path}: {:?}", got.map(|got| got.status)));
            }
        }
        self.settle().await;
    }

    async fn purge(&mut self, step: usize, path: &str) {
        let what = if self.dice.one_in(2) { Invalidity::Gone } else { Invalidity::Stale };
        self.site.lock().invalidate(path, what);
        self.story.push(format!("{step} purge of {path}: {what:?}"));
        if what == Invalidity::Gone {
            let got = self.send("PURGE", path, &Fields::new()).await;
            assert_eq!(got.unwrap().status, 200);
        } else {
            self.server.proxy().purge_url(&format!("http://{HOST}{path}"), Hardness::Soft).unwrap();
        }
    }

    /// A request whose answer is judged.
    async fn request(&mut self, step: usize, path: String) {
        let mut fields = Fields::new();
        let method = if self.dice.one_in(8) { "HEAD" } else { "GET" };
        for name in ["x-variant", "x-other"] {
            if self.dice.one_in(2) {
                fields.insert(name.to_owned(), self.dice.of(&["a", "b"]).to_owned());
            }
        }
        for (rarity, name, values) in [
            (12, "cookie", &["sid=1"][..]),
            (12, "authorization", &["Basic YTpi"]),
            (12, "range", &["bytes=0-9", "bytes=100-", "bytes=-20", "bytes=0-1,40-41", "bytes=90000-"]),
            (
                8,
                "cache-control",
                &[
                    "no-cache",
                    "max-age=0",
                    "max-stale",
                    "max-stale=10",
                    "only-if-cached",
                    "no-store",
                    "stale-if-error=60",
                ],
            ),
        ] {
            if self.dice.one_in(rarity) {
                fields.insert(name.to_owned(), self.dice.of(values).to_owned());
            }
        }
        if let Some(tags) = self.tags.get(&path).filter(|_| self.dice.one_in(5)) {
            fields.insert("if-none-match".to_owned(), self.dice.of(tags));
        }
        self.site.lock().client_has_condition = fields.contains_key("if-none-match");
        let asked = Asked { step, now: self.site.lock().now(), method: method.to_owned(), path, fields };
        let got = self.send(&asked.method, &asked.path, &asked.fields).await;
        self.settle().await;
        let site = self.site.lock();
        let history = &site.histories[&asked.path];
        let judged = match &got {
            Ok(got) => model::judge(history, &asked, got),
            // The origin broke off in the middle, and the client can tell.
            Err(_) if history.failed_in.last() == Some(&step) => Ok(Way::Failed),
            Err(error) => Err(error.clone()),
        };
        self.story.push(format!("{step} at {} {asked:?}\n     {got:?}\n     {judged:?}", asked.now));
        match judged {
            Ok(way) => *self.tally.entry(way).or_default() += 1,
            Err(wrong) => self.fail(&asked.path, &wrong),
        }
        drop(site);
        if let Some(tag) = got.ok().and_then(|mut got| got.fields.remove("etag")) {
            let tags = self.tags.entry(asked.path).or_default();
            tags.retain(|known| *known != tag);
            tags.push(tag);
            tags.drain(..tags.len().saturating_sub(4));
        }
    }

    fn fail(&self, path: &str, wrong: &str) -> ! {
        let mut story: Vec<_> =
            self.story.iter().rev().filter(|line| line.contains(path) || line.contains("clock")).take(40).collect();
        story.reverse();
        let story: String = story.iter().map(|line| format!("\n{line}")).collect();
        panic!("{story}\n\nseed {}: {wrong}", self.seed);
    }

    /// The answer, or how its body broke off.
    async fn send(&self, method: &str, path: &str, fields: &Fields) -> Result<Got, String> {
        let mut request = http::Request::builder().method(method).uri(path).header("host", HOST);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(RequestBody::Empty).unwrap();
        let client = ClientInfo { peer: CLIENT, local: None, secure: false, upgrade: None, interim: None };
        let (head, body) = self.server.proxy().handle(request, client).await.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Got {
            status: head.status.as_u16(),
            fields: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
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

fn simulate(seed: u64, steps: usize) -> Tally {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut simulation, _origin) = Simulation::start(seed).await;
        for step in 1..=steps {
            simulation.step(step).await;
        }
        simulation.tally
    })
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn a_hundred_thousand_steps_give_only_answers_that_rfc9111_permits() {
    let seeds = number_from("COPAL_SIMULATOR_SEED").map_or(SEEDS.to_vec(), |seed| vec![seed]);
    let steps = number_from("COPAL_SIMULATOR_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    let running: Vec<_> = seeds.into_iter().map(|seed| std::thread::spawn(move || simulate(seed, steps))).collect();
    let mut tally = Tally::new();
    for one in running {
        for (way, count) in one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            *tally.entry(way).or_default() += count;
        }
    }
    let all: usize = tally.values().sum();
    println!("{tally:?}");
    for way in [Way::Fetched, Way::Fresh, Way::Validated, Way::StaleWhileRefreshed, Way::StaleOnError, Way::NotModified]
    {
        let count = tally.get(&way).copied().unwrap_or_default();
        assert!(count * 400 > all, "{way:?} happened {count} times in {all}: {tally:?}");
    }
}
