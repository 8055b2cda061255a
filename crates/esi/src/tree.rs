//! A template as a tree that people can read.

use std::fmt;

use crate::block::{Assigned, Kind};
use crate::template::{Include, Piece};

/// The tree of a template: one line a part, children indented, each ESI element with its line in the document.
#[must_use]
pub fn tree(pieces: &[Piece]) -> impl fmt::Display + '_ {
    Tree(pieces)
}

struct Tree<'a>(&'a [Piece]);

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pieces(f, self.0, 0)
    }
}

/// Elements within each other that are shown; the parser's own limit is no larger.
const MAX_DEPTH: usize = 40;

fn write_pieces(f: &mut fmt::Formatter<'_>, pieces: &[Piece], depth: usize) -> fmt::Result {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    for piece in pieces {
        match piece {
            Piece::Text(text) => line(f, depth, format_args!("text, {} bytes", text.len()))?,
            Piece::Include(include) => write_include(f, include, depth)?,
            Piece::Block(block) => write_kind(f, &block.kind, block.line, depth)?,
        }
    }
    Ok(())
}

fn write_include(f: &mut fmt::Formatter<'_>, include: &Include, depth: usize) -> fmt::Result {
    let alt = include.alt.as_deref().map(|alt| format!(", alt {alt}")).unwrap_or_default();
    let on_error = if include.continue_on_error { ", onerror continue" } else { "" };
    let variables = if include.has_variables() { ", with variables" } else { "" };
    let options = include.options.as_deref();
    let post = if options.is_some_and(|options| options.method.is_some()) { ", by POST" } else { "" };
    line(f, depth, format_args!("include {}{post}{alt}{on_error}{variables} (line {})", include.src, include.line))
}

fn write_kind(f: &mut fmt::Formatter<'_>, kind: &Kind, at: u32, depth: usize) -> fmt::Result {
    let named = |f: &mut fmt::Formatter<'_>, name: &str, pieces: &[Piece]| {
        line(f, depth, format_args!("{name} (line {at})"))?;
        write_pieces(f, pieces, depth + 1)
    };
    match kind {
        Kind::Vars(_) => line(f, depth, format_args!("text with variables (line {at})")),
        Kind::Choose { branches, otherwise } => {
            line(f, depth, format_args!("choose (line {at})"))?;
            for branch in branches {
                let never = if branch.test.is_none() { ", never: its test cannot be read" } else { "" };
                line(f, depth + 1, format_args!("when{never}"))?;
                write_pieces(f, &branch.pieces, depth + 2)?;
            }
            if !otherwise.is_empty() {
                line(f, depth + 1, format_args!("otherwise"))?;
                write_pieces(f, otherwise, depth + 2)?;
            }
            Ok(())
        }
        Kind::Try { attempt, except } => {
            line(f, depth, format_args!("try (line {at})"))?;
            line(f, depth + 1, format_args!("attempt"))?;
            write_pieces(f, attempt, depth + 2)?;
            line(f, depth + 1, format_args!("except"))?;
            write_pieces(f, except, depth + 2)
        }
        Kind::Inline { name, body, .. } => named(f, &format!("inline {name}"), body),
        Kind::Assign { name, value, .. } => match value {
            Assigned::Expression(_) => line(f, depth, format_args!("assign {name} (line {at})")),
            Assigned::Content(pieces) => named(f, &format!("assign {name}"), pieces),
        },
        Kind::Foreach { item, body, .. } => named(f, &format!("foreach {item}"), body),
        Kind::Break => line(f, depth, format_args!("break (line {at})")),
        Kind::Function { name, body } => named(f, &format!("function {name}"), &body.pieces),
        Kind::Return(_) => line(f, depth, format_args!("return (line {at})")),
    }
}

fn line(f: &mut fmt::Formatter<'_>, depth: usize, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{:indent$}{text}", "", indent = depth * 2)
}
