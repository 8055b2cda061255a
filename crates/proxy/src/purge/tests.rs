//! Requests that are purges in some dialect and not in another; and that nothing breaks the reading.

use copal_policy::{PurgeConfig, PurgeDialect, PurgeDialects};
use copal_semantics::target;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::dialect::{Call, Recognised, recognise};
use super::order::{What, WrongOrder};
use super::read::read;
use super::wishes::Wishes;

struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request {
    let field = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    Request { method: method.parse().unwrap(), url: path.to_owned(), headers: fields.iter().map(field).collect() }
}

/// What a request names where only these dialects are spoken: its words, `-` for no purge, `?` for an unknown one.
fn named(request: &Request, spoken: &[PurgeDialect]) -> String {
    let dialects: PurgeDialects = spoken.iter().copied().collect();
    let Ok(target) = target::normalise(false, "www.example", &request.url) else { return String::new() };
    let call = Call { method: &request.method, target: &target, absolute: false, headers: &request.headers };
    let config = PurgeConfig { dialects, ..PurgeConfig::default() };
    match recognise(call, dialects) {
        Recognised::Other => "-".to_owned(),
        Recognised::Anew => "anew".to_owned(),
        Recognised::Unknown => "?".to_owned(),
        Recognised::Purge(dialect, form) => {
            assert!(spoken.contains(&dialect), "{dialect:?} is not spoken");
            let reading = read(call, (dialect, form), &config, &Wishes::default(), b"{}");
            reading.map_or_else(
                |wrong: WrongOrder| format!("! {wrong}"),
                |reading| {
                    let words = |what: &[What]| what.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    let (hard, soft) = (words(&reading.hard), words(&reading.soft));
                    if soft.is_empty() { hard } else { format!("{hard}~{soft}") }
                },
            )
        }
    }
}

#[test]
fn the_same_bytes_in_different_dialects() {
    use PurgeDialect::{
        Drupal, Fastly, Fos, Lagoon, Magento, Nginx, NginxHelper, Plone, Shopware, Souin, Typo3, Url, WordPress,
    };
    let plain = request("PURGE", "/blog/.*", &[]);
    let ban = request("BAN", "/blog/.*", &[]);
    let host_and_url = request("BAN", "/", &[("x-host", "www.example"), ("x-url", "^/blog")]);
    let tags = request("BAN", "/tags", &[("cache-tags", "node:1 b")]);
    let get = request("GET", "/purge/x", &[]);
    let service = request("POST", "/service/a/purge/key%2F1", &[]);
    for (request, spoken, expected) in [
        (&plain, &[Url][..], "url www.example/blog/.*"),
        (&plain, &[WordPress], "prefix www.example/blog/"),
        (&plain, &[Url, WordPress], "prefix www.example/blog/"),
        (&plain, &[Nginx], "prefix www.example/blog/."),
        (&plain, &[Drupal], "url www.example/blog/.* with any query"),
        (&plain, &[Magento], "! the request names nothing that a purge in the dialect magento could be of"),
        (&plain, &[Souin], "?"),
        (&plain, &[], "?"),
        (&ban, &[Url, WordPress, Magento], "?"),
        (&ban, &[Drupal], "prefix www.example/blog/."),
        (&ban, &[Shopware], "match url~/blog/.*"),
        (&ban, &[Plone], "url www.example/blog/.*"),
        (&ban, &[Fos], "! the request names nothing that a purge in the dialect fos could be of"),
        (&host_and_url, &[Fos], "match host~www.example url~^/blog"),
        (&host_and_url, &[Typo3], "match host=www.example url~^/blog"),
        (&host_and_url, &[Drupal], "url www.example/ with any query"),
        (&tags, &[Drupal], "tags node:1 b"),
        (&tags, &[Lagoon], "tags node:1 b"),
        (&tags, &[Fos], "! the request names nothing that a purge in the dialect fos could be of"),
        (&get, &[Url, Fos, Nginx], "-"),
        (&get, &[NginxHelper], "url www.example/x"),
        (&service, &[Url], "-"),
        (&service, &[Fastly], "tags key/1"),
    ] {
        assert_eq!(named(request, spoken), expected, "{} {} {spoken:?}", request.method, request.url);
    }
}

#[test]
fn ordinary_requests_are_no_purges_in_any_dialect() {
    for (method, path, fields) in [
        ("GET", "/", &[][..]),
        ("GET", "/purge", &[]),
        ("GET", "/p", &[("cache-control", "max-age=0")]),
        ("HEAD", "/purge/x", &[("cache-control", "no-cache")]),
        ("POST", "/service//purge", &[]),
        ("POST", "/service/a/purged", &[]),
        ("POST", "/service/a/purge/", &[]),
        ("POST", "/services/a/purge", &[]),
        ("PUT", "/service/a/purge_all", &[]),
        ("DELETE", "/", &[("x-cache-tags", "a")]),
        ("PURGEKEY", "/", &[]),
    ] {
        assert_eq!(named(&request(method, path, fields), PurgeDialect::ALL), "-", "{method} {path}");
    }
    assert_eq!(named(&request("GET", "/p", &[("cache-control", "no-cache")]), PurgeDialect::ALL), "anew");
    // Misspelt, and no request for a page either.
    assert_eq!(named(&request("purge", "/", &[]), PurgeDialect::ALL), "?");
}

#[test]
fn a_purge_that_says_nothing_is_never_one_of_everything() {
    let empty = [
        ("x-host", ""),
        ("x-url", ""),
        ("x-cache-tags", ""),
        ("xkey", " "),
        ("xkey-purge", ""),
        ("cache-tags", ", |"),
        ("x-magento-tags-pattern", ""),
        ("x-pool", ""),
        ("surrogate-key", ""),
        ("x-acquia-purge-tags", ""),
    ];
    for &dialect in PurgeDialect::ALL {
        for method in ["PURGE", "BAN", "PURGEKEYS", "PURGETAGS"] {
            for field in empty {
                let words = named(&request(method, "/x", &[field]), &[dialect]);
                assert!(words != "everything", "{method} {dialect:?} {field:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_request_is_read(
        method in prop_oneof!["PURGE", "BAN", "PURGEKEYS", "PURGETAGS", "URIBAN", "REFRESH", "GET", "POST"],
        path in "/(purge/|souin-api/souin/|VirtualHostBase/http/|service/x/purge/|@@purgebyid/)?[!-~]{0,40}",
        name in prop_oneof!["xkey", "xkey-purge", "x-url", "x-host", "x-cache-tags", "cache-tags", "x-magento-tags-pattern",
            "x-pool", "x-purge-method", "x-cache-tags-pattern", "surrogate-key", "varnish-ban-typo3-pid"],
        value in proptest::collection::vec(prop_oneof![0x20_u8..0x7F, 0x80_u8..=0xFF], 0..40),
        dialect in 0..PurgeDialect::ALL.len(),
    ) {
        let headers = HeaderMap::from_iter([(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(&value).unwrap())]);
        let request = Request { method: method.parse().unwrap(), url: path, headers };
        named(&request, &[PurgeDialect::ALL[dialect]]);
        named(&request, PurgeDialect::ALL);
    }
}
