//! A parsed template: text, includes and blocks in document order.

use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::block::Block;
use crate::expression::Context;
use crate::interpolation::Interpolation;

/// One part of a template, in document order. A body without ESI is only [`Piece::Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that go out as they are: a slice of a chunk that came in.
    Text(Bytes),
    /// A fragment to be put in this place.
    Include(Arc<Include>),
    /// What is decided for each request: `choose`, `try`, `vars` and their like, with the pieces of their branches.
    Block(Arc<Block>),
}

/// `<esi:include>`: a fragment to fetch (ESI 1.0, section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// The URI reference of the fragment, relative to the template; character references decoded, not empty,
    /// free of control characters; not otherwise checked.
    pub src: Box<str>,
    /// The reference to try when `src` cannot be had; made as `src`.
    pub alt: Option<Box<str>>,
    /// `onerror="continue"`: when neither can be had, the include is deleted silently.
    pub continue_on_error: bool,
    /// Line of the tag in the template, from 1.
    pub line: u32,
    /// Column of the tag in bytes, from 1.
    pub column: u32,
    /// What only the Akamai dialect has; none where the tag says nothing of it.
    pub options: Option<Box<IncludeOptions>>,
    /// `src`, `alt` and `entity` where they have variables in them; then the fields above hold them as written.
    pub(crate) references: Option<Box<References>>,
}

/// References that are computed for each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) src: Option<Interpolation>,
    pub(crate) alt: Option<Interpolation>,
    /// Of the Akamai dialect.
    pub(crate) entity: Option<Interpolation>,
}

/// Attributes of an include in the Akamai dialect. What is done with them is the processor's to decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncludeOptions {
    /// `maxwait`: the longest wait for the fragment.
    pub max_wait: Option<Duration>,
    /// `ttl`: the fragment's freshness lifetime.
    pub ttl: Option<Duration>,
    /// `no-store="on"`: the fragment is not stored.
    pub no_store: bool,
    /// `dca="none"`: the fragment is put in as it is; `dca="esi"`: it is processed. None: as the fragment's own rule says.
    pub process: Option<bool>,
    /// `method`, where it is `POST`.
    pub method: Option<Box<str>>,
    /// `entity`: the body that goes with the method.
    pub entity: Option<Box<str>>,
}

impl Include {
    /// An include of `src` and nothing else, at the beginning of a document.
    #[must_use]
    pub fn of(src: impl Into<Box<str>>) -> Self {
        let src = src.into();
        Self { src, alt: None, continue_on_error: false, line: 1, column: 1, options: None, references: None }
    }

    /// The same with its references as they are for one request; none where they have no variables.
    pub(crate) fn computed(&self, context: &mut Context<'_>) -> Option<Self> {
        let references = self.references.as_deref()?;
        let mut compute = |interpolation: &Option<Interpolation>, literal: Option<&str>| -> Option<Box<str>> {
            match interpolation {
                Some(interpolation) => Some(interpolation.reference(context).trim().into()),
                None => literal.map(Box::from),
            }
        };
        let src = compute(&references.src, Some(&self.src)).unwrap_or_default();
        let alt = compute(&references.alt, self.alt.as_deref()).filter(|alt| !alt.is_empty());
        let entity = compute(&references.entity, None);
        let mut options = self.options.clone();
        if let (Some(options), Some(entity)) = (&mut options, entity) {
            options.entity = Some(entity);
        }
        let on_error = self.continue_on_error;
        let (line, column) = (self.line, self.column);
        Some(Self { src, alt, continue_on_error: on_error, line, column, options, references: None })
    }

    /// Whether its references depend on the request.
    #[must_use]
    pub fn has_variables(&self) -> bool {
        self.references.is_some()
    }
}

/// What one document may cost. Reaching a limit never fails: it gives a warning and the documented reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Includes one template may have (section 3.1 leaves the number to the processor); further ones are dropped
    /// and counted. Default 256.
    pub max_includes: usize,
    /// Length of one ESI tag in bytes, `<` and `>` included; also what is held back of an unclosed tag.
    /// Default 16 KiB.
    pub max_tag_bytes: usize,
    /// Length of what one `<esi:remove>` removes, in bytes. It is held until its end tag comes, so that a
    /// forgotten end tag does not blank the rest of the page: beyond this the content is given back. Default 256 KiB.
    pub max_remove_bytes: usize,
    /// Bytes that all open containers (`choose`, `try`, `vars` and their like) may hold together until their end tags
    /// come. Default 4 MiB.
    pub max_container_bytes: usize,
    /// Containers within containers. Default 32.
    pub max_depth: usize,
    /// Warnings kept for one document; further ones are only counted. Default 32.
    pub max_warnings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_includes: 256,
            max_tag_bytes: 16 * 1024,
            max_remove_bytes: 256 * 1024,
            max_container_bytes: 4 * 1024 * 1024,
            max_depth: 32,
            max_warnings: 32,
        }
    }
}

/// The bookkeeping `bytes` allocates to share a buffer, rounded up to what an allocator gives for it.
pub(crate) const SHARED_BUFFER: usize = 32;
/// The two counts that stand before an `Arc`'s value.
const ARC_COUNTS: usize = 2 * size_of::<usize>();

/// Heap bytes that `pieces` cost beyond their text: the list itself, the shared buffers' bookkeeping, the
/// includes and their references.
#[must_use]
pub fn weight(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| size_of::<Piece>() + piece.heap_beyond_text()).fold(0, usize::saturating_add)
}

impl Piece {
    fn heap_beyond_text(&self) -> usize {
        match self {
            Self::Text(_) => SHARED_BUFFER,
            Self::Include(include) => {
                let alt = include.alt.as_ref().map_or(0, |alt| alt.len());
                let options = include.options.as_ref().map_or(0, |options| {
                    let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
                    size_of::<IncludeOptions>() + text(&options.method) + text(&options.entity)
                });
                let references = include.references.as_ref().map_or(0, |references| {
                    let part = |part: &Option<Interpolation>| part.as_ref().map_or(0, Interpolation::weight);
                    size_of::<References>() + part(&references.src) + part(&references.alt) + part(&references.entity)
                });
                ARC_COUNTS + size_of::<Include>() + include.src.len() + alt + options + references
            }
            Self::Block(block) => ARC_COUNTS + block.weight(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn include(src: &str, alt: Option<&str>) -> Piece {
        Piece::Include(Arc::new(Include { alt: alt.map(Into::into), ..Include::of(src) }))
    }

    #[test]
    fn weight_counts_the_list_and_the_includes_but_not_the_text() {
        assert_eq!(weight(&[]), 0);
        let short = weight(&[Piece::Text(Bytes::from_static(b"a"))]);
        let long = weight(&[Piece::Text(Bytes::from_static(&[b'a'; 4096]))]);
        assert_eq!(short, long);
        assert!(short >= size_of::<Piece>());

        let plain = weight(&[include("/a", None)]);
        assert_eq!(weight(&[include("/abc", None)]), plain + 2);
        assert_eq!(weight(&[include("/a", Some("/alt"))]), plain + 4);
        assert!(plain >= size_of::<Piece>() + size_of::<Include>() + 2);
    }
}
