//! Since when what a soft invalidation names is stale.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

struct Timed {
    store: Arc<Store>,
    now: Arc<AtomicU64>,
}

impl Timed {
    fn new() -> Self {
        let now = Arc::new(AtomicU64::new(NOW.as_millis()));
        let clock = Arc::clone(&now);
        let settings = StoreSettings { memory: 32 << 20, ..StoreSettings::default() };
        let store = Store::with_clock(settings, move || Timestamp::from_millis(clock.load(Ordering::Relaxed)));
        Self { store, now }
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn soften(&self, what: &Invalidation) {
        self.store.invalidate(what, Hardness::Soft);
    }

    fn softened(&self, key: &CacheKey) -> Option<u64> {
        let Lookup::Found { response, soft_invalidated } = self.store.lookup(key, &Request::default(), NOW) else {
            panic!("not there")
        };
        assert_eq!(soft_invalidated, response.softened_at().is_some());
        response.softened_at().map(|at| at.since(NOW).as_secs())
    }
}

#[test]
fn it_is_stale_since_the_purge_and_not_since_it_was_met() {
    let timed = Timed::new();
    let (key, tag) = (timed.store.key("http://a/"), Invalidation::Tag("t".to_owned()));
    fill(&timed.store, &key, &Request::default(), Head { tags: vec!["t".to_owned()], ..head() }, "body");
    assert_eq!(timed.softened(&key), None);
    timed.soften(&Invalidation::Host("b".to_owned()));
    timed.pass(10);
    timed.soften(&tag);
    timed.pass(10);
    timed.soften(&Invalidation::Host("c".to_owned()));
    assert_eq!(timed.softened(&key), Some(10));
    timed.soften(&tag);
    assert_eq!(timed.softened(&key), Some(10), "the first counts");
    timed.store.sweep();
    timed.pass(10);
    timed.soften(&Invalidation::All);
    assert_eq!(timed.softened(&key), Some(10));
    fill(&timed.store, &key, &Request::default(), head(), "new");
    assert_eq!(timed.softened(&key), None, "what replaces it is fresh");
}

#[test]
fn the_times_of_many_are_bounded_and_never_too_late() {
    let timed = Timed::new();
    let key = timed.store.key("http://a/");
    fill(&timed.store, &key, &Request::default(), head(), "body");
    let _holds_the_log = timed.store.fill_alone(&timed.store.key("http://b/"), Request::default().shared());
    for number in 0..10_000 {
        timed.pass(1);
        timed.soften(&Invalidation::Host(format!("{}", number % 10)));
    }
    timed.pass(1);
    timed.soften(&Invalidation::Key(key.clone()));
    let at = timed.softened(&key).unwrap();
    assert!((9_990..=10_001).contains(&at), "{at}");
}
