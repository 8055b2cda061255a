//! Responses that are kept under another key than the one that was asked for, and keys that are more than a URL.

use regex::Regex;

use super::*;

const ASKED: &str = "http://example.org/a?x=1";
const FILED: &str = "http://example.org/a";

#[test]
fn a_response_is_stored_where_it_is_filed_and_the_followers_get_it() {
    let store = small();
    let (asked, filed) = (store.key(ASKED), store.key(FILED));
    let request = Request::default();
    let mut permit = lead(&store, &asked, &request);
    let follower = follow(&store, &asked, &request);
    permit.file_under(filed.clone(), Some("\nsearch".to_owned()));
    let (mut writer, mut own) = permit.storing(head());
    let Some(Announced::Storing(mut followed)) = now_or_never(follower.head()) else { panic!("not storing") };
    push(&mut writer, text("bo"));
    let there = follow(&store, &filed, &Request::extras("\nsearch"));
    let Some(Announced::Storing(mut there)) = now_or_never(there.head()) else { panic!("not storing there") };
    assert!(matches!(store.join(&filed, request.clone().shared()), Turn::Lead(_)), "for these extras only");
    push(&mut writer, text("dy"));
    writer.finish(NOW).unwrap();
    for reader in [&mut own, &mut followed, &mut there] {
        assert!(matches!(read(reader), (text, Poll::Ready(None)) if text == "body"));
    }
    assert_eq!(looked_up(&store, &asked, &request, NOW), "miss");
    assert_eq!(looked_up(&store, &filed, &request, NOW), "variant-miss", "other extras");
    assert_eq!(looked_up(&store, &filed, &Request::extras("\nsearch"), NOW), "body");
}

#[test]
fn a_purge_of_the_place_it_is_filed_in_beats_the_fetch() {
    let store = small();
    let (asked, filed) = (store.key(ASKED), store.key(FILED));
    let mut permit = lead(&store, &asked, &Request::default());
    store.invalidate(&Invalidation::Key(filed.clone()), Hardness::Hard);
    permit.file_under(filed, None);
    let (mut writer, _reader) = permit.storing(head());
    push(&mut writer, text("old"));
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::Invalidated);
}

#[test]
fn that_nothing_is_to_be_stored_is_remembered_where_it_is_filed() {
    let store = small();
    let (asked, filed) = (store.key(ASKED), store.key(FILED));
    let mut permit = lead(&store, &asked, &Request::default());
    permit.file_under(filed.clone(), None);
    permit.not_stored(Some(Duration::from_secs(9)), NOW);
    assert_eq!(looked_up(&store, &asked, &Request::default(), NOW), "miss");
    assert_eq!(looked_up(&store, &filed, &Request::default(), NOW), "hit-for-miss");
}

#[test]
fn what_stands_behind_a_line_break_is_no_part_of_the_url() {
    let named = |what: &Invalidation| {
        let store = small();
        let key = store.key("http://example.org/video.mp4\nslice 65536 0");
        fill(&store, &key, &Request::default(), head(), "slice");
        store.invalidate(what, Hardness::Hard);
        looked_up(&store, &key, &Request::default(), NOW) == "miss"
    };
    let prefix = |path: &str| Invalidation::Prefix { host: Some("example.org".to_owned()), path: path.to_owned() };
    assert!(named(&prefix("/video")));
    assert!(named(&prefix("/video.mp4")));
    assert!(!named(&prefix("/video.mp4\nslice")), "a suffix is not named by a path");
    assert!(named(&Invalidation::Host("example.org".to_owned())));
    assert!(named(&Invalidation::Pattern(Regex::new(r"\.mp4$").unwrap())));
    assert!(!named(&Invalidation::Pattern(Regex::new("slice").unwrap())));
}
