//! What invalidations cost in a full store: to acknowledge one, to a hit, in memory.
//!
//! `cargo bench -p copal-benches --bench invalidation [-- RESPONSES]` prints a table. A million responses with 50 tags each need
//! about 3 GiB; without a number it is a hundred thousand.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and prints its table"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use copal_esi::Piece;
use copal_semantics::{Freshness, Timestamp, Vary};
use copal_store::{
    CacheKey, Hardness, Head, Invalidation, Lookup, Match, Selector, Store, StoreSettings, TagMatch, expression,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Tags of each response: one of its own, one of its kind, and the others of a vocabulary.
const TAGS: usize = 50;

const VOCABULARY: usize = 20_000;

/// Responses that nothing names, which are asked for again and again.
const HOT: usize = 1_000;

struct Anybody;

impl Selector for Anybody {
    fn extras(&self) -> &str {
        ""
    }

    fn field(&self, _: &HeaderName) -> String {
        String::new()
    }

    fn accepts(&self, _: &HeaderValue) -> bool {
        true
    }
}

fn head(tags: Vec<String>) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert("etag", HeaderValue::from_static("\"5d8c72a5edda8\""));
    let freshness = Freshness {
        response_time: NOW,
        initial_age: Duration::ZERO,
        lifetime: Duration::from_secs(3600),
        grace: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        no_cache: false,
        must_revalidate: false,
        s_maxage: false,
    };
    Head {
        status: StatusCode::OK,
        headers,
        freshness,
        extras: String::new(),
        vary: Vary::default(),
        tags,
        esi: false,
        shared: false,
        authorized: false,
        rule: Arc::from("pages"),
        length: None,
        part: None,
        completes: None,
    }
}

fn fill(store: &Arc<Store>, key: &CacheKey, tags: Vec<String>) {
    let (mut writer, _reader) = store.fill_alone(key, Arc::new(Anybody)).storing(head(tags));
    let pushed = std::pin::pin!(writer.push(Piece::Text(Bytes::from_static(b"<p>A small page.</p>"))))
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(pushed, Poll::Ready(Ok(()))));
    writer.finish(NOW).expect("it is stored");
}

fn new_store() -> Arc<Store> {
    Store::new(StoreSettings { memory: 16 << 30, ..StoreSettings::default() })
}

/// A store of `count` responses, the first of which are the hot ones, with `tags` tags each.
fn full(count: usize, tags: usize) -> (Arc<Store>, Vec<CacheKey>) {
    let store = new_store();
    let mut hot = Vec::with_capacity(HOT);
    for number in 0..count {
        let key = store.key(format!("https://www.example.com/section/{}/article-{number}", number % 97));
        let word = |at: usize| (number * 31 + at * 7919) % VOCABULARY;
        let list = match number < HOT {
            true => (0..tags).map(|at| format!("hot_term:{}", word(at))).collect(),
            false => (0..tags)
                .map(|at| if at == 0 { format!("node:{number}") } else { format!("term:{}", word(at)) })
                .collect(),
        };
        fill(&store, &key, list);
        if number < HOT {
            hot.push(key);
        }
    }
    store.settle();
    (store, hot)
}

/// Bytes that the process has in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}

fn look_up(store: &Store, key: &CacheKey) {
    match store.lookup(key, &Anybody, NOW) {
        Lookup::Found { response, .. } => drop(black_box(response)),
        other => panic!("not a hit: {other:?}"),
    }
}

/// Nanoseconds that this thread was on a processor: other work of the machine does not count.
fn on_processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// Nanoseconds a hit, over all hot ones `rounds` times.
fn hits(store: &Store, hot: &[CacheKey], rounds: usize) -> f64 {
    let start = on_processor();
    for _ in 0..rounds {
        hot.iter().for_each(|key| look_up(store, key));
    }
    (on_processor() - start) / (rounds * hot.len()) as f64
}

/// The kernel counts a thread's time in steps of some milliseconds, so all of it together tells more than a median.
fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

/// Median, 99th percentile and longest, in microseconds.
fn spread(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let at = |part: usize| all[(all.len() - 1) * part / 1000].as_nanos() as f64 / 1000.0;
    format!("median {:.2} us, p99 {:.2} us, longest {:.1} us", at(500), at(990), at(1000))
}

fn timed(count: usize, mut each: impl FnMut(usize)) -> Vec<Duration> {
    let one = |number| {
        let start = Instant::now();
        each(number);
        start.elapsed()
    };
    (0..count).map(one).collect()
}

fn tag(text: String) -> Invalidation {
    Invalidation::Tag(text)
}

fn by_tags(text: &str) -> Invalidation {
    let pattern = expression(text).expect("it is an expression");
    Invalidation::Match(Box::new(Match { tags: Some(TagMatch::Pattern(pattern)), ..Match::default() }))
}

fn acknowledged(store: &Arc<Store>, hot: &[CacheKey]) {
    let purge = |what: &Invalidation| {
        black_box(store.invalidate(what, Hardness::Hard));
    };
    let before = mean(&(0..21).map(|_| hits(store, hot, 100)).collect::<Vec<_>>());
    let known = timed(10_000, |number| purge(&tag(format!("term:{number}"))));
    println!("purge by tag, each of which thousands carry: {}", spread(known));
    let unknown = timed(10_000, |number| purge(&tag(format!("none:{number}"))));
    println!("purge by tag that nothing carries: {}", spread(unknown));
    let first = hits(store, hot, 1);
    let after = mean(&(0..21).map(|_| hits(store, hot, 100)).collect::<Vec<_>>());
    println!(
        "hit before {before:.0} ns, the first after 20,000 purges {first:.0} ns, then {after:.0} ns ({:+.1} %)",
        (after / before - 1.0) * 100.0
    );
    let keys: Vec<CacheKey> =
        (0..10_000).map(|number| store.key(format!("https://www.example.com/other/{number}"))).collect();
    let urls = timed(keys.len(), |number| purge(&Invalidation::Key(keys[number].clone())));
    println!("purge of a URL: {}", spread(urls));
    let start = Instant::now();
    store.sweep();
    println!(
        "sweep after them: {:.2} s, {} responses left",
        start.elapsed().as_secs_f64(),
        store.usage().stored_responses
    );
}

/// Hits while purges come: one purge for so many hits, so that all hits look into the log. In turns with hits of a store that none
/// come to.
fn beside_purges(responses: usize) {
    const HITS_A_PURGE: usize = 5;
    let (quiet, of_quiet) = full(responses, TAGS);
    let (busy, of_busy) = full(responses, TAGS);
    let before = in_turns(&quiet, &of_quiet, &busy, &of_busy);
    let keys: Vec<CacheKey> =
        (0..50_000).map(|number| busy.key(format!("https://www.example.com/gone/{number}"))).collect();
    let what = |number: usize, by_tag: bool| match by_tag {
        true => tag(format!("gone:{}", number % keys.len())),
        false => Invalidation::Key(keys[number % keys.len()].clone()),
    };
    let mut number = 0;
    for by_tag in [false, true] {
        let (mut plain, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..31 {
            plain.push(hits(&quiet, &of_quiet, 10));
            let start = on_processor();
            for _ in 0..10 {
                for some in of_busy.chunks(HITS_A_PURGE) {
                    busy.invalidate(&what(number, by_tag), Hardness::Hard);
                    number += 1;
                    some.iter().for_each(|key| look_up(&busy, key));
                }
            }
            beside.push((on_processor() - start) / (10 * of_busy.len()) as f64);
        }
        let (plain, beside) = (mean(&plain), mean(&beside));
        let kind = if by_tag { "tags" } else { "URLs" };
        println!(
            "hit {plain:.0} ns; with a purge of one of 50,000 {kind} after each {HITS_A_PURGE}, that included: {beside:.0} ns"
        );
    }
    let after = in_turns(&quiet, &of_quiet, &busy, &of_busy);
    println!(
        "hit in a store that was purged beside one that was not: {before:.3} times as long before, {after:.3} after ({:+.1} %)",
        (after / before - 1.0) * 100.0
    );
}

/// How many times as long a hit takes in the second store as in the first, measured in turns.
fn in_turns(one: &Store, of_one: &[CacheKey], other: &Store, of_other: &[CacheKey]) -> f64 {
    let pair = |_| (hits(one, of_one, 100), hits(other, of_other, 100));
    let (one, other): (Vec<f64>, Vec<f64>) = (0..41).map(pair).unzip();
    mean(&other) / mean(&one)
}

fn memory_of_tags(responses: usize) {
    let at_first = resident();
    let (bare, _) = full(responses, 0);
    let without = resident() - at_first;
    let before = resident();
    let (tagged, _) = full(responses, TAGS);
    let with = resident() - before;
    let all = (responses * TAGS) as f64;
    let counted = tagged.usage().stored_bytes - bare.usage().stored_bytes;
    println!(
        "memory of a tag: {:.1} bytes by the process, {:.1} as counted ({} responses with {TAGS} tags, {} different)",
        (with as f64 - without as f64) / all,
        counted as f64 / all,
        responses,
        tagged.usage().tags
    );
}

fn memory_of_the_log() {
    for fills in [true, false] {
        let store = new_store();
        let key = store.key("https://www.example.com/slow");
        let _under_way = fills.then(|| store.fill_alone(&key, Arc::new(Anybody)));
        let (before, mut longest, mut largest) = (resident(), 0, 0);
        for number in 0..1_000_000 {
            let what = match number % 2 {
                0 => Invalidation::Key(store.key(format!("https://www.example.com/gone/{number}"))),
                _ => tag(format!("node:{number}")),
            };
            store.invalidate(&what, Hardness::Hard);
            if number % 1000 == 0 {
                longest = longest.max(store.usage().log_length);
                largest = largest.max(resident().saturating_sub(before));
            }
        }
        let beside = if fills { "beside a fill that does not end" } else { "without fills" };
        println!(
            "1,000,000 purges {beside}: at most {longest} in the log, {:.1} MiB",
            largest as f64 / f64::from(1 << 20)
        );
    }
}

fn tag_patterns(store: &Arc<Store>, hot: &[CacheKey]) {
    let different = store.usage().tags;
    let start = Instant::now();
    store.invalidate(&by_tags("^node:.*99$"), Hardness::Hard);
    let acknowledged = start.elapsed();
    let first = hits(store, hot, 1);
    let start = Instant::now();
    store.sweep();
    let swept = start.elapsed();
    println!(
        "pattern over {different} different tags: acknowledged in {:.1} us, the first hit of each {first:.0} ns, swept in {:.2} s, then {:.0} ns",
        acknowledged.as_nanos() as f64 / 1000.0,
        swept.as_secs_f64(),
        hits(store, hot, 20)
    );
}

fn main() {
    let responses = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(100_000_usize);
    let smaller = responses.min(100_000);
    // First, while the process has no free memory to take from.
    memory_of_the_log();
    memory_of_tags(smaller);
    beside_purges(smaller);
    let start = Instant::now();
    let before = resident();
    let (store, hot) = full(responses, TAGS);
    println!(
        "{responses} responses with {TAGS} tags each, {} different, stored in {:.1} s, {:.2} GiB",
        store.usage().tags,
        start.elapsed().as_secs_f64(),
        (resident() - before) as f64 / f64::from(1 << 30)
    );
    tag_patterns(&store, &hot);
    acknowledged(&store, &hot);
}
