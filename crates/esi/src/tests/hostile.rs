//! Input made to cost much. [`super::pieces`] checks for each that work, held bytes and weight are linear or
//! limited; here they are given enough to make anything quadratic never end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Limits, Piece, pieces};
use crate::{Dialect, Escape, Next, NoVariables, Parser, Plan, Setting};

const MEBIBYTE: usize = 1024 * 1024;
/// Ten mebibytes in a second where the code is optimised. Where it is not, and others are at work besides, a tenth in twenty seconds:
/// what is not linear takes longer.
const TEN: usize = if cfg!(debug_assertions) { MEBIBYTE } else { 10 * MEBIBYTE };
const MOST: std::time::Duration = std::time::Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

fn repeated(unit: &str, bytes: usize) -> Bytes {
    unit.repeat(bytes / unit.len()).into()
}

fn text_length(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.len() } else { 0 }).sum()
}

#[test]
fn ten_mebibytes_of_openings() {
    for (unit, text) in
        [("<", 10 * MEBIBYTE), ("<esi:", 0), ("</esi:", 0), ("<!--esi ", 10 * MEBIBYTE / 8), ("<esi:include src=\"", 0)]
    {
        let (pieces, mut parser) = pieces(Limits::default(), [repeated(unit, 10 * MEBIBYTE)]);
        assert_eq!(text_length(&pieces), text, "{unit}");
        assert_eq!(parser.saw_esi(), unit != "<");
        assert!(parser.warnings().len() <= Limits::default().max_warnings);
    }
}

#[test]
fn ten_mebibytes_of_anything_are_read_in_less_than_a_second() {
    let closed = "<esi:choose><esi:when test=\"1==1\">a</esi:when></esi:choose>";
    for unit in [
        "<esi:",
        "</esi:",
        "<!--esi ",
        "<esi:include src=\"",
        "<esi:include src='/a'/>",
        "<esi:remove>",
        "<esi:choose>",
        "<esi:choose><esi:when test=\"1==1\">",
        "<esi:try><esi:attempt>",
        "<esi:vars>$(",
        "<esi:vars>$(A|'",
        "<esi:when test=\"((((\">",
        closed,
    ] {
        let document = repeated(unit, TEN);
        #[expect(clippy::disallowed_methods, reason = "the one thing that is measured")]
        let began = std::time::Instant::now();
        let (mut parser, mut pieces) = (crate::Parser::default(), Vec::new());
        parser.push(document, &mut pieces);
        parser.finish(&mut pieces);
        let took = began.elapsed();
        println!("{unit}: {} ms, {} pieces", took.as_millis(), pieces.len());
        assert!(took < MOST, "{unit}: {took:?}");
    }
}

#[test]
fn repeated_traps() {
    // With these, as much is read again as can be: every limit is reached thousands of times.
    let small = Limits { max_tag_bytes: 100, max_remove_bytes: 100, ..Limits::default() };
    for unit in [
        "<esi:remove>",
        "<esi:remove>x</esi:remov>",
        "<!--esi <esi:remove>-->",
        "<esi:a b=\"'<esi:a b='\"",
        "<esi:a \" \"<esi:a ' '",
        "<esi:a \"><esi:a '>",
        "<esi:include src=\"<\">",
        "<esi:comment/>a",
        "<!--esi-->a",
        "<esi:x y=\"=\"",
        "<!--esi -",
        "esi",
        "<esi:include src='/a'/>",
    ] {
        for prefix in ["", "<!--esi ", "<esi:remove>", "<esi:a b=\"", "<esi:a b=\"'"] {
            let document = [prefix.as_bytes(), &repeated(unit, MEBIBYTE / 8)].concat();
            for limits in [Limits::default(), small] {
                pieces(limits, [document.clone().into()]);
                let chunks = document[..document.len() / 8].chunks(3);
                pieces(limits, chunks.map(Bytes::copy_from_slice));
            }
        }
    }
}

#[test]
fn one_long_tag_or_remove_in_single_bytes() {
    for start in ["<esi:include src=\"", "<esi:include src='/a' ", "<esi:remove>", "</esi:remove"] {
        let document = [start.as_bytes(), &repeated("a ", MEBIBYTE / 2)].concat();
        let (pieces, _) = pieces(Limits::default(), document.iter().map(|byte| Bytes::copy_from_slice(&[*byte])));
        assert!(text_length(&pieces) >= MEBIBYTE / 2 - 1, "{start}");
    }
}

#[test]
fn the_page_after_a_trap_is_still_there() {
    let page = "<p>the page</p>".repeat(MEBIBYTE / 64);
    for trap in ["<esi:include src=\"", "<esi:remove>", "<!--esi ", "<esi:comment text='", "<esi:choose>", "</esi:try"]
    {
        let (pieces, _) = pieces(Limits::default(), [Bytes::from(format!("{trap}{page}"))]);
        // At most the first `<p>` was taken for the end of the trap's tag.
        assert!(text_length(&pieces) + 3 >= page.len(), "{trap}");
    }
}

/// Reads a template in the chunks of a socket, runs it, and gives the length of the page and the time that it took.
#[expect(clippy::disallowed_methods, reason = "what hostile input costs in time is what is asked here")]
fn page(document: &Bytes, dialect: Dialect) -> (usize, Duration) {
    let begun = Instant::now();
    let (mut parser, mut pieces) = (Parser::new(Limits::default()).with_dialect(dialect), Vec::new());
    for start in (0..document.len()).step_by(16 * 1024) {
        parser.push(document.slice(start..document.len().min(start + 16 * 1024)), &mut pieces);
    }
    parser.finish(&mut pieces);
    let setting = Setting { variables: Arc::new(NoVariables), escape: Escape::Markup, dialect };
    let mut plan = Plan::new(4, 256).with_setting(setting);
    pieces.into_iter().for_each(|piece| plan.add(piece));
    plan.end();
    let mut length = 0;
    loop {
        while let Some((id, _)) = plan.start_next() {
            plan.failed(id);
        }
        match plan.next() {
            Next::Text(text) => length += text.len(),
            Next::Fragment(id) => plan.done(id),
            Next::Wait => {}
            Next::End => return (length, begun.elapsed()),
        }
    }
}

/// A debug build has less to do and longer to do it, as the machine may be busy; anything quadratic takes minutes all the same.
const SIZE: usize = if cfg!(debug_assertions) { MEBIBYTE } else { 10 * MEBIBYTE };
const SLACK: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

#[test]
fn openings_take_less_than_a_second_for_ten_mebibytes() {
    for unit in ["<esi:", "</esi:", "<!--esi ", "<!--esi", "<esi:include ", "<esi:include src=\""] {
        let document = repeated(unit, SIZE);
        // Best of three: the machine may have other things to do.
        let took = (0..3).map(|_| page(&document, Dialect::Esi10).1).min().unwrap_or_default();
        println!("{unit}: {took:?}");
        assert!(took < Duration::from_secs(1) * SLACK, "{unit}: {took:?}");
    }
}

#[test]
fn nothing_takes_more_than_its_length() {
    let numbered = |before: &str, after: &str| {
        let mut document = String::new();
        let mut number = 0;
        while document.len() < SIZE {
            document.push_str(&format!("{before}{number}{after}"));
            number += 1;
        }
        Bytes::from(document)
    };
    let within = |start: &str, unit: &str, end: &str| {
        Bytes::from([start.as_bytes(), &repeated(unit, SIZE), end.as_bytes()].concat())
    };
    let shapes = [
        ("substitutions that never end", within("<esi:vars>", "$(", "</esi:vars>")),
        ("keys that never end", within("<esi:vars>", "$(a{", "</esi:vars>")),
        ("defaults that never end", within("<esi:vars>", "$(a|'", "</esi:vars>")),
        ("calls that never end", within("<esi:vars>", "$f(", "</esi:vars>")),
        ("substitutions in what is not UTF-8", {
            let text = within("<esi:vars>\u{e9}", "$(", "</esi:vars>");
            Bytes::from(text.iter().copied().filter(|byte| *byte != 0xa9).collect::<Vec<_>>())
        }),
        ("many small vars", within("", "<esi:vars>$(A)</esi:vars>", "")),
        ("one variable after the other", within("<esi:vars>", "$(A)", "</esi:vars>")),
        ("choices within choices", within("", "<esi:choose><esi:when test='1==1'>", "")),
        ("attempts within attempts", within("", "<esi:try><esi:attempt>a", "")),
        ("branches of one choice", within("<esi:choose>", "<esi:when test='1==2'>a</esi:when>", "</esi:choose>")),
        (
            "branches with includes that fail",
            within(
                "",
                "<esi:try><esi:attempt><esi:include src='/a'/></esi:attempt><esi:except>b</esi:except></esi:try>",
                "",
            ),
        ),
        ("an attribute", within("<esi:include src=\"", "a", "\"/>")),
        ("attributes", within("<esi:include ", "a='b' ", "/>")),
        ("references in an attribute", within("<esi:include src=\"", "&amp;&#x41;", "\"/>")),
        (
            "tests as long as a tag may be",
            within(
                "",
                &format!("<esi:choose><esi:when test=\"{}1==1\">a</esi:when></esi:choose>", "1==1&".repeat(3000)),
                "",
            ),
        ),
        (
            "parentheses",
            within("", &format!("<esi:choose><esi:when test=\"{}\">a</esi:when></esi:choose>", "(".repeat(15_000)), ""),
        ),
        (
            "negations",
            within(
                "",
                &format!("<esi:choose><esi:when test=\"{}1==1\">a</esi:when></esi:choose>", "!".repeat(15_000)),
                "",
            ),
        ),
        ("inline fragments", numbered("<esi:inline name='/", "'>a</esi:inline>")),
        (
            "inline fragments that are included",
            numbered("<esi:inline name='/a'>x</esi:inline><esi:include src='/a'/>", ""),
        ),
        ("names", numbered("<esi:assign name='a", "' value='1'/>")),
        ("loops", within("<esi:foreach collection='[1..1000]'>", "<esi:vars>$(item)</esi:vars>", "</esi:foreach>")),
        ("removes", within("", "<esi:remove>a", "")),
        ("raw text", within("", "<esi:text>a", "")),
    ];
    for (name, document) in shapes {
        for dialect in [Dialect::Esi10, Dialect::Akamai] {
            let (length, took) = page(&document, dialect);
            println!("{name}, {dialect:?}: {length} bytes, {took:?}");
            assert!(took < Duration::from_secs(3) * SLACK, "{name}, {dialect:?}: {took:?}");
            assert!(length <= 2 * document.len() + 64 * MEBIBYTE, "{name}, {dialect:?}: {length} bytes");
        }
    }
}
