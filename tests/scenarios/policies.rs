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
        &["PHPSESSID=1", "REMEMBERME=1", "SULUSESSID=1"],
    ),
    (
        "ibexa",
        "/news",
        &[("cache-control", "public, s-maxage=600"), ("x-reverse-proxy-ttl", "60"), ("xkey", "c52 ez-all")],
        &["IBX_SESSION_ID=1", "eZSESSID=1", "ibexa-x=1"],
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
