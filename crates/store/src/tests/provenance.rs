//! What was learnt from a response goes for the same requests, and as long as nothing names it.

use super::*;

fn learnt(store: &Arc<Store>, key: &CacheKey, by: &Request, head: Head) -> Provenance {
    let permit = lead(store, key, by);
    let began = permit.began();
    let (_writer, reader) = permit.storing(head);
    Provenance::of(reader.head(), began)
}

#[test]
fn it_goes_for_requests_that_select_the_response() {
    let store = small();
    let key = store.key("http://a/");
    let by = Request { extras: "x".to_owned(), ..Request::with("accept-language", "en") };
    let of = learnt(&store, &key, &by, Head { extras: "x".to_owned(), ..vary_on("accept-language") });
    assert!(of.goes_for(&by));
    assert!(!of.goes_for(&Request { extras: String::new(), ..by.clone() }));
    assert!(!of.goes_for(&Request { extras: "x".to_owned(), ..Request::with("accept-language", "de") }));
}

#[test]
fn it_holds_until_an_invalidation_of_any_kind_names_the_response() {
    let store = small();
    let (key, other) = (store.key("http://a/b"), store.key("http://a/c"));
    let tagged = || Head { tags: vec!["t".to_owned()], ..head() };
    for (what, hardness, holds) in [
        (Invalidation::Key(other), Hardness::Hard, true),
        (Invalidation::Tag("u".to_owned()), Hardness::Hard, true),
        (Invalidation::Key(key.clone()), Hardness::Hard, false),
        (Invalidation::Key(key.clone()), Hardness::Soft, false),
        (Invalidation::Tag("t".to_owned()), Hardness::Hard, false),
        (Invalidation::Host("a".to_owned()), Hardness::Soft, false),
        (Invalidation::All, Hardness::Hard, false),
    ] {
        let mut of = learnt(&store, &key, &Request::default(), tagged());
        assert!(store.still_holds(&key, &mut of));
        store.invalidate(&what, hardness);
        assert_eq!(store.still_holds(&key, &mut of), holds, "{what:?} {hardness:?}");
        assert_eq!(store.still_holds(&key, &mut of), holds, "and again: {what:?}");
    }
}

#[test]
fn an_invalidation_while_it_was_fetched_counts() {
    let store = small();
    let key = store.key("http://a/");
    let permit = lead(&store, &key, &Request::default());
    let began = permit.began();
    store.invalidate(&Invalidation::Key(key.clone()), Hardness::Hard);
    let (_writer, reader) = permit.storing(head());
    assert!(!store.still_holds(&key, &mut Provenance::of(reader.head(), began)));
}

#[test]
fn a_sweep_loses_what_was_not_asked_about_before_and_nothing_else() {
    let store = small();
    let (key, other) = (store.key("http://a/b"), store.key("http://a/c"));
    let [mut asked, mut not_asked] = [(), ()].map(|()| {
        let permit = store.fill_alone(&key, Request::default().shared());
        let began = permit.began();
        let (_writer, reader) = permit.storing(head());
        Provenance::of(reader.head(), began)
    });
    store.invalidate(&Invalidation::Key(other), Hardness::Hard);
    assert!(store.still_holds(&key, &mut asked));
    store.sweep();
    assert!(store.still_holds(&key, &mut asked));
    assert!(!store.still_holds(&key, &mut not_asked), "nobody knows any more");
}
