//! What every request to an origin says of its way through this server: `Via` (RFC 9110 §7.6.3) and `CDN-Loop` (RFC 8586 §2).

use bytes::Bytes;
use copal_semantics::{CDN_LOOP, cdn_loop_member};
use http::{HeaderMap, HeaderValue, header};

/// The two fields of this server, each as long as there is a process: a value that all threads count would cost each request more
/// than a copy of its text, and this one is neither counted nor copied.
#[derive(Clone)]
pub(crate) struct Trace {
    via: Option<HeaderValue>,
    cdn_loop: Option<HeaderValue>,
}

impl Trace {
    /// Of the server that is `via` in `Via` and `instance` in `CDN-Loop`: made once for each server, as it is never given back.
    pub(crate) fn new(via: &str, instance: &str) -> Self {
        let lasting = |text: Vec<u8>| HeaderValue::from_maybe_shared(Bytes::from_static(text.leak())).ok();
        let cdn_loop = cdn_loop_member(instance).as_bytes().to_vec();
        Self { via: lasting(format!("1.1 {via}").into_bytes()), cdn_loop: lasting(cdn_loop) }
    }

    /// Adds them to a request.
    pub(crate) fn leave(&self, headers: &mut HeaderMap) {
        if let Some(via) = &self.via {
            headers.append(header::VIA, via.clone());
        }
        if let Some(member) = &self.cdn_loop {
            headers.append(&CDN_LOOP, member.clone());
        }
    }
}
