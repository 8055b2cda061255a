//! The shipped policies before a site that behaves as the CMS does: nobody's page for anybody else, the rest from the store.

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

async fn front(policies: &str) -> Front {
    Front::with(&format!("policies: [{policies}]")).await
}

/// A policy, the path of a page that visitors share, its fields as the CMS answers, and the cookies of those who have their own.
type Site = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const SITES: &[Site] = &[
    (
        "drupal",
        "/node/12",
        &[("cache-control", "max-age=3600, public"), ("vary", "Cookie"), ("cache-tags", "node:12 rendered")],
        &["SESS49960de5880e8c687434170f6476605b=1", "SSESSabc=1", "NO_CACHE=1"],
    ),
    (
        "mediawiki",
        "/wiki/Page",
        &[("cache-control", "s-maxage=3600, must-revalidate, max-age=0"), ("vary", "Accept-Encoding, Cookie")],
        &[
            "wikidb_session=1",
            "wikidbUserID=7",
            "wikidbUserName=Ada",
            "wikidbToken=1",
            "centralauth_Session=1",
            "wikidbLoggedOut=1",
        ],
    ),
    (
        "typo3",
        "/page",
        &[("cache-control", "max-age=3600"), ("pragma", "public"), ("typo3-pid", "12"), ("xkey", "pageId_12")],
        &["be_typo_user=1", "fe_typo_user=1", "TYPO3_FE_USER_LOGGED_IN=1"],
    ),
    (
        "magento2",
        "/mugs.html",
        &[
            ("cache-control", "max-age=86400, public, s-maxage=86400"),
            ("x-magento-tags", "cat_p_1"),
            ("set-cookie", "PHPSESSID=1; path=/"),
        ],
        &["X-Magento-Vary=9bf9", "persistent_shopping_cart=1", "unheard-of=1"],
    ),
    (
        "plone",
        "/news",
        &[("cache-control", "max-age=0, s-maxage=3600, must-revalidate"), ("x-ids-involved", "#2f7a#")],
        &["__ac=1", "auth_token=1", "statusmessages=x", "_ZopeId=1"],
    ),
    (
        "symfony",
        "/news",
        &[("cache-control", "public, s-maxage=600"), ("xkey", "news-7")],
        &["x_auth_profile_token=1", "PHPSESSID=1; unheard-of=1"],
    ),
    (
        "ibexa",
        "/news",
        &[("cache-control", "public, s-maxage=600"), ("x-reverse-proxy-ttl", "60"), ("xkey", "c52 ez-all")],
        &["ibexa-x=1", "rsa=1", "IBX_SESSION_ID=1; PHPSESSID=1", "REMEMBERME=1"],
    ),
    (
        "shopware",
        "/Mugs/",
        &[("cache-control", "public, s-maxage=7200"), ("vary", "sw-cache-hash"), ("set-cookie", "session-=1; path=/")],
        &["sw-cache-hash=9bf9", "sw-states=logged-in", "sw-currency=b7"],
    ),
    ("wagtail", "/blog/", &[("vary", "Cookie")], &["sessionid=1", "messages=x"]),
    (
        "wordpress",
        "/about/",
        &[("x-cache-tags", "site-1,p-12"), ("set-cookie", "edd_wp_session=1; path=/")],
        &[
            "wordpress_logged_in_5c01=ada",
            "wordpress_sec_5c01=ada",
            "wordpress_5c016e8f0f95f039102cbe8366c5c7f3=ada",
            "wp-postpass_5c01=x",
            "comment_author_5c01=ada",
            "wp_woocommerce_session_5c01=x",
            "woocommerce_items_in_cart=1",
            "edd_items_in_cart=2",
        ],
    ),
    (
        "generic",
        "/about",
        &[("cache-control", "max-age=3600"), ("vary", "Cookie")],
        &["PHPSESSID=1", "JSESSIONID=1", "shop_session=1", "connect.sid=1", "unheard-of=1"],
    ),
];

#[tokio::test]
async fn each_policy_keeps_everybodys_page_and_gives_nobodys_own_to_another() {
    for (policy, path, fields, sessions) in SITES {
        let front = front(policy).await;
        let mut scenario = front.scenario();
        let answer = |body: &str| {
            fields
                .iter()
                .fold(Answer::ok(body.to_owned()).header("content-type", "text/html"), |answer, (name, value)| {
                    answer.header(name, *value)
                })
        };
        for cookie in *sessions {
            scenario
                .exchange(
                    &format!("{policy}: {cookie} is passed, and not stored"),
                    Sends::get(path).header("cookie", format!("_ga=1; {cookie}")),
                    Sees::get(path).header("cookie", &format!("_ga=1; {cookie}")).answers(answer(cookie)),
                    Gets::status(200).body(cookie).header_containing("cache-status", "fwd=bypass"),
                )
                .await;
        }
        scenario
            .exchange(
                &format!("{policy}: a visitor's is stored"),
                Sends::get(path).header("cookie", "_ga=1; _fbp=2"),
                Sees::get(path).without("cookie").answers(answer("everybody's")),
                Gets::status(200).body("everybody's").without("set-cookie").header_containing("cache-status", "stored"),
            )
            .await;
        let url = format!("{path}?utm_source=mail");
        let hit = Gets::status(200).body("everybody's").without("set-cookie").header_containing("cache-status", "hit");
        scenario.exchange(&format!("{policy}: from the store"), Sends::get(&url), Sees::nothing(), hit).await;
        for cookie in *sessions {
            scenario
                .exchange(
                    &format!("{policy}: {cookie} is not given it"),
                    Sends::get(path).header("cookie", *cookie),
                    Sees::get(path).header("cookie", cookie).answers(answer(cookie)),
                    Gets::status(200).body(cookie),
                )
                .await;
        }
        assert_eq!(front.purge(path).await.status, 200);
        let again = Gets::status(200).body("new").header_containing("cache-status", "stored");
        let sees = Sees::get(path).answers(answer("new"));
        scenario.exchange(&format!("{policy}: after a purge"), Sends::get(path), sees, again).await;
    }
}

/// A file that everybody shares, and a cookie of somebody who has pages of their own.
const FILES: &[(&str, &str, &str)] = &[
    ("drupal", "/core/misc/drupal.css", "SESSabc=1"),
    ("mediawiki", "/w/load.php?only=styles", "wikidb_session=1"),
    ("typo3", "/typo3temp/assets/x.css", "be_typo_user=1"),
    ("magento2", "/static/version1/frontend/x.css", "X-Magento-Vary=9bf9"),
    ("plone", "/++plone++x/x.css", "__ac=1"),
    ("symfony", "/build/x.css", "PHPSESSID=1"),
    ("ibexa", "/assets/x.css", "IBX_SESSION_ID=1"),
    ("shopware", "/theme/x.css", "sw-cache-hash=9bf9"),
    ("wagtail", "/static/x.css", "sessionid=1"),
    ("wordpress", "/wp-content/themes/x/style.css", "wordpress_logged_in_5c01=ada"),
    ("static", "/any/where.css", "whatever=1"),
];

#[tokio::test]
async fn a_file_is_everybodys_and_a_page_under_its_name_is_not_kept() {
    for (policy, path, cookie) in FILES {
        let front = front(policy).await;
        let mut scenario = front.scenario();
        if *policy != "wagtail" {
            scenario
                .exchange(
                    &format!("{policy}: a page under the name of a file"),
                    Sends::get(path).header("cookie", *cookie),
                    Sees::get(path).without("cookie").answers(Answer::ok("page").header("content-type", "text/html")),
                    Gets::status(200).body("page").header_containing("cache-status", "detail=not-stored-rule"),
                )
                .await;
        }
        scenario
            .exchange(
                &format!("{policy}: the file, for somebody with a session"),
                Sends::get(path).header("cookie", *cookie),
                Sees::get(path).without("cookie").answers(Answer::ok("css").header("content-type", "text/css")),
                Gets::status(200).body("css"),
            )
            .await;
        // The page that was not kept is remembered for a short time, in which nobody waits for another.
        let hit = Gets::status(200).body("css").header_containing("cache-status", "hit");
        scenario.exchange(&format!("{policy}: for a visitor"), Sends::get(path), Sees::nothing(), hit).await;
    }
}

#[tokio::test]
async fn mediawiki_is_asked_anew_by_whoever_has_just_logged_out() {
    let front = front("mediawiki").await;
    front
        .scenario()
        .exchange(
            "no browser is told that its page of before is current",
            Sends::get("/wiki/Page")
                .header("cookie", "wikidbLoggedOut=20261128")
                .header("if-modified-since", "Sat, 28 Nov 2026 21:00:00 GMT"),
            Sees::get("/wiki/Page")
                .header("cookie", "wikidbLoggedOut=20261128")
                .without("if-modified-since")
                .answers(Answer::ok("out")),
            Gets::status(200).body("out").header_containing("cache-status", "detail=pass-rule"),
        )
        .await;
}

#[tokio::test]
async fn what_is_between_cms_and_copal_does_not_reach_the_client() {
    for (policy, fields) in [
        ("typo3", &["typo3-pid", "typo3-sitename", "pragma"][..]),
        (
            "drupal",
            &["cache-tags", "x-drupal-cache-tags", "x-drupal-cache-contexts", "purge-cache-tags", "surrogate-control"],
        ),
        ("wordpress", &["x-cache-tags"]),
        ("magento2", &["x-magento-tags", "x-magento-debug", "x-powered-by", "server"]),
        ("symfony", &["xkey", "x-cache-tags", "x-debug-token"]),
        ("shopware", &["xkey", "sw-context-token", "sw-invalidation-states"]),
    ] {
        let front = front(policy).await;
        let answer = fields
            .iter()
            .fold(Answer::ok("x").header("cache-control", "max-age=60"), |answer, name| answer.header(name, "x"));
        front.origin.on("/p", answer);
        let mut client = front.client().await;
        for _ in 0..2 {
            let got = client.get("/p").send().await;
            for name in fields {
                assert_eq!(got.header(name), None, "{policy} {name}");
            }
        }
        assert_eq!(front.origin.count("/p"), 1, "{policy}");
    }
}

#[tokio::test]
async fn a_page_that_bigpipe_streams_is_not_held_back_and_not_stored() {
    let front = front("drupal").await;
    let (page, answer) = Answer::stream();
    let fields = answer
        .header("cache-control", "max-age=3600, public")
        .header("surrogate-control", "no-store, content=\"BigPipe/1.0\"");
    front.origin.on("/node/12", fields);
    let mut client = front.client().await;
    let mut stream = client.get("/node/12").header("cookie", "SESSabc=1").stream().await;
    page.send("<html>");
    assert_eq!(stream.read_until(6).await, "<html>", "the first part is there before the second is made");
    page.send("<script>");
    page.end();
    assert_eq!(stream.read_until(14).await, "<html><script>");
    assert!(stream.head().header("cache-status").unwrap().contains("session-cookie"));
}

#[tokio::test]
async fn wordpress_hears_that_pages_can_be_purged_by_their_tags_and_its_plug_in_finds_a_varnish() {
    let front = front("wordpress").await;
    let mut scenario = front.scenario();
    let page = Answer::ok("x").header("x-cache-tags", "site-1,p-12");
    scenario
        .exchange(
            "a miss",
            Sends::get("/about/"),
            Sees::get("/about/").header("surrogate-capability", "copal=\"ESI/1.0 tags/1\"").answers(page),
            Gets::status(200).header("x-cacheable", "YES").header("x-varnish", "1"),
        )
        .await;
    front.clock.advance(std::time::Duration::from_secs(3));
    let hit = Gets::status(200).header("x-cacheable", "YES").header("x-varnish", "2 1").header("age", "3");
    scenario.exchange("a hit", Sends::get("/about/"), Sees::nothing(), hit).await;
    front.clock.advance(std::time::Duration::from_secs(600));
    let stale = Gets::status(200).header_containing("cache-status", "stale-refreshing");
    let refreshed = Sees::get("/about/").answers(Answer::ok("y"));
    scenario
        .exchange(
            "after ten minutes it is refreshed behind the visitor's back",
            Sends::get("/about/"),
            refreshed,
            stale,
        )
        .await;
}

/// A policy, the fields of a page as the CMS answers, and the purge of it as the CMS's module sends it: request line, host, fields.
type Module =
    (&'static str, &'static [(&'static str, &'static str)], (&'static str, &'static str, &'static str), Fields);

type Fields = &'static [(&'static str, &'static str)];

const MODULES: &[Module] = &[
    (
        "plone",
        &[("cache-control", "max-age=0, s-maxage=3600, must-revalidate")],
        ("PURGE", "/page", "127.0.0.1:6081"),
        &[("User-Agent", "python-requests/2.32"), ("Accept-Encoding", "gzip, deflate"), ("Accept", "*/*")],
    ),
    (
        "plone",
        &[("cache-control", "s-maxage=3600")],
        ("PURGE", "/VirtualHostBase/http/test.example:80/Plone/VirtualHostRoot/page", "127.0.0.1:6081"),
        &[],
    ),
    (
        "plone",
        &[("cache-control", "s-maxage=3600"), ("x-ids-involved", "#3f2ac1#77aa0b#")],
        ("PURGE", "/@@purgebyid/77aa0b", "127.0.0.1:6081"),
        &[],
    ),
    (
        "magento2",
        &[("cache-control", "max-age=86400, public, s-maxage=86400"), ("x-magento-tags", "cat_p_12,cat_p,store")],
        ("PURGE", "/", "127.0.0.1:80"),
        &[("X-Magento-Tags-Pattern", "((^|,)cat_p_12(,|$))|((^|,)cat_p_7(,|$))"), ("Connection", "close")],
    ),
    (
        "symfony",
        &[("cache-control", "public, s-maxage=600"), ("x-cache-tags", "news,news-7")],
        ("BAN", "/", "www.example.org"),
        &[("X-Host", ".*"), ("X-Url", ".*"), ("X-Content-Type", ".*"), ("X-Cache-Tags", "(^|,)(news\\-7)(,|$)")],
    ),
    (
        "shopware",
        &[("cache-control", "public, s-maxage=7200"), ("vary", "sw-cache-hash"), ("xkey", "product-a1 category-b2")],
        ("PURGE", "/", "127.0.0.1"),
        &[("xkey", "product-a1 product-c3")],
    ),
    (
        "ibexa",
        &[("cache-control", "public, s-maxage=86400"), ("xkey", "c52 l54 ez-all")],
        ("PURGEKEYS", "/", "www.example.org"),
        &[("xkey-purge", "l54")],
    ),
];

#[tokio::test]
async fn the_purge_of_each_cms_makes_the_next_view_a_miss() {
    for (policy, fields, (method, target, host), sends) in MODULES {
        let front = front(policy).await;
        let answer = |body: &str| {
            let page = Answer::ok(body.to_owned()).header("content-type", "text/html");
            fields.iter().fold(page, |page, (name, value)| page.header(name, *value))
        };
        let mut scenario = front.scenario();
        for (path, body) in [("/page", "old"), ("/other", "other")] {
            let page =
                if body == "old" { answer(body) } else { Answer::ok(body).header("cache-control", "s-maxage=600") };
            let stored = Gets::status(200).body(body).header_containing("cache-status", "stored");
            scenario
                .exchange(&format!("{policy}: a view"), Sends::get(path), Sees::get(path).answers(page), stored)
                .await;
        }
        let hit = Gets::status(200).body("old").header_containing("cache-status", "hit");
        scenario.exchange(&format!("{policy}: a hit"), Sends::get("/page"), Sees::nothing(), hit).await;
        let mut client = front.client().await;
        let purge = sends
            .iter()
            .fold(client.request(method, target).host(host), |purge, (name, value)| purge.header(name, *value));
        let purged = purge.send().await;
        assert_eq!(purged.status, 200, "{policy} {method} {target}: {purged:?}");
        let new = Gets::status(200).body("new").header_containing("cache-status", "stored");
        let sees = Sees::get("/page").answers(answer("new"));
        scenario.exchange(&format!("{policy}: after {method} {target}"), Sends::get("/page"), sees, new).await;
        let other = Gets::status(200).body("other").header_containing("cache-status", "hit");
        scenario.exchange(&format!("{policy}: another page stays"), Sends::get("/other"), Sees::nothing(), other).await;
    }
}

#[tokio::test]
async fn users_with_the_same_hash_share_a_page_and_no_others_do() {
    for (policy, session) in [("symfony", "PHPSESSID"), ("symfony", "SULUSESSID"), ("ibexa", "IBX_SESSION_ID98de")] {
        let front = front(policy).await;
        let mut scenario = front.scenario();
        let cookie = |user: &str| format!("{session}={user}");
        let hash = |user: &str, hash: &str| {
            Sees::get("/_fos_user_context_hash")
                .header("accept", "application/vnd.fos.user-context-hash")
                .header("cookie", &cookie(user))
                .answers(
                    Answer::ok("")
                        .header("content-type", "application/vnd.fos.user-context-hash")
                        .header("x-user-context-hash", hash)
                        .header("vary", "Cookie, Authorization")
                        .header("cache-control", "max-age=300, public"),
                )
        };
        let page = |body: &str| {
            let page = Answer::ok(body.to_owned()).header("cache-control", "public, s-maxage=600");
            page.header("vary", "X-User-Context-Hash")
        };
        let gets = |body: &str, status: &str| Gets::status(200).body(body).header_containing("cache-status", status);
        let sees = Sees::get("/news").without("cookie").without("x-user-context-hash").answers(page("guests"));
        scenario.exchange("a guest", Sends::get("/news"), sees, gets("guests", "stored")).await;
        for (user, group, body) in [("ada", "e1", "editors"), ("carol", "m2", "members")] {
            let own = Sees::get("/news").header("cookie", &cookie(user)).header("x-user-context-hash", group);
            scenario
                .exchange(
                    &format!("{policy}: {user} is the first of a group"),
                    Sends::get("/news").header("cookie", format!("_ga=1; {}", cookie(user))),
                    [hash(user, group), own.answers(page(body))],
                    gets(body, "stored").without("x-user-context-hash"),
                )
                .await;
        }
        let sends = Sends::get("/news").header("cookie", cookie("bob"));
        scenario.exchange("bob is an editor", sends, hash("bob", "e1"), gets("editors", "hit")).await;
        scenario.exchange("a guest again", Sends::get("/news"), Sees::nothing(), gets("guests", "hit")).await;
        let private = Answer::ok("bob's").header("cache-control", "private");
        scenario
            .exchange(
                "what is bob's stays his",
                Sends::get("/cart").header("cookie", cookie("bob")),
                Sees::get("/cart").header("cookie", &cookie("bob")).answers(private),
                gets("bob's", "detail=private"),
            )
            .await;
        let forged = Sends::get("/news").header("x-user-context-hash", "e1");
        scenario.exchange("nobody says himself who he is", forged, Sees::nothing(), Gets::status(400)).await;
    }
}

#[tokio::test]
async fn a_shop_gives_nobody_another_session_for_a_page_that_is_not_stored() {
    for (policy, session) in [("magento2", "PHPSESSID"), ("shopware", "session-")] {
        let front = front(policy).await;
        let mut scenario = front.scenario();
        let own = format!("{session}=ada");
        let private = |body: &str| Answer::ok(body.to_owned()).header("cache-control", "no-store, private");
        let strange = private("nobody's").header("set-cookie", format!("{session}=new; path=/"));
        scenario
            .exchange(
                &format!("{policy}: asked again with the session"),
                Sends::get("/contact").header("cookie", format!("_ga=1; {own}")),
                [
                    Sees::get("/contact").without("cookie").answers(strange),
                    Sees::get("/contact").header("cookie", &format!("_ga=1; {own}")).answers(private("ada's")),
                ],
                Gets::status(200)
                    .body("ada's")
                    .without("set-cookie")
                    .header_containing("cache-status", "detail=no-store"),
            )
            .await;
        let begun = private("somebody's").header("set-cookie", format!("{session}=first; path=/"));
        scenario
            .exchange(
                &format!("{policy}: who has none is given one"),
                Sends::get("/contact"),
                Sees::get("/contact").without("cookie").answers(begun),
                Gets::status(200).body("somebody's").header("set-cookie", &format!("{session}=first; path=/")),
            )
            .await;
    }
}
