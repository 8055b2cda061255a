//! The plan: order, concurrency, read-ahead, limits.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{FragmentId, Include, Next, Piece, Plan};

fn text(text: &str) -> Piece {
    Piece::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn include(src: &str) -> Piece {
    let src = src.into();
    let (options, references) = (None, None);
    Piece::Include(Arc::new(Include {
        src,
        alt: None,
        continue_on_error: false,
        line: 1,
        column: 1,
        options,
        references,
    }))
}

fn plan(max_concurrent: usize, pieces: &[Piece]) -> Plan {
    let mut plan = Plan::new(max_concurrent, 100);
    pieces.iter().cloned().for_each(|piece| plan.add(piece));
    plan.end();
    plan
}

/// Starts one fragment and gives its id, having checked which one it is.
fn start(plan: &mut Plan, src: &str) -> FragmentId {
    let (id, include) = plan.start_next().expect(src);
    assert_eq!(&*include.src, src);
    id
}

#[test]
fn a_page_without_includes_is_its_text() {
    let mut plan = plan(4, &[text("a"), text(""), text("b")]);
    assert_eq!(plan.start_next(), None);
    assert_eq!(plan.next(), Next::Text("a".into()));
    assert_eq!(plan.next(), Next::Text("b".into()));
    assert_eq!(plan.next(), Next::End);
    assert_eq!(plan.next(), Next::End);
}

#[test]
fn it_waits_for_pieces_until_the_end_is_told() {
    let mut plan = Plan::new(4, 100);
    assert_eq!(plan.next(), Next::Wait);
    plan.add(text("a"));
    assert_eq!(plan.next(), Next::Text("a".into()));
    assert_eq!(plan.next(), Next::Wait);
    plan.end();
    assert_eq!(plan.next(), Next::End);
}

#[test]
fn fragments_start_at_once_and_go_out_in_document_order() {
    let mut plan = plan(4, &[include("/1"), text("a"), include("/2"), text("b")]);
    let one = start(&mut plan, "/1");
    let two = start(&mut plan, "/2");
    assert_eq!(plan.start_next(), None);
    // The second is there first, and waits for its place.
    plan.finished(two);
    assert_eq!(plan.next(), Next::Fragment(one));
    assert_eq!(plan.next(), Next::Fragment(one), "until it is done");
    plan.finished(one);
    plan.done(one);
    assert_eq!(plan.next(), Next::Text("a".into()));
    assert_eq!(plan.next(), Next::Fragment(two));
    plan.done(two);
    assert_eq!(plan.next(), Next::Text("b".into()));
    assert_eq!(plan.next(), Next::End);
}

#[test]
fn no_more_than_the_limit_run_at_a_time() {
    let mut plan = plan(2, &[include("/1"), include("/2"), include("/3"), include("/4")]);
    let one = start(&mut plan, "/1");
    let two = start(&mut plan, "/2");
    assert_eq!(plan.start_next(), None);
    assert_eq!(plan.running(), 2);
    plan.finished(two);
    plan.finished(two);
    let three = start(&mut plan, "/3");
    assert_eq!(plan.start_next(), None, "a slot is freed once");
    plan.done(one);
    start(&mut plan, "/4");
    assert_eq!(plan.next(), Next::Fragment(two));
    plan.done(two);
    assert_eq!(plan.next(), Next::Fragment(three));
}

#[test]
fn a_fragment_that_is_not_started_is_not_put_out() {
    let mut plan = plan(0, &[include("/1"), include("/2")]);
    assert_eq!(plan.next(), Next::Wait);
    let one = start(&mut plan, "/1");
    assert_eq!(plan.next(), Next::Fragment(one));
    plan.done(one);
    assert_eq!(plan.next(), Next::Wait);
    let two = start(&mut plan, "/2");
    plan.done(one);
    assert_eq!(plan.next(), Next::Fragment(two), "done is for one fragment only");
}

#[test]
fn done_before_its_turn_only_frees_the_slot() {
    let mut plan = plan(1, &[text("a"), include("/1"), include("/2")]);
    let one = start(&mut plan, "/1");
    plan.done(one);
    start(&mut plan, "/2");
    assert_eq!(plan.next(), Next::Text("a".into()));
    assert_eq!(plan.next(), Next::Fragment(one));
}

#[test]
fn it_reads_ahead_up_to_its_limit() {
    let mut plan = Plan::new(4, 100).with_read_ahead(1000);
    plan.add(include("/slow"));
    let slow = start(&mut plan, "/slow");
    let mut added = 0;
    while plan.wants_more() {
        plan.add(text(&"x".repeat(100)));
        added += 1;
    }
    assert!((5..=10).contains(&added), "{added} pieces of 100 bytes for 1000");
    plan.done(slow);
    assert!(matches!(plan.next(), Next::Text(_)));
    assert!(matches!(plan.next(), Next::Text(_)));
    assert!(plan.wants_more());
    plan.end();
    assert!(!plan.wants_more());
}

#[test]
fn includes_beyond_the_limit_are_dropped_and_counted() {
    let mut plan = Plan::new(4, 1);
    for piece in [include("/1"), text("a"), include("/2"), text("b"), include("/3")] {
        plan.add(piece);
    }
    plan.end();
    assert_eq!(plan.dropped(), 2);
    let one = start(&mut plan, "/1");
    assert_eq!(plan.start_next(), None);
    plan.done(one);
    assert_eq!(plan.next(), Next::Text("a".into()));
    assert_eq!(plan.next(), Next::Text("b".into()));
    assert_eq!(plan.next(), Next::End);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Whatever finishes when, everything goes out in document order and the plan comes to its end.
    #[test]
    fn any_order_of_finishing_gives_the_document(
        document in vec(any::<bool>(), 0..40),
        max_concurrent in 0..5_usize,
        finishes in vec(any::<usize>(), 200),
    ) {
        let names: Vec<_> = (0..document.len()).map(|n| n.to_string()).collect();
        let mut coming = document.iter().zip(&names).map(|(is_text, name)| if *is_text { text(name) } else { include(name) });
        let mut plan = Plan::new(max_concurrent, 100).with_read_ahead(200);
        let (mut running, mut started, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for finish in finishes.into_iter().cycle() {
            while plan.wants_more() {
                match coming.next() {
                    Some(piece) => plan.add(piece),
                    None => plan.end(),
                }
            }
            while let Some((id, include)) = plan.start_next() {
                prop_assert!(started.last().is_none_or(|(last, _)| *last < id), "started in document order");
                started.push((id, include));
                running.push(id);
            }
            prop_assert!(running.len() <= max_concurrent.max(1));
            prop_assert_eq!(running.len(), plan.running());
            match plan.next() {
                Next::Text(text) => out.push(String::from_utf8_lossy(&text).into_owned()),
                Next::Fragment(id) if running.contains(&id) && finish % 2 == 0 => {
                    // Its body is still coming; some other one is faster.
                    let faster = running.remove(finish % running.len());
                    plan.finished(faster);
                }
                Next::Fragment(id) => {
                    running.retain(|running| *running != id);
                    out.extend(started.iter().find(|(started, _)| *started == id).map(|(_, include)| include.src.to_string()));
                    plan.done(id);
                }
                Next::Wait => {
                    prop_assert!(!running.is_empty(), "the plan waits for itself");
                    plan.finished(running.remove(finish % running.len()));
                }
                Next::End => break,
            }
        }
        prop_assert_eq!(out, names);
    }
}
