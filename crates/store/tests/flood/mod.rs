//! Fills a store with far more than it may hold and asks the system what the process has grown by.

// The leave that tests have does not reach what integration tests share.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use copal_esi::Piece;
use copal_semantics::{Freshness, Timestamp, Vary};
use copal_store::{Discarded, Head, Selector, Store, StoreSettings};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LIMIT: u64 = 64 << 20;
const URLS: usize = 200_000;
const TASKS: usize = 2;
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Stores responses for `URLS` URLs from several threads; the growth must stay within a tenth over the limit, and reach
/// six tenths of it, so that the weights are not padded.
pub(crate) fn stays_within_the_limit(body: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(TASKS).build().unwrap();
    let store = Store::new(StoreSettings { memory: LIMIT, ..StoreSettings::default() });
    let baseline = resident();
    let highest = runtime.block_on(async {
        let tasks: Vec<_> =
            (0..TASKS).map(|task| tokio::spawn(flood(Arc::clone(&store), task, body, baseline))).collect();
        let mut highest = 0;
        for task in tasks {
            highest = highest.max(task.await.unwrap());
        }
        highest
    });
    let usage = store.usage();
    let grown = resident().saturating_sub(baseline);
    let each = |bytes: u64| bytes / usage.stored_responses;
    println!(
        "{body} bytes: grown {grown}, at most {highest}, of {LIMIT}: {:.3}; {} responses, counted {} and taking {} each",
        highest as f64 / LIMIT as f64,
        usage.stored_responses,
        each(usage.stored_bytes),
        each(grown),
    );
    assert!(usage.evicted > 0, "nothing was evicted: {usage:?}");
    assert!(highest <= LIMIT / 100 * 110, "grown by {highest} bytes, over {LIMIT}");
    assert!(grown >= LIMIT / 100 * 60, "grown by {grown} bytes only, of {LIMIT}");
}

/// Stores every `TASKS`-th URL; gives the largest growth seen.
async fn flood(store: Arc<Store>, task: usize, body: usize, baseline: u64) -> u64 {
    let mut highest = 0;
    for (count, number) in (task..URLS).step_by(TASKS).enumerate() {
        fill(&store, number, body).await;
        if count % 2_000 == 0 {
            highest = highest.max(resident().saturating_sub(baseline));
        }
    }
    highest.max(resident().saturating_sub(baseline))
}

/// Stores a response whose fields and body are slices of a read buffer, as they come from a connection.
async fn fill(store: &Arc<Store>, number: usize, body: usize) {
    let key = store.key(format!("http://www.example.org/articles/2026/number-{number}.html?page=1"));
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut headers = HeaderMap::new();
    for (name, value) in FIELDS {
        buffer.extend_from_slice(value.as_bytes());
        let value = HeaderValue::from_maybe_shared(buffer.split().freeze()).unwrap();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    buffer.resize(body, b'x');
    let permit = store.fill_alone(&key, Arc::new(Anybody));
    let (mut writer, reader) = permit.storing(Head {
        status: StatusCode::OK,
        headers,
        freshness: Freshness {
            response_time: NOW,
            initial_age: Duration::ZERO,
            lifetime: Duration::from_secs(3600),
            grace: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            no_cache: false,
            must_revalidate: false,
            s_maxage: false,
        },
        extras: String::new(),
        vary: Vary::default().with(http::header::ACCEPT_ENCODING),
        tags: vec![format!("article-{number}"), "articles".to_owned()],
        esi: false,
        shared: false,
        authorized: false,
        rule: Arc::from("pages"),
        length: Some(body as u64),
        part: None,
        completes: None,
    });
    drop(reader);
    writer.push(Piece::Text(buffer.freeze())).await.unwrap();
    let response = match writer.finish(NOW) {
        Ok(response) => response,
        // The limit comes before the response.
        Err(discarded) => return assert_eq!(discarded, Discarded::NoRoom),
    };
    // What a hit does to it.
    assert!(matches!(&*response.body.pieces, [Piece::Text(text)] if text.clone().len() == body));
    drop(response.headers.clone());
}

const FIELDS: [(&str, &str); 10] = [
    ("date", "Fri, 15 Jan 2027 08:00:00 GMT"),
    ("server", "nginx/1.26.2"),
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "public, max-age=3600"),
    ("etag", "\"5f2b1c-1a2b3c4d5e6f\""),
    ("last-modified", "Thu, 14 Jan 2027 10:11:12 GMT"),
    ("vary", "Accept-Encoding"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-generator", "Some CMS 5.2"),
    ("link", "<https://www.example.org/wp-json/>; rel=\"https://api.w.org/\""),
];

struct Anybody;

impl Selector for Anybody {
    fn extras(&self) -> &str {
        ""
    }

    fn field(&self, _: &HeaderName) -> String {
        "br,gzip".to_owned()
    }

    fn accepts(&self, _: &HeaderValue) -> bool {
        true
    }
}

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
