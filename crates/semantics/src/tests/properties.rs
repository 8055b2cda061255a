//! What holds of every input: nothing panics, normal forms stay, what is written can be read.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::NOW;
use crate::cache_status::CacheStatus;
use crate::directives::FieldList;
use crate::freshness::{Freshness, FreshnessState};
use crate::lifetime::LifetimeRules;
use crate::range::RangeAnswer;
use crate::targeted::DEFAULT_ORDER;
use crate::{Timestamp, Vary};
use std::time::Duration;

/// Every field that some parser of this crate reads.
const FIELDS: [&str; 24] = [
    "accept-encoding",
    "age",
    "cache-control",
    "cdn-cache-control",
    "connection",
    "content-length",
    "copal-cdn-cache-control",
    "date",
    "etag",
    "expires",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "last-modified",
    "pragma",
    "range",
    "set-cookie",
    "surrogate-control",
    "vary",
    "via",
    "content-encoding",
    "if-match",
    "transfer-encoding",
    "authorization",
];

/// Pieces that such fields are made of, so that nonsense comes close to sense.
const PIECES: &str = "(max-age|s-maxage|no-cache|private|no-store|public|content|gzip|br|bytes|W/|copal|ESI/1.0|q=0\\.5|\
                      Sun, 06 Nov 1994 08:49:37 GMT|Sunday, 06-Nov-94 08:49:37 GMT|Sun Nov  6 08:49:37 1994|\
                      [0-9]{1,25}|[\"\\\\,;=*()?:@%+/ \t-]|[!-~]|[\u{80}-\u{ff}])";

pub(super) fn value() -> impl Strategy<Value = HeaderValue> {
    vec(PIECES, 0..12)
        .prop_filter_map("control characters", |pieces| HeaderValue::from_bytes(pieces.concat().as_bytes()).ok())
}

pub(super) fn message() -> impl Strategy<Value = HeaderMap> {
    vec((prop::sample::select(&FIELDS[..]), value()), 0..8).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    })
}

pub(super) fn status() -> impl Strategy<Value = StatusCode> {
    (100u16..1000).prop_map(|code| StatusCode::from_u16(code).unwrap())
}

pub(super) fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..100_000).prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_millis),
        Just(Duration::MAX),
    ]
}

pub(super) fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

pub(super) fn freshness() -> impl Strategy<Value = Freshness> {
    let durations = (duration(), duration(), duration(), duration(), duration());
    (timestamp(), durations, any::<[bool; 3]>()).prop_map(
        |(response_time, durations, [no_cache, must_revalidate, s_maxage])| Freshness {
            response_time,
            initial_age: durations.0,
            lifetime: durations.1,
            grace: durations.2,
            stale_while_revalidate: durations.3,
            stale_if_error: durations.4,
            no_cache,
            must_revalidate,
            s_maxage,
        },
    )
}

/// The less may be done with a stored response, the higher.
pub(super) fn rank(state: FreshnessState) -> u8 {
    match state {
        FreshnessState::Fresh => 0,
        FreshnessState::StaleWhileRevalidate => 1,
        FreshnessState::StaleAccepted => 2,
        FreshnessState::StaleIfError => 3,
        FreshnessState::Expired => 4,
    }
}

proptest! {
    #[test]
    fn no_message_makes_anything_panic(
        request in message(),
        stored in message(),
        status in status(),
        length in any::<u64>(),
    ) {
        let (directives, _) = crate::effective_directives(&stored, &DEFAULT_ORDER);
        crate::RequestDirectives::parse(&request);
        crate::SurrogateControl::parse(&stored).map(|control| control.wants_esi());
        let rules = LifetimeRules { heuristic: true, ..LifetimeRules::default() };
        let lifetime = crate::lifetime(status, &stored, &directives, NOW, &rules);
        crate::initial_age(&stored, NOW, NOW);
        let stored_at_all = crate::storable(&crate::StoreFacts {
            method: &Method::GET,
            authorization: false,
            status,
            headers: &stored,
            directives: &directives,
            overrides: crate::Overrides::default(),
            lifetime,
            partial: false,
            content_location_matches: false,
            body_key: false,
        });
        // What must never be shared is not, whatever else the message says.
        let named = crate::unstored_fields(&directives).any(|name| name == "set-cookie");
        if directives.private == FieldList::All || (stored.contains_key("set-cookie") && !named) {
            prop_assert!(stored_at_all.is_err());
        }
        crate::evaluate(&Method::GET, &request, StatusCode::OK, &stored);
        crate::validators(&stored);
        crate::not_modified_head(&stored);
        prop_assert!(!crate::freshen(&stored, &request, false).contains_key("connection")
            || stored.contains_key("connection"));
        if let RangeAnswer::Part { first, last } =
            crate::range(&Method::GET, &request, StatusCode::OK, &stored, length)
        {
            prop_assert!(first <= last && last < length);
        }
        crate::via_loop(&request, "copal");
        crate::content_length(&request);
        let mut passed = request.clone();
        crate::remove_hop_by_hop(&mut passed);
        let once = passed.clone();
        crate::remove_hop_by_hop(&mut passed);
        prop_assert_eq!(once, passed);
    }

    #[test]
    fn dates_never_panic(text in vec(any::<u8>(), 0..50), now in timestamp()) {
        crate::parse_http_date(&text, now);
    }

    #[test]
    fn dates_like_dates_never_panic(
        text in "[A-Za-z]{2,9},? [0-9 ]{2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} ?(GMT|UTC|[A-Z]{3})?",
        now in timestamp(),
    ) {
        crate::parse_http_date(text.as_bytes(), now);
    }

    #[test]
    fn dates_round_trip(secs in 0u64..=253_402_300_799, now in timestamp()) {
        let time = Timestamp::from_secs(secs);
        let text = time.http_date();
        prop_assert_eq!(crate::parse_http_date(text.as_bytes(), now), Some(time));
        let system = std::time::UNIX_EPOCH + Duration::from_secs(secs);
        prop_assert_eq!(text.to_str().unwrap(), httpdate::fmt_http_date(system));
    }

    #[test]
    fn directives_round_trip(max_age in 0u64..1 << 31, stale in 0u64..1 << 31, flags in any::<[bool; 2]>()) {
        let mut text = format!("Max-Age=\"{max_age}\" , x=\"no-store,\\\"\",stale-if-error={stale}");
        if flags[0] { text.push_str(",no-store"); }
        if flags[1] { text.push_str(", , Public"); }
        let directives = crate::ResponseDirectives::parse(&super::headers(&[("cache-control", &text)]));
        prop_assert_eq!(directives.max_age, Some(Duration::from_secs(max_age)));
        prop_assert_eq!(directives.stale_if_error, Some(Duration::from_secs(stale)));
        prop_assert_eq!((directives.no_store, directives.public), (flags[0], flags[1]));
    }

    #[test]
    fn entity_tags_are_found_in_any_list(before in vec("[!#-~]{0,6}", 0..4), tag in "[!#-~]{0,8}", after in vec("[!#-~]{0,6}", 0..4)) {
        let quoted: Vec<_> = before.iter().chain([&tag]).chain(&after).map(|tag| format!("\"{tag}\"")).collect();
        let request = super::headers(&[("if-none-match", &quoted.join(","))]);
        let stored = super::headers(&[("etag", &format!("W/\"{tag}\""))]);
        let answer = crate::evaluate(&Method::GET, &request, StatusCode::OK, &stored);
        prop_assert_eq!(answer, crate::Precondition::NotModified);
    }

    #[test]
    fn ranges_round_trip(first in any::<u64>(), more in any::<u64>(), length in 1u64..) {
        let first = first % length;
        let last = first + more % (length - first);
        let request = super::headers(&[("range", &format!("bytes={first}-{last}"))]);
        let stored = HeaderMap::new();
        let answer = crate::range(&Method::GET, &request, StatusCode::OK, &stored, length);
        prop_assert_eq!(answer, RangeAnswer::Part { first, last });
        let shown = crate::content_range(first, last, length);
        prop_assert_eq!(shown.to_str().unwrap(), format!("bytes {first}-{last}/{length}"));
    }

    #[test]
    fn field_normalisation_is_idempotent(value in value()) {
        let name = HeaderName::from_static("foo");
        let once = crate::normalise_field(&name, std::iter::once(&value));
        let bytes: Vec<_> = once.chars().map(|character| character as u8).collect();
        // NUL marks an empty field and is no field value.
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            prop_assert_eq!(crate::normalise_field(&name, std::iter::once(&value)), once);
        } else {
            prop_assert_eq!(once, "\0");
        }
    }

    #[test]
    fn joining_lines_changes_no_field(lines in vec("[a-z0-9;=. -]{0,8}", 1..4)) {
        let name = HeaderName::from_static("foo");
        let values: Vec<_> = lines.iter().map(|line| HeaderValue::from_str(line).unwrap()).collect();
        let joined = HeaderValue::from_str(&lines.join(",")).unwrap();
        prop_assert_eq!(
            crate::normalise_field(&name, values.iter()),
            crate::normalise_field(&name, std::iter::once(&joined))
        );
    }

    #[test]
    fn the_canonical_accept_encoding_is_a_fixed_point_and_acceptable(values in vec(value(), 0..3)) {
        let mut request = HeaderMap::new();
        for value in values {
            request.append("accept-encoding", value);
        }
        if let Some(canonical) = crate::accept_encoding(&request) {
            for coding in canonical.to_str().unwrap().split(", ") {
                let coding = HeaderValue::from_str(coding).unwrap();
                prop_assert!(crate::coding_acceptable(&coding, &request), "{:?}", coding);
            }
            let again = HeaderMap::from_iter([(http::header::ACCEPT_ENCODING, canonical.clone())]);
            prop_assert_eq!(crate::accept_encoding(&again), Some(canonical));
        }
    }

    #[test]
    fn vary_names_are_sorted_and_unique(message in message()) {
        let vary = Vary::parse(&message);
        prop_assert!(vary.names().windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
    }

    #[test]
    fn targets_are_idempotent_and_stay_below_the_root(
        secure in any::<bool>(),
        host in "([a-zA-Z0-9_-]{1,5}\\.){0,2}[a-zA-Z0-9]{1,4}\\.?(:[0-9]{0,5})?",
        path in "(/|\\.|\\.\\.|%2e|%2E%2e|%|%2|%2f|%41|%zz|%e9|[a-zA-Z0-9;=+~]|\u{e9}){0,12}",
        query in proptest::option::of("[!-\"$-~]{0,10}"),
    ) {
        let mut text = format!("/{path}");
        if let Some(query) = &query {
            text.push('?');
            text.push_str(query);
        }
        if let Ok(target) = crate::normalise(secure, &host, &text) {
            prop_assert!(target.path.starts_with('/'));
            prop_assert!(target.path.split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert_eq!(target.query.is_some(), query.is_some());
            let again = crate::normalise(secure, &target.host, &target.path_and_query());
            prop_assert_eq!(again.as_ref(), Ok(&target));
            // A reference to itself leads to itself, as a URL and relatively.
            let itself = crate::resolve(&target, "").unwrap();
            prop_assert_eq!(itself, target);
        }
    }

    #[test]
    fn percent_normalisation_changes_no_meaning(text in "(%|%2|%25|%41|%4|1|a|F|%35|%31|%7e|%c3|x){0,10}") {
        fn decode(text: &str) -> Vec<u8> {
            let bytes = text.as_bytes();
            let mut plain = Vec::new();
            let mut at = 0;
            while at < bytes.len() {
                match crate::encoding::encoded_byte(&bytes[at..]) {
                    Some(byte) => { plain.push(byte); at += 3; }
                    None => { plain.push(bytes[at]); at += 1; }
                }
            }
            plain
        }
        let normal = crate::encoding::normalise_percent(&text);
        prop_assert_eq!(decode(&normal), decode(&text));
        let again = crate::encoding::normalise_percent(&normal);
        prop_assert_eq!(&again, &normal);
    }

    #[test]
    fn no_target_panics(secure in any::<bool>(), authority in any::<String>(), path in any::<String>()) {
        if let Ok(target) = crate::normalise(secure, &authority, &path) {
            prop_assert!(target.path.starts_with('/'));
        }
    }

    #[test]
    fn no_reference_panics_and_what_it_leads_to_is_normal(
        reference in prop_oneof![any::<String>(), "(http|https|g|:|/|//|\\.|\\.\\.|\\?|#|%2e|@|\\[::1\\]|[a-z0-9 \\\\\u{e9}]){0,10}"],
    ) {
        let base = crate::normalise(false, "a", "/b/c/d;p?q").unwrap();
        if let Ok(target) = crate::resolve(&base, &reference) {
            prop_assert!(target.path.split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert!(target.path_and_query().parse::<http::uri::PathAndQuery>().is_ok());
            let secure = target.scheme == "https";
            let again = crate::normalise(secure, &target.host, &target.path_and_query());
            prop_assert_eq!(again.as_ref(), Ok(&target));
        }
    }

    #[test]
    fn cache_status_is_always_a_field_value(name in any::<String>(), detail in any::<String>(), ttl in any::<i64>(), status in any::<u16>()) {
        let value = CacheStatus {
            hit: true,
            fwd: Some(&detail),
            fwd_status: Some(status),
            ttl: Some(ttl),
            stored: true,
            collapsed: true,
            detail: Some(&detail),
        }.to_value(&name);
        let text = value.to_str().unwrap();
        let parameters = format!("; fwd-status={status}; ttl={}", ttl.clamp(-999_999_999_999_999, 999_999_999_999_999));
        prop_assert!(text.contains(&parameters), "{}", text);
    }

    #[test]
    fn freshness_only_ever_declines(freshness in freshness(), now in timestamp(), later in duration()) {
        let then = now.plus(later);
        let state = freshness.state(now);
        prop_assert!(rank(state) <= rank(freshness.state(then)));
        prop_assert!(freshness.ttl(now) >= freshness.ttl(then));
        if state == FreshnessState::Fresh {
            prop_assert!(freshness.ttl(now) > 0);
        }
        let mut purged = freshness;
        purged.expire(now);
        prop_assert!(purged.state(now) != FreshnessState::Fresh);
        prop_assert!(rank(purged.state(then)) >= rank(freshness.state(then)));
    }
}
