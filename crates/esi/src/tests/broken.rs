//! Broken markup: each rule of the crate's documentation.

use super::{Limits, read, read_with};

fn table(limits: Limits, rows: &[(&str, &str, &[&str])]) {
    for (document, out, warnings) in rows {
        let read = read_with(limits, document);
        assert_eq!(read.out, *out, "{document}");
        assert_eq!(read.words(), *warnings, "{document}");
    }
}

#[test]
fn an_unclosed_tag_ends_where_other_markup_begins() {
    table(
        Limits::default(),
        &[
            ("a<esi:include src='/a' <p>b</p>", "a<p>b</p>", &["unclosed-tag"]),
            ("a<esi:include src='/a' <esi:include src='/b'/>", "a{/b}", &["unclosed-tag"]),
            ("a<esi:<esi:include src='/b'/>", "a{/b}", &["unclosed-tag"]),
            ("a</esi:vars <p>b</p>", "a<p>b</p>", &["unclosed-tag"]),
            ("a</esi:vars \"><p>b</p>", "a<p>b</p>", &["stray-end-tag"]),
        ],
    );
}

#[test]
fn an_unclosed_tag_at_the_end_is_dropped() {
    table(
        Limits::default(),
        &[
            ("a<esi:", "a", &["unclosed-tag"]),
            ("a<esi:include src='/a'", "a", &["unclosed-tag"]),
            ("a<esi:include src='/a", "a", &["unclosed-tag"]),
            ("a</esi:remove", "a", &["unclosed-tag"]),
            ("a<!--esi", "a", &["unclosed-block"]),
            ("a<!--esi b", "a b", &["unclosed-block"]),
            // These are not ESI yet.
            ("a<", "a<", &[]),
            ("a<esi", "a<esi", &[]),
            ("a</", "a</", &[]),
            ("a<!--es", "a<!--es", &[]),
        ],
    );
}

#[test]
fn an_open_quote_costs_its_tag_and_not_the_page() {
    table(
        Limits::default(),
        &[
            ("a<esi:include src='/a>b<p>c</p>", "ab<p>c</p>", &["unclosed-tag"]),
            (
                r#"a<esi:include src="/a>b<p class="x">c</p>d<esi:include src="/d"/>e"#,
                r#"ab<p class="x">c</p>d{/d}e"#,
                &["unclosed-tag"],
            ),
            (r#"a<esi:include src="/a/>b<esi:include src="/b"/>c"#, "ab{/b}c", &["unclosed-tag"]),
            // The quotes happen to pair up, and the tag seems to end, far from where it began.
            (r#"a<esi:include src="/a>b<i x="c>d"#, r#"ab<i x="c>d"#, &["unclosed-tag"]),
            ("a<esi:include src=/don't/>b", "ab", &["unclosed-tag"]),
        ],
    );
}

#[test]
fn a_tag_that_reaches_the_limit() {
    let limits = Limits { max_tag_bytes: 31, ..Limits::default() };
    table(
        limits,
        &[
            ("a<esi:include src=\"/567890123\"/>b", "a{/567890123}b", &[]),
            // One byte more: with a `>` it is an unclosed tag ...
            ("a<esi:include src=\"/>567890123\"/>b", "a567890123\"/>b", &["unclosed-tag"]),
            // ... without one it is text.
            (
                "a<esi:include src=\"/5678901234\"/>b<esi:comment/>",
                "a<esi:include src=\"/5678901234\"/>b",
                &["tag-too-long"],
            ),
            ("</esi:vars                       >b", "</esi:vars                       >b", &["tag-too-long"]),
        ],
    );
    let limits = Limits { max_tag_bytes: 0, ..Limits::default() };
    assert_eq!(read_with(limits, "a<esi:comment/>b").out, "a<esi:comment/>b");
}

#[test]
fn an_unclosed_remove_removes_nothing() {
    table(
        Limits::default(),
        &[
            ("a<esi:remove>b", "ab", &["unclosed-remove"]),
            ("a<esi:remove>b<esi:include src='/c'/>d", "ab{/c}d", &["unclosed-remove"]),
            ("a<esi:remove>b<esi:remove>c", "abc", &["unclosed-remove"; 2]),
            ("a<esi:remove>b</esi:vars>", "ab", &["unclosed-remove", "stray-end-tag"]),
            ("a<esi:remove>b<", "ab<", &["unclosed-remove"]),
            ("a<esi:remove>b<!--esi c -->", "ab c ", &["unclosed-remove"]),
            ("a<esi:remove", "a", &["unclosed-tag"]),
            // Its block is open again when it is given back.
            ("<!--esi a<esi:remove>b-->c-->", " abc-->", &["unclosed-remove"]),
            // An end tag that lacks its `>` is one all the same.
            ("a<esi:remove>b</esi:remove<p>c", "a<p>c", &["unclosed-tag"]),
            ("a<esi:remove>b</esi:remove", "a", &["unclosed-tag"]),
            ("<!--esi a<esi:remove>b</esi:remove-->c-->", " ac-->", &["unclosed-tag"]),
            ("<!--esi a<esi:remove>b</esi:vars-->c</esi:remove>d-->", " ad-->", &[]),
            ("a<esi:remove>b</esi:removed>c</esi:remove>d", "ad", &[]),
        ],
    );
}

#[test]
fn a_remove_that_reaches_the_limit_removes_nothing() {
    let limits = Limits { max_remove_bytes: 10, ..Limits::default() };
    table(
        limits,
        &[
            ("a<esi:remove>0123456789</esi:remove>b", "ab", &[]),
            ("a<esi:remove>0123456789x</esi:remove>b", "a0123456789xb", &["unclosed-remove", "stray-end-tag"]),
            ("a<esi:remove>012345678<x</esi:remove>b", "a012345678<xb", &["unclosed-remove", "stray-end-tag"]),
            (
                "a<esi:remove>012345</esi:vars>b</esi:remove>c",
                "a012345bc",
                &["unclosed-remove", "stray-end-tag", "stray-end-tag"],
            ),
            // What comes after the limit is a new chance.
            ("<esi:remove>0123456789012345<esi:remove>x</esi:remove>b", "0123456789012345b", &["unclosed-remove"]),
        ],
    );
}

#[test]
fn places_stay_right_after_text_was_read_again() {
    let read = read("<esi:remove>\n\n <esi:blink>\n<esi:include src='/a> <p>\n</esi:vars>");
    assert_eq!(read.warnings, ["1:1 unclosed-remove", "3:2 unknown-element", "4:1 unclosed-tag", "5:1 stray-end-tag"]);
}

#[test]
fn a_non_utf8_document_is_processed() {
    let read = read(b"\xff\xfe<esi:include src='/\xe9'/>\xe9<esi:\xe9/>\x80");
    assert_eq!(read.out, "\\xff\\xfe{/%E9}\\xe9\\x80");
    assert_eq!(read.words(), ["unknown-element"]);
}

#[test]
fn esi_works_inside_scripts_cdata_json_and_comments() {
    for (before, after) in [
        ("<script>var a = \"", "\";</script>"),
        ("<![CDATA[", "]]>"),
        ("{\"a\": [1, \"", "\"]}"),
        ("<!-- ", " -->"),
        ("<p title='", "'>"),
        ("<<<", ">>>"),
    ] {
        let document = format!("{before}<esi:include src='/a'/>{after}");
        assert_eq!(read(&document).out, format!("{before}{{/a}}{after}"));
    }
}
