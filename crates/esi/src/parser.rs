//! Turns chunks of a body into pieces, at any chunk split. What it makes of broken markup is told in the crate's
//! documentation.

mod containers;
mod elements;

use std::mem::take;

use bytes::{Bytes, BytesMut};

use crate::expression::Dialect;
use crate::position::Position;
use crate::scanner::{DECIDING, Found, Front, Marker, Quotes, Scanner, Scope, TagEnd};
use crate::tag::Element;
use crate::template::{Limits, Piece};
use crate::warning::{Message, Warning, Warnings};

/// Reads the body of one response. It never fails, whatever the bytes, keeps back at most what its [`Limits`]
/// allow, and looks at each byte a bounded number of times.
///
/// With no ESI in the body, the text that comes out is slices of the chunks that went in.
///
/// Pieces leave it in two places only, `put` for text and `include`, so that inside a container they can go to
/// that container's branch instead.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    dialect: Dialect,
    scanner: Scanner,
    state: State,
    /// Where the first byte that is in no finished piece stands.
    position: Position,
    /// An open `<esi:remove>`, whose content is held here.
    remove: Option<Remove>,
    /// Up to this offset no `<esi:remove>` opens: one before it was given back, so none here has an end tag.
    no_remove_before: u64,
    /// The place of an open `<!--esi`.
    block: Option<Position>,
    /// Elements whose start tag had no `/>` and whose end tag has not come, a bit for each element.
    open: u32,
    /// Open containers, the innermost last.
    frames: Vec<containers::Frame>,
    /// Bytes that they hold together.
    container_bytes: usize,
    /// They hold as much as they may: what comes is dropped until the outermost ends.
    overfull: bool,
    /// What is still to be read; the next input is last. Empty between calls.
    inputs: Vec<Bytes>,
    includes: usize,
    dropped_includes: usize,
    saw_esi: bool,
    warnings: Warnings,
}

/// What the bytes read last belong to.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// The prefix of a marker, in the slices it came in: fewer than [`DECIDING`] bytes.
    Prefix(Vec<Bytes>),
    Tag(OpenTag),
}

#[derive(Debug)]
struct OpenTag {
    bytes: BytesMut,
    quotes: Quotes,
}

/// An open `<esi:remove>`, or an `<esi:text>`, whose content is not processed either.
#[derive(Debug)]
struct Remove {
    element: Element,
    /// The place of the start tag.
    tag: Position,
    /// The place of the content.
    start: Position,
    /// The block the start tag stood in.
    block: Option<Position>,
    content: BytesMut,
}

/// What ended a tag that has no `>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unclosed {
    Markup,
    Limit,
    End,
}

/// Runs of text shorter than this between ESI tags are joined, up to [`JOINED_TEXT`] bytes, so that a template
/// made of nothing but tags does not cost many times its length.
const SHORT_TEXT: usize = 64;
const JOINED_TEXT: usize = 256;

impl Default for Parser {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Parser {
    /// A parser for one document.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            dialect: Dialect::default(),
            scanner: Scanner::new(),
            state: State::Text,
            position: Position::START,
            remove: None,
            no_remove_before: 0,
            block: None,
            open: 0,
            frames: Vec::new(),
            container_bytes: 0,
            overfull: false,
            inputs: Vec::new(),
            includes: 0,
            dropped_includes: 0,
            saw_esi: false,
            warnings: Warnings::new(limits.max_warnings),
        }
    }

    /// Sets the language that the document is written in.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Reads the next chunk and appends the pieces that are certain now to `out`.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Piece>) {
        self.inputs.push(chunk);
        self.read(out);
    }

    /// Ends the document: what is held back becomes pieces. Afterwards [`Parser::held`] is 0.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        loop {
            match take(&mut self.state) {
                State::Tag(tag) => self.unclosed(tag.bytes.freeze(), Unclosed::End, out),
                State::Prefix(held) => self.undecided(held, out),
                State::Text if self.remove.is_some() => self.give_back(),
                State::Text => break,
            }
            self.read(out);
        }
        if let Some(at) = self.block.take() {
            self.warnings.add(at, || Message::UnclosedBlock);
        }
        self.end_containers(out);
    }

    /// The warnings since the last call.
    pub fn warnings(&mut self) -> Vec<Warning> {
        self.warnings.take()
    }

    /// How many warnings there were beyond [`Limits::max_warnings`].
    #[must_use]
    pub fn suppressed_warnings(&self) -> u64 {
        self.warnings.suppressed()
    }

    /// Whether any ESI markup was there, even if only broken or unknown.
    #[must_use]
    pub fn saw_esi(&self) -> bool {
        self.saw_esi
    }

    /// How many includes were dropped because of [`Limits::max_includes`].
    #[must_use]
    pub fn dropped_includes(&self) -> usize {
        self.dropped_includes
    }

    /// Bytes of the document held back at the moment: an undecided marker, an open tag, the content of an open
    /// `<esi:remove>`, of other open containers. Never more than the limits of all and a marker together.
    #[must_use]
    pub fn held(&self) -> usize {
        let state = match &self.state {
            State::Text => 0,
            State::Prefix(held) => held.iter().map(Bytes::len).sum(),
            State::Tag(tag) => tag.bytes.len(),
        };
        state + self.container_bytes + self.remove.as_ref().map_or(0, |remove| remove.content.len())
    }

    /// How many bytes were looked at so far, those looked at again counted again: a small multiple of the
    /// document's length, which tests and fuzz targets may assert.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.scanner.work()
    }

    fn read(&mut self, out: &mut Vec<Piece>) {
        while let Some(input) = self.inputs.pop() {
            if input.is_empty() {
                continue;
            }
            match take(&mut self.state) {
                State::Text => self.text(input, out),
                State::Prefix(held) => self.prefix(held, input, out),
                State::Tag(tag) => self.tag(tag, input, out),
            }
        }
    }

    fn scope(&self) -> Scope {
        Scope { block: self.block.is_some(), remove: self.remove.is_some() }
    }

    /// Passes text on up to a marker, or deals with the marker that the input begins with.
    fn text(&mut self, mut input: Bytes, out: &mut Vec<Piece>) {
        let window = match &self.remove {
            // One byte over the limit decides, and reading more would be reading it twice.
            Some(remove) => {
                let room = self.limits.max_remove_bytes.saturating_sub(remove.content.len());
                room.saturating_add(1).min(input.len())
            }
            None => input.len(),
        };
        match self.scanner.find(&input[..window], self.scope()) {
            Some(Found { at: 0, marker: Some(marker) }) => {
                self.inputs.push(input.split_off(marker.bytes().len()));
                self.marker(marker, out);
            }
            Some(Found { at: 0, marker: None }) => {
                self.inputs.push(input.split_off(window));
                self.state = State::Prefix(vec![input]);
            }
            found => {
                let length = found.map_or(window, |found| found.at);
                self.inputs.push(input.split_off(length));
                self.put([input], out);
            }
        }
    }

    /// Finds out what a prefix becomes with the input that follows it.
    fn prefix(&mut self, mut held: Vec<Bytes>, input: Bytes, out: &mut Vec<Piece>) {
        let mut front = [0; 2 * DECIDING];
        let bytes = held.iter().flatten().chain(input.iter().take(DECIDING));
        let length = front.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
        let front = &front[..length];
        self.scanner.count(length);
        let held_length = held.iter().map(Bytes::len).sum();
        let scope = self.scope();
        match scope.front(front) {
            Front::Prefix => {
                held.push(input);
                self.state = State::Prefix(held);
            }
            Front::Marker(marker) => {
                held.push(input);
                self.unread(held, marker.bytes().len());
                self.marker(marker, out);
            }
            Front::Text => {
                let next = front[1..held_length].iter().position(|byte| scope.may_begin(*byte));
                let length = next.map_or(held_length, |at| at + 1);
                self.inputs.push(input);
                let text = self.unread(held, length);
                self.put(text, out);
            }
        }
    }

    /// Splits `length` bytes off the front and puts the rest back, to be read next.
    fn unread(&mut self, slices: Vec<Bytes>, mut length: usize) -> Vec<Bytes> {
        let (mut front, mut rest) = (Vec::new(), Vec::new());
        for mut slice in slices {
            let before = slice.split_to(length.min(slice.len()));
            length -= before.len();
            front.push(before);
            rest.push(slice);
        }
        self.inputs.extend(rest.into_iter().rev());
        front
    }

    /// A prefix that the end of the document leaves undecided.
    fn undecided(&mut self, held: Vec<Bytes>, out: &mut Vec<Piece>) {
        if self.remove.is_none() && held.iter().flatten().eq(Marker::BlockStart.bytes()) {
            self.marker(Marker::BlockStart, out);
        } else {
            self.put(held, out);
        }
    }

    /// Deals with a marker that has been read.
    fn marker(&mut self, marker: Marker, out: &mut Vec<Piece>) {
        self.saw_esi = true;
        let quotes = match marker {
            Marker::StartTag => Quotes::Outside,
            Marker::EndTag => Quotes::Never,
            Marker::BlockStart => {
                match self.block {
                    Some(_) => self.warnings.add(self.position, || Message::NestedBlock),
                    None => self.block = Some(self.position),
                }
                return self.position.advance(marker.bytes());
            }
            Marker::BlockEnd if self.remove.is_some() => {
                self.block = None;
                return self.put([Bytes::from_static(marker.bytes())], out);
            }
            Marker::BlockEnd => {
                self.block = None;
                return self.position.advance(marker.bytes());
            }
        };
        self.state = State::Tag(OpenTag { bytes: marker.bytes().into(), quotes });
    }

    /// Collects a tag up to its end.
    fn tag(&mut self, mut tag: OpenTag, mut input: Bytes, out: &mut Vec<Piece>) {
        let room = self.limits.max_tag_bytes.saturating_sub(tag.bytes.len()).min(input.len());
        let end = self.scanner.tag_end(&mut tag.quotes, &input[..room]);
        let length = match end {
            TagEnd::Closed(length) | TagEnd::Broken(length) => length,
            TagEnd::Open => room,
        };
        self.inputs.push(input.split_off(length));
        tag.bytes.extend_from_slice(&input);
        match end {
            TagEnd::Closed(_) => self.closed(tag.bytes.freeze(), out),
            TagEnd::Broken(_) => self.unclosed(tag.bytes.freeze(), Unclosed::Markup, out),
            TagEnd::Open if tag.bytes.len() >= self.limits.max_tag_bytes => {
                self.unclosed(tag.bytes.freeze(), Unclosed::Limit, out);
            }
            TagEnd::Open => self.state = State::Tag(tag),
        }
    }

    /// Text: out, or into an open `<esi:remove>`.
    fn put(&mut self, slices: impl IntoIterator<Item = Bytes>, out: &mut Vec<Piece>) {
        for slice in slices {
            self.position.advance(&slice);
            match &mut self.remove {
                Some(remove) => remove.content.extend_from_slice(&slice),
                None if slice.is_empty() || self.overfull => {}
                None if !self.frames.is_empty() => self.put_within(slice, out),
                None if self.saw_esi => put_joined(slice, out),
                None => out.push(Piece::Text(slice)),
            }
        }
        let too_long = |remove: &Remove| remove.content.len() > self.limits.max_remove_bytes;
        if self.remove.as_ref().is_some_and(too_long) {
            self.give_back();
        }
    }

    /// Reads the content of an unclosed `<esi:remove>` again, as if its start tag were not there.
    fn give_back(&mut self) {
        let Some(remove) = self.remove.take() else {
            return;
        };
        self.warnings.add(remove.tag, || Message::UnclosedRemove);
        self.position = remove.start;
        self.block = remove.block;
        let limit = u64::try_from(self.limits.max_remove_bytes).unwrap_or(u64::MAX);
        self.no_remove_before = remove.start.offset.saturating_add(limit).saturating_add(1);
        self.inputs.push(remove.content.freeze());
    }
}

/// Adds text to the last piece where both are short.
fn put_joined(text: Bytes, out: &mut Vec<Piece>) {
    match out.last_mut() {
        Some(Piece::Text(last)) if text.len() < SHORT_TEXT && last.len() + text.len() <= JOINED_TEXT => {
            let mut joined = take(last).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
            joined.extend_from_slice(&text);
            *last = joined.freeze();
        }
        _ => out.push(Piece::Text(text)),
    }
}
