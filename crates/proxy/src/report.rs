//! The report on a page's fragments, for clients that may see it: what each was, where it came from and how long it took. It goes out
//! in the place of the page and is stored nowhere.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copal_esi::Include;
use copal_policy::Config;
use copal_semantics::{Freshness, Timestamp, conditional};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::body::Body;
use crate::deliver;
use crate::exchange::{Exchange, Once};
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::request;

/// The request field that asks for it, with any value.
static ASKS: HeaderName = HeaderName::from_static("x-copal-esi-debug");

/// What is known of the fragments of one page, nested ones too, in the order in which they were begun.
#[derive(Debug, Default)]
struct Report(Mutex<Vec<Entry>>);

/// A fragment's place in the report on its page.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    report: Arc<Report>,
    entry: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// The page that it is in; the client's own page is in none.
    within: Option<usize>,
    line: u32,
    column: u32,
    attempts: Vec<Attempt>,
    bytes: u64,
    /// Includes in it beyond `esi.max_includes`.
    left_out: usize,
    /// What was put in its place.
    instead: Option<&'static str>,
}

/// One URL that was asked for.
#[derive(Debug)]
struct Attempt {
    url: String,
    began: Instant,
    answered: Option<Answered>,
    /// Age and time to live in seconds, of what is stored or is being stored.
    freshness: Option<(u64, i64)>,
    failed: Option<Reason>,
}

#[derive(Debug)]
struct Answered {
    status: StatusCode,
    reason: Reason,
    rule: Option<Arc<str>>,
    after: Duration,
}

impl Spot {
    fn with<R>(&self, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.report.0.lock().get_mut(self.entry).map(change)
    }

    fn add(report: &Arc<Report>, entry: Entry) -> Self {
        let mut entries = report.0.lock();
        entries.push(entry);
        Self { report: Arc::clone(report), entry: entries.len() - 1 }
    }

    /// The place of a fragment of this page.
    pub(crate) fn within(&self, include: &Include) -> Self {
        let (line, column) = (include.line, include.column);
        Self::add(&self.report, Entry { within: Some(self.entry), line, column, ..Entry::default() })
    }

    pub(crate) fn asked(&self, url: String) {
        let attempt = Attempt { url, began: Instant::now(), answered: None, freshness: None, failed: None };
        self.with(|entry| entry.attempts.push(attempt));
    }

    pub(crate) fn answered(&self, answer: &Answer) {
        self.with(|entry| {
            if let Some(attempt) = entry.attempts.last_mut() {
                let rule = answer.rule.as_ref().map(|rule| Arc::clone(&rule.name));
                let (status, after) = (answer.response.status(), attempt.began.elapsed());
                attempt.answered = Some(Answered { status, reason: answer.reason, rule, after });
            }
        });
    }

    pub(crate) fn fresh(&self, freshness: &Freshness, now: Timestamp) {
        let known = (freshness.current_age(now).as_secs(), freshness.ttl(now));
        self.with(|entry| {
            if let Some(attempt) = entry.attempts.last_mut() {
                attempt.freshness = Some(known);
            }
        });
    }

    /// A reference failed, whether it was asked for or refused.
    pub(crate) fn failed(&self, reference: &str, reason: Reason) {
        let open = self.with(|entry| match entry.attempts.last_mut().filter(|attempt| attempt.failed.is_none()) {
            Some(attempt) => attempt.failed.replace(reason).is_none(),
            None => false,
        });
        if open == Some(false) {
            self.asked(reference.to_owned());
            self.with(|entry| entry.attempts.last_mut().map(|attempt| attempt.failed = Some(reason)));
        }
    }

    pub(crate) fn brought(&self, bytes: u64) {
        self.with(|entry| entry.bytes += bytes);
    }

    pub(crate) fn left_out(&self, includes: usize) {
        self.with(|entry| entry.left_out = includes);
    }

    pub(crate) fn instead(&self, what: &'static str) {
        self.with(|entry| entry.instead = Some(what));
    }
}

/// Whether a client asks for the report that may have it. Costs a look at an empty list where nobody may.
pub(crate) fn is_wanted(config: &Config, exchange: &Exchange) -> bool {
    !config.esi.debug_allow.is_empty()
        && exchange.method == Method::GET
        && !exchange.has_body
        && !exchange.upgrades
        && exchange.headers.contains_key(&ASKS)
        && exchange.is_from(&config.esi.debug_allow)
}

/// Puts the page together as for any other request, and answers what was seen of it.
pub(crate) async fn report(proxy: Arc<Proxy>, runtime: Arc<Runtime>, mut exchange: Exchange, once: Once) -> Answer {
    let report = Arc::<Report>::default();
    let page = Spot::add(&report, Entry::default());
    page.asked(exchange.target.url());
    exchange.headers.remove(&ASKS);
    conditional::strip_conditionals(&mut exchange.headers);
    exchange.headers.remove(header::RANGE);
    exchange.headers.remove(header::IF_RANGE);
    exchange.spot = Some(page.clone());
    let began = Instant::now();
    let answer = request::begin(&proxy, &runtime, exchange, once).finish().await;
    page.answered(&answer);
    let (reason, rule) = (answer.reason, answer.rule);
    let head = answer.response.headers().clone();
    let (bytes, broke_off) = read(answer.response.into_body()).await;
    page.brought(bytes);
    if broke_off {
        page.instead("the page broke off");
    }
    let text = text(&report.0.lock(), &head, began.elapsed());
    let answer = deliver::respond_with(StatusCode::OK, own_head(), Body::bytes(Bytes::from(text)), reason);
    match rule {
        Some(rule) => answer.under(&rule),
        None => answer,
    }
}

fn own_head() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ])
}

/// Reads a body to its end: how long it was, and whether it broke off.
async fn read(mut body: Body) -> (u64, bool) {
    let mut bytes = 0;
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return (bytes, false),
            Some(Err(_)) => return (bytes, true),
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len) as u64,
        }
    }
}

fn text(entries: &[Entry], head: &HeaderMap, took: Duration) -> String {
    let mut text = String::new();
    if let Some(page) = entries.first() {
        lines(&mut text, page, 0);
        for name in [HeaderName::from_static("cache-status"), header::CACHE_CONTROL, header::ETAG, header::AGE] {
            if let Some(value) = head.get(&name) {
                let _ = writeln!(text, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()));
            }
        }
    }
    let fragments = plural(entries.len().saturating_sub(1), "fragment");
    let _ = writeln!(text, "\n{fragments}, {} in all", milliseconds(took));
    within(&mut text, entries, 0, 0);
    text
}

/// The fragments of a page, each with its own after it.
fn within(text: &mut String, entries: &[Entry], page: usize, depth: usize) {
    for (index, entry) in entries.iter().enumerate().skip(page + 1).filter(|(_, entry)| entry.within == Some(page)) {
        let _ = writeln!(text, "{:1$}line {2}, column {3}", "", depth * 2, entry.line, entry.column);
        lines(text, entry, depth * 2 + 2);
        within(text, entries, index, depth + 1);
    }
}

/// What was asked for an entry, one URL a line, and what came of it.
fn lines(text: &mut String, entry: &Entry, indent: usize) {
    for (index, attempt) in entry.attempts.iter().enumerate() {
        let _ = write!(text, "{:indent$}{}:", "", attempt.url);
        if let Some(Answered { status, reason, rule, after }) = &attempt.answered {
            let _ = write!(text, " {} {}", status.as_u16(), reason.as_str());
            if let Some(rule) = rule {
                let _ = write!(text, ", rule {rule}");
            }
            let _ = write!(text, ", {}", milliseconds(*after));
        }
        if let Some((age, ttl)) = attempt.freshness {
            let _ = write!(text, ", age {age} s, ttl {ttl} s");
        }
        match attempt.failed {
            Some(reason) => {
                let _ = write!(text, " failed: {}", reason.as_str());
            }
            None if index + 1 == entry.attempts.len() && attempt.answered.is_some() => {
                let _ = write!(text, ", {} bytes", entry.bytes);
            }
            None => {}
        }
        text.push('\n');
    }
    if entry.left_out > 0 {
        let _ =
            writeln!(text, "{:indent$}left out: {}, beyond esi.max_includes", "", plural(entry.left_out, "include"));
    }
    if let Some(instead) = entry.instead {
        let _ = writeln!(text, "{:indent$}instead: {instead}", "");
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}
