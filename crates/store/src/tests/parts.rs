//! Partial responses: what is kept, what is put together, and what may be answered from it.

use copal_semantics::{ByteRange, ContentRange, Span};
use http::header::ETAG;
use proptest::prelude::*;

use super::*;
use crate::parts::MOST;

/// A client that asks for a range of a representation; none: the whole.
#[derive(Clone, Debug)]
struct Asking(Option<ByteRange>, String);

impl Asking {
    fn whole() -> Self {
        Self(None, String::new())
    }

    fn range(range: ByteRange) -> Self {
        Self(Some(range), format!("bytes={range}"))
    }

    /// What of the response it gets, where that is there.
    fn span(&self, response: &StoredResponse) -> Option<Span> {
        let complete = response.parts.as_ref().map_or(Some(response.body.length), |parts| parts.complete());
        match (self.0, complete) {
            (Some(range), Some(complete)) => range.within(complete),
            (None, Some(complete)) => ByteRange::From(0).within(complete),
            (Some(ByteRange::Between(first, last)), None) => Some(Span { first, last }),
            _ => None,
        }
    }

    fn bytes(&self, response: &StoredResponse) -> Option<String> {
        let span = self.span(response)?;
        let place = response.parts.as_ref().map_or(Some(span.first), |parts| parts.place(span))?;
        let slices: Vec<_> = slices(&response.body.pieces, place, span.length()).collect();
        Some(String::from_utf8(slices.concat()).unwrap())
    }
}

impl Selector for Asking {
    fn extras(&self) -> &str {
        ""
    }

    fn field(&self, _: &HeaderName) -> String {
        String::new()
    }

    fn accepts(&self, _: &HeaderValue) -> bool {
        true
    }

    fn part(&self) -> &str {
        &self.1
    }

    fn takes_part(&self, partial: &StoredResponse) -> bool {
        self.bytes(partial).is_some()
    }
}

const TEXT: &str = "0123456789";

fn tagged(tag: &str, seconds: u64) -> Head {
    let mut head = Head { freshness: fresh_from(after(seconds)), ..head() };
    if !tag.is_empty() {
        head.headers.insert(ETAG, tag.parse().unwrap());
    }
    head
}

fn part_of(tag: &str, seconds: u64, (first, last): (u64, u64), complete: Option<u64>) -> Head {
    let range = ContentRange { span: Span { first, last }, complete };
    let part = Some(Part { range, asked: ByteRange::Between(first, last) });
    Head { status: StatusCode::PARTIAL_CONTENT, part, ..tagged(tag, seconds) }
}

fn put(store: &Arc<Store>, head: Head, body: &str) -> Result<Arc<StoredResponse>, Discarded> {
    let permit = store.fill_alone(&store.key("http://a.example/v"), Arc::new(Asking::whole()));
    finish(permit, head, body)
}

fn finish(permit: FillPermit, head: Head, body: &str) -> Result<Arc<StoredResponse>, Discarded> {
    let (mut writer, _reader) = permit.storing(head);
    push(&mut writer, text(body.to_owned()));
    writer.finish(NOW)
}

/// A part of [`TEXT`] with this tag.
fn put_part(store: &Arc<Store>, tag: &str, seconds: u64, span: (u64, u64)) -> Result<Arc<StoredResponse>, Discarded> {
    let body = &TEXT[span.0 as usize..=span.1 as usize];
    put(store, part_of(tag, seconds, span, Some(10)), body)
}

fn found(store: &Store, asking: &Asking) -> String {
    match store.lookup(&store.key("http://a.example/v"), asking, NOW) {
        Lookup::Found { response, .. } => asking.bytes(&response).unwrap(),
        Lookup::Partial { response, .. } => format!("partial {}", shown(&response)),
        other => format!("{other:?}"),
    }
}

fn spans(response: &StoredResponse) -> Vec<(u64, u64)> {
    let parts = response.parts.iter().flat_map(|parts| parts.spans());
    parts.map(|span| (span.first, span.last)).collect()
}

#[test]
fn rfc9111_s3_3_a_part_answers_for_what_it_has_and_not_for_more() {
    let store = small();
    let stored = put_part(&store, "", 0, (4, 8)).unwrap();
    assert_eq!((stored.status, stored.status_of_whole()), (StatusCode::PARTIAL_CONTENT, StatusCode::OK));
    for (range, expected) in [
        (ByteRange::Between(4, 8), "45678"),
        (ByteRange::Between(6, 7), "67"),
        (ByteRange::Between(3, 4), "partial 45678"),
        (ByteRange::From(6), "partial 45678"),
        (ByteRange::Suffix(1), "partial 45678"),
    ] {
        assert_eq!(found(&store, &Asking::range(range)), expected, "{range}");
    }
    assert_eq!(found(&store, &Asking::whole()), "partial 45678");
}

#[test]
fn rfc9111_s3_4_parts_with_the_same_strong_tag_become_one() {
    let store = small();
    put_part(&store, "\"a\"", 0, (0, 1)).unwrap();
    let two = put_part(&store, "\"a\"", 1, (6, 8)).unwrap();
    assert_eq!((spans(&two), shown(&two)), (vec![(0, 1), (6, 8)], "01678".to_owned()));
    // Overlapping and touching.
    let more = put_part(&store, "\"a\"", 2, (1, 3)).unwrap();
    assert_eq!((spans(&more), shown(&more)), (vec![(0, 3), (6, 8)], "0123678".to_owned()));
    assert_eq!(more.freshness.response_time, after(2));
    // One that was asked for before the others and comes last: the newest fields stay.
    let late = put_part(&store, "\"a\"", 1, (9, 9)).unwrap();
    assert_eq!((spans(&late), late.freshness.response_time), (vec![(0, 3), (6, 9)], after(2)));
    let whole = put_part(&store, "\"a\"", 3, (2, 7)).unwrap();
    assert_eq!((whole.status, shown(&whole), whole.parts.is_none()), (StatusCode::OK, TEXT.to_owned(), true));
    assert_eq!(store.usage().stored_responses, 1);
}

#[test]
fn rfc9111_s3_4_others_are_not_put_together() {
    for (tag, other, complete) in
        [("\"a\"", "\"b\"", 10), ("W/\"a\"", "W/\"a\"", 10), ("", "", 10), ("a", "a", 10), ("\"a\"", "\"a\"", 11)]
    {
        let store = small();
        put_part(&store, tag, 0, (0, 4)).unwrap();
        let new = put(&store, part_of(other, 1, (5, 9), Some(complete)), "56789").unwrap();
        assert_eq!(spans(&new), [(5, 9)], "{tag} {other}");
        // And the older of two leaves the newer alone.
        assert_eq!(put_part(&store, "\"c\"", 0, (0, 4)).unwrap_err(), Discarded::Superseded);
    }
}

#[test]
fn rfc9110_s15_3_7_3_a_part_that_is_everything_is_whole() {
    let store = small();
    let whole = put_part(&store, "", 0, (0, 9)).unwrap();
    assert_eq!((whole.status, whole.parts.is_none()), (StatusCode::OK, true));
    assert_eq!(found(&store, &Asking::whole()), TEXT);
    // Of unknown length more may follow.
    let part = put(&store, part_of("", 1, (0, 9), None), TEXT);
    assert_eq!(part.unwrap_err(), Discarded::Superseded);
    let store = small();
    let part = put(&store, part_of("", 1, (0, 9), None), TEXT).unwrap();
    assert_eq!(part.parts.as_ref().unwrap().gap(), Some(ByteRange::From(10)));
}

#[test]
fn a_whole_response_takes_the_place_of_parts_and_not_the_other_way() {
    let store = small();
    put_part(&store, "\"a\"", 0, (0, 4)).unwrap();
    let whole = put(&store, tagged("\"b\"", 1), "abcdefghij").unwrap();
    assert_eq!(put_part(&store, "\"a\"", 2, (0, 4)).unwrap_err(), Discarded::Superseded);
    assert_eq!(found(&store, &Asking::whole()), "abcdefghij");
    // Stale, it gives way to a part of another representation; with one of its own it is fresh again.
    let key = store.key("http://a.example/v");
    store.invalidate(&Invalidation::Key(key.clone()), Hardness::Soft);
    let again = put(&store, part_of("\"b\"", 3, (2, 3), Some(10)), "cd").unwrap();
    assert_eq!((shown(&again), again.freshness.response_time), (shown(&whole), after(3)));
    store.invalidate(&Invalidation::Key(key), Hardness::Soft);
    assert_eq!(spans(&put_part(&store, "\"a\"", 4, (0, 4)).unwrap()), [(0, 4)]);
    // A whole one that began before a part of the same came is as new as that; one of another representation is not stored.
    assert_eq!(put(&store, tagged("\"z\"", 3), "zz").unwrap_err(), Discarded::Superseded);
    let both = put(&store, tagged("\"a\"", 3), TEXT).unwrap();
    assert_eq!((shown(&both), both.freshness.response_time), (TEXT.to_owned(), after(4)));
}

#[test]
fn content_that_is_not_what_it_says_is_put_together_with_nothing() {
    let store = small();
    assert_eq!(put(&store, part_of("\"a\"", 0, (4, 9), Some(10)), "4567899").unwrap_err(), Discarded::Inconsistent);
    assert_eq!(put(&store, part_of("\"a\"", 0, (4, 9), Some(10)), "").unwrap_err(), Discarded::Inconsistent);
    let mut head = part_of("\"a\"", 0, (4, 9), Some(10));
    head.part = head.part.map(|part| Part { asked: ByteRange::Suffix(5), ..part });
    let short = put(&store, head, "45678").unwrap();
    let parts = short.parts.as_ref().unwrap();
    assert_eq!((spans(&short), parts.complete(), parts.gap()), (vec![(4, 8)], Some(9), None));
    assert_eq!(found(&store, &Asking::range(ByteRange::Suffix(1))), "8");
    assert_eq!(spans(&put_part(&store, "\"a\"", 1, (0, 3)).unwrap()), [(0, 3)]);
    // From the first byte to the believed last is not the whole either.
    let mut head = part_of("\"a\"", 2, (0, 9), Some(10));
    head.part = head.part.map(|part| Part { asked: ByteRange::From(0), ..part });
    assert_eq!(put(&store, head, "01234567").unwrap().status, StatusCode::PARTIAL_CONTENT);
}

#[test]
fn what_is_missing_is_told_where_it_is_one_run() {
    for (spans, complete, expected) in [
        (&[(0, 4)][..], Some(10), Some(ByteRange::From(5))),
        (&[(4, 9)], Some(10), Some(ByteRange::Between(0, 3))),
        (&[(0, 2), (6, 9)], Some(10), Some(ByteRange::Between(3, 5))),
        (&[(0, 4)], None, Some(ByteRange::From(5))),
        (&[(2, 4)], Some(10), None),
        (&[(2, 4)], None, None),
        (&[(0, 0), (2, 2), (4, 9)], Some(10), None),
    ] {
        let store = small();
        let mut last = None;
        for (first, end) in spans {
            let head = part_of("\"a\"", 0, (*first, *end), complete);
            last = Some(put(&store, head, &TEXT[*first as usize..=*end as usize]).unwrap());
        }
        assert_eq!(last.unwrap().parts.as_ref().unwrap().gap(), expected, "{spans:?} {complete:?}");
    }
}

#[test]
fn parts_stay_within_bounds() {
    let store = Store::new(StoreSettings { memory: 32 << 20, max_body: 6, ..StoreSettings::default() });
    put_part(&store, "\"a\"", 0, (0, 3)).unwrap();
    assert_eq!(spans(&put_part(&store, "\"a\"", 1, (2, 5)).unwrap()), [(0, 5)]);
    assert_eq!(spans(&put_part(&store, "\"a\"", 2, (5, 6)).unwrap()), [(5, 6)]);

    let store = small();
    let put_nth = |nth: u64| {
        let head = part_of("\"a\"", 0, (nth * 2, nth * 2), Some(1000));
        put(&store, head, "x").unwrap()
    };
    (0..MOST as u64).for_each(|nth| drop(put_nth(nth)));
    let after = put_nth(MOST as u64);
    assert_eq!(spans(&after).len(), 1, "the newest only");
    let before = store.usage().stored_bytes;
    let more = put_nth(MOST as u64 + 2);
    assert!(store.usage().stored_bytes > before);
    assert_eq!(spans(&more).len(), 2);
}

#[test]
fn a_combined_body_pins_what_it_weighs() {
    let store = small();
    let length = 3_u64 << 20;
    let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8 % 26 + b'a').collect();
    let all = String::from_utf8(bytes).unwrap();
    let slice = |first: u64, last: u64| &all[first as usize..=last as usize];
    for (at, (first, last)) in
        [(0, 1 << 20), (1 << 19, 2 << 20), ((2 << 20) + 70_000, length - 1)].into_iter().enumerate()
    {
        put(&store, part_of("\"a\"", at as u64, (first, last), Some(length)), slice(first, last)).unwrap();
    }
    let gap = ((2 << 20) - 5, (2 << 20) + 80_000);
    let whole = put(&store, part_of("\"a\"", 9, gap, Some(length)), slice(gap.0, gap.1)).unwrap();
    assert_eq!(whole.status, StatusCode::OK);
    assert!(shown(&whole) == all, "the bytes are those of the representation");
    assert!(whole.weight() as u64 >= length && (whole.weight() as u64) < length + length / 4, "{}", whole.weight());
}

#[test]
fn a_purge_that_came_since_the_fetch_began_is_not_undone_by_parts() {
    let store = small();
    let key = store.key("http://a.example/v");
    let tags = |head: Head, tag: &str| Head { tags: vec![tag.to_owned()], ..head };
    let part = |seconds, span| part_of("\"a\"", seconds, span, Some(10));
    // The fetch began before the purge: what is stored is gone, and what it brings is not kept.
    put_part(&store, "\"a\"", 0, (0, 4)).unwrap();
    let permit = store.fill_alone(&key, Arc::new(Asking::whole()));
    store.invalidate(&Invalidation::Key(key.clone()), Hardness::Hard);
    assert_eq!(finish(permit, part(1, (5, 9)), "56789").unwrap_err(), Discarded::Invalidated);
    assert_eq!(found(&store, &Asking::whole()), "Miss");
    // A tag of the stored part stays with both.
    put(&store, tags(part(2, (0, 1)), "red"), "01").unwrap();
    put(&store, tags(part(3, (2, 3)), "blue"), "23").unwrap();
    assert_eq!(found(&store, &Asking::whole()), "partial 0123");
    store.invalidate(&Invalidation::Tag("red".to_owned()), Hardness::Hard);
    assert_eq!(found(&store, &Asking::whole()), "Miss");
    // A purged part is not taken into another, whose fetch began before.
    put(&store, tags(part(4, (0, 1)), "red"), "01").unwrap();
    let permit = store.fill_alone(&key, Arc::new(Asking::whole()));
    store.invalidate(&Invalidation::Tag("red".to_owned()), Hardness::Hard);
    let left = finish(permit, tags(part(5, (2, 3)), "blue"), "23").unwrap();
    assert_eq!(spans(&left), [(2, 3)]);
    // A soft one makes both stale.
    store.invalidate(&Invalidation::Tag("blue".to_owned()), Hardness::Soft);
    put(&store, part(6, (4, 4)), "4").unwrap();
    let soft = store.lookup(&key, &Asking::range(ByteRange::Between(4, 4)), NOW);
    assert!(matches!(soft, Lookup::Found { soft_invalidated: true, .. }), "{soft:?}");
}

#[test]
fn a_fill_of_a_part_is_joined_for_that_part_only_and_a_fill_of_the_whole_by_all() {
    let store = small();
    let key = store.key("http://a.example/v");
    let join = |asking: Asking| store.join(&key, Arc::new(asking));
    let (head, tail) = (Asking::range(ByteRange::Between(0, 4)), Asking::range(ByteRange::Suffix(5)));
    let Turn::Lead(part) = join(head.clone()) else { panic!("nobody leads") };
    assert!(matches!(join(head.clone()), Turn::Follow(_)));
    let Turn::Lead(other) = join(tail.clone()) else { panic!("it is for another part") };
    let Turn::Lead(whole) = join(Asking::whole()) else { panic!("a part is not the whole") };
    drop(other);
    assert!(matches!(join(tail.clone()), Turn::Follow(_)), "the whole has all");
    drop(whole);
    // The origin gave the whole where a part was asked for: now all may read along.
    let (writer, _reader) = part.storing(tagged("\"a\"", 0));
    assert!(matches!(join(tail), Turn::Follow(_)));
    assert!(matches!(join(Asking::whole()), Turn::Follow(_)));
    drop(writer);
}

#[test]
fn who_followed_for_the_whole_is_not_given_a_part() {
    let store = small();
    let key = store.key("http://a.example/v");
    let part = put_part(&store, "\"a\"", 0, (0, 4)).unwrap();
    let Turn::Lead(permit) = store.join(&key, Arc::new(Asking::whole())) else { panic!("nobody leads") };
    let Turn::Follow(follower) = store.join(&key, Arc::new(Asking::range(ByteRange::Between(0, 1)))) else {
        panic!("the whole has all")
    };
    let Turn::Follow(of_all) = store.join(&key, Arc::new(Asking::whole())) else { panic!("it is under way") };
    permit.ready(part);
    assert!(matches!(now_or_never(follower.head()), Some(Announced::Ready(_))));
    assert!(matches!(now_or_never(of_all.head()), Some(Announced::OtherVariant)));
    // What has been stored since, and is not enough, does not keep a request from fetching.
    assert!(matches!(store.join_after(&key, Arc::new(Asking::whole()), None), Turn::Lead(_)));
}

#[test]
fn readers_of_a_part_get_it_as_it_came() {
    let store = small();
    put_part(&store, "\"a\"", 0, (0, 4)).unwrap();
    let key = store.key("http://a.example/v");
    let permit = store.fill_alone(&key, Arc::new(Asking::whole()));
    let (mut writer, mut reader) = permit.storing(part_of("\"a\"", 1, (5, 9), Some(10)));
    push(&mut writer, text("56"));
    assert_eq!(read(&mut reader).0, "56");
    push(&mut writer, text("789"));
    assert_eq!(shown(&writer.finish(NOW).unwrap()), TEXT);
    let (rest, end) = read(&mut reader);
    assert!(rest == "789" && matches!(end, Poll::Ready(None)));
}

#[test]
fn a_freshened_part_stays_one() {
    let store = small();
    let part = put_part(&store, "\"a\"", 0, (0, 4)).unwrap();
    let key = store.key("http://a.example/v");
    let began = store.sequence();
    let fresh =
        freshen(&store, &key, &Asking::whole(), &part, part.headers.clone(), fresh_from(after(5)), began).unwrap();
    assert_eq!((fresh.status, spans(&fresh)), (StatusCode::PARTIAL_CONTENT, vec![(0, 4)]));
    // Another one has come in its place meanwhile.
    assert!(
        freshen(&store, &key, &Asking::whole(), &part, part.headers.clone(), fresh_from(after(6)), began).is_none()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Part { tag: usize, first: u64, more: u64, known: bool, seconds: u64 },
    Whole { tag: usize, seconds: u64 },
    Ask(Option<ByteRange>),
    Soft,
    Purge,
}

const TEXTS: [&str; 3] = ["0123456789abcdefghij", "ABCDEFGHIJKLMNOPQRST", "--------------------"];
const TAGS: [&str; 3] = ["\"one\"", "\"two\"", ""];

fn step() -> impl Strategy<Value = Step> {
    let range = prop_oneof![
        (0..22_u64).prop_map(ByteRange::From),
        (0..22_u64, 0..9_u64).prop_map(|(first, more)| ByteRange::Between(first, first + more)),
        (0..22_u64).prop_map(ByteRange::Suffix),
    ];
    prop_oneof![
        8 => (prop::sample::select(vec![0, 2]), 0..20_u64, 0..12_u64, any::<bool>(), 0..9_u64)
            .prop_map(|(tag, first, more, known, seconds)| Step::Part { tag, first, more, known, seconds }),
        4 => (0..3_usize, 0..20_u64, 0..12_u64, 0..9_u64)
            .prop_map(|(tag, first, more, seconds)| Step::Part { tag, first, more, known: true, seconds }),
        1 => (0..3_usize, 0..9_u64).prop_map(|(tag, seconds)| Step::Whole { tag, seconds }),
        8 => prop::option::of(range).prop_map(Step::Ask),
        1 => Just(Step::Soft),
        1 => Just(Step::Purge),
    ]
}

proptest! {
    /// Whatever came in whatever order, each answer has the bytes of one representation, that of its tag, in their places;
    /// and what is stored is no more than what came.
    #[test]
    fn every_answer_has_the_bytes_of_its_representation(steps in prop::collection::vec(step(), 1..60)) {
        let store = small();
        let key = store.key("http://a.example/v");
        let mut came = [[false; 20]; 3];
        for step in steps {
            match step {
                Step::Part { tag, first, more, known, seconds } => {
                    let last = (first + more).min(19);
                    let body = &TEXTS[tag][first as usize..=last as usize];
                    let stored = put(&store, part_of(TAGS[tag], seconds, (first, last), known.then_some(20)), body);
                    came[tag][first as usize..=last as usize].fill(true);
                    prop_assert!(stored.is_ok() || stored.is_err_and(|why| why == Discarded::Superseded));
                }
                Step::Whole { tag, seconds } => {
                    came[tag] = [true; 20];
                    let _ = put(&store, tagged(TAGS[tag], seconds), TEXTS[tag]);
                }
                Step::Soft => drop(store.invalidate(&Invalidation::Key(key.clone()), Hardness::Soft)),
                Step::Purge => {
                    store.invalidate(&Invalidation::Key(key.clone()), Hardness::Hard);
                    came = [[false; 20]; 3];
                }
                Step::Ask(range) => {
                    let asking = range.map_or_else(Asking::whole, Asking::range);
                    if let Lookup::Found { response, .. } = store.lookup(&key, &asking, NOW) {
                        let tag = response.headers.get(ETAG).map_or("", |tag| tag.to_str().unwrap());
                        let which = TAGS.iter().position(|known| *known == tag).unwrap();
                        prop_assert!(response.status == StatusCode::OK || response.parts.is_some());
                        if let Some(span) = asking.span(&response) {
                            let wanted = span.first as usize..=span.last as usize;
                            prop_assert!(came[which][wanted.clone()].iter().all(|came| *came));
                            prop_assert_eq!(asking.bytes(&response), Some(TEXTS[which][wanted].to_owned()));
                        }
                    }
                }
            }
        }
    }
}
