//! What a stored response costs in memory.
//!
//! Sizes of allocations are rounded up as allocators with four size classes for each doubling do (mimalloc, jemalloc);
//! what cannot be asked for is in the constants, which were measured as each of them says.

use copal_esi::Piece;
use http::HeaderMap;

use crate::response::StoredResponse;
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

/// The bookkeeping of one cache key: the key in moka's map, its queue and timer nodes, its share of the tables, and the
/// entry of this crate.
pub(crate) const KEY: usize = 600;

/// What the allocator holds beyond what is allocated, while all is in motion.
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

/// One stored response with all that belongs to it alone.
pub(crate) fn response(headers: usize, body: usize, variant: &Variant, tags: usize) -> usize {
    let own = allocated(size_of::<StoredResponse>() + COUNTS);
    let strings: usize = variant.strings().map(allocated).sum();
    let fields = variant.fields() * (size_of::<Box<str>>() + size_of::<http::HeaderName>());
    own + strings + allocated(fields) + allocated(COUNTS + tags * size_of::<u64>()) + headers + body
}

/// What is left of a limit for stored responses once the allocator has its share.
pub(crate) fn capacity(limit: u64) -> u64 {
    limit - (limit / 4).min(ALLOCATOR)
}

/// The text of a cache key.
pub(crate) fn key(length: usize) -> usize {
    allocated(length + COUNTS) + KEY
}
