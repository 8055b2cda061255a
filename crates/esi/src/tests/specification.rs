//! ESI Language Specification 1.0 (W3C Note of 4 August 2001), clause by clause: its own examples, what it says of each
//! element, and how elements may stand within each other. Expectations are read off the text, which stands beside each case.

use std::sync::Arc;

use bytes::Bytes;

use super::language::{Request, page_where};
use crate::{Dialect, Escape};

/// The request of the table in section 4, and what examples elsewhere read.
fn request() -> Arc<Request> {
    Request::new(&[
        ("HTTP_ACCEPT_LANGUAGE", "da, en-gb, en"),
        ("HTTP_COOKIE", "id=571; visits=42"),
        ("HTTP_COOKIE{id}", "571"),
        ("HTTP_COOKIE{visits}", "42"),
        ("HTTP_COOKIE{group}", "Basic User"),
        ("HTTP_COOKIE{type}", "big"),
        ("HTTP_COOKIE{name}", "Robin"),
        ("HTTP_COOKIE{version}", "3.01.23"),
        ("HTTP_COOKIE{empty}", ""),
        ("HTTP_HOST", "esi.xyz.com"),
        ("HTTP_REFERER", "http://roberts.xyz.com/"),
        ("HTTP_USER_AGENT", "Mozilla; MSIE 5.5"),
        ("HTTP_USER_AGENT{browser}", "MSIE"),
        ("HTTP_USER_AGENT{version}", "5.5"),
        ("HTTP_USER_AGENT{os}", "OTHER"),
        ("QUERY_STRING", "first=Robin&last=Roberts"),
        ("QUERY_STRING{first}", "Robin"),
        ("QUERY_STRING{last}", "Roberts"),
        ("QUERY_STRING{query}", "a b"),
    ])
}

/// The page, where includes are `{src}` and those below `/none/` and at `failing` fail.
fn page(template: &str, failing: &str) -> String {
    let document = [Bytes::copy_from_slice(template.as_bytes())];
    let fails = |src: &str| src.contains("/none/") || src == failing;
    page_where(&document, &request(), Dialect::Esi10, Escape::Markup, fails).0
}

/// `(clause, template, page)`.
fn table(rows: &[(&str, &str, &str)]) {
    for (clause, template, expected) in rows {
        assert_eq!(page(template, ""), *expected, "{clause}: {template}");
    }
}

/// `(clause, test, whether it holds)`. Attributes are XML, so `&` and `<` may be written as references too.
fn tests(rows: &[(&str, &str, bool)]) {
    for (clause, test, expected) in rows {
        for test in [(*test).to_owned(), test.replace('&', "&amp;").replace('<', "&lt;")] {
            let template = format!("<esi:choose><esi:when test=\"{test}\">y</esi:when></esi:choose>");
            assert_eq!(page(&template, "") == "y", *expected, "{clause}: {test}");
        }
    }
}

#[test]
fn section_3_elements() {
    table(&[
        ("3: ESI elements are stripped from the output", "a<esi:comment text='x'/><esi:vars>b</esi:vars>c", "abc"),
        (
            "3: elements outside of the namespace are not processed",
            "<p><xsl:include src='/a'/><fx:esi/></p>",
            "<p><xsl:include src='/a'/><fx:esi/></p>",
        ),
        (
            "3: a namespace declaration stays, it is the document's",
            "<html xmlns:esi=\"http://www.edge-delivery.org/esi/1.0\"><esi:include src='/a'/></html>",
            "<html xmlns:esi=\"http://www.edge-delivery.org/esi/1.0\">{/a}</html>",
        ),
        ("3: names are lower case", "<ESI:INCLUDE SRC='/a'/>", "<ESI:INCLUDE SRC='/a'/>"),
        ("3: attribute names too", "a<esi:include SRC='/a'/>b", "ab"),
        ("2: any textual resource", "{\"a\": \"<esi:include src='/a'/>\"}", "{\"a\": \"{/a}\"}"),
    ]);
}

#[test]
fn section_3_1_include() {
    table(&[
        (
            "3.1, first example",
            "<esi:include src=\"http://example.com/1.html\" alt=\"http://bak.example.com/2.html\" onerror=\"continue\"/>",
            "{http://example.com/1.html}",
        ),
        (
            "3.1, second example: variables, and the value must be a valid URI",
            "<esi:include src=\"http://example.com/search?query=$(QUERY_STRING{query})\"/>",
            "{http://example.com/search?query=a%20b}",
        ),
        ("3.1: an empty element", "a<esi:include src='/a'/>b<esi:include src='/b' />c", "a{/a}b{/b}c"),
        ("3.1: replaces the element", "<p><esi:include src='/a'/></p>", "<p>{/a}</p>"),
        ("3.1: order is the document's", "<esi:include src='/b'/><esi:include src='/a'/>", "{/b}{/a}"),
        ("3.1: attributes in any order", "<esi:include onerror='continue' alt='/b' src='/a'/>", "{/a}"),
        ("3.1: alt has variables as src has", "<esi:include src='/a' alt='/$(HTTP_COOKIE{id})'/>", "{/a}"),
        ("3.1: src is required", "a<esi:include alt='/a'/>b", "ab"),
    ]);
}

#[test]
fn section_3_2_inline() {
    table(&[
        (
            "3.2: stored under its name and assembled as an included fragment",
            "<esi:inline name=\"/i\" fetchable=\"yes\"> \n    fragment \n</esi:inline>[<esi:include src='/i'/>]",
            "[ \n    fragment \n]",
        ),
        ("3.2: puts out nothing where it stands", "a<esi:inline name='/i' fetchable='no'>x</esi:inline>b", "ab"),
        (
            "3.2: as often as it is included",
            "<esi:inline name='/i'>x</esi:inline><esi:include src='/i'/><esi:include src='/i'/>",
            "xx",
        ),
        (
            "3.2: a fragment has ESI of its own",
            "<esi:inline name='/i'><esi:vars>$(HTTP_HOST)</esi:vars><esi:include src='/a'/></esi:inline><esi:include src='/i'/>",
            "esi.xyz.com{/a}",
        ),
        ("3.2: others are fetched", "<esi:inline name='/i'>x</esi:inline><esi:include src='/j'/>", "{/j}"),
    ]);
}

const GROUPS: &str = "<esi:choose> \n    <esi:when test=\"$(HTTP_COOKIE{group})=='Advanced'\"> \n        \
    <esi:include src=\"http://www.example.com/advanced.html\"/> \n    </esi:when> \n    \
    <esi:when test=\"$(HTTP_COOKIE{group})=='Basic User'\">\n        <esi:include src=\"http://www.example.com/basic.html\"/>\n    \
    </esi:when> \n    <esi:otherwise> \n        <esi:include src=\"http://www.example.com/new_user.html\"/> \n    \
    </esi:otherwise>\n</esi:choose>";

#[test]
fn section_3_3_choose() {
    for (group, expected) in
        [("Advanced", "advanced"), ("Basic User", "basic"), ("Other", "new_user"), ("", "new_user")]
    {
        let request = Request::new(&[("HTTP_COOKIE{group}", group)]);
        let document = [Bytes::from_static(GROUPS.as_bytes())];
        let (page, warnings) = page_where(&document, &request, Dialect::Esi10, Escape::Markup, |_| false);
        assert_eq!(page.trim(), format!("{{http://www.example.com/{expected}.html}}"), "3.3, example: {group}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    table(&[
        (
            "3.3: the first that is true, then out",
            "<esi:choose><esi:when test='1==2'>a</esi:when><esi:when test='1==1'>b</esi:when><esi:when test='2==2'>c</esi:when><esi:otherwise>d</esi:otherwise></esi:choose>",
            "b",
        ),
        ("3.3: otherwise is optional", "a<esi:choose><esi:when test='1==2'>b</esi:when></esi:choose>c", "ac"),
        (
            "3.3: no other children",
            "<esi:choose><p>x</p><esi:include src='/x'/><esi:when test='1==1'>a</esi:when></esi:choose>",
            "a",
        ),
        (
            "3.3: ESI and other markup in a branch, and of other branches nothing",
            "<esi:choose><esi:when test='1==2'><esi:include src='/none/'/></esi:when><esi:otherwise><p><esi:include src='/a'/><esi:comment text='c'/><esi:remove>r</esi:remove></p></esi:otherwise></esi:choose>",
            "<p>{/a}</p>",
        ),
    ]);
}

const AD: &str = "<esi:try> \n    <esi:attempt>\n        <esi:comment text=\"Include an ad\"/> \n        \
    <esi:include src=\"http://www.example.com/ad1.html\"/> \n    </esi:attempt>\n    <esi:except> \n        \
    <esi:comment text=\"Just write some HTML instead\"/> \n        <a href=\"www.akamai.com\">www.example.com</a>\n    \
    </esi:except> \n</esi:try>";

#[test]
fn section_3_4_try() {
    assert_eq!(page(AD, "").trim(), "{http://www.example.com/ad1.html}", "3.4, example");
    let link = "<a href=\"www.akamai.com\">www.example.com</a>";
    assert_eq!(page(AD, "http://www.example.com/ad1.html").trim(), link, "3.4, example: if the ad fetch fails");
    let attempt = |attempt: &str| {
        format!("<esi:try><esi:attempt>{attempt}</esi:attempt><esi:except>except</esi:except></esi:try>")
    };
    for (clause, within, expected) in [
        ("3.4: a failed include triggers except", "a<esi:include src='/none/'/>b", "except"),
        ("3.4: whichever of them", "<esi:include src='/a'/><esi:include src='/none/'/>", "except"),
        ("3.4: no failure, no except", "a<esi:include src='/a'/>b", "a{/a}b"),
        ("3.4: other statements trigger none", "<esi:vars>$(NONE)</esi:vars><esi:choose></esi:choose>a", "a"),
        (
            "3.4: a branch that is not taken fails nothing",
            "<esi:choose><esi:when test='1==2'><esi:include src='/none/'/></esi:when></esi:choose>a",
            "a",
        ),
        (
            "3.4: within a branch that is taken it does",
            "<esi:choose><esi:when test='1==1'><esi:include src='/none/'/></esi:when></esi:choose>a",
            "except",
        ),
        ("3.4: within vars too", "<esi:vars>$(HTTP_HOST)<esi:include src='/none/'/></esi:vars>", "except"),
        (
            "3.4: what an inline fragment includes too",
            "<esi:inline name='/i'><esi:include src='/none/'/></esi:inline><esi:include src='/i'/>",
            "except",
        ),
    ] {
        assert_eq!(page(&attempt(within), ""), expected, "{clause}: {within}");
    }
    let nested = attempt(&format!("1{}2", attempt("<esi:include src='/none/'/>")));
    assert_eq!(page(&nested, ""), "1except2", "3.4: an except of its own");
    let in_except = "<esi:try><esi:attempt><esi:include src='/none/'/></esi:attempt><esi:except>a<esi:try><esi:attempt>\
        <esi:include src='/none/2'/></esi:attempt><esi:except>b</esi:except></esi:try></esi:except></esi:try>";
    assert_eq!(page(in_except, ""), "ab", "3.4: except may contain ESI");
}

#[test]
fn sections_3_5_to_3_8() {
    table(&[
        ("3.5, example", "<esi:comment text=\"the following animation will have a 24 hr TTL.\" />", ""),
        ("3.5: deleted, not evaluated", "a<esi:comment text=\"$(HTTP_HOST) <esi:include src='/a'/>\"/>b", "ab"),
        ("3.5: visible comments are the markup's own", "<!-- seen -->", "<!-- seen -->"),
        (
            "3.6, example",
            "<esi:include src=\"http://www.example.com/ad.html\"/> \n<esi:remove> \n  <a href=\"http://www.example.com\">www.example.com</a>\n</esi:remove>",
            "{http://www.example.com/ad.html} \n",
        ),
        (
            "3.6: no nested ESI",
            "a<esi:remove><esi:include src='/a'/><esi:vars>$(HTTP_HOST)</esi:vars></esi:remove>b",
            "ab",
        ),
        (
            "3.7, example",
            "<esi:vars>\n  <img src=\"http://www.example.com/$(HTTP_COOKIE{type})/hello.gif\"/>\n</esi:vars>",
            "\n  <img src=\"http://www.example.com/big/hello.gif\"/>\n",
        ),
        (
            "3.7: markup outside of a block has no variables",
            "$(HTTP_HOST)<p>$(HTTP_COOKIE{type})</p>",
            "$(HTTP_HOST)<p>$(HTTP_COOKIE{type})</p>",
        ),
        (
            "3.7: and so a branch outside of vars",
            "<esi:choose><esi:when test='1==1'>$(HTTP_HOST)<esi:vars>$(HTTP_HOST)</esi:vars></esi:when></esi:choose>",
            "$(HTTP_HOST)esi.xyz.com",
        ),
        (
            "3.8, example",
            "<!--esi  \n  <p><esi:vars>Hello, $(HTTP_COOKIE{name})!</esi:vars></p>\n-->",
            "  \n  <p>Hello, Robin!</p>\n",
        ),
        (
            "3.8: in a branch",
            "<esi:choose><esi:when test='1==1'><!--esi <esi:include src='/a'/>--></esi:when></esi:choose>",
            " {/a}",
        ),
        (
            "3.8: around a choice",
            "<!--esi <esi:choose><esi:when test='1==1'>a</esi:when><esi:otherwise>b</esi:otherwise></esi:choose>-->c",
            " ac",
        ),
    ]);
}

#[test]
fn section_4_variables() {
    for (clause, variable, expected) in [
        ("4: the table", "$(HTTP_HOST)", "esi.xyz.com"),
        ("4: the table", "$(HTTP_REFERER)", "http://roberts.xyz.com/"),
        ("4: names are upper case", "$(http_host)", ""),
        ("4.1: by default in a string context", "$(HTTP_COOKIE)", "id=571; visits=42"),
        ("4.1: by default in a string context", "$(HTTP_ACCEPT_LANGUAGE)", "da, en-gb, en"),
        ("4.1.1, example", "$(HTTP_COOKIE{visits})", "42"),
        ("4.1.1: keys are case-sensitive", "$(HTTP_COOKIE{Visits})", ""),
        (
            "4.1.1: User-Agent",
            "$(HTTP_USER_AGENT{browser}) $(HTTP_USER_AGENT{version}) $(HTTP_USER_AGENT{os})",
            "MSIE 5.5 OTHER",
        ),
        ("4.1.1: three values only", "$(HTTP_USER_AGENT{engine})", ""),
        ("4.1.1: the query", "$(QUERY_STRING{first}) $(QUERY_STRING{last})", "Robin Roberts"),
        ("4.1.2: a list gives a boolean", "$(HTTP_ACCEPT_LANGUAGE{en-gb})", "true"),
        ("4.1.2: a list gives a boolean", "$(HTTP_ACCEPT_LANGUAGE{fr})", "false"),
        ("4.2: nonexistent is an empty string", "[$(HTTP_COOKIE{none})]", "[]"),
        ("4.2: so is an undefined variable", "[$(NOTHING)]", "[]"),
        ("4.2: a default, when empty", "$(HTTP_COOKIE{empty}|none)", "none"),
        ("4.2: a default, when nonexistent", "$(NOTHING|none)", "none"),
        ("4.2: a default, of a substructure", "$(HTTP_COOKIE{first_name}|'new user')", "new user"),
        ("4.2: no default where there is a value", "$(HTTP_COOKIE{id}|none)", "571"),
        ("4.2: a quoted default may be empty", "[$(NOTHING|'')]", "[]"),
        ("4.2: or have any sign", "$(NOTHING|'a) | {b}')", "a) | {b}"),
    ] {
        assert_eq!(page(&format!("<esi:vars>{variable}</esi:vars>"), ""), expected, "{clause}: {variable}");
    }
    let request = Request::new(&[]);
    let document = [Bytes::from_static(b"<esi:include src=\"http://example.com/$(HTTP_COOKIE{id}|default).html\"/>")];
    let (page, _) = page_where(&document, &request, Dialect::Esi10, Escape::Markup, |_| false);
    assert_eq!(page, "{http://example.com/default.html}", "4.2, example");
}

#[test]
fn section_5_expressions() {
    tests(&[
        ("5, example", "$(HTTP_HOST) == 'esi.xyz.com'", true),
        ("5, example", "$(HTTP_HOST) == 'example.com'", false),
        ("5: whitespace is optional", "$(HTTP_HOST)=='esi.xyz.com'", true),
        ("5: whitespace is optional", " ( 1 == 1 ) & ! ( 1 == 2 ) ", true),
        ("5.1: correct", "!(1==1)", false),
        ("5.1: correct", "!('a'<='c')", false),
        ("5.1: correct", "(1==1)|('abc'=='def')", true),
        ("5.1: correct", "(4!=5)&(4==5)", false),
        ("5.1: will not evaluate", "(1 & 4)", false),
        ("5.1: will not evaluate", "('abc' | 'edf')", false),
        ("5.1: nor its negation", "!(1 & 4)", false),
        ("5.1: comparisons", "1!=2", true),
        ("5.1: comparisons", "1<2", true),
        ("5.1: comparisons", "2>1", true),
        ("5.1: comparisons", "2<=2", true),
        ("5.1: comparisons", "2>=2", true),
        ("5.1: comparisons", "2>=3", false),
        ("5.1: comparisons of strings", "'abc'<'abd'", true),
        ("5.1: comparison before negation", "!1==2", true),
        ("5.1: comparison before negation", "!$(HTTP_COOKIE{id})==571", false),
        ("5.1: negation before and", "!1==2&1==2", false),
        ("5.1: and before or", "1==1|1==1&1==2", true),
        ("5.1: and before or", "1==2&1==2|1==1", true),
        ("5.1: parentheses", "(1==1|1==1)&1==2", false),
        ("5.1: parentheses", "!(1==2|1==1)", false),
        ("5.1: from left to right", "1==2|1==2|1==1", true),
        ("5.1: both numeric", "10>9", true),
        ("5.1: both numeric", "$(HTTP_COOKIE{visits})>'9'", true),
        ("5.1: both numeric", "'007'==7", true),
        ("5.1: both numeric", "1.50=='1.5'", true),
        ("5.1: both numeric", "-2<-1", true),
        ("5.1: one is not, so strings", "'10'<'9a'", true),
        ("5.1: 3.01.23 will not test as a number", "$(HTTP_COOKIE{version})<'3.1'", true),
        ("5.1: 3.01.23 will not test as a number", "$(HTTP_COOKIE{version})=='3.1.23'", false),
        ("5.1: 1.05a will not test as a number", "'1.05a'=='1.050a'", false),
        ("5.1: numbers of any length", "'9007199254740993'=='9007199254740992'", false),
        ("5.1: numbers of any length", "12345678901234567890124>12345678901234567890123", true),
        ("5.1: numbers of any length", "'0.1000000000000000000001'>'0.1'", true),
        ("5.1: an empty operand is false", "$(HTTP_COOKIE{none})=='x'", false),
        ("5.1: an empty operand is false", "$(HTTP_COOKIE{none})!='x'", false),
        ("5.1: an empty operand is false", "''==''", false),
        ("5.1: an empty operand is false", "$(HTTP_COOKIE{empty})<=0", false),
        ("5.1: so its negation is true", "!($(HTTP_COOKIE{none})=='x')", true),
        ("4.1.2: a boolean stands for itself", "$(HTTP_ACCEPT_LANGUAGE{en-gb})", true),
        ("4.1.2: a boolean stands for itself", "!$(HTTP_ACCEPT_LANGUAGE{en-gb})", false),
        ("4.1.2: and in an expression", "$(HTTP_ACCEPT_LANGUAGE{da})&1==1", true),
        ("4.2: a default in an expression", "$(HTTP_COOKIE{none}|'x')=='x'", true),
        ("5: literals are single-quoted", "$(HTTP_HOST)==esi.xyz.com", false),
    ]);
}
