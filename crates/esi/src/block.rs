//! Parts of a template that are decided for each request: choices, attempts, variables; loops and functions of the Akamai
//! dialect.

use std::sync::Arc;

use crate::expression::Expression;
use crate::interpolation::Interpolation;
use crate::template::{Piece, weight};

/// A container, with the pieces of its branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Line of its tag in the template, from 1.
    pub line: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text of `<esi:vars>` with its substitutions.
    Vars(Interpolation),
    /// `<esi:choose>` (section 3.3): the first branch whose test holds.
    Choose {
        branches: Vec<Branch>,
        otherwise: Box<[Piece]>,
    },
    /// `<esi:try>` (section 3.4).
    Try {
        attempt: Box<[Piece]>,
        except: Box<[Piece]>,
    },
    /// `<esi:inline>` (section 3.2): a fragment that came with the page. Nothing is put out in its place.
    Inline {
        name: Box<str>,
        body: Arc<[Piece]>,
    },
    Assign {
        name: Arc<str>,
        key: Option<Expression>,
        value: Assigned,
    },
    Foreach {
        item: Arc<str>,
        collection: Expression,
        body: Box<[Piece]>,
    },
    Break,
    Function {
        name: Box<str>,
        body: Arc<FunctionBody>,
    },
    Return(Expression),
}

/// What a variable is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    Expression(Expression),
    /// The text that the content of the long form comes to.
    Content(Box<[Piece]>),
}

/// `<esi:when>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// None: it could not be read, and never holds.
    pub(crate) test: Option<Expression>,
    /// Where the groups of a match go.
    pub(crate) match_name: Option<Arc<str>>,
    pub(crate) pieces: Box<[Piece]>,
}

/// The body of `<esi:function>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FunctionBody {
    pub(crate) pieces: Box<[Piece]>,
}

impl Block {
    /// Heap bytes beyond the text in it.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + match &self.kind {
                Kind::Vars(interpolation) => interpolation.weight(),
                Kind::Choose { branches, otherwise } => {
                    let branch = |branch: &Branch| {
                        let test = branch.test.as_ref().map_or(0, Expression::weight);
                        size_of::<Branch>() + test + weight(&branch.pieces)
                    };
                    branches.iter().map(branch).sum::<usize>() + weight(otherwise)
                }
                Kind::Try { attempt, except } => weight(attempt) + weight(except),
                Kind::Inline { name, body, .. } => name.len() + weight(body),
                Kind::Assign { name, key, value } => {
                    let value = match value {
                        Assigned::Expression(expression) => expression.weight(),
                        Assigned::Content(pieces) => weight(pieces),
                    };
                    name.len() + key.as_ref().map_or(0, Expression::weight) + value
                }
                Kind::Foreach { item, collection, body } => item.len() + collection.weight() + weight(body),
                Kind::Break => 0,
                Kind::Function { name, body } => name.len() + weight(&body.pieces),
                Kind::Return(value) => value.weight(),
            }
    }
}
