//! What of a request is in the cache key: the rule's `key`. What is not in the key must not reach the origin on a
//! request whose response may be stored (DESIGN 2.3), so the proxy sends the origin the same query that it keys by.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::Cookie;
use crate::facts::parameters;
use crate::names::NameSet;

/// Which query parameters are in the key.
#[derive(Clone, Debug, Default)]
pub enum QueryRule {
    /// All, as sent.
    #[default]
    All,
    /// Only those on the list.
    Allow(Parameters),
    /// All but those on the list.
    Deny(Parameters),
}

/// Names of query parameters, each a glob.
#[derive(Clone, Debug, Default)]
pub struct Parameters(NameSet);

impl Parameters {
    pub(crate) fn new(names: NameSet) -> Self {
        Self(names)
    }

    /// Whether the list has the parameter.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// The compiled `cache.key` of a rule.
#[derive(Clone, Debug, Default)]
pub struct KeyRule {
    /// Which query parameters are in the key.
    pub query: QueryRule,
    /// Whether the parameters are sorted by name; those of one name keep their order.
    pub sort_query: bool,
    /// Request fields that are in the key, and so reach the origin unchanged.
    pub headers: Vec<HeaderName>,
    pub(crate) cookies: NameSet,
}

impl KeyRule {
    /// The query as keyed, and as the origin must see it when the response may be stored. Byte-exact and in the
    /// client's order unless the rule sorts; `None` when nothing is left of it. Allocates only when something changes.
    #[must_use]
    pub fn query<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let query = query?;
        let keep = |name: &str| match &self.query {
            QueryRule::All => true,
            QueryRule::Allow(names) => names.contains(name),
            QueryRule::Deny(names) => !names.contains(name),
        };
        let unchanged = matches!(self.query, QueryRule::All) || parameters(query).all(|(name, ..)| keep(name));
        if unchanged && !self.sort_query {
            return Some(Cow::Borrowed(query));
        }
        let mut kept: Vec<(&str, &str)> =
            parameters(query).filter(|(name, ..)| keep(name)).map(|(name, _, whole)| (name, whole)).collect();
        if self.sort_query {
            kept.sort_by_key(|(name, _)| *name);
        }
        if kept.is_empty() {
            return None;
        }
        Some(Cow::Owned(kept.iter().map(|(_, whole)| *whole).collect::<Vec<_>>().join("&")))
    }

    /// Whether the rule keys by this cookie.
    #[must_use]
    pub fn keys_cookie(&self, name: &str) -> bool {
        self.cookies.contains(name)
    }

    /// Whether the rule keys by any cookie.
    #[must_use]
    pub fn has_cookies(&self) -> bool {
        !self.cookies.is_empty()
    }

    /// The part of the key beyond the URL: keyed fields and cookies (`keyed` as
    /// [`Policy::classify`](crate::Policy::classify) gives them). Two requests have the same text only if all keyed
    /// values are the same. Empty, without allocation, when the rule keys by nothing or the request has none of it.
    #[must_use]
    pub fn extras(&self, headers: &HeaderMap, keyed: &[Cookie<'_>]) -> String {
        let mut text = String::new();
        for name in &self.headers {
            for value in headers.get_all(name) {
                push(&mut text, "header", name.as_str(), value.as_bytes());
            }
        }
        for cookie in keyed {
            push(&mut text, "cookie", cookie.name, cookie.value);
        }
        text
    }
}

/// Appends `kind name="value"`. What could be mistaken for the frame is percent-encoded, so that no value can look like
/// two.
fn push(text: &mut String, kind: &str, name: &str, value: &[u8]) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(kind);
    text.push(' ');
    escape(text, name.as_bytes());
    text.push_str("=\"");
    escape(text, value);
    text.push('"');
}

fn escape(text: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'%' | b'=') {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::glob::NameGlob;

    fn names(names: &[&str]) -> Parameters {
        Parameters::new(NameSet::new(names.iter().map(|name| NameGlob::new(name))))
    }

    fn rule(query: QueryRule, sort_query: bool) -> KeyRule {
        KeyRule { query, sort_query, ..KeyRule::default() }
    }

    #[test]
    fn all_keeps_the_query_byte_for_byte() {
        let rule = rule(QueryRule::All, false);
        for query in ["", "a=1&b=2", "b&a&&a=%20", "?"] {
            assert_eq!(rule.query(Some(query)), Some(Cow::Borrowed(query)));
        }
        assert_eq!(rule.query(None), None);
    }

    #[test]
    fn deny_drops_only_the_listed() {
        let rule = rule(QueryRule::Deny(names(&["utm_*", "gclid"])), false);
        for (query, expected) in [
            ("a=1&utm_source=x&b=2", Some("a=1&b=2")),
            ("utm_source=x", None),
            ("gclid", None),
            ("gclid=1&gclid=2", None),
            ("a=utm_source", Some("a=utm_source")),
            ("xgclid=1&Gclid=2", Some("xgclid=1&Gclid=2")),
            ("b=2&a=1", Some("b=2&a=1")),
            ("a=1&&b=2&gclid", Some("a=1&&b=2")),
            ("", Some("")),
        ] {
            assert_eq!(rule.query(Some(query)).as_deref(), expected, "{query}");
        }
        assert!(matches!(rule.query(Some("a=1")), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn allow_keeps_only_the_listed() {
        let rule = rule(QueryRule::Allow(names(&["page", "q"])), false);
        for (query, expected) in
            [("q=a&x=1&page=2", Some("q=a&page=2")), ("x", None), ("", None), ("page", Some("page"))]
        {
            assert_eq!(rule.query(Some(query)).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn sort_is_by_name_and_stable() {
        let rule = rule(QueryRule::Deny(names(&["x"])), true);
        assert_eq!(rule.query(Some("b=2&a=9&x=1&a=1&b")).as_deref(), Some("a=9&a=1&b=2&b"));
    }

    #[test]
    fn extras_name_every_keyed_value() {
        let rule = KeyRule { headers: vec![http::header::ACCEPT_LANGUAGE], ..KeyRule::default() };
        let mut headers = HeaderMap::new();
        assert_eq!(rule.extras(&headers, &[]), "");
        headers.append("accept-language", HeaderValue::from_static("de, en"));
        headers.append("accept-language", HeaderValue::from_static("fr"));
        let cookie = Cookie { name: "lang", value: b"d\"e", pair: b"" };
        assert_eq!(
            rule.extras(&headers, &[cookie]),
            "header accept-language=\"de, en\"; header accept-language=\"fr\"; cookie lang=\"d%22e\""
        );
    }

    proptest! {
        #[test]
        fn extras_are_injective(a in proptest::collection::vec(("[a-c\"=; %]{0,3}", "[a-c\"=; %]{0,4}"), 0..3),
                                b in proptest::collection::vec(("[a-c\"=; %]{0,3}", "[a-c\"=; %]{0,4}"), 0..3)) {
            let text = |pairs: &[(String, String)]| {
                let cookies: Vec<Cookie<'_>> =
                    pairs.iter().map(|(n, v)| Cookie { name: n, value: v.as_bytes(), pair: b"" }).collect();
                KeyRule::default().extras(&HeaderMap::new(), &cookies)
            };
            prop_assert_eq!(text(&a) == text(&b), a == b);
        }

        #[test]
        fn keyed_query_is_a_subsequence(query in "[ab=&]{0,20}", sort: bool) {
            let rule = rule(QueryRule::Deny(names(&["a"])), sort);
            let keyed = rule.query(Some(&query)).unwrap_or_default().into_owned();
            prop_assert!(parameters(&keyed).all(|(name, ..)| name != "a"));
            let mut expected: Vec<_> = parameters(&query).filter(|(name, ..)| *name != "a").map(|p| p.2).collect();
            let mut found: Vec<_> = parameters(&keyed).map(|p| p.2).collect();
            if found == [""] { found.retain(|_| expected == [""]) }
            if sort { expected.sort_unstable(); found.sort_unstable(); }
            prop_assert_eq!(found, expected);
        }
    }
}
