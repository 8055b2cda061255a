//! `Forwarded` (RFC 7239): what `X-Forwarded-For`, `-Proto` and `-Host` say, in one field, for origins that want it.

use std::fmt::Write as _;
use std::net::IpAddr;

use copal_semantics::Target;
use http::{HeaderMap, HeaderValue, header};

use crate::exchange::Exchange;

/// Of a request that is let through: what a trusted proxy says, and the peer behind it.
pub(crate) fn of_pass(headers: &mut HeaderMap, exchange: &Exchange) {
    let mut value = String::new();
    if exchange.trusted {
        before(&exchange.headers, &mut value);
    }
    node(exchange.peer, &mut value);
    value.push(';');
    site(&exchange.target, &mut value);
    put(headers, value);
}

/// Of a request whose response others may get: scheme and host, which are in the key, and nothing of who asks.
pub(crate) fn of_fill(headers: &mut HeaderMap, target: &Target) {
    let mut value = String::new();
    site(target, &mut value);
    put(headers, value);
}

fn put(headers: &mut HeaderMap, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(header::FORWARDED, value);
    }
}

/// What a proxy in front says: by this field, or else by `X-Forwarded-For` (§7.4).
fn before(headers: &HeaderMap, value: &mut String) {
    let lines = |name| headers.get_all(name).iter().filter_map(|line: &HeaderValue| line.to_str().ok());
    if headers.contains_key(header::FORWARDED) {
        for line in lines(header::FORWARDED) {
            // A quotation mark that is left open would take in what comes after.
            value.push_str(if is_closed(line) { line } else { "for=unknown" });
            value.push_str(", ");
        }
        return;
    }
    for address in lines(header::HeaderName::from_static("x-forwarded-for")).flat_map(|line| line.split(',')) {
        match address.trim().parse() {
            Ok(address) => node(address, value),
            Err(_) => value.push_str("for=unknown"),
        }
        value.push_str(", ");
    }
}

/// Whether there is something, and every quoted string in it ends (RFC 9110 §5.6.4).
fn is_closed(line: &str) -> bool {
    let mut bytes = line.bytes();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            _ => {}
        }
    }
    !quoted && !line.trim().is_empty()
}

/// `for=`: an IPv6 address stands in brackets and quotation marks (§6).
fn node(address: IpAddr, value: &mut String) {
    // Writing to a String cannot fail.
    let _ = match address.to_canonical() {
        IpAddr::V4(v4) => write!(value, "for={v4}"),
        IpAddr::V6(v6) => write!(value, "for=\"[{v6}]\""),
    };
}

/// A host with a port is no token, so it is quoted (§4); in normal form it has nothing in it that is escaped there.
fn site(target: &Target, value: &mut String) {
    let token = target.host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let quote = if token { "" } else { "\"" };
    let _ = write!(value, "proto={};host={quote}{}{quote}", target.scheme, target.host);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::exchange;

    #[test]
    fn each_hop_is_told_as_the_standard_has_it() {
        for (url, peer, trusted, fields, expected) in [
            ("http://a.example/p", "192.0.2.1", false, &[][..], "for=192.0.2.1;proto=http;host=a.example"),
            ("http://a.example:81/", "::1", false, &[], "for=\"[::1]\";proto=http;host=\"a.example:81\""),
            ("http://a.example/", "::ffff:192.0.2.1", false, &[], "for=192.0.2.1;proto=http;host=a.example"),
            // A stranger's word counts for nothing.
            (
                "http://a.example/",
                "192.0.2.1",
                false,
                &[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "6.6.6.6")],
                "for=192.0.2.1;proto=http;host=a.example",
            ),
            (
                "http://a.example/",
                "192.0.2.1",
                true,
                &[("forwarded", "for=\"[2001:db8::1]:4711\""), ("x-forwarded-for", "6.6.6.6")],
                "for=\"[2001:db8::1]:4711\", for=192.0.2.1;proto=http;host=a.example",
            ),
            (
                "http://a.example/",
                "192.0.2.1",
                true,
                &[
                    ("forwarded", "for=\"x"),
                    ("forwarded", "for=198.51.100.7"),
                    ("forwarded", "for=\"a\\\""),
                    ("forwarded", ""),
                ],
                "for=unknown, for=198.51.100.7, for=unknown, for=unknown, for=192.0.2.1;proto=http;host=a.example",
            ),
            (
                "http://a.example/",
                "192.0.2.1",
                true,
                &[("x-forwarded-for", "198.51.100.1, 2001:db8::1, \"odd")],
                "for=198.51.100.1, for=\"[2001:db8::1]\", for=unknown, for=192.0.2.1;proto=http;host=a.example",
            ),
        ] {
            let mut asked = exchange(url);
            (asked.peer, asked.trusted) = (peer.parse().unwrap(), trusted);
            for (name, value) in fields {
                asked.headers.append(*name, value.parse().unwrap());
            }
            let mut headers = HeaderMap::new();
            of_pass(&mut headers, &asked);
            assert_eq!(headers[header::FORWARDED], expected, "{url} {fields:?}");
            of_fill(&mut headers, &asked.target);
            let told = headers[header::FORWARDED].to_str().unwrap();
            assert!(told.starts_with("proto=http;host=") && !told.contains("for"), "{told}");
        }
    }
}
