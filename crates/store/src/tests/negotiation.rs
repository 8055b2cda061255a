//! Which of several stored variants answers (RFC 9111 §4.1): equal fields first, then by what the client wants of what is stored.

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LANGUAGE};

use super::*;

/// A request with these fields.
fn asking(fields: &[(HeaderName, &str)]) -> Request {
    let mut request = Request::default();
    for (name, value) in fields {
        request.fields.append(name.clone(), value.parse().unwrap());
    }
    request
}

fn coding(accepted: &str) -> Request {
    asking(&[(ACCEPT_ENCODING, accepted)])
}

fn language(accepted: &str) -> Request {
    asking(&[(ACCEPT_LANGUAGE, accepted)])
}

/// A head that varies, with these response fields.
fn head_of(vary: &str, fields: &[(HeaderName, &'static str)]) -> Head {
    let mut head = vary_on(vary);
    for (name, value) in fields {
        head.headers.append(name.clone(), HeaderValue::from_static(value));
    }
    head
}

fn encoded(coding: &'static str) -> Head {
    head_of("accept-encoding", &[(CONTENT_ENCODING, coding)])
}

fn in_language(language: &'static str) -> Head {
    head_of("accept-language", &[(CONTENT_LANGUAGE, language)])
}

/// A store with one key.
fn store_and_key() -> (Arc<Store>, CacheKey) {
    let store = small();
    let key = store.key("http://example.org/");
    (store, key)
}

#[test]
fn rfc9111_4_1_equal_fields_select_before_all_else() {
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("br, gzip"), encoded("gzip"), "of both");
    fill(&store, &key, &coding("br"), encoded("br"), "of br");
    // The client would rather have br, but what the origin answers to this very list is known.
    assert_eq!(looked_up(&store, &key, &coding("br, gzip;q=0.1"), NOW), "of both");
    assert_eq!(looked_up(&store, &key, &coding("br"), NOW), "of br");
}

#[test]
fn rfc9111_4_1_of_what_is_stored_the_coding_that_is_wanted_most() {
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("br"), encoded("br"), "br");
    fill(&store, &key, &coding("gzip"), encoded("gzip"), "gzip");
    fill(&store, &key, &coding("identity"), head_of("accept-encoding", &[]), "identity");
    for (accepted, found) in [
        ("br;q=0.5, gzip, deflate", "gzip"),
        ("br, gzip;q=0.5, deflate", "br"),
        // Of equal ones the newest.
        ("gzip, br, deflate", "gzip"),
        ("*", "gzip"),
        ("br;q=0.1, zstd", "br"),
        ("gzip;q=0, *", "br"),
        // What is not coded only for those who take no coding.
        ("zstd", "variant-miss"),
        ("deflate", "variant-miss"),
        ("identity", "identity"),
        ("compress", "identity"),
        ("", "identity"),
        ("gzip;q=0", "identity"),
    ] {
        assert_eq!(looked_up(&store, &key, &coding(accepted), NOW), found, "{accepted}");
    }
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "identity");
}

#[test]
fn rfc9110_12_5_3_a_client_that_takes_nothing_gets_what_was_not_coded_for_others() {
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("gzip, br"), head_of("accept-encoding", &[]), "plain");
    for (accepted, found) in [("", "plain"), ("identity", "plain"), ("gzip", "variant-miss"), ("*;q=0", "variant-miss")]
    {
        assert_eq!(looked_up(&store, &key, &coding(accepted), NOW), found, "{accepted}");
    }
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "plain");
}

#[test]
fn rfc9110_12_5_3_a_client_gets_no_coding_that_it_did_not_name() {
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("gzip"), encoded("gzip"), "gzip");
    fill(&store, &key, &coding("br"), encoded("br, gzip"), "both");
    for request in [Request::default(), coding(""), coding("identity"), coding("zstd"), coding("gzip;q=0, zstd")] {
        assert_eq!(looked_up(&store, &key, &request, NOW), "variant-miss", "{request:?}");
    }
    // Two lines are one list: a response in two codings is read by who takes both.
    let (store, key) = store_and_key();
    let twice = head_of("accept-encoding", &[(CONTENT_ENCODING, "gzip"), (CONTENT_ENCODING, "br")]);
    fill(&store, &key, &coding("gzip, br"), twice, "both");
    assert_eq!(looked_up(&store, &key, &coding("gzip, br, zstd"), NOW), "both");
    assert_eq!(looked_up(&store, &key, &coding("gzip, zstd"), NOW), "variant-miss");
}

#[test]
fn rfc9111_4_1_an_origin_that_sends_another_coding_than_it_was_asked_for() {
    let (store, key) = store_and_key();
    // Asked for without a coding, it came with one: only who takes it may have it.
    fill(&store, &key, &Request::default(), encoded("gzip"), "gzip anyway");
    assert_eq!(looked_up(&store, &key, &coding("identity"), NOW), "variant-miss");
    assert_eq!(looked_up(&store, &key, &coding("gzip"), NOW), "gzip anyway");
    // One that nobody negotiates is given to all for whom the origin was asked the same.
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("gzip, br"), encoded("x-own"), "its own");
    assert_eq!(looked_up(&store, &key, &coding("br, gzip;q=0.1"), NOW), "its own");
    assert_eq!(looked_up(&store, &key, &coding("gzip"), NOW), "variant-miss");
}

#[test]
fn rfc9111_4_1_languages_are_compared_in_normal_form() {
    let (store, key) = store_and_key();
    fill(&store, &key, &language("en, de"), vary_on("accept-language"), "page");
    for accepted in ["en, de", "de, en", "eN, De", " en ,   de"] {
        assert_eq!(looked_up(&store, &key, &language(accepted), NOW), "page", "{accepted}");
    }
    for accepted in ["en", "en;q=0.5, de", "en, de, fr"] {
        assert_eq!(looked_up(&store, &key, &language(accepted), NOW), "variant-miss", "{accepted}");
    }
}

#[test]
fn rfc9111_4_1_the_one_language_that_is_wanted_most() {
    let (store, key) = store_and_key();
    fill(&store, &key, &language("en, de"), in_language("de"), "Hallo");
    fill(&store, &key, &language("it"), in_language("fr, it"), "Salut, ciao");
    for (accepted, found) in [
        ("fr;q=0.5, de;q=1.0", "Hallo"),
        ("DE;q=0.9, en;q=0.8", "Hallo"),
        ("de, fr", "variant-miss"),
        ("de;q=0.5, fr", "variant-miss"),
        ("*", "variant-miss"),
        ("de-CH", "variant-miss"),
    ] {
        assert_eq!(looked_up(&store, &key, &language(accepted), NOW), found, "{accepted}");
    }
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "variant-miss");
}

#[test]
fn rfc9111_4_1_all_other_fields_must_be_equal() {
    let (store, key) = store_and_key();
    let cookie = HeaderName::from_static("cookie");
    let of = |cookie_value: &str, accepted: &str, wanted: &str| {
        asking(&[(cookie.clone(), cookie_value), (ACCEPT_ENCODING, accepted), (ACCEPT_LANGUAGE, wanted)])
    };
    let head =
        head_of("cookie, accept-encoding, accept-language", &[(CONTENT_ENCODING, "gzip"), (CONTENT_LANGUAGE, "de")]);
    fill(&store, &key, &of("a=1", "gzip", "de, en;q=0.5"), head, "page");
    for (request, found) in [
        (of("a=1", "gzip, br", "de"), "page"),
        (of("a=2", "gzip, br", "de"), "variant-miss"),
        (of("a=2", "gzip", "de, en;q=0.5"), "variant-miss"),
        (of("a=1", "br", "de"), "variant-miss"),
        (of("a=1", "gzip, br", "en"), "variant-miss"),
    ] {
        assert_eq!(looked_up(&store, &key, &request, NOW), found, "{request:?}");
    }
    let member = Request { extras: "group=member".to_owned(), ..of("a=1", "gzip, br", "de") };
    assert_eq!(looked_up(&store, &key, &member, NOW), "variant-miss");
}

#[test]
fn rfc9111_4_1_star_errors_and_parts_answer_nobody_else() {
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("gzip"), head_of("accept-encoding, *", &[(CONTENT_ENCODING, "gzip")]), "star");
    let refused = Head { status: StatusCode::NOT_ACCEPTABLE, ..head_of("accept-encoding", &[]) };
    fill(&store, &key, &coding("zstd"), refused, "406");
    assert_eq!(looked_up(&store, &key, &coding("gzip, br"), NOW), "variant-miss");
    assert_eq!(looked_up(&store, &key, &coding("identity"), NOW), "variant-miss");
    assert_eq!(looked_up(&store, &key, &coding("zstd"), NOW), "406");
}

#[test]
fn rfc9111_4_1_what_is_invalid_is_not_chosen() {
    let (store, key) = store_and_key();
    let tagged = |coding: &'static str| Head { tags: vec![coding.to_owned()], ..encoded(coding) };
    fill(&store, &key, &coding("br"), tagged("br"), "br");
    fill(&store, &key, &coding("gzip"), tagged("gzip"), "gzip");
    let request = coding("br;q=0.5, gzip, zstd");
    assert_eq!(looked_up(&store, &key, &request, NOW), "gzip");
    store.invalidate(&Invalidation::Tag("gzip".to_owned()), Hardness::Hard);
    assert_eq!(looked_up(&store, &key, &request, NOW), "br");
    store.invalidate(&Invalidation::Tag("br".to_owned()), Hardness::Soft);
    assert_eq!(looked_up(&store, &key, &request, NOW), "soft br");
}

#[test]
fn a_request_that_negotiates_nothing_is_answered_by_equal_fields_only() {
    /// As a fragment asks.
    #[derive(Debug)]
    struct Plain;
    impl Selector for Plain {
        fn extras(&self) -> &str {
            ""
        }
        fn field(&self, _: &HeaderName) -> String {
            String::new()
        }
        fn accepts(&self, _: &HeaderValue) -> bool {
            false
        }
    }
    let (store, key) = store_and_key();
    fill(&store, &key, &coding("gzip"), head_of("accept-encoding", &[]), "plain for others");
    assert!(matches!(store.lookup(&key, &Plain, NOW), Lookup::VariantMiss));
    // A browser that takes nothing has the same field, and was sent a coding all the same.
    for coding in ["gzip", "x-own"] {
        fill(&store, &key, &Request::default(), encoded(coding), "coded anyway");
        assert!(matches!(store.lookup(&key, &Plain, NOW), Lookup::VariantMiss));
    }
    fill(&store, &key, &Request::default(), head_of("accept-encoding", &[]), "plain");
    assert!(matches!(store.lookup(&key, &Plain, NOW), Lookup::Found { .. }));
}

#[test]
fn rfc9111_4_1_variants_with_different_nominated_fields_the_newest_matching_wins() {
    let (store, key) = store_and_key();
    let of =
        |foo: &str, bar: &str| asking(&[(HeaderName::from_static("foo"), foo), (HeaderName::from_static("bar"), bar)]);
    fill(&store, &key, &of("1", "1"), vary_on("foo"), "foo 1");
    fill(&store, &key, &of("1", "2"), vary_on("bar"), "bar 2");
    fill(&store, &key, &of("1", "3"), vary_on("foo, bar"), "foo 1, bar 3");
    for (request, found) in [
        (of("1", "1"), "foo 1"),
        (of("1", "2"), "bar 2"),
        (of("9", "2"), "bar 2"),
        (of("1", "3"), "foo 1, bar 3"),
        (of("9", "3"), "variant-miss"),
        (of(" 1 ", "9"), "foo 1"),
    ] {
        assert_eq!(looked_up(&store, &key, &request, NOW), found, "{request:?}");
    }
    // Stored anew, the first is the newest, and it stands in its own place only.
    let again = Head { freshness: fresh_from(after(1)), ..vary_on("foo") };
    fill(&store, &key, &of("1", "2"), again, "foo 1 again");
    assert_eq!(looked_up(&store, &key, &of("1", "2"), NOW), "foo 1 again");
    assert_eq!(looked_up(&store, &key, &of("9", "2"), NOW), "bar 2");
    assert_eq!(store.usage().stored_responses, 3);
}

#[test]
fn rfc9111_4_1_unknown_fields_are_the_same_with_other_white_space_and_lines() {
    let (store, key) = store_and_key();
    let foo = HeaderName::from_static("foo");
    fill(&store, &key, &asking(&[(foo.clone(), "1, 2")]), vary_on("Foo"), "page");
    for request in [
        asking(&[(foo.clone(), "1,2")]),
        asking(&[(foo.clone(), " 1 ,\t2 ")]),
        asking(&[(foo.clone(), "1"), (foo.clone(), "2")]),
    ] {
        assert_eq!(looked_up(&store, &key, &request, NOW), "page", "{request:?}");
    }
    for request in [asking(&[(foo.clone(), "2,1")]), asking(&[(foo.clone(), "1 2")]), Request::default()] {
        assert_eq!(looked_up(&store, &key, &request, NOW), "variant-miss", "{request:?}");
    }
}

#[test]
fn no_key_has_more_variants_than_it_may() {
    let store = Store::new(StoreSettings { max_variants: 4, ..StoreSettings::default() });
    let key = store.key("http://example.org/");
    let fields = ["foo", "bar", "accept-language", "accept-encoding"];
    for number in 0..400 {
        let name = HeaderName::from_static(fields[number % fields.len()]);
        let head = Head { freshness: fresh_from(after(number as u64)), ..vary_on(name.as_str()) };
        let request = asking(&[(name, &format!("x{number}"))]);
        fill(&store, &key, &request, head, "page");
        assert!(store.usage().stored_responses <= 4, "{:?}", store.usage());
        assert_eq!(looked_up(&store, &key, &request, NOW), "page");
    }
    let extras: Vec<_> = (0..100).map(|number| Request::extras(&format!("group={number}"))).collect();
    for request in &extras {
        let head = Head { extras: request.extras.clone(), freshness: fresh_from(after(400)), ..head() };
        fill(&store, &key, request, head, "member");
    }
    assert_eq!(store.usage().stored_responses, 4);
}

#[test]
fn the_weight_of_a_variant_has_its_language() {
    let (store, key) = store_and_key();
    let without = fill(&store, &key, &language("de"), vary_on("accept-language"), "x").weight();
    let with = fill(&store, &key, &language("fr"), in_language("fr"), "x").weight();
    assert!(with > without + "fr".len(), "{with} {without}");
}
