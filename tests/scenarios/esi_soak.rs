//! ESI under purges: many pages on several connections, while parts get new versions and the old ones are purged. Each page must be made of
//! parts that were valid when it was asked for, and of no other visitor's. `COPAL_SOAK_PAGES` and `COPAL_SOAK_SEED` go further or
//! elsewhere; `tests/run soak` takes a hundred thousand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use copal_testkit::{Answer, Client, ClientResponse, Gate, Request};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::front::Front;
use crate::simulator::dice::Dice;

const YAML: &str = "sessions: {cookies: [session], ignore: [group]}
rules:
  - {name: user, match: {path: /f/user}, pass: true}
  - {name: fragments, match: {path: '/f/**'}, cache: {ttl: 1h, status_ttl: {404: 1h}}, esi: true, sessions: ignore}
  - {name: pages, cache: {ttl: 1h}, esi: true, sessions: ignore}";

const PAGES: usize = 10_000;
const CLIENTS: usize = 8;
/// Pages for each purge.
const PACE: usize = 8;

/// What is stored, each with its own versions, and its template. `{}` is where it says which version it is.
const PARTS: [(&str, &str); 11] = [
    ("/p/stored", "{}<esi:include src='/f/a'/>-<esi:include src='/f/b'/>"),
    ("/p/passed", "{}<esi:include src='/f/user'/>-<esi:include src='/f/a'/>"),
    ("/p/nested", "{}<esi:include src='/f/nest'/>-<esi:include src='/f/b'/>"),
    ("/p/negotiated", "{}<esi:include src='/f/lang'/>"),
    (
        "/p/alt",
        "{}<esi:include src='/f/gone' alt='/f/a'/><esi:include src='/f/gone' onerror='continue'/>\
         <esi:try><esi:attempt>never<esi:include src='/f/gone'/></esi:attempt><esi:except><esi:include src='/f/b'/></esi:except></esi:try>",
    ),
    (
        "/p/chosen",
        "{}<esi:choose><esi:when test=\"$(HTTP_COOKIE{group})=='0'\"><esi:include src='/f/a'/></esi:when>\
         <esi:otherwise><esi:include src='/f/b'/></esi:otherwise></esi:choose><esi:vars>[group:$(HTTP_COOKIE{group})]</esi:vars>",
    ),
    ("/f/a", "{}"),
    ("/f/b", "{}"),
    ("/f/inner", "{}"),
    ("/f/nest", "{}<esi:include src='/f/inner'/><esi:include src='/f/a'/>"),
    ("/f/lang", "{}"),
];

/// A page, and the parts that it must have, in their order.
const SHOWN: [(&str, &[&str]); 6] = [
    ("/p/stored", &["/p/stored", "/f/a", "/f/b"]),
    ("/p/passed", &["/p/passed", "user", "/f/a"]),
    ("/p/nested", &["/p/nested", "/f/nest", "/f/inner", "/f/a", "/f/b"]),
    ("/p/negotiated", &["/p/negotiated", "/f/lang"]),
    ("/p/alt", &["/p/alt", "/f/a", "/f/b"]),
    ("/p/chosen", &["/p/chosen", "CHOSEN", "group"]),
];

/// What the origin has, and what may not be served any more.
#[derive(Default)]
struct Versions {
    /// What the origin answers.
    current: [AtomicU64; PARTS.len()],
    /// Older ones were purged, and the purge was acknowledged.
    required: [AtomicU64; PARTS.len()],
}

fn index(path: &str) -> Option<usize> {
    PARTS.iter().position(|(known, _)| *known == path)
}

impl Versions {
    /// The origin's answer, now and then held for a while after its version is decided on, or in pieces.
    fn answer(&self, request: &Request, dice: &Mutex<Dice>) -> Answer {
        if request.target == "/f/user" {
            let session = request
                .header("cookie")
                .and_then(|cookies| cookies.split("; ").find_map(|it| it.strip_prefix("session=")));
            return Answer::ok(format!("[user:{}]", session.unwrap_or_default())).header("cache-control", "private");
        }
        let Some(part) = index(&request.target) else { return Answer::status(404).body("no such thing") };
        let version = self.current[part].load(SeqCst);
        let language = request.header("accept-language").unwrap_or_default();
        let told = match request.target.as_str() {
            "/f/lang" => format!("[/f/lang:{version}:{language}]"),
            path => format!("[{path}:{version}]"),
        };
        let body = PARTS[part].1.replace("{}", &told);
        let mut dice = dice.lock();
        let answer = match dice.below(3) {
            0 => Answer::ok("").chunks(body.as_bytes().chunks(7).map(<[u8]>::to_vec)),
            _ => Answer::ok(body),
        };
        let kind = if request.target.starts_with("/f/") { "fragments" } else { "pages" };
        let answer = answer
            .header("content-type", "text/html")
            .header("vary", if request.target == "/f/lang" { "accept-language" } else { "accept-encoding" })
            .header("cache-tag", format!("part{part}, {kind}"));
        match dice.below(8) {
            held @ (0 | 1) => {
                let (gate, turns) = (Gate::new(), 1 + dice.below(40));
                let opens = gate.clone();
                tokio::spawn(async move {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                    opens.open();
                });
                if held == 0 { answer.held_by(&gate) } else { answer.body_held_by(&gate) }
            }
            _ => answer,
        }
    }

    fn raise(&self, parts: &[usize]) -> Vec<(usize, u64)> {
        parts.iter().map(|part| (*part, self.current[*part].fetch_add(1, SeqCst) + 1)).collect()
    }

    /// Gives parts new versions and purges the old ones, in one of the ways that there are.
    async fn purge(&self, front: &Front, client: &mut Client, dice: &mut Dice) {
        let part = usize::try_from(dice.below(PARTS.len() as u64)).unwrap();
        let fragments: Vec<usize> = (0..PARTS.len()).filter(|part| PARTS[*part].0.starts_with("/f/")).collect();
        let raised = match dice.below(16) {
            0 => {
                let raised = self.raise(&fragments);
                front.purge_tag("fragments");
                raised
            }
            1 => {
                let raised = self.raise(&fragments);
                front.purge_prefix("/f/");
                raised
            }
            2..=7 => {
                let raised = self.raise(&[part]);
                front.purge_tag(&format!("part{part}"));
                raised
            }
            _ => {
                let raised = self.raise(&[part]);
                assert_eq!(client.request("PURGE", PARTS[part].0).send().await.status, 200);
                raised
            }
        };
        // Only now is nobody to see the old ones any more.
        for (part, version) in raised {
            self.required[part].fetch_max(version, SeqCst);
        }
    }
}

/// A visitor with a connection of their own.
struct Visitor {
    number: usize,
    client: Client,
    dice: Dice,
    /// The last page with a validator, by its path.
    kept: BTreeMap<&'static str, (String, String)>,
    tally: BTreeMap<String, usize>,
}

impl Visitor {
    fn language(&self) -> &'static str {
        ["de", "en", "fr"][self.number % 3]
    }

    /// Asks for a page and checks what it is made of.
    async fn visit(&mut self, versions: &Versions) {
        let (path, parts) = self.dice.of(&SHOWN);
        let required = versions.required.each_ref().map(|version| version.load(SeqCst));
        let (language, group) = (self.language(), self.number % 2);
        let mut request = self.client.get(path).header("accept-language", language);
        request = request.header("cookie", format!("session=visitor{}; group={group}", self.number));
        let kept = self.kept.get(path).filter(|_| self.dice.one_in(2));
        if let Some((tag, _)) = kept {
            request = request.header("if-none-match", tag.as_str());
        }
        let got: ClientResponse = request.send().await;
        let current = versions.current.each_ref().map(|version| version.load(SeqCst));
        let (body, way) = match (got.status, kept) {
            (304, Some((_, body))) => (body.clone(), "not modified"),
            (200, _) if got.header("content-length").is_some() => (got.text().to_owned(), "of known length"),
            (200, _) => (got.text().to_owned(), "streamed"),
            _ => panic!("{path}: {got}"),
        };
        let said = || format!("{path} for visitor {}, {way}: {got}\n{body}", self.number);
        let shown: Vec<&str> = body.split(['[', ']', '-']).filter(|part| !part.is_empty()).collect();
        assert_eq!(shown.len(), parts.len(), "{}", said());
        for (shown, wanted) in shown.iter().zip(parts) {
            let (name, value) = shown.split_once(':').unwrap_or_else(|| panic!("{}", said()));
            let wanted = if *wanted == "CHOSEN" { ["/f/a", "/f/b"][group] } else { wanted };
            assert_eq!(name, wanted, "{}", said());
            let Some(part) = index(name) else {
                let own = if name == "user" { format!("visitor{}", self.number) } else { group.to_string() };
                assert_eq!(value, own, "another visitor's: {}", said());
                continue;
            };
            let (version, of_language) = value.split_once(':').unwrap_or((value, language));
            assert_eq!(of_language, language, "{}", said());
            let version: u64 = version.parse().unwrap();
            let valid = required[part]..=current[part];
            assert!(valid.contains(&version), "{name} is at {version}, valid were {valid:?}: {}", said());
        }
        if let Some(tag) = got.header("etag") {
            self.kept.insert(path, (tag.to_owned(), body));
        }
        *self.tally.entry(format!("{path} {way}")).or_default() += 1;
        *self.tally.entry(way.to_owned()).or_default() += 1;
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_made_of_parts_that_were_valid_when_it_was_asked_for() {
    let pages = number_from("COPAL_SOAK_PAGES").map_or(PAGES, |pages| usize::try_from(pages).unwrap());
    let seed = number_from("COPAL_SOAK_SEED").unwrap_or(1);
    println!("seed {seed}");
    let front = Arc::new(Front::with(YAML).await);
    let versions = Arc::new(Versions::default());
    let (answering, answers) = (Arc::clone(&versions), Mutex::new(Dice::new(seed)));
    front.origin.on("*", Answer::from_fn(move |request| answering.answer(request, &answers)));

    let asked = Arc::new(AtomicUsize::new(0));
    let (due, mut purges_due) = mpsc::channel::<()>(CLIENTS);
    let visitors: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (front, versions, asked, due) =
                (Arc::clone(&front), Arc::clone(&versions), Arc::clone(&asked), due.clone());
            tokio::spawn(async move {
                let dice = Dice::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
                let client = front.client().await;
                let mut visitor = Visitor { number, client, dice, kept: BTreeMap::new(), tally: BTreeMap::new() };
                loop {
                    let count = asked.fetch_add(1, SeqCst);
                    if count >= pages {
                        return visitor.tally;
                    }
                    visitor.visit(&versions).await;
                    if count % PACE == 0 {
                        due.send(()).await.unwrap();
                    }
                }
            })
        })
        .collect();
    drop(due);
    let (mut purges, mut dice, mut client) = (0, Dice::new(!seed), front.client().await);
    while purges_due.recv().await.is_some() {
        versions.purge(&front, &mut client, &mut dice).await;
        purges += 1;
    }
    let mut tally = BTreeMap::<String, usize>::new();
    for visitor in visitors {
        for (way, count) in visitor.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            *tally.entry(way).or_default() += count;
        }
    }
    println!("{purges} purges, {tally:#?}");
    assert!(purges >= pages / PACE, "{purges} purges");
    for way in ["not modified", "of known length", "streamed"] {
        assert!(tally.get(way).is_some_and(|count| count * 50 > pages), "{way} is rare: {tally:#?}");
    }
}
