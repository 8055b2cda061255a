use http::HeaderName;
use proptest::prelude::*;

use super::{headers, lines};
use crate::cache_status::CacheStatus;
use crate::proxy_status::{ProxyError, ProxyStatus};
use crate::structured::{Item, Member, list};

#[test]
fn rfc9209_s2_1_parameters_in_their_order() {
    let none = ProxyStatus::default();
    for (status, expected) in [
        (none, "copal"),
        (ProxyStatus { error: Some(ProxyError::ConnectionTimeout), ..none }, "copal; error=connection_timeout"),
        (
            ProxyStatus {
                error: Some(ProxyError::HttpResponseIncomplete),
                next_hop: Some("cms.example:8080"),
                received_status: Some(200),
                details: Some("body-cut"),
            },
            // details is a string also where it could be a token (§2.1.5).
            "copal; error=http_response_incomplete; next-hop=cms.example:8080; received-status=200; details=\"body-cut\"",
        ),
        (ProxyStatus { next_hop: Some("10.0.0.1:80"), ..none }, "copal; next-hop=\"10.0.0.1:80\""),
        (ProxyStatus { details: Some("a \"b\" \\ \u{e9}\n"), ..none }, "copal; details=\"a \\\"b\\\" \\\\ \""),
    ] {
        assert_eq!(status.to_value("copal"), expected);
    }
}

#[test]
fn rfc9209_s2_a_member_is_appended_after_those_of_other_proxies() {
    let mut message = headers(&[("proxy-status", "inner; error=dns_error")]);
    ProxyStatus { error: Some(ProxyError::ProxyLoopDetected), ..ProxyStatus::default() }
        .append_to("copal", &mut message);
    assert_eq!(lines(&message, "proxy-status"), "inner; error=dns_error | copal; error=proxy_loop_detected");
}

#[test]
fn rfc9209_s2_3_each_error_type_has_its_token() {
    let mut tokens: Vec<_> = ProxyError::ALL.iter().map(|error| error.as_str()).collect();
    assert!(tokens.iter().all(|token| token.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    assert_eq!(tokens.len(), 32);
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 32);
}

fn error() -> impl Strategy<Value = Option<ProxyError>> {
    prop::option::of(prop::sample::select(ProxyError::ALL))
}

/// What a string can hold of a text (RFC 9651 §3.3.3).
fn held(text: &str) -> String {
    text.chars().filter(|character| matches!(character, ' '..='~')).collect()
}

fn text_of(item: Item) -> String {
    match item {
        Item::String(text) | Item::Token(text) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn parameter(member: &Member, name: &str) -> Option<Item> {
    member.parameters.iter().find(|(key, _)| key == name).map(|(_, item)| item.clone())
}

proptest! {
    #[test]
    fn rfc9209_s2_the_strict_parser_takes_what_is_appended(
        name in any::<String>(),
        error in error(),
        next_hop in prop::option::of(any::<String>()),
        received_status in prop::option::of(any::<u16>()),
        details in prop::option::of(any::<String>()),
    ) {
        let mut message = headers(&[("proxy-status", "inner; x=\"a, b\"")]);
        let status = ProxyStatus { error, next_hop: next_hop.as_deref(), received_status, details: details.as_deref() };
        status.append_to(&name, &mut message);
        let members = list(&message, &HeaderName::from_static("proxy-status")).unwrap();
        prop_assert_eq!(members.len(), 2);
        prop_assert_eq!(text_of(members[0].item.clone()), "inner");
        let own = &members[1];
        prop_assert_eq!(text_of(own.item.clone()), held(&name));
        prop_assert_eq!(parameter(own, "error"), error.map(|error| Item::Token(error.as_str().to_owned())));
        prop_assert_eq!(parameter(own, "next-hop").map(text_of), next_hop.as_deref().map(held));
        let status = received_status.map(|status| Item::Integer(i64::from(status)));
        prop_assert_eq!(parameter(own, "received-status"), status);
        prop_assert_eq!(parameter(own, "details"), details.as_deref().map(|text| Item::String(held(text))));
    }

    #[test]
    fn rfc9211_s2_the_strict_parser_takes_what_is_appended(
        name in any::<String>(),
        flags in any::<[bool; 3]>(),
        fwd in prop::option::of(prop_oneof![Just("uri-miss".to_owned()), any::<String>()]),
        fwd_status in prop::option::of(any::<u16>()),
        ttl in prop::option::of(any::<i64>()),
        detail in prop::option::of(any::<String>()),
    ) {
        let [hit, stored, collapsed] = flags;
        let mut message = headers(&[("cache-status", "inner; hit, \"far, away\"; fwd=miss")]);
        let status =
            CacheStatus { hit, fwd: fwd.as_deref(), fwd_status, ttl, stored, collapsed, detail: detail.as_deref() };
        status.append_to(&name, &mut message);
        let members = list(&message, &HeaderName::from_static("cache-status")).unwrap();
        prop_assert_eq!(members.len(), 3);
        prop_assert_eq!((text_of(members[0].item.clone()), text_of(members[1].item.clone())), ("inner".to_owned(), "far, away".to_owned()));
        let own = &members[2];
        prop_assert_eq!(text_of(own.item.clone()), held(&name));
        for (name, flag) in [("hit", hit), ("stored", stored), ("collapsed", collapsed)] {
            prop_assert_eq!(parameter(own, name), flag.then_some(Item::Boolean(true)));
        }
        if let Some(item) = parameter(own, "fwd") {
            prop_assert!(matches!(item, Item::Token(token) if Some(&token) == fwd.as_ref()));
        }
        let shown = ttl.map(|ttl| Item::Integer(ttl.clamp(-999_999_999_999_999, 999_999_999_999_999)));
        prop_assert_eq!(parameter(own, "ttl"), shown);
        let status = fwd_status.map(|status| Item::Integer(i64::from(status)));
        prop_assert_eq!(parameter(own, "fwd-status"), status);
        prop_assert_eq!(parameter(own, "detail").map(text_of), detail.as_deref().map(held));
    }
}
