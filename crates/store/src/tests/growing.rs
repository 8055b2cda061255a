//! The growing body: kept while it may be stored, passed on in step with its readers when not.

use proptest::prelude::*;

use crate::growing::WINDOW;

use super::*;

const KIB: usize = 1 << 10;

fn limited(max_body: u64) -> Arc<Store> {
    Store::new(StoreSettings { max_body, ..StoreSettings::default() })
}

fn storing(store: &Arc<Store>, head: Head) -> (FillWriter, FillReader) {
    lead(store, &store.key("http://example.org/"), &Request::default()).storing(head)
}

fn chunk(length: usize) -> Piece {
    text(vec![b'a'; length])
}

#[test]
fn a_slow_reader_slows_nobody_while_the_body_may_be_stored() {
    let store = limited(8 << 20);
    let (mut writer, mut slow) = storing(&store, head());
    let key = store.key("http://example.org/");
    let Some(Announced::Storing(mut quick)) = now_or_never(follow(&store, &key, &Request::default()).head()) else {
        panic!("not storing")
    };
    for _ in 0..64 {
        push(&mut writer, chunk(64 * KIB));
        assert_eq!(read(&mut quick).0.len(), 64 * KIB);
    }
    assert_eq!(store.usage().filling_bytes, 4 << 20);
    let response = writer.finish(NOW).unwrap();
    // What is stored is held once: the slow reader goes on in it.
    assert_eq!((response.body.length, store.usage().filling_bytes), (4 << 20, 0));
    let (got, end) = read(&mut slow);
    assert_eq!(got.len(), 4 << 20);
    assert!(matches!(end, Poll::Ready(None)));
}

#[test]
fn a_body_that_nobody_reads_is_stored_all_the_same() {
    let store = limited(8 << 20);
    let (mut writer, reader) = storing(&store, head());
    drop(reader);
    push(&mut writer, text("body"));
    assert_eq!(shown(&writer.finish(NOW).unwrap()), "body");
}

#[test]
fn a_body_that_outgrows_the_limit_is_passed_on_with_flat_memory() {
    let store = limited(512 << 10);
    let key = store.key("http://example.org/");
    let (mut writer, mut slow) = storing(&store, head());
    let Some(Announced::Storing(mut quick)) = now_or_never(follow(&store, &key, &Request::default()).head()) else {
        panic!("not storing")
    };
    let mut read_quick = 0;
    for number in 0..1024 {
        assert_eq!(now_or_never(writer.push(chunk(64 * KIB))), Some(Ok(())), "chunk {number}");
        assert_eq!(writer.may_store(), number < 8);
        read_quick += read(&mut quick).0.len();
        if number % 8 == 7 {
            assert_eq!(read(&mut slow).0.len(), 512 * KIB);
        }
        assert!(store.usage().filling_bytes <= WINDOW, "{:?}", store.usage());
    }
    assert_eq!(read_quick, 64 << 20);
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::TooBig);
    assert_eq!(looked_up(&store, &key, &Request::default(), NOW), "miss");
    for reader in [&mut slow, &mut quick] {
        assert!(matches!(read(reader), (rest, Poll::Ready(None)) if rest.is_empty()));
    }
    assert_eq!(store.usage().filling_bytes, 0);
}

#[test]
fn nobody_new_joins_a_body_that_is_passed_on() {
    let store = limited(10);
    let key = store.key("http://example.org/");
    let (mut writer, mut reader) = storing(&store, head());
    push(&mut writer, text("0123456789"));
    let waiting = follow(&store, &key, &Request::default());
    push(&mut writer, text("a"));
    drop(lead(&store, &key, &Request::default()));
    // It joined before, and asks only now: it goes on alone.
    assert!(matches!(now_or_never(waiting.head()), Some(Announced::NotStored)));
    let mut clone = reader.clone();
    assert!(matches!(read(&mut clone), (got, Poll::Ready(Some(_))) if got.is_empty()));
    assert_eq!(read(&mut reader).0, "0123456789a");
}

#[test]
fn a_clone_starts_at_the_beginning() {
    let store = limited(8 << 20);
    let (mut writer, mut reader) = storing(&store, head());
    push(&mut writer, text("body"));
    assert_eq!(read(&mut reader).0, "body");
    assert_eq!(read(&mut reader.clone()).0, "body");
    writer.finish(NOW).unwrap();
    assert_eq!(read(&mut reader.clone()).0, "body");
}

#[tokio::test(start_paused = true)]
async fn the_writer_waits_for_the_slowest_reader_of_a_body_that_is_passed_on() {
    let store = limited(10);
    let long = Head { length: Some(100 << 20), ..head() };
    let (mut writer, mut reader) = storing(&store, long);
    assert!(!writer.may_store());
    for _ in 0..16 {
        push(&mut writer, chunk(64 * KIB));
    }
    let waiting = tokio::spawn(async move {
        writer.push(chunk(64 * KIB)).await.unwrap();
        writer
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert!(reader.next().await.unwrap().is_ok());
    let mut writer = soon(waiting).await.unwrap();

    // With nobody left the origin's connection may be given up.
    let waiting = tokio::spawn(async move { writer.push(chunk(64 * KIB)).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(reader);
    assert_eq!(soon(waiting).await.unwrap(), Err(NoReaders));
    assert_eq!(store.usage().filling_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_frees_what_only_it_awaited() {
    let store = limited(512 << 10);
    let key = store.key("http://example.org/");
    let (mut writer, mut quick) = storing(&store, head());
    let Some(Announced::Storing(slow)) = now_or_never(follow(&store, &key, &Request::default()).head()) else {
        panic!("not storing")
    };
    for _ in 0..16 {
        push(&mut writer, chunk(64 * KIB));
        assert_eq!(read(&mut quick).0.len(), 64 * KIB);
    }
    assert_eq!(store.usage().filling_bytes, WINDOW);
    assert_eq!(now_or_never(writer.push(chunk(64 * KIB))), None);
    assert_eq!(read(&mut quick).0.len(), 64 * KIB);
    drop(slow);
    assert_eq!(store.usage().filling_bytes, 0);
    push(&mut writer, text("end"));
    assert_eq!(read(&mut quick).0, "end");
    drop(quick);
    assert_eq!(now_or_never(writer.push(text("more"))), Some(Err(NoReaders)));
}

#[test]
fn all_growing_bodies_share_a_quarter_of_the_memory() {
    let store = Store::new(StoreSettings { memory: 4 << 20, ..StoreSettings::default() });
    let fills: Vec<_> = (0..4)
        .map(|number| {
            let key = store.key(format!("http://example.org/{number}"));
            let (mut writer, reader) = lead(&store, &key, &Request::default()).storing(head());
            push(&mut writer, chunk(256 * KIB));
            (writer, reader)
        })
        .collect();
    assert_eq!(store.usage().filling_bytes, 1 << 20);
    let (mut writer, _reader) = storing(&store, head());
    push(&mut writer, text("one byte too much"));
    assert!(!writer.may_store());
    drop(fills);
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::TooBig);
}

#[test]
fn the_text_of_blocks_counts_and_a_reader_goes_on_after_them() {
    let store = limited(8 << 20);
    let (mut writer, mut reader) = storing(&store, head());
    push(&mut writer, text("ab"));
    push(&mut writer, block(100 * KIB));
    push(&mut writer, block(0));
    assert_eq!(store.usage().filling_bytes, 100 << 10 | 2);
    // One reader has passed text and both blocks, the other nothing.
    let mut late = reader.clone();
    assert_eq!(read(&mut reader).0, "ab<102400 bytes><0 bytes>");
    push(&mut writer, text("c"));
    push(&mut writer, include("/x"));
    let response = writer.finish(NOW).unwrap();
    assert_eq!(shown(&response), "ab<102400 bytes><0 bytes>c</x>");
    assert_eq!((response.body.template, response.body.length), (true, 100 << 10 | 3));
    assert!(response.weight() > 100 << 10, "{}", response.weight());
    assert_eq!(read(&mut reader).0, "c</x>");
    assert_eq!(read(&mut late).0, "ab<102400 bytes><0 bytes>c</x>");

    let store = limited(64 << 10);
    let (mut writer, _reader) = storing(&store, head());
    push(&mut writer, block(100 * KIB));
    assert_eq!(writer.finish(NOW).unwrap_err(), Discarded::TooBig);
}

#[test]
fn adjacent_text_is_joined_and_long_bodies_in_parts() {
    let store = limited(16 << 20);
    let (mut writer, _reader) = storing(&store, head());
    for piece in [text("a"), text(""), text("b"), include("/x"), include("/y"), text("c"), text("d")] {
        push(&mut writer, piece);
    }
    let response = writer.finish(NOW).unwrap();
    let lengths: Vec<_> = response.body.pieces.iter().map(|piece| matches!(piece, Piece::Text(_))).collect();
    assert_eq!((shown(&response).as_str(), lengths), ("ab</x></y>cd", vec![true, false, false, true]));

    let store = limited(16 << 20);
    let (mut writer, _reader) = storing(&store, head());
    for _ in 0..40 {
        push(&mut writer, chunk(100 * KIB));
    }
    let response = writer.finish(NOW).unwrap();
    let lengths = response.body.pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.len() / KIB,
        Piece::Include(_) | Piece::Block(_) => 0,
    });
    // The first megabyte in one, then the chunks as they came.
    assert_eq!(lengths.collect::<Vec<_>>(), [[1000, 100].as_slice(), &[100; 29]].concat());
}

proptest! {
    /// Whatever is pushed, and wherever readers stand when it is stored or overflows, they read the same.
    #[test]
    fn every_reader_reads_the_whole(
        steps in prop::collection::vec((0..3_u8, 0..40_usize), 1..30),
        reads in prop::collection::vec(0..5_usize, 30),
        max_body in prop::sample::select(vec![50_u64, 200, 1 << 20]),
    ) {
        let store = limited(max_body);
        let key = store.key("http://example.org/");
        let (mut writer, leader) = storing(&store, head());
        let mut readers = vec![(leader, String::new())];
        let mut whole = String::new();
        for ((kind, length), reads) in steps.into_iter().zip(reads) {
            let piece = match kind {
                0 => include(&length.to_string()),
                _ => text("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"[..length].to_owned()),
            };
            show(&piece, &mut whole);
            push(&mut writer, piece);
            if writer.may_store() && length % 7 == 0 {
                let follower = follow(&store, &key, &Request::default());
                let Some(Announced::Storing(reader)) = now_or_never(follower.head()) else { panic!("not storing") };
                readers.push((reader, String::new()));
            }
            let count = readers.len();
            let (reader, got) = &mut readers[length % count];
            for _ in 0..reads {
                if let Poll::Ready(Some(piece)) = reader.poll_next(&mut Context::from_waker(Waker::noop())) {
                    show(&piece.unwrap(), got);
                }
            }
        }
        let may_store = writer.may_store();
        let stored = writer.finish(NOW);
        prop_assert_eq!(may_store, stored.is_ok());
        for (mut reader, mut got) in readers {
            let (rest, end) = read(&mut reader);
            got += &rest;
            prop_assert_eq!(&got, &whole);
            prop_assert!(matches!(end, Poll::Ready(None)));
        }
        if let Ok(response) = stored {
            prop_assert_eq!(shown(&response), whole);
        }
        prop_assert_eq!(store.usage().filling_bytes, 0);
    }
}

/// As a page that includes one long body twice reads it: the second only after the first has ended.
#[tokio::test(start_paused = true)]
async fn a_reader_that_others_wait_for_is_left_behind() {
    let store = limited(512 << 10);
    let key = store.key("http://example.org/");
    let (mut writer, mut first) = storing(&store, head());
    let Some(Announced::Storing(mut second)) = now_or_never(follow(&store, &key, &Request::default()).head()) else {
        panic!("not storing")
    };
    let filling = tokio::spawn(async move {
        for _ in 0..64 {
            writer.push(chunk(64 * KIB)).await.unwrap();
        }
        writer.finish(NOW)
    });
    let mut got = 0;
    while let Some(piece) = first.next().await {
        let Piece::Text(text) = piece.unwrap() else { panic!("no include was put in") };
        got += text.len();
    }
    assert_eq!(got, 4 << 20, "the one that reads gets all of it");
    assert_eq!(filling.await.unwrap().unwrap_err(), Discarded::TooBig);
    let mut last = None;
    while let Some(piece) = second.next().await {
        let broken = piece.is_err();
        last = Some(piece);
        if broken {
            break;
        }
    }
    assert!(matches!(last, Some(Err(_))), "the one left behind is told, and takes nothing cut short for whole");
}
