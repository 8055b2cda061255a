//! The log and the dictionary of tags are bounded, whatever comes.

use regex::Regex;

use super::*;

const LIMIT: u64 = 64;

fn bounded() -> Arc<Store> {
    Store::new(StoreSettings { memory: 32 << 20, log_limit: LIMIT, ..StoreSettings::default() })
}

fn each_kind(store: &Store, number: usize) -> Vec<Invalidation> {
    let (path, host) = (format!("/{number}"), format!("host-{number}"));
    let url = Some(Regex::new(&format!("^/{number}$")).unwrap());
    vec![
        Invalidation::Key(store.key(format!("http://example.org/{number}"))),
        Invalidation::Host(host.clone()),
        Invalidation::Path { host: None, path: path.clone() },
        Invalidation::Path { host: Some(host.clone()), path: path.clone() },
        Invalidation::Prefix { host: Some(host.clone()), path },
        Invalidation::Tag(format!("tag-{number}")),
        Invalidation::Match(Box::new(Match { exact_host: Some(host), url, ..Match::default() })),
    ]
}

#[test]
fn purges_of_keys_and_tags_leave_nothing_and_need_no_sweep() {
    let store = bounded();
    let (key, request) = (store.key("http://example.org/"), Request::default());
    fill(&store, &key, &request, Head { tags: vec!["own".to_owned()], ..head() }, "body");
    for number in 0..20_000 {
        store.invalidate(&Invalidation::Key(store.key(format!("http://example.org/{number}"))), Hardness::Hard);
        store.invalidate(&Invalidation::Tag(format!("tag-{number}")), Hardness::Hard);
        assert!(!store.sweep_due(), "{number}");
        assert!(store.usage().tags <= 1 + LIMIT);
    }
    // Nothing that it was not about has gone.
    assert_eq!(looked_up(&store, &key, &request, NOW), "body");
    store.invalidate(&Invalidation::Tag("own".to_owned()), Hardness::Hard);
    for number in 0..1_000 {
        store.invalidate(&Invalidation::Tag(format!("tag-{number}")), Hardness::Hard);
    }
    assert_eq!(looked_up(&store, &key, &request, NOW), "miss", "the tag itself knows");
}

#[test]
fn a_fill_under_way_is_told_of_all_that_came_however_much_that_is() {
    for kind in 0..7 {
        let store = bounded();
        let count = 3_000;
        let began: Vec<FillPermit> = [0, 1, count / 2, count - 1]
            .map(|number| {
                store.fill_alone(&store.key(format!("http://host-{number}/{number}")), Request::default().shared())
            })
            .into();
        let keyed: Vec<FillPermit> = [0, 1, count / 2, count - 1]
            .map(|number| {
                store.fill_alone(&store.key(format!("http://example.org/{number}")), Request::default().shared())
            })
            .into();
        for number in 0..count {
            store.invalidate(&each_kind(&store, number)[kind].clone(), Hardness::Hard);
        }
        let most = 8 * LIMIT + (1 << 15) + 512;
        assert!(store.usage().log_length <= most, "{kind}: {}", store.usage().log_length);
        assert!(store.sweep_due());
        let permits = if kind == 0 { keyed } else { began };
        for (permit, number) in permits.into_iter().zip([0, 1, count / 2, count - 1]) {
            let (writer, _reader) = permit.storing(Head { tags: vec![format!("tag-{number}")], ..head() });
            assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::Invalidated, "{kind}: {number}");
        }
    }
}

#[test]
fn when_there_is_no_room_a_sweep_makes_some_and_all_is_kept_apart_again() {
    let store = bounded();
    let (key, request) = (store.key("http://example.org/stays"), Request::default());
    for number in 0..3_000 {
        store.invalidate_all(&each_kind(&store, number), Hardness::Hard);
    }
    assert!(store.sweep_due());
    store.sweep();
    assert_eq!(store.usage().log_length, 0);
    fill(&store, &key, &request, Head { tags: vec!["own".to_owned()], ..head() }, "body");
    for number in 0..20 {
        store.invalidate_all(&each_kind(&store, number), Hardness::Hard);
    }
    assert_eq!(looked_up(&store, &key, &request, NOW), "body");
}

#[test]
fn a_sweep_is_not_due_again_for_what_a_long_fill_holds() {
    let store = bounded();
    let (key, request) = (store.key("http://example.org/long"), Request::default());
    let (writer, _reader) = lead(&store, &key, &request).storing(head());
    let named = |number: u64| Invalidation::Host(number.to_string());
    for number in 0..=LIMIT {
        store.invalidate(&named(number), Hardness::Hard);
    }
    assert!(store.sweep_due());
    store.sweep();
    assert_eq!((store.usage().log_length, store.sweep_due()), (LIMIT + 1, false));
    for number in 0..=LIMIT {
        store.invalidate(&named(1_000 + number), Hardness::Hard);
    }
    assert!(store.sweep_due());
    drop(writer);
    store.sweep();
    assert_eq!((store.usage().log_length, store.sweep_due()), (0, false));
}

#[tokio::test(start_paused = true)]
async fn who_sweeps_is_woken() {
    let store = bounded();
    let waits = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.sweep_wanted().await }
    });
    tokio::task::yield_now().await;
    for number in 0..=LIMIT {
        assert!(!waits.is_finished());
        store.invalidate(&Invalidation::Host(number.to_string()), Hardness::Hard);
    }
    soon(waits).await.unwrap();
}

#[test]
fn a_burst_of_expressions_takes_nothing_that_it_does_not_name() {
    let store = bounded();
    let (key, request) = (store.key("http://example.org/stays"), Request::default());
    fill(&store, &key, &request, head(), "body");
    for number in 0..5_000 {
        let host = expression(&format!("^other-{number}\\.example$")).unwrap();
        let named = Match { host: Some(host), ..Match::default() };
        store.invalidate(&Invalidation::Match(Box::new(named)), Hardness::Hard);
        // As whoever is woken does.
        if store.sweep_due() {
            store.sweep();
        }
    }
    assert_eq!(looked_up(&store, &key, &request, NOW), "body");
    // Without any sweep it becomes coarser, but what names its host takes no other.
    for number in 0..5_000 {
        let url = expression(&format!("^/{number}$")).ok();
        let named = Match { exact_host: Some("other.example".to_owned()), url, ..Match::default() };
        store.invalidate(&Invalidation::Match(Box::new(named)), Hardness::Hard);
    }
    assert_eq!(looked_up(&store, &key, &request, NOW), "body");
}
