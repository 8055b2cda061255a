//! What storing and reusing cost in the pure rules: directives, lifetime, freshness, normal form of a target.

use std::hint::black_box;
use std::time::Duration;

use copal_semantics::{
    Freshness, LifetimeRules, Overrides, RequestDirectives, ResponseDirectives, StaleRules, Timestamp, accept_encoding,
    evaluate, initial_age, lifetime, normalise,
};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

fn response() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::DATE, "Tue, 14 Nov 2023 22:13:20 GMT"),
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=60, s-maxage=3600, stale-while-revalidate=30"),
        (header::ETAG, "\"5d8c72a5edda8\""),
        (header::VARY, "Accept-Encoding, Cookie"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn request() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
    headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\", \"5d8c72a5edda8\""));
    headers
}

fn semantics(criterion: &mut Criterion) {
    let (response, request) = (response(), request());
    let now = Timestamp::from_secs(1_700_000_000);
    let directives = ResponseDirectives::parse(&response);
    let found = lifetime(StatusCode::OK, &response, &directives, now, &LifetimeRules::default());
    let freshness =
        Freshness::new(now, Duration::ZERO, found, &directives, Overrides::default(), StaleRules::default());

    criterion.bench_function("cache-control/response", |b| b.iter(|| ResponseDirectives::parse(black_box(&response))));
    criterion.bench_function("cache-control/request", |b| b.iter(|| RequestDirectives::parse(black_box(&request))));
    criterion.bench_function("freshness/lifetime", |b| {
        b.iter(|| lifetime(StatusCode::OK, black_box(&response), &directives, now, &LifetimeRules::default()))
    });
    criterion.bench_function("freshness/initial-age", |b| b.iter(|| initial_age(black_box(&response), now, now)));
    criterion.bench_function("freshness/state", |b| b.iter(|| black_box(&freshness).state(black_box(now))));
    criterion.bench_function("conditional/if-none-match", |b| {
        b.iter(|| evaluate(&Method::GET, black_box(&request), StatusCode::OK, &response))
    });
    criterion.bench_function("vary/accept-encoding", |b| b.iter(|| accept_encoding(black_box(&request))));
    criterion.bench_function("target/normal", |b| {
        b.iter(|| normalise(false, black_box("www.example.com"), black_box("/news/2026/11/a-headline?page=2")))
    });
    criterion.bench_function("target/to-be-normalised", |b| {
        b.iter(|| normalise(false, black_box("WWW.example.com:80"), black_box("/news/./2026/../%7eada?page=%2f")))
    });
}

criterion_group!(benches, semantics);
criterion_main!(benches);
