//! Finds ESI markers in bytes: where markers and tags begin and end, and nothing of what they mean.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2_iter, memrchr};

/// A byte string that ESI gives a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// `<esi:`
    StartTag,
    /// `</esi:`
    EndTag,
    /// `<!--esi`, unless that word goes on (ESI 1.0, section 3.8).
    BlockStart,
    /// `-->`, where it ends such a block.
    BlockEnd,
}

impl Marker {
    /// The bytes of the marker.
    pub(crate) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::StartTag => b"<esi:",
            Self::EndTag => b"</esi:",
            Self::BlockStart => b"<!--esi",
            Self::BlockEnd => b"-->",
        }
    }

    fn at_front(self, bytes: &[u8]) -> Front {
        let own = self.bytes();
        match bytes.strip_prefix(own) {
            Some(after) if self == Self::BlockStart => block_start(after),
            Some(_) => Front::Marker(self),
            None if own.starts_with(bytes) => Front::Prefix,
            None => Front::Text,
        }
    }
}

/// `<!--esigate …-->` and `<!--esi-note …-->` are other people's comments, whose content must not become visible.
fn block_start(after: &[u8]) -> Front {
    const END: &[u8] = Marker::BlockEnd.bytes();
    match after.first() {
        None => Front::Prefix,
        Some(b'-') if after.starts_with(END) => Front::Marker(Marker::BlockStart),
        Some(b'-') if END.starts_with(after) => Front::Prefix,
        Some(b'-' | b'_' | b':' | b'.') => Front::Text,
        Some(byte) if byte.is_ascii_alphanumeric() => Front::Text,
        Some(_) => Front::Marker(Marker::BlockStart),
    }
}

/// This many bytes always decide: the longest prefix that does not is `<!--esi--`.
pub(crate) const DECIDING: usize = 10;

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// No marker begins here.
    Text,
    /// All of these bytes are the prefix of a marker: what follows decides.
    Prefix,
    /// A marker.
    Marker(Marker),
}

/// Which markers count at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Inside `<!--esi`: `-->` counts.
    pub(crate) block: bool,
    /// Inside `<esi:remove>`: only what can end it counts.
    pub(crate) remove: bool,
}

impl Scope {
    fn markers(self) -> &'static [Marker] {
        use Marker::{BlockEnd, BlockStart, EndTag, StartTag};
        match (self.remove, self.block) {
            (false, false) => &[StartTag, EndTag, BlockStart],
            (false, true) => &[StartTag, EndTag, BlockStart, BlockEnd],
            (true, false) => &[EndTag],
            (true, true) => &[EndTag, BlockEnd],
        }
    }

    /// Whether a marker may begin with `byte`.
    pub(crate) fn may_begin(self, byte: u8) -> bool {
        self.markers().iter().any(|marker| marker.bytes().first() == Some(&byte))
    }

    /// What stands at the front of `bytes`. [`Front::Prefix`] only for fewer than [`DECIDING`] bytes.
    pub(crate) fn front(self, bytes: &[u8]) -> Front {
        let mut front = Front::Text;
        for marker in self.markers() {
            match marker.at_front(bytes) {
                Front::Text => {}
                Front::Prefix => front = Front::Prefix,
                found @ Front::Marker(_) => return found,
            }
        }
        front
    }
}

/// A marker, or the prefix of one at the end of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bytes before it.
    pub(crate) at: usize,
    /// `None`: a prefix that reaches to the end.
    pub(crate) marker: Option<Marker>,
}

/// Searches, and counts what searching cost.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// The one thing all opening markers have in common, found faster than `<`, of which a page has thousands.
    esi: Finder<'static>,
    work: u64,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self { esi: Finder::new(b"esi"), work: 0 }
    }

    /// Bytes looked at so far.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// The first marker in `bytes`, or the prefix of one that they end with.
    pub(crate) fn find(&mut self, bytes: &[u8], scope: Scope) -> Option<Found> {
        let found = if scope == (Scope { block: false, remove: false }) {
            self.find_by_word(bytes, scope)
        } else {
            self.find_by_byte(bytes, scope)
        };
        self.count(found.map_or(bytes.len(), |found| found.at));
        found
    }

    fn find_by_word(&mut self, bytes: &[u8], scope: Scope) -> Option<Found> {
        let mut words = 0;
        let mut found = self.esi.find_iter(bytes).find_map(|word| {
            words += 1;
            let at = [&b"<"[..], b"</", b"<!--"]
                .into_iter()
                .find(|before| bytes[..word].ends_with(before))
                .map(|before| word - before.len())?;
            found(at, scope.front(&bytes[at..]))
        });
        if found.is_none() {
            // A prefix that stops before the whole word `esi`; it has one `<`, its first byte.
            let tail = bytes.len().saturating_sub(DECIDING - 1);
            found = memrchr(b'<', &bytes[tail..])
                .map(|at| tail + at)
                .and_then(|at| self::found(at, scope.front(&bytes[at..])));
        }
        self.count(words * DECIDING);
        found
    }

    fn find_by_byte(&mut self, bytes: &[u8], scope: Scope) -> Option<Found> {
        let mut candidates = 0;
        let found = memchr2_iter(b'<', b'-', bytes).find_map(|at| {
            candidates += 1;
            found(at, scope.front(&bytes[at..]))
        });
        self.count(candidates);
        found
    }

    /// Looks for the end of a tag in its next bytes.
    pub(crate) fn tag_end(&mut self, quotes: &mut Quotes, bytes: &[u8]) -> TagEnd {
        let end = quotes.tag_end(bytes);
        self.count(match end {
            TagEnd::Closed(length) | TagEnd::Broken(length) => length,
            TagEnd::Open => bytes.len(),
        });
        end
    }

    /// Counts bytes that were looked at.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.work = self.work.saturating_add(bytes as u64);
    }
}

fn found(at: usize, front: Front) -> Option<Found> {
    match front {
        Front::Text => None,
        Front::Prefix => Some(Found { at, marker: None }),
        Front::Marker(marker) => Some(Found { at, marker: Some(marker) }),
    }
}

/// Where a tag ends in the bytes looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagEnd {
    /// After this many bytes, the last of which is `>`.
    Closed(usize),
    /// It does not: after this many bytes comes a `<` that no tag may contain outside quotes.
    Broken(usize),
    /// Not here.
    Open,
}

/// Whether a tag's next byte is inside quotes.
///
/// Any quote character opens and closes, not only one after `=`, and on purpose: so the state before and after
/// a byte determine each other, two tags that begin at different places are never in the same state at the
/// same byte, and one of three such states dies at the next `<`. Hence however often unclosed tags make the
/// parser read bytes again, it reads no byte more than three times as part of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// An end tag: it has no attributes, so nothing is quoted.
    Never,
    Outside,
    Inside(u8),
}

impl Quotes {
    fn tag_end(&mut self, bytes: &[u8]) -> TagEnd {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if let Self::Inside(quote) = *self {
                let Some(length) = memchr(quote, rest) else {
                    return TagEnd::Open;
                };
                *self = Self::Outside;
                at += length + 1;
                continue;
            }
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'"' | b'\'')) else {
                return TagEnd::Open;
            };
            at += length;
            match bytes[at] {
                b'>' => return TagEnd::Closed(at + 1),
                b'<' => return TagEnd::Broken(at),
                quote if *self == Self::Outside => *self = Self::Inside(quote),
                _ => {}
            }
            at += 1;
        }
        TagEnd::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Scope = Scope { block: false, remove: false };
    const BLOCK: Scope = Scope { block: true, remove: false };
    const REMOVE: Scope = Scope { block: false, remove: true };

    #[test]
    fn what_a_front_is() {
        use Front::{Marker as Is, Prefix, Text};
        use Marker::{BlockEnd, BlockStart, EndTag, StartTag};
        for (bytes, scope, front) in [
            ("<esi:", OUTSIDE, Is(StartTag)),
            ("</esi:", OUTSIDE, Is(EndTag)),
            ("<esi ", OUTSIDE, Text),
            ("<ESI:", OUTSIDE, Text),
            ("<es", OUTSIDE, Prefix),
            ("<", REMOVE, Prefix),
            ("<e", REMOVE, Text),
            ("</esi:", REMOVE, Is(EndTag)),
            ("<!--esi ", OUTSIDE, Is(BlockStart)),
            ("<!--esi<", BLOCK, Is(BlockStart)),
            ("<!--esi", OUTSIDE, Prefix),
            ("<!--esi--", OUTSIDE, Prefix),
            ("<!--esi-->", OUTSIDE, Is(BlockStart)),
            ("<!--esi-note", OUTSIDE, Text),
            ("<!--esigate", OUTSIDE, Text),
            ("<!--esi:x", OUTSIDE, Text),
            ("-->", OUTSIDE, Text),
            ("-->", BLOCK, Is(BlockEnd)),
            ("--", BLOCK, Prefix),
            ("--x", BLOCK, Text),
        ] {
            assert_eq!(scope.front(bytes.as_bytes()), front, "{bytes}");
        }
    }

    #[test]
    fn deciding_bytes_decide() {
        for scope in [OUTSIDE, BLOCK, REMOVE] {
            for marker in scope.markers() {
                let mut bytes = marker.bytes().to_vec();
                bytes.resize(DECIDING, b'-');
                assert_ne!(scope.front(&bytes), Front::Prefix, "{marker:?}");
            }
        }
    }

    #[test]
    fn both_searches_find_the_same() {
        for text in [
            "",
            "no markup",
            "design <b>desire</b> esi:",
            "a<esi:x",
            "a</esi:x",
            "a<!--esi x",
            "a<!--esix",
            "a<",
            "a<e",
            "a</es",
            "a<!--esi",
            "a<!--esi--",
            "<<esi:",
            "<!--<esi:",
            "a<es b",
            "esi:",
            "/esi:",
            "<esi<esi:",
        ] {
            let bytes = text.as_bytes();
            let mut scanner = Scanner::new();
            assert_eq!(scanner.find_by_word(bytes, OUTSIDE), scanner.find_by_byte(bytes, OUTSIDE), "{text}");
        }
    }

    #[test]
    fn where_a_tag_ends() {
        use TagEnd::{Broken, Closed, Open};
        for (quotes, bytes, end) in [
            (Quotes::Outside, "include/>x", Closed(9)),
            (Quotes::Outside, "a b='>' c=\">\">x", Closed(14)),
            (Quotes::Outside, "a b=\"'\">x", Closed(8)),
            (Quotes::Outside, "a b=\"<\">", Closed(8)),
            (Quotes::Outside, "a <b>", Broken(2)),
            (Quotes::Outside, "a b=\">", Open),
            (Quotes::Outside, "", Open),
            (Quotes::Never, "remove \">", Closed(9)),
            (Quotes::Inside(b'"'), "x>\"/>", Closed(5)),
        ] {
            let mut state = quotes;
            assert_eq!(state.tag_end(bytes.as_bytes()), end, "{bytes}");
        }
    }
}
