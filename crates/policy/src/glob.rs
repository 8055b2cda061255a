//! Globs: `NameGlob` for names and values (`SESS*`), `PathGlob` for paths (`/blog/**`). Matching never allocates, and
//! takes time linear in the text, whatever the pattern: the text comes from strangers.

use regex::Regex;

/// Why a glob cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    #[error("is empty")]
    Empty,
    #[error("does not begin with `/`")]
    NoSlash,
    #[error("has `?`, which is no wildcard and cannot stand in a path")]
    QuestionMark,
    #[error("has more than two stars in a row")]
    Stars,
    #[error("has `{{` without `}}`, or the other way round")]
    Brace,
    #[error("has too many alternatives in braces")]
    TooManyAlternatives,
    #[error("is not a regular expression: {0}")]
    Regex(String),
}

/// A glob over a name or a value: `*` stands for any characters, also none. Case counts unless said otherwise. A name may
/// also be given by a regular expression.
#[derive(Clone, Debug)]
pub(crate) struct NameGlob {
    text: Box<str>,
    shape: Shape,
    ignore_case: bool,
}

/// Literal text between the stars. With one kind of star only, taking the leftmost place for each inner piece is
/// right, so no backtracking is needed.
#[derive(Clone, Debug)]
enum Shape {
    Exact,
    Pieces { first: Box<str>, inner: Box<[Box<str>]>, last: Box<str> },
    Regex(Regex),
}

impl NameGlob {
    pub(crate) fn new(text: &str) -> Self {
        Self::build(text, false)
    }

    /// ASCII case is ignored, as in host names (RFC 9110 section 4.2.3).
    pub(crate) fn ignoring_case(text: &str) -> Self {
        Self::build(text, true)
    }

    fn build(text: &str, ignore_case: bool) -> Self {
        let mut pieces = text.split('*');
        let first = pieces.next().unwrap_or_default();
        let mut inner: Vec<Box<str>> = pieces.map(Box::from).collect();
        let shape = match inner.pop() {
            None => Shape::Exact,
            Some(last) => {
                inner.retain(|piece| !piece.is_empty());
                Shape::Pieces { first: first.into(), inner: inner.into(), last }
            }
        };
        Self { text: text.into(), shape, ignore_case }
    }

    /// What stands after a `~`: a regular expression, not anchored.
    pub(crate) fn regex(pattern: &str) -> Result<Self, GlobError> {
        let regex = Regex::new(pattern).map_err(|error| GlobError::Regex(regex_message(&error)))?;
        Ok(Self { text: format!("~{pattern}").into(), shape: Shape::Regex(regex), ignore_case: false })
    }

    /// The pattern as written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name itself when the pattern has no star.
    pub(crate) fn exact(&self) -> Option<&str> {
        matches!(self.shape, Shape::Exact).then_some(&*self.text)
    }

    /// The text before the star when the only star is at the end.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match &self.shape {
            Shape::Pieces { first, inner, last } if inner.is_empty() && last.is_empty() => Some(first),
            _ => None,
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.matches_bytes(text.as_bytes())
    }

    pub(crate) fn matches_bytes(&self, text: &[u8]) -> bool {
        let (first, inner, last) = match &self.shape {
            Shape::Exact => return self.equal(text, self.text.as_bytes()),
            Shape::Regex(regex) => return std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text)),
            Shape::Pieces { first, inner, last } => (first, inner, last),
        };
        let (first, last) = (first.as_bytes(), last.as_bytes());
        if text.len() < first.len() + last.len() {
            return false;
        }
        let (head, rest) = text.split_at(first.len());
        let (mut rest, tail) = rest.split_at(rest.len() - last.len());
        if !self.equal(head, first) || !self.equal(tail, last) {
            return false;
        }
        for piece in inner {
            match self.find(rest, piece.as_bytes()) {
                Some(place) => rest = &rest[place + piece.len()..],
                None => return false,
            }
        }
        true
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        if self.ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
    }

    fn find(&self, text: &[u8], piece: &[u8]) -> Option<usize> {
        text.windows(piece.len()).position(|window| self.equal(window, piece))
    }

    /// Whether some text fits both patterns (both case-sensitive). Of a regular expression and a glob that is known only
    /// where the glob is a whole name.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (&self.shape, &other.shape) {
            (Shape::Regex(_), Shape::Regex(_)) => self.text == other.text,
            (Shape::Regex(regex), _) => other.exact().is_some_and(|name| regex.is_match(name)),
            (_, Shape::Regex(regex)) => self.exact().is_some_and(|name| regex.is_match(name)),
            _ => overlap(self.text.as_bytes(), other.text.as_bytes()),
        }
    }
}

/// Reachable states of both patterns read side by side, one row at a time.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            row[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(b'*'), Some(_)) => below[j] || row[j + 1],
                (Some(b'*'), None) => below[j],
                (Some(_), Some(b'*')) => row[j + 1] || below[j],
                (None, Some(b'*')) => row[j + 1],
                (Some(x), Some(y)) => x == y && below[j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
        below = row;
    }
    below[0]
}

/// A glob over a path. `*` stands for characters within a segment; `**` between slashes for any number of segments,
/// also none (`/a/**` fits `/a`, `/a/` and `/a/b/c`); `**` elsewhere for any characters. A leading `~` makes it a
/// regular expression (not anchored, linear time).
#[derive(Clone, Debug)]
pub(crate) struct PathGlob {
    text: Box<str>,
    kind: PathKind,
}

#[derive(Clone, Debug)]
enum PathKind {
    Any,
    Exact,
    /// The path itself, and everything below it.
    Under(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    /// Segment by segment; `below` = anything may follow.
    Segments {
        segments: Box<[NameGlob]>,
        below: bool,
    },
    Regex(Regex),
}

impl PathGlob {
    /// Compiles one pattern; braces (`*.{css,js}`) give one glob for each alternative.
    pub(crate) fn compile(text: &str) -> Result<Vec<Self>, GlobError> {
        if let Some(pattern) = text.strip_prefix('~') {
            let regex = Regex::new(pattern.trim_start()).map_err(|error| GlobError::Regex(regex_message(&error)))?;
            return Ok(vec![Self { text: text.into(), kind: PathKind::Regex(regex) }]);
        }
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.contains('?') {
            return Err(GlobError::QuestionMark);
        }
        alternatives(text)?.into_iter().map(|glob| Self::one(&glob)).collect()
    }

    fn one(glob: &str) -> Result<Self, GlobError> {
        if !glob.starts_with('/') && !glob.starts_with("**") {
            return Err(GlobError::NoSlash);
        }
        if glob.contains("***") {
            return Err(GlobError::Stars);
        }
        let glob = collapse(glob);
        let kind = simple(&glob).map_or_else(|| regex_of(&glob).map(PathKind::Regex), Ok)?;
        Ok(Self { text: glob.into(), kind })
    }

    /// Whether every path fits.
    pub(crate) fn is_any(&self) -> bool {
        matches!(self.kind, PathKind::Any)
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        match &self.kind {
            PathKind::Any => true,
            PathKind::Exact => path == &*self.text,
            PathKind::Under(base) => {
                path.strip_prefix(&**base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            PathKind::Prefix(prefix) => path.starts_with(&**prefix),
            PathKind::Suffix(suffix) => path.ends_with(&**suffix),
            PathKind::Segments { segments, below } => match_segments(segments, *below, path),
            PathKind::Regex(regex) => regex.is_match(path),
        }
    }
}

fn match_segments(segments: &[NameGlob], below: bool, path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let mut parts = path.split('/');
    for segment in segments {
        match parts.next() {
            Some(part) if segment.matches(part) => {}
            _ => return false,
        }
    }
    below || parts.next().is_none()
}

/// `**` after `**` adds nothing: each already stands for any number of segments.
fn collapse(glob: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in glob.split('/') {
        if segment != "**" || kept.last() != Some(&"**") {
            kept.push(segment);
        }
    }
    kept.join("/")
}

/// The kinds that need no regular expression; `None` for a hard glob.
fn simple(glob: &str) -> Option<PathKind> {
    if glob == "/**" || glob == "**" {
        return Some(PathKind::Any);
    }
    if !glob.contains('*') {
        return Some(PathKind::Exact);
    }
    let plain = |text: &str| !text.contains('*');
    if let Some(suffix) = glob.strip_prefix("/**/*").filter(|rest| plain(rest) && !rest.contains('/')) {
        return Some(PathKind::Suffix(suffix.into()));
    }
    if let Some(name) = glob.strip_prefix("/**").filter(|rest| plain(rest) && rest.starts_with('/')) {
        return Some(PathKind::Suffix(name.into()));
    }
    if let Some(base) = glob.strip_suffix("/**") {
        return match plain(base) {
            true => Some(PathKind::Under(base.into())),
            false => segments(base, true),
        };
    }
    if let Some(prefix) = glob.strip_suffix("**").filter(|rest| plain(rest)) {
        return Some(PathKind::Prefix(prefix.into()));
    }
    segments(glob, false)
}

fn segments(glob: &str, below: bool) -> Option<PathKind> {
    if glob.contains("**") {
        return None;
    }
    let segments = glob.strip_prefix('/')?.split('/').map(NameGlob::new).collect();
    Some(PathKind::Segments { segments, below })
}

/// The same glob as an anchored regular expression.
fn regex_of(glob: &str) -> Result<Regex, GlobError> {
    let mut pattern = String::from("(?s)^");
    let mut rest = glob;
    if let Some(tail) = rest.strip_prefix("**/") {
        pattern.push_str("(?:.*/)?");
        rest = tail;
    }
    while let Some(next) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("/**/") {
            pattern.push_str("/(?:.*/)?");
            rest = tail;
        } else if rest == "/**" {
            pattern.push_str("(?:/.*)?");
            break;
        } else if rest.starts_with("**") {
            pattern.push_str(".*");
            rest = rest.trim_start_matches('*');
        } else if next == '*' {
            pattern.push_str("[^/]*");
            rest = &rest[1..];
        } else {
            pattern.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            rest = &rest[next.len_utf8()..];
        }
    }
    pattern.push('$');
    Regex::new(&pattern).map_err(|error| GlobError::Regex(regex_message(&error)))
}

/// Braces written out: `/a.{b,c}` gives `/a.b` and `/a.c`. Braces do not nest.
fn alternatives(glob: &str) -> Result<Vec<String>, GlobError> {
    const MOST: usize = 256;
    let mut all = vec![String::new()];
    let mut rest = glob;
    while let Some(open) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(open);
        let inside = from.strip_prefix('{').ok_or(GlobError::Brace)?;
        let (choices, after) = inside.split_once('}').ok_or(GlobError::Brace)?;
        if choices.contains('{') {
            return Err(GlobError::Brace);
        }
        let choices: Vec<&str> = choices.split(',').collect();
        if all.len() * choices.len() > MOST {
            return Err(GlobError::TooManyAlternatives);
        }
        all = all.iter().flat_map(|base| choices.iter().map(move |choice| format!("{base}{before}{choice}"))).collect();
        rest = after;
    }
    for text in &mut all {
        text.push_str(rest);
    }
    Ok(all)
}

/// The last line of the regex crate's message says what is wrong; the lines before draw the pattern.
pub(crate) fn regex_message(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
#[path = "tests/glob.rs"]
mod tests;
