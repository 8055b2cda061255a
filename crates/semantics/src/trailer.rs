//! Trailer fields: who takes them, and which are announced (RFC 9110 §6.5, §6.6.2, §10.1.4).

use http::header::{HeaderMap, HeaderName, HeaderValue, TE, TRAILER};

use crate::fields::is_hop_by_hop;
use crate::list::elements;

/// Whether a request says that trailer fields are not lost on its sender: `TE: trailers` (RFC 9110 §10.1.4).
pub fn takes_trailers(request: &HeaderMap) -> bool {
    // Few say anything of it, and a walk over the names costs less than to look for one.
    if !request.keys().any(|name| *name == TE) {
        return false;
    }
    let lines = request.get_all(TE);
    lines.iter().flat_map(|line| elements(line.as_bytes())).any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

/// Keeps those names in `Trailer` that `may_pass` allows and that are no fields of the connection; without any left the
/// field goes. A trailer field that is not announced is not sent on.
pub fn announce_trailers(headers: &mut HeaderMap, may_pass: impl Fn(&HeaderName) -> bool) {
    let lines = headers.get_all(TRAILER);
    let names = lines.iter().flat_map(|line| elements(line.as_bytes()));
    let mut kept = Vec::new();
    for name in names.filter_map(|name| HeaderName::from_bytes(name).ok()) {
        if !is_hop_by_hop(&name) && may_pass(&name) {
            if !kept.is_empty() {
                kept.extend_from_slice(b", ");
            }
            kept.extend_from_slice(name.as_str().as_bytes());
        }
    }
    headers.remove(TRAILER);
    if let Ok(kept) = HeaderValue::from_bytes(&kept)
        && !kept.is_empty()
    {
        headers.insert(TRAILER, kept);
    }
}
