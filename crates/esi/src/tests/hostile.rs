//! Input made to cost much. [`super::pieces`] checks for each that work, held bytes and weight are linear or
//! limited; here they are given enough to make anything quadratic never end.

use bytes::Bytes;

use super::{Limits, Piece, pieces};

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
