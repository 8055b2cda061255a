//! What the operator's rules cost on each request: the first rule of ten that fits, and what the cookies are.

use std::hint::black_box;

use copal_policy::{Config, Cookies, RequestFacts, load_str};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, header};

/// Ten rules of all kinds; the last one fits what the others do not.
const RULES: &str = r#"
origins: { cms: "http://127.0.0.1:9000" }
sessions: { cookies: ["SESS*", "SSESS*", sessionid], ignore: [csrftoken] }
rules:
  - { name: admin, match: { path: ["/admin/**", "/user/**"] }, pass: true }
  - { name: fragments, match: { path: "/esi/*/block" }, pass: true }
  - { name: preview, match: { query: [preview, token] }, pass: true }
  - { name: shop, match: { host: "shop.*" }, pass: true }
  - { name: xhr, match: { header: { X-Requested-With: XMLHttpRequest } }, pass: true }
  - { name: archive, match: { path: "~^/[0-9]{4}/[0-9]{2}/" }, cache: { ttl: 1d } }
  - { name: feeds, match: { path: "/**/feed" }, cache: { ttl: 10m } }
  - { name: static, match: { path: "/**/*.{css,js,png,svg,woff2}" }, cache: { ttl: 1d } }
  - { name: search, match: { path: /search }, cache: { ttl: 1m } }
  - { name: pages, match: { method: [GET, HEAD] }, cache: { ttl: 1h, key: { query: { deny: marketing }, cookies: [lang] } } }
"#;

fn config() -> Config {
    load_str("bench.yaml", RULES, None).expect("the rules above are right").config
}

fn headers(cookie: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml"));
    headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
    headers
}

fn policy(criterion: &mut Criterion) {
    let config = config();
    let policy = &config.policy;
    let headers = headers("_ga=GA1.1.1; _ga_ABC=GS1.1; _gid=2; OptanonConsent=x; _fbp=fb.1; csrftoken=c; lang=de");
    let cookies = Cookies::parse(&headers);
    let facts = |path| RequestFacts {
        method: &Method::GET,
        scheme: "http",
        host: "www.example.org",
        path,
        query: Some("page=2"),
        headers: &headers,
        cookies: &cookies,
    };
    let (first, last) = (facts("/admin/pages/3/edit"), facts("/news/2026/a-headline-of-usual-length"));
    let rule = policy.answer(&last);
    assert_eq!((&*policy.answer(&first).name, &*rule.name), ("admin", "pages"));
    let Some(cache) = rule.cache() else { return };

    criterion.bench_function("rules/first-of-ten", |b| b.iter(|| policy.answer(black_box(&first))));
    criterion.bench_function("rules/last-of-ten", |b| b.iter(|| policy.answer(black_box(&last))));
    criterion.bench_function("cookies/parse-seven", |b| b.iter(|| Cookies::parse(black_box(&headers))));
    criterion.bench_function("cookies/classify-seven", |b| b.iter(|| policy.classify(rule, black_box(&cookies))));
    criterion.bench_function("key/query-unchanged", |b| b.iter(|| cache.key.query(black_box(Some("page=2&sort=asc")))));
    criterion
        .bench_function("key/query-denied", |b| b.iter(|| cache.key.query(black_box(Some("page=2&utm_source=mail")))));
}

criterion_group!(benches, policy);
criterion_main!(benches);
