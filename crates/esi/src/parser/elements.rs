//! What each tag does to the document.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::containers::target;
use super::{Parser, Remove, Unclosed};
use crate::Value;
use crate::block::{Assigned, Block, Kind};
use crate::expression::{Dialect, Expression, expression};
use crate::include::{self, Refused};
use crate::interpolation::Interpolation;
use crate::position::Position;
use crate::scanner::Marker;
use crate::tag::{Element, Tag, decode};
use crate::template::{Include, Piece};
use crate::warning::{Message, quoted};

impl Parser {
    /// A whole tag, from `<` to `>`.
    pub(super) fn closed(&mut self, bytes: Bytes, out: &mut Vec<Piece>) {
        if self.remove.is_some() {
            return self.tag_in_remove(bytes, out);
        }
        // `<!--esi <esi:include src="/a" -->`: the `>` is the block's, and must not be taken from it.
        if self.ends_block(&bytes) {
            return self.unclosed(bytes, Unclosed::Markup, out);
        }
        let (tag, at) = (Tag::read(&bytes), self.position);
        if tag.end {
            self.end_tag(&tag, out);
            return self.position.advance(&bytes);
        }
        let element = tag.element();
        match element {
            Some(element) if element.is_akamai() && self.dialect != Dialect::Akamai => {
                self.warnings.add(at, || Message::OtherDialect(element.name()));
            }
            Some(Element::Include | Element::Eval) => match include::read(&tag, self.dialect, at, &mut self.warnings) {
                Ok(include) => self.include(include, element == Some(Element::Eval), at, out),
                Err(Refused::MissingSrc) => self.warnings.add(at, || Message::MissingSrc),
                Err(Refused::RanOn) => return self.unclosed(bytes, Unclosed::Markup, out),
            },
            Some(Element::Comment | Element::Remove | Element::Text) => {}
            Some(element) => {
                self.position.advance(&bytes);
                return self.statement(element, &tag, at, out);
            }
            None => self.warnings.add(at, || Message::UnknownElement(quoted(&tag.name()))),
        }
        self.position.advance(&bytes);
        match element {
            Some(element) if !tag.empty => self.opened(element, at),
            _ => {}
        }
    }

    /// An element that is decided on for each request.
    fn statement(&mut self, element: Element, tag: &Tag<'_>, at: Position, out: &mut Vec<Piece>) {
        let value = |name: &str| {
            let attributes = tag.attributes();
            let found = attributes.iter().find(|attribute| &*attribute.name == name);
            found.map(|attribute| decode(&attribute.raw).into_owned())
        };
        let (line, dialect) = (at.line, self.dialect);
        let kind = match element {
            Element::Break => Some(Kind::Break),
            Element::Return => value("value").and_then(|text| expression(&text, dialect)).map(Kind::Return),
            Element::Vars if dialect == Dialect::Akamai && tag.empty => value("name").and_then(|text| {
                Interpolation::read(&Bytes::from(text.into_bytes()), dialect).interpolation.map(Kind::Vars)
            }),
            Element::Assign if tag.empty => {
                match (value("name").and_then(|name| target(&name, dialect)), value("value")) {
                    (Some((name, key)), Some(text)) => {
                        let value =
                            expression(&text, dialect).unwrap_or_else(|| Expression::Literal(Value::text(text)));
                        Some(Kind::Assign { name, key, value: Assigned::Expression(value) })
                    }
                    _ => None,
                }
            }
            _ => return self.open_container(element, tag, at, out),
        };
        match kind {
            Some(kind) => self.emit(Piece::Block(Arc::new(Block { line, kind })), out),
            None if element == Element::Vars => {}
            None => {
                let name = if element == Element::Assign { "name" } else { "value" };
                self.warnings.add(at, || Message::BadAttribute(element.name(), name));
            }
        }
    }

    /// A start tag without `/>`.
    fn opened(&mut self, element: Element, at: Position) {
        match element {
            element if element.is_akamai() && self.dialect != Dialect::Akamai => self.open |= element.bit(),
            Element::Remove | Element::Text if at.offset < self.no_remove_before => {
                self.warnings.add(at, || Message::UnclosedRemove);
            }
            Element::Remove | Element::Text => {
                let (start, block) = (self.position, self.block);
                self.remove = Some(Remove { element, tag: at, start, block, content: BytesMut::new() });
            }
            Element::Include | Element::Comment | Element::Eval => {
                self.warnings.add(at, || Message::NotEmpty(element.name()));
                self.open |= element.bit();
            }
            _ => self.open |= element.bit(),
        }
    }

    /// An end tag outside `<esi:remove>`.
    fn end_tag(&mut self, tag: &Tag<'_>, out: &mut Vec<Piece>) {
        match tag.element() {
            Some(element) if element.is_container() && self.close_container(element, out) => {}
            Some(element) if self.open & element.bit() != 0 => self.open &= !element.bit(),
            Some(element) => self.warnings.add(self.position, || Message::StrayEndTag(element.name())),
            None => self.warnings.add(self.position, || Message::UnknownElement(quoted(&tag.name()))),
        }
    }

    fn include(&mut self, mut include: Include, process: bool, at: Position, out: &mut Vec<Piece>) {
        if process {
            include.options.get_or_insert_default().process = Some(true);
        }
        if self.includes == self.limits.max_includes {
            self.dropped_includes = self.dropped_includes.saturating_add(1);
            return self.warnings.add(at, || Message::TooManyIncludes);
        }
        self.includes += 1;
        self.emit(Piece::Include(Arc::new(include)), out);
    }

    /// A tag that has no end of its own: see the crate's documentation.
    pub(super) fn unclosed(&mut self, mut bytes: Bytes, by: Unclosed, out: &mut Vec<Piece>) {
        if self.remove.is_some() {
            return self.tag_in_remove(bytes, out);
        }
        let at = self.position;
        match memchr(b'>', &bytes) {
            Some(last) => self.inputs.push(bytes.split_off(last + 1)),
            None if by == Unclosed::Limit => {
                self.warnings.add(at, || Message::TagTooLong);
                // Whatever hides behind this marker is read as if it stood there alone.
                self.inputs.push(bytes.split_off(Marker::StartTag.bytes().len()));
                return self.put([bytes], out);
            }
            None => {}
        }
        self.warnings.add(at, || Message::UnclosedTag);
        if self.ends_block(&bytes) {
            self.block = None;
        }
        self.position.advance(&bytes);
    }

    /// Whether a tag took the `-->` of an open block for its own `>`.
    fn ends_block(&self, tag: &[u8]) -> bool {
        self.block.is_some() && tag.ends_with(Marker::BlockEnd.bytes())
    }

    /// Inside `<esi:remove>` any tag is content, but the first end tag of `remove`, even an unclosed one.
    fn tag_in_remove(&mut self, bytes: Bytes, out: &mut Vec<Piece>) {
        let mut own = &bytes[..];
        if self.ends_block(own) {
            self.block = None;
            own = &own[..own.len() - Marker::BlockEnd.bytes().len()];
        }
        let tag = Tag::read(own);
        let open = self.remove.as_ref().map(|remove| remove.element);
        if !tag.end || tag.element() != open {
            return self.put([bytes], out);
        }
        if !own.ends_with(b">") {
            self.warnings.add(self.position, || Message::UnclosedTag);
        }
        let ended = self.remove.take();
        self.position.advance(&bytes);
        // `<esi:text>` puts out what it has kept from being processed.
        if let Some(Remove { element: Element::Text, content, .. }) = ended
            && !content.is_empty()
        {
            let length = content.len();
            self.emit(Piece::Text(content.freeze()), out);
            if !self.frames.is_empty() {
                self.hold(length, out);
            }
        }
    }
}
