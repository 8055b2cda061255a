//! The order of assembly: which fragments to start now, and what may be put out next.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::Block;
use crate::escape::Escape;
use crate::expression::{Context, Dialect, Scope};
use crate::run::{Flow, Inlines, Part, Run};
use crate::template::{Include, Piece};
use crate::value::{NoVariables, Variables};

/// Names one include of one plan. Ids ascend in document order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId(usize);

/// What may be put out next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These bytes.
    Text(Bytes),
    /// The body of this fragment, which has been started; then [`Plan::done`].
    Fragment(FragmentId),
    /// Nothing now: for more pieces, or for a fragment that [`Plan::start_next`] may start once another is finished.
    Wait,
    /// Nothing more.
    End,
}

/// Assembles one page, without doing any of it: pieces go in by [`Plan::add`], and the caller starts, streams
/// and ends what the plan names. Fragments start in document order as soon as they are known, so that the time
/// of a page is that of its slowest fragment; everything is put out in document order.
///
/// The caller's loop is: start all that [`Plan::start_next`] gives; then do what [`Plan::next`] says.
///
/// Blocks (`choose`, `vars` and their like) are run when they are added, in document order: what remains of them is text and
/// includes. What stands in `<esi:attempt>` is put out once its includes are known not to fail; when one does, what
/// `<esi:except>` has comes in its place. What stands after it starts meanwhile.
///
/// The plan never waits for itself: what is next is text, or a fragment that runs, or was started and waits for
/// nothing but its own body; only while `max_concurrent` fragments that were already put out have not been
/// reported as finished can the next one be held up.
pub struct Plan {
    max_concurrent: usize,
    max_includes: usize,
    read_ahead: usize,
    queue: VecDeque<Slot>,
    /// Fragments not started yet, in document order.
    waiting: VecDeque<(FragmentId, Arc<Include>)>,
    running: Vec<FragmentId>,
    /// How far each fragment is, by its id.
    states: Vec<State>,
    /// Attempts in the queue, by number.
    attempts: Vec<Attempt>,
    language: Option<Box<Language>>,
    /// Bytes of text in the queue, with what a slot costs.
    queued: usize,
    dropped: usize,
    ended: bool,
    setting: Setting,
}

#[derive(Debug)]
enum Slot {
    Text(Bytes),
    Fragment(FragmentId),
    /// What an attempt puts out begins and ends.
    AttemptStart(usize),
    AttemptEnd(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Started,
    /// Its work is over, or what it brings is certain to be put out.
    Sound,
    Failed,
}

/// An `<esi:attempt>` that is in the queue.
#[derive(Debug)]
struct Attempt {
    /// Its includes, those of attempts within it left out: they have an `except` of their own.
    fragments: Vec<FragmentId>,
    /// What comes in its place.
    except: Vec<Part>,
}

/// What blocks are run with; only made when there is one.
struct Language {
    scope: Scope,
    inlines: Inlines,
}

/// What the blocks of a template may know and how their values are put out.
#[derive(Clone)]
pub struct Setting {
    /// The variables of the request.
    pub variables: Arc<dyn Variables + Send + Sync>,
    /// How values are made safe.
    pub escape: Escape,
    /// The language of the template.
    pub dialect: Dialect,
}

impl Default for Setting {
    fn default() -> Self {
        Self { variables: Arc::new(NoVariables), escape: Escape::default(), dialect: Dialect::default() }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("escape", &self.escape).field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Slot {
    fn cost(&self) -> usize {
        let text = match self {
            Self::Text(text) => text.len(),
            Self::Fragment(_) | Self::AttemptStart(_) | Self::AttemptEnd(_) => 0,
        };
        size_of::<Self>() + text
    }
}

impl Plan {
    /// Bytes that are read ahead by default while a fragment is waited for.
    pub const DEFAULT_READ_AHEAD: usize = 1024 * 1024;

    /// A plan with at most `max_concurrent` fragments under way at a time (0 counts as 1) and at most `max_includes`
    /// fragments in all.
    #[must_use]
    pub fn new(max_concurrent: usize, max_includes: usize) -> Self {
        Self {
            max_concurrent: max_concurrent.max(1),
            max_includes,
            read_ahead: Self::DEFAULT_READ_AHEAD,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            states: Vec::new(),
            attempts: Vec::new(),
            language: None,
            queued: 0,
            dropped: 0,
            ended: false,
            setting: Setting::default(),
        }
    }

    /// Sets what blocks are run with.
    #[must_use]
    pub fn with_setting(mut self, setting: Setting) -> Self {
        self.setting = setting;
        self
    }

    /// Sets how many bytes of template [`Plan::wants_more`] reads ahead.
    #[must_use]
    pub fn with_read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Adds the next piece of the template. An include beyond `max_includes` is dropped and counted, see
    /// [`Plan::dropped`].
    pub fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.add_text(text),
            Piece::Include(include) if self.language.is_none() && !include.has_variables() => {
                self.add_include(include, None);
            }
            Piece::Include(include) => {
                let mut parts = Vec::new();
                self.run(|run| run.include(&include, &mut parts));
                self.add_parts(parts, None);
            }
            Piece::Block(block) => self.add_block(&block),
        }
    }

    fn add_block(&mut self, block: &Arc<Block>) {
        let mut parts = Vec::new();
        self.run(|run| run.block(block, &mut parts));
        self.add_parts(parts, None);
    }

    fn run(&mut self, work: impl FnOnce(&mut Run<'_, '_>) -> Flow) {
        let language = self
            .language
            .get_or_insert_with(|| Box::new(Language { scope: Scope::default(), inlines: Inlines::new() }));
        let mut context = Context {
            variables: &*self.setting.variables,
            scope: &mut language.scope,
            dialect: self.setting.dialect,
            match_name: None,
        };
        let mut run =
            Run { context: &mut context, escape: self.setting.escape, inlines: &mut language.inlines, depth: 0 };
        // Outside of a loop or a function, `break` and `return` have nothing to end.
        let _ = work(&mut run);
    }

    fn add_parts(&mut self, parts: Vec<Part>, attempt: Option<usize>) {
        for part in parts {
            match part {
                Part::Text(text) => self.add_text(text),
                Part::Include(include) => self.add_include(include, attempt),
                Part::Try(first, except) => {
                    let number = self.attempts.len();
                    self.attempts.push(Attempt { fragments: Vec::new(), except });
                    self.push(Slot::AttemptStart(number));
                    self.add_parts(first, Some(number));
                    self.push(Slot::AttemptEnd(number));
                }
            }
        }
    }

    fn add_text(&mut self, text: Bytes) {
        if !text.is_empty() {
            self.push(Slot::Text(text));
        }
    }

    fn add_include(&mut self, include: Arc<Include>, attempt: Option<usize>) {
        if self.states.len() >= self.max_includes {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let id = FragmentId(self.states.len());
        self.states.push(State::Waiting);
        self.waiting.push_back((id, include));
        if let Some(attempt) = attempt.and_then(|number| self.attempts.get_mut(number)) {
            attempt.fragments.push(id);
        }
        self.push(Slot::Fragment(id));
    }

    fn push(&mut self, slot: Slot) {
        self.queued = self.queued.saturating_add(slot.cost());
        self.queue.push_back(slot);
    }

    /// No more pieces will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether to add pieces although there is something to do: true while less than the read-ahead is queued, so
    /// that fragments further on are found while an earlier one is slow. What is queued of a stored template
    /// costs no memory of its own; of one that is just coming in it does.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.ended && self.queued < self.read_ahead
    }

    /// The next fragment to start, in document order, while fewer than `max_concurrent` are under way.
    pub fn start_next(&mut self) -> Option<(FragmentId, Arc<Include>)> {
        if self.running.len() >= self.max_concurrent {
            return None;
        }
        let (id, include) = self.waiting.pop_front()?;
        self.running.push(id);
        self.set(id, State::Started);
        Some((id, include))
    }

    /// The work for this fragment is over and its slot free, though its body may still have to be put out.
    /// Again, or for a fragment that is not under way, it does nothing.
    pub fn finished(&mut self, id: FragmentId) {
        self.running.retain(|running| *running != id);
        if self.state(id) == Some(State::Started) {
            self.set(id, State::Sound);
        }
    }

    /// As [`Plan::finished`], for a fragment that could not be had and that nothing stands for (neither `alt` nor
    /// `onerror`): within an attempt, its `except` is put out.
    pub fn failed(&mut self, id: FragmentId) {
        self.running.retain(|running| *running != id);
        if self.state(id) == Some(State::Started) {
            self.set(id, State::Failed);
        }
    }

    /// Whether an include stands within an attempt, so that its failure is caught.
    #[must_use]
    pub fn is_attempted(&self, id: FragmentId) -> bool {
        self.attempts.iter().any(|attempt| attempt.fragments.contains(&id))
    }

    /// What may be put out next. Text is handed over; a fragment stays next until [`Plan::done`].
    #[expect(clippy::should_implement_trait, reason = "`Wait` is no end, so this is no iterator")]
    pub fn next(&mut self) -> Next {
        loop {
            match self.queue.front() {
                Some(Slot::Text(text)) => {
                    let text = text.clone();
                    self.pop();
                    return Next::Text(text);
                }
                Some(Slot::Fragment(id)) if self.state(*id) != Some(State::Waiting) => return Next::Fragment(*id),
                Some(Slot::Fragment(_)) => return Next::Wait,
                Some(Slot::AttemptEnd(_)) => self.pop(),
                Some(Slot::AttemptStart(number)) => {
                    let number = *number;
                    match self.outcome(number) {
                        Some(true) => self.pop(),
                        Some(false) => self.fall_back(number),
                        None => return Next::Wait,
                    }
                }
                None if self.ended => return Next::End,
                None => return Next::Wait,
            }
        }
    }

    /// Whether an attempt has come to something: `Some(false)` when one of its includes failed.
    fn outcome(&self, number: usize) -> Option<bool> {
        let fragments = self.attempts.get(number).map(|attempt| attempt.fragments.as_slice()).unwrap_or_default();
        if fragments.iter().any(|id| self.state(*id) == Some(State::Failed)) {
            return Some(false);
        }
        fragments.iter().all(|id| self.state(*id) == Some(State::Sound)).then_some(true)
    }

    /// Puts what `except` has in the place of an attempt that failed. Its fragments are of no use any more.
    fn fall_back(&mut self, number: usize) {
        while let Some(slot) = self.queue.front() {
            let end = matches!(slot, Slot::AttemptEnd(of) if *of == number);
            if let Slot::Fragment(id) = slot {
                let id = *id;
                self.running.retain(|running| *running != id);
                self.waiting.retain(|(waiting, _)| *waiting != id);
            }
            self.pop();
            if end {
                break;
            }
        }
        let except = self.attempts.get_mut(number).map(|attempt| std::mem::take(&mut attempt.except));
        // What is added goes to the end, and from there before what was already in the queue.
        let (before, waiting) = (self.queue.len(), self.waiting.len());
        self.add_parts(except.unwrap_or_default(), None);
        self.queue.rotate_left(before);
        self.waiting.rotate_left(waiting);
    }

    /// The body of this fragment, or what stands for it, is out. This also counts as [`Plan::finished`].
    /// For a fragment that is not next, only that.
    pub fn done(&mut self, id: FragmentId) {
        self.finished(id);
        let started = self.state(id).is_some_and(|state| state != State::Waiting);
        if matches!(self.queue.front(), Some(Slot::Fragment(next)) if *next == id && started) {
            self.pop();
        }
    }

    /// How many includes were dropped because of `max_includes`.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// How many fragments are under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    fn pop(&mut self) {
        if let Some(slot) = self.queue.pop_front() {
            self.queued = self.queued.saturating_sub(slot.cost());
        }
    }

    fn state(&self, id: FragmentId) -> Option<State> {
        self.states.get(id.0).copied()
    }

    fn set(&mut self, id: FragmentId, state: State) {
        if let Some(slot) = self.states.get_mut(id.0) {
            *slot = state;
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("queue", &self.queue)
            .field("waiting", &self.waiting.len())
            .field("running", &self.running)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
