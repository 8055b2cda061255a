//! ESI 1.0 ("ESI Language Specification 1.0", W3C Note of 4 August 2001): scanner, parser, template and
//! assembly plan; sans-io.
//!
//! A [`Parser`] is fed the chunks of a response body as they come and gives [`Piece`]s: slices of the chunks
//! and [`Include`]s in document order. It is run once, while the body is stored; a hit only walks the pieces.
//! A [`Plan`] turns pieces into an order of work: which fragments to start now, and what may be put out next.
//!
//! # What the parser does with what it reads
//!
//! It looks for three byte strings, `<esi:`, `</esi:` and `<!--esi`, and nothing else: it knows no HTML, so
//! ESI works in scripts, JSON, CDATA and plain comments, and broken markup cannot hide it. Everything that is
//! not one of these passes byte for byte, as slices of the chunks that came in.
//!
//! | In the body | Out |
//! |---|---|
//! | `<esi:include src alt onerror/>` | an [`Include`] |
//! | the same without `/>`, with or without `</esi:include>` | the same, and a warning |
//! | an include without `src`, or with one that cannot be a URI reference | dropped, and a warning |
//! | an include beyond [`Limits::max_includes`] | dropped, counted, and a warning |
//! | `<esi:comment …/>` | dropped |
//! | `<esi:remove> … </esi:remove>` | dropped with everything in it, ESI too |
//! | `<!--esi` … `-->` | the two markers dropped, what is between them processed; the first `-->` ends it |
//! | `<!--esi` before a name character (`<!--esigate`) | text: it is somebody's comment |
//! | `<esi:choose>` with `when` and `otherwise`, `<esi:try>` with `attempt` and `except` | a [`Block`]: decided for each request |
//! | anything but its branches directly within `choose` or `try` | dropped, and a warning unless it is whitespace |
//! | `<esi:vars>` … `</esi:vars>` | its content, in which variables are live; elsewhere `$(` is text |
//! | `<esi:inline name>` … `</esi:inline>` | nothing in its place; includes of that `src` further on in the page are served by it |
//! | elements of the Akamai dialect, when [`Dialect::Akamai`] is not set, and unknown ones | tags dropped, content kept, and a warning |
//! | a `when` whose `test` is missing or no expression | never taken, and a warning |
//! | `<ESI:include/>`, `<Esi:…>` | text: names are lower case (section 3), and no serialiser changes them |
//!
//! # When the markup is broken
//!
//! Nothing fails, nothing is blanked, and each case gives a [`Warning`] with line and column:
//!
//! * A tag ends at the first `>` outside quotes. One that meets a `<` outside quotes, the end of the body, or
//!   [`Limits::max_tag_bytes`] before that is *unclosed*: it is dropped up to its first `>` whatever the quotes
//!   say, else up to that `<` or the end, and reading goes on from there. Only a tag that reaches the limit
//!   with no `>` at all is left as text.
//! * An `<esi:remove>` without its end tag within [`Limits::max_remove_bytes`] or before the end of the body
//!   is read as if its start tag were not there: a forgotten end tag costs one fallback shown too much, never
//!   the rest of the page.
//! * A container without its end tag ends where the container around it does, or the document: what was to be decided on stays
//!   decided on, so that nobody sees a branch that is not theirs. What stood beside the branches stays. Containers that
//!   hold more than [`Limits::max_container_bytes`] lose the rest up to their end tag.
//! * A `<!--esi` without `-->` has had its content processed all the same.
//! * End tags without a start are dropped.

mod block;
mod copy;
mod escape;
mod expression;
mod include;
mod interpolation;
mod parser;
mod plan;
mod position;
mod run;
mod scanner;
mod tag;
mod template;
mod tree;
mod value;
mod warning;

#[cfg(test)]
mod tests;

pub use block::Block;
pub use escape::Escape;
pub use expression::Dialect;
pub use parser::Parser;
pub use plan::{FragmentId, Next, Plan, Setting};
pub use template::{Include, IncludeOptions, Limits, Piece, weight};
pub use tree::tree;
pub use value::{NoVariables, Value, Variables};
pub use warning::{Message, Warning};
