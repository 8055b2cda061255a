//! What each tag does to the document.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{Parser, Remove, Unclosed};
use crate::include::{self, Refused};
use crate::position::Position;
use crate::scanner::Marker;
use crate::tag::{Element, Tag};
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
            self.end_tag(&tag);
            return self.position.advance(&bytes);
        }
        match tag.element() {
            Some(Element::Include) => match include::read(&tag, at, &mut self.warnings) {
                Ok(include) => self.include(Arc::new(include), at, out),
                Err(Refused::MissingSrc) => self.warnings.add(at, || Message::MissingSrc),
                Err(Refused::RanOn) => return self.unclosed(bytes, Unclosed::Markup, out),
            },
            Some(Element::Comment | Element::Remove) => {}
            Some(element) => self.warnings.add(at, || Message::UnsupportedElement(element.name())),
            None => self.warnings.add(at, || Message::UnknownElement(quoted(&tag.name()))),
        }
        self.position.advance(&bytes);
        match tag.element() {
            Some(element) if !tag.empty => self.opened(element, at),
            _ => {}
        }
    }

    /// A start tag without `/>`.
    fn opened(&mut self, element: Element, at: Position) {
        match element {
            Element::Remove if at.offset < self.no_remove_before => {
                self.warnings.add(at, || Message::UnclosedRemove);
            }
            Element::Remove => {
                self.remove =
                    Some(Remove { tag: at, start: self.position, block: self.block, content: BytesMut::new() });
            }
            Element::Include | Element::Comment => {
                self.warnings.add(at, || Message::NotEmpty(element.name()));
                self.open |= element.bit();
            }
            _ => self.open |= element.bit(),
        }
    }

    /// An end tag outside `<esi:remove>`.
    fn end_tag(&mut self, tag: &Tag<'_>) {
        match tag.element() {
            Some(element) if self.open & element.bit() != 0 => self.open &= !element.bit(),
            Some(element) => self.warnings.add(self.position, || Message::StrayEndTag(element.name())),
            None => self.warnings.add(self.position, || Message::UnknownElement(quoted(&tag.name()))),
        }
    }

    fn include(&mut self, include: Arc<Include>, at: Position, out: &mut Vec<Piece>) {
        if self.includes == self.limits.max_includes {
            self.dropped_includes = self.dropped_includes.saturating_add(1);
            return self.warnings.add(at, || Message::TooManyIncludes);
        }
        self.includes += 1;
        out.push(Piece::Include(include));
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
        if !tag.end || tag.element() != Some(Element::Remove) {
            return self.put([bytes], out);
        }
        if !own.ends_with(b">") {
            self.warnings.add(self.position, || Message::UnclosedTag);
        }
        self.remove = None;
        self.position.advance(&bytes);
    }
}
