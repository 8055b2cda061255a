use std::time::Duration;

use super::{NOW, after, headers, secs};
use crate::directives::{RequestDirectives, ResponseDirectives};
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

use FreshnessState::{Expired, Fresh, StaleAccepted, StaleIfError, StaleWhileRevalidate};

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

fn asked(value: &str) -> RequestDirectives {
    RequestDirectives::parse(&headers(&[("cache-control", value)]))
}

fn states_for(freshness: &Freshness, request: &str, at: &[u64]) -> Vec<FreshnessState> {
    at.iter().map(|&at| freshness.state_for(after(at), &asked(request))).collect()
}

/// A rule's `stale_if_error` beside what `cache_control` says.
fn under_stale_if_error(cache_control: &str, overrides: Overrides) -> Freshness {
    let lifetime = Lifetime { duration: secs(60), source: LifetimeSource::MaxAge, forbidden: false };
    let directives = ResponseDirectives::parse(&headers(&[("cache-control", cache_control)]));
    let stale = StaleRules { stale_if_error: secs(30), ..StaleRules::default() };
    Freshness::new(NOW, secs(0), lifetime, &directives, overrides, stale)
}

#[test]
fn a_rules_stale_if_error_counts_where_the_origin_is_silent() {
    let none = Overrides::default();
    assert_eq!(
        states(&under_stale_if_error("", none), &[59, 60, 89, 90]),
        [Fresh, StaleIfError, StaleIfError, Expired]
    );
    // The origin's own word stands, a shorter one and a longer one.
    assert_eq!(states(&under_stale_if_error("stale-if-error=5", none), &[64, 65]), [StaleIfError, Expired]);
    assert_eq!(states(&under_stale_if_error("stale-if-error=50", none), &[109, 110]), [StaleIfError, Expired]);
    assert_eq!(states(&under_stale_if_error("stale-if-error=x", none), &[60]), [Expired]);
    let refreshing = under_stale_if_error("stale-while-revalidate=5", none);
    assert_eq!(states(&refreshing, &[64, 65, 89, 90]), [StaleWhileRevalidate, StaleIfError, StaleIfError, Expired]);
    for value in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
        let forbidden = under_stale_if_error(value, none);
        assert_eq!(states(&forbidden, &[60]), [Expired], "{value}");
    }
    let overrides = Overrides { must_revalidate: true, ..none };
    for value in ["must-revalidate", "proxy-revalidate", "s-maxage=60"] {
        assert_eq!(states(&under_stale_if_error(value, overrides), &[60]), [StaleIfError], "{value}");
    }
    assert_eq!(under_stale_if_error("", none).retention(), secs(90));
}

#[test]
fn rfc9111_s5_2_2_10_s_maxage_leaves_what_the_origin_says_beside_it() {
    let own = under_stale_if_error("s-maxage=60, stale-if-error=5", Overrides::default());
    assert_eq!(states(&own, &[64, 65]), [StaleIfError, Expired]);
}

#[test]
fn rfc9111_s5_2_1_1_max_age_of_a_request() {
    let plain = freshness("stale-if-error=40", 0, Overrides::default());
    assert_eq!(
        states_for(&plain, "max-age=10", &[0, 10, 11, 60, 100]),
        [Fresh, Fresh, StaleIfError, StaleIfError, Expired]
    );
    // A reload.
    assert_eq!(states_for(&plain, "max-age=0", &[0, 5]), [StaleIfError, StaleIfError]);
    // Not willing to take it stale, unless max-stale says so.
    let refreshing = freshness("stale-while-revalidate=40", 0, Overrides::default());
    assert_eq!(states_for(&refreshing, "max-age=100", &[60, 99]), [StaleIfError, StaleIfError]);
    assert_eq!(states_for(&refreshing, "max-age=100, max-stale=5", &[60]), [StaleWhileRevalidate]);
    assert_eq!(states_for(&refreshing, "max-age=70, max-stale=50", &[70, 71]), [StaleWhileRevalidate, StaleIfError]);
}

#[test]
fn rfc9111_s5_2_1_2_max_stale() {
    let plain = freshness("", 0, Overrides::default());
    assert_eq!(states_for(&plain, "max-stale=10", &[59, 60, 70, 71]), [Fresh, StaleAccepted, StaleAccepted, Expired]);
    assert_eq!(states_for(&plain, "max-stale", &[1_000_000]), [StaleAccepted]);
    // What is refreshed for everybody is refreshed for this one too.
    let both = freshness("stale-while-revalidate=5, stale-if-error=20", 0, Overrides::default());
    assert_eq!(
        states_for(&both, "max-stale=10", &[64, 65, 70, 71, 80]),
        [StaleWhileRevalidate, StaleAccepted, StaleAccepted, StaleIfError, Expired]
    );
    for value in ["no-cache", "must-revalidate", "proxy-revalidate", "s-maxage=60"] {
        let strict = freshness(value, 0, Overrides::default());
        assert_eq!(states_for(&strict, "max-stale, stale-if-error=100", &[61]), [Expired], "{value}");
    }
}

#[test]
fn rfc9111_s5_2_1_3_min_fresh() {
    let plain = freshness("", 0, Overrides::default());
    assert_eq!(states_for(&plain, "min-fresh=10", &[0, 50, 51, 60]), [Fresh, Fresh, StaleIfError, Expired]);
    assert_eq!(states_for(&plain, "min-fresh=61", &[0]), [StaleIfError]);
    assert_eq!(states_for(&plain, "min-fresh=99999999999", &[0]), [StaleIfError]);
    // Both wishes: the margin is not there in a stale response.
    assert_eq!(states_for(&plain, "min-fresh=1, max-stale", &[60]), [StaleIfError]);
}

#[test]
fn rfc9111_s5_2_1_4_no_cache_of_a_request() {
    let plain = freshness("", 0, Overrides::default());
    assert_eq!(states_for(&plain, "no-cache", &[0, 59, 60]), [StaleIfError, StaleIfError, Expired]);
    let strict = freshness("no-cache", 0, Overrides::default());
    assert_eq!(states_for(&strict, "no-cache", &[0]), [Expired]);
}

#[test]
fn rfc5861_s4_stale_if_error_of_a_request() {
    let plain = freshness("", 0, Overrides::default());
    assert_eq!(
        states_for(&plain, "stale-if-error=10", &[59, 60, 69, 70]),
        [Fresh, StaleIfError, StaleIfError, Expired]
    );
    // It adds to the response's own.
    let own = freshness("stale-if-error=20", 0, Overrides::default());
    assert_eq!(states_for(&own, "stale-if-error=10", &[79, 80]), [StaleIfError, Expired]);
}

#[test]
fn rfc9111_s5_2_1_what_asks_for_nothing_changes_nothing() {
    let plain = freshness("stale-while-revalidate=5, stale-if-error=20", 0, Overrides::default());
    for request in ["", "no-transform, only-if-cached, no-store", "immutable", "max-stale=x, min-fresh=x"] {
        for at in [0, 59, 60, 65, 80] {
            assert_eq!(plain.state_for(after(at), &asked(request)), plain.state(after(at)), "{request}");
        }
    }
    // Only what costs the origin nothing.
    let all = asked("no-cache, no-store, max-age=0, min-fresh=5, only-if-cached, max-stale=3, stale-if-error=4");
    assert_eq!(all.harmless(), asked("only-if-cached, max-stale=3, stale-if-error=4"));
    assert!(asked("no-cache, no-store, max-age=0, min-fresh=5").harmless().is_default());
}

#[test]
fn a_soft_purge_holds_for_every_request() {
    let mut purged = freshness("stale-if-error=20", 0, Overrides::default());
    purged.expire(after(10));
    assert_eq!(states_for(&purged, "max-age=50", &[10]), [StaleIfError]);
    assert_eq!(states_for(&purged, "max-stale=5", &[15, 16]), [StaleAccepted, StaleIfError]);
}
