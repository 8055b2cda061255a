//! Whoever looks for the same key again and again finds what one finds who looks for the first time (`model.rs` holds it to that over
//! histories), and what is looked for in that way neither stays nor goes for it.

use super::*;

#[test]
fn a_place_keeps_nothing_alive() {
    let (store, place) = (small(), Place::default());
    let key = store.key("http://example.org/");
    let weak = Arc::downgrade(&fill(&store, &key, &Request::default(), head(), "body"));
    let at = |now| said(store.lookup_at(&key, &place, &Request::default(), now));
    assert_eq!((at(NOW), at(NOW)), ("body".to_owned(), "body".to_owned()));
    store.evict(&key);
    assert_eq!(at(NOW), "miss", "in the same second");
    // What was removed is freed when no other thread can look at it any more.
    while weak.strong_count() > 0 {
        store.settle();
        crossbeam_epoch::pin().flush();
        std::thread::yield_now();
    }
}

#[test]
fn a_place_finds_what_took_the_place() {
    let (store, place) = (small(), Place::default());
    let key = store.key("http://example.org/");
    let at = |now| said(store.lookup_at(&key, &place, &Request::default(), now));
    assert_eq!(at(NOW), "miss");
    for body in ["one", "two", "three"] {
        fill(&store, &key, &Request::default(), head(), body);
        assert_eq!((at(NOW), at(NOW)), (body.to_owned(), body.to_owned()));
    }
}

#[test]
fn what_is_looked_for_at_a_place_is_used() {
    const LIMIT: u64 = 8 << 20;
    let store = Store::new(StoreSettings { memory: LIMIT, ..StoreSettings::default() });
    let body = "a".repeat(100_000);
    let (wanted, place) = (store.key("http://example.org/wanted"), Place::default());
    fill(&store, &wanted, &Request::default(), head(), &body);
    let found = |now| {
        matches!(store.lookup_at(&wanted, &place, &Request::default(), now), Lookup::Found { .. })
            && matches!(store.lookup_at(&wanted, &place, &Request::default(), now), Lookup::Found { .. })
    };
    for number in 0..400 {
        // Some seventy have room: it would be gone in the second round through the store.
        let key = store.key(format!("http://example.org/{number}"));
        while let Err(discarded) = try_fill(&store, &key, &Request::default(), head(), &body) {
            assert_eq!(discarded, Discarded::NoRoom);
        }
        assert!(found(after(number / 20)), "{number}");
    }
    assert!(store.usage().evicted > 200, "{:?}", store.usage());
}

#[test]
fn a_place_finds_what_took_the_place_of_what_was_evicted() {
    const LIMIT: u64 = 8 << 20;
    let store = Store::new(StoreSettings { memory: LIMIT, ..StoreSettings::default() });
    let (key, place) = (store.key("http://example.org/wanted"), Place::default());
    fill(&store, &key, &Request::default(), head(), "old");
    let at = || said(store.lookup_at(&key, &place, &Request::default(), NOW));
    assert_eq!(at(), "old");
    // A thread that looks at the entry, as moka's own garbage does for a while.
    let seen = store.memory().get(&key).unwrap();
    let body = "a".repeat(100_000);
    for number in 0..400 {
        let key = store.key(format!("http://example.org/{number}"));
        while let Err(discarded) = try_fill(&store, &key, &Request::default(), head(), &body) {
            assert_eq!(discarded, Discarded::NoRoom);
        }
    }
    store.settle();
    assert_eq!(said(store.lookup(&key, &Request::default(), NOW)), "miss", "it was evicted");
    fill(&store, &key, &Request::default(), head(), "new");
    assert_eq!(said(store.lookup(&key, &Request::default(), NOW)), "new");
    assert_eq!(at(), "new");
    drop(seen);
}
