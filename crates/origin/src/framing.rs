//! Framing: one for each request, the right one; and how the transfer codings of a response are to be read.

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
    if *request.method() == Method::CONNECT {
        return Err(OriginError::because(Kind::Request, "a gateway makes no tunnels"));
    }
    // Boxed: it is handed on several times before it is sent, and is large.
    let mut request = Box::new(request);
    *request.version_mut() = Version::HTTP_11;
    // They are the caller's own.
    request.extensions_mut().clear();
    if request.uri().authority().is_some() {
        origin_form(request.uri_mut());
    }
    if request.body().is_end_stream() {
        *request.body_mut() = RequestBody::Empty;
    }
    // One walk costs less than to look for each of them; mostly neither is there.
    let is_framed = request.headers().keys().any(|name| *name == TRANSFER_ENCODING || *name == CONTENT_LENGTH);
    if is_framed {
        request.headers_mut().remove(TRANSFER_ENCODING);
    }
    match request.body() {
        // RFC 9110 §8.6: a length of 0 is said for methods that usually have content.
        RequestBody::Empty if matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) => {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        RequestBody::Empty if is_framed => drop(request.headers_mut().remove(CONTENT_LENGTH)),
        RequestBody::Empty => {}
        RequestBody::Full(bytes) => {
            let length = bytes.len();
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        RequestBody::Stream(_) => {
            let length = request.body().size_hint().exact();
            frame_stream(request.headers_mut(), length)?;
        }
    }
    Ok(request)
}

/// RFC 9112 §3.2.1: a server that is no proxy gets the path and the query only.
fn origin_form(uri: &mut Uri) {
    *uri = std::mem::take(uri).into_parts().path_and_query.map_or_else(Uri::default, Uri::from);
}

fn frame_stream(headers: &mut HeaderMap, length: Option<u64>) -> Result<(), OriginError> {
    let announced = match announced_length(headers)? {
        Some(length) => Some(length),
        None => length,
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

/// How the end of a response's content is found, as far as its transfer codings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// There are none: by its length, or at the close of the connection.
    None,
    /// In chunks.
    Chunked,
    /// At the close of the connection (RFC 9112 §6.3 rule 4).
    UntilClose,
}

/// Codings that would have to be undone before the content is handed on (RFC 9112 §7.2, §7.4); here nobody can. No request of ours
/// asks for them.
const COMPRESSIONS: [&str; 5] = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];

/// How a response with these fields is read.
///
/// `chunked` alone is undone. A coding that nobody has registered is a word without meaning here: the content is what comes
/// until the connection closes.
///
/// # Errors
/// What is wrong: `chunked` beside another coding or twice, a compression, a `Content-Length` beside an unknown coding, no
/// coding at all. Two recipients might read such a message differently.
pub(crate) fn response_coding(headers: &HeaderMap) -> Result<Coding, &'static str> {
    let lines = headers.get_all(TRANSFER_ENCODING);
    if lines.iter().next().is_none() {
        return Ok(Coding::None);
    }
    let mut codings = lines.iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(coding_name);
    let Some(first) = codings.next().filter(|name| !name.is_empty()) else {
        return Err("an empty Transfer-Encoding");
    };
    let is = |name: &[u8], known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let more: Vec<&[u8]> = codings.collect();
    let mut all = std::iter::once(&first).chain(&more);
    if is(first, "chunked") && more.is_empty() {
        return Ok(Coding::Chunked);
    }
    if all.clone().any(|name| is(name, "chunked")) {
        return Err("chunked beside another transfer coding");
    }
    if all.any(|name| COMPRESSIONS.iter().any(|known| is(name, known))) {
        return Err("a transfer coding that was not asked for");
    }
    match headers.contains_key(CONTENT_LENGTH) {
        true => Err("a length beside an unknown transfer coding"),
        false => Ok(Coding::UntilClose),
    }
}

/// The name of a coding, without its parameters.
fn coding_name(coding: &[u8]) -> &[u8] {
    coding.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
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
    fn transfer_codings_of_a_response_rfc9112_6_3() {
        let table: [(&[&str], &str, Option<Coding>); 21] = [
            (&[], "", Some(Coding::None)),
            (&[], "3", Some(Coding::None)),
            (&["chunked"], "", Some(Coding::Chunked)),
            (&["Chunked"], "3", Some(Coding::Chunked)),
            (&["nonsense"], "", Some(Coding::UntilClose)),
            (&["nonsense;q=1"], "", Some(Coding::UntilClose)),
            (&["two words"], "", Some(Coding::UntilClose)),
            (&["a, b", "c"], "", Some(Coding::UntilClose)),
            (&["nonsense"], "3", None),
            (&["nonsense, chunked"], "", None),
            (&["nonsense;a=\"x,chunked\""], "", Some(Coding::UntilClose)),
            (&["chunked, nonsense"], "", None),
            (&["chunked", "nonsense"], "", None),
            (&["chunked", "chunked"], "", None),
            (&["chunked, chunked"], "", None),
            (&["chunked,"], "", None),
            (&["gzip"], "", None),
            (&["X-Gzip;a=b"], "", None),
            (&["nonsense, deflate"], "", None),
            (&[""], "", None),
            (&[",chunked"], "", None),
        ];
        for (lines, length, wanted) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_str(line).unwrap());
            }
            if !length.is_empty() {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_str(length).unwrap());
            }
            assert_eq!(response_coding(&headers).ok(), wanted, "{lines:?} {length:?}");
        }
    }

    proptest::proptest! {
        /// Whatever ends in `chunked` is in chunks here or refused: others read it so.
        #[test]
        fn nothing_that_is_read_in_chunks_passes_for_something_else(line in "([ -~]{0,12},)?[ \t]{0,2}[cC]hunked[ \t]{0,2}") {
            let mut headers = HeaderMap::new();
            headers.append(TRANSFER_ENCODING, HeaderValue::from_str(&line).unwrap());
            proptest::prop_assert_ne!(response_coding(&headers), Ok(Coding::UntilClose));
            proptest::prop_assert_ne!(response_coding(&headers), Ok(Coding::None));
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
