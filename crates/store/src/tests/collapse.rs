//! One fill for many: followers, what they are told, and who survives whom.

use std::io;

use super::*;

fn error(text: &str) -> FillError {
    Arc::new(io::Error::other(text.to_owned()))
}

#[test]
fn fills_can_be_driven_by_any_task() {
    fn may_move<T: Send + Sync>() {}
    may_move::<(Store, FillPermit, FillWriter, FillReader, Follower, Announced)>();
}

/// A follower's answer in one word, with all that it can read by now.
fn told(announced: Option<Announced>) -> String {
    match announced {
        None => "waits".to_owned(),
        Some(Announced::Storing(mut reader)) => format!("storing {}", read(&mut reader).0),
        Some(Announced::Ready(response)) => format!("ready {}", shown(&response)),
        Some(Announced::NotStored) => "not stored".to_owned(),
        Some(Announced::Failed(error)) => format!("failed {error}"),
        Some(Announced::Abandoned) => "abandoned".to_owned(),
        Some(Announced::OtherVariant) => "other variant".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_make_one_fetch() {
    let store = small();
    let key = store.key("http://example.org/");
    let permit = lead(&store, &key, &Request::default());
    let followers: Vec<_> = (0..100)
        .map(|_| {
            let follower = follow(&store, &key, &Request::default());
            tokio::spawn(async move {
                let Announced::Storing(mut reader) = follower.head().await else { panic!("not storing") };
                let mut got = String::new();
                while let Some(piece) = reader.next().await {
                    show(&piece.unwrap(), &mut got);
                }
                got
            })
        })
        .collect();
    assert_eq!(store.usage().fills, 1);
    let (mut writer, leader) = permit.storing(head());
    // The leader's client goes, and kills nothing (invariant 1).
    drop(leader);
    for word in ["all ", "read ", "along"] {
        writer.push(text(word)).await.unwrap();
        tokio::task::yield_now().await;
    }
    writer.finish(NOW).unwrap();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), "all read along");
    }
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "all read along");
}

#[tokio::test(start_paused = true)]
async fn waiting_followers_wake_on_each_outcome() {
    type Outcome = fn(&Arc<Store>, FillPermit);
    let outcomes: [(&str, Outcome); 6] = [
        ("storing ", |_, permit| drop(permit.storing(head()))),
        ("ready stored", |store, permit| {
            permit.ready(fill(store, &store.key("http://other/"), &Request::default(), head(), "stored"));
        }),
        ("not stored", |_, permit| permit.not_stored(None, NOW)),
        ("failed refused", |_, permit| permit.failed(error("refused"))),
        ("abandoned", |_, permit| drop(permit)),
        ("not stored", |_, permit| {
            drop(permit.storing(Head { length: Some(1 << 40), ..head() }));
        }),
    ];
    for (expected, outcome) in outcomes {
        let store = small();
        let key = store.key("http://example.org/");
        let permit = lead(&store, &key, &Request::default());
        let waiting: Vec<_> = (0..3).map(|_| follow(&store, &key, &Request::default()).head()).collect();
        let waiting = waiting.into_iter().map(tokio::spawn).collect::<Vec<_>>();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|follower| !follower.is_finished()));
        let late = follow(&store, &key, &Request::default());
        outcome(&store, permit);
        for follower in waiting {
            assert_eq!(told(Some(soon(follower).await.unwrap())), expected);
        }
        // One that asks only now is told the same.
        assert_eq!(told(now_or_never(late.head())), expected);
        // Nothing is left: the next request leads.
        drop(lead(&store, &key, &Request::default()));
        assert_eq!((store.usage().fills, store.usage().filling_bytes), (0, 0));
    }
}

#[test]
fn a_follower_waits_until_the_head_is_known() {
    let store = small();
    let key = store.key("http://example.org/");
    let permit = lead(&store, &key, &Request::default());
    assert_eq!(told(now_or_never(follow(&store, &key, &Request::default()).head())), "waits");
    drop(permit);
}

#[test]
fn a_late_joiner_reads_from_the_beginning() {
    let store = small();
    let key = store.key("http://example.org/");
    let (mut writer, mut reader) = lead(&store, &key, &Request::default()).storing(head());
    push(&mut writer, text("one "));
    assert_eq!(read(&mut reader).0, "one ");
    push(&mut writer, text("two "));
    let follower = follow(&store, &key, &Request::default());
    assert_eq!(told(now_or_never(follower.head())), "storing one two ");
    // One that has joined, and asks only when all is over.
    let late = follow(&store, &key, &Request::default());
    push(&mut writer, text("three"));
    writer.finish(NOW).unwrap();
    assert_eq!(told(now_or_never(late.head())), "storing one two three");
    assert_eq!(read(&mut reader).0, "two three");
}

#[test]
fn rfc9111_4_1_only_those_follow_who_select_the_response() {
    let store = small();
    let key = store.key("http://example.org/");
    let (german, french) = (Request::with("accept-language", "de"), Request::with("accept-language", "fr"));
    let permit = lead(&store, &key, &german);
    let (same, other) = (follow(&store, &key, &german), follow(&store, &key, &french));
    let (mut writer, _reader) = permit.storing(vary_on("accept-language"));
    push(&mut writer, text("Hallo"));
    assert_eq!(told(now_or_never(same.head())), "storing Hallo");
    assert_eq!(told(now_or_never(other.head())), "other variant");
    // Trying again it leads, and the next one of its kind follows it.
    let second = lead(&store, &key, &french);
    let third = follow(&store, &key, &french);
    let (mut french_writer, _french_reader) = second.storing(vary_on("accept-language"));
    push(&mut french_writer, text("Salut"));
    assert_eq!(told(now_or_never(third.head())), "storing Salut");
    assert_eq!(store.usage().fills, 2);
}

#[test]
fn a_validated_response_is_only_for_those_who_select_it() {
    let store = small();
    let key = store.key("http://example.org/");
    let (german, french) = (Request::with("accept-language", "de"), Request::with("accept-language", "fr"));
    let stored = fill(&store, &key, &german, vary_on("accept-language"), "Hallo");
    let permit = lead(&store, &key, &german);
    let (same, other) = (follow(&store, &key, &german), follow(&store, &key, &french));
    permit.ready(stored);
    assert_eq!(told(now_or_never(same.head())), "ready Hallo");
    assert_eq!(told(now_or_never(other.head())), "other variant");
}

#[test]
fn other_extras_make_another_flight() {
    let store = small();
    let key = store.key("http://example.org/");
    let (guests, members) = (Request::default(), Request::extras("group=member"));
    let guests_permit = lead(&store, &key, &guests);
    let members_permit = lead(&store, &key, &members);
    let _ = (follow(&store, &key, &guests), follow(&store, &key, &members));
    drop((guests_permit, members_permit));
}

#[test]
fn a_fill_alone_is_not_joined() {
    let store = small();
    let key = store.key("http://example.org/");
    let alone = store.fill_alone(&key, Request::default().shared());
    drop(lead(&store, &key, &Request::default()));
    drop(alone);
    assert_eq!(store.usage().fills, 0);
}

#[test]
fn a_fill_that_breaks_off_fails_for_all_its_readers() {
    let store = small();
    let key = store.key("http://example.org/");
    for aborted in [true, false] {
        let (mut writer, mut reader) = lead(&store, &key, &Request::default()).storing(head());
        push(&mut writer, text("half"));
        let follower = follow(&store, &key, &Request::default());
        let Some(Announced::Storing(mut along)) = now_or_never(follower.head()) else { panic!("not storing") };
        if aborted {
            writer.abort(error("closed early"));
        } else {
            drop(writer);
        }
        for reader in [&mut reader, &mut along] {
            let (got, end) = read(reader);
            assert_eq!(got, "half");
            let Poll::Ready(Some(error)) = end else { panic!("no error: {end:?}") };
            let expected = if aborted { "closed early".to_owned() } else { FillAborted::Dropped.to_string() };
            assert_eq!(error.to_string(), expected);
            assert!(matches!(read(reader), (got, Poll::Ready(None)) if got.is_empty()));
        }
        assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "miss");
    }
}

#[test]
fn what_was_stored_since_the_lookup_is_handed_out() {
    let store = small();
    let key = store.key("http://example.org/");
    let request = Request::default();
    assert_eq!(looked_up(&store, &key, &request, NOW), "miss");
    let stored = fill(&store, &key, &request, head(), "stored");
    // Between its lookup and its turn another request's fill has begun and ended.
    let Turn::Follow(follower) = store.join_after(&key, request.clone().shared(), None) else { panic!("leads") };
    assert_eq!(told(now_or_never(follower.head())), "ready stored");
    // What it has seen itself is no news, nor what has become stale since.
    assert!(matches!(store.join_after(&key, request.clone().shared(), Some(&stored)), Turn::Lead(_)));
    store.invalidate(&Invalidation::All, Hardness::Soft);
    assert!(matches!(store.join_after(&key, request.shared(), None), Turn::Lead(_)));
}

#[test]
fn a_request_finds_the_fill_or_what_it_stored() {
    // Threads that look up and join while others fill: in all, one fetch.
    let store = small();
    let key = store.key("http://example.org/");
    for round in 0..50 {
        let fetches = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if let Lookup::Found { .. } = store.lookup(&key, &Request::default(), NOW) {
                        return;
                    }
                    if let Turn::Lead(permit) = store.join_after(&key, Request::default().shared(), None) {
                        fetches.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let (mut writer, _reader) = permit.storing(head());
                        push(&mut writer, text("body"));
                        writer.finish(NOW).unwrap();
                    }
                });
            }
        });
        assert_eq!(fetches.into_inner(), 1, "round {round}");
        store.invalidate(&Invalidation::Key(key.clone()), Hardness::Hard);
    }
}

#[test]
fn threads_that_fill_purge_and_sweep_never_find_what_was_purged() {
    let store = small();
    let key = store.key("http://example.org/");
    let tag = Invalidation::Tag("tag".to_owned());
    std::thread::scope(|scope| {
        let filler = || {
            for _ in 0..500 {
                let began = store.sequence();
                let permit = store.fill_alone(&key, Request::default().shared());
                assert!(permit.began() >= began);
                let head = Head { tags: vec!["tag".to_owned()], ..head() };
                let (writer, _reader) = permit.storing(head);
                let _ = writer.finish(NOW);
            }
        };
        scope.spawn(filler);
        scope.spawn(filler);
        scope.spawn(|| {
            for _ in 0..500 {
                let purged = store.invalidate(&tag, Hardness::Hard).sequence;
                if let Lookup::Found { response, .. } = store.lookup(&key, &Request::default(), NOW) {
                    assert!(response.began() >= Sequence(purged), "{response:?} was purged by {purged}");
                }
            }
        });
        scope.spawn(|| (0..500).for_each(|_| store.sweep()));
    });
    store.sweep();
    assert_eq!(store.usage().log_length, 0);
}
