//! Runs the blocks of a template for one request, in document order: what remains is text and includes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::Value;
use crate::block::{Assigned, Block, Kind};
use crate::escape::Escape;
use crate::expression::Context;
use crate::template::{Include, Piece};

/// What a template comes to for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Bytes),
    /// With its references computed.
    Include(Arc<Include>),
    /// The first is put out unless one of its includes fails; then the second.
    Try(Vec<Part>, Vec<Part>),
}

/// How a run of pieces ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    Break,
    Return(Value),
}

/// The inline fragments that a page has brought so far, by name.
pub(crate) type Inlines = HashMap<Box<str>, Arc<[Piece]>>;

/// Most iterations of one loop.
const MAX_ITERATIONS: usize = 1_000;
/// Inline fragments within inline fragments.
const MAX_INLINE_DEPTH: usize = 8;

/// Runs the pieces of one page.
pub(crate) struct Run<'a, 'c> {
    pub(crate) context: &'a mut Context<'c>,
    pub(crate) escape: Escape,
    pub(crate) inlines: &'a mut Inlines,
    pub(crate) depth: usize,
}

impl Run<'_, '_> {
    /// Runs pieces in order and appends what they come to.
    pub(crate) fn pieces(&mut self, pieces: &[Piece], out: &mut Vec<Part>) -> Flow {
        for piece in pieces {
            if self.context.scope.is_exhausted() {
                return Flow::Break;
            }
            let flow = match piece {
                Piece::Text(text) => {
                    out.push(Part::Text(text.clone()));
                    Flow::On
                }
                Piece::Include(include) => self.include(include, out),
                Piece::Block(block) => self.block(block, out),
            };
            if flow != Flow::On {
                return flow;
            }
        }
        Flow::On
    }

    /// An include: with its references computed, or the inline fragment of that name.
    pub(crate) fn include(&mut self, include: &Arc<Include>, out: &mut Vec<Part>) -> Flow {
        let include = match include.computed(self.context) {
            Some(computed) => Arc::new(computed),
            None => Arc::clone(include),
        };
        if include.src.is_empty() && include.alt.is_none() {
            return Flow::On;
        }
        match self.inlines.get(&*include.src).map(Arc::clone) {
            Some(body) if self.depth < MAX_INLINE_DEPTH => {
                self.depth += 1;
                let flow = self.pieces(&body, out);
                self.depth -= 1;
                flow
            }
            _ => {
                out.push(Part::Include(include));
                Flow::On
            }
        }
    }

    /// One block.
    pub(crate) fn block(&mut self, block: &Block, out: &mut Vec<Part>) -> Flow {
        if !self.context.scope.step() {
            return Flow::Break;
        }
        match &block.kind {
            Kind::Vars(interpolation) => {
                interpolation.put(self.context, self.escape, |text| out.push(Part::Text(text)));
            }
            Kind::Choose { branches, otherwise } => {
                for branch in branches {
                    let outer = self.context.match_name.take();
                    self.context.match_name.clone_from(&branch.match_name);
                    let holds = branch.test.as_ref().is_some_and(|test| self.context.holds(test));
                    self.context.match_name = outer;
                    if holds {
                        return self.pieces(&branch.pieces, out);
                    }
                }
                return self.pieces(otherwise, out);
            }
            Kind::Try { attempt, except } => {
                let (mut first, mut second) = (Vec::new(), Vec::new());
                let flow = self.pieces(attempt, &mut first);
                // Run now, while the variables are what they are in this place.
                let _ = self.pieces(except, &mut second);
                out.push(Part::Try(first, second));
                return flow;
            }
            Kind::Inline { name, body, .. } => {
                self.inlines.insert(name.clone(), Arc::clone(body));
            }
            Kind::Assign { name, key, value } => {
                let key = key.as_ref().map(|key| self.context.evaluate(key));
                let value = match value {
                    Assigned::Expression(expression) => self.context.evaluate(expression),
                    Assigned::Content(pieces) => self.content(pieces),
                };
                self.context.scope.assign(name, key.as_ref(), value);
            }
            Kind::Foreach { item, collection, body } => return self.foreach(item, collection, body, out),
            Kind::Break => return Flow::Break,
            Kind::Function { name, body } => self.context.scope.define(name, body),
            Kind::Return(value) => return Flow::Return(self.context.evaluate(value)),
        }
        Flow::On
    }

    /// The text that pieces come to; includes have no place in it.
    fn content(&mut self, pieces: &[Piece]) -> Value {
        let (outer, mut out) = (self.escape, Vec::new());
        self.escape = Escape::Raw;
        let _ = self.pieces(pieces, &mut out);
        self.escape = outer;
        let mut text = String::new();
        for part in out {
            if let Part::Text(bytes) = part {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        Value::text(text)
    }

    fn foreach(
        &mut self,
        item: &Arc<str>,
        collection: &crate::expression::Expression,
        body: &[Piece],
        out: &mut Vec<Part>,
    ) -> Flow {
        let items: Vec<Value> = match self.context.evaluate(collection) {
            Value::List(items) => items.to_vec(),
            Value::Dictionary(entries) => entries
                .iter()
                .map(|(key, value)| Value::List(Arc::from([Value::Text(Arc::clone(key)), value.clone()])))
                .collect(),
            Value::Undefined => Vec::new(),
            single => vec![single],
        };
        for value in items.into_iter().take(MAX_ITERATIONS) {
            if !self.context.scope.step() {
                return Flow::On;
            }
            self.context.scope.assign(item, None, value);
            match self.pieces(body, out) {
                Flow::On => {}
                Flow::Break => break,
                returned @ Flow::Return(_) => return returned,
            }
        }
        Flow::On
    }
}

/// Calls a function that the template has defined.
pub(crate) fn call(name: &str, arguments: Vec<Value>, context: &mut Context<'_>) -> Value {
    let Some(body) = context.scope.function(name) else { return Value::Undefined };
    if !context.scope.enter(arguments) {
        return Value::Undefined;
    }
    let (mut out, mut inlines) = (Vec::new(), Inlines::new());
    let mut run = Run { context, escape: Escape::Raw, inlines: &mut inlines, depth: 0 };
    let flow = run.pieces(&body.pieces, &mut out);
    context.scope.leave();
    match flow {
        Flow::Return(value) => value,
        Flow::On | Flow::Break => Value::Undefined,
    }
}
