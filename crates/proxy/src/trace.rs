//! What every request to an origin says of its way through this server: `Via` (RFC 9110 §7.6.3) and `CDN-Loop` (RFC 8586 §2).

use copal_semantics::{CDN_LOOP, cdn_loop_member};
use http::{HeaderMap, HeaderValue, header};

/// The two fields of this server, as text: a value of its own for each request costs less than one that all threads count.
pub(crate) struct Trace {
    via: Vec<u8>,
    cdn_loop: Vec<u8>,
}

impl Trace {
    /// Of the server that is `via` in `Via` and `instance` in `CDN-Loop`.
    pub(crate) fn new(via: &str, instance: &str) -> Self {
        Self { via: format!("1.1 {via}").into_bytes(), cdn_loop: cdn_loop_member(instance).as_bytes().to_vec() }
    }

    /// Adds them to a request.
    pub(crate) fn leave(&self, headers: &mut HeaderMap) {
        if let Ok(via) = HeaderValue::from_bytes(&self.via) {
            headers.append(header::VIA, via);
        }
        if let Ok(member) = HeaderValue::from_bytes(&self.cdn_loop) {
            headers.append(&CDN_LOOP, member);
        }
    }
}
