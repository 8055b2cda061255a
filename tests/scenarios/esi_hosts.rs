//! ESI: which hosts and paths a page may include from, and what of the visitor goes there.

use copal_testkit::{Answer, ScriptedOrigin};

use crate::front::Front;

fn page(body: &str) -> Answer {
    Answer::ok(body.to_owned()).header("content-type", "text/html").header("cache-control", "max-age=60")
}

struct Site {
    front: Front,
    cms: ScriptedOrigin,
    widgets: ScriptedOrigin,
}

/// A site with an origin for widgets; `esi` is what its pages' rule says.
async fn site(esi: &str) -> Site {
    let (cms, widgets) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let yaml = format!(
        "origins: {{cms: '{}', widgets: '{}'}}
trusted_proxies: ['127.0.0.0/8']
purge: {{allow: ['127.0.0.0/8', '192.0.2.7']}}
sessions: {{cookies: [session]}}
rules:
  - {{name: widgets, match: {{host: widgets.example}}, origin: widgets, cache: {{ttl: 1h}}, esi: {{hosts: [test.example]}}}}
  - {{name: user, match: {{path: '/user/**'}}, pass: true}}
  - {{name: pages, cache: {{ttl: 1h}}, sessions: ignore, esi: {esi}}}",
        cms.url(),
        widgets.url()
    );
    Site { front: Front::exactly(&yaml).await, cms, widgets }
}

#[tokio::test]
async fn a_fragment_of_a_listed_host_is_asked_of_its_own_origin_and_without_the_visitor() {
    let Site { front, cms, widgets } = site("{hosts: [widgets.example]}").await;
    cms.on("/", page("[<esi:include src='http://widgets.example/clock?a=1'/>|<esi:include src='/user/name'/>]"));
    cms.on(
        "/user/name",
        Answer::from_fn(|request| {
            Answer::ok(request.header("cookie").unwrap_or("-").to_owned()).header("set-cookie", "own=1")
        }),
    );
    let clock = Answer::ok("12:00")
        .header("cache-control", "max-age=99")
        .header("x-widget", "1")
        .header("link", "</w.css>; rel=preload");
    widgets.on("/clock", clock);
    let mut client = front.client().await;
    for round in 0..2 {
        let got = client
            .get("/")
            .header("cookie", "session=ada; other=1")
            .header("authorization", "Basic YQ==")
            .header("referer", "http://test.example/private")
            .header("x-forwarded-for", "192.0.2.7")
            .header("x-auth-token", "secret")
            .header("accept-language", "de")
            .send()
            .await;
        assert_eq!((got.status, got.text()), (200, "[12:00|session=ada; other=1]"), "round {round}");
        for name in ["set-cookie", "x-widget", "link"] {
            assert!(got.header(name).is_none(), "{name} of a fragment is not the page's");
        }
        assert_eq!(got.header("cache-control"), Some("private, no-cache"));
    }
    assert_eq!(widgets.count("/clock"), 1, "stored under its own rule");
    let asked = widgets.last();
    assert_eq!((asked.target.as_str(), asked.header("host")), ("/clock?a=1", Some("widgets.example")));
    for secret in ["cookie", "authorization", "referer", "x-auth-token"] {
        assert!(asked.header(secret).is_none(), "{secret} is for the page's own host");
    }
    assert_eq!(asked.header("accept-language"), Some("de"));
    assert!(cms.requests().iter().all(|request| request.path() != "/clock"));
    // Purged by its own URL, as any other page.
    let mut client = front.client().await.with_host("widgets.example");
    assert_eq!(client.request("PURGE", "/clock?a=1").send().await.status, 200);
    assert_eq!(front.get("/").await.text(), "[12:00|-]");
    assert_eq!(widgets.count("/clock"), 2);
}

#[tokio::test]
async fn nothing_else_is_asked_whatever_a_page_says() {
    let Site { front, cms, widgets } = site("{hosts: [widgets.example]}").await;
    let address = cms.address();
    for (index, src) in [
        "http://elsewhere.example/",
        "//elsewhere.example/",
        "https://widgets.example.elsewhere.example/",
        "http://ada:secret@widgets.example/",
        "http://widgets.example@elsewhere.example/",
        "http://widgets%2eexample/",
        "http://widgets.example%00.elsewhere.example/",
        "http://widgets.example\\@elsewhere.example/",
        "http:/elsewhere.example/",
        "file:///etc/passwd",
        "gopher://widgets.example/",
        "ftp://widgets.example/",
        "javascript:1",
        "http://127.0.0.1/",
        &format!("http://{address}/"),
        "http://[::1]/",
        "http://169.254.169.254/latest/",
        "http://localhost/",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{index}");
        cms.on(&path, page(&format!("[<esi:include src=\"{src}\"/>]")));
        let got = front.get(&path).await;
        assert_eq!((got.status, got.text()), (200, "[]"), "{src}");
        assert_eq!(cms.requests().len(), index + 1, "{src}: nothing but the page was asked for");
    }
    assert!(widgets.requests().is_empty());
}

#[tokio::test]
async fn without_a_list_other_hosts_are_refused_and_a_listed_one_lists_for_itself() {
    let Site { front, cms, widgets } = site("true").await;
    cms.on("/", page("[<esi:include src='http://widgets.example/clock'/>]"));
    assert_eq!(front.get("/").await.text(), "[]");
    assert!(widgets.requests().is_empty());
    // The widgets' own page includes from its own host, and from the site that its rule lists: there as nobody.
    let nested = "<<esi:include src='/own'/>|<esi:include src='http://test.example/user/name'/>>";
    widgets.on("/page", page(nested));
    widgets.on("/own", "own");
    cms.on("/user/name", Answer::from_fn(|request| Answer::ok(request.header("cookie").unwrap_or("-").to_owned())));
    let mut client = front.client().await.with_host("widgets.example");
    let got = client.get("/page").header("cookie", "other=1").send().await;
    assert_eq!(got.text(), "<own|->");
}

#[tokio::test]
async fn a_circle_by_way_of_another_host_ends() {
    let Site { front, cms, widgets } = site("{hosts: [widgets.example]}").await;
    cms.on("/", page("a<esi:include src='http://widgets.example/'/>"));
    widgets.on("/", page("b<esi:include src='http://test.example/'/>"));
    let got = front.get("/").await;
    assert_eq!((got.status, got.text()), (200, "aba"));
    // The same path of two hosts is no circle.
    cms.on("/same", page("a<esi:include src='http://widgets.example/same'/>"));
    widgets.on("/same", "b");
    assert_eq!(front.get("/same").await.text(), "ab");
}

#[tokio::test]
async fn redirects_are_failures_unless_the_rule_follows_them_and_then_within_its_hosts() {
    for (redirects, expected) in [(0, "[|||||]"), (1, "[ok|||||w]"), (3, "[ok|ok||||w]")] {
        let Site { front, cms, widgets } = site(&format!("{{hosts: [widgets.example], redirects: {redirects}}}")).await;
        let to = |location: &str| Answer::status(302).header("location", location).header("cache-control", "max-age=9");
        cms.on("/f/ok", "ok");
        cms.on("/f/one", to("ok"));
        cms.on("/f/two", to("/f/one"));
        cms.on("/f/round", to("/f/round"));
        cms.on("/f/out", to("http://elsewhere.example/"));
        cms.on("/f/file", to("file:///etc/passwd"));
        cms.on("/f/widget", to("http://widgets.example/w"));
        widgets.on("/w", Answer::from_fn(|request| Answer::ok(request.header("cookie").unwrap_or("w").to_owned())));
        let include = |name| format!("<esi:include src='/f/{name}'/>");
        let body = ["one", "two", "round", "out", "file", "widget"].map(include).join("|");
        cms.on("/", page(&format!("[{body}]")));
        for round in 0..2 {
            let mut client = front.client().await;
            let got = client.get("/").header("cookie", "session=ada").send().await;
            assert_eq!(got.text(), expected, "{redirects} redirects, round {round}");
        }
    }
}

/// Another host cannot send a visitor's cookies to a place of the page's own host.
#[tokio::test]
async fn what_another_host_redirects_to_is_asked_for_as_nobody() {
    let Site { front, cms, widgets } = site("{hosts: [widgets.example], redirects: 3}").await;
    let to = |location: &str| Answer::status(302).header("location", location);
    widgets.on("/home", to("http://test.example/user/name"));
    widgets.on("/twice", to("http://test.example/user/on"));
    cms.on("/user/on", to("/user/name"));
    let told = |request: &copal_testkit::Request| {
        let told = |name| request.header(name).unwrap_or("-").to_owned();
        Answer::ok(["cookie", "authorization", "referer"].map(told).join(" "))
    };
    cms.on("/user/name", Answer::from_fn(told));
    let include = |src: &str| format!("<esi:include src='{src}'/>");
    let body = ["http://widgets.example/home", "http://widgets.example/twice", "/user/name"].map(include).join("|");
    cms.on("/", page(&format!("[{body}]")));
    let mut client = front.client().await;
    for round in 0..2 {
        let asked = client.get("/").header("cookie", "session=ada").header("authorization", "Basic YQ==");
        let got = asked.send().await;
        assert_eq!(got.text(), "[- - -|- - -|session=ada Basic YQ== -]", "round {round}");
    }
}

#[tokio::test]
async fn a_trusted_folder_is_not_left_by_what_only_some_servers_understand() {
    let Site { front, cms, .. } = site("{trusted_only: ['/esi/**'], redirects: 1}").await;
    cms.on("/esi/a..b", "a");
    cms.on("/esi/away", Answer::status(302).header("location", "/esi/..%2fadm"));
    let srcs = [
        "/esi/..%2fadm",
        "/esi/..%5cadm",
        "/esi/..\\adm",
        "/esi/..;/adm",
        "/esi/%252e%252e/adm",
        "/esi/%252e%252e%252fadm",
        "/esi/x%2f..%2f..%2fadm",
        "/esi/away",
        "/esi/a..b",
    ];
    cms.on("/", page(&srcs.map(|src| format!("<esi:include src='{src}'/>")).join("|")));
    assert_eq!(front.get("/").await.text(), "||||||||a");
    let mut seen: Vec<String> = cms.requests().into_iter().map(|request| request.target).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["/", "/esi/a..b", "/esi/away"]);
}

#[tokio::test]
async fn only_trusted_paths_are_included_and_only_named_facts_read() {
    let Site { front, cms, widgets } =
        site("{trusted_only: ['/esi/**'], hosts: [widgets.example], cookies: [theme], redirects: 2}").await;
    cms.on("/esi/a", "a");
    cms.on("/esi/away", Answer::status(302).header("location", "/user/name"));
    cms.on("/user/name", "secret");
    widgets.on("/esi/w", "w");
    cms.on(
        "/",
        page(
            "[<esi:include src='/esi/a'/>|<esi:include src='/user/name'/>|<esi:include src='/esi/../user/name'/>\
             |<esi:include src='/esi/%2e%2e/user/name'/>|<esi:include src='/x' alt='/user/name'/>\
             |<esi:include src='/esi/away'/>|<esi:include src='http://widgets.example/esi/w'/>\
             |<esi:include src='http://widgets.example/w'/>]\
             <esi:vars>$(HTTP_COOKIE{theme})$(HTTP_COOKIE{_ga})$(HTTP_USER_AGENT)$(HTTP_REFERER)$(HTTP_ACCEPT_LANGUAGE)\
             $(HTTP_HOST)</esi:vars>",
        ),
    );
    let mut client = front.client().await;
    let got = client
        .get("/")
        .header("cookie", "theme=dark; _ga=1")
        .header("user-agent", "agent")
        .header("referer", "from")
        .header("accept-language", "de")
        .send()
        .await;
    assert_eq!(got.text(), "[a||||||w|]darktest.example");
    assert_eq!(cms.count("/user/name"), 0);
}

#[tokio::test]
async fn a_post_is_sent_where_the_rule_lets_it_and_never_stored() {
    let Site { front, cms, .. } = site("{dialect: akamai, post: ['/api/*']}").await;
    cms.on(
        "/api/search",
        Answer::from_fn(|request| Answer::ok(format!("{} {}", request.method, String::from_utf8_lossy(&request.body)))),
    );
    cms.on("/user/delete", "deleted");
    cms.on(
        "/",
        page(
            "[<esi:include src='/api/search' method='POST' entity='q=1&amp;r=2'/>\
             |<esi:include src='/user/delete' method='POST' entity='x'/>]",
        ),
    );
    for round in 1..=2 {
        assert_eq!(front.get("/").await.text(), "[POST q=1&r=2|]");
        assert_eq!(cms.count("/api/search"), round, "each view sends it");
    }
    assert_eq!(cms.last().header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(cms.last().header("content-length"), Some("7"));
    assert_eq!(cms.count("/user/delete"), 0);
}
