//! The `Cookie` request field (RFC 6265bis section 5.8.3) as pairs that still point into it.

use http::HeaderMap;
use http::header::COOKIE;

/// Stands for a cookie name that is not UTF-8: it fits no pattern but `*`, so it counts as unknown.
const UNREADABLE: &str = "(not UTF-8)";

/// One cookie of a request, borrowed from its field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// The name. Empty for a pair without a name (`=x`, or text without `=`, which RFC 6265bis reads as a value).
    pub name: &'a str,
    /// The value as sent: not decoded, quotes kept; bytes, because a browser may send any octet.
    pub value: &'a [u8],
    /// The whole pair as sent, without the white space around it: what to put into a `Cookie` field again.
    pub pair: &'a [u8],
}

/// The cookies of a request in the order sent. Parsing never fails: every odd octet still ends up in some pair, so that
/// nothing that an origin might take for a session goes unseen.
#[derive(Clone, Debug, Default)]
pub struct Cookies<'a>(Vec<Cookie<'a>>);

impl<'a> Cookies<'a> {
    /// Reads all `Cookie` field lines (HTTP/2 clients split them, RFC 9113 section 8.2.3). Nothing is decoded. Without
    /// a `Cookie` field this allocates nothing.
    #[must_use]
    pub fn parse(headers: &'a HeaderMap) -> Self {
        let mut cookies = Vec::new();
        for line in headers.get_all(COOKIE) {
            // One allocation for what most visitors have.
            cookies.reserve(8);
            let pairs = line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            cookies.extend(pairs.filter(|pair| !pair.is_empty()).map(cookie));
        }
        Self(cookies)
    }

    /// All cookies in the order sent, repeated names included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Cookie<'a>> + Clone {
        self.0.iter()
    }

    /// The first cookie of that name: names are case-sensitive, and the first value wins.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Cookie<'a>> {
        self.0.iter().find(|cookie| cookie.name == name)
    }

    /// Whether the request has no cookie at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many cookies there are, repeated names included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn cookie(pair: &[u8]) -> Cookie<'_> {
    let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (pair[..at].trim_ascii_end(), pair[at + 1..].trim_ascii_start()),
        None => (&pair[..0], pair),
    };
    Cookie { name: std::str::from_utf8(name).unwrap_or(UNREADABLE), value, pair }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    fn pairs(lines: &[&[u8]]) -> Vec<(String, String)> {
        let headers = headers(lines);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Cookies::parse(&headers).iter().map(|c| (c.name.to_owned(), text(c.value))).collect()
    }

    #[test]
    fn rfc6265bis_4_2_1_pairs() {
        for (line, expected) in [
            ("a=1", vec![("a", "1")]),
            ("a=1; b=2", vec![("a", "1"), ("b", "2")]),
            ("a=1;b=2;", vec![("a", "1"), ("b", "2")]),
            ("  a = 1 ;\t b=2", vec![("a", "1"), ("b", "2")]),
            ("a=\"q u\"", vec![("a", "\"q u\"")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=", vec![("a", "")]),
            ("=a", vec![("", "a")]),
            ("a", vec![("", "a")]),
            (";; ;", vec![]),
            ("", vec![]),
            ("a=%3D; A=x", vec![("a", "%3D"), ("A", "x")]),
            ("a=1, b=2", vec![("a", "1, b=2")]),
            ("=sessionid=1", vec![("", "sessionid=1")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(pairs(&[line.as_bytes()]), expected, "{line:?}");
        }
    }

    #[test]
    fn rfc9113_8_2_3_several_lines_are_one_list() {
        let headers = headers(&[b"a=1; b=2", b"c=3", b"a=4"]);
        let cookies = Cookies::parse(&headers);
        assert_eq!(cookies.len(), 4);
        assert_eq!(cookies.get("a").unwrap().value, b"1");
        assert_eq!(cookies.get("c").unwrap().pair, b"c=3");
        assert!(cookies.get("C").is_none());
    }

    #[test]
    fn octets_that_are_no_text_are_kept() {
        let headers = headers(&[b"a=\xff; \xfe=1"]);
        let cookies = Cookies::parse(&headers);
        assert_eq!(cookies.get("a").unwrap().value, b"\xff");
        assert_eq!(cookies.get(UNREADABLE).unwrap().pair, b"\xfe=1");
    }

    proptest! {
        #[test]
        fn every_octet_but_separators_lands_in_a_pair(line in proptest::collection::vec(0x20_u8..=0xff, 0..80)) {
            let line: Vec<u8> = line.into_iter().filter(|byte| *byte != 0x7f).collect();
            let headers = headers(&[&line]);
            let kept: usize = Cookies::parse(&headers).iter().map(|c| {
                c.pair.iter().filter(|byte| !byte.is_ascii_whitespace()).count()
            }).sum();
            let expected = line.iter().filter(|byte| **byte != b';' && !byte.is_ascii_whitespace()).count();
            prop_assert_eq!(kept, expected);
        }
    }
}
