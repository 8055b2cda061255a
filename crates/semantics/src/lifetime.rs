//! How long a response is fresh (RFC 9111 §4.2.1, §4.2.2).

use std::time::Duration;

use http::StatusCode;
use http::header::{DATE, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED};

use crate::age::stated_age;
use crate::directives::ResponseDirectives;
use crate::time::{Timestamp, parse_http_date};
use crate::ttl_header::{TtlHeader, ttl_header};

/// The longest heuristic freshness lifetime where no rule says another: one day. §4.2.2 asks for modesty; after a day a page is
/// validated.
const LONGEST_HEURISTIC: Duration = Duration::from_secs(86_400);

/// What a rule says about the freshness lifetime; all durations of the operator's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifetimeRules<'a> {
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
    /// The longest such guess.
    pub heuristic_max: Duration,
    /// Response fields that state the lifetime before all others: seconds from arrival, `@` and seconds since 1970, or `0` for "do
    /// not store" (`X-Accel-Expires`).
    pub ttl_headers: &'a [HeaderName],
}

impl Default for LifetimeRules<'_> {
    fn default() -> Self {
        Self {
            ttl: None,
            default_ttl: None,
            min_ttl: None,
            max_ttl: None,
            status_ttl: None,
            heuristic: false,
            heuristic_max: LONGEST_HEURISTIC,
            ttl_headers: &[],
        }
    }
}

/// Where a freshness lifetime comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LifetimeSource {
    /// One of the rule's `ttl_headers`.
    TtlHeader,
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
    /// Whether the lifetime counts from the arrival of the response here, however old it was then: it speaks of this cache, not of the
    /// response since it was made. The caller adds the initial age to such a lifetime.
    pub const fn counts_from_arrival(self) -> bool {
        matches!(
            self,
            LifetimeSource::TtlHeader
                | LifetimeSource::RuleTtl
                | LifetimeSource::StatusTtl
                | LifetimeSource::RuleDefault
        )
    }

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
    /// A field of `ttl_headers` says that the response must not be stored.
    pub forbidden: bool,
}

impl Lifetime {
    const fn of(duration: Duration, source: LifetimeSource) -> Self {
        Self { duration, source, forbidden: false }
    }
}

/// Whether a response with this status may be stored and get a heuristic lifetime without being told (RFC 9110 §15.1, RFC 7725 for 451).
pub fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501)
}

/// The freshness lifetime of a response (RFC 9111 §4.2.1), after the operator's rules.
///
/// A field of `ttl_headers` comes before all. `ttl`, `default_ttl` and `min_ttl` speak of heuristically cacheable statuses only: a rule
/// `ttl: 1h` must not keep a 500 for an hour. Other statuses have what the origin states or what `status_ttl` names. `max_ttl` cuts
/// whatever the origin states. A response whose `Age` cannot be believed has no lifetime of the origin's making: zero.
pub fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    response_time: Timestamp,
    rules: &LifetimeRules<'_>,
) -> Lifetime {
    let usual = heuristically_cacheable(status);
    let at_least = rules.min_ttl.filter(|_| usual).unwrap_or_default();
    let at_most = rules.max_ttl.unwrap_or(Duration::MAX);
    let bounded = |found: Lifetime| Lifetime { duration: found.duration.max(at_least).min(at_most), ..found };
    match ttl_header(headers, rules.ttl_headers, response_time) {
        Some(TtlHeader::Forbidden) => {
            return Lifetime { forbidden: true, ..Lifetime::of(Duration::ZERO, LifetimeSource::TtlHeader) };
        }
        Some(TtlHeader::For(duration)) => return bounded(Lifetime::of(duration, LifetimeSource::TtlHeader)),
        None => {}
    }
    if let Some(ttl) = rules.status_ttl {
        return Lifetime::of(ttl, LifetimeSource::StatusTtl);
    }
    if let Some(ttl) = rules.ttl.filter(|_| usual) {
        return Lifetime::of(ttl, LifetimeSource::RuleTtl);
    }
    let mut found = match stated(headers, directives, response_time) {
        Some(stated) => stated,
        None if !usual && !directives.public => return Lifetime::default(),
        None => match rules.default_ttl.filter(|_| usual) {
            Some(ttl) => return Lifetime::of(ttl, LifetimeSource::RuleDefault),
            None => match heuristic(headers, response_time, rules) {
                Some(duration) => Lifetime::of(duration, LifetimeSource::Heuristic),
                None => return Lifetime::default(),
            },
        },
    };
    if !stated_age(headers).believed {
        found.duration = Duration::ZERO;
    }
    bounded(found)
}

/// A lifetime shortened at random by up to `percent` of it, so that what was stored together does not expire together. `random` is
/// evenly spread over all of `u64`; more than 100 percent counts as 100.
pub fn jittered(lifetime: Duration, percent: u8, random: u64) -> Duration {
    // 2^94 nanoseconds at most, times 100, times 2^32: all within 128 bits.
    let most = lifetime.as_nanos() * u128::from(percent.min(100)) / 100;
    let cut = (most * u128::from(random >> 32)) >> 32;
    let seconds = u64::try_from(cut / 1_000_000_000).unwrap_or(u64::MAX);
    let nanos = u32::try_from(cut % 1_000_000_000).unwrap_or_default();
    lifetime.saturating_sub(Duration::new(seconds, nanos))
}

/// What the origin states, in the order of §4.2.1 for a shared cache: `s-maxage`, `max-age`, `Expires`.
fn stated(headers: &HeaderMap, directives: &ResponseDirectives, response_time: Timestamp) -> Option<Lifetime> {
    let ages = [(directives.s_maxage, LifetimeSource::SMaxage), (directives.max_age, LifetimeSource::MaxAge)];
    for (age, source) in ages {
        if let Some(duration) = age {
            let source = if directives.targeted { LifetimeSource::TargetedMaxAge } else { source };
            return Some(Lifetime::of(duration, source));
        }
    }
    // RFC 9213 §2.2: with a targeted field in force, Expires is void.
    if directives.targeted {
        return None;
    }
    expires(headers, response_time).map(|duration| Lifetime::of(duration, LifetimeSource::Expires))
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

/// §4.2.2: a tenth of the time since the last modification, as much as the rules allow at most.
fn heuristic(headers: &HeaderMap, response_time: Timestamp, rules: &LifetimeRules<'_>) -> Option<Duration> {
    if !rules.heuristic {
        return None;
    }
    let modified = field_date(headers, &LAST_MODIFIED, response_time)?;
    let unchanged = date_or(headers, response_time).since(modified);
    Some((unchanged / 10).min(rules.heuristic_max))
}

/// The `Date` field, or the second of `response_time` (RFC 9110 §6.6.1).
fn date_or(headers: &HeaderMap, response_time: Timestamp) -> Timestamp {
    field_date(headers, &DATE, response_time).unwrap_or(Timestamp::from_secs(response_time.as_secs()))
}

/// The date in the first line of a field, if it is one.
pub(crate) fn field_date(headers: &HeaderMap, name: &HeaderName, now: Timestamp) -> Option<Timestamp> {
    parse_http_date(headers.get(name)?.as_bytes(), now)
}
