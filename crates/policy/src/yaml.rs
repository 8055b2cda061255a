//! Text to a tree of nodes that know where they stand. The only file that names the YAML library: its event parser
//! gives a place to every node and the text of every scalar as written, so that a value such as `010` or `1.20` never
//! turns into a number on the way, and all errors of the file can be collected.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::diagnostic::{At, lines};

/// Deeper nesting is no configuration.
const MAX_DEPTH: usize = 32;
/// Aliases may not blow a small file up beyond this many nodes.
const MAX_NODES: usize = 100_000;

/// One value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn scalar(text: &str, at: At) -> Self {
        Self { at, value: Value::Scalar(text.to_owned()) }
    }

    /// What stands there instead of what was asked for, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text) => quoted(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Number of nodes, and how deep they nest.
    fn measure(&self) -> (usize, usize) {
        let parts: Vec<(usize, usize)> = match &self.value {
            Value::Null | Value::Scalar(_) => Vec::new(),
            Value::List(items) => items.iter().map(Self::measure).collect(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.measure()).collect(),
        };
        let depth = parts.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        (1 + parts.iter().map(|(nodes, _)| nodes).sum::<usize>(), 1 + depth)
    }
}

/// A text of the file for a message: in backquotes, and not endless.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}...`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// What is wrong with the YAML itself.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) at: At,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Reads one document. A syntax error ends the reading: there is no tree then. Repeated keys do not: the first stays.
pub(crate) fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut builder = Builder::default();
    match builder.run(text) {
        Ok(()) => (builder.root, builder.problems),
        Err(problem) => {
            builder.problems.push(problem);
            (None, builder.problems)
        }
    }
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    problems: Vec<Problem>,
}

/// A list or mapping that is still open.
struct Frame {
    at: At,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, At)> },
}

impl Builder {
    fn run(&mut self, text: &str) -> Result<(), Problem> {
        let mut parser = Parser::new_from_str(text);
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| {
                let mark = error.marker();
                syntax_error(text, place(mark.line(), mark.col(), 1), &error.info())
            })?;
            self.event(event, at(&span))?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, at: At) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(problem(at, "a second document begins here", "write one document, without `---`"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                let plain = matches!(style, ScalarStyle::Plain);
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar(text.into_owned()) };
                self.add(Node { at, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                self.open(Frame { at, anchor, open: Open::List(Vec::new()) })?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                self.open(Frame { at, anchor, open: Open::Map { entries: Vec::new(), key: None } })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => self.alias(anchor, at)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), Problem> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(problem(frame.at, "nested too deeply", "no key of Copal lies that deep"));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let value = match frame.open {
            Open::List(items) => Value::List(items),
            Open::Map { entries, .. } => Value::Map(self.merge(entries)),
        };
        self.add(Node { at: frame.at, value }, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, at: At) -> Result<(), Problem> {
        // An anchor is known once its node is complete, so a node cannot contain itself.
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(problem(at, "this alias stands within what it names", "write the value out"));
        };
        let (nodes, depth) = node.measure();
        self.nodes += nodes;
        if depth + self.stack.len() > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(problem(at, "aliases make this file too large", "write the values out"));
        }
        self.add(node, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(problem(node.at, "the file has too many values", "split it into policies"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { entries, key }) => match key.take() {
                None => *key = Some(key_text(node)?),
                Some((key, key_at)) => match entries.iter().find(|entry| entry.key == key) {
                    Some(first) => {
                        let hint = format!("it stands on line {} already; keep one of them", first.key_at.line);
                        self.problems.push(problem(key_at, &format!("key {} stands twice", quoted(&key)), &hint));
                    }
                    None => entries.push(Entry { key, key_at, node }),
                },
            },
        }
        Ok(())
    }

    /// `<<: *common`: the mapping's own keys win, then the merged ones in order.
    fn merge(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let Some(place) = entries.iter().position(|entry| entry.key == "<<") else {
            return entries;
        };
        let merged = entries.remove(place);
        let sources = match merged.node.value {
            Value::List(items) => items,
            value => vec![Node { at: merged.node.at, value }],
        };
        for source in sources {
            let Value::Map(more) = source.value else {
                self.problems.push(problem(source.at, "`<<` takes a mapping", "write `<<: *name`"));
                continue;
            };
            for entry in more {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn check_tag(&mut self, tag: Option<&Tag>, at: At) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let message = format!("the tag `{}` means nothing here", tag.original());
            self.problems.push(problem(at, &message, "leave the tag out"));
        }
    }
}

fn key_text(node: Node) -> Result<(String, At), Problem> {
    match node.value {
        Value::Scalar(text) => Ok((text, node.at)),
        Value::Null => Ok((String::new(), node.at)),
        Value::List(_) | Value::Map(_) => Err(problem(node.at, "a key must be a word", "write `key: value`")),
    }
}

fn problem(at: At, message: &str, hint: &str) -> Problem {
    Problem { at, message: message.to_owned(), hint: Some(hint.to_owned()) }
}

fn syntax_error(text: &str, at: At, info: &str) -> Problem {
    let line = lines(text).nth((at.line as usize).saturating_sub(1)).unwrap_or_default();
    let indented_by_tab = line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    let hint = if indented_by_tab {
        "YAML is indented by spaces, never by tabs"
    } else if line.contains(": *") || line.contains("- *") || line.contains("[*") {
        "put a value that begins with `*` in quotes"
    } else if line.contains(": @") || line.contains(": `") || line.contains(": %") {
        "put a value that begins with this character in quotes"
    } else {
        "check the indentation, the colons and the quotes on this line and the one before"
    };
    Problem { at, message: format!("this is not YAML: {info}"), hint: Some(hint.to_owned()) }
}

fn at(span: &Span) -> At {
    let (start, end) = (span.start, span.end);
    let width = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { usize::MAX };
    place(start.line(), start.col(), width)
}

fn place(line: usize, column0: usize, width: usize) -> At {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    At { line: narrow(line), column: narrow(column0.saturating_add(1)), width: narrow(width.max(1)) }
}

#[cfg(test)]
#[path = "tests/yaml.rs"]
mod tests;
