//! Entity tags (RFC 9110 §8.8.3).

use crate::list::is_tchar;

/// An entity tag; `opaque` has its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads one tag, whether its form is right or not. Only `W/` marks a weak one: `w/"a"` is a tag without quotes that contains some.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (weak, opaque) = match value.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, value),
        };
        (!opaque.is_empty()).then_some(Self { weak, opaque })
    }

    /// Weak comparison (§8.8.3.2): same characters.
    ///
    /// Some origins send tags without quotes, and some clients lose them. Such a tag equals the same bytes, and the same bytes in quotes where
    /// they can be nothing else: a plain token without a weakness mark, not `*`.
    pub(crate) fn weak_eq(&self, other: &EntityTag<'_>) -> bool {
        self.opaque == other.opaque || self.is_bare(other) || other.is_bare(self)
    }

    /// Strong comparison (§8.8.3.2): same characters and neither is weak, nor wrong by its form.
    pub(crate) fn strong_eq(&self, other: &EntityTag<'_>) -> bool {
        self.is_strong() && other.is_strong() && self.opaque == other.opaque
    }

    /// Whether this is a strong validator (§8.8.1): no weakness mark, and well-formed.
    pub(crate) fn is_strong(&self) -> bool {
        !self.weak && self.is_well_formed()
    }

    /// Whether this is a tag by its form, not a date (which begins with neither `"` nor `W/`).
    pub(crate) fn is_well_formed(&self) -> bool {
        quoted_tag_length(self.opaque) == Some(self.opaque.len())
    }

    /// The tag with its quotes, without its weakness mark.
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.opaque
    }

    /// Whether this is the text of `quoted` without its quotes.
    fn is_bare(&self, quoted: &EntityTag<'_>) -> bool {
        let [b'"', inside @ .., b'"'] = quoted.opaque else {
            return false;
        };
        !self.weak && self.opaque == inside && inside != b"*" && inside.iter().all(|&byte| is_tchar(byte))
    }
}

/// The tags of one `If-None-Match` line. Commas inside a tag do not separate, and a backslash does not escape (§8.8.3).
pub(crate) fn tags(line: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                return None;
            }
            let prefix = if rest.starts_with(b"W/") { 2 } else { 0 };
            let quoted = quoted_tag_length(&rest[prefix..]).map_or(0, |length| prefix + length);
            let end = rest[quoted..].iter().position(|&byte| byte == b',').map_or(rest.len(), |comma| quoted + comma);
            let (tag, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if let Some(tag) = EntityTag::parse(tag) {
                return Some(tag);
            }
        }
    })
}

/// The length of a quoted opaque tag with its quotes; unlike in a quoted string a backslash is an ordinary character.
fn quoted_tag_length(text: &[u8]) -> Option<usize> {
    let inside = text.strip_prefix(b"\"")?;
    let end = inside.iter().position(|&byte| byte == b'"')?;
    Some(end + 2)
}
