//! Copies that own exactly their bytes, so that nothing stored pins a read buffer and its weight is what it costs.

use bytes::Bytes;
use copal_esi::Piece;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::response::StoredBody;
use crate::weigh;

/// Up to here the text of a body goes into one allocation; beyond, into several of at most this length, so that the
/// end of a long fill copies little at once.
pub(crate) const JOINED: usize = 1 << 20;

/// From this length on, a chunk of text that lies beyond [`JOINED`] is an allocation of its own.
const KEPT: usize = 64 << 10;

/// Whether a chunk that begins at `offset` in the text of a body stays an allocation of its own: copied when it
/// comes, and not again at the end.
pub(crate) fn stays(offset: u64, length: usize) -> bool {
    offset >= JOINED as u64 && length >= KEPT
}

/// Fields with all their values in one shared allocation, and the heap bytes that they cost.
///
/// One buffer instead of one for each value: a response has some ten values of some twenty bytes, and each allocation of
/// its own would cost as much again.
pub(crate) fn headers(from: &HeaderMap) -> (HeaderMap, usize) {
    let length = from.values().map(HeaderValue::len).sum();
    let mut text = Vec::with_capacity(length);
    for name in from.keys() {
        from.get_all(name).iter().for_each(|value| text.extend_from_slice(value.as_bytes()));
    }
    let text = Bytes::from(text);
    let mut names = 0;
    let mut to = HeaderMap::with_capacity(from.keys_len());
    let mut at = 0;
    for name in from.keys() {
        let (copy, heap) = own_name(name);
        names += heap;
        for value in from.get_all(name) {
            let end = at + value.len();
            to.append(copy.clone(), own_value(value, text.slice(at..end)));
            at = end;
        }
    }
    // A clone of the map has room for exactly the fields that it has.
    let to = to.clone();
    let weight = weigh::buffer(length) + names + weigh::header_map(&to);
    (to, weight)
}

/// The value over its bytes in the shared buffer, which are valid because they were a value before.
fn own_value(value: &HeaderValue, bytes: Bytes) -> HeaderValue {
    let mut copy = HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

/// The name in an allocation of its own, and what that costs; nothing for the names that the library knows.
fn own_name(name: &HeaderName) -> (HeaderName, usize) {
    let copy = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone());
    let known = std::ptr::eq(copy.as_str(), name.as_str());
    let heap = if known { 0 } else { weigh::buffer(name.as_str().len()) };
    (copy, heap)
}

/// A body with exact allocations, and the heap bytes that it costs.
pub(crate) struct Compacted {
    pub(crate) body: StoredBody,
    pub(crate) weight: usize,
}

/// Joins the text of a body. `pieces` are as they were pushed, empty text and all.
pub(crate) fn body(pieces: impl IntoIterator<Item = Piece>) -> Compacted {
    let mut joiner = Joiner::default();
    for piece in pieces {
        joiner.add(piece);
    }
    joiner.flush();
    let pieces = joiner.pieces.into_boxed_slice();
    let template = pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)));
    let weight = joiner.weight + weigh::pieces(&pieces);
    Compacted { body: StoredBody { pieces, length: joiner.length, template }, weight }
}

/// A part of the run that will share an allocation.
enum Part {
    Text(Bytes),
    /// An include, or a block with its text in a buffer of its own.
    Other(Piece),
}

#[derive(Default)]
struct Joiner {
    pieces: Vec<Piece>,
    run: Vec<Part>,
    run_length: usize,
    length: u64,
    weight: usize,
}

impl Joiner {
    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) if text.is_empty() => {}
            Piece::Text(text) => {
                let (offset, length) = (self.length, text.len());
                self.length += length as u64;
                if stays(offset, length) {
                    self.flush();
                    self.weight += weigh::allocated(length);
                    self.pieces.push(Piece::Text(text));
                    return;
                }
                if self.run_length + length > JOINED {
                    self.flush();
                }
                self.run_length += length;
                self.run.push(Part::Text(text));
            }
            Piece::Include(_) => self.run.push(Part::Other(piece)),
            Piece::Block(_) => {
                let length = piece.text_length();
                self.length += length as u64;
                self.weight += weigh::allocated(length);
                self.run.push(Part::Other(piece.compacted()));
            }
        }
    }

    /// Copies the text of the run into one buffer; its pieces are slices of that.
    fn flush(&mut self) {
        let mut text = Vec::with_capacity(self.run_length);
        for part in &self.run {
            if let Part::Text(part) = part {
                text.extend_from_slice(part);
            }
        }
        self.weight += weigh::allocated(self.run_length);
        let text = Bytes::from(text);
        let (mut from, mut to) = (0, 0);
        for part in self.run.drain(..) {
            match part {
                Part::Text(part) => to += part.len(),
                Part::Other(piece) => {
                    if to > from {
                        self.pieces.push(Piece::Text(text.slice(from..to)));
                    }
                    from = to;
                    self.pieces.push(piece);
                }
            }
        }
        if to > from {
            self.pieces.push(Piece::Text(text.slice(from..to)));
        }
        self.run_length = 0;
    }
}
