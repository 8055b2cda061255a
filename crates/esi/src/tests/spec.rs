//! The specification's own examples, by section, and what it says of each element.

use super::read;

const NOTHING: [&str; 0] = [];

fn table(rows: &[(&str, &str, &[&str])]) {
    for (document, out, warnings) in rows {
        let read = read(document);
        assert_eq!(read.out, *out, "{document}");
        assert_eq!(read.words(), *warnings, "{document}");
    }
}

#[test]
fn section_3_1_include_gives_src_alt_and_onerror() {
    table(&[
        (
            r#"<esi:include src="http://example.com/1.html" alt="http://bak.example.com/2.html" onerror="continue"/>"#,
            "{http://example.com/1.html|http://bak.example.com/2.html!}",
            &[],
        ),
        (
            r#"<esi:include src="http://example.com/search?query=$(QUERY_STRING{query})"/>"#,
            "{http://example.com/search?query=$(QUERY_STRING{query})}",
            &[],
        ),
        (r#"<p><esi:include src="/a" /></p>"#, "<p>{/a}</p>", &[]),
        (r#"<esi:include src="/a"/><esi:include src="/b"/>"#, "{/a}{/b}", &[]),
        ("<esi:include\n  src='/a'\n  alt='/b'\n/>", "{/a|/b}", &[]),
        (r#"<esi:include src="/a?b=1&amp;c=&quot;2&quot;"/>"#, r#"{/a?b=1&c="2"}"#, &[]),
        (r#"<esi:include src="/a?b=1&c=2&#x26;&#38;"/>"#, "{/a?b=1&c=2&&}", &[]),
    ]);
}

#[test]
fn section_3_1_include_is_an_empty_element_but_other_forms_are_understood() {
    table(&[
        (r#"a<esi:include src="/a">b"#, "a{/a}b", &["not-empty"]),
        (r#"a<esi:include src="/a"></esi:include>b"#, "a{/a}b", &["not-empty"]),
        (r#"a<esi:include src="/a">fallback</esi:include>b"#, "a{/a}fallbackb", &["not-empty"]),
        (r#"a<esi:include src="/a"/></esi:include>b"#, "a{/a}b", &["stray-end-tag"]),
        ("a<esi:include/>b", "ab", &["missing-src"]),
        (r#"a<esi:include src=""/>b"#, "ab", &["missing-src"]),
    ]);
}

#[test]
fn section_3_5_comment_is_deleted() {
    table(&[
        (r#"a<esi:comment text="the following animation will have a 24 hr TTL." />b"#, "ab", &[]),
        (r#"<esi:comment text="a > b"/>"#, "", &[]),
        ("a<esi:comment/>b", "ab", &[]),
        (r#"a<esi:comment text="x">b</esi:comment>c"#, "abc", &["not-empty"]),
    ]);
}

#[test]
fn section_3_6_remove_is_deleted_with_its_content() {
    table(&[
        (
            "<esi:include src=\"http://www.example.com/ad.html\"/> \n<esi:remove> \n  \
             <a href=\"http://www.example.com\">www.example.com</a>\n</esi:remove>",
            "{http://www.example.com/ad.html} \n",
            &[],
        ),
        ("a<esi:remove>b</esi:remove>c<esi:remove>d</esi:remove>e", "ace", &[]),
        ("a<esi:remove></esi:remove >b", "ab", &[]),
        ("a<esi:remove/>b", "ab", &[]),
    ]);
}

#[test]
fn section_3_6_nothing_inside_remove_is_processed() {
    table(&[
        (r#"a<esi:remove><esi:include src="/x"/><esi:unknown></esi:remove>b"#, "ab", &[]),
        ("a<esi:remove><!--esi x --></esi:remove>b-->", "ab-->", &[]),
        ("a<esi:remove></esi:comment></esi:remove>b", "ab", &[]),
        // It cannot be nested, so the first end tag ends it.
        ("a<esi:remove>b<esi:remove>c</esi:remove>d</esi:remove>e", "ade", &["stray-end-tag"]),
    ]);
}

#[test]
fn section_3_8_block_markers_are_removed_and_the_content_processed() {
    table(&[
        ("<!--esi  \n  <p><esi:vars>Hello, $(HTTP_COOKIE{name})!</esi:vars></p>\n-->", "  \n  <p>{vars}</p>\n", &[]),
        (r#"a<!--esi <esi:include src="/a"/>-->b"#, "a {/a}b", &[]),
        ("a<!--esi-->b", "ab", &[]),
        ("a<!--esi<p>-->b", "a<p>b", &[]),
        ("a<!--esi\n--><!--esi\tx-->b", "a\n\txb", &[]),
        ("a<!--esi <esi:remove>x</esi:remove>-->b", "a b", &[]),
    ]);
}

#[test]
fn section_3_8_the_first_end_marker_ends_the_block() {
    table(&[
        ("<!--esi a --> b --> c", " a  b --> c", &[]),
        ("<!--esi a <!-- b --> c -->", " a <!-- b  c -->", &[]),
        ("<!--esi a <!--esi b --> c -->", " a  b  c -->", &["nested-block"]),
        ("a --> b", "a --> b", &[]),
        ("<!--esi -----> a", " --- a", &[]),
        ("<!--esi a -- b - > c -->", " a -- b - > c ", &[]),
        ("<!--esi <esi:remove> --> </esi:remove> -->", "  -->", &[]),
        (r#"<!--esi <esi:comment text="-->"/>a-->"#, " a", &[]),
        // The `>` is the block's: it is not left open to eat the end of some later comment.
        (r#"<!--esi <esi:include src="/a" --> <!-- b -->"#, "  <!-- b -->", &["unclosed-tag"]),
        ("<!--esi <esi:vars--> <!-- b -->", "  <!-- b -->", &["unclosed-tag"]),
        ("<!--esi </esi:vars--> <!-- b -->", "  <!-- b -->", &["unclosed-tag"]),
    ]);
}

#[test]
fn section_3_8_other_comments_are_text() {
    for document in [
        "<!-- esi --><!--ESI x --><!--esigate x --><!--esi-note x--><!--esi_x--><!--esi:include-->",
        "<!----><!--><!--->",
        "<!--esi-",
        "<!--esi--",
    ] {
        let read = read(document);
        assert_eq!(read.out, document);
        assert!(!read.saw_esi, "{document}");
    }
}

#[test]
fn section_3_other_elements_lose_their_tags_and_keep_their_content() {
    table(&[
        ("<esi:blink>a</esi:blink>", "a", &["unknown-element"; 2]),
        ("<esi:>a<esi: include src='/a'/>", "a", &["unknown-element"; 2]),
    ]);
}

#[test]
fn section_3_names_are_lower_case() {
    for document in ["<ESI:include src=\"/a\"/>", "<Esi:remove>a</Esi:remove>", "<e si:a>", "<esi>a</esi>", "esi:a"] {
        assert_eq!(read(document).out, document);
        assert_eq!(read(document).warnings, NOTHING);
    }
    assert_eq!(read("<esi:Include src='/a'/>").out, "");
}

#[test]
fn section_3_1_includes_beyond_the_limit_are_dropped_and_counted() {
    let limits = crate::Limits { max_includes: 2, ..Default::default() };
    let document = "a<esi:include src='/1'/>b<esi:include src='/2'/>c<esi:include src='/3'/>d<esi:include src='/4'/>e";
    let read = super::read_with(limits, document);
    assert_eq!(read.out, "a{/1}b{/2}cde");
    assert_eq!(read.dropped_includes, 2);
    assert_eq!(read.words(), ["too-many-includes"; 2]);
}

#[test]
fn warnings_and_includes_name_line_and_column() {
    let document = "a\nbc<esi:include src='/1'>\n\n <esi:blink>\n<esi:remove>\n\n</esi:remove>é</esi:vars>";
    assert_eq!(read(document).warnings, ["2:3 not-empty", "4:2 unknown-element", "7:16 stray-end-tag"]);
    let (pieces, _) = super::pieces(crate::Limits::default(), [document.into()]);
    let places: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match piece {
            crate::Piece::Include(include) => Some((include.line, include.column)),
            _ => None,
        })
        .collect();
    assert_eq!(places, [(2, 3)]);
}
