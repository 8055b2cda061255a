//! Requests whose body is in the cache key: `QUERY`, and `POST` where a rule says so (RFC 9110 §9.3.3, RFC 10008). The only
//! file that names sha2.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use copal_origin::{BoxError, RequestBody};
use copal_policy::Rule;
use copal_semantics::fields;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::decide::CachePlan;
use crate::exchange::{Exchange, Once};
use crate::fault::Fault;
use crate::pass;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::Reason;
use crate::request;
use crate::sub_key::{KeyBody, SubKey};

/// Reads the body, and looks up under it. One that is longer than `cache.max_key_body` passes, with what was read of it.
pub(crate) async fn look_up(
    proxy: Arc<Proxy>,
    runtime: Arc<Runtime>,
    rule: Arc<Rule>,
    exchange: Exchange,
    once: Once,
    mut plan: CachePlan,
) -> Answer {
    match read(once.body, &exchange.headers, runtime.config.cache.max_key_body).await {
        Ok(Read::Whole(body)) => {
            let suffix = suffix(&exchange.method, &exchange.headers, &body);
            plan.with_sub_key(&suffix, SubKey::Body(KeyBody { method: exchange.method.clone(), body }));
            request::look_up(&proxy, &runtime, &rule, exchange, plan).finish().await
        }
        Ok(Read::Long(body)) => {
            let once = Once { body, upgrade: once.upgrade };
            pass::pass(&proxy, &runtime, &rule, exchange, once, Reason::LongKeyBody).await
        }
        Err(error) => {
            let detail = format!("the request body broke off: {error}");
            Fault::new(Reason::ClientBody, StatusCode::BAD_REQUEST, detail).answer(NAME).under(&rule)
        }
    }
}

/// What follows the URL in the key: the method, and the hash of the body with all that says what it is.
///
/// Every part is hashed with its length before it, so that no two requests look alike. `Content-Length` is the body's own;
/// of the other `Content-*` fields (`Content-Type`, `Content-Encoding`, `Content-Language`, …) the origin sees what is hashed.
fn suffix(method: &Method, headers: &HeaderMap, body: &[u8]) -> String {
    let mut described: Vec<_> = headers.iter().filter(|(name, _)| describes(name)).collect();
    // Stable: the lines of one name keep their order.
    described.sort_by_key(|(name, _)| name.as_str());
    let described = described.into_iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
    let parts = std::iter::once(method.as_str().as_bytes()).chain(described).chain([body]);
    format!("{method} {}", digest(parts))
}

/// The hash of these parts, in hexadecimal digits.
pub(crate) fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digits = String::new();
    for byte in hash.finalize() {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// Fields that say what the content is, or what is asked with it: SOAP 1.1 (§6.1.1) names the operation in a field.
const OF_THE_CONTENT: [&str; 3] = ["digest", "repr-digest", "soapaction"];

fn describes(name: &header::HeaderName) -> bool {
    let of_content = name.as_str().starts_with("content-") || OF_THE_CONTENT.contains(&name.as_str());
    of_content && *name != header::CONTENT_LENGTH
}

enum Read {
    Whole(Bytes),
    /// Longer than may be in a key; all of it, to be passed on.
    Long(RequestBody),
}

/// Reads a body up to `limit` bytes. Trailer fields are not in the key, so that they go no further.
async fn read(mut body: RequestBody, headers: &HeaderMap, limit: u64) -> Result<Read, BoxError> {
    if fields::content_length(headers).is_some_and(|length| length > limit) {
        return Ok(Read::Long(body));
    }
    let mut read = VecDeque::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len() as u64;
        read.push_back(data);
        if length > limit {
            return Ok(Read::Long(RequestBody::stream(Rejoined { read, rest: body })));
        }
    }
    let mut whole = BytesMut::with_capacity(length as usize);
    read.iter().for_each(|data| whole.extend_from_slice(data));
    Ok(Read::Whole(whole.freeze()))
}

/// A body of which the beginning has been read already.
struct Rejoined {
    read: VecDeque<Bytes>,
    rest: RequestBody,
}

impl Body for Rejoined {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(data) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(ready!(Pin::new(&mut this.rest).poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.iter().map(|data| data.len() as u64).sum::<u64>();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(read.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(read.saturating_add(upper));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(fields: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(line) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn a_key_is_the_method_and_the_hash_of_the_body_with_what_describes_it() {
        let plain = of(&[("content-type", "text/plain")]);
        let key = suffix(&Method::QUERY, &plain, b"a");
        assert!(key.starts_with("QUERY ") && key.len() == "QUERY ".len() + 64, "{key}");
        for (method, headers, body, same) in [
            (&Method::QUERY, of(&[("content-type", "text/plain")]), "a", true),
            (
                &Method::QUERY,
                of(&[("content-type", "text/plain"), ("content-length", "1"), ("accept", "x")]),
                "a",
                true,
            ),
            (&Method::QUERY, of(&[("content-type", "text/plain")]), "b", false),
            (&Method::QUERY, of(&[("content-type", "text/html")]), "a", false),
            (&Method::QUERY, of(&[]), "a", false),
            (&Method::QUERY, of(&[("content-type", "text/plain"), ("content-encoding", "gzip")]), "a", false),
            (&Method::QUERY, of(&[("content-type", "text/plain"), ("content-language", "de")]), "a", false),
            (&Method::QUERY, of(&[("content-type", "text/plain"), ("repr-digest", "sha-256=:AA==:")]), "a", false),
            (&Method::QUERY, of(&[("content-type", "text/plain"), ("soapaction", "\"delete\"")]), "a", false),
            (&Method::POST, of(&[("content-type", "text/plain")]), "a", false),
        ] {
            assert_eq!(suffix(method, &headers, body.as_bytes()) == key, same, "{method} {headers:?} {body}");
        }
    }

    #[test]
    fn the_hash_is_sha_256_over_parts_with_their_lengths() {
        // 4 "POST", 0 "".
        let text: &[u8] = b"\0\0\0\0\0\0\0\x04POST\0\0\0\0\0\0\0\0";
        let expected: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(suffix(&Method::POST, &HeaderMap::new(), b""), format!("POST {expected}"));
    }

    #[tokio::test]
    async fn a_body_is_read_to_the_limit_and_what_is_longer_is_put_together_again() {
        let body = || RequestBody::stream(Pieces(VecDeque::from(["ab", "cd", "ef"])));
        assert!(matches!(read(body(), &HeaderMap::new(), 6).await, Ok(Read::Whole(body)) if body == "abcdef"));
        for limit in 0..6 {
            let Ok(Read::Long(long)) = read(body(), &HeaderMap::new(), limit).await else { panic!("{limit}") };
            assert_eq!(long.collect().await.unwrap().to_bytes(), "abcdef", "{limit}");
        }
        let announced = of(&[("content-length", "7")]);
        assert!(matches!(read(body(), &announced, 6).await, Ok(Read::Long(_))));
        assert!(
            matches!(read(RequestBody::Empty, &HeaderMap::new(), 0).await, Ok(Read::Whole(body)) if body.is_empty())
        );
    }

    struct Pieces(VecDeque<&'static str>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    proptest! {
        /// No way to move bytes from one part into another gives the same key.
        #[test]
        fn parts_do_not_run_into_each_other(media in "[a-z/]{0,8}", body in "[a-z/]{0,8}", other in "[a-z/]{0,8}") {
            let key = |media: &str, body: &str| suffix(&Method::POST, &of(&[("content-type", media)]), body.as_bytes());
            let moved = format!("{media}{body}");
            prop_assert_eq!(key(&media, &body) == key(&other, &moved), media == other && body == moved);
        }
    }
}
