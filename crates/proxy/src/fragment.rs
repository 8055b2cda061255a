//! ESI fragments: each is a request of its own, through rules, cache and sessions, on the same path as a page.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use copal_esi::{Dialect, Escape, Include, Setting, Value, Variables};
use copal_policy::{EsiDialect, EsiOnError, Rule};
use copal_semantics::{RequestDirectives, Target, Timestamp, target};
use http::{HeaderMap, Method, header};
use tokio::task::JoinHandle;

use crate::answer::Answer;
use crate::body::Body;
use crate::decide;
use crate::exchange::{Exchange, Once};
use crate::forward;
use crate::made::Made;
use crate::proxy::{Proxy, Runtime};
use crate::reason::Reason;
use crate::request::{self, Begun, Later};
use crate::variables::{self, Visible};

/// What the fragments of one page have in common: who asked for the page, and what the page is.
pub(crate) struct Page {
    proxy: Arc<Proxy>,
    runtime: Arc<Runtime>,
    /// The page's own rule.
    rule: Arc<Rule>,
    escape: Escape,
    /// A variable was read that is not the same for all who ask for the URL.
    personal: AtomicBool,
    /// The page's own target: relative references start from it, and its site is the only one included from.
    target: Target,
    method: Method,
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
    /// All of it is at hand; with what it is made of, where that is known.
    AtHand(std::vec::IntoIter<Bytes>, Option<Made>),
    /// Its body comes.
    Streaming(Body),
    /// Its answer is waited for.
    Running(Running),
    /// It cannot be had, nor what was to stand for it. `silent`: the page says that it does not matter.
    Failed { silent: bool },
}

/// A fragment on its way; dropped with the page that no one reads any more.
pub(crate) enum Running {
    /// Driven by whoever reads the page: one that is alone needs no task.
    Here(Pin<Box<dyn Future<Output = Fragment> + Send>>),
    Task(Task),
}

/// A fragment's task, which ends with the page.
pub(crate) struct Task(JoinHandle<Fragment>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    fn new(fragment: impl Future<Output = Fragment> + Send + 'static, alone: bool) -> Self {
        if alone { Self::Here(Box::pin(fragment)) } else { Self::Task(Task(tokio::spawn(fragment))) }
    }

    /// What it came to: never itself one that runs.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fragment> {
        match self {
            Self::Here(fragment) => fragment.as_mut().poll(cx),
            Self::Task(Task(task)) => Pin::new(task).poll(cx).map(|ended| {
                ended.unwrap_or_else(|error| {
                    tracing::error!(%error, "a fragment's task failed");
                    Fragment::Failed { silent: false }
                })
            }),
        }
    }
}

impl Fragment {
    fn of((body, made): (Body, Option<Made>)) -> Self {
        match body.into_parts_at_hand() {
            Ok(parts) => Self::AtHand(parts.into_iter(), made),
            Err(body) => Self::Streaming(body),
        }
    }

    /// One that puts these bytes out; they are of no response.
    pub(crate) fn instead(bytes: Option<Bytes>) -> Self {
        Self::AtHand(bytes.into_iter().collect::<Vec<_>>().into_iter(), None)
    }
}

impl Variables for Page {
    fn get(&self, name: &str, key: Option<&str>) -> Value {
        if !variables::is_of_the_url(name) {
            self.personal.store(true, Ordering::Relaxed);
        }
        let under = Some((&self.runtime.config.policy, &*self.rule));
        Visible { method: &self.method, target: &self.target, headers: &self.headers, under }.get(name, key)
    }

    fn now(&self) -> u64 {
        self.personal.store(true, Ordering::Relaxed);
        self.now.as_secs()
    }

    fn random(&self) -> u64 {
        self.personal.store(true, Ordering::Relaxed);
        self.proxy.random()
    }
}

impl Page {
    /// The page under `rule` that answers `exchange` by a template with these fields.
    pub(crate) fn new(
        proxy: &Arc<Proxy>,
        runtime: &Arc<Runtime>,
        rule: &Arc<Rule>,
        exchange: &Exchange,
        template: &HeaderMap,
    ) -> Arc<Self> {
        let escape = match rule.esi_options.raw {
            true => Escape::Raw,
            false if decide::is_script(template) => Escape::Script,
            false => Escape::Markup,
        };
        Arc::new(Self {
            proxy: Arc::clone(proxy),
            runtime: Arc::clone(runtime),
            rule: Arc::clone(rule),
            escape,
            personal: AtomicBool::new(false),
            method: exchange.method.clone(),
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

    /// What the blocks of the template are run with.
    pub(crate) fn setting(self: &Arc<Self>) -> Setting {
        Setting {
            variables: Arc::clone(self) as Arc<dyn Variables + Send + Sync>,
            escape: self.escape,
            dialect: dialect(&self.rule),
        }
    }

    /// Whether its fragments are not nested too deep.
    pub(crate) fn is_shallow(&self) -> bool {
        self.depth <= self.runtime.config.esi.max_depth
    }

    /// Whether something went into the page that is not the same for all who ask for its URL.
    pub(crate) fn is_personal(&self) -> bool {
        self.personal.load(Ordering::Relaxed)
    }

    /// Whether a fragment that cannot be had fails the page.
    pub(crate) fn fails(&self) -> bool {
        self.rule.esi_options.on_error == EsiOnError::Fail
    }

    /// What the rule puts in the place of a fragment that cannot be had.
    pub(crate) fn placeholder(&self) -> Option<Bytes> {
        self.rule.esi_options.placeholder.clone()
    }

    /// A fragment's body broke off after its head.
    pub(crate) fn broke_off(&self, error: &crate::BodyError) {
        self.proxy.observer.fragment(Reason::OriginClosed, true);
        let goes_on = !self.fails();
        tracing::warn!(page = %self.target.path, %error, goes_on, "an ESI fragment broke off");
    }

    /// Begins a fragment. One that is stored and fresh is at hand at once; another gets a task of its own, unless it is `alone`
    /// under way.
    pub(crate) fn begin(self: &Arc<Self>, include: &Arc<Include>, alone: bool) -> Fragment {
        for attempt in [Attempt::Src, Attempt::Alt] {
            let Some(reference) = attempt.reference(include) else { break };
            match self.ask(include, reference) {
                Ok(Begun::Ready(answer)) => match self.judge(answer) {
                    Ok(brought) => return Fragment::of(brought),
                    Err(reason) => self.failed(include, reference, reason),
                },
                Ok(Begun::Later(later)) => {
                    let (page, include) = (Arc::clone(self), Arc::clone(include));
                    let fragment = async move { page.resolve(&include, attempt, later).await };
                    // A page within a page is only read when its turn has come.
                    return Fragment::Running(Running::new(fragment, alone && self.depth == 1));
                }
                Err(reason) => self.failed(include, reference, reason),
            }
        }
        Fragment::Failed { silent: include.continue_on_error }
    }

    /// Waits for an attempt; when `src` fails, `alt` is asked for.
    async fn resolve(self: &Arc<Self>, include: &Include, attempt: Attempt, later: Later) -> Fragment {
        let failed = Fragment::Failed { silent: include.continue_on_error };
        let Some(reference) = attempt.reference(include) else { return failed };
        match self.in_time(include, later).await.and_then(|answer| self.judge(answer)) {
            Ok(brought) => return Fragment::of(brought),
            Err(reason) => self.failed(include, reference, reason),
        }
        let Some(reference) = include.alt.as_deref().filter(|_| attempt == Attempt::Src) else { return failed };
        let answer = match self.ask(include, reference) {
            Ok(Begun::Ready(answer)) => Ok(answer),
            Ok(Begun::Later(later)) => self.in_time(include, later).await,
            Err(reason) => Err(reason),
        };
        match answer.and_then(|answer| self.judge(answer)) {
            Ok(brought) => Fragment::of(brought),
            Err(reason) => {
                self.failed(include, reference, reason);
                failed
            }
        }
    }

    async fn in_time(&self, include: &Include, later: Later) -> Result<Answer, Reason> {
        let limit = self.runtime.config.esi.fragment_timeout;
        let limit = include.options.as_ref().and_then(|options| options.max_wait).map_or(limit, |wait| wait.min(limit));
        tokio::time::timeout(limit, later).await.map_err(|_| Reason::FragmentTimeout)
    }

    /// Asks for a fragment as a client would.
    fn ask(&self, include: &Include, reference: &str) -> Result<Begun, Reason> {
        let limits = &self.runtime.config.esi;
        if !self.is_shallow() || !self.lineage.take(limits.max_includes) {
            return Err(Reason::FragmentRefused);
        }
        let exchange = self.request(include, reference)?;
        Ok(request::begin(&self.proxy, &self.runtime, exchange, Once::nothing()))
    }

    /// The request for a fragment. The same for all requests for the page that have the same target, but for what it takes over of their
    /// fields and of who asks.
    pub(crate) fn request(&self, include: &Include, reference: &str) -> Result<Exchange, Reason> {
        let target = target::resolve(&self.target, reference).map_err(|_| Reason::FragmentRefused)?;
        // Only the page's own site: what a page says never decides which host is asked.
        if target.host != self.target.host {
            return Err(Reason::FragmentRefused);
        }
        if self.lineage.has(&target.path_and_query()) {
            return Err(Reason::FragmentCycle);
        }
        Ok(Exchange {
            method: Method::GET,
            target: Target { scheme: self.target.scheme, ..target },
            headers: self.headers.clone(),
            peer: self.peer,
            absolute: false,
            anew: false,
            trusted: self.trusted,
            now: self.now,
            depth: self.depth,
            has_body: false,
            upgrades: false,
            interim: None,
            trailers: false,
            fwd: None,
            lineage: Some(Arc::clone(&self.lineage)),
            wishes: wishes(include),
        })
    }

    /// Whether an answer can be spliced in: 2xx, and not encoded.
    fn judge(&self, answer: Answer) -> Result<(Body, Option<Made>), Reason> {
        let status = answer.response.status();
        if !status.is_success() {
            let own = answer.reason.outcome() == crate::Outcome::Error;
            return Err(if own { answer.reason } else { Reason::FragmentStatus });
        }
        if answer.response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Reason::FragmentStatus);
        }
        self.proxy.observer.fragment(answer.reason, false);
        Ok((answer.response.into_body(), answer.made.map(|made| *made)))
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
                "ESI fragment failed"
            );
        }
    }
}

/// The language of a rule's templates.
pub(crate) fn dialect(rule: &Rule) -> Dialect {
    match rule.esi_options.dialect {
        EsiDialect::Esi10 => Dialect::Esi10,
        EsiDialect::Akamai => Dialect::Akamai,
    }
}

/// `ttl` and `no-store` of the Akamai dialect, as the request directives that say the same: a stored fragment that is older
/// is not used in this place, so that a page can shorten a fragment's life and never lengthen it.
fn wishes(include: &Include) -> Option<RequestDirectives> {
    let options = include.options.as_deref()?;
    let wishes = RequestDirectives { max_age: options.ttl, no_store: options.no_store, ..RequestDirectives::default() };
    (!wishes.is_default()).then_some(wishes)
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
