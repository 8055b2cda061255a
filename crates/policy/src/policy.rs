//! The operator's answers: which rule decides about a request, and what its cookies are.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::glob::NameGlob;
use crate::names::NameSet;
use crate::sessions::Sessions;
use crate::{Action, Cookie, Cookies, EsiMode, RequestFacts, Rule, RuleSource, SessionMode};

/// What becomes of a cookie that is on no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownCookies {
    /// The request bypasses the cache: the cookie could be a session.
    #[default]
    Bypass,
    /// The cookie is taken off requests whose response may be stored.
    Strip,
}

/// What a cookie is under a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// On a session list. Wins over every other list.
    Session,
    /// In the rule's key.
    Keyed,
    /// On an ignore list: never significant.
    Ignored,
    /// On no list.
    Unknown,
}

/// The cookies of one request, sorted by what they mean under a rule.
#[derive(Clone, Debug, Default)]
pub struct CookieVerdict<'r> {
    /// The name of the first session cookie.
    pub session: Option<&'r str>,
    /// The name of the first cookie that is on no list, if those bypass the cache (`unknown: bypass`).
    pub unknown: Option<&'r str>,
    /// The cookies that are in the key: one of each name (the first), sorted by name, so that the order in which a
    /// client sends them does not split the cache.
    pub keyed: Vec<Cookie<'r>>,
    /// The session cookies in the order sent: what a fragment under a `pass` rule is sent from a page that ignores
    /// sessions.
    pub sessions: Vec<Cookie<'r>>,
    /// How many cookies are on an ignore list.
    pub ignored: usize,
    /// How many cookies are on no list and are stripped (`unknown: strip`).
    pub stripped: usize,
}

/// All rules and session lists, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Arc<Rule>>,
    otherwise: Arc<Rule>,
    pub(crate) sessions: Sessions,
    pub(crate) ignored: NameSet,
    pub(crate) unknown: UnknownCookies,
    reads: Reads,
}

/// What the rules look at of a request beside its method and its target.
#[derive(Clone, Debug, Default)]
struct Reads {
    headers: Vec<HeaderName>,
    /// Cookies that some rule asks for; those that one keys by are with the rule.
    cookies: Vec<NameGlob>,
    keyed: Vec<Arc<Rule>>,
}

impl Reads {
    fn of(rules: &[Arc<Rule>]) -> Self {
        let mut reads = Self::default();
        for rule in rules {
            let (headers, cookies) = rule.matcher.reads();
            let keyed = rule.cache().map(|cache| &cache.key);
            reads.headers.extend(headers.chain(keyed.iter().flat_map(|key| &key.headers)).cloned());
            reads.cookies.extend(cookies.iter().cloned());
            if keyed.is_some_and(crate::KeyRule::has_cookies) {
                reads.keyed.push(Arc::clone(rule));
            }
        }
        reads.headers.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        reads.headers.dedup();
        reads
    }

    fn has_cookie(&self, name: &str) -> bool {
        self.cookies.iter().any(|glob| glob.matches(name)) || self.keyed.iter().any(|rule| rule.keys_cookie(name))
    }
}

impl Policy {
    pub(crate) fn new(rules: Vec<Arc<Rule>>, sessions: Sessions, ignored: NameSet, unknown: UnknownCookies) -> Self {
        let otherwise = Arc::new(Rule {
            name: "default/otherwise".into(),
            source: RuleSource::Default,
            file: "default.yaml".into(),
            line: 0,
            action: Action::Pass,
            sessions: SessionMode::Bypass,
            context: None,
            esi: EsiMode::Off,
            esi_options: Arc::default(),
            origin: 0,
            timeouts: None,
            request: Default::default(),
            response: Default::default(),
            by_fields: false,
            matcher: Default::default(),
        });
        Self { reads: Reads::of(&rules), rules, otherwise, sessions, ignored, unknown }
    }

    /// The first rule that fits. There always is one: the default policy ends with a rule for everything. Allocates
    /// nothing.
    #[must_use]
    pub fn answer<'a>(&'a self, facts: &RequestFacts<'_>) -> &'a Arc<Rule> {
        self.rules.iter().find(|rule| rule.matcher.fits(facts)).unwrap_or(&self.otherwise)
    }

    /// Whether the fields of a request say nothing to any rule: none that a rule asks for or keys by is there, and every cookie is
    /// one that is ignored. What the rules answer, and what is keyed, is then the same as for a request without any
    /// field. Without cookies this allocates nothing.
    #[must_use]
    pub fn reads_none_of(&self, headers: &HeaderMap) -> bool {
        let ignored =
            |name: &str| !self.sessions.contains(name) && self.ignored.contains(name) && !self.reads.has_cookie(name);
        !self.reads.headers.iter().any(|name| headers.contains_key(name))
            && Cookies::parse(headers).iter().all(|cookie| ignored(cookie.name))
    }

    /// All rules in the order in which they are tried: the configuration's, the policies', the default's.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// What becomes of a cookie that is on no list.
    #[must_use]
    pub fn unknown_cookies(&self) -> UnknownCookies {
        self.unknown
    }

    /// What the cookie of that name is under `rule`, whatever its value.
    #[must_use]
    pub fn cookie_kind(&self, rule: &Rule, name: &str) -> CookieKind {
        if self.sessions.contains(name) {
            CookieKind::Session
        } else if rule.keys_cookie(name) {
            CookieKind::Keyed
        } else if self.ignored.contains(name) || rule.esi_options.reads_cookie(name) {
            // What only the assembly reads makes no other page at the origin.
            CookieKind::Ignored
        } else {
            CookieKind::Unknown
        }
    }

    /// Sorts the request's cookies by what they mean under `rule`. Without cookies this allocates nothing.
    #[must_use]
    pub fn classify<'r>(&self, rule: &Rule, cookies: &Cookies<'r>) -> CookieVerdict<'r> {
        let mut verdict = CookieVerdict::default();
        for cookie in cookies.iter() {
            let kind = match self.cookie_kind(rule, cookie.name) {
                // The visitor has none: the cookie says so itself, and goes no further.
                CookieKind::Session if self.sessions.excepts(cookie) => CookieKind::Ignored,
                kind => kind,
            };
            match (kind, self.unknown) {
                (CookieKind::Session, _) => {
                    verdict.session.get_or_insert(cookie.name);
                    verdict.sessions.push(*cookie);
                }
                (CookieKind::Keyed, _) => verdict.keyed.push(*cookie),
                (CookieKind::Ignored, _) => verdict.ignored += 1,
                (CookieKind::Unknown, UnknownCookies::Bypass) => {
                    verdict.unknown.get_or_insert(cookie.name);
                }
                (CookieKind::Unknown, UnknownCookies::Strip) => verdict.stripped += 1,
            }
        }
        // Stable, so of several with one name the first stays.
        verdict.keyed.sort_by_key(|cookie| cookie.name);
        verdict.keyed.dedup_by_key(|cookie| cookie.name);
        verdict
    }
}
