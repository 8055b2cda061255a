//! How a visitor's words are put into a page, so that they can never become markup, code or another ESI tag.

use std::fmt::Write as _;

/// What kind of text a value is put into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// HTML and XML: `& < > " '` become character references. Control characters, which XML has no place for and by which
    /// some encodings switch their meaning of what follows, become U+FFFD.
    #[default]
    Markup,
    /// JSON and JavaScript: within a string literal. All ASCII, so that it means the same in every encoding of the text around it.
    Script,
    /// A URI reference: all but unreserved characters become `%XX` (RFC 3986, section 2.3).
    Url,
    /// As it is. Only where the operator has said so.
    Raw,
}

impl Escape {
    /// Appends `text`, made safe, to `out`.
    pub fn push(self, text: &str, out: &mut String) {
        match self {
            Self::Raw => out.push_str(text),
            Self::Markup => text.chars().for_each(|character| markup(character, out)),
            Self::Script => text.chars().for_each(|character| script(character, out)),
            Self::Url => text.bytes().for_each(|byte| url(byte, out)),
        }
    }

    /// The same as a new text.
    #[must_use]
    pub fn apply(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.push(text, &mut out);
        out
    }
}

fn markup(character: char, out: &mut String) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\t' | '\n' | '\r' => out.push(character),
        '\0'..='\u{1f}' | '\u{7f}' => out.push_str("&#xFFFD;"),
        other => out.push(other),
    }
}

/// `<`, `>` and `&` too: the literal may stand in an HTML script element. What is not ASCII would in some encodings (Shift_JIS, GBK)
/// take the backslash after it for a part of a character.
fn script(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '<' | '>' | '&' | '\'' | '`' | '$' | '\0'..='\u{1f}' | '\u{7f}'.. => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        other => out.push(other),
    }
}

fn url(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_keeps_its_power() {
        let text = "<a href=\"x\" b='y'>&</a>\n\\`$\u{2028}é𝄞\0\u{1b}";
        assert_eq!(
            Escape::Markup.apply(text),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;&lt;/a&gt;\n\\`$\u{2028}é𝄞&#xFFFD;&#xFFFD;"
        );
        assert_eq!(
            Escape::Script.apply(text),
            "\\u003ca href=\\\"x\\\" b=\\u0027y\\u0027\\u003e\\u0026\\u003c/a\\u003e\\n\\\\\\u0060\\u0024\\u2028\\u00e9\\ud834\\udd1e\\u0000\\u001b"
        );
        assert_eq!(Escape::Url.apply("a b/é&"), "a%20b%2F%C3%A9%26");
        assert_eq!(Escape::Raw.apply(text), text);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_markup_from_any_text(text in any::<String>()) {
            let markup = Escape::Markup.apply(&text);
            prop_assert!(!markup.contains(['<', '>', '"', '\'']));
            let script = Escape::Script.apply(&text);
            prop_assert!(script.is_ascii() && !script.contains(['<', '>', '\'', '&', '\n', '\r']));
            prop_assert_eq!(serde_like_unescape(&script), text.clone());
            let url = Escape::Url.apply(&text);
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        }
    }

    /// Reads a script literal back.
    fn serde_like_unescape(script: &str) -> String {
        let (mut out, mut rest) = (Vec::new(), script.chars());
        while let Some(character) = rest.next() {
            match (character, character == '\\') {
                (_, true) => match rest.next() {
                    Some('n') => out.push(u16::from(b'\n')),
                    Some('r') => out.push(u16::from(b'\r')),
                    Some('t') => out.push(u16::from(b'\t')),
                    Some('u') => {
                        let digits: String = rest.by_ref().take(4).collect();
                        out.extend(u16::from_str_radix(&digits, 16));
                    }
                    Some(other) => out.extend(other.encode_utf16(&mut [0; 2]).iter()),
                    None => {}
                },
                (other, false) => out.extend(other.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        String::from_utf16_lossy(&out)
    }
}
