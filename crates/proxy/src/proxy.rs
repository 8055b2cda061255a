//! The proxy: the collaborators of every request, and the settings that a reload swaps.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use copal_origin::{Origin, RequestBody};
use copal_policy::{Config, Rule};
use copal_store::{Store, StoredResponse};
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::asked::Asked;
use crate::body::Body;
use crate::broken_off::BrokenOff;
use crate::clock::Clock;
use crate::context::{ContextUsage, Contexts};
use crate::decide;
use crate::deliver;
use crate::exchange::{self, ClientInfo, Exchange, Once};
use crate::failures::Failures;
use crate::fault::Fault;
use crate::hints::Hints;
use crate::names::Marks;
use crate::purge::{Again, Counting, Merging, Refreshing};
use crate::record::{Observer, Record, RequestText};
use crate::report;
use crate::request::{self, Begun, Later};
use crate::request_id::RequestIds;
use crate::searching::Searching;
use crate::trace::Trace;
use crate::tunnel::{TunnelUsage, Tunnels};
use crate::watch::Watch;

/// The name in `Cache-Status` (RFC 9211) and `Via` (RFC 9110 §7.6.3).
pub(crate) const NAME: &str = "copal";

/// What a proxy is made of.
pub struct Parts {
    /// The settings, ready to run.
    pub config: Arc<Config>,
    /// Where responses are stored.
    pub store: Arc<Store>,
    /// The origins, in the order of `config.origins`.
    pub origins: Vec<Arc<Origin>>,
    /// Who hears about finished requests.
    pub observer: Arc<dyn Observer>,
    /// The present time.
    pub clock: Clock,
}

/// Serves requests from the store and the origins.
pub struct Proxy {
    pub(crate) store: Arc<Store>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Clock,
    pub(crate) hints: Hints,
    pub(crate) searching: Searching,
    pub(crate) contexts: Contexts,
    pub(crate) failures: Failures,
    pub(crate) broken_off: BrokenOff,
    pub(crate) ids: RequestIds,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) again: Again,
    pub(crate) refreshing: Refreshing,
    pub(crate) counting: Counting,
    pub(crate) merging: Merging,
    runtime: ArcSwap<Runtime>,
    no_rule: Arc<str>,
    /// When it was last said that an origin fails while stale pages are served, in seconds.
    warned: AtomicU64,
    /// When it was last said that fragments wait for their turn, in seconds.
    crowded: AtomicU64,
    /// Where the random numbers stand.
    random: AtomicU64,
    pub(crate) by_heart: Apart,
}

/// A count that shares no cache line with what every request reads.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Apart(pub(crate) AtomicU64);

/// Seconds between two warnings of the same state, which many requests see at once.
const WARN_EVERY: u64 = 10;

/// The settings that one reload puts in the place of another, as a whole.
pub(crate) struct Runtime {
    pub(crate) config: Arc<Config>,
    pub(crate) origins: Vec<Arc<Origin>>,
    /// Tells this server from another Copal, in `CDN-Loop` and in [`Runtime::via`].
    pub(crate) instance: Arc<str>,
    /// This server in `Via`.
    pub(crate) via: Arc<str>,
    /// The same two, as requests carry them.
    pub(crate) trace: Trace,
    /// What the names of fields look like that are between an origin and Copal.
    pub(crate) internal: Marks,
    /// Turns of the fragments that are waited for, of all pages together. A reload hands out new ones.
    pub(crate) turns: Semaphore,
}

impl Runtime {
    /// By this configuration, with no origins.
    #[cfg(test)]
    pub(crate) fn for_tests(config: Config) -> Self {
        let (instance, via): (Arc<str>, Arc<str>) = ("test".into(), "copal (test)".into());
        let turns = Semaphore::new(1);
        let trace = Trace::new(&via, &instance);
        let internal = decide::marks_of_internal(&config.cache);
        Self { config: Arc::new(config), origins: Vec::new(), instance, via, trace, internal, turns }
    }

    /// The `Host` that the rule's origin wants to see, when it is not the client's.
    pub(crate) fn host_for(&self, rule: &Rule) -> Option<&str> {
        self.config.origins.get(rule.origin)?.host.as_deref()
    }

    /// Whether the rule's origin wants `Forwarded`.
    pub(crate) fn wants_forwarded(&self, rule: &Rule) -> bool {
        self.config.origins.get(rule.origin).is_some_and(|origin| origin.forwarded)
    }

    pub(crate) fn origin(&self, rule: &Rule) -> Option<&Arc<Origin>> {
        self.origins.get(rule.origin)
    }
}

impl Proxy {
    /// A proxy of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let instance: Arc<str> = format!("{:x}", instance()).into();
        let via: Arc<str> = format!("{NAME} ({instance})").into();
        let trace = Trace::new(&via, &instance);
        let turns = Semaphore::new(parts.config.esi.max_concurrent_total);
        let internal = decide::marks_of_internal(&parts.config.cache);
        let runtime = Runtime { config: parts.config, origins: parts.origins, instance, via, trace, internal, turns };
        Arc::new(Self {
            store: parts.store,
            observer: parts.observer,
            clock: parts.clock,
            hints: Hints::new(),
            searching: Searching::new(),
            contexts: Contexts::new([seed(), seed()]),
            failures: Failures::new(),
            broken_off: BrokenOff::default(),
            ids: RequestIds::default(),
            tunnels: Tunnels::new(),
            again: Again::default(),
            refreshing: Refreshing::new(),
            counting: Counting::default(),
            merging: Merging::new(),
            runtime: ArcSwap::from_pointee(runtime),
            no_rule: "".into(),
            warned: AtomicU64::new(0),
            crowded: AtomicU64::new(0),
            random: AtomicU64::new(seed()),
            by_heart: Apart::default(),
        })
    }

    /// Puts other settings in force, at once and as a whole. Requests under way keep those they began with; what is
    /// stored stays.
    pub fn reconfigure(&self, config: Arc<Config>, origins: Vec<Arc<Origin>>) {
        let before = self.runtime.load();
        let (instance, via) = (Arc::clone(&before.instance), Arc::clone(&before.via));
        let trace = before.trace.clone();
        let turns = Semaphore::new(config.esi.max_concurrent_total);
        let internal = decide::marks_of_internal(&config.cache);
        self.runtime.store(Arc::new(Runtime { config, origins, instance, via, trace, internal, turns }));
        self.merging.forget();
        self.failures.clear();
        self.broken_off.clear();
    }

    /// A number that nobody can foretell who does not see all of them: a step of SplitMix64 (Steele, Lea, Flood 2014).
    pub(crate) fn random(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Says that an origin fails while visitors are served stale pages and see nothing of it: once in a while, or a busy
    /// site's log would hold nothing else.
    pub(crate) fn warn_of_refresh(&self, asked: &Asked, stale: Option<&StoredResponse>, fault: &Fault) {
        if stale.is_some() && self.may_warn(&self.warned) {
            tracing::warn!(key = asked.key.as_str(), %fault, "cannot refresh; stale pages are served as long as they may be");
        }
    }

    /// Whether to say now that fragments wait for their turn.
    pub(crate) fn may_warn_of_crowd(&self) -> bool {
        self.may_warn(&self.crowded)
    }

    /// Whether it is long enough since it was last said.
    fn may_warn(&self, last_said: &AtomicU64) -> bool {
        let (now, last) = (self.clock.now().as_secs(), last_said.load(Ordering::Relaxed));
        now >= last.saturating_add(WARN_EVERY)
            && last_said.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.runtime.load().config)
    }

    pub(crate) fn runtime(&self) -> Arc<Runtime> {
        self.runtime.load_full()
    }

    /// Where responses are stored.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// How many assembled pages were put together by what was remembered of them.
    #[must_use]
    pub fn pages_by_heart(&self) -> u64 {
        self.by_heart.0.load(Ordering::Relaxed)
    }

    /// Figures of user contexts, for metrics.
    #[must_use]
    pub fn context_usage(&self) -> ContextUsage {
        self.contexts.usage()
    }

    /// Figures of connections that speak another protocol, for metrics.
    #[must_use]
    pub fn tunnel_usage(&self) -> TunnelUsage {
        self.tunnels.usage()
    }

    /// Closes those, and what is to become one from now on: the server comes to its end, and they have none of their own.
    pub fn end_tunnels(&self) {
        self.tunnels.end();
    }

    /// [`Store::sweep`], and the same for what is remembered beside the store.
    pub fn sweep(&self) {
        self.hints.sweep(&self.store);
        self.failures.sweep(&self.store, self.clock.now());
        self.store.sweep();
    }

    /// Serves one request of a client. Never fails: every error is a response. A hit is ready at once.
    pub fn handle(self: &Arc<Self>, request: Request<RequestBody>, client: ClientInfo) -> Handling {
        let began = Instant::now();
        let started = self.clock.now();
        let record = self.record_of(&request, client.peer, started);
        let runtime = self.runtime.load();
        let read = match exchange::refuse_method(request.method()) {
            Some(fault) => Err(fault),
            None => Exchange::read(request, client, &runtime.config.trusted_proxies, started),
        };
        let begun = match read {
            Ok((exchange, once)) if report::is_wanted(&runtime.config, &exchange) => {
                Begun::Later(Box::pin(report::report(Arc::clone(self), Arc::clone(&runtime), exchange, once)))
            }
            Ok((exchange, once)) => self.begin(&runtime, exchange, once),
            Err(fault) => Begun::Ready(fault.answer(NAME)),
        };
        match begun {
            Begun::Ready(answer) => Handling(State::Ready(Some(self.watched(answer, record, began)))),
            Begun::Later(later) => {
                Handling(State::Later { later, proxy: Arc::clone(self), record: Some(record), began })
            }
        }
    }

    fn begin(self: &Arc<Self>, runtime: &Arc<Runtime>, exchange: Exchange, once: Once) -> Begun {
        request::begin(self, runtime, exchange, once)
    }

    fn record_of(
        &self,
        request: &Request<RequestBody>,
        peer: SocketAddr,
        started: copal_semantics::Timestamp,
    ) -> Record {
        Record {
            started,
            duration: std::time::Duration::ZERO,
            peer,
            method: request.method().clone(),
            text: RequestText::of(request.uri(), request.headers()),
            version: request.version(),
            status: http::StatusCode::OK,
            bytes: 0,
            reason: crate::Reason::Internal,
            rule: Arc::clone(&self.no_rule),
            fragments: 0,
            complete: false,
            request_id: None,
        }
    }

    fn watched(self: &Arc<Self>, answer: Answer, mut record: Record, began: Instant) -> Response<Body> {
        let Answer { mut response, reason, rule, request_id, .. } = answer;
        if let Some(rule) = rule.as_ref().filter(|rule| !rule.response.is_empty()) {
            deliver::edited(&mut response, rule, reason);
        }
        record.status = response.status();
        record.reason = reason;
        record.request_id = request_id;
        if let Some(rule) = rule {
            record.rule = Arc::clone(&rule.name);
        }
        let watch = Box::new(Watch::new(Arc::clone(self), record, began));
        response.body_mut().watch(watch);
        response
    }
}

/// A number that tells this process from another Copal.
fn instance() -> u32 {
    seed() as u32
}

/// A number that is another in each process, and each time.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// The response to come. Ready at once for a hit.
pub struct Handling(State);

enum State {
    Ready(Option<Response<Body>>),
    Later {
        later: Later,
        proxy: Arc<Proxy>,
        /// None once it is answered.
        record: Option<Record>,
        began: Instant,
    },
}

impl Future for Handling {
    type Output = Response<Body>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Ready(response) => match response.take() {
                Some(response) => Poll::Ready(response),
                None => Poll::Pending,
            },
            State::Later { record: None, .. } => Poll::Pending,
            State::Later { later, proxy, record, began } => {
                let answer = ready!(later.as_mut().poll(cx));
                match record.take() {
                    Some(record) => Poll::Ready(proxy.watched(answer, record, *began)),
                    None => Poll::Pending,
                }
            }
        }
    }
}
