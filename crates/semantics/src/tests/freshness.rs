use std::time::Duration;

use super::{NOW, after, headers, secs};
use crate::directives::ResponseDirectives;
use crate::freshness::{Freshness, FreshnessState, StaleRules};
use crate::lifetime::{Lifetime, LifetimeSource};
use crate::storability::Overrides;
use crate::time::Timestamp;

/// Fresh for a minute, then as `cache_control` and `grace` say.
fn freshness(cache_control: &str, grace: u64, overrides: Overrides) -> Freshness {
    let lifetime = Lifetime { duration: secs(60), source: LifetimeSource::MaxAge, forbidden: false };
    let directives = ResponseDirectives::parse(&headers(&[("cache-control", cache_control)]));
    Freshness::new(
        NOW,
        secs(0),
        lifetime,
        &directives,
        overrides,
        StaleRules { grace: secs(grace), ..StaleRules::default() },
    )
}

fn states(freshness: &Freshness, at: &[u64]) -> Vec<FreshnessState> {
    at.iter().map(|&at| freshness.state(after(at))).collect()
}

use FreshnessState::{Expired, Fresh, StaleIfError, StaleWhileRevalidate};

#[test]
fn rfc9111_s4_2_fresh_while_the_lifetime_is_greater_than_the_age() {
    let plain = freshness("", 0, Overrides::default());
    assert_eq!(states(&plain, &[0, 59, 60, 61]), [Fresh, Fresh, Expired, Expired]);
    assert_eq!(plain.state(NOW.plus(Duration::from_millis(59_999))), Fresh);
}

#[test]
fn rfc9111_s4_2_3_current_age_is_initial_age_and_resident_time() {
    let old = Freshness { initial_age: Duration::from_millis(50_500), ..freshness("", 0, Overrides::default()) };
    assert_eq!(old.current_age(after(5)), Duration::from_millis(55_500));
    assert_eq!(states(&old, &[9, 10]), [Fresh, Expired]);
    // A clock that runs backwards makes nothing younger than on arrival.
    let before = Timestamp::from_secs(1);
    assert_eq!(old.current_age(before), Duration::from_millis(50_500));
}

#[test]
fn rfc5861_s3_and_s4_windows_follow_the_lifetime() {
    let both = freshness("stale-while-revalidate=10, stale-if-error=20", 0, Overrides::default());
    assert_eq!(
        states(&both, &[59, 60, 69, 70, 79, 80]),
        [Fresh, StaleWhileRevalidate, StaleWhileRevalidate, StaleIfError, StaleIfError, Expired]
    );
}

#[test]
fn grace_allows_both_stale_uses() {
    let grace = freshness("stale-if-error=20", 10, Overrides::default());
    assert_eq!(states(&grace, &[60, 69, 70, 80]), [StaleWhileRevalidate, StaleWhileRevalidate, StaleIfError, Expired]);
    let longer = freshness("stale-while-revalidate=30", 10, Overrides::default());
    assert_eq!(states(&longer, &[89, 90]), [StaleWhileRevalidate, Expired]);
}

#[test]
fn rfc9111_s5_2_2_2_must_revalidate_forbids_every_stale_use() {
    for value in ["must-revalidate", "proxy-revalidate"] {
        let value = format!("{value}, stale-while-revalidate=10, stale-if-error=10");
        let strict = freshness(&value, 100, Overrides::default());
        assert_eq!(states(&strict, &[59, 60]), [Fresh, Expired]);
        assert_eq!(strict.retention(), secs(60));
        let overrides = Overrides { must_revalidate: true, ..Overrides::default() };
        let lax = freshness(&value, 100, overrides);
        assert_eq!(states(&lax, &[60]), [StaleWhileRevalidate]);
    }
}

#[test]
fn rfc9111_s5_2_2_10_s_maxage_alone_leaves_stale_uses_that_someone_asked_for() {
    let asked = freshness("s-maxage=60", 10, Overrides::default());
    assert_eq!(states(&asked, &[60]), [StaleWhileRevalidate]);
    let swr = freshness("s-maxage=60, stale-while-revalidate=5", 0, Overrides::default());
    assert_eq!(states(&swr, &[60]), [StaleWhileRevalidate]);
    let nobody = freshness("s-maxage=60", 0, Overrides::default());
    assert_eq!(states(&nobody, &[60]), [Expired]);
}

#[test]
fn rfc9111_s5_2_2_4_no_cache_is_validated_each_time() {
    for value in ["no-cache", "no-cache=\"\"", "no-cache=\"content-type\"", "no-cache, no-cache=\"a\""] {
        let strict = freshness(value, 100, Overrides::default());
        assert_eq!(states(&strict, &[0, 60]), [Expired, Expired]);
        assert_eq!(strict.retention(), Duration::ZERO);
        let overrides = Overrides { no_cache: true, ..Overrides::default() };
        let lax = freshness(value, 100, overrides);
        assert_eq!(states(&lax, &[0, 60]), [Fresh, StaleWhileRevalidate]);
    }
    let fields = freshness("no-cache=\"set-cookie\"", 0, Overrides::default());
    assert_eq!(states(&fields, &[0, 60]), [Fresh, Expired]);
}

#[test]
fn a_lifetime_of_zero_is_stale_at_once() {
    let zero = Freshness { lifetime: Duration::ZERO, ..freshness("", 0, Overrides::default()) };
    assert_eq!(zero.state(NOW), Expired);
    assert_eq!(zero.ttl(NOW), 0);
}

#[test]
fn rfc9211_s2_4_ttl_is_positive_while_fresh_and_negative_when_stale() {
    let plain = freshness("", 0, Overrides::default());
    for (millis, expected) in [
        (0, 60),
        (1, 60),
        (1000, 59),
        (59_999, 1),
        (60_000, 0),
        (60_001, -1),
        (61_000, -1),
        (61_001, -2),
        (472_000, -412),
    ] {
        let now = NOW.plus(Duration::from_millis(millis));
        assert_eq!(plain.ttl(now), expected, "{millis}");
    }
    let endless = Freshness { lifetime: Duration::MAX, ..plain };
    assert_eq!(endless.ttl(NOW), i64::MAX);
}

#[test]
fn retention_reaches_to_the_last_stale_use() {
    let all = freshness("stale-while-revalidate=10, stale-if-error=20", 30, Overrides::default());
    assert_eq!(all.retention(), secs(90));
    let aged = Freshness { initial_age: secs(50), ..all };
    assert_eq!(aged.retention(), secs(40));
    let ancient = Freshness { initial_age: Duration::MAX, ..all };
    assert_eq!(ancient.retention(), Duration::ZERO);
    let endless = Freshness { grace: Duration::MAX, ..all };
    assert_eq!(endless.retention(), Duration::MAX);
}

#[test]
fn a_soft_purge_makes_stale_from_now_on() {
    let mut purged = freshness("stale-while-revalidate=10", 0, Overrides::default());
    purged.expire(after(20));
    assert_eq!(states(&purged, &[20, 29, 30]), [StaleWhileRevalidate, StaleWhileRevalidate, Expired]);
    // Stale already: its stale time is not prolonged.
    let mut stale = freshness("stale-while-revalidate=10", 0, Overrides::default());
    stale.expire(after(65));
    assert_eq!(states(&stale, &[69, 70]), [StaleWhileRevalidate, Expired]);
}
