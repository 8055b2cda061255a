//! The expressions in which CMSs name tags and URLs. They are written for PCRE; what they mean is nearly always a list.

use regex::{Regex, RegexBuilder};

use crate::purge::order::{MOST_NAMED, WrongOrder};

/// A longer expression is refused, in bytes. CMSs keep theirs below 8 KiB, to fit into a field.
pub const LONGEST: usize = 64 << 10;

/// Bytes that a compiled expression may take; it stays in the log until all that is stored has been looked at.
const COMPILED: usize = 1 << 20;

/// Groups within groups.
const DEEPEST: usize = 16;

/// Which tags are meant.
#[derive(Clone, Debug)]
pub enum TagExpression {
    /// `.*` and the like: whatever the tags.
    Everything,
    /// Just these.
    Exact(Vec<String>),
    /// Each tag that the expression finds itself in. An expression that spans several tags finds none.
    Pattern(Regex),
}

impl TagExpression {
    /// Reads an expression. `(^|,)(a|b)(,|$)`, `((^|,)a(,|$))|((^|,)b(,|$))` and `a|b`, with characters escaped as PHP's
    /// `preg_quote` does, are lists of tags; anything else is compiled, in linear time.
    ///
    /// # Errors
    /// It is none, too long, or does what no expression in linear time can.
    pub fn parse(text: &str) -> Result<Self, WrongOrder> {
        if text.len() > LONGEST {
            return Err(too_long(text.len()));
        }
        let bare = text.strip_prefix('^').unwrap_or(text);
        if matches!(bare.strip_suffix('$').unwrap_or(bare), ".*" | ".+") {
            return Ok(Self::Everything);
        }
        match exact(text) {
            Some(tags) if tags.len() > MOST_NAMED => {
                Err(WrongOrder::new(format!("more than {MOST_NAMED} tags in one expression: send them in parts")))
            }
            Some(mut tags) => {
                tags.sort_unstable();
                tags.dedup();
                Ok(Self::Exact(tags))
            }
            None => compile(text).map(Self::Pattern),
        }
    }

    /// Whether a tag is meant.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Exact(tags) => tags.iter().any(|exact| exact == tag),
            Self::Pattern(regex) => regex.is_match(tag),
        }
    }
}

fn too_long(bytes: usize) -> WrongOrder {
    WrongOrder::new(format!("the expression has {bytes} bytes; at most {LONGEST}: send it in parts"))
}

/// An expression that finds itself somewhere in a text, as PCRE's do; linear in the length of the text.
///
/// # Errors
/// It is none, too long or too large, or needs look-around or back-references.
pub(crate) fn compile(text: &str) -> Result<Regex, WrongOrder> {
    if text.len() > LONGEST {
        return Err(too_long(text.len()));
    }
    let compiled = RegexBuilder::new(&unquoted(text)).size_limit(COMPILED).dfa_size_limit(COMPILED).build();
    compiled.map_err(|error| {
        let shown: String = text.chars().take(200).collect();
        let why = match error {
            regex::Error::CompiledTooBig(_) => "is too large; send it in parts".to_owned(),
            regex::Error::Syntax(words) if words.contains("look-around") => {
                "has look-around, which is not supported; purge by exact tags, a prefix or a host".to_owned()
            }
            regex::Error::Syntax(words) if words.contains("backreferences") => {
                "has a back-reference, which is not supported; purge by exact tags, a prefix or a host".to_owned()
            }
            regex::Error::Syntax(words) => {
                let last = words.lines().last().unwrap_or_default();
                format!("cannot be understood: {}", last.strip_prefix("error: ").unwrap_or(last))
            }
            error => format!("cannot be compiled: {error}"),
        };
        WrongOrder::new(format!("the expression {shown} {why}"))
    })
}

/// `preg_quote` escapes `<` and `>`, which with a backslash are word boundaries here.
fn unquoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match (character, rest.clone().next()) {
            ('\\', Some(angle @ ('<' | '>'))) => {
                rest.next();
                plain.push(angle);
            }
            ('\\', Some(escaped)) => {
                rest.next();
                plain.extend(['\\', escaped]);
            }
            _ => plain.push(character),
        }
    }
    plain
}

/// The tags of an expression that is only a list of tags.
fn exact(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader { rest: text, tags: Vec::new() };
    reader.alternatives(0, false)?;
    reader.rest.is_empty().then_some(reader.tags)
}

/// What may stand where a tag begins or ends, in a list that is separated by commas, spaces, pipes or `#`.
const BEGINNINGS: [&str; 12] = [
    "(^|,)",
    "(,|^)",
    "(?:^|,)",
    "(?:,|^)",
    "(^|\\s)",
    "(\\s|^)",
    "(?:^|\\s)",
    "(^| )",
    "( |^)",
    "(^|[ ,])",
    "(^|[, ])",
    "^",
];
const ENDINGS: [&str; 12] = [
    "(,|$)",
    "($|,)",
    "(?:,|$)",
    "(?:$|,)",
    "(\\s|$)",
    "($|\\s)",
    "(?:\\s|$)",
    "( |$)",
    "($| )",
    "([ ,]|$)",
    "([, ]|$)",
    "$",
];

struct Reader<'t> {
    rest: &'t str,
    tags: Vec<String>,
}

impl Reader<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn takes_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.takes(word))
    }

    /// `bounded`: a beginning stands before the group that this is in.
    fn alternatives(&mut self, depth: usize, bounded: bool) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        loop {
            self.alternative(depth, bounded)?;
            if !self.takes("|") {
                return Some(());
            }
        }
    }

    /// A tag or a group of them, with a boundary at both sides or at none.
    fn alternative(&mut self, depth: usize, bounded: bool) -> Option<()> {
        let begins = self.takes_any(&BEGINNINGS);
        if begins && bounded {
            // Two boundaries in a row find nothing between them.
            return None;
        }
        if self.takes("(?:") || self.takes("(") {
            self.alternatives(depth + 1, bounded || begins)?;
            if !self.takes(")") {
                return None;
            }
        } else {
            let tag = self.tag()?;
            self.tags.push(tag);
        }
        (self.takes_any(&ENDINGS) == begins).then_some(())
    }

    /// Literal characters, some of them escaped. What separates tags in a list is part of none.
    fn tag(&mut self) -> Option<String> {
        let mut tag = String::new();
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, escaped)) if escaped.is_ascii_punctuation() && escaped != ',' && escaped != '|' => {
                        tag.push(escaped);
                    }
                    _ => return None,
                },
                '|' | '(' | ')' | '$' => {
                    end = at;
                    break;
                }
                '.' | '*' | '+' | '?' | '[' | ']' | '{' | '}' | '^' | ',' => return None,
                character if character.is_whitespace() || character.is_control() => return None,
                character => tag.push(character),
            }
        }
        self.rest = &self.rest[end..];
        (!tag.is_empty()).then_some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn tags(text: &str) -> Option<Vec<String>> {
        match TagExpression::parse(text) {
            Ok(TagExpression::Exact(tags)) => Some(tags),
            _ => None,
        }
    }

    #[test]
    fn what_cmss_send_are_lists() {
        for (text, expected) in [
            ("a", &["a"][..]),
            ("a|b|c", &["a", "b", "c"]),
            ("(^|,)p-12(,|$)", &["p-12"]),
            ("(^|,)(a|b)(,|$)", &["a", "b"]),
            ("a|b|(^|,)p-12(,|$)", &["a", "b", "p-12"]),
            ("((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$))", &["cat_p_1", "cat_p_2"]),
            ("(^|,)(node\\:1|a\\.b\\-c|x\\#y|p\\+q|u\\/v)(,|$)", &["a.b-c", "node:1", "p+q", "u/v", "x#y"]),
            ("(?:^|,)(?:a|b)(?:,|$)", &["a", "b"]),
            ("^a$", &["a"]),
            ("^(a|b)$", &["a", "b"]),
            ("(^|\\s)node:1(\\s|$)", &["node:1"]),
            ("(a)", &["a"]),
            ("a|a", &["a"]),
            ("\\<a\\>", &["<a>"]),
            ("tä:1", &["tä:1"]),
        ] {
            assert_eq!(
                tags(text).as_deref(),
                Some(&expected.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_list_is_tried_on_each_tag() {
        for (text, yes, no) in [
            ("(^|,)node:\\d+(,|$)", "node:12", "node:x"),
            ("^cat_", "cat_1", "a_cat_1"),
            ("(^|,)cat", "cat_1", "a_cat"),
            ("cat(,|$)", "a_cat", "cat_1"),
            ("a.c", "abc", "ac"),
            ("(^|,)(a|b[0-9])(,|$)", "b7", "b"),
            ("(^|,)((^|,)a(,|$))(,|$)", "a", "b"),
        ] {
            let Ok(expression @ TagExpression::Pattern(_)) = TagExpression::parse(text) else { panic!("{text}") };
            assert!(expression.matches(yes), "{text} {yes}");
            assert!(!expression.matches(no), "{text} {no}");
        }
        for text in [".*", "^.*$", ".+", "^.*"] {
            assert!(matches!(TagExpression::parse(text), Ok(TagExpression::Everything)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_done_in_linear_time_is_refused_with_a_hint() {
        for (text, part) in [
            ("a(?=b)", "look-around"),
            ("(?<!a)b", "look-around"),
            ("(a)\\1", "back-reference"),
            ("(", "cannot be understood"),
            ("a**(", "cannot be understood"),
            ("(\\w{1000}){1000}", "too large"),
            (&"a".repeat(LONGEST + 1), "at most 65536"),
        ] {
            let error = TagExpression::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.len() < 500, "{error}");
        }
    }

    fn quoted(tag: &str) -> String {
        tag.chars().flat_map(|c| c.is_ascii_punctuation().then_some('\\').into_iter().chain([c])).collect()
    }

    proptest! {
        /// Whatever tags are quoted and joined as CMSs do, exactly these come out.
        #[test]
        fn a_list_comes_back(tags in proptest::collection::btree_set("[a-zA-Z0-9_.:#+/<>=!-]{1,12}", 1..8), form in 0..4) {
            let all: Vec<String> = tags.iter().map(|tag| quoted(tag)).collect();
            let text = match form {
                0 => all.join("|"),
                1 => format!("(^|,)({})(,|$)", all.join("|")),
                2 => all.iter().map(|tag| format!("((^|,){tag}(,|$))")).collect::<Vec<_>>().join("|"),
                _ => format!("^({})$", all.join("|")),
            };
            prop_assert_eq!(self::tags(&text), Some(tags.into_iter().collect::<Vec<_>>()));
        }

        /// A list with boundaries means what PCRE finds in the joined field, tag by tag.
        #[test]
        fn a_bounded_list_means_what_the_expression_finds(text in "(\\(\\^\\|,\\))?\\(?[ab]{1,2}(\\|[ab]{1,2}){0,2}\\)?(\\(,\\|\\$\\))?", tag in "[ab]{1,3}") {
            let bounded = text.starts_with("(^|,)(") && text.ends_with(")(,|$)") && text.matches('(').count() == 3;
            if let (true, Ok(expression)) = (bounded, TagExpression::parse(&text)) {
                let found = Regex::new(&text).unwrap().is_match(&tag);
                prop_assert_eq!(expression.matches(&tag), found);
            }
        }

        /// Nothing makes it fail otherwise than by saying so.
        #[test]
        fn any_text_is_read(text in ".{0,200}") {
            let _ = TagExpression::parse(&text);
        }
    }
}
