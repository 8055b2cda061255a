//! A request remembered, in case that it must be sent again.
//!
//! The request itself is moved into the connection. A clone of its fields would cost two atomic operations a field and would
//! pin the buffers they came in; here their bytes go into one buffer that the connection keeps for its next request.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::request::RequestBody;

/// A buffer larger than this is not kept, in bytes.
const KEPT: usize = 16 << 10;

/// The bytes of a request, or of none.
#[derive(Default)]
pub(crate) struct Replay {
    method: Method,
    /// The target, then names and values alternately.
    text: Vec<u8>,
    /// Where each of them ends in `text`.
    ends: Vec<usize>,
    body: Option<RequestBody>,
}

impl Replay {
    /// Remembers a request that may be sent twice: its method is idempotent (RFC 9110 §9.2.2), its body in memory.
    pub(crate) fn remember(&mut self, request: &Request<RequestBody>) {
        self.body = match request.method().is_idempotent() {
            true => request.body().replay(),
            false => None,
        };
        if self.body.is_none() {
            return;
        }
        self.method.clone_from(request.method());
        self.text.clear();
        self.ends.clear();
        let target = request.uri().path_and_query();
        self.push(target.map_or("/", |target| target.as_str()).as_bytes());
        for (name, value) in request.headers() {
            self.push(name.as_str().as_bytes());
            self.push(value.as_bytes());
        }
    }

    /// Forgets it, but not the room for the next.
    pub(crate) fn forget(&mut self) {
        self.body = None;
        if self.text.capacity() > KEPT {
            self.text = Vec::new();
        }
    }

    /// The request once more, where one was remembered.
    pub(crate) fn request(&mut self) -> Option<Request<RequestBody>> {
        let mut request = Request::new(self.body.take()?);
        let mut parts = self.parts();
        *request.uri_mut() = Uri::try_from(parts.next()?).ok()?;
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let name = HeaderName::from_bytes(name).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
        drop(parts);
        *request.method_mut() = std::mem::take(&mut self.method);
        *request.version_mut() = Version::HTTP_11;
        Some(request)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.ends.push(self.text.len());
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends.iter().map(move |&end| {
            let part = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            part
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_remembered_is_what_was_sent(
            target in "/[a-z%2F]{0,9}(\\?[a-z=&]{0,9})?|\\*",
            lines in proptest::collection::vec(("[a-z-]{1,12}", proptest::collection::vec(0x20_u8..=0x7e, 0..40)), 0..20),
            body in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut request = Request::new(RequestBody::Full(Bytes::from(body.clone())));
            *request.method_mut() = Method::PUT;
            *request.uri_mut() = target.parse().unwrap();
            for (name, value) in &lines {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
            }
            let mut replay = Replay::default();
            // What was remembered before leaves no trace.
            replay.remember(&Request::builder().uri("/before").header("x", "y").body(RequestBody::Empty).unwrap());
            replay.forget();
            replay.remember(&request);
            let again = replay.request().unwrap();
            prop_assert_eq!(again.method(), request.method());
            prop_assert_eq!(again.uri(), request.uri());
            prop_assert_eq!(again.headers(), request.headers());
            let collected = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(again.into_body().collect());
            prop_assert_eq!(collected.unwrap().to_bytes(), body);
            prop_assert!(replay.request().is_none());
        }
    }

    #[test]
    fn what_may_not_be_sent_twice_is_not_remembered() {
        let mut replay = Replay::default();
        let post = Request::builder().method("POST").body(RequestBody::Empty).unwrap();
        let body = http_body_util::Empty::<Bytes>::new();
        let stream = Request::builder().method("PUT").body(RequestBody::stream(body)).unwrap();
        for request in [post, stream] {
            replay.remember(&Request::new(RequestBody::Empty));
            replay.remember(&request);
            assert!(replay.request().is_none());
        }
    }
}
