//! ESI fragments: each is a request of its own, through rules, cache and sessions, on the same path as a page.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use copal_esi::Include;
use copal_semantics::{Target, Timestamp, target};
use http::{HeaderMap, Method, header};
use tokio::task::JoinHandle;

use crate::answer::Answer;
use crate::body::Body;
use crate::exchange::{Exchange, Once};
use crate::forward;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::request::{self, Begun, Later};

/// What the fragments of one page have in common: who asked for the page, and what the page is.
pub(crate) struct Page {
    proxy: Arc<Proxy>,
    runtime: Arc<Runtime>,
    /// The page's own target: relative references start from it, and its site is the only one included from.
    target: Target,
    headers: HeaderMap,
    peer: IpAddr,
    trusted: bool,
    now: Timestamp,
    depth: u32,
    lineage: Arc<Lineage>,
}

/// The pages that a fragment is in, up to the one that the client asked for, and what they may still include together.
#[derive(Debug)]
pub(crate) struct Lineage {
    /// Scheme and host are the same for all.
    path_and_query: String,
    within: Option<Arc<Lineage>>,
    budget: Arc<Budget>,
}

/// Fragments that one client request has asked for, nested ones counted.
#[derive(Debug, Default)]
struct Budget {
    asked: AtomicUsize,
    told: AtomicBool,
}

impl Lineage {
    fn of(exchange: &Exchange) -> Arc<Self> {
        let budget = exchange.lineage.as_ref().map_or_else(Arc::default, |within| Arc::clone(&within.budget));
        let path_and_query = exchange.target.path_and_query();
        Arc::new(Self { path_and_query, within: exchange.lineage.clone(), budget })
    }

    /// A page that would include itself.
    fn has(&self, path_and_query: &str) -> bool {
        let mut page = Some(self);
        while let Some(this) = page {
            if this.path_and_query == path_and_query {
                return true;
            }
            page = this.within.as_deref();
        }
        false
    }

    /// Takes one more fragment, while there may be.
    fn take(&self, limit: usize) -> bool {
        let within = self.budget.asked.fetch_add(1, Ordering::Relaxed) < limit;
        if !within && !self.budget.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(page = %self.path_and_query, limit, "more ESI fragments than esi.max_includes; the rest is left out");
        }
        within
    }
}

/// A fragment that was begun.
pub(crate) enum Fragment {
    /// All of it is at hand (or it failed, and is nothing).
    AtHand(std::vec::IntoIter<Bytes>),
    /// Its body comes.
    Streaming(Body),
    /// Its answer is waited for.
    Running(Running),
}

/// A fragment's task; dropped with the page that no one reads any more.
pub(crate) struct Running(JoinHandle<Option<Body>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Body>> {
        Pin::new(&mut self.0).poll(cx).map(|ended| {
            ended.unwrap_or_else(|error| {
                tracing::error!(%error, "a fragment's task failed");
                None
            })
        })
    }
}

impl Fragment {
    fn of(body: Option<Body>) -> Self {
        match body.map(Body::into_parts_at_hand) {
            None => Self::AtHand(Vec::new().into_iter()),
            Some(Ok(parts)) => Self::AtHand(parts.into_iter()),
            Some(Err(body)) => Self::Streaming(body),
        }
    }

    /// The body of a task that ended.
    pub(crate) fn ended(body: Option<Body>) -> Self {
        Self::of(body)
    }
}

impl Page {
    pub(crate) fn new(proxy: &Arc<Proxy>, runtime: &Arc<Runtime>, exchange: &Exchange) -> Arc<Self> {
        Arc::new(Self {
            proxy: Arc::clone(proxy),
            runtime: Arc::clone(runtime),
            target: exchange.target.clone(),
            headers: forward::fragment_head(&exchange.headers),
            peer: exchange.peer,
            trusted: exchange.trusted,
            now: exchange.now,
            depth: exchange.depth + 1,
            lineage: Lineage::of(exchange),
        })
    }

    /// How many fragments of this page may be under way at once, and how many there may be at all.
    pub(crate) fn limits(&self) -> (usize, usize) {
        let esi = &self.runtime.config.esi;
        (esi.max_concurrent, esi.max_includes)
    }

    /// Begins a fragment. One that is stored and fresh is at hand at once; another gets a task of its own.
    pub(crate) fn begin(self: &Arc<Self>, include: &Arc<Include>) -> Fragment {
        for attempt in [Attempt::Src, Attempt::Alt] {
            let Some(reference) = attempt.reference(include) else { break };
            match self.ask(reference) {
                Ok(Begun::Ready(answer)) => match self.judge(answer) {
                    Ok(body) => return Fragment::of(Some(body)),
                    Err(reason) => self.failed(include, reference, reason),
                },
                Ok(Begun::Later(later)) => {
                    let (page, include) = (Arc::clone(self), Arc::clone(include));
                    let task = async move { page.resolve(&include, attempt, later).await };
                    return Fragment::Running(Running(tokio::spawn(task)));
                }
                Err(reason) => self.failed(include, reference, reason),
            }
        }
        Fragment::of(None)
    }

    /// Waits for an attempt; when `src` fails, `alt` is asked for. None: the page goes on without the fragment.
    async fn resolve(self: &Arc<Self>, include: &Include, attempt: Attempt, later: Later) -> Option<Body> {
        match self.in_time(later).await.and_then(|answer| self.judge(answer)) {
            Ok(body) => return Some(body),
            Err(reason) => self.failed(include, attempt.reference(include)?, reason),
        }
        let reference = (attempt == Attempt::Src).then_some(include.alt.as_deref())??;
        let answer = match self.ask(reference) {
            Ok(Begun::Ready(answer)) => Ok(answer),
            Ok(Begun::Later(later)) => self.in_time(later).await,
            Err(reason) => Err(reason),
        };
        match answer.and_then(|answer| self.judge(answer)) {
            Ok(body) => Some(body),
            Err(reason) => {
                self.failed(include, reference, reason);
                None
            }
        }
    }

    async fn in_time(&self, later: Later) -> Result<Answer, Reason> {
        let limit = self.runtime.config.esi.fragment_timeout;
        tokio::time::timeout(limit, later).await.map_err(|_| Reason::FragmentTimeout)
    }

    /// Asks for a fragment as a client would.
    fn ask(&self, reference: &str) -> Result<Begun, Reason> {
        let limits = &self.runtime.config.esi;
        if self.depth > limits.max_depth || !self.lineage.take(limits.max_includes) {
            return Err(Reason::FragmentRefused);
        }
        let target = target::resolve(&self.target, reference).map_err(|_| Reason::FragmentRefused)?;
        // Only the page's own site: what a page says never decides which host is asked.
        if target.host != self.target.host {
            return Err(Reason::FragmentRefused);
        }
        if self.lineage.has(&target.path_and_query()) {
            return Err(Reason::FragmentCycle);
        }
        let exchange = Exchange {
            method: Method::GET,
            target: Target { scheme: self.target.scheme, ..target },
            headers: self.headers.clone(),
            peer: self.peer,
            trusted: self.trusted,
            now: self.now,
            depth: self.depth,
            has_body: false,
            upgrades: false,
            interim: None,
            trailers: false,
            fwd: None,
            lineage: Some(Arc::clone(&self.lineage)),
        };
        Ok(request::begin(&self.proxy, &self.runtime, exchange, Once::nothing()))
    }

    /// Whether an answer can be spliced in: 2xx, and not encoded.
    fn judge(&self, answer: Answer) -> Result<Body, Reason> {
        let status = answer.response.status();
        if !status.is_success() {
            let own = answer.reason.outcome() == crate::Outcome::Error;
            return Err(if own { answer.reason } else { Reason::FragmentStatus });
        }
        if answer.response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Reason::FragmentStatus);
        }
        self.proxy.observer.fragment(answer.reason, false);
        Ok(answer.response.into_body())
    }

    fn failed(&self, include: &Include, reference: &str, reason: Reason) {
        self.proxy.observer.fragment(reason, true);
        // What goes beyond the budget was told of once.
        let beyond = self.lineage.budget.told.load(Ordering::Relaxed) && reason == Reason::FragmentRefused;
        if include.continue_on_error || beyond {
            tracing::debug!(page = %self.target.path, reference, reason = reason.as_str(), "ESI fragment failed");
        } else {
            tracing::warn!(
                page = %self.target.path,
                line = include.line,
                column = include.column,
                reference,
                reason = reason.as_str(),
                "ESI fragment failed; the page goes on without it"
            );
        }
    }
}

/// Which of an include's references is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Src,
    Alt,
}

impl Attempt {
    fn reference(self, include: &Include) -> Option<&str> {
        match self {
            Self::Src => Some(&include.src),
            Self::Alt => include.alt.as_deref(),
        }
    }
}
