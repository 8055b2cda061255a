//! A request remembered, in case that it must be sent again.
//!
//! The request itself is moved into the connection. A clone of its fields would cost two atomic operations a field and would
//! pin the buffers they came in; here their bytes go into one buffer.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::request::{Kept, RequestBody};

/// The bytes of a request.
pub(crate) struct Replay {
    method: Method,
    /// The target, then names and values alternately, each behind its length.
    text: Vec<u8>,
    body: Kept,
}

impl Replay {
    /// Remembers the head of a request whose body is kept.
    pub(crate) fn new(request: &Request<RequestBody>, body: Kept) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let fields = request.headers().iter().map(|(name, value)| 2 * PREFIX + name.as_str().len() + value.len());
        let mut text = Vec::with_capacity(PREFIX + target.len() + fields.sum::<usize>());
        push(&mut text, target.as_bytes());
        for (name, value) in request.headers() {
            push(&mut text, name.as_str().as_bytes());
            push(&mut text, value.as_bytes());
        }
        Self { method: request.method().clone(), text, body }
    }

    /// The request once more, where its body can be had again.
    pub(crate) fn request(&self) -> Option<Box<Request<RequestBody>>> {
        let mut request = Box::new(Request::new(self.body.again()?));
        let mut parts = self.parts();
        *request.uri_mut() = Uri::try_from(parts.next()?).ok()?;
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let name = HeaderName::from_bytes(name).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_11;
        Some(request)
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.text[..];
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<PREFIX>()?;
            let (part, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = behind;
            Some(part)
        })
    }
}

/// How many bytes a length takes.
const PREFIX: usize = size_of::<u32>();

/// A part is longer than 4 GiB in no request.
fn push(text: &mut Vec<u8>, part: &[u8]) {
    text.extend_from_slice(&(part.len() as u32).to_le_bytes());
    text.extend_from_slice(part);
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
            let mut request = Request::new(RequestBody::Empty);
            *request.method_mut() = Method::PUT;
            *request.uri_mut() = target.parse().unwrap();
            for (name, value) in &lines {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
            }
            let replay = Replay::new(&request, Kept::Full(Bytes::from(body.clone())));
            for _ in 0..2 {
                let again = replay.request().unwrap();
                prop_assert_eq!(again.method(), request.method());
                prop_assert_eq!(again.uri(), request.uri());
                prop_assert_eq!(again.headers(), request.headers());
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let collected = runtime.block_on(again.into_body().collect());
                prop_assert_eq!(&collected.unwrap().to_bytes()[..], &body[..]);
            }
        }
    }
}
