//! Containers: elements with content that is decided on for each request. What is read within one is kept in its frame
//! until its end tag comes.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Parser, put_joined};
use crate::block::{Assigned, Block, Branch, FunctionBody, Kind};
use crate::expression::{self, Dialect, Expression};
use crate::interpolation::Interpolation;
use crate::position::Position;
use crate::tag::{Element, Tag, decode};
use crate::template::Piece;
use crate::warning::Message;

/// An open container.
#[derive(Debug)]
pub(super) struct Frame {
    element: Element,
    at: Position,
    head: Head,
    /// What has been read in it, in order.
    pub(super) pieces: Vec<Piece>,
    /// Of `choose` and `try`: the branches that have ended, as places in `pieces`.
    spans: Vec<Span>,
}

/// What a start tag says.
#[derive(Debug, Default)]
enum Head {
    #[default]
    Plain,
    When {
        test: Option<Expression>,
        match_name: Option<Arc<str>>,
    },
    Inline {
        name: Box<str>,
    },
    Foreach {
        item: Arc<str>,
        collection: Expression,
    },
    Function {
        name: Box<str>,
    },
    Assign {
        name: Arc<str>,
        key: Option<Expression>,
    },
}

#[derive(Debug)]
struct Span {
    element: Element,
    at: Position,
    head: Head,
    range: Range<usize>,
}

impl Parser {
    /// The start tag of a container.
    pub(super) fn open_container(&mut self, element: Element, tag: &Tag<'_>, at: Position, out: &mut Vec<Piece>) {
        let parent = self.frames.last().map(|frame| frame.element);
        let wanted = match element {
            Element::When | Element::Otherwise => Some(Element::Choose),
            Element::Attempt | Element::Except => Some(Element::Try),
            _ => None,
        };
        if wanted.is_some() && parent != wanted {
            self.warnings.add(at, || Message::Misplaced(element.name()));
            return self.note_open(element, tag);
        }
        if self.frames.len() >= self.limits.max_depth {
            self.warnings.add(at, || Message::TooDeep(element.name()));
            return self.note_open(element, tag);
        }
        let Some(head) = self.head(element, tag, at) else {
            return self.note_open(element, tag);
        };
        self.frames.push(Frame { element, at, head, pieces: Vec::new(), spans: Vec::new() });
        if tag.empty {
            self.end_container(true, out);
        }
    }

    /// A tag that was dropped: its end tag is no stray one.
    fn note_open(&mut self, element: Element, tag: &Tag<'_>) {
        if !tag.empty {
            self.open |= element.bit();
        }
    }

    /// Reads the attributes; none where the element is of no use without them.
    fn head(&mut self, element: Element, tag: &Tag<'_>, at: Position) -> Option<Head> {
        let attributes = tag.attributes();
        let value = |name: &str| {
            let found = attributes.iter().find(|attribute| &*attribute.name == name)?;
            Some(decode(&found.raw).trim_ascii().to_owned()).filter(|value| !value.is_empty())
        };
        let dialect = self.dialect;
        let missing = |parser: &mut Self, name| {
            parser.warnings.add(at, || Message::BadAttribute(element.name(), name));
            None
        };
        Some(match element {
            Element::When => {
                let test = value("test").and_then(|test| expression::expression(&test, dialect));
                if test.is_none() {
                    self.warnings.add(at, || Message::BadTest);
                }
                let match_name = value("matchname").filter(|_| dialect == Dialect::Akamai).map(Arc::from);
                Head::When { test, match_name }
            }
            Element::Inline => {
                let Some(name) = value("name") else { return missing(self, "name") };
                Head::Inline { name: name.into() }
            }
            Element::Foreach => {
                let collection = value("collection").and_then(|text| expression::expression(&text, dialect));
                let Some(collection) = collection else { return missing(self, "collection") };
                let item = value("item").unwrap_or_else(|| "item".to_owned()).into();
                Head::Foreach { item, collection }
            }
            Element::Function => {
                let Some(name) = value("name") else { return missing(self, "name") };
                Head::Function { name: name.into() }
            }
            Element::Assign => {
                let Some((name, key)) = value("name").and_then(|name| target(&name, dialect)) else {
                    return missing(self, "name");
                };
                Head::Assign { name, key }
            }
            _ => Head::Plain,
        })
    }

    /// An end tag: whether a container of this name was open.
    pub(super) fn close_container(&mut self, element: Element, out: &mut Vec<Piece>) -> bool {
        let Some(place) = self.frames.iter().rposition(|frame| frame.element == element) else {
            return false;
        };
        while self.frames.len() > place + 1 {
            self.warn_unclosed();
            self.end_container(false, out);
        }
        self.end_container(true, out);
        true
    }

    fn warn_unclosed(&mut self) {
        if let Some(frame) = self.frames.last() {
            let (at, name) = (frame.at, frame.element.name());
            self.warnings.add(at, || Message::UnclosedContainer(name));
        }
    }

    /// The end of the document ends every container.
    pub(super) fn end_containers(&mut self, out: &mut Vec<Piece>) {
        while !self.frames.is_empty() {
            self.warn_unclosed();
            self.end_container(false, out);
        }
    }

    /// Counts bytes that containers hold. Beyond the limit what decides for itself (`when`, `except`, loops) keeps what it
    /// has and loses the rest, because that must not be seen by everybody; other containers end here.
    pub(super) fn hold(&mut self, bytes: usize, out: &mut Vec<Piece>) {
        self.container_bytes = self.container_bytes.saturating_add(bytes);
        if self.container_bytes <= self.limits.max_container_bytes || self.overfull {
            return;
        }
        if let Some(frame) = self.frames.first() {
            let (at, name) = (frame.at, frame.element.name());
            self.warnings.add(at, || Message::ContainerTooLong(name));
        }
        if self.frames.iter().any(|frame| !matches!(frame.element, Element::Vars | Element::Try | Element::Attempt)) {
            self.overfull = true;
            return;
        }
        while let Some(frame) = self.frames.last() {
            self.open |= frame.element.bit();
            self.end_container(false, out);
        }
    }

    /// Text that stands directly in the innermost container; a branch that has ended takes no more.
    pub(super) fn put_within(&mut self, text: Bytes, out: &mut Vec<Piece>) {
        let length = text.len();
        if let Some(frame) = self.frames.last_mut() {
            match frame.spans.last() {
                Some(span) if span.range.end == frame.pieces.len() => frame.pieces.push(Piece::Text(text)),
                _ => put_joined(text, &mut frame.pieces),
            }
        }
        self.hold(length, out);
    }

    /// Ends the innermost container and hands on what it has come to. What a container without its end tag has besides its
    /// branches stays: it may be the rest of the page.
    fn end_container(&mut self, closed: bool, out: &mut Vec<Piece>) {
        let Some(frame) = self.frames.pop() else { return };
        if self.frames.is_empty() {
            self.container_bytes = 0;
            self.overfull = false;
        }
        let Frame { element, at, head, mut pieces, spans } = frame;
        let line = at.line;
        let strays = match element {
            Element::Choose | Element::Try if !closed => strays(&pieces, &spans),
            _ => Vec::new(),
        };
        let kind = match (element, head) {
            (Element::When | Element::Otherwise | Element::Attempt | Element::Except, head) => {
                if let Some(parent) = self.frames.last_mut() {
                    let start = parent.pieces.len();
                    parent.pieces.append(&mut pieces);
                    parent.spans.push(Span { element, at, head, range: start..parent.pieces.len() });
                }
                return;
            }
            (Element::Vars, _) => {
                // Directly within another its text is read with that of the other, and once only.
                let within = self.frames.last().is_some_and(|frame| matches!(frame.element, Element::Vars));
                let broken = if within { 0 } else { substitute(&mut pieces, self.dialect, line) };
                if broken > 0 {
                    self.warnings.add(at, || Message::BadVariable);
                }
                for piece in pieces {
                    self.emit(piece, out);
                }
                return;
            }
            (Element::Choose, _) => self.choose(at, closed, pieces, spans),
            (Element::Try, _) => self.attempt(at, closed, pieces, spans),
            (_, Head::Inline { name }) => Kind::Inline { name, body: pieces.into() },
            (_, Head::Foreach { item, collection }) => Kind::Foreach { item, collection, body: pieces.into() },
            (_, Head::Function { name }) => {
                Kind::Function { name, body: Arc::new(FunctionBody { pieces: pieces.into() }) }
            }
            (_, Head::Assign { name, key }) => {
                let value = self.content(pieces, line);
                Kind::Assign { name, key, value }
            }
            (_, Head::Plain | Head::When { .. }) => return,
        };
        self.emit(Piece::Block(Arc::new(Block { line, kind })), out);
        strays.into_iter().for_each(|piece| self.emit(piece, out));
    }

    fn choose(&mut self, at: Position, closed: bool, pieces: Vec<Piece>, spans: Vec<Span>) -> Kind {
        let (mut branches, mut otherwise) = (Vec::new(), None);
        if closed {
            self.warn_of_strays(Element::Choose, at, &pieces, &spans);
        }
        for Span { element, at, head, range } in spans {
            let pieces: Box<[Piece]> = pieces[range].into();
            match head {
                Head::When { test, match_name } => branches.push(Branch { test, match_name, pieces }),
                _ if otherwise.is_none() => otherwise = Some(pieces),
                _ => self.warnings.add(at, || Message::DuplicateBranch(element.name())),
            }
        }
        Kind::Choose { branches, otherwise: otherwise.unwrap_or_default() }
    }

    fn attempt(&mut self, at: Position, closed: bool, pieces: Vec<Piece>, spans: Vec<Span>) -> Kind {
        let (mut attempt, mut except) = (None, None);
        if closed {
            self.warn_of_strays(Element::Try, at, &pieces, &spans);
        }
        for Span { element, at, range, .. } in spans {
            let branch = if element == Element::Attempt { &mut attempt } else { &mut except };
            if branch.is_some() {
                self.warnings.add(at, || Message::DuplicateBranch(element.name()));
            } else {
                *branch = Some(pieces[range].into());
            }
        }
        Kind::Try { attempt: attempt.unwrap_or_default(), except: except.unwrap_or_default() }
    }

    /// Sections 3.3 and 3.4: no other markup may be a direct child. Whitespace between branches is nobody's fault.
    fn warn_of_strays(&mut self, element: Element, at: Position, pieces: &[Piece], spans: &[Span]) {
        let is_blank = |piece: &Piece| matches!(piece, Piece::Text(text) if text.trim_ascii().is_empty());
        if strays(pieces, spans).iter().any(|piece| !is_blank(piece)) {
            self.warnings.add(at, || Message::NotABranch(element.name()));
        }
    }

    /// What the long form of `assign` assigns: an expression, else the text that its content comes to.
    fn content(&mut self, mut pieces: Vec<Piece>, line: u32) -> Assigned {
        if let Some(text) = only_text(&pieces)
            && let Ok(text) = std::str::from_utf8(&text)
            && let Some(expression) = expression::expression(text, self.dialect)
        {
            return Assigned::Expression(expression);
        }
        let _ = substitute(&mut pieces, self.dialect, line);
        Assigned::Content(pieces.into())
    }

    /// A piece: into the innermost container, or out.
    pub(super) fn emit(&mut self, piece: Piece, out: &mut Vec<Piece>) {
        match self.frames.last_mut() {
            _ if self.overfull => {}
            Some(frame) => frame.pieces.push(piece),
            None => out.push(piece),
        }
    }
}

/// What stands besides the branches. Spans are in order and do not overlap.
fn strays(pieces: &[Piece], spans: &[Span]) -> Vec<Piece> {
    let (mut strays, mut next) = (Vec::new(), 0);
    for span in spans {
        strays.extend_from_slice(&pieces[next..span.range.start]);
        next = span.range.end;
    }
    strays.extend_from_slice(&pieces[next..]);
    strays
}

/// `name` or `name{key}`, also as `$(name)`.
pub(super) fn target(text: &str, dialect: Dialect) -> Option<(Arc<str>, Option<Expression>)> {
    let text = if text.starts_with("$(") { text.to_owned() } else { format!("$({text})") };
    match expression::expression(&text, dialect)? {
        Expression::Variable(variable) => Some((variable.name, variable.key.map(|key| *key))),
        _ => None,
    }
}

/// The text of pieces that are nothing else.
fn only_text(pieces: &[Piece]) -> Option<Bytes> {
    let mut all = BytesMut::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => all.extend_from_slice(text),
            _ => return None,
        }
    }
    Some(all.freeze())
}

/// Makes the variables in text live, also in that of containers within; how many `$(` begin none.
fn substitute(pieces: &mut Vec<Piece>, dialect: Dialect, line: u32) -> usize {
    let (mut broken, mut done) = (0, Vec::with_capacity(pieces.len()));
    let mut text: Vec<Bytes> = Vec::new();
    let flush = |text: &mut Vec<Bytes>, done: &mut Vec<Piece>| {
        let joined = match text.len() {
            0 => return 0,
            1 => text.remove(0),
            _ => text.concat().into(),
        };
        text.clear();
        let read = Interpolation::read(&joined, dialect);
        done.push(match read.interpolation {
            Some(interpolation) => Piece::Block(Arc::new(Block { line, kind: Kind::Vars(interpolation) })),
            None => Piece::Text(joined),
        });
        read.broken
    };
    for piece in pieces.drain(..) {
        match piece {
            // A variable may have been cut by a chunk's end.
            Piece::Text(part) => text.push(part),
            Piece::Include(_) => {
                broken += flush(&mut text, &mut done);
                done.push(piece);
            }
            Piece::Block(mut block) => {
                broken += flush(&mut text, &mut done);
                // Made just now, so nobody else has it.
                if let Some(block) = Arc::get_mut(&mut block) {
                    broken += substitute_within(block, dialect);
                }
                done.push(Piece::Block(block));
            }
        }
    }
    broken += flush(&mut text, &mut done);
    *pieces = done;
    broken
}

fn substitute_within(block: &mut Block, dialect: Dialect) -> usize {
    let line = block.line;
    let within = |pieces: &mut Box<[Piece]>| {
        let mut list = std::mem::take(pieces).into_vec();
        let broken = substitute(&mut list, dialect, line);
        *pieces = list.into();
        broken
    };
    match &mut block.kind {
        Kind::Choose { branches, otherwise } => {
            branches.iter_mut().map(|branch| within(&mut branch.pieces)).sum::<usize>() + within(otherwise)
        }
        Kind::Try { attempt, except } => within(attempt) + within(except),
        Kind::Foreach { body, .. } => within(body),
        Kind::Vars(_)
        | Kind::Inline { .. }
        | Kind::Assign { .. }
        | Kind::Break
        | Kind::Function { .. }
        | Kind::Return(_) => 0,
    }
}
