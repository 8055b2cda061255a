use super::{headers, lines};
use crate::fields::{append_cdn_loop, append_via, cdn_loop, content_length, remove_hop_by_hop, via_loop};

#[test]
fn rfc9110_s7_6_1_fields_of_the_connection_are_removed() {
    let mut message = headers(&[
        ("connection", "close, X-Private-Hop"),
        ("connection", "x-other"),
        ("x-private-hop", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("proxy-authorization", "x"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-kept", "1"),
        ("trailer", "x-sum"),
    ]);
    remove_hop_by_hop(&mut message);
    assert_eq!(message, headers(&[("x-kept", "1"), ("trailer", "x-sum")]));
}

#[test]
fn rfc9110_s7_6_1_each_field_of_the_connection_is_removed_by_itself() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        let mut message = headers(&[("a", "1"), (name, "x")]);
        remove_hop_by_hop(&mut message);
        assert_eq!(message, headers(&[("a", "1")]), "{name}");
    }
}

#[test]
fn rfc9110_s7_6_1_connection_cannot_nominate_what_everybody_needs() {
    let kept = [
        ("host", "a"),
        ("content-length", "5"),
        ("cache-control", "private"),
        ("set-cookie", "a=b"),
        ("cookie", "a=b"),
        ("authorization", "x"),
        ("vary", "cookie"),
        ("via", "1.1 copal"),
        ("cdn-loop", "copal; i=x"),
    ];
    let mut message = headers(&kept);
    let nominated = kept.map(|(name, _)| name).join(", ");
    message.insert("connection", nominated.parse().unwrap());
    remove_hop_by_hop(&mut message);
    assert_eq!(message, headers(&kept));
}

#[test]
fn rfc9110_s7_6_1_options_that_are_no_names_are_ignored() {
    let mut message = headers(&[("connection", "keep-alive, a b, \u{e9}, ,"), ("a", "1")]);
    remove_hop_by_hop(&mut message);
    assert_eq!(message, headers(&[("a", "1")]));
}

#[test]
fn rfc9110_s7_6_3_via_is_appended() {
    let mut message = headers(&[("via", "1.0 fred")]);
    append_via(&mut message, "1.1", "copal");
    assert_eq!(lines(&message, "via"), "1.0 fred | 1.1 copal");
    append_via(&mut message, "1.1", "bad\nname");
    assert_eq!(lines(&message, "via"), "1.0 fred | 1.1 copal");
}

#[test]
fn rfc9110_s7_6_3_a_loop_is_seen_in_any_member() {
    for (value, expected) in [
        ("1.1 copal", true),
        ("1.0 fred, HTTP/1.1 Copal (x, y)", true),
        ("1.1 copal(comment)", true),
        ("1.1\tcopal", true),
        ("1.1  copal", true),
        ("1.1 copal2", false),
        ("1.1 fred (1.1 copal)", false),
        ("1.1 fred (a, 1.1 copal)", false),
        ("1.1 fred copal", false),
        ("copal", false),
        ("copal, 1.1 fred", false),
        ("1.1 fred (unclosed, 1.1 copal", false),
        ("1.1 fred (a (b), 1.1 x), 1.1 copal", true),
        ("", false),
    ] {
        let message = headers(&[("via", "1.1 first"), ("via", value)]);
        assert_eq!(via_loop(&message, "copal"), expected, "{value}");
    }
    assert!(!via_loop(&headers(&[]), "copal"));
}

#[test]
fn rfc9110_s8_6_content_length_is_one_number_or_none() {
    for (values, expected) in [
        (&[][..], None),
        (&["0"], Some(0)),
        (&["42"], Some(42)),
        (&["042"], Some(42)),
        (&["42, 42"], Some(42)),
        (&["42", "42"], Some(42)),
        (&["42", "43"], None),
        (&["42, 43"], None),
        (&["42,"], None),
        (&["-1"], None),
        (&["+1"], None),
        (&["1 2"], None),
        (&["0x1"], None),
        (&[""], None),
        (&["18446744073709551614"], Some(u64::MAX - 1)),
        (&["18446744073709551615"], None),
        (&["99999999999999999999999"], None),
    ] {
        let lines: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
        assert_eq!(content_length(&headers(&lines)), expected, "{values:?}");
    }
}

#[test]
fn rfc8586_s2_an_instance_is_appended_and_found_again() {
    for instance in ["a1b2", "host:8080", "a b", "a\"b\\c", "x,y;i=z", ""] {
        let mut message = headers(&[("cdn-loop", "other.example; x=\"copal; i=a1b2, \"")]);
        assert!(!cdn_loop(&message, instance), "{instance}");
        append_cdn_loop(&mut message, instance);
        append_cdn_loop(&mut message, "another");
        assert!(cdn_loop(&message, instance), "{instance}: {message:?}");
        assert!(!cdn_loop(&message, "a1b2c3") && cdn_loop(&message, "another"));
    }
    let mut message = headers(&[("cdn-loop", "foo.example")]);
    append_cdn_loop(&mut message, "a1b2");
    assert_eq!(lines(&message, "cdn-loop"), "foo.example | copal; i=a1b2");
}

#[test]
fn rfc8586_s2_a_loop_is_this_very_instance() {
    for (value, expected) in [
        ("copal; i=me", true),
        ("copal;i=me", true),
        ("Copal ;\tI=\"me\"", true),
        ("foo, copal; x=1; i=me; y, bar", true),
        ("copal; i=you, copal; i=me", true),
        ("copal", false),
        ("copal; i", false),
        ("copal; i=you", false),
        ("copal; i=ME", false),
        ("copal2; i=me", false),
        ("foo; i=me", false),
        ("copal, foo; i=me", false),
        ("foo; x=\"copal; i=me\"", false),
        ("foo; x=\", copal; i=me\"", false),
        ("i=me; copal", false),
        ("", false),
    ] {
        assert_eq!(cdn_loop(&headers(&[("cdn-loop", value)]), "me"), expected, "{value}");
    }
}
