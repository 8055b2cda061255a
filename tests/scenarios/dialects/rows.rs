//! The rows.

/// A page that is stored: host, target, response fields.
#[derive(Debug)]
pub(crate) struct Page(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static [(&'static str, &'static str)],
);

/// One way of asking.
pub(crate) struct Row {
    /// The client's number in the table of clients, and what is special.
    pub(crate) id: &'static str,
    /// `purge.dialects`.
    pub(crate) dialects: &'static str,
    /// More of `purge`.
    pub(crate) options: &'static str,
    pub(crate) pages: &'static [Page],
    /// The lines of the request.
    pub(crate) sends: &'static [&'static str],
    pub(crate) status: u16,
    /// Stands in the answer.
    pub(crate) says: &'static str,
    /// What each page is afterwards.
    pub(crate) after: &'static [&'static str],
    /// The status for a stranger; 0: nobody is refused what is no purge.
    pub(crate) refused: u16,
}

const A: &str = "a.example";
const B: &str = "b.example";
const HIT: &str = "hit";
const MISS: &str = "miss";
const STALE: &str = "stale-refreshing";

const fn row(id: &'static str, dialects: &'static str) -> Row {
    Row { id, dialects, options: "", pages: PLAIN, sends: &[], status: 200, says: "", after: &[], refused: 403 }
}

/// Without tags.
const PLAIN: &[Page] = &[Page(A, "/p", &[]), Page(A, "/p?x=1", &[]), Page(B, "/p", &[]), Page(A, "/q", &[])];

/// With comma lists of tags.
const TAGGED: &[Page] = &[
    Page(A, "/p-12", &[("x-cache-tags", "site-1,p-12")]),
    Page(A, "/p-123", &[("x-cache-tags", "site-1,p-123")]),
    Page(B, "/home", &[("x-cache-tags", "home,a")]),
];

const MAGENTO: &[Page] = &[
    Page(A, "/one", &[("x-magento-tags", "cat_p_1,store"), ("x-pool", "blue")]),
    Page(A, "/ten", &[("x-magento-tags", "cat_p_10,store"), ("x-pool", "green")]),
    Page(B, "/two", &[("x-magento-tags", "cat_p_2")]),
    Page(B, "/none", &[]),
];

const XKEY: &[Page] =
    &[Page(A, "/one", &[("xkey", "t1 t2")]), Page(A, "/two", &[("xkey", "t2")]), Page(B, "/three", &[("xkey", "t3")])];

const DRUPAL: &[Page] = &[
    Page(A, "/node/1", &[("cache-tags", "node:1 node_list config:system.site")]),
    Page(A, "/node/10", &[("cache-tags", "node:10 node_list")]),
    Page(B, "/", &[("cache-tags", "front")]),
];

const PATHS: &[Page] = &[
    Page(A, "/blog/one", &[]),
    Page(A, "/blog/two?x", &[]),
    Page(A, "/blogger", &[]),
    Page(B, "/blog/one", &[]),
    Page(A, "/", &[]),
];

const TYPO3: &[Page] = &[
    Page(A, "/one", &[("xkey", "pageId_1 news"), ("typo3-sitename", "0abc")]),
    Page(A, "/pid", &[("typo3-pid", "1"), ("typo3-sitename", "0abc")]),
    Page(A, "/eleven", &[("typo3-pid", "11"), ("typo3-sitename", "0abc")]),
    Page(B, "/one", &[]),
];

pub(crate) const ROWS: &[Row] = &[
    Row {
        sends: &[
            "PURGE /p?x=1 HTTP/1.1",
            "Host: a.example",
            "User-Agent: Wagtail-frontendcache/7.0",
            "Accept-Encoding: identity",
            "Connection: close",
        ],
        says: "\"removed\":1",
        after: &[HIT, MISS, HIT, HIT],
        ..row("P1: Wagtail", "url")
    },
    Row {
        sends: &[
            "PURGE /p HTTP/1.1",
            "Host: A.example:80",
            "User-Agent: WordPress/6.8",
            "Accept: */*",
            "X-Purge-Method: default",
        ],
        says: "\"status\":\"purged\"",
        after: &[MISS, HIT, HIT, HIT],
        ..row("P1: Proxy Cache Purge, one URL", "url, wordpress")
    },
    Row {
        options: ", all_queries: true",
        sends: &["PURGE /p HTTP/1.1", "Host: a.example"],
        after: &[MISS, MISS, HIT, HIT],
        ..row("P1 with all queries", "url")
    },
    Row {
        sends: &["PURGE /nothing HTTP/1.1", "Host: a.example"],
        says: "\"removed\":0",
        after: &[HIT, HIT, HIT, HIT],
        ..row("P1: what is not stored is no error", "url")
    },
    Row {
        sends: &[
            "PURGE http://a.example/p HTTP/1.1",
            "Host: a.example",
            "Connection: Keep-Alive",
            "Proxy-Connection: Keep-Alive",
            "User-Agent: MediaWiki/1.43.0 SquidPurgeClient",
        ],
        after: &[MISS, HIT, HIT, HIT],
        refused: 405,
        ..row("P2", "url, mediawiki")
    },
    Row {
        options: ", any_host: true",
        sends: &[
            "PURGE /p HTTP/1.1",
            "Host: 127.0.0.1:6081",
            "User-Agent: python-requests/2.32",
            "Accept-Encoding: gzip, deflate",
            "Accept: */*",
            "Connection: keep-alive",
        ],
        after: &[MISS, MISS, MISS, HIT],
        ..row("P3", "plone")
    },
    Row {
        sends: &["PURGE /p HTTP/1.1", "Host: 127.0.0.1:6081"],
        after: &[HIT, HIT, HIT, HIT],
        ..row("P3 near: another host is another URL unless it is said", "plone")
    },
    Row {
        sends: &["PURGE /VirtualHostBase/http/a.example:80/Plone/VirtualHostRoot/p HTTP/1.1", "Host: 127.0.0.1:6081"],
        after: &[MISS, HIT, HIT, HIT],
        ..row("P4", "plone")
    },
    Row {
        pages: PATHS,
        sends: &[
            "PURGE /VirtualHostBase/https/a.example:443/Plone/VirtualHostRoot/_vh_blog/one HTTP/1.1",
            "Host: 127.0.0.1:6081",
        ],
        after: &[MISS, HIT, HIT, HIT, HIT],
        ..row("P4 with a prefix", "plone")
    },
    Row {
        sends: &["PURGE /VirtualHostBase/http/a.example:80/Plone/p HTTP/1.1", "Host: 127.0.0.1:6081"],
        status: 400,
        says: "VirtualHostRoot",
        after: &[HIT, HIT, HIT, HIT],
        ..row("P4 near: no root", "plone")
    },
    Row {
        pages: &[
            Page(A, "/one", &[("x-ids-involved", "#3f2a#77aa#")]),
            Page(B, "/two", &[("x-ids-involved", "#77aab#")]),
        ],
        sends: &["PURGE /@@purgebyid/77aa HTTP/1.1", "Host: 127.0.0.1:6081"],
        after: &[MISS, HIT],
        ..row("P5", "plone")
    },
    Row {
        pages: PATHS,
        sends: &[
            "PURGE /blog/.* HTTP/1.1",
            "Host: a.example",
            "X-Purge-Method: regex",
            "User-Agent: WordPress/6.8; https://a.example",
        ],
        after: &[MISS, MISS, HIT, HIT, HIT],
        refused: 405,
        ..row("P6", "url, wordpress")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /.* HTTP/1.1", "Host: a.example", "X-Purge-Method: regex"],
        after: &[MISS, MISS, MISS, HIT, MISS],
        refused: 405,
        ..row("P6: the whole site", "url, wordpress")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /blog/(one|three).* HTTP/1.1", "Host: a.example", "X-Purge-Method: regex"],
        after: &[MISS, HIT, HIT, HIT, HIT],
        refused: 405,
        ..row("P6: an expression", "url, wordpress")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /blog(?=/).* HTTP/1.1", "Host: a.example", "X-Purge-Method: regex"],
        status: 400,
        says: "look-around",
        after: &[HIT, HIT, HIT, HIT, HIT],
        refused: 405,
        ..row("P6 near: what takes no linear time", "url, wordpress")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /.* HTTP/1.1", "Host: a.example", "User-Agent: W3TC/2.8", "Connection: close"],
        after: &[MISS, MISS, MISS, HIT, MISS],
        refused: 405,
        ..row("P7", "url, wordpress")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /.* HTTP/1.1", "Host: a.example", "User-Agent: W3TC/2.8", "Connection: close"],
        says: "\"removed\":0",
        after: &[HIT, HIT, HIT, HIT, HIT],
        ..row("P7 near: a URL like any other where nobody said so", "url")
    },
    Row {
        pages: TAGGED,
        sends: &[
            "PURGE / HTTP/1.1",
            "Host: a.example",
            "X-Purge-Method: tags",
            "X-Cache-Tags-Pattern: x|home|(^|,)p-12(,|$)",
        ],
        says: "cache-purge-result: tags; count=2",
        after: &[MISS, HIT, MISS],
        refused: 405,
        ..row("P8", "url, wordpress")
    },
    Row {
        pages: TAGGED,
        sends: &["PURGE / HTTP/1.1", "Host: a.example", "X-Purge-Method: tags"],
        status: 400,
        says: "names nothing",
        after: &[HIT, HIT, HIT],
        refused: 405,
        ..row("P8 near: no tags", "url, wordpress")
    },
    Row {
        pages: MAGENTO,
        sends: &[
            "PURGE / HTTP/1.1",
            "Host: 127.0.0.1:80",
            "X-Magento-Tags-Pattern: ((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$))",
            "Connection: close",
        ],
        says: "Purged",
        after: &[MISS, HIT, MISS, HIT],
        refused: 405,
        ..row("P9", "magento")
    },
    Row {
        pages: MAGENTO,
        sends: &["PURGE / HTTP/1.1", "Host: 127.0.0.1:80", "X-Magento-Tags-Pattern: .*"],
        says: "Purged",
        after: &[MISS, MISS, MISS, MISS],
        refused: 405,
        ..row("P9: flush", "magento")
    },
    Row {
        pages: MAGENTO,
        sends: &["PURGE / HTTP/1.1", "Host: 127.0.0.1:80"],
        status: 400,
        says: "names nothing",
        after: &[HIT, HIT, HIT, HIT],
        refused: 405,
        ..row("P9 near: neither field", "magento")
    },
    Row {
        pages: MAGENTO,
        sends: &["PURGE / HTTP/1.1", "Host: 127.0.0.1:80", "X-Pool: blue"],
        says: "Purged",
        after: &[MISS, HIT, HIT, HIT],
        refused: 405,
        ..row("P10", "magento")
    },
    Row {
        pages: MAGENTO,
        sends: &[
            "PURGE / HTTP/1.1",
            "Host: 127.0.0.1:80",
            "X-Magento-Tags-Pattern: ((^|,)cat_p_1(,|$))",
            "X-Magento-Purge-Soft: 1",
        ],
        says: "Purged",
        after: &[STALE, HIT, HIT, HIT],
        refused: 405,
        ..row("P11", "magento")
    },
    Row {
        pages: TAGGED,
        sends: &[
            "BAN / HTTP/1.1",
            "Host: proxy",
            "X-Host: .*",
            "X-Url: .*",
            "X-Content-Type: .*",
            "X-Cache-Tags: (^|,)(p\\-12|home)(,|$)",
        ],
        says: "Banned",
        after: &[MISS, HIT, MISS],
        refused: 405,
        ..row("P12: tags", "fos")
    },
    Row {
        pages: PATHS,
        sends: &["BAN / HTTP/1.1", "Host: proxy", "X-Host: ^a\\.example$", "X-Url: ^/blog/", "X-Content-Type: .*"],
        says: "Banned",
        after: &[MISS, MISS, HIT, HIT, HIT],
        refused: 405,
        ..row("P12: host and URL", "fos")
    },
    Row {
        pages: &[
            Page(A, "/i.png", &[("content-type", "image/png")]),
            Page(A, "/page", &[("content-type", "text/html")]),
            Page(A, "/plain", &[]),
        ],
        sends: &["BAN / HTTP/1.1", "Host: proxy", "X-Host: .*", "X-Url: .*", "X-Content-Type: image/.*"],
        after: &[MISS, HIT, HIT],
        refused: 405,
        ..row("P12: media type", "fos")
    },
    Row {
        pages: &[Page(A, "/one", &[("x-site", "ab12")]), Page(A, "/two", &[("x-site", "ab123")])],
        sends: &["BAN / HTTP/1.1", "Host: proxy", "X-Site: ab12"],
        says: "Banned",
        after: &[MISS, HIT],
        refused: 405,
        ..row("P12: Neos, one site", "fos")
    },
    Row {
        sends: &["BAN / HTTP/1.1", "Host: proxy", "X-Host: (a)\\1"],
        status: 400,
        says: "back-reference",
        after: &[HIT, HIT, HIT, HIT],
        refused: 405,
        ..row("P12 near: a back-reference", "fos")
    },
    Row {
        sends: &["BAN / HTTP/1.1", "Host: proxy"],
        status: 400,
        after: &[HIT, HIT, HIT, HIT],
        refused: 405,
        ..row("P12 near: nothing said is not everything", "fos")
    },
    Row {
        pages: XKEY,
        sends: &["PURGEKEYS / HTTP/1.1", "Host: proxy", "xkey-softpurge: t1", "xkey-purge: t3 t9"],
        says: "Purged 1 objects, expired 1 objects",
        after: &[STALE, HIT, MISS],
        refused: 405,
        ..row("P13", "fos")
    },
    Row {
        pages: XKEY,
        sends: &["PURGEKEYS / HTTP/1.1", "Host: proxy"],
        status: 400,
        after: &[HIT, HIT, HIT],
        refused: 405,
        ..row("P13 near: no keys", "fos")
    },
    Row {
        sends: &["PURGE /purge/p HTTP/1.1", "Host: a.example"],
        after: &[MISS, HIT, HIT, HIT],
        refused: 405,
        ..row("P15", "fos")
    },
    Row {
        pages: TAGGED,
        sends: &["PURGETAGS / HTTP/1.1", "Host: a.example", "X-Cache-Tags: p-12,a"],
        after: &[MISS, HIT, MISS],
        refused: 405,
        ..row("P16: tags", "fos")
    },
    Row {
        sends: &["PURGE / HTTP/1.1", "Host: a.example", "Clear-Cache: true"],
        after: &[MISS, MISS, MISS, MISS],
        refused: 405,
        ..row("P16: everything", "fos")
    },
    Row {
        pages: DRUPAL,
        sends: &[
            "BAN /tags HTTP/1.1",
            "Host: 127.0.0.1",
            "Cache-Tags: node:1 config:system.site front",
            "Accept-Encoding: gzip",
            "User-Agent: GuzzleHttp/7",
        ],
        after: &[MISS, HIT, MISS],
        ..row("P17", "drupal")
    },
    Row {
        pages: DRUPAL,
        sends: &["BAN /tags HTTP/1.1", "Host: 127.0.0.1"],
        status: 400,
        after: &[HIT, HIT, HIT],
        ..row("P17 near: no tags", "drupal")
    },
    Row {
        sends: &["PURGE /p HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip"],
        after: &[MISS, MISS, HIT, HIT],
        ..row("P18", "drupal")
    },
    Row {
        pages: PATHS,
        sends: &["BAN /blog/* HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip"],
        after: &[MISS, MISS, HIT, HIT, HIT],
        ..row("P19", "drupal")
    },
    Row {
        pages: PATHS,
        sends: &["BAN /*/one HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip"],
        after: &[MISS, HIT, HIT, HIT, HIT],
        ..row("P19: a star in the middle", "drupal")
    },
    Row {
        pages: PATHS,
        sends: &["BAN /.* HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip"],
        after: &[MISS, MISS, MISS, HIT, MISS],
        ..row("P20", "drupal")
    },
    Row {
        pages: DRUPAL,
        sends: &[
            "BAN / HTTP/1.1",
            "Host: a.example",
            "cache-tags: node:1|front",
            "user-agent: varnish_purger module for Drupal 8.",
        ],
        after: &[MISS, HIT, MISS],
        ..row("P21: bundled", "drupal")
    },
    Row {
        pages: DRUPAL,
        sends: &["PURGE / HTTP/1.1", "Host: a.example", "cache-tags: node:1,front"],
        after: &[MISS, HIT, MISS],
        ..row("P21: another method, commas", "drupal")
    },
    Row {
        pages: DRUPAL,
        sends: &["BAN / HTTP/1.1", "Host: a.example", "Cache-Tags: (^|\\s)node:1(\\s|$)"],
        after: &[MISS, HIT, HIT],
        ..row("P21: an expression", "drupal")
    },
    Row {
        pages: &[
            Page(A, "/one", &[("x-acquia-purge-tags", "a1b2 c3d4")]),
            Page(A, "/two", &[("x-acquia-purge-tags", "c3d4e")]),
        ],
        sends: &[
            "BAN /tags HTTP/1.1",
            "Host: a.example",
            "X-Acquia-Purge: mysite",
            "X-Acquia-Purge-Tags: c3d4 ffff",
            "Accept-Encoding: gzip",
        ],
        after: &[MISS, HIT],
        ..row("P22", "acquia")
    },
    Row {
        pages: DRUPAL,
        sends: &["BAN / HTTP/1.1", "Host: varnish", "Cache-Tags: node:1|front|c"],
        says: "Ban added.",
        after: &[MISS, HIT, MISS],
        ..row("P23: tags", "lagoon")
    },
    Row {
        sends: &["URIBAN /p HTTP/1.1", "Host: a.example"],
        says: "Ban added.",
        after: &[MISS, HIT, HIT, HIT],
        ..row("P23: URIBAN", "lagoon")
    },
    Row {
        pages: TYPO3,
        sends: &["BAN / HTTP/1.1", "Host: a.example", "Varnish-Ban-TYPO3-Sitename: 0abc", "Varnish-Ban-All: 1"],
        after: &[MISS, MISS, MISS, HIT],
        ..row("P24: all of a site", "typo3")
    },
    Row {
        pages: TYPO3,
        sends: &["BAN / HTTP/1.1", "Host: a.example", "Varnish-Ban-TYPO3-Sitename: 0abc", "Varnish-Ban-TYPO3-Pid: 1"],
        status: 202,
        after: &[MISS, MISS, HIT, HIT],
        ..row("P24: a page", "typo3")
    },
    Row {
        pages: TYPO3,
        sends: &["BAN / HTTP/1.1", "Host: a.example", "Varnish-Ban-TYPO3-Sitename: 0abc", "xkey-purge: news other"],
        after: &[STALE, HIT, HIT, HIT],
        ..row("P24: tags, softly", "typo3")
    },
    Row {
        pages: TYPO3,
        sends: &["BAN / HTTP/1.1", "Host: a.example", "Varnish-Ban-TYPO3-Sitename: 0abc"],
        status: 400,
        after: &[HIT, HIT, HIT, HIT],
        ..row("P24 near: a site and nothing to be done", "typo3")
    },
    Row {
        pages: PATHS,
        sends: &["BAN /blog/one HTTP/1.1", "Host: 127.0.0.1", "X-Host: a.example", "X-Url: /blog/"],
        after: &[MISS, MISS, HIT, HIT, HIT],
        ..row("P25", "typo3")
    },
    Row {
        pages: XKEY,
        sends: &["PURGE / HTTP/1.1", "Host: a.example", "xkey: t2"],
        says: "Invalidated 2 objects",
        after: &[MISS, MISS, HIT],
        ..row("P26: tags", "shopware")
    },
    Row {
        sends: &["PURGE /p HTTP/1.1", "Host: a.example"],
        after: &[MISS, HIT, HIT, HIT],
        ..row("P26: a URL", "shopware")
    },
    Row {
        pages: PATHS,
        sends: &["BAN /blog/(one|x) HTTP/1.1", "Host: a.example"],
        says: "Invalidated 2 objects",
        after: &[MISS, HIT, HIT, MISS, HIT],
        ..row("P26: an expression", "shopware")
    },
    Row {
        pages: XKEY,
        sends: &["PURGE / HTTP/1.1", "Host: a.example", "xkey: t1 t3"],
        after: &[MISS, HIT, MISS],
        refused: 405,
        ..row("P27", "xkey")
    },
    Row {
        pages: XKEY,
        sends: &["PURGE / HTTP/1.1", "Host: a.example", "xkey-softpurge: t1"],
        after: &[STALE, HIT, HIT],
        refused: 405,
        ..row("P27: softly", "xkey")
    },
    Row {
        pages: &[Page(A, "/one", &[("surrogate-key", "a b")]), Page(A, "/two", &[("surrogate-key", "bb")])],
        sends: &["PURGE /souin-api/souin/ HTTP/1.1", "Host: localhost", "Surrogate-Key: a, x"],
        status: 204,
        after: &[MISS, HIT],
        ..row("P28: tags", "souin")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /souin-api/souin/a.example/blog/.+ HTTP/1.1", "Host: localhost"],
        status: 204,
        after: &[MISS, MISS, HIT, HIT, HIT],
        ..row("P28: an expression", "souin")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /souin-api/souin/flush HTTP/1.1", "Host: localhost"],
        status: 204,
        after: &[MISS, MISS, MISS, MISS, MISS],
        ..row("P28: everything", "souin")
    },
    Row {
        sends: &["PURGE /p HTTP/1.1", "Host: a.example", "Fastly-Key: x", "Fastly-Soft-Purge: 1"],
        says: "\"status\":\"ok\"",
        after: &[STALE, HIT, HIT, HIT],
        ..row("P29: a URL, softly", "fastly")
    },
    Row {
        pages: XKEY,
        sends: &[
            "POST /service/SU1Z0isxPaozGVKXdv0eY/purge/t1 HTTP/1.1",
            "Host: api.example",
            "Fastly-Key: x",
            "Content-Length: 0",
        ],
        says: "\"status\":\"ok\"",
        after: &[MISS, HIT, HIT],
        ..row("P29: a key", "fastly")
    },
    Row {
        pages: XKEY,
        sends: &[
            "POST /service/SU1Z0isxPaozGVKXdv0eY/purge HTTP/1.1",
            "Host: api.example",
            "Surrogate-Key: t1 t3",
            "Content-Length: 0",
        ],
        after: &[MISS, HIT, MISS],
        ..row("P29: keys in a field", "fastly")
    },
    Row {
        pages: XKEY,
        sends: &[
            "POST /service/SU1Z0isxPaozGVKXdv0eY/purge HTTP/1.1",
            "Host: api.example",
            "Content-Type: application/json",
            "Content-Length: 32",
            "body:{\"surrogate_keys\": [\"t1\", \"t3\"]}",
        ],
        after: &[MISS, HIT, MISS],
        ..row("P29: keys in a body", "fastly")
    },
    Row {
        pages: XKEY,
        sends: &[
            "POST /service/SU1Z0isxPaozGVKXdv0eY/purge_all HTTP/1.1",
            "Host: api.example",
            "Fastly-Soft-Purge: 1",
            "Content-Length: 0",
        ],
        after: &[MISS, MISS, MISS],
        ..row("P29: everything, never softly", "fastly")
    },
    Row {
        sends: &["GET /purge/p?x=1 HTTP/1.1", "Host: a.example", "User-Agent: WordPress/6.8"],
        after: &[HIT, MISS, HIT, HIT],
        ..row("P30", "nginx-helper")
    },
    Row {
        sends: &["GET /purge/p/feed/ HTTP/1.1", "Host: a.example", "User-Agent: WordPress/6.8"],
        status: 404,
        after: &[HIT, HIT, HIT, HIT],
        ..row("P30: not stored", "nginx-helper")
    },
    Row {
        sends: &["PURGE /purgeall HTTP/1.1", "Host: a.example"],
        after: &[MISS, MISS, HIT, MISS],
        ..row("P30: everything of a site", "nginx-helper")
    },
    Row {
        pages: PATHS,
        sends: &["PURGE /blog* HTTP/1.1", "Host: a.example"],
        after: &[MISS, MISS, MISS, HIT, HIT],
        ..row("P31", "nginx")
    },
    Row {
        sends: &["PURGE /nothing* HTTP/1.1", "Host: a.example"],
        after: &[HIT, HIT, HIT, HIT],
        ..row("P31: what matches nothing is no error", "nginx")
    },
    Row {
        sends: &["PURGE http://a.example/p HTTP/1.0", "Accept: */*"],
        after: &[MISS, HIT, HIT, HIT],
        ..row("P32", "squid")
    },
    Row {
        sends: &["PURGE http://a.example/nothing HTTP/1.1", "Host: a.example"],
        status: 404,
        after: &[HIT, HIT, HIT, HIT],
        ..row("P32: not stored", "squid, url")
    },
];
