//! What blocks come to for a request: variables, expressions, choices, attempts, and the Akamai dialect.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::cut;
use crate::{Dialect, Escape, Limits, Next, Parser, Plan, Setting, Value, Variables};

/// A request: `NAME` or `NAME{key}` and its value.
#[derive(Debug)]
pub(super) struct Request(Vec<(String, String)>);

impl Request {
    pub(super) fn new(values: &[(&str, &str)]) -> Arc<Self> {
        Arc::new(Self(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()))
    }
}

impl Variables for Request {
    fn get(&self, name: &str, key: Option<&str>) -> Value {
        if name == "HTTP_ACCEPT_LANGUAGE"
            && let Some(key) = key
        {
            return Value::Boolean(self.0.iter().any(|(known, value)| known == name && value.contains(key)));
        }
        let wanted = key.map_or(name.to_owned(), |key| format!("{name}{{{key}}}"));
        let found = self.0.iter().find(|(known, _)| *known == wanted);
        found.map(|(_, value)| Value::text(value.as_str())).unwrap_or_default()
    }

    fn now(&self) -> u64 {
        784_111_777
    }

    fn random(&self) -> u64 {
        14
    }
}

fn request() -> Arc<Request> {
    Request::new(&[
        ("HTTP_COOKIE{user}", "Ann <b>"),
        ("HTTP_COOKIE{n}", "7"),
        ("HTTP_HOST", "example.org"),
        ("HTTP_ACCEPT_LANGUAGE", "en-gb,de"),
        ("HTTP_USER_AGENT{browser}", "MOZILLA"),
        ("QUERY_STRING", "q=a%20b&p=2"),
        ("QUERY_STRING{q}", "a b"),
        ("QUERY_STRING{evil}", "/../x?//other.example/"),
    ])
}

fn parsed(document: &[Bytes], dialect: Dialect) -> (Vec<crate::Piece>, Vec<String>) {
    let (mut parser, mut pieces) = (Parser::new(Limits::default()).with_dialect(dialect), Vec::new());
    document.iter().cloned().for_each(|chunk| parser.push(chunk, &mut pieces));
    parser.finish(&mut pieces);
    assert_eq!(parser.held(), 0);
    let warnings = parser.warnings();
    (pieces, warnings.iter().map(|warning| warning.message.as_str().to_owned()).collect())
}

/// The page for a request, where fragments are `{src}` and those with `fail` in their name fail.
pub(super) fn page_of(
    document: &[Bytes],
    request: &Arc<Request>,
    dialect: Dialect,
    escape: Escape,
) -> (String, Vec<String>) {
    page_where(document, request, dialect, escape, |src| src.contains("fail"))
}

/// The page for a request, where fragments are `{src}` and those that `fails` says fail.
pub(super) fn page_where(
    document: &[Bytes],
    request: &Arc<Request>,
    dialect: Dialect,
    escape: Escape,
    fails: impl Fn(&str) -> bool,
) -> (String, Vec<String>) {
    let (pieces, warnings) = parsed(document, dialect);
    let variables = Arc::clone(request) as Arc<dyn Variables + Send + Sync>;
    let mut plan = Plan::new(4, 100).with_setting(Setting { variables, escape, dialect });
    pieces.into_iter().for_each(|piece| plan.add(piece));
    plan.end();
    let (mut out, mut names, mut idle) = (Vec::new(), std::collections::HashMap::new(), 0);
    loop {
        while let Some((id, include)) = plan.start_next() {
            names.insert(id, include.src.to_string());
            if fails(&include.src) { plan.failed(id) } else { plan.finished(id) }
        }
        match plan.next() {
            Next::Text(text) => out.extend_from_slice(&text),
            Next::Fragment(id) => {
                out.extend_from_slice(format!("{{{}}}", names[&id]).as_bytes());
                plan.done(id);
            }
            Next::Wait => {
                idle += 1;
                assert!(idle < 1000, "the plan waits for nothing");
            }
            Next::End => break,
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), warnings)
}

fn page(document: &str) -> (String, Vec<String>) {
    page_of(&[Bytes::copy_from_slice(document.as_bytes())], &request(), Dialect::Esi10, Escape::Markup)
}

fn akamai(document: &str) -> (String, Vec<String>) {
    page_of(&[Bytes::copy_from_slice(document.as_bytes())], &request(), Dialect::Akamai, Escape::Markup)
}

fn table(run: fn(&str) -> (String, Vec<String>), rows: &[(&str, &str, &[&str])]) {
    for (document, out, warnings) in rows {
        assert_eq!(
            run(document),
            ((*out).to_owned(), warnings.iter().map(ToString::to_string).collect()),
            "{document}"
        );
    }
}

/// Whether a `test` holds.
fn holds(test: &str, dialect: Dialect) -> bool {
    let test = test.replace('&', "&amp;").replace('<', "&lt;");
    let document = format!(r#"<esi:choose><esi:when test="{test}">y</esi:when></esi:choose>"#);
    page_of(&[Bytes::from(document)], &request(), dialect, Escape::Markup).0 == "y"
}

#[test]
fn section_4_2_variables_in_vars_and_attributes_only() {
    table(
        page,
        &[
            ("$(HTTP_HOST)", "$(HTTP_HOST)", &[]),
            ("<esi:vars>$(HTTP_HOST)</esi:vars>", "example.org", &[]),
            ("<esi:vars>Hello $(HTTP_COOKIE{user})!</esi:vars>", "Hello Ann &lt;b&gt;!", &[]),
            ("<esi:vars>$(HTTP_COOKIE{none}|guest)</esi:vars>", "guest", &[]),
            ("<esi:vars>$(HTTP_COOKIE{none}|'new user')</esi:vars>", "new user", &[]),
            ("<esi:vars>$(HTTP_COOKIE{none}|new user)</esi:vars>", "$(HTTP_COOKIE{none}|new user)", &["bad-variable"]),
            ("<esi:vars>$(HTTP_COOKIE{User})</esi:vars>", "", &[]),
            ("<esi:vars>a $ b $c $( d</esi:vars>", "a $ b $c $( d", &["bad-variable"]),
            ("<esi:vars>$(HTTP_ACCEPT_LANGUAGE{de})</esi:vars>", "true", &[]),
            ("<esi:vars/>a", "a", &[]),
            (r#"<esi:include src="/s?q=$(QUERY_STRING{q})"/>"#, "{/s?q=a%20b}", &[]),
            (r#"<esi:include src="/s?$(QUERY_STRING)"/>"#, "{/s?q=a%20b&p=2}", &[]),
            (r#"<esi:include src="/s/$(QUERY_STRING{evil})"/>"#, "{/s/%2F..%2Fx%3F%2F%2Fother.example%2F}", &[]),
            (r#"<esi:include src="$(HTTP_COOKIE{none})"/>a"#, "a", &[]),
            (
                r#"<esi:vars><a href="/$(HTTP_COOKIE{n})"><esi:include src="/b"/></a></esi:vars>"#,
                r#"<a href="/7">{/b}</a>"#,
                &[],
            ),
        ],
    );
}

#[test]
fn section_3_3_choose_takes_the_first_branch_that_holds() {
    table(
        page,
        &[
            (
                r#"<esi:choose> <esi:when test="$(HTTP_COOKIE{n})==7">a<esi:include src="/x"/></esi:when>
                   <esi:when test="1==1">b</esi:when> <esi:otherwise>c</esi:otherwise> </esi:choose>d"#,
                "a{/x}d",
                &[],
            ),
            (
                r#"<esi:choose><esi:when test="$(HTTP_COOKIE{n})==8">a</esi:when><esi:otherwise>c<esi:vars>$(HTTP_HOST)</esi:vars></esi:otherwise></esi:choose>"#,
                "cexample.org",
                &[],
            ),
            (r#"<esi:choose><esi:when test="1==2">a</esi:when></esi:choose>b"#, "b", &[]),
            (r#"<esi:choose>x<esi:when test="1==1">a</esi:when><p></esi:choose>"#, "a", &["not-a-branch"]),
            (r#"<esi:choose><esi:when>a</esi:when><esi:when test="'">b</esi:when></esi:choose>"#, "", &["bad-test"; 2]),
            (
                "<esi:choose><esi:otherwise>a</esi:otherwise><esi:otherwise>b</esi:otherwise></esi:choose>",
                "a",
                &["duplicate-branch"],
            ),
            (r#"<esi:when test="1==1">a</esi:when>b"#, "ab", &["misplaced"]),
            // Nobody sees what was not chosen, however the page ends.
            (r#"a<esi:choose><esi:when test="1==2">secret"#, "a", &["unclosed-container"; 2]),
            (r#"a<esi:choose><esi:when test="1==2">secret</esi:choose>b"#, "ab", &["unclosed-container"]),
            (
                r#"<esi:choose><esi:when test="1==1"><esi:choose><esi:when test="2==2">in</esi:when></esi:choose></esi:when></esi:choose>"#,
                "in",
                &[],
            ),
        ],
    );
}

#[test]
fn section_3_4_try_puts_out_the_attempt_or_the_except() {
    table(
        page,
        &[
            (
                r#"<esi:try><esi:attempt>a<esi:include src="/x"/></esi:attempt><esi:except>b</esi:except></esi:try>c"#,
                "a{/x}c",
                &[],
            ),
            (
                r#"0<esi:try> <esi:attempt>a<esi:include src="/fail"/></esi:attempt> <esi:except>b<esi:include src="/y"/></esi:except></esi:try>c<esi:include src="/z"/>"#,
                "0b{/y}c{/z}",
                &[],
            ),
            (
                r#"<esi:try><esi:attempt>1<esi:try><esi:attempt><esi:include src="/fail"/></esi:attempt><esi:except>2</esi:except></esi:try>3</esi:attempt><esi:except>4</esi:except></esi:try>"#,
                "123",
                &[],
            ),
            (
                r#"<esi:try><esi:attempt>1<esi:try><esi:attempt><esi:include src="/x"/></esi:attempt><esi:except>2</esi:except></esi:try><esi:include src="/fail"/></esi:attempt><esi:except>4</esi:except></esi:try>"#,
                "4",
                &[],
            ),
            ("<esi:try><esi:attempt>a</esi:attempt></esi:try>", "a", &[]),
            ("<esi:attempt>a</esi:attempt>", "a", &["misplaced"]),
        ],
    );
}

#[test]
fn section_3_2_inline_fragments_serve_includes_of_their_name() {
    table(
        page,
        &[
            (
                r#"<esi:inline name="/in" fetchable="no">x<esi:vars>$(HTTP_HOST)</esi:vars></esi:inline>a<esi:include src="/in"/>b"#,
                "axexample.orgb",
                &[],
            ),
            (r#"<esi:inline name="/in"><esi:include src="/in"/></esi:inline><esi:include src="/in"/>"#, "{/in}", &[]),
            ("<esi:inline>a</esi:inline>", "a", &["bad-attribute"]),
        ],
    );
}

#[test]
fn section_5_1_precedence_types_and_empty_operands() {
    for (test, expected) in [
        ("1==1", true),
        ("1 == 1", true),
        ("1.0==1", true),
        ("'a'=='a'", true),
        ("'a'!='b'", true),
        ("10>9", true),
        // Compared as texts, as neither is a number.
        ("'3.01.23'<'3.2'", true),
        ("'10a'>'9a'", false),
        ("2<=2", true),
        ("2>=3", false),
        // An empty operand makes every comparison false.
        ("$(HTTP_COOKIE{none})==''", false),
        ("$(HTTP_COOKIE{none})!='x'", false),
        ("!($(HTTP_COOKIE{none})=='x')", true),
        // `!` binds less than a comparison.
        ("!$(HTTP_COOKIE{n})==8", true),
        ("!1==1", false),
        ("!!1==1", true),
        // `&` before `|`, both after `!`.
        ("1==1|1==2&1==3", true),
        ("(1==1|1==2)&1==3", false),
        ("1==2&1==2|1==1", true),
        // Values are no expressions.
        ("(1 & 4)", false),
        ("!4", false),
        ("$(HTTP_COOKIE{n})", false),
        ("1==1|4", false),
        ("$(HTTP_ACCEPT_LANGUAGE{en-gb})", true),
        ("!$(HTTP_ACCEPT_LANGUAGE{fr})", true),
        ("$(HTTP_USER_AGENT{browser})=='MOZILLA'", true),
        ("$(HTTP_COOKIE{user})=='Ann <b>'", true),
        ("", false),
        ("1==", false),
        ("1=1", false),
        ("1==1)", false),
        ("'a", false),
        // Of the other dialect.
        ("1==1&&1==1", false),
        ("'ab' has 'a'", false),
        ("1+1==2", false),
    ] {
        assert_eq!(holds(test, Dialect::Esi10), expected, "{test}");
    }
}

#[test]
fn the_akamai_dialects_expressions() {
    for (test, expected) in [
        ("1==1&&1==1||1==2", true),
        ("'abc' has 'b'", true),
        ("'ABC' has_i 'b'", true),
        ("'abc' matches 'a.c'", true),
        ("'abc' matches '('", false),
        ("'ABC' matches_i '^abc$'", true),
        ("1+2*3==7", true),
        ("7%4==3", true),
        ("1/0==1", false),
        ("9223372036854775807+1>0", false),
        ("$(HTTP_COOKIE{n})", true),
        ("!$(HTTP_COOKIE{none})", true),
        ("$(HTTP_COOKIE{'n'})==7", true),
        ("$len([1,2,3])==3", true),
        ("$len([1..10])==10", true),
        ("$lower('ABC')=='abc'", true),
        ("$substr('abcdef',1,2)=='bc'", true),
        ("$join($string_split('a,b',','),'-')=='a-b'", true),
        ("$exists($(HTTP_COOKIE{none}))", false),
        ("$time()==784111777", true),
        ("$rand(10)==7", true),
        ("$http_time()=='Sun, 06 Nov 1994 08:49:37 GMT'", true),
        ("$strftime($time(), '%Y-%m-%d')=='1994-11-06'", true),
        ("$strftime(0, '%a %H:%M')=='Thu 00:00'", true),
        ("$exists($strftime(0, '%Q'))", false),
        ("$digest_md5_hex('abc')=='900150983cd24fb0d6963f7d28e17f72'", true),
        ("$len($digest_md5('abc'))==4", true),
        ("$convert_to_unicode('é')==$convert_from_unicode('é')", true),
        ("$url_decode('a%20b')=='a b'", true),
        ("$index('abc','c')==2", true),
        ("$nothing(1)==1", false),
    ] {
        assert_eq!(holds(test, Dialect::Akamai), expected, "{test}");
    }
}

#[test]
fn the_akamai_dialects_statements() {
    table(
        akamai,
        &[
            (r#"<esi:assign name="a" value="1+1"/><esi:vars>$(a)</esi:vars>"#, "2", &[]),
            (r#"<esi:assign name="a">'x'</esi:assign><esi:vars>$(a)</esi:vars>"#, "x", &[]),
            (r#"<esi:assign name="a">x $(HTTP_HOST)</esi:assign><esi:vars>$(a)</esi:vars>"#, "x example.org", &[]),
            (
                r#"<esi:assign name="d" value="{'k': 1}"/><esi:assign name="d{'m'}" value="2"/><esi:vars>$(d{k})$(d{'m'})</esi:vars>"#,
                "12",
                &[],
            ),
            (r#"<esi:vars name="$(HTTP_HOST)"/>"#, "example.org", &[]),
            (
                r#"<esi:foreach collection="[1,2,3]"><esi:vars>$(item)</esi:vars><esi:choose><esi:when test="$(item)==2"><esi:break/></esi:when></esi:choose>,</esi:foreach>"#,
                "1,2",
                &[],
            ),
            (
                r#"<esi:function name="f"><esi:return value="$(ARGS{0})*2"/></esi:function><esi:vars>$f(21)</esi:vars>"#,
                "42",
                &[],
            ),
            (
                r#"<esi:function name="f"><esi:return value="$f($(ARGS{0}))"/></esi:function><esi:vars>[$f(1)]</esi:vars>"#,
                "[]",
                &[],
            ),
            (
                r#"<esi:choose><esi:when test="'id-42' matches 'id-([0-9]+)'" matchname="m"><esi:vars>$(m{1})</esi:vars></esi:when></esi:choose>"#,
                "42",
                &[],
            ),
            (r#"<esi:text><esi:include src="/raw"/>$(x)</esi:text>"#, r#"<esi:include src="/raw"/>$(x)"#, &[]),
            (r#"<esi:eval src="/e" dca="none"/>"#, "{/e}", &[]),
            (r#"<esi:include src="/a" maxwait="500" ttl="2h" no-store="on" method="GET"/>"#, "{/a}", &[]),
            (r#"<esi:include src="/a" method="PUT"/>"#, "{/a}", &["ignored-attribute"]),
            (r#"<esi:assign name="u" value="'/p?a=b'"/><esi:include src="$(u)"/>"#, "{/p?a=b}", &[]),
            (r#"<esi:assign name="u" value="$(HTTP_COOKIE{user})"/><esi:vars>$(u)</esi:vars>"#, "Ann &lt;b&gt;", &[]),
            (r#"<esi:foreach>a</esi:foreach>"#, "a", &["bad-attribute"]),
        ],
    );
    table(
        page,
        &[(
            r#"<esi:assign name="a" value="1"/><esi:foreach collection="[1]">b</esi:foreach>"#,
            "b",
            &["other-dialect"; 2],
        )],
    );
}

#[test]
fn include_options_of_the_akamai_dialect() {
    let document = r#"<esi:include src="/a" maxwait="500" ttl="2h" no-store="on" method="POST" entity="x" dca="esi"/>"#;
    let (pieces, _) = parsed(&[Bytes::from_static(document.as_bytes())], Dialect::Akamai);
    let Some(crate::Piece::Include(include)) = pieces.first() else { panic!("{pieces:?}") };
    let options = include.options.as_deref().unwrap();
    assert_eq!(options.max_wait, Some(std::time::Duration::from_millis(500)));
    assert_eq!(options.ttl, Some(std::time::Duration::from_secs(7_200)));
    assert!(options.no_store && options.process == Some(true));
    assert_eq!((options.method.as_deref(), options.entity.as_deref()), (Some("POST"), Some("x")));
}

#[test]
fn evaluation_ends_however_much_is_asked_of_it() {
    let bomb = r#"<esi:assign name="l" value="[1..1000]"/><esi:foreach collection="$(l)"><esi:foreach collection="$(l)"><esi:foreach collection="$(l)"><esi:vars>$(item)</esi:vars></esi:foreach></esi:foreach></esi:foreach>"#;
    assert!(akamai(bomb).0.len() < 4 << 20);
    let double = r#"<esi:assign name="s" value="'aaaaaaaaaaaaaaaa'"/><esi:foreach collection="[1..1000]"><esi:assign name="s" value="$(s)+$(s)"/></esi:foreach><esi:vars>$len($(s))</esi:vars>"#;
    let (out, _) = akamai(double);
    assert!(out.is_empty() || out.parse::<usize>().unwrap() <= 4 << 20, "{out}");
    let deep = format!("<esi:vars>{}</esi:vars>", "$(a{".repeat(5000));
    assert!(akamai(&deep).0.starts_with("$(a{"));
    let live = format!("<esi:vars>{} $(HTTP_HOST)</esi:vars>", "$(a{".repeat(40));
    assert_eq!(akamai(&live), (format!("{} example.org", "$(a{".repeat(40)), vec!["bad-variable".to_owned()]));
    let parentheses = format!(r#"<esi:choose><esi:when test="{}1==1">a</esi:when></esi:choose>"#, "(".repeat(5000));
    assert_eq!(page(&parentheses).0, "");
    let nested = "<esi:try><esi:attempt>".repeat(200) + "x";
    assert!(page(&nested).0.ends_with('x'));
}

#[test]
fn a_tree_names_every_part_and_its_line() {
    let document = "a<esi:choose>\n<esi:when test=\"1==1\"><esi:include src=\"/x\" alt=\"/y\" onerror=\"continue\"/></esi:when>\n\
        <esi:otherwise>b</esi:otherwise></esi:choose><esi:try><esi:attempt>c</esi:attempt><esi:except>d</esi:except></esi:try>\
        <esi:vars>$(HTTP_HOST)</esi:vars><esi:inline name=\"/n\">e</esi:inline>";
    let (pieces, _) = parsed(&[Bytes::from_static(document.as_bytes())], Dialect::Esi10);
    let expected = "text, 1 bytes\nchoose (line 1)\n  when\n    include /x, alt /y, onerror continue (line 2)\n  otherwise\n    \
        text, 1 bytes\ntry (line 3)\n  attempt\n    text, 1 bytes\n  except\n    text, 1 bytes\ntext with variables (line 3)\n\
        inline /n (line 3)\n  text, 1 bytes\n";
    assert_eq!(crate::tree(&pieces).to_string(), expected);
}

/// Documents made of the tags and bytes that matter.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    const UNITS: [&str; 36] = [
        "<esi:choose>",
        "</esi:choose>",
        "<esi:when test=\"1==1\">",
        "<esi:when test=\"$(HTTP_COOKIE{n})==8\">",
        "<esi:when test='",
        "</esi:when>",
        "<esi:otherwise>",
        "</esi:otherwise>",
        "<esi:try>",
        "</esi:try>",
        "<esi:attempt>",
        "</esi:attempt>",
        "<esi:except>",
        "</esi:except>",
        "<esi:vars>",
        "</esi:vars>",
        "<esi:inline name='/i'>",
        "</esi:inline>",
        "<esi:include src='/i'/>",
        "<esi:include src='/fail'/>",
        "<esi:include src='/$(QUERY_STRING{q})'/>",
        "<esi:remove>",
        "</esi:remove>",
        "<!--esi ",
        "-->",
        "$(HTTP_COOKIE{user})",
        "$(HTTP_COOKIE{x}|'d')",
        "$(",
        "$",
        "text",
        " ",
        "<esi:foreach collection=\"[1..3]\">",
        "</esi:foreach>",
        "<esi:assign name='a' value=\"$(a)+1\"/>",
        "<esi:text>",
        "</esi:text>",
    ];
    vec(proptest::sample::select(&UNITS[..]).prop_map(|unit| unit.as_bytes().to_vec()), 0..40)
        .prop_map(|units| units.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_split_gives_the_whole_page(document in soup(), places in vec(any::<usize>(), 0..20), other in any::<bool>()) {
        let dialect = if other { Dialect::Akamai } else { Dialect::Esi10 };
        let whole = page_of(&[Bytes::from(document.clone())], &request(), dialect, Escape::Markup);
        let chunks = cut(&document, &places);
        prop_assert_eq!(page_of(&chunks, &request(), dialect, Escape::Markup), whole);
    }

    #[test]
    fn a_visitor_never_brings_markup(value in any::<String>(), escape in prop_oneof![Just(Escape::Markup), Just(Escape::Script)]) {
        let request = Request::new(&[("HTTP_COOKIE{user}", &value)]);
        let document = Bytes::from_static(b"[<esi:vars>$(HTTP_COOKIE{user})</esi:vars>]");
        let (out, _) = page_of(&[document], &request, Dialect::Esi10, escape);
        prop_assert_eq!(out, format!("[{}]", escape.apply(&value)));
    }

    #[test]
    fn any_expression_is_read_or_refused(test in "[ ()!&|=<>$'{}0-9a-z,.\\[\\]+*/%-]{0,40}") {
        let _ = holds(&test, Dialect::Esi10);
        let _ = holds(&test, Dialect::Akamai);
    }
}
