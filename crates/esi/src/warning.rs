//! What was wrong with a template, and where.

use std::fmt;

use crate::position::Position;

/// Longest name from a document that a message repeats, in characters.
const MAX_QUOTED: usize = 40;

/// Something in a template that was not read as its author may have meant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Line in the document, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
    /// What was found and what was done.
    pub message: Message,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// The kinds of warning; [`fmt::Display`] gives the sentence, [`Message::as_str`] the word for a metric label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An element that ESI does not have, by name.
    UnknownElement(Box<str>),
    /// An element of the Akamai dialect, which is not switched on.
    OtherDialect(&'static str),
    /// An element where it has no meaning: `when` outside of `choose`.
    Misplaced(&'static str),
    /// Something other than its branches directly within `choose` or `try`.
    NotABranch(&'static str),
    /// A container without its end tag.
    UnclosedContainer(&'static str),
    /// Containers hold more than [`crate::Limits::max_container_bytes`].
    ContainerTooLong(&'static str),
    /// Containers within containers beyond [`crate::Limits::max_depth`].
    TooDeep(&'static str),
    /// A second `otherwise`, `attempt` or `except`.
    DuplicateBranch(&'static str),
    /// A `test` that is missing or no expression.
    BadTest,
    /// `$(` that begins no variable.
    BadVariable,
    /// An attribute that is missing or cannot be read, by element and name.
    BadAttribute(&'static str, &'static str),
    /// A tag that has no `>` before other markup or the end.
    UnclosedTag,
    /// A tag longer than [`crate::Limits::max_tag_bytes`] without `>`.
    TagTooLong,
    /// An end tag without its start tag, by name.
    StrayEndTag(&'static str),
    /// `include` or `comment` written without `/>`.
    NotEmpty(&'static str),
    /// An `include` without a usable `src`.
    MissingSrc,
    /// A `src` or `alt` that is no URI reference.
    BadReference(&'static str),
    /// An attribute that `include` does not have, by name.
    UnknownAttribute(Box<str>),
    /// An attribute of the Akamai dialect that has no effect, by name.
    IgnoredAttribute(Box<str>),
    /// The same attribute twice.
    DuplicateAttribute(&'static str),
    /// `onerror` with something else than `continue`.
    BadOnError,
    /// More includes than [`crate::Limits::max_includes`].
    TooManyIncludes,
    /// `<esi:remove>` without its end tag within [`crate::Limits::max_remove_bytes`].
    UnclosedRemove,
    /// `<!--esi` without `-->`.
    UnclosedBlock,
    /// `<!--esi` within `<!--esi`.
    NestedBlock,
}

impl Message {
    /// The kind in kebab case.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownElement(_) => "unknown-element",
            Self::OtherDialect(_) => "other-dialect",
            Self::Misplaced(_) => "misplaced",
            Self::NotABranch(_) => "not-a-branch",
            Self::UnclosedContainer(_) => "unclosed-container",
            Self::ContainerTooLong(_) => "container-too-long",
            Self::TooDeep(_) => "too-deep",
            Self::DuplicateBranch(_) => "duplicate-branch",
            Self::BadTest => "bad-test",
            Self::BadVariable => "bad-variable",
            Self::BadAttribute(..) => "bad-attribute",
            Self::UnclosedTag => "unclosed-tag",
            Self::TagTooLong => "tag-too-long",
            Self::StrayEndTag(_) => "stray-end-tag",
            Self::NotEmpty(_) => "not-empty",
            Self::MissingSrc => "missing-src",
            Self::BadReference(_) => "bad-reference",
            Self::UnknownAttribute(_) => "unknown-attribute",
            Self::IgnoredAttribute(_) => "ignored-attribute",
            Self::DuplicateAttribute(_) => "duplicate-attribute",
            Self::BadOnError => "bad-onerror",
            Self::TooManyIncludes => "too-many-includes",
            Self::UnclosedRemove => "unclosed-remove",
            Self::UnclosedBlock => "unclosed-block",
            Self::NestedBlock => "nested-block",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownElement(name) => {
                write!(f, "ESI has no element <esi:{name}>: the tag is dropped, its content stays")
            }
            Self::OtherDialect(name) => write!(
                f,
                "<esi:{name}> is of the Akamai dialect, which is not switched on: the tag is dropped, its content stays"
            ),
            Self::Misplaced(name) => {
                write!(f, "<esi:{name}> has no meaning here: the tag is dropped, its content stays")
            }
            Self::NotABranch(name) => {
                write!(f, "only its branches may stand directly within <esi:{name}>: the rest is dropped")
            }
            Self::UnclosedContainer(name) => write!(f, "<esi:{name}> without </esi:{name}>: it ends where it must"),
            Self::ContainerTooLong(name) => {
                write!(f, "<esi:{name}> and what it stands in hold more than the limit")
            }
            Self::TooDeep(name) => {
                write!(f, "<esi:{name}> is nested too deep: the tag is dropped, its content stays")
            }
            Self::DuplicateBranch(name) => write!(f, "a second <esi:{name}>: it is dropped"),
            Self::BadTest => f.write_str("test is missing or no expression: this branch is never taken"),
            Self::BadVariable => f.write_str("$( begins no variable here: it is left as text"),
            Self::BadAttribute(element, name) => {
                write!(f, "<esi:{element}> without a usable {name}: it is dropped")
            }
            Self::UnclosedTag => f.write_str("this ESI tag has no end: it is dropped"),
            Self::TagTooLong => f.write_str("this ESI tag is longer than the limit: it is left as text"),
            Self::StrayEndTag(name) => {
                write!(f, "</esi:{name}> without <esi:{name}>: the tag is dropped")
            }
            Self::NotEmpty(name) => write!(f, "<esi:{name}> has no content: write <esi:{name} …/>"),
            Self::MissingSrc => f.write_str("<esi:include> without a usable src: it is dropped"),
            Self::BadReference(name) => write!(f, "{name} is not a URI reference: it is ignored"),
            Self::UnknownAttribute(name) => {
                write!(f, "<esi:include> has no attribute {name}: it is ignored")
            }
            Self::IgnoredAttribute(name) => {
                write!(f, "{name} has no effect: a fragment is asked for by GET or POST, with the visitor's own fields")
            }
            Self::DuplicateAttribute(name) => {
                write!(f, "{name} is given twice: the first one counts")
            }
            Self::BadOnError => f.write_str("onerror knows only \"continue\": it is ignored"),
            Self::TooManyIncludes => f.write_str("more includes than the limit: this one is dropped"),
            Self::UnclosedRemove => {
                f.write_str("<esi:remove> without </esi:remove> within the limit: nothing is removed")
            }
            Self::UnclosedBlock => f.write_str("<!--esi without -->: its content is processed up to the end"),
            Self::NestedBlock => f.write_str("<!--esi within <!--esi: the first --> ends both"),
        }
    }
}

/// A name from the document as a message may repeat it: short, and nothing in it that could forge a log line.
pub(crate) fn quoted(name: &str) -> Box<str> {
    name.escape_debug().take(MAX_QUOTED).collect::<String>().into()
}

/// The warnings of one document; at most [`crate::Limits::max_warnings`] are kept, the rest are counted.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    room: usize,
    kept: Vec<Warning>,
    suppressed: u64,
}

impl Warnings {
    pub(crate) fn new(max: usize) -> Self {
        Self { room: max, ..Self::default() }
    }

    /// Adds one; the message is only made when there is room for it.
    pub(crate) fn add(&mut self, at: Position, message: impl FnOnce() -> Message) {
        if self.room == 0 {
            self.suppressed = self.suppressed.saturating_add(1);
            return;
        }
        self.room -= 1;
        self.kept.push(Warning { line: at.line, column: at.column, message: message() });
    }

    pub(crate) fn take(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.kept)
    }

    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_beyond_the_limit_are_only_counted() {
        let mut warnings = Warnings::new(2);
        for _ in 0..5 {
            warnings.add(Position::START, || Message::UnclosedTag);
        }
        assert_eq!(warnings.take().len(), 2);
        warnings.add(Position::START, || Message::UnclosedTag);
        assert_eq!(warnings.take(), [], "the limit is one of the document, not of a call");
        assert_eq!(warnings.suppressed(), 4);
    }

    #[test]
    fn a_name_from_the_document_cannot_forge_a_log_line() {
        assert_eq!(&*quoted("a\nb"), "a\\nb");
        assert_eq!(quoted(&"x".repeat(500)).len(), MAX_QUOTED);
    }

    #[test]
    fn a_warning_reads_as_place_and_sentence() {
        let warning = Warning { line: 3, column: 7, message: Message::MissingSrc };
        assert_eq!(warning.to_string(), "3:7: <esi:include> without a usable src: it is dropped");
        assert_eq!(warning.message.as_str(), "missing-src");
    }
}
