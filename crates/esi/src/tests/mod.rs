//! The parser and the plan from outside, basic before complex.

mod assembly;
mod broken;
mod hostile;
mod injection;
mod language;
mod spec;
mod specification;
mod splits;

use bytes::Bytes;

use crate::block::Kind;
use crate::scanner::DECIDING;
use crate::{Limits, Parser, Piece, weight};

/// What a document gives, in a form that two runs can be compared by and a table can state.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    /// The text, with includes as `{src}`, `{src|alt}`, `{src!}` with `onerror="continue"`.
    out: String,
    /// `line:column word`.
    warnings: Vec<String>,
    saw_esi: bool,
    dropped_includes: usize,
}

impl Read {
    fn words(&self) -> Vec<&str> {
        self.warnings.iter().filter_map(|warning| warning.split_once(' ')).map(|(_, word)| word).collect()
    }
}

/// Runs the parser over `chunks` and checks what holds for every document.
fn pieces(limits: Limits, chunks: impl IntoIterator<Item = Bytes>) -> (Vec<Piece>, Parser) {
    let (mut parser, mut pieces) = (Parser::new(limits), Vec::new());
    let (mut length, mut count) = (0, 0);
    for chunk in chunks {
        length += chunk.len();
        count += 1;
        parser.push(chunk, &mut pieces);
        let most = limits.max_tag_bytes * 2 + limits.max_remove_bytes + limits.max_container_bytes + DECIDING;
        assert!(parser.held() <= most, "{} bytes held", parser.held());
    }
    parser.finish(&mut pieces);
    assert_eq!(parser.held(), 0);
    // A byte is read once in remove, at most three times in tags and once as text, with what a search adds for
    // each candidate; and at the start of a chunk an undecided prefix again.
    let (work, most) = (parser.work(), 6 * length + 2 * DECIDING * count + 64);
    assert!(work <= most as u64, "{work} bytes looked at of {length} in {count} chunks");
    // A limited number of includes, at most one held prefix a chunk, and no shreds of text.
    let (weight, most) = (weight(&pieces), 4 * length + 256 * limits.max_includes + 256 * count);
    assert!(weight <= most, "weight {weight} of {length} bytes in {count} chunks");
    let is_empty = |piece: &Piece| matches!(piece, Piece::Text(text) if text.is_empty());
    assert!(!pieces.iter().any(is_empty));
    (pieces, parser)
}

fn read_chunks(limits: Limits, chunks: impl IntoIterator<Item = Bytes>) -> Read {
    let (pieces, mut parser) = pieces(limits, chunks);
    let mut out = Vec::new();
    write(&pieces, &mut out);
    Read {
        out: out
            .escape_ascii()
            .to_string()
            .replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace("\\'", "'")
            .replace("\\\"", "\""),
        warnings: parser
            .warnings()
            .iter()
            .map(|warning| format!("{}:{} {}", warning.line, warning.column, warning.message.as_str()))
            .collect(),
        saw_esi: parser.saw_esi(),
        dropped_includes: parser.dropped_includes(),
    }
}

/// Everything that stands in the pieces, whatever would be chosen.
fn write(pieces: &[Piece], out: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Include(include) => {
                let alt = include.alt.as_ref().map(|alt| format!("|{alt}")).unwrap_or_default();
                let onerror = if include.continue_on_error { "!" } else { "" };
                out.extend_from_slice(format!("{{{}{alt}{onerror}}}", include.src).as_bytes());
            }
            Piece::Block(block) => match &block.kind {
                Kind::Vars(_) => out.extend_from_slice(b"{vars}"),
                Kind::Choose { branches, otherwise } => {
                    branches.iter().for_each(|branch| write(&branch.pieces, out));
                    write(otherwise, out);
                }
                Kind::Try { attempt, except } => {
                    write(attempt, out);
                    write(except, out);
                }
                Kind::Inline { body, .. } => write(body, out),
                Kind::Assign { .. } | Kind::Break | Kind::Return(_) => {}
                Kind::Foreach { body, .. } => write(body, out),
                Kind::Function { body, .. } => write(&body.pieces, out),
            },
        }
    }
}

fn read_with(limits: Limits, document: impl AsRef<[u8]>) -> Read {
    read_chunks(limits, [Bytes::copy_from_slice(document.as_ref())])
}

fn read(document: impl AsRef<[u8]>) -> Read {
    read_with(Limits::default(), document)
}

/// Cuts a document at the given places.
fn cut(document: &[u8], places: &[usize]) -> Vec<Bytes> {
    let mut places: Vec<_> = places.iter().map(|place| place % (document.len() + 1)).collect();
    places.sort_unstable();
    let mut chunks = Vec::new();
    let mut from = 0;
    for to in places.into_iter().chain([document.len()]) {
        chunks.push(Bytes::copy_from_slice(&document[from..to]));
        from = to;
    }
    chunks
}
