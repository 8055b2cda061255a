//! What a request needs before it goes on a connection: one framing, the right one.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;

use crate::error::{Kind, OriginError};
use crate::request::RequestBody;

/// Makes the framing fields agree with the body (RFC 9112 §6), so that no request can be read in two ways. A stream keeps
/// the length it came with, or goes in chunks; the length of any other body is known.
///
/// # Errors
/// `Request` for CONNECT and for a `Content-Length` that is no number or several.
pub(crate) fn framed(request: Request<RequestBody>) -> Result<Box<Request<RequestBody>>, OriginError> {
    let (parts, mut body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Err(OriginError::because(Kind::Request, "a gateway makes no tunnels"));
    }
    let mut headers = parts.headers;
    headers.remove(TRANSFER_ENCODING);
    if body.is_end_stream() {
        body = RequestBody::Empty;
    }
    match &body {
        RequestBody::Empty => frame_empty(&mut headers, &parts.method),
        RequestBody::Full(bytes) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        RequestBody::Stream(_) => frame_stream(&mut headers, &body)?,
    }
    // Boxed: it is handed on several times before it is sent, and is large.
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = origin_form(parts.uri);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// RFC 9112 §3.2.1: a server that is no proxy gets the path and the query only.
fn origin_form(uri: Uri) -> Uri {
    match uri.authority() {
        None => uri,
        Some(_) => uri.into_parts().path_and_query.map_or_else(Uri::default, Uri::from),
    }
}

/// RFC 9110 §8.6: a length of 0 is said for methods that usually have content.
fn frame_empty(headers: &mut HeaderMap, method: &Method) {
    if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else {
        headers.remove(CONTENT_LENGTH);
    }
}

fn frame_stream(headers: &mut HeaderMap, body: &RequestBody) -> Result<(), OriginError> {
    let announced = match announced_length(headers)? {
        Some(length) => Some(length),
        None => body.size_hint().exact(),
    };
    match announced {
        Some(length) => headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        None => headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
    Ok(())
}

fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, OriginError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    let text = first.as_bytes();
    let length = match text.iter().all(u8::is_ascii_digit) && lengths.all(|other| other == first) {
        true => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        false => None,
    };
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(OriginError::because(Kind::Request, "no single Content-Length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    fn stream() -> RequestBody {
        RequestBody::stream(Never)
    }

    /// A stream that never gives anything, of unknown length.
    struct Never;

    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }

    fn framing(method: &str, lines: &[(&str, &str)], body: RequestBody) -> Result<String, Kind> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let framed = framed(request.body(body).unwrap()).map_err(|error| error.kind())?;
        let lines = framed.headers().iter();
        Ok(lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn origin_form_rfc9112_3_2_1() {
        for (target, wanted) in
            [("/a?b", "/a?b"), ("*", "*"), ("http://a.test/b?c", "/b?c"), ("http://a.test", "/"), ("a.test:80", "/")]
        {
            let request = Request::builder().uri(target).body(RequestBody::Empty).unwrap();
            assert_eq!(framed(request).unwrap().uri(), wanted, "{target}");
        }
    }

    #[test]
    fn one_framing_rfc9112_6() {
        let full = |text: &'static str| RequestBody::Full(Bytes::from_static(text.as_bytes()));
        let sized = || RequestBody::stream(Full::new(Bytes::from_static(b"abc")));
        let ok = |text: &str| Ok(text.to_owned());
        let table = [
            ("GET", vec![], RequestBody::Empty, ok("")),
            ("POST", vec![], RequestBody::Empty, ok("content-length: 0")),
            ("POST", vec![], full(""), ok("content-length: 0")),
            ("GET", vec![("content-length", "7")], RequestBody::Empty, ok("")),
            ("GET", vec![("transfer-encoding", "chunked")], RequestBody::Empty, ok("")),
            ("PUT", vec![("content-length", "7")], full("ab"), ok("content-length: 2")),
            ("GET", vec![], full("ab"), ok("content-length: 2")),
            ("PUT", vec![], sized(), ok("content-length: 3")),
            ("PUT", vec![("content-length", "7")], stream(), ok("content-length: 7")),
            ("PUT", vec![("content-length", "7"), ("content-length", "7")], stream(), ok("content-length: 7")),
            ("GET", vec![], stream(), ok("transfer-encoding: chunked")),
            ("PUT", vec![("transfer-encoding", "gzip")], stream(), ok("transfer-encoding: chunked")),
            ("PUT", vec![("content-length", "+7")], stream(), Err(Kind::Request)),
            ("PUT", vec![("content-length", "")], stream(), Err(Kind::Request)),
            ("PUT", vec![("content-length", "7"), ("content-length", "8")], stream(), Err(Kind::Request)),
            ("CONNECT", vec![], RequestBody::Empty, Err(Kind::Request)),
        ];
        for (method, lines, body, wanted) in table {
            let said = format!("{method} {lines:?} {body:?}");
            assert_eq!(framing(method, &lines, body), wanted, "{said}");
        }
    }
}
