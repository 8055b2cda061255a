//! Tests of the store as a whole. Each module has one subject; here is what they share.

mod bounds;
mod collapse;
mod filing;
mod freshening;
mod growing;
mod lookup;
mod model;
mod negotiation;
mod parts;
mod place;
mod provenance;
mod purge;
mod soft;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use copal_esi::{Include, Parser, Piece};
use copal_semantics::{Freshness, Timestamp, Vary};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, VARY};

use crate::*;

/// The beginning of time in these tests.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// A request as the store sees it.
#[derive(Clone, Debug, Default)]
struct Request {
    extras: String,
    fields: HeaderMap,
}

impl Request {
    fn with(name: &'static str, value: &str) -> Self {
        let mut request = Self::default();
        request.fields.insert(HeaderName::from_static(name), value.parse().unwrap());
        request
    }

    fn extras(extras: &str) -> Self {
        Self { extras: extras.to_owned(), ..Self::default() }
    }

    fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl Selector for Request {
    fn extras(&self) -> &str {
        &self.extras
    }

    fn field(&self, name: &HeaderName) -> String {
        copal_semantics::normalise_field(name, self.fields.get_all(name).iter())
    }

    fn accepts(&self, content_encoding: &HeaderValue) -> bool {
        copal_semantics::coding_acceptable(content_encoding, &self.fields)
    }

    fn negotiates(&self) -> Option<&HeaderMap> {
        Some(&self.fields)
    }
}

fn fresh_from(response_time: Timestamp) -> Freshness {
    Freshness {
        response_time,
        initial_age: Duration::ZERO,
        lifetime: Duration::from_secs(60),
        grace: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        no_cache: false,
        must_revalidate: false,
        s_maxage: false,
    }
}

fn head() -> Head {
    Head {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        freshness: fresh_from(NOW),
        extras: String::new(),
        vary: Vary::default(),
        tags: Vec::new(),
        esi: false,
        shared: false,
        authorized: false,
        rule: Arc::from("pages"),
        length: None,
        part: None,
        completes: None,
    }
}

fn vary_on(names: &str) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(VARY, names.parse().unwrap());
    Head { vary: Vary::parse(&headers), headers, ..head() }
}

fn text(text: impl Into<Bytes>) -> Piece {
    Piece::Text(text.into())
}

fn include(src: &str) -> Piece {
    Piece::Include(Arc::new(Include::of(src)))
}

/// A choice with `length` bytes of text in its branch.
fn block(length: usize) -> Piece {
    let branch = "b".repeat(length);
    let template = format!("<esi:choose><esi:when test=\"1==1\">{branch}</esi:when></esi:choose>");
    let (mut parser, mut pieces) = (Parser::default(), Vec::new());
    parser.push(template.into(), &mut pieces);
    parser.finish(&mut pieces);
    assert_eq!(pieces.len(), 1);
    pieces.remove(0)
}

fn small() -> Arc<Store> {
    Store::new(StoreSettings { memory: 32 << 20, ..StoreSettings::default() })
}

/// As confirmed to `by`, with other fields and freshness; none where it is not stored so.
fn freshen(
    store: &Store,
    key: &CacheKey,
    by: &dyn Selector,
    old: &Arc<StoredResponse>,
    headers: HeaderMap,
    freshness: Freshness,
    began: Sequence,
) -> Option<Arc<StoredResponse>> {
    let done = store.freshen_all(key, by, freshened(old, headers, freshness), Vec::new(), began);
    done.stored.then_some(done.response)
}

fn freshened(old: &Arc<StoredResponse>, headers: HeaderMap, freshness: Freshness) -> Freshened {
    Freshened { old: Arc::clone(old), headers, freshness, shared: false, tags: TagChange::default(), vary: None }
}

/// Leads a fill for the request; panics when another one leads.
fn lead(store: &Arc<Store>, key: &CacheKey, by: &Request) -> FillPermit {
    match store.join(key, Arc::new(by.clone())) {
        Turn::Lead(permit) => permit,
        Turn::Follow(_) => panic!("there is a fill under way"),
    }
}

fn follow(store: &Arc<Store>, key: &CacheKey, by: &Request) -> Follower {
    match store.join(key, Arc::new(by.clone())) {
        Turn::Follow(follower) => follower,
        Turn::Lead(_) => panic!("there is no fill under way"),
    }
}

/// Puts in what must not have to wait.
fn push(writer: &mut FillWriter, piece: Piece) {
    assert_eq!(now_or_never(writer.push(piece)), Some(Ok(())));
}

/// What a future gives without waiting.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// What a future gives before everything stands still; the clock is paused, so nothing waits for it.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(1), future).await.expect("it waits for ever")
}

/// Fetches and stores for a request.
fn fill(store: &Arc<Store>, key: &CacheKey, by: &Request, head: Head, body: &str) -> Arc<StoredResponse> {
    try_fill(store, key, by, head, body).unwrap()
}

fn try_fill(
    store: &Arc<Store>,
    key: &CacheKey,
    by: &Request,
    head: Head,
    body: &str,
) -> Result<Arc<StoredResponse>, Discarded> {
    let (mut writer, _reader) = lead(store, key, by).storing(head);
    push(&mut writer, text(body.to_owned()));
    writer.finish(NOW)
}

/// All that a reader gets without waiting: the text with includes as `<src>`, and how it stands then.
fn read(reader: &mut FillReader) -> (String, Poll<Option<FillError>>) {
    let mut got = String::new();
    loop {
        match reader.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(piece))) => show(&piece, &mut got),
            Poll::Ready(Some(Err(error))) => return (got, Poll::Ready(Some(error))),
            Poll::Ready(None) => return (got, Poll::Ready(None)),
            Poll::Pending => return (got, Poll::Pending),
        }
    }
}

fn show(piece: &Piece, to: &mut String) {
    match piece {
        Piece::Text(text) => to.push_str(str::from_utf8(text).unwrap()),
        Piece::Include(include) => *to += &format!("<{}>", include.src),
        Piece::Block(_) => *to += &format!("<{} bytes>", piece.text_length()),
    }
}

fn shown(response: &StoredResponse) -> String {
    let mut all = String::new();
    response.body.pieces.iter().for_each(|piece| show(piece, &mut all));
    all
}

/// What a lookup says, with the body where there is one.
fn looked_up(store: &Store, key: &CacheKey, by: &Request, now: Timestamp) -> String {
    said(store.lookup(key, by, now))
}

fn said(lookup: Lookup) -> String {
    match lookup {
        Lookup::Found { response, soft_invalidated: false } => shown(&response),
        Lookup::Found { response, soft_invalidated: true } => format!("soft {}", shown(&response)),
        Lookup::Partial { response, .. } => format!("partial {}", shown(&response)),
        Lookup::HitForMiss => "hit-for-miss".to_owned(),
        Lookup::VariantMiss => "variant-miss".to_owned(),
        Lookup::Miss => "miss".to_owned(),
    }
}

fn coded(coding: &'static str) -> Head {
    let mut head = head();
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    head
}
