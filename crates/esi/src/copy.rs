//! The text in a piece, wherever in it that stands: to be counted, and to be moved into buffers of its own.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Assigned, Block, Branch, FunctionBody, Kind};
use crate::template::Piece;

impl Piece {
    /// Bytes of the document that it holds on to: its text, and that of the branches in it.
    #[must_use]
    pub fn text_length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Include(_) => 0,
            Self::Block(block) => block.text_length(),
        }
    }

    /// The same with its text in one buffer that holds nothing else, so that no buffer the document was read into is
    /// kept for it.
    #[must_use]
    pub fn compacted(&self) -> Self {
        let mut text = Vec::with_capacity(self.text_length());
        self.each_text(&mut |part| text.extend_from_slice(part));
        let (text, mut at) = (Bytes::from(text), 0);
        self.with_text(&mut |part| {
            let from = at;
            at += part.len();
            text.slice(from..at)
        })
    }

    fn each_text(&self, each: &mut dyn FnMut(&Bytes)) {
        match self {
            Self::Text(text) => each(text),
            Self::Include(_) => {}
            Self::Block(block) => block.each_text(each),
        }
    }

    fn with_text(&self, text: &mut dyn FnMut(&Bytes) -> Bytes) -> Self {
        match self {
            Self::Text(part) => Self::Text(text(part)),
            Self::Include(include) => Self::Include(Arc::clone(include)),
            Self::Block(block) => Self::Block(Arc::new(block.with_text(text))),
        }
    }
}

impl Block {
    fn text_length(&self) -> usize {
        let mut length = 0_usize;
        self.each_text(&mut |text| length = length.saturating_add(text.len()));
        length
    }

    /// In the order of [`Block::with_text`].
    fn each_text(&self, each: &mut dyn FnMut(&Bytes)) {
        let mut all = |pieces: &[Piece]| pieces.iter().for_each(|piece| piece.each_text(each));
        match &self.kind {
            Kind::Vars(interpolation) => interpolation.texts().for_each(each),
            Kind::Choose { branches, otherwise } => {
                branches.iter().for_each(|branch| all(&branch.pieces));
                all(otherwise);
            }
            Kind::Try { attempt, except } => {
                all(attempt);
                all(except);
            }
            Kind::Inline { body, .. } => all(body),
            Kind::Foreach { body, .. } => all(body),
            Kind::Function { body, .. } => all(&body.pieces),
            Kind::Assign { value: Assigned::Content(pieces), .. } => all(pieces),
            Kind::Assign { value: Assigned::Expression(_), .. } | Kind::Break | Kind::Return(_) => {}
        }
    }

    fn with_text(&self, text: &mut dyn FnMut(&Bytes) -> Bytes) -> Self {
        let kind = match &self.kind {
            Kind::Vars(interpolation) => Kind::Vars(interpolation.with_text(text)),
            Kind::Choose { branches, otherwise } => {
                let branches = branches.iter().map(|branch| Branch {
                    test: branch.test.clone(),
                    match_name: branch.match_name.clone(),
                    pieces: all(&branch.pieces, text),
                });
                Kind::Choose { branches: branches.collect(), otherwise: all(otherwise, text) }
            }
            Kind::Try { attempt, except } => Kind::Try { attempt: all(attempt, text), except: all(except, text) },
            Kind::Inline { name, body } => Kind::Inline { name: name.clone(), body: all(body, text).into() },
            Kind::Foreach { item, collection, body } => {
                Kind::Foreach { item: Arc::clone(item), collection: collection.clone(), body: all(body, text) }
            }
            Kind::Function { name, body } => {
                let body = Arc::new(FunctionBody { pieces: all(&body.pieces, text) });
                Kind::Function { name: name.clone(), body }
            }
            Kind::Assign { name, key, value: Assigned::Content(pieces) } => {
                let value = Assigned::Content(all(pieces, text));
                Kind::Assign { name: Arc::clone(name), key: key.clone(), value }
            }
            kind @ (Kind::Assign { value: Assigned::Expression(_), .. } | Kind::Break | Kind::Return(_)) => {
                kind.clone()
            }
        };
        Self { line: self.line, kind }
    }
}

fn all(pieces: &[Piece], text: &mut dyn FnMut(&Bytes) -> Bytes) -> Box<[Piece]> {
    pieces.iter().map(|piece| piece.with_text(text)).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, Limits, Parser, tree};

    use super::*;

    const PAGE: &str = "<esi:vars>a $(HTTP_HOST) b</esi:vars><esi:choose><esi:when test=\"1==1\">one<esi:try>\
        <esi:attempt>try<esi:include src=\"/a\"/></esi:attempt><esi:except>except</esi:except></esi:try></esi:when>\
        <esi:otherwise>other</esi:otherwise></esi:choose><esi:inline name=\"/x\">inline</esi:inline>\
        <esi:foreach collection=\"[1,2]\">each</esi:foreach><esi:function name=\"f\">in f<esi:return value=\"1\"/>\
        </esi:function><esi:assign name=\"n\">some, text</esi:assign><esi:assign name=\"m\" value=\"1\"/>";

    fn pieces(page: &'static str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut parser = Parser::new(Limits::default()).with_dialect(Dialect::Akamai);
        parser.push(Bytes::from_static(page.as_bytes()), &mut pieces);
        parser.finish(&mut pieces);
        pieces
    }

    #[test]
    fn a_compacted_piece_is_the_same_piece() {
        let pieces = pieces(PAGE);
        assert_eq!(pieces.len(), 7, "{}", tree(&pieces));
        for piece in &pieces {
            assert_eq!(&piece.compacted(), piece);
            assert_eq!(piece.compacted().text_length(), piece.text_length());
        }
        let lengths: Vec<usize> = pieces.iter().map(Piece::text_length).collect();
        assert_eq!(lengths, [4, 17, 6, 4, 4, 10, 0]);
    }

    #[test]
    fn a_compacted_piece_holds_nothing_of_the_document() {
        let document = Bytes::from(PAGE.as_bytes().to_vec());
        let mut pieces = Vec::new();
        let mut parser = Parser::new(Limits::default()).with_dialect(Dialect::Akamai);
        parser.push(document.clone(), &mut pieces);
        parser.finish(&mut pieces);
        drop(parser);
        let compacted: Vec<Piece> = pieces.iter().map(Piece::compacted).collect();
        assert!(!document.is_unique(), "the pieces as parsed are slices of it");
        drop(pieces);
        assert!(document.is_unique());
        drop(compacted);
    }
}
