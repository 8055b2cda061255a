//! What a confirmation freshens: one response, others with it, and one that is as good for another request.

use http::header::ETAG;

use super::*;

const URL: &str = "http://example.org/";

fn language(language: &str) -> Request {
    Request::with("accept-language", language)
}

fn tagged(tags: &[&str]) -> Head {
    Head { tags: tags.iter().map(|&tag| tag.to_owned()).collect(), ..vary_on("accept-language") }
}

/// German and English under one key.
fn two(store: &Arc<Store>) -> (CacheKey, Arc<StoredResponse>, Arc<StoredResponse>) {
    let key = store.key(URL);
    let de = fill(store, &key, &language("de"), tagged(&["old"]), "de");
    let en = fill(store, &key, &language("en"), tagged(&["old"]), "en");
    (key, de, en)
}

fn later(old: &Arc<StoredResponse>, seconds: u64) -> Freshened {
    freshened(old, old.headers.clone(), fresh_from(after(seconds)))
}

fn found(store: &Store, key: &CacheKey, by: &Request) -> Arc<StoredResponse> {
    match store.lookup(key, by, NOW) {
        Lookup::Found { response, .. } => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rfc9111_4_3_4_others_are_freshened_with_the_one_that_was_asked_about() {
    let store = small();
    let (key, de, en) = two(&store);
    store.invalidate(&Invalidation::All, Hardness::Soft);
    let permit = store.fill_alone(&key, Arc::new(language("de")));
    let done = store.freshen_all(&key, &language("de"), later(&de, 30), vec![later(&en, 30)], permit.began());
    assert!(done.stored);
    for name in ["de", "en"] {
        assert_eq!(looked_up(&store, &key, &language(name), NOW), name, "no longer softly invalidated");
        assert_eq!(found(&store, &key, &language(name)).freshness.response_time, after(30));
    }
    assert_eq!(store.usage().stored_responses, 2);
}

#[test]
fn rfc9111_4_1_a_variant_that_is_as_good_for_another_request_is_stored_for_it_as_well() {
    let store = small();
    let (key, de, _) = two(&store);
    let austrian = language("de-at");
    assert_eq!(looked_up(&store, &key, &austrian, NOW), "variant-miss");
    let permit = store.fill_alone(&key, Arc::new(austrian.clone()));
    let done = store.freshen_all(&key, &austrian, later(&de, 30), Vec::new(), permit.began());
    assert!(done.stored);
    for (request, body, time) in [("de-at", "de", after(30)), ("de", "de", NOW), ("en", "en", NOW)] {
        let response = found(&store, &key, &language(request));
        assert_eq!((shown(&response), response.freshness.response_time), (body.to_owned(), time), "{request}");
    }
    assert_eq!(store.usage().stored_responses, 3);
}

#[test]
fn a_new_vary_takes_the_place_of_the_stored_one() {
    let store = small();
    let (key, de, en) = two(&store);
    let both = Vary::parse(&vary_on("accept-language, x-edition").headers);
    let mut request = language("de");
    request.fields.insert("x-edition", HeaderValue::from_static("night"));
    let with = |old: &Arc<StoredResponse>| Freshened { vary: Some(both.clone()), ..later(old, 30) };
    let permit = store.fill_alone(&key, Arc::new(request.clone()));
    assert!(store.freshen_all(&key, &request, with(&de), vec![with(&en)], permit.began()).stored);
    assert_eq!(looked_up(&store, &key, &request, NOW), "de");
    assert_eq!(looked_up(&store, &key, &language("de"), NOW), "variant-miss", "the edition was night");
    // Which edition it was stored for is not known: it stays as it was.
    assert_eq!(found(&store, &key, &language("en")).freshness.response_time, NOW);

    // Fewer fields: what picked it before tells what picks it now.
    let less = |old: &Arc<StoredResponse>| Freshened { vary: Some(Vary::default()), ..later(old, 50) };
    let night = found(&store, &key, &request);
    assert!(store.freshen_all(&key, &request, less(&night), Vec::new(), permit.began()).stored);
    assert_eq!(looked_up(&store, &key, &language("fr"), NOW), "de");
}

#[test]
fn tags_go_and_come() {
    let store = small();
    let (key, de, en) = two(&store);
    let change = |old: &Arc<StoredResponse>, out: Option<&[&str]>, into: &[&str]| {
        let owned = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        let tags = TagChange { out: out.map(owned), into: owned(into) };
        store.freshen_all(&key, &language("de"), Freshened { tags, ..later(old, 1) }, Vec::new(), store.sequence())
    };
    let named = |tag: &str| store.invalidate(&Invalidation::Tag(tag.to_owned()), Hardness::Hard);
    let all_new = change(&de, None, &["new"]).response;
    named("old");
    assert_eq!(looked_up(&store, &key, &language("de"), NOW), "de");
    assert_eq!(looked_up(&store, &key, &language("en"), NOW), "variant-miss");
    let more = change(&all_new, Some(&["other"]), &["more"]);
    assert!(more.stored);
    let of_old = store.freshen_all(&key, &language("en"), later(&en, 2), Vec::new(), en.began());
    assert!(!of_old.stored, "its own tag was named");
    named("new");
    assert_eq!(looked_up(&store, &key, &language("de"), NOW), "miss");
}

#[test]
fn what_was_invalidated_while_the_origin_was_asked_is_not_brought_back() {
    for what in ["old", "new"] {
        let store = small();
        let (key, de, en) = two(&store);
        let permit = store.fill_alone(&key, Arc::new(language("de")));
        store.invalidate(&Invalidation::Tag(what.to_owned()), Hardness::Hard);
        let tags = TagChange { out: None, into: vec!["new".to_owned()] };
        let confirmed = Freshened { tags, ..later(&de, 30) };
        let done = store.freshen_all(&key, &language("de"), confirmed, vec![later(&en, 30)], permit.began());
        assert!(!done.stored, "{what}");
        assert_eq!(shown(&done.response), "de", "the client that asked has it");
        let stored = looked_up(&store, &key, &language("de"), NOW);
        assert_eq!(stored, if what == "old" { "miss" } else { "de" });
    }
    let store = small();
    let (key, de, _) = two(&store);
    let permit = store.fill_alone(&key, Arc::new(language("de")));
    store.invalidate(&Invalidation::Key(key.clone()), Hardness::Hard);
    assert!(!store.freshen_all(&key, &language("fr"), later(&de, 30), Vec::new(), permit.began()).stored);
    assert_eq!(looked_up(&store, &key, &language("fr"), NOW), "miss");
}

#[test]
fn only_variants_of_equal_extras_are_asked_about() {
    let store = small();
    let key = store.key(URL);
    fill(&store, &key, &Request::extras("a"), Head { extras: "a".to_owned(), ..head() }, "a");
    fill(&store, &key, &Request::extras("b"), Head { extras: "b".to_owned(), ..head() }, "b");
    let of = |extras: &str| {
        store.variants(&key, &Request::extras(extras)).iter().map(|response| shown(response)).collect::<Vec<_>>()
    };
    assert_eq!((of("a"), of("b"), of("c")), (vec!["a".to_owned()], vec!["b".to_owned()], Vec::new()));
    store.invalidate(&Invalidation::Key(key.clone()), Hardness::Hard);
    assert_eq!(of("a"), Vec::<String>::new());
}

#[test]
fn a_coding_that_the_client_does_not_take_is_not_readable_by_it() {
    let store = small();
    let key = store.key(URL);
    let mut encoded = vary_on("accept-encoding");
    encoded.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    encoded.headers.insert(ETAG, HeaderValue::from_static("\"a\""));
    let stored = fill(&store, &key, &Request::with("accept-encoding", "gzip"), encoded, "GZIP");
    assert!(stored.is_readable_by(&Request::with("accept-encoding", "gzip, br")));
    assert!(!stored.is_readable_by(&Request::with("accept-encoding", "br")));
}

#[test]
fn one_that_is_softened_is_stale_and_its_wait_is_forgotten() {
    let store = small();
    let (key, de, _) = two(&store);
    de.refresh_failed(NOW);
    assert!(!de.may_refresh(NOW) && de.may_refresh(after(1)));
    store.soften(&de);
    assert!(de.may_refresh(NOW), "what failed before says nothing of now");
    assert_eq!(looked_up(&store, &key, &language("de"), NOW), "soft de");
    assert_eq!(looked_up(&store, &key, &language("en"), NOW), "en");
}
