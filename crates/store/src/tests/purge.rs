//! Invalidations against what is stored, what is under way, and what is remembered.

use regex::Regex;

use super::*;

const URL: &str = "http://example.org/news/today?page=2";

fn prefix(host: Option<&str>, path: &str) -> Invalidation {
    Invalidation::Prefix { host: host.map(str::to_owned), path: path.to_owned() }
}

fn pattern(text: &str) -> Invalidation {
    Invalidation::Pattern(Regex::new(text).unwrap())
}

/// Invalidations that name [`URL`] with the tag `news`.
fn naming(store: &Store) -> Vec<Invalidation> {
    vec![
        Invalidation::Key(store.key(URL)),
        Invalidation::Host("example.org".to_owned()),
        prefix(None, "/news/"),
        prefix(Some("example.org"), "/news/today?page="),
        prefix(None, ""),
        Invalidation::Tag("news".to_owned()),
        pattern(r"/today\?"),
        Invalidation::All,
        path(None, "/news/today"),
        path(Some("example.org"), "/news/today"),
        matching(Match::default()),
        matching(Match { host: regex("^example"), ..Match::default() }),
        matching(Match { exact_host: Some("example.org".to_owned()), url: regex("page=2$"), ..Match::default() }),
        matching(Match { url: regex("^/news"), fields: vec![in_pool("^a$")], ..Match::default() }),
        matching(Match { fields: vec![in_pool("b")], ..Match::default() }),
        matching(Match { tags: any_of(&["x", "news"]), ..Match::default() }),
        matching(Match { tags: tag_pattern("^(news|x)$"), ..Match::default() }),
        matching(Match { url: regex("today"), fields: vec![in_pool("a")], tags: tag_pattern("w"), ..Match::default() }),
        matching(Match { host: regex("org"), tags: any_of(&["front", "x"]), ..Match::default() }),
    ]
}

/// Whether it asks for tags.
fn is_by_tag(what: &Invalidation) -> bool {
    match what {
        Invalidation::Tag(_) => true,
        Invalidation::Match(what) => what.tags.is_some(),
        _ => false,
    }
}

fn path(host: Option<&str>, path: &str) -> Invalidation {
    Invalidation::Path { host: host.map(str::to_owned), path: path.to_owned() }
}

fn matching(what: Match) -> Invalidation {
    Invalidation::Match(Box::new(what))
}

fn regex(text: &str) -> Option<Regex> {
    Some(Regex::new(text).unwrap())
}

fn in_pool(text: &str) -> (HeaderName, Regex) {
    (HeaderName::from_static("x-pool"), Regex::new(text).unwrap())
}

fn any_of(tags: &[&str]) -> Option<TagMatch> {
    Some(TagMatch::AnyOf(tags.iter().map(|tag| (*tag).to_owned()).collect()))
}

fn tag_pattern(text: &str) -> Option<TagMatch> {
    Some(TagMatch::Pattern(Regex::new(text).unwrap()))
}

/// Invalidations that do not.
fn not_naming(store: &Store) -> Vec<Invalidation> {
    vec![
        Invalidation::Key(store.key("http://example.org/news/today")),
        Invalidation::Key(store.key("https://example.org/news/today?page=2")),
        Invalidation::Host("example.org:8080".to_owned()),
        Invalidation::Host("org".to_owned()),
        prefix(Some("example.com"), "/news/"),
        prefix(None, "/new/"),
        prefix(None, "news"),
        Invalidation::Tag("new".to_owned()),
        pattern("^/news"),
        path(None, "/news/today?page=2"),
        path(None, "/news"),
        path(Some("example.com"), "/news/today"),
        matching(Match { host: regex("^org"), ..Match::default() }),
        matching(Match { exact_host: Some("org".to_owned()), url: regex("page=2$"), ..Match::default() }),
        matching(Match { url: regex("^http"), fields: vec![in_pool("a")], ..Match::default() }),
        matching(Match { tags: any_of(&[]), ..Match::default() }),
        matching(Match { tags: any_of(&["new", "fron"]), ..Match::default() }),
        matching(Match { tags: tag_pattern("^new$"), ..Match::default() }),
        matching(Match { tags: tag_pattern("front news"), ..Match::default() }),
        matching(Match { url: regex("today"), tags: any_of(&["x"]), ..Match::default() }),
        matching(Match { url: regex("tomorrow"), tags: any_of(&["news"]), ..Match::default() }),
    ]
}

/// Those that ask for fields which the response does not have.
fn of_other_fields() -> Vec<Invalidation> {
    let other = (HeaderName::from_static("x-other"), Regex::new("").unwrap());
    vec![
        matching(Match { fields: vec![in_pool("^c")], ..Match::default() }),
        matching(Match { fields: vec![other.clone()], ..Match::default() }),
        matching(Match { fields: vec![in_pool("a"), other], ..Match::default() }),
        matching(Match { url: regex("tomorrow"), fields: vec![in_pool("a")], ..Match::default() }),
    ]
}

fn tagged() -> Head {
    let mut head = Head { tags: vec!["front".to_owned(), "news".to_owned()], ..head() };
    for pool in ["a", "b"] {
        head.headers.append("x-pool", HeaderValue::from_static(pool));
    }
    head
}

#[test]
fn a_hard_invalidation_removes_what_it_names() {
    for index in 0..naming(&small()).len() {
        let store = small();
        let (key, request) = (store.key(URL), Request::default());
        fill(&store, &key, &request, tagged(), "old");
        let what = &naming(&store)[index];
        let done = store.invalidate(what, Hardness::Hard);
        assert_eq!((done.sequence, done.removed), (1, u64::from(index == 0)), "{what:?}");
        assert_eq!(looked_up(&store, &key, &request, NOW), "miss", "{what:?}");
        assert_eq!((store.usage().stored_responses, store.usage().invalidated), (0, 1), "{what:?}");

        fill(&store, &key, &request, tagged(), "new");
        assert_eq!(looked_up(&store, &key, &request, NOW), "new", "{what:?}");
    }
}

#[test]
fn a_soft_invalidation_marks_what_it_names_until_it_is_replaced() {
    for index in 0..naming(&small()).len() {
        let store = small();
        let (key, request) = (store.key(URL), Request::default());
        fill(&store, &key, &request, tagged(), "old");
        let what = &naming(&store)[index];
        let done = store.invalidate(what, Hardness::Soft);
        assert_eq!(done.removed, u64::from(index == 0), "{what:?}");
        for _ in 0..2 {
            assert_eq!(looked_up(&store, &key, &request, NOW), "soft old", "{what:?}");
            store.sweep();
        }
        assert_eq!(store.usage().log_length, 0);
        fill(&store, &key, &request, tagged(), "new");
        assert_eq!(looked_up(&store, &key, &request, NOW), "new", "{what:?}");
    }
}

#[test]
fn other_invalidations_leave_a_response_alone() {
    let store = small();
    let (key, request) = (store.key(URL), Request::default());
    fill(&store, &key, &request, tagged(), "body");
    for what in not_naming(&store).into_iter().chain(of_other_fields()) {
        assert_eq!(store.matching(&what), 0, "{what:?}");
        for hardness in [Hardness::Soft, Hardness::Hard] {
            store.invalidate(&what, hardness);
            assert_eq!(looked_up(&store, &key, &request, NOW), "body", "{what:?}");
        }
    }
}

#[test]
fn purging_a_key_counts_and_removes_all_its_variants() {
    let store = small();
    let key = store.key(URL);
    for language in ["de", "fr", "it"] {
        fill(&store, &key, &Request::with("accept-language", language), vary_on("accept-language"), language);
    }
    assert_eq!(store.invalidate(&Invalidation::Key(key.clone()), Hardness::Soft).removed, 3);
    let purge = Invalidation::Key(key.clone());
    assert_eq!(store.invalidate(&purge, Hardness::Hard), Invalidated { sequence: 2, removed: 3 });
    assert_eq!(store.invalidate(&purge, Hardness::Hard), Invalidated { sequence: 3, removed: 0 });
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "miss");

    // What a tag has taken away before is not counted again.
    fill(&store, &key, &Request::default(), tagged(), "body");
    store.invalidate(&Invalidation::Tag("news".to_owned()), Hardness::Hard);
    assert_eq!(store.invalidate(&purge, Hardness::Hard).removed, 0);
}

#[test]
fn a_purge_beats_the_fill_that_was_under_way() {
    for index in 0..naming(&small()).len() {
        for told_before_head in [true, false] {
            let store = small();
            let (key, request) = (store.key(URL), Request::default());
            let what = &naming(&store)[index];
            let permit = lead(&store, &key, &request);
            if told_before_head {
                store.invalidate(what, Hardness::Hard);
            }
            let (mut writer, mut reader) = permit.storing(tagged());
            if !told_before_head {
                store.invalidate(what, Hardness::Hard);
            }
            // Who comes after the purge does not join, but leads a fill of their own.
            let newer = lead(&store, &key, &request);
            push(&mut writer, text("old"));
            assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::Invalidated, "{what:?}");
            assert_eq!(read(&mut reader).0, "old", "its own client still gets it");
            assert_eq!(looked_up(&store, &key, &request, NOW), "miss", "{what:?}");

            let (mut writer, _reader) = newer.storing(tagged());
            push(&mut writer, text("new"));
            writer.finish(NOW).unwrap();
            assert_eq!(looked_up(&store, &key, &request, NOW), "new", "{what:?}");
        }
    }
}

#[test]
fn a_soft_purge_marks_what_the_fill_under_way_brings() {
    let store = small();
    let (key, request) = (store.key(URL), Request::default());
    let (mut writer, _reader) = lead(&store, &key, &request).storing(tagged());
    store.invalidate(&Invalidation::Tag("news".to_owned()), Hardness::Soft);
    let newer = lead(&store, &key, &request);
    push(&mut writer, text("old"));
    writer.finish(NOW).unwrap();
    assert_eq!(looked_up(&store, &key, &request, NOW), "soft old");
    drop(newer);
}

#[test]
fn a_purge_beats_a_validation_that_was_under_way() {
    let store = small();
    let (key, request) = (store.key(URL), Request::default());
    let old = fill(&store, &key, &request, tagged(), "old");
    let permit = lead(&store, &key, &request);
    store.invalidate(&Invalidation::Tag("news".to_owned()), Hardness::Hard);
    let fresh = freshen(&store, &key, &request, &old, HeaderMap::new(), fresh_from(NOW), permit.began());
    assert!(fresh.is_none());
    assert_eq!(looked_up(&store, &key, &request, NOW), "miss");
}

#[test]
fn any_invalidation_that_names_the_key_clears_hit_for_miss() {
    for hardness in [Hardness::Hard, Hardness::Soft] {
        for (index, what) in naming(&small()).iter().enumerate() {
            // Nothing is known of the tags of what is not stored.
            let by_tag = is_by_tag(what);
            let store = small();
            let (key, request) = (store.key(URL), Request::default());
            let what = &naming(&store)[index];
            let remember = Some(Duration::from_secs(10));
            lead(&store, &key, &request).not_stored(remember, NOW);
            let under_way = lead(&store, &key, &request);
            for other in not_naming(&store) {
                store.invalidate(&other, hardness);
            }
            store.sweep();
            assert_eq!(looked_up(&store, &key, &request, NOW), "hit-for-miss");
            store.invalidate(what, hardness);
            let expected = if by_tag { "hit-for-miss" } else { "miss" };
            assert_eq!(looked_up(&store, &key, &request, NOW), expected, "{what:?}");
            // Nor does a fetch that began before bring it back.
            under_way.not_stored(remember, NOW);
            assert_eq!(looked_up(&store, &key, &request, NOW), expected, "{what:?}");
        }
    }
}

#[test]
fn a_sweep_frees_what_is_invalid_and_empties_the_log() {
    let store = small();
    let keys: Vec<_> = (0..100).map(|number| store.key(format!("http://example.org/{number}"))).collect();
    for (number, key) in keys.iter().enumerate() {
        let tags = vec![format!("tag-{}", number % 2)];
        fill(&store, key, &Request::default(), Head { tags, ..head() }, "body");
    }
    store.invalidate(&Invalidation::Tag("tag-0".to_owned()), Hardness::Hard);
    assert_eq!((store.usage().stored_responses, store.usage().log_length), (100, 1));
    store.sweep();
    let usage = store.usage();
    assert_eq!((usage.stored_responses, usage.invalidated, usage.log_length), (50, 50, 0));
    assert_eq!(looked_up(&store, &keys[0], &Request::default(), NOW), "miss");
    assert_eq!(looked_up(&store, &keys[1], &Request::default(), NOW), "body");
}

#[test]
fn a_sweep_keeps_what_a_fill_under_way_must_still_be_told() {
    let store = small();
    let (key, request) = (store.key(URL), Request::default());
    let permit = lead(&store, &key, &request);
    store.invalidate(&Invalidation::All, Hardness::Hard);
    store.sweep();
    assert_eq!(store.usage().log_length, 1);
    let (writer, _reader) = permit.storing(head());
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::Invalidated);
    store.sweep();
    assert_eq!(store.usage().log_length, 0);
}

#[test]
fn the_log_is_bounded_even_by_a_fill_that_does_not_end() {
    let store = Store::new(StoreSettings { log_limit: 10, ..StoreSettings::default() });
    let (key, request) = (store.key(URL), Request::default());
    let stored = store.key("http://example.org/stored");
    let (writer, _reader) = lead(&store, &key, &request).storing(head());
    fill(&store, &stored, &request, head(), "body");
    for number in 0..100 {
        assert_eq!(store.sweep_due(), number > 10);
        store.invalidate(&Invalidation::Tag(number.to_string()), Hardness::Hard);
    }
    store.sweep();
    assert!(!store.sweep_due());
    // Nobody can tell any more whether it was named.
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::Invalidated);
    assert_eq!(looked_up(&store, &stored, &request, NOW), "body");
}

#[test]
fn equal_invalidations_merge_and_each_counts() {
    let store = small();
    let kinds = naming(&store);
    for _ in 0..100 {
        for what in &kinds {
            store.invalidate(what, Hardness::Hard);
            store.invalidate(what, Hardness::Soft);
        }
    }
    // Key, host, paths, tags and all are one each; prefixes, patterns and conditions are so for each hardness.
    let one_each = 1 + 1 + 2 + 2 + 1;
    assert_eq!(store.usage().log_length, one_each + 2 * (3 + 1 + 1 + 6));
    assert_eq!(store.sequence().get(), 200 * kinds.len() as u64);

    // The newest of equal ones is the one that counts.
    let (key, request) = (store.key(URL), Request::default());
    fill(&store, &key, &request, tagged(), "body");
    assert_eq!(looked_up(&store, &key, &request, NOW), "body");
    store.invalidate(&prefix(None, "/news/"), Hardness::Soft);
    assert_eq!(looked_up(&store, &key, &request, NOW), "soft body");
    store.invalidate(&prefix(None, "/news/"), Hardness::Hard);
    assert_eq!(looked_up(&store, &key, &request, NOW), "miss");
}

#[test]
fn a_request_after_a_purge_does_not_get_what_a_fill_from_before_brings() {
    for index in 0..naming(&small()).len() {
        for hardness in [Hardness::Hard, Hardness::Soft] {
            let store = small();
            let (key, request) = (store.key(URL), Request::default());
            let permit = lead(&store, &key, &request);
            let before = follow(&store, &key, &request);
            store.invalidate(&naming(&store)[index], hardness);
            let after = match store.join(&key, request.clone().shared()) {
                Turn::Follow(follower) => Some(follower),
                // The key alone told.
                Turn::Lead(_) => None,
            };
            let (_writer, _reader) = permit.storing(tagged());
            assert!(matches!(now_or_never(before.head()), Some(Announced::Storing(_))));
            if let Some(after) = after {
                let announced = now_or_never(after.head());
                assert!(matches!(announced, Some(Announced::OtherVariant)), "{:?}", naming(&store)[index]);
            }
        }
    }
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let store = small();
    for number in 0..10 {
        let key = store.key(format!("http://example.org/{number}"));
        for language in ["de", "fr"] {
            let head =
                Head { tags: vec![format!("tag-{}", number % 2), language.to_owned()], ..vary_on("accept-language") };
            fill(&store, &key, &Request::with("accept-language", language), head, "body");
        }
    }
    store.invalidate(&Invalidation::Key(store.key("http://example.org/0")), Hardness::Hard);
    store.invalidate(&Invalidation::Key(store.key("http://example.org/1")), Hardness::Soft);
    let before = (store.usage(), store.sequence());
    for (what, count) in [
        (Invalidation::All, 18),
        (Invalidation::Key(store.key("http://example.org/1")), 2),
        (Invalidation::Key(store.key("http://example.org/0")), 0),
        (Invalidation::Tag("tag-0".to_owned()), 8),
        (Invalidation::Tag("de".to_owned()), 9),
        (pattern("/[3-5]$"), 6),
        (matching(Match { url: regex("^/[2-5]"), tags: any_of(&["tag-1"]), ..Match::default() }), 4),
        (matching(Match { tags: tag_pattern("^tag-[01]$"), ..Match::default() }), 18),
    ] {
        assert_eq!(store.matching(&what), count, "{what:?}");
    }
    let both = [Invalidation::Tag("tag-0".to_owned()), Invalidation::Tag("de".to_owned())];
    assert_eq!(store.matching_any(&both), 8 + 5);
    assert_eq!((store.usage(), store.sequence()), before);
}

#[test]
fn who_waits_is_told_how_many_went_and_they_are_gone() {
    for hardness in [Hardness::Hard, Hardness::Soft] {
        for index in 0..naming(&small()).len() {
            let store = small();
            let (key, other) = (store.key(URL), store.key("http://elsewhere/"));
            fill(&store, &key, &Request::default(), tagged(), "old");
            fill(&store, &other, &Request::default(), head(), "other");
            let what = naming(&store)[index].clone();
            let all = [Invalidation::Tag("x".to_owned()), what.clone(), what.clone()];
            let count = store.matching(&what);
            assert!((1..=2).contains(&count));
            let done = store.invalidate_counted(&all, hardness);
            assert_eq!((done.sequence, done.removed), (3, count), "{what:?}");
            let left = if hardness == Hardness::Hard { 2 - count } else { 2 };
            assert_eq!(store.usage().stored_responses, left, "{what:?}");
            assert_eq!(store.usage().invalidated, 2 - left);
        }
    }
}

#[test]
fn what_is_not_stored_holds_nothing_in_the_log() {
    let store = Store::new(StoreSettings { max_body: 10, ..StoreSettings::default() });
    let (key, request) = (store.key(URL), Request::default());
    let long = Head { length: Some(11), ..head() };
    let (_writer, _reader) = lead(&store, &key, &request).storing(long);
    store.invalidate(&Invalidation::All, Hardness::Hard);
    store.sweep();
    assert_eq!(store.usage().log_length, 0);
}

#[test]
fn what_a_request_invalidates_itself_is_told_from_what_others_did_meanwhile() {
    let store = small();
    let key = store.key(URL);
    let (own, tags) = ([Invalidation::Key(key.clone())], ["news".to_owned()]);
    let beside = |since| store.invalidate_beside(&own, &key, &HeaderMap::new(), &tags, since);
    let before = store.begin();
    store.invalidate(&Invalidation::Host("another.example".to_owned()), Hardness::Hard);
    let (last, clear) = beside(before);
    assert!(clear, "others' invalidations of other things do not count, nor its own");
    assert!(store.unnamed_since(&key, &HeaderMap::new(), &tags, last));
    assert!(!store.unnamed_since(&key, &HeaderMap::new(), &tags, before), "its own is one like any other to others");
    for naming in naming(&store) {
        let fields = tagged().headers;
        let before = store.begin();
        store.invalidate(&naming, Hardness::Soft);
        let (last, clear) = store.invalidate_beside(&own, &key, &fields, &tagged().tags, before);
        assert!(!clear, "{naming:?} came between");
        let (_, clear) = store.invalidate_beside(&own, &key, &fields, &tagged().tags, last);
        assert!(clear, "{naming:?} is older");
    }
}
