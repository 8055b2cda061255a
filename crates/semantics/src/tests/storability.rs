use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::{NOW, headers};
use crate::directives::ResponseDirectives;
use crate::lifetime::{LifetimeRules, lifetime};
use crate::storability::{NotStored, Overrides, StoreFacts, storable, unstored_fields};
use crate::targeted::{DEFAULT_ORDER, effective_directives};

/// A GET answered by `lines`, changed as a test likes.
struct Case {
    method: Method,
    authorization: bool,
    status: u16,
    headers: HeaderMap,
    overrides: Overrides,
    rules: LifetimeRules<'static>,
    partial: bool,
    content_location_matches: bool,
    body_key: bool,
}

fn case(lines: &[(&str, &str)]) -> Case {
    Case {
        method: Method::GET,
        authorization: false,
        status: 200,
        headers: headers(lines),
        overrides: Overrides::default(),
        rules: LifetimeRules::default(),
        partial: false,
        content_location_matches: false,
        body_key: false,
    }
}

impl Case {
    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn result(&self) -> Result<(), NotStored> {
        let (directives, _) = effective_directives(&self.headers, &DEFAULT_ORDER);
        let status = StatusCode::from_u16(self.status).unwrap();
        storable(&StoreFacts {
            method: &self.method,
            authorization: self.authorization,
            status,
            headers: &self.headers,
            directives: &directives,
            overrides: self.overrides,
            lifetime: lifetime(status, &self.headers, &directives, NOW, &self.rules),
            partial: self.partial,
            content_location_matches: self.content_location_matches,
            body_key: self.body_key,
        })
    }
}

fn cache_control(value: &str) -> Case {
    case(&[("cache-control", value)])
}

#[test]
fn rfc9111_s3_only_get_and_head() {
    for (method, expected) in [
        (Method::GET, Ok(())),
        (Method::HEAD, Ok(())),
        (Method::POST, Err(NotStored::Method)),
        (Method::OPTIONS, Err(NotStored::Method)),
        (Method::from_bytes(b"get").unwrap(), Err(NotStored::Method)),
    ] {
        let mut case = cache_control("max-age=60");
        case.method = method;
        assert_eq!(case.result(), expected);
    }
}

#[test]
fn rfc9111_s3_status_with_explicit_freshness() {
    for status in [200, 201, 203, 204, 302, 307, 400, 403, 404, 418, 500, 503, 599, 999] {
        let result = cache_control("max-age=60").status(status).result();
        assert_eq!(result, Ok(()), "{status}");
    }
    for (status, expected) in
        [(100, NotStored::Status), (103, NotStored::Status), (206, NotStored::PartialContent), (304, NotStored::Status)]
    {
        let result = cache_control("max-age=60, public").status(status).result();
        assert_eq!(result, Err(expected), "{status}");
    }
}

#[test]
fn rfc9110_s15_1_status_without_explicit_freshness() {
    let etag = [("etag", "\"a\"")];
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(case(&etag).status(status).result(), Ok(()), "{status}");
    }
    for status in [201, 302, 303, 307, 400, 403, 500, 502, 503, 599] {
        let result = case(&etag).status(status).result();
        assert_eq!(result, Err(NotStored::Status), "{status}");
    }
    let public = case(&[("etag", "\"a\""), ("cache-control", "public")]).status(302);
    assert_eq!(public.result(), Ok(()));
}

#[test]
fn a_rule_ttl_stores_no_error_but_status_ttl_does() {
    let mut case = case(&[]).status(500);
    case.rules.ttl = Some(super::secs(3600));
    case.rules.default_ttl = Some(super::secs(3600));
    assert_eq!(case.result(), Err(NotStored::Status));
    case.rules.status_ttl = Some(super::secs(5));
    assert_eq!(case.result(), Ok(()));
}

#[test]
fn rfc9111_s5_2_2_5_no_store() {
    assert_eq!(cache_control("no-store, max-age=60").result(), Err(NotStored::NoStore));
    let mut case = cache_control("no-store, max-age=60");
    case.overrides.no_store = true;
    assert_eq!(case.result(), Ok(()));
}

#[test]
fn rfc9111_s5_2_2_3_must_understand_voids_no_store_for_an_understood_status() {
    let value = "no-store, must-understand, max-age=60";
    assert_eq!(cache_control(value).result(), Ok(()));
    assert_eq!(cache_control(value).status(404).result(), Ok(()));
    for status in [299, 499, 599] {
        let result = cache_control(value).status(status).result();
        assert_eq!(result, Err(NotStored::MustUnderstand), "{status}");
        let result = cache_control("must-understand, max-age=60").status(status).result();
        assert_eq!(result, Err(NotStored::MustUnderstand), "{status}");
    }
}

#[test]
fn rfc9111_s5_2_2_7_private_for_the_whole_response() {
    for value in [
        "private, max-age=60",
        "max-age=60, private=\"\"",
        "public, private, s-maxage=60",
        "private=\"a, vary\", max-age=60",
    ] {
        let mut case = cache_control(value);
        assert_eq!(case.result(), Err(NotStored::Private), "{value}");
        case.overrides.private = true;
        assert_eq!(case.result(), Ok(()), "{value}");
    }
}

#[test]
fn each_override_sets_aside_its_own_reason_only() {
    let mut case = case(&[("cache-control", "private, no-store, max-age=60"), ("set-cookie", "a=b")]);
    assert_eq!(case.result(), Err(NotStored::NoStore));
    case.overrides.no_store = true;
    assert_eq!(case.result(), Err(NotStored::Private));
    case.overrides.private = true;
    assert_eq!(case.result(), Err(NotStored::SetCookie));
    case.overrides.set_cookie = true;
    assert_eq!(case.result(), Ok(()));
    case.authorization = true;
    case.overrides.no_cache = true;
    case.overrides.must_revalidate = true;
    assert_eq!(case.result(), Err(NotStored::Authorization));
}

#[test]
fn rfc9111_s3_5_authorization_needs_leave() {
    for (value, expected) in [
        ("max-age=60", Err(NotStored::Authorization)),
        ("max-age=60, proxy-revalidate", Err(NotStored::Authorization)),
        ("max-age=60, public", Ok(())),
        ("s-maxage=60", Ok(())),
        ("max-age=60, must-revalidate", Ok(())),
    ] {
        let mut case = cache_control(value);
        case.authorization = true;
        assert_eq!(case.result(), expected, "{value}");
    }
}

#[test]
fn rfc9111_s3_5_a_rule_ttl_is_no_leave_for_authorization() {
    let mut case = case(&[]);
    case.authorization = true;
    case.rules.ttl = Some(super::secs(60));
    assert_eq!(case.result(), Err(NotStored::Authorization));
}

#[test]
fn rfc9111_s4_1_vary_star() {
    for value in ["*", "accept, *", ", *", "not a name"] {
        let case = case(&[("cache-control", "max-age=60"), ("vary", value)]);
        assert_eq!(case.result(), Err(NotStored::VaryStar), "{value}");
    }
}

#[test]
fn nothing_to_gain_is_not_stored() {
    for (lines, expected) in [
        (&[][..], Err(NotStored::NoLifetime)),
        (&[("etag", "")], Err(NotStored::NoLifetime)),
        (&[("last-modified", "yesterday")], Err(NotStored::NoLifetime)),
        (&[("cache-control", "max-age=0")], Err(NotStored::NoLifetime)),
        (&[("cache-control", "public")], Err(NotStored::NoLifetime)),
        (&[("expires", "0")], Err(NotStored::NoLifetime)),
        (&[("cache-control", "no-cache, max-age=60")], Err(NotStored::NoCache)),
        (&[("cache-control", "max-age=0, stale-if-error=60")], Ok(())),
        (&[("cache-control", "max-age=0, stale-while-revalidate=0")], Err(NotStored::NoLifetime)),
        (&[("etag", "W/\"a\"")], Ok(())),
        (&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], Ok(())),
        (&[("cache-control", "max-age=0"), ("etag", "\"a\"")], Ok(())),
        (&[("cache-control", "no-cache"), ("etag", "\"a\"")], Ok(())),
    ] {
        assert_eq!(case(lines).result(), expected, "{lines:?}");
    }
    let mut case = case(&[]);
    case.rules.default_ttl = Some(super::secs(60));
    assert_eq!(case.result(), Ok(()));
}

#[test]
fn reasons_are_distinct_words_in_kebab_case() {
    let reasons = [
        NotStored::Method,
        NotStored::Status,
        NotStored::PartialContent,
        NotStored::NoStore,
        NotStored::Private,
        NotStored::SetCookie,
        NotStored::Authorization,
        NotStored::VaryStar,
        NotStored::NoLifetime,
        NotStored::MustUnderstand,
        NotStored::NoCache,
    ];
    let words: std::collections::BTreeSet<_> = reasons.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), reasons.len());
    assert!(words.iter().all(|word| { word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') }));
}

#[test]
fn rfc9111_s3_3_a_part_is_stored_where_the_caller_can() {
    let mut part = case(&[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/2")]).status(206);
    assert_eq!(part.result(), Err(NotStored::PartialContent));
    part.partial = true;
    assert_eq!(part.result(), Ok(()));
    // Heuristically cacheable as well (RFC 9110 §15.1), and understood.
    let mut by_itself = case(&[("etag", "\"a\""), ("cache-control", "must-understand, no-store")]).status(206);
    by_itself.partial = true;
    assert_eq!(by_itself.result(), Ok(()));
    let mut private = cache_control("private, max-age=60").status(206);
    private.partial = true;
    assert_eq!(private.result(), Err(NotStored::Private));
}

#[test]
fn rfc6585_statuses_about_one_client_are_never_stored() {
    for status in [428, 429, 431, 511] {
        let mut case = cache_control("public, max-age=60").status(status);
        assert_eq!(case.result(), Err(NotStored::Status), "{status}");
        // The operator may name one.
        case.rules.status_ttl = Some(super::secs(5));
        assert_eq!(case.result(), Ok(()), "{status}");
    }
}

#[test]
fn rfc9111_s5_2_2_3_must_understand_knows_the_statuses_of_rfc9110() {
    for status in [200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 404, 410, 418, 422, 451, 500, 505] {
        let expected = if status == 418 { Err(NotStored::MustUnderstand) } else { Ok(()) };
        let value = "must-understand, no-store, max-age=60";
        assert_eq!(cache_control(value).status(status).result(), expected, "{status}");
    }
    // Without must-understand, no-store stands; and must-understand voids nothing else.
    assert_eq!(cache_control("no-store, max-age=60").result(), Err(NotStored::NoStore));
    assert_eq!(cache_control("no-store, must-understand, private, max-age=60").result(), Err(NotStored::Private));
}

#[test]
fn rfc9111_s5_2_2_4_and_7_named_fields_are_left_out_and_the_rest_is_stored() {
    for (value, unstored) in [
        ("max-age=60, private=\"x-user\"", &["x-user"][..]),
        ("max-age=60, no-cache=\"x-a, X-B\"", &["x-a", "x-b"]),
        ("max-age=60, no-cache=\"x-a\", private=\"x-b\"", &["x-b", "x-a"]),
        ("max-age=60", &[]),
    ] {
        let case = cache_control(value);
        assert_eq!(case.result(), Ok(()), "{value}");
        let directives = ResponseDirectives::parse(&case.headers);
        let names: Vec<_> = unstored_fields(&directives).map(|name| name.as_str()).collect();
        assert_eq!(names, unstored, "{value}");
    }
}

#[test]
fn rfc9111_s5_2_2_7_a_field_list_that_cannot_be_kept_to_is_the_whole_response() {
    for value in ["private=\"x y\"", "private=\"\"", "private=\"x-a", "private=\"Content-Encoding\"", "private=Vary"] {
        let value = format!("max-age=60, {value}");
        assert_eq!(cache_control(&value).result(), Err(NotStored::Private), "{value}");
        let value = value.replace("private", "no-cache");
        assert_eq!(cache_control(&value).result(), Err(NotStored::NoCache), "{value}");
    }
}

#[test]
fn rfc9111_s7_3_set_cookie_is_stored_only_where_someone_says_how() {
    let cookie = |value: &str| case(&[("cache-control", value), ("set-cookie", "a=b")]);
    for (value, expected) in [
        ("max-age=60", Err(NotStored::SetCookie)),
        ("max-age=60, public", Err(NotStored::SetCookie)),
        ("max-age=60, private=\"x-a\"", Err(NotStored::SetCookie)),
        ("max-age=60, private=\"set-cookie\"", Ok(())),
        ("max-age=60, no-cache=\"Set-Cookie, x-a\"", Ok(())),
        ("max-age=60, no-cache=Set-Cookie", Ok(())),
    ] {
        assert_eq!(cookie(value).result(), expected, "{value}");
    }
    let mut shared = cookie("max-age=60");
    shared.overrides.share_set_cookie = true;
    assert_eq!(shared.result(), Ok(()));
}

#[test]
fn a_ttl_header_of_zero_forbids_to_store() {
    static NAMES: [HeaderName; 1] = [HeaderName::from_static("x-accel-expires")];
    let mut case =
        case(&[("x-accel-expires", "0"), ("cache-control", "must-understand, max-age=60"), ("etag", "\"a\"")]);
    assert_eq!(case.result(), Ok(()));
    case.rules.ttl_headers = &NAMES;
    assert_eq!(case.result(), Err(NotStored::NoStore));
    case.overrides.no_store = true;
    assert_eq!(case.result(), Ok(()));
}

#[test]
fn rfc9110_s9_3_3_a_post_is_stored_for_gets_when_it_says_so() {
    let post = |lines: &[(&str, &str)]| {
        let mut case = case(lines);
        case.method = Method::POST;
        case.content_location_matches = true;
        case
    };
    let mut plain = post(&[("cache-control", "max-age=60")]);
    assert_eq!(plain.result(), Ok(()));
    plain.content_location_matches = false;
    assert_eq!(plain.result(), Err(NotStored::Method));
    assert_eq!(post(&[("cache-control", "max-age=60")]).status(201).result(), Err(NotStored::Method));
    assert_eq!(post(&[("expires", "Thu, 18 Aug 2050 02:01:18 GMT")]).result(), Ok(()));
    let targeted = [("cdn-cache-control", "max-age=60"), ("cache-control", "no-store")];
    assert_eq!(post(&targeted).result(), Ok(()));
    let void = [("cdn-cache-control", "public"), ("expires", "Thu, 18 Aug 2050 02:01:18 GMT")];
    assert_eq!(post(&void).result(), Err(NotStored::NoLifetime));
    for lines in [
        &[("etag", "\"a\"")][..],
        &[("cache-control", "max-age=0"), ("etag", "\"a\"")],
        &[("cache-control", "public"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
    ] {
        let mut case = post(lines);
        // Neither a guess nor a rule is explicit freshness.
        case.rules.heuristic = true;
        assert_eq!(case.result(), Err(NotStored::NoLifetime), "{lines:?}");
        case.rules.default_ttl = Some(super::secs(60));
        assert_eq!(case.result(), Err(NotStored::NoLifetime), "{lines:?}");
    }
    assert_eq!(post(&[("cache-control", "max-age=60, private")]).result(), Err(NotStored::Private));
    let mut put = post(&[("cache-control", "max-age=60")]);
    put.method = Method::PUT;
    assert_eq!(put.result(), Err(NotStored::Method));
}

#[test]
fn a_method_whose_content_is_in_the_key_is_stored_as_a_get_is() {
    for method in [Method::POST, Method::from_bytes(b"QUERY").unwrap()] {
        let mut case = cache_control("max-age=60");
        case.method = method;
        assert_eq!(case.result(), Err(NotStored::Method));
        case.body_key = true;
        assert_eq!(case.result(), Ok(()));
        assert_eq!(case.status(206).result(), Err(NotStored::PartialContent));
    }
}
