//! The ESI parser gives the same at every chunk split, within its bounds of work and memory.
//!
//! Input: a line with the lengths of the chunks, `0` for 1 byte, `1` for 2, and so on through the bytes, over and over; then the document.

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use copal_esi::{Include, Limits, Parser, Piece, Warning, tree};
use copal_fuzz::first_line;
use libfuzzer_sys::fuzz_target;

/// The longest beginning of a marker that may be held back is `<!--esi--`, with the byte that decides.
const MARKER: usize = 10;

/// What a document gives, in a form that does not show where it was split.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    text: Vec<u8>,
    /// Each include with the length of the text before it.
    includes: Vec<(usize, Arc<Include>)>,
    /// Each block with the length of the text before it, of that in it, and its elements.
    blocks: Vec<(usize, usize, String)>,
    warnings: Vec<Warning>,
    suppressed_warnings: u64,
    dropped_includes: usize,
    saw_esi: bool,
}

impl Read {
    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => {
                assert!(!text.is_empty(), "an empty piece");
                self.text.extend_from_slice(&text);
            }
            Piece::Include(include) => self.includes.push((self.text.len(), include)),
            // Text within is cut as the chunks were, so only its length counts.
            Piece::Block(_) => {
                let tree = tree(std::slice::from_ref(&piece)).to_string();
                let elements = tree.lines().filter(|line| !line.trim_start().starts_with("text, "));
                self.blocks.push((self.text.len(), piece.text_length(), elements.collect::<Vec<_>>().join("\n")));
            }
        }
    }
}

fn read(limits: Limits, chunks: impl IntoIterator<Item = Bytes>) -> Read {
    let (mut parser, mut pieces, mut read) = (Parser::new(limits), Vec::new(), Read::default());
    let (mut length, mut count) = (0, 0);
    for chunk in chunks {
        length += chunk.len();
        count += 1;
        parser.push(chunk, &mut pieces);
        let most = limits.max_tag_bytes + limits.max_remove_bytes + limits.max_container_bytes + MARKER;
        assert!(parser.held() <= most, "holds {}", parser.held());
    }
    parser.finish(&mut pieces);
    assert_eq!(parser.held(), 0, "held after the end");
    // The same bound as in the crate's own tests: at most six looks at a byte, and at each chunk's start a marker again.
    let (work, most) = (parser.work(), 6 * length + 2 * MARKER * count + 64);
    assert!(work <= most as u64, "{work} bytes looked at, of {length} in {count} chunks");

    pieces.into_iter().for_each(|piece| read.add(piece));
    read.warnings = parser.warnings();
    read.suppressed_warnings = parser.suppressed_warnings();
    read.dropped_includes = parser.dropped_includes();
    read.saw_esi = parser.saw_esi();
    assert!(read.includes.len() <= limits.max_includes && read.warnings.len() <= limits.max_warnings);
    read
}

/// The document in chunks, each with an empty one behind it, which must change nothing.
fn chunks(lengths: &[u8], document: &Bytes) -> Vec<Bytes> {
    let (mut chunks, mut rest) = (Vec::new(), document.clone());
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let length = 1 + usize::from(length.wrapping_sub(b'0'));
        chunks.extend([rest.split_to(length.min(rest.len())), Bytes::new()]);
    }
    chunks.push(rest);
    chunks
}

fuzz_target!(|input: &[u8]| {
    let (lengths, document) = first_line(input);
    let document = Bytes::copy_from_slice(document);
    // With the small limits every one of them is reached by short documents.
    let small = Limits { max_includes: 2, max_tag_bytes: 24, max_remove_bytes: 16, max_warnings: 3, ..Limits::default() };
    for limits in [Limits::default(), small] {
        let whole = read(limits, [document.clone()]);
        assert_eq!(read(limits, chunks(lengths, &document)), whole);
        if !whole.saw_esi {
            assert_eq!(whole.text, document);
        }
    }
});
