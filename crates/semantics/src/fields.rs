//! Fields that belong to one connection, to the path, or to framing (RFC 9110 §7.6, §8.6).

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, COOKIE, EXPIRES, HOST,
    HeaderMap, HeaderName, HeaderValue, PRAGMA, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE,
    TRANSFER_ENCODING, UPGRADE, VARY, VIA,
};

use crate::field_text::FieldText;
use crate::list::{Argument, directive, elements, is_tchar, number, parts};

/// Fields of the connection itself (§7.6.1), and those between a client and its next proxy (RFC 9111 §3.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The field by which networks for delivery find loops (RFC 8586).
pub static CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Fields that `Connection` may not nominate (§7.6.1: none that all recipients need). Else a peer could make us lose what decides
/// over framing, storing, whose answer it is, and where it has been (RFC 8586 §2).
static NEVER_NOMINATED: [HeaderName; 13] = [
    HOST,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CACHE_CONTROL,
    EXPIRES,
    PRAGMA,
    VARY,
    COOKIE,
    SET_COOKIE,
    AUTHORIZATION,
    VIA,
    HeaderName::from_static("cdn-loop"),
];

/// The lengths of those names, a bit for each: most fields are told by it to be none of them.
const HOP_BY_HOP_LENGTHS: u32 = 1 << 10 | 1 << 16 | 1 << 18 | 1 << 25 | 1 << 19 | 1 << 2 | 1 << 17 | 1 << 7;

/// Whether a field belongs to the connection whatever `Connection` says.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    let length = name.as_str().len();
    length < 32 && HOP_BY_HOP_LENGTHS >> length & 1 == 1 && HOP_BY_HOP.contains(name)
}

/// Removes the fields of the connection: the known ones and those that `Connection` nominates (RFC 9110 §7.6.1).
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // `Connection` is one of them: without any, nothing is nominated.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    for name in nominated(headers) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// What `Connection` nominates beyond the known fields; mostly nothing, and then nothing is allocated.
pub(crate) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| elements(line.as_bytes()))
        .filter(|option| !is_usual_option(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !NEVER_NOMINATED.contains(name))
        .collect()
}

fn is_usual_option(option: &[u8]) -> bool {
    let is = |known: &[u8]| option.eq_ignore_ascii_case(known);
    is(b"keep-alive") || is(b"close") || is(b"upgrade") || is(b"te")
}

/// Appends this proxy to `Via` (RFC 9110 §7.6.3): `version` is that of the received message ("1.1"), `name` the pseudonym. What would
/// not be a field value is not appended.
pub fn append_via(headers: &mut HeaderMap, version: &str, name: &str) {
    let mut value = Vec::with_capacity(version.len() + 1 + name.len());
    value.extend_from_slice(version.as_bytes());
    value.push(b' ');
    value.extend_from_slice(name.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        headers.append(VIA, value);
    }
}

/// Whether a message has come through the proxy `name` before (RFC 9110 §7.6.3).
pub fn via_loop(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(VIA).iter().any(|line| via_names(line.as_bytes(), name.as_bytes()))
}

/// Whether a `Via` line has `name` as a received-by; comments are skipped with their commas.
fn via_names(line: &[u8], name: &[u8]) -> bool {
    let mut depth = 0u32;
    let mut words = 0u32;
    let mut word_start = None;
    for (at, &byte) in line.iter().chain(std::iter::once(&b',')).enumerate() {
        let inside_word = depth == 0 && !matches!(byte, b',' | b' ' | b'\t' | b'(');
        match word_start {
            None if inside_word => word_start = Some(at),
            Some(start) if !inside_word => {
                words += 1;
                if words == 2 && line[start..at].eq_ignore_ascii_case(name) {
                    return true;
                }
                word_start = None;
            }
            _ => {}
        }
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => words = 0,
            _ => {}
        }
    }
    false
}

/// The name that all Copals have in `CDN-Loop`.
const CDN_ID: &str = "copal";

/// Appends this proxy to `CDN-Loop` (RFC 8586 §2): `copal; i=INSTANCE`. What the text of a field cannot hold is left out.
pub fn append_cdn_loop(headers: &mut HeaderMap, instance: &str) {
    headers.append(CDN_LOOP.clone(), cdn_loop_member(instance));
}

/// What [`append_cdn_loop`] appends.
pub fn cdn_loop_member(instance: &str) -> HeaderValue {
    let mut text = FieldText::new();
    text.push(CDN_ID.as_bytes());
    text.push(b"; i=");
    if !instance.is_empty() && instance.bytes().all(is_tchar) {
        text.push(instance.as_bytes());
    } else {
        text.push_string(instance);
    }
    text.to_value()
}

/// Whether a request has come through this very instance before (RFC 8586 §2). Other Copals on the way are no loop.
pub fn cdn_loop(headers: &HeaderMap, instance: &str) -> bool {
    let lines = headers.get_all(&CDN_LOOP).iter();
    lines.flat_map(|line| elements(line.as_bytes())).any(|member| is_instance(member, instance.as_bytes()))
}

/// Whether a member of `CDN-Loop` is a Copal with `i=instance`.
fn is_instance(member: &[u8], instance: &[u8]) -> bool {
    let mut parts = parts(member);
    parts.next().is_some_and(|id| id.eq_ignore_ascii_case(CDN_ID.as_bytes()))
        && parts.any(|parameter| match directive(parameter) {
            (name, Argument::Text(value)) => name.eq_ignore_ascii_case(b"i") && *value == *instance,
            _ => false,
        })
}

/// The length that `Content-Length` states; `None` when there is none, when it is no number or when its values differ
/// (RFC 9110 §8.6, RFC 9112 §6.3).
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut found = None;
    for line in headers.get_all(CONTENT_LENGTH) {
        for member in line.as_bytes().split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            // number() saturates; a length is exact or none.
            let length = number(member).filter(|&length| length != u64::MAX)?;
            if found.is_some_and(|other| other != length) {
                return None;
            }
            found = Some(length);
        }
    }
    found
}
