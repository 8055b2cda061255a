//! ESI: pages that are decided on for each request, and what a visitor's words may do in them.

use copal_testkit::Answer;

use crate::front::Front;

const YAML: &str = "sessions: {cookies: [session], ignore: [theme]}
rules:
  - {name: user, match: {path: '/user'}, pass: true}
  - {name: frag, match: {path: '/frag/**'}, cache: {ttl: 1h}}
  - {name: akamai, match: {path: '/akamai/**'}, cache: {ttl: 1h}, esi: {dialect: akamai, headers: [X-Country]}}
  - {name: raw, match: {path: '/raw'}, cache: {ttl: 1h}, esi: {raw: true}}
  - {name: pages, cache: {ttl: 1h, key: {cookies: [lang]}}, esi: {cookies: [group]}, sessions: ignore}";

fn page(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("content-type", "text/html; charset=utf-8")
}

async fn shown(front: &Front, path: &str, fields: &[(&str, &str)]) -> String {
    let mut client = front.client().await;
    let request = fields.iter().fold(client.get(path), |request, (name, value)| request.header(name, *value));
    request.send().await.text().to_owned()
}

#[tokio::test]
async fn a_choice_by_cookie_is_made_for_each_visitor_of_one_stored_page() {
    let front = Front::with(YAML).await;
    front.origin.on(
        "/",
        page(
            "<esi:choose><esi:when test=\"$(HTTP_COOKIE{group})=='Advanced'\"><esi:include src='/frag/a'/></esi:when>\
             <esi:when test=\"$(HTTP_COOKIE{group})=='Basic'\"><esi:include src='/frag/b'/></esi:when>\
             <esi:otherwise>new <esi:include src='/user'/></esi:otherwise></esi:choose>!",
        ),
    );
    front.origin.on("/frag/a", "A");
    front.origin.on("/frag/b", "B");
    front
        .origin
        .on("/user", Answer::from_fn(|request| Answer::ok(request.header("cookie").unwrap_or("nobody").to_owned())));
    for _ in 0..2 {
        assert_eq!(shown(&front, "/", &[("cookie", "group=Advanced")]).await, "A!");
        assert_eq!(shown(&front, "/", &[("cookie", "group=Basic")]).await, "B!");
        assert_eq!(shown(&front, "/", &[]).await, "new nobody!");
        assert_eq!(shown(&front, "/", &[("cookie", "session=ada")]).await, "new session=ada!");
    }
    assert_eq!(front.origin.count("/"), 1, "the page is stored once for all");
    let seen = front.origin.requests().into_iter().find(|request| request.target == "/").unwrap();
    assert!(seen.header("cookie").is_none(), "what the assembly reads is kept from the page's origin");
}

#[tokio::test]
async fn variables_of_the_request() {
    let front = Front::with(YAML).await;
    for (variable, expected) in [
        ("$(HTTP_HOST)", "test.example"),
        ("$(HTTP_REFERER|none)", "from"),
        ("$(HTTP_USER_AGENT{browser}) $(HTTP_USER_AGENT{version}) $(HTTP_USER_AGENT{os})", "MOZILLA 5.0 UNIX"),
        ("$(HTTP_ACCEPT_LANGUAGE{de}) $(HTTP_ACCEPT_LANGUAGE{fr})", "true false"),
        ("$(QUERY_STRING)", "a=b+c&amp;d=%2B"),
        ("$(QUERY_STRING{a})$(QUERY_STRING{d})", "b c+"),
        ("$(HTTP_COOKIE{lang})$(HTTP_COOKIE{theme})$(HTTP_COOKIE{group})", "ltg"),
        ("$(HTTP_COOKIE{session}|hidden)", "hidden"),
        ("$(HTTP_COOKIE)", "lang=l; theme=t; group=g"),
        ("$(HTTP_X_COUNTRY|hidden)", "hidden"),
        ("$(REQUEST_METHOD) $(REQUEST_PATH)", "GET /v"),
    ] {
        front.origin.on("/v?a=b+c&d=%2B", page(&format!("<esi:vars>{variable}</esi:vars>")).once());
        assert_eq!(front.purge("/v?a=b+c&d=%2B").await.status, 200);
        let fields = [
            ("cookie", "session=s; lang=l; theme=t; group=g"),
            ("referer", "from"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("accept-language", "de, fr;q=0"),
            ("x-country", "de"),
        ];
        assert_eq!(shown(&front, "/v?a=b+c&d=%2B", &fields).await, expected, "{variable}");
    }
}

#[tokio::test]
async fn what_a_visitor_sends_never_becomes_markup_or_a_tag() {
    let front = Front::with(YAML).await;
    front.origin.on("/frag/secret", "SECRET");
    let hostile = "</b><esi:include src='/frag/secret'/><script>alert(\"1\")</script>&amp;";
    let query = "%3C%2Fb%3E%3Cesi%3Ainclude%20src%3D%27%2Ffrag%2Fsecret%27%2F%3E%3Cscript%3E%22";
    let template = "<esi:vars>[$(HTTP_COOKIE{group})|$(HTTP_REFERER)|$(QUERY_STRING{q})|$(HTTP_USER_AGENT)|$(QUERY_STRING)]</esi:vars>";
    let path = format!("/hostile?q={query}");
    front.origin.on(&path, page(template));
    let fields = [("cookie", format!("group={}", hostile.replace([' ', ';'], ""))), ("referer", hostile.to_owned())];
    let mut client = front.client().await;
    for _ in 0..2 {
        let request = fields.iter().fold(client.get(&path), |request, (name, value)| request.header(name, value));
        let got = request.header("user-agent", hostile).send().await;
        assert_eq!(got.status, 200);
        assert!(!got.text().contains(['<', '>', '"', '\'']), "{}", got.text());
        assert!(got.text().contains("&lt;script&gt;"), "{}", got.text());
    }
    assert_eq!(front.origin.count("/frag/secret"), 0);

    // In JSON and scripts a value stands in a string literal.
    let json = Answer::ok("{\"q\": \"<esi:vars>$(QUERY_STRING{q})</esi:vars>\"}");
    front.origin.on("/data?q=%22%2C%22x%22%3A%22%3C", json.header("content-type", "application/json"));
    let got = shown(&front, "/data?q=%22%2C%22x%22%3A%22%3C", &[]).await;
    assert_eq!(got, "{\"q\": \"\\\",\\\"x\\\":\\\"\\u003c\"}");

    // By the operator's word only.
    front.origin.on("/raw?q=%3Cb%3E", page("<esi:vars>$(QUERY_STRING{q})</esi:vars>"));
    assert_eq!(shown(&front, "/raw?q=%3Cb%3E", &[]).await, "<b>");
}

#[tokio::test]
async fn a_visitor_cannot_choose_which_fragment_is_fetched() {
    let front = Front::with(YAML).await;
    let template = "[<esi:include src='/frag/$(QUERY_STRING{id})'/>]";
    front.origin.on("/frag/7", "seven");
    front.origin.on("/frag/..%2Fuser", "one component, whatever is in it");
    front.origin.on("/frag/%2F%2Fevil.example%2Fx", "this site");
    for (query, expected) in [
        ("id=7", "[seven]"),
        ("id=../user", "[one component, whatever is in it]"),
        ("id=//evil.example/x", "[this site]"),
    ] {
        let path = format!("/pick?{query}");
        front.origin.on(&path, page(template));
        assert_eq!(shown(&front, &path, &[]).await, expected, "{query}");
    }
    assert_eq!(front.origin.count("/user"), 0);
}

#[tokio::test]
async fn what_a_visitor_sends_stays_one_component_of_a_reference() {
    let front = Front::with(YAML).await;
    front.origin.on("/user", "SECRET");
    front.origin.on("/secret", "SECRET");
    for (index, (template, sent, asked)) in [
        ("/frag/$(QUERY_STRING{id})", "7", Some("/frag/7")),
        ("/frag/$(QUERY_STRING{id})", "%2F..%2Fuser", Some("/frag/%2F..%2Fuser")),
        ("/frag/$(QUERY_STRING{id})", "/../user", Some("/frag/%2F..%2Fuser")),
        ("/frag/$(QUERY_STRING{id})", "%252F..%252Fuser", Some("/frag/%252F..%252Fuser")),
        ("/frag/$(QUERY_STRING{id})", "%5C..%5Cuser", Some("/frag/%5C..%5Cuser")),
        ("/frag/$(QUERY_STRING{id})", "//evil.example/x", Some("/frag/%2F%2Fevil.example%2Fx")),
        ("/frag/$(QUERY_STRING{id})", "x%0D%0AHost:%20evil", Some("/frag/x%0D%0AHost%3A%20evil")),
        ("/frag/$(QUERY_STRING{id})", "x%00", Some("/frag/x%00")),
        ("/frag/$(QUERY_STRING{id})", "x?a=b%23c", Some("/frag/x%3Fa%3Db%23c")),
        ("/frag/x?q=$(QUERY_STRING{id})", "1%26admin=1", Some("/frag/x?q=1%26admin%3D1")),
        // The page's own host, with its port.
        ("http://$(HTTP_HOST)/frag/host", "", Some("/frag/host")),
        // These would be other places.
        ("/frag/$(QUERY_STRING{id})/user", "..", None),
        ("/frag/$(QUERY_STRING{id})/user", "%2e%2e", None),
        ("/frag/.$(QUERY_STRING{id})/user", ".", None),
        ("/$(QUERY_STRING{id})/test.example/secret", "", None),
        ("$(QUERY_STRING{id})", "http:%2F%2Ftest.example%2Fsecret", Some("/pick/http%3A%2F%2Ftest.example%2Fsecret")),
        ("/frag/$(QUERY_STRING)", "x/../../secret", Some("/frag/id%3Dx%2F..%2F..%2Fsecret")),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/pick/{index}?id={sent}");
        front.origin.on(&format!("/pick/{index}"), page(&format!("[<esi:include src=\"{template}\"/>]")));
        front.origin.on("/frag/*", "found");
        for _ in 0..2 {
            let before = front.origin.requests().len();
            let got = front.client().await.get(&path).host("test.example:8080").send().await;
            assert_eq!(got.status, 200, "{path}");
            assert!(!got.text().contains("SECRET"), "{path}: {}", got.text());
            let seen: Vec<_> = front.origin.requests().split_off(before).into_iter().map(|seen| seen.target).collect();
            let others: Vec<_> = seen.iter().filter(|target| !target.starts_with(&format!("/pick/{index}"))).collect();
            // Stored after the first time.
            assert!(others.iter().all(|target| Some(target.as_str()) == asked), "{template}, {sent}: {others:?}");
            if let Some(asked) = asked {
                assert!(
                    front.origin.requests().iter().any(|seen| seen.target == asked),
                    "{template}, {sent}: {seen:?}"
                );
            }
        }
    }
    assert_eq!((front.origin.count("/user"), front.origin.count("/secret")), (0, 0));
}

/// In attributes, comments and CDATA, and in what is not UTF-8.
#[tokio::test]
async fn what_a_visitor_sends_stays_within_its_place() {
    let front = Front::with(YAML).await;
    front.origin.on("/frag/secret", "SECRET");
    let hostile = "%22%20onclick=%22x%27--%3E]]%3E%3Cesi:include%20src=%27/frag/secret%27/%3E%00%1B%0D%0A%26";
    let put = "&quot; onclick=&quot;x&#39;--&gt;]]&gt;&lt;esi:include src=&#39;/frag/secret&#39;/&gt;&#xFFFD;&#xFFFD;\r\n&amp;";
    for (index, (before, after)) in
        [("<a title=\"", "\">"), ("<a title='", "'>"), ("<!-- ", " -->"), ("<![CDATA[", "]]>"), ("<p>", "</p>")]
            .into_iter()
            .enumerate()
    {
        let path = format!("/within/{index}?q={hostile}");
        front.origin.on(
            &format!("/within/{index}"),
            page(&format!("<esi:vars>{before}$(QUERY_STRING{{q}}){after}</esi:vars>")),
        );
        for _ in 0..2 {
            assert_eq!(shown(&front, &path, &[]).await, format!("{before}{put}{after}"));
        }
    }
    // A script in Shift_JIS, where a stray byte before a backslash would take it for its own.
    let script = Answer::ok("x = \"<esi:vars>$(QUERY_STRING{q})</esi:vars>\";")
        .header("content-type", "text/javascript; charset=shift_jis");
    front.origin.on("/script", script);
    assert_eq!(shown(&front, "/script?q=%C3%81%22;alert(1)//", &[]).await, "x = \"\\u00c1\\\";alert(1)//\";");
    assert_eq!(front.origin.count("/frag/secret"), 0);
}

#[tokio::test]
async fn blocks_within_blocks_and_fragments_within_fragments() {
    let front = Front::with(YAML).await;
    front.origin.on(
        "/",
        page(
            "<esi:choose><esi:when test=\"1==1\">a<esi:try><esi:attempt>b<esi:include src='/nested'/></esi:attempt>\
             <esi:except>no</esi:except></esi:try></esi:when></esi:choose><esi:inline name='/in'>inline</esi:inline>\
             <esi:include src='/in'/>",
        ),
    );
    front.origin.on("/nested", page("<esi:vars>$(HTTP_COOKIE{group}|guest)</esi:vars>(<esi:include src='/frag/x'/>)"));
    front.origin.on("/frag/x", "X");
    for _ in 0..2 {
        assert_eq!(shown(&front, "/", &[]).await, "abguest(X)inline");
        assert_eq!(shown(&front, "/", &[("cookie", "group=<i>")]).await, "ab&lt;i&gt;(X)inline");
    }
    assert_eq!((front.origin.count("/"), front.origin.count("/nested"), front.origin.count("/in")), (1, 1, 0));
}

#[tokio::test]
async fn the_akamai_dialect_is_switched_on_by_the_rule() {
    let front = Front::with(YAML).await;
    let template = "<esi:assign name=\"n\" value=\"2+3\"/><esi:vars>$(n)$(HTTP_X_COUNTRY)\
        <esi:foreach item=\"i\" collection=\"[1,2]\">-$(i)</esi:foreach></esi:vars>";
    front.origin.on("/akamai/page", page(template));
    front.origin.on("/page", page(template));
    for _ in 0..2 {
        assert_eq!(shown(&front, "/akamai/page", &[("x-country", "de")]).await, "5de-1-2");
        assert_eq!(shown(&front, "/page", &[("x-country", "de")]).await, "-", "tags dropped, content kept");
    }
    assert_eq!(front.origin.count("/akamai/page"), 1);
}

#[tokio::test]
async fn a_page_of_blocks_is_the_same_however_it_comes() {
    let front = Front::with(YAML).await;
    let template = "a<esi:vars>$(HTTP_HOST)</esi:vars><esi:choose><esi:when test=\"1==2\">b</esi:when>\
        <esi:otherwise>c<esi:include src='/frag/x'/></esi:otherwise></esi:choose>d";
    let pieces: Vec<String> = template.chars().map(String::from).collect();
    front.origin.on("/", page("").chunks(pieces));
    front.origin.on("/frag/x", "X");
    for _ in 0..2 {
        assert_eq!(shown(&front, "/", &[]).await, "atest.examplecXd");
    }
}
