//! What a lookup finds: variants, hit-for-miss, freshened responses, and the limits on them.

use super::*;

#[test]
fn rfc9111_4_1_a_request_selects_the_newest_response_whose_fields_match() {
    let store = small();
    let key = store.key("http://example.org/");
    let german = Request::with("accept-language", "de");
    let french = Request::with("accept-language", "fr");
    assert_eq!(looked_up(&store, &key, &german, NOW), "miss");

    fill(&store, &key, &german, vary_on("accept-language"), "Hallo");
    assert_eq!(looked_up(&store, &key, &german, NOW), "Hallo");
    assert_eq!(looked_up(&store, &key, &french, NOW), "variant-miss");
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "variant-miss");

    fill(&store, &key, &french, vary_on("accept-language"), "Salut");
    assert_eq!(looked_up(&store, &key, &german, NOW), "Hallo");
    assert_eq!(looked_up(&store, &key, &french, NOW), "Salut");
    assert_eq!(store.usage().stored_responses, 2);

    // The origin no longer varies: its newest response is for everyone.
    fill(&store, &key, &Request::default(), head(), "Hi");
    assert_eq!(looked_up(&store, &key, &german, NOW), "Hi");
}

#[test]
fn rfc9111_4_1_vary_star_matches_no_request() {
    let store = small();
    let key = store.key("http://example.org/");
    fill(&store, &key, &Request::default(), vary_on("*"), "once");
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "variant-miss");
}

#[test]
fn extras_and_codings_pick_the_variant() {
    let store = small();
    let key = store.key("http://example.org/");
    let member = Request::extras("group=member");
    fill(&store, &key, &member, Head { extras: member.extras.clone(), ..head() }, "members");
    assert_eq!(looked_up(&store, &key, &member, NOW), "members");
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "variant-miss");

    // Also without Vary a client gets no coding that it does not take (RFC 9110 §12.5.3).
    let coded_key = store.key("http://example.org/coded");
    let modern = Request::with("accept-encoding", "gzip, br");
    fill(&store, &coded_key, &modern, coded("br"), "coded");
    assert_eq!(looked_up(&store, &coded_key, &modern, NOW), "coded");
    let old = Request::with("accept-encoding", "gzip");
    assert_eq!(looked_up(&store, &coded_key, &old, NOW), "variant-miss");
}

#[test]
fn a_response_replaces_the_one_for_the_same_requests() {
    let store = small();
    let key = store.key("http://example.org/");
    let request = Request::default();
    fill(&store, &key, &request, head(), "first");
    let second = Head { freshness: fresh_from(after(2)), ..head() };
    fill(&store, &key, &request, second, "second");
    assert_eq!(looked_up(&store, &key, &request, NOW), "second");
    assert_eq!(store.usage().stored_responses, 1);

    let late = Head { freshness: fresh_from(after(1)), ..head() };
    assert_eq!(try_fill(&store, &key, &request, late, "late").unwrap_err(), Discarded::Superseded);
    assert_eq!(looked_up(&store, &key, &request, NOW), "second");
}

#[test]
fn of_too_many_variants_the_one_stored_longest_ago_goes() {
    let store = Store::new(StoreSettings { max_variants: 2, ..StoreSettings::default() });
    let key = store.key("http://example.org/");
    let languages = ["de", "fr", "it"].map(|language| Request::with("accept-language", language));
    for (language, body) in languages.iter().zip(["eins", "un", "uno"]) {
        fill(&store, &key, language, vary_on("accept-language"), body);
    }
    let found = languages.each_ref().map(|language| looked_up(&store, &key, language, NOW));
    assert_eq!(found, ["variant-miss", "un", "uno"]);
}

#[test]
fn variants_of_no_more_use_go_when_another_is_stored() {
    let store = small();
    let key = store.key("http://example.org/");
    let (german, french) = (Request::with("accept-language", "de"), Request::with("accept-language", "fr"));
    fill(&store, &key, &german, vary_on("accept-language"), "Hallo");
    let (writer, _) = lead(&store, &key, &french).storing(vary_on("accept-language"));
    writer.finish(after(61)).unwrap();
    assert_eq!(store.usage().stored_responses, 1);
}

#[test]
fn hit_for_miss_is_remembered_until_its_time_and_heals() {
    let store = small();
    let key = store.key("http://example.org/");
    let request = Request::default();
    lead(&store, &key, &request).not_stored(Some(Duration::from_secs(10)), NOW);
    assert_eq!(looked_up(&store, &key, &request, after(9)), "hit-for-miss");
    assert_eq!(looked_up(&store, &key, &request, after(10)), "miss");

    let (mut writer, _reader) = store.fill_alone(&key, request.clone().shared()).storing(head());
    push(&mut writer, text("storable again"));
    writer.finish(NOW).unwrap();
    assert_eq!(looked_up(&store, &key, &request, NOW), "storable again");
    assert_eq!(looked_up(&store, &key, &Request::extras("other"), NOW), "variant-miss");
}

#[test]
fn hit_for_miss_stands_beside_stored_variants() {
    let store = small();
    let key = store.key("http://example.org/");
    let german = Request::with("accept-language", "de");
    fill(&store, &key, &german, vary_on("accept-language"), "Hallo");
    lead(&store, &key, &Request::default()).not_stored(Some(Duration::from_secs(10)), NOW);
    assert_eq!(looked_up(&store, &key, &german, NOW), "Hallo");
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "hit-for-miss");
}

#[test]
fn not_stored_without_a_time_remembers_nothing() {
    let store = small();
    let key = store.key("http://example.org/");
    lead(&store, &key, &Request::default()).not_stored(None, NOW);
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "miss");
}

#[test]
fn rfc9111_4_3_4_a_freshened_response_keeps_its_body() {
    let store = small();
    let key = store.key("http://example.org/");
    let request = Request::default();
    let old = fill(&store, &key, &request, head(), "body");
    store.invalidate(&Invalidation::All, Hardness::Soft);
    assert_eq!(looked_up(&store, &key, &request, NOW), "soft body");

    let permit = lead(&store, &key, &request);
    let mut headers = old.headers.clone();
    headers.insert("x-new", HeaderValue::from_static("1"));
    let new = freshen(&store, &key, &request, &old, headers, fresh_from(after(100)), permit.began()).unwrap();
    permit.ready(Arc::clone(&new));
    // Validated after the soft invalidation, which it therefore outlives.
    assert_eq!(looked_up(&store, &key, &request, NOW), "body");
    assert_eq!((new.headers.len(), new.freshness.response_time), (1, after(100)));
    assert_eq!(store.usage().stored_responses, 1);

    // A newer response has taken the place of `old`: its freshening comes too late.
    let permit = lead(&store, &key, &request);
    let again = freshen(&store, &key, &request, &old, HeaderMap::new(), fresh_from(after(200)), permit.began());
    assert!(again.is_none());
}

#[test]
fn forget_removes_one_response_only() {
    let store = small();
    let key = store.key("http://example.org/");
    let (german, french) = (Request::with("accept-language", "de"), Request::with("accept-language", "fr"));
    let hallo = fill(&store, &key, &german, vary_on("accept-language"), "Hallo");
    fill(&store, &key, &french, vary_on("accept-language"), "Salut");
    store.forget(&key, &hallo);
    store.forget(&key, &hallo);
    assert_eq!(looked_up(&store, &key, &german, NOW), "variant-miss");
    assert_eq!(looked_up(&store, &key, &french, NOW), "Salut");
}

#[test]
fn rfc9111_3_3_a_body_of_a_wrong_length_is_not_stored() {
    let store = small();
    let key = store.key("http://example.org/");
    let request = Request::default();
    for announced in [3, 5] {
        let head = Head { length: Some(announced), ..head() };
        let (mut writer, mut reader) = lead(&store, &key, &request).storing(head);
        push(&mut writer, text("four"));
        assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::Incomplete);
        let (got, end) = read(&mut reader);
        assert_eq!(got, "four");
        assert!(matches!(end, Poll::Ready(Some(_))), "{end:?}");
    }
    // ESI takes text out of a body.
    let template = Head { length: Some(100), esi: true, ..head() };
    fill(&store, &key, &request, template, "four");
    assert_eq!(looked_up(&store, &key, &request, NOW), "four");
}

#[test]
fn stored_fields_and_text_pin_no_read_buffer() {
    let store = small();
    let key = store.key("http://example.org/");
    let buffer = Bytes::from(vec![b'a'; 1 << 16]);
    let mut head = head();
    for name in ["x-one", "x-two", "etag"] {
        head.headers.append(name, HeaderValue::from_maybe_shared(buffer.slice(0..8)).unwrap());
        head.headers.append(name, HeaderValue::from_maybe_shared(buffer.slice(8..20)).unwrap());
    }
    let mut secret = HeaderValue::from_static("secret");
    secret.set_sensitive(true);
    head.headers.insert("x-secret", secret);
    let sent = head.headers.clone();
    let (mut writer, reader) = lead(&store, &key, &Request::default()).storing(head);
    push(&mut writer, text(buffer.slice(100..200)));
    push(&mut writer, include("/fragment"));
    push(&mut writer, text(buffer.slice(200..300)));
    let response = writer.finish(NOW).unwrap();
    assert_eq!(response.headers, sent);
    assert!(response.headers["x-secret"].is_sensitive());
    assert_eq!((response.body.length, response.body.template, response.body.pieces.len()), (200, true, 3));
    drop((sent, reader));
    assert!(buffer.try_into_mut().is_ok(), "something stored still shares the buffer");
}

#[test]
fn the_weight_covers_what_is_stored() {
    let store = small();
    let weigh = |head: Head, body: &str| {
        let key = store.key(format!("http://example.org/{}", store.usage().stored));
        fill(&store, &key, &Request::default(), head, body).weight()
    };
    let least = weigh(head(), "");
    assert!(weigh(head(), &"a".repeat(10_000)) >= least + 10_000);
    let tags = (0..1000).map(|tag| tag.to_string()).collect();
    assert!(weigh(Head { tags, ..head() }, "") >= least + 8_000);
    let mut headers = HeaderMap::new();
    headers.insert("x-long", HeaderValue::from_str(&"a".repeat(5_000)).unwrap());
    assert!(weigh(Head { headers, ..head() }, "") >= least + 5_000);
    assert!(weigh(Head { extras: "a".repeat(3_000), ..head() }, "") >= least + 3_000);
}

#[test]
fn usage_counts_what_comes_and_goes() {
    let store = small();
    let key = store.key("http://example.org/");
    let response = fill(&store, &key, &Request::default(), head(), "body");
    let usage = store.usage();
    assert_eq!((usage.stored_responses, usage.stored, usage.fills, usage.filling_bytes), (1, 1, 0, 0));
    assert!(usage.stored_bytes > response.weight() as u64);

    let (mut writer, reader) = lead(&store, &key, &Request::default()).storing(head());
    push(&mut writer, text("half"));
    assert_eq!((store.usage().fills, store.usage().filling_bytes), (1, 4));
    drop((writer, reader));
    store.invalidate(&Invalidation::Key(key), Hardness::Hard);
    let usage = store.usage();
    assert_eq!((usage.stored_responses, usage.stored_bytes, usage.invalidated), (0, 0, 1));
    assert_eq!((usage.fills, usage.filling_bytes, usage.evicted), (0, 0, 0));
}

#[test]
fn a_store_that_is_full_lets_the_least_recently_used_go() {
    const LIMIT: u64 = 8 << 20;
    let store = Store::new(StoreSettings { memory: LIMIT, ..StoreSettings::default() });
    let body = "a".repeat(100_000);
    let keys: Vec<_> = (0..1000).map(|number| store.key(format!("http://example.org/{number}"))).collect();
    let found = |key: &CacheKey| matches!(store.lookup(key, &Request::default(), NOW), Lookup::Found { .. });
    for key in &keys {
        // While threads of other tests hold up what is to be freed, there is no room.
        while let Err(discarded) = try_fill(&store, key, &Request::default(), head(), &body) {
            assert_eq!(discarded, Discarded::NoRoom);
        }
        assert!(found(&keys[0]), "what is used stays");
        assert!(store.usage().stored_bytes <= LIMIT, "{:?}", store.usage());
    }
    store.settle();
    assert!(found(&keys[999]) && !found(&keys[1]) && !found(&keys[500]));
    assert!(store.usage().evicted > 800, "{:?}", store.usage());
}

#[test]
fn a_body_beyond_the_whole_store_is_not_stored() {
    let store = Store::new(StoreSettings { memory: 1 << 20, max_body: 2 << 20, ..StoreSettings::default() });
    let key = store.key("http://example.org/");
    let (mut writer, mut reader) = lead(&store, &key, &Request::default()).storing(head());
    for _ in 0..8 {
        push(&mut writer, text(vec![b'a'; 64 << 10]));
        assert_eq!(read(&mut reader).0.len(), 64 << 10);
    }
    // More than a quarter of the memory.
    assert!(!writer.may_store());
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::TooBig);
    assert!(matches!(read(&mut reader).1, Poll::Ready(None)));
}
