//! What is wrong with a file, where, and what to write instead.

use std::fmt;
use std::sync::Arc;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file works, but perhaps not as meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1; 0 when the finding is about the file as a whole (it cannot be read).
    pub line: u32,
    /// Column in characters, from 1; 0 with line 0.
    pub column: u32,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The line of the file that `line` names.
    pub source_line: Option<String>,
    /// How many characters the caret line underlines, at least 1.
    pub width: u32,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.as_str();
        if self.line == 0 {
            write!(f, "{}: {severity}: {}", self.file, self.message)?;
        } else {
            write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)?;
        }
        if let Some(line) = self.source_line.as_deref().filter(|_| self.line > 0) {
            let number = self.line.to_string();
            let (shown, before) = window(line, self.column as usize);
            let rest = shown.chars().count().saturating_sub(before).max(1);
            let carets = "^".repeat((self.width as usize).clamp(1, rest));
            let (gutter, indent) = (" ".repeat(number.len()), " ".repeat(before));
            write!(f, "\n {number} | {}\n {gutter} | {indent}{carets}", shown.trim_end())?;
        }
        // Under the bar, or where it would stand beside a one-digit line number.
        let gutter = if self.line == 0 { 1 } else { self.line.to_string().len() };
        match &self.hint {
            Some(hint) => write!(f, "\n {} = hint: {hint}", " ".repeat(gutter)),
            None => Ok(()),
        }
    }
}

/// The part of a line that is shown, and how many characters stand before the caret in it. Control characters become
/// spaces, so that the caret stands where the eye expects it and a file cannot write escape sequences to a terminal.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 120;
    let caret = column.saturating_sub(1);
    let skip = if caret < WIDTH - 20 { 0 } else { caret - 40 };
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    (line.chars().skip(skip).take(WIDTH).map(clean).collect(), caret - skip)
}

/// Everything that is wrong, in the order of the files and their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Where a node stands in its text: line and column from 1, width in characters on that line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) width: u32,
}

/// A file's name and text: what a diagnostic quotes.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<str>,
    lines: Arc<[Box<str>]>,
}

/// The lines of a YAML text: a carriage return ends one too (YAML 1.2 §5.4), and places are counted so.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let (line, after) = text.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(line)
    })
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let lines = lines(text).map(Into::into).collect();
        Self { file: file.into(), lines }
    }

    pub(crate) fn diagnostic(&self, severity: Severity, at: At, message: String, hint: Option<String>) -> Diagnostic {
        let index = (at.line as usize).checked_sub(1);
        let source_line = index.and_then(|index| self.lines.get(index)).map(|line| line.clone().into_string());
        let file = self.file.as_ref().to_owned();
        // What the file says may stand in a message, and a file must not write escape sequences to a terminal.
        let clean = |text: String| text.replace(char::is_control, " ");
        let (message, hint) = (clean(message), hint.map(clean));
        Diagnostic {
            severity,
            file,
            line: at.line,
            column: at.column,
            message,
            hint,
            source_line,
            width: at.width.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32, width: u32) -> At {
        At { line, column, width }
    }

    #[test]
    fn shows_the_line_with_a_caret_and_a_hint() {
        let source = Source::new("copal.yaml", "a: 1\nrules:\n\t- nam: x\r\n");
        let diagnostic = source.diagnostic(
            Severity::Error,
            at(3, 4, 3),
            "unknown key `nam`".into(),
            Some("did you mean `name`?".into()),
        );
        let expected =
            "copal.yaml:3:4: error: unknown key `nam`\n 3 |  - nam: x\n   |    ^^^\n   = hint: did you mean `name`?";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn a_finding_about_the_whole_file_has_no_line() {
        let diagnostic =
            Source::new("x.yaml", "").diagnostic(Severity::Warning, At::default(), "is empty".into(), None);
        assert_eq!(diagnostic.to_string(), "x.yaml: warning: is empty");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("{}BAD{}", "x".repeat(500), "y".repeat(500));
        let shown = Source::new("f", &text).diagnostic(Severity::Error, at(1, 501, 3), "m".into(), None).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() < 140));
        let caret = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][caret..caret + 3], "BAD");
        assert!(lines[2].ends_with("^^^") && !lines[2].ends_with("^^^^"));
    }
}
