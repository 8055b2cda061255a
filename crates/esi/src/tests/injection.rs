//! What a visitor sends stays a value: it becomes no markup, no tag, and no other reference than the template wrote.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::language::{Request, page_of};
use crate::{Dialect, Escape};

fn sent(value: &str) -> Arc<Request> {
    let names = ["QUERY_STRING{x}", "HTTP_COOKIE{x}", "HTTP_REFERER", "HTTP_USER_AGENT", "QUERY_STRING"];
    let mut values: Vec<_> = names.iter().map(|name| (*name, value)).collect();
    values.push(("HTTP_HOST", "example.org:8080"));
    Request::new(&values)
}

fn page(template: &str, value: &str, escape: Escape) -> String {
    let document = [Bytes::copy_from_slice(template.as_bytes())];
    let esi = page_of(&document, &sent(value), Dialect::Esi10, escape).0;
    let akamai = page_of(&document, &sent(value), Dialect::Akamai, escape).0;
    assert_eq!(esi, akamai, "{template}: the dialects escape alike");
    esi
}

const HOSTILE: [&str; 16] = [
    "</b><esi:include src='/secret'/>",
    "<!--esi <esi:include src=\"/secret\"/>-->",
    "\"><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "</esi:vars><esi:include src='/secret'/>",
    "$(HTTP_COOKIE{session})",
    "$url_decode('%3Cb%3E')",
    "-->]]></script>",
    "\";alert(1);//",
    "\\\";alert(1);//",
    "${alert(1)}`",
    "a\r\nSet-Cookie: x=1\r\n\r\n",
    "a\0<\0s",
    "\u{1b}$B<b>\u{1b}(B",
    "\u{2028}alert(1)",
    "&lt;b&gt;",
];

#[test]
fn in_text_attributes_comments_and_cdata() {
    for value in HOSTILE {
        for (before, after) in [
            ("<p>", "</p>"),
            ("<a title=\"", "\">"),
            ("<a title='", "'>"),
            ("<!-- ", " -->"),
            ("<![CDATA[", "]]>"),
            ("<title>", "</title>"),
        ] {
            for name in ["QUERY_STRING{x}", "HTTP_COOKIE{x}", "HTTP_REFERER", "HTTP_USER_AGENT", "QUERY_STRING"] {
                let template = format!("<esi:vars>{before}$({name}){after}</esi:vars>");
                let page = page(&template, value, Escape::Markup);
                let put = page
                    .strip_prefix(before)
                    .and_then(|page| page.strip_suffix(after))
                    .unwrap_or_else(|| panic!("{page}"));
                assert!(!put.contains(['<', '>', '"', '\'']), "{put}");
                assert!(!put.contains(|c: char| c.is_control() && !"\r\n\t".contains(c)), "{put:?}");
            }
        }
    }
}

#[test]
fn in_json_and_scripts() {
    for value in HOSTILE {
        let page = page("<esi:vars>{\"x\": \"$(QUERY_STRING{x})\"}</esi:vars>", value, Escape::Script);
        let put = page
            .strip_prefix("{\"x\": \"")
            .and_then(|page| page.strip_suffix("\"}"))
            .unwrap_or_else(|| panic!("{page}"));
        assert!(put.is_ascii() && !put.contains(['<', '>', '\'', '`', '$', '&', '\n', '\r']), "{put}");
        let mut rest = put.chars();
        while let Some(character) = rest.next() {
            assert_ne!(character, '"', "the literal ends: {put}");
            if character == '\\' {
                assert!(rest.next().is_some(), "the quote after it is escaped: {put}");
            }
        }
    }
}

#[test]
fn in_references() {
    for (template, value, expected) in [
        ("/f/$(QUERY_STRING{x})", "7", "/f/7"),
        ("/f/$(QUERY_STRING{x})", "a/b", "/f/a%2Fb"),
        ("/f/$(QUERY_STRING{x})", "/../user", "/f/%2F..%2Fuser"),
        ("/f/$(QUERY_STRING{x})", "//evil.example/", "/f/%2F%2Fevil.example%2F"),
        ("/f/$(QUERY_STRING{x})", "a?b=1#c", "/f/a%3Fb%3D1%23c"),
        ("/f/$(QUERY_STRING{x})", "%2e%2e", "/f/%252e%252e"),
        ("/f/$(QUERY_STRING{x})", "%2f", "/f/%252f"),
        ("/f/$(QUERY_STRING{x})", "\\..\\user", "/f/%5C..%5Cuser"),
        ("/f/$(QUERY_STRING{x})", "a\r\nHost: b", "/f/a%0D%0AHost%3A%20b"),
        ("/f/$(QUERY_STRING{x})", "a\0", "/f/a%00"),
        ("/f?q=$(QUERY_STRING{x})", "1&admin=1", "/f?q=1%26admin%3D1"),
        ("/f?q=$(QUERY_STRING{x})", "..", "/f?q=.."),
        ("/f?q=$(HTTP_COOKIE{x})", "a+b", "/f?q=a%2Bb"),
        // Escaping does not take their meaning from dots.
        ("/f/$(QUERY_STRING{x})", "..", "invalid:/f/.."),
        ("/f/$(QUERY_STRING{x})", ".", "invalid:/f/."),
        ("/f/$(QUERY_STRING{x})/y", "..", "invalid:/f/../y"),
        ("/f/.$(HTTP_COOKIE{x})", ".", "invalid:/f/.."),
        ("/f/%2e$(QUERY_STRING{x})", ".", "invalid:/f/%2e."),
        ("$(QUERY_STRING{x})/f", "..", "invalid:../f"),
        ("/f/v$(QUERY_STRING{x})", "..", "/f/v.."),
        ("/f/../$(QUERY_STRING{x})", "a", "/f/../a"),
        // Nor is an empty value a host's beginning.
        ("/$(QUERY_STRING{x})/evil.example/", "", "invalid://evil.example/"),
        ("http:/$(QUERY_STRING{x})/evil.example/", "", "invalid:http://evil.example/"),
        ("/f/$(QUERY_STRING{x})/y", "", "/f//y"),
        ("//example.org/$(QUERY_STRING{x})", "", "//example.org/"),
        // The whole query, and the page's own host.
        ("/f?$(QUERY_STRING)", "a=1&b=%2F", "/f?a=1&b=%2F"),
        ("/f/$(QUERY_STRING)", "../user?a", "/f/..%2Fuser%3Fa"),
        ("$(QUERY_STRING)", "//evil.example/", "%2F%2Fevil.example%2F"),
        ("http://$(HTTP_HOST)/f", "", "http://example.org:8080/f"),
    ] {
        let template_of = |attributes: &str| format!("<esi:include {attributes}/>");
        let src = template_of(&format!("src=\"{template}\""));
        assert_eq!(page(&src, value, Escape::Markup), format!("{{{expected}}}"), "{template} {value:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// The path that is asked for has the template's segments, or nothing is asked for.
    #[test]
    fn any_value_is_one_component(value in prop_oneof![any::<String>(), "[./%2eE\\\\?#&]{0,6}"]) {
        let template = "<esi:include src='/one/$(QUERY_STRING{x})/two/.$(HTTP_COOKIE{x})/three?q=$(HTTP_REFERER)&r=1'/>";
        let page = page(template, &value, Escape::Markup);
        let reference = page.trim_start_matches('{').trim_end_matches('}');
        prop_assert!(reference.is_ascii() && !reference.contains(|c: char| c.is_control()));
        if !reference.starts_with("invalid:") {
            let (path, query) = reference.split_once('?').unwrap();
            let segments: Vec<_> = path.split('/').collect();
            prop_assert_eq!((segments.len(), segments[1], segments[3], segments[5]), (6, "one", "two", "three"));
            prop_assert!(segments.iter().all(|segment| *segment != "." && *segment != ".."));
            prop_assert!(query.starts_with("q=") && query.ends_with("&r=1") && query.matches('&').count() == 1);
            prop_assert!(!reference.contains('#'));
        }
    }
}
