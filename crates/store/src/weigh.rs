//! What a stored response costs in memory.
//!
//! Sizes of allocations are rounded up as allocators with four size classes for each doubling do (mimalloc, jemalloc).
//! What cannot be asked for stands in the constants. They were calibrated on 64-bit Linux with a global allocator that
//! counts live allocations in these classes around mimalloc: stores of 8,000, 16,000 and 100,000 responses with bodies of 1
//! and 10 KiB, ten fields and two tags, without eviction and under a flood that evicts, agree with what is counted
//! here within 2 %. The tests `memory` and `memory_of_pages` hold the outcome against what the system says.

use copal_esi::Piece;
use http::HeaderMap;

use crate::response::{StoredBody, StoredResponse};
use crate::variant::Variant;

/// What `Bytes` adds to a buffer once it has been cloned: its shared counter.
const SHARED: usize = 32;

/// A field's place in `http::HeaderMap`: hash, name, value, links.
const FIELD: usize = 104;

/// A further value of a field in `http::HeaderMap`.
const FURTHER_VALUE: usize = 72;

/// A place in the hash index of `http::HeaderMap`.
const PLACE: usize = 4;

/// The two counts of an `Arc`.
const COUNTS: usize = 16;

/// The bookkeeping of one cache key: the entry of this crate; in moka the key's copy, the value, its state, the nodes of
/// the queue and of the timer, and its share of the table and of what waits to be freed. Measured 470 to 500.
pub(crate) const KEY: usize = 500;

/// What the allocator holds beyond what is allocated while everything is in motion. mimalloc gives empty pages back
/// after a second and spreads blocks of more than 8 KiB over parts of 32 MiB: with 64 MiB of such blocks the process
/// was 10 to 28 MiB larger than they, with 512 MiB not much more. For small limits it is less, so that something is left.
const ALLOCATOR: u64 = 24 << 20;

/// Bytes that an allocation of `length` takes.
pub(crate) fn allocated(length: usize) -> usize {
    match length {
        0 => 0,
        1..=64 => length.next_multiple_of(16),
        // Sizes in (2^k, 2^(k+1)] are multiples of 2^k / 4.
        _ => length.next_multiple_of(1 << ((length - 1).ilog2() - 2)),
    }
}

/// A buffer behind `Bytes`.
pub(crate) fn buffer(length: usize) -> usize {
    if length == 0 { 0 } else { allocated(length) + SHARED }
}

/// A header map without the text in it, as a clone has it (room for exactly its fields).
pub(crate) fn header_map(headers: &HeaderMap) -> usize {
    // Three quarters of the index may be taken.
    let places = headers.capacity() / 3 * 4;
    let further = headers.len() - headers.keys_len();
    allocated(places * PLACE) + allocated(headers.keys_len() * FIELD) + allocated(further * FURTHER_VALUE)
}

/// Pieces without the text in them; the shared counters of the buffers are in it.
pub(crate) fn pieces(pieces: &[Piece]) -> usize {
    copal_esi::weight(pieces)
}

/// One stored response with all that belongs to it alone; `tags` are the bytes of its tags.
pub(crate) fn response(headers: usize, body: usize, variant: &Variant, tags: usize) -> usize {
    let own = allocated(size_of::<StoredResponse>() + COUNTS);
    let strings: usize = variant.strings().map(allocated).sum();
    let fields = variant.fields() * (size_of::<Box<str>>() + size_of::<http::HeaderName>());
    own + strings + allocated(fields) + tags + headers + body
}

/// For a template, what a note may cost that says of each include what is to be found for it: its references twice over with what
/// is around them, and a head.
pub(crate) fn note(headers: &HeaderMap, body: &StoredBody) -> usize {
    const NOTE: usize = 512;
    const INCLUDE: usize = 320;
    let include = |piece: &Piece| match piece {
        Piece::Include(include) => INCLUDE + 2 * include.src.len(),
        Piece::Text(_) | Piece::Block(_) => 0,
    };
    if body.template { NOTE + header_map(headers) + body.pieces.iter().map(include).sum::<usize>() } else { 0 }
}

/// What is left of a limit for stored responses once the allocator has its share.
pub(crate) fn capacity(limit: u64) -> u64 {
    limit - (limit / 4).min(ALLOCATOR)
}

/// The text of a cache key.
pub(crate) fn key(length: usize) -> usize {
    allocated(length + COUNTS) + KEY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_take_the_next_size_class() {
        let cases = [
            (0, 0),
            (1, 16),
            (16, 16),
            (17, 32),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (1024, 1024),
            (1025, 1280),
            (10 * 1024, 10 * 1024),
            (10 * 1024 + 1, 12 * 1024),
            (1 << 20, 1 << 20),
        ];
        for (length, expected) in cases {
            assert_eq!(allocated(length), expected, "{length}");
        }
    }

    #[test]
    fn a_header_map_has_room_for_exactly_its_fields_when_cloned() {
        // Else the weight would have to ask for the capacity, which tells of the index only.
        let mut headers = HeaderMap::with_capacity(20);
        for name in ["etag", "date", "age"] {
            headers.append(name, http::HeaderValue::from_static("1"));
        }
        let three = header_map(&headers.clone());
        headers.append("vary", http::HeaderValue::from_static("1"));
        headers.append("vary", http::HeaderValue::from_static("2"));
        let five = header_map(&headers.clone());
        let places = allocated(32 * PLACE);
        assert_eq!((three, five), (places + 320, places + 448 + 80));
    }

    #[test]
    fn a_quarter_of_a_small_limit_is_the_allocators() {
        assert_eq!(capacity(0), 0);
        assert_eq!(capacity(64 << 20), 48 << 20);
        assert_eq!(capacity(1 << 30), 1000 << 20);
    }
}
