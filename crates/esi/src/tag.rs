//! One tag that the scanner has found: its element and its attributes. The only file that names quick-xml,
//! which sees nothing but the inside of that tag: an XML parser trips over the HTML around it.

use std::borrow::Cow;
use std::fmt::Write as _;

use memchr::memchr;
use quick_xml::events::BytesStart;

use crate::scanner::Marker;

/// The elements of ESI 1.0, section 3, and those of the Akamai dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Include,
    Inline,
    Choose,
    When,
    Otherwise,
    Try,
    Attempt,
    Except,
    Comment,
    Remove,
    Vars,
    Assign,
    Eval,
    Foreach,
    Break,
    Function,
    Return,
    Text,
}

impl Element {
    const ALL: [Self; 18] = [
        Self::Include,
        Self::Inline,
        Self::Choose,
        Self::When,
        Self::Otherwise,
        Self::Try,
        Self::Attempt,
        Self::Except,
        Self::Comment,
        Self::Remove,
        Self::Vars,
        Self::Assign,
        Self::Eval,
        Self::Foreach,
        Self::Break,
        Self::Function,
        Self::Return,
        Self::Text,
    ];

    /// This element in a set of elements.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u16
    }

    /// The name after `esi:`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Inline => "inline",
            Self::Choose => "choose",
            Self::When => "when",
            Self::Otherwise => "otherwise",
            Self::Try => "try",
            Self::Attempt => "attempt",
            Self::Except => "except",
            Self::Comment => "comment",
            Self::Remove => "remove",
            Self::Vars => "vars",
            Self::Assign => "assign",
            Self::Eval => "eval",
            Self::Foreach => "foreach",
            Self::Break => "break",
            Self::Function => "function",
            Self::Return => "return",
            Self::Text => "text",
        }
    }

    /// Whether only the Akamai dialect has it.
    pub(crate) const fn is_akamai(self) -> bool {
        matches!(
            self,
            Self::Assign | Self::Eval | Self::Foreach | Self::Break | Self::Function | Self::Return | Self::Text
        )
    }

    /// Whether it has content that belongs to it.
    pub(crate) const fn is_container(self) -> bool {
        !matches!(
            self,
            Self::Include | Self::Comment | Self::Remove | Self::Text | Self::Eval | Self::Break | Self::Return
        )
    }
}

/// The parts of one tag, as far as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// What stands between `esi:` and the attributes.
    name: &'a [u8],
    attributes: &'a [u8],
    /// `</esi:…`
    pub(crate) end: bool,
    /// `…/>`
    pub(crate) empty: bool,
}

impl<'a> Tag<'a> {
    /// Reads a tag from its `<` to its `>`, or as much of one as an unclosed tag has.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let (end, inside) = match bytes.strip_prefix(Marker::EndTag.bytes()) {
            Some(inside) => (true, inside),
            None => (false, bytes.strip_prefix(Marker::StartTag.bytes()).unwrap_or(bytes)),
        };
        let inside = inside.strip_suffix(b">").unwrap_or(inside);
        let name_ends = inside.iter().position(|byte| !is_name(*byte)).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at(name_ends);
        let attributes = attributes.trim_ascii();
        let (empty, attributes) = match attributes.strip_suffix(b"/") {
            Some(attributes) => (true, attributes),
            None => (false, attributes),
        };
        Self { name, attributes, end, empty }
    }

    /// Which element it is; `None` when ESI 1.0 has no such one. Names are compared as they are, case and all.
    pub(crate) fn element(&self) -> Option<Element> {
        Element::ALL.into_iter().find(|element| element.name().as_bytes() == self.name)
    }

    /// The name as text, for a message.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name)
    }

    /// The attributes in order, as HTML has them: quotes and even values may be missing, names may repeat.
    /// What cannot be read as an attribute is left out.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let inside = BytesStart::from_content(text(self.attributes), 0);
        inside
            .html_attributes()
            .with_checks(false)
            .flatten()
            .map(|attribute| Attribute { name: attribute.key.as_ref().into(), raw: attribute.value.as_ref().into() })
            .collect()
    }
}

/// One attribute as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// The name, with its prefix if it has one.
    pub(crate) name: Box<str>,
    /// The value without quotes, character references not decoded.
    pub(crate) raw: Box<str>,
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':') || !byte.is_ascii()
}

/// Bytes of another encoding than UTF-8 become `%XX`, which is what they are in a URI (RFC 3986, section 2.5).
fn text(bytes: &[u8]) -> Cow<'_, str> {
    let mut chunks = bytes.utf8_chunks();
    match chunks.next() {
        None => return Cow::Borrowed(""),
        Some(chunk) if chunk.invalid().is_empty() => return Cow::Borrowed(chunk.valid()),
        Some(_) => {}
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    Cow::Owned(text)
}

/// Longest character reference decoded, `&` and `;` included: room for any number Unicode has, with leading zeros.
const MAX_REFERENCE: usize = 12;

/// Decodes the five character references XML predefines and numeric ones. Anything else stays as it is, because
/// authors write `?a=1&b=2` in attributes.
pub(crate) fn decode(raw: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'&', raw.as_bytes()) else {
        return Cow::Borrowed(raw);
    };
    let (mut decoded, mut rest) = (String::with_capacity(raw.len()), raw);
    let mut next = Some(first);
    while let Some(at) = next {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = reference(rest).unwrap_or(('&', 1));
        decoded.push(character);
        rest = &rest[length..];
        next = memchr(b'&', rest.as_bytes());
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The character that the reference at the front of `text` means, and the reference's length.
fn reference(text: &str) -> Option<(char, usize)> {
    let window = text.as_bytes().get(..MAX_REFERENCE).unwrap_or(text.as_bytes());
    let semicolon = memchr(b';', window)?;
    let name = text.get(1..semicolon)?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => number(name.strip_prefix('#')?)?,
    };
    Some((character, semicolon + 1))
}

fn number(digits: &str) -> Option<char> {
    let (digits, radix) = match digits.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => (hexadecimal, 16),
        None => (digits, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, radix).ok()?;
    char::from_u32(number).filter(|character| *character != '\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(tag: &[u8]) -> Vec<(String, String)> {
        let attributes = Tag::read(tag).attributes();
        attributes.iter().map(|a| (a.name.to_string(), a.raw.to_string())).collect()
    }

    #[test]
    fn the_parts_of_a_tag() {
        for (bytes, element, end, empty) in [
            ("<esi:include/>", Some(Element::Include), false, true),
            ("<esi:include src='/a' / >", Some(Element::Include), false, true),
            ("<esi:include src='/a'>", Some(Element::Include), false, false),
            ("</esi:remove>", Some(Element::Remove), true, false),
            ("</esi:remove \n>", Some(Element::Remove), true, false),
            ("</esi:remove", Some(Element::Remove), true, false),
            ("<esi:includes/>", None, false, true),
            ("<esi:Include/>", None, false, true),
            ("<esi:>", None, false, false),
            ("<esi: include>", None, false, false),
        ] {
            let tag = Tag::read(bytes.as_bytes());
            assert_eq!((tag.element(), tag.end, tag.empty), (element, end, empty), "{bytes}");
        }
    }

    #[test]
    fn attributes_are_read_as_html_writes_them() {
        for (tag, expected) in [
            (&b"<esi:include src=\"/a\" alt='/b'/>"[..], &[("src", "/a"), ("alt", "/b")][..]),
            (b"<esi:include\n\tsrc = \"/a\"\r\n/>", &[("src", "/a")]),
            (b"<esi:include src=/a/>", &[("src", "/a")]),
            (b"<esi:include src=\"/a\"alt=\"/b\"/>", &[("src", "/a"), ("alt", "/b")]),
            (b"<esi:include src/>", &[("src", "")]),
            (b"<esi:include src=/>", &[]),
            (b"<esi:include src=\"/a", &[]),
            (b"<esi:include src=\"/a\" src=\"/b\"/>", &[("src", "/a"), ("src", "/b")]),
            (b"<esi:include src=\"/caf\xe9\"/>", &[("src", "/caf%E9")]),
            ("<esi:include src=\"/café\"/>".as_bytes(), &[("src", "/café")]),
            (b"<esi:include/>", &[]),
            (b"<esi:include = \"\" '>", &[("=", ""), ("\"\"", ""), ("'", "")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            assert_eq!(attributes(tag), expected, "{}", String::from_utf8_lossy(tag));
        }
    }

    #[test]
    fn character_references() {
        for (raw, decoded) in [
            ("/a", "/a"),
            ("/a?b=1&amp;c=2", "/a?b=1&c=2"),
            ("/a?b=1&c=2", "/a?b=1&c=2"),
            ("&lt;&gt;&quot;&apos;", "<>\"'"),
            ("&#47;&#x2f;&#X2F;&#0000047;", "////"),
            ("&amp;lt;", "&lt;"),
            ("&AMP;&nbsp;&;&#;&#x;", "&AMP;&nbsp;&;&#;&#x;"),
            ("&#0;&#xD800;&#x110000;&#+47;&#99999999;", "&#0;&#xD800;&#x110000;&#+47;&#99999999;"),
            ("&amp", "&amp"),
            ("&", "&"),
            ("&é;&ééééééé", "&é;&ééééééé"),
        ] {
            assert_eq!(decode(raw), decoded, "{raw}");
        }
    }
}
