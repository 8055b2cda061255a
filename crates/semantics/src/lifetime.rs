//! How long a response is fresh and how old it is on arrival (RFC 9111 §4.2.1–§4.2.3).

use std::time::Duration;

use http::StatusCode;
use http::header::{AGE, DATE, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED};

use crate::directives::ResponseDirectives;
use crate::list::delta_seconds;
use crate::time::{Timestamp, parse_http_date};

/// The longest heuristic freshness lifetime: one day. §4.2.2 asks for modesty; after a day a page is validated.
const LONGEST_HEURISTIC: Duration = Duration::from_secs(86_400);

/// What a rule says about the freshness lifetime; all durations of the operator's making.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LifetimeRules {
    /// In place of the origin's lifetime.
    pub ttl: Option<Duration>,
    /// Only where the origin states none.
    pub default_ttl: Option<Duration>,
    /// Raises a shorter lifetime.
    pub min_ttl: Option<Duration>,
    /// Cuts a longer lifetime.
    pub max_ttl: Option<Duration>,
    /// What the rule says for this very status; beats `ttl`.
    pub status_ttl: Option<Duration>,
    /// Guess a lifetime from `Last-Modified` where nothing else gives one (§4.2.2).
    pub heuristic: bool,
}

/// Where a freshness lifetime comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LifetimeSource {
    /// The rule's `ttl`.
    RuleTtl,
    /// The rule's `status_ttl`.
    StatusTtl,
    /// `s-maxage` (§5.2.2.10).
    SMaxage,
    /// `max-age` (§5.2.2.1).
    MaxAge,
    /// `Expires` less `Date` (§5.3).
    Expires,
    /// A targeted field (RFC 9213) or `Surrogate-Control`.
    TargetedMaxAge,
    /// A tenth of the age of `Last-Modified` (§4.2.2).
    Heuristic,
    /// The rule's `default_ttl`.
    RuleDefault,
    /// Nothing gives one: zero.
    #[default]
    None,
}

impl LifetimeSource {
    /// Whether the origin or the operator stated it for this very response, so that any final status may be stored (§3).
    pub(crate) const fn is_explicit(self) -> bool {
        !matches!(self, LifetimeSource::Heuristic | LifetimeSource::RuleDefault | LifetimeSource::None)
    }
}

/// A freshness lifetime and its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// How long the response is fresh, counted from its age zero.
    pub duration: Duration,
    /// Where that comes from.
    pub source: LifetimeSource,
}

/// Whether a response with this status may be stored and get a heuristic lifetime without being told (RFC 9110 §15.1).
///
/// Without 206, which is never stored here.
pub fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The freshness lifetime of a response (RFC 9111 §4.2.1), after the operator's rules.
///
/// `ttl`, `default_ttl` and `min_ttl` speak of heuristically cacheable statuses only: a rule `ttl: 1h` must not keep a 500 for an
/// hour. Other statuses have what the origin states or what `status_ttl` names. `max_ttl` cuts whatever the origin states.
pub fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    response_time: Timestamp,
    rules: &LifetimeRules,
) -> Lifetime {
    let of = |duration, source| Lifetime { duration, source };
    let usual = heuristically_cacheable(status);
    if let Some(ttl) = rules.status_ttl {
        return of(ttl, LifetimeSource::StatusTtl);
    }
    if let Some(ttl) = rules.ttl.filter(|_| usual) {
        return of(ttl, LifetimeSource::RuleTtl);
    }
    let found = match stated(headers, directives, response_time) {
        Some(stated) => stated,
        None if !usual && !directives.public => return Lifetime::default(),
        None => match rules.default_ttl.filter(|_| usual) {
            Some(ttl) => return of(ttl, LifetimeSource::RuleDefault),
            None if rules.heuristic => match heuristic(headers, response_time) {
                Some(duration) => of(duration, LifetimeSource::Heuristic),
                None => return Lifetime::default(),
            },
            None => return Lifetime::default(),
        },
    };
    let at_least = rules.min_ttl.filter(|_| usual).unwrap_or_default();
    let at_most = rules.max_ttl.unwrap_or(Duration::MAX);
    of(found.duration.max(at_least).min(at_most), found.source)
}

/// What the origin states, in the order of §4.2.1 for a shared cache: `s-maxage`, `max-age`, `Expires`.
fn stated(headers: &HeaderMap, directives: &ResponseDirectives, response_time: Timestamp) -> Option<Lifetime> {
    let ages = [(directives.s_maxage, LifetimeSource::SMaxage), (directives.max_age, LifetimeSource::MaxAge)];
    for (age, source) in ages {
        if let Some(duration) = age {
            let source = if directives.targeted { LifetimeSource::TargetedMaxAge } else { source };
            return Some(Lifetime { duration, source });
        }
    }
    // RFC 9213 §2.2: with a targeted field in force, Expires is void.
    if directives.targeted {
        return None;
    }
    expires(headers, response_time).map(|duration| Lifetime { duration, source: LifetimeSource::Expires })
}

/// §5.3: `Expires` less `Date`; anything that is no date, especially `0`, has already expired. Lines that differ count as expired
/// too (§4.2.1).
fn expires(headers: &HeaderMap, response_time: Timestamp) -> Option<Duration> {
    let mut lines = headers.get_all(EXPIRES).iter();
    let first = lines.next()?;
    if lines.any(|line| line != first) {
        return Some(Duration::ZERO);
    }
    let expires = parse_http_date(first.as_bytes(), response_time);
    let date = date_or(headers, response_time);
    Some(expires.map_or(Duration::ZERO, |expires| expires.since(date)))
}

/// §4.2.2: a tenth of the time since the last modification, one day at most.
fn heuristic(headers: &HeaderMap, response_time: Timestamp) -> Option<Duration> {
    let modified = field_date(headers, &LAST_MODIFIED, response_time)?;
    let unchanged = date_or(headers, response_time).since(modified);
    Some((unchanged / 10).min(LONGEST_HEURISTIC))
}

/// The `Date` field, or the second of `response_time` (RFC 9110 §6.6.1).
fn date_or(headers: &HeaderMap, response_time: Timestamp) -> Timestamp {
    field_date(headers, &DATE, response_time).unwrap_or(Timestamp::from_secs(response_time.as_secs()))
}

/// The date in the first line of a field, if it is one.
pub(crate) fn field_date(headers: &HeaderMap, name: &HeaderName, now: Timestamp) -> Option<Timestamp> {
    parse_http_date(headers.get(name)?.as_bytes(), now)
}

/// The age of a response at the moment it was received: `corrected_initial_age` of RFC 9111 §4.2.3.
///
/// `request_time` is when the request was sent, `response_time` when the response head came. The apparent age is counted in whole
/// seconds because `Date` has no finer ones: else every response would be up to a second old on arrival. With a rule's `ttl` in
/// force, the caller may count from zero instead.
pub fn initial_age(headers: &HeaderMap, request_time: Timestamp, response_time: Timestamp) -> Duration {
    let received = Timestamp::from_secs(response_time.as_secs());
    let apparent_age = field_date(headers, &DATE, response_time).map_or(Duration::ZERO, |date| received.since(date));
    let response_delay = response_time.since(request_time);
    let corrected_age = age_field(headers).saturating_add(response_delay);
    apparent_age.max(corrected_age)
}

/// §5.1: the first member of `Age`; what is no non-negative number is ignored.
fn age_field(headers: &HeaderMap) -> Duration {
    headers
        .get(AGE)
        .and_then(|line| line.as_bytes().split(|&byte| byte == b',').next())
        .and_then(|first| delta_seconds(first.trim_ascii()))
        .unwrap_or_default()
}
