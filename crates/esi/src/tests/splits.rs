//! A split anywhere changes nothing, and text without ESI is never touched.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::language::{Request, page_of};
use super::{Limits, Piece, cut, pieces, read_chunks, read_with};
use crate::{Dialect, Escape};

const TEXTS: [&[u8]; 13] = [
    b"",
    b"<html><!-- a comment --><p class=\"design\">desire > esi: president</p><![CDATA[ <x> ]]></html>",
    b"{\"a\": \"<p>\\\"esi\\\"</p>\", \"b\": [1, 2, null]}",
    b"<script>if (a < b && c--> d) { e = '<es' + 'i:include>'; }</script>",
    b"\xff\xfe\x00<\x00e\x00s\x00i\x00:\x00",
    b"<<<esi </esi <!--es <!--esix <!-- esi --> --> <<",
    b"<!DOCTYPE html>\r\n<!--[if IE]><p><![endif]-->\n<a href='?a=1&b=2'>&amp;</a>",
    b"</es</esi</</e<!<!-<!--<!--e<!--es<!--esi-<!--esi-x",
    b"<?xml version=\"1.0\"?><feed xmlns:esi=\"http://www.edge-delivery.org/esi/1.0\"><a:b c='&lt;'/><![CDATA[<es:i>]]></feed>",
    b"<script>//<![CDATA[\nlet a = `${b}$(c)` && \"<\\/script>\";\n//]]></script><style>a>b{}</style>",
    b"<p class=\"x' <b <i>></p </b> <a href=x\"y>$(HTTP_COOKIE{a}|'b') $ $( $x() &amp &#x;",
    b"\x80\xc3(\xe2\x82\xf0\x9f\x92<\xffesi:>\x00\r\n\r\x1b$B",
    b"{\"a\":\"\\u003cesi:include src='/x'/\\u003e\",\"b\":\"&lt;esi:vars&gt;\"}\n[1e9,-0.0,\"\\ud800\"]",
];

const DOCUMENT: &str = "<html>\n<!--esi <esi:include src=\"/a?b=1&amp;c\" alt='/d>' onerror=\"continue\"/> --> -->\n\
    <esi:remove><p>\n<!--esi x --></esi:remove><esi:comment text=\"<p>\"/>\n<esi:vars>x</esi:vars>\
    <esi:include src='/x' <p>\n</esi:remove><!--esi--><!--esix--> <esi:include src='/y>z<i>\n";

#[test]
fn each_split_in_two_gives_the_whole() {
    let limits = [
        Limits::default(),
        Limits { max_tag_bytes: 20, max_remove_bytes: 12, ..Limits::default() },
        Limits { max_tag_bytes: 7, max_remove_bytes: 0, ..Limits::default() },
    ];
    for limits in limits {
        for document in TEXTS.into_iter().chain([DOCUMENT.as_bytes()]) {
            let whole = read_with(limits, document);
            for place in 0..=document.len() {
                assert_eq!(read_chunks(limits, cut(document, &[place])), whole, "split at {place}");
            }
            let bytes = document.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
            assert_eq!(read_chunks(limits, bytes), whole, "single bytes");
        }
    }
}

const AKAMAI: &str = "<esi:assign name=\"l\" value=\"[1, 'b<', {'k': $(HTTP_HOST)}]\"/>a<esi:foreach collection=\"$(l)\" item=\"i\">\
    <esi:vars>-$(i)$upper($(i))\u{e9}</esi:vars><esi:choose><esi:when test=\"$(i) has 'b' &amp;&amp; !(1>2)\"><esi:break/></esi:when>\
    </esi:choose></esi:foreach><esi:text><esi:include src='/raw'/>$(l)</esi:text><esi:function name=\"f\"><esi:return value=\"$(ARGS{0})+1\"/>\
    </esi:function><esi:vars>$f(41)$(QUERY_STRING{q}|'d)')</esi:vars><esi:try><esi:attempt>x<esi:eval src=\"/fail\"/></esi:attempt>\
    <esi:except><esi:include src='/y?$(QUERY_STRING)' maxwait='5'/></esi:except></esi:try><esi:assign name='m'>long $(HTTP_HOST)</esi:assign>\
    <esi:vars name=\"$(m)\"/><esi:inline name='/in'>in</esi:inline><esi:include src='/in'/><!--esi <esi:vars>$(m)</esi:vars>-->z";

#[test]
fn each_split_in_two_gives_the_whole_page_in_both_dialects() {
    let request = Request::new(&[("HTTP_HOST", "example.org"), ("QUERY_STRING", "a=1&b")]);
    let page = |chunks: &[Bytes], dialect| page_of(chunks, &request, dialect, Escape::Markup);
    for dialect in [Dialect::Akamai, Dialect::Esi10] {
        for document in TEXTS.into_iter().chain([DOCUMENT.as_bytes(), AKAMAI.as_bytes()]) {
            let whole = page(&[Bytes::from_static(document)], dialect);
            for place in 0..=document.len() {
                assert_eq!(page(&cut(document, &[place]), dialect), whole, "split at {place}");
            }
            let bytes: Vec<_> = document.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
            assert_eq!(page(&bytes, dialect), whole, "single bytes");
        }
    }
    let (akamai, warnings) = page(&[Bytes::from_static(AKAMAI.as_bytes())], Dialect::Akamai);
    assert_eq!(
        akamai,
        "a-11\u{e9}-b&lt;B&lt;\u{e9}<esi:include src='/raw'/>$(l)42d){/y?a=1&b}long example.orgin long example.orgz"
    );
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// Whether `text` is a part of the memory of one of `chunks`.
fn is_slice_of(text: &Bytes, chunks: &[Bytes]) -> bool {
    let range = text.as_ptr_range();
    chunks.iter().map(|chunk| chunk.as_ptr_range()).any(|chunk| chunk.start <= range.start && range.end <= chunk.end)
}

/// Checks the text that comes out of a document without ESI.
fn passes_untouched(document: &[u8], places: &[usize]) {
    let chunks = cut(document, places);
    let (pieces, parser) = pieces(Limits::default(), chunks.clone());
    assert!(!parser.saw_esi());
    let texts: Vec<_> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts.concat(), document);
    assert!(texts.iter().all(|text| is_slice_of(text, &chunks)), "text was copied");
    // A run, and the prefix at its end that had to be held back.
    assert!(texts.len() <= 2 * chunks.len(), "text is in shreds");
}

#[test]
fn text_without_esi_is_not_copied_and_one_piece_a_chunk() {
    for text in TEXTS {
        for place in 0..=text.len() {
            passes_untouched(text, &[place]);
        }
        passes_untouched(text, &(0..text.len()).collect::<Vec<_>>());
    }
    let document = Bytes::from_static(b"<p>one run</p> <es <b>of text</b> with < and </ and <!-- in it -->");
    let (pieces, _) = pieces(Limits::default(), [document.clone()]);
    assert_eq!(pieces, [Piece::Text(document)]);
}

#[test]
fn only_what_can_become_a_marker_is_held_back() {
    for (chunk, held) in [
        ("a<", 1),
        ("a<e", 2),
        ("a</es", 4),
        ("a<!--es", 6),
        ("a<!--esi", 7),
        ("a<!--esi-", 8),
        ("a<p", 0),
        ("a--", 0),
        ("a<!-- ", 0),
        ("a<esi", 4),
        ("a<esi ", 0),
        ("<<", 1),
        ("a>", 0),
        ("<!--esi --", 2),
        ("<!--esi -", 1),
    ] {
        let (mut parser, mut out) = (crate::Parser::default(), Vec::new());
        parser.push(chunk.into(), &mut out);
        assert_eq!(parser.held(), held, "{chunk}");
    }
}

/// Documents made of the bytes that matter.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    const UNITS: [&str; 34] = [
        "<esi:",
        "</esi:",
        "<!--esi",
        "-->",
        "<esi:remove>",
        "</esi:remove>",
        "<esi:include src='/a'/>",
        "<esi:include src=\"",
        "<esi:comment",
        "<!--esi ",
        "include",
        "remove",
        " src=",
        "/>",
        ">",
        "<",
        "\"",
        "'",
        "=",
        "-",
        "--",
        "/",
        " ",
        "\n",
        "a",
        "text and more text",
        "<p>",
        "<!--",
        "e",
        "s",
        "i",
        ":",
        "é",
        "&amp;",
    ];
    vec(
        prop_oneof![9 => proptest::sample::select(&UNITS[..]).prop_map(|unit| unit.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4)],
        0..60,
    )
    .prop_map(|units| units.concat())
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..4_usize, 0..80_usize, 0..80_usize).prop_map(|(max_includes, max_tag_bytes, max_remove_bytes)| Limits {
        max_includes,
        max_tag_bytes,
        max_remove_bytes,
        ..Limits::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_split_of_any_bytes_gives_the_whole(
        document in vec(any::<u8>(), 0..200),
        places in vec(any::<usize>(), 0..20),
    ) {
        let whole = read_with(Limits::default(), &document);
        prop_assert_eq!(read_chunks(Limits::default(), cut(&document, &places)), whole);
    }

    #[test]
    fn any_split_of_esi_soup_gives_the_whole(
        document in soup(),
        limits in limits(),
        places in vec(any::<usize>(), 0..20),
    ) {
        let whole = read_with(limits, &document);
        prop_assert_eq!(read_chunks(limits, cut(&document, &places)), whole);
        let bytes = document.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
        prop_assert_eq!(read_chunks(limits, bytes), read_with(limits, &document));
    }

    #[test]
    fn soup_without_markers_passes_untouched(document in soup(), places in vec(any::<usize>(), 0..20)) {
        let document: Vec<u8> = document.into_iter().filter(|byte| *byte != b'i').collect();
        passes_untouched(&document, &places);
    }

    #[test]
    fn nothing_before_a_page_blanks_it(document in soup(), limits in limits()) {
        let page = "x".repeat(1000);
        let read = read_with(limits, [&document[..], b"<p>", page.as_bytes()].concat());
        let lost = limits.max_tag_bytes;
        prop_assert!(read.out.ends_with(&page[lost..]), "{:?}", read);
    }
}
