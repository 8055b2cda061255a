//! ESI fragments: each is a request of its own, through rules, cache and sessions, on the same path as a page.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use copal_esi::{Dialect, Escape, Include, Parser, Setting, Value, Variables};
use copal_origin::RequestBody;
use copal_policy::{EsiDialect, EsiOnError, Rule};
use copal_semantics::{RequestDirectives, Target, Timestamp, fields};
use http::{HeaderMap, HeaderValue, Method, header};
use http_body::Body as _;
use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;

use crate::answer::Answer;
use crate::body::Body;
use crate::exchange::{Exchange, OnBehalf, Once};
use crate::fill;
use crate::forward;
use crate::lineage::{Limit, Lineage};
use crate::made::Made;
use crate::media;
use crate::proxy::{Proxy, Runtime};
use crate::reach;
use crate::reason::Reason;
use crate::report::Spot;
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
    /// The page's own target: relative references start from it, and its site is included from.
    target: Target,
    method: Method,
    headers: HeaderMap,
    peer: IpAddr,
    trusted: bool,
    on_behalf: OnBehalf,
    now: Timestamp,
    depth: u32,
    lineage: Arc<Lineage>,
    /// It is of another host than the client's page, or was led to by one, or is within a fragment that is.
    abroad: bool,
    /// Bytes of its fragments so far.
    bytes: AtomicU64,
    spot: Option<Spot>,
}

/// What was asked for, from which a redirect leads on.
struct Asked {
    target: Target,
    /// It is of another host than the page, or such a one led to it.
    abroad: bool,
}

/// A fragment that was begun.
pub(crate) enum Fragment {
    /// All of it is at hand; with what it is made of, where that is known.
    AtHand(std::vec::IntoIter<Bytes>, Option<Made>),
    /// Its body comes. `counted`: its length is known, and taken from what the page's fragments may have.
    Streaming { body: Body, counted: bool },
    /// Its answer is waited for.
    Running(Running),
    /// It cannot be had, nor what was to stand for it. `silent`: the page says that it does not matter.
    Failed { silent: bool },
}

/// A fragment on its way; dropped with the page that no one reads any more.
pub(crate) enum Running {
    /// Driven by whoever waits for the page: one that is alone needs no task meanwhile.
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

    /// Gives it a task, if it has none.
    pub(crate) fn let_run(&mut self) {
        if let Self::Here(fragment) = self {
            let fragment = std::mem::replace(fragment, Box::pin(std::future::pending()));
            *self = Self::new(fragment, false);
        }
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
    fn of(body: Body, made: Option<Made>, counted: bool) -> Self {
        match body.into_parts_at_hand() {
            Ok(parts) => Self::AtHand(parts.into_iter(), made),
            Err(body) => Self::Streaming { body, counted },
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
            false if media::is_script(template) => Escape::Script,
            false => Escape::Markup,
        };
        Arc::new(Self {
            proxy: Arc::clone(proxy),
            runtime: Arc::clone(runtime),
            rule: Arc::clone(rule),
            escape,
            personal: AtomicBool::new(false),
            // HEAD is told of the page that GET gets.
            method: if exchange.method == Method::HEAD { Method::GET } else { exchange.method.clone() },
            target: exchange.target.clone(),
            headers: forward::fragment_head(&exchange.headers),
            peer: exchange.peer,
            trusted: exchange.trusted,
            on_behalf: exchange.on_behalf(),
            now: exchange.now,
            depth: exchange.depth + 1,
            lineage: Lineage::of(exchange),
            abroad: exchange.abroad,
            bytes: AtomicU64::new(0),
            spot: exchange.spot.clone(),
        })
    }

    /// How many fragments of this page may be under way at once, and how many there may be at all.
    pub(crate) fn limits(&self) -> (usize, usize) {
        let esi = &self.runtime.config.esi;
        (esi.max_concurrent, esi.max_includes)
    }

    /// How long the page waits for what is not at hand before its first bytes leave.
    pub(crate) fn hold(&self) -> Duration {
        self.runtime.config.esi.hold
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
        match error.downcast_ref() {
            Some(error) => self.proxy.broke_off(&self.target.url(), error),
            None => {
                tracing::warn!(page = %self.target.url(), %error, "an ESI fragment broke off, and its page with it")
            }
        }
    }

    /// Where the report tells of an include, if there is one.
    pub(crate) fn spot(&self, include: &Include) -> Option<Spot> {
        self.spot.as_ref().map(|spot| spot.within(include))
    }

    /// Takes so many bytes of what the fragments of a client's page may have together.
    pub(crate) fn spend(&self, bytes: u64) -> bool {
        // Those of a fragment's fragments count as the fragment's.
        if self.depth > 1 {
            return true;
        }
        let spent = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let within = spent <= self.runtime.config.esi.max_bytes;
        if !within {
            // A smaller one may fit.
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.limited(Limit::MaxBytes);
        }
        within
    }

    /// Whether so many bytes more are within what the fragments of a client's page may have together.
    fn may_spend(&self, bytes: u64) -> bool {
        let spent = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let within = self.depth > 1 || spent <= self.runtime.config.esi.max_bytes;
        if !within {
            self.limited(Limit::MaxBytes);
        }
        within
    }

    /// So many includes of the page itself are beyond `esi.max_includes`; `first`: that was not known before.
    pub(crate) fn left_out(&self, count: usize, first: bool) {
        if first {
            self.limited(Limit::MaxIncludes);
        }
        if let Some(spot) = &self.spot {
            spot.left_out(count);
        }
    }

    /// Says what is wrong with the template of a page that is not stored.
    pub(crate) fn warn_of_template(&self, parser: &mut Parser) {
        fill::warn_of_template(&self.proxy, &self.target.url(), parser);
    }

    /// A limit is reached: counted each time, told once for each request of a client.
    fn limited(&self, limit: Limit) {
        self.proxy.observer.esi_limit(limit.as_str());
        // In a crowd every page would say so.
        let crowd = limit == Limit::MaxConcurrentTotal;
        if !self.lineage.tell(limit) && (!crowd || self.proxy.may_warn_of_crowd()) {
            tracing::warn!(page = %self.target.url(), limit = limit.as_str(), "{}", limit.sentence());
        }
    }

    /// Begins a fragment. One that is stored and fresh is at hand at once; another gets a task of its own, unless it is `alone`
    /// under way in a page that is polled for its sake.
    pub(crate) fn begin(self: &Arc<Self>, include: &Arc<Include>, spot: Option<&Spot>, alone: bool) -> Fragment {
        for attempt in [Attempt::Src, Attempt::Alt] {
            let Some(reference) = attempt.reference(include) else { break };
            match self.ask(include, self.base(), reference, spot) {
                Ok((_, Begun::Ready(answer))) if !self.follows(include, &answer) => match self.judge(answer, spot) {
                    Ok(brought) => return brought,
                    Err(reason) => self.failed(include, reference, reason, spot),
                },
                Ok(begun) => {
                    let (page, include, spot) = (Arc::clone(self), Arc::clone(include), spot.cloned());
                    let fragment = async move { page.resolve(&include, attempt, begun, spot.as_ref()).await };
                    // Of what only looks nobody drives it, and so nothing is asked for.
                    let alone = alone || self.lineage.only_looks();
                    return Fragment::Running(Running::new(fragment, alone));
                }
                Err(reason) => self.failed(include, reference, reason, spot),
            }
        }
        self.lacking(include, spot)
    }

    /// Neither `src` nor `alt` can be had.
    fn lacking(&self, include: &Include, spot: Option<&Spot>) -> Fragment {
        let silent = include.continue_on_error;
        if let Some(spot) = spot {
            let placeholder = self.rule.esi_options.placeholder.is_some();
            spot.instead(match (silent, placeholder, self.fails()) {
                (true, ..) => "nothing (onerror)",
                (false, true, _) => "placeholder",
                (false, false, true) => "the page fails",
                (false, false, false) => "nothing",
            });
        }
        Fragment::Failed { silent }
    }

    /// Waits for an attempt; when `src` fails, `alt` is asked for.
    async fn resolve(
        self: &Arc<Self>,
        include: &Include,
        attempt: Attempt,
        begun: (Option<Asked>, Begun),
        spot: Option<&Spot>,
    ) -> Fragment {
        let reference = attempt.reference(include).unwrap_or_default();
        match self.follow(include, begun, spot).await {
            Ok(brought) => return brought,
            Err(reason) => self.failed(include, reference, reason, spot),
        }
        if let Some(reference) = include.alt.as_deref().filter(|_| attempt == Attempt::Src) {
            let brought = match self.ask(include, self.base(), reference, spot) {
                Ok(begun) => self.follow(include, begun, spot).await,
                Err(reason) => Err(reason),
            };
            match brought {
                Ok(brought) => return brought,
                Err(reason) => self.failed(include, reference, reason, spot),
            }
        }
        self.lacking(include, spot)
    }

    /// Waits for an answer, and for that of the place to which it redirects, as often as the rule lets it.
    async fn follow(
        &self,
        include: &Include,
        (mut asked, mut begun): (Option<Asked>, Begun),
        spot: Option<&Spot>,
    ) -> Result<Fragment, Reason> {
        let mut left = self.rule.esi_options.redirects;
        loop {
            let answer = match begun {
                Begun::Ready(answer) => answer,
                Begun::Later(later) => self.in_time(include, later).await?,
            };
            let location = reach::redirect(&answer).filter(|_| left > 0 && self.follows(include, &answer));
            let (Some(location), Some(base)) = (location, &asked) else { return self.judge(answer, spot) };
            if let Some(spot) = spot {
                spot.answered(&answer);
            }
            (asked, begun) = self.ask(include, (&base.target, base.abroad), location, spot)?;
            left -= 1;
        }
    }

    /// Whether an answer is a redirect that is to be followed.
    fn follows(&self, include: &Include, answer: &Answer) -> bool {
        self.rule.esi_options.redirects > 0 && reach::posted(include).is_none() && reach::redirect(answer).is_some()
    }

    /// Waits for an answer, for a turn first, and not beyond what is left for the page.
    async fn in_time(&self, include: &Include, later: Later) -> Result<Answer, Reason> {
        let limits = &self.runtime.config.esi;
        let limit = limits.fragment_timeout;
        let limit = include.options.as_ref().and_then(|options| options.max_wait).map_or(limit, |wait| wait.min(limit));
        let left = self.lineage.left(limits.page_timeout);
        let answer = async {
            // Given back when the head is there: a body that a slow client reads holds up nobody, and what a fragment includes
            // itself never waits for a turn that it holds.
            let _turn = self.turn().await;
            later.await
        };
        let answered = if left.is_zero() { None } else { tokio::time::timeout(limit.min(left), answer).await.ok() };
        answered.ok_or_else(|| {
            if left <= limit {
                self.limited(Limit::PageTimeout);
            }
            Reason::FragmentTimeout
        })
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.runtime.turns.try_acquire() {
            return Some(turn);
        }
        self.limited(Limit::MaxConcurrentTotal);
        // Nobody closes it.
        self.runtime.turns.acquire().await.ok()
    }

    /// What the page's own references are relative to.
    fn base(&self) -> (&Target, bool) {
        (&self.target, self.abroad)
    }

    /// Asks for a fragment as a client would; `base` is what its reference is relative to, and whether that is abroad. Also
    /// gives what was asked for, where a redirect may be followed from it.
    fn ask(
        &self,
        include: &Include,
        base: (&Target, bool),
        reference: &str,
        spot: Option<&Spot>,
    ) -> Result<(Option<Asked>, Begun), Reason> {
        let limits = &self.runtime.config.esi;
        if !self.is_shallow() {
            self.limited(Limit::MaxDepth);
            return Err(Reason::FragmentRefused);
        }
        if !self.lineage.take(limits.max_includes) {
            self.limited(Limit::MaxIncludes);
            return Err(Reason::FragmentRefused);
        }
        let (exchange, once) = self.request(include, base, reference)?;
        if let Some(spot) = spot {
            spot.asked(exchange.target.url());
        }
        let follows = self.rule.esi_options.redirects > 0;
        let asked = follows.then(|| Asked { target: exchange.target.clone(), abroad: exchange.abroad });
        let exchange = Exchange { spot: spot.cloned(), ..exchange };
        Ok((asked, request::begin(&self.proxy, &self.runtime, exchange, once)))
    }

    /// The request for a fragment. The same for all requests for the page that have the same target, but for what it takes over of their
    /// fields and of who asks.
    pub(crate) fn request(
        &self,
        include: &Include,
        (base, abroad): (&Target, bool),
        reference: &str,
    ) -> Result<(Exchange, Once), Reason> {
        let target = reach::admit(&self.target, &self.rule, base, reference)?;
        // Where another host sends it, it is asked for as nobody, also back at home.
        let abroad = abroad || target.host != self.target.host;
        if self.lineage.has(abroad.then_some(&*target.host), &target.path_and_query()) {
            return Err(Reason::FragmentCycle);
        }
        let mut headers = if abroad { reach::abroad(&self.headers) } else { self.headers.clone() };
        let (method, once) = match reach::posted(include) {
            None => (Method::GET, Once::nothing()),
            Some(_) if abroad || !self.rule.esi_options.may_post(&target.path) => return Err(Reason::FragmentRefused),
            Some(entity) => {
                headers.insert(header::CONTENT_TYPE, FORM);
                let body = RequestBody::Full(Bytes::copy_from_slice(entity.as_bytes()));
                (Method::POST, Once { body, upgrade: None })
            }
        };
        let exchange = Exchange {
            has_body: method == Method::POST,
            method,
            target,
            headers,
            peer: self.peer,
            absolute: false,
            anew: false,
            trusted: self.trusted,
            on_behalf: Some(self.on_behalf),
            now: self.now,
            depth: self.depth,
            upgrades: false,
            interim: None,
            trailers: false,
            fwd: None,
            lineage: Some(Arc::clone(&self.lineage)),
            abroad,
            spot: None,
            wishes: wishes(include),
            request_id: None,
            ends: None,
        };
        Ok((exchange, once))
    }

    /// Whether an answer can be spliced in: 2xx, not encoded, and not too large.
    fn judge(&self, answer: Answer, spot: Option<&Spot>) -> Result<Fragment, Reason> {
        if let Some(spot) = spot {
            spot.answered(&answer);
        }
        let status = answer.response.status();
        if !status.is_success() {
            let own = answer.reason.outcome() == crate::Outcome::Error;
            return Err(if own { answer.reason } else { Reason::FragmentStatus });
        }
        if answer.response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Reason::FragmentStatus);
        }
        let length = answer.response.body().size_hint().exact();
        // What a template that comes in makes is not known; what it is announced with tells before anything of it is out.
        let fits = match length {
            Some(length) => self.spend(length),
            None => fields::content_length(answer.response.headers()).is_none_or(|length| self.may_spend(length)),
        };
        if !fits {
            return Err(Reason::FragmentTooLarge);
        }
        if let (Some(spot), Some(length)) = (spot, length) {
            spot.brought(length);
        }
        self.proxy.observer.fragment(answer.reason, false);
        Ok(Fragment::of(answer.response.into_body(), answer.made.map(|made| *made), length.is_some()))
    }

    fn failed(&self, include: &Include, reference: &str, reason: Reason, spot: Option<&Spot>) {
        if let Some(spot) = spot {
            spot.failed(reference, reason);
        }
        self.proxy.observer.fragment(reason, true);
        // What goes beyond the budget was told of once.
        let beyond = self.lineage.was_told(Limit::MaxIncludes) && reason == Reason::FragmentRefused;
        if include.continue_on_error || beyond {
            tracing::debug!(page = %self.target.url(), reference, reason = reason.as_str(), "ESI fragment failed");
        } else {
            tracing::warn!(
                page = %self.target.url(),
                line = include.line,
                column = include.column,
                reference,
                reason = reason.as_str(),
                "ESI fragment failed"
            );
        }
    }
}

/// What forms send; the only thing that a template can say of a body is its text.
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

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
