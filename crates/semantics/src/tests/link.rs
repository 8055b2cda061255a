use http::header::{HeaderMap, HeaderValue, LINK};
use proptest::prelude::*;

use super::headers;
use crate::early_links;

fn early(lines: &[&str]) -> Option<String> {
    let lines: Vec<_> = lines.iter().map(|line| ("link", *line)).collect();
    early_links(&headers(&lines)).map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn rfc8297_2_links_that_a_client_can_use_early() {
    let style = "</a.css>; rel=preload; as=style";
    for (lines, wanted) in [
        (&[][..], None),
        (&[style], Some(style)),
        (&["</a>; rel=stylesheet"], None),
        (&["</a>; rel=next, </b>;rel=preload,</c>; rel=canonical"], Some("</b>;rel=preload")),
        (
            &[style, "<https://b.test>; rel=preconnect"],
            Some("</a.css>; rel=preload; as=style, <https://b.test>; rel=preconnect"),
        ),
        (&["</a>; rel=\"dns-prefetch\""], Some("</a>; rel=\"dns-prefetch\"")),
        (&["</a>; REL = \"stylesheet  PreLoad\""], Some("</a>; REL = \"stylesheet  PreLoad\"")),
        (&["</a>; rel=modulepreload"], Some("</a>; rel=modulepreload")),
        (&["</a>; rel=preloaded"], None),
        (&["</a>; rel"], None),
        (&["</a>"], None),
        (&["<>; rel=preload"], None),
        (&["/a; rel=preload"], None),
        (&["</a; rel=preload, </b>; rel=preload"], None),
        (
            &["</a,b>; rel=preload; title=\"x, y; rel=z\", , </c>; rel=preconnect"],
            Some("</a,b>; rel=preload; title=\"x, y; rel=z\", </c>; rel=preconnect"),
        ),
        (&["</a>; title=\"rel=preload; \\\" rel=preload\""], None),
        (&["</a>; title=\"no end; rel=preload"], Some("</a>; title=\"no end; rel=preload")),
    ] {
        assert_eq!(early(lines).as_deref(), wanted, "{lines:?}");
    }
}

#[test]
fn rfc8288_3_3_the_first_rel_counts() {
    assert_eq!(early(&["</a>; rel=next; rel=preload"]), None);
    assert!(early(&["</a>; rel=preload; rel=next"]).is_some());
}

#[test]
fn rfc8288_3_2_a_link_of_another_context_is_none_of_the_response() {
    assert_eq!(early(&["</a>; rel=preload; anchor=\"/other\""]), None);
}

#[test]
fn what_is_given_has_a_limit() {
    let long = format!("</{}>; rel=preload", "a".repeat(5000));
    assert_eq!(early(&[&long, "</b>; rel=preload"]).as_deref(), Some("</b>; rel=preload"));
    let many = vec!["</0123456789>; rel=preload"; 1000];
    assert!(early(&many).unwrap().len() <= 4096);
}

proptest! {
    #[test]
    fn any_line_is_read_and_what_is_given_is_given_again(line in "[ -~\\t]{0,40}|(<[a-z,]{0,3}>?|; ?|rel=?|preload|\"|,|\\\\| |x){0,20}") {
        let mut headers = HeaderMap::new();
        headers.insert("link", line.trim().parse().unwrap());
        if let Some(value) = early_links(&headers) {
            headers.insert("link", value.clone());
            prop_assert_eq!(early_links(&headers), Some(value));
        }
    }
}

/// Each of these took a step for every pair of its bytes: minutes.
#[test]
fn lines_of_any_kind_are_read_once() {
    for line in ["a,".repeat(1 << 19), format!("<a>;x=\"{}", "\\\"".repeat(1 << 19)), "<".repeat(1 << 20)] {
        let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(&line).unwrap())]);
        assert_eq!(early_links(&headers), None);
    }
    let long = format!("<a>;x=\"{};rel=preload", "\\\"".repeat(1 << 19));
    let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(&format!("{long}, <b>; rel=preload")).unwrap())]);
    assert_eq!(early_links(&headers).unwrap(), "<b>; rel=preload", "a lone quote hides nothing that comes after it");
}
